import { assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { defaultStateFolder } from "../../lib/store/state_folder.ts";

Deno.test("defaultStateFolder() follows the convention of each platform", () => {
  const all: Readonly<Record<string, string>> = {
    HOME: "/home/a",
    XDG_STATE_HOME: "/state",
    LOCALAPPDATA: "C:/Local",
  };
  const cases: readonly [typeof Deno.build.os, readonly string[], string][] = [
    ["linux", ["HOME"], "/home/a/.local/state/cifra"],
    ["linux", ["HOME", "XDG_STATE_HOME"], "/state/cifra"],
    ["freebsd", ["HOME"], "/home/a/.local/state/cifra"],
    ["darwin", ["HOME", "XDG_STATE_HOME"], "/home/a/Library/Application Support/cifra"],
    ["windows", ["HOME", "LOCALAPPDATA"], "C:/Local/cifra"],
  ];
  for (const [os, set, expected] of cases) {
    assertEquals(
      defaultStateFolder(os, (name) => set.includes(name) ? all[name] : undefined),
      expected,
    );
  }
});

Deno.test("defaultStateFolder() asks for --state when the environment names no home", () => {
  for (const os of ["linux", "darwin", "windows"] as const) {
    const error = assertThrows(() => defaultStateFolder(os, () => undefined), CifraError);
    assertEquals(error.code, "local");
    assertEquals(error.hint?.includes("--state"), true);
  }
});
