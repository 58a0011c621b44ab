import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { verifyBy } from "../../lib/crypto/identity.ts";
import { loadSuite, SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { loadIdentity } from "../../lib/store/identity_file.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { withFolder } from "../testkit/server.ts";

const FILE = "identity-modern.json";

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
    const ours = JSON.parse((await folder.read(FILE))!);
    await withFolder(async (elsewhere) => {
      const other = await PrivateFolder.open(elsewhere);
      await loadIdentity(other, await loadSuite("modern"));
      const { agreementKey, signatureKey } = JSON.parse((await other.read(FILE))!);
      for (const wrong of [agreementKey, signatureKey, "AAAA", undefined]) {
        await folder.write(FILE, JSON.stringify({ ...ours, agreementKey: wrong }));
        await assertDamaged(folder, String(wrong));
      }
    });
    await folder.write(FILE, JSON.stringify(ours));
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

Deno.test("loadIdentity() refuses another version and fields that do not fit", async () => {
  await withFolder(async (path) => {
    const suite = await loadSuite("modern");
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, suite);
    const good = JSON.parse((await folder.read(FILE))!) as Record<string, unknown>;
    const other = await PrivateFolder.open(`${path}/other`);
    await loadIdentity(other, suite);
    const others = JSON.parse((await other.read(FILE))!) as Record<string, unknown>;
    assertNotEquals(good.bundle, others.bundle);
    const spoiled: Readonly<Record<string, unknown>> = {
      "version 0": { ...good, version: 0 },
      "version 2": { ...good, version: 2 },
      "version as text": { ...good, version: "1" },
      "no version": { ...good, version: undefined },
      "no bundle": { ...good, bundle: undefined },
      "a number as bundle": { ...good, bundle: 7 },
      "no signature key": { ...good, signatureKey: undefined },
      "another's signature key": { ...good, signatureKey: others.signatureKey },
      "another's bundle": { ...good, bundle: others.bundle },
      "a bundle that is not base64url": { ...good, bundle: "*" },
      "a list": [good],
      "null": null,
      "a number": 7,
    };
    for (const [what, content] of Object.entries(spoiled)) {
      await folder.write(FILE, JSON.stringify(content));
      await assertDamaged(folder, what);
    }
    await folder.write(FILE, "not JSON");
    await assertDamaged(folder, "not JSON");
  });
});

Deno.test("loadIdentity() refuses a bundle in which any one character was changed", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await loadIdentity(folder, await loadSuite("modern"));
    const whole = (await folder.read(FILE))!;
    const { bundle } = JSON.parse(whole) as { readonly bundle: string };
    for (let at = 0; at < bundle.length; at += 7) {
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
    const { signatureKey } = JSON.parse(whole) as { readonly signatureKey: string };
    await folder.write(FILE, whole.slice(0, -3));
    const error = await assertRejects(() => loadIdentity(folder, suite), CifraError);
    assert(!`${error.message} ${error.hint}`.includes(signatureKey.slice(20, 40)));
  });
});
