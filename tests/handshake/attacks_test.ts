/** The attacks of the document's table, each by a peer or a network that does one thing wrong. */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { ecdsaP256 } from "../../lib/crypto/ecdsa_p256.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import type { Identity } from "../../lib/crypto/identity.ts";
import type { KemKeyPair } from "../../lib/crypto/kem.ts";
import { type Suite, SUITE_NAMES, type SuiteId } from "../../lib/crypto/suite.ts";
import {
  absorb,
  deriveBox,
  mix,
  type Mode,
  openBox,
  sealBox,
  signatureInput,
  type SignatureRole,
  startChain,
  startTranscript,
} from "../../lib/crypto/transcript.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import type { ExpectM4, OurSide } from "../../lib/handshake/state.ts";
import { type Frame, FrameKind } from "../../lib/wire/frame.ts";
import { handshakeLayouts, peerContext } from "../../lib/wire/handshake_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import {
  bothEnds,
  ephemeralKeys,
  type MessageNumber,
  only,
  overlay,
  person,
  receiverOf,
  replaceBody,
  runBothHandshakes,
  runToTheLastStep,
  type Scene,
  scene,
  stateBefore,
  suiteOf,
  testBytes,
} from "../testkit/handshake.ts";
import { assertRefused, assertStepRefuses } from "./refusal.ts";
import { lineOf } from "../../lib/wire/line.ts";

// --- m1 as a stranger may write it ---

async function firstM1(configs: Scene): Promise<Frame> {
  return (await startInitiator(configs.initiator)).send[0]!;
}

Deno.test("a responder refuses every version but 1, whatever follows (H7)", async () => {
  const configs = await scene("modern");
  const state = startResponder(configs.responder);
  const { kind, body } = await firstM1(configs);
  for (const version of [0, 2, 255]) {
    const other = overlay(body, 0, new Uint8Array([version]));
    await assertStepRefuses(state, { kind, body: other }, "bad_version");
    await assertStepRefuses(state, { kind, body: other.slice(0, 4) }, "bad_version");
  }
  const bytes = new Uint8Array(3);
  await assertStepRefuses(state, { kind, body: bytes }, "bad_frame");
});

Deno.test("a responder refuses unknown suites, and classic where it is off (H8)", async () => {
  const configs = await scene("modern");
  const state = startResponder(configs.responder);
  const { kind, body } = await firstM1(configs);
  for (const suite of [0, 4, 255, 1, 2]) {
    const other = overlay(body, 2, new Uint8Array([suite]));
    await assertStepRefuses(state, { kind, body: other }, "suite_refused", `suite ${suite}`);
  }
});

Deno.test("a responder refuses every flag (H9)", async () => {
  const configs = await scene("modern");
  const state = startResponder(configs.responder);
  const { kind, body } = await firstM1(configs);
  for (let bit = 0; bit < 8; bit++) {
    const other = overlay(body, 3, new Uint8Array([1 << bit]));
    await assertStepRefuses(state, { kind, body: other }, "bad_frame", `bit ${bit}`);
  }
});

