/** Sessions of the mailbox: whom they connect, where they end, and that they only go forward. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { aes256Gcm } from "../../lib/crypto/aead.ts";
import { generateIdentity, type Identity } from "../../lib/crypto/identity.ts";
import {
  acceptSession,
  beginSession,
  openEnvelope,
  sealEnvelope,
  sessionIdOf,
  type SessionOffer,
  type SessionState,
  stepSession,
} from "../../lib/crypto/mailbox_session.ts";
import { SESSION_ENVELOPES } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { makePrekey, prekeyStatement } from "../../lib/crypto/prekeys.ts";
import { deriveBox, sealBox } from "../../lib/crypto/transcript.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { littleEndian32, montgomeryU, P, smallOrderPoints } from "../testkit/curve25519.ts";
import {
  BEFORE_SEALED,
  envelopeParts,
  flipped,
  headerOf,
  headerParts,
} from "../testkit/mailbox.ts";
import { readModulusVectors } from "../testkit/mlkem_modulus.ts";

const [alice, bob, mallory] = await Promise.all(
  [1, 2, 3].map(async () => (await generateIdentity(2)).identity),
) as [Identity, Identity, Identity];
const { identity: classic } = await generateIdentity(1);
const box = systemRandom(16);
const signed = await makePrekey(bob, box, "signed", 1_800_000_000_123n);
const once = await makePrekey(bob, box, "once", 1n);
const SIGNED = { number: signed.prekey.number, secret: signed.secret };
const ONCE = { number: once.prekey.number, secret: once.secret };
const REQUEST = { ours: alice, theirs: bob, box, signed: signed.prekey, once: once.prekey };
const CONTENT = new Uint8Array(512);
CONTENT.set(encodeUtf8("what is said"));

async function assertRefused(
  attempt: () => Promise<unknown>,
  what?: string,
  code: ErrorCode = "auth_failed",
): Promise<void> {
  const error = await assertRejects(attempt, CifraError);
  assertEquals(error.code, code, what);
}

/** How Bob accepts a header, unless something is changed. */
function offer(header: Bytes, changed: Partial<SessionOffer> = {}): SessionOffer {
  const parts = headerParts(header);
  const named = parts.once === 0n ? undefined : ONCE;
  return { ours: bob, theirs: alice, header: parts, signed: SIGNED, once: named, ...changed };
}

/** Alice's side, and Bob's. */
async function begun(withOnce = true) {
  const request = { ...REQUEST, once: withOnce ? REQUEST.once : undefined };
  const { header, session } = await beginSession(request);
  return { header, ours: session, theirs: await acceptSession(offer(header)) };
}

/** The first `count` envelopes of a session, each with its place as content. */
async function sealed(session: SessionState, header: Bytes, count: number): Promise<Bytes[]> {
  const envelopes: Bytes[] = [];
  for (let n = 0; n < count; n++) {
    const next = await sealEnvelope(session, header, contentOf(n));
    envelopes.push(next.envelope);
    session = next.session;
  }
  return envelopes;
}

function contentOf(n: number): Bytes {
  const content = CONTENT.slice();
  content[511] = n;
  return content;
}

function open(session: SessionState, envelope: Bytes) {
  return openEnvelope(session, envelopeParts(envelope));
}

Deno.test("beginSession() and acceptSession() reach one state, with a one-time prekey and without", async () => {
  for (const withOnce of [true, false]) {
    const { header, ours, theirs } = await begun(withOnce);
    assertEquals(header.length, 1152);
    assertEquals(ours, theirs);
    assertEquals([ours.transcript.length, ours.chain.length, ours.next], [64, 64, 0]);
    const { box: named, signed, once } = headerParts(header);
    assertEquals([named, signed, once], [box, 1_800_000_000_123n, withOnce ? 1n : 0n]);
  }
});

Deno.test("beginSession() makes another session each time, and knows it by another id", async () => {
  const [a, b] = [await begun(), await begun()];
  assertNotEquals(a.ours.transcript, b.ours.transcript);
  assertNotEquals(a.ours.chain, b.ours.chain);
  assertNotEquals(headerParts(a.header).ephemeral, headerParts(b.header).ephemeral);
  assertNotEquals(headerParts(a.header).ciphertext, headerParts(b.header).ciphertext);
  assertEquals(sessionIdOf(a.header).length, 16);
  assertNotEquals(sessionIdOf(a.header), sessionIdOf(b.header));
});

