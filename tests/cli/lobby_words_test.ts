import { assert, assertEquals } from "@std/assert";
import {
  describeAbsence,
  describeChanges,
  describeCrowd,
  describeUsers,
  type Listed,
} from "../../lib/cli/lobby_words.ts";
import { lineOf } from "../../lib/wire/line.ts";

const NOTHING = { isFirst: false, joined: [], left: [], away: [], back: [] };
const nobody = () => false;

function crowd(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `n${String(i).padStart(4, "0")}`);
}

Deno.test("comings and goings are a line for each kind, however many they are", () => {
  assertEquals(describeChanges(NOTHING, nobody), []);
  assertEquals(describeChanges({ ...NOTHING, isFirst: true }, nobody), [
    "nobody else is in the lobby",
  ]);
  assertEquals(
    describeChanges({ ...NOTHING, isFirst: true, joined: ["ann", "bob"], away: ["bob"] }, nobody),
    ["here: ann, bob"],
  );
  assertEquals(
    describeChanges({
      isFirst: false,
      joined: ["ann"],
      left: ["bob", "carol"],
      away: ["dave"],
      back: ["erin"],
    }, nobody),
    ["ann joined", "2 left: bob, carol", "away: dave", "back: erin"],
  );
  const lines = describeChanges({ ...NOTHING, joined: crowd(1000), left: crowd(37) }, nobody);
  assertEquals(lines.length, 2);
  assert(lines.every((line) => line.length < 120), lines.join("\n"));
  assert(lines[0]!.startsWith("1000 joined: n0000, ") && lines[0]!.includes("and 992 more"));
});

Deno.test("who is away is told who sees it, and who reads why", () => {
  const [none, words] = [lineOf(""), lineOf('back at "two"')];
  const hidden = "nobody sees that: you are hidden";
  assertEquals([true, false].map((isAway) => describeAbsence(isAway, none, true)), [
    hidden,
    hidden,
  ]);
  assertEquals([true, false].map((isAway) => describeAbsence(isAway, none, false)), [
    "the others see that you are away; /back when you are not",
    "welcome back",
  ]);
  assertEquals(
    [false, true].map((isHidden) => describeAbsence(true, words, isHidden)),
    ["the others see that you are away", "nobody in the lobby sees that: you are hidden"]
      .map((seen) =>
        `${seen}; those you are talking to read "back at 'two'"; /back when you are not`
      ),
  );
  assertEquals(describeAbsence(false, words, true), "welcome back");
});

Deno.test("of a crowd those are named first with whom there is a conversation", () => {
  assertEquals(describeCrowd(crowd(8)), crowd(8).join(", "));
  const named = describeCrowd(crowd(100), (name) => name === "n0099");
  assert(named.startsWith("n0099, n0000, ") && named.includes("and 92 more; /users"), named);
});

Deno.test("users are listed with what there is to tell, and the others beside each other", () => {
  const plain: Omit<Listed, "name"> = {
    isVerified: false,
    state: "here",
    unread: 0,
    undelivered: 0,
    connected: undefined,
    asks: false,
  };
  assertEquals(describeUsers([], true), "nobody else is in the lobby");
  // Somebody with whom there is a conversation need not be in the lobby.
  assertEquals(
    describeUsers([{ ...plain, name: "bob", state: undefined, connected: true }], true),
    "nobody else is in the lobby\n   bob: connected, not in the lobby",
  );
  assertEquals(
    describeUsers([
      { ...plain, name: "ann" },
      { ...plain, name: "bob", isVerified: true, unread: 2, connected: true },
      { ...plain, name: "carol", state: "away" },
      { ...plain, name: "cleo", state: "away", connected: true, words: lineOf('at "two"') },
      { ...plain, name: "cyd", state: undefined, connected: true, words: lineOf("out") },
      { ...plain, name: "dave", state: undefined, undelivered: 3, connected: false },
      { ...plain, name: "erin", asks: true },
      { ...plain, name: "fred", isVerified: true },
    ], true),
    `6 here
   bob✓: 2 unread, connected
   carol: away
   cleo: connected, away: "at 'two'"
   cyd: connected, away: "out", not in the lobby
   dave: not connected, 3 not delivered, not in the lobby
   erin: asks for you
   ann, fred✓`,
  );
  const many = describeUsers(crowd(1000).map((name) => ({ ...plain, name })), false).split("\n");
  assertEquals(many[0], "no connection to the server; 1000 were here");
  assert(many.every((line) => line.length <= 80) && many.length < 150);
  assertEquals(many.slice(1).join().match(/n\d{4}/g)!.length, 1000);
});