Deno.test("a responder refuses every mode but its own (H10)", async () => {
  const configs = await scene("modern");
  const { kind, body } = await firstM1(configs);
  for (const own of [1, 2, 3] as const) {
    const state = startResponder({ ...configs.responder, mode: own });
    for (const asked of [0, 1, 2, 3, 4, 255]) {
      if (asked === own) continue;
      const other = overlay(body, 1, new Uint8Array([asked]));
      await assertStepRefuses(state, { kind, body: other }, "bad_state", `${asked} at ${own}`);
    }
  }
});

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: an ephemeral key of another length is refused (H11)`, async () => {
    const configs = await scene(suiteName);
    const state = startResponder(configs.responder);
    const { kind, body } = await firstM1(configs);
    const wrong = [body.slice(0, -1), concat([body, new Uint8Array(1)]), body.slice(0, 36)];
    for (const other of SUITE_NAMES) {
      if (other === suiteName) continue;
      const suite = await suiteOf(other);
      const { publicKey } = await ephemeralKeys(suite, "alice")();
      wrong.push(concat([body.slice(0, 36), publicKey]));
    }
    for (const body of wrong) await assertStepRefuses(state, { kind, body }, "bad_frame");
  });
}

/** Ephemeral keys of the right length that must not be used, made out of a good one. */
function badEphemeralKeys(suite: Suite, good: Bytes): Record<string, Bytes> {
  const at = (offset: number, ...bytes: number[]) => overlay(good, offset, new Uint8Array(bytes));
  if (suite.name === "modern") {
    const x25519 = (hex: Bytes) => overlay(good, 1184, hex);
    const one = new Uint8Array(32);
    one[0] = 1;
    return {
      "an ML-KEM coefficient out of range": at(0, 0xff, 0xff),
      "an X25519 key of zero": x25519(new Uint8Array(32)),
      "an X25519 key of one": x25519(one),
      "an X25519 key beyond the field": x25519(new Uint8Array(32).fill(0xff)),
    };
  }
  // The modulus ends before the five bytes of the exponent.
  const last = good.length - 6;
  const first = last + 1 - suite.kem.ciphertextLength;
  return {
    "the exponent 3": at(good.length - 1, 3),
    "an even modulus": at(last, good[last]! & 0xfe),
    "a modulus that is too short": at(first, good[first]! & 0x7f),
    "another algorithm": at(good.length - 5, 0x03),
    "zeros": new Uint8Array(good.length),
  };
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: a bad ephemeral key is refused on both sides (H11)`, async () => {
    const configs = await scene(suiteName);
    const { suite } = configs.alice;
    const good = await configs.initiator.ours.ephemeralKey();
    for (const [what, publicKey] of Object.entries(badEphemeralKeys(suite, good.publicKey))) {
      const ephemeralKey = (): Promise<KemKeyPair> => Promise.resolve({ ...good, publicKey });
      const ours = { ...configs.initiator.ours, ephemeralKey };
      const m1 = await runBothHandshakes({ ...configs, initiator: { ...configs.initiator, ours } });
      assertRefused(m1, 1, "responder", "auth_failed", what);
      const m2 = await runBothHandshakes(withResponder(configs, { ephemeralKey }));
      assertRefused(m2, 2, "initiator", "auth_failed", what);
    }
    bothEnds(await runBothHandshakes(configs));
  });
}

// --- replay ---

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: a recorded run replayed to its responder ends at m3 (H13)`, async () => {
    const configs = await scene(suiteName);
    // The worst case: the responder still uses the ephemeral key of the recorded run.
    const kept = await configs.responder.ours(configs.bob.suite.id)!.ephemeralKey();
    const ours = {
      ...configs.responder.ours(configs.bob.suite.id)!,
      ephemeralKey: () => Promise.resolve(kept),
    };
    const responder = { ...configs.responder, ours: () => ours };
    const recorded = await runBothHandshakes({ ...configs, responder });
    bothEnds(recorded);
    const [m1, , m3, , m5] = recorded.frames;
    const answered = await step(startResponder(responder), m1!);
    await assertStepRefuses(answered.state, m3!, "auth_failed");
    await assertStepRefuses(answered.state, m5!, "bad_state");
    const live = await runToTheLastStep({ ...configs, responder });
    await assertStepRefuses(stateBefore(live, 3), m3!, "auth_failed");
    await assertStepRefuses(stateBefore(live, 5), m5!, "auth_failed");
  });

  Deno.test(`${suiteName}: recorded answers do not fit another run (H13, H21)`, async () => {
    const configs = await scene(suiteName);
    const kept = await configs.initiator.ours.ephemeralKey();
    const initiator = {
      ...configs.initiator,
      ours: { ...configs.initiator.ours, ephemeralKey: () => Promise.resolve(kept) },
    };
    const recorded = await runBothHandshakes({ ...configs, initiator });
    const live = await runToTheLastStep({ ...configs, initiator });
    for (const message of [2, 4, 6] as const) {
      const frame = recorded.frames[message - 1]!;
      await assertStepRefuses(stateBefore(live, message), frame, "auth_failed", `m${message}`);
    }
  });
}

// --- a man in the middle ---

/** Where the fields of each message stand: message, name, offset, length. */
function fieldsOf({ kem, aead, signature }: Suite, m4Length: number) {
  const { publicKeyLength: key, ciphertextLength: ct } = kem;
  const [secret, proof] = [aead.sealedLength(48), aead.sealedLength(signature.signatureLength)];
  const bundle = aead.sealedLength(signature === ed25519 ? 129 : 130);
  return [
    [1, "nonce", 4, 32],
    [1, "epk", 36, key],
    [2, "nonce", 0, 32],
    [2, "epk", 32, key],
    [2, "ct2", 32 + key, ct],
    [2, "box2", 32 + key + ct, proof],
    [2, "everything", 0, 32 + key + ct + proof],
    [3, "ct3", 0, ct],
    [3, "box3", ct, bundle],
    [3, "everything", 0, ct + bundle],
    [4, "box4", 0, m4Length],
    [5, "box5a", 0, secret],
    [5, "box5b", secret, proof],
    [5, "everything", 0, secret + proof],
    [6, "box6", 0, proof],
  ] as const;
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: no field fits another session between the same two (H16)`, async () => {
    const configs = await scene(suiteName);
    // The other session is live as well: nothing of it has been used up.
    const other = await runToTheLastStep(configs);
    for (
      const [message, name, offset, length] of fieldsOf(
        configs.alice.suite,
        other.frames[3]!.body.length,
      )
    ) {
      const theirs = other.frames[message - 1]!.body.slice(offset, offset + length);
      let changed = false;
      const run = await runBothHandshakes(
        configs,
        replaceBody(message, (body) => {
          const swapped = overlay(body, offset, theirs);
          changed = swapped.some((byte, i) => byte !== body[i]);
          return swapped;
        }),
      );
      // The test's RSA keys are reused, so that their swap changes nothing.
      if (!changed && name === "epk" && suiteName !== "modern") continue;
      const detected = (message === 1 ? 2 : message) as MessageNumber;
      assertRefused(run, detected, receiverOf(detected), "auth_failed", `m${message} ${name}`);
    }
  });
}

