import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { DatabaseSync } from "node:sqlite";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { ProfileKey } from "../../lib/crypto/profile_key.ts";
import { CifraError } from "../../lib/errors.ts";
import { readHistory } from "../../lib/store/messages_history.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import { encodeFileWord } from "../../lib/wire/file_messages.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { SqliteMessages, unsealMessages } from "../../lib/store/sqlite_messages.ts";
import { withFolder } from "../testkit/server.ts";
import { addBox, addPrekeys, AT, SERVER, sessionOf } from "./mailbag_samples.ts";

const BOB = { peer: "bob", suite: "modern" } as const;
const LOG = new Uint8Array(16).fill(7), NOTHING = new Uint8Array(16);
const NOTHING_OF_32 = new Uint8Array(32);
const SESSION = systemRandom(16);
const TRANSFER = systemRandom(16), OTHER_TRANSFER = systemRandom(16);
const CANARY = "the canary sings at midnight";

async function open(path: string, key?: ProfileKey): Promise<SqliteMessages> {
  return await SqliteMessages.open(await PrivateFolder.open(path), { keepHistory: true, key });
}

function text(number: bigint, content = `${number} ${CANARY}`) {
  const bytes = encodeUtf8(content);
  return { type: "text", number, id: systemRandom(16), written: 5, content: bytes } as const;
}

/** Fills every table that has something to seal; returns the secrets that are in it, and what it said. */
async function fill(store: SqliteMessages) {
  const { mailbag } = store;
  await store.append(BOB, Array.from({ length: 600 }, (_, i) => text(BigInt(i + 1))));
  await store.append(BOB, [{ ...text(0n), type: "end", content: new Uint8Array(0) }]);
  await store.receive(BOB, LOG, [text(1n), text(2n)]);
  await store.takeBack(BOB, 2n);
  await addBox(mailbag);
  const [signed, once] = await addPrekeys(mailbag, { signed: [1n], once: [2n] });
  const state = { chain: systemRandom(64), transcript: systemRandom(64), next: 0, began: 0 };
  const writing = { owner: systemRandom(32), header: systemRandom(1152), ...state };
  await mailbag.begin("bob", SERVER, writing, 1n);
  const session = { ...sessionOf(mailbag), id: SESSION, next: 1 };
  const said = { readLog: NOTHING, have: 0n, haveId: NOTHING, read: 0n, pass: NOTHING };
  const content = { log: LOG, first: 1n, messages: [text(5n)], ...said };
  assert(await store.receiveSealed(BOB, { session, content, at: AT }));
  const files = await fillTransfers(store);
  return {
    ...files,
    words: encodeUtf8(CANARY),
    x25519: signed!.secret.x25519,
    mlkem: once!.secret.mlkem,
    writing: writing.chain,
    reading: session.chain,
  };
}

/** Offers Bob something, and one nothing yet known of; returns what is secret in it. */
async function fillTransfers(store: SqliteMessages) {
  const offered = {
    files: 1,
    folders: 0,
    bytes: 5,
    manifestLength: 7,
    manifestHash: NOTHING_OF_32,
    name: lineOf("the diary of a canary"),
  };
  const content = encodeFileWord({ type: "offer", ...offered });
  const message = { type: "file", id: TRANSFER, written: 5, content } as const;
  const begin: TransferRow = {
    ...BOB,
    ...offered,
    id: TRANSFER,
    direction: "sent",
    state: "offered",
    failure: undefined,
    place: "/home/alice/diary",
    entry: 0,
    skipped: 0,
    isTold: true,
    began: 5,
    ended: undefined,
  };
  const manifest = encodeUtf8("a feather");
  await store.transfers.say(BOB, message, { begin, manifest });
  await store.transfers.say(BOB, { ...message, id: OTHER_TRANSFER }, {
    begin: { ...begin, id: OTHER_TRANSFER, place: "" },
    manifest: undefined,
  });
  return { name: encodeUtf8(begin.name), place: encodeUtf8(begin.place), manifest };
}

/** All that a store says. */
function told(store: SqliteMessages) {
  const { mailbag } = store;
  return {
    ours: store.read(BOB, 1n, 2 ** 30),
    unshown: store.unshown(BOB, 0, 100),
    early: store.early(BOB),
    backlog: store.backlog(BOB),
    history: [...store.history({})],
    found: [...store.history({ search: CANARY.toUpperCase() })].length,
    prekeys: [mailbag.prekeys(SERVER, "signed"), mailbag.prekeys(SERVER, "once")],
    writing: mailbag.writing("bob", SERVER),
    reading: mailbag.reading(SESSION),
    transfers: store.transfers.all("modern"),
    manifests: [TRANSFER, OTHER_TRANSFER].map((id) => store.transfers.manifest(BOB, id)),
  };
}

