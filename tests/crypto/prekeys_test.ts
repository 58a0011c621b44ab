/** Prekeys: what is made holds, and whatever is changed in one is refused. */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import { generateIdentity } from "../../lib/crypto/identity.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { webCryptoProvider } from "../../lib/crypto/post_quantum.ts";
import {
  makePrekey,
  openPrekey,
  type Prekey,
  type PrekeyKeys,
  prekeyStatement,
  verifyPrekey,
} from "../../lib/crypto/prekeys.ts";
import { CifraError } from "../../lib/errors.ts";
import { littleEndian32, montgomeryU, P, smallOrderPoints } from "../testkit/curve25519.ts";
import { flipped } from "../testkit/mailbox.ts";
import { readModulusVectors } from "../testkit/mlkem_modulus.ts";

const { identity: bob } = await generateIdentity(2);
const { identity: mallory } = await generateIdentity(2);
const box = systemRandom(16);
const { prekey: signed } = await makePrekey(bob, box, "signed", 1_800_000_000_123n);
const { prekey: once } = await makePrekey(bob, box, "once", 7n);

/** A prekey that Bob has really signed, whatever is in it. */
async function signedByBob(keys: PrekeyKeys): Promise<Prekey> {
  return { ...keys, signature: await bob.sign(prekeyStatement(bob, box, keys)) };
}

async function assertRefused(prekey: Prekey, what?: string, owner = bob, where = box) {
  const error = await assertRejects(() => verifyPrekey(owner, where, prekey), CifraError);
  assertEquals(error.code, "auth_failed", what);
}

Deno.test("makePrekey() makes what verifyPrekey() takes, another one each time", async () => {
  for (const kind of ["signed", "once"] as const) {
    for (const number of [1n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
      const [a, b] = [
        await makePrekey(bob, box, kind, number),
        await makePrekey(bob, box, kind, number),
      ];
      await verifyPrekey(bob, box, a.prekey);
      assertEquals([a.prekey.kind, a.prekey.number], [kind, number]);
      for (const half of ["x25519", "mlkem"] as const) {
        assertNotEquals(a.prekey[half], b.prekey[half]);
        assertNotEquals(a.secret[half], b.secret[half]);
      }
    }
  }
});

Deno.test("openPrekey() gives the public keys again, out of 32 and 64 bytes", async () => {
  const { prekey, secret } = await makePrekey(bob, box, "once", 8n);
  assertEquals([secret.x25519.length, secret.mlkem.length], [32, 64]);
  const { keys } = await openPrekey("once", { number: 8n, secret }, webCryptoProvider);
  assertEquals({ ...keys, signature: prekey.signature }, prekey);
});

Deno.test("prekeyStatement() is 1288 bytes", () => {
  assertEquals(prekeyStatement(bob, box, signed).length, 1288);
});

Deno.test("verifyPrekey() refuses another kind, box, owner and number", async () => {
  for (const good of [signed, once]) {
    await verifyPrekey(bob, box, good);
    const other = good === signed ? once : signed;
    await assertRefused({ ...good, kind: other.kind }, "kind");
    await assertRefused({ ...good, number: good.number + 1n }, "number above");
    await assertRefused({ ...good, number: good.number - 1n }, "number below");
    await assertRefused(good, "another box", bob, systemRandom(16));
    await assertRefused(good, "one bit of the box", bob, flipped(box, 0));
    await assertRefused(good, "another owner", mallory);
    for (const part of ["x25519", "mlkem", "signature"] as const) {
      await assertRefused({ ...good, [part]: other[part] }, `${part} of the other`);
    }
    const statement = prekeyStatement(bob, box, good);
    await assertRefused({ ...good, signature: await mallory.sign(statement) }, "signed by another");
  }
});

Deno.test("verifyPrekey() refuses each bit of the X25519 key and of the signature, a bit of each byte of the ML-KEM key", async () => {
  for (const part of ["x25519", "signature"] as const) {
    for (let bit = 0; bit < once[part].length * 8; bit++) {
      await assertRefused({ ...once, [part]: flipped(once[part], bit) }, `${part} ${bit}`);
    }
  }
  for (let byte = 0; byte < once.mlkem.length; byte++) {
    const bit = byte * 8 + byte % 8;
    await assertRefused({ ...once, mlkem: flipped(once.mlkem, bit) }, `mlkem ${bit}`);
  }
});

Deno.test("verifyPrekey() refuses an X25519 key of small order or not reduced, though its owner signed it", async () => {
  const smallOrder = smallOrderPoints().map(montgomeryU).filter((u) => u !== undefined);
  const bad = [...new Set(smallOrder), P - 1n, P, P + 1n, 2n ** 256n - 1n, 9n | 1n << 255n];
  for (const kind of ["signed", "once"] as const) {
    for (const u of bad) {
      const keys = { ...once, kind, x25519: littleEndian32(u) };
      await assertRefused(await signedByBob(keys), `${kind} ${u}`);
    }
  }
  await verifyPrekey(bob, box, await signedByBob({ ...once, x25519: littleEndian32(9n) }));
});

Deno.test("verifyPrekey() refuses every ML-KEM key with a coefficient out of range, though its owner signed it", async () => {
  const bad = await readModulusVectors();
  assertEquals(bad.length, 780);
  for (const mlkem of bad) await assertRefused(await signedByBob({ ...signed, mlkem }));
  const ones = new Uint8Array(1184).fill(0xff);
  await assertRefused(await signedByBob({ ...once, mlkem: ones }));
});

Deno.test("verifyPrekey() refuses keys and signatures of another length", async () => {
  const wrong = (bytes: Bytes) => [
    new Uint8Array(0),
    bytes.slice(1),
    bytes.slice(0, -1),
    concat([bytes, new Uint8Array(1)]),
  ];
  for (const x25519 of wrong(once.x25519)) {
    await assertRefused(await signedByBob({ ...once, x25519 }));
  }
  for (const mlkem of wrong(once.mlkem)) await assertRefused(await signedByBob({ ...once, mlkem }));
  for (const signature of wrong(once.signature)) await assertRefused({ ...once, signature });
});

Deno.test("verifyPrekey() refuses a one-time prekey of number 0, which stands for none", async () => {
  await assertRefused(await signedByBob({ ...once, number: 0n }));
});
