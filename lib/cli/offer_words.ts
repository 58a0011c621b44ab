/** What is said of those who ask for us: for people a few at a time, for programs each at once. */
import type { Asking } from "../client/offers.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { describeCrowd } from "./lobby_words.ts";
import { suiteOf } from "./status_words.ts";
import type { JsonEvent } from "./terminal.ts";

/** So many are named one by one when they ask for us. */
const OFFERS_SHOWN = 3;

/** What a person is told of those who have asked since the last time, a text for each. */
export function describeOffers(
  offers: readonly Asking[],
  ourSuite: SuiteName,
): readonly string[] {
  if (offers.length > OFFERS_SHOWN) {
    return [`${offers.length} ask for you: ${describeCrowd(offers.map(({ name }) => name))}`];
  }
  return offers.map((offer) => describeOffer(offer, ourSuite));
}

function describeOffer(
  { name, acquaintance, suite, identity, hasLeft = false }: Asking,
  ourSuite: SuiteName,
): string {
  if (!identity) {
    return `${name} asks for you with the suite ${suiteOf(suite)}, and you have ${ourSuite}: ` +
      "one of you has to change --suite";
  }
  const key = formatFingerprint(identity.fingerprint);
  const answers = `/to ${name} or /refuse ${name}`;
  switch (acquaintance) {
    case "known":
      return `${name} asks for you: ${answers}`;
    case "changed":
      return `somebody asks for you as ${name}, but with ANOTHER KEY than ${name} had before\n` +
        `presented: ${key}\nask ${name} another way what this means; /refuse ${name}`;
    case "other suite":
      return `somebody asks for you as ${name}, whom you know by a key for another suite\n` +
        `presented: ${key} (${ourSuite})\nask ${name} another way whether this is theirs`;
    case "stranger":
      return hasLeft
        ? `${name}, whom you do not know, has left you something: ` +
          `/to ${name} reads it, /refuse ${name} does not\nkey ${key}`
        : `${name}, whom you do not know, asks for you: ${answers}\nkey ${key}`;
  }
}

/** The same of one, for a program. */
export function offerJson(
  { name, acquaintance, suite, identity, hasLeft = false }: Asking,
  accepted: boolean,
): JsonEvent {
  return {
    event: "offer",
    from: name,
    standing: acquaintance,
    suite: suiteOf(suite),
    ...(identity && { fingerprint: formatFingerprint(identity.fingerprint) }),
    accepted,
    ...(hasLeft && { hasLeft }),
  };
}
