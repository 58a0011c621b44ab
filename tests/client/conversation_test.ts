import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { formatFingerprint } from "../../lib/crypto/identity.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  MEETING_DEADLINE,
  MEETING_PATIENCE,
  PENDING_DEADLINE,
  SILENCE_DEADLINE,
} from "../../lib/limits.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { CloseCode } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import { TestDisk } from "../testkit/links.ts";
import { codeOf, type Stage, talk, type Talker } from "../testkit/talkers.ts";

/** Where a program only waits, time goes on in larger steps. */
const PAUSE = 100;

/** From now on the two cannot dial each other; the server can be reached. */
function separate({ server }: Stage, ...talkers: readonly Talker[]): void {
  for (const { network } of talkers) network.refuses = ({ port }) => port !== server.port;
}

function rejoin(...talkers: readonly Talker[]): void {
  for (const { network } of talkers) network.refuses = () => false;
}

function lastPause(talker: Talker): number {
  return talker.all("server-lost").at(-1)?.retryIn ?? 0;
}

/** What makes two unable to dial each other from the start. */
async function separated(stage: Stage, relay: "allowed" | "never" = "allowed") {
  const alice = await stage.start("alice", "bob", { relay });
  const bob = await stage.start("bob", "alice", { relay });
  separate(stage, alice, bob);
  return [alice, bob] as const;
}

test("two meet through the server, and leave it for each other", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    for (const [talker, other] of [[alice, "bob"], [bob, "alice"]] as const) {
      assertEquals(talker.news, ["registered", "waiting", "connected"]);
      const { again, path, fingerprint } = await talker.told("connected");
      assertEquals([again, path.type], [false, "direct"]);
      assertEquals(talker.conversation.path, path);
      assertEquals(fingerprint, (await person("modern", other)).identity.fingerprint);
      const { title, server, ports } = await talker.told("registered");
      assertEquals([title, server.port], ["test server", stage.server.port]);
      assert(ports !== undefined);
    }
    assertEquals(
      (await alice.told("connected")).sessionId,
      (await bob.told("connected")).sessionId,
    );
    await alice.say("hello");
    await bob.say("hi");
    await bob.hears("hello");
    await alice.hears("hi");
    await stage.leftServer();
    await stage.time.until(
      () => alice.network.open === 1 && bob.network.open === 1,
      "each has one connection",
    );
    assertEquals(stage.server.log.all("introduced").length, 1);
  }));

test("what was written before there is anybody to read it arrives with the first meeting", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    await alice.say("one");
    await alice.told("waiting");
    await alice.say("two");
    const bob = await stage.start("bob", "alice");
    await bob.hears("one", "two");
  }));

test("nobody is heard who is not pinned, and each is pinned when the ladder is done", () =>
  talk(async (stage) => {
    const pinning = Promise.withResolvers<void>();
    const steps: string[] = [];
    const alice = await stage.start("alice", "bob");
    const bob = await stage.start("bob", "alice", {
      checkPeer: async (peer) => {
        const { identity } = await person("modern", "alice");
        assertEquals(peer.fingerprint, identity.fingerprint);
        steps.push("checked");
        return () => {
          steps.push("pin");
          return pinning.promise;
        };
      },
    });
    await alice.say("hello");
    await stage.time.until(() => steps.length === 2, "the pin");
    await stage.time.until(() => alice.thread.delivery.sent === 1n, "the message is under way");
    stage.time.advance(1000);
    assertEquals([steps, bob.news, bob.ear.words], [
      ["checked", "pin"],
      ["registered", "waiting"],
      [],
    ]);
    pinning.resolve();
    await bob.hears("hello");
  }));

