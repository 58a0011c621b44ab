/** What a mailbox keeps, made up: the same for the same words and numbers. */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { sha512 } from "../../lib/crypto/platform.ts";
import type { NewEnvelope, OpenedBox } from "../../lib/store/mailbox_store.ts";
import { DAY } from "../../lib/limits.ts";
import type { PublishedPrekey } from "../../lib/wire/mailbox_messages.ts";
import { NOW } from "./server_samples.ts";

/** The fingerprint of somebody's key: 64 hexadecimal digits. */
export function fingerprintOf(name: string): string {
  return encodeHex(sha512(encodeUtf8(name)).subarray(0, 32));
}

/** The 16 bytes of a box or an envelope. */
export function idOf(what: string | number): Bytes {
  return sha512(encodeUtf8(`${what}`)).slice(0, 16);
}

/** A pass key of 32 bytes. */
export function passKeyOf(what: string): Bytes {
  return sha512(encodeUtf8(`pass key ${what}`)).slice(0, 32);
}

/** A prekey; nobody looks at more than its number. */
export function prekeyOf(number: bigint | number): PublishedPrekey {
  return {
    number: BigInt(number),
    x25519: new Uint8Array(32).fill(0x78),
    mlkem: new Uint8Array(1184).fill(0x6d),
    signature: new Uint8Array(64).fill(0x73),
  };
}

/** What opens a box of this name. */
export function boxOf(name: string, changes: Partial<OpenedBox> = {}): OpenedBox {
  const signature = new Uint8Array(64).fill(9);
  const claim = { sequence: 2n ** 63n + 1n, notAfter: BigInt(NOW + 400 * DAY), signature };
  return { name: idOf(name), passKey: passKeyOf(name), claim, ...changes };
}

/** One-time prekeys with these numbers. */
export function prekeysOf(first: number, last: number): readonly PublishedPrekey[] {
  return Array.from({ length: last - first + 1 }, (_, i) => prekeyOf(first + i));
}

/** An envelope of alice's to a box. */
export function envelopeTo(
  box: number,
  id: string | number,
  changes: Partial<NewEnvelope> = {},
): NewEnvelope {
  return {
    id: idOf(id),
    sender: fingerprintOf("alice"),
    box,
    passed: false,
    since: NOW,
    body: new Uint8Array(1715).fill(0x65),
    ...changes,
  };
}
