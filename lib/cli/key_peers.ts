/** The people whose keys are pinned: who they are, the words to compare, and forgetting them. */
import { type Comparison, notKnown } from "../client/comparison.ts";
import type { Pins } from "../client/pins.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { describeComparison } from "./message_words.ts";
import { askYesNo } from "./questions.ts";
import type { Terminal } from "./terminal.ts";

/** Prints everybody who is pinned. Throws `local`, after those that can be read, when a line is damaged. */
export function listPeers(peers: Pins, terminal: Terminal): void {
  for (const known of peers.everybody) {
    const { subject: peer, suite, firstSeen, isVerified } = known;
    const fingerprint = formatFingerprint(known.fingerprint);
    if (terminal.json) {
      terminal.emit({ event: "peer", peer, suite, fingerprint, firstSeen, isVerified });
      continue;
    }
    terminal.print(`${peer} ${suite.padEnd(8)} ${fingerprint}`);
    const mark = isVerified ? "verified" : "not verified";
    terminal.print(`   ${mark}, first seen ${firstSeen.slice(0, 10)}`);
  }
  peers.requireUndamaged();
  if (peers.everybody.length === 0 && !terminal.json) terminal.say("nobody is known yet");
}

/** Forgets somebody. Throws `local` when nobody of that name is known. */
export async function unpinPeer(
  peers: Pins,
  name: string,
  terminal: Terminal,
): Promise<void> {
  const gone = await peers.unpin(name);
  if (gone.length === 0) throw notKnown(name);
  for (const { suite, fingerprint, firstSeen, isVerified } of gone) {
    const key = formatFingerprint(fingerprint);
    const verified = isVerified ? ", verified" : "";
    terminal.say(
      `${name} was known by the ${suite} key ${key} since ${firstSeen.slice(0, 10)}${verified}`,
      { event: "unpinned", peer: name, suite, fingerprint: key, firstSeen, isVerified },
    );
  }
  terminal.say(`forgotten: whoever comes next as ${name} is taken for ${name}; compare words then`);
}

/** Compares with somebody; `mark`: the words are the same. See `comparePeer`. */
export type Compare = (mark: boolean) => Promise<Comparison>;

/**
 * Shows the words to compare with somebody, and marks them if a person says that they are the same. Throws like
 * `comparePeer`.
 */
export async function verifyPeer(
  compare: Compare,
  name: string,
  { yes }: { readonly yes: boolean },
  terminal: Terminal,
): Promise<void> {
  const known = await compare(false);
  const { words, suite } = known;
  if (!terminal.json) terminal.print(describeComparison(name, words));
  const isSame = !known.isVerified &&
    (yes || (terminal.interactive && await askWhetherSame(terminal)));
  const { isVerified } = isSame ? await compare(true) : known;
  if (terminal.json) {
    return terminal.emit({ event: "verify", peer: name, suite, words, isVerified });
  }
  const mark = isVerified ? "marked as verified" : "not marked; with --yes they are";
  terminal.say(`${name}, ${suite} key: ${mark}`);
}

async function askWhetherSame(terminal: Terminal): Promise<boolean> {
  return await askYesNo(terminal, "-- are they the same? yes marks them:");
}
