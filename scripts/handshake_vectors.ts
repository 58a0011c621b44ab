/**
 * The test vectors of the handshake, tests/vectors/handshake/. `modern` uses fixed randomness throughout
 * and comes out the same every time. RSA-OAEP and ECDSA cannot be told their randomness, so the ladders of
 * `rsa` and `classic` are captured once and kept. Every key here is public, and good for tests alone.
 */
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import type { Bytes } from "../lib/bytes.ts";
import { loadSuite, type Suite, SUITE_IDS, type SuiteName } from "../lib/crypto/suite.ts";
import { peerContext, rendezvousIdOf } from "../lib/wire/handshake_messages.ts";
import { encode } from "../lib/wire/layout.ts";
import { LogKind, peerHello, peerWelcome } from "../lib/wire/peer_messages.ts";
import { signedNameClaim } from "../lib/wire/name_claim.ts";
import { ItemType } from "../lib/wire/records.ts";
import { encodeServerRequest, encodeServerResponse } from "../lib/wire/rendezvous_messages.ts";
import {
  handshakeByTheBook,
  type PrivateEphemeral,
  rawPublicKey,
  signatureHolds,
} from "../tests/handshake/reference.ts";
import {
  ephemeralPair,
  fixedXwing,
  identityOf,
  scriptedRandom,
  type VectorClaim,
  type VectorFile,
  type VectorRun,
  type VectorSide,
} from "../tests/handshake/vector_file.ts";
import { bothEnds, runBothHandshakes } from "../tests/testkit/handshake.ts";
import { fixed, sealRecord } from "./vector_parts.ts";
import { lineOf } from "../lib/wire/line.ts";

const MODES = [1, 2] as const;
const DISPLAY_NAME = { 1: "vector server", 2: "" } as const;

function pkcs8(oid: "x25519" | "ed25519", seed: Bytes): string {
  const tag = oid === "x25519" ? "6e" : "70";
  return `302e020100300506032b65${tag}04220420${encodeHex(seed)}`;
}

function signEd25519(key: string, data: Uint8Array): Uint8Array {
  const privateKey = createPrivateKey({
    key: Buffer.from(key, "hex"),
    format: "der",
    type: "pkcs8",
  });
  return sign(null, data, privateKey);
}

function fingerprintOf(unsigned: Uint8Array): string {
  return createHash("sha512").update("cifra/1 fp\0").update(unsigned).digest("hex").slice(0, 64);
}

const BUNDLE_LABEL = Buffer.from("cifra/1 idbundle\0");

/** A side of modern, out of its label alone. */
async function modernSide(label: string): Promise<VectorSide> {
  const signature = pkcs8("ed25519", fixed(`${label} signature key`));
  const agreement = pkcs8("x25519", fixed(`${label} agreement key`));
  const unsigned = concat([
    Uint8Array.of(2),
    rawPublicKey(signature),
    rawPublicKey(agreement),
  ]);
  const selfSignature = signEd25519(signature, concat([BUNDLE_LABEL, unsigned]));
  const ephemeral = {
    mlkem_seed: encodeHex(fixed(`${label} ML-KEM seed`, 64)),
    x25519_pkcs8: pkcs8("x25519", fixed(`${label} envelope X25519 key`)),
  };
  return {
    identity: {
      bundle: encodeHex(concat([unsigned, selfSignature])),
      fingerprint: fingerprintOf(unsigned),
      signature_pkcs8: signature,
      agreement_pkcs8: agreement,
    },
    ephemeral,
    ephemeral_public_key: encodeHex((await ephemeralPair("modern", ephemeral)).publicKey),
    nonce: encodeHex(fixed(`${label} nonce`)),
    encapsulation: {
      mlkem_m: encodeHex(fixed(`${label} encapsulation`)),
      x25519_pkcs8: pkcs8("x25519", fixed(`${label} encapsulation X25519 key`)),
    },
  };
}

