/**
 * A program that writes and receives as fast as it can in the store of the folder it is given, and says on
 * stdout what it was told is on disk: `sent N` and `have N`. It goes on until it is killed.
 */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";

const KEY = { peer: "bob", suite: "modern" } as const;
const LOG = new Uint8Array(16).fill(7);

const store = await SqliteMessages.open(await PrivateFolder.open(Deno.args[0]!), {
  keepHistory: true,
});

function say(line: string): void {
  Deno.stdout.writeSync(encodeUtf8(`${line}\n`));
}

/** Message `number` of a log says its number; its id is its own. */
function message(number: bigint) {
  const id = systemRandom(16);
  return { type: "text", id, written: 0, number, content: encodeUtf8(`${number}`) } as const;
}

async function write(): Promise<void> {
  let { last } = await store.outgoing(KEY);
  for (let size = 1;; size = size % 7 + 1) {
    const batch = Array.from({ length: size }, (_, i) => message(last + BigInt(i) + 1n));
    last = await store.append(KEY, batch);
    say(`sent ${last}`);
    store.acknowledge(KEY, last - 3n, last - 5n);
  }
}

async function receive(): Promise<void> {
  let have = store.incoming(KEY, LOG)?.have ?? 0n;
  for (let size = 1;; size = size % 5 + 1) {
    const batch = Array.from({ length: size }, (_, i) => message(have + BigInt(i) + 1n));
    await store.receive(KEY, LOG, batch);
    have += BigInt(size);
    say(`have ${have}`);
  }
}

say("ready");
await Promise.all([write(), receive()]);
