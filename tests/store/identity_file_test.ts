import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { encodeBase64Url } from "@std/encoding/base64url";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { generateIdentity, type Identity, verifyBy } from "../../lib/crypto/identity.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { loadSuite, SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { PASSWORD_MEMORY_MINIMUM, PASSWORD_PASSES } from "../../lib/limits.ts";
import {
  findEntry,
  findIdentity,
  formatStored,
  loadIdentity,
  type Unlock,
  writeIdentity,
} from "../../lib/store/identity_file.ts";
import { formatPem, parsePem, type PemBlock } from "../../lib/store/pem.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { withFolder } from "../testkit/server.ts";

const FILE = "identity-modern.pem";
const JSON_FILE = "identity-modern.json";

async function assertDamaged(folder: PrivateFolder, msg: string): Promise<void> {
  const suite = await loadSuite("modern");
  const error = await assertRejects(() => loadIdentity(folder, suite), CifraError, undefined);
  assertEquals(error.code, "local", msg);
  assert(error.hint?.includes("backup"), msg);
}

for (const name of SUITE_NAMES) {
  Deno.test(`loadIdentity() makes a ${name} identity once and finds it again`, async () => {
    await withFolder(async (path) => {
      const suite = await loadSuite(name);
      const folder = await PrivateFolder.open(path);
      const made = await loadIdentity(folder, suite);
      const found = await loadIdentity(folder, suite);
      assertEquals([made.made, found.made], [true, false]);
      assertEquals(found.identity.bundle, made.identity.bundle);
      assertEquals(found.identity.fingerprint, made.identity.fingerprint);
      const data = new Uint8Array([1, 2, 3]);
      assert(await verifyBy(made.identity, await found.identity.sign(data), data));
    });
  });
}

Deno.test("loadIdentity() refuses an X25519 key that belongs to another identity, or is none", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, await loadSuite("modern"));
    const ours = (await findIdentity(folder, "modern"))!;
    await withFolder(async (elsewhere) => {
      const other = await PrivateFolder.open(elsewhere);
      await loadIdentity(other, await loadSuite("modern"));
      const { agreementKey, signatureKey } = (await findIdentity(other, "modern"))!;
      for (const wrong of [agreementKey, signatureKey, new Uint8Array(3), undefined]) {
        await writeIdentity(folder, "modern", { ...ours, agreementKey: wrong });
        await assertDamaged(folder, String(wrong));
      }
    });
    await writeIdentity(folder, "modern", ours);
    assertEquals((await loadIdentity(folder, await loadSuite("modern"))).made, false);
  });
});

Deno.test("loadIdentity() keeps one identity for each suite, rsa and classic apart", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const fingerprints = new Set<string>();
    for (const name of SUITE_NAMES) {
      const { identity } = await loadIdentity(folder, await loadSuite(name));
      fingerprints.add(identity.fingerprint.join());
    }
    assertEquals(fingerprints.size, 3);
  });
});

Deno.test("loadIdentity() refuses a file cut anywhere, and never makes a new key over it", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, await loadSuite("modern"));
    const whole = (await folder.read(FILE))!;
    const lengths = [...Array(Math.ceil(whole.length / 50)).keys()].map((n) => n * 50);
    for (const length of [...lengths, 1, whole.length - 2, whole.length - 3]) {
      await folder.write(FILE, whole.slice(0, length));
      await assertDamaged(folder, `${length} of ${whole.length}`);
      assertEquals(await folder.read(FILE), whole.slice(0, length));
    }
    await folder.write(FILE, whole);
    assertEquals((await loadIdentity(folder, await loadSuite("modern"))).made, false);
  });
});

Deno.test("loadIdentity() refuses other blocks than its own, and those that do not fit", async () => {
  await withFolder(async (path) => {
    const suite = await loadSuite("modern");
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, suite);
    const good = parsePem((await folder.read(FILE))!);
    const other = await PrivateFolder.open(`${path}/other`);
    await loadIdentity(other, suite);
    const others = parsePem((await other.read(FILE))!);
    assertNotEquals(good[0], others[0]);
    const [bundle, signatureKey, agreementKey] = good as [PemBlock, PemBlock, PemBlock];
    const spoiled: Readonly<Record<string, string>> = {
      "nothing": "",
      "no PEM": "keys\n",
      "something before it": `keys\n${formatPem(good)}`,
      "something after it": `${formatPem(good)}keys\n`,
      "another label": formatPem([{ ...bundle, label: "CERTIFICATE" }, signatureKey, agreementKey]),
      "no bundle": formatPem([signatureKey, agreementKey]),
      "no keys": formatPem([bundle]),
      "three keys": formatPem([...good, agreementKey]),
      "sealed keys of no length": formatPem([
        bundle,
        { label: "CIFRA SEALED KEYS", bytes: new Uint8Array(4) },
      ]),
      "another's signature key": formatPem([bundle, others[1]!, agreementKey]),
      "another's bundle": formatPem([others[0]!, signatureKey, agreementKey]),
      "a bundle that is not base64": formatPem(good).replace("\n", "\n*"),
      "a bundle in longer lines": formatPem(good).replace(/([\w+/]{64})\n/, "$1"),
    };
    for (const [what, content] of Object.entries(spoiled)) {
      await folder.write(FILE, content);
      await assertDamaged(folder, what);
    }
  });
});

