/** Whom we trust: introductions and offers are judged alike. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Contacts, type ContactsOptions } from "../../lib/client/contacts.ts";
import { Pins } from "../../lib/client/pins.ts";
import { formatFingerprint } from "../../lib/crypto/identity.ts";
import { safetyWords } from "../../lib/crypto/safety_words.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { test } from "../testkit/adversary.ts";
import { type Person, person } from "../testkit/handshake.ts";
import { withFolder } from "../testkit/server.ts";

const FILE = "known_peers";
const NOW = Date.UTC(2030, 0, 2);

interface Scene {
  readonly contacts: Contacts;
  readonly pins: Pins;
  readonly folder: PrivateFolder;
  /** Who was pinned on first contact. */
  readonly told: string[];
  readonly bob: Person;
  readonly mallory: Person;
  /** Other contacts over the same file. */
  readonly others: (change: Partial<ContactsOptions>) => Promise<Contacts>;
}

function play(
  name: string,
  job: (scene: Scene) => Promise<void>,
  change: Partial<ContactsOptions> & { readonly suiteName?: SuiteName } = {},
): void {
  test(name, () =>
    withFolder(async (path) => {
      const { suiteName = "modern", ...rest } = change;
      const folder = await PrivateFolder.open(path);
      const { suite, identity } = await person(suiteName, "alice");
      const told: string[] = [];
      const pins = await Pins.open(folder, FILE);
      const optionsOf = (change: Partial<ContactsOptions>): ContactsOptions => ({
        suite,
        identity,
        pins,
        date: () => NOW,
        acceptNew: false,
        peerKey: undefined,
        howToAccept: (name, key) => `accept ${name} with ${key}`,
        onPinned: (name, key) => told.push(`${name} ${key}`),
        ...change,
      });
      await job({
        contacts: new Contacts(optionsOf(rest)),
        pins,
        folder,
        told,
        bob: await person(suiteName, "bob"),
        mallory: await person(suiteName, "mallory"),
        others: async (change) =>
          new Contacts(optionsOf({ pins: await Pins.open(folder, FILE), ...change })),
      });
    }));
}

/** How an offer is judged, and what comes of an introduction; both by the same key under the same name. */
async function judged(contacts: Contacts, name: string, { identity }: Person): Promise<string> {
  const offer = await contacts.judge(name, identity);
  const introduction = await contacts.check(name, identity).then(() => "taken", ({ code }) => code);
  return `${offer}: ${introduction}`;
}

function printOf({ identity }: Person): string {
  return formatFingerprint(identity.fingerprint);
}

async function pin(pins: Pins, name: string, who: Person): Promise<void> {
  await pins.pin(name, who.suite.name, who.identity, new Date(0));
}

play(
  "offers and introductions are judged alike",
  async ({ contacts, pins, bob, mallory, others }) => {
    assertEquals(await judged(contacts, "bob", bob), "stranger: taken");
    await pin(pins, "bob", bob);
    await pin(pins, "carol", await person("rsa", "carol"));
    assertEquals(await judged(contacts, "bob", bob), "known: taken");
    assertEquals(await judged(contacts, "bob", mallory), "changed: identity_changed");
    assertEquals(await judged(contacts, "carol", mallory), "other suite: suite_downgrade");
    // Who comes with a suite that is not ours has no identity that we could know.
    assertEquals(await contacts.judge("bob", undefined), "other suite");

    // A key in another suite may be taken without asking; another key in this one never.
    const trusting = await others({ acceptNew: true });
    assertEquals(await judged(trusting, "carol", mallory), "stranger: taken");
    assertEquals(await judged(trusting, "bob", mallory), "changed: identity_changed");
    assertEquals(await judged(trusting, "bob", bob), "known: taken");

    // The key that was named counts, whatever is pinned.
    const named = await others({ peerKey: mallory.identity.fingerprint });
    assertEquals(await judged(named, "bob", mallory), "known: taken");
    assertEquals(await judged(named, "bob", bob), "changed: identity_changed");
    assertEquals(await judged(named, "carol", mallory), "known: taken");
  },
);

play("somebody new is pinned once, when they have proved their key, and told", async (scene) => {
  const { contacts, bob, told, others } = scene;
  const pin = await contacts.check("bob", bob.identity);
  assertEquals([await contacts.judge("bob", bob.identity), told], ["stranger", []]);
  await Promise.all([pin(), pin()]);
  await pin();
  assertEquals(told, [`bob ${printOf(bob)}`]);
  assertEquals(await contacts.judge("bob", bob.identity), "known");
  const again = await (await others({})).check("bob", bob.identity);
  await again();
  assertEquals(told.length, 1);
});

