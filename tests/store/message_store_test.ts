import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { MESSAGES_LAZY_COUNT } from "../../lib/limits.ts";
import { type Commit, MemoryMessages, type MessagesSnapshot } from "../testkit/memory_messages.ts";
import type {
  ConversationKey,
  Gap,
  HistoryEntry,
  MessageStore,
} from "../../lib/store/message_store.ts";
import { conforms } from "./disks.ts";
import type { KeptMessage, NewMessage } from "../../lib/wire/peer_messages.ts";

const BOB: ConversationKey = { peer: "bob", suite: "modern" };
const BOB_RSA: ConversationKey = { peer: "bob", suite: "rsa" };
const CAROL: ConversationKey = { peer: "carol", suite: "modern" };
const ALL = 2 ** 30;

let written = 1_700_000_000_000;

function text(content: string, id = systemRandom(16)): NewMessage {
  return { type: "text", id, written: written++, content: encodeUtf8(content) };
}

function end(): NewMessage {
  return { type: "end", id: systemRandom(16), written: written++, content: new Uint8Array(0) };
}

function numbered(first: number, ...messages: readonly NewMessage[]): KeptMessage[] {
  return messages.map((message, i) => ({ ...message, number: BigInt(first + i) }));
}

function contents(messages: readonly (KeptMessage | Gap)[]): string[] {
  return messages.map((message) =>
    message.type === "gap"
      ? `gap ${message.from}-${message.to}`
      : `${message.number} ${decodeUtf8(message.content)}`
  );
}

/** How far a log that is read has come, whatever its last message is. */
function where(store: MessageStore, key: ConversationKey, log?: Bytes) {
  const { haveId: _, ...state } = store.incoming(key, log)!;
  return state;
}

async function refuses(change: Promise<unknown>, code: ErrorCode): Promise<void> {
  assertEquals((await assertRejects(() => change, CifraError)).code, code);
}

function unshown(store: MessageStore, key: ConversationKey): string[] {
  return contents(store.unshown(key, 0, 1000).map(({ message }) => message));
}

function lines(entries: Iterable<HistoryEntry>): string[] {
  return [...entries].map((entry) => {
    if (entry.type === "gap") return `gap ${entry.peer} ${entry.from}-${entry.to}`;
    const { peer, direction, number, state } = entry;
    const said = entry.type === "text" ? entry.text : `offer ${entry.name}`;
    return `${direction} ${peer} ${number} ${said} ${state}`;
  });
}

conforms("numbers what is appended from 1, without a gap", async (disk) => {
  const store = await disk.open();
  const begun = await store.outgoing(BOB);
  assertEquals([begun.log.length, begun.last, begun.stored, begun.read], [16, 0n, 0n, 0n]);
  assertEquals(await store.append(BOB, []), 0n);
  const messages = [text("a"), end(), text("b")];
  assertEquals(await store.append(BOB, messages.slice(0, 2)), 2n);
  const both = await Promise.all([
    store.append(BOB, [messages[2]!]),
    store.append(BOB, [text("c"), text("d")]),
  ]);
  assertEquals(both, [3n, 5n]);
  assertEquals(await store.outgoing(BOB), { ...begun, last: 5n });
  assertEquals(store.read(BOB, 1n, ALL).slice(0, 3), numbered(1, ...messages));
  assertEquals(contents(store.read(BOB, 4n, ALL)), ["4 c", "5 d"]);
  await store.close();
  const again = await disk.open();
  assertEquals(await again.outgoing(BOB), { ...begun, last: 5n });
  assertEquals(again.read(BOB, 1n, ALL).slice(0, 3), numbered(1, ...messages));
});

conforms("begins a log by itself when the first message comes", async (disk) => {
  const store = await disk.open();
  assertEquals(store.read(BOB, 1n, ALL), []);
  assertEquals(await store.append(BOB, [text("a")]), 1n);
  assertEquals((await store.outgoing(BOB)).last, 1n);
});

conforms("gives messages up to a limit of bytes, but always one", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, [text("x".repeat(10)), text("y".repeat(10)), text(""), text("z")]);
  const sizes = [0, 1, 9, 10, 19, 20, 21].map((limit) => store.read(BOB, 1n, limit).length);
  assertEquals(sizes, [1, 1, 1, 1, 1, 3, 4]);
  assertEquals(store.read(BOB, 5n, ALL), []);
  assertEquals(store.read(BOB, 2n ** 64n - 1n, ALL), []);
});

conforms("appends a message once that is appended twice", async (disk) => {
  const store = await disk.open();
  const message = text("once");
  assertEquals(await store.append(BOB, [message, text("other")]), 2n);
  assertEquals(await store.append(BOB, [message]), 2n);
  assertEquals(await store.append(CAROL, [message]), 1n);
  assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 once", "2 other"]);
});

conforms("shows nothing of a change that is not on disk", async (disk) => {
  const store = await disk.open();
  await store.outgoing(BOB);
  const appended = store.append(BOB, [text("a")]);
  assertEquals(store.read(BOB, 1n, ALL), []);
  await appended;
  assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 a"]);
});

conforms(
  "keeps what a message was when it was given, also when its bytes are used again",
  async (disk) => {
    const store = await disk.open();
    const ours = text("ours"), theirs = numbered(1, text("theirs")), log = systemRandom(16);
    const name = log.slice();
    const changes = [store.append(BOB, [ours]), store.receive(BOB, log, theirs)];
    for (const bytes of [ours.content, ours.id, theirs[0]!.content, theirs[0]!.id, log]) {
      bytes
        .fill(0);
    }
    await Promise.all(changes);
    assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 ours"]);
    assertEquals(store.incoming(BOB)?.log, name);
    assertEquals(unshown(store, BOB), ["1 theirs"]);
  },
);

