/** A conversation to which an envelope comes beside its channels (PROTOCOL.md 3.12, Opening). */
import { assert, assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import type { Thread } from "../../lib/client/thread.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { OpenedEnvelope, SealedContent } from "../../lib/store/message_store.ts";
import { encode } from "../../lib/wire/layout.ts";
import { type KeptMessage, peerStoring, StoringState } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { addBox, addPrekeys, AT, sessionOf } from "../store/mailbag_samples.ts";
import { test } from "../testkit/adversary.ts";
import {
  ackItem,
  Ear,
  freshPosition,
  meet,
  meetEvil,
  NO_ID,
  NO_LOG,
  openLink,
  textItem,
} from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { turn } from "../testkit/turn.ts";
import { until } from "../testkit/until.ts";

const ALICE = { peer: "alice", suite: "modern" } as const;
const LOG = freshPosition().log;

/** What Alice says under this number. */
function text(number: bigint): KeptMessage {
  const id = new Uint8Array(16).fill(Number(number));
  return { type: "text", number, id, written: 5, content: encodeUtf8(`${number}`) };
}

/** A profile with a box, and a conversation with Alice in it. */
async function profile() {
  const store = new MemoryMessages();
  await addBox(store.mailbag);
  await addPrekeys(store.mailbag, { signed: [1n] });
  const thread = await openLink("alice", { store });
  return { store, thread };
}

/** An envelope of Alice's that says this. */
function envelopeOf(
  { mailbag }: MemoryMessages,
  messages: readonly KeptMessage[],
  said: Partial<SealedContent> = {},
): OpenedEnvelope {
  const session = { ...sessionOf(mailbag), peer: "alice", next: 1 };
  const ours = { readLog: NO_LOG, have: 0n, haveId: NO_ID, read: 0n, pass: NO_ID };
  return { session, content: { log: LOG, first: 1n, ...ours, messages, ...said }, at: AT };
}

/** Opens it; undefined when it has to wait. */
function open(
  { store, thread }: { readonly store: MemoryMessages; readonly thread: Thread },
  ...envelope: [messages: readonly KeptMessage[], said?: Partial<SealedContent>]
) {
  return thread.whileApart(() => store.receiveSealed(ALICE, envelopeOf(store, ...envelope)));
}

test("an envelope beside channels is shown in its turn, and none is opened while one is attached", async () => {
  const bob = await profile();
  const ear = new Ear(bob.thread);
  await open(bob, [text(1n), text(2n)]);
  await ear.count(2);
  const { say, ending, pipe } = await meetEvil(bob.thread, freshPosition({ first: 3n }));
  await say(textItem(3n, "3", text(3n).id));
  await ear.count(3);
  assertEquals(await open(bob, [text(3n), text(4n)]), undefined);
  pipe.toRight.end();
  await ending;
  await open(bob, [text(3n), text(4n)]);
  await bob.thread.leave();
  await ear.ended;
  assertEquals(ear.words, ["1", "2", "3", "4"]);
});

test("a channel on which it was said before where the logs stand does not carry the conversation", async () => {
  const bob = await profile();
  const alice = await openLink("bob");
  const meeting = await meet(alice, bob.thread, {
    before: async () => void await open(bob, [text(1n)]),
  });
  const [, ending] = await meeting.endings;
  assert(ending.type === "cut");
  assertEquals(ending.error.code, "cut");
  await Promise.all([alice.leave(), bob.thread.leave()]);
});

test("what is on the server is said of the log that is there, and of no other", async () => {
  const bob = await profile();
  for (const each of ["one", "two", "three"]) await bob.thread.sendText(each);
  bob.thread.noteOnServer(3n);
  assertEquals(bob.thread.delivery.onServer, 3n);
  const { log } = await bob.store.outgoing(ALICE);
  // She has a third message that is none of ours: we are an old copy.
  const news = await open(bob, [], { readLog: log, have: 3n, haveId: systemRandom(16) });
  assert(news?.done?.isRestarted);
  assertEquals(bob.thread.delivery, { queued: 3n, sent: 0n, onServer: 0n, stored: 0n, read: 0n });
  bob.thread.noteOnServer(2n);
  assertEquals(bob.thread.delivery.onServer, 2n);
  await bob.thread.leave();
});

test("what was left for them may be acknowledged before a channel has carried it", async () => {
  for (const wasSealed of [true, false]) {
    const bob = await profile();
    const { say, hearUntil, ending, pipe } = await meetEvil(bob.thread, freshPosition());
    await say({
      type: ItemType.storing,
      body: encode(peerStoring, { state: StoringState.full }),
    });
    await until(() => bob.thread.isAttached);
    await turn();
    await bob.thread.sendText("one");
    if (wasSealed) bob.thread.noteSealed(1n);
    await say(ackItem(1n));
    if (!wasSealed) {
      const ended = await ending;
      assert(ended.type === "cut");
      assertEquals(ended.error.code, "bad_state");
    } else {
      await until(() => bob.thread.delivery.stored === 1n, "it is stored");
      pipe.toRight.end();
      await ending;
    }
    hearUntil(() => false).catch(() => {});
    await bob.thread.leave();
  }
});

test("whoever leaves while an envelope is opened has left when what it brought is stored", async () => {
  const bob = await profile();
  const gate = Promise.withResolvers<void>();
  const opening = bob.thread.whileApart(async () => {
    await gate.promise;
    return await bob.store.receiveSealed(ALICE, envelopeOf(bob.store, [text(1n)]));
  });
  let hasLeft = false;
  const leaving = bob.thread.leave().then(() => hasLeft = true);
  for (let turns = 0; turns < 20; turns++) await turn();
  assertEquals(hasLeft, false);
  gate.resolve();
  await leaving;
  assertEquals((await opening)?.done?.fresh.length, 1);
  assertEquals(await open(bob, [text(2n)]), undefined);
});
