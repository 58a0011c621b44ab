/** The rules of the mailbox over a real database: they come to the same, in bounded time and memory. */
import { assert, assertEquals } from "@std/assert";
import { BOX_LIFETIME } from "../../lib/limits.ts";
import { DepositCode, Verdict } from "../../lib/wire/mailbox_messages.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMailbox } from "../../lib/store/sqlite_mailbox.ts";
import { envelopeTo, fingerprintOf, idOf } from "../store/mailbox_samples.ts";
import { ManualTime } from "../testkit/clock.ts";
import { LARGE, MailboxScene } from "../testkit/mailbox_scene.ts";
import { withFolder } from "../testkit/server.ts";
import { fillDisk, hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";

const MIB = 2 ** 20;
const DAY = 86_400_000;

async function open(path: string, budget = 1024 * MIB): Promise<SqliteMailbox> {
  const { after } = new ManualTime();
  return await SqliteMailbox.open(await PrivateFolder.open(path), { budget, after });
}

/** A step that somebody takes, by chance; what it comes to. */
async function step(scene: MailboxScene, below: (n: number) => number): Promise<unknown> {
  const people = ["alice", "bob", "carol", "dave"];
  const who = people[below(4)]!, whom = people[below(4)]!, box = `box ${below(3)}`;
  const left = () => scene.mine(who).map(([id]) => id);
  switch (below(12)) {
    case 0:
      return await scene.open(`${who} ${below(2)}`, box);
    case 1: {
      const first = below(60);
      const published = { box, signed: below(50), once: [first, first + below(20)] } as const;
      return await scene.publish(who, { ...published, anew: below(4) === 0 })
        .catch(({ code }) => code);
    }
    case 2:
      return await scene.ask(who, whom, below(2) ? scene.pass(who, box) : undefined);
    case 3:
      scene.mailbox.leave(`${who} ${below(2)}`);
      return;
    case 4: {
      const ids = left();
      return await scene.withdraw(who, ids.slice(below(ids.length + 1)));
    }
    case 5:
      scene.now += below(3 * DAY);
      return await scene.mailbox.expire(scene.now);
    case 6: {
      if (below(20) > 0) return;
      return await scene.mailbox.forget(who);
    }
    case 7:
    case 8: {
      const connection = `${who} ${below(2)}`;
      const told = scene.fetch(connection);
      await scene.settle(connection, told.filter(() => below(3) > 0), (1 + below(3)) as Verdict);
      return told;
    }
    default: {
      const size = [1715, 2227, LARGE][below(3)]!;
      const [old] = left();
      const pass = below(2) ? { pass: scene.pass(who, box) } : {};
      const id = `${below(500)}`;
      const deposit = await scene.deposit(who, whom, { box, size, id, ...pass });
      if (below(5) > 0 || !old) return deposit;
      const request = {
        type: "deposit",
        id: idOf(`${id} again`),
        name: whom,
        box: idOf(box),
        replaces: [old],
        pass: scene.pass(who, box),
        envelope: new Uint8Array(size),
      } as const;
      return await scene.mailbox.deposit(scene.person(who), request, scene.now);
    }
  }
}

Deno.test("whatever is done, it comes to the same in memory and on disk", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  for (let round = 0; round < 4; round++) {
    await withFolder(async (path) => {
      const store = await open(path);
      const scenes = [new MailboxScene(), new MailboxScene({ store })];
      // Each makes the same choices.
      const dice = scenes.map(() => {
        let state = seed + round;
        return (n: number) => {
          state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
          return (state >>> 8) % n;
        };
      });
      for (let n = 0; n < 400; n++) {
        const [memory, disk] = [
          await step(scenes[0]!, dice[0]!),
          await step(scenes[1]!, dice[1]!),
        ];
        assertEquals(disk, memory, `step ${n} of ${seed + round}`);
        const counts = scenes.map((scene) => scene.mailbox.counts());
        assertEquals(counts[1], counts[0], `step ${n} of ${seed + round}`);
      }
      store.close();
    });
  }
});

/** The medians of how long the store takes to refuse each of these people, in one round, by name. */
async function refusals(
  scene: MailboxScene,
  people: readonly string[],
  refuse: (name: string) => Promise<unknown>,
): Promise<number[]> {
  const times = people.map((): number[] => []);
  for (let n = 0; n < 200; n++) {
    // In turn, so that what else the machine does falls on all alike.
    for (const [i, name] of people.entries()) {
      const before = performance.now();
      await refuse(name);
      times[i]!.push(performance.now() - before);
    }
  }
  assertEquals(scene.mailbox.counts().count, 2048);
  return times.map((all) => all.toSorted((a, b) => a - b)[100]!);
}