Deno.test("sealEnvelope() gives 1203 bytes and the content, of every length there is", async () => {
  const { header, ours, theirs } = await begun();
  for (const length of [512, 1024, 2048, 4096, 8192, 57344]) {
    const content = systemRandom(length);
    const { envelope, session } = await sealEnvelope(ours, header, content);
    assertEquals(envelope.length, 1203 + length);
    assertEquals(headerOf(envelope), header);
    assertEquals(session.next, 1);
    assertEquals((await open(theirs, envelope)).content, content);
  }
});

Deno.test("sealEnvelope() of an old copy repeats a place, and neither key nor IV", async () => {
  const { header, ours, theirs } = await begun();
  const [a, b] = [
    await sealEnvelope(ours, header, CONTENT),
    await sealEnvelope(ours, header, CONTENT),
  ];
  const [first, second] = [envelopeParts(a.envelope), envelopeParts(b.envelope)];
  assertEquals([first.n, second.n], [0, 0]);
  const boxOf = (salt: Bytes) =>
    deriveBox(ours.chain, ours.transcript, "mailbox envelope", aes256Gcm, salt);
  assertNotEquals(boxOf(first.salt).key, boxOf(second.salt).key);
  assertNotEquals(boxOf(first.salt).iv, boxOf(second.salt).iv);
  assertNotEquals(first.sealed, second.sealed);
  for (const { envelope } of [a, b]) assertEquals((await open(theirs, envelope)).content, CONTENT);
});

Deno.test("openEnvelope() takes what was lost in the stride, and never goes back", async () => {
  const { header, ours, theirs } = await begun();
  const envelopes = await sealed(ours, header, 5);
  // Bit n of `arriving`: envelope n arrives.
  for (let arriving = 1; arriving < 2 ** 5; arriving++) {
    let session = theirs;
    for (let n = 0; n < 5; n++) {
      if ((arriving & 1 << n) === 0) continue;
      const opened = await open(session, envelopes[n]!);
      assertEquals(opened.content, contentOf(n));
      session = opened.session;
      assertEquals(session.next, n + 1);
      for (const behind of envelopes.slice(0, n + 1)) {
        await assertRefused(() => open(session, behind), "behind");
      }
    }
  }
});

Deno.test("openEnvelope() opens the last place from the first, and none beyond it", async () => {
  const { header, ours, theirs } = await begun();
  let last = ours;
  while (last.next < SESSION_ENVELOPES - 1) last = stepSession(last);
  const { envelope, session: end } = await sealEnvelope(last, header, CONTENT);
  assertEquals(envelopeParts(envelope).n, 1023);
  const opened = await open(theirs, envelope);
  assertEquals(opened.content, CONTENT);
  assertEquals(opened.session, end);
  assertEquals(end.next, 1024);

  // The session is used up: it is no missing key that keeps place 1024 shut.
  await assertRefused(() => sealEnvelope(end, header, CONTENT), "seal", "limit");
  const salt = systemRandom(32);
  const additionalData = concat([Uint8Array.of(1), header, Uint8Array.of(4, 0), salt]);
  const key = deriveBox(end.chain, end.transcript, "mailbox envelope", aes256Gcm, salt);
  const beyond = await sealBox(aes256Gcm, key, additionalData, CONTENT);
  for (const from of [theirs, opened.session]) {
    await assertRefused(() => open(from, concat([additionalData, beyond])), "beyond");
  }
  const farthest = { n: 65_535, salt, sealed: beyond, additionalData };
  await assertRefused(() => openEnvelope(theirs, farthest), "farthest");
});

Deno.test("openEnvelope() leaves the state that it was given as it was, whether it opens or not", async () => {
  const { header, ours, theirs } = await begun();
  const [, , third] = await sealed(ours, header, 3);
  const before = structuredClone(theirs);
  await assertRefused(() => open(theirs, flipped(third!, third!.length * 8 - 1)));
  assertEquals(theirs, before);
  const first = await open(theirs, third!);
  assertEquals(theirs, before);
  // Killed before the next state was stored: it opens again, to the same.
  assertEquals(await open(theirs, third!), first);
});

