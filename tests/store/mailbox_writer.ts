/**
 * A program that changes the mailbox in the folder it is given as fast as it can, and says on stdout what it was
 * told is on disk. It goes on where an earlier one was killed, until it is killed.
 */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMailbox } from "../../lib/store/sqlite_mailbox.ts";
import { boxOf, envelopeTo, fingerprintOf, idOf, prekeyOf } from "./mailbox_samples.ts";
import { NOW } from "./server_samples.ts";

const store = await SqliteMailbox.open(await PrivateFolder.open(Deno.args[0]!), {
  budget: 2 ** 30,
  after: (milliseconds, action) => {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
});
const BOB = fingerprintOf("bob");

function say(line: string): void {
  Deno.stdout.writeSync(encodeUtf8(`${line}\n`));
}

const box = await store.change((writer) => writer.open(BOB, boxOf("box"), NOW));

/** Leaves envelope `n`, then replaces it, and takes every third away. */
async function deposit(n: number): Promise<void> {
  const place = await store.change((writer) => writer.insert(envelopeTo(box, n)));
  say(`left ${n}`);
  await store.change((writer) => {
    writer.take(place, idOf(n));
    writer.insert(envelopeTo(box, `${n} again`), place);
  });
  say(`replaced ${n}`);
  store.handedOut(place, idOf(`${n} again`));
  if (n % 3 !== 0) return;
  await store.change((writer) => writer.take(place, idOf(`${n} again`)));
  say(`settled ${n}`);
}

async function prekeys(): Promise<void> {
  for (;;) {
    const next = store.boxes(BOB)[0]!.highest + 1n;
    await store.change((writer) => writer.addOnce(box, [prekeyOf(next), prekeyOf(next + 1n)]));
    say(`published ${next + 1n}`);
    const once = await store.change((writer) => writer.takeOnce(box));
    say(`handed ${once!.number}`);
  }
}

async function deposits(): Promise<void> {
  for (let n = Number(Deno.args[1]);; n += 4) {
    await Promise.all([n, n + 1, n + 2, n + 3].map(deposit));
  }
}

say("ready");
await Promise.all([deposits(), prekeys()]);
