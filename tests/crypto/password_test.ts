/** What a password becomes: by whom it can be proved, what it seals, and which toil is fair. */
import { argon2id } from "@noble/hashes/argon2.js";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { type Exchange, serverSignature, verifyProof } from "../../lib/crypto/scram.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  PASSWORD_LIMIT,
  PASSWORD_MEMORY_MAXIMUM,
  PASSWORD_MEMORY_MINIMUM,
  PASSWORD_PASSES_MAXIMUM,
} from "../../lib/limits.ts";
import { testBytes, withFlippedBit } from "../testkit/handshake.ts";

const SALT = testBytes("a salt", 16);
const COST = { salt: SALT, memory: PASSWORD_MEMORY_MINIMUM, passes: 2 };
const PASSWORD = "correct horse";
const EXCHANGE: Exchange = {
  name: "alice",
  clientNonce: testBytes("client", 24),
  serverNonce: testBytes("server", 24),
  cost: COST,
  exporter: testBytes("exporter"),
};

async function codeOf(job: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(job, CifraError)).code;
}

/** Written anew from the text of PROTOCOL.md 3.10, on the platform's own HMAC. */
async function verifierOf(password: string): Promise<{ storedKey: string; serverKey: string }> {
  const { memory: m, passes: t } = COST;
  const salted = new Uint8Array(argon2id(encodeUtf8(password), SALT, { m, t, p: 1, dkLen: 32 }));
  const algorithm = { name: "HMAC", hash: "SHA-512" };
  const key = await crypto.subtle.importKey("raw", salted, algorithm, false, ["sign"]);
  const hmac = (label: string) => crypto.subtle.sign("HMAC", key, encodeUtf8(label));
  const stored = await crypto.subtle.digest("SHA-512", await hmac("Client Key"));
  return { storedKey: encodeHex(stored), serverKey: encodeHex(await hmac("Server Key")) };
}

