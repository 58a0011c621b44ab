import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { generateIdentity, openIdentity, readIdentity } from "../../lib/crypto/identity.ts";
import { agreeX25519, generateX25519 } from "../../lib/crypto/x25519.ts";
import { CifraError } from "../../lib/errors.ts";
import { littleEndian32, P } from "../testkit/curve25519.ts";

Deno.test("readIdentity() shows the X25519 key of class 2, and none of class 1", async () => {
  for (const identityClass of [1, 2] as const) {
    const { identity } = await generateIdentity(identityClass);
    const { bundle, agreementKey } = await readIdentity(identity.bundle);
    assertEquals(agreementKey, identityClass === 2 ? bundle.slice(33, 65) : undefined);
    assertEquals(agreementKey, identity.agreementKey);
  }
});

Deno.test("Identity.agree() gives two people one secret, also when they are opened again", async () => {
  const [alice, bob] = await Promise.all([generateIdentity(2), generateIdentity(2)]);
  const secret = await alice.identity.agree(bob.identity.agreementKey!);
  assertEquals(secret.length, 32);
  assertEquals(await bob.identity.agree(alice.identity.agreementKey!), secret);
  const again = await openIdentity(bob.stored);
  assertEquals(await again.agree(alice.identity.agreementKey!), secret);
  assertNotEquals(await bob.identity.agree(bob.identity.agreementKey!), secret);
});

Deno.test("Identity.agree() uses the key that the bundle shows", async () => {
  const { identity } = await generateIdentity(2);
  const { publicKey, privateKey } = await generateX25519();
  const secret = await agreeX25519(privateKey, identity.agreementKey!);
  assertEquals(await identity.agree(publicKey), secret);
});

Deno.test("Identity.agree() of class 1 is a mistake of the program", async () => {
  const { identity } = await generateIdentity(1);
  const { publicKey } = await generateX25519();
  await assertRejects(() => identity.agree(publicKey), TypeError);
});

Deno.test("readIdentity() refuses an X25519 key of small order or not reduced, though it is well signed", async () => {
  const { key } = await ed25519.generate();
  const bundleWith = async (u: bigint) => {
    const unsigned = concat([Uint8Array.of(2), key.publicKey, littleEndian32(u)]);
    const signed = concat([encodeUtf8("cifra/1 idbundle\0"), unsigned]);
    return concat([unsigned, await key.sign(signed)]);
  };
  for (const u of [0n, 1n, P - 1n, P, P + 9n, 9n | 1n << 255n]) {
    const bundle = await bundleWith(u);
    const { code } = await assertRejects(() => readIdentity(bundle), CifraError);
    assertEquals(code, "auth_failed", `${u}`);
  }
  await readIdentity(await bundleWith(9n));
});
