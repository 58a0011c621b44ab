import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { type Bytes, decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import type { ReadingSession } from "../../lib/store/mailbag.ts";
import type {
  ConversationKey,
  MessageStore,
  OpenedEnvelope,
  SealedContent,
} from "../../lib/store/message_store.ts";
import type { KeptMessage, NewMessage } from "../../lib/wire/peer_messages.ts";
import { conforms } from "./disks.ts";
import { addBox, addPrekeys, AT, SERVER, sessionOf } from "./mailbag_samples.ts";

const BOB: ConversationKey = { peer: "bob", suite: "modern" };
const LOG = new Uint8Array(16).fill(7);
const NO_LOG = new Uint8Array(16), NO_ID = new Uint8Array(16), NO_PASS = new Uint8Array(16);
const ALL = 2 ** 30;

function text(content: string, number = 0n): KeptMessage & NewMessage {
  return { type: "text", number, id: systemRandom(16), written: 5, content: encodeUtf8(content) };
}

/** Bob's messages, numbered from 1. */
function numbered(...contents: readonly string[]): KeptMessage[] {
  return contents.map((content, i) => text(content, BigInt(i + 1)));
}

/** Bob, whose envelopes come one after the other, in one session unless another is given. */
class Writer {
  readonly #store: MessageStore;
  session: ReadingSession;

  private constructor(store: MessageStore, session: ReadingSession) {
    this.#store = store;
    this.session = session;
  }

  static async begin(store: MessageStore, once = 1n): Promise<Writer> {
    if (!store.mailbag.box(SERVER)) {
      await addBox(store.mailbag);
      await addPrekeys(store.mailbag, { signed: [1n], once: [1n, 2n, 3n] });
    }
    return new Writer(store, sessionOf(store.mailbag, { once }));
  }

  envelope(
    messages: readonly KeptMessage[],
    more: Partial<SealedContent> = {},
  ): OpenedEnvelope {
    const next = this.session.next + 1;
    this.session = { ...this.session, next, chain: systemRandom(64) };
    const first = messages[0]?.number ?? 1n;
    const standing = { log: LOG, first, readLog: NO_LOG, have: 0n, haveId: NO_ID, read: 0n };
    return {
      session: this.session,
      content: { ...standing, pass: NO_PASS, messages, ...more },
      at: AT,
    };
  }

  async leaves(messages: readonly KeptMessage[], more: Partial<SealedContent> = {}) {
    const news = await this.#store.receiveSealed(BOB, this.envelope(messages, more));
    assert(news);
    return news;
  }
}

function contents(messages: readonly KeptMessage[]): string[] {
  return messages.map(({ content }) => decodeUtf8(content));
}

function unshown(store: MessageStore, key = BOB): string[] {
  return store.unshown(key, 0, 1000).map(({ message }) =>
    message.type === "gap"
      ? `gap ${message.from}-${message.to}`
      : message.type === "text"
      ? decodeUtf8(message.content)
      : message.type
  );
}

conforms("stores what an envelope holds, and moves its session on", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const [a, b, c] = numbered("a", "b", "c");
  const news = await writer.leaves([a!, b!]);
  assertEquals(contents(news.fresh), ["a", "b"]);
  assertEquals([news.early, news.isRestarted], [0, false]);
  assertEquals(news.incoming, { log: LOG, have: 2n, haveId: b!.id, read: 0n });
  assertEquals(news.outgoing, await store.outgoing(BOB));
  assertEquals(store.mailbag.reading(writer.session.id), writer.session);
  assertEquals(store.mailbag.prekey(writer.session.box, "once", 1n), undefined);
  assert(store.mailbag.prekey(writer.session.box, "signed", 1n));
  assertEquals(store.mailbag.owed(SERVER), ["bob"]);
  assertEquals(unshown(store), ["a", "b"]);
  await writer.leaves([c!]);
  const crashed = await disk.afterCrash(store);
  assertEquals(unshown(crashed), ["a", "b", "c"]);
  assertEquals(crashed.mailbag.reading(writer.session.id), writer.session);
  assertEquals(crashed.incoming(BOB)?.have, 3n);
});

