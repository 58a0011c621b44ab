/** Secrets end early (PROTOCOL.md 3.4): what was used for the next step is overwritten. */
import { assert, assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import type { Aead } from "../../lib/crypto/aead.ts";
import type { Kem } from "../../lib/crypto/kem.ts";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import type { OurSide } from "../../lib/handshake/state.ts";
import { bothEnds, flipBit, runBothHandshakes, scene } from "../testkit/handshake.ts";

/** The secret and the seed of m5, and nothing else that is sealed, have this length together. */
const SECRETS_LENGTH = 48;

/** The secrets of one side, as they passed by; each was one then. */
class Secrets {
  readonly seen = new Map<string, Bytes>();

  note(name: string, secret: Bytes): Bytes {
    assert(secret.some((byte) => byte !== 0), `${name} is not a secret`);
    this.seen.set(name, secret);
    return secret;
  }

  /** The names of those that are still readable. */
  get left(): string[] {
    return [...this.seen].filter(([, secret]) => secret.some((byte) => byte !== 0))
      .map(([name]) => name);
  }

  /** The same side, with every secret noted that it shares, seals or opens. */
  watch(side: OurSide): OurSide {
    const { suite } = side;
    const kem: Kem = {
      ...suite.kem,
      encapsulate: async (publicKey) => {
        const encapsulated = await suite.kem.encapsulate(publicKey);
        this.note("encapsulated", encapsulated.secret);
        return encapsulated;
      },
    };
    const noteSecrets = (name: string, text: Bytes) =>
      text.length === SECRETS_LENGTH ? this.note(name, text) : text;
    const aead: Aead = {
      ...suite.aead,
      importKey: async (raw) => {
        const key = await suite.aead.importKey(raw);
        return {
          seal: (iv, data, text) => key.seal(iv, data, noteSecrets("sealed", text)),
          open: async (iv, data, sealed) => noteSecrets("opened", await key.open(iv, data, sealed)),
        };
      },
    };
    return {
      ...side,
      suite: { ...suite, kem, aead },
      ephemeralKey: async () => {
        const pair = await side.ephemeralKey();
        return {
          ...pair,
          decapsulate: async (ciphertext) =>
            this.note("decapsulated", await pair.decapsulate(ciphertext)),
        };
      },
    };
  }
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: each side overwrites the secrets it has used`, async () => {
    const { initiator, responder } = await scene(suiteName);
    const ours = new Secrets(), theirs = new Secrets();
    let drawn = 0;
    const run = await runBothHandshakes({
      initiator: {
        ...initiator,
        ours: ours.watch(initiator.ours),
        random: (length) => {
          const bytes = initiator.random(length);
          // The first is the nonce of m1, which everybody may see.
          if (drawn++ > 0) ours.note(`drawn ${length}`, bytes);
          return bytes;
        },
      },
      responder: { ...responder, ours: (id) => theirs.watch(responder.ours(id)!) },
    });
    bothEnds(run);
    const names = ["decapsulated", "drawn 16", "drawn 32", "encapsulated", "sealed"];
    assertEquals([...ours.seen.keys()].sort(), names);
    assertEquals([...theirs.seen.keys()].sort(), ["decapsulated", "encapsulated", "opened"]);
    assertEquals([ours.left, theirs.left], [[], []]);
  });
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: a secret made while m2 was judged is overwritten when that fails`, async () => {
    const { initiator, responder } = await scene(suiteName);
    const ours = new Secrets();
    const { refusal, frames } = await runBothHandshakes(
      { initiator: { ...initiator, ours: ours.watch(initiator.ours) }, responder },
      // The last byte of its box.
      ({ message, frame }) => message === 2 ? flipBit(frame, 8 * frame.body.length - 1) : frame,
    );
    assertEquals([refusal?.message, refusal?.error.code], [2, "auth_failed"]);
    assertEquals(frames.length, 2);
    assertEquals([[...ours.seen.keys()].sort(), ours.left], [["decapsulated", "encapsulated"], []]);
  });
}
