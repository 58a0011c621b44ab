/** The pages for people against the repository: the files they name, the links they have, the events they list. */
import { assert, assertEquals } from "@std/assert";
import { EVENTS } from "../lib/cli/events.ts";

const ROOT = new URL("../", import.meta.url);
const LIB = new URL("lib/", ROOT);
const PAGES = [
  "README.md",
  "CHANGELOG.md",
  "lib/ARCHITECTURE.md",
  ...[...Deno.readDirSync(new URL("docs/", LIB))].map(({ name }) => `lib/docs/${name}`),
];

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

function exists(url: URL): boolean {
  try {
    Deno.statSync(url);
    return true;
  } catch {
    return false;
  }
}

/** What stands between backticks within a line. */
function quoted(markdown: string): string[] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, text]) => text!);
}

Deno.test("every file and folder that lib/ARCHITECTURE.md names is there", () => {
  const paths = quoted(read("lib/ARCHITECTURE.md"))
    .filter((text) => /^[\w./]+(\.(ts|md|json)|\/)$/.test(text));
  assert(paths.length > 60);
  const missing = paths.filter((path) =>
    !exists(new URL(path, LIB)) && !exists(new URL(path, ROOT))
  );
  assertEquals(missing, []);
});

Deno.test("lib/ARCHITECTURE.md names every folder of lib but that of the pages", () => {
  const text = read("lib/ARCHITECTURE.md");
  for (const { name, isDirectory } of Deno.readDirSync(LIB)) {
    if (isDirectory && name !== "docs") assert(text.includes(`\`${name}/\``), name);
  }
});

for (const page of PAGES) {
  Deno.test(`every link of ${page} leads somewhere`, () => {
    const text = read(page);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path, heading] = target!.split("#");
      const url = path === "" ? new URL(page, ROOT) : new URL(path!, new URL(page, ROOT));
      assert(exists(url), target);
      if (heading === undefined) continue;
      const headings = [...Deno.readTextFileSync(url).matchAll(/^#+ (.*)$/gm)]
        .map(([, title]) => title!.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-"));
      assert(headings.includes(heading), target);
    }
  });
}

Deno.test("README.md is at most 200 lines, and names every page of lib/docs/", () => {
  const text = read("README.md");
  assert(text.trimEnd().split("\n").length <= 200);
  for (const { name } of Deno.readDirSync(new URL("docs/", LIB))) {
    assert(text.includes(`lib/docs/${name}`), name);
  }
});

/** The code below `folder` without its comments; strings that are joined by + are one. */
function codeOf(folder: URL): string {
  return [...Deno.readDirSync(folder)].map(({ name, isDirectory }) => {
    if (isDirectory) return codeOf(new URL(`${name}/`, folder));
    return name.endsWith(".ts") ? Deno.readTextFileSync(new URL(name, folder)) : "";
  }).join("\n")
    .replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")
    .replaceAll(/["`] \+\s+["`]/g, "");
}

Deno.test("what the program says, by README.md in its section Trouble, stands in the code", () => {
  const [, trouble] = /\n## Trouble\n([\s\S]*?)\n## /.exec(read("README.md"))!;
  const said = [...trouble!.matchAll(/^\| (?!what you read|-)(.*?) +\|/gm)].map(([, text]) =>
    text!
  );
  assert(said.length > 5, `${said.length}`);
  const code = codeOf(LIB);
  for (const text of said) {
    // What stands for a name or an address is filled in when it is said.
    for (const part of text.split("…").map((part) => part.replace(/^[:\s]+|\s+$/g, ""))) {
      assert(code.includes(part), `${text}: ${part}`);
    }
  }
});

/** The names of all events in the code; those that are chosen while it runs stand there as types. */
function eventsOf(folder: URL): Set<string> {
  const events = new Set<string>();
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const url = new URL(isDirectory ? `${name}/` : name, folder);
    if (isDirectory) {
      for (const event of eventsOf(url)) events.add(event);
      continue;
    }
    if (!name.endsWith(".ts")) continue;
    const source = Deno.readTextFileSync(url);
    for (const [, names] of source.matchAll(/\bevent: ((?:[^\n,;=]*\? )?"[^\n,;]*")/g)) {
      for (const [, event] of names!.matchAll(/"([a-z-]+)"/g)) events.add(event!);
    }
  }
  return events;
}

Deno.test("the table of events has every event of the code, and no other", () => {
  const events = new Set([...eventsOf(new URL("cli/", LIB)), ...eventsOf(new URL("server/", LIB))]);
  // Chosen by `deliveryJson` and `DeskVoice.fail`.
  for (const each of ["queued", "sent", "on-server", "stored", "read", "conversation-failed"]) {
    events.add(each);
  }
  assert(events.size > 60, `${events.size}`);
  const listed = new Set(EVENTS.flatMap(({ events }) => Object.keys(events)));
  assertEquals([...listed].sort(), [...events].sort());
});
