/** A machine that goes to another network notices, and is back before anybody would have missed it. */
import { assert, assertEquals } from "@std/assert";
import { AddressWatch } from "../../lib/client/address_watch.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { type Stage, talk, type Talker } from "../testkit/talkers.ts";

const SECOND = 1000;
const HOME = "192.168.1.5", CAFE = "10.9.8.7", PUBLIC = "2001:db8::7";
/** Those of every machine, and of no network. */
const OWN = ["127.0.0.1", "::1", "fe80::1"];

Deno.test("whoever watches is told what is gone, about once a second, and only of changes", () => {
  const time = new ManualTime();
  let own = [...OWN, HOME];
  const watch = new AddressWatch({ addresses: () => own }, new Ticker(time));
  const told: string[][] = [];
  const stop = watch.add((gone) => void told.push([...gone]));
  time.advance(5 * SECOND);
  own = [HOME, ...OWN.toReversed(), "fe80::2"];
  time.advance(5 * SECOND);
  assertEquals(told, []);
  for (const next of [[HOME, PUBLIC], [CAFE], [], [CAFE]]) {
    own = [...OWN, ...next];
    time.advance(SECOND);
  }
  assertEquals(told, [[], [HOME, PUBLIC], [CAFE], []]);
  stop();
  own = [];
  time.advance(5 * SECOND);
  assertEquals([told.length, time.pending], [4, 0]);
});

/** From now on the machine is where it was not, and what it had in the network before is dead, in silence. */
function move(talker: Talker, from: string, to: string): void {
  talker.network.swallow();
  talker.network.standAt(from);
  talker.network.own = [to];
}

/** What somebody was told since a moment, and how long until `type`. */
async function until(
  stage: Stage,
  talker: Talker,
  type: "connected" | "registered",
  count: number,
) {
  const start = stage.time.now();
  await talker.told(type, count);
  return stage.time.now() - start;
}

for (const relay of ["allowed", "only"] as const) {
  test(`two who talk go on within two seconds when one of them is elsewhere: relay ${relay}`, () =>
    talk(async (stage) => {
      const alice = await stage.start("alice", "bob", { relay });
      alice.network.own = [HOME];
      const bob = await stage.start("bob", "alice", { relay });
      await alice.told("connected");
      await bob.told("connected");
      await stage.time.pass(3 * SECOND);
      move(alice, HOME, CAFE);
      // Only the other side has something to say.
      await bob.say("are you there?");
      assert(await until(stage, alice, "connected", 2) <= 2 * SECOND, "it took too long");
      const { error } = await alice.told("lost");
      assertEquals(error.code, "cut");
      // Of a stream through the server it is the server that is lost.
      const lost = relay === "only" ? (await alice.told("server-lost")).error : error;
      assertEquals(lost.message, "This machine has another address now");
      await alice.hears("are you there?");
    }));
}

test("one who waits at the server is there again within two seconds, whatever the pause was", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    alice.network.own = [HOME];
    await alice.told("waiting");
    await stage.time.pass(2 * SECOND);
    move(alice, HOME, CAFE);
    assert(await until(stage, alice, "registered", 2) <= 2 * SECOND, "it took too long");
    // Between two networks there is none, for longer than the pauses are short.
    alice.network.refuses = () => true;
    move(alice, CAFE, HOME);
    await alice.told("server-lost", 6, 100);
    alice.network.refuses = () => false;
    alice.network.own = [CAFE];
    assert(await until(stage, alice, "registered", 3) <= 2 * SECOND, "it took too long");
  }));

test("another address beside the one that is used is no reason to leave anybody", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    alice.network.own = [HOME];
    await stage.time.pass(2 * SECOND);
    alice.network.standAt(HOME);
    alice.network.own = [HOME, CAFE];
    await stage.time.pass(3 * SECOND);
    alice.network.own = [HOME];
    await stage.time.pass(3 * SECOND);
    await alice.say("still here");
    await bob.hears("still here");
    assertEquals([alice.all("lost"), bob.all("lost")], [[], []]);
  }));
