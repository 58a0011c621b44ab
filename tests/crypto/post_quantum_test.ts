/** ML-KEM-768 and SHA3-256: each provider against published vectors, and one against the other. */
import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import {
  checkMlKemPublicKey,
  loadNobleProvider,
  loadPostQuantumProvider,
  MLKEM_CIPHERTEXT_LENGTH,
  MLKEM_PUBLIC_KEY_LENGTH,
  MLKEM_SEED_LENGTH,
  webCryptoProvider,
} from "../../lib/crypto/post_quantum.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { readModulusVectors } from "../testkit/mlkem_modulus.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

const nobleProvider = await loadNobleProvider();
const PROVIDERS = [webCryptoProvider, nobleProvider];
const PAIRS = PROVIDERS.flatMap((from) => PROVIDERS.map((to) => [from, to] as const));

function flipped(bytes: Bytes, index: number): Bytes {
  const changed = bytes.slice();
  changed[index]! ^= 1;
  return changed;
}

for (const [theirs, ours] of PAIRS) {
  Deno.test(`${theirs.name} encapsulates for a key of ${ours.name}`, async () => {
    const pair = await ours.generate();
    assertEquals(pair.publicKey.length, MLKEM_PUBLIC_KEY_LENGTH);
    const { ciphertext, secret } = await theirs.encapsulate(pair.publicKey);
    assertEquals(ciphertext.length, MLKEM_CIPHERTEXT_LENGTH);
    assertEquals(secret.length, 32);
    assertEquals(await pair.decapsulate(ciphertext), secret);
  });
}

for (const provider of PROVIDERS) {
  const { name } = provider;

  Deno.test(`${name}: fromSeed() gives the public key of every Wycheproof keygen vector`, async () => {
    const groups = await readWycheproof<unknown, { seed: string; ek: string }>(
      "mlkem_768_keygen_seed",
    );
    let run = 0;
    for (const test of groups.flatMap(({ tests }) => tests)) {
      const { publicKey } = await provider.fromSeed(decodeHex(test.seed));
      assertEquals(encodeHex(publicKey), test.ek, describeTest(test));
      run++;
    }
    assertEquals(run, 100);
  });

  Deno.test(`${name}: decapsulate() decides every Wycheproof vector as published`, async () => {
    const groups = await readWycheproof<
      unknown,
      { seed: string; ek?: string; c: string; K: string }
    >("mlkem_768");
    const seen = { valid: 0, badSeed: 0, badCiphertext: 0 };
    for (const test of groups.flatMap(({ tests }) => tests)) {
      const seed = decodeHex(test.seed);
      const ciphertext = decodeHex(test.c);
      if (seed.length !== MLKEM_SEED_LENGTH) {
        await assertRejects(() => provider.fromSeed(seed));
        seen.badSeed++;
        continue;
      }
      const pair = await provider.fromSeed(seed);
      if (test.ek !== undefined) assertEquals(encodeHex(pair.publicKey), test.ek);
      if (test.result === "valid") {
        // Some of these are implicit rejections: a K that only this seed gives for a wrong c.
        assertEquals(encodeHex(await pair.decapsulate(ciphertext)), test.K, describeTest(test));
        seen.valid++;
      } else {
        assertNotEquals(ciphertext.length, MLKEM_CIPHERTEXT_LENGTH, describeTest(test));
        await assertRejects(() => pair.decapsulate(ciphertext));
        seen.badCiphertext++;
      }
    }
    assertEquals(seen, { valid: 153, badSeed: 20, badCiphertext: 20 });
  });

  Deno.test(`${name}: encapsulate() takes and refuses the keys of every Wycheproof vector`, async () => {
    const groups = await readWycheproof<unknown, { ek: string }>("mlkem_768_encaps");
    const seen = { valid: 0, invalid: 0, acceptable: 0 };
    for (const test of groups.flatMap(({ tests }) => tests)) {
      const publicKey = decodeHex(test.ek);
      if (test.result === "valid") {
        // The message is drawn inside, so the published ciphertext cannot come again.
        const { ciphertext } = await provider.encapsulate(publicKey);
        assertEquals(ciphertext.length, MLKEM_CIPHERTEXT_LENGTH, describeTest(test));
      } else {
        await assertRejects(() => provider.encapsulate(publicKey));
      }
      seen[test.result]++;
    }
    assertEquals(seen, { valid: 133, invalid: 132, acceptable: 0 });
  });

  Deno.test(`${name}: encapsulate() refuses every key with a coefficient out of range`, async () => {
    const keys = await readModulusVectors();
    assertEquals(keys.length, 780);
    for (const key of keys) {
      assertEquals(key.length, MLKEM_PUBLIC_KEY_LENGTH);
      await assertRejects(() => provider.encapsulate(key));
    }
  });

  Deno.test(`${name}: decapsulate() gives a wrong secret, always the same, for a wrong ciphertext`, async () => {
    const pair = await provider.generate();
    const { ciphertext, secret } = await provider.encapsulate(pair.publicKey);
    const wrong = [
      flipped(ciphertext, 0),
      flipped(ciphertext, MLKEM_CIPHERTEXT_LENGTH - 1),
      systemRandom(MLKEM_CIPHERTEXT_LENGTH),
      new Uint8Array(MLKEM_CIPHERTEXT_LENGTH),
      new Uint8Array(MLKEM_CIPHERTEXT_LENGTH).fill(0xff),
    ];
    for (const other of wrong) {
      const rejected = await pair.decapsulate(other);
      assertEquals(rejected.length, 32);
      assertNotEquals(rejected, secret);
      assertEquals(await pair.decapsulate(other), rejected);
    }
  });

  Deno.test(`${name}: sha3_256() gives the digests of FIPS 202`, async () => {
    const digests = {
      "": "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
      "abc": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
    };
    for (const [text, digest] of Object.entries(digests)) {
      assertEquals(encodeHex(await provider.sha3_256(encodeUtf8(text))), digest);
    }
  });
}

