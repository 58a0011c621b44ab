/** The table of commands, walked: what every row must have, and what is made of it. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parse } from "../../lib/cli/args.ts";
import { type Command, optionsOf } from "../../lib/cli/command.ts";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { findCommand, helpOf, overview } from "../../lib/cli/help.ts";
import type { Option } from "../../lib/cli/options.ts";
import { CifraError } from "../../lib/errors.ts";

const KEY = "7xdz-xhoa-zqkd-5dba-uyxy-a4f4-qgn7-zutf-u2ce-msln-72zf-b2g5-uf3a";
/** A value for each placeholder. */
const VALUES: Readonly<Record<string, string>> = {
  NAME: "bob",
  "HOST[:PORT]": "10.0.0.1",
  KEY,
  FILE: "file",
  DIR: "folder",
  N: "1",
  MIB: "1",
  SECONDS: "1",
  PORT: "7000",
  SIZE: "500MB",
  HOST: "lab-3.example",
  ADDRESS: "10.0.0.1",
  TEXT: "text",
  WHEN: "2h",
  COMMAND: "cat",
};

function sample(name: string, option: Option): string[] {
  if (option.kind === "flag") return [`--${name}`];
  const value = option.kind === "choice" ? option.choices[0] : VALUES[option.value];
  assert(value !== undefined, `--${name} ${option.value} has no sample`);
  return [`--${name}`, value];
}

/** The options that cannot be left out, but for `but`. */
function required(command: Command, but: string): string[] {
  return Object.entries(optionsOf(command)).flatMap(([name, option]) =>
    name !== but && option.kind === "text" && option.required !== undefined
      ? [`--${name}`, "alice"]
      : []
  );
}

/** What is given beside an option so that it makes sense. */
function company(command: Command, name: string): string[] {
  const options = optionsOf(command);
  const [need] = options[name]!.needs ?? [];
  return [...required(command, name), ...(need ? sample(need, options[need]!) : [])];
}

/** The action that takes an option, in a command whose actions are all it does. */
function actionFor({ actions }: Command, name: string): string[] {
  if (actions?.otherwise === undefined) return [];
  const { words, name: action } = actions.rows.find(({ options }) => options.includes(name))!;
  return [action, ...words.map(() => "bob")];
}

/** The words of each `cifra` in a shell's line. */
function commandLines(line: string): string[][] {
  const words = [...line.matchAll(/"([^"]*)"|([|()<>]+)|([^\s|()<>"]+)/g)]
    .map(([, quoted, sign, plain]) => sign !== undefined ? undefined : quoted ?? plain!);
  const lines: string[][] = [[]];
  for (const word of words) {
    if (word === undefined) lines.push([]);
    else lines.at(-1)!.push(word);
  }
  return lines.filter(([program]) => program === "cifra").map(([, ...args]) => args);
}