test("who cannot be pinned is turned away after growing pauses, told once, and heard when they can be", () =>
  talk(async (stage) => {
    let isGone = true;
    const full = new CifraError("local", "The disk is full");
    const bob = await stage.start("bob", "alice", {
      checkPeer: () => Promise.resolve(() => isGone ? Promise.reject(full) : Promise.resolve()),
    });
    const alice = await stage.start("alice", "bob");
    await alice.say("hello");
    const met = () => stage.server.log.all("introduced").length;
    const begin = stage.time.now();
    await stage.time.until(() => met() >= 8, "eight meetings", PAUSE);
    // Half a second, one, two, four and so on, each shorter or longer by a half.
    const seconds = (stage.time.now() - begin) / 1000;
    assert(seconds > 30, `eight meetings within ${seconds} s`);
    const { error } = await bob.told("unpinned");
    assertEquals(error, full);
    assertEquals(bob.all("unpinned").length, 1);
    assertEquals([bob.ear.words, bob.all("connected")], [[], []]);
    isGone = false;
    await stage.time.until(() => bob.all("connected").length === 1, "the meeting", PAUSE);
    await bob.hears("hello");
  }));

test("one who leaves while the other is being pinned leaves nothing behind", () =>
  talk(async (stage) => {
    const pinning = Promise.withResolvers<void>();
    let begun = false;
    const bob = await stage.start("bob", "alice", {
      checkPeer: () =>
        Promise.resolve(() => {
          begun = true;
          return pinning.promise;
        }),
    });
    const alice = await stage.start("alice", "bob");
    await alice.say("hello");
    await stage.time.until(() => begun, "the pin");
    assertEquals(await bob.leave(), undefined);
    pinning.resolve();
    await alice.told("lost");
    assertEquals([bob.ear.words, bob.all("connected")], [[], []]);
  }));

test("a pin that takes its time does not make the two meet twice", () =>
  talk(async (stage) => {
    const slowly = () =>
      Promise.resolve(() => new Promise<void>((resolve) => setTimeout(resolve, 50)));
    const alice = await stage.start("alice", "bob", { checkPeer: slowly });
    const bob = await stage.start("bob", "alice", { checkPeer: slowly });
    await alice.told("connected");
    await bob.told("connected");
    await stage.leftServer();
    await stage.time.until(
      () => alice.network.open === 1 && bob.network.open === 1,
      "one connection is left",
    );
    for (const { news } of [alice, bob]) assertEquals(news, ["registered", "waiting", "connected"]);
  }));

test("a server that goes and comes back is no news to two who talk", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await stage.leftServer();
    await stage.server.stop();
    await alice.say("one");
    await bob.hears("one");
    await stage.time.pass(90_000);
    await stage.server.start();
    await bob.say("two");
    await alice.hears("two");
    for (const { news } of [alice, bob]) assertEquals(news, ["registered", "waiting", "connected"]);
    assertEquals(stage.server.connections, 0);
  }));

test("who waits at a server that restarts is there again as soon as it is", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    await alice.told("waiting");
    await stage.server.stop();
    const { error, retryIn } = await alice.told("server-lost");
    assertEquals(error.code, "shutdown");
    assert(retryIn > 0 && retryIn <= 30_000);
    assertEquals((await alice.told("server-lost", 4, PAUSE)).error.code, "unreachable");
    await stage.server.start();
    await alice.told("waiting", 2);
    const bob = await stage.start("bob", "alice");
    await alice.told("connected");
    await alice.say("hello");
    await bob.hears("hello");
  }));

test("a server that is cut off without a word is asked again", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    await alice.told("waiting");
    alice.network.cut();
    assertEquals((await alice.told("server-lost")).error.code, "cut");
    await alice.told("waiting", 2);
  }));

test("a cut between the two is mended without the server, and nothing is lost", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await stage.leftServer();
    await stage.server.stop();
    const heard: string[] = [];
    for (let n = 1; n <= 5; n++) {
      // In turn, so that each is the one who notices first.
      (n % 2 === 0 ? alice : bob).network.cut();
      const text = `text ${n}`;
      heard.push(text);
      await alice.say(text);
      await bob.hears(...heard);
      await alice.told("connected", n + 1);
      await bob.told("connected", n + 1);
    }
    for (const talker of [alice, bob]) {
      const all = talker.all("connected");
      assertEquals(all.map(({ again }) => again), [false, true, true, true, true, true]);
      assertEquals(all.map(({ path }) => path.type), Array(6).fill("direct"));
      assertEquals(talker.all("lost").length, 5);
      assertEquals(new Set(all.map(({ sessionId }) => sessionId.join())).size, 6);
    }
    await stage.server.start();
  }));

