/**
 * The end of a server between any two statements of any change to its mailbox. What a killed process leaves is its
 * files as they are at that moment, so they are copied at each of these moments, and each copy opened.
 */
import { assert, assertEquals } from "@std/assert";
import { DepositState, Verdict } from "../../lib/wire/mailbox_messages.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMailbox } from "../../lib/store/sqlite_mailbox.ts";
import { ManualTime } from "../testkit/clock.ts";
import { MailboxScene } from "../testkit/mailbox_scene.ts";
import { withFolder } from "../testkit/server.ts";
import { asText, Copier } from "./copier.ts";
import { fingerprintOf, idOf } from "./mailbox_samples.ts";

const DAY = 86_400_000;

/** Everything that changes a mailbox: each is one transaction. */
const CHANGES: Readonly<Record<string, (scene: MailboxScene) => Promise<unknown>>> = {
  "a deposit": (scene) => scene.deposit("alice", "bob", { id: "new" }),
  "a deposit of many pages": (scene) =>
    scene.deposit("alice", "bob", { id: "new", size: 58_547, passed: true }),
  "a deposit in the place of others": (scene) =>
    scene.deposit("alice", "bob", { id: "new", replaces: ["1", "3"] }),
  "several deposits at once": (scene) =>
    Promise.all([1, 2, 3].map((n) => scene.deposit(`p${n}`, "bob", { id: "new" }))),
  "a prekey handed out": (scene) => scene.ask("alice", "bob"),
  "a settlement": (scene) => scene.settle("bob 1", scene.fetch("bob 1")),
  "a settlement and a deposit at once": (scene) =>
    Promise.all([
      scene.settle("bob 1", scene.fetch("bob 1"), Verdict.unopened),
      scene.deposit("alice", "bob", { id: "new" }),
    ]),
  "a withdrawal": (scene) => scene.withdraw("alice", ["1", "2", "none"].map(idOf)),
  "prekeys": (scene) => scene.publish("bob", { signed: 9, once: [41, 80], anew: true }),
  "another box": (scene) => scene.open("bob 2", "another"),
  "the same box again, with another pass key": (scene) =>
    scene.open("bob 2", "box", { passKey: new Uint8Array(32) }),
  "a ninth box": async (scene) => await scene.open("carol 9", "9"),
  "a name forgotten": (scene) => scene.mailbox.forget("bob"),
};

async function fill(scene: MailboxScene): Promise<void> {
  for (const name of ["alice", "p1", "p2", "p3"]) await scene.arrive(name);
  await scene.settleIn("bob 1");
  await scene.publish("bob", { once: [2, 1] });
  for (const id of ["1", "2", "3"]) await scene.deposit("alice", "bob", { id });
  await scene.deposit("bob", "bob");
  for (let n = 1; n <= 8; n++) await scene.open(`carol ${n}`, `${n}`);
  await scene.deposit("bob", "carol", { box: "8", id: "hers" });
}

/** All that a mailbox has. */
function contents(store: SqliteMailbox) {
  const people = ["alice", "bob", "carol", "p1", "p2", "p3"];
  const scene = new MailboxScene({ store });
  return people.map((name) => {
    const owner = scene.of(name);
    const left = store.left(owner, 0, 100).map(({ id, place, isPresent }) => {
      return [id, place, isPresent, store.body(place)];
    });
    const boxes = store.boxes(owner);
    const stocks = boxes.map(({ key }) => [store.stock(key), store.waitingIn(key)]);
    return { name, left, boxes, stocks, waiting: store.waitingFor(owner) };
  });
}

async function open(path: string): Promise<SqliteMailbox> {
  const { after } = new ManualTime();
  return await SqliteMailbox.open(await PrivateFolder.open(path), { budget: 2 ** 26, after });
}

for (const [what, change] of Object.entries(CHANGES)) {
  Deno.test(`a server that is killed at any moment of ${what} has all of it or nothing`, async () => {
    await withFolder(async (path) => {
      const home = `${path}/home`;
      const store = await open(home);
      const scene = new MailboxScene({ store });
      await fill(scene);
      const before = contents(store);
      const copier = new Copier(path, home, "mailbox.db");
      await copier.during(() => change(scene));
      // It is over now, and confirmed.
      copier.copy();
      const after = contents(store);
      store.close();
      assert(
        JSON.stringify(after, asText) !== JSON.stringify(before, asText),
        "it changes nothing",
      );
      // BEGIN, at least one change, COMMIT.
      assert(copier.copies >= 2 * (2 * 3 + 1), `${copier.copies}`);
      let done = false;
      for (let n = 0; n < copier.copies; n++) {
        const again = await open(`${path}/${n}`);
        const there = contents(again);
        again.close();
        done ||= JSON.stringify(there, asText) === JSON.stringify(after, asText);
        assertEquals(there, done ? after : before, `copy ${n} of ${copier.copies}`);
      }
      assert(done);
    });
  });
}

Deno.test("a server that is killed while much expires has less of it each time, and goes on where it was", async () => {
  await withFolder(async (path) => {
    const home = `${path}/home`;
    const store = await open(home);
    const scene = new MailboxScene({ store });
    await scene.settleIn("bob 1");
    for (let n = 0; n < 50; n++) {
      await Promise.all(["a", "b", "c"].map((name) => scene.deposit(name, "bob")));
    }
    scene.now += 15 * DAY;
    const copier = new Copier(path, home, "mailbox.db");
    await copier.during(() => scene.mailbox.expire(scene.now));
    store.close();
    let least = 150;
    for (let n = 0; n < copier.copies; n++) {
      const again = await open(`${path}/${n}`);
      const { count, bytes } = again.counts();
      assert(count <= least, `${count} after ${least}`);
      assertEquals([bytes, again.waitingFor(fingerprintOf("nobody")).all.count], [count * 1715, 0]);
      least = count;
      if (n === Math.floor(copier.copies / 2)) {
        const after = new MailboxScene({ store: again });
        await after.mailbox.expire(scene.now);
        assertEquals(again.counts().count, 0);
      }
      again.close();
    }
    assertEquals(least, 0);
  });
});

Deno.test("what was handed out is told after the end of the server, once it is a second old", async () => {
  await withFolder(async (path) => {
    const home = `${path}/home`;
    const time = new ManualTime();
    const store = await SqliteMailbox.open(await PrivateFolder.open(home), {
      budget: 2 ** 26,
      after: time.after,
    });
    const scene = new MailboxScene({ store });
    await scene.settleIn("bob 1");
    for (const id of ["1", "2"]) await scene.deposit("alice", "bob", { id });
    const told = scene.fetch("bob 1");
    await scene.settle("bob 1", told.slice(0, 1));
    time.advance(1000);
    const copier = new Copier(path, home, "mailbox.db");
    copier.copy();
    store.close();
    const again = new MailboxScene({ store: await open(`${path}/0`) });
    assertEquals(again.mine("alice"), [[idOf("2"), DepositState.handedOut]]);
    // And it is handed out again, with all that is known of it.
    again.person("bob");
    await again.open("bob 2");
    assertEquals(again.words("bob 2"), "alice box");
    again.store.close();
  });
});
