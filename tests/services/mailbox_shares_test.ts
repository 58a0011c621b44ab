/** Who may leave how much for whom, to the byte, and what is said where there is no room. */
import { assertEquals } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { DepositCode, Verdict } from "../../lib/wire/mailbox_messages.ts";
import type { MailboxStore } from "../../lib/store/mailbox_store.ts";
import { boxOf, envelopeTo, fingerprintOf, idOf, passKeyOf } from "../store/mailbox_samples.ts";
import { NOW } from "../store/server_samples.ts";
import { MemoryMailbox } from "../testkit/memory_mailbox.ts";
import { TestDisk } from "../testkit/links.ts";
import { LARGE, MailboxScene, NONE, SMALL } from "../testkit/mailbox_scene.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const { stored, noRoom, shareWithThem, share, tooFast, full, moved } = DepositCode;

/** Bob has a box. */
async function withBob(options?: ConstructorParameters<typeof MailboxScene>[0]) {
  const scene = new MailboxScene(options);
  await scene.settleIn("bob 1");
  await scene.arrive("alice");
  return scene;
}

/** So many envelopes wait in bob's box already, so large together, from whomever. */
async function fill(
  scene: MailboxScene,
  { count, bytes, passed, from, to = "bob" }: {
    readonly count: number;
    readonly bytes: number;
    readonly passed: boolean;
    readonly from?: string;
    readonly to?: string;
  },
): Promise<void> {
  const box = scene.store.boxes(scene.of(to))[0]!.key;
  await scene.store.change((writer) => {
    for (let n = 0; n < count; n++) {
      // The last one makes the sum right.
      const size = n === count - 1 ? bytes - n : 1;
      const sender = from === undefined ? fingerprintOf(`somebody ${n}`) : scene.of(from);
      const body = new Uint8Array(size);
      writer.insert(envelopeTo(box, `filled ${n}`, { sender, passed, body }));
    }
  });
}

Deno.test("an envelope that is stored waits until its recipient has taken it", async () => {
  const scene = await withBob();
  assertEquals(await scene.deposit("alice", "bob", { id: "one" }), {
    code: stored,
    retryAfter: 0,
    wake: "bob 1",
  });
  assertEquals(scene.mailbox.counts(), { boxes: 2, count: 1, bytes: SMALL });
  const told = scene.fetch("bob 1");
  assertEquals(told[0], {
    type: "envelope",
    id: idOf("one"),
    sender: "alice",
    bundle: scene.names.keyWith(scene.of("alice"))!.bundle,
    claim: boxOf("of alice").claim,
    since: BigInt(NOW),
    envelope: new Uint8Array(SMALL).fill(3),
  });
  await scene.settle("bob 1", told);
  assertEquals(scene.mailbox.counts(), { boxes: 2, count: 0, bytes: 0 });
});

/** What waits already, and the size of one more that finds room beside it; one byte more does not. */
interface Edge {
  readonly what: string;
  readonly fill: Parameters<typeof fill>[1];
  readonly passed: boolean;
  readonly code: DepositCode;
}

const STRANGER = { passed: false, from: "alice" } as const;
const FRIEND = { passed: true, from: "alice" } as const;
const BYTES: readonly Edge[] = [
  {
    what: "a stranger's share with a person",
    fill: { ...STRANGER, count: 2, bytes: 256 * KIB - SMALL },
    passed: false,
    code: shareWithThem,
  },
  {
    what: "a friend's share with a person",
    fill: { ...FRIEND, count: 2, bytes: MIB - SMALL },
    passed: true,
    code: shareWithThem,
  },
  {
    what: "the share of strangers with a person",
    fill: { passed: false, count: 100, bytes: 2 * MIB - SMALL },
    passed: false,
    code: noRoom,
  },
  {
    what: "the share of a person, for a friend",
    fill: { passed: true, count: 100, bytes: 8 * MIB - SMALL },
    passed: true,
    code: noRoom,
  },
  {
    what: "the share of a person, for a stranger",
    fill: { passed: true, count: 100, bytes: 8 * MIB - SMALL },
    passed: false,
    code: noRoom,
  },
];

