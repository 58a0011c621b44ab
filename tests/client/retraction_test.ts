/** Which of our messages can be taken back, and whether it may have left. */
import { assertEquals } from "@std/assert";
import { Thread } from "../../lib/client/thread.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { SharedPause } from "../../lib/flow/shared_pause.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { ManualTime } from "../testkit/clock.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";

const KEY = { peer: "bob", suite: "modern" } as const;

async function open(store: MemoryMessages, kind: LogKind = LogKind.kept): Promise<Thread> {
  const time = new ManualTime();
  const storePause = new SharedPause(time, 1000, 1000);
  return await Thread.open({ store, key: KEY, kind, random: systemRandom, time, storePause });
}

Deno.test("takeBack() takes the last text that is not taken back, and nothing that is stored over there", async () => {
  const store = new MemoryMessages();
  const thread = await open(store);
  assertEquals(await thread.takeBack(), { type: "none" });
  for (const text of ["one", "two", "three"]) await thread.sendText(text);
  assertEquals(await thread.takeBack(), { type: "done", number: 3n, hasLeft: false });
  assertEquals(await thread.takeBack(), { type: "done", number: 2n, hasLeft: false });
  assertEquals(await thread.takeBack(3n), { type: "none" });
  assertEquals(await thread.takeBack(9n), { type: "none" });
  assertEquals(store.read(KEY, 1n, 1000).map(({ type }) => type), [
    "text",
    "taken back",
    "taken back",
  ]);
  await thread.leave();
  store.acknowledge(KEY, 1n, 0n);
  const later = await open(store);
  assertEquals(await later.takeBack(1n), { type: "late", number: 1n });
  assertEquals(await later.takeBack(), { type: "none" });
});

Deno.test("takeBack() says that a message may have left: in an earlier run, or to the server", async () => {
  const store = new MemoryMessages();
  const before = await open(store);
  await before.sendText("one");
  await before.leave();
  const thread = await open(store);
  assertEquals(await thread.takeBack(), { type: "done", number: 1n, hasLeft: true });
  await thread.sendText("two");
  await thread.sendText("three");
  thread.noteOnServer(2n);
  assertEquals(await thread.takeBack(3n), { type: "done", number: 3n, hasLeft: false });
  assertEquals(await thread.takeBack(2n), { type: "done", number: 2n, hasLeft: true });
});

Deno.test("takeBack() finds nothing in a stream", async () => {
  const thread = await open(new MemoryMessages(), LogKind.live);
  await thread.sendText("one");
  assertEquals(await thread.takeBack(), { type: "none" });
});
