import { assertEquals } from "@std/assert";
import { absolutePath, isWithin, typedPaths } from "../../lib/cli/here.ts";

Deno.test("a path is what was typed, or what a terminal makes of a file that is dropped on it", () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["/tmp/thesis.pdf", ["/tmp/thesis.pdf"]],
    ["/tmp/my thesis.pdf ", ["/tmp/my thesis.pdf"]],
    ["'/tmp/my thesis.pdf' ", ["/tmp/my thesis.pdf"]],
    ['"/tmp/my thesis.pdf"', ["/tmp/my thesis.pdf"]],
    ["/tmp/my\\ thesis.pdf ", ["/tmp/my thesis.pdf"]],
    ["'/a b' /c\\ d", ["/a b", "/c d"]],
    ["'/it'\\''s'", ["/it's"]],
    ["/tmp/bob's thesis", ["/tmp/bob's thesis"]],
    ["", [""]],
    ["''", [""]],
  ];
  for (const [typed, paths] of cases) assertEquals(typedPaths(typed), paths, typed);
});

Deno.test("a path is one from the home, from where the command was given, or as it stands", () => {
  const home = Deno.env.get("HOME")!;
  assertEquals(absolutePath("~/x"), `${home}/x`);
  assertEquals(absolutePath("~"), home);
  assertEquals(absolutePath("/a//b/../c/./"), "/a/c");
  assertEquals(absolutePath("/"), "/");
  assertEquals(absolutePath("a/.."), absolutePath("."));
});

Deno.test("what is in a folder is below it, and not what only begins like it", () => {
  for (const path of ["/a", "/a/b", "/a/b/c"]) assertEquals(isWithin(path, "/a"), true, path);
  for (const path of ["/", "/ab", "/b/a"]) assertEquals(isWithin(path, "/a"), false, path);
  assertEquals(isWithin("/b", "/"), true);
});
