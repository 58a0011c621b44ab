/** The twelve words that two people compare, and the mark that says that they were the same (PROTOCOL.md 3.8). */
import { safetyWords } from "../crypto/safety_words.ts";
import { STRONGEST_FIRST, type SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { KeyRing } from "./key_ring.ts";
import type { Known, Pins } from "./pins.ts";

/** What is compared. */
export interface Comparison {
  readonly suite: SuiteName;
  /** Twelve. */
  readonly words: readonly string[];
  readonly isVerified: boolean;
}

/**
 * The words to compare with somebody who is pinned, by their key for `suite` or their strongest one; `mark`: they
 * were the same, and the key is marked. Throws `local` when nobody of that name is known or a line is damaged,
 * `usage` for the suite classic.
 */
export async function comparePeer(
  pins: Pins,
  ring: KeyRing,
  name: string,
  { suite, mark }: { readonly suite: SuiteName | undefined; readonly mark: boolean },
): Promise<Comparison> {
  // Whoever seems unknown may be on a line that cannot be read.
  pins.requireUndamaged();
  const known = choose(pins.everybody.filter(({ subject }) => subject === name), suite);
  if (!known) throw notKnown(name, suite);
  // Reads the entry once more, with every check.
  const theirs = await pins.find(name, known.suite);
  const ours = (await ring.list()).find((entry) => entry.suite === known.suite);
  if (!theirs || !ours) {
    throw new CifraError("local", `There is no ${known.suite} key of your own to compare with`);
  }
  const words = await safetyWords(ours.identity.fingerprint, theirs.fingerprint);
  if (mark && !known.isVerified) await pins.verify(name, known.suite, theirs.fingerprint);
  return { suite: known.suite, words, isVerified: known.isVerified || mark };
}

/** The error for somebody who is not pinned. */
export function notKnown(name: string, suite?: SuiteName): CifraError {
  const how = suite === undefined ? "" : ` by a ${suite} key`;
  return new CifraError("local", `${name} is not known here${how}`, {
    hint: "cifra keys peers lists whom you know",
  });
}

/** The one for `suite`, or the strongest: those for study come last. */
function choose(known: readonly Known[], suite: SuiteName | undefined): Known | undefined {
  const order: readonly SuiteName[] = suite ? [suite] : STRONGEST_FIRST;
  return order.map((each) => known.find((one) => one.suite === each)).find((one) => one);
}
