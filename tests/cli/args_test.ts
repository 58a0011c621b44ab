import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseOptions } from "../../lib/cli/args.ts";
import { CifraError } from "../../lib/errors.ts";

const NAMES = { flags: ["json", "trace"], values: ["name", "port"], lists: ["host"] };

function refusal(...args: readonly string[]): CifraError {
  const error = assertThrows(() => parseOptions(args, NAMES), CifraError);
  assertEquals(error.code, "usage", args.join(" "));
  return error;
}

Deno.test("parseOptions() reads flags, values and lists", () => {
  const given = parseOptions(
    ["--json", "--name", "alice", "--port=80", "--host", "a", "--host=b"],
    NAMES,
  );
  assertEquals([given.flag("json"), given.flag("trace")], [true, false]);
  assertEquals([given.value("name"), given.value("port")], ["alice", "80"]);
  assertEquals(given.list("host"), ["a", "b"]);
  assertEquals(given.integer("port", 0, 65_535), 80);
});

Deno.test("parseOptions() tells what was not given as undefined or empty", () => {
  const given = parseOptions([], NAMES);
  assertEquals(given.value("name"), undefined);
  assertEquals(given.integer("port", 0, 1), undefined);
  assertEquals(given.list("host"), []);
});

Deno.test("parseOptions() keeps a value as it was typed", () => {
  for (const value of ["007", "1e3", "0x10", "true", "null", "a=b", "ñ", "__proto__"]) {
    assertEquals(parseOptions(["--name", value], NAMES).value("name"), value);
    assertEquals(parseOptions([`--name=${value}`], NAMES).value("name"), value);
  }
});

Deno.test("parseOptions() refuses what it does not know, and says what it knows", () => {
  const unknown = [
    ["--nmae", "alice"],
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
    assert(hint?.includes("--name"), args.join(" "));
  }
});

Deno.test("parseOptions() refuses a value that is missing, empty or given twice", () => {
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

Deno.test("integer() takes whole numbers between its bounds and nothing else", () => {
  const read = (text: string) => parseOptions([`--port=${text}`], NAMES).integer("port", 1, 1000);
  assertEquals([read("1"), read("1000"), read("007")], [1, 1000, 7]);
  for (const text of ["0", "1001", "-1", "1.5", "1e2", "0x1f", " 5", "5 ", "five", "9999999999"]) {
    const error = assertThrows(() => read(text), CifraError);
    assertEquals(error.code, "usage", text);
    assert(error.message.includes("from 1 to 1000"));
  }
});
