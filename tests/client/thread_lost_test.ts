/** A writer whose file of messages has lost its end, as when its write-ahead log is gone after a kill. */
import { assertEquals } from "@std/assert";
import type { Thread } from "../../lib/client/thread.ts";
import { MESSAGES_SETTLE_AFTER } from "../../lib/limits.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { readHistory } from "../../lib/store/messages_history.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { Ear, exchange, openLink } from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { withFolder } from "../testkit/server.ts";

const BOB = { peer: "bob", suite: "modern" } as const;

async function say(alice: Thread, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) await alice.sendText(`${n}`);
}

/** What the file holds, what Bob has when it happens, what there was; and what he hears in the end. */
const LOSSES = {
  "he has all": { kept: 3, have: 6, written: 6, heard: ["1", "2", "3", "4", "5", "6"] },
  "he has some of it": { kept: 3, have: 4, written: 6, heard: ["1", "2", "3", "4", "gap 5-6"] },
  "he has none of it": { kept: 3, have: 3, written: 6, heard: ["1", "2", "3", "gap 4-6"] },
  "he has less than the file": { kept: 3, have: 1, written: 6, heard: ["1", "2", "3", "gap 4-6"] },
  "he has nothing": { kept: 3, have: 0, written: 6, heard: ["1", "2", "3", "gap 4-6"] },
  "nothing is left, and he has some": { kept: 0, have: 1, written: 2, heard: ["1", "gap 2-2"] },
};

for (const [what, { kept, have, written, heard }] of Object.entries(LOSSES)) {
  test(`the end of a log is lost: nothing shows twice, and the rest as a gap; ${what}`, async () => {
    for (const keepHistory of [true, false]) {
      for (const aliceDials of [true, false]) {
        await withFolder(async (path) => {
          const left = `${path}/left`, whole = `${path}/whole`;
          for (const folder of [left, whole]) await Deno.mkdir(folder, { mode: 0o700 });
          const time = new ManualTime();
          const open = async (folder: string) =>
            await SqliteMessages.open(await PrivateFolder.open(folder), {
              keepHistory,
              after: time.after,
            });
          const store = await open(whole);
          const alice = await openLink("bob", { store });
          const bob = await openLink("alice", { store: new MemoryMessages({ keepHistory }) });
          const ear = new Ear(bob);
          const early = Math.min(kept, have);
          await say(alice, 1, early);
          if (early > 0 && have < kept) await exchange(alice, bob);
          await say(alice, early + 1, kept);
          time.advance(MESSAGES_SETTLE_AFTER);
          await Deno.copyFile(`${whole}/messages.db`, `${left}/messages.db`);
          await say(alice, kept + 1, Math.max(kept, have));
          if (have >= kept) await exchange(alice, bob);
          await say(alice, Math.max(kept, have) + 1, written);
          await Deno.copyFile(`${whole}/messages.marks`, `${left}/messages.marks`);
          await store.close();

          const found = await open(left);
          assertEquals(found.lost.map(({ from, to }) => [Number(from), Number(to)]), [
            [kept + 1, written],
          ]);
          const again = await openLink("bob", { store: found });
          await again.sendText("new");
          const pair = [again, bob] as const;
          await exchange(...aliceDials ? pair : [bob, again] as const);
          await again.leave();
          await bob.leave();
          await ear.ended;
          assertEquals(ear.words, [...heard, "new"]);
          assertEquals((await found.outgoing(BOB)).last, BigInt(written + 1));
          await found.close();
          if (!keepHistory) return;
          const texts = Array.from(
            readHistory(left, {}),
            (e) => e.type === "text" ? e.text : e.type,
          );
          assertEquals(texts, [...Array.from({ length: kept }, (_, i) => `${i + 1}`), "new"]);
        });
      }
    }
  });
}

test("the end of a log is lost twice: what goes on after both is told of both", async () => {
  await withFolder(async (path) => {
    const folders = [1, 2, 3].map((n) => `${path}/${n}`);
    for (const folder of folders) await Deno.mkdir(folder, { mode: 0o700 });
    const time = new ManualTime();
    const open = async (folder: string) =>
      await SqliteMessages.open(await PrivateFolder.open(folder), {
        keepHistory: false,
        after: time.after,
      });
    const bob = await openLink("alice", { store: new MemoryMessages({ keepHistory: false }) });
    const ear = new Ear(bob);
    let store = await open(folders[0]!);
    let alice = await openLink("bob", { store });
    await say(alice, 1, 1);
    time.advance(MESSAGES_SETTLE_AFTER);
    for (const [i, folder] of folders.slice(1).entries()) {
      await Deno.copyFile(`${folders[i]}/messages.db`, `${folder}/messages.db`);
      await say(alice, 2 * i + 2, 2 * i + 3);
      await Deno.copyFile(`${folders[i]}/messages.marks`, `${folder}/messages.marks`);
      await store.close();
      store = await open(folder);
      alice = await openLink("bob", { store });
    }
    assertEquals(store.missing(BOB).map(({ from, to }) => [from, to]), [[2n, 3n], [4n, 5n]]);
    await alice.sendText("new");
    await exchange(alice, bob);
    await alice.leave();
    await bob.leave();
    await ear.ended;
    assertEquals(ear.words, ["1", "gap 2-5", "new"]);
    await store.close();
  });
});
