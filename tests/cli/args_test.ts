import { assert, assertEquals, assertThrows } from "@std/assert";
import { parse } from "../../lib/cli/args.ts";
import type { Command } from "../../lib/cli/command.ts";
import { COMPLETIONS } from "../../lib/cli/commands.ts";
import { SEND } from "../../lib/cli/send_command.ts";
import { SERVE } from "../../lib/cli/serve_command.ts";
import { CifraError } from "../../lib/errors.ts";

const TEST = {
  name: "test",
  does: "be parsed",
  options: {
    "One": {
      json: { kind: "flag", does: "x" },
      name: { kind: "text", value: "NAME", does: "x" },
      port: { kind: "number", value: "PORT", from: 1, to: 1000, does: "x" },
    },
    "Two": {
      trace: { kind: "flag", does: "x", needs: ["json", "port"] },
      quiet: { kind: "flag", does: "x", excludes: ["json"] },
      host: { kind: "list", value: "HOST", does: "x", most: 3 },
      colour: {
        kind: "choice",
        value: "COLOUR",
        choices: ["red", "blue"],
        default: "red",
        does: "x",
      },
    },
  },
  about: [],
  examples: [],
} as const satisfies Command;

function given(...args: readonly string[]) {
  return parse(TEST, args).given;
}

function refusal(...args: readonly string[]): CifraError {
  const error = assertThrows(() => given(...args), CifraError);
  assertEquals(error.code, "usage", args.join(" "));
  return error;
}

Deno.test("parse() reads flags, texts, numbers, choices and lists", () => {
  assertEquals(
    given("--json", "--name", "alice", "--port=80", "--host", "a", "--host=b", "--colour", "blue"),
    {
      json: true,
      name: "alice",
      port: 80,
      trace: false,
      quiet: false,
      host: ["a", "b"],
      colour: "blue",
    },
  );
});

Deno.test("parse() gives what was not given its default, or leaves it undefined or empty", () => {
  assertEquals(given(), {
    json: false,
    name: undefined,
    port: undefined,
    trace: false,
    quiet: false,
    host: [],
    colour: "red",
  });
});

Deno.test("parse() keeps a text as it was typed", () => {
  for (const value of ["007", "1e3", "0x10", "true", "null", "a=b", "ñ", "__proto__"]) {
    assertEquals(given("--name", value).name, value);
    assertEquals(given(`--name=${value}`).name, value);
  }
});

Deno.test("parse() refuses what it does not know, and says where help is", () => {
  const unknown = [
    ["--nmae", "alice"],
    ["--frob"],
    ["-n", "alice"],
    ["stray"],
    ["--json", "stray"],
    ["--no-json"],
    ["--name.first", "alice"],
    ["--__proto__", "x"],
    ["--constructor", "x"],
    ["--", "stray"],
    [""],
    ["-"],
  ];
  for (const args of unknown) {
    const { hint } = refusal(...args);
    assert(hint?.match(/^did you mean --name\?|^cifra test --help lists/), args.join(" "));
  }
});

Deno.test("parse() refuses a value that is missing, empty or given twice", () => {
  for (
    const args of [
      ["--name"],
      ["--name="],
      ["--name", ""],
      ["--name", "--json"],
      ["--host"],
      ["--host", "a", "--host"],
      ["--name", "a", "--name", "b"],
      ["--name", "a", "--name", "a"],
    ]
  ) refusal(...args);
});

Deno.test("parse() suggests an option for one that is mistyped, and none for one that is not", () => {
  for (const typed of ["--nmae", "--nam", "--naem=alice", "-name"]) {
    assertEquals(refusal(typed).hint, "did you mean --name?", typed);
  }
  assertEquals(refusal("--colour", "bleu").hint, "did you mean blue?");
  assertEquals(refusal("--colour", "green").hint, undefined);
  assertEquals(refusal("--frob").hint, "cifra test --help lists what there is");
});

Deno.test("parse() takes whole numbers between the bounds and nothing else", () => {
  const read = (text: string) => given(`--port=${text}`).port;
  assertEquals([read("1"), read("1000"), read("007")], [1, 1000, 7]);
  for (const text of ["0", "1001", "-1", "1.5", "1e2", "0x1f", " 5", "5 ", "five", "9999999999"]) {
    const error = assertThrows(() => read(text), CifraError);
    assertEquals(error.code, "usage", text);
    assert(error.message.includes("from 1 to 1000"));
  }
});