for (const command of COMMANDS as readonly Command[]) {
  const options = optionsOf(command);

  Deno.test(`cifra ${command.name}: every option has help, and refers to what there is`, () => {
    const count = Object.values(command.options).flatMap(Object.keys).length;
    assertEquals(Object.keys(options).length, count, "an option stands under two headings");
    for (const [name, option] of Object.entries(options)) {
      assertMatch(name, /^[a-z]+(-[a-z]+)*$/);
      assertMatch(option.does, /^\S.*[^.\s]$/, name);
      for (const other of [...option.needs ?? [], ...option.excludes ?? []]) {
        assert(other in options && other !== name, `--${name} refers to --${other}`);
      }
      if (option.kind === "flag") continue;
      assertMatch(option.value, /^[A-Z[:\]]+$/);
      assertEquals(option.value === "FILE" || option.value === "DIR", option.access !== undefined);
    }
    for (const action of command.actions?.rows ?? []) {
      for (const name of action.options) assert(name in options, `${action.name} takes --${name}`);
    }
  });

  Deno.test(`cifra ${command.name}: every option can be given, and is refused beside the wrong ones`, () => {
    for (const [name, option] of Object.entries(options)) {
      const args = [...actionFor(command, name), ...company(command, name)];
      const full = [...args, ...sample(name, option)];
      const { given } = parse<Command>(command, full);
      const value: unknown = given[name as keyof typeof given];
      assert(value !== undefined && value !== false, full.join(" "));
      for (const other of option.excludes ?? []) {
        const both = [...full, ...company(command, other), ...sample(other, options[other]!)];
        assertEquals(assertThrows(() => parse(command, both), CifraError).code, "usage");
      }
      if (!option.needs) continue;
      const alone = [...required(command, name), ...sample(name, option)];
      const { message } = assertThrows(() => parse(command, alone), CifraError);
      assertEquals(message.split(" --")[0], `--${name} only makes sense with`);
    }
  });

  Deno.test(`cifra ${command.name} --help fits 80 columns, names all there is and ends in an example`, () => {
    const help = helpOf(command);
    assertEquals(help.split("\n").filter((line) => line.length > 80 || /\s$/.test(line)), []);
    for (const name of Object.keys(options)) assertMatch(help, new RegExp(`^  --${name}\\b`, "m"));
    for (const { name } of command.actions?.rows ?? []) {
      assertMatch(help, new RegExp(`^  ${name}\\b`, "m"));
    }
    assertEquals(help.split("\n").at(-1), `  ${command.examples.at(-1)}`);
  });

  Deno.test(`cifra ${command.name}: the examples are right`, () => {
    assert(command.examples.length > 0);
    for (const example of command.examples) {
      const lines = commandLines(example);
      assert(lines.length > 0, example);
      for (const [name, ...args] of lines) parse<Command>(findCommand(name!), args);
    }
    assertEquals(commandLines(command.examples[0]!)[0]![0], command.name);
  });
}

for (const columns of [30, 40, 59, 60, 70]) {
  Deno.test(`all help in ${columns} columns is broken between words alone`, () => {
    const pages = COMMANDS.map((command) => (n?: number) => helpOf(command, n));
    for (const layOut of [overview, ...pages]) {
      const [usual, narrow] = [layOut(), layOut(columns)];
      assertEquals(narrow.split(/\s+/), usual.split(/\s+/));
      // Examples, and an option with what stands for its value, stay whole.
      const whole = usual.split("\n").filter((line) => /^ {2}\S/.test(line));
      const long = narrow.split("\n").filter((line) =>
        line.length > columns && /\S\s+\S/.test(line) &&
        !whole.some((each) => each === line || each.startsWith(`${line}  `))
      );
      assertEquals(long, []);
    }
    assertEquals([overview(200), overview(0)], [overview(), overview()]);
  });
}

Deno.test("cifra --help fits 80 columns and ends in examples that are right", () => {
  const lines = overview().split("\n");
  assertEquals(lines.filter((line) => line.length > 80 || /\s$/.test(line)), []);
  for (const { name } of COMMANDS) assert(lines.some((line) => line.startsWith(`  ${name} `)));
  const examples = lines.filter((line) => line.startsWith("  cifra "));
  assertEquals(lines.at(-1), examples.at(-1));
  for (const [name, ...args] of examples.flatMap(commandLines)) {
    parse<Command>(findCommand(name!), args);
  }
});

Deno.test("findCommand() suggests the command that was meant", () => {
  const hint = (name: string) => {
    const error = assertThrows(() => findCommand(name), CifraError);
    assertEquals([error.code, error.message], ["usage", `Unknown command "${name}"`]);
    return error.hint;
  };
  assertEquals(findCommand("keys").name, "keys");
  assertEquals(hint("conect"), "did you mean connect?");
  assertEquals(hint("sevre"), "did you mean serve?");
  assertEquals(hint("hist"), "did you mean history?");
  for (const far of ["greet", "", "x", "--frob", "constructor", "toString"]) {
    assertEquals(hint(far), "cifra --help lists the commands", far);
  }
});
