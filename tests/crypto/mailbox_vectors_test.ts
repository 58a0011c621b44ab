/**
 * tests/vectors/mailbox.json against the library, each side alone, every value that the file has. That the file is
 * what the document says, the test of the scripts shows.
 */
import { assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeU64 } from "../../lib/bytes.ts";
import { aes256Gcm } from "../../lib/crypto/aead.ts";
import { passOf } from "../../lib/crypto/mailbox_pass.ts";
import {
  acceptSession,
  beginSession,
  openEnvelope,
  sealEnvelope,
  sessionIdOf,
  type SessionState,
} from "../../lib/crypto/mailbox_session.ts";
import { sha512 } from "../../lib/crypto/platform.ts";
import { loadNobleProvider, webCryptoProvider } from "../../lib/crypto/post_quantum.ts";
import {
  makePrekey,
  openPrekey,
  prekeyStatement,
  type StoredPrekey,
  verifyPrekey,
} from "../../lib/crypto/prekeys.ts";
import { absorb, derive, deriveBox } from "../../lib/crypto/transcript.ts";
import { agreeX25519, x25519KeyPairOf } from "../../lib/crypto/x25519.ts";
import { encodeUtf8 } from "../../lib/bytes.ts";
import type { MailboxRun } from "../handshake/reference_mailbox.ts";
import { identityOf, readMailboxFile, scriptedRandom } from "../handshake/vector_file.ts";
import { envelopeParts, fixedMlKem, headerParts } from "../testkit/mailbox.ts";

const file = await readMailboxFile();
const box = decodeHex(file.box);
const alice = await identityOf({ identity: file.sender });
const bob = await identityOf({ identity: file.recipient });
const PREKEYS = { signed: file.signed_prekey, once: file.one_time_prekey } as const;

function storedPrekey(kind: "signed" | "once"): StoredPrekey {
  const { number, x25519_scalar, mlkem_seed } = PREKEYS[kind];
  const secret = { x25519: decodeHex(x25519_scalar), mlkem: decodeHex(mlkem_seed) };
  return { number: BigInt(number), secret };
}

function madePrekey(kind: "signed" | "once") {
  const { number, x25519_scalar, mlkem_seed } = PREKEYS[kind];
  const random = scriptedRandom(x25519_scalar, mlkem_seed);
  return makePrekey(bob, box, kind, BigInt(number), random);
}

const signed = (await madePrekey("signed")).prekey;
const once = (await madePrekey("once")).prekey;
/** The one-time prekey of a run that has one. */
const onceOf = <T>({ name }: MailboxRun, value: T) => name === "once" ? value : undefined;

Deno.test("mailbox.json: two runs, with a one-time prekey and without, of three envelopes each", () => {
  const shape = file.runs.map(({ name, dh, transcripts, envelopes }) => {
    return [name, dh.length, transcripts.length, envelopes.map(({ index }) => index)];
  });
  assertEquals(shape, [["once", 4, 6, [0, 1, 2]], ["last", 3, 6, [0, 1, 2]]]);
});

for (const kind of ["signed", "once"] as const) {
  Deno.test(`mailbox.json: makePrekey() gives the ${kind} prekey out of its randomness`, async () => {
    const expected = PREKEYS[kind];
    const { prekey, secret } = await madePrekey(kind);
    const { number, x25519, mlkem, signature } = prekey;
    assertEquals(encodeHex(prekeyStatement(bob, box, prekey)), expected.statement);
    assertEquals(encodeHex(signature), expected.signature);
    assertEquals(encodeHex(concat([encodeU64(number), x25519, mlkem, signature])), expected.wire);
    assertEquals(secret, storedPrekey(kind).secret);
    await verifyPrekey(bob, box, prekey);
  });
}

Deno.test("mailbox.json: passOf() gives the pass of the sender", () => {
  const pass = passOf(decodeHex(file.pass_key), alice.fingerprint);
  assertEquals(encodeHex(pass), file.pass_of_sender);
});

/** Fails unless the state is that before envelope `n`; after the last, whatever follows from it. */
function assertState(run: MailboxRun, { transcript, chain, next }: SessionState, n: number) {
  const T = run.transcripts[5]!;
  const expected = run.envelopes[n]?.chain_key ??
    encodeHex(derive(decodeHex(run.envelopes[n - 1]!.chain_key), decodeHex(T), "mailbox next", 64));
  assertEquals([encodeHex(transcript), encodeHex(chain), next], [T, expected, n]);
}