conforms(
  "takes acknowledgements forward only, never beyond the end, and gives no more what is stored",
  async (disk) => {
    const store = await disk.open();
    await store.append(BOB, [text("a"), text("b"), text("c"), text("d")]);
    const stands = async () => {
      const { last, stored, read } = await store.outgoing(BOB);
      return [last, stored, read];
    };
    store.acknowledge(BOB, 2n, 1n);
    assertEquals(await stands(), [4n, 2n, 1n]);
    store.acknowledge(BOB, 1n, 0n);
    assertEquals(await stands(), [4n, 2n, 1n]);
    assertEquals(contents(store.read(BOB, 1n, ALL)), ["3 c", "4 d"]);
    // Nothing is shown that is not stored.
    store.acknowledge(BOB, 2n, 4n);
    assertEquals(await stands(), [4n, 2n, 2n]);
    store.acknowledge(BOB, 2n ** 64n - 1n, 2n ** 64n - 1n);
    assertEquals(await stands(), [4n, 4n, 4n]);
    assertEquals(store.read(BOB, 1n, ALL), []);
    assertEquals(await store.append(BOB, [text("e")]), 5n);
    assertEquals(await stands(), [5n, 4n, 4n]);
    assertEquals(contents(store.read(BOB, 1n, ALL)), ["5 e"]);
    store.acknowledge(CAROL, 1n, 1n);
  },
);

conforms(
  "writes acknowledgements with the next change, and loses them alone in a crash",
  async (disk) => {
    const store = await disk.open();
    const log = systemRandom(16);
    await store.append(BOB, [text("a"), text("b"), text("c")]);
    await store.receive(BOB, log, numbered(1, text("x"), text("y")));
    store.acknowledge(BOB, 2n, 1n);
    store.markRead(BOB, log, 1n);
    await store.append(CAROL, [text("carries them to the disk")]);
    store.acknowledge(BOB, 3n, 3n);
    store.markRead(BOB, log, 2n);
    assertEquals(unshown(store, BOB), []);
    const again = await disk.afterCrash(store);
    const { last, stored, read } = await again.outgoing(BOB);
    assertEquals([last, stored, read], [3n, 2n, 1n]);
    assertEquals(where(again, BOB), { log, have: 2n, read: 1n });
    assertEquals(unshown(again, BOB), ["2 y"]);
    assertEquals(contents(again.read(BOB, 1n, ALL)), ["3 c"]);
  },
);

conforms("writes acknowledgements when many wait, and when it is closed", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, Array.from({ length: MESSAGES_LAZY_COUNT + 5 }, () => text("x")));
  for (let n = 1n; n <= MESSAGES_LAZY_COUNT; n++) store.acknowledge(BOB, n, n);
  // The turn in which they are written is over when a change of the same turn is.
  const turn = Promise.withResolvers<void>();
  setTimeout(turn.resolve, 0);
  await turn.promise;
  const crashed = await disk.afterCrash(store);
  assertEquals((await crashed.outgoing(BOB)).stored, BigInt(MESSAGES_LAZY_COUNT));
  crashed.acknowledge(BOB, BigInt(MESSAGES_LAZY_COUNT) + 3n, 0n);
  await crashed.close();
  const again = await disk.open();
  assertEquals((await again.outgoing(BOB)).stored, BigInt(MESSAGES_LAZY_COUNT) + 3n);
});

conforms(
  "takes a text back that is not stored over there, under its number and id",
  async (disk) => {
    const store = await disk.open();
    const messages = [text("a"), text("b"), end(), text("c")];
    await store.append(BOB, messages);
    store.acknowledge(BOB, 1n, 1n);
    const taken = [0n, 1n, 2n, 2n, 3n, 5n, 2n ** 64n].map((number) => store.takeBack(BOB, number));
    assertEquals(await Promise.all(taken), [false, false, true, false, false, false, false]);
    assertEquals(await store.takeBack(CAROL, 1n), false);
    const nothing = new Uint8Array(0);
    const b = { ...messages[1]!, type: "taken back", content: nothing } as const;
    const left = [{ ...b, number: 2n }, ...numbered(3, messages[2]!, messages[3]!)];
    assertEquals(store.read(BOB, 1n, ALL), left);
    // It is a message of the log: it counts as one, goes over into a new one, and is not said again.
    assertEquals(await store.append(BOB, [messages[1]!]), 4n);
    assertEquals(lines(store.history({})), ["sent bob 1 a read", "sent bob 4 c queued"]);
    const crashed = await disk.afterCrash(store);
    assertEquals(crashed.read(BOB, 1n, ALL), left);
    await crashed.restart(BOB);
    assertEquals(crashed.read(BOB, 1n, ALL)[0], { ...b, number: 1n });
    assertEquals(await crashed.takeBack(BOB, 3n), true);
  },
);

conforms(
  "receives what was taken back like any message, and shows nothing of it later",
  async (disk) => {
    const store = await disk.open();
    const log = systemRandom(16);
    const [a, b, c] = numbered(1, text("a"), text("b"), text("c"));
    const back = (message: KeptMessage): KeptMessage => {
      return { ...message, type: "taken back", written: 0, content: new Uint8Array(0) };
    };
    await store.receive(BOB, log, [a!, back(b!)]);
    assertEquals(await store.receive(BOB, log, [back(a!), b!, c!]), [c!]);
    assertEquals(store.unshown(BOB, 0, 10).map(({ message }) => message), [a!, back(b!), c!]);
    assertEquals([store.unread(BOB), store.backlog(BOB)], [2, { messages: 3, bytes: 2 }]);
    assertEquals(lines(store.history({})), [
      "received bob 1 a received",
      "received bob 3 c received",
    ]);
    const crashed = await disk.afterCrash(store);
    assertEquals(crashed.unshown(BOB, 0, 10).map(({ message }) => message), [a!, back(b!), c!]);
  },
);

