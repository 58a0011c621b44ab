/** Boxes, their prekeys, and who is given them. */
import { assertEquals, assertRejects } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { BoxState } from "../../lib/wire/mailbox_messages.ts";
import { CLAIM_LIFETIME, CLAIM_RENEWAL } from "../../lib/limits.ts";
import type { NameClaim } from "../../lib/wire/name_claim.ts";
import { boxOf, idOf, prekeyOf, prekeysOf } from "../store/mailbox_samples.ts";
import { NOW } from "../store/server_samples.ts";
import { TestDisk } from "../testkit/links.ts";
import { assertStanding, MailboxScene } from "../testkit/mailbox_scene.ts";
import { MemoryMailbox } from "../testkit/memory_mailbox.ts";

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

Deno.test("a box that is opened for the first time has nothing", async () => {
  const scene = new MailboxScene();
  assertEquals(await scene.open("bob 1"), {
    type: "box",
    state: BoxState.open,
    signed: 0n,
    next: 0n,
    highest: 0n,
    stock: 0,
    waiting: 0,
    elsewhere: 0,
    now: BigInt(NOW),
  });
  assertEquals((await scene.ask("alice", "bob")).found, undefined);
});

Deno.test("a box tells what was published in it, also when it is opened again", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  const expected = { state: BoxState.open, signed: 7n, next: 1n, highest: 40n, stock: 40 };
  assertStanding(await scene.publish("bob", { signed: 7 }), expected);
  assertEquals((await scene.ask("alice", "bob")).found, {
    bundle: scene.names.keyWith(scene.of("bob"))!.bundle,
    claim: boxOf("box").claim,
    box: idOf("box"),
    signed: prekeyOf(7),
    once: prekeyOf(1),
  });
  await scene.deposit("alice", "bob");
  scene.mailbox.leave("bob 1");
  assertStanding(await scene.open("bob 2"), { ...expected, next: 2n, stock: 39, waiting: 1 });
});

Deno.test("a box that is opened beside the present one says so until a higher signed prekey is there", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1", "old", 5);
  await scene.deposit("alice", "bob", { box: "old" });
  const other = { state: BoxState.moved, waiting: 0, elsewhere: 1 };
  assertStanding(await scene.open("bob 2", "new"), { ...other, signed: 0n, highest: 0n });
  assertEquals((await scene.ask("alice", "bob")).found, undefined);
  // A program that was cut off before it published is told again.
  scene.mailbox.leave("bob 2");
  assertStanding(await scene.open("bob 2", "new"), other);
  // Lower than one that senders know: they would refuse it.
  const lower = await scene.publish("bob", { box: "new", signed: 5 });
  assertStanding(lower, { ...other, state: BoxState.open, signed: 5n });
  assertStanding(await scene.publish("bob", { box: "new", signed: 9, once: [41, 40] }), {
    ...other,
    state: BoxState.open,
    signed: 9n,
  });
  assertEquals((await scene.ask("alice", "bob")).found?.box, idOf("new"));
  // And the old machine comes back.
  assertStanding(await scene.open("bob 1", "old"), {
    state: BoxState.moved,
    signed: 5n,
    waiting: 1,
    elsewhere: 0,
  });
  assertEquals((await scene.ask("zoe", "bob")).found, undefined);
  await scene.publish("bob", { box: "old", signed: 10, once: [2, 1] });
  assertEquals((await scene.ask("carol", "bob")).found?.signed.number, 10n);
});

Deno.test("a claim is checked when there is none that holds for long, and the one that was checked is told", async () => {
  const scene = new MailboxScene();
  const checked: bigint[] = [];
  const check = (claim: NameClaim) => Promise.resolve(void checked.push(claim.sequence));
  const claimed = async () => (await scene.ask("alice", "bob")).found?.claim.sequence;
  await scene.open("bob 1", "box", { sequence: 1n, check });
  await scene.publish("bob", { signed: 1 });
  assertEquals([checked, await claimed()], [[1n], 1n]);
  // In the other box as well, since it says the same.
  await scene.open("bob 1", "box", { sequence: 2n, check });
  await scene.open("bob 2", "another", { sequence: 3n, check });
  await scene.publish("bob", { box: "another", signed: 2 });
  assertEquals([checked, await claimed()], [[1n], 1n]);
  scene.now += CLAIM_LIFETIME - CLAIM_RENEWAL - 1;
  await scene.open("bob 2", "another", { sequence: 4n, check });
  assertEquals(checked, [1n]);
  scene.now += 1;
  await scene.open("bob 2", "another", { sequence: 5n, check });
  await scene.publish("bob", { box: "another", signed: 3, once: [2, 1] });
  assertEquals([checked, await claimed()], [[1n, 5n], 5n]);
  // And a letter of bob's has it, from whichever box.
  await scene.settleIn("alice 1");
  await scene.deposit("bob", "alice");
  const [letter] = scene.fetch("alice 1");
  assertEquals(letter?.type === "envelope" && letter.claim.sequence, 5n);
});

