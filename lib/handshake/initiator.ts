/**
 * The ladder of the side that speaks first (PROTOCOL.md 3.4):
 *
 *   -> m1  version, mode, suite, flags, nonce_I, epk_I
 *   <- m2  nonce_R, epk_R, ct2, box2{ Sig_R("R early", T2a) }
 *   -> m3  ct3, box3{ idb_I }
 *   <- m4  box4{ idb_R, display name }
 *   -> m5  box5a{ secret, iv_seed }, box5b{ Sig_I("I auth", T5a) }
 *   <- m6  box6{ Sig_R("R auth", T5) }
 */
import type { Bytes } from "../bytes.ts";
import {
  identityClassOf,
  type PublicIdentity,
  readIdentity,
  verifyBy,
} from "../crypto/identity.ts";
import {
  absorb,
  deriveBox,
  mix,
  openBox,
  sealBox,
  signatureInput,
  startChain,
  startTranscript,
} from "../crypto/transcript.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import { FrameKind } from "../wire/frame.ts";
import {
  handshakeLayouts,
  IV_SEED_LENGTH,
  NONCE_LENGTH,
  PROTOCOL_VERSION,
  SECRET_LENGTH,
} from "../wire/handshake_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import {
  type ExpectM2,
  type ExpectM4,
  type ExpectM6,
  frame,
  handshakeEvent,
  type InitiatorConfig,
  type Step,
} from "./state.ts";
import { trafficKeys } from "./traffic_keys.ts";

/** Begins the handshake: m1. */
export async function startInitiator(config: InitiatorConfig): Promise<Step> {
  const { suite } = config.ours;
  const layouts = handshakeLayouts(suite);
  const ephemeralKey = await config.ours.ephemeralKey();
  const transcript0 = startTranscript(config.mode, suite.id, config.context);
  const m1 = encode(layouts.m1, {
    version: PROTOCOL_VERSION,
    mode: config.mode,
    suite: suite.id,
    flags: 0,
    nonce: config.random(NONCE_LENGTH),
    ephemeralKey: ephemeralKey.publicKey,
  });
  const transcript = absorb(transcript0, m1);
  const chainKey = startChain(transcript0, config.psk);
  return {
    state: { name: "expect-m2", config, layouts, transcript, chainKey, ephemeralKey },
    send: [frame(FrameKind.m1, m1)],
    events: [handshakeEvent(1, "sent", suite, m1, transcript)],
  };
}

/** m2 in, m3 out. With a pinned responder its early proof is checked before m3 shows who we are. */
export async function receiveM2(state: ExpectM2, body: Bytes): Promise<Step> {
  const { config, layouts } = state;
  const { suite, identity } = config.ours;
  const m2 = decode(layouts.m2, body);
  // Beside what opens their proof: m3 follows at once, or never.
  const answering = mayFail(suite.kem.encapsulate(m2.ephemeralKey));
  const { chainKey, transcript2, early } = await openM2(state, body, m2).catch(async (error) => {
    await answering.then(({ secret }) => secret.fill(0), () => {});
    throw error;
  });
  const toResponder = await answering;
  const transcript3a = absorb(transcript2, toResponder.ciphertext);
  const step3 = mix(chainKey, toResponder.secret, transcript3a, "m3", suite.aead);
  toResponder.secret.fill(0);
  chainKey.fill(0);
  const box = await sealBox(suite.aead, step3.box, transcript3a, identity.bundle);
  const m3 = encode(layouts.m3, { ciphertext: toResponder.ciphertext, box });
  const transcript = absorb(transcript3a, box);
  const proven = config.pinned?.fingerprint;
  return {
    state: { name: "expect-m4", config, layouts, transcript, chainKey: step3.chainKey, early },
    send: [frame(FrameKind.m3, m3)],
    events: [
      handshakeEvent(2, "received", suite, body, transcript2, proven),
      handshakeEvent(3, "sent", suite, m3, transcript, identity.fingerprint),
    ],
  };
}

/** What m2 proves, and the keys after it. */
async function openM2(
  { config, transcript, chainKey, ephemeralKey }: ExpectM2,
  body: Bytes,
  { ciphertext, box }: { readonly ciphertext: Bytes; readonly box: Bytes },
) {
  const { suite } = config.ours;
  const transcript2a = absorb(transcript, body.subarray(0, body.length - box.length));
  const secret = await ephemeralKey.decapsulate(ciphertext);
  const step2 = mix(chainKey, secret, transcript2a, "m2", suite.aead);
  secret.fill(0);
  const signature = await openBox(suite.aead, step2.box, transcript2a, box);
  const early = { signature, transcript: transcript2a };
  if (config.pinned) await requireEarlyProof(config, config.pinned, early);
  return { chainKey: step2.chainKey, transcript2: absorb(transcript2a, box), early };
}