for (const run of file.runs) {
  const header = decodeHex(run.header);
  const T = decodeHex(run.transcripts[5]!);

  Deno.test(`mailbox.json, ${run.name}: the sender seals the envelopes`, async () => {
    const begun = await beginSession(
      { ours: alice, theirs: bob, box, signed, once: onceOf(run, once) },
      { random: scriptedRandom(run.e_scalar), provider: fixedMlKem(run.mlkem_m) },
    );
    assertEquals(encodeHex(begun.header), run.header);
    let session = begun.session;
    for (const [n, { salt, content, envelope }] of run.envelopes.entries()) {
      assertState(run, session, n);
      const random = scriptedRandom(salt);
      const sealed = await sealEnvelope(session, header, decodeHex(content), random);
      assertEquals(encodeHex(sealed.envelope), envelope);
      session = sealed.session;
    }
    assertState(run, session, 3);
  });

  for (const provider of [webCryptoProvider, await loadNobleProvider()]) {
    Deno.test(`mailbox.json, ${run.name}: the recipient opens them, over ${provider.name}`, async () => {
      let session = await acceptSession({
        ours: bob,
        theirs: alice,
        header: headerParts(header),
        signed: storedPrekey("signed"),
        once: onceOf(run, storedPrekey("once")),
      }, { provider });
      for (const [n, { content, envelope }] of run.envelopes.entries()) {
        assertState(run, session, n);
        const opened = await openEnvelope(session, envelopeParts(decodeHex(envelope)));
        assertEquals(encodeHex(opened.content), content);
        session = opened.session;
      }
      assertState(run, session, 3);
    });
  }

  Deno.test(`mailbox.json, ${run.name}: both sides agree on every DH and on ss`, async () => {
    const E = await x25519KeyPairOf(decodeHex(run.e_scalar));
    const { ephemeral, ciphertext } = headerParts(header);
    assertEquals(E.publicKey, ephemeral);
    const S = await openPrekey("signed", storedPrekey("signed"), webCryptoProvider);
    const O = await openPrekey("once", storedPrekey("once"), webCryptoProvider);
    const bySender = [
      alice.agree(signed.x25519),
      agreeX25519(E.privateKey, bob.agreementKey!),
      agreeX25519(E.privateKey, signed.x25519),
      agreeX25519(E.privateKey, once.x25519),
    ];
    const byRecipient = [
      agreeX25519(S.x25519, alice.agreementKey!),
      bob.agree(ephemeral),
      agreeX25519(S.x25519, ephemeral),
      agreeX25519(O.x25519, ephemeral),
    ];
    for (const side of [bySender, byRecipient]) {
      const secrets = (await Promise.all(side)).slice(0, run.dh.length);
      assertEquals(secrets.map((secret) => encodeHex(secret)), run.dh);
    }
    const { mlkem } = onceOf(run, O) ?? S;
    const encapsulated = await fixedMlKem(run.mlkem_m).encapsulate(mlkem.publicKey);
    assertEquals(encapsulated.ciphertext, ciphertext);
    assertEquals(encodeHex(encapsulated.secret), run.ss);
    assertEquals(encodeHex(await mlkem.decapsulate(ciphertext)), run.ss);
  });

  Deno.test(`mailbox.json, ${run.name}: transcripts, session id, key and iv of each envelope`, () => {
    const S = decodeHex(file.signed_prekey.statement);
    const O = onceOf(run, decodeHex(file.one_time_prekey.statement)) ?? new Uint8Array(0);
    const transcripts: Bytes[] = [sha512(encodeUtf8("cifra/1 mailbox\0"))];
    for (const part of [alice.bundle, bob.bundle, S, O, header]) {
      transcripts.push(absorb(transcripts.at(-1)!, part));
    }
    assertEquals(transcripts.map((transcript) => encodeHex(transcript)), run.transcripts);
    assertEquals(encodeHex(sessionIdOf(header)), run.session_id);
    for (const { chain_key, salt, ...expected } of run.envelopes) {
      const chain = decodeHex(chain_key);
      const { key, iv } = deriveBox(chain, T, "mailbox envelope", aes256Gcm, decodeHex(salt));
      assertEquals([encodeHex(key), encodeHex(iv)], [expected.key, expected.iv]);
    }
  });
}
