import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { aes256CbcHs512, aes256Gcm } from "../../lib/crypto/aead.ts";
import { ecdsaP256 } from "../../lib/crypto/ecdsa_p256.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { isSuiteName, loadSuite, SUITE_IDS, SUITE_NAMES } from "../../lib/crypto/suite.ts";

/** The table of protocol.md 3.1, with the lengths that follow from it. */
const TABLE = [
  {
    name: "classic",
    id: 1,
    kem: ["RSA-OAEP-1024", 162, 128],
    signature: ecdsaP256,
    aead: aes256CbcHs512,
    signedRecords: true,
  },
  {
    name: "rsa",
    id: 2,
    kem: ["RSA-OAEP-3072", 422, 384],
    signature: ecdsaP256,
    aead: aes256Gcm,
    signedRecords: false,
  },
  {
    name: "modern",
    id: 3,
    kem: ["X-Wing", 1216, 1120],
    signature: ed25519,
    aead: aes256Gcm,
    signedRecords: false,
  },
] as const;

for (const row of TABLE) {
  Deno.test(`loadSuite() gives the algorithms of the table for ${row.name}`, async () => {
    const suite = await loadSuite(row.name);
    const { kem } = suite;
    assertEquals([suite.name, suite.id], [row.name, row.id]);
    assertEquals([kem.name, kem.publicKeyLength, kem.ciphertextLength], [...row.kem]);
    assertStrictEquals(suite.signature, row.signature);
    assertStrictEquals(suite.aead, row.aead);
    assertEquals(suite.signedRecords, row.signedRecords);
  });
}

Deno.test("SUITE_NAMES are all suites, weakest first, and SUITE_IDS their numbers", () => {
  assertEquals([...SUITE_NAMES], TABLE.map(({ name }) => name));
  assertEquals(SUITE_NAMES.map((name) => SUITE_IDS[name]), TABLE.map(({ id }) => id));
});

Deno.test("isSuiteName() takes the three names alone", () => {
  assert(SUITE_NAMES.every(isSuiteName));
  for (const other of ["", "Modern", "modern ", "1", "toString", "constructor", "__proto__"]) {
    assertEquals(isSuiteName(other), false);
  }
});