/** A side of rsa or classic, with fresh keys. */
async function rsaSide(suite: SuiteName, label: string): Promise<VectorSide> {
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = ec.publicKey.export({ format: "der", type: "spki" });
  const unsigned = concat([Uint8Array.of(1), new Uint8Array(spki.subarray(spki.length - 65))]);
  const key = ec.privateKey;
  const data = concat([BUNDLE_LABEL, unsigned]);
  const selfSignature = sign("sha256", data, { key, dsaEncoding: "ieee-p1363" });
  const modulusLength = suite === "rsa" ? 3072 : 1024;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength, publicExponent: 65537 });
  const ephemeral: PrivateEphemeral = {
    rsa_pkcs8: privateKey.export({ format: "der", type: "pkcs8" }).toString("hex"),
  };
  return {
    identity: {
      bundle: encodeHex(concat([unsigned, selfSignature])),
      fingerprint: fingerprintOf(unsigned),
      signature_pkcs8: key.export({ format: "der", type: "pkcs8" }).toString("hex"),
    },
    ephemeral,
    ephemeral_public_key: encodeHex((await ephemeralPair(suite, ephemeral)).publicKey),
    nonce: encodeHex(fixed(`${suite} ${label} nonce`)),
  };
}

function side(suite: SuiteName, label: string): Promise<VectorSide> {
  return suite === "modern" ? modernSide(label) : rsaSide(suite, label);
}

/** Two who have met before: Bob has read three messages of Alice, and she none of his. */
export const STANDING = {
  alice: {
    log: fixed("log of alice", 16),
    kind: LogKind.kept,
    first: 4n,
    readLog: new Uint8Array(16),
    have: 0n,
    haveId: new Uint8Array(16),
  },
  bob: {
    log: fixed("log of bob", 16),
    kind: LogKind.kept,
    first: 1n,
    readLog: fixed("log of alice", 16),
    have: 3n,
    haveId: fixed("third message of alice", 16),
  },
} as const;

const PLACE = { receivePort: 40112, sendPort: 40113, advertised: ["192.168.1.7"] };
const SEQUENCE = 1n;
const NOT_AFTER = BigInt(Date.UTC(2031, 1, 5));

/** The claim of `name`, signed by its owner; `voucher` signs as well. What was captured stays while it holds. */
async function claimOf(
  name: string,
  owner: VectorSide,
  voucher: VectorSide | undefined,
  captured: VectorClaim | undefined,
): Promise<VectorClaim> {
  const identity = await identityOf(owner);
  const signed = signedNameClaim(name, identity.bundle, {
    sequence: SEQUENCE,
    notAfter: NOT_AFTER,
  }, PLACE);
  const kept = captured?.signature;
  const holds = kept && signatureHolds(identity.bundle, decodeHex(kept), signed);
  const vouching = voucher && await identityOf(voucher);
  return {
    name,
    sequence: Number(SEQUENCE),
    not_after: Number(NOT_AFTER),
    signed: encodeHex(signed),
    signature: holds ? kept : encodeHex(await identity.sign(signed)),
    vouchers: vouching
      ? [{
        bundle: encodeHex(vouching.bundle),
        signature: encodeHex(await vouching.sign(signed)),
      }]
      : [],
  };
}

/** The bodies of m7 and m8. */
function firstWords(claim: VectorClaim | undefined): readonly [Bytes, Bytes] {
  if (!claim) {
    return [
      encode(peerHello, { from: "alice", to: "bob", ...STANDING.alice }),
      encode(peerWelcome, STANDING.bob),
    ];
  }
  return [
    encodeServerRequest({
      type: "register",
      name: claim.name,
      ...PLACE,
      capabilities: 0,
      registrationSequence: SEQUENCE,
      claim: {
        notAfter: NOT_AFTER,
        signature: decodeHex(claim.signature),
        vouchers: claim.vouchers.map(({ bundle, signature }) => ({
          bundle: decodeHex(bundle),
          signature: decodeHex(signature),
        })),
      },
    }),
    encodeServerResponse({
      type: "registered",
      observed: { host: "198.51.100.7", port: 50123 },
      frameLimit: 65536,
      silenceDeadline: 60,
      ticket: concat([fixed("ticket", 64), fixed("end of ticket", 4)]),
      ticketKey: fixed("ticket key"),
    }),
  ];
}

/** A ladder and what comes out of it. */
type Ladder = Omit<VectorRun, "claim" | "m7" | "m8">;