play("a key that was named replaces the pin, once it was proved", async (scene) => {
  const { pins, bob, mallory, others, told } = scene;
  await pin(pins, "bob", bob);
  await pins.verify("bob", "modern", bob.identity.fingerprint);
  const named = await others({ peerKey: mallory.identity.fingerprint });
  const prove = await named.check("bob", mallory.identity);
  assert((await others({})).isVerified("bob"));
  await prove();
  assertEquals(told, [`bob ${printOf(mallory)}`]);
  const after = await others({});
  assertEquals(await after.judge("bob", mallory.identity), "known");
  assertEquals(after.isVerified("bob"), false);
});

play("a changed key is told with both, and with how it is accepted", async (scene) => {
  const { contacts, pins, bob, mallory } = scene;
  await pin(pins, "bob", bob);
  const changed = () => assertRejects(() => contacts.check("bob", mallory.identity), CifraError);
  const error = await changed();
  assertStringIncludes(error.message, `expected:  ${printOf(bob)}`);
  assertStringIncludes(error.message, `presented: ${printOf(mallory)}`);
  assertStringIncludes(error.hint!, `accept bob with ${printOf(mallory)}`);
  assert(!error.message.includes("verified"));
  await pins.verify("bob", "modern", bob.identity.fingerprint);
  assertStringIncludes((await changed()).message, "which you had verified");
  // An impostor leaves nothing behind.
  assertEquals(await contacts.fingerprintOf("bob"), bob.identity.fingerprint);
});

play("a key in another suite is told with the suite by which they are known", async (scene) => {
  const { contacts, pins, mallory } = scene;
  await pin(pins, "carol", await person("rsa", "carol"));
  const error = await assertRejects(() => contacts.check("carol", mallory.identity), CifraError);
  assertStringIncludes(error.message, "carol is known by a rsa key");
  assertStringIncludes(error.message, `presented: ${printOf(mallory)} (modern)`);
  assertStringIncludes(error.hint!, `accept carol with ${printOf(mallory)}`);
  assertEquals(await contacts.fingerprintOf("carol"), undefined);
});

play("with a damaged file nobody new is judged, and those who are known are", async (scene) => {
  const { pins, bob, mallory, folder, others } = scene;
  await pin(pins, "bob", bob);
  await folder.write(FILE, `${await folder.read(FILE)}damaged\n`);
  for (const change of [{}, { acceptNew: true }]) {
    const contacts = await others(change);
    assertEquals(await judged(contacts, "bob", bob), "known: taken");
    assertEquals(await judged(contacts, "bob", mallory), "changed: identity_changed");
    for (const job of ["judge", "check"] as const) {
      const error = await assertRejects(() => contacts[job]("eve", mallory.identity));
      assert(error instanceof CifraError && error.code === "local", `${error}`);
    }
  }
});

play(
  "the words to compare are those of whoever was met, or else of whoever is pinned",
  async (scene) => {
    const { contacts, pins, bob, mallory } = scene;
    const { identity: ours } = await person("modern", "alice");
    const wordsWith = (who: Person) => safetyWords(ours.fingerprint, who.identity.fingerprint);
    assertEquals(await contacts.words("bob"), undefined);
    assertEquals(await contacts.markVerified("bob"), false);
    await pin(pins, "bob", bob);
    assertEquals(await contacts.words("bob"), await wordsWith(bob));
    assertEquals([contacts.isVerified("bob"), await contacts.markVerified("bob")], [false, true]);
    assertEquals(contacts.isVerified("bob"), true);
    // Whoever is there is compared, and no mark of somebody else is theirs.
    contacts.meet("bob", mallory.identity.fingerprint);
    assertEquals(await contacts.words("bob"), await wordsWith(mallory));
    assertEquals(contacts.isVerified("bob"), false);
    const error = await assertRejects(() => contacts.markVerified("bob"), CifraError);
    assertEquals(error.code, "usage");
  },
);

play("keys for study are never marked", async ({ contacts, pins, bob }) => {
  await pin(pins, "bob", bob);
  const error = await assertRejects(() => contacts.markVerified("bob"), CifraError);
  assertEquals([error.code, contacts.isVerified("bob")], ["usage", false]);
}, { suiteName: "classic" });
