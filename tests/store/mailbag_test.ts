import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { DAY, PREKEY_SECRET_LIFETIME, SESSION_MEMORY } from "../../lib/limits.ts";
import type { Mailbag, Moment, NewDeposit, WritingSession } from "../../lib/store/mailbag.ts";
import type { ConversationKey, MessageStore } from "../../lib/store/message_store.ts";
import type { NewMessage } from "../../lib/wire/peer_messages.ts";
import { conforms } from "./disks.ts";
import { addBox, addPrekeys, AT, BOBS_KEY, prekey, SERVER, sessionOf } from "./mailbag_samples.ts";

const BOB: ConversationKey = { peer: "bob", suite: "modern" };
const OTHER = "cd".repeat(32);
const YEAR = 365 * DAY;

async function refuses(change: Promise<unknown>, code: ErrorCode): Promise<void> {
  assertEquals((await assertRejects(() => change, CifraError)).code, code);
}

function after(milliseconds: number, { here, there }: Moment = AT): Moment {
  return { here: here + milliseconds, there: there + milliseconds };
}

function writing(owner = BOBS_KEY): WritingSession {
  const state = { transcript: systemRandom(64), chain: systemRandom(64), next: 0 };
  return { owner, header: systemRandom(1152), ...state, began: AT.here };
}

function text(): NewMessage {
  return { type: "text", id: systemRandom(16), written: 5, content: systemRandom(3) };
}

/** Seals an envelope for Bob; returns what lies on the server then, as it was asked for. */
async function seal(
  store: MessageStore,
  about: Partial<NewDeposit> = {},
  server = SERVER,
): Promise<NewDeposit> {
  const { mailbag } = store;
  const session = mailbag.writing("bob", server)!;
  const { log } = await store.outgoing(BOB);
  const ids = { id: systemRandom(16), box: systemRandom(16) };
  const deposit = { ...ids, log, first: 1n, last: 0n, at: AT.here, ...about };
  const next = session.next + 1;
  await mailbag.seal("bob", server, { ...session, next, chain: systemRandom(64) }, deposit);
  return deposit;
}

function numbers(mailbag: Mailbag, kind: "signed" | "once", server = SERVER): bigint[] {
  return mailbag.prekeys(server, kind).map(({ number }) => number);
}

/** Which prekeys are still here, retired ones too. */
function secrets(mailbag: Mailbag, kind: "signed" | "once", upTo = 9n): bigint[] {
  const { name } = mailbag.box(SERVER)!;
  const here: bigint[] = [];
  for (let number = 1n; number <= upTo; number++) {
    if (mailbag.prekey(name, kind, number)) here.push(number);
  }
  return here;
}

conforms("keeps a box for each server, and another one in its place", async (disk) => {
  const store = await disk.open();
  const { mailbag } = store;
  assertEquals(mailbag.box(SERVER), undefined);
  const name = systemRandom(16), passKey = systemRandom(32);
  await mailbag.beginBox(SERVER, name, passKey);
  await addBox(mailbag, OTHER);
  const begun = { name, passKey, highest: 0n, signed: 0n, anew: true };
  assertEquals(mailbag.box(SERVER), begun);
  await mailbag.noteAnew(SERVER);
  await addPrekeys(mailbag, { signed: [4n], once: [1n, 2n] });
  const [theirs] = await addPrekeys(mailbag, { signed: [4n] }, OTHER);
  const crashed = await disk.afterCrash(store);
  const again = crashed.mailbag;
  assertEquals(again.box(SERVER), { ...begun, highest: 2n, signed: 4n, anew: false });
  const session = { ...sessionOf(again, { signed: 4n }), next: 1 };
  const content = standing();
  assert(await crashed.receiveSealed(BOB, { session, content, at: AT }));
  await addBox(again);
  assertNotEquals(again.box(SERVER)!.name, name);
  assertEquals(again.prekey(name, "signed", 4n), undefined);
  assertEquals(again.reading(session.id), undefined);
  assertEquals(again.prekeys(OTHER, "signed"), [theirs!]);
});

function standing() {
  const nothing = new Uint8Array(16), zero = { have: 0n, read: 0n };
  const ids = { log: nothing, readLog: nothing, haveId: nothing, pass: nothing };
  return { ...ids, ...zero, first: 1n, messages: [] };
}

