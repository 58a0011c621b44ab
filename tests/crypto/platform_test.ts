import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import {
  hkdf,
  hmacSha512,
  sha512,
  systemRandom,
  timingSafeEqual,
} from "../../lib/crypto/platform.ts";
import { describeTest, readWycheproof } from "../testkit/wycheproof.ts";

Deno.test("hkdf() gives the output of every Wycheproof HKDF-SHA-512 vector", async () => {
  const groups = await readWycheproof<
    unknown,
    { ikm: string; salt: string; info: string; size: number; okm: string }
  >("hkdf_sha512");
  const seen = { valid: 0, invalid: 0, acceptable: 0 };
  for (const test of groups.flatMap(({ tests }) => tests)) {
    const [salt, ikm, info] = [test.salt, test.ikm, test.info].map(decodeHex);
    const output = () => hkdf(salt!, ikm!, info!, test.size);
    if (test.result === "valid") {
      assertEquals(encodeHex(output()), test.okm, describeTest(test));
    } else {
      // More than 255 times the hash.
      assertThrows(output);
    }
    seen[test.result]++;
  }
  assertEquals(seen, { valid: 80, invalid: 3, acceptable: 0 });
});

Deno.test("sha512() gives the digest of FIPS 180-4, however the data is cut", () => {
  const digest = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
  const [a, b, c, empty] = ["a", "b", "c", ""].map(encodeUtf8);
  for (const parts of [[encodeUtf8("abc")], [a!, b!, c!], [empty!, a!, encodeUtf8("bc"), empty!]]) {
    assertEquals(encodeHex(sha512(...parts)), digest);
  }
  assertEquals(sha512(), sha512(empty!));
});

Deno.test("hmacSha512() gives the value of RFC 4231, however the data is cut", () => {
  const expected = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" +
    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
  const key = encodeUtf8("Jefe");
  const whole = encodeUtf8("what do ya want for nothing?");
  assertEquals(encodeHex(hmacSha512(key, whole)), expected);
  for (let cut = 0; cut <= whole.length; cut++) {
    const mac = hmacSha512(key, whole.slice(0, cut), whole.slice(cut));
    assertEquals(encodeHex(mac), expected);
  }
});

Deno.test("systemRandom() fills every length, also beyond one call of the platform", () => {
  for (const length of [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000]) {
    const bytes = systemRandom(length);
    assertEquals(bytes.length, length);
    for (let start = 0; start + 64 <= length; start += 64) {
      assert(bytes.subarray(start, start + 64).some((byte) => byte !== 0), `from ${start}`);
    }
    if (length >= 64) assert(bytes.subarray(-64).some((byte) => byte !== 0));
  }
  assertNotEquals(systemRandom(32), systemRandom(32));
});

Deno.test("timingSafeEqual() is true for equal bytes alone", () => {
  for (const length of [0, 1, 16, 32, 64]) {
    const bytes = systemRandom(length);
    assert(timingSafeEqual(bytes, bytes));
    assert(timingSafeEqual(bytes, bytes.slice()));
    for (let bit = 0; bit < length * 8; bit++) {
      const other = bytes.slice();
      other[bit >> 3]! ^= 1 << (bit & 7);
      assertEquals(timingSafeEqual(bytes, other), false);
      assertEquals(timingSafeEqual(other, bytes), false);
    }
  }
});

Deno.test("timingSafeEqual() is false when the lengths differ", () => {
  const bytes = systemRandom(32);
  const longer = concat([bytes, new Uint8Array(1)]);
  assertEquals(timingSafeEqual(bytes, longer), false);
  assertEquals(timingSafeEqual(longer, bytes), false);
  assertEquals(timingSafeEqual(new Uint8Array(0), new Uint8Array(1)), false);
});