conforms("restarts a log with what is not stored over there, ids unchanged", async (disk) => {
  const store = await disk.open();
  const messages = [text("a"), text("b"), text("c"), end()];
  await store.append(BOB, messages);
  store.acknowledge(BOB, 2n, 1n);
  const before = await store.outgoing(BOB);
  const after = await store.restart(BOB);
  assertNotEquals(after.log, before.log);
  assertEquals([after.last, after.stored, after.read], [2n, 0n, 0n]);
  assertEquals(await store.outgoing(BOB), after);
  assertEquals(store.read(BOB, 1n, ALL), numbered(1, messages[2]!, messages[3]!));
  assertEquals(await store.append(BOB, [text("e")]), 3n);
  store.acknowledge(BOB, 1n, 0n);
  assertEquals(lines(store.history({})), [
    "sent bob 1 a read",
    "sent bob 2 b stored",
    "sent bob 1 c stored",
    "sent bob 3 e queued",
  ]);
  const twice = await store.restart(BOB);
  assertEquals([twice.last, twice.stored], [2n, 0n]);
  assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 ", "2 e"]);
  await store.close();
  const again = await disk.open();
  assertEquals(await again.outgoing(BOB), twice);
});

conforms(
  "restarts what was never begun, or is all stored over there, with an empty log",
  async (disk) => {
    const store = await disk.open();
    const { last, log } = await store.restart(BOB);
    assertEquals([last, log.length], [0n, 16]);
    await store.append(BOB, [text("a")]);
    store.acknowledge(BOB, 1n, 1n);
    assertEquals((await store.restart(BOB)).last, 0n);
    assertEquals(await store.append(BOB, [text("b")]), 1n);
    assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 b"]);
  },
);

conforms("takes what was asked for before a restart in its turn", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, [text("a"), text("b")]);
  const [, state, last] = await Promise.all([
    store.append(BOB, [text("c")]),
    store.restart(BOB),
    store.append(BOB, [text("d")]),
    // Still about the old log: the new one does not exist yet.
    Promise.resolve(store.acknowledge(BOB, 1n, 0n)),
  ]);
  assertEquals([state.last, last], [2n, 3n]);
  assertEquals((await store.outgoing(BOB)).stored, 0n);
  assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 b", "2 c", "3 d"]);
});

conforms("receives each number once", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16);
  const [a, b, c, d] = numbered(1, text("a"), text("b"), end(), text("d"));
  assertEquals(store.incoming(BOB), undefined);
  assertEquals(store.incoming(BOB, log), undefined);
  assertEquals(await store.receive(BOB, log, [a!, b!]), [a!, b!]);
  assertEquals(where(store, BOB), { log, have: 2n, read: 0n });
  assertEquals(await store.receive(BOB, log, [a!, b!]), []);
  const both = await Promise.all([
    store.receive(BOB, log, [b!, c!]),
    store.receive(BOB, log, [b!, c!, d!]),
  ]);
  assertEquals(both, [[c!], [d!]]);
  assertEquals(where(store, BOB, log), { log, have: 4n, read: 0n });
  await store.close();
  const again = await disk.open();
  assertEquals(await again.receive(BOB, log, [a!, d!]), []);
  assertEquals(again.unshown(BOB, 0, 10).map(({ message }) => message), [a!, b!, c!, d!]);
});

conforms("refuses a gap, and changes nothing but what others asked for", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16);
  const refused = (number: number, ...messages: readonly NewMessage[]) =>
    refuses(store.receive(BOB, log, numbered(number, ...messages)), "bad_state");
  await refused(2, text("b"));
  assertEquals(store.incoming(BOB), undefined);
  await store.receive(BOB, log, numbered(1, text("a")));
  // In one transaction with a change of somebody who is innocent.
  const both = [store.append(CAROL, [text("ours")]), refused(3, text("c"))] as const;
  assertEquals(await both[0], 1n);
  await both[1];
  const swapped = numbered(2, text("b"), text("c")).toReversed();
  await refuses(store.receive(BOB, log, swapped), "bad_state");
  assertEquals(where(store, BOB), { log, have: 1n, read: 0n });
  assertEquals(unshown(store, BOB), ["1 a"]);
});

conforms("receives each id once, also over two logs", async (disk) => {
  const store = await disk.open();
  const [first, second] = [systemRandom(16), systemRandom(16)];
  const [a, b, c] = [text("a"), text("b"), text("c")];
  await store.receive(BOB, first, numbered(1, a, b));
  const fresh = await store.receive(BOB, second, numbered(1, b, c, a, c));
  assertEquals(contents(fresh), ["2 c"]);
  assertEquals(where(store, BOB), { log: second, have: 4n, read: 0n });
  assertEquals(where(store, BOB, first), { log: first, have: 2n, read: 0n });
  assertEquals(
    store.unshown(BOB, 0, 10).map(({ log, message }) => [log, contents([message])]),
    [[first, ["1 a"]], [first, ["2 b"]], [second, ["2 c"]]],
  );
  // The same id of somebody else, or in another suite, is another message.
  assertEquals((await store.receive(CAROL, second, numbered(1, a))).length, 1);
  assertEquals((await store.receive(BOB_RSA, second, numbered(1, a))).length, 1);
  assertEquals(await store.append(BOB, [a]), 1n);
});

conforms("knows which log was read last", async (disk) => {
  const store = await disk.open();
  const [first, second] = [systemRandom(16), systemRandom(16)];
  await store.receive(BOB, first, numbered(1, text("a")));
  await store.receive(BOB, second, numbered(1, text("b")));
  assertEquals(store.incoming(BOB)?.log, second);
  await store.receive(BOB, first, numbered(1, text("a")));
  assertEquals(store.incoming(BOB)?.log, first);
  await store.skip(BOB, second, 1n);
  assertEquals(where(store, BOB), { log: second, have: 1n, read: 0n });
  await store.close();
  assertEquals((await disk.open()).incoming(BOB)?.log, second);
});

conforms("goes on after what the other side cannot give any more", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16);
  await store.skip(BOB, log, 5n);
  assertEquals(where(store, BOB), { log, have: 4n, read: 0n });
  assertEquals(contents(await store.receive(BOB, log, numbered(4, text("d"), text("e")))), ["5 e"]);
  await store.skip(BOB, log, 3n);
  await store.skip(BOB, log, 0n);
  assertEquals(where(store, BOB), { log, have: 5n, read: 0n });
  await store.skip(BOB, log, 9n);
  await store.receive(BOB, log, numbered(9, text("i")));
  assertEquals(unshown(store, BOB), ["gap 1-4", "5 e", "gap 6-8", "9 i"]);
});

