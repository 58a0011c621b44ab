/** Messages put on disk a second: one at a time, and many in one call, as after a while without the network. */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { readHistory } from "../../lib/store/messages_history.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { report } from "./bench.ts";
import type { NewMessage } from "../../lib/wire/peer_messages.ts";

const BOB = { peer: "bob", suite: "modern" } as const;
const LOG = systemRandom(16);
const CONTENT = encodeUtf8("what somebody types before pressing the return key, more or less");

function message(): NewMessage {
  return { type: "text", id: systemRandom(16), written: 0, content: CONTENT };
}

function messages(count: number): NewMessage[] {
  return Array.from({ length: count }, message);
}

async function measure(what: string, rows: number, job: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await job();
  const perSecond = rows / (performance.now() - start) * 1000;
  report(`messages, ${what}`, `${perSecond.toFixed(0)}/s`);
}

const path = await Deno.makeTempDir();
try {
  await Deno.chmod(path, 0o700);
  const store = await SqliteMessages.open(await PrivateFolder.open(path), { keepHistory: true });
  await store.outgoing(BOB);
  await measure("written one at a time", 5000, async () => {
    for (let i = 0; i < 5000; i++) await store.append(BOB, [message()]);
  });
  await measure("written 100 in a call", 50_000, async () => {
    for (let i = 0; i < 500; i++) await store.append(BOB, messages(100));
  });
  await measure("written in 100 calls of one turn", 50_000, async () => {
    for (let i = 0; i < 500; i++) {
      await Promise.all(messages(100).map((one) => store.append(BOB, [one])));
    }
  });
  await measure("received 100 in a record", 50_000, async () => {
    for (let number = 1n; number < 50_000n; number += 100n) {
      const record = messages(100).map((one, i) => ({ ...one, number: number + BigInt(i) }));
      await store.receive(BOB, LOG, record);
    }
  });
  await measure("read to be sent, 60 KiB at a time", 105_000, () => {
    for (let from = 1n; from <= 105_000n;) {
      from += BigInt(store.read(BOB, from, 60 * 1024).length);
    }
    return Promise.resolve();
  });
  await store.close();
  await measure("searched in the history", 155_000, () => {
    for (const { peer } of readHistory(path, { search: "not there" })) throw new Error(peer);
    return Promise.resolve();
  });
} finally {
  await Deno.remove(path, { recursive: true });
}