conforms(
  "opens nothing twice: not a place, not a one-time prekey, not without secrets",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const envelope = writer.envelope(numbered("a"));
    assert(await store.receiveSealed(BOB, envelope));
    await writer.leaves([text("b", 2n)]);
    const again = { ...envelope.content, messages: [text("evil", 3n)], first: 3n };
    const bag = store.mailbag;
    const refused = async (session: ReadingSession) => {
      await bag.begin("bob", SERVER, writingSession(bag.correspondent("bob", SERVER)!.owner), 1n);
      const log = (await store.outgoing(BOB)).log;
      await bag.seal("bob", SERVER, { ...bag.writing("bob", SERVER)!, next: 1 }, receipt(log));
      assertEquals(bag.owed(SERVER), []);
      assertEquals(
        await store.receiveSealed(BOB, { ...envelope, session, content: again }),
        undefined,
      );
      // What was lost shows in what the receipt says.
      assertEquals(bag.owed(SERVER), ["bob"]);
    };
    await refused(envelope.session);
    await refused({ ...writer.session });
    await refused({ ...sessionOf(bag, { once: 1n }), next: 1 });
    await refused({ ...sessionOf(bag, { once: 9n }), next: 1 });
    await refused({ ...sessionOf(bag, { once: 0n }), signed: 2n, next: 1 });
    assertEquals(unshown(store), ["a", "b"]);
    assertEquals(bag.reading(writer.session.id), writer.session);
    const elsewhere = { ...sessionOf(bag, { once: 2n }), box: systemRandom(16), next: 1 };
    const opened = { ...envelope, session: elsewhere, content: again };
    assertEquals(await store.receiveSealed(BOB, opened), undefined);
  },
);

function writingSession(owner: Bytes) {
  const [header, state] = [systemRandom(1152), systemRandom(64)];
  return { owner, header, transcript: state, chain: state, next: 0, began: 0 };
}

function receipt(log: Bytes) {
  return { id: systemRandom(16), box: systemRandom(16), log, first: 1n, last: 0n, at: 0 };
}

conforms("keeps what an envelope held, also when its bytes are used again", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const log = LOG.slice(), pass = systemRandom(16);
  const envelope = writer.envelope(numbered("a"), { log, pass });
  const given = structuredClone(envelope);
  const opened = store.receiveSealed(BOB, envelope);
  const { session, content } = envelope;
  const [message] = content.messages;
  for (const bytes of [session.chain, session.id, log, pass, message!.id, message!.content]) {
    bytes.fill(0);
  }
  assertEquals(contents((await opened)!.fresh), ["a"]);
  assertEquals(store.mailbag.reading(given.session.id), given.session);
  assertEquals(store.mailbag.correspondent("bob", SERVER)?.pass, given.content.pass);
  assertEquals(store.incoming(BOB)?.log, LOG);
});

conforms("without a one-time prekey a session is begun once, and is remembered", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store, 0n);
  const envelope = writer.envelope(numbered("a"));
  assert(await store.receiveSealed(BOB, envelope));
  assertEquals(await store.receiveSealed(BOB, envelope), undefined);
  assertEquals(unshown(store), ["a"]);
});

conforms(
  "keeps the pass that an envelope brings, and owes no receipt for a receipt",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const pass = systemRandom(16);
    await writer.leaves([], { pass });
    const known = () => store.mailbag.correspondent("bob", SERVER)!;
    assertEquals([known().pass, known().isOwed], [pass, false]);
    await writer.leaves([]);
    assertEquals(known(), {
      owner: writer.session.sender,
      pass,
      highestSigned: 0n,
      isOwed: false,
    });
    await writer.leaves(numbered("a"));
    assertEquals([known().pass, known().isOwed], [pass, true]);
  },
);

conforms("lets wait what comes too early, by whichever way the rest comes", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const [a, b, c, d, e] = numbered("a", "b", "c", "d", "e");
  const news = await writer.leaves([c!], { first: 1n });
  assertEquals([contents(news.fresh), news.early, news.incoming.have], [[], 1, 0n]);
  // Once more, and beside it.
  await writer.leaves([c!, d!], { first: 1n });
  assertEquals(contents(store.early(BOB)), ["c", "d"]);
  assertEquals([unshown(store), store.unread(BOB)], [[], 0]);
  assertEquals(store.backlog(BOB), { messages: 0, bytes: 0 });
  assertEquals([...store.history({})], []);
  const crashed = await disk.afterCrash(store);
  assertEquals(contents(crashed.early(BOB)), ["c", "d"]);
  // By a channel.
  assertEquals(contents(await crashed.receive(BOB, LOG, [a!, b!])), ["a", "b", "c", "d"]);
  assertEquals(crashed.incoming(BOB), { log: LOG, have: 4n, haveId: d!.id, read: 0n });
  assertEquals(crashed.early(BOB), []);
  // The channel brings them as well.
  assertEquals(contents(await crashed.receive(BOB, LOG, [c!, d!, e!])), ["e"]);
  assertEquals(unshown(crashed), ["a", "b", "c", "d", "e"]);
});