Deno.test("Argon2id gives what the authors of Argon2 publish for it", () => {
  // From the tests of the reference implementation, version 1.3.
  const cases = [
    [65_536, 2, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"],
    [256, 2, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"],
  ] as const;
  for (const [m, t, expected] of cases) {
    const key = argon2id(encodeUtf8("password"), encodeUtf8("somesalt"), { m, t, p: 1, dkLen: 32 });
    assertEquals(encodeHex(key), expected);
  }
});

Deno.test("what a server keeps of a password is as the protocol says", async () => {
  const { storedKey, serverKey } = (await SaltedPassword.derive(PASSWORD, COST)).verifier();
  assertEquals(
    { storedKey: encodeHex(storedKey), serverKey: encodeHex(serverKey) },
    await verifierOf(PASSWORD),
  );
});

Deno.test("a proof is by the password, for its exchange, and the server's answer by the verifier", async () => {
  const key = await SaltedPassword.derive(PASSWORD, COST);
  const verifier = key.verifier();
  const proof = key.prove(EXCHANGE);
  assertEquals([proof.length, verifyProof(verifier, EXCHANGE, proof)], [64, true]);
  const other = await SaltedPassword.derive("correct hors", COST);
  assert(!verifyProof(verifier, EXCHANGE, other.prove(EXCHANGE)));
  const signature = serverSignature(verifier.serverKey, EXCHANGE);
  assert(key.isSigned(EXCHANGE, signature));
  assert(!other.isSigned(EXCHANGE, signature));
  for (const length of [0, 63, 65]) {
    assert(!verifyProof(verifier, EXCHANGE, new Uint8Array(length)));
    assert(!key.isSigned(EXCHANGE, new Uint8Array(length)));
  }
  const changes: Partial<Exchange>[] = [
    { name: "alicf" },
    { clientNonce: withFlippedBit(EXCHANGE.clientNonce, 191) },
    { serverNonce: withFlippedBit(EXCHANGE.serverNonce, 0) },
    { exporter: withFlippedBit(EXCHANGE.exporter, 100) },
    { cost: { ...COST, salt: withFlippedBit(SALT, 5) } },
    { cost: { ...COST, memory: COST.memory + 1 } },
    { cost: { ...COST, passes: 3 } },
    // One end moved: the parts have one place each.
    { name: "alic", clientNonce: new Uint8Array([...encodeUtf8("e"), ...EXCHANGE.clientNonce]) },
  ];
  for (const change of changes) {
    const changed = { ...EXCHANGE, ...change };
    assert(!verifyProof(verifier, changed, proof), Object.keys(change).join());
    assert(!key.isSigned(changed, signature), Object.keys(change).join());
  }
  for (let bit = 0; bit < 8 * proof.length; bit += 37) {
    assert(!verifyProof(verifier, EXCHANGE, withFlippedBit(proof, bit)));
    assert(!key.isSigned(EXCHANGE, withFlippedBit(signature, bit)));
  }
});

Deno.test("a password is the same however the keyboard composes it, and no other", async () => {
  const stored = async (password: string) =>
    encodeHex((await SaltedPassword.derive(password, COST)).verifier().storedKey);
  const composed = await stored("caf\u00e9");
  assertEquals(await stored("cafe\u0301"), composed);
  for (const other of ["cafe", "Caf\u00e9", "caf\u00e9 ", " caf\u00e9"]) {
    assert(await stored(other) !== composed, other);
  }
});

Deno.test("a password has 1 to 1024 bytes", async () => {
  for (const password of ["", "x".repeat(PASSWORD_LIMIT + 1), "é".repeat(PASSWORD_LIMIT / 2 + 1)]) {
    assertEquals(await codeOf(() => SaltedPassword.derive(password, COST)), "usage");
  }
  for (const password of ["x", "x".repeat(PASSWORD_LIMIT), "é".repeat(PASSWORD_LIMIT / 2)]) {
    (await SaltedPassword.derive(password, COST)).drop();
  }
});

Deno.test("a toil that is too low to protect, or too high to bear, is refused before it begins (M12, L2)", async () => {
  const { memory, passes } = COST;
  const unfair: Partial<typeof COST>[] = [
    { memory: PASSWORD_MEMORY_MINIMUM - 1 },
    { memory: 8 },
    { memory: PASSWORD_MEMORY_MAXIMUM + 1 },
    // 64 GiB.
    { memory: 64 * 2 ** 20 },
    { memory: memory + 0.5 },
    { memory: NaN },
    { memory: -memory },
    { passes: 0 },
    { passes: PASSWORD_PASSES_MAXIMUM + 1 },
    { passes: 2 ** 32 },
    { passes: passes + 0.5 },
    { passes: NaN },
    { salt: SALT.slice(1) },
    { salt: new Uint8Array(0) },
    { salt: new Uint8Array(17) },
  ];
  for (const change of unfair) {
    const cost = { ...COST, ...change };
    assertEquals(await codeOf(() => SaltedPassword.derive(PASSWORD, cost)), "auth_failed");
  }
});

Deno.test("what was sealed is opened by the same password alone, and only unchanged", async () => {
  const key = await SaltedPassword.derive(PASSWORD, COST);
  const other = await SaltedPassword.derive("another", COST);
  for (const length of [0, 1, 300]) {
    const content = testBytes("content", 300).slice(0, length);
    const sealed = await key.seal(content, testBytes("iv", 12));
    assertEquals(sealed.length, 12 + length + 16);
    assertEquals(await key.open(sealed), content);
    const refused = async (bytes: Bytes, by = key) =>
      assertEquals(await codeOf(() => by.open(bytes)), "auth_failed");
    await refused(sealed, other);
    for (let bit = 0; bit < 8 * sealed.length; bit += 7) {
      await refused(withFlippedBit(sealed, bit));
    }
    for (const cut of [0, 11, 12, 27, sealed.length - 1]) await refused(sealed.slice(0, cut));
  }
});

Deno.test("a password that was dropped is overwritten", async () => {
  const key = await SaltedPassword.derive(PASSWORD, COST);
  const before = encodeHex(key.verifier().storedKey);
  key.drop();
  assert(encodeHex(key.verifier().storedKey) !== before);
});
