/** The machine of a conversation: each state is offered each event. */
import { assertEquals } from "@std/assert";
import { type EventName, type StateName, TRANSITIONS } from "../../lib/client/conversation.ts";

const EVENTS: readonly EventName[] = [
  "introduced",
  "impostor",
  "met",
  "lost",
  "in-vain",
  "unwanted",
  "rested",
  "hurried",
  "ended",
];

/** In the order of `EVENTS`; a dash is an event that changes nothing. */
const EXPECTED: Readonly<Record<StateName, string>> = {
  waiting: "meeting refusing live - - resting - - over",
  meeting: "meeting refusing live - resting - - - over",
  resting: "meeting refusing live - - - waiting waiting over",
  live: "- - live waiting resting - - - over",
  refusing: "- - - - - - - - over",
  over: "- - - - - - - - -",
};

for (const [state, expected] of Object.entries(EXPECTED) as [StateName, string][]) {
  Deno.test(`a conversation that is ${state} is offered every event`, () => {
    const row = EVENTS.map((event) => TRANSITIONS[state][event] ?? "-");
    assertEquals(row.join(" "), expected);
  });
}

Deno.test("a conversation has no other states and events than those", () => {
  assertEquals(Object.keys(TRANSITIONS).sort(), Object.keys(EXPECTED).sort());
  const named = Object.values(TRANSITIONS).flatMap((row) => Object.keys(row));
  assertEquals([...new Set(named)].sort(), [...EVENTS].sort());
});