test("a connection that swallows everything is given up, the sooner when an answer is due", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await stage.leftServer();
    await stage.server.stop();
    let start = stage.time.now();
    alice.network.swallow();
    await alice.say("one");
    assertEquals((await alice.told("lost")).error.code, "timeout");
    let waited = stage.time.now() - start;
    assert(waited > PENDING_DEADLINE && waited < PENDING_DEADLINE + 5000, `${waited}`);
    await bob.hears("one");
    await alice.told("connected", 2);
    start = stage.time.now();
    alice.network.swallow();
    await alice.told("lost", 2, PAUSE);
    waited = stage.time.now() - start;
    assert(waited > PENDING_DEADLINE && waited < SILENCE_DEADLINE + 5000, `${waited}`);
    await alice.told("connected", 3);
    await bob.say("two");
    await alice.hears("two");
    await stage.server.start();
  }));

test("texts both ways arrive once and in order, however often the two are cut", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
    let state = seed;
    const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    const said: Record<string, string[]> = { alice: [], bob: [] };
    for (let n = 0; n < 200; n++) {
      const talker = random() < 0.5 ? alice : bob;
      const text = `${talker.name} ${n}`;
      said[talker.name]!.push(text);
      await talker.say(text);
      const chance = random();
      // The server's connections are cut with the others.
      if (chance < 0.15) talker.network.cut();
      else if (chance < 0.3) await stage.time.until(() => random() < 0.2, "some time");
    }
    const all = () =>
      bob.ear.words.length >= said.alice!.length &&
      alice.ear.words.length >= said.bob!.length;
    await stage.time.until(all, `everything has arrived, seed ${seed}`);
    assertEquals(bob.ear.words, said.alice, `seed ${seed}`);
    assertEquals(alice.ear.words, said.bob, `seed ${seed}`);
    // In the end they are connected, and nobody bothers the server.
    const settled = () =>
      stage.server.connections === 0 &&
      alice.network.open === 1 && bob.network.open === 1;
    await stage.time.until(settled, `all is calm again, seed ${seed}`);
  }));

test("a program that died and was started again is met through the server", () =>
  talk(async (stage) => {
    const bobsDisk = new MemoryMessages();
    const alice = await stage.start("alice", "bob");
    const bob = await stage.start("bob", "alice", { store: bobsDisk });
    await alice.say("one");
    await bob.hears("one");
    await bob.die();
    await bobsDisk.close();
    await alice.told("lost");
    await alice.say("two");
    await alice.told("waiting", 2);
    const again = await stage.start("bob", "alice", {
      store: new MemoryMessages({ snapshot: bobsDisk.snapshot() }),
    });
    await again.hears("two");
    assertEquals((await alice.told("connected", 2)).again, true);
    assertEquals((await again.told("connected")).again, false);
  }));

test("one who found the way back while the server was asked leaves the server", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await stage.leftServer();
    // Alice can reach the server alone; Bob only Alice, and not before Alice waits.
    separate(stage, alice);
    bob.network.refuses = () => true;
    alice.network.cut();
    await alice.told("waiting", 2);
    bob.network.refuses = ({ port }) => port === stage.server.port;
    bob.conversation.hurry();
    await alice.told("connected", 2);
    await stage.leftServer();
    assertEquals(stage.server.log.all("introduced").length, 1);
    await alice.say("still here");
    await bob.hears("still here");
  }));

test("with the relay alone nobody listens or dials, and what is said goes through the server", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair({ relay: "only" });
    for (const talker of [alice, bob]) {
      assertEquals(talker.conversation.path, { type: "relay" });
      assertEquals((await talker.told("registered")).ports, undefined);
      assertEquals(talker.network.listening, 0);
      assertEquals(talker.network.dials.map(({ to }) => to.port), [stage.server.port]);
    }
    await alice.say("hello");
    await bob.hears("hello");
    await stage.time.pass(20_000);
    assertEquals([alice.news.length, bob.news.length], [3, 3]);
    assertEquals(stage.server.connections, 2);
    assertEquals(stage.server.log.all("relaying").length, 1);
  }));

