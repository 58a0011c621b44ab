/** Who is known at a server, here or away, as it tells in pages (PROTOCOL.md 3.11). */
import { SUITE_IDS, SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { LOBBY_PEOPLE } from "../limits.ts";
import { PersonState } from "../wire/numbers.ts";
import { type ServerLink, unexpected } from "./server_link.ts";

/** A key that owns a name there. */
export interface KnownKey {
  readonly name: string;
  /** Of a suite that this version does not know, its number. */
  readonly suite: SuiteName | `suite ${number}`;
  readonly fingerprint: Bytes;
  /** Whether its owner is in the lobby, as far as that is told. */
  readonly state: "here" | "away" | "gone";
}

const STATES = { [PersonState.here]: "here", [PersonState.away]: "away" } as const;

/**
 * All who are known there, in the order of their names, with each of their keys. One may ask at a time. Throws what the
 * server refuses it with, `bad_state` on names that come again, `limit` on more than anybody can mean.
 */
export async function askKnown(link: Pick<ServerLink, "ask">): Promise<readonly KnownKey[]> {
  const all: KnownKey[] = [];
  for (let after = "";;) {
    const answer = await link.ask({ type: "known", after });
    if (answer.type !== "known") throw unexpected();
    let last = after;
    for (const { name, suite, fingerprint, state } of answer.keys) {
      // A name has a key for each suite; behind it there are others alone.
      if (name < last || name === after) throw unexpected();
      last = name;
      all.push({
        name,
        suite: SUITE_NAMES.find((each) => SUITE_IDS[each] === suite) ?? `suite ${suite}`,
        fingerprint: fingerprint.slice(),
        state: STATES[state as keyof typeof STATES] ?? "gone",
      });
    }
    if (answer.more === 0) return all;
    if (last === after) throw unexpected();
    if (all.length > LOBBY_PEOPLE) {
      throw new CifraError("limit", "The server names more people than can be");
    }
    after = last;
  }
}
