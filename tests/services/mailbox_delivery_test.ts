/** What a connection is handed out, in which order and how much of it at a time. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { MailboxDelivery } from "../../lib/services/mailbox_delivery.ts";
import {
  decodeMailboxResponse,
  DepositState,
  encodeMailboxResponse,
  type MailboxResponse,
  Verdict,
} from "../../lib/wire/mailbox_messages.ts";
import type { Box, Envelope } from "../../lib/store/mailbox_store.ts";
import { idOf } from "../store/mailbox_samples.ts";
import { NOW } from "../store/server_samples.ts";
import { TestDisk } from "../testkit/links.ts";
import { LARGE, MailboxScene, type Told } from "../testkit/mailbox_scene.ts";
import { MemoryMailbox } from "../testkit/memory_mailbox.ts";

const DAY = 86_400_000;

async function withBob(options?: ConstructorParameters<typeof MailboxScene>[0]) {
  const scene = new MailboxScene(options);
  await scene.settleIn("bob 1");
  await scene.arrive("alice");
  return scene;
}

function idsOf(told: readonly Told[]): Uint8Array[] {
  return told.flatMap((one) => one.type === "envelope" ? [one.id] : []);
}

Deno.test("in each round every sender has a turn, and what one has left comes in its order", async () => {
  const scene = await withBob();
  scene.mailbox.leave("bob 1");
  for (let n = 1; n <= 5; n++) await scene.deposit("alice", "bob", { id: `alice ${n}` });
  for (let n = 1; n <= 2; n++) await scene.deposit("carol", "bob", { id: `carol ${n}` });
  await scene.deposit("dave", "bob", { id: "dave 1" });
  await scene.open("bob 1");
  const told = scene.fetch("bob 1");
  const order = "alice 1, carol 1, dave 1, alice 2, carol 2, alice 3, alice 4, alice 5";
  assertEquals(idsOf(told), order.split(", ").map(idOf));
  const last = told.at(-1);
  assert(last?.type === "box");
  assertEquals(last.waiting, 8);
});

Deno.test("nobody's hundred stands before another's one", async () => {
  const scene = await withBob();
  scene.mailbox.leave("bob 1");
  for (let n = 0; n < 60; n++) await scene.deposit("mallory", "bob");
  await scene.deposit("alice", "bob");
  await scene.open("bob 1");
  assertEquals(scene.words("bob 1").split(" ").slice(0, 2), ["mallory", "alice"]);
});

Deno.test("what comes while somebody is there is told at once, and that it was all", async () => {
  const scene = await withBob();
  assertEquals(scene.words("bob 1"), "");
  assertEquals((await scene.deposit("alice", "bob")).wake, "bob 1");
  assertEquals(scene.words("bob 1"), "alice box");
  assertEquals(scene.words("bob 1"), "");
  await scene.deposit("alice", "bob");
  await scene.deposit("carol", "bob");
  await scene.deposit("alice", "bob");
  assertEquals(scene.words("bob 1"), "alice carol alice box");
  scene.mailbox.leave("bob 1");
  assertEquals((await scene.deposit("alice", "bob")).wake, undefined);
  assertEquals(scene.words("bob 1"), "");
});

Deno.test("sixteen are handed out and not settled, and one more for each that is", async () => {
  const scene = await withBob();
  for (let n = 0; n < 40; n++) await scene.deposit("alice", "bob", { id: `${n}` });
  const first = scene.fetch("bob 1");
  assertEquals(idsOf(first), Array.from({ length: 16 }, (_, n) => idOf(n)));
  await scene.settle("bob 1", first.slice(3, 4));
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf(16)]);
  // The same once more, and what was never handed out, make no more room.
  await scene.settle("bob 1", first.slice(3, 4));
  await scene.mailbox.settle("bob 1", { type: "settle", settled: [{ id: idOf(30), verdict: 1 }] });
  assertEquals(scene.fetch("bob 1"), []);
  // A verdict that leaves it there makes room as well.
  await scene.settle("bob 1", first.slice(0, 2), Verdict.later);
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf(17), idOf(18)]);
  assertEquals(scene.mailbox.counts().count, 39);
});

Deno.test("no more than 512 KiB are handed out and not settled, to the byte", async () => {
  for (const more of [0, 1]) {
    const scene = await withBob();
    const sizes = [...Array(8).fill(LARGE), 512 * 1024 - 8 * LARGE + more];
    for (const size of sizes) await scene.deposit("alice", "bob", { size, passed: true });
    assertEquals(idsOf(scene.fetch("bob 1")).length, more === 0 ? 9 : 8);
  }
  const scene = await withBob();
  for (let n = 0; n < 12; n++) await scene.deposit("alice", "bob", { size: LARGE, passed: true });
  await scene.deposit("carol", "bob", { size: LARGE });
  const told = scene.fetch("bob 1");
  assertEquals(idsOf(told).length, 8);
  await scene.settle("bob 1", told.slice(0, 1));
  assertEquals(idsOf(scene.fetch("bob 1")).length, 1);
});

Deno.test("room is there at once when something is settled, before the disk has let it go", async () => {
  const disk = new TestDisk();
  const scene = await withBob({ store: new MemoryMailbox({ commit: disk.commit }) });
  for (let n = 0; n < 20; n++) await scene.deposit("alice", "bob", { id: `${n}` });
  const first = scene.fetch("bob 1");
  disk.hold();
  const settling = scene.settle("bob 1", first.slice(0, 2));
  // What is on its way off the disk is not handed out again.
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf(16), idOf(17)]);
  disk.release();
  await settling;
  assertEquals(idsOf(scene.fetch("bob 1")), []);
});

Deno.test("what is not taken now is not offered again over this connection, and is over the next", async () => {
  const scene = await withBob();
  for (const id of ["1", "2", "3"]) await scene.deposit("alice", "bob", { id });
  const told = scene.fetch("bob 1");
  await scene.settle("bob 1", told.slice(0, 1), Verdict.later);
  await scene.settle("bob 1", told.slice(1, 2), Verdict.taken);
  await scene.settle("bob 1", told.slice(2, 3), Verdict.unopened);
  await scene.deposit("alice", "bob", { id: "4" });
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf("4")]);
  scene.mailbox.leave("bob 1");
  await scene.open("bob 2");
  assertEquals(idsOf(scene.fetch("bob 2")), [idOf("1"), idOf("4")]);
});

Deno.test("what was not settled is handed out again over the next connection", async () => {
  const scene = await withBob();
  for (const id of ["1", "2"]) await scene.deposit("alice", "bob", { id });
  const told = scene.fetch("bob 1");
  scene.mailbox.leave("bob 1");
  // Too late: it might be meant for what another connection has been handed.
  await scene.settle("bob 1", told);
  await scene.open("bob 2");
  assertEquals(idsOf(scene.fetch("bob 2")), [idOf("1"), idOf("2")]);
});

Deno.test("whoever opened a box last has it alone", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "1" });
  const told = scene.fetch("bob 1");
  await scene.open("bob 2");
  assertEquals((await scene.deposit("alice", "bob", { id: "2" })).wake, "bob 2");
  assertEquals(scene.words("bob 1"), "");
  await scene.settle("bob 1", told);
  assertEquals(idsOf(scene.fetch("bob 2")), [idOf("1"), idOf("2")]);
  // That the one before ends is nothing to it.
  scene.mailbox.leave("bob 1");
  await scene.deposit("alice", "bob", { id: "3" });
  assertEquals(idsOf(scene.fetch("bob 2")), [idOf("3")]);
});

Deno.test("of two connections that open a box at once the later one has it", async () => {
  const scene = new MailboxScene();
  await Promise.all([scene.open("bob 1"), scene.open("bob 2")]);
  assertEquals((await scene.deposit("alice", "bob")).wake, "bob 2");
});

Deno.test("a connection that ends while its box is opened has nothing", async () => {
  const scene = new MailboxScene();
  const opening = scene.open("bob 1");
  scene.mailbox.leave("bob 1");
  await opening;
  assertEquals((await scene.deposit("alice", "bob")).wake, undefined);
  assertEquals(scene.words("bob 1"), "");
});

Deno.test("a connection has the box that it opened last, and the same one from the beginning", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "1" });
  assertEquals(scene.words("bob 1"), "alice box");
  await scene.open("bob 1");
  assertEquals(scene.words("bob 1"), "alice box");
  await scene.open("bob 1", "another");
  assertEquals(scene.words("bob 1"), "");
  await Promise.all([scene.open("bob 1", "another"), scene.open("bob 1")]);
  assertEquals(scene.words("bob 1"), "alice box");
});

Deno.test("two machines of one person each have their box at once", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "1" });
  await scene.open("bob 2", "another");
  await scene.deposit("alice", "bob", { id: "2", box: "another" });
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf("1")]);
  assertEquals(idsOf(scene.fetch("bob 2")), [idOf("2")]);
});

Deno.test("what replaces something that was not handed out comes in its place", async () => {
  const scene = await withBob();
  scene.mailbox.leave("bob 1");
  for (const id of ["1", "2", "3"]) await scene.deposit("alice", "bob", { id });
  await scene.deposit("alice", "bob", { id: "two", replaces: ["2"] });
  await scene.open("bob 1");
  assertEquals(idsOf(scene.fetch("bob 1")), ["1", "two", "3"].map(idOf));
});

Deno.test("what replaces something that was handed out is handed out as well, and settled by itself", async () => {
  const scene = await withBob();
  for (const id of ["1", "2"]) await scene.deposit("alice", "bob", { id });
  const told = scene.fetch("bob 1");
  assertEquals((await scene.deposit("alice", "bob", { id: "one", replaces: ["1"] })).wake, "bob 1");
  const again = scene.fetch("bob 1");
  assertEquals(idsOf(again), [idOf("one")]);
  // The verdict on the one that is gone does not touch the one that has its place.
  await scene.settle("bob 1", told);
  assertEquals(scene.mine("alice"), [[idOf("one"), DepositState.handedOut]]);
  await scene.settle("bob 1", again);
  assertEquals(scene.mine("alice"), []);
});

Deno.test("what replaces something in a full hand is the next when there is room", async () => {
  const scene = await withBob();
  for (let n = 0; n < 18; n++) await scene.deposit("alice", "bob", { id: `${n}` });
  const told = scene.fetch("bob 1");
  await scene.deposit("alice", "bob", { id: "two", replaces: ["2"] });
  assertEquals(scene.fetch("bob 1"), []);
  await scene.settle("bob 1", told.slice(5));
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf("two"), idOf(16), idOf(17)]);
});

Deno.test("what replaces something that was not taken is offered", async () => {
  const scene = await withBob();
  for (const id of ["1", "2"]) await scene.deposit("alice", "bob", { id });
  await scene.settle("bob 1", scene.fetch("bob 1"), Verdict.later);
  await scene.deposit("alice", "bob", { id: "one", replaces: ["1"] });
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf("one")]);
});

Deno.test("what is withdrawn is handed out no more, and leaves its room when it is settled", async () => {
  const scene = await withBob();
  for (let n = 0; n < 18; n++) await scene.deposit("alice", "bob", { id: `${n}` });
  const told = scene.fetch("bob 1");
  await scene.withdraw("alice", [idOf(0), idOf(16), idOf(99)]);
  assertEquals(idsOf(scene.fetch("bob 1")), []);
  await scene.settle("bob 1", told.slice(0, 1));
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf(17)]);
  assertEquals(scene.mailbox.counts().count, 16);
});

Deno.test("two envelopes of one id are handed out one after the other", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "same" });
  await scene.deposit("mallory", "bob", { id: "same" });
  const [first, none] = scene.fetch("bob 1");
  assert(first?.type === "envelope" && none === undefined);
  await scene.settle("bob 1", [first], Verdict.later);
  const [second] = scene.fetch("bob 1");
  assert(second?.type === "envelope");
  assertEquals([first.sender, second.sender], ["alice", "mallory"]);
  await scene.settle("bob 1", [second]);
  assertEquals([scene.mine("alice").length, scene.mine("mallory").length], [1, 0]);
});

Deno.test("what somebody left whom the server does not know any more stays where it is", async () => {
  const scene = await withBob();
  scene.mailbox.leave("bob 1");
  await scene.deposit("alice", "bob");
  await scene.deposit("carol", "bob");
  const alice = scene.names.keyWith(scene.of("alice"))!;
  scene.names.forget("alice");
  await scene.open("bob 1");
  assertEquals(scene.words("bob 1"), "carol box");
  scene.names.putKey(alice);
  await scene.open("bob 2");
  assertEquals(scene.words("bob 2"), "alice carol box");
  // Nor without the claim that comes with a box.
  const [box] = scene.store.boxes(alice.fingerprint);
  await scene.store.change((writer) => writer.remove(box!.key));
  await scene.open("bob 3");
  assertEquals(scene.words("bob 3"), "carol box");
});

Deno.test("a sender is told what waits, what was handed out and what waits in another box", async () => {
  const scene = await withBob();
  for (const id of ["1", "2", "3", "4"]) await scene.deposit("alice", "bob", { id });
  const told = scene.fetch("bob 1");
  await scene.settle("bob 1", told.slice(0, 1));
  await scene.settle("bob 1", told.slice(1, 2), Verdict.later);
  await scene.deposit("alice", "bob", { id: "four", replaces: ["4"] });
  const { waits, handedOut, elsewhere } = DepositState;
  const expected = [[idOf("2"), handedOut], [idOf("3"), handedOut], [idOf("four"), waits]] as const;
  assertEquals(scene.mine("alice"), [...expected]);
  assertEquals(scene.mine("zoe"), []);
  await scene.open("bob 2", "another");
  assertEquals(scene.mine("alice"), expected.map(([id]) => [id, elsewhere] as const));
});

Deno.test("what a sender has left is told 250 at a time", async () => {
  for (const count of [0, 1, 249, 250, 251, 500, 501]) {
    const scene = await withBob();
    const box = scene.store.boxes(scene.of("bob"))[0]!.key;
    const sender = scene.of("alice");
    await scene.store.change((writer) => {
      for (let n = 0; n < count; n++) {
        const body = new Uint8Array(1);
        writer.insert({ id: idOf(n), sender, box, passed: false, since: NOW, body });
      }
    });
    const pages = [...scene.mailbox.mine(sender)];
    assertEquals(pages.length, Math.max(1, Math.ceil(count / 250)), `${count}`);
    assertEquals(pages.map(({ more }) => more), pages.map((_, n) => n < pages.length - 1 ? 1 : 0));
    assertEquals(
      pages.flatMap(({ deposits }) => deposits.map(({ id }) => id)),
      Array.from({ length: count }, (_, n) => idOf(n)),
    );
  }
});

Deno.test("an envelope is kept for fourteen days, and not a moment longer", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "1" });
  await scene.deposit("alice", "bob", { id: "2" });
  await scene.settle("bob 1", scene.fetch("bob 1"), Verdict.later);
  scene.now += 14 * DAY;
  await scene.mailbox.expire(scene.now);
  assertEquals(scene.mine("alice").length, 2);
  // What replaces it is as new as it is.
  await scene.deposit("alice", "bob", { id: "two", replaces: ["2"] });
  scene.now += 1;
  await scene.mailbox.expire(scene.now);
  assertEquals(scene.mine("alice").map(([id]) => id), [idOf("two")]);
  assertEquals(idsOf(scene.fetch("bob 1")), [idOf("two")]);
});

Deno.test("a settlement that the disk does not take is told, and made good over the next connection", async () => {
  const disk = new TestDisk();
  const scene = await withBob({ store: new MemoryMailbox({ commit: disk.commit }) });
  await scene.deposit("alice", "bob", { id: "1" });
  const told = scene.fetch("bob 1");
  disk.full = true;
  await assertRejects(() => scene.settle("bob 1", told), CifraError, "full");
  await assertRejects(() => scene.withdraw("alice", [idOf("1")]), CifraError);
  disk.full = false;
  assertEquals(scene.fetch("bob 1"), []);
  await scene.open("bob 2");
  const again = scene.fetch("bob 2");
  assertEquals(idsOf(again), [idOf("1")]);
  await scene.settle("bob 2", again);
  assertEquals(scene.mailbox.counts().count, 0);
});

Deno.test("what is gone is not remembered, whoever took it away", async () => {
  const store = new MemoryMailbox();
  const scene = await withBob({ store });
  for (let n = 0; n < 6; n++) await scene.deposit("alice", "bob", { id: `${n}` });
  const [{ key, owner }] = store.boxes(scene.of("bob")) as [Box];
  const delivery = new MailboxDelivery(store, key, owner);
  const told: Envelope[] = [];
  for (let one; (one = delivery.next(() => true)) && one !== "full";) told.push(one);
  assertEquals([told.length, delivery.size], [6, 6]);
  delivery.settle(told[0]!.id);
  assertEquals(delivery.size, 6);
  delivery.left(told[0]!.place, told[0]!.id);
  assertEquals(delivery.size, 5);
  // Another one at its place is none of its.
  delivery.settle(told[1]!.id);
  delivery.left(told[1]!.place, idOf("another"));
  assertEquals(delivery.size, 5);
  await scene.withdraw("alice", [told[1]!.id, told[2]!.id]);
  delivery.refresh();
  assertEquals(delivery.size, 4);
  delivery.settle(told[2]!.id);
  assertEquals(delivery.size, 3);
});

Deno.test("all that is answered has its place on the wire", async () => {
  const scene = await withBob();
  const ask = { type: "ask", name: "bob", pass: scene.pass("alice") } as const;
  const asked = await scene.mailbox.ask(scene.person("alice"), ask, scene.now);
  const id = idOf(1), replaces = [] as const, envelope = new Uint8Array(1715);
  const deposit = { id, name: "bob", box: idOf("box"), pass: ask.pass, replaces, envelope };
  const left = await scene.mailbox.deposit(
    scene.person("alice"),
    { type: "deposit", ...deposit },
    scene.now,
  );
  const answers: MailboxResponse[] = [
    asked.answer,
    left.answer,
    ...scene.mailbox.mine(scene.of("alice")),
  ];
  answers.push(...scene.fetch("bob 1"));
  assertEquals(answers.map(({ type }) => type), ["keys", "deposited", "mine", "envelope", "box"]);
  for (const answer of answers) {
    assertEquals(decodeMailboxResponse(encodeMailboxResponse(answer)), answer);
  }
});

Deno.test("everything is handed out once over one connection, in each sender's order, whatever comes meanwhile", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  let state = seed;
  const below = (n: number) =>
    (state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 >>> 0) % n;
  const scene = await withBob();
  const senders = ["alice", "carol", "dave", "eve"];
  const waiting = new Map<string, string>();
  const seen: string[] = [];
  let count = 0;
  const take = async () => {
    const told = scene.fetch("bob 1");
    for (const one of told) {
      if (one.type !== "envelope") continue;
      const key = one.id.toHex();
      assert(waiting.has(key), `${key} is not there any more`);
      seen.push(key);
    }
    const settled = told.filter((one) => one.type === "envelope" && below(3) > 0);
    for (const one of settled) {
      const taken = below(2) === 0;
      await scene.settle("bob 1", [one], taken ? Verdict.taken : Verdict.later);
      if (taken && one.type === "envelope") waiting.delete(one.id.toHex());
    }
    return told.length > 0;
  };
  for (let step = 0; step < 600; step++) {
    const name = senders[below(4)]!;
    const mine = scene.mine(name).map(([id]) => id.toHex());
    const old = mine[below(mine.length || 1)];
    switch (below(4)) {
      case 0:
      case 1: {
        const id = `${count++}`;
        if (await scene.code(name, "bob", { id, passed: true }) === 0) {
          waiting.set(idOf(id).toHex(), name);
        }
        break;
      }
      case 2: {
        if (!old) break;
        await scene.withdraw(name, [Uint8Array.fromHex(old)]);
        waiting.delete(old);
        break;
      }
      default:
        await take();
    }
  }
  assertEquals(seen.length, new Set(seen).size);
  // And what was not settled or taken comes over the next connection, without any more.
  await scene.open("bob 2");
  const rest: string[] = [];
  for (let told; (told = scene.fetch("bob 2")).length > 0;) {
    rest.push(...idsOf(told).map((id) => id.toHex()));
    await scene.settle("bob 2", told);
  }
  assertEquals(rest.toSorted(), [...waiting.keys()].toSorted());
  assertEquals(scene.mailbox.counts().count, 0);
});