test("one who wants the relay alone makes the other use it as well", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob", { relay: "only" });
    const bob = await stage.start("bob", "alice");
    await alice.told("connected");
    await bob.told("connected");
    assertEquals(bob.conversation.path, { type: "relay" });
    assertEquals(bob.network.dials.map(({ to }) => to.port), [stage.server.port]);
  }));

test("on the relay a restart of the server is a cut, and is mended", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair({ relay: "only" });
    for (let n = 1; n <= 2; n++) {
      await stage.server.stop();
      await alice.told("lost", n);
      await bob.told("lost", n);
      await alice.say(`text ${n}`);
      await stage.server.start();
      await alice.told("connected", n + 1);
      await bob.told("connected", n + 1);
    }
    await bob.hears("text 1", "text 2");
    assertEquals(alice.conversation.path, { type: "relay" });
  }));

test("two who cannot dial each other use the relay, and move when they can", () =>
  talk(async (stage) => {
    const [alice, bob] = await separated(stage);
    await alice.told("connected");
    await bob.told("connected");
    assertEquals([alice.conversation.path?.type, bob.conversation.path?.type], ["relay", "relay"]);
    await alice.say("through the server");
    await bob.hears("through the server");
    assertEquals(stage.server.connections, 2);
    rejoin(alice, bob);
    for (const talker of [alice, bob]) {
      assertEquals((await talker.told("moved")).path.type, "direct");
      assertEquals(talker.all("lost"), []);
    }
    await stage.leftServer();
    await alice.say("directly");
    await bob.hears("through the server", "directly");
    assertEquals(stage.server.log.all("introduced").length, 1);
  }));

test("messages under way while the two move from the relay come once and in order", () =>
  talk(async (stage) => {
    const [alice, bob] = await separated(stage);
    await bob.told("connected");
    rejoin(alice, bob);
    const said: string[] = [];
    while (alice.all("moved").length === 0) {
      said.push(`text ${said.length}`);
      await alice.say(said.at(-1)!);
      await stage.time.until(() => bob.ear.words.length > said.length - 5, "some have arrived");
    }
    await bob.hears(...said);
  }));

test("two without any way are told so after some seconds, and try again", () =>
  talk(async (stage) => {
    const [alice, bob] = await separated(stage, "never");
    const start = stage.time.now();
    for (const talker of [alice, bob]) {
      const { failures } = await talker.told("no-way");
      const waited = stage.time.now() - start;
      assert(waited >= MEETING_PATIENCE && waited < MEETING_DEADLINE, `${waited}`);
      assertEquals(failures.length, 1);
      assertStringIncludes(failures[0]!, "refused");
      assertEquals(talker.conversation.failures, failures);
      assertEquals(talker.conversation.path, undefined);
    }
    await alice.told("waiting", 2);
    await bob.told("waiting", 2);
    rejoin(alice, bob);
    await alice.told("connected");
    await bob.told("connected");
    assertEquals(alice.all("server-lost").length + bob.all("server-lost").length, 0);
  }));

test("pauses between meetings in vain grow, and are short again after one that worked", () =>
  talk(async (stage) => {
    const [alice, bob] = await separated(stage, "never");
    const pauseAfter = async (vain: number, waits: number) => {
      await alice.told("no-way", vain, PAUSE);
      const start = stage.time.now();
      await alice.told("waiting", waits);
      return stage.time.now() - start;
    };
    const pauses: number[] = [];
    for (let vain = 1; vain <= 4; vain++) pauses.push(await pauseAfter(vain, vain + 1));
    assert(pauses[3]! > 1500, `${pauses}`);
    rejoin(alice, bob);
    await alice.told("connected");
    await bob.told("connected");
    await alice.say("one");
    await bob.hears("one");
    await stage.time.during(alice.thread.settled(), "alice knows that it worked");
    separate(stage, alice, bob);
    alice.network.cut();
    await alice.told("lost");
    // Wanted once more with the loss, and then after the meeting in vain.
    const vain = alice.all("no-way").length, waits = alice.all("waiting").length;
    const pause = await pauseAfter(vain + 1, Math.max(waits, 6) + 1);
    assert(pause < 1000, `${pause}`);
  }));

