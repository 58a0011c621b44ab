/** What every KEM promises; what only one promises is in its own file. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decapsulateOrRandom, KEM_SECRET_LENGTH } from "../../lib/crypto/kem.ts";
import { loadNobleProvider, webCryptoProvider } from "../../lib/crypto/post_quantum.ts";
import { rsaKem } from "../../lib/crypto/rsa_kem.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { xwing } from "../../lib/crypto/xwing.ts";
import { CifraError } from "../../lib/errors.ts";

const noble = await loadNobleProvider();

const KEMS = [
  { label: "X-Wing (WebCrypto)", kem: xwing(webCryptoProvider), publicKey: 1216, ciphertext: 1120 },
  { label: "X-Wing (noble)", kem: xwing(noble), publicKey: 1216, ciphertext: 1120 },
  {
    label: "RSA-OAEP-1024",
    kem: rsaKem({ name: "RSA-OAEP-1024", modulusLength: 1024, hash: "SHA-1" }),
    publicKey: 162,
    ciphertext: 128,
  },
  {
    label: "RSA-OAEP-3072",
    kem: rsaKem({ name: "RSA-OAEP-3072", modulusLength: 3072, hash: "SHA-256" }),
    publicKey: 422,
    ciphertext: 384,
  },
];

for (const { label, kem, publicKey, ciphertext } of KEMS) {
  // One test for each, since an RSA key costs up to a second.
  Deno.test(`${label}: shares a secret, refuses bad keys, never throws on a bad ciphertext`, async () => {
    const pair = await kem.generate();
    assertEquals([kem.publicKeyLength, kem.ciphertextLength], [publicKey, ciphertext]);
    assertEquals(pair.publicKey.length, publicKey);

    const sealed = await kem.encapsulate(pair.publicKey);
    assertEquals(sealed.ciphertext.length, ciphertext);
    assertEquals(sealed.secret.length, KEM_SECRET_LENGTH);
    assertEquals(await pair.decapsulate(sealed.ciphertext), sealed.secret);
    assertEquals(await pair.decapsulate(sealed.ciphertext), sealed.secret);
    assertNotEquals((await kem.encapsulate(pair.publicKey)).secret, sealed.secret);

    for (
      const bad of [
        new Uint8Array(0),
        pair.publicKey.slice(1),
        pair.publicKey.slice(0, -1),
        concat([pair.publicKey, new Uint8Array(1)]),
        new Uint8Array(publicKey),
        new Uint8Array(publicKey).fill(0xff),
      ]
    ) {
      const error = await assertRejects(() => kem.encapsulate(bad), CifraError);
      assertEquals(error.code, "auth_failed");
    }

    for (
      const bad of [
        new Uint8Array(0),
        sealed.ciphertext.slice(1),
        sealed.ciphertext.slice(0, -1),
        concat([sealed.ciphertext, new Uint8Array(1)]),
        new Uint8Array(ciphertext),
        new Uint8Array(ciphertext).fill(0xff),
        systemRandom(ciphertext),
      ]
    ) {
      const secret = await pair.decapsulate(bad);
      assertEquals(secret.length, KEM_SECRET_LENGTH);
      assertNotEquals(secret, sealed.secret);
      assertNotEquals(secret, new Uint8Array(KEM_SECRET_LENGTH));
    }
  });
}

Deno.test("decapsulateOrRandom() gives the secret when there is one", async () => {
  const secret = systemRandom(KEM_SECRET_LENGTH);
  assertEquals(await decapsulateOrRandom(() => Promise.resolve(secret)), secret);
});

Deno.test("decapsulateOrRandom() gives fresh random bytes when decapsulation fails", async () => {
  const failures = [
    () => Promise.reject(new Error("refused")),
    () => Promise.reject(undefined),
    () => {
      throw new TypeError("refused at once");
    },
    ...[0, 31, 33, 64].map((length) => () => Promise.resolve(new Uint8Array(length))),
  ];
  for (const failure of failures) {
    const [a, b] = [await decapsulateOrRandom(failure), await decapsulateOrRandom(failure)];
    assertEquals([a.length, b.length], [KEM_SECRET_LENGTH, KEM_SECRET_LENGTH]);
    assertNotEquals(a, new Uint8Array(KEM_SECRET_LENGTH));
    assertNotEquals(a, b);
  }
});
