/** The ladder of the side that answers; the messages are listed in initiator.ts (PROTOCOL.md 3.4). */
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../bytes.ts";
import { identityClassOf, readIdentity, verifyBy } from "../crypto/identity.ts";
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
import { FrameKind } from "../wire/frame.ts";
import {
  handshakeLayouts,
  helloHead,
  NONCE_LENGTH,
  PROTOCOL_VERSION,
} from "../wire/handshake_messages.ts";
import { mayFail } from "../flow/may_fail.ts";
import { badFrame, decode, encode } from "../wire/layout.ts";
import {
  type ExpectM1,
  type ExpectM3,
  type ExpectM5,
  frame,
  handshakeEvent,
  type OurSide,
  type ResponderConfig,
  type Step,
} from "./state.ts";
import { trafficKeys } from "./traffic_keys.ts";

/** The state before m1. */
export function startResponder(config: ResponderConfig): ExpectM1 {
  return { name: "expect-m1", config };
}

/** m1 in, m2 out. No negotiation: the suite that was asked for, or none. */
export async function receiveM1(state: ExpectM1, body: Bytes): Promise<Step> {
  const { config } = state;
  const ours = chooseSide(config, body);
  const { suite, identity } = ours;
  const layouts = handshakeLayouts(suite);
  const m1 = decode(layouts.m1, body);

  const transcript0 = startTranscript(config.mode, suite.id, config.context);
  const transcript1 = absorb(transcript0, body);
  const chainKey0 = startChain(transcript0, config.psk);
  // The key is probed first: nothing is made for one that is refused.
  const { ciphertext, secret } = await suite.kem.encapsulate(m1.ephemeralKey);
  const ephemeralKey = await ours.ephemeralKey();
  const nonce = config.random(NONCE_LENGTH);
  const open = concat([nonce, ephemeralKey.publicKey, ciphertext]);
  const transcript2a = absorb(transcript1, open);
  const { chainKey, box: boxKey } = mix(chainKey0, secret, transcript2a, "m2", suite.aead);
  const signature = await identity.sign(
    signatureInput(suite, config.mode, "R early", transcript2a),
  );
  secret.fill(0);
  chainKey0.fill(0);
  const box = await sealBox(suite.aead, boxKey, transcript2a, signature);
  const m2 = encode(layouts.m2, { nonce, ephemeralKey: ephemeralKey.publicKey, ciphertext, box });
  const transcript = absorb(transcript2a, box);
  return {
    state: { name: "expect-m3", config, ours, layouts, transcript, chainKey, ephemeralKey },
    send: [frame(FrameKind.m2, m2)],
    events: [
      handshakeEvent(1, "received", suite, body, transcript1),
      handshakeEvent(2, "sent", suite, m2, transcript, identity.fingerprint),
    ],
  };
}

/** m3 in, m4 out: the initiator names itself, and so do we. */
export async function receiveM3(state: ExpectM3, body: Bytes): Promise<Step> {
  const { config, ours, layouts } = state;
  const { suite, identity } = ours;
  const m3 = decode(layouts.m3, body);
  const transcript3a = absorb(state.transcript, m3.ciphertext);
  const secret = await state.ephemeralKey.decapsulate(m3.ciphertext);
  const { chainKey, box: boxKey } = mix(
    state.chainKey,
    secret,
    transcript3a,
    "m3",
    suite.aead,
  );
  secret.fill(0);
  const bundle = await openBox(suite.aead, boxKey, transcript3a, m3.box);
  const initiator = await readIdentity(bundle, identityClassOf(suite.signature));
  if (timingSafeEqual(initiator.fingerprint, identity.fingerprint)) {
    throw new CifraError("auth_failed", "Cannot trust the other side: it uses our own identity");
  }
  config.checkInitiator(initiator);
  const transcript3 = absorb(transcript3a, m3.box);

  const box4 = deriveBox(chainKey, transcript3, "m4", suite.aead);
  const named = { bundle: identity.bundle, displayName: config.displayName };
  const m4 = await sealBox(suite.aead, box4, transcript3, encode(layouts.m4Plaintext, named));
  const transcript = absorb(transcript3, m4);
  return {
    state: { name: "expect-m5", config, ours, layouts, transcript, chainKey, initiator },
    send: [frame(FrameKind.m4, m4)],
    events: [
      handshakeEvent(3, "received", suite, body, transcript3, initiator.fingerprint),
      handshakeEvent(4, "sent", suite, m4, transcript, identity.fingerprint),
    ],
  };
}

/** m5 in, m6 out: the initiator has proved its identity over everything said so far. */
export async function receiveM5(state: ExpectM5, body: Bytes): Promise<Step> {
  const { config, layouts, initiator } = state;
  const { suite, identity } = state.ours;
  const m5 = decode(layouts.m5, body);
  const secretKey = deriveBox(state.chainKey, state.transcript, "m5 secret", suite.aead);
  const transcript5a = absorb(state.transcript, m5.secretBox);
  const proofKey = deriveBox(state.chainKey, transcript5a, "m5 auth", suite.aead);
  const transcript5 = absorb(transcript5a, m5.proofBox);
  const opening = mayFail(openBox(suite.aead, proofKey, transcript5a, m5.proofBox));
  const secrets = await openBox(suite.aead, secretKey, state.transcript, m5.secretBox);
  const signature = await opening;
  const proof = signatureInput(suite, config.mode, "I auth", transcript5a);
  if (!await verifyBy(initiator, signature, proof)) {
    throw new CifraError(
      "auth_failed",
      "Cannot trust the other side: it does not hold its identity key",
    );
  }
  const { chainKey } = mix(state.chainKey, secrets, transcript5, "m5", suite.aead);
  secrets.fill(0);

  const confirmation = await identity.sign(
    signatureInput(suite, config.mode, "R auth", transcript5),
  );
  const box6 = deriveBox(chainKey, transcript5, "m6", suite.aead);
  const box = await sealBox(suite.aead, box6, transcript5, confirmation);
  const keys = trafficKeys(chainKey, transcript5, box);
  return {
    state: {
      name: "established",
      role: "responder",
      mode: config.mode,
      suite,
      ours: identity,
      theirs: initiator,
      displayName: config.displayName,
      transcript: keys.transcript,
      sendSecret: keys.responderToInitiator,
      receiveSecret: keys.initiatorToResponder,
      sessionId: keys.sessionId,
      exporter: keys.exporter,
    },
    send: [frame(FrameKind.m6, box)],
    events: [
      handshakeEvent(5, "received", suite, body, transcript5, initiator.fingerprint),
      handshakeEvent(6, "sent", suite, box, keys.transcript, identity.fingerprint),
    ],
  };
}

/** The side of ours that m1 asks for; refuses version, flags, mode and suite in this order. */
function chooseSide(config: ResponderConfig, body: Bytes): OurSide {
  const head = decode(helloHead, body);
  if (head.version !== PROTOCOL_VERSION) {
    throw new CifraError(
      "bad_version",
      `Cannot speak version ${head.version} of the protocol: this is version ${PROTOCOL_VERSION}`,
    );
  }
  if (head.flags !== 0) throw badFrame("flags must be zero");
  if (head.mode !== config.mode) {
    throw new CifraError("bad_state", `Cannot use mode ${head.mode} here: must be ${config.mode}`);
  }
  const ours = config.ours(head.suite);
  if (!ours) {
    throw new CifraError("suite_refused", `Cannot use suite ${head.suite}: not accepted here`);
  }
  return ours;
}
