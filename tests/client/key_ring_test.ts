import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { type AskPassphrase, KeyRing } from "../../lib/client/key_ring.ts";
import { generateIdentity } from "../../lib/crypto/identity.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { PasswordCost } from "../../lib/crypto/scram.ts";
import { loadSuite, SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { KEY_FILE_MEMORY, KEY_FILE_PASSES, PASSWORD_MEMORY_MINIMUM } from "../../lib/limits.ts";
import {
  decodeSealed,
  encodeSealed,
  type SealedKeys,
  writeIdentity,
} from "../../lib/store/identity_file.ts";
import type { KeyBundle } from "../../lib/store/key_bundle.ts";
import { formatPem, parsePem } from "../../lib/store/pem.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { withFolder } from "../testkit/server.ts";

const MODERN = "identity-modern.pem";

/** Somebody who is asked for passphrases: gives these, one after the other, and no more. */
class Memory {
  readonly asked: string[] = [];
  readonly #passphrases: string[];

  constructor(...passphrases: string[]) {
    this.#passphrases = passphrases;
  }

  get ask(): AskPassphrase {
    return (why) => {
      this.asked.push(why);
      const passphrase = this.#passphrases.shift();
      if (passphrase === undefined) return Promise.reject(new CifraError("usage", "Nobody there"));
      return Promise.resolve(passphrase);
    };
  }
}

/** A folder with keys for all suites, sealed or not. */
async function withKeys(
  passphrase: string | undefined,
  job: (folder: PrivateFolder, before: KeyBundle) => Promise<void>,
): Promise<void> {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const ring = new KeyRing(folder, "alice");
    await ring.complete();
    const before = await ring.collect();
    if (passphrase !== undefined) {
      // As cheap as it may be: what the program takes costs a second each time.
      const cost = { salt: systemRandom(16), memory: PASSWORD_MEMORY_MINIMUM, passes: 2 };
      const lock = { cost, key: await SaltedPassword.derive(passphrase, cost) };
      for (const [suite, stored] of before.identities) {
        await writeIdentity(folder, suite, stored, lock);
      }
    }
    await job(folder, before);
  });
}

async function codeOf(job: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(job, CifraError)).code;
}

/** The texts of all key files. */
async function filesOf(folder: PrivateFolder): Promise<readonly string[]> {
  return await Promise.all(
    SUITE_NAMES.map(async (suite) => (await folder.read(`identity-${suite}.pem`))!),
  );
}

/** What is in a file of sealed keys. */
function sealedIn(text: string): SealedKeys & { readonly bundle: Bytes } {
  const [bundle, sealed] = parsePem(text);
  return { bundle: bundle!.bytes, ...decodeSealed(sealed!.bytes) };
}

function textOf(bundle: Bytes, sealed: SealedKeys): string {
  return formatPem([
    { label: "CIFRA IDENTITY", bytes: bundle },
    { label: "CIFRA SEALED KEYS", bytes: encodeSealed(sealed) },
  ]);
}

Deno.test("sealed keys are the same keys, and one passphrase opens all of them, asked for once", async () => {
  await withKeys("open sesame", async (folder, before) => {
    for (const text of await filesOf(folder)) assert(!text.includes("PRIVATE KEY"));
    const memory = new Memory("open sesame");
    const ring = new KeyRing(folder, "alice", memory.ask);
    const { identity, made } = await ring.load(await loadSuite("modern"));
    assertEquals(made, false);
    assertEquals(identity.bundle, before.identities.get("modern")!.bundle);
    assertEquals(await ring.collect(), before);
    assertEquals(memory.asked, ["first"]);
    // What can be told without it.
    const entries = await new KeyRing(folder, "alice").list();
    assertEquals(entries.map(({ isSealed }) => isSealed), [true, true, true]);
    for (const { suite, identity } of entries) {
      assertEquals(identity.bundle, before.identities.get(suite)!.bundle);
    }
  });
});

