import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseKnown, Pins } from "../../lib/client/pins.ts";
import { formatFingerprint } from "../../lib/crypto/identity.ts";
import { CifraError } from "../../lib/errors.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { person } from "../testkit/handshake.ts";
import { withFolder } from "../testkit/server.ts";

const FILE = "known-servers";
const NOW = new Date("2030-01-02T03:04:05.678Z");
const SERVER = "198.51.100.7:7411";

async function withKnown(
  job: (known: Pins, folder: PrivateFolder) => Promise<void>,
): Promise<void> {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await job(await Pins.open(folder, FILE), folder);
  });
}

/** The line of somebody pinned, as the file has it. */
async function lineOf(subject: string, name: string): Promise<string> {
  let line = "";
  await withKnown(async (known, folder) => {
    await known.pin(subject, "modern", (await person("modern", name)).identity, NOW);
    line = (await folder.read(FILE))!.trimEnd();
  });
  return line;
}

Deno.test("pin() is remembered, also by the next program that opens the file", async () => {
  const { identity } = await person("modern", "server");
  await withKnown(async (known, folder) => {
    assertEquals(await known.find(SERVER, "modern"), undefined);
    await known.pin(SERVER, "modern", identity, NOW);
    for (const reader of [known, await Pins.open(folder, FILE)]) {
      assertEquals((await reader.find(SERVER, "modern"))?.fingerprint, identity.fingerprint);
      assertEquals(await reader.find(SERVER, "rsa"), undefined);
      assertEquals(await reader.find("198.51.100.7:7412", "modern"), undefined);
      reader.requireUndamaged();
    }
    const text = await folder.read(FILE);
    const fingerprint = formatFingerprint(identity.fingerprint);
    assert(text?.startsWith(`${SERVER} modern ${fingerprint} `));
    assert(text?.endsWith(" 2030-01-02T03:04:05.678Z\n"));
  });
});

Deno.test("pin() replaces the entry of the same subject and suite, and no other", async () => {
  const [first, second] = [await person("modern", "first"), await person("modern", "second")];
  const rsa = await person("rsa", "first");
  await withKnown(async (known, folder) => {
    await known.pin(SERVER, "modern", first.identity, NOW);
    await known.pin(SERVER, "rsa", rsa.identity, NOW);
    await known.pin("other:1", "modern", first.identity, NOW);
    await known.pin(SERVER, "modern", second.identity, NOW);
    const again = await Pins.open(folder, FILE);
    assertEquals((await again.find(SERVER, "modern"))?.fingerprint, second.identity.fingerprint);
    assertEquals((await again.find(SERVER, "rsa"))?.fingerprint, rsa.identity.fingerprint);
    assertEquals((await again.find("other:1", "modern"))?.fingerprint, first.identity.fingerprint);
    assertEquals((await folder.read(FILE))?.split("\n").length, 4);
    const others = again.inOtherSuites(SERVER, "modern").map(({ suite }) => suite);
    assertEquals(others, ["rsa"]);
  });
});

Deno.test("a damaged line is told by its number, and nobody new is trusted past it (L3)", async () => {
  const good = await lineOf(SERVER, "server");
  const other = await lineOf("other:1", "other");
  const fields = good.split(" ");
  const broken: Readonly<Record<string, string>> = {
    "cut short": good.slice(0, -30),
    "carriage return at its end": `${good}\r`,
    "an empty line": "",
    "a comment": "# the server in room 3",
    "a blank too many": good.replace(" ", "  "),
    "a field too many": `${good} x`,
    "a field too many after a mark": `${good} verified x`,
    "a mark twice": `${good} verified verified`,
    "a mark in another spelling": `${good} Verified`,
    "a mark that is empty": `${good} `,
    "a mark on a key for study": `${good.replace(" modern ", " classic ")} verified`,
    "another suite": good.replace(" modern ", " quantum "),
    "a fingerprint cut short": good.replace(fields[2]!, fields[2]!.slice(0, -1)),
    "a bundle that is no base64": good.replace(fields[3]!, "****"),
    "another date": good.replace(fields[4]!, "yesterday"),
    "a megabyte": `${SERVER} modern ${"x".repeat(1_000_000)}`,
    "a line just too long": good.replace(fields[4]!, `2030-01-02T${"0".repeat(1024)}Z`),
    "NUL bytes": "\0".repeat(100),
  };
  for (const [what, line] of Object.entries(broken)) {
    await withFolder(async (path) => {
      const folder = await PrivateFolder.open(path);
      const text = `${other}\n${line}\n`;
      // A file of more than a mebibyte is refused as a whole; these are below.
      await folder.write(FILE, text);
      const known = await Pins.open(folder, FILE);
      assertEquals(await known.find(SERVER, "modern"), undefined, what);
      assert(await known.find("other:1", "modern"), what);
      const error = assertThrows(() => known.requireUndamaged(), CifraError);
      assertEquals(error.code, "local");
      assert(error.message.includes("line 2"), what);
      const { identity } = await person("modern", "new");
      await assertRejects(() => known.pin("new:1", "modern", identity, NOW), CifraError);
      assertEquals(await folder.read(FILE), text, "the file is left as it is");
    });
  }
});

Deno.test("a subject that is there twice is damaged the second time, whatever it says (L3)", async () => {
  const [first, second] = [await lineOf(SERVER, "first"), await lineOf(SERVER, "second")];
  for (const pair of [[first, first], [first, second]]) {
    const { known, damagedLines } = parseKnown(pair.join("\n") + "\n");
    assertEquals(known.length, 1);
    assertEquals(damagedLines, [2]);
  }
});