for (const relay of ["allowed", "only"] as const) {
  test(`a reader whose disk is full keeps the channel, and goes on when there is room: relay ${relay}`, () =>
    talk(async (stage) => {
      const disk = new TestDisk();
      const store = new MemoryMessages({ commit: disk.commit });
      const alice = await stage.start("alice", "bob", { relay });
      const bob = await stage.start("bob", "alice", { store, relay });
      disk.full = true;
      await alice.say("one");
      await stage.time.until(() => alice.thread.delivery.sent === 1n, "it is sent");
      const asked = bob.asked;
      const end = stage.time.now() + 10 * 60_000;
      await stage.time.until(() => stage.time.now() > end, "ten minutes", PAUSE);
      assertEquals([bob.all("connected").length, bob.all("lost").length], [1, 0]);
      assertEquals([alice.thread.delivery.stored, bob.asked], [0n, asked]);
      disk.full = false;
      await bob.hears("one");
      await stage.time.until(() => alice.thread.delivery.stored === 1n, "it is stored");
    }));
}

test("a connection that is cut again and again before anything is said makes no storm", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    for (let lost = 1; lost <= 6; lost++) {
      alice.network.cut();
      await alice.told("lost", lost);
      await bob.told("lost", lost);
      await alice.told("connected", lost + 1, PAUSE);
      await bob.told("connected", lost + 1, PAUSE);
    }
    // One such cut is like any other, and said to be over at once; of more of them it has to show.
    const shaky = alice.all("connected").map(({ isShaky }) => isShaky);
    assertEquals(shaky.slice(0, 3), [false, false, true]);
    const start = stage.time.now();
    alice.network.cut();
    await alice.told("connected", 8, PAUSE);
    const pause = stage.time.now() - start;
    assert(pause > 3000, `${pause}`);
    await alice.say("one");
    await stage.time.until(() => bob.ear.words.length > 0, "a message", PAUSE);
  }));

test("two who lose each other 32 times in a minute or two go on", () =>
  talk(
    async (stage) => {
      const [alice, bob] = await stage.pair({ relay: "only" });
      for (let n = 1; n <= 32; n++) {
        // Something is said each time: no channel was in vain.
        await alice.say(`${n}`);
        await bob.told("connected", n, PAUSE);
        await stage.time.until(() => bob.ear.words.length === n, `${n} were heard`);
        alice.network.cut();
      }
      await alice.told("connected", 33, PAUSE);
      assertEquals(bob.ear.words, Array.from({ length: 32 }, (_, n) => `${n + 1}`));
      // They may have to be patient at times, and are told for how long.
      for (const { error, retryIn } of [...alice.all("unwanted"), ...bob.all("unwanted")]) {
        assertEquals(error.code, "limit");
        assert(retryIn <= 10_000, `${retryIn}`);
      }
    },
    undefined,
    (time) => ({ environment: { ...systemEnvironment, time } }),
  ));

test("a relay that the server has no room for is no way either", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    const bob = await stage.start("bob", "alice", { relay: "never" });
    separate(stage, alice, bob);
    assertEquals((await alice.told("no-way")).failures.length, 1);
  }));

test("who leaves says goodbye, and the other one waits for them to come back", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await alice.say("bye");
    assertEquals(await alice.leave(), undefined);
    await bob.hears("bye");
    assertEquals((await bob.told("left")).failed, false);
    await bob.told("waiting", 2);
    assertEquals(bob.conversation.path, undefined);
    assertEquals(bob.all("lost"), []);
    const again = await stage.start("alice", "bob");
    assertEquals((await bob.told("connected", 2)).again, true);
    await again.say("back");
    await bob.hears("bye", "back");
  }));

test("who leaves because something went wrong says so", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await alice.leave(CloseCode.failed);
    assertEquals((await bob.told("left")).failed, true);
    assertEquals(await bob.leave(), undefined);
  }));

test("both may leave at once", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await alice.say("bye");
    assertEquals(await Promise.all([alice.leave(), bob.leave()]), [undefined, undefined]);
    await stage.leftServer();
  }));