conforms(
  "keeps a gap as it keeps a message: once, in its turn, until it was shown",
  async (disk) => {
    const store = await disk.open();
    const [first, second] = [systemRandom(16), systemRandom(16)];
    await store.receive(BOB, first, numbered(1, text("a")));
    // Asked for twice, as by two channels, and of no other log or person.
    await Promise.all([store.skip(BOB, first, 4n), store.skip(BOB, first, 4n)]);
    await store.receive(BOB, first, numbered(4, text("d")));
    await store.skip(BOB, second, 2n);
    await store.receive(CAROL, first, numbered(1, text("hers")));
    await store.skip(BOB, second, 3n);
    const all = ["1 a", "gap 2-3", "4 d", "gap 1-1", "gap 2-2"];
    assertEquals(unshown(store, BOB), all);
    // A gap is nothing to read.
    assertEquals(store.unread(BOB), 2);
    const crashed = await disk.afterCrash(store);
    assertEquals(unshown(crashed, BOB), all);
    crashed.markRead(BOB, first, 2n);
    assertEquals(unshown(crashed, BOB), all.slice(1));
    crashed.markRead(BOB, first, 3n);
    crashed.markRead(BOB, second, 1n);
    assertEquals(unshown(crashed, BOB), ["4 d", "gap 2-2"]);
    await crashed.close();
    const again = await disk.open();
    assertEquals(unshown(again, BOB), ["4 d", "gap 2-2"]);
    assertEquals(where(again, BOB, first), { log: first, have: 4n, read: 3n });
    assertEquals(where(again, BOB, second), { log: second, have: 2n, read: 1n });
  },
);

conforms("has gaps in the history, where nothing is searched for", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16);
  await store.receive(BOB, log, numbered(1, text("a")));
  await store.skip(BOB, log, 4n);
  await store.append(BOB, [text("ours")]);
  await store.skip(CAROL, log, 2n);
  await store.receive(BOB, log, numbered(4, text("gap")));
  const all = [
    "received bob 1 a received",
    "gap bob 2-3",
    "sent bob 1 ours queued",
    "gap carol 1-1",
    "received bob 4 gap received",
  ];
  store.markRead(BOB, log, 4n);
  assertEquals(lines(store.history({})), all);
  assertEquals(lines(store.history({ peer: "carol" })), ["gap carol 1-1"]);
  assertEquals(lines(store.history({ search: "gap" })), all.slice(4));
  await store.close();
  assertEquals(lines((await disk.open()).history({ peer: "bob" })), all.toSpliced(3, 1));
});

conforms("without history forgets a gap that was shown", async (disk) => {
  const store = await disk.open(false);
  const log = systemRandom(16);
  await store.skip(BOB, log, 4n);
  await store.receive(BOB, log, numbered(4, text("d")));
  store.markRead(BOB, log, 3n);
  await store.append(CAROL, []);
  assertEquals(lines(store.history({})), ["received bob 4 d received"]);
  assertEquals(where(store, BOB), { log, have: 4n, read: 3n });
});

conforms(
  "knows the id of the last message that came, as long as that is the last one",
  async (disk) => {
    const store = await disk.open();
    const [first, second] = [systemRandom(16), systemRandom(16)];
    const [a, b, c] = [text("a"), text("b"), end()];
    const known = (where: MessageStore = store) =>
      [first, second].map((log) => where.incoming(BOB, log)?.haveId);
    await store.receive(BOB, first, []);
    assertEquals(known(), [undefined, undefined]);
    await store.receive(BOB, first, numbered(1, a, b));
    await store.receive(BOB, first, numbered(1, a));
    assertEquals(known(), [b.id, undefined]);
    await store.receive(BOB, first, numbered(2, b, c));
    // Also of a message whose content was here already, in another log.
    await store.receive(BOB, second, numbered(1, a));
    assertEquals(known(), [c.id, a.id]);
    assertEquals(store.incoming(BOB)?.haveId, a.id);
    await store.skip(BOB, first, 4n);
    assertEquals(known(), [c.id, a.id]);
    await store.skip(BOB, first, 5n);
    assertEquals(known(), [undefined, a.id]);
    await store.close();
    const again = await disk.open();
    assertEquals(known(again), [undefined, a.id]);
    await again.receive(BOB, first, numbered(5, b));
    assertEquals(known(await disk.afterCrash(again)), [b.id, a.id]);
  },
);

conforms("gives out ids that are nobody else's to change", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16), a = text("a"), id = a.id.slice();
  await store.receive(BOB, log, numbered(1, a));
  a.id.fill(0);
  store.incoming(BOB)!.haveId!.fill(0);
  assertEquals(store.incoming(BOB)!.haveId, id);
});

conforms("refuses numbers that no message can have, and takes the largest", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16);
  for (const before of [2n ** 63n, 2n ** 64n - 1n]) {
    const error = await assertRejects(() => store.skip(BOB, log, before), CifraError);
    assertEquals(error.code, "limit");
  }
  const largest = 2n ** 63n - 1n;
  await store.skip(BOB, log, largest);
  const [message] = numbered(1, text("last"));
  assertEquals(
    await store.receive(BOB, log, [{ ...message!, number: largest }]),
    [{ ...message!, number: largest }],
  );
  assertEquals(unshown(store, BOB), [`gap 1-${largest - 1n}`, `${largest} last`]);
  await refuses(store.receive(BOB, log, [{ ...message!, number: largest + 1n }]), "limit");
  store.markRead(BOB, log, 2n ** 64n - 1n);
  assertEquals(where(store, BOB), { log, have: largest, read: largest });
});

