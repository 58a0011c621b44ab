import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeBase64Url } from "@std/encoding/base64url";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { rsaKem, rsaKeyPair } from "../../lib/crypto/rsa_kem.ts";
import { CifraError } from "../../lib/errors.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

const RSA_1024 = rsaKem({ name: "RSA-OAEP-1024", modulusLength: 1024, hash: "SHA-1" });
const RSA_3072 = rsaKem({ name: "RSA-OAEP-3072", modulusLength: 3072, hash: "SHA-256" });

/** rsaEncryption with its NULL (RFC 3279, 2.3.1). */
const ALGORITHM = decodeHex("300d06092a864886f70d0101010500");
/** The legal exponent, 65537. */
const F4 = decodeHex("010001");

function der(tag: number, ...contents: Bytes[]): Bytes {
  const body = concat(contents);
  if (body.length < 0x80) return concat([new Uint8Array([tag, body.length]), body]);
  const length = decodeHex(body.length.toString(16).padStart(body.length < 256 ? 2 : 4, "0"));
  return concat([new Uint8Array([tag, 0x80 | length.length]), length, body]);
}

/** A DER integer out of an unsigned one without leading zeros. */
function integer(value: Bytes): Bytes {
  return der(2, value[0]! & 0x80 ? concat([new Uint8Array(1), value]) : value);
}

/** RSAPublicKey of PKCS #1 out of its two DER integers. */
const pkcs1 = (modulus: Bytes, exponent: Bytes): Bytes => der(0x30, modulus, exponent);

/** SubjectPublicKeyInfo around an RSAPublicKey. */
function spki(rsaPublicKey: Bytes, algorithm = ALGORITHM): Bytes {
  return der(0x30, algorithm, der(3, new Uint8Array(1), rsaPublicKey));
}

/** An odd number of exactly so many bits; whether it is a product of two primes nobody checks. */
function modulusOf(bits: number): Bytes {
  const modulus = systemRandom(Math.ceil(bits / 8));
  const topBit = 1 << ((bits - 1) % 8);
  modulus[0] = (modulus[0]! & (topBit - 1)) | topBit;
  modulus[modulus.length - 1]! |= 1;
  return modulus;
}

/** The key pair of the Wycheproof set, of 3,072 bits: spares the tests a key generation. */
async function publishedKeyPair() {
  const [group] = await readWycheproof<
    { privateKeyPkcs8: string; privateKeyJwk: { n: string; e: string } },
    { msg: string; ct: string; label: string }
  >("rsa_oaep_3072_sha256_mgf1sha256");
  const { privateKeyPkcs8, privateKeyJwk: { n, e }, tests } = group!;
  const publicKey = spki(pkcs1(integer(decodeBase64Url(n)), integer(decodeBase64Url(e))));
  const privateKey = await crypto.subtle.importKey(
    "pkcs8",
    decodeHex(privateKeyPkcs8),
    { name: "RSA-OAEP", hash: "SHA-256" },
    false,
    ["decrypt"],
  );
  return { modulus: decodeBase64Url(n), pair: rsaKeyPair(publicKey, privateKey), tests };
}

async function assertKeyRefused(kem: typeof RSA_1024, key: Bytes, what: string): Promise<void> {
  // By our own check, before the runtime sees the key.
  const error = await assertRejects(() => kem.encapsulate(key), CifraError, "must be");
  assertEquals(error.code, "auth_failed", what);
}

Deno.test("encapsulate() shares a secret with the published key", async () => {
  const { pair } = await publishedKeyPair();
  assertEquals(pair.publicKey.length, RSA_3072.publicKeyLength);
  const { ciphertext, secret } = await RSA_3072.encapsulate(pair.publicKey);
  assertEquals(ciphertext.length, RSA_3072.ciphertextLength);
  assertEquals(await pair.decapsulate(ciphertext), secret);
});

Deno.test("encapsulate() takes the one encoding of a legal key that the tests below vary", async () => {
  const { publicKey } = await RSA_1024.generate();
  const modulus = publicKey.slice(29, 29 + 128);
  assertEquals(encodeHex(spki(pkcs1(integer(modulus), integer(F4)))), encodeHex(publicKey));
  await RSA_1024.encapsulate(publicKey);
});

