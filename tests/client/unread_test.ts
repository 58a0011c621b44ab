import { assertEquals } from "@std/assert";
import { Thread } from "../../lib/client/thread.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { meet, openLink, storePauseOf, WRITTEN } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";

const KEY = { peer: "alice", suite: "modern" } as const;

test("messages are unread from their storing until they are taken, over programs and channels", async () => {
  const store = new MemoryMessages();
  const told: number[] = [];
  const open = async () => {
    const clock = new ManualTime();
    const link: Thread = await Thread.open({
      store,
      key: KEY,
      kind: LogKind.kept,
      random: systemRandom,
      time: { now: clock.now, date: () => WRITTEN },
      storePause: storePauseOf(clock),
      onUnread: () => void told.push(link.unread),
    });
    return link;
  };
  const alice = await openLink("bob");
  let bob = await open();
  await meet(alice, bob);
  for (const text of ["one", "two", "three"]) await alice.sendText(text);
  await alice.sendEnd();
  await alice.settled();
  // An end is nothing to read.
  assertEquals([bob.unread, told.at(-1), store.unread(KEY)], [3, 3, 3]);
  assertEquals([alice.delivery.stored, alice.delivery.read], [4n, 0n]);
  const events = bob.events();
  const first = (await events.next()).value as PeerEvent;
  assertEquals(bob.unread, 3);
  bob.taken(first);
  assertEquals([bob.unread, told.at(-1), store.unread(KEY)], [2, 2, 2]);
  await until(() => alice.delivery.read === 1n, "the first is read");
  await bob.leave();
  await alice.leave();

  bob = await open();
  assertEquals(bob.unread, 2);
  for await (const event of bob.events()) {
    bob.taken(event);
    if (event.type === "end") break;
  }
  assertEquals([bob.unread, store.unread(KEY)], [0, 0]);
  await bob.leave();
});

test("a stream is unread piece by piece", async () => {
  const bob = await openLink("alice");
  const alice = await openLink("bob", { kind: LogKind.live });
  await meet(alice, bob);
  await alice.sendBytes(new Uint8Array([65, 66]));
  await alice.sendBytes(new Uint8Array([67]));
  await alice.sendEnd();
  await until(() => bob.unread === 2, "both pieces");
  const events = bob.events();
  bob.taken((await events.next()).value as PeerEvent);
  bob.taken((await events.next()).value as PeerEvent);
  bob.taken((await events.next()).value as PeerEvent);
  assertEquals(bob.unread, 0);
  await alice.leave();
  await bob.leave();
});