for (const { what, fill: before, passed, code } of BYTES) {
  Deno.test(`${what} is used up to the byte`, async () => {
    const scene = await withBob();
    await fill(scene, before);
    assertEquals(await scene.code("alice", "bob", { size: SMALL + 1, passed }), code);
    assertEquals(await scene.code("alice", "bob", { size: SMALL, passed }), stored);
    assertEquals(await scene.code("alice", "bob", { size: 1, passed }), code);
  });
}

const COUNTS: readonly Edge[] = [
  {
    what: "a stranger's share with a person",
    fill: { ...STRANGER, count: 63, bytes: 63 },
    passed: false,
    code: shareWithThem,
  },
  {
    what: "a friend's share with a person",
    fill: { ...FRIEND, count: 255, bytes: 255 },
    passed: true,
    code: shareWithThem,
  },
  {
    what: "the share of strangers with a person",
    fill: { passed: false, count: 511, bytes: 511 },
    passed: false,
    code: noRoom,
  },
  {
    what: "the share of a person",
    fill: { passed: true, count: 2047, bytes: 2047 },
    passed: true,
    code: noRoom,
  },
];

for (const { what, fill: before, passed, code } of COUNTS) {
  Deno.test(`${what} is used up to the last envelope, and is there again when one goes`, async () => {
    const scene = await withBob();
    await fill(scene, before);
    assertEquals(await scene.code("alice", "bob", { id: "last", passed }), stored);
    assertEquals(await scene.code("alice", "bob", { passed }), code);
    await scene.withdraw("alice", [idOf("last")]);
    assertEquals(await scene.code("alice", "bob", { passed }), stored);
  });
}

Deno.test("strangers cannot shut friends out, nor one stranger all the others", async () => {
  const scene = await withBob();
  await fill(scene, { passed: false, count: 512, bytes: 2 * MIB });
  assertEquals(await scene.code("alice", "bob"), noRoom);
  assertEquals(await scene.code("alice", "bob", { passed: true }), stored);
  const other = await withBob();
  for (let n = 0; n < 64; n++) assertEquals(await other.code("mallory", "bob"), stored);
  assertEquals(await other.code("mallory", "bob"), shareWithThem);
  assertEquals(await other.code("alice", "bob"), stored);
});

Deno.test("what is left for one person in several boxes is one share", async () => {
  const scene = await withBob();
  for (let n = 0; n < 64; n++) await scene.deposit("alice", "bob");
  await scene.open("bob 2", "another");
  assertEquals(await scene.code("alice", "bob", { box: "another" }), shareWithThem);
});

Deno.test("one sender's share of the server is used up to the byte, whoever it is for", async () => {
  const scene = await withBob();
  for (const [n, name] of ["bob", "carol", "dave"].entries()) {
    if (n > 0) await scene.settleIn(`${name} 1`);
    const bytes = [8 * MIB, 7 * MIB, MIB - SMALL][n]!;
    await fill(scene, { passed: true, count: 3, bytes, from: "alice", to: name });
  }
  await scene.settleIn("eve 1");
  assertEquals(await scene.code("alice", "eve", { size: SMALL + 1 }), share);
  // Of somebody whom nobody knows the same is said.
  assertEquals(await scene.code("alice", "nobody", { size: SMALL + 1 }), share);
  assertEquals(await scene.code("alice", "eve", { size: SMALL }), stored);
  assertEquals(await scene.code("alice", "eve", { size: 1 }), share);
  assertEquals(await scene.code("zoe", "eve"), stored);
});

Deno.test("a pass is good for whom it was made and at the box that it is for, and for nobody else", async () => {
  const scene = await withBob();
  await fill(scene, { passed: false, count: 512, bytes: 512 });
  const flipped = scene.pass("alice");
  flipped[15]! ^= 1;
  const bad = [NONE, scene.pass("mallory"), scene.pass("alice", "another"), flipped];
  for (const pass of bad) assertEquals(await scene.code("alice", "bob", { pass }), noRoom);
  assertEquals(await scene.code("alice", "bob", { pass: scene.pass("alice") }), stored);
  // Whoever chooses another pass key takes all passes back.
  await scene.open("bob 1", "box", { passKey: passKeyOf("new") });
  assertEquals(await scene.code("alice", "bob", { pass: scene.pass("alice") }), noRoom);
});