Deno.test("a mistyped passphrase is asked for again, three times at most", async () => {
  await withKeys("open sesame", async (folder, before) => {
    const clumsy = new Memory("open sesam", "open sesame");
    assertEquals(await new KeyRing(folder, "alice", clumsy.ask).collect(), before);
    assertEquals(clumsy.asked, ["first", "again"]);
    const thief = new Memory("1", "2", "3", "open sesame");
    assertEquals(
      await codeOf(() => new KeyRing(folder, "alice", thief.ask).find("modern")),
      "wrong_password",
    );
    assertEquals(thief.asked, ["first", "again", "again"]);
    assertEquals(await codeOf(() => new KeyRing(folder, "alice").find("modern")), "usage");
  });
});

Deno.test("keys for another suite are sealed like those that are there", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const first = new KeyRing(folder, "alice");
    await first.load(await loadSuite("modern"));
    await first.seal("open sesame");
    const memory = new Memory("open sesame");
    const ring = new KeyRing(folder, "alice", memory.ask);
    assertEquals((await ring.load(await loadSuite("rsa"))).made, true);
    assertEquals((await ring.list()).map(({ isSealed }) => isSealed), [true, true]);
    assertEquals(memory.asked, ["first"]);
    // And not at all when nobody knows the passphrase.
    const stranger = new KeyRing(folder, "alice", new Memory("x", "y", "z").ask);
    const classic = await loadSuite("classic");
    assertEquals(await codeOf(() => stranger.load(classic)), "wrong_password");
    assertEquals((await ring.list()).length, 2);
  });
});

Deno.test("a change of passphrase cut short leaves keys that open with either, and is done again", async () => {
  await withKeys("old", async (folder, before) => {
    const old = await filesOf(folder);
    await new KeyRing(folder, "alice", new Memory("old").ask).seal("new");
    const changed = await filesOf(folder);
    // The files are written one after the other; here it ended after the first, and after the second.
    for (const count of [1, 2]) {
      for (const [at, suite] of SUITE_NAMES.entries()) {
        await folder.write(`identity-${suite}.pem`, (at < count ? changed : old)[at]!);
      }
      const memory = new Memory("new", "old");
      const ring = new KeyRing(folder, "alice", memory.ask);
      assertEquals(await ring.collect(), before);
      assertEquals(memory.asked, ["first", "another"]);
    }
    const both = new Memory("new", "old");
    await new KeyRing(folder, "alice", both.ask).seal("new");
    const now = new Memory("new");
    assertEquals(await new KeyRing(folder, "alice", now.ask).collect(), before);
    assertEquals(now.asked, ["first"]);
  });
});

Deno.test("removing the passphrase leaves the keys open, and what a crash left aside is removed", async () => {
  await withKeys("old", async (folder, before) => {
    const aside = `${folder.path}/${MODERN}.0123456789abcdef.new`;
    await Deno.writeTextFile(aside, "keys that are not sealed");
    await folder.write("notes.new", "not ours");
    await new KeyRing(folder, "alice", new Memory("old").ask).seal(undefined);
    assertEquals(await new KeyRing(folder, "alice").collect(), before);
    await assertRejects(() => Deno.stat(aside), Deno.errors.NotFound);
    assertEquals(await folder.read("notes.new"), "not ours");
  });
});

Deno.test("a passphrase that cannot be leaves everything as it was", async () => {
  await withKeys(undefined, async (folder) => {
    const before = await filesOf(folder);
    const ring = new KeyRing(folder, "alice");
    for (const bad of ["", "x".repeat(1025)]) {
      assertEquals(await codeOf(() => ring.seal(bad)), "usage");
    }
    assertEquals(await filesOf(folder), before);
  });
});