async function climb(suite: Suite, mode: 1 | 2): Promise<Ladder> {
  const { name } = suite;
  const sides = [
    await side(name, `mode ${mode} initiator`),
    await side(name, `mode ${mode} responder`),
  ];
  // Between peers the lower fingerprint is the initiator's.
  if (mode === 2) sides.sort((a, b) => a.identity.fingerprint < b.identity.fingerprint ? -1 : 1);
  const initiator = sides[0]!, responder = sides[1]!;
  const [alice, bob] = [await identityOf(initiator), await identityOf(responder)];
  const psk = mode === 1 ? new Uint8Array(32) : fixed("rv_key");
  const [fp_i, fp_r] = [alice.fingerprint, bob.fingerprint];
  const rendezvousId = rendezvousIdOf(psk, 1, { initiator: fp_i, responder: fp_r });
  const context = mode === 1 ? new Uint8Array(0) : peerContext(rendezvousId, 1, fp_i, fp_r);
  const secret = encodeHex(fixed(`${name} mode ${mode} secret`));
  const ivSeed = encodeHex(fixed(`${name} mode ${mode} iv_seed`, 16));
  const displayName = lineOf(DISPLAY_NAME[mode]);

  const suiteFor = ({ encapsulation }: VectorSide): Suite =>
    encapsulation ? { ...suite, kem: fixedXwing(suite.kem, encapsulation) } : suite;
  const common = { mode, context, psk };
  const run = await runBothHandshakes({
    initiator: {
      ...common,
      random: scriptedRandom(initiator.nonce, secret, ivSeed),
      ours: {
        suite: suiteFor(initiator),
        identity: alice,
        ephemeralKey: () => ephemeralPair(name, initiator.ephemeral),
      },
      pinned: bob,
      checkResponder: () => {},
    },
    responder: {
      ...common,
      random: scriptedRandom(responder.nonce),
      ours: () => ({
        suite: suiteFor(responder),
        identity: bob,
        ephemeralKey: () => ephemeralPair(name, responder.ephemeral),
      }),
      displayName,
      checkInitiator: () => {},
    },
  });
  // Throws unless both have climbed to the end.
  bothEnds(run);
  const messages = run.frames.map(({ body }) => encodeHex(body));
  const computed = handshakeByTheBook({
    suite: name,
    mode,
    context: encodeHex(context),
    psk: encodeHex(psk),
    initiatorEphemeral: initiator.ephemeral,
    responderEphemeral: responder.ephemeral,
    messages,
  });
  return {
    mode,
    context: encodeHex(context),
    psk: encodeHex(psk),
    display_name: displayName,
    initiator,
    responder,
    secret,
    iv_seed: ivSeed,
    messages,
    ...computed,
  };
}

/** The first record of each direction. What was captured stays while it says the same. */
async function withFirstRecords(
  suite: Suite,
  ladder: Ladder,
  voucher: VectorSide | undefined,
  captured: VectorRun | undefined,
): Promise<VectorRun> {
  const { initiator, responder, traffic, mode } = ladder;
  const claim = mode === 1
    ? await claimOf("alice", initiator, voucher, captured?.claim)
    : undefined;
  const [hello, welcome] = firstWords(claim);
  const m7 = await sealRecord({
    suite,
    direction: "i2r",
    sender: initiator,
    traffic: traffic.i2r,
    counter: 0,
    items: [{ type: ItemType.request, body: hello }],
    captured: captured?.m7.frame,
  });
  const m8 = await sealRecord({
    suite,
    direction: "r2i",
    sender: responder,
    traffic: traffic.r2i,
    counter: 0,
    items: [{ type: ItemType.response, body: welcome }],
    captured: captured?.m8.frame,
  });
  return { ...ladder, ...(claim && { claim }), m7, m8 };
}

function ladderOf({ claim: _claim, m7: _m7, m8: _m8, ...ladder }: VectorRun): Ladder {
  return ladder;
}

/**
 * The file of one suite. `captured` is the file as it was, for the suites with randomness of their own.
 * `voucher` is the identity of the same person in another suite.
 */
export async function makeVectorFile(
  name: SuiteName,
  captured?: VectorFile,
  voucher?: VectorSide,
): Promise<VectorFile> {
  const suite = await loadSuite(name);
  const runs: VectorRun[] = [];
  for (const mode of MODES) {
    const before = captured?.runs.find((run) => run.mode === mode);
    const ladder = before ? ladderOf(before) : await climb(suite, mode);
    runs.push(await withFirstRecords(suite, ladder, voucher, before));
  }
  return { suite: name, suite_id: SUITE_IDS[name], runs };
}