Deno.test("whose claim does not hold has no box", async () => {
  const scene = new MailboxScene();
  const check = () => Promise.reject(new CifraError("auth_failed", "The claim does not hold"));
  const error = await assertRejects(() => scene.open("bob 1", "box", { check }), CifraError);
  assertEquals([error.code, scene.mailbox.counts().boxes], ["auth_failed", 0]);
  assertEquals(scene.words("bob 1"), "");
});

Deno.test("of boxes in which nothing was published the one that was opened last is told that another was", async () => {
  const scene = new MailboxScene();
  assertStanding(await scene.open("bob 1", "one"), { state: BoxState.open });
  assertStanding(await scene.open("bob 1", "one"), { state: BoxState.open });
  assertStanding(await scene.open("bob 2", "two"), { state: BoxState.moved });
});

Deno.test("a person has eight boxes, and the ninth takes the place of the one that was not used for longest", async () => {
  const scene = new MailboxScene();
  for (let n = 1; n <= 8; n++) {
    await scene.open(`bob ${n}`, `${n}`);
    await scene.deposit("alice", "bob", { box: `${n}` });
    scene.now++;
  }
  await scene.open("bob 1", "1");
  const boxes = () => scene.store.boxes(scene.of("bob")).length;
  assertEquals([boxes(), scene.mailbox.counts().count], [8, 8]);
  assertStanding(await scene.open("bob 9", "9"), { elsewhere: 7 });
  assertEquals(boxes(), 8);
  // It was the second, and nobody has it any more.
  assertEquals(scene.words("bob 2"), "");
  assertEquals(scene.words("bob 3"), "alice box");
  assertEquals(scene.mine("alice").length, 7);
});

Deno.test("a server without room for another box has no mailbox for it, and has for those that are there", async () => {
  const store = new MemoryMailbox({ budget: 0 });
  const scene = new MailboxScene({ store });
  const { state } = await scene.open("bob 1");
  assertEquals([state, scene.mailbox.counts().boxes], [BoxState.none, 0]);
  await store.change((writer) => writer.open(scene.of("bob"), boxOf("box"), NOW));
  assertStanding(await scene.open("bob 1"), { state: BoxState.open });
  // Nor is there room for one-time prekeys; the signed one has its place in the box.
  assertStanding(await scene.publish("bob", { signed: 3 }), { signed: 3n, stock: 0, highest: 0n });
});

Deno.test("forty one-time prekeys are kept and not one more", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  const tooMany = () => assertRejects(() => scene.publish("bob", { once: [1, 41] }), CifraError);
  assertEquals((await tooMany()).code, "bad_frame");
  assertStanding(await scene.publish("bob", { signed: 1, once: [1, 40] }), { stock: 40 });
  await assertRejects(() => scene.publish("bob", { once: [41, 41] }), CifraError);
  // What is refused changes nothing, even where earlier ones were to go.
  await assertRejects(() => scene.publish("bob", { once: [41, 81], anew: true }), CifraError);
  await scene.once("alice", "bob");
  assertStanding(await scene.publish("bob", { once: [41, 41] }), { stock: 40, next: 2n });
  assertStanding(await scene.publish("bob", { once: [42, 81], anew: true }), {
    stock: 40,
    next: 42n,
    highest: 81n,
  });
});

Deno.test("a number that was published is never published again, whatever became of it", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  await scene.publish("bob", { signed: 7, once: [1, 3] });
  assertEquals(await scene.once("alice", "bob", scene.pass("alice")), 1);
  // The answer was lost: the same once more changes nothing.
  const same = { signed: 7n, stock: 2, next: 2n, highest: 3n };
  assertStanding(await scene.publish("bob", { signed: 7, once: [1, 3] }), same);
  assertStanding(await scene.publish("bob", { signed: 6, once: [1, 1] }), same);
  const odd = [5, 4, 5, 0].map(prekeyOf);
  const publish = { type: "publish", box: idOf("box"), anew: 0, signed: [], once: odd } as const;
  assertStanding(await scene.mailbox.publish(scene.of("bob"), publish, NOW), {
    stock: 3,
    highest: 5n,
  });
  assertStanding(await scene.publish("bob", { once: [1, 5], anew: true }), { stock: 0 });
});

Deno.test("the numbers of prekeys go up to the highest that there is", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  const last = prekeyOf(2n ** 64n - 1n);
  const one = { signed: [last], once: [last] };
  const publish = { type: "publish", box: idOf("box"), anew: 0, ...one } as const;
  assertStanding(await scene.mailbox.publish(scene.of("bob"), publish, NOW), {
    signed: last.number,
    next: last.number,
    highest: last.number,
  });
});

