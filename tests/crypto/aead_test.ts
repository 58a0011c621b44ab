import { assertEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { type AeadKey, aes256CbcHs512, aes256Gcm } from "../../lib/crypto/aead.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

const EMPTY = new Uint8Array(0);

interface AeadGroup {
  readonly keySize: number;
  readonly ivSize: number;
  readonly tagSize: number;
}

interface AeadTest {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

async function assertOpenFails(
  key: AeadKey,
  iv: Bytes,
  additionalData: Bytes,
  sealed: Bytes,
  what: string,
): Promise<void> {
  const error = await assertRejects(() => key.open(iv, additionalData, sealed), CifraError);
  // The same words whatever the cause.
  assertEquals(error.code, "auth_failed", what);
  assertEquals(error.message, "Cannot open message: authentication failed", what);
}

for (
  const { aead, file, used, leftOut, tests: expected } of [
    // Left out: keys of 128 and 192 bits, and the IVs that our 12-byte interface cannot take.
    { aead: aes256Gcm, file: "aes_gcm", used: 1, leftOut: 44, tests: { valid: 39, invalid: 27 } },
    {
      aead: aes256CbcHs512,
      file: "a256cbc_hs512",
      used: 1,
      leftOut: 0,
      tests: { valid: 67, invalid: 27 },
    },
  ]
) {
  Deno.test(`${aead.name}: seal() and open() decide every Wycheproof vector of our sizes`, async () => {
    const groups = await readWycheproof<AeadGroup, AeadTest>(file);
    const ours = groups.filter(({ keySize, ivSize, tagSize }) =>
      keySize === aead.keyLength * 8 && ivSize === aead.ivLength * 8 &&
      tagSize === (aead === aes256Gcm ? 128 : 256)
    );
    assertEquals({ used: ours.length, leftOut: groups.length - ours.length }, { used, leftOut });
    const seen = { valid: 0, invalid: 0, acceptable: 0 };
    for (const test of ours.flatMap(({ tests }) => tests)) {
      const [iv, additionalData, plaintext] = [test.iv, test.aad, test.msg].map(decodeHex);
      const sealed = decodeHex(test.ct + test.tag);
      const key = await aead.importKey(decodeHex(test.key));
      if (test.result === "valid") {
        const ourSealed = await key.seal(iv!, additionalData!, plaintext!);
        assertEquals(encodeHex(ourSealed), test.ct + test.tag, describeTest(test));
        assertEquals(await key.open(iv!, additionalData!, sealed), plaintext!, describeTest(test));
      } else {
        await assertOpenFails(key, iv!, additionalData!, sealed, describeTest(test));
      }
      seen[test.result]++;
    }
    assertEquals(seen, { ...expected, acceptable: 0 });
  });

  Deno.test(`${aead.name}: open() gives back what seal() took, at every length around a block`, async () => {
    const key = await aead.importKey(systemRandom(aead.keyLength));
    for (const length of [0, 1, 15, 16, 17, 31, 32, 33, 65_535, 65_536]) {
      const [iv, additionalData] = [systemRandom(aead.ivLength), systemRandom(length % 40)];
      const plaintext = systemRandom(length);
      const sealed = await key.seal(iv, additionalData, plaintext);
      assertEquals(sealed.length, aead.sealedLength(length));
      assertEquals(await key.open(iv, additionalData, sealed), plaintext);
    }
  });

  Deno.test(`${aead.name}: open() fails when any one bit is changed`, async () => {
    const key = await aead.importKey(systemRandom(aead.keyLength));
    const iv = systemRandom(aead.ivLength);
    const additionalData = encodeUtf8("header");
    const sealed = await key.seal(iv, additionalData, encodeUtf8("attack at dawn"));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = sealed.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await assertOpenFails(key, iv, additionalData, changed, `bit ${bit}`);
    }
    for (let i = 0; i < iv.length; i++) {
      const changed = iv.slice();
      changed[i]! ^= 1;
      await assertOpenFails(key, changed, additionalData, sealed, `IV byte ${i}`);
    }
  });

  Deno.test(`${aead.name}: open() fails under other additional data or another key`, async () => {
    const raw = systemRandom(aead.keyLength);
    const key = await aead.importKey(raw);
    const iv = systemRandom(aead.ivLength);
    const sealed = await key.seal(iv, encodeUtf8("header"), encodeUtf8("attack at dawn"));
    for (const other of ["", "heade", "headeR", "header "]) {
      await assertOpenFails(key, iv, encodeUtf8(other), sealed, other);
    }
    for (const index of [0, aead.keyLength / 2, aead.keyLength - 1]) {
      const changed = raw.slice();
      changed[index]! ^= 1;
      const otherKey = await aead.importKey(changed);
      await assertOpenFails(otherKey, iv, encodeUtf8("header"), sealed, `key byte ${index}`);
    }
  });

  Deno.test(`${aead.name}: open() fails at every shorter length, and one byte longer`, async () => {
    const key = await aead.importKey(systemRandom(aead.keyLength));
    const iv = systemRandom(aead.ivLength);
    const sealed = await key.seal(iv, EMPTY, systemRandom(20));
    for (let length = 0; length < sealed.length; length++) {
      await assertOpenFails(key, iv, EMPTY, sealed.slice(0, length), `${length} bytes`);
    }
    await assertOpenFails(key, iv, EMPTY, concat([sealed, new Uint8Array(1)]), "one more");
    await assertOpenFails(key, iv, EMPTY, concat([sealed, new Uint8Array(16)]), "a block more");
  });
}

Deno.test("A256CBC-HS512: open() fails alike when the MAC holds and the padding does not", async () => {
  const raw = systemRandom(64);
  const iv = systemRandom(16);
  // Blocks without legal padding under a MAC that is right: only who has the key can make these.
  const cbcKey = await crypto.subtle.importKey("raw", raw.slice(32), "AES-CBC", false, ["encrypt"]);
  const hmac = { name: "HMAC", hash: "SHA-512" };
  const macKey = await crypto.subtle.importKey("raw", raw.slice(0, 32), hmac, false, ["sign"]);
  const key = await aes256CbcHs512.importKey(raw);
  for (const lastByte of [0x00, 0x11, 0xff]) {
    const block = new Uint8Array(16).fill(lastByte);
    const padded = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, cbcKey, block);
    const ciphertext = new Uint8Array(padded).slice(0, 16);
    const input = concat([iv, ciphertext, new Uint8Array(8)]);
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", macKey, input)).slice(0, 32);
    await assertOpenFails(key, iv, EMPTY, concat([ciphertext, mac]), `padding ${lastByte}`);
  }
});

Deno.test("importKey() rejects a key of another length", async () => {
  for (const aead of [aes256Gcm, aes256CbcHs512]) {
    for (const length of [0, 8, 33, aead.keyLength - 1, aead.keyLength + 1]) {
      await assertRejects(() => aead.importKey(new Uint8Array(length)));
    }
  }
});