test("one may leave at any moment, and leaves nothing behind", async () => {
  for (const moment of ["start", "dial", "registered", "waiting", "met", "lost", "paused"]) {
    await talk(async (stage) => {
      const gate = Promise.withResolvers<void>();
      const beforeServer = moment === "dial" ? () => gate.promise : () => Promise.resolve();
      const alice = await stage.start("alice", "bob", { beforeServer });
      if (moment === "dial") await stage.time.until(() => alice.asked === 1, "the dial");
      if (moment === "registered") await alice.told("registered");
      if (moment === "waiting") await alice.told("waiting");
      if (moment === "met") {
        const bob = await stage.start("bob", "alice");
        await stage.server.log.told("introduced");
        await bob.leave();
      }
      if (moment === "lost") {
        const bob = await stage.start("bob", "alice");
        await bob.told("connected");
        await alice.told("connected");
        bob.network.refuses = () => true;
        bob.network.cut();
        await alice.told("lost");
        await bob.leave();
      }
      if (moment === "paused") {
        await alice.told("waiting");
        await stage.server.stop();
        await alice.told("server-lost");
      }
      const leaving = alice.leave();
      gate.resolve();
      assertEquals(await leaving, undefined, moment);
      const before = alice.statuses.length;
      stage.time.advance(60_000);
      assertEquals(alice.statuses.length, before, moment);
      if (moment === "paused") await stage.server.start();
    });
  }
});

test("hurry() makes the next try at once", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    await alice.told("waiting");
    await stage.server.stop();
    await alice.told("server-lost", 6, PAUSE);
    await stage.server.start();
    const asked = alice.asked, moment = stage.time.now();
    alice.conversation.hurry();
    await stage.server.log.told("registered", 2);
    assertEquals([alice.asked, stage.time.now()], [asked + 1, moment]);
  }));

test("hurry() leaves the pauses as they are, and does no harm to two who talk", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    alice.conversation.hurry();
    await alice.say("one");
    await bob.hears("one");
    assertEquals(alice.news, ["registered", "waiting", "connected"]);
    await bob.leave();
    await alice.told("waiting", 2);
    await stage.server.stop();
    await stage.time.until(() => lastPause(alice) > 5000, "a long pause", PAUSE);
    const losses = alice.all("server-lost").length;
    alice.conversation.hurry();
    assert((await alice.told("server-lost", losses + 1)).retryIn > 1000);
    await stage.server.start();
  }));

test("a line typed twice a second asks the server no more than every two seconds", () =>
  talk(async (stage) => {
    const [alice, bob] = await separated(stage, "never");
    await alice.told("no-way", 1, PAUSE);
    const before = alice.all("waiting").length, start = stage.time.now();
    while (stage.time.now() < start + 60_000) {
      alice.conversation.hurry();
      await stage.time.pass(500);
    }
    const wants = alice.all("waiting").length - before;
    assert(wants > 2 && wants < 35, `${wants} wants in a minute`);
    rejoin(alice, bob);
    await alice.told("connected", 1, PAUSE);
  }));

test("the same identity elsewhere takes the place of one who waits, whose conversation ends", () =>
  talk(async (stage) => {
    const first = await stage.start("alice", "bob");
    await first.told("waiting");
    const second = await stage.start("alice", "bob");
    await second.told("waiting");
    const error = await stage.time.during(first.ended, "the first one ends");
    assertEquals(codeOf(error), "replaced");
    const bob = await stage.start("bob", "alice");
    await second.told("connected");
    await second.say("from elsewhere");
    await bob.hears("from elsewhere");
  }));

test("a server that is not there at the start is waited for, and what is written meanwhile arrives", () =>
  talk(async (stage) => {
    await stage.server.stop();
    const alice = await stage.start("alice", "bob");
    const { error, again } = await alice.told("server-lost");
    assertEquals([error.code, again], ["unreachable", false]);
    await alice.say("are you there?");
    await alice.told("server-lost", 3);
    await stage.server.start();
    const bob = await stage.start("bob", "alice");
    await bob.hears("are you there?");
  }));

test("a want that no waiting helps ends the conversation, with what the server said", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "alice");
    const error = await stage.time.during(alice.ended, "the end");
    assertEquals(codeOf(error), "bad_name");
    assertEquals(alice.news, ["registered", "waiting"]);
  }));