/** m4 in, m5 out: now the responder is named, and everything it has proved so far must fit. */
export async function receiveM4(state: ExpectM4, body: Bytes): Promise<Step> {
  const { config, layouts } = state;
  const { suite, identity } = config.ours;
  const box4 = deriveBox(state.chainKey, state.transcript, "m4", suite.aead);
  const plaintext = await openBox(suite.aead, box4, state.transcript, body);
  const { bundle, displayName } = decode(layouts.m4Plaintext, plaintext);
  // The bundle of a pinned responder was checked when it was pinned.
  const isPinned = config.pinned && timingSafeEqual(bundle, config.pinned.bundle);
  const responder = isPinned
    ? config.pinned!
    : await readIdentity(bundle, identityClassOf(suite.signature));
  if (timingSafeEqual(responder.fingerprint, identity.fingerprint)) {
    throw new CifraError("auth_failed", "Cannot trust the other side: it uses our own identity");
  }
  if (!config.pinned) await requireEarlyProof(config, responder, state.early);
  config.checkResponder(responder, displayName);
  if (config.pinned && !timingSafeEqual(responder.fingerprint, config.pinned.fingerprint)) {
    throw new CifraError("auth_failed", "Cannot trust the other side: it names another identity");
  }
  const transcript4 = absorb(state.transcript, body);

  const secret = config.random(SECRET_LENGTH);
  const ivSeed = config.random(IV_SEED_LENGTH);
  const secretKey = deriveBox(state.chainKey, transcript4, "m5 secret", suite.aead);
  const secrets = encode(layouts.m5Plaintext, { secret, ivSeed });
  const secretBox = await sealBox(suite.aead, secretKey, transcript4, secrets);
  const transcript5a = absorb(transcript4, secretBox);
  const proofKey = deriveBox(state.chainKey, transcript5a, "m5 auth", suite.aead);
  const signature = await identity.sign(signatureInput(suite, config.mode, "I auth", transcript5a));
  const proofBox = await sealBox(suite.aead, proofKey, transcript5a, signature);
  const m5 = encode(layouts.m5, { secretBox, proofBox });
  const transcript = absorb(transcript5a, proofBox);
  const { chainKey } = mix(state.chainKey, secrets, transcript, "m5", suite.aead);
  for (const used of [secret, ivSeed, secrets]) used.fill(0);
  return {
    state: { name: "expect-m6", config, layouts, transcript, chainKey, responder, displayName },
    send: [frame(FrameKind.m5, m5)],
    events: [
      handshakeEvent(4, "received", suite, body, transcript4, responder.fingerprint),
      handshakeEvent(5, "sent", suite, m5, transcript, identity.fingerprint),
    ],
  };
}

/** m6 in: the responder has confirmed everything said so far. */
export async function receiveM6(state: ExpectM6, body: Bytes): Promise<Step> {
  const { config, layouts, responder } = state;
  const { suite, identity } = config.ours;
  const { box } = decode(layouts.m6, body);
  const box6 = deriveBox(state.chainKey, state.transcript, "m6", suite.aead);
  const signature = await openBox(suite.aead, box6, state.transcript, box);
  const proof = signatureInput(suite, config.mode, "R auth", state.transcript);
  if (!await verifyBy(responder, signature, proof)) {
    throw new CifraError(
      "auth_failed",
      "Cannot trust the other side: its confirmation is not signed",
    );
  }
  const keys = trafficKeys(state.chainKey, state.transcript, box);
  return {
    state: {
      name: "established",
      role: "initiator",
      mode: config.mode,
      suite,
      ours: identity,
      theirs: responder,
      displayName: state.displayName,
      transcript: keys.transcript,
      sendSecret: keys.initiatorToResponder,
      receiveSecret: keys.responderToInitiator,
      sessionId: keys.sessionId,
      exporter: keys.exporter,
    },
    send: [],
    events: [
      handshakeEvent(6, "received", suite, body, keys.transcript, responder.fingerprint),
    ],
  };
}

async function requireEarlyProof(
  config: InitiatorConfig,
  signer: PublicIdentity,
  early: ExpectM4["early"],
): Promise<void> {
  const { suite } = config.ours;
  const proof = signatureInput(suite, config.mode, "R early", early.transcript);
  if (!await verifyBy(signer, early.signature, proof)) {
    throw new CifraError(
      "auth_failed",
      "Cannot trust the other side: it does not hold the known key",
    );
  }
}