for (const [kem, bits] of [[RSA_1024, 1024], [RSA_3072, 3072]] as const) {
  const legal = modulusOf(bits);
  const legalInteger = integer(legal);

  Deno.test(`${kem.name}: encapsulate() refuses a modulus of another size`, async () => {
    for (const size of [8, 512, 1023, 1024, 1025, 2048, 3071, 3072, 3073, 4096, 16_384]) {
      if (size === bits) continue;
      const key = spki(pkcs1(integer(modulusOf(size)), integer(F4)));
      await assertKeyRefused(kem, key, `${size} bits`);
    }
  });

  Deno.test(`${kem.name}: encapsulate() refuses a modulus with leading zeros or a sign`, async () => {
    const shorter = modulusOf(bits - 8);
    const padded = der(2, concat([new Uint8Array(2), shorter]));
    await assertKeyRefused(kem, spki(pkcs1(padded, integer(F4))), "two zero bytes");
    const topBitClear = der(2, concat([new Uint8Array(1), modulusOf(bits - 1)]));
    await assertKeyRefused(kem, spki(pkcs1(topBitClear, integer(F4))), "top bit clear");
    await assertKeyRefused(kem, spki(pkcs1(der(2, legal), integer(F4))), "negative");
  });

  Deno.test(`${kem.name}: encapsulate() refuses an even modulus`, async () => {
    const even = legal.slice();
    even[even.length - 1]! &= 0xfe;
    await assertKeyRefused(kem, spki(pkcs1(integer(even), integer(F4))), "even");
  });

  Deno.test(`${kem.name}: encapsulate() refuses every exponent but 65537`, async () => {
    // 0, 1, 2, 3, 17, 65535, 65536, 65539, 2^32 + 1, and 65537 with a leading zero or negative.
    const exponents = ["00", "01", "02", "03", "11", "00ffff", "010000", "010003", "0100000001"];
    for (const exponent of [...exponents, "00010001", "feffff"]) {
      const key = spki(pkcs1(legalInteger, der(2, decodeHex(exponent))));
      await assertKeyRefused(kem, key, `exponent ${exponent}`);
    }
  });

  Deno.test(`${kem.name}: encapsulate() refuses bytes after the key or missing from it`, async () => {
    const key = spki(pkcs1(legalInteger, integer(F4)));
    assertEquals(key.length, kem.publicKeyLength);
    await assertKeyRefused(kem, concat([key, new Uint8Array(1)]), "trailing zero");
    await assertKeyRefused(kem, concat([key, decodeHex("0500")]), "trailing NULL");
    await assertKeyRefused(kem, key.slice(0, -1), "cut");
    const inner = concat([pkcs1(legalInteger, integer(F4)), decodeHex("0500")]);
    await assertKeyRefused(kem, spki(inner), "trailing NULL inside");
    const third = der(0x30, legalInteger, integer(F4), integer(F4));
    await assertKeyRefused(kem, spki(third), "a third integer");
  });

  Deno.test(`${kem.name}: encapsulate() refuses other forms of a legal key`, async () => {
    const rsaPublicKey = pkcs1(legalInteger, integer(F4));
    await assertKeyRefused(kem, rsaPublicKey, "PKCS #1");
    const pss = decodeHex("300d06092a864886f70d01010a0500");
    await assertKeyRefused(kem, spki(rsaPublicKey, pss), "RSASSA-PSS");
    const oaep = decodeHex("300d06092a864886f70d0101070500");
    await assertKeyRefused(kem, spki(rsaPublicKey, oaep), "RSAES-OAEP");
    const noNull = decodeHex("300b06092a864886f70d010101");
    await assertKeyRefused(kem, spki(rsaPublicKey, noNull), "no NULL");
    const unusedBits = der(0x30, ALGORITHM, der(3, new Uint8Array([1]), rsaPublicKey));
    await assertKeyRefused(kem, unusedBits, "unused bits");
    const key = spki(rsaPublicKey);
    await assertKeyRefused(
      kem,
      concat([decodeHex("3080"), key.slice(4), new Uint8Array(2)]),
      "BER",
    );
    await assertKeyRefused(
      kem,
      concat([decodeHex("3083"), new Uint8Array(1), key.slice(2)]),
      "long",
    );
  });

  Deno.test(`${kem.name}: encapsulate() refuses a legal key with any byte of its frame changed`, async () => {
    const key = spki(pkcs1(legalInteger, integer(F4)));
    const start = key.length - F4.length - 2 - legal.length;
    const frame = [...key.keys()].filter((i) => i < start || i >= start + legal.length);
    assertEquals(frame.length, key.length - legal.length);
    for (const i of frame) {
      for (const mask of [0x01, 0x80]) {
        const changed = key.slice();
        changed[i]! ^= mask;
        await assertKeyRefused(kem, changed, `byte ${i}`);
      }
    }
  });
}

Deno.test("decapsulate() opens every Wycheproof OAEP vector that holds 32 bytes, and no other", async () => {
  const { pair, tests } = await publishedKeyPair();
  const seen = { opened: 0, otherLength: 0, labelled: 0, invalid: 0 };
  for (const test of tests) {
    const ciphertext = decodeHex(test.ct);
    const secret = await pair.decapsulate(ciphertext);
    assertEquals(secret.length, 32, describeTest(test));
    if (test.result === "valid" && test.label === "" && test.msg.length === 64) {
      assertEquals(encodeHex(secret), test.msg, describeTest(test));
      seen.opened++;
      continue;
    }
    // A valid message that is no secret of ours, a label, or a failure: random, like one another.
    assertNotEquals(await pair.decapsulate(ciphertext), secret, describeTest(test));
    if (test.result !== "valid") seen.invalid++;
    else if (test.label !== "") seen.labelled++;
    else seen.otherLength++;
  }
  assertEquals(seen, { opened: 1, otherLength: 9, labelled: 8, invalid: 19 });
});

Deno.test("decapsulate() gives a random secret, without throwing, when OAEP fails", async () => {
  const { pair, modulus } = await publishedKeyPair();
  const { ciphertext, secret } = await RSA_3072.encapsulate(pair.publicKey);
  const changed = ciphertext.slice();
  changed[200]! ^= 1;
  const bad = [
    changed,
    systemRandom(384),
    new Uint8Array(384),
    modulus,
    new Uint8Array(384).fill(0xff),
    ciphertext.slice(1),
    concat([new Uint8Array(1), ciphertext]),
    new Uint8Array(0),
  ];
  for (const other of bad) {
    const [a, b] = [await pair.decapsulate(other), await pair.decapsulate(other)];
    assertEquals([a.length, b.length], [32, 32]);
    assertNotEquals(a, b);
    assertNotEquals(a, secret);
  }
  assert((await pair.decapsulate(ciphertext)).every((byte, i) => byte === secret[i]));
});
