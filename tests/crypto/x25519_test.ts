import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import {
  agreeX25519,
  checkX25519PublicKey,
  generateX25519,
  X25519_KEY_LENGTH,
  x25519KeyPairOf,
  x25519PublicKeyOf,
} from "../../lib/crypto/x25519.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  doubleU,
  littleEndian32,
  montgomeryU,
  P,
  smallOrderPoints,
} from "../testkit/curve25519.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

const HIGH_BIT = 1n << 255n;

function assertKeyRefused(publicKey: Bytes, what?: string): void {
  const error = assertThrows(() => checkX25519PublicKey(publicKey), CifraError);
  assertEquals(error.code, "auth_failed", what);
}

/** Every u of small order: those of the curve, and -1, which has order 4 on the twist. */
function smallOrderU(): bigint[] {
  const onCurve = smallOrderPoints().map(montgomeryU).filter((u) => u !== undefined);
  return [...new Set([...onCurve, P - 1n])];
}

Deno.test("smallOrderU() are five values that doubled three times give infinity", () => {
  const all = smallOrderU();
  assertEquals(all.length, 5);
  for (const u of all) assertEquals(doubleU(doubleU(doubleU(u))), undefined);
});

Deno.test("checkX25519PublicKey() refuses every u of small order, also unreduced or with bit 255", () => {
  let unreduced = 0;
  for (const u of smallOrderU()) {
    assertKeyRefused(littleEndian32(u));
    assertKeyRefused(littleEndian32(u | HIGH_BIT));
    if (u + P >= HIGH_BIT) continue;
    assertKeyRefused(littleEndian32(u + P));
    assertKeyRefused(littleEndian32((u + P) | HIGH_BIT));
    unreduced++;
  }
  assertEquals(unreduced, 2);
});

Deno.test("checkX25519PublicKey() refuses every u from p to 2^255 - 1", () => {
  for (let u = P; u < HIGH_BIT; u++) assertKeyRefused(littleEndian32(u));
  assertKeyRefused(new Uint8Array(32).fill(0xff));
});

Deno.test("checkX25519PublicKey() refuses a canonical u with bit 255 set", () => {
  assertKeyRefused(littleEndian32(9n | HIGH_BIT));
});

Deno.test("checkX25519PublicKey() refuses a key of another length", () => {
  for (const length of [0, 1, 31, 33, 64]) assertKeyRefused(new Uint8Array(length).fill(9));
});

Deno.test("checkX25519PublicKey() accepts the base point, fresh keys, neighbours of small order", async () => {
  checkX25519PublicKey(littleEndian32(9n));
  checkX25519PublicKey((await generateX25519()).publicKey);
  const refused = new Set(smallOrderU());
  for (const u of refused) {
    for (const near of [u - 2n, u - 1n, u + 1n, u + 2n]) {
      if (near >= 0n && near < P && !refused.has(near)) checkX25519PublicKey(littleEndian32(near));
    }
  }
});

Deno.test("agreeX25519() gives both sides the same 32 bytes", async () => {
  const [a, b] = await Promise.all([generateX25519(), generateX25519(true)]);
  const secret = await agreeX25519(a.privateKey, b.publicKey);
  assertEquals(a.publicKey.length, X25519_KEY_LENGTH);
  assertEquals(secret.length, 32);
  assertEquals(secret, await agreeX25519(b.privateKey, a.publicKey));
});

Deno.test("generateX25519() lets the private key out when asked alone", async () => {
  assertEquals((await generateX25519()).privateKey.extractable, false);
  assertEquals((await generateX25519(true)).privateKey.extractable, true);
});

Deno.test("x25519PublicKeyOf() gives the public half that the platform made", async () => {
  const { publicKey, privateKey } = await generateX25519();
  assertEquals(await x25519PublicKeyOf(privateKey), publicKey);
});

Deno.test("x25519KeyPairOf() gives the public key and the secret of Bob in RFC 7748, 6.1", async () => {
  const scalar = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
  const alice = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
  const { publicKey, privateKey } = await x25519KeyPairOf(decodeHex(scalar));
  assertEquals(privateKey.extractable, false);
  assertEquals(
    encodeHex(publicKey),
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  );
  assertEquals(
    encodeHex(await agreeX25519(privateKey, decodeHex(alice))),
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
  );
});

Deno.test("agreeX25519() throws on a point of small order, rather than give the zero secret", async () => {
  const { privateKey } = await generateX25519();
  for (const u of smallOrderU()) {
    await assertRejects(() => agreeX25519(privateKey, littleEndian32(u)));
  }
});

Deno.test("agreeX25519() and the check decide every Wycheproof X25519 vector", async () => {
  const groups = await readWycheproof<
    unknown,
    { public: string; private: string; shared: string }
  >("x25519");
  const seen = { agreed: 0, refusedByCheck: 0, zeroSecret: 0 };
  for (const { tests } of groups) {
    for (const test of tests) {
      const publicKey = decodeHex(test.public);
      const { privateKey } = await x25519KeyPairOf(decodeHex(test.private));
      const has = (flag: string) => test.flags?.includes(flag) ?? false;
      // The set calls these acceptable; we refuse them. Points of the twist we take: the ladder is
      // safe on both curves, and no secret bit shows.
      if (has("LowOrderPublic") || has("NonCanonicalPublic")) {
        assert(test.result === "acceptable", describeTest(test));
        assertKeyRefused(publicKey, describeTest(test));
        seen.refusedByCheck++;
      } else {
        checkX25519PublicKey(publicKey);
      }
      if (has("ZeroSharedSecret")) {
        await assertRejects(() => agreeX25519(privateKey, publicKey), Error);
        seen.zeroSecret++;
      } else {
        const secret = await agreeX25519(privateKey, publicKey);
        assertEquals(secret, decodeHex(test.shared), describeTest(test));
        seen.agreed++;
      }
    }
  }
  assertEquals(seen, { agreed: 487, refusedByCheck: 44, zeroSecret: 31 });
});
