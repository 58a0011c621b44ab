import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { ecdsaP256 } from "../../lib/crypto/ecdsa_p256.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { CifraError } from "../../lib/errors.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

const MESSAGE = encodeUtf8("attack at dawn");
/** The prime of the field and the order of the group (SEC 2, 2.4.2). */
const P = decodeHex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
const N = decodeHex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
const BASE_POINT = decodeHex(
  "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" +
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
);
/** The point with x = 0: its y is a square root of the curve's b. */
const X_IS_ZERO = decodeHex(
  "04000000000000000000000000000000000000000000000000000000000000000066485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4",
);

function withPrefix(prefix: number, point: Bytes): Bytes {
  return concat([new Uint8Array([prefix]), point.slice(1)]);
}

async function assertKeyRefused(publicKey: Bytes, what: string): Promise<void> {
  const error = assertThrows(() => ecdsaP256.checkPublicKey(publicKey), CifraError, "P-256");
  assertEquals(error.code, "auth_failed", what);
  assertEquals(await ecdsaP256.verify(publicKey, new Uint8Array(64).fill(1), MESSAGE), false, what);
}

Deno.test("checkPublicKey() accepts points of the curve", async () => {
  ecdsaP256.checkPublicKey(BASE_POINT);
  ecdsaP256.checkPublicKey(X_IS_ZERO);
  for (let i = 0; i < 8; i++) ecdsaP256.checkPublicKey((await ecdsaP256.generate()).key.publicKey);
});

Deno.test("checkPublicKey() refuses a point that is off the curve", async () => {
  for (const at of [1, 32, 33, 64]) {
    const key = BASE_POINT.slice();
    key[at]! ^= 1;
    await assertKeyRefused(key, `byte ${at} changed`);
  }
  await assertKeyRefused(withPrefix(0x04, new Uint8Array(65)), "x = y = 0");
  await assertKeyRefused(withPrefix(0x04, new Uint8Array(65).fill(0xff)), "x = y = 2^256 - 1");
});

Deno.test("checkPublicKey() refuses the point at infinity", async () => {
  await assertKeyRefused(new Uint8Array([0]), "one byte");
  await assertKeyRefused(new Uint8Array(65), "65 zero bytes");
});

Deno.test("checkPublicKey() refuses the compressed forms", async () => {
  for (const prefix of [0x02, 0x03]) {
    await assertKeyRefused(withPrefix(prefix, BASE_POINT.slice(0, 33)), "33 bytes");
    await assertKeyRefused(withPrefix(prefix, BASE_POINT), "65 bytes");
  }
});

Deno.test("checkPublicKey() refuses the hybrid forms and every other prefix", async () => {
  for (let prefix = 0; prefix < 256; prefix++) {
    if (prefix === 0x04) continue;
    await assertKeyRefused(withPrefix(prefix, BASE_POINT), `prefix ${prefix}`);
  }
});

Deno.test("checkPublicKey() refuses a coordinate that is not reduced", async () => {
  // x = 0 again, written as p: the same point for a decoder that reduces.
  await assertKeyRefused(concat([new Uint8Array([4]), P, X_IS_ZERO.slice(33)]), "x = p");
  await assertKeyRefused(concat([BASE_POINT.slice(0, 33), P]), "y = p");
});

Deno.test("checkPublicKey() refuses a key of another length", async () => {
  for (const length of [0, 1, 33, 64, 66, 130]) {
    const key = new Uint8Array(length);
    key.set(BASE_POINT.subarray(0, length));
    await assertKeyRefused(key, `${length} bytes`);
  }
});

Deno.test("verify() is false when r or s is zero, the order, or beyond it", async () => {
  const { key } = await ecdsaP256.generate();
  const signature = await key.sign(MESSAGE);
  assert(await ecdsaP256.verify(key.publicKey, signature, MESSAGE));
  const r = signature.slice(0, 32), s = signature.slice(32);
  const zero = new Uint8Array(32), most = new Uint8Array(32).fill(0xff);
  for (const bad of [zero, N, most]) {
    assertEquals(await ecdsaP256.verify(key.publicKey, concat([bad, s]), MESSAGE), false);
    assertEquals(await ecdsaP256.verify(key.publicKey, concat([r, bad]), MESSAGE), false);
    assertEquals(await ecdsaP256.verify(key.publicKey, concat([bad, bad]), MESSAGE), false);
  }
  const wider = concat([zero.slice(0, 1), r, zero.slice(0, 1), s]);
  assertEquals(await ecdsaP256.verify(key.publicKey, wider, MESSAGE), false);
});

Deno.test("fromPkcs8() rejects what is not a P-256 key", async () => {
  const { key, pkcs8 } = await ecdsaP256.generate();
  const { pkcs8: otherScheme } = await ed25519.generate();
  await assertRejects(() => ecdsaP256.fromPkcs8(new Uint8Array(0), key.publicKey));
  await assertRejects(() => ecdsaP256.fromPkcs8(pkcs8.slice(0, -1), key.publicKey));
  await assertRejects(() => ecdsaP256.fromPkcs8(otherScheme, key.publicKey));
});

Deno.test("verify() decides every Wycheproof P-256 vector as published", async () => {
  const groups = await readWycheproof<
    { publicKey: { uncompressed: string } },
    { msg: string; sig: string }
  >("ecdsa_secp256r1_sha256_p1363");
  const seen = { valid: 0, invalid: 0, acceptable: 0 };
  for (const { publicKey, tests } of groups) {
    const key = decodeHex(publicKey.uncompressed);
    ecdsaP256.checkPublicKey(key);
    for (const test of tests) {
      const holds = await ecdsaP256.verify(key, decodeHex(test.sig), decodeHex(test.msg));
      assertEquals(holds, test.result === "valid", describeTest(test));
      seen[test.result]++;
    }
  }
  assertEquals(seen, { valid: 173, invalid: 89, acceptable: 0 });
});