test("somebody else under a known name ends it on both sides, and is not heard", () =>
  talk(async (stage) => {
    const bob = await stage.start("bob", "alice", {
      checkPeer: () =>
        Promise.reject(new CifraError("identity_changed", "alice has another key than before")),
    });
    const alice = await stage.start("alice", "bob");
    await alice.say("hello");
    assertEquals(codeOf(await stage.time.during(bob.ended, "the end")), "identity_changed");
    assertEquals([bob.ear.words, bob.all("connected")], [[], []]);
    const told = await stage.time.during(alice.ended, "the other end");
    assertEquals(codeOf(told), "identity_changed");
    for (const name of ["alice", "bob"]) {
      const { identity: { fingerprint } } = await person("modern", name);
      assertStringIncludes((told as Error).message, formatFingerprint(fingerprint));
    }
    assertEquals(alice.thread.delivery.stored, 0n);
    assertEquals(bob.thread.delivery, { queued: 0n, sent: 0n, onServer: 0n, stored: 0n, read: 0n });
  }));

test("one who cannot be met is refused all the same, a little later", () =>
  talk(async (stage) => {
    const bob = await stage.start("bob", "alice", {
      relay: "never",
      checkPeer: () => Promise.reject(new CifraError("suite_downgrade", "a weaker key")),
    });
    const alice = await stage.start("alice", "bob", { relay: "never" });
    for (const { network } of [alice, bob]) {
      network.refuses = ({ port }) => port !== stage.server.port;
    }
    assertEquals(codeOf(await stage.time.during(bob.ended, "the end")), "suite_downgrade");
    assertEquals([alice.all("connected"), alice.conversation.path], [[], undefined]);
  }));

test("a byte stream whose reader was started anew ends it", () =>
  talk(async (stage) => {
    const options = { kind: LogKind.live };
    const [alice, bob] = await stage.pair(options);
    await alice.thread.sendBytes(new Uint8Array(1000));
    await stage.time.until(() => alice.thread.delivery.stored > 0n, "it is taken");
    await bob.die();
    await alice.told("lost");
    await stage.start("bob", "alice", options);
    const error = await stage.time.during(alice.ended, "the end");
    assertEquals(codeOf(error), "cut");
    assertStringIncludes((error as CifraError).message, "restarted");
  }));

test("a machine that slept tries at once what it would have waited for", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    await alice.told("waiting");
    await stage.server.stop();
    // Until the pause is as long as it gets.
    await stage.time.until(() => lastPause(alice) > 6000, "a long pause", PAUSE);
    await stage.server.start();
    const { asked } = alice;
    stage.time.advance(1000);
    assertEquals(alice.asked, asked, "a beat that is not late means nothing");
    stage.time.sleep(8 * 3_600_000);
    stage.time.advance(1000);
    await stage.server.log.told("registered", 2);
    assertEquals(alice.asked, asked + 1);
  }));

test("after a sleep through which the channel was lost, the two go on", () =>
  talk(async (stage) => {
    const [alice, bob] = await stage.pair();
    await alice.say("before");
    await bob.hears("before");
    // Longer than either side bears the other's silence.
    stage.time.sleep(8 * 3_600_000);
    await alice.told("connected", 2);
    await alice.say("after");
    await bob.hears("before", "after");
  }));

test("with different suites both are told, and go on waiting", () =>
  talk(async (stage) => {
    const alice = await stage.start("alice", "bob");
    const bob = await stage.start("bob", "alice", { suite: "classic" });
    const { id: modern } = (await person("modern", "alice")).suite;
    const { id: classic } = (await person("classic", "bob")).suite;
    const toAlice = await alice.told("suite-mismatch"), toBob = await bob.told("suite-mismatch");
    assertEquals([toAlice.yourSuite, toAlice.peerSuite], [modern, classic]);
    assertEquals([toBob.yourSuite, toBob.peerSuite], [classic, modern]);
    assertEquals(alice.news, ["registered", "waiting", "suite-mismatch"]);
    await bob.leave();
    await stage.start("bob", "alice", { knownBy: "classic" });
    await alice.told("connected");
  }, ["modern", "classic"]));
