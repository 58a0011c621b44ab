/**
 * Writes the test vectors of the ladder, tests/vectors/handshake/:
 *
 *   deno run --allow-read --allow-write=tests/vectors scripts/handshake_vectors.ts [--recapture]
 *
 * modern uses fixed randomness throughout and comes out the same every time. RSA-OAEP and ECDSA cannot
 * be told their randomness, so rsa and classic are captured once and kept; --recapture makes them anew.
 * Every key here is public, and good for tests alone.
 */
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import type { Bytes } from "../lib/bytes.ts";
import { verifyBy } from "../lib/crypto/identity.ts";
import { type Direction, RecordCipher } from "../lib/crypto/record_cipher.ts";
import {
  loadSuite,
  type Suite,
  SUITE_IDS,
  SUITE_NAMES,
  type SuiteName,
} from "../lib/crypto/suite.ts";
import type { Established } from "../lib/handshake/state.ts";
import { frameHeader, FrameKind } from "../lib/wire/frame.ts";
import { peerContext } from "../lib/wire/handshake_messages.ts";
import { encode } from "../lib/wire/layout.ts";
import { LogKind, peerHello, peerWelcome } from "../lib/wire/peer_messages.ts";
import { encodeItems, ItemType } from "../lib/wire/records.ts";
import {
  encodeServerRequest,
  encodeServerResponse,
  type VouchedClaim,
} from "../lib/wire/rendezvous_messages.ts";
import {
  handshakeByTheBook,
  openFirstRecord,
  type PrivateEphemeral,
  rawPublicKey,
} from "../tests/handshake/reference.ts";
import {
  ephemeralPair,
  fixedXwing,
  formatVectorFile,
  identityOf,
  scriptedRandom,
  type VectorFile,
  type VectorRun,
  type VectorSide,
  vectorUrl,
} from "../tests/handshake/vector_file.ts";
import { bothEnds, runBothHandshakes } from "../tests/testkit/handshake.ts";

const MODES = [1, 2] as const;
const DISPLAY_NAME = { 1: "vector server", 2: "" } as const;

/** Bytes with nothing up the sleeve: the start of SHA-512("cifra/1 vector " ‖ label). */
function fixed(label: string, length = 32): Bytes {
  const digest = createHash("sha512").update(`cifra/1 vector ${label}`).digest();
  return new Uint8Array(digest.subarray(0, length));
}

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

/** A word of the owner with the right shape: the ladder does not look at it. */
const CLAIM: VouchedClaim = {
  notAfter: BigInt(Date.UTC(2031, 1, 5)),
  signature: fixed("signature of alice", 64),
  vouchers: [],
};

/** The bodies of m7 and m8. */
function firstWords(mode: 1 | 2): readonly [Bytes, Bytes] {
  if (mode === 2) {
    return [
      encode(peerHello, { from: "alice", to: "bob", ...STANDING.alice }),
      encode(peerWelcome, STANDING.bob),
    ];
  }
  return [
    encodeServerRequest({
      type: "register",
      name: "alice",
      wanted: "bob",
      receivePort: 40112,
      sendPort: 40113,
      capabilities: 0,
      registrationSequence: 1n,
      advertised: ["192.168.1.7"],
      claim: CLAIM,
    }),
    encodeServerResponse({
      type: "registered",
      observed: { host: "198.51.100.7", port: 50123 },
      frameLimit: 65536,
      silenceDeadline: 60,
    }),
  ];
}

async function sealFirstRecord(from: Established, direction: Direction, inner: Bytes) {
  const signer = {
    sign: (data: Bytes) => from.ours.sign(data),
    verify: (signature: Bytes, data: Bytes) => verifyBy(from.theirs, signature, data),
  };
  const cipher = new RecordCipher(from.suite, direction, signer, from.sendSecret);
  await cipher.prepare();
  const header = frameHeader(FrameKind.record, cipher.sealedLength(inner.length));
  const sealed = await cipher.seal(header, inner);
  return { inner: encodeHex(inner), frame: encodeHex(concat([header, sealed])) };
}

async function makeRun(suite: Suite, mode: 1 | 2): Promise<VectorRun> {
  const { name } = suite;
  const [initiator, responder] = [
    await side(name, `mode ${mode} initiator`),
    await side(name, `mode ${mode} responder`),
  ];
  const [alice, bob] = [await identityOf(initiator), await identityOf(responder)];
  const context = mode === 1
    ? new Uint8Array(0)
    : peerContext(fixed("rv_id", 16), 1, alice.fingerprint, bob.fingerprint);
  const psk = mode === 1 ? new Uint8Array(32) : fixed("rv_key");
  const secret = encodeHex(fixed(`${name} mode ${mode} secret`));
  const ivSeed = encodeHex(fixed(`${name} mode ${mode} iv_seed`, 16));
  const displayName = DISPLAY_NAME[mode];

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
  const ends = bothEnds(run);
  const [register, welcome] = firstWords(mode);
  const inner7 = encodeItems([{ type: ItemType.request, body: register }]);
  const inner8 = encodeItems([{ type: ItemType.response, body: welcome }]);
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
  const m7 = await sealFirstRecord(ends.initiator, "i2r", inner7);
  const m8 = await sealFirstRecord(ends.responder, "r2i", inner8);
  const { i2r, r2i } = computed.record_keys;
  const opened = [
    openFirstRecord(name, "i2r", i2r, m7.frame, initiator.identity.bundle),
    openFirstRecord(name, "r2i", r2i, m8.frame, responder.identity.bundle),
  ];
  if (opened[0] !== m7.inner || opened[1] !== m8.inner) throw new Error("A record does not open");
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
    m7,
    m8,
  };
}

/** The file of one suite. */
export async function makeVectorFile(name: SuiteName): Promise<VectorFile> {
  const suite = await loadSuite(name);
  const runs: VectorRun[] = [];
  for (const mode of MODES) runs.push(await makeRun(suite, mode));
  return { suite: name, suite_id: SUITE_IDS[name], runs };
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}

if (import.meta.main) {
  const recapture = Deno.args.includes("--recapture");
  for (const name of SUITE_NAMES) {
    const url = vectorUrl(name);
    if (name !== "modern" && !recapture && await exists(url)) {
      console.log(`${name}: kept`);
      continue;
    }
    await Deno.writeTextFile(url, formatVectorFile(await makeVectorFile(name)));
    console.log(`${name}: written`);
  }
}
