/**
 * The files in tests/vectors/handshake/ against the library, each side alone and message by message;
 * and against the document's formulas (reference.ts), which share no code with the library.
 */
import { assert, assertEquals } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { createHash } from "node:crypto";
import { STANDING } from "../../scripts/handshake_vectors.ts";
import type { Bytes } from "../../lib/bytes.ts";
import { type Identity, verifyBy } from "../../lib/crypto/identity.ts";
import { type Direction, RecordCipher } from "../../lib/crypto/record_cipher.ts";
import { loadSuite, type Suite, SUITE_NAMES, type SuiteName } from "../../lib/crypto/suite.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import type { Established, OurSide, Step } from "../../lib/handshake/state.ts";
import { type Frame, FRAME_HEADER_LENGTH, FrameKind } from "../../lib/wire/frame.ts";
import { decode } from "../../lib/wire/layout.ts";
import { peerHello, peerWelcome } from "../../lib/wire/peer_messages.ts";
import { decodeItems, encodeItems, ItemType } from "../../lib/wire/records.ts";
import { decodeServerRequest, decodeServerResponse } from "../../lib/wire/rendezvous_messages.ts";
import {
  handshakeByTheBook,
  openRecord,
  PARAMETERS,
  recordKey,
  signatureHolds,
} from "./reference.ts";
import {
  ephemeralPair,
  identityOf,
  readVectorFile,
  scriptedRandom,
  type VectorRun,
  type VectorSide,
} from "./vector_file.ts";
import { lineOf } from "../../lib/wire/line.ts";

type Role = "R early" | "I auth" | "R auth";

/** The frame of message `number` in the file. */
function frameOf({ messages }: VectorRun, number: 1 | 2 | 3 | 4 | 5 | 6): Frame {
  return { kind: number, body: decodeHex(messages[number - 1]!) };
}

/** A side whose randomness is the file's: encapsulation and signatures give what was captured. */
async function scriptedSide(
  suite: Suite,
  run: VectorRun,
  side: VectorSide,
  encapsulated: { readonly ciphertext: Bytes; readonly secret: Bytes; readonly key: string },
  signatures: Partial<Record<Role, string>>,
): Promise<OurSide> {
  const identity = await identityOf(side);
  const kem = {
    ...suite.kem,
    encapsulate: (publicKey: Bytes) => {
      assertEquals(encodeHex(publicKey), encapsulated.key);
      return Promise.resolve({
        ciphertext: encapsulated.ciphertext.slice(),
        secret: encapsulated.secret.slice(),
      });
    },
  };
  const sign = (data: Bytes) => {
    const roles = Object.entries(signatures);
    const match = roles.find(([role]) => run.signature_inputs[role as Role] === encodeHex(data));
    assert(match, "something else was signed");
    return Promise.resolve(decodeHex(match[1]));
  };
  const scripted: Identity = { ...identity, sign };
  return {
    suite: { ...suite, kem },
    identity: scripted,
    ephemeralKey: () => ephemeralPair(suite.name, side.ephemeral),
  };
}

function common(run: VectorRun) {
  return { mode: run.mode, context: decodeHex(run.context), psk: decodeHex(run.psk) };
}

/** Where ct2 and ct3 stand. */
function ciphertexts(suite: SuiteName, run: VectorRun) {
  const { publicKey, ciphertext } = PARAMETERS[suite];
  const m2 = decodeHex(run.messages[1]!), m3 = decodeHex(run.messages[2]!);
  return {
    ct2: m2.slice(32 + publicKey, 32 + publicKey + ciphertext),
    ct3: m3.slice(0, ciphertext),
  };
}

/** Fails unless a step sent this message, told these transcripts and holds this chain key. */
function assertStep(
  run: VectorRun,
  { send, events, state }: Step,
  message: number | undefined,
  transcripts: readonly string[],
  chainKey?: string,
): void {
  assertEquals(send.map(({ kind }) => kind), message === undefined ? [] : [message]);
  if (message !== undefined) assertEquals(encodeHex(send[0]!.body), run.messages[message - 1]);
  const told = events.map(({ transcript }) => encodeHex(transcript));
  assertEquals(told, transcripts.map((name) => run.transcripts[name]));
  if (chainKey !== undefined) {
    assert("chainKey" in state);
    assertEquals(encodeHex(state.chainKey), chainKey);
  }
}

/** The end of a ladder with the keys of the file. */
function endOf({ state }: Step, run: VectorRun, out: Direction): Established {
  assert(state.name === "established");
  const [send, receive] = out === "i2r"
    ? [run.traffic.i2r, run.traffic.r2i]
    : [run.traffic.r2i, run.traffic.i2r];
  assertEquals(encodeHex(state.sendSecret), send);
  assertEquals(encodeHex(state.receiveSecret), receive);
  assertEquals(encodeHex(state.sessionId), run.session_id);
  assertEquals(encodeHex(state.exporter), run.exporter);
  assertEquals(encodeHex(state.transcript), run.transcripts.T6);
  assertEquals(state.displayName, run.display_name);
  const { initiator, responder } = run;
  const theirs = out === "i2r" ? responder : initiator;
  assertEquals(encodeHex(state.theirs.fingerprint), theirs.identity.fingerprint);
  return state;
}

