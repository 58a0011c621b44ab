import { assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { CONNECTIONS_PER_KEY, CONNECTIONS_PER_SOURCE } from "../../lib/limits.ts";
import { type InsiderCaps, Insiders } from "../../lib/services/insiders.ts";

function inside(caps: Partial<InsiderCaps> = {}) {
  const insiders = new Insiders<string>({
    connections: 1024,
    connectionsPerKey: 0,
    connectionsPerSource: 0,
    ...caps,
  });
  const enter = (holder: string, key = holder, source?: string, isKnown = false) =>
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
  for (let n = 0; n < 14; n++) enter(`new ${n}`);
  assertEquals(enter("known", "known", undefined, true), []);
  // A newcomer takes the place of one without a name.
  assertEquals(enter("new 14"), ["new 0"]);
  for (let n = 1; n <= 14; n++) insiders.named(`new ${n}`);
  assertEquals(
    refused("new 15"),
    "The last places are for those whom this server knows; come back when one has ended",
  );
  assertEquals(enter("known too", "known too", undefined, true), []);
  insiders.leave("new 7");
  assertEquals(enter("new 15"), []);
});

Deno.test("when there is no room at all, the oldest newcomer without a name goes before one who is known", () => {
  const { insiders, enter } = inside();
  enter("known", "known", undefined, true);
  enter("a");
  enter("b");
  insiders.named("a");
  assertEquals(insiders.giveWay(), "b");
  assertEquals(insiders.giveWay(), "known");
  assertEquals(insiders.giveWay(), undefined);
  assertEquals([insiders.leave("a"), insiders.leave("a"), insiders.leave("b")], [
    true,
    false,
    false,
  ]);
});