Deno.test("sealed keys that were spoiled are damaged, and never replaced (L2)", async () => {
  await withKeys("open sesame", async (folder) => {
    const whole = (await folder.read(MODERN))!;
    const { bundle, cost, content } = sealedIn(whole);
    const withCost = (change: Partial<PasswordCost>) =>
      textOf(bundle, { cost: { ...cost, ...change }, content });
    const spoiled: Readonly<Record<string, string>> = {
      "cut in half": whole.slice(0, whole.length / 2),
      "64 GiB of memory": withCost({ memory: 64 * 1024 * 1024 }),
      "8 KiB of memory": withCost({ memory: 8 }),
      "255 passes": withCost({ passes: 255 }),
      "no pass": withCost({ passes: 0 }),
      "nothing sealed": formatPem(parsePem(whole).slice(0, 1)),
    };
    for (const [what, text] of Object.entries(spoiled)) {
      await folder.write(MODERN, text);
      const ring = new KeyRing(folder, "alice", new Memory("open sesame").ask);
      const modern = await loadSuite("modern");
      assertEquals(await codeOf(() => ring.load(modern)), "local", what);
      assertEquals(await folder.read(MODERN), text, what);
    }
    // Sealed by this very passphrase, and then changed: as good as another passphrase.
    content[content.length - 1]! ^= 1;
    await folder.write(MODERN, textOf(bundle, { cost, content }));
    const memory = new Memory("open sesame", "open sesame", "open sesame");
    const ring = new KeyRing(folder, "alice", memory.ask);
    assertEquals(await codeOf(() => ring.find("modern")), "wrong_password");
  });
});

Deno.test("a key file that others may read, or that is a link, is not used (L2)", async () => {
  await withKeys("open sesame", async (folder) => {
    const path = `${folder.path}/${MODERN}`;
    const ring = new KeyRing(folder, "alice", new Memory("open sesame").ask);
    await Deno.chmod(path, 0o644);
    assertEquals(await codeOf(() => ring.list()), "local");
    assertEquals(await codeOf(() => ring.find("modern")), "local");
    await Deno.chmod(path, 0o600);
    await Deno.rename(path, `${path}.real`);
    await Deno.symlink(`${path}.real`, path);
    assertEquals(await codeOf(() => ring.find("modern")), "local");
    assertEquals(await codeOf(() => ring.seal("x")), "local");
  });
});

Deno.test("adopt() takes the keys of the same person, those that are missing, and no others", async () => {
  await withKeys(undefined, async (_, alice) => {
    await withFolder(async (path) => {
      const folder = await PrivateFolder.open(path);
      const ring = new KeyRing(folder, "alice");
      const only = (...suites: readonly string[]): KeyBundle => ({
        name: "alice",
        identities: new Map([...alice.identities].filter(([suite]) => suites.includes(suite))),
      });
      assertEquals(await ring.adopt(only("modern")), true);
      assertEquals(await ring.adopt(only("modern")), false);
      assertEquals(await ring.collect(), only("modern"));

      // Nothing tells that this is the same person.
      assertEquals(await codeOf(() => ring.adopt(only("rsa"))), "local");
      const { stored } = await generateIdentity(2);
      const another = { name: "alice", identities: new Map([["modern", stored] as const]) };
      assertEquals(await codeOf(() => ring.adopt(another)), "local");
      const mixed = {
        name: "alice",
        identities: new Map([...alice.identities, ["modern", stored]]),
      };
      assertEquals(await codeOf(() => ring.adopt(mixed as KeyBundle)), "local");
      assertEquals(await codeOf(() => ring.adopt({ ...alice, name: "bob" })), "local");
      assertEquals(await ring.collect(), only("modern"));

      await ring.seal("open sesame");
      const memory = new Memory("open sesame");
      const sealed = new KeyRing(folder, "alice", memory.ask);
      assertEquals(await sealed.adopt(alice), true);
      assertEquals((await sealed.list()).map(({ isSealed }) => isSealed), [true, true, true]);
      assertEquals(await sealed.collect(), alice);
      assertEquals(memory.asked, ["first"]);
    });
  });
});

Deno.test("keys are sealed anew each time, under a fresh salt", async () => {
  await withKeys("same", async (folder) => {
    const before = await filesOf(folder);
    await new KeyRing(folder, "alice", new Memory("same").ask).seal("same");
    const after = await filesOf(folder);
    for (const [i, text] of after.entries()) {
      const { cost, content } = sealedIn(text), old = sealedIn(before[i]!);
      assertNotEquals(cost.salt, old.cost.salt);
      assertEquals([cost.memory, cost.passes], [KEY_FILE_MEMORY, KEY_FILE_PASSES]);
      assertNotEquals(content, old.content);
    }
  });
});