Deno.test("nothing is published in a box that is not there, or is another's", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  for (const [name, box] of [["bob", "another"], ["mallory", "box"]] as const) {
    const error = await assertRejects(() => scene.publish(name, { box, signed: 1 }), CifraError);
    assertEquals(error.code, "bad_state");
  }
});

Deno.test("one-time prekeys are handed out in their order, each once, also to those who ask at once", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  const askers = Array.from({ length: 20 }, (_, n) => `asker-${n}`);
  const numbers = await Promise.all(
    askers.map((name) => scene.once(name, "bob", scene.pass(name))),
  );
  assertEquals(numbers, askers.map((_, n) => n + 1));
});

Deno.test("when the one-time prekeys are used up the signed one is handed out alone", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  await scene.publish("bob", { signed: 1, once: [1, 1] });
  assertEquals(await scene.once("alice", "bob", scene.pass("alice")), 1);
  const { found } = await scene.ask("zoe", "bob", scene.pass("zoe"));
  assertEquals([found?.signed.number, found?.once], [1n, undefined]);
});

Deno.test("strangers who drain the one-time prekeys get ten in an hour, and friends get theirs (M7)", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  const strangers: (number | undefined)[] = [];
  for (let n = 0; n < 20; n++) strangers.push(await scene.once(`stranger-${n}`, "bob"));
  assertEquals(strangers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...Array(10).fill(undefined)]);
  assertEquals(await scene.once("alice", "bob", scene.pass("alice")), 11);
  scene.now += HOUR - 1;
  assertEquals(await scene.once("late", "bob"), undefined);
  scene.now += 1;
  assertEquals(await scene.once("later", "bob"), 12);
  // Of another person there are as many.
  await scene.settleIn("carol 1", "hers");
  assertEquals(await scene.once("stranger-0", "carol"), 1);
});

Deno.test("the last ten one-time prekeys are for friends", async () => {
  const scene = new MailboxScene();
  await scene.open("bob 1");
  await scene.publish("bob", { signed: 1, once: [1, 11] });
  assertEquals(await scene.once("mallory", "bob"), 1);
  assertEquals(await scene.once("zoe", "bob"), undefined);
  for (let n = 2; n <= 11; n++) {
    assertEquals(await scene.once(`friend-${n}`, "bob", scene.pass(`friend-${n}`)), n);
  }
  assertEquals(await scene.once("alice", "bob", scene.pass("alice")), undefined);
});

Deno.test("the same person is asked for once in ten minutes, be there anybody of that name or not", async () => {
  const scene = new MailboxScene({ quotas: true });
  await scene.settleIn("bob 1");
  for (const name of ["bob", "nobody"]) {
    assertEquals((await scene.ask("alice", name)).retryAfter, 0);
    const again = { found: undefined, retryAfter: 600, wake: undefined };
    assertEquals(await scene.ask("alice", name, scene.pass("alice")), again);
  }
  assertEquals((await scene.ask("zoe", "bob")).retryAfter, 0);
  scene.now += 10 * MINUTE - 1;
  assertEquals((await scene.ask("alice", "bob")).retryAfter, 1);
  scene.now += 1;
  assertEquals((await scene.ask("alice", "bob")).found?.once?.number, 3n);
});

Deno.test("nobody asks for more than twenty in an hour, and what is refused does not count", async () => {
  const scene = new MailboxScene({ quotas: true });
  await scene.settleIn("bob 1");
  for (let n = 0; n < 20; n++) {
    assertEquals((await scene.ask("alice", `name-${n}`)).retryAfter, 0);
    scene.now += SECOND;
  }
  const refused = { found: undefined, retryAfter: 3580, wake: undefined };
  for (let n = 0; n < 3; n++) assertEquals(await scene.ask("alice", "bob"), refused);
  assertEquals((await scene.ask("zoe", "bob")).retryAfter, 0);
  scene.now += 3580 * SECOND;
  assertEquals((await scene.ask("alice", "bob")).found?.box, idOf("box"));
  assertEquals((await scene.ask("alice", "carol")).retryAfter, 1);
});

Deno.test("an owner is told when fewer than twenty one-time prekeys are left, once", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  await scene.publish("bob", { once: [41, 61], anew: true });
  assertEquals(scene.words("bob 1"), "");
  const wakes: (string | undefined)[] = [];
  for (let n = 0; n < 4; n++) {
    const name = `friend-${n}`;
    wakes.push((await scene.ask(name, "bob", scene.pass(name))).wake);
  }
  assertEquals(wakes, [undefined, "bob 1", undefined, undefined]);
  const [told] = scene.fetch("bob 1");
  assertEquals(told?.type === "box" && told.stock, 17);
  // Whoever is not there learns it when the box is opened.
  scene.mailbox.leave("bob 1");
  await scene.ask("alice", "bob", scene.pass("alice"));
  assertStanding(await scene.open("bob 1"), { stock: 16 });
});

