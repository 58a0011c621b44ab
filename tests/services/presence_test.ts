import { assert, assertEquals } from "@std/assert";
import { PRESENCE_LOG } from "../../lib/limits.ts";
import { Presence, type PresenceChanges } from "../../lib/services/presence.ts";
import { PersonState } from "../../lib/wire/rendezvous_messages.ts";

const { here, away, gone } = PersonState;
const everybody = () => true;

/** What each reader is told now, by its name. */
function told(
  presence: Presence<string>,
  ready: (reader: string) => boolean = everybody,
): Record<string, PresenceChanges> {
  const all: Record<string, PresenceChanges> = {};
  for (const { to, changes } of presence.take(ready)) {
    for (const reader of to) {
      assert(!(reader in all), `${reader} is told twice`);
      all[reader] = changes;
    }
  }
  return all;
}

function come(presence: Presence<string>, ...names: readonly string[]): void {
  for (const name of names) presence.change({ name, state: here });
}

/** What a reader knows after it was told all this, if it keeps to the document. */
class Listener {
  readonly known = new Map<string, number>();

  hear({ complete, people }: PresenceChanges): void {
    if (complete) this.known.clear();
    for (const { name, state } of people) {
      if (state === gone) this.known.delete(name);
      else this.known.set(name, state);
    }
  }
}

Deno.test("a reader is told of all who are here, and then of what changes", () => {
  const presence = new Presence<string>();
  come(presence, "ann", "ben");
  presence.read("r");
  assertEquals(told(presence), {
    r: { complete: true, people: [{ name: "ann", state: here }, { name: "ben", state: here }] },
  });
  assertEquals([presence.hasNews, told(presence)], [false, {}]);
  come(presence, "cid");
  presence.change({ name: "ann", state: away });
  presence.change({ name: "ben", state: gone });
  assertEquals(presence.hasNews, true);
  assertEquals(told(presence), {
    r: {
      complete: false,
      people: [
        { name: "cid", state: here },
        { name: "ann", state: away },
        { name: "ben", state: gone },
      ],
    },
  });
  assertEquals([...presence.people].map(({ name }) => name), ["ann", "cid"]);
});

Deno.test("a reader of an empty lobby is told that nobody is here", () => {
  const presence = new Presence<string>();
  presence.read("r");
  assertEquals(told(presence), { r: { complete: true, people: [] } });
});

Deno.test("one who comes and goes many times is one entry, the last", () => {
  const presence = new Presence<string>();
  presence.read("r");
  told(presence);
  for (let n = 0; n < 50; n++) {
    come(presence, "ann");
    presence.change({ name: "ann", state: gone });
  }
  assertEquals(told(presence), { r: { complete: false, people: [{ name: "ann", state: gone }] } });
});

Deno.test("what changes nothing is not told", () => {
  const presence = new Presence<string>();
  presence.read("r");
  come(presence, "ann");
  told(presence);
  come(presence, "ann");
  presence.change({ name: "nobody", state: gone });
  assertEquals(presence.hasNews, false);
});

Deno.test("readers who are equally far share what they are told", () => {
  const presence = new Presence<string>();
  for (let n = 0; n < 1000; n++) presence.read(`r${n}`);
  come(presence, "ann");
  assertEquals(presence.take(everybody).map(({ to }) => to.length), [1000]);
  for (let n = 0; n < 300; n++) come(presence, `p${n}`);
  const [burst, ...more] = presence.take(everybody);
  assertEquals([burst?.to.length, burst?.changes.people.length, more], [1000, 300, []]);
  presence.read("late");
  come(presence, "ben");
  assertEquals(presence.take(everybody).map(({ to }) => to.length), [1000, 1]);
});