/**
 * Attack A1: Mallory puts his ephemeral key into m1, opens what Bob seals to it, and seals Bob's proof
 * again to Alice's key. Alice must see that Bob signed another conversation.
 */
async function mallorySwapsEphemeralKeys(configs: Scene) {
  const { initiator } = configs;
  const { suite } = configs.alice;
  const { kem, aead } = suite;
  const layouts = handshakeLayouts(suite);
  const mallory = await kem.generate();
  const transcript0 = startTranscript(initiator.mode, suite.id, initiator.context);
  const chainKey0 = startChain(transcript0, initiator.psk);
  let alicesM1 = new Uint8Array(0);
  let bobsM1 = new Uint8Array(0);
  let proof: Bytes = new Uint8Array(0);
  const run = await runBothHandshakes(configs, async ({ message, frame: { kind, body } }) => {
    if (message === 1) {
      alicesM1 = body;
      bobsM1 = overlay(body, 36, mallory.publicKey);
      return { kind, body: bobsM1 };
    }
    if (message > 2) return { kind, body };
    const bobs = decode(layouts.m2, body);
    const open = body.slice(0, body.length - bobs.box.length);
    const bobsT2a = absorb(absorb(transcript0, bobsM1), open);
    const secret = await mallory.decapsulate(bobs.ciphertext);
    const bobsStep = mix(chainKey0, secret, bobsT2a, "m2", aead);
    proof = await openBox(aead, bobsStep.box, bobsT2a, bobs.box);

    const alicesKey = decode(layouts.m1, alicesM1).ephemeralKey;
    const sealed = await kem.encapsulate(alicesKey);
    const fields = [bobs.nonce, mallory.publicKey, sealed.ciphertext];
    const alicesT2a = absorb(absorb(transcript0, alicesM1), concat(fields));
    const alicesStep = mix(chainKey0, sealed.secret, alicesT2a, "m2", aead);
    const box = await sealBox(aead, alicesStep.box, alicesT2a, proof);
    return { kind, body: concat([...fields, box]) };
  });
  return { run, proof };
}