Deno.test("nobody leaves more than sixty envelopes at once, and then one a second", async () => {
  const scene = await withBob({ quotas: true });
  const limited = { code: tooFast, retryAfter: 1, wake: undefined };
  for (let n = 0; n < 60; n++) assertEquals(await scene.code("alice", "bob"), stored);
  assertEquals(await scene.deposit("alice", "bob"), limited);
  assertEquals(await scene.deposit("alice", "nobody"), limited);
  assertEquals(await scene.code("zoe", "bob"), stored);
  scene.now += 999;
  assertEquals(await scene.deposit("alice", "bob"), limited);
  scene.now += 1;
  assertEquals(await scene.code("alice", "bob"), stored);
  assertEquals(await scene.code("alice", "bob"), tooFast);
  // Also those that are refused are counted.
  for (let n = 0; n < 60; n++) assertEquals(await scene.code("mallory", "nobody"), noRoom);
  assertEquals(await scene.code("mallory", "nobody"), tooFast);
});

Deno.test("a server without room says so to everybody alike, and a replacement needs none", async () => {
  const store = new MemoryMailbox({ budget: 3 * SMALL });
  const scene = await withBob({ store });
  for (const id of ["1", "2", "3"]) await scene.deposit("alice", "bob", { id });
  assertEquals(await scene.code("alice", "bob"), full);
  assertEquals(await scene.code("zoe", "nobody"), full);
  assertEquals(await scene.code("alice", "bob", { replaces: ["2"] }), stored);
  await scene.withdraw("alice", [idOf("1")]);
  assertEquals(await scene.code("zoe", "bob"), stored);
});

Deno.test("a disk that does not take a deposit is a server without room, and the operator learns why", async () => {
  const disk = new TestDisk();
  const scene = await withBob({ store: new MemoryMailbox({ commit: disk.commit }) });
  disk.full = true;
  const { code, failure, wake } = await scene.deposit("alice", "bob", { id: "one" });
  assertEquals([code, failure, wake], [full, disk.refusal, undefined]);
  assertEquals(scene.words("bob 1"), "");
  disk.full = false;
  assertEquals(await scene.code("alice", "bob", { id: "one" }), stored);
  assertEquals(scene.words("bob 1"), "alice box");
  // What is wrong with the program is not called a disk.
  disk.full = true;
  disk.refusal = new CifraError("usage", "A mistake");
  const bug = await scene.deposit("alice", "bob").catch((error) => error);
  assertEquals(bug, disk.refusal);
});

Deno.test("a deposit is answered when it is on disk, and not handed out before", async () => {
  const disk = new TestDisk();
  const scene = await withBob({ store: new MemoryMailbox({ commit: disk.commit }) });
  disk.hold();
  let answer: unknown;
  const deposit = scene.deposit("alice", "bob").then((done) => answer = done);
  while (disk.waiting === 0) await Promise.resolve();
  assertEquals([answer, scene.words("bob 1")], [undefined, ""]);
  disk.release();
  await deposit;
  assertEquals(scene.words("bob 1"), "alice box");
});

Deno.test("the same id twice is stored once, also both at once", async () => {
  const scene = await withBob();
  const codes = await Promise.all(
    [1, 2].map(() => scene.code("alice", "bob", { id: "same" })),
  );
  assertEquals(codes, [stored, stored]);
  assertEquals(await scene.code("alice", "bob", { id: "same", size: LARGE }), stored);
  assertEquals(scene.mailbox.counts().bytes, SMALL);
  // Another one may have chosen it as well.
  assertEquals(await scene.code("zoe", "bob", { id: "same" }), stored);
  assertEquals(scene.mailbox.counts().count, 2);
  // And it is told again where its share is used up by then.
  for (let n = 0; n < 63; n++) await scene.deposit("alice", "bob");
  assertEquals(await scene.code("alice", "bob", { id: "same" }), stored);
  assertEquals(await scene.code("alice", "bob"), shareWithThem);
});

Deno.test("an envelope takes the place of those that it replaces, in the order and in the share", async () => {
  const scene = await withBob();
  for (let n = 1; n <= 64; n++) await scene.deposit("alice", "bob", { id: `${n}` });
  assertEquals(await scene.code("alice", "bob"), shareWithThem);
  const replaces = ["3", "2", "3", "no such id"];
  assertEquals(await scene.code("alice", "bob", { id: "new", replaces }), stored);
  const order = () => scene.mine("alice").slice(0, 4).map(([id]) => id);
  assertEquals(order(), ["1", "new", "4", "5"].map(idOf));
  // Two went, one came.
  assertEquals(await scene.code("alice", "bob"), stored);
  assertEquals(await scene.code("alice", "bob"), shareWithThem);
});