Deno.test("the providers give one seed the same key, and the same secret to a wrong ciphertext", async () => {
  const seed = systemRandom(MLKEM_SEED_LENGTH);
  const [a, b] = [await webCryptoProvider.fromSeed(seed), await nobleProvider.fromSeed(seed)];
  assertEquals(a.publicKey, b.publicKey);
  const wrong = systemRandom(MLKEM_CIPHERTEXT_LENGTH);
  assertEquals(await a.decapsulate(wrong), await b.decapsulate(wrong));
});

Deno.test("the providers hash alike around the block length of SHA3-256", async () => {
  for (const length of [0, 1, 134, 135, 136, 137, 272, 1000]) {
    const data = systemRandom(length);
    assertEquals(await webCryptoProvider.sha3_256(data), await nobleProvider.sha3_256(data));
  }
});

Deno.test("loadPostQuantumProvider() takes the runtime's provider where there is one", async () => {
  assertEquals((await loadPostQuantumProvider()).name, webCryptoProvider.name);
});

Deno.test("loadPostQuantumProvider() takes @noble/post-quantum where the runtime has none", async () => {
  const original = Object.getOwnPropertyDescriptor(SubtleCrypto, "supports");
  const answers = [
    undefined,
    () => false,
    (operation: string) => operation === "digest",
    (operation: string) => operation === "encapsulateBits",
  ];
  try {
    for (const value of answers) {
      Object.defineProperty(SubtleCrypto, "supports", { value, configurable: true });
      assertEquals((await loadPostQuantumProvider()).name, nobleProvider.name);
    }
  } finally {
    if (original) Object.defineProperty(SubtleCrypto, "supports", original);
    else Reflect.deleteProperty(SubtleCrypto, "supports");
  }
});

Deno.test("checkMlKemPublicKey() takes and refuses the keys of every published vector", async () => {
  const refused = (key: Bytes, what?: string) => {
    const { code } = assertThrows(() => checkMlKemPublicKey(key), CifraError);
    assertEquals(code, "auth_failed", what);
  };
  const groups = await readWycheproof<unknown, { ek: string }>("mlkem_768_encaps");
  for (const test of groups.flatMap(({ tests }) => tests)) {
    const key = decodeHex(test.ek);
    if (test.result === "valid") checkMlKemPublicKey(key);
    else refused(key, describeTest(test));
  }
  for (const key of await readModulusVectors()) refused(key);
});

Deno.test("checkMlKemPublicKey() counts a coefficient of q - 1 in and one of q out, in each place", async () => {
  const { publicKey } = await webCryptoProvider.generate();
  for (let place = 0; place < 768; place++) {
    for (const [value, holds] of [[3328, true], [3329, false], [4095, false]] as const) {
      const key = publicKey.slice();
      const at = Math.floor(place / 2) * 3;
      if (place % 2 === 0) {
        key[at] = value & 0xff;
        key[at + 1] = key[at + 1]! & 0xf0 | value >> 8;
      } else {
        key[at + 1] = key[at + 1]! & 0x0f | (value & 0x0f) << 4;
        key[at + 2] = value >> 4;
      }
      if (holds) checkMlKemPublicKey(key);
      else assertThrows(() => checkMlKemPublicKey(key), CifraError);
    }
  }
});
