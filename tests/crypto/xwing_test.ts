/** X-Wing against its published vectors, against another implementation, and against bad input. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { ml_kem768_x25519 as nobleXWing } from "@noble/post-quantum/hybrid.js";
import { shake256 } from "@noble/hashes/sha3.js";
import type { Bytes } from "../../lib/bytes.ts";
import type { KemKeyPair } from "../../lib/crypto/kem.ts";
import {
  loadNobleProvider,
  MLKEM_CIPHERTEXT_LENGTH,
  MLKEM_PUBLIC_KEY_LENGTH,
  MLKEM_SEED_LENGTH,
  type PostQuantumProvider,
  webCryptoProvider,
} from "../../lib/crypto/post_quantum.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { x25519KeyPairOf } from "../../lib/crypto/x25519.ts";
import { xwing, xwingKeyPair } from "../../lib/crypto/xwing.ts";
import { CifraError } from "../../lib/errors.ts";
import { littleEndian32, montgomeryU, P, smallOrderPoints } from "../testkit/curve25519.ts";
import { readModulusVectors } from "../testkit/mlkem_modulus.ts";

const PROVIDERS = [webCryptoProvider, await loadNobleProvider()];

interface XWingVector {
  readonly seed: string;
  readonly eseed: string;
  readonly ss: string;
  readonly pkFirst32: string;
  readonly pkLast32: string;
  readonly ctFirst32: string;
  readonly ctLast32: string;
}

async function readVectors(): Promise<readonly XWingVector[]> {
  const url = new URL("../vectors/xwing.json", import.meta.url);
  const { tests }: { tests: XWingVector[] } = JSON.parse(await Deno.readTextFile(url));
  return tests;
}

/** Our key pair of a 32-byte X-Wing seed: ML-KEM seed and X25519 scalar out of SHAKE256. */
async function pairOfSeed(provider: PostQuantumProvider, seed: Bytes): Promise<KemKeyPair> {
  const expanded = new Uint8Array(shake256(seed, { dkLen: MLKEM_SEED_LENGTH + 32 }));
  const mlKem = await provider.fromSeed(expanded.slice(0, MLKEM_SEED_LENGTH));
  return xwingKeyPair(provider, mlKem, await x25519KeyPairOf(expanded.slice(MLKEM_SEED_LENGTH)));
}

/** X25519 keys that X-Wing has to refuse: of small order, and not reduced. */
function badX25519Keys(): Bytes[] {
  const smallOrder = smallOrderPoints().map(montgomeryU).filter((u) => u !== undefined);
  const all = [...new Set(smallOrder), P - 1n, P, P + 1n, P + 9n, 2n ** 256n - 1n, 9n | 1n << 255n];
  return all.map(littleEndian32);
}

async function assertKeyRefused(provider: PostQuantumProvider, publicKey: Bytes): Promise<void> {
  const error = await assertRejects(() => xwing(provider).encapsulate(publicKey), CifraError);
  assertEquals(error.code, "auth_failed");
}

