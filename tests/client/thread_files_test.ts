/** What a conversation makes of words about transfers, and where it hands their content. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import type { FileCarrier, FileLane } from "../../lib/client/file_dock.ts";
import type { Thread } from "../../lib/client/thread.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { PENDING_DEADLINE } from "../../lib/limits.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import {
  encodeFileWord,
  fileItem,
  type FileOffer,
  type FileWord,
} from "../../lib/wire/file_messages.ts";
import { encode } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import {
  ackItem,
  Ear,
  freshPosition,
  goodbyeItem,
  meet,
  meetEvil,
  messageItem,
  openLink,
  TestDisk,
  textItem,
  WRITTEN,
} from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { turn } from "../testkit/turn.ts";
import { until } from "../testkit/until.ts";

const OFFER: FileOffer = {
  type: "offer",
  files: 1,
  folders: 0,
  bytes: 5,
  manifestLength: 25,
  manifestHash: new Uint8Array(32),
  name: lineOf("a.txt"),
};

/** Writes down all that it is told. */
class Notes implements FileLane {
  progress = 0n;
  readonly told: string[] = [];
  carrier: FileCarrier | undefined;
  refusal: CifraError | undefined;

  attach(carrier: FileCarrier): void {
    this.told.push("attach");
    this.carrier = carrier;
  }

  detach(): void {
    this.told.push("detach");
  }

  take(body: Bytes): void {
    if (this.refusal) throw this.refusal;
    this.told.push(`item ${body[0]}`);
  }

  hear(_id: Bytes, word: FileWord): void {
    this.told.push(word.type);
  }
}

/** A hold of something: whatever is in it, a thread does not look. */
function item(tag = 3): Item {
  return { type: ItemType.file, body: new Uint8Array([tag]) };
}

function wordItem(number: bigint, word: FileWord, id: Bytes = systemRandom(16)): Item {
  const content = encodeFileWord(word);
  return messageItem({ type: "file", number, id, written: BigInt(WRITTEN), content });
}

function beginning(id: Bytes): TransferRow {
  const { type: _, ...offered } = OFFER;
  return {
    ...offered,
    peer: "bob",
    suite: "modern",
    id,
    direction: "sent",
    state: "offered",
    failure: undefined,
    place: "",
    entry: 0,
    skipped: 0,
    isTold: true,
    began: WRITTEN,
    ended: undefined,
  };
}

/** Alice offers Bob something; resolves to its id. */
async function offer(alice: Thread): Promise<Bytes> {
  const id = systemRandom(16);
  await alice.sendFileWord(OFFER, { begin: beginning(id), manifest: undefined });
  return id;
}

test("an offer and its answer go as messages, and both know how it stands when they are stored", async () => {
  const stores = { alice: new MemoryMessages(), bob: new MemoryMessages() };
  const notes = { alice: new Notes(), bob: new Notes() };
  const alice = await openLink("bob", { store: stores.alice, files: notes.alice });
  const bob = await openLink("alice", { store: stores.bob, files: notes.bob });
  const id = await offer(alice);
  const { endings } = await meet(alice, bob);
  await alice.settled();
  const key = { peer: "alice", suite: "modern" } as const;
  // Nobody looks, and it is known all the same.
  assertEquals([bob.unread, notes.bob.told], [1, ["attach", "offer"]]);
  assertEquals(stores.bob.transfers.get(key, id)!.state, "offered");
  const heard = new Ear(bob);
  await heard.count(1);
  assertEquals(heard.heard, [
    { type: "file", number: 1n, id, word: OFFER, written: WRITTEN, recovered: false },
  ]);
  assertEquals(bob.unread, 0);
  const said = await bob.sendFileWord(
    { type: "refuse", transfer: id },
    { id, changes: { state: "refused", isTold: true, ended: 1 } },
  );
  assertEquals([said.number, said.id.length], [1n, 16]);
  await bob.settled();
  const [row] = stores.alice.transfers.all("modern");
  assertEquals([row!.id, row!.state, row!.ended], [id, "refused", WRITTEN]);
  assertEquals(notes.alice.told, ["attach", "refuse"]);
  await Promise.all([alice.leave(), bob.leave()]);
  await endings;
  assertEquals([notes.alice.told.at(-1), notes.bob.told.at(-1)], ["detach", "detach"]);
});

test("a word waits on a full disk with what was written before it, and its step with it", async () => {
  const disk = new TestDisk(), clock = new ManualTime();
  const store = new MemoryMessages({ commit: disk.commit });
  const alice = await openLink("bob", { store, clock });
  disk.full = true;
  const sent = alice.sendText("look");
  const offered = offer(alice);
  await until(() => alice.unkept === 2, "both wait");
  assertEquals(store.transfers.all("modern"), []);
  disk.full = false;
  clock.advance(10_000);
  const id = await offered;
  assertEquals([await sent, store.transfers.all("modern").map((row) => row.id)], [1n, [id]]);
  await alice.leave();
});

test("where nothing is kept nothing is said of files", async () => {
  const alice = await openLink("bob", { kind: LogKind.live });
  await assertRejects(() => offer(alice), TypeError);
  const bob = await openLink("alice", { store: undefined });
  const { say, ending, lastWords } = await meetEvil(bob, freshPosition({ kind: LogKind.live }));
  await say(wordItem(1n, OFFER));
  const ended = await ending;
  assert(ended.type === "cut");
  assertEquals([ended.error.code, await lastWords()], ["bad_frame", "bad_frame"]);
  await Promise.all([alice.leave(), bob.leave()]);
});

