import { assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { CONNECTIONS_PER_KEY, CONNECTIONS_PER_SOURCE } from "../../lib/limits.ts";
import { sourceOf } from "../../lib/services/connection_limits.ts";
import { type InsiderCaps, Insiders, isKnownForLong } from "../../lib/services/insiders.ts";

const HERE = sourceOf("127.0.0.1");

function inside(caps: Partial<InsiderCaps> = {}) {
  const insiders = new Insiders<string>({
    connections: 1024,
    connectionsPerKey: 0,
    connectionsPerSource: 0,
    ...caps,
  });
  const enter = (holder: string, key = holder, source = HERE, isKnown = false) =>
    insiders.enter(holder, { key, source, isKnown });
  const refused = (...args: Parameters<typeof enter>) =>
    assertThrows(() => enter(...args), CifraError).message;
  return { insiders, enter, refused };
}

Deno.test("the defaults are those of the document", () => {
  assertEquals([CONNECTIONS_PER_KEY, CONNECTIONS_PER_SOURCE], [16, 256]);
});

Deno.test("of one key so many are inside; the oldest without a name gives way, or the next is refused", () => {
  const { insiders, enter, refused } = inside({ connectionsPerKey: 3 });
  for (const holder of ["a", "b", "c"]) assertEquals(enter(holder, "key"), []);
  insiders.named("a");
  assertEquals(enter("other"), []);
  assertEquals(enter("d", "key"), ["b"]);
  assertEquals(insiders.nameless, ["c", "other", "d"]);
  for (const holder of ["c", "d"]) insiders.named(holder);
  assertEquals(
    refused("e", "key"),
    "There are 3 connections of this key; come back when one has ended",
  );
  assertEquals(insiders.nameless, ["other"]);
  insiders.leave("a");
  assertEquals(enter("e", "key"), []);
});

Deno.test("from one source so many are inside, and as many as like on this machine", () => {
  const { insiders, enter, refused } = inside({ connectionsPerSource: 2 });
  for (const holder of ["a", "b"]) enter(holder, holder, "source");
  insiders.named("b");
  assertEquals(enter("c", "c", "source"), ["a"]);
  insiders.named("c");
  refused("d", "d", "source");
  assertEquals(enter("d", "d", "another"), []);
  for (let n = 0; n < 100; n++) assertEquals(enter(`here ${n}`), []);
});

Deno.test("one who gives way for a key and one for a source may be the same, or two", () => {
  const { enter } = inside({ connectionsPerSource: 2, connectionsPerKey: 2 });
  enter("a", "key", "source");
  enter("b", "key", "source");
  assertEquals(enter("c", "key", "source"), ["a"]);
  enter("x", "other", "there");
  enter("y", "another", "there");
  assertEquals(enter("z", "key", "there"), ["b", "x"]);
});

Deno.test("an eighth of all places is for keys that the server knew", () => {
  const { insiders, enter, refused } = inside({ connections: 16 });
  for (let n = 0; n < 14; n++) enter(`new ${n}`, `new ${n}`, `source ${n}`);
  assertEquals(enter("known", "known", HERE, true), []);
  // A newcomer takes the place of one without a name.
  assertEquals(enter("new 14", "new 14", "source 14"), ["new 0"]);
  for (let n = 1; n <= 14; n++) insiders.named(`new ${n}`);
  assertEquals(
    refused("new 15"),
    "The last places are for those whom this server has known for long; come back when one has ended",
  );
  assertEquals(enter("known too", "known too", HERE, true), []);
  insiders.leave("new 7");
  assertEquals(enter("new 15"), []);
});

Deno.test("a key has one of the places for the known: its further connections count as a newcomer's", () => {
  const { insiders, enter, refused } = inside({ connections: 16 });
  for (let n = 0; n < 20; n++) {
    if (n < 15) enter(`old ${n}`, "old", "there", true);
    else refused(`old ${n}`, "old", "there", true);
    insiders.named(`old ${n}`);
  }
  assertEquals(enter("other", "other", "there", true), []);
});

Deno.test("one user with many keys of many connections does not fill the server for others", () => {
  const { insiders, enter, refused } = inside({ connections: 1024, connectionsPerKey: 16 });
  let held = 0;
  for (let key = 0; key < 64; key++) {
    for (let n = 0; n < 16; n++) {
      try {
        held += 1 - enter(`${key} ${n}`, `mallory ${key}`).length;
        insiders.named(`${key} ${n}`);
      } catch (error) {
        if (!(error instanceof CifraError)) throw error;
      }
    }
  }
  assertEquals(held, 896);
  // The newest of a key that holds most gives way to a newcomer of the same machine, but not without end.
  assertEquals(enter("alice", "alice").length, 1);
  insiders.named("alice");
  for (let n = 0; n < 200; n++) {
    assertEquals(enter(`guest ${n}`).length, 1);
    insiders.named(`guest ${n}`);
  }
  assertEquals(insiders.leave("alice"), true);
  enter("alice", "alice");
  insiders.named("alice");
  for (let n = 1; n < 16; n++) {
    try {
      enter(`alice ${n}`, "alice");
      insiders.named(`alice ${n}`);
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      break;
    }
  }
  refused("one more", "alice");
});

Deno.test("a source with many keys gives way to others, and to itself no more than it has", () => {
  const { insiders, enter, refused } = inside({ connections: 16 });
  for (let n = 0; n < 14; n++) {
    enter(`m${n}`, `m${n}`, "mallory's");
    insiders.named(`m${n}`);
  }
  refused("m14", "m14", "mallory's");
  for (let n = 0; n < 7; n++) {
    assertEquals(enter(`a${n}`, `a${n}`, "ours"), [`m${13 - n}`]);
    insiders.named(`a${n}`);
  }
  refused("a7", "a7", "ours");
  assertEquals(enter("b", "b", "another"), ["m6"]);
});

Deno.test("whoever was known for long keeps one place, whoever comes", () => {
  const { insiders, enter } = inside({ connections: 8 });
  for (let n = 0; n < 8; n++) {
    enter(`old ${n}`, `old ${n}`, "there", true);
    insiders.named(`old ${n}`);
  }
  assertEquals(insiders.giveWay("elsewhere"), undefined);
  enter("second", "old 0", "there", true);
  insiders.named("second");
  enter("third", "old 0", "there", true);
  insiders.named("third");
  assertEquals(insiders.giveWay("elsewhere"), "third");
});

Deno.test("known for long is who was there before this run, or for a day", () => {
  const day = 24 * 3_600_000;
  assertEquals(
    [[5, 6, 7], [6, 6, 7], [6, 6, 5 + day], [6, 6, 6 + day]].map(([created, started, now]) =>
      isKnownForLong(created!, started!, now!)
    ),
    [true, false, false, true],
  );
});

Deno.test("when there is no room at all, the oldest newcomer without a name goes before one who is known", () => {
  const { insiders, enter } = inside();
  enter("known", "known", HERE, true);
  enter("a");
  enter("b");
  insiders.named("a");
  assertEquals(insiders.giveWay(HERE), "b");
  assertEquals(insiders.giveWay(HERE), "known");
  assertEquals(insiders.giveWay(HERE), undefined);
  assertEquals([insiders.leave("a"), insiders.leave("a"), insiders.leave("b")], [
    true,
    false,
    false,
  ]);
});