async function replayInitiator(suite: Suite, run: VectorRun): Promise<Established> {
  const { initiator, responder } = run;
  const { ct3 } = ciphertexts(suite.name, run);
  const ours = await scriptedSide(suite, run, initiator, {
    ciphertext: ct3,
    secret: decodeHex(run.shared_secrets.ss3),
    key: responder.ephemeral_public_key,
  }, { "I auth": run.plaintexts.box5b! });
  const first = await startInitiator({
    ...common(run),
    random: scriptedRandom(initiator.nonce, run.secret, run.iv_seed),
    ours,
    pinned: await identityOf(responder),
    checkResponder: () => {},
  });
  const { ck0, ck3, ck5 } = run.chain_keys;
  assertStep(run, first, 1, ["T1"], ck0);
  const second = await step(first.state, frameOf(run, 2));
  assertStep(run, second, 3, ["T2", "T3"], ck3);
  const third = await step(second.state, frameOf(run, 4));
  assertStep(run, third, 5, ["T4", "T5"], ck5);
  const last = await step(third.state, frameOf(run, 6));
  assertStep(run, last, undefined, ["T6"]);
  return endOf(last, run, "i2r");
}

async function replayResponder(suite: Suite, run: VectorRun): Promise<Established> {
  const { initiator, responder } = run;
  const { ct2 } = ciphertexts(suite.name, run);
  const ours = await scriptedSide(suite, run, responder, {
    ciphertext: ct2,
    secret: decodeHex(run.shared_secrets.ss2),
    key: initiator.ephemeral_public_key,
  }, { "R early": run.plaintexts.box2!, "R auth": run.plaintexts.box6! });
  const waiting = startResponder({
    ...common(run),
    random: scriptedRandom(responder.nonce),
    ours: () => ours,
    displayName: lineOf(run.display_name),
    checkInitiator: () => {},
  });
  const { ck2, ck3 } = run.chain_keys;
  const first = await step(waiting, frameOf(run, 1));
  assertStep(run, first, 2, ["T1", "T2"], ck2);
  const second = await step(first.state, frameOf(run, 3));
  assertStep(run, second, 4, ["T3", "T4"], ck3);
  const last = await step(second.state, frameOf(run, 5));
  assertStep(run, last, 6, ["T5", "T6"]);
  return endOf(last, run, "r2i");
}