conforms("takes any time a stranger may claim", async (disk) => {
  const store = await disk.open();
  const times = [0, -5, 1.5, Number.MAX_SAFE_INTEGER, 2 ** 64, Infinity];
  const messages = times.map((time) => ({ ...text(`${time}`), written: time }));
  await store.receive(BOB, systemRandom(16), numbered(1, ...messages));
  const kept = [...store.history({})].flatMap((entry) =>
    entry.type === "text" ? [entry.written] : []
  );
  assertEquals(kept, [0, 0, 1, 8.64e15, 8.64e15, 8.64e15]);
  for (const time of kept) new Date(time).toISOString();
});

conforms(
  "counts the texts that were not shown, and names those of each conversation",
  async (disk) => {
    const store = await disk.open();
    assertEquals([store.unread(BOB), store.peers("modern")], [0, []]);
    const [first, second] = [systemRandom(16), systemRandom(16)];
    await store.receive(BOB, first, numbered(1, text("a"), end(), text("b")));
    await store.receive(BOB, second, numbered(1, text("c")));
    await store.receive(BOB_RSA, first, numbered(1, text("in another suite")));
    await store.append(CAROL, [text("ours")]);
    assertEquals([store.unread(BOB), store.unread(BOB_RSA), store.unread(CAROL)], [3, 1, 0]);
    assertEquals(store.backlog(BOB), { messages: 4, bytes: 3 });
    assertEquals(store.backlog(CAROL), { messages: 0, bytes: 0 });
    // What comes again is not new.
    await store.receive(BOB, first, numbered(1, text("a"), end(), text("b")));
    assertEquals(store.unread(BOB), 3);
    store.markRead(BOB, first, 2n);
    assertEquals(store.unread(BOB), 2);
    assertEquals(store.backlog(BOB), { messages: 2, bytes: 2 });
    assertEquals(store.peers("modern").toSorted(), ["bob", "carol"]);
    assertEquals(store.peers("rsa"), ["bob"]);
    await store.close();
    const again = await disk.open();
    assertEquals([again.unread(BOB), again.unread(BOB_RSA)], [2, 1]);
    again.markRead(BOB, first, 3n);
    again.markRead(BOB, second, 1n);
    assertEquals(again.unread(BOB), 0);
    await again.append(BOB, [text("and that is written down")]);
    assertEquals(again.unread(BOB), 0);
  },
);

conforms("lists what waits to be shown, oldest first, a page at a time", async (disk) => {
  const store = await disk.open();
  const [first, second] = [systemRandom(16), systemRandom(16)];
  assertEquals(store.lastOrdinal(), 0);
  await store.receive(BOB, first, numbered(1, text("a"), text("b"), text("c")));
  await store.append(BOB, [text("ours")]);
  await store.receive(CAROL, first, numbered(1, text("hers")));
  await store.receive(BOB, second, numbered(1, text("d"), end()));
  const ordinals = store.unshown(BOB, 0, 10).map(({ ordinal }) => ordinal);
  assertEquals(ordinals.length, 5);
  assert(ordinals[0]! > 0);
  assertEquals(ordinals, [...new Set(ordinals)].toSorted((a, b) => a - b));
  assertEquals(store.lastOrdinal(), ordinals.at(-1));
  const page = (after: number, limit: number) =>
    contents(store.unshown(BOB, after, limit).map(({ message }) => message));
  assertEquals(page(0, 0), []);
  assertEquals(page(0, 2), ["1 a", "2 b"]);
  assertEquals(page(ordinals[1]!, 2), ["3 c", "1 d"]);
  assertEquals(page(ordinals[3]!, 2), ["2 "]);
  assertEquals(page(ordinals[4]!, 2), []);
  store.markRead(BOB, first, 2n);
  assertEquals(page(0, 2), ["3 c", "1 d"]);
  store.markRead(BOB, first, 1n);
  store.markRead(BOB, second, 1n);
  store.markRead(BOB, systemRandom(16), 1n);
  store.markRead(CAROL, second, 1n);
  assertEquals(page(0, 10), ["3 c", "2 "]);
  assertEquals(where(store, BOB, first), { log: first, have: 3n, read: 2n });
  await store.close();
  const again = await disk.open();
  assertEquals(unshown(again, BOB), ["3 c", "2 "]);
  assertEquals(unshown(again, CAROL), ["1 hers"]);
  assertEquals(again.lastOrdinal(), ordinals.at(-1));
});

conforms("does not doubt what a run that ended in order left to be shown", async (disk) => {
  const log = systemRandom(16);
  const first = await disk.open();
  assertEquals(first.doubtfulUpTo, 0);
  await first.receive(BOB, log, numbered(1, text("a"), text("b")));
  assertEquals(first.doubtfulUpTo, 0, "what came in this run is no question");
  await first.close();
  const second = await disk.open();
  assertEquals(second.doubtfulUpTo, 0);
  await second.close();
  assertEquals((await disk.open()).doubtfulUpTo, 0);
});

conforms(
  "doubts all that waits after a crash, whatever an orderly run left of it",
  async (disk) => {
    const log = systemRandom(16);
    const first = await disk.open();
    await first.receive(BOB, log, numbered(1, text("a"), text("b")));
    await first.close();
    const third = await disk.afterCrash(await disk.open());
    assertEquals(third.doubtfulUpTo, third.lastOrdinal());
    await third.receive(BOB, log, numbered(3, text("c")));
    assert(third.doubtfulUpTo < third.lastOrdinal());
    const fourth = await disk.afterCrash(third);
    assertEquals(fourth.doubtfulUpTo, fourth.lastOrdinal());
  },
);

conforms(
  "does not forget a doubt when a later run shows nothing and ends in order",
  async (disk) => {
    const log = systemRandom(16);
    const killed = await disk.open();
    await killed.receive(BOB, log, numbered(1, text("a"), text("b")));
    const idle = await disk.afterCrash(killed);
    const doubtful = idle.lastOrdinal();
    await idle.receive(BOB, log, numbered(3, text("c")));
    await idle.close();
    for (let run = 0; run < 2; run++) {
      const store = await disk.open();
      assertEquals(store.doubtfulUpTo, doubtful);
      assert(doubtful < store.lastOrdinal(), "what came after it is not doubted");
      await store.close();
    }
  },
);