Deno.test("a session goes on from the bytes that a store has kept", async () => {
  const { header, ours, theirs } = await begun();
  let [sender, recipient] = [structuredClone(ours), structuredClone(theirs)];
  for (let n = 0; n < 3; n++) {
    const next = await sealEnvelope(sender, header, contentOf(n));
    const opened = await open(recipient, next.envelope);
    assertEquals(opened.content, contentOf(n));
    [sender, recipient] = [structuredClone(next.session), structuredClone(opened.session)];
    assertEquals(sender, recipient);
  }
});

Deno.test("the state after a step has nothing of the chain before it", async () => {
  const { header, ours, theirs } = await begun();
  const chain = ours.chain.slice();
  const { envelope, session } = await sealEnvelope(ours, header, CONTENT);
  const opened = await open(theirs, envelope);
  for (const after of [stepSession(ours), session, opened.session]) {
    assertEquals(Object.keys(after).toSorted(), ["chain", "next", "transcript"]);
    assertNotEquals(after.chain, chain);
    assert(after.chain.buffer !== ours.chain.buffer && after.chain.buffer.byteLength === 64);
    assertNotEquals(after.transcript, chain);
    await assertRefused(() => open(after, envelope));
    // Nor when somebody who has it claims to stand at the old place.
    await assertRefused(() => open({ ...after, next: 0 }, envelope));
  }
});

Deno.test("an envelope with any bit changed does not open in its session", async () => {
  const { header, ours, theirs } = await begun();
  const { envelope } = await sealEnvelope(ours, header, CONTENT);
  assertEquals(envelope.length, 1715);
  assertEquals((await open(theirs, envelope)).content, CONTENT);
  const attempts: Promise<void>[] = [];
  for (let bit = 0; bit < envelope.length * 8; bit++) {
    attempts.push(assertRefused(() => open(theirs, flipped(envelope, bit)), `bit ${bit}`));
    // A thousand at once: WebCrypto works on other threads.
    if (attempts.length === 1000) await Promise.all(attempts.splice(0));
  }
  await Promise.all(attempts);
});

Deno.test("an envelope with a bit of its header changed does not open in the session that this header begins", async () => {
  const { header, ours } = await begun();
  const { envelope } = await sealEnvelope(ours, header, CONTENT);
  for (let byte = 0; byte < header.length; byte++) {
    const changed = flipped(envelope, (1 + byte) * 8 + byte % 8);
    const parts = headerParts(headerOf(changed));
    // The secrets that the changed header names, as if they were the same ones.
    const named = {
      signed: { ...SIGNED, number: parts.signed },
      once: { ...ONCE, number: parts.once },
    };
    await assertRefused(async () => {
      await open(await acceptSession(offer(headerOf(changed), named)), changed);
    }, `byte ${byte}`);
  }
});

Deno.test("an envelope opens for its recipient alone, as from its sender alone", async () => {
  const { header, ours } = await begun();
  const { envelope } = await sealEnvelope(ours, header, CONTENT);
  const stolen = await makePrekey(bob, box, "signed", SIGNED.number);
  const otherOnce = await makePrekey(bob, box, "once", ONCE.number);
  const wrong: Record<string, Partial<SessionOffer>> = {
    "another sender": { theirs: mallory },
    "its recipient as sender": { theirs: bob },
    "another recipient with the same prekeys": { ours: mallory },
    "its sender as recipient": { ours: alice, theirs: bob },
    "another signed prekey of that number": { signed: { ...SIGNED, secret: stolen.secret } },
    "another one-time prekey of that number": { once: { ...ONCE, secret: otherOnce.secret } },
    "the prekeys the other way round": {
      signed: { ...SIGNED, secret: ONCE.secret },
      once: { ...ONCE, secret: SIGNED.secret },
    },
  };
  for (const [what, changed] of Object.entries(wrong)) {
    const session = await acceptSession(offer(header, changed));
    await assertRefused(() => open(session, envelope), what);
  }
  assertEquals((await open(await acceptSession(offer(header)), envelope)).content, CONTENT);
});

