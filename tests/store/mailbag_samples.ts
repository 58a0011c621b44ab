/** A box, prekeys and sessions for tests of what keeps them; nothing in them is real. */
import type { PrekeyKind } from "../../lib/crypto/prekeys.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { KeptPrekey, Mailbag, Moment, ReadingSession } from "../../lib/store/mailbag.ts";

export const SERVER = "ab".repeat(32);
export const AT: Moment = { here: 1_800_000_000_000, there: 1_700_000_000_000 };
/** The fingerprint of Bob's key. */
export const BOBS_KEY = new Uint8Array(32).fill(5);

/** A box on a server, of a new name. */
export async function addBox(mailbag: Mailbag, server = SERVER): Promise<void> {
  await mailbag.beginBox(server, systemRandom(16), systemRandom(32));
}

export function prekey(kind: PrekeyKind, number: bigint): KeptPrekey {
  return { kind, number, secret: { x25519: systemRandom(32), mlkem: systemRandom(64) } };
}

/** Prekeys of these numbers. */
export async function addPrekeys(
  mailbag: Mailbag,
  numbers: Partial<Record<PrekeyKind, readonly bigint[]>>,
  server = SERVER,
): Promise<readonly KeptPrekey[]> {
  const { signed = [], once = [] } = numbers;
  const prekeys = [
    ...signed.map((number) => prekey("signed", number)),
    ...once.map((number) => prekey("once", number)),
  ];
  await mailbag.addPrekeys(server, prekeys);
  return prekeys;
}

/** A session of Bob's that nobody has heard of, at its first place. */
export function sessionOf(
  mailbag: Mailbag,
  { signed = 1n, once = 0n, server = SERVER } = {},
): ReadingSession {
  const { name: box } = mailbag.box(server)!;
  const about = { id: systemRandom(16), peer: "bob", sender: BOBS_KEY, box, signed, once };
  return { ...about, transcript: systemRandom(64), chain: systemRandom(64), next: 0 };
}