Deno.test("a stranger's envelope takes no room of strangers' that another kind had", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "with a pass", passed: true });
  await scene.deposit("alice", "bob", { id: "without" });
  await fill(scene, { passed: false, count: 511, bytes: 511 });
  assertEquals(await scene.code("alice", "bob", { replaces: ["with a pass"] }), noRoom);
  assertEquals(await scene.code("alice", "bob", { replaces: ["without"] }), stored);
  const last = { id: "last", replaces: ["with a pass"], passed: true };
  assertEquals(await scene.code("alice", "bob", last), stored);
});

Deno.test("what is refused replaces nothing", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "1" });
  const tries = [
    [{ replaces: ["1"], size: 256 * KIB + 1 }, shareWithThem],
    [{ replaces: ["1"], box: "unknown" }, noRoom],
    [{ replaces: ["1"], size: 16 * MIB + 1 }, share],
  ] as const;
  for (const [deposit, code] of tries) {
    assertEquals(await scene.code("alice", "bob", deposit), code);
    assertEquals(scene.mine("alice").map(([id]) => id), [idOf("1")]);
  }
});

Deno.test("nobody replaces, withdraws or settles what is another's", async () => {
  const scene = await withBob();
  await scene.settleIn("carol 1");
  await scene.deposit("alice", "bob", { id: "hers" });
  await scene.deposit("alice", "carol", { id: "for carol" });
  const hers = {
    type: "settle",
    settled: [{ id: idOf("hers"), verdict: Verdict.taken }],
  } as const;
  assertEquals(await scene.code("mallory", "bob", { replaces: ["hers"] }), stored);
  await scene.withdraw("mallory", [idOf("hers")]);
  await scene.mailbox.settle("carol 1", hers);
  // Nor even of one's own what is for somebody else: it was not moved there.
  assertEquals(await scene.code("alice", "bob", { replaces: ["for carol"] }), stored);
  assertEquals(scene.mine("alice").length, 3);
  // Before it was handed out there is nothing to settle.
  await scene.mailbox.settle("bob 1", hers);
  assertEquals(scene.mine("alice").length, 3);
});

Deno.test("an envelope is moved from a box to the present one in one go", async () => {
  const scene = await withBob();
  await scene.deposit("alice", "bob", { id: "old" });
  await scene.settleIn("bob 2", "new", 2);
  assertEquals(scene.mine("alice"), [[idOf("old"), 3]]);
  assertEquals(await scene.code("alice", "bob", { id: "moved", box: "new", replaces: ["old"] }), 0);
  assertEquals(scene.mine("alice"), [[idOf("moved"), 1]]);
  assertEquals([scene.words("bob 1"), scene.words("bob 2")], ["", "alice box"]);
});

Deno.test("that a box was the present one is told to whoever has asked for it, or has a pass of it", async () => {
  const scene = await withBob();
  await scene.ask("alice", "bob");
  assertEquals(await scene.code("alice", "bob"), stored);
  await scene.settleIn("bob 2", "new", 2);
  assertEquals(await scene.code("alice", "bob"), moved);
  assertEquals(await scene.code("mallory", "bob"), noRoom);
  assertEquals(await scene.code("zoe", "bob", { passed: true }), moved);
  // Nor does it help to name it for somebody else.
  assertEquals(await scene.code("alice", "carol"), noRoom);
  // What is opened again is the present one again.
  await scene.open("bob 1");
  assertEquals(await scene.code("mallory", "bob"), stored);
});

