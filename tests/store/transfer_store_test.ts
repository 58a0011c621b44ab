/** Transfers beside the messages that are about them, in memory and on disk. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { ConversationKey, MessageStore } from "../../lib/store/message_store.ts";
import { isOver, type TransferRow, type TransferStep } from "../../lib/store/transfer_store.ts";
import { encodeFileWord, type FileOffer, type FileWord } from "../../lib/wire/file_messages.ts";
import { lineOf } from "../../lib/wire/line.ts";
import type { KeptMessage, NewMessage } from "../../lib/wire/peer_messages.ts";
import { conforms } from "./disks.ts";
import { addBox, addPrekeys, AT, sessionOf } from "./mailbag_samples.ts";

const BOB: ConversationKey = { peer: "bob", suite: "modern" };
const CAROL: ConversationKey = { peer: "carol", suite: "modern" };
const LOG = new Uint8Array(16).fill(7);
const NO_LOG = new Uint8Array(16), NO_ID = new Uint8Array(16), NO_PASS = new Uint8Array(16);
const ALL = 2 ** 30;
const MANIFEST = encodeUtf8("what is in it");

const OFFER: FileOffer = {
  type: "offer",
  files: 2,
  folders: 1,
  bytes: 2 ** 53 - 1,
  manifestLength: 13,
  manifestHash: new Uint8Array(32).fill(3),
  name: lineOf("photos"),
};

function word(what: FileWord, id = systemRandom(16), written = 5): NewMessage {
  return { type: "file", id, written, content: encodeFileWord(what) };
}

function text(what: string): NewMessage {
  return { type: "text", id: systemRandom(16), written: 5, content: encodeUtf8(what) };
}

/** How a transfer begins that Bob is offered by us. */
function ours(id: Bytes): TransferRow {
  const { type: _, ...offered } = OFFER;
  const state = { entry: 0, skipped: 0, failure: undefined, ended: undefined } as const;
  return {
    ...BOB,
    ...offered,
    ...state,
    id,
    direction: "sent",
    state: "offered",
    place: '["/home/alice/photos"]',
    isTold: true,
    began: 5,
  };
}

async function offer(store: MessageStore, id = systemRandom(16)): Promise<Bytes> {
  await store.transfers.say(BOB, word(OFFER, id), { begin: ours(id), manifest: MANIFEST });
  return id;
}

/** What Bob says, one message after the other. */
class Bob {
  readonly #store: MessageStore;
  #last = 0n;

  constructor(store: MessageStore) {
    this.#store = store;
  }