conforms("uses no ordinal twice, also when messages are deleted", async (disk) => {
  const store = await disk.open(false);
  const log = systemRandom(16);
  const seen: number[] = [];
  for (let n = 1; n <= 5; n++) {
    await store.receive(BOB, log, numbered(n, text("x")));
    seen.push(...store.unshown(BOB, seen.at(-1) ?? 0, 10).map(({ ordinal }) => ordinal));
    assertEquals(store.lastOrdinal(), seen.at(-1));
    store.markRead(BOB, log, BigInt(n));
  }
  assertEquals(seen.length, 5);
});

conforms("keeps two people and two suites apart", async (disk) => {
  const store = await disk.open();
  const keys = [BOB, BOB_RSA, CAROL];
  const log = systemRandom(16);
  for (const [i, key] of keys.entries()) {
    await store.append(key, Array.from({ length: i + 1 }, () => text(`to ${key.peer}`)));
    await store.receive(key, log, numbered(1, ...Array.from({ length: i + 2 }, () => text("x"))));
    store.acknowledge(key, BigInt(i), 0n);
    store.markRead(key, log, BigInt(i + 1));
  }
  const logs = new Set<string>();
  for (const [i, key] of keys.entries()) {
    const state = await store.outgoing(key);
    logs.add(state.log.join());
    assertEquals([state.last, state.stored, state.read], [BigInt(i + 1), BigInt(i), 0n]);
    assertEquals(contents(store.read(key, 1n, ALL)), [`${i + 1} to ${key.peer}`]);
    assertEquals(where(store, key), { log, have: BigInt(i + 2), read: BigInt(i + 1) });
    assertEquals(unshown(store, key), [`${i + 2} x`]);
  }
  assertEquals(logs.size, 3);
});

conforms(
  "tells the history with how far each message came, and finds words in it",
  async (disk) => {
    const store = await disk.open();
    const log = systemRandom(16);
    await store.append(BOB, [text("Hello"), text("Grüße, ÉCOLE"), end()]);
    await store.receive(BOB, log, numbered(1, text("hello yourself"), end()));
    await store.append(CAROL, [text("one"), text("two"), text("three")]);
    store.acknowledge(CAROL, 2n, 1n);
    store.markRead(BOB, log, 1n);
    const all = [
      "sent bob 1 Hello queued",
      "sent bob 2 Grüße, ÉCOLE queued",
      "received bob 1 hello yourself received",
      "sent carol 1 one read",
      "sent carol 2 two stored",
      "sent carol 3 three queued",
    ];
    assertEquals(lines(store.history({})), all);
    assertEquals(lines(store.history({ peer: "bob" })), all.slice(0, 3));
    assertEquals(lines(store.history({ peer: "dave" })), []);
    assertEquals(lines(store.history({ search: "HELLO" })), [all[0]!, all[2]!]);
    assertEquals(lines(store.history({ search: "école" })), [all[1]!]);
    assertEquals(lines(store.history({ peer: "carol", search: "t" })), all.slice(4));
    assertEquals(lines(store.history({ search: "%" })), []);
    await store.close();
    assertEquals(lines((await disk.open()).history({})), all);
  },
);

conforms(
  "finds words whatever their case and Unicode form, on disk and asked for",
  async (disk) => {
    const store = await disk.open();
    const said = ["Stra\u00dfe", "cafe\u0301", "\uff21\ufb01", "\u039f\u0394\u039f\u03a3", "100%"];
    await store.append(BOB, said.map((each) => text(each)));
    const found = (search: string) =>
      lines(store.history({ search })).map((line) => said.findIndex((each) => line.includes(each)));
    for (const search of ["STRASSE", "stra\u1e9ee", "strasse"]) assertEquals(found(search), [0]);
    for (const search of ["CAF\u00c9", "caf\u00e9", "cafe\u0301"]) assertEquals(found(search), [1]);
    assertEquals(found("AFI"), [2]);
    // Small sigma has two forms, by its place.
    for (const search of ["\u03bf\u03b4\u03bf\u03c3", "\u03bf\u03c2"]) {
      assertEquals(found(search), [3]);
    }
    assertEquals(found("%"), [4]);
  },
);

conforms("tells the newest of the history, since when, and what is past", async (disk) => {
  const store = await disk.open();
  const log = systemRandom(16);
  const at = (content: string, written: number) => ({ ...text(content), written });
  await store.append(BOB, Array.from({ length: 250 }, (_, i) => at(`${i}`, i)));
  await store.append(CAROL, [at("other", 250)]);
  await store.receive(BOB, log, numbered(1, at("seen", 300), at("new", 301)));
  store.acknowledge(BOB, 248n, 248n);
  store.markRead(BOB, log, 1n);
  const found = (filter: Parameters<typeof store.history>[0]) =>
    lines(store.history(filter)).map((line) => line.split(" ")[3]!);
  assertEquals(found({ last: 0 }), []);
  assertEquals(found({ last: 1 }), ["new"]);
  assertEquals(found({ last: 3 }), ["other", "seen", "new"]);
  assertEquals(found({ last: 3, peer: "bob" }), ["249", "seen", "new"]);
  assertEquals(found({ last: 2, search: "4" }), ["248", "249"]);
  assertEquals(found({ last: 1000 }).length, 253);
  assertEquals(found({ last: 3, isPast: true, peer: "bob" }), ["248", "249", "seen"]);
  assertEquals(found({ last: 3, isNew: true, peer: "bob" }), ["new"]);
  assertEquals(found({ since: 249 }), ["249", "other", "seen", "new"]);
  assertEquals(found({ since: 249, last: 2, search: "e" }), ["seen", "new"]);
  await store.close();
  assertEquals(
    lines((await disk.open()).history({ last: 2, isPast: true })).map((line) => line.split(" ")[3]),
    ["other", "seen"],
  );
});