test("a word that is none ends the channel", async () => {
  const bob = await openLink("alice");
  const { say, ending, lastWords } = await meetEvil(bob, freshPosition());
  const id = systemRandom(16);
  await say(messageItem({ type: "file", number: 1n, id, written: 0n, content: id }));
  assertEquals([(await ending).type, await lastWords()], ["cut", "bad_frame"]);
  await bob.leave();
});

test("content without anybody who takes it is out of turn", async () => {
  const bob = await openLink("alice");
  const { say, ending, lastWords } = await meetEvil(bob, freshPosition());
  await say(item());
  assertEquals([(await ending).type, await lastWords()], ["cut", "bad_state"]);
  await bob.leave();
});

test("content comes after the messages before it, and before those after it", async () => {
  const notes = new Notes(), store = new MemoryMessages();
  const bob = await openLink("alice", { store, files: notes });
  const { say, hearUntil, pipe, ending } = await meetEvil(bob, freshPosition());
  const transfer = systemRandom(16);
  await say(
    item(1),
    textItem(1n, "look"),
    wordItem(2n, OFFER, transfer),
    item(2),
    item(3),
    wordItem(3n, { type: "cancel", transfer }),
    item(4),
  );
  await hearUntil(({ type, body }) => type === ItemType.ack && body[7] === 3);
  const expected = ["attach", "item 1", "offer", "item 2", "item 3", "cancel", "item 4"];
  await until(() => notes.told.length === expected.length, "all came");
  assertEquals(notes.told, expected);
  pipe.toRight.end();
  await ending;
  assertEquals(notes.told.at(-1), "detach");
  await bob.leave();
});

test("what a lane refuses ends the channel with its code", async () => {
  const notes = new Notes();
  notes.refusal = new CifraError("limit", "too much");
  const bob = await openLink("alice", { files: notes });
  const { say, ending, lastWords } = await meetEvil(bob, freshPosition());
  await say(item());
  assertEquals([(await ending).type, await lastWords()], ["cut", "limit"]);
  assertEquals(notes.told, ["attach", "detach"]);
  await bob.leave();
});

test("a lane sends on the channel that it is on, and no further", async () => {
  const notes = new Notes();
  const bob = await openLink("alice", { files: notes });
  const first = await meetEvil(bob, freshPosition());
  await until(() => notes.carrier !== undefined, "it is attached");
  const before = notes.carrier!;
  assertEquals(before.isOpen, true);
  const body = encode(fileItem, { type: "taken", bytes: 7n });
  before.send(body);
  const heard = await first.hearUntil(({ type }) => type === ItemType.file);
  assertEquals(heard.at(-1), { type: ItemType.file, body });
  const second = await meetEvil(bob, freshPosition());
  await until(() => notes.told.length === 3, "it is on the next one");
  assertEquals(notes.told, ["attach", "detach", "attach"]);
  assertEquals([before.isOpen, notes.carrier!.isOpen], [false, true]);
  before.send(body);
  before.noteUnderWay(true);
  const leaving = bob.leave();
  // About to leave, nothing more is sent, and what was on its way is passed over.
  await until(() => notes.told.at(-1) === "detach", "it has let go");
  assertEquals(notes.carrier!.isOpen, false);
  notes.carrier!.send(body);
  await second.say(item(), goodbyeItem(0n, 0n));
  await leaving;
  assertEquals(await second.ending, { type: "left" });
  assertEquals(notes.told.length, 4);
});

test("a channel that ends before both know of the logs never has a lane", async () => {
  const notes = new Notes();
  const bob = await openLink("alice", { files: notes });
  await bob.sendText("x");
  const evil = await meetEvil(bob, freshPosition({ kind: 9 as LogKind }));
  assertEquals((await evil.ending).type, "cut");
  assertEquals(notes.told, []);
  await bob.leave();
});

test("silence is not waited out while content is under way", async () => {
  const notes = new Notes(), clock = new ManualTime();
  const bob = await openLink("alice", { files: notes, clock });
  const { ending } = await meetEvil(bob, freshPosition());
  await until(() => notes.carrier !== undefined, "it is attached");
  const now = clock.now() + PENDING_DEADLINE + 1;
  bob.tick(now);
  notes.carrier!.noteUnderWay(true);
  notes.carrier!.noteUnderWay(false);
  bob.tick(now);
  await turn();
  assertEquals(bob.isAttached, true);
  notes.carrier!.noteUnderWay(true);
  bob.tick(now);
  const ended = await ending;
  assert(ended.type === "cut");
  assertEquals(ended.error.code, "timeout");
  await bob.leave(CloseCode.failed);
});

test("content that was taken is progress", async () => {
  const notes = new Notes();
  const bob = await openLink("alice", { files: notes });
  const before = bob.progress;
  notes.progress = 5n;
  assertEquals(bob.progress, before + 5n);
  await bob.leave();
});

test("an offer cannot be taken back, and a text before it can", async () => {
  const alice = await openLink("bob");
  await alice.sendText("look");
  await offer(alice);
  assertEquals(await alice.takeBack(2n), { type: "none" });
  assertEquals(await alice.takeBack(), { type: "done", number: 1n, hasLeft: false });
  await alice.leave();
});

test("content is not acknowledged, and no message waits for it", async () => {
  const notes = new Notes();
  const bob = await openLink("alice", { files: notes });
  await bob.sendText("hello");
  const { say, hearUntil, pipe, ending } = await meetEvil(bob, freshPosition());
  await say(item(), item(), ackItem(1n));
  await bob.settled();
  await hearUntil(({ type }) => type === ItemType.message);
  pipe.toRight.end();
  await ending;
  await bob.leave();
});