  async says(...messages: readonly NewMessage[]): Promise<readonly KeptMessage[]> {
    const numbered = messages.map((message) => ({ ...message, number: ++this.#last }));
    return await this.#store.receive(BOB, LOG, numbered);
  }
}

function stateOf(store: MessageStore, id: Bytes, key = BOB): string | undefined {
  return store.transfers.get(key, id)?.state;
}

conforms("begins a transfer of ours with the word that offers it", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, [text("look")]);
  const id = await offer(store);
  const crashed = await disk.afterCrash(store);
  const { transfers } = crashed;
  assertEquals(transfers.all("modern"), [ours(id)]);
  assertEquals(transfers.open(BOB), [ours(id)]);
  assertEquals(transfers.open(CAROL), []);
  assertEquals(transfers.all("rsa"), []);
  assertEquals(transfers.get(BOB, id), ours(id));
  assertEquals(transfers.get(CAROL, id), undefined);
  assertEquals([transfers.manifest(BOB, id), transfers.manifest(CAROL, id)], [
    MANIFEST,
    undefined,
  ]);
  const said = crashed.read(BOB, 1n, ALL);
  assertEquals(said.map(({ type }) => type), ["text", "file"]);
  assertEquals(said[1]!.id, id);
  const lines = [...crashed.history({})].map((entry) => entry.type);
  assertEquals(lines, ["text", "offer"]);
});

conforms("does not begin a transfer twice, nor say its word", async (disk) => {
  const store = await disk.open();
  const id = await offer(store);
  await store.transfers.change(BOB, id, { state: "cancelled" });
  assertEquals(store.transfers.open(BOB), []);
  await offer(store, id);
  assertEquals(stateOf(store, id), "cancelled");
  assertEquals((await store.outgoing(BOB)).last, 1n);
});

conforms("changes a transfer of ours as its reader says, with the message", async (disk) => {
  const store = await disk.open();
  const bob = new Bob(store);
  const [taken, refused, failed, cancelled, open] = [
    await offer(store),
    await offer(store),
    await offer(store),
    await offer(store),
    await offer(store),
  ];
  await bob.says(
    word({ type: "accept", transfer: taken! }),
    word({ type: "refuse", transfer: refused! }, undefined, 8),
    word({ type: "failed", transfer: failed!, code: 2 }, undefined, 9),
    word({ type: "cancel", transfer: cancelled! }, undefined, 10),
  );
  assertEquals(stateOf(store, taken!), "accepted");
  await bob.says(word({ type: "done", transfer: taken!, skipped: 3 }, undefined, 7));
  // What is over stays as it is; what is not known is nothing.
  for (const transfer of [refused!, failed!, cancelled!, taken!, systemRandom(16)]) {
    await bob.says(word({ type: "accept", transfer }), word({ type: "cancel", transfer }));
    await bob.says(word({ type: "done", transfer, skipped: 9 }));
  }
  const crashed = await disk.afterCrash(store);
  const rows = crashed.transfers.all("modern");
  assertEquals(
    rows.map(({ state, skipped, failure, ended }) => [state, skipped, failure, ended]),
    [
      ["done", 3, undefined, 7],
      ["refused", 0, undefined, 8],
      ["failed", 0, 2, 9],
      ["cancelled", 0, undefined, 10],
      ["offered", 0, undefined, undefined],
    ],
  );
  assertEquals(rows.map(isOver), [true, true, true, true, false]);
  assertEquals(stateOf(crashed, open!), "offered");
});

conforms("knows what it is offered as soon as that is stored, and once", async (disk) => {
  const store = await disk.open();
  const bob = new Bob(store);
  const id = systemRandom(16);
  await bob.says(word(OFFER, id, 6), word(OFFER, id, 7));
  const { type: _, ...offered } = OFFER;
  const row: TransferRow = {
    ...BOB,
    ...offered,
    id,
    direction: "received",
    state: "offered",
    failure: undefined,
    place: "",
    entry: 0,
    skipped: 0,
    isTold: false,
    began: 6,
    ended: undefined,
  };
  assertEquals(store.transfers.all("modern"), [row]);
  assertEquals(store.transfers.manifest(BOB, id), undefined);
  assertEquals([store.unread(BOB), store.backlog(BOB).messages], [1, 1]);
  // Its sender has no right to accept or to be done; it may end it.
  await bob.says(word({ type: "accept", transfer: id }), word({ type: "refuse", transfer: id }));
  await bob.says(word({ type: "done", transfer: id, skipped: 0 }));
  assertEquals(stateOf(store, id), "offered");
  await bob.says(word({ type: "cancel", transfer: id }));
  assertEquals(stateOf(store, id), "cancelled");
  const lines = [...store.history({})].map((entry) =>
    entry.type === "offer" && [entry.name, entry.id, entry.state]
  );
  assertEquals(lines, [[OFFER.name, id, "received"]]);
});

conforms("keeps a stream whose size is not known", async (disk) => {
  const store = await disk.open();
  const id = systemRandom(16);
  const stream: FileOffer = { ...OFFER, files: 1, folders: 0, bytes: undefined };
  await new Bob(store).says(word(stream, id));
  const crashed = await disk.afterCrash(store);
  assertEquals(crashed.transfers.get(BOB, id)!.bytes, undefined);
});

conforms("changes a transfer with a word of ours, both or none", async (disk) => {
  const store = await disk.open();
  const id = systemRandom(16);
  await new Bob(store).says(word(OFFER, id));
  const step: TransferStep = { id, changes: { state: "accepted", place: "/tmp", isTold: true } };
  assertEquals(await store.transfers.say(BOB, word({ type: "accept", transfer: id }), step), 1n);
  assertEquals(await store.transfers.change(BOB, id, { manifest: MANIFEST, entry: 2 }), true);
  assertEquals(await store.transfers.change(CAROL, id, { entry: 3 }), false);
  const end = word({ type: "failed", transfer: id, code: 4 });
  await store.transfers.say(BOB, end, {
    id,
    changes: { state: "failed", failure: 4, skipped: 1, ended: 99 },
  });
  const crashed = await disk.afterCrash(store);
  const { state, place, isTold, entry, failure, skipped, ended } = crashed.transfers.get(BOB, id)!;
  assertEquals([state, place, isTold, entry], ["failed", "/tmp", true, 2]);
  assertEquals([failure, skipped, ended], [4, 1, 99]);
  assertEquals(crashed.transfers.manifest(BOB, id), MANIFEST);
  assertEquals(crashed.read(BOB, 1n, ALL).map(({ type }) => type), ["file", "file"]);
  await crashed.transfers.change(BOB, id, { failure: undefined, manifest: undefined });
  assertEquals(crashed.transfers.get(BOB, id)!.failure, undefined);
  assertEquals(crashed.transfers.manifest(BOB, id), undefined);
});

conforms("keeps apart what two people call by one id", async (disk) => {
  const store = await disk.open();
  const id = await offer(store);
  const numbered = (message: NewMessage) => [{ ...message, number: 1n }];
  await store.receive(CAROL, LOG, numbered(word(OFFER, id)));
  // Bob has chosen what we offer him: it is known.
  await new Bob(store).says(word(OFFER, id), word({ type: "accept", transfer: id }));
  assertEquals([stateOf(store, id), stateOf(store, id, CAROL)], ["accepted", "offered"]);
  await store.transfers.remove(CAROL, id);
  assertEquals([stateOf(store, id), stateOf(store, id, CAROL)], ["accepted", undefined]);
});

conforms("forgets what was offered and never left with the messages that did not", async (disk) => {
  const store = await disk.open();
  const stored = await offer(store);
  store.acknowledge(BOB, 1n, 0n);
  const unsaid = await offer(store);
  const theirs = systemRandom(16);
  await new Bob(store).says(word(OFFER, theirs));
  assertEquals(await store.forget(BOB), 1);
  assertEquals(store.transfers.all("modern").map(({ id }) => id), [stored, theirs]);
  assertEquals(store.transfers.get(BOB, unsaid), undefined);
});

conforms("takes a word from an envelope, when what is before it is here", async (disk) => {
  const store = await disk.open();
  await addBox(store.mailbag);
  await addPrekeys(store.mailbag, { signed: [4n] });
  let session = sessionOf(store.mailbag, { signed: 4n });
  const leaves = async (...messages: readonly KeptMessage[]) => {
    session = { ...session, next: session.next + 1 };
    const about = { log: LOG, first: 1n, readLog: NO_LOG, have: 0n, haveId: NO_ID, read: 0n };
    const content = { ...about, pass: NO_PASS, messages };
    assert(await store.receiveSealed(BOB, { session, content, at: AT }));
  };
  const id = systemRandom(16);
  const offered = { ...word(OFFER, id), number: 1n };
  await leaves({ ...word({ type: "cancel", transfer: id }), number: 2n });
  assertEquals(store.early(BOB).map(({ type }) => type), ["file"]);
  assertEquals(store.transfers.all("modern"), []);
  await store.receive(BOB, LOG, [offered]);
  assertEquals(stateOf(store, id), "cancelled");
});

conforms("refuses everything about transfers when it is closed", async (disk) => {
  const store = await disk.open();
  const { transfers } = store;
  const id = await offer(store);
  await store.close();
  await assertRejects(() => transfers.change(BOB, id, { entry: 1 }));
  await assertRejects(() => offer(store));
});

conforms("without history keeps a transfer and not what was said of it", async (disk) => {
  const store = await disk.open(false);
  const bob = new Bob(store);
  const id = systemRandom(16);
  await bob.says(word(OFFER, id));
  store.markRead(BOB, LOG, 1n);
  await store.append(BOB, [text("x")]);
  assertEquals([...store.history({ peer: "bob" })].map(({ type }) => type), ["text"]);
  assertEquals(stateOf(store, id), "offered");
});

const SEED = Number(Deno.env.get("CIFRA_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);

/** Numbers from a seed (mulberry32). */
function dice(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) >>> 0;
    let t = seed;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}

conforms("never changes what is over, whatever Bob says in whatever order", async (disk) => {
  const store = await disk.open();
  const bob = new Bob(store);
  const roll = dice(SEED);
  const ids = [await offer(store), await offer(store), systemRandom(16), systemRandom(16)];
  const random = (): NewMessage => {
    const transfer = ids[roll(ids.length)]!;
    const words: readonly FileWord[] = [
      OFFER,
      { type: "accept", transfer },
      { type: "refuse", transfer },
      { type: "done", transfer, skipped: roll(9) },
      { type: "cancel", transfer },
      { type: "failed", transfer, code: 1 },
    ];
    const said = words[roll(words.length)]!;
    // What he offers has an id of this list, once: the message that has it already is passed over.
    return said === OFFER ? word(OFFER, transfer) : word(said, undefined, roll(99));
  };
  const ended = new Map<string, TransferRow>();
  for (let round = 0; round < 60; round++) {
    await bob.says(...Array.from({ length: 1 + roll(3) }, random));
    for (const row of store.transfers.all("modern")) {
      const name = row.id.join();
      if (ended.has(name)) assertEquals(row, ended.get(name), `CIFRA_SEED=${SEED}`);
      if (isOver(row)) ended.set(name, row);
      const mine = row.direction === "sent";
      assertEquals(mine, ids.findIndex((id) => id.join() === name) < 2);
      if (!mine) assert(["offered", "cancelled", "failed"].includes(row.state), row.state);
    }
  }
});