for (const provider of PROVIDERS) {
  const { name } = provider;
  const kem = xwing(provider);

  Deno.test(`X-Wing over ${name} gives the keys and secrets of the published vectors`, async () => {
    const vectors = await readVectors();
    assertEquals(vectors.length, 3);
    for (const { seed, eseed, ss, ...ends } of vectors) {
      const theirs = nobleXWing.keygen(decodeHex(seed));
      const { cipherText, sharedSecret } = nobleXWing.encapsulate(
        theirs.publicKey,
        decodeHex(eseed),
      );
      // The other implementation fills in what lies between the published ends.
      assertEquals({
        pkFirst32: encodeHex(theirs.publicKey.slice(0, 32)),
        pkLast32: encodeHex(theirs.publicKey.slice(-32)),
        ctFirst32: encodeHex(cipherText.slice(0, 32)),
        ctLast32: encodeHex(cipherText.slice(-32)),
      }, ends);
      assertEquals(encodeHex(sharedSecret), ss);

      const pair = await pairOfSeed(provider, decodeHex(seed));
      assertEquals(encodeHex(pair.publicKey), encodeHex(theirs.publicKey));
      assertEquals(encodeHex(await pair.decapsulate(new Uint8Array(cipherText))), ss);
    }
  });

  Deno.test(`X-Wing over ${name} opens what another implementation encapsulates`, async () => {
    const pair = await kem.generate();
    const { cipherText, sharedSecret } = nobleXWing.encapsulate(pair.publicKey);
    const secret = await pair.decapsulate(new Uint8Array(cipherText));
    assertEquals(secret, new Uint8Array(sharedSecret));
  });

  Deno.test(`X-Wing over ${name} encapsulates for the key of another implementation`, async () => {
    const { publicKey, secretKey } = nobleXWing.keygen();
    const { ciphertext, secret } = await kem.encapsulate(new Uint8Array(publicKey));
    assertEquals(new Uint8Array(nobleXWing.decapsulate(ciphertext, secretKey)), secret);
  });

  for (const other of PROVIDERS) {
    Deno.test(`X-Wing over ${other.name} encapsulates for a key over ${name}`, async () => {
      const pair = await kem.generate();
      const { ciphertext, secret } = await xwing(other).encapsulate(pair.publicKey);
      assertEquals(ciphertext.length, kem.ciphertextLength);
      assertEquals(pair.publicKey.length, kem.publicKeyLength);
      assertEquals(await pair.decapsulate(ciphertext), secret);
    });
  }

  Deno.test(`X-Wing over ${name}: encapsulate() draws a new secret each time`, async () => {
    const { publicKey } = await kem.generate();
    const [a, b] = [await kem.encapsulate(publicKey), await kem.encapsulate(publicKey)];
    assertNotEquals(a.secret, b.secret);
    assertNotEquals(a.ciphertext, b.ciphertext);
  });

  Deno.test(`X-Wing over ${name}: encapsulate() refuses every ML-KEM key with a coefficient out of range`, async () => {
    const { publicKey } = await kem.generate();
    const x25519Key = publicKey.slice(MLKEM_PUBLIC_KEY_LENGTH);
    const keys = await readModulusVectors();
    assertEquals(keys.length, 780);
    for (const key of keys) await assertKeyRefused(provider, concat([key, x25519Key]));
  });

  Deno.test(`X-Wing over ${name}: encapsulate() refuses an X25519 key of small order or not reduced`, async () => {
    const { publicKey } = await kem.generate();
    const mlKemKey = publicKey.slice(0, MLKEM_PUBLIC_KEY_LENGTH);
    for (const key of badX25519Keys()) await assertKeyRefused(provider, concat([mlKemKey, key]));
  });

  Deno.test(`X-Wing over ${name}: encapsulate() refuses a key of another length, of zeros, of ones`, async () => {
    const { publicKey } = await kem.generate();
    await assertKeyRefused(provider, new Uint8Array(0));
    await assertKeyRefused(provider, publicKey.slice(0, -1));
    await assertKeyRefused(provider, concat([publicKey, new Uint8Array(1)]));
    await assertKeyRefused(provider, new Uint8Array(kem.publicKeyLength));
    await assertKeyRefused(provider, new Uint8Array(kem.publicKeyLength).fill(0xff));
  });

  Deno.test(`X-Wing over ${name}: decapsulate() gives a wrong secret, always the same, for a wrong ML-KEM part`, async () => {
    const pair = await kem.generate();
    const { ciphertext, secret } = await kem.encapsulate(pair.publicKey);
    const ciphertextX = ciphertext.slice(MLKEM_CIPHERTEXT_LENGTH);
    for (const part of [systemRandom(MLKEM_CIPHERTEXT_LENGTH), new Uint8Array(1088)]) {
      const wrong = concat([part, ciphertextX]);
      const rejected = await pair.decapsulate(wrong);
      assertEquals(rejected.length, 32);
      assertNotEquals(rejected, secret);
      assertEquals(await pair.decapsulate(wrong), rejected);
    }
  });

  Deno.test(`X-Wing over ${name}: decapsulate() gives a random secret for a refused X25519 part`, async () => {
    const pair = await kem.generate();
    const { ciphertext, secret } = await kem.encapsulate(pair.publicKey);
    const ciphertextM = ciphertext.slice(0, MLKEM_CIPHERTEXT_LENGTH);
    for (const part of badX25519Keys()) {
      const wrong = concat([ciphertextM, part]);
      const [a, b] = [await pair.decapsulate(wrong), await pair.decapsulate(wrong)];
      assertEquals(a.length, 32);
      assertNotEquals(a, secret);
      assertNotEquals(a, b);
    }
  });

  Deno.test(`X-Wing over ${name}: decapsulate() gives a random secret for a ciphertext of another length`, async () => {
    const pair = await kem.generate();
    const { ciphertext, secret } = await kem.encapsulate(pair.publicKey);
    const wrong = [
      new Uint8Array(0),
      ciphertext.slice(0, -1),
      ciphertext.slice(0, MLKEM_CIPHERTEXT_LENGTH),
      concat([ciphertext, new Uint8Array(1)]),
    ];
    for (const other of wrong) {
      const [a, b] = [await pair.decapsulate(other), await pair.decapsulate(other)];
      assertEquals(a.length, 32);
      assertNotEquals(a, secret);
      assertNotEquals(a, b);
    }
  });
}