Deno.test("Mallory between Alice and Bob reads Bob's proof and cannot use it (A1, H16)", async () => {
  const configs = await scene("modern");
  const { run, proof } = await mallorySwapsEphemeralKeys(configs);
  assertEquals(proof.length, 64);
  assertRefused(run, 2, "initiator", "auth_failed");
  assertEquals(run.frames.length, 2);

  const initiator = { ...configs.initiator, pinned: undefined };
  const unpinned = await mallorySwapsEphemeralKeys({ ...configs, initiator });
  // Without a pin Alice says who she is, sealed to Mallory's key, and then Bob cannot open it.
  assertRefused(unpinned.run, 3, "responder", "auth_failed");
});

// --- evil identities ---

/** `person` under its own name, signing with `sign` where the role is `role`. */
function signingAs(
  honest: Identity,
  role: SignatureRole,
  sign: (data: Bytes) => Promise<Bytes>,
): Identity {
  const mark = ` ${role}\0`;
  return {
    ...honest,
    sign: (data) => {
      const label = new TextDecoder().decode(data.slice(64, data.length - 64));
      return label.endsWith(mark) ? sign(data) : honest.sign(data);
    },
  };
}

function withInitiator(configs: Scene, identity: Identity): Scene {
  const ours = { ...configs.initiator.ours, identity };
  return { ...configs, initiator: { ...configs.initiator, ours } };
}

function withResponder(configs: Scene, change: Partial<OurSide>): Scene {
  const ours = { ...configs.responder.ours(configs.bob.suite.id)!, ...change };
  return { ...configs, responder: { ...configs.responder, ours: () => ours } };
}

Deno.test("a responder with another key than the pinned one never sees m3 (H17)", async () => {
  for (const suiteName of SUITE_NAMES) {
    const configs = await scene(suiteName);
    const mallory = await person(suiteName, "mallory");
    const run = await runBothHandshakes(withResponder(configs, { identity: mallory.identity }));
    assertRefused(run, 2, "initiator", "auth_failed");
    assertEquals(run.frames.map(({ kind }) => kind), [FrameKind.m1, FrameKind.m2]);
    assertEquals(run.states.initiator.map(({ name }) => name), ["expect-m2"]);
  }
});

Deno.test("an early proof by another key, or of another run, never brings out m3 (H17)", async () => {
  for (const suiteName of SUITE_NAMES) {
    const configs = await scene(suiteName);
    const mallory = await person(suiteName, "mallory");
    const other = await runBothHandshakes(configs);
    assertEquals(other.refusal, undefined);
    const proofs = {
      "another key": (data: Bytes) => mallory.identity.sign(data),
      "another transcript": (data: Bytes) =>
        configs.bob.identity.sign(overlay(data, data.length - 64, testBytes("other", 64))),
      "zeros": () => Promise.resolve(new Uint8Array(64)),
    };
    for (const [what, sign] of Object.entries(proofs)) {
      const identity = signingAs(configs.bob.identity, "R early", sign);
      const run = await runBothHandshakes(withResponder(configs, { identity }));
      assertRefused(run, 2, "initiator", "auth_failed", `${suiteName}: ${what}`);
      assertEquals(run.frames.length, 2);
    }
  }
});

Deno.test("without a pin the early proof must be by whoever m4 names (H17)", async () => {
  for (const suiteName of SUITE_NAMES) {
    const configs = await scene(suiteName);
    const mallory = await person(suiteName, "mallory");
    const identity = signingAs(
      configs.bob.identity,
      "R early",
      (data) => mallory.identity.sign(data),
    );
    const evil = withResponder(configs, { identity });
    const initiator = { ...evil.initiator, pinned: undefined, checkResponder: () => {} };
    const run = await runBothHandshakes({ ...evil, initiator });
    assertRefused(run, 4, "initiator", "auth_failed", suiteName);
  }
});

Deno.test("a responder that proves one identity and names another is refused (H18)", async () => {
  for (const suiteName of SUITE_NAMES) {
    const configs = await scene(suiteName);
    const mallory = await person(suiteName, "mallory");
    // Bob helps as far as he can: his early proof, then Mallory's name.
    const identity = signingAs(
      mallory.identity,
      "R early",
      (data) => configs.bob.identity.sign(data),
    );
    const run = await runBothHandshakes(withResponder(configs, { identity }));
    assertRefused(run, 4, "initiator", "identity_changed", suiteName);
    assertEquals(run.frames.length, 4);
  }
});