conforms("gives a long history whole, in order, also while it grows", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, Array.from({ length: 250 }, (_, i) => text(`${i}`)));
  const told: string[] = [];
  for (const entry of store.history({})) {
    if (entry.type === "text") told.push(entry.text);
    if (told.length === 120) await store.append(CAROL, [text("250")]);
  }
  assertEquals(told, Array.from({ length: 251 }, (_, i) => `${i}`));
});

conforms(
  "without history forgets what is stored over there and shown here, not how far it came",
  async (disk) => {
    const store = await disk.open(false);
    const log = systemRandom(16);
    const ours = [text("a"), text("b"), text("c")];
    const theirs = numbered(1, text("x"), text("y"));
    await store.append(BOB, ours);
    await store.receive(BOB, log, theirs);
    assertEquals(lines(store.history({})).length, 5);
    store.acknowledge(BOB, 2n, 0n);
    store.markRead(BOB, log, 1n);
    await store.append(CAROL, []);
    const left = ["sent bob 3 c queued", "received bob 2 y received"];
    assertEquals(lines(store.history({})), left);
    assertEquals(contents(store.read(BOB, 1n, ALL)), ["3 c"]);
    assertEquals(unshown(store, BOB), ["2 y"]);
    assertEquals(await store.receive(BOB, log, theirs), []);
    // The ids have gone as well.
    assertEquals(await store.append(BOB, [ours[0]!]), 4n);
    const state = await store.outgoing(BOB);
    assertEquals([state.last, state.stored, state.read], [4n, 2n, 0n]);
    await store.close();
    const again = await disk.open(false);
    assertEquals(await again.outgoing(BOB), state);
    assertEquals(where(again, BOB), { log, have: 2n, read: 1n });
    again.acknowledge(BOB, 4n, 4n);
    again.markRead(BOB, log, 2n);
    await again.close();
    const last = await disk.open(false);
    assertEquals(lines(last.history({})), []);
    assertEquals((await last.outgoing(BOB)).last, 4n);
    assertEquals(last.incoming(BOB)?.haveId, theirs[1]!.id);
  },
);

conforms("without history leaves what was kept before", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, [text("a"), text("b")]);
  const log = systemRandom(16);
  await store.receive(BOB, log, numbered(1, text("x"), text("y")));
  store.acknowledge(BOB, 1n, 1n);
  store.markRead(BOB, log, 1n);
  await store.close();
  const second = await disk.open(false);
  second.acknowledge(BOB, 2n, 2n);
  second.markRead(BOB, log, 2n);
  await second.close();
  assertEquals(
    lines((await disk.open()).history({})),
    ["sent bob 1 a read", "received bob 1 x received"],
  );
});

conforms("may not be used when it is closed, which closing twice does not", async (disk) => {
  const store = await disk.open();
  const last = store.append(BOB, [text("asked for before")]);
  await store.close();
  await store.close();
  assertEquals(await last, 1n);
  await assertRejects(() => store.append(BOB, [text("a")]), Error, "closed");
  await assertRejects(() => store.outgoing(BOB), Error, "closed");
  assertThrows(() => store.read(BOB, 1n, 1), Error, "closed");
  assertThrows(() => store.acknowledge(BOB, 1n, 1n), Error, "closed");
  assertThrows(() => store.incoming(BOB), Error, "closed");
  assertThrows(() => store.lastOrdinal(), Error, "closed");
  assertEquals(lines((await disk.open()).history({})).length, 1);
});

// --- Random operations against a model ---

/** A small generator of numbers, the same for the same seed (mulberry32). */
function generator(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** What one conversation must look like, as plainly as it can be said. */
class Model {
  sent: string[] = [];
  stored = 0;
  read = 0;
  /** Messages of logs that were given up, with their states. */
  readonly retired: string[] = [];
  readonly logs: {
    readonly name: Bytes;
    have: number;
    haveId: Bytes | undefined;
    read: number;
    kept: [number, string][];
  }[] = [];
  readonly known = new Set<string>();
  current = -1;
}

conforms("does what a model of it does, whatever it is asked in whatever order", async (disk) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  const below = generator(seed);
  let counter = 0;
  const idOf = (text: string) => encodeUtf8(text.padStart(16, "0"));
  const keys = [BOB, BOB_RSA, CAROL];
  const models = new Map(keys.map((key) => [key, new Model()]));
  let store = await disk.open();
  for (let step = 0; step < 600; step++) {
    const key = keys[below(keys.length)]!;
    const model = models.get(key)!;
    const action = below(9);
    if (action <= 1) {
      const fresh = Array.from({ length: below(4) }, () => `${++counter}`);
      model.sent.push(...fresh);
      const last = await store.append(key, fresh.map((name) => text(name, idOf(name))));
      assertEquals(last, BigInt(model.sent.length));
    } else if (action === 2) {
      const [stored, read] = [below(model.sent.length + 3), below(model.sent.length + 3)];
      await store.outgoing(key);
      store.acknowledge(key, BigInt(stored), BigInt(read));
      model.stored = Math.max(model.stored, Math.min(stored, model.sent.length));
      model.read = Math.max(model.read, Math.min(read, model.stored));
    } else if (action === 3 && below(4) === 0) {
      const before = await store.outgoing(key);
      const { log } = await store.restart(key);
      assertNotEquals(log, before.log);
      model.retired.push(...model.sent.slice(0, model.stored));
      model.sent = model.sent.slice(model.stored);
      model.stored = model.read = 0;
    } else if (action <= 5) {
      if (model.logs.length === 0 || below(10) === 0) {
        const name = systemRandom(16);
        model.logs.push({ name, have: 0, haveId: undefined, read: 0, kept: [] });
      }
      model.current = below(model.logs.length);
      const log = model.logs[model.current]!;
      const again = below(log.have + 1);
      const names = Array.from(
        { length: again + below(4) },
        () => below(3) === 0 && counter > 0 ? `${1 + below(counter)}` : `${++counter}`,
      );
      const messages = names.map((name) => text(name, idOf(name)));
      const expected: string[] = [];
      for (const name of names.slice(again)) {
        log.have++;
        log.haveId = idOf(name);
        if (model.known.has(name)) continue;
        model.known.add(name);
        log.kept.push([log.have, `${log.have} ${name}`]);
        expected.push(`${log.have} ${name}`);
      }
      const first = log.have - names.length + 1;
      const fresh = await store.receive(key, log.name, numbered(first, ...messages));
      assertEquals(contents(fresh), expected);
    } else if (action === 6 && model.logs.length > 0) {
      model.current = below(model.logs.length);
      const log = model.logs[model.current]!;
      const before = below(log.have + 4);
      await store.skip(key, log.name, BigInt(before));
      if (before > log.have + 1) {
        log.haveId = undefined;
        log.kept.push([before - 1, `gap ${log.have + 1}-${before - 1}`]);
      }
      log.have = Math.max(log.have, before - 1);
    } else if (action === 7 && model.logs.length > 0) {
      const log = model.logs[below(model.logs.length)]!;
      const number = below(log.have + 3);
      store.markRead(key, log.name, BigInt(number));
      log.read = Math.max(log.read, Math.min(number, log.have));
    } else if (action === 8 && below(5) === 0) {
      await store.close();
      store = await disk.open();
    }
    await compare(store, key, model);
  }
});