conforms("keeps prekeys under numbers that are given once (C1)", async (disk) => {
  const store = await disk.open();
  const { mailbag } = store;
  await refuses(addPrekeys(mailbag, { once: [1n] }), "bad_state");
  await addBox(mailbag);
  const [signed, ...once] = await addPrekeys(mailbag, { signed: [7n], once: [1n, 2n, 3n] });
  const { name } = mailbag.box(SERVER)!;
  assertEquals(mailbag.prekeys(SERVER, "signed"), [signed!]);
  assertEquals(mailbag.prekeys(SERVER, "once"), once);
  assertEquals(mailbag.prekey(name, "once", 2n), once[1]);
  for (const number of [0n, 4n, 7n, 2n ** 63n, 2n ** 64n - 1n]) {
    assertEquals(mailbag.prekey(name, "once", number), undefined);
  }
  assertEquals(mailbag.prekey(systemRandom(16), "once", 2n), undefined);
  for (const taken of [{ once: [3n] }, { signed: [7n] }, { once: [5n, 4n] }]) {
    // Beside somebody who is innocent.
    const innocent = store.append(BOB, [text()]);
    await refuses(addPrekeys(mailbag, taken), "bad_state");
    await innocent;
  }
  await refuses(mailbag.addPrekeys(SERVER, [prekey("once", 2n ** 63n)]), "limit");
  assertEquals([numbers(mailbag, "signed"), numbers(mailbag, "once")], [[7n], [1n, 2n, 3n]]);
  const crashed = await disk.afterCrash(store);
  assertEquals(crashed.mailbag.prekeys(SERVER, "once"), once);
});

conforms("destroys secrets when they were retired long enough by both clocks", async (disk) => {
  const store = await disk.open();
  const { mailbag } = store;
  await addBox(mailbag);
  await addPrekeys(mailbag, { signed: [1n, 2n], once: [1n, 2n, 3n] });
  await mailbag.retire(SERVER, { signed: 2n, once: 2n }, AT);
  assertEquals([numbers(mailbag, "signed"), numbers(mailbag, "once")], [[2n], [2n, 3n]]);
  // What is retired stays so from the first moment on.
  await mailbag.retire(SERVER, { signed: 2n, once: 3n }, after(DAY));
  await mailbag.retire(SERVER, { signed: 0n, once: 0n }, after(DAY));
  const here = () => [secrets(mailbag, "signed"), secrets(mailbag, "once")];
  const late = after(PREKEY_SECRET_LIFETIME);
  for (const off of [-YEAR, YEAR]) {
    // Either clock may be a year off.
    const moment = after(PREKEY_SECRET_LIFETIME - 1);
    await mailbag.expire({ ...moment, here: moment.here + off });
    await mailbag.expire({ ...moment, there: moment.there + off });
    await mailbag.expire({ ...late, here: late.here - YEAR });
    assertEquals(here(), [[1n, 2n], [1n, 2n, 3n]]);
  }
  await mailbag.expire(late);
  assertEquals(here(), [[2n], [2n, 3n]]);
  await mailbag.expire(after(DAY, late));
  assertEquals(here(), [[2n], [3n]]);
  await mailbag.retire(SERVER, { signed: 2n ** 64n - 1n, once: 2n ** 64n - 1n }, AT);
  await mailbag.expire(late);
  assertEquals(here(), [[], []]);
});

conforms(
  "knows since when there is a newer signed prekey, by the clock of that moment",
  async (disk) => {
    const store = await disk.open();
    const { mailbag } = store;
    await addBox(mailbag);
    assertEquals(mailbag.signedSince(SERVER), undefined);
    await addPrekeys(mailbag, { signed: [1n], once: [1n, 2n] });
    await mailbag.retire(SERVER, { signed: 1n, once: 2n }, AT);
    assertEquals(mailbag.signedSince(SERVER), undefined);
    const moments = [after(YEAR), AT, after(DAY)];
    for (const [i, moment] of moments.entries()) {
      const signed = BigInt(i + 2);
      await addPrekeys(mailbag, { signed: [signed] });
      await mailbag.retire(SERVER, { signed, once: 2n }, moment);
      await mailbag.retire(SERVER, { signed, once: 2n }, after(2 * DAY));
      assertEquals(mailbag.signedSince(SERVER), moment.here);
    }
    await store.close();
    const again = await disk.open();
    assertEquals(again.mailbag.signedSince(SERVER), after(DAY).here);
    await addBox(again.mailbag);
    assertEquals(again.mailbag.signedSince(SERVER), undefined);
  },
);

conforms(
  "keeps no signed prekey that has four newer ones, whatever the clocks say",
  async (disk) => {
    const { mailbag } = await disk.open();
    await addBox(mailbag);
    await addPrekeys(mailbag, { signed: [1n, 2n, 3n, 4n], once: [1n, 2n, 3n, 4n, 5n, 6n, 7n] });
    await mailbag.expire({ here: 0, there: 0 });
    assertEquals(secrets(mailbag, "signed"), [1n, 2n, 3n, 4n]);
    await addPrekeys(mailbag, { signed: [8n, 9n] });
    await mailbag.expire({ here: 0, there: 0 });
    assertEquals(secrets(mailbag, "signed"), [3n, 4n, 8n, 9n]);
    assertEquals(secrets(mailbag, "once").length, 7);
  },
);