Deno.test("whatever checkResponder throws ends the ladder before anything is signed", async () => {
  const configs = await scene("modern");
  const signed: string[] = [];
  const sign = (data: Bytes) => {
    signed.push("I auth");
    return configs.alice.identity.sign(data);
  };
  const evil = withInitiator(configs, signingAs(configs.alice.identity, "I auth", sign));
  const initiator = {
    ...evil.initiator,
    checkResponder: () => {
      throw new CifraError("identity_unknown", "Cannot trust the other side: not known yet");
    },
  };
  const run = await runBothHandshakes({ ...evil, initiator });
  assertRefused(run, 4, "initiator", "identity_unknown");
  assertEquals(signed, []);
});

Deno.test("whatever checkInitiator throws ends the ladder before m4 names the responder", async () => {
  const configs = await scene("modern");
  const responder = {
    ...configs.responder,
    checkInitiator: () => {
      throw new CifraError("refused", "Cannot take this identity: it is banned");
    },
  };
  const run = await runBothHandshakes({ ...configs, responder });
  assertRefused(run, 3, "responder", "refused");
  assertEquals(run.frames.length, 3);
});

/** Every signature input that differs from the right one in one part. */
function misplacedProofs(suite: Suite, mode: Mode, role: SignatureRole) {
  const proofs: Record<string, (transcript: Bytes) => Bytes> = {};
  const add = (what: string, id: SuiteId, inMode: Mode, as: SignatureRole) => {
    proofs[what] = (transcript) => signatureInput({ ...suite, id }, inMode, as, transcript);
  };
  for (const other of ["R early", "I auth", "R auth"] as const) {
    if (other !== role) add(`the role ${other}`, suite.id, mode, other);
  }
  for (const id of [1, 2, 3] as const) if (id !== suite.id) add(`suite ${id}`, id, mode, role);
  for (const other of [2, 3] as const) add(`mode ${other}`, suite.id, other, role);
  proofs["the transcript alone"] = (transcript) => transcript;
  proofs["no prefix"] = (transcript) => signatureInput(suite, mode, role, transcript).slice(64);
  proofs["another transcript"] = (transcript) =>
    signatureInput(
      suite,
      mode,
      role,
      overlay(transcript, 63, new Uint8Array([transcript[63]! ^ 1])),
    );
  proofs["nothing"] = () => new Uint8Array(0);
  proofs["a constant"] = () => encodeUtf8("ok");
  return proofs;
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: a good signature over anything else is refused (H19)`, async () => {
    const configs = await scene(suiteName);
    const { alice, bob } = configs;
    const places = [["R early", 2], ["I auth", 5], ["R auth", 6]] as const;
    for (const [role, message] of places) {
      const signer = role === "I auth" ? alice : bob;
      const proofs = misplacedProofs(signer.suite, 1, role);
      for (const [what, input] of Object.entries(proofs)) {
        const sign = (data: Bytes) => signer.identity.sign(input(data.slice(-64)));
        const identity = signingAs(signer.identity, role, sign);
        const evil = signer === alice
          ? withInitiator(configs, identity)
          : withResponder(configs, { identity });
        const run = await runBothHandshakes(evil);
        assertRefused(run, message, receiverOf(message), "auth_failed", `${role}: ${what}`);
      }
    }
  });

  Deno.test(`${suiteName}: the signature of a third person is refused in m5 and m6 (H20)`, async () => {
    const configs = await scene(suiteName);
    const carol = await person(suiteName, "carol");
    const sign = (data: Bytes) => carol.identity.sign(data);
    const m5 = withInitiator(configs, signingAs(configs.alice.identity, "I auth", sign));
    assertRefused(await runBothHandshakes(m5), 5, "responder", "auth_failed");
    const m6 = withResponder(configs, {
      identity: signingAs(configs.bob.identity, "R auth", sign),
    });
    assertRefused(await runBothHandshakes(m6), 6, "initiator", "auth_failed");
  });

  Deno.test(`${suiteName}: a registered person cannot name another (A4)`, async () => {
    const configs = await scene(suiteName);
    const carol = await person(suiteName, "carol");
    // Carol's key under Alice's bundle, and Alice's bundle with a piece of Carol's.
    const stolen = withInitiator(configs, { ...configs.alice.identity, sign: carol.identity.sign });
    assertRefused(await runBothHandshakes(stolen), 5, "responder", "auth_failed");
    const { bundle } = configs.alice.identity;
    const mixed = overlay(bundle, bundle.length - 64, carol.identity.bundle.slice(-64));
    const forged = withInitiator(configs, { ...carol.identity, bundle: mixed });
    assertRefused(await runBothHandshakes(forged), 3, "responder", "auth_failed");
  });

  Deno.test(`${suiteName}: the responder's own identity is refused as initiator (H15)`, async () => {
    const configs = await scene(suiteName);
    const run = await runBothHandshakes(withInitiator(configs, configs.bob.identity));
    assertRefused(run, 3, "responder", "auth_failed");
    assertEquals(run.frames.length, 3);
  });

  Deno.test(`${suiteName}: an identity of the other class is refused`, async () => {
    const configs = await scene(suiteName);
    const { bundle } = configs.alice.identity;
    for (const other of [0, bundle[0] === 1 ? 2 : 1, 3, 255]) {
      const relabelled = overlay(bundle, 0, new Uint8Array([other]));
      const evil = withInitiator(configs, { ...configs.alice.identity, bundle: relabelled });
      assertRefused(await runBothHandshakes(evil), 3, "responder", "auth_failed", `class ${other}`);
    }
  });
}