async function compare(store: MessageStore, key: ConversationKey, model: Model): Promise<void> {
  const { last, stored, read } = await store.outgoing(key);
  assertEquals(
    [last, stored, read],
    [model.sent.length, model.stored, model.read].map((number) => BigInt(number)),
  );
  const queued = model.sent.map((name, i) => `${i + 1} ${name}`).slice(model.stored);
  assertEquals(contents(store.read(key, 0n, ALL)), queued);
  const current = model.logs[model.current];
  assertEquals(store.incoming(key)?.log, current?.name);
  for (const { name, have, haveId, read } of model.logs) {
    const state = store.incoming(key, name);
    // A log that was made up and never used is unknown.
    if (state) assertEquals(state, { log: name, have: BigInt(have), haveId, read: BigInt(read) });
    else assertEquals(have, 0);
  }
  const waiting = model.logs.flatMap(({ kept, read }) =>
    kept.filter(([number]) => number > read).map(([, content]) => content)
  );
  assertEquals(unshown(store, key).toSorted(), waiting.toSorted());
}

// --- The disk of the store in memory ---

/** A disk that writes when it is told to. */
class SlowDisk {
  readonly waiting: { work: () => void; done: () => void; fail: (error: unknown) => void }[] = [];
  readonly commit: Commit = (work) =>
    new Promise((done, fail) => void this.waiting.push({ work, done, fail }));
}

Deno.test("MemoryMessages keeps only what its disk has written, and tells when the disk does", async () => {
  const disk = new SlowDisk();
  const store = new MemoryMessages({ commit: disk.commit });
  const told: bigint[] = [];
  store.append(BOB, [text("a")]).then((last) => told.push(last));
  store.append(BOB, [text("b")]).then((last) => told.push(last));
  assertEquals(disk.waiting.length, 1);
  const found = (snapshot: MessagesSnapshot) => lines(new MemoryMessages({ snapshot }).history({}));
  assertEquals(found(store.snapshot()), []);
  const [first] = disk.waiting;
  first!.work();
  const snapshot = store.snapshot();
  assertEquals(found(snapshot).length, 2);
  const third = store.append(BOB, [text("c")]);
  assertEquals([told, disk.waiting.length], [[], 1]);
  first!.done();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals([told, disk.waiting.length], [[1n, 2n], 2]);
  disk.waiting[1]!.work();
  disk.waiting[1]!.done();
  assertEquals(await third, 3n);
  assertEquals(found(store.snapshot()).length, 3);
  assertEquals(found(snapshot).length, 2);
});

Deno.test("MemoryMessages goes on after a disk that refused, and never after one that may have written", async () => {
  const disk = new SlowDisk();
  const store = new MemoryMessages({ commit: disk.commit });
  const full = new CifraError("local", "The disk is full");
  const refused = store.append(BOB, [text("a")]);
  disk.waiting[0]!.fail(full);
  assertEquals(await assertRejects(() => refused), full);
  const taken = store.append(BOB, [text("b")]);
  disk.waiting[1]!.work();
  disk.waiting[1]!.done();
  assertEquals(await taken, 1n);
  assertEquals(contents(store.read(BOB, 1n, ALL)), ["1 b"]);
  const lost = new CifraError("local", "The disk failed");
  const doubtful = store.append(BOB, [text("c")]);
  disk.waiting[2]!.work();
  disk.waiting[2]!.fail(lost);
  assertEquals(await assertRejects(() => doubtful), lost);
  assertEquals(await assertRejects(() => store.append(BOB, [text("d")])), lost);
  assertEquals(assertThrows(() => store.read(BOB, 1n, 1)), lost);
  assertEquals(await assertRejects(() => store.close()), lost);
});

conforms(
  "forgets what is not stored over there, and begins a log of another name",
  async (disk) => {
    const store = await disk.open();
    assertEquals(await store.forget(BOB), 0);
    const { log } = await store.outgoing(BOB);
    await store.append(BOB, [text("one"), text("two"), text("three")]);
    store.acknowledge(BOB, 1n, 1n);
    assertEquals(await store.forget(BOB), 2);
    const after = await store.outgoing(BOB);
    assertEquals([after.last, after.stored], [0n, 0n]);
    assertNotEquals(after.log, log);
    assertEquals(store.read(BOB, 1n, 1000), []);
    assertEquals(await store.append(BOB, [text("four")]), 1n);
    assertEquals(await store.forget(BOB), 1);
    assertEquals(await store.forget(BOB), 0);
    const texts = [...store.history({})].map((entry) => entry.type === "text" ? entry.text : "gap");
    assertEquals(texts, ["one"]);
  },
);