conforms(
  "remembers sessions that others have begun, for as long as they can be repeated",
  async (disk) => {
    const store = await disk.open();
    const { mailbag } = store;
    await addBox(mailbag);
    await addPrekeys(mailbag, { signed: [1n], once: [1n] });
    const [once, last] = [sessionOf(mailbag, { once: 1n }), sessionOf(mailbag)];
    for (const session of [once, last]) {
      const opened = { session: { ...session, next: 1 }, content: standing() };
      assert(await store.receiveSealed(BOB, { ...opened, at: AT }));
      const later = { ...session, next: 2 };
      assert(await store.receiveSealed(BOB, { ...opened, session: later, at: after(DAY) }));
    }
    const here = () => [once, last].map(({ id }) => mailbag.reading(id)?.next);
    await mailbag.expire(after(SESSION_MEMORY + DAY - 1));
    assertEquals(here(), [2, 2]);
    const late = after(SESSION_MEMORY + DAY);
    await mailbag.expire({ ...late, there: AT.there });
    assertEquals(here(), [2, 2]);
    await mailbag.expire(late);
    assertEquals(here(), [undefined, 2]);
    // The other one, without a one-time prekey, goes with its signed one.
    await mailbag.expire(after(YEAR));
    assertEquals(here(), [undefined, 2]);
    await mailbag.retire(SERVER, { signed: 2n, once: 0n }, after(YEAR));
    await mailbag.expire(after(YEAR + PREKEY_SECRET_LIFETIME));
    assertEquals(here(), [undefined, undefined]);
  },
);

conforms("keeps the session in which we write, and what it was begun with (C2)", async (disk) => {
  const store = await disk.open();
  const { mailbag } = store;
  assertEquals(mailbag.writing("bob", SERVER), undefined);
  const [first, second] = [writing(), writing()];
  await mailbag.begin("bob", SERVER, first, 5n);
  assertEquals(mailbag.writing("bob", SERVER), first);
  assertEquals(mailbag.writing("bob", OTHER), undefined);
  assertEquals(mailbag.writing("carol", SERVER), undefined);
  await mailbag.begin("bob", SERVER, second, 4n);
  const crashed = (await disk.afterCrash(store)).mailbag;
  assertEquals(crashed.writing("bob", SERVER), second);
  const known = { owner: BOBS_KEY, pass: undefined, isOwed: false };
  assertEquals(crashed.correspondent("bob", SERVER), { ...known, highestSigned: 5n });
  // Of another key nothing is known.
  const owner = systemRandom(32);
  await crashed.begin("bob", SERVER, writing(owner), 2n);
  assertEquals(crashed.correspondent("bob", SERVER), { ...known, owner, highestSigned: 2n });
  await refuses(crashed.begin("bob", SERVER, first, 2n ** 63n), "limit");
  assertEquals(crashed.correspondent("bob", OTHER), undefined);
});

conforms("keeps what it leaves on a server before that can be there (C3, C4, C7)", async (disk) => {
  const store = await disk.open();
  const { mailbag } = store;
  await store.append(BOB, [text(), text(), text()]);
  await mailbag.begin("bob", SERVER, writing(), 1n);
  await mailbag.begin("bob", OTHER, writing(), 1n);
  const a = await seal(store, { first: 1n, last: 2n });
  const b = await seal(store, { first: 3n, last: 3n });
  const elsewhere = await seal(store, {}, OTHER);
  const state = { peer: "bob", isConfirmed: false, isOutdated: false };
  const crashed = await disk.afterCrash(store);
  const bag = crashed.mailbag;
  assertEquals(bag.deposits(SERVER), [{ ...a, ...state }, { ...b, ...state }]);
  assertEquals(bag.deposits(OTHER), [{ ...elsewhere, ...state }]);
  assertEquals(bag.writing("bob", SERVER)?.next, 2);
  await bag.confirm(a.id, []);
  assertEquals(bag.deposits(SERVER)[0], { ...a, ...state, isConfirmed: true });
  const c = await seal(crashed, { first: 1n, last: 3n });
  // Until the server has said so, the old ones may be there.
  assertEquals(bag.deposits(SERVER).length, 3);
  await bag.confirm(c.id, [a.id, b.id, systemRandom(16)]);
  assertEquals(bag.deposits(SERVER), [{ ...c, ...state, isConfirmed: true }]);
  await bag.drop([c.id, c.id, systemRandom(16)]);
  assertEquals(bag.deposits(SERVER), []);
  // The chain stays where it is.
  assertEquals(bag.writing("bob", SERVER)?.next, 3);
});