/** A folder with an identity as it was kept before PEM. */
async function withJson(
  sealed: boolean,
  job: (folder: PrivateFolder, before: Identity, unlock: Unlock) => Promise<void>,
): Promise<void> {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const { identity, stored } = await generateIdentity(2);
    const { bundle, ...secrets } = formatStored(stored);
    const cost = {
      salt: systemRandom(16),
      memory: PASSWORD_MEMORY_MINIMUM,
      passes: PASSWORD_PASSES,
    };
    const key = await SaltedPassword.derive("open sesame", cost);
    const content = await key.seal(encodeUtf8(JSON.stringify(secrets)), systemRandom(12));
    const { salt, ...work } = cost;
    const fields = sealed
      ? { version: 2, bundle, sealed: text(content), salt: text(salt), ...work }
      : { version: 1, bundle, ...secrets };
    await folder.write(JSON_FILE, JSON.stringify(fields) + "\n");
    await job(folder, identity, () => Promise.resolve(key));
  });
}

function text(bytes: Uint8Array<ArrayBuffer>): string {
  return encodeBase64Url(bytes);
}

for (const sealed of [false, true]) {
  const kind = sealed ? "sealed keys" : "keys";
  Deno.test(`${kind} in JSON become the same keys in PEM when they are looked at`, async () => {
    await withJson(sealed, async (folder, before, unlock) => {
      // Without the passphrase, which nobody has typed yet.
      assertEquals((await findEntry(folder, "modern"))?.isSealed, sealed);
      assertEquals(await folder.read(JSON_FILE), undefined);
      const suite = await loadSuite("modern");
      const { identity, made } = await loadIdentity(folder, suite, unlock);
      assertEquals([made, identity.bundle], [false, before.bundle]);
    });
  });
}

Deno.test("a change to PEM that was cut short is finished, and the new file rules", async () => {
  await withJson(false, async (folder, before) => {
    const older = (await folder.read(JSON_FILE))!;
    await findEntry(folder, "modern");
    await folder.write(JSON_FILE, older);
    const { identity } = await loadIdentity(folder, await loadSuite("modern"));
    assertEquals(identity.bundle, before.bundle);
    assertEquals(await folder.read(JSON_FILE), undefined);
  });
});

Deno.test("keys in JSON that are damaged stay where they are, and no new ones are made", async () => {
  await withJson(false, async (folder) => {
    const whole = (await folder.read(JSON_FILE))!;
    const { version: _, ...fields } = JSON.parse(whole);
    for (const spoiled of [whole.slice(0, -9), "null", JSON.stringify(fields), "[]"]) {
      await folder.write(JSON_FILE, spoiled);
      await assertDamaged(folder, spoiled.slice(0, 20));
      assertEquals(await folder.read(JSON_FILE), spoiled);
    }
  });
});

Deno.test("no loader of modules takes a file of keys: it is neither JSON nor JavaScript", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, await loadSuite("modern"));
    const whole = (await folder.read(FILE))!;
    assertThrows(() => JSON.parse(whole), SyntaxError);
    assertThrows(() => new Function(whole), SyntaxError);
    const url = `data:text/javascript,${encodeURIComponent(whole)}`;
    await assertRejects(() => import(url));
  });
});

Deno.test("loadIdentity() refuses a bundle in which any one character was changed", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, await loadSuite("modern"));
    const whole = (await folder.read(FILE))!;
    const bundle = whole.split("\n").slice(1, 3).join("\n");
    for (let at = 0; at < bundle.length; at += 7) {
      if (bundle[at] === "\n") continue;
      const other = bundle[at] === "A" ? "Q" : "A";
      await folder.write(
        FILE,
        whole.replace(bundle, bundle.slice(0, at) + other + bundle.slice(at + 1)),
      );
      await assertDamaged(folder, `character ${at}`);
    }
  });
});

Deno.test("loadIdentity() says nothing of the key in its error", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const suite = await loadSuite("modern");
    await loadIdentity(folder, suite);
    const whole = (await folder.read(FILE))!;
    const { bytes } = parsePem(whole)[1]!;
    await folder.write(FILE, whole.slice(0, -3));
    const error = await assertRejects(() => loadIdentity(folder, suite), CifraError);
    const told = `${error.message} ${error.hint} ${error.cause}`;
    assert(!told.includes(bytes.toBase64().slice(20, 40)));
  });
});