conforms("lets in by an envelope what an earlier one brought too early", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const [a, b, c, d] = numbered("a", "b", "c", "d");
  await writer.leaves([b!, c!], { first: 1n });
  await writer.leaves([d!], { first: 1n });
  const news = await writer.leaves([a!]);
  assertEquals([contents(news.fresh), news.early], [["a", "b", "c", "d"], 0]);
  assertEquals(news.incoming.have, 4n);
  assertEquals(unshown(store), ["a", "b", "c", "d"]);
});

conforms(
  "stores a gap for what its writer has no more, and lets in what stands in it",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const [a, , c, , e, f] = numbered("a", "b", "c", "d", "e", "f");
    await writer.leaves([a!]);
    await writer.leaves([c!], { first: 2n });
    const news = await writer.leaves([f!], { first: 5n });
    assertEquals(contents(news.fresh), ["c"]);
    assertEquals([news.early, news.incoming.have, news.incoming.haveId], [1, 4n, undefined]);
    await writer.leaves([e!], { first: 5n });
    assertEquals(unshown(store), ["a", "gap 2-2", "c", "gap 4-4", "e", "f"]);
    // By a channel as well: its beginning says where the log goes on.
    const other = systemRandom(16);
    await writer.leaves([{ ...text("y"), number: 2n }], { first: 1n, log: other });
    await store.skip(BOB, other, 4n);
    assertEquals(unshown(store).slice(6), ["gap 1-1", "y", "gap 3-3"]);
  },
);

conforms("puts aside, and shows, what comes under the number of another message", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  await writer.leaves(numbered("a", "b"));
  const c = text("c", 2n), d = text("d", 1n);
  const news = await writer.leaves([c], { first: 1n });
  assertEquals([contents(news.fresh), news.incoming.have], [["c"], 2n]);
  // Its id is known now; what has no other under its number is passed over.
  assertEquals(contents((await writer.leaves([c, d], { first: 1n })).fresh), ["d"]);
  assertEquals(unshown(store), ["a", "b", "c", "d"]);
  // Under numbers of their own.
  const numbers = store.unshown(BOB, 0, 10)
    .map(({ message }) => message.type !== "gap" && message.number);
  assertEquals(numbers, [1n, 2n, 1n, 2n]);
  assertEquals([store.unread(BOB), store.incoming(BOB)?.have], [4, 2n]);
  // It is shown once, like everything.
  for (const { log, message } of store.unshown(BOB, 0, 10)) {
    if (message.type !== "gap") store.markRead(BOB, log, message.number);
  }
  assertEquals(unshown(store), []);
  assertEquals(store.incoming(BOB)?.read, 2n);
  // Its writer begins anew, and says it again.
  const other = systemRandom(16);
  await writer.leaves([{ ...c, number: 1n }, text("e", 2n)], { log: other });
  await store.close();
  const again = await disk.open();
  assertEquals(unshown(again), ["e"]);
  assertEquals(again.incoming(BOB)?.have, 2n);
  const said = [...again.history({})].map((entry) => entry.type === "text" && entry.text);
  assertEquals(said, ["a", "b", "c", "d", "e"]);
});

conforms("shows in its order what an old copy has written anew and goes on with", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  await writer.leaves(numbered("a", "old b", "old c"));
  const said = [text("b", 2n), text("c", 3n), text("d", 4n), text("e", 5n)];
  const news = await writer.leaves(said, { first: 2n });
  const shown = ["b", "c", "d", "e"];
  // By its receipt the writer learns that this is not its log.
  assertEquals([contents(news.fresh), news.incoming.have], [shown, 3n]);
  assertEquals(unshown(store), ["a", "old b", "old c", ...shown]);
  assertEquals(news.incoming.haveId, store.incoming(BOB, LOG)?.haveId);
  // It begins another, with all that is not acknowledged.
  const again = said.map((message, i) => ({ ...message, number: BigInt(i + 1) }));
  const log = systemRandom(16);
  const anew = await writer.leaves([...again, text("f", 5n)], { first: 1n, log });
  assertEquals([contents(anew.fresh), anew.incoming.have], [["f"], 5n]);
});

