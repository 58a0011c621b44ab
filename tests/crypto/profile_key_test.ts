import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { aes256Gcm } from "../../lib/crypto/aead.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { ProfileKey } from "../../lib/crypto/profile_key.ts";
import { CifraError } from "../../lib/errors.ts";

const PLACE = encodeUtf8("message 1"), NOTHING = new Uint8Array(0);

function refuses(action: () => unknown): void {
  assertEquals(assertThrows(action, CifraError).code, "auth_failed");
}

Deno.test("a profile key opens what it sealed, in the same place, and nothing else", () => {
  const key = new ProfileKey(systemRandom(32));
  for (const length of [1, 15, 16, 17, 16384]) {
    const content = systemRandom(length);
    const sealed = key.seal(PLACE, content);
    assertEquals(sealed.length, length + key.overhead);
    assertEquals(key.open(PLACE, sealed), content);
    assertNotEquals(key.seal(PLACE, content), sealed);
    refuses(() => key.open(encodeUtf8("message 2"), sealed));
    refuses(() => new ProfileKey(systemRandom(32)).open(PLACE, sealed));
  }
  const sealed = key.seal(PLACE, systemRandom(5));
  for (let bit = 0; bit < 8 * sealed.length; bit++) {
    const flipped = sealed.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    refuses(() => key.open(PLACE, flipped));
  }
  for (let length = 1; length < sealed.length; length++) {
    refuses(() => key.open(PLACE, sealed.slice(0, length)));
  }
});

Deno.test("a profile key leaves nothing as nothing", () => {
  const key = new ProfileKey(systemRandom(32));
  assertEquals(key.seal(PLACE, NOTHING), NOTHING);
  assertEquals(key.open(PLACE, NOTHING), NOTHING);
});

Deno.test("a profile key seals as WebCrypto's AES-256-GCM does", async () => {
  const raw = systemRandom(32), iv = systemRandom(12), content = systemRandom(100);
  const sealed = new ProfileKey(raw, () => iv).seal(PLACE, content);
  const aad = encodeUtf8("cifra/1 at rest\0message 1");
  const key = await aes256Gcm.importKey(raw);
  assertEquals(sealed.slice(12), await key.seal(iv, aad, content));
});

Deno.test("a profile key is its own, until it is dropped, and has 32 bytes", () => {
  const raw = systemRandom(32), given = raw.slice();
  const key = new ProfileKey(given);
  given.fill(0);
  assertEquals(key.export(), raw);
  key.drop();
  assertEquals(key.export(), new Uint8Array(32));
  for (const length of [0, 31, 33]) {
    assertThrows(() => new ProfileKey(systemRandom(length)), TypeError);
  }
});