Deno.test("one who is not ready is told later, of everything since, and others do not wait", () => {
  const presence = new Presence<string>();
  for (const reader of ["fast", "slow"]) presence.read(reader);
  told(presence);
  come(presence, "ann");
  const fast = (reader: string) => reader === "fast";
  assertEquals(Object.keys(told(presence, fast)), ["fast"]);
  come(presence, "ben");
  presence.change({ name: "ann", state: gone });
  assertEquals(told(presence, fast).fast?.people.length, 2);
  assertEquals(presence.hasNews, true);
  assertEquals(told(presence), {
    slow: {
      complete: false,
      people: [{ name: "ann", state: gone }, { name: "ben", state: here }],
    },
  });
  assertEquals(presence.hasNews, false);
});

Deno.test("one who is further behind than the log goes back is told everything anew", () => {
  const presence = new Presence<string>();
  for (const reader of ["fast", "slow"]) presence.read(reader);
  come(presence, "ann");
  const fast = (reader: string) => reader === "fast";
  told(presence);
  presence.change({ name: "ann", state: gone });
  for (let n = 0; n <= PRESENCE_LOG; n++) {
    presence.change({ name: "ben", state: n % 2 === 0 ? here : away });
    if (n % 100 === 0) told(presence, fast);
  }
  assertEquals(told(presence), {
    fast: { complete: false, people: [{ name: "ben", state: here }] },
    slow: { complete: true, people: [{ name: "ben", state: here }] },
  });
});

Deno.test("one who has stopped is told nothing, and may begin again", () => {
  const presence = new Presence<string>();
  for (const reader of ["a", "b"]) presence.read(reader);
  told(presence);
  presence.stop("a");
  presence.stop("nobody");
  come(presence, "ann");
  assertEquals(Object.keys(told(presence)), ["b"]);
  presence.stop("b");
  come(presence, "ben");
  assertEquals([presence.hasNews, told(presence)], [false, {}]);
  presence.read("a");
  assertEquals(told(presence).a?.people.length, 2);
  assertEquals([...presence.readers], ["a"]);
});

Deno.test("one who asks is told of all who are here, once; a reader who asks goes on reading", () => {
  const presence = new Presence<string>();
  come(presence, "ann");
  presence.read("r");
  told(presence);
  presence.ask("a");
  presence.ask("a");
  presence.ask("r");
  assertEquals(presence.hasNews, true);
  const all = { complete: true, people: [{ name: "ann", state: here }] };
  // One who is not ready is told later.
  assertEquals(told(presence, (reader) => reader === "r"), { r: all });
  assertEquals(told(presence), { a: all });
  come(presence, "ben");
  assertEquals(told(presence), { r: { complete: false, people: [{ name: "ben", state: here }] } });
  assertEquals([...presence.readers], ["r"]);
  presence.ask("a");
  presence.stop("a");
  assertEquals([presence.hasNews, told(presence)], [false, {}]);
});

Deno.test("whatever happens in whatever order, each reader knows who is here once it was told", () => {
  let state = 12_345;
  const chance = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const presence = new Presence<string>();
  const listeners = new Map<string, Listener>();
  const tell = (ready: (reader: string) => boolean) => {
    for (const [reader, changes] of Object.entries(told(presence, ready))) {
      listeners.get(reader)!.hear(changes);
    }
  };
  for (let step = 0; step < 40_000; step++) {
    const name = `p${chance(40)}`, reader = `r${chance(8)}`;
    const what = chance(100);
    if (what < 80) presence.change({ name, state: ([here, away, gone] as const)[chance(3)]! });
    else if (what < 85) {
      presence.stop(reader);
      presence.read(reader);
      listeners.set(reader, new Listener());
    } else if (what < 87) {
      presence.stop(reader);
      listeners.delete(reader);
      // The slowest one hears next to nothing, so that the log runs over.
    } else if (what < 99) tell((each) => each !== "r0" && chance(3) > 0);
    if (step % 20_000 !== 19_999) continue;
    tell(everybody);
    const expected = [...presence.people].map(({ name, state }) => `${name} ${state}`).toSorted();
    for (const { known } of listeners.values()) {
      assertEquals([...known].map(([name, state]) => `${name} ${state}`).toSorted(), expected);
    }
  }
});