conforms("goes on only with what is known to follow what is here", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const [a, b, c] = numbered("a", "b", "c");
  await writer.leaves([a!, b!]);
  // Another copy of the writer may have said another second one, which is lost.
  const lost = await writer.leaves([c!], { first: 1n });
  assertEquals([contents(lost.fresh), lost.early, lost.incoming.have], [[], 1, 2n]);
  const known = await writer.leaves([b!, c!], { first: 1n });
  assertEquals([contents(known.fresh), known.early, known.incoming.have], [["c"], 0, 3n]);
  assertEquals(unshown(store), ["a", "b", "c"]);
});

conforms(
  "puts aside, and shows, what comes under the number of something missing",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const [a, b, c, d, e] = numbered("a", "b", "c", "d", "e");
    await writer.leaves([a!]);
    await writer.leaves([e!], { first: 5n });
    const shown = ["a", "gap 2-4", "e"];
    assertEquals(unshown(store), shown);
    // A profile that came back from an old copy misses what is still on its way, or takes the numbers anew.
    const news = await writer.leaves([b!, c!], { first: 2n });
    assertEquals([contents(news.fresh), news.incoming.have], [["b", "c"], 5n]);
    assertEquals(contents((await writer.leaves([c!, d!], { first: 2n })).fresh), ["d"]);
    assertEquals(unshown(store), [...shown, "b", "c", "d"]);
  },
);

conforms(
  "loses nothing when what waited is of an old copy, and a channel brings another",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    await writer.leaves([text("old 2", 2n)], { first: 1n });
    const [a, b, c] = numbered("a", "b", "c");
    assertEquals(contents(await store.receive(BOB, LOG, [a!])), ["a", "old 2"]);
    // The channel acknowledges it: it has to be here.
    assertEquals(contents(await store.receive(BOB, LOG, [b!])), ["b"]);
    assertEquals(contents(await store.receive(BOB, LOG, [c!])), ["c"]);
    // What a channel has brought it does not bring again, whatever that says.
    assertEquals(await store.receive(BOB, LOG, [text("evil", 1n), text("evil", 3n)]), []);
    assertEquals(unshown(store), ["a", "old 2", "b", "c"]);
  },
);

conforms("keeps no more that waits than there is room for", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const all = numbered(...Array.from({ length: 1030 }, (_, i) => `${i + 1}`));
  await writer.leaves(all.slice(10), { first: 1n });
  await writer.leaves(all.slice(3), { first: 1n });
  const early = store.early(BOB);
  assertEquals(early.length, 1024);
  assertEquals((await writer.leaves(all.slice(0, 10))).early, 0);
  assertEquals(unshown(store).length, 1000);
  assertEquals(store.incoming(BOB)?.have, 1030n);
});

conforms(
  "keeps a message that waits in one log alone, the one that it came in last",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const other = systemRandom(16);
    const [a, b] = numbered("a", "b");
    await writer.leaves([{ ...b!, number: 5n }], { first: 1n });
    await writer.leaves([b!], { first: 1n, log: other });
    assertEquals(store.early(BOB).map(({ number }) => number), [2n]);
    await writer.leaves([{ ...b!, number: 5n }], { first: 1n });
    await writer.leaves([a!, b!], { log: other });
    assertEquals([unshown(store), store.early(BOB)], [["a", "b"], []]);
  },
);

conforms("takes what an envelope says of our log as from a channel", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const ours = [text("1"), text("2"), text("3"), text("4")];
  await store.append(BOB, ours);
  const { log } = await store.outgoing(BOB);
  const stands = async () => {
    const { last, stored, read } = await store.outgoing(BOB);
    return [last, stored, read];
  };
  const says = (have: number, read: number, haveId = ours[have - 1]?.id ?? NO_ID, readLog = log) =>
    writer.leaves([], { readLog, have: BigInt(have), haveId, read: BigInt(read) });
  assertEquals((await says(2, 1)).outgoing, { log, last: 4n, stored: 2n, read: 1n });
  assertEquals(await stands(), [4n, 2n, 1n]);
  // Never back, whatever its id; nothing of another log; nothing read that is not stored.
  await says(1, 0, systemRandom(16));
  await says(4, 4, ours[3]!.id, systemRandom(16));
  await says(3, 9);
  assertEquals(await stands(), [4n, 3n, 3n]);
  const crashed = await disk.afterCrash(store);
  assertEquals((await crashed.outgoing(BOB)).stored, 3n);
  assertEquals(contents(crashed.read(BOB, 1n, ALL)), ["4"]);
});

