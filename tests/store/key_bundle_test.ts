/** Keys in one piece: for another machine, in a file, or with a server; and all that may be in such a piece. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeBase64Url } from "@std/encoding/base64url";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { generateIdentity } from "../../lib/crypto/identity.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { BACKUP_LIMIT, PASSWORD_MEMORY_MINIMUM } from "../../lib/limits.ts";
import { decodeSealed, encodeSealed, formatStored } from "../../lib/store/identity_file.ts";
import {
  formatKeyFile,
  type KeyBundle,
  openKeys,
  parseKeyFile,
  sealKeys,
} from "../../lib/store/key_bundle.ts";
import { formatPem, parsePem, type PemBlock } from "../../lib/store/pem.ts";
import { testBytes, withFlippedBit } from "../testkit/handshake.ts";

const PASSPHRASE = "correct horse";
const COST = { salt: testBytes("a salt", 16), memory: PASSWORD_MEMORY_MINIMUM, passes: 2 };

const stored = (await generateIdentity(2)).stored;
const BUNDLE: KeyBundle = { name: "alice", identities: new Map([["modern", stored]]) };

function key(): Promise<SaltedPassword> {
  return SaltedPassword.derive(PASSPHRASE, COST);
}

async function codeOf(job: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(job, CifraError)).code;
}

/** Seals a text that no program of ours would write. */
async function sealText(text: string): Promise<Bytes> {
  return await (await key()).seal(encodeUtf8(text), testBytes("iv", 12));
}

Deno.test("keys come back as they were, under the password alone", async () => {
  const sealed = await sealKeys(BUNDLE, await key());
  assert(sealed.length < BACKUP_LIMIT / 8, `${sealed.length}`);
  assertEquals(await openKeys(sealed, await key()), BUNDLE);
  const other = await SaltedPassword.derive("another", COST);
  assertEquals(await codeOf(() => openKeys(sealed, other)), "auth_failed");
  assertEquals(
    await codeOf(async () => openKeys(withFlippedBit(sealed, 999), await key())),
    "auth_failed",
  );
  // Nothing can be read from it, and the same keys never look the same.
  const text = new TextDecoder("latin1").decode(sealed);
  for (const word of ["alice", "modern", formatStored(stored).signatureKey!]) {
    assert(!text.includes(word), word);
  }
  const again = await sealKeys(BUNDLE, await key());
  assert(encodeBase64Url(again) !== encodeBase64Url(sealed));
});

Deno.test("what is no keys is refused though it was sealed well (D12, D13, L2)", async () => {
  const whole = { version: 1, name: "alice", identities: { modern: formatStored(stored) } };
  const deep = (text: string) => `${text.repeat(2000)}`;
  const bad: Readonly<Record<string, string>> = {
    "nothing": "",
    "no JSON": "keys",
    "null": "null",
    "a number": "1",
    "another version": JSON.stringify({ ...whole, version: 2 }),
    "no name": JSON.stringify({ ...whole, name: undefined }),
    "a name of another type": JSON.stringify({ ...whole, name: ["alice"] }),
    "no identities": JSON.stringify({ ...whole, identities: undefined }),
    "null for identities": JSON.stringify({ ...whole, identities: null }),
    "null for keys": JSON.stringify({ ...whole, identities: { modern: null } }),
    "keys of another type": JSON.stringify({ ...whole, identities: { modern: [] } }),
    "keys without their private half": JSON.stringify({
      ...whole,
      identities: { modern: { ...formatStored(stored), signatureKey: undefined } },
    }),
    "a bundle that is not that of the keys": JSON.stringify({
      ...whole,
      identities: {
        modern: {
          ...formatStored(stored),
          bundle: formatStored((await generateIdentity(2)).stored).bundle,
        },
      },
    }),
    "2,000 in each other for keys": `{"version":1,"name":"alice","identities":{"modern":${
      deep("[")
    }${deep("]")}}}`,
    "2,000 in each other that have no end": deep('{"identities":'),
  };
  for (const [what, text] of Object.entries(bad)) {
    const sealed = await sealText(text);
    assertEquals(await codeOf(async () => openKeys(sealed, await key())), "local", what);
  }
});

Deno.test("what is beside the keys is not looked at, whatever it is called (D12, D13)", async () => {
  const fields = JSON.stringify(formatStored(stored));
  const sealed = await sealText(
    `{"version":1,"name":"alice","__proto__":{"name":"mallory"},"constructor":1,"identities":` +
      `{"__proto__":${fields},"constructor":${fields},"modern":${fields},"later":${
        "[".repeat(2000)
      }` +
      `${"]".repeat(2000)}}}`,
  );
  const { name, identities } = await openKeys(sealed, await key());
  assertEquals([name, [...identities.keys()]], ["alice", ["modern" as SuiteName]]);
});

Deno.test("a piece that is larger than any keys is refused before it is opened", async () => {
  const sealed = new Uint8Array(BACKUP_LIMIT + 1);
  assertEquals(await codeOf(async () => openKeys(sealed, await key())), "local");
});

Deno.test("a file of keys is opened by its passphrase, which a wrong one is not (L2)", async () => {
  const text = await formatKeyFile(BUNDLE, PASSPHRASE);
  assertEquals(await parseKeyFile(text, () => Promise.resolve(PASSPHRASE)), BUNDLE);
  const wrong = () => Promise.resolve("correct hors");
  assertEquals(await codeOf(() => parseKeyFile(text, wrong)), "wrong_password");
});

Deno.test("a file that is cut or changed is refused, and one that asks for an absurd toil does not get it (L2)", async () => {
  const text = await formatKeyFile(BUNDLE, PASSPHRASE);
  let asked = 0;
  const ask = () => {
    asked++;
    return Promise.resolve(PASSPHRASE);
  };
  for (let cut = 0; cut < text.length - 2; cut += 5) {
    assertEquals(await codeOf(() => parseKeyFile(text.slice(0, cut), ask)), "local", `${cut}`);
  }
  const [{ label, bytes }] = parsePem(text) as [PemBlock];
  for (
    const change of [
      text + text,
      `keys\n${text}`,
      text.replace("\n", "\n*"),
      text.replaceAll("KEYS", "SEALED KEYS"),
      formatPem([{ label, bytes: bytes.slice(0, 20) }]),
    ]
  ) {
    assertEquals(await codeOf(() => parseKeyFile(change, ask)), "local", change.slice(0, 60));
  }
  // For none of these anybody was asked to type anything.
  assertEquals(asked, 0);
  for (
    const change of [
      { memory: 64 * 2 ** 20 },
      { memory: 8 },
      { passes: 1e9 },
      { passes: 0 },
    ]
  ) {
    const { cost, content } = decodeSealed(bytes);
    const sealed = encodeSealed({ cost: { ...cost, ...change }, content });
    const changed = formatPem([{ label, bytes: sealed }]);
    assertEquals(
      await codeOf(() => parseKeyFile(changed, ask)),
      "auth_failed",
      JSON.stringify(change),
    );
  }
  const flipped = formatPem([{ label, bytes: withFlippedBit(bytes, 8 * 24 + 800) }]);
  assertEquals(await codeOf(() => parseKeyFile(flipped, ask)), "wrong_password");
});