function traces(path: string, secrets: Readonly<Record<string, Bytes>>): string[] {
  const files = [...Deno.readDirSync(path)]
    .map(({ name }) => encodeHex(Deno.readFileSync(`${path}/${name}`)));
  return Object.entries(secrets)
    .filter(([, bytes]) => files.some((file) => file.includes(encodeHex(bytes))))
    .map(([name]) => name);
}

Deno.test("with a key nothing that was said and no secret is in the files, and all comes out again", async () => {
  await withFolder(async (path) => {
    const key = new ProfileKey(systemRandom(32));
    const store = await open(path, key);
    const secrets = await fill(store);
    assertEquals(traces(path, secrets), []);
    const before = told(store);
    assertEquals([before.ours.length, before.found], [603, 601]);
    assertEquals(before.manifests, [encodeUtf8("a feather"), undefined]);
    assertEquals(before.reading?.chain, secrets.reading);
    assertEquals(before.backlog, { messages: 2, bytes: 2 * (2 + CANARY.length) });
    await store.close();
    const again = await open(path, key);
    assertEquals(told(again), before);
    assertEquals([...readHistory(path, {}, key)], before.history);
    // What has waited comes out as it went in.
    await again.receive(BOB, LOG, [text(3n), text(4n, "four")]);
    assertEquals(again.unshown(BOB, 0, 100).map(({ message }) => message).at(-1), before.early[0]);
    await again.close();
  });
});

Deno.test("a store that was in the clear is sealed whole with its first key, and clear again without", async () => {
  await withFolder(async (path) => {
    const clear = await open(path);
    const secrets = await fill(clear);
    const before = told(clear);
    await clear.close();
    assertEquals(traces(path, secrets), Object.keys(secrets));
    const key = new ProfileKey(systemRandom(32));
    const sealed = await open(path, key);
    assertEquals(traces(path, secrets), []);
    assertEquals(told(sealed), before);
    await sealed.close();
    const folder = await PrivateFolder.open(path);
    await unsealMessages(folder, key);
    await unsealMessages(folder, key);
    assertEquals(traces(path, secrets), Object.keys(secrets));
    const again = await open(path);
    assertEquals(told(again), before);
    await again.close();
  });
});

Deno.test("a sealed store is refused without its key, and with another, and stays as it is", async () => {
  await withFolder(async (path) => {
    const key = new ProfileKey(systemRandom(32)), other = new ProfileKey(systemRandom(32));
    const store = await open(path, key);
    await store.append(BOB, [text(1n)]);
    await store.close();
    const missing = await assertRejects(() => open(path), CifraError);
    assertEquals(missing.code, "usage");
    const wrong = await assertRejects(() => open(path, other), CifraError, "another key");
    assertEquals(wrong.code, "local");
    const folder = await PrivateFolder.open(path);
    await assertRejects(() => unsealMessages(folder, other), CifraError, "another key");
    assertThrows(() => [...readHistory(path, {})], CifraError, "sealed by a passphrase");
    assertThrows(() => [...readHistory(path, {}, other)], CifraError, "another key");
    assertEquals([...readHistory(path, {}, key)].length, 1);
  });
});

Deno.test("no sealed value passes for another one, or for one that was changed", async () => {
  await withFolder(async (path) => {
    const key = new ProfileKey(systemRandom(32));
    const store = await open(path, key);
    await store.append(BOB, [text(1n), text(2n)]);
    await store.close();
    const database = new DatabaseSync(`${path}/messages.db`);
    const swap = `UPDATE message SET content =
      (SELECT content FROM message AS other WHERE other.number = 3 - message.number)`;
    database.exec(swap);
    database.close();
    const error = assertThrows(() => [...readHistory(path, {}, key)], CifraError);
    assertEquals(error.code, "local");
  });
});

Deno.test("unsealMessages() makes no file where there is none", async () => {
  await withFolder(async (path) => {
    await unsealMessages(await PrivateFolder.open(path), new ProfileKey(systemRandom(32)));
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), []);
  });
});