Deno.test("a signed prekey is handed out for sixty days, and not a moment longer", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  scene.now += 60 * DAY;
  await scene.open("bob 1");
  assertEquals((await scene.ask("alice", "bob")).found?.signed.number, 1n);
  scene.now += 1;
  assertEquals((await scene.ask("alice", "bob")).found, undefined);
  await scene.publish("bob", { signed: 2, once: [2, 1] });
  assertEquals((await scene.ask("alice", "bob")).found?.signed.number, 2n);
});

Deno.test("nothing is handed out that the disk has not let go", async () => {
  const disk = new TestDisk();
  const scene = new MailboxScene({ store: new MemoryMailbox({ commit: disk.commit }) });
  await scene.settleIn("bob 1");
  disk.full = true;
  await assertRejects(() => scene.ask("alice", "bob"), CifraError, "The disk is full");
  await assertRejects(() => scene.publish("bob", { signed: 2, once: [41, 41] }), CifraError);
  await assertRejects(() => scene.open("bob 2", "another"), CifraError);
  disk.full = false;
  assertEquals(await scene.once("alice", "bob"), 1);
  assertEquals(scene.mailbox.counts().boxes, 1);
});

Deno.test("a box that is not opened for sixty days goes with what is in it, unless somebody has it", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  await scene.settleIn("carol 1", "hers");
  scene.mailbox.leave("bob 1");
  for (let day = 0; day < 60; day++) {
    scene.now += DAY;
    await scene.mailbox.expire(scene.now);
  }
  assertEquals(scene.mailbox.counts().boxes, 2);
  await scene.deposit("carol", "bob");
  scene.now += 1;
  await scene.mailbox.expire(scene.now);
  assertEquals(scene.mailbox.counts(), { boxes: 1, count: 0, bytes: 0 });
  // Carol has been there all the time; that counts from now on.
  scene.mailbox.leave("carol 1");
  scene.now += 60 * DAY;
  await scene.mailbox.expire(scene.now);
  assertEquals(scene.mailbox.counts().boxes, 1);
  scene.now += 1;
  await scene.mailbox.expire(scene.now);
  assertEquals(scene.mailbox.counts().boxes, 0);
});

Deno.test("who is forgotten has no boxes, has left nothing, and is told nothing more", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  await scene.settleIn("carol 1", "hers");
  await scene.deposit("alice", "bob");
  await scene.deposit("bob", "carol", { box: "hers" });
  await scene.deposit("alice", "carol", { box: "hers" });
  await scene.mailbox.forget("bob");
  scene.names.forget("bob");
  // Carol's box, and the one of alice.
  assertEquals(scene.mailbox.counts(), { boxes: 2, count: 1, bytes: 1715 });
  assertEquals([scene.words("bob 1"), scene.words("carol 1")], ["", "alice box"]);
  // Whoever has the name next has nothing of it.
  const key = {
    ...scene.names.keyWith(scene.of("alice"))!,
    name: "bob",
    fingerprint: "ab".repeat(32),
  };
  scene.names.putKey(key);
  const { claim: { sequence, notAfter, signature }, passKey } = boxOf("box");
  const open = { type: "open", box: idOf("box"), passKey, notAfter, signature } as const;
  const check = () => Promise.resolve();
  const standing = await scene.mailbox.open("new", key.fingerprint, open, sequence, check, NOW);
  assertStanding(standing, { signed: 0n, stock: 0, waiting: 0, elsewhere: 0 });
  await scene.mailbox.forget("nobody");
});

Deno.test("an hour of many boxes and envelopes that are over is cleared in small steps", async () => {
  let changes = 0;
  const store = new MemoryMailbox({
    commit: async (work) => {
      await Promise.resolve();
      changes++;
      work();
    },
  });
  const scene = new MailboxScene({ store });
  for (let n = 0; n < 10; n++) await scene.settleIn(`p${n} 1`);
  for (let n = 0; n < 200; n++) await scene.deposit(`p${n % 10}`, `p${(n + 1) % 10}`);
  for (let n = 0; n < 10; n++) scene.mailbox.leave(`p${n} 1`);
  scene.now += 61 * DAY;
  changes = 0;
  await scene.mailbox.expire(scene.now);
  assertEquals(scene.mailbox.counts(), { boxes: 0, count: 0, bytes: 0 });
  // Those that are in use, 64 and 64 and 64 and 8 envelopes, 8 and 2 boxes.
  assertEquals(changes, 1 + 4 + 2);
});

Deno.test("prekeys lie as they came", async () => {
  const scene = new MailboxScene();
  await scene.settleIn("bob 1");
  const [first] = prekeysOf(1, 1);
  assertEquals((await scene.ask("alice", "bob")).found?.once, first);
});
