/** What is told of somebody at the desk. */
import { assertEquals } from "@std/assert";
import { Roster, type RosterOptions } from "../../lib/cli/roster.ts";
import type { Path } from "../../lib/client/connector.ts";

/** The roster of whoever has a conversation with bob, who is away with these words. */
function rosterOf(path: Path | undefined, theirAway: string): Roster {
  const delivery = { queued: 0n, stored: 0n };
  const bob = { conversation: { path }, thread: { theirAway, delivery } };
  return new Roster({
    contacts: { isVerified: () => false },
    messenger: {
      people: new Map([["bob", "away"]]),
      offers: { names: [], has: () => false },
      get: (name: string) => name === "bob" ? bob : undefined,
    },
    names: ["bob"],
  } as unknown as RosterOptions);
}

Deno.test("words of who is away are told while there is a channel: without one they may be old", () => {
  const scenes: readonly (readonly [Path | undefined, string, string])[] = [
    [{ type: "relay" }, "lunch", 'relay through the server, which cannot read it, away: "lunch"'],
    [{ type: "relay" }, "", "relay through the server, which cannot read it"],
    [undefined, "lunch", "not connected yet"],
  ];
  for (const [path, words, described] of scenes) {
    const roster = rosterOf(path, words);
    assertEquals(roster.describe("bob"), described);
    const [bob] = roster.list();
    assertEquals(bob?.words, path && words !== "" ? words : undefined);
  }
});
