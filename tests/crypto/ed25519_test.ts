import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  fromLittleEndian,
  IDENTITY,
  isOnCurve,
  L,
  littleEndian32,
  multiply,
  P,
  pointOfY,
  smallOrderPoints,
} from "../testkit/curve25519.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

const SIGN_BIT = 1n << 255n;
const MESSAGE = encodeUtf8("attack at dawn");

function assertKeyRefused(publicKey: Bytes): void {
  const error = assertThrows(() => ed25519.checkPublicKey(publicKey), CifraError);
  assertEquals(error.code, "auth_failed");
}

/** The encodings of the eight points by y and the lowest bit of x. */
function canonicalSmallOrderKeys(): Bytes[] {
  return smallOrderPoints().map(({ x, y }) => littleEndian32(y | (x & 1n) << 255n));
}

/** What a lax decoder also takes for one of the eight: x = 0 with a sign, and y not reduced. */
function otherSmallOrderKeys(): Bytes[] {
  return [1n | SIGN_BIT, (P - 1n) | SIGN_BIT, P, P | SIGN_BIT, P + 1n, (P + 1n) | SIGN_BIT]
    .map(littleEndian32);
}

Deno.test("smallOrderPoints() are eight different points that eightfold give the identity", () => {
  const points = smallOrderPoints();
  for (const point of points) {
    assert(isOnCurve(point));
    assertEquals(multiply(8n, point), IDENTITY);
  }
  assertEquals(new Set(canonicalSmallOrderKeys().map(encodeHex)).size, 8);
});

Deno.test("checkPublicKey() refuses the eight points of small order", () => {
  for (const key of canonicalSmallOrderKeys()) assertKeyRefused(key);
});

Deno.test("checkPublicKey() refuses the six non-canonical encodings of small order", () => {
  for (const key of otherSmallOrderKeys()) assertKeyRefused(key);
});

Deno.test("checkPublicKey() refuses every y from p to 2^255 - 1, with and without the sign", () => {
  for (let y = P; y < SIGN_BIT; y++) {
    assertKeyRefused(littleEndian32(y));
    assertKeyRefused(littleEndian32(y | SIGN_BIT));
  }
});

Deno.test("checkPublicKey() refuses a key of another length", () => {
  for (const length of [0, 1, 31, 33, 64]) assertKeyRefused(new Uint8Array(length).fill(3));
});

Deno.test("checkPublicKey() accepts the points beside those of small order", () => {
  const refused = new Set(smallOrderPoints().map(({ y }) => y));
  for (const y of refused) {
    for (let near = y - 9n; near <= y + 9n; near++) {
      if (near < 0n || near >= P || refused.has(near) || pointOfY(near) === undefined) continue;
      ed25519.checkPublicKey(littleEndian32(near));
      ed25519.checkPublicKey(littleEndian32(near | SIGN_BIT));
    }
  }
});

Deno.test("verify() is false for the signature that small-order keys give to everything", async () => {
  // R = A's inverse or the identity, S = 0: holds for any message whose hash is right modulo 8.
  const zero = new Uint8Array(32);
  const messages = Array.from({ length: 16 }, (_, i) => new Uint8Array([i]));
  const keys = [...canonicalSmallOrderKeys(), ...otherSmallOrderKeys()];
  for (const key of keys) {
    for (const r of [littleEndian32(1n), key]) {
      for (const message of messages) {
        assertEquals(await ed25519.verify(key, concat([r, zero]), message), false, encodeHex(key));
      }
    }
  }
});

Deno.test("verify() is false when a multiple of L is added to S", async () => {
  const { key } = await ed25519.generate();
  const signature = await key.sign(MESSAGE);
  assert(await ed25519.verify(key.publicKey, signature, MESSAGE));
  const s = fromLittleEndian(signature.slice(32));
  let tried = 0;
  for (let other = s + L; other < 1n << 256n; other += L, tried++) {
    const malleable = concat([signature.slice(0, 32), littleEndian32(other)]);
    assertEquals(await ed25519.verify(key.publicKey, malleable, MESSAGE), false);
  }
  assert(tried >= 14);
});