Deno.test("that there is no room, or are no keys, takes as long to say whatever the reason is (4)", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    const scene = new MailboxScene({ store });
    for (const name of ["expired", "stale"]) {
      await scene.settleIn(`${name} 1`);
      scene.mailbox.leave(`${name} 1`);
    }
    scene.now += BOX_LIFETIME + 1;
    await store.change((writer) => {
      const [stale] = writer.boxes(scene.of("stale"));
      writer.use(stale!.key, scene.now);
    });
    await scene.mailbox.expire(scene.now);
    assertEquals(["expired", "stale"].map((name) => store.boxes(scene.of(name)).length), [0, 1]);
    for (const name of ["full", "banned"]) await scene.settleIn(`${name} 1`);
    scene.names.putBan({ kind: "name", subject: "banned", since: 0, name: undefined });
    const box = store.boxes(scene.of("full"))[0]!.key;
    await store.change((writer) => {
      for (let n = 0; n < 2048; n++) {
        writer.insert(envelopeTo(box, n, { sender: fingerprintOf(`${n}`), passed: true }));
      }
    });
    scene.person("boxless");
    const people = ["nobody", "boxless", "full", "expired", "banned"];
    const kinds = [
      [people, async (name: string) => {
        assertEquals(await scene.code("alice", name, { id: "one" }), DepositCode.noRoom);
      }],
      // Into the box of one whose prekey is too old may be put what was sealed before.
      [[...people, "stale"], async (name: string) => {
        assertEquals((await scene.ask("alice", name)).found, undefined);
      }],
    ] as const;
    for (const [people, refuse] of kinds) {
      // What differs differs in each round; what else the machine does will not fall on the same one each time.
      const rounds: number[][] = [];
      const isAlike = (medians: readonly number[]) =>
        Math.max(...medians) < 2 * Math.min(...medians);
      while (!rounds.some(isAlike)) {
        assert(rounds.length < 10, JSON.stringify([people, rounds]));
        rounds.push(await refusals(scene, people, refuse));
      }
    }
    store.close();
  });
});

Deno.test("a hundred thousand envelopes wait, and take memory for none but those that are handed out", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    const scene = new MailboxScene({ store });
    const people = Array.from({ length: 50 }, (_, n) => `p${n}`);
    for (const name of people) await scene.settleIn(`${name} 1`);
    // Of this test alone: what is resident is that of all tests that run beside it.
    const memory = () => {
      const { heapUsed, external } = Deno.memoryUsage();
      return (heapUsed + external) / MIB;
    };
    const before = memory();
    for (const [n, name] of people.entries()) {
      const box = store.boxes(scene.of(name))[0]!.key;
      await store.change((writer) => {
        for (let i = 0; i < 2000; i++) {
          const sender = scene.of(people[(n + 1 + i % 20) % 50]!);
          writer.insert(envelopeTo(box, `${n} ${i}`, { sender, passed: true }));
        }
      });
    }
    assertEquals(scene.mailbox.counts().count, 100_000);
    for (const name of people) {
      await scene.open(`${name} 1`);
      assertEquals(scene.fetch(`${name} 1`).length, 16);
    }
    // One says of everything that it is not for now.
    await scene.open("p0 1");
    const words = await scene.drain("p0 1", Verdict.later);
    assertEquals(words.split(" ").filter((word) => word !== "box").length, 2000);
    for (const name of people) {
      assertEquals(
        await scene.code("p0", name, { passed: true }),
        name === "p0" ? DepositCode.noRoom : 0,
      );
    }
    const pages = [...scene.mailbox.mine(scene.of("p1"))];
    assertEquals(pages.length, 8);
    const grown = memory() - before;
    assert(grown < 150, `${Math.round(grown)} MiB`);
    store.close();
  });
});

Deno.test({
  name: "a full disk refuses deposits, tells nobody anything false, and goes on when there is room",
  ignore: !hasTmpfs,
  fn: async () => {
    await withTmpfs(3 * MIB, async (path) => {
      const store = await open(path);
      const scene = new MailboxScene({ store });
      await scene.settleIn("bob 1");
      assertEquals(await scene.code("alice", "bob", { id: "first" }), DepositCode.stored);
      const makeRoom = await fillDisk(path);
      let stored = 1;
      let last = await scene.deposit("alice", "bob", { size: LARGE, passed: true });
      for (; last.code === DepositCode.stored; stored++) {
        last = await scene.deposit("alice", "bob", { size: LARGE, passed: true });
      }
      assertEquals([last.code, last.failure?.code], [DepositCode.full, "local"]);
      assertEquals(scene.mine("alice").length, stored);
      await makeRoom();
      assertEquals(await scene.code("alice", "bob"), DepositCode.stored);
      const words = await scene.drain("bob 1");
      assertEquals(words.split(" ").filter((word) => word === "alice").length, stored + 1);
      store.close();
      const again = await open(path);
      assertEquals(again.counts().count, 0);
      again.close();
    });
  },
});

Deno.test("a budget that is used up refuses envelopes, and lets keys and settlements through", async () => {
  await withFolder(async (path) => {
    const store = await open(path, 2 * MIB);
    const scene = new MailboxScene({ store });
    for (const name of ["bob", "carol"]) await scene.settleIn(`${name} 1`);
    let code: DepositCode = DepositCode.stored;
    while (code === DepositCode.stored) {
      code = await scene.code("alice", "bob", { size: LARGE, passed: true });
    }
    // Its share would have been smaller than the room.
    assertEquals([code, await scene.code("carol", "bob", { size: LARGE })], [
      DepositCode.shareWithThem,
      DepositCode.stored,
    ]);
    while (code !== DepositCode.full) {
      code = await scene.code("alice", "carol", { size: LARGE, passed: true });
      assert(code !== DepositCode.noRoom && code !== DepositCode.shareWithThem, `${code}`);
    }
    assertEquals((await scene.publish("bob", { once: [41, 80], anew: true })).stock, 40);
    assertEquals((await scene.open("dave 1")).state, 1);
    await scene.drain("bob 1");
    assertEquals(await scene.code("alice", "carol", { size: LARGE, passed: true }), 0);
    store.close();
  });
});