Deno.test("an envelope of one session does not open in another of the same two, nor under its header", async () => {
  const [a, b] = [await begun(), await begun()];
  const { envelope } = await sealEnvelope(a.ours, a.header, CONTENT);
  await assertRefused(() => open(b.theirs, envelope));
  const moved = concat([envelope.slice(0, 1), b.header, envelope.slice(1 + 1152)]);
  await assertRefused(() => open(b.theirs, moved));
  await assertRefused(() => open(a.theirs, moved));
});

Deno.test("beginSession() refuses prekeys of another kind, box or owner, or changed", async () => {
  const elsewhere = await makePrekey(bob, systemRandom(16), "once", 1n);
  const invented = await makePrekey(mallory, box, "signed", 1_800_000_000_124n);
  const inventedOnce = await makePrekey(mallory, box, "once", 2n);
  const wrong: Record<string, Partial<typeof REQUEST>> = {
    "a one-time prekey as the signed one": { signed: once.prekey },
    "the signed prekey as a one-time one": { once: signed.prekey },
    "a one-time prekey called signed": { signed: { ...once.prekey, kind: "signed" } },
    "a signed prekey called one-time": { once: { ...signed.prekey, kind: "once" } },
    "a one-time prekey of another box": { once: elsewhere.prekey },
    "another box": { box: systemRandom(16) },
    "another owner": { theirs: mallory },
    "a signed prekey that the server invented": { signed: invented.prekey },
    "a one-time prekey that the server invented": { once: inventedOnce.prekey },
    "another number": { once: { ...once.prekey, number: 2n } },
    "one bit": { signed: { ...signed.prekey, mlkem: flipped(signed.prekey.mlkem, 9000) } },
  };
  for (const [what, changed] of Object.entries(wrong)) {
    await assertRefused(() => beginSession({ ...REQUEST, ...changed }), what);
  }
});

Deno.test("beginSession() refuses bad keys in either prekey, though their owner signed them", async () => {
  const [mlkem] = await readModulusVectors();
  const small = { x25519: littleEndian32(P - 1n) };
  for (const role of ["signed", "once"] as const) {
    for (const bad of [small, { mlkem: mlkem! }]) {
      const keys = { ...REQUEST[role], ...bad };
      const prekey = { ...keys, signature: await bob.sign(prekeyStatement(bob, box, keys)) };
      await assertRefused(() => beginSession({ ...REQUEST, [role]: prekey }), role);
    }
  }
});

Deno.test("acceptSession() refuses every E of small order or not reduced", async () => {
  const { header } = await begun();
  const points = smallOrderPoints().map(montgomeryU).filter((u) => u !== undefined);
  for (const u of [...new Set(points), P - 1n, P, P + 1n, 2n ** 256n - 1n, 9n | 1n << 255n]) {
    const parts = { ...headerParts(header), ephemeral: littleEndian32(u) };
    await assertRefused(() => acceptSession(offer(header, { header: parts })), `${u}`);
  }
});

Deno.test("a session needs an agreement key on both sides", async () => {
  const { header } = await begun();
  await assertRefused(() => beginSession({ ...REQUEST, theirs: classic }));
  await assertRefused(() => acceptSession(offer(header, { theirs: classic })));
  await assertRefused(() => beginSession({ ...REQUEST, ours: classic }));
  await assertRefused(() => acceptSession(offer(header, { ours: classic })));
});

Deno.test("acceptSession() is not given other prekeys than the header names", async () => {
  const { header } = await begun();
  const bare = (await begun(false)).header;
  const wrong: readonly [Bytes, Partial<SessionOffer>][] = [
    [header, { signed: { ...SIGNED, number: 1n } }],
    [header, { once: { ...ONCE, number: 2n } }],
    [header, { once: undefined }],
    [bare, { once: ONCE }],
  ];
  for (const [named, changed] of wrong) {
    await assertRejects(() => acceptSession(offer(named, changed)), TypeError);
  }
});

Deno.test("what stands before the sealed part is 1187 bytes", async () => {
  const { header, ours } = await begun();
  const { envelope } = await sealEnvelope(ours, header, CONTENT);
  assertEquals([BEFORE_SEALED, envelopeParts(envelope).additionalData.length], [1187, 1187]);
  assertEquals(envelope[0], 1);
});
