import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  compileArguments,
  explainFailure,
  parseCompile,
  permissionsFor,
  TARGETS,
} from "../../scripts/compile.ts";
import { TASK_MARK } from "../../lib/cli/suspend.ts";
import { CifraError } from "../../lib/errors.ts";

Deno.test("parseCompile() builds for this machine into dist when nothing is said", () => {
  const here = { target: undefined, path: "dist/cifra" };
  assertEquals(parseCompile([], "linux").builds, [here]);
  assertEquals(parseCompile([], "windows").builds, [{ ...here, path: "dist/cifra.exe" }]);
  assertEquals(parseCompile(["--output", "/tmp/x/"], "linux").builds, [
    { ...here, path: "/tmp/x/cifra" },
  ]);
});

Deno.test("parseCompile() names what it builds for others after them", () => {
  const twice = ["--target", TARGETS[0], "--target", TARGETS[4], "--target", TARGETS[0]];
  assertEquals(parseCompile(twice, "linux").builds, [
    { target: TARGETS[0], path: `dist/cifra-${TARGETS[0]}` },
    { target: TARGETS[4], path: `dist/cifra-${TARGETS[4]}.exe` },
  ]);
  assertEquals(parseCompile(["--all"], "linux").builds.map(({ target }) => target), [...TARGETS]);
});

for (
  const args of [["--target", "vax"], ["--all", "--target", TARGETS[0]], ["--targets"], [
    "--output",
  ]]
) {
  Deno.test(`parseCompile() refuses ${args.join(" ")}`, () => {
    assertEquals(assertThrows(() => parseCompile(args, "linux"), CifraError).code, "usage");
  });
}

Deno.test("compileArguments() bakes in the permissions of the tasks, wider for files alone", () => {
  const args = compileArguments({ target: "x", path: "y" });
  assertEquals(args, [
    "compile",
    "--frozen",
    "--v8-flags=--optimize-for-size,--max-semi-space-size=16,--initial-old-space-size=64",
    ...permissionsFor("x", Deno.build.os),
    "--target",
    "x",
    "--output",
    "y",
    "main.ts",
  ]);
  assert(args.includes("--no-prompt"));
  assert(!args.some((arg) => /allow-(all|ffi|hrtime|import)|^-A$/.test(arg)));
  // For `inbox --exec`, and nothing else.
  assertEquals(args.filter((arg) => arg.includes("run")), ["--allow-run=/bin/sh"]);
  const config = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  const variables = (text: string) => /--allow-env="?([^" ]+)/.exec(text)![1]!.split(",");
  // It needs not know whether `deno task` is its parent.
  const ofTask = variables(config.tasks.connect.command).filter((name) => name !== TASK_MARK);
  assertEquals(variables(args.join(" ")), ofTask);
});

Deno.test("explainFailure() tells a base that cannot be fetched from a program that is wrong", () => {
  const build = { target: TARGETS[1], path: "x" };
  const missing = explainFailure(
    build,
    "error: Writing\n error sending request for url (https://dl.deno.land/)",
  );
  assertEquals(missing.code, "unreachable");
  assertStringIncludes(missing.message, TARGETS[1]);
  assertStringIncludes(missing.hint!, "DENORT_BIN");
  const wrong = explainFailure(build, "TS2322 [ERROR]: Type 'string' is not assignable\n");
  assertEquals(wrong.code, "local");
  assertStringIncludes(wrong.message, "TS2322");
});
