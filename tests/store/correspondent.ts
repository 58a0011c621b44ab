/**
 * A program that opens what Bob left and leaves things for Carol as fast as it can, in the store of the folder it is
 * given, and says on stdout what it was told is on disk: `opened N` and `sealed N`. It goes on until it is killed.
 * Each envelope of Bob's has one message, says that one more of ours is stored there, and brings another pass.
 */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { addBox, addPrekeys, AT, SERVER, sessionOf } from "./mailbag_samples.ts";

const BOB = { peer: "bob", suite: "modern" } as const, CAROL = { ...BOB, peer: "carol" };
const LOG = new Uint8Array(16).fill(7);
/** Of a session. */
const ENVELOPES = 3;
/** Ours, to each. */
const MESSAGES = 20_000;

const store = await SqliteMessages.open(await PrivateFolder.open(Deno.args[0]!), {
  keepHistory: true,
});
const { mailbag } = store;

function say(line: string): void {
  Deno.stdout.writeSync(encodeUtf8(`${line}\n`));
}

/** 16 bytes that say a number. */
function bytesOf(number: bigint) {
  return encodeUtf8(`${number}`.padStart(16, "0"));
}

function text(number: bigint) {
  return { type: "text", id: bytesOf(number), written: 0, content: encodeUtf8("x") } as const;
}

async function prepare(): Promise<void> {
  if (mailbag.box(SERVER)) return;
  const ours = Array.from({ length: MESSAGES }, (_, i) => text(BigInt(i + 1)));
  await store.append(BOB, ours);
  await store.append(CAROL, ours);
  await mailbag.begin("carol", SERVER, writing(), 1n);
  // Last: with a box all is there.
  await addBox(mailbag);
  await addPrekeys(mailbag, { signed: [1n] });
}

function writing() {
  const state = { transcript: systemRandom(64), chain: systemRandom(64), next: 0, began: 0 };
  return { owner: systemRandom(32), header: systemRandom(1152), ...state };
}

async function open(): Promise<void> {
  const { log: readLog } = await store.outgoing(BOB);
  let number = store.incoming(BOB, LOG)?.have ?? 0n;
  for (;;) {
    const once = mailbag.box(SERVER)!.highest + 1n;
    await addPrekeys(mailbag, { once: [once] });
    let session = sessionOf(mailbag, { once });
    for (let envelope = 0; envelope < ENVELOPES; envelope++) {
      number++;
      session = { ...session, next: session.next + 1, chain: systemRandom(64) };
      const theirs = { log: LOG, first: number, messages: [{ ...text(number), number }] };
      const ours = { readLog, have: number, haveId: bytesOf(number), read: 0n };
      const content = { ...theirs, ...ours, pass: bytesOf(number) };
      await store.receiveSealed(BOB, { session, content, at: AT });
      say(`opened ${number}`);
    }
  }
}

async function leave(): Promise<void> {
  const { log } = await store.outgoing(CAROL);
  for (;;) {
    const session = mailbag.writing("carol", SERVER)!;
    const next = session.next + 1, number = BigInt(next);
    const deposit = { id: systemRandom(16), box: systemRandom(16), log, first: number, at: 0 };
    const moved = { ...session, next, chain: bytesOf(number) };
    await mailbag.seal("carol", SERVER, moved, { ...deposit, last: number });
    say(`sealed ${next}`);
    await mailbag.confirm(deposit.id, []);
  }
}

await prepare();
say("ready");
await Promise.all([open(), leave()]);