/** Reasons why there is no room, of which nothing tells which. */
const ALIKE: Readonly<Record<string, (scene: MailboxScene) => unknown>> = {
  "nobody of that name": () => {},
  "no box": (scene) => void scene.person("bob"),
  "another box": (scene) => scene.open("bob 1", "another"),
  "the box was not asked for and is not the present one": async (scene) => {
    await scene.settleIn("bob 1");
    await scene.settleIn("bob 2", "another", 2);
  },
  "a full box": async (scene) => {
    await scene.settleIn("bob 1");
    await fill(scene, { passed: true, count: 2048, bytes: 2048 });
  },
  "no more room for strangers": async (scene) => {
    await scene.settleIn("bob 1");
    await fill(scene, { passed: false, count: 512, bytes: 512 });
  },
  "the box has expired": async (scene) => {
    await scene.settleIn("bob 1");
    scene.mailbox.leave("bob 1");
    scene.now += 60 * 86_400_000 + 1;
    await scene.mailbox.expire(scene.now);
  },
  "the name is shut out": async (scene) => {
    await scene.settleIn("bob 1");
    scene.names.putBan({ kind: "name", subject: "bob", since: NOW, name: undefined });
  },
  "the key is shut out": async (scene) => {
    await scene.settleIn("bob 1");
    scene.names.putBan({ kind: "key", subject: scene.of("bob"), since: NOW, name: undefined });
  },
  "the sender is shut out": async (scene) => {
    await scene.settleIn("bob 1");
    scene.names.putBan({ kind: "name", subject: "alice", since: NOW, name: undefined });
  },
  "the sender's key is shut out": async (scene) => {
    await scene.settleIn("bob 1");
    scene.names.putBan({ kind: "key", subject: scene.of("alice"), since: NOW, name: undefined });
  },
  "another suite": async (scene) => {
    const key = scene.names.keyWith(scene.of("alice"))!;
    scene.names.putKey({ ...key, name: "bob", suite: "rsa", fingerprint: fingerprintOf("rsa") });
    await scene.store.change((writer) => writer.open(fingerprintOf("rsa"), boxOf("box"), NOW));
  },
  "the name was forgotten": async (scene) => {
    await scene.settleIn("bob 1");
    await scene.mailbox.forget("bob");
    scene.names.forget("bob");
  },
};

for (const [what, arrange] of Object.entries(ALIKE)) {
  Deno.test(`a deposit and an ask are answered alike: ${what} (4)`, async () => {
    const asked: string[] = [];
    const scene = new MailboxScene({ store: watched(new MemoryMailbox(), asked) });
    await scene.arrive("alice");
    await arrange(scene);
    asked.length = 0;
    assertEquals(await scene.deposit("alice", "bob"), {
      code: noRoom,
      retryAfter: 0,
      wake: undefined,
    });
    // And the same was asked of the store, so that it took as long.
    assertEquals(asked.splice(0).slice(0, 4), ["change", "boxes", "waitingFor", "between"]);
    if (what.includes("not asked for")) return;
    assertEquals(await scene.ask("alice", "bob"), {
      found: undefined,
      retryAfter: 0,
      wake: undefined,
    });
    assertEquals(asked, ["change", "boxes", "waitingFor", "stock"]);
  });
}

Deno.test("an ask is answered alike where the signed prekey is too old, be its box open or not (4)", async () => {
  for (const isHere of [true, false]) {
    const asked: string[] = [];
    const scene = new MailboxScene({ store: watched(new MemoryMailbox(), asked) });
    await scene.arrive("alice");
    await scene.settleIn("bob 1");
    if (!isHere) scene.mailbox.leave("bob 1");
    scene.now += 60 * 86_400_000 + 1;
    asked.length = 0;
    const none = { found: undefined, retryAfter: 0, wake: undefined };
    assertEquals(await scene.ask("alice", "bob"), none);
    assertEquals(asked, ["change", "boxes", "waitingFor", "stock"]);
  }
});

Deno.test("nobody leaves anything for themselves, nor is given their own keys", async () => {
  const scene = await withBob();
  assertEquals(await scene.code("bob", "bob"), noRoom);
  assertEquals((await scene.ask("bob", "bob")).found, undefined);
});

/** A store that tells what it is asked. */
function watched(store: MemoryMailbox, asked: string[]): MailboxStore {
  return new Proxy(store, {
    get(target, property) {
      const value = Reflect.get(target, property);
      if (typeof value !== "function") return value;
      return (...values: unknown[]) => {
        asked.push(String(property));
        if (property === "change") {
          const [work] = values as [(writer: unknown) => unknown];
          return target.change(() => work(watched(target, asked)));
        }
        return value.apply(target, values);
      };
    },
  });
}