Deno.test("the initiator refuses its own identity as responder (H15, A9)", async () => {
  const configs = await scene("modern");
  const { alice } = configs;
  const evil = withResponder(configs, {
    identity: signingAs(configs.bob.identity, "R early", (data) => alice.identity.sign(data)),
  });
  const initiator = { ...evil.initiator, pinned: undefined, checkResponder: () => {} };
  const run = await runBothHandshakes({ ...evil, initiator });
  assertRefused(run, 4, "initiator", "auth_failed");
  const m4 = await sealedM4(stateBefore(run, 4) as ExpectM4, alice.identity.bundle);
  await assertStepRefuses(stateBefore(run, 4), m4, "auth_failed");
});

/** m4 with any plaintext, by a responder that holds the keys. */
async function sealM4(state: ExpectM4, plaintext: Bytes): Promise<Frame> {
  const { aead } = state.config.ours.suite;
  const box = deriveBox(state.chainKey, state.transcript, "m4", aead);
  return { kind: FrameKind.m4, body: await sealBox(aead, box, state.transcript, plaintext) };
}

function sealedM4(state: ExpectM4, bundle: Bytes, displayName = "bob"): Promise<Frame> {
  return sealM4(
    state,
    encode(state.layouts.m4Plaintext, { bundle, displayName: lineOf(displayName) }),
  );
}

Deno.test("a responder that seals a malformed m4 is refused", async () => {
  const configs = await scene("modern");
  const state = stateBefore(await runToTheLastStep(configs), 4) as ExpectM4;
  const { bundle } = configs.bob.identity;
  await step(state, await sealedM4(state, bundle));
  const good = encode(state.layouts.m4Plaintext, { bundle, displayName: lineOf("bob") });
  const malformed = {
    "nothing": new Uint8Array(0),
    "the bundle alone": bundle,
    "a byte left over": concat([good, new Uint8Array(1)]),
    "a byte missing": good.slice(0, -1),
    "a name beyond 32 bytes": concat([bundle, new Uint8Array([0, 33]), new Uint8Array(33)]),
    "a name that is not UTF-8": concat([bundle, new Uint8Array([0, 1, 0xff])]),
  };
  for (const [what, plaintext] of Object.entries(malformed)) {
    await assertStepRefuses(state, await sealM4(state, plaintext), "bad_frame", what);
  }
  for (let byte = 0; byte < bundle.length; byte += 7) {
    const forged = overlay(bundle, byte, new Uint8Array([bundle[byte]! ^ 1]));
    await assertStepRefuses(state, await sealedM4(state, forged), "auth_failed", `byte ${byte}`);
  }
});

// --- peers ---

