/**
 * A profile that is put back from a copy: what was written and read since the copy is gone there, and the other side
 * knows more of it than it does itself. What is written afterwards must arrive all the same, once and in order.
 */
import type { JsonEvent } from "../testkit/program.ts";
import type { Dice } from "./dice.ts";
import { finish, type Person } from "./person.ts";

/** Lines that each writes between the copy and its return, and after it. */
const LINES = 40;

/** What one run of a program was given and told, after the profile of one side was put back. */
export interface Aftermath {
  readonly lines: readonly string[];
  readonly events: readonly JsonEvent[];
  /** What it had shown before, of which it may have no memory. */
  readonly shownBefore: readonly string[];
  /** Whether its own profile is the one that was put back. */
  readonly isOld: boolean;
}

/** Both have ended in order. Plays what the file is about; returns what was wrong. */
export async function putBack(alice: Person, bob: Person, dice: Dice): Promise<readonly string[]> {
  const old = dice.pick([[alice], [bob], [alice, bob]]);
  const copies = await Promise.all(old.map((person) => person.copyProfile()));
  await begin(alice, bob);
  const feeding = Promise.all([alice.feed(LINES), bob.feed(LINES)]);
  await dice.pause(300);
  await Promise.all([alice.kill(), bob.kill()]);
  await feeding;
  const before = { alice: shown(alice.runs.at(-1)!.events), bob: shown(bob.runs.at(-1)!.events) };
  for (const restore of copies) await restore();
  await begin(alice, bob);
  await Promise.all([alice.feed(LINES), bob.feed(LINES)]);
  await finish(alice, bob);
  const after = (person: Person, shownBefore: readonly string[]): Aftermath => ({
    ...person.runs.at(-1)!,
    shownBefore,
    isOld: old.includes(person),
  });
  const one = after(alice, before.alice), other = after(bob, before.bob);
  return [...checkPutBack(one, other), ...checkPutBack(other, one)];
}

/** What is wrong with what one showed of what the other wrote. */
export function checkPutBack(writer: Aftermath, reader: Aftermath): readonly string[] {
  const wrong: string[] = [];
  const all = shown(reader.events);
  const places = new Map(writer.lines.map((line, place) => [line, place]));
  const fresh = all.filter((text) => places.has(text));
  for (const line of writer.lines) {
    const count = fresh.filter((text) => text === line).length;
    if (count !== 1) wrong.push(`"${line}" was shown ${count} times`);
  }
  if (fresh.some((text, i) => i > 0 && places.get(text)! < places.get(fresh[i - 1]!)!)) {
    wrong.push("out of order");
  }
  // Whoever has all of its memory shows nothing that it has shown.
  const again = reader.isOld ? [] : all.filter((text) => reader.shownBefore.includes(text));
  for (const text of again) {
    const isMarked = reader.events.some((told) => told["text"] === text && told["recovered"]);
    if (!isMarked) wrong.push(`"${text}" was shown before`);
  }
  for (const event of reader.events) {
    // What an old copy has not any more is told.
    const isBad = event.event === "error" || event.event === "gap" && !reader.isOld;
    if (isBad) wrong.push(JSON.stringify(event));
  }
  return wrong;
}

async function begin(alice: Person, bob: Person): Promise<void> {
  await Promise.all([alice, bob].map((person) => person.start().event("registered")));
}

function shown(events: readonly JsonEvent[]): readonly string[] {
  return events.filter(({ event }) => event === "message").map((told) => told["text"] as string);
}