/** Opens the first record that `end` receives; in the suites that allow it, seals it again. */
async function checkRecord(
  end: Established,
  direction: Direction,
  { inner, frame }: VectorRun["m7"],
): Promise<Bytes> {
  const signer = {
    sign: (data: Bytes) => end.ours.sign(data),
    verify: (signature: Bytes, data: Bytes) => verifyBy(end.theirs, signature, data),
  };
  const bytes = decodeHex(frame);
  const header = bytes.slice(0, FRAME_HEADER_LENGTH);
  const sealed = bytes.slice(FRAME_HEADER_LENGTH);
  assertEquals(header[4], FrameKind.record);
  const create = async () => {
    const cipher = new RecordCipher(end.suite, direction, signer, end.receiveSecret.slice());
    await cipher.prepare();
    return cipher;
  };
  const opened = await (await create()).open(header, sealed);
  assertEquals(encodeHex(opened), inner);
  if (!end.suite.signedRecords) {
    assertEquals(encodeHex(await (await create()).seal(header, opened)), encodeHex(sealed));
  }
  const items = decodeItems(opened);
  assertEquals(encodeHex(encodeItems(items)), inner);
  assertEquals(items.length, 1);
  assertEquals(items[0]!.type, direction === "i2r" ? ItemType.request : ItemType.response);
  return items[0]!.body;
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName} vectors: the document's formulas give every key in the file`, async () => {
    const { suite_id, runs } = await readVectorFile(suiteName);
    assertEquals(suite_id, PARAMETERS[suiteName].id);
    assertEquals(runs.map(({ mode }) => mode), [1, 2]);
    for (const run of runs) {
      const { initiator, responder } = run;
      const computed = handshakeByTheBook({
        suite: suiteName,
        mode: run.mode,
        context: run.context,
        psk: run.psk,
        initiatorEphemeral: initiator.ephemeral,
        responderEphemeral: responder.ephemeral,
        messages: run.messages,
      });
      assertEquals({ ...run, ...computed }, run);
      assertEquals(computed.plaintexts.box3, initiator.identity.bundle);
      assert(computed.plaintexts.box4?.startsWith(responder.identity.bundle));
      assertEquals(computed.plaintexts.box5a, run.secret + run.iv_seed);
      for (const { identity } of [initiator, responder]) {
        const unsigned = decodeHex(identity.bundle).slice(0, -64);
        const hash = createHash("sha512").update("cifra/1 fp\0").update(unsigned).digest("hex");
        assertEquals(identity.fingerprint, hash.slice(0, 64));
      }
      const keys = {
        i2r: recordKey(suiteName, run.traffic.i2r),
        r2i: recordKey(suiteName, run.traffic.r2i),
      };
      assertEquals(keys, run.record_keys);
      for (
        const [direction, sender, { inner, frame }] of [
          ["i2r", initiator, run.m7],
          ["r2i", responder, run.m8],
        ] as const
      ) {
        const signer = sender.identity.bundle;
        const first = { suite: suiteName, direction, keys: keys[direction], counter: 0, signer };
        assertEquals(openRecord(first, frame), inner);
      }
    }
  });

  Deno.test(`${suiteName} vectors: the fields of m1 and m2 stand where the document says`, async () => {
    for (const { mode, initiator, responder, messages } of (await readVectorFile(suiteName)).runs) {
      const head = encodeHex(Uint8Array.of(1, mode, PARAMETERS[suiteName].id, 0));
      assertEquals(messages[0], head + initiator.nonce + initiator.ephemeral_public_key);
      assert(messages[1]!.startsWith(responder.nonce + responder.ephemeral_public_key));
      for (const { ephemeral, ephemeral_public_key } of [initiator, responder]) {
        const pair = await ephemeralPair(suiteName, ephemeral);
        assertEquals(encodeHex(pair.publicKey), ephemeral_public_key);
      }
    }
  });

  Deno.test(`${suiteName} vectors: each side alone replays the ladder and its first records`, async () => {
    const suite = await loadSuite(suiteName);
    for (const run of (await readVectorFile(suiteName)).runs) {
      const initiator = await replayInitiator(suite, run);
      const responder = await replayResponder(suite, run);
      const m7 = await checkRecord(responder, "i2r", run.m7);
      const m8 = await checkRecord(initiator, "r2i", run.m8);
      if (run.mode === 2) {
        const { alice, bob } = STANDING;
        assertEquals(decode(peerHello, m7), { from: "alice", to: "bob", ...alice });
        assertEquals(decode(peerWelcome, m8), bob);
      } else {
        const request = decodeServerRequest(m7);
        assert(request.type === "register" && run.claim);
        const { name, not_after, signature, vouchers } = run.claim;
        assertEquals(request.name, name);
        assertEquals(request.claim, {
          notAfter: BigInt(not_after),
          signature: decodeHex(signature),
          vouchers: vouchers.map((voucher) => ({
            bundle: decodeHex(voucher.bundle),
            signature: decodeHex(voucher.signature),
          })),
        });
        assertEquals(decodeServerResponse(m8).type, "registered");
      }
    }
  });

  Deno.test(`${suiteName} vectors: the name claim of m7 is signed by its owner and who vouches for it`, async () => {
    const [{ claim, initiator }] = (await readVectorFile(suiteName)).runs as [VectorRun];
    assert(claim);
    const { name, sequence, not_after, signed, signature, vouchers } = claim;
    const { bundle } = initiator.identity;
    // "cifra/1 name claim\0" | text(32) name | var(130) bundle | u64 sequence | u64 not_after
    // | u16 receive_port | u16 send_port | list(address, 4) advertised
    const place = "9cb0" + "9cb1" + "01" + "04c0a80107";
    const byTheBook = encodeHex("cifra/1 name claim\0") + variable(encodeHex(name)) +
      variable(bundle) + u64(sequence) + u64(not_after) + place;
    assertEquals(signed, byTheBook);
    for (const each of [{ bundle, signature }, ...vouchers]) {
      const [key, proof, data] = [each.bundle, each.signature, signed].map((hex) => decodeHex(hex));
      assert(signatureHolds(key!, proof!, data!), each.bundle);
    }
    const [modern] = (await readVectorFile("modern")).runs;
    const vouching = vouchers.map((voucher) => voucher.bundle);
    assertEquals(vouching, suiteName === "modern" ? [] : [modern!.initiator.identity.bundle]);
  });
}

/** A u16 length and these bytes, all in hexadecimal. */
function variable(hex: string): string {
  return (hex.length / 2).toString(16).padStart(4, "0") + hex;
}

function u64(value: number): string {
  return value.toString(16).padStart(16, "0");
}

Deno.test("handshake vectors: between peers the lower fingerprint is the initiator's", async () => {
  for (const suite of SUITE_NAMES) {
    const { initiator, responder } = (await readVectorFile(suite)).runs[1]!;
    assert(initiator.identity.fingerprint < responder.identity.fingerprint, suite);
  }
});