Deno.test("verify() is false when any one byte of the signature is changed", async () => {
  const { key } = await ed25519.generate();
  const signature = await key.sign(MESSAGE);
  for (let i = 0; i < signature.length; i++) {
    const changed = signature.slice();
    changed[i]! ^= 1;
    assertEquals(await ed25519.verify(key.publicKey, changed, MESSAGE), false, `byte ${i}`);
  }
});

Deno.test("fromPkcs8() rejects what is not an Ed25519 key", async () => {
  const { key, pkcs8 } = await ed25519.generate();
  await assertRejects(() => ed25519.fromPkcs8(new Uint8Array(0), key.publicKey));
  await assertRejects(() => ed25519.fromPkcs8(pkcs8.slice(0, -1), key.publicKey));
});

Deno.test("verify() decides every Wycheproof Ed25519 vector as published", async () => {
  const groups = await readWycheproof<
    { publicKey: { pk: string } },
    { msg: string; sig: string }
  >("ed25519");
  const seen = { valid: 0, invalid: 0, acceptable: 0 };
  for (const { publicKey, tests } of groups) {
    const key = decodeHex(publicKey.pk);
    // No vector of this set has a key that our policy refuses, so nothing here may differ.
    ed25519.checkPublicKey(key);
    for (const test of tests) {
      const holds = await ed25519.verify(key, decodeHex(test.sig), decodeHex(test.msg));
      assertEquals(holds, test.result === "valid", describeTest(test));
      seen[test.result]++;
    }
  }
  assertEquals(seen, { valid: 88, invalid: 63, acceptable: 0 });
});

interface EdgeCase {
  readonly number: number;
  readonly key: string;
  readonly sig: string;
  readonly msg: string;
  readonly flags: readonly string[] | null;
}

/**
 * The flags of the edge cases, and what each means here:
 * - `low_order_A`, `non_canonical_A`: the key is one of the 8 + 6 encodings, refused by our check.
 * - `non_canonical_R`: refused, RFC 8032 5.1.7 (the runtime compares encodings).
 * - `low_order_residue`: refused, holds only in the equation with the cofactor, which we do not use.
 * - `reencoded_k`: comes with a non-canonical A or R alone, so refused with these.
 * - `low_order_R`, `low_order_component_R`, `low_order_component_A`: accepted. The signer chose so
 *   (with a key of full order nobody else can), and all hold in the equation without the cofactor.
 */
const REFUSED_FLAGS = ["low_order_A", "non_canonical_A", "non_canonical_R", "low_order_residue"];

Deno.test("verify() decides every CCTV Ed25519 edge case by its flags", async () => {
  const url = new URL("../vectors/cctv/ed25519vectors.json", import.meta.url);
  const cases: EdgeCase[] = JSON.parse(await Deno.readTextFile(url));
  let accepted = 0, refusedByKey = 0, reencoded = 0;
  for (const { number, key, sig, msg, flags } of cases) {
    const publicKey = decodeHex(key);
    const has = (flag: string) => flags?.includes(flag) ?? false;
    const holds = await ed25519.verify(publicKey, decodeHex(sig), encodeUtf8(msg));
    assertEquals(holds, !REFUSED_FLAGS.some(has), `number ${number} [${flags}]`);
    if (holds) accepted++;
    if (has("low_order_A") || has("non_canonical_A")) {
      assertKeyRefused(publicKey);
      refusedByKey++;
    } else {
      ed25519.checkPublicKey(publicKey);
    }
    if (has("reencoded_k")) {
      assertEquals(holds, false);
      reencoded++;
    }
  }
  assertEquals({ all: cases.length, accepted, refusedByKey, reencoded }, {
    all: 914,
    accepted: 86,
    refusedByKey: 526,
    reencoded: 146,
  });
});