Deno.test("an entry whose fingerprint and key do not belong together is not used", async () => {
  const [first, second] = [await lineOf(SERVER, "first"), await lineOf(SERVER, "second")];
  const mixed = first.split(" ");
  mixed[3] = second.split(" ")[3]!;
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await folder.write(FILE, mixed.join(" ") + "\n");
    const known = await Pins.open(folder, FILE);
    const error = await assertRejects(() => known.find(SERVER, "modern"), CifraError);
    assertEquals(error.code, "local");
  });
});

Deno.test("parseKnown() reads a file without a last newline, and an empty one", async () => {
  const good = await lineOf(SERVER, "server");
  assertEquals(parseKnown(good).known.length, 1);
  assertEquals(parseKnown(""), { known: [], damagedLines: [] });
  assertEquals(parseKnown("\n").damagedLines, [1]);
});

Deno.test("parseKnown() is not confused by subjects that objects have already", async () => {
  const good = await lineOf("__proto__", "server");
  assertEquals(
    parseKnown(`${good}\n${good.replace("__proto__", "constructor")}\n`).known.length,
    2,
  );
});

Deno.test("verify() marks one identity, also for the next program; lines without a mark stay as they are", async () => {
  const [bob, carol] = [await person("modern", "bob"), await person("modern", "carol")];
  const rsa = await person("rsa", "bob");
  await withKnown(async (known, folder) => {
    await known.pin("bob", "modern", bob.identity, NOW);
    await known.pin("bob", "rsa", rsa.identity, NOW);
    await known.pin("carol", "modern", carol.identity, NOW);
    const before = (await folder.read(FILE))!.split("\n");
    await known.verify("bob", "modern", bob.identity.fingerprint);
    const after = (await folder.read(FILE))!.split("\n");
    assertEquals(after, [`${before[0]} verified`, ...before.slice(1)]);
    for (const reader of [known, await Pins.open(folder, FILE)]) {
      reader.requireUndamaged();
      const marks = reader.everybody.map(({ subject, suite, isVerified }) =>
        `${subject} ${suite} ${isVerified}`
      );
      assertEquals(marks, ["bob modern true", "bob rsa false", "carol modern false"]);
      assert(reader.isVerified("bob", "modern", bob.identity.fingerprint));
      assert(!reader.isVerified("bob", "modern", carol.identity.fingerprint));
      assert(!reader.isVerified("bob", "rsa", rsa.identity.fingerprint));
      assertEquals((await reader.find("bob", "modern"))?.fingerprint, bob.identity.fingerprint);
    }
  });
});

Deno.test("verify() marks nobody who is not pinned by this key, and no key for study", async () => {
  const [bob, other] = [await person("modern", "bob"), await person("modern", "other")];
  const classic = await person("classic", "bob");
  await withKnown(async (known, folder) => {
    await known.pin("bob", "modern", bob.identity, NOW);
    await known.pin("bob", "classic", classic.identity, NOW);
    const before = await folder.read(FILE);
    const wrong = [
      () => known.verify("bob", "modern", other.identity.fingerprint),
      () => known.verify("bob", "rsa", bob.identity.fingerprint),
      () => known.verify("carol", "modern", bob.identity.fingerprint),
      () => known.verify("bob", "classic", classic.identity.fingerprint),
    ];
    for (const marking of wrong) {
      assertEquals((await assertRejects(marking, CifraError)).code, "usage");
    }
    assertEquals(await folder.read(FILE), before);
  });
});

Deno.test("a mark does not outlive the key that it is for", async () => {
  const [bob, other] = [await person("modern", "bob"), await person("modern", "other")];
  await withKnown(async (known, folder) => {
    await known.pin("bob", "modern", bob.identity, NOW);
    await known.verify("bob", "modern", bob.identity.fingerprint);
    await known.pin("bob", "modern", other.identity, NOW);
    for (const reader of [known, await Pins.open(folder, FILE)]) {
      assertEquals(reader.everybody.map(({ isVerified }) => isVerified), [false]);
    }
  });
});

Deno.test("unpin() forgets somebody in all suites, and nobody else", async () => {
  const [bob, carol] = [await person("modern", "bob"), await person("modern", "carol")];
  const rsa = await person("rsa", "bob");
  await withKnown(async (known, folder) => {
    await known.pin("bob", "modern", bob.identity, NOW);
    await known.pin("carol", "modern", carol.identity, NOW);
    await known.pin("bob", "rsa", rsa.identity, NOW);
    assertEquals((await known.unpin("bob")).map(({ suite }) => suite), ["modern", "rsa"]);
    for (const reader of [known, await Pins.open(folder, FILE)]) {
      assertEquals(reader.everybody.map(({ subject }) => subject), ["carol"]);
    }
    assertEquals(await known.unpin("bob"), []);
  });
});

Deno.test("those who are pinned at the same moment are all kept", async () => {
  const names = Array.from({ length: 8 }, (_, i) => `person${i}`);
  const { identity } = await person("modern", "bob");
  await withKnown(async (known, folder) => {
    const marking = known.pin("bob", "modern", identity, NOW)
      .then(() => known.verify("bob", "modern", identity.fingerprint));
    await Promise.all([marking, ...names.map((name) => known.pin(name, "modern", identity, NOW))]);
    const { everybody } = await Pins.open(folder, FILE);
    assertEquals(everybody.map(({ subject }) => subject).sort(), ["bob", ...names]);
    assertEquals(everybody.filter(({ isVerified }) => isVerified).length, 1);
  });
});
