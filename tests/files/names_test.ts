/** Names of others, as they are written to a disk. */
import { assert, assertEquals } from "@std/assert";
import { sanitize } from "../../lib/cli/sanitize.ts";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { harmlessName, localName, type NameRules, Siblings } from "../../lib/files/names.ts";
import { hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import { withFolder } from "../testkit/server.ts";
import { HOSTILE_NAMES, LONG } from "./hostile_names.ts";

const RULES: readonly NameRules[] = ["posix", "windows"];

function inFolder(job: (path: string) => Promise<void>): Promise<void> {
  return hasTmpfs ? withTmpfs(64 * 2 ** 20, job) : withFolder(job);
}

for (const [what, name, posix, windows] of HOSTILE_NAMES) {
  Deno.test(`a name is made harmless: ${what}`, () => {
    assertEquals(harmlessName(name, "posix"), posix);
    assertEquals(harmlessName(name, "windows"), windows);
  });
}

Deno.test("every harmless name can be written, is one file there, and is shown as it is written", () =>
  inFolder(async (path) => {
    for (const rules of RULES) {
      const siblings = new Siblings(rules);
      const folder = `${path}/${rules}`;
      await Deno.mkdir(folder);
      const written = HOSTILE_NAMES.map(([, name]) => siblings.take(name).name);
      for (const name of written) {
        await Deno.writeTextFile(`${folder}/${name}`, name, { createNew: true });
        assertEquals(sanitize(name), name, "shown otherwise");
        assertEquals(harmlessName(name, rules), name, "not harmless yet");
        assert(encodeUtf8(name).length <= 255);
      }
      const there = [...Deno.readDirSync(folder)].map(({ name }) => name);
      assertEquals(there.sort(), written.sort());
      assertEquals(
        new Set(there.map((name) => name.normalize("NFC").toLowerCase())).size,
        there.length,
      );
    }
    assertEquals([...Deno.readDirSync(path)].length, 2);
  }));

/** A generator of dice that a seed repeats. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = state * 1103515245 + 12345 & 0x7fffffff;
    return state % sides;
  };
}

Deno.test("any name is harmless after one go, whatever it is put together from", () => {
  const pieces = [
    ...HOSTILE_NAMES.flatMap(([, name]) => [...name]),
    ...["\u200d", "\u200c", "\u2067", "\u2069", "\u{1f469}", "\u0646", "\u0627", "CON", "..", " "],
  ];
  const seed = Math.floor(Math.random() * 2 ** 31);
  const roll = dice(seed);
  for (let i = 0; i < 20_000; i++) {
    const length = roll(20) === 0 ? 300 : roll(8);
    const name = Array.from({ length }, () => pieces[roll(pieces.length)]).join("");
    for (const rules of RULES) {
      const once = harmlessName(name, rules);
      const label = `seed ${seed}: ${JSON.stringify(name)} ${rules}`;
      assertEquals(harmlessName(once, rules), once, label);
      assertEquals(sanitize(once), once, label);
      assert(once !== "" && once !== "." && once !== ".." && !/[/\\\0]/.test(once), label);
      assert(encodeUtf8(once).length <= 255, label);
    }
  }
});

Deno.test("names that are one to some disk get numbers before the extension", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["Photo.jpg", "Photo.jpg"],
    ["photo.JPG", "photo (2).JPG"],
    ["PHOTO.jpg", "PHOTO (3).jpg"],
    ["photo (2).jpg", "photo (2) (2).jpg"],
    ["caf\u00e9", "caf\u00e9"],
    ["cafe\u0301", "cafe\u0301 (2)"],
    ["stra\u00dfe", "stra\u00dfe"],
    ["STRASSE", "STRASSE (2)"],
    ["a.tar.gz", "a.tar.gz"],
    ["A.tar.gz", "A (2).tar.gz"],
    [".profile", ".profile"],
    [".PROFILE", ".PROFILE (2)"],
    ["a\u202eb", "a_b"],
    ["a\u202db", "a_b (2)"],
    [LONG, LONG],
    [LONG.toUpperCase(), `${LONG.toUpperCase().slice(0, -8)} (2).TXT`],
  ];
  const siblings = new Siblings("posix");
  for (const [name, written] of cases) {
    assertEquals(siblings.take(name), { name: written, isChanged: name !== written });
  }
});

Deno.test("names that are there already are nobody else's", () => {
  const siblings = new Siblings("posix", ["Photos", "photos (2)"]);
  assertEquals(siblings.take("photos").name, "photos (3)");
  const taken = new Set(["a.txt", "a (2).txt"]);
  const local = localName("a.txt", "posix", (name) => taken.has(name));
  assertEquals([local.name, local.isChanged], ["a (3).txt", true]);
});

Deno.test("a hundred thousand names that are one take no longer than others", () => {
  const siblings = new Siblings("posix");
  const names = Array.from(
    { length: 100_000 },
    (_, i) =>
      Array.from("abcdefghijklmnopq", (letter, bit) => i >> bit & 1 ? letter.toUpperCase() : letter)
        .join(""),
  );
  const start = performance.now();
  for (const name of names) siblings.take(name);
  assert(performance.now() - start < 20_000, "it took as long as their square");
});