conforms(
  "seals nothing in a session that has moved on, is another, or for a log that is none",
  async (disk) => {
    const store = await disk.open();
    const { mailbag } = store;
    const { log } = await store.outgoing(BOB);
    const ids = { id: systemRandom(16), box: systemRandom(16), log };
    const deposit: NewDeposit = { ...ids, first: 1n, last: 0n, at: 0 };
    const session = writing();
    const moved = { ...session, next: 2, chain: systemRandom(64) };
    await refuses(mailbag.seal("bob", SERVER, moved, deposit), "bad_state");
    await mailbag.begin("bob", SERVER, session, 1n);
    for (const wrong of [{ header: systemRandom(1152) }, { next: 0 }]) {
      const innocent = store.append(BOB, [text()]);
      const refused = mailbag.seal("bob", SERVER, { ...moved, ...wrong }, deposit);
      await refuses(refused, "bad_state");
      await innocent;
    }
    await refuses(
      mailbag.seal("bob", SERVER, moved, { ...deposit, log: systemRandom(16) }),
      "bad_state",
    );
    assertEquals(mailbag.deposits(SERVER), []);
  },
);

conforms(
  "owes a receipt until it is sealed, and again when it did not arrive (C6)",
  async (disk) => {
    const store = await disk.open();
    const { mailbag } = store;
    await mailbag.begin("bob", SERVER, writing(), 1n);
    await mailbag.owe("bob", SERVER, BOBS_KEY);
    await mailbag.owe("carol", SERVER, systemRandom(32));
    assertEquals([...mailbag.owed(SERVER)].sort(), ["bob", "carol"]);
    assertEquals(mailbag.owed(OTHER), []);
    const refused = await seal(store);
    assertEquals(mailbag.owed(SERVER), ["carol"]);
    await mailbag.drop([refused.id]);
    assertEquals([...mailbag.owed(SERVER)].sort(), ["bob", "carol"]);
    const arrived = await seal(store);
    // Nothing was owed when this one was sealed.
    const other = await seal(store);
    await mailbag.confirm(arrived.id, []);
    await mailbag.drop([arrived.id, other.id]);
    const crashed = await disk.afterCrash(store);
    assertEquals(crashed.mailbag.owed(SERVER), ["carol"]);
    assertEquals(crashed.mailbag.correspondent("bob", SERVER)?.highestSigned, 1n);
  },
);

conforms(
  "says which envelopes are to be replaced, since something in them was taken back",
  async (disk) => {
    const store = await disk.open();
    const { mailbag } = store;
    await store.append(BOB, [text(), text(), text(), text()]);
    await mailbag.begin("bob", SERVER, writing(), 1n);
    await seal(store, { first: 1n, last: 2n });
    await seal(store, { first: 2n, last: 3n });
    await seal(store, { first: 4n, last: 4n });
    await seal(store);
    const outdated = (bag: Mailbag) => bag.deposits(SERVER).map(({ isOutdated }) => isOutdated);
    assertEquals(await store.takeBack(BOB, 2n), true);
    assertEquals(outdated((await disk.afterCrash(store)).mailbag), [true, true, false, false]);
  },
);

conforms("has no part in a log that is begun anew for what lies on servers", async (disk) => {
  const store = await disk.open();
  await store.append(BOB, [text(), text()]);
  const { log } = await store.outgoing(BOB);
  await store.mailbag.begin("bob", SERVER, writing(), 1n);
  await seal(store, { first: 1n, last: 2n });
  const begun = await store.restart(BOB);
  await seal(store, { first: 1n, last: 1n });
  assertEquals(store.mailbag.deposits(SERVER).map((each) => each.log), [log, begun.log]);
  await store.takeBack(BOB, 1n);
  const crashed = await disk.afterCrash(store);
  const found = crashed.mailbag.deposits(SERVER).map((each) => [each.log, each.isOutdated]);
  assertEquals(found, [[log, false], [begun.log, true]]);
});

conforms("keeps what it was given, also when the bytes are used again", async (disk) => {
  const store = await disk.open();
  const { mailbag } = store;
  const name = systemRandom(16), session = writing(), key = prekey("signed", 1n);
  const given = structuredClone({ name, session, key });
  const deposit = { id: systemRandom(16), box: systemRandom(16), first: 1n, last: 0n, at: 0 };
  const log = (await store.outgoing(BOB)).log;
  const changes = [
    mailbag.beginBox(SERVER, name, systemRandom(32)),
    mailbag.addPrekeys(SERVER, [key]),
    mailbag.begin("bob", SERVER, session, 1n),
    mailbag.seal("bob", SERVER, { ...session, next: 1 }, { ...deposit, log }),
  ];
  for (const bytes of [name, session.chain, session.header, key.secret.mlkem]) bytes.fill(0);
  await Promise.all(changes);
  assertEquals(mailbag.box(SERVER)?.name, given.name);
  assertEquals(mailbag.prekeys(SERVER, "signed"), [given.key]);
  assertEquals(mailbag.writing("bob", SERVER), { ...given.session, next: 1 });
});
