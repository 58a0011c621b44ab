/** The people whose keys are pinned: who they are, the words to compare, and forgetting them. */
import type { KeyRing } from "../client/key_ring.ts";
import type { Known, Pins } from "../client/pins.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { safetyWords } from "../crypto/safety_words.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { sanitize } from "./sanitize.ts";
import type { Terminal } from "./terminal.ts";

/** Prints everybody who is pinned. Throws `local`, after those that can be read, when a line is damaged. */
export function listPeers(peers: Pins, terminal: Terminal): void {
  for (const known of peers.everybody) {
    const { subject, suite, firstSeen, isVerified } = known;
    const peer = sanitize(subject), fingerprint = formatFingerprint(known.fingerprint);
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
  if (gone.length === 0) throw stranger(name);
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

/**
 * Shows the words to compare with somebody, and marks them if a person says that they are the same. Throws
 * `local` when nobody of that name is known or a line is damaged, `usage` for the suite classic.
 */
export async function verifyPeer(
  peers: Pins,
  ring: KeyRing,
  name: string,
  { suite, yes }: { readonly suite: SuiteName | undefined; readonly yes: boolean },
  terminal: Terminal,
): Promise<void> {
  // Whoever seems unknown may be on a line that cannot be read.
  peers.requireUndamaged();
  const known = choose(peers.everybody.filter(({ subject }) => subject === name), suite);
  if (!known) throw stranger(name, suite);
  // Reads the entry once more, with every check.
  const theirs = await peers.find(name, known.suite);
  const ours = (await ring.list()).find((entry) => entry.suite === known.suite);
  if (!theirs || !ours) {
    throw new CifraError("local", `There is no ${known.suite} key of your own to compare with`);
  }
  const words = await safetyWords(ours.identity.fingerprint, theirs.fingerprint);
  if (!terminal.json) {
    terminal.print(`read these words to ${name}; they must be the same there:`);
    terminal.print(`   ${words.slice(0, 6).join(" ")}\n   ${words.slice(6).join(" ")}`);
  }
  const isSame = !known.isVerified && (yes || (terminal.interactive && askWhetherSame()));
  if (isSame) await peers.verify(name, known.suite, theirs.fingerprint);
  const isVerified = known.isVerified || isSame;
  if (terminal.json) {
    terminal.emit({ event: "verify", peer: name, suite: known.suite, words, isVerified });
  } else {
    const mark = isVerified ? "marked as verified" : "not marked; with --yes they are";
    terminal.say(`${name}, ${known.suite} key: ${mark}`);
  }
}

function askWhetherSame(): boolean {
  return prompt("-- are they the same? yes marks them:")?.trim().toLowerCase() === "yes";
}

/** The one for `suite`, or the strongest: those for study come last. */
function choose(known: readonly Known[], suite: SuiteName | undefined): Known | undefined {
  const order: readonly SuiteName[] = suite ? [suite] : ["modern", "rsa", "classic"];
  return order.map((each) => known.find((one) => one.suite === each)).find((one) => one);
}

function stranger(name: string, suite?: SuiteName): CifraError {
  const how = suite === undefined ? "" : ` by a ${suite} key`;
  return new CifraError("local", `${name} is not known here${how}`, {
    hint: "cifra keys peers lists whom you know",
  });
}
