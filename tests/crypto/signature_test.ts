/** What both signature schemes promise; what only one promises is in its own file. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { ecdsaP256 } from "../../lib/crypto/ecdsa_p256.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";

const MESSAGE = encodeUtf8("attack at dawn");

for (const scheme of [ed25519, ecdsaP256]) {
  Deno.test(`${scheme.name}: verify() holds for what sign() made, at the announced lengths`, async () => {
    const { key } = await scheme.generate();
    const signature = await key.sign(MESSAGE);
    assertEquals(key.publicKey.length, scheme.publicKeyLength);
    assertEquals(signature.length, scheme.signatureLength);
    scheme.checkPublicKey(key.publicKey);
    assert(await scheme.verify(key.publicKey, signature, MESSAGE));
    const empty = new Uint8Array(0);
    assert(await scheme.verify(key.publicKey, await key.sign(empty), empty));
  });

  Deno.test(`${scheme.name}: verify() is false for other data, another key, another signature`, async () => {
    const { key } = await scheme.generate();
    const { key: otherKey } = await scheme.generate();
    const signature = await key.sign(MESSAGE);
    const otherData = encodeUtf8("attack at dusk");
    assertEquals(await scheme.verify(key.publicKey, signature, otherData), false);
    assertEquals(await scheme.verify(otherKey.publicKey, signature, MESSAGE), false);
    assertEquals(await scheme.verify(key.publicKey, await otherKey.sign(MESSAGE), MESSAGE), false);
  });

  Deno.test(`${scheme.name}: verify() is false, never an exception, on malformed input`, async () => {
    const { key } = await scheme.generate();
    const signature = await key.sign(MESSAGE);
    for (const length of [0, 1, 32, 63, 64, 65, 66, 128]) {
      for (const byte of [0x00, 0x04, 0xff]) {
        const junk = new Uint8Array(length).fill(byte);
        assertEquals(await scheme.verify(key.publicKey, junk, MESSAGE), false);
        assertEquals(await scheme.verify(junk, signature, MESSAGE), false);
        assertEquals(await scheme.verify(junk, junk, MESSAGE), false);
      }
    }
    const { signatureLength } = scheme;
    const longer = new Uint8Array(signatureLength + 1);
    longer.set(signature);
    assertEquals(await scheme.verify(key.publicKey, longer, MESSAGE), false);
    assertEquals(await scheme.verify(key.publicKey, signature.slice(0, -1), MESSAGE), false);
  });

  Deno.test(`${scheme.name}: fromPkcs8() gives back the key that generate() stored`, async () => {
    const { key, pkcs8 } = await scheme.generate();
    const restored = await scheme.fromPkcs8(pkcs8, key.publicKey);
    assertEquals(restored.publicKey, key.publicKey);
    assert(await scheme.verify(key.publicKey, await restored.sign(MESSAGE), MESSAGE));
  });

  Deno.test(`${scheme.name}: fromPkcs8() rejects junk`, async () => {
    const { key } = await scheme.generate();
    await assertRejects(() => scheme.fromPkcs8(new Uint8Array(48), key.publicKey));
  });
}
