/** What a server keeps, made up: the same for the same numbers. */
import { encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { sha512 } from "../../lib/crypto/platform.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import type { Account, Invite, NameKey } from "../../lib/store/server_store.ts";

/** A time that does not fit 32 bits, nor a float. */
export const NOW = Date.UTC(2030, 0, 1) + 1;

export function bytes(length: number, value: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (value + i) & 0xff);
}

export function keyOf(name: string, changes: Partial<NameKey> = {}): NameKey {
  const suite: SuiteName = changes.suite ?? "modern";
  return {
    name,
    skeleton: name,
    suite,
    fingerprint: encodeHex(sha512(encodeUtf8(`${name} ${suite}`)).subarray(0, 32)),
    bundle: bytes(129, name.length),
    sequence: 2n ** 63n + 1n,
    lastSequence: 2n ** 63n + 2n,
    notAfter: NOW + 400 * 86_400_000,
    signature: bytes(64, 3),
    created: NOW,
    lastSeen: NOW,
    invite: "1".padStart(32, "0"),
    ...changes,
  };
}

export function accountOf(name: string, changes: Partial<Account> = {}): Account {
  return {
    name,
    salt: bytes(16, 1),
    memory: 262_144,
    passes: 10,
    storedKey: bytes(64, 2),
    serverKey: bytes(64, 3),
    backup: bytes(300, 4),
    created: NOW,
    ...changes,
  };
}

export function inviteOf(number: number, changes: Partial<Invite> = {}): Invite {
  const id = number.toString(16).padStart(32, "0");
  return {
    id,
    serial: bytes(16, number),
    created: NOW,
    expires: NOW + 1,
    uses: 3,
    standing: false,
    ...changes,
  };
}