for (
  const [what, have, isSame] of [["of another id", 3n, false], [
    "beyond the last",
    5n,
    true,
  ]] as const
) {
  conforms(`begins our log anew when the other side has one ${what}`, async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const ours = [text("1"), text("2"), text("3")];
    await store.append(BOB, ours);
    store.acknowledge(BOB, 1n, 0n);
    const before = await store.outgoing(BOB);
    const haveId = isSame ? ours[2]!.id : systemRandom(16);
    const said = { readLog: before.log, have, haveId };
    const { isRestarted, outgoing, fresh } = await writer.leaves(numbered("a"), said);
    assertEquals([isRestarted, contents(fresh)], [true, ["a"]]);
    assertNotEquals(outgoing.log, before.log);
    assertEquals([outgoing.last, outgoing.stored], [2n, 0n]);
    const crashed = await disk.afterCrash(store);
    assertEquals(await crashed.outgoing(BOB), outgoing);
    assertEquals(contents(crashed.read(BOB, 1n, ALL)), ["2", "3"]);
    // Said again of the log that is not ours any more, it means nothing.
    const again = await Writer.begin(crashed, 2n);
    assertEquals((await again.leaves([], said)).isRestarted, false);
  });
}

conforms("without history forgets what an envelope says is stored over there", async (disk) => {
  const store = await disk.open(false);
  const writer = await Writer.begin(store);
  const ours = [text("1"), text("2")];
  await store.append(BOB, ours);
  const { log: readLog } = await store.outgoing(BOB);
  await writer.leaves([], { readLog, have: 1n, haveId: ours[0]!.id });
  const said = [...store.history({})].map((entry) => entry.type === "text" && entry.text);
  assertEquals(said, ["2"]);
  // By the number alone: the message is gone here.
  await writer.leaves([], { readLog, have: 1n, haveId: ours[0]!.id, read: 1n });
  assertEquals((await store.outgoing(BOB)).read, 1n);
});

conforms("refuses numbers that no message can have, and changes nothing", async (disk) => {
  const store = await disk.open();
  const writer = await Writer.begin(store);
  const before = writer.session;
  const refused = async (messages: readonly KeptMessage[], more: Partial<SealedContent> = {}) => {
    const envelope = writer.envelope(messages, more);
    const error = await assertRejects(() => store.receiveSealed(BOB, envelope), CifraError);
    assertEquals(error.code, "limit");
  };
  await refused([text("a", 2n ** 63n)], { first: 1n });
  await refused([], { first: 2n ** 64n - 1n });
  assertEquals([store.incoming(BOB), store.mailbag.reading(before.id)], [undefined, undefined]);
  assertEquals(store.mailbag.owed(SERVER), []);
  const largest = { have: 2n ** 64n - 1n, read: 2n ** 64n - 1n, haveId: NO_ID };
  const { isRestarted } = await writer.leaves([], {
    readLog: (await store.outgoing(BOB)).log,
    ...largest,
  });
  assertEquals(isRestarted, true);
});

conforms("names those for whom something of ours is not stored over there", async (disk) => {
  const store = await disk.open();
  assertEquals(store.unstored("modern"), []);
  await store.append(BOB, [text("1")]);
  await store.append({ peer: "carol", suite: "modern" }, [text("1"), text("2")]);
  await store.append({ peer: "dora", suite: "rsa" }, [text("1")]);
  await store.outgoing({ peer: "emil", suite: "modern" });
  assertEquals([...store.unstored("modern")].sort(), ["bob", "carol"]);
  store.acknowledge(BOB, 1n, 0n);
  store.acknowledge({ peer: "carol", suite: "modern" }, 1n, 0n);
  assertEquals(store.unstored("modern"), ["carol"]);
});

conforms(
  "takes what comes by both ways in any order, and shows it once and in order",
  async (disk) => {
    const store = await disk.open();
    const writer = await Writer.begin(store);
    const all = numbered(...Array.from({ length: 60 }, (_, i) => `${i + 1}`));
    for (let step = 0; step < 120; step++) {
      const have = Number(store.incoming(BOB)?.have ?? 0n);
      const start = Math.floor(Math.random() * 60);
      const some = 1 + Math.floor(Math.random() * 3);
      if (step % 3 === 0) await store.receive(BOB, LOG, all.slice(have, have + some));
      else await writer.leaves(all.slice(start, start + some), { first: 1n });
    }
    const have = Number(store.incoming(BOB)!.have);
    await store.receive(BOB, LOG, all.slice(have));
    assertEquals(unshown(store), contents(all));
    assertEquals(store.early(BOB), []);
  },
);