Deno.test("peers with another psk or context do not meet (H24)", async () => {
  for (const suiteName of SUITE_NAMES) {
    const configs = await scene(suiteName);
    const [a, b] = [configs.alice.identity.fingerprint, configs.bob.identity.fingerprint];
    const id = testBytes("rv id", 16);
    const common = {
      mode: 2,
      psk: testBytes("rv key"),
      context: peerContext(id, 7, a, b),
    } as const;
    const peers = {
      initiator: { ...configs.initiator, ...common },
      responder: {
        ...configs.responder,
        ...common,
        checkInitiator: only(configs.alice.identity),
      },
    };
    bothEnds(await runBothHandshakes(peers));
    const carol = await person(suiteName, "carol");
    const changes = {
      "psk": { psk: testBytes("another key") },
      "no psk": { psk: new Uint8Array(32) },
      "rv_id": { context: peerContext(testBytes("other", 16), 7, a, b) },
      "generation": { context: peerContext(id, 8, a, b) },
      "fingerprint order": { context: peerContext(id, 7, b, a) },
      "another fingerprint": { context: peerContext(id, 7, carol.identity.fingerprint, b) },
      "no context": { context: new Uint8Array(0) },
    };
    for (const [what, change] of Object.entries(changes)) {
      const run = await runBothHandshakes({
        ...peers,
        responder: { ...peers.responder, ...change },
      });
      assertRefused(run, 2, "initiator", "auth_failed", `${suiteName}: ${what}`);
      assertEquals(run.frames.length, 2);
    }
  }
});

Deno.test("an invite that is not the server's own leads nowhere (mode 3)", async () => {
  const configs = await scene("modern");
  const initiator = { ...configs.initiator, mode: 3, psk: testBytes("an old invite") } as const;
  const responder = { ...configs.responder, mode: 3, psk: testBytes("the invite") } as const;
  assertRefused(await runBothHandshakes({ initiator, responder }), 2, "initiator", "auth_failed");
});

// --- what must not matter ---

Deno.test("a nonce of zeros, or one that was used before, is accepted (H23)", async () => {
  const configs = await scene("modern");
  for (const nonce of [new Uint8Array(32), testBytes("used before")]) {
    for (let repeat = 0; repeat < 2; repeat++) {
      const random = (length: number) => length === 32 ? nonce.slice() : systemRandom(length);
      bothEnds(
        await runBothHandshakes({
          initiator: { ...configs.initiator, random },
          responder: { ...configs.responder, random },
        }),
      );
    }
  }
});

Deno.test("authentication failures tell nothing apart: code and sentence of a bad seal", async () => {
  const configs = await scene("rsa");
  const { suite } = configs.alice;
  const run = await runToTheLastStep(configs);
  const state = stateBefore(run, 3);
  const m3 = run.frames[2]!;
  const ct = suite.kem.ciphertextLength;
  const body = (offset: number, patch: Bytes) => ({
    kind: m3.kind,
    body: overlay(m3.body, offset, patch),
  });
  // OAEP that does not open, OAEP that opens to something else, and a box that does not open (K8).
  const fresh = await suite.kem.encapsulate(
    (await configs.responder.ours(suite.id)!.ephemeralKey()).publicKey,
  );
  const frames = [
    body(0, new Uint8Array(ct)),
    body(0, new Uint8Array(ct).fill(0xff)),
    body(0, fresh.ciphertext),
    body(ct, new Uint8Array([m3.body[ct]! ^ 1])),
    body(m3.body.length - 1, new Uint8Array([m3.body.at(-1)! ^ 1])),
  ];
  const messages = new Set<string>();
  for (const frame of frames) {
    await assertStepRefuses(state, frame, "auth_failed");
    await step(state, frame).catch(({ message }) => messages.add(message));
  }
  assertEquals([...messages], ["Cannot open message: authentication failed"]);
  await step(state, m3);
});

Deno.test("the suites sign with the schemes of the document", async () => {
  const schemes = await Promise.all(
    SUITE_NAMES.map(async (name) => (await suiteOf(name)).signature),
  );
  assert(schemes[0] === ecdsaP256 && schemes[1] === ecdsaP256 && schemes[2] === ed25519);
});