Deno.test("parse() refuses a choice that there is not, and a list that is too long", () => {
  assertEquals(refusal("--colour", "green").message, '--colour must be red or blue, got "green"');
  assertEquals(given("--host=a", "--host=b", "--host=c").host.length, 3);
  const four = ["--host=a", "--host=b", "--host=c", "--host=d"];
  assertEquals(refusal(...four).message, "--host may be given 3 times at most");
});

Deno.test("parse() refuses options that make no sense together, or alone", () => {
  assertEquals(
    refusal("--trace").message,
    "--trace only makes sense with --json or --port",
  );
  assertEquals(given("--trace", "--json").trace, true);
  assertEquals(given("--trace", "--port", "1").trace, true);
  assertEquals(refusal("--quiet", "--json").message, "--quiet only makes sense without --json");
});

Deno.test("parse() takes an action and its words before all options", () => {
  const { action, words, given } = parse(SERVE, ["invite", "30", "25", "--state", "/s"]);
  assertEquals([action, words, given.state], ["invite", ["30", "25"], "/s"]);
  assertEquals(parse(SERVE, ["invite"]).words, []);
  assertEquals(parse(SERVE, []).action, undefined);
  const refused = (...args: readonly string[]) => {
    const error = assertThrows(() => parse(SERVE, args), CifraError);
    assertEquals(error.code, "usage");
    return [error.message, error.hint];
  };
  assertEquals(refused("consul"), [
    'Unknown action "consul" of serve',
    "did you mean console?",
  ]);
  assertEquals(refused("frob"), ['Unknown action "frob" of serve', "one of console, invite"]);
  assertEquals(refused("console", "x")[0], "Write: cifra serve console");
  assertEquals(refused("invite", "1", "2", "3")[0], "Write: cifra serve invite [DAYS] [USES]");
  assertEquals(refused("invite", "x")[0], 'Days and uses are whole numbers, got "x"');
  assertEquals(refused("console", "--port", "1")[0], "--port only makes sense without console");
  assertEquals(refused("--json", "console")[0], 'Unknown argument "console"');
});

Deno.test("parse() refuses a word that is missing, or none of its choices", () => {
  assertEquals(parse(COMPLETIONS, ["zsh"]).words, ["zsh"]);
  const refused = (...args: readonly string[]) =>
    assertThrows(() => parse(COMPLETIONS, args), CifraError).message;
  assertEquals(refused(), "Write: cifra completions SHELL");
  assertEquals(refused("tcsh"), 'SHELL must be bash, zsh or fish, got "tcsh"');
});

Deno.test("serve takes no title that clients would not understand", () => {
  const title = (text: string) => parse(SERVE, ["--title", text]).given.title;
  assertEquals<string>(title("Učebna č. 3"), "Učebna č. 3");
  assertEquals<string>(title("č".repeat(16)), "č".repeat(16));
  for (const text of ["", "č".repeat(17), "\x1b[2J", "a\nb", "a\u202eb", "a\u2028b", "\u3164"]) {
    const error = assertThrows(() => title(text), CifraError);
    assertEquals(error.code, "usage", JSON.stringify(text));
    assert(!error.message.includes("\x1b"));
  }
});

Deno.test("parse() takes files before the options, and - as one of them", () => {
  const who = ["--name", "alice", "--to", "bob"];
  assertEquals(parse(SEND, ["a b", "c", "d", ...who]).words, ["a b", "c", "d"]);
  assertEquals(parse(SEND, ["-", "--as", "x.tar", ...who]).words, ["-"]);
  assertEquals(parse(SEND, who).words, []);
  const error = assertThrows(() => parse(SEND, [...who, "thesis.pdf"]), CifraError);
  assertEquals([error.code, error.message], ["usage", 'Cannot take "thesis.pdf" there']);
  assertEquals(
    error.hint,
    "files stand before the options: cifra send FILE --to NAME",
  );
  for (const name of ["", ".", "..", "a/b", "a\nb", "x".repeat(256)]) {
    assertThrows(() => parse(SEND, ["-", ...who, `--as=${name}`]), CifraError);
  }
});
