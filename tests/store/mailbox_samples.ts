/** What a mailbox keeps, made up: the same for the same words and numbers. */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { sha512 } from "../../lib/crypto/platform.ts";
import type { NewEnvelope, Prekey } from "../../lib/store/mailbox_store.ts";
import { u64Bytes } from "../../lib/store/u64.ts";
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

/** A prekey of 1288 bytes that has its number in front, as on the wire. */
export function prekeyOf(number: bigint | number): Prekey {
  const bytes = new Uint8Array(1288).fill(0x70);
  bytes.set(u64Bytes(BigInt(number)));
  return { number: BigInt(number), bytes };
}

/** One-time prekeys with these numbers. */
export function prekeysOf(first: number, last: number): readonly Prekey[] {
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
