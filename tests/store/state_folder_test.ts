import { assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { defaultStateFolder } from "../../lib/store/state_folder.ts";
import { CONFIG_FOLDERS, userFolder } from "../../lib/store/user_folders.ts";

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

Deno.test("defaultStateFolder() passes over a relative XDG_STATE_HOME, and takes / for a home", () => {
  const folder = (variables: Readonly<Record<string, string>>) =>
    defaultStateFolder("linux", (name) => variables[name]);
  const home = "/home/a/.local/state/cifra";
  assertEquals(folder({ HOME: "/home/a", XDG_STATE_HOME: "state" }), home);
  assertEquals(folder({ HOME: "/home/a/", XDG_STATE_HOME: "" }), home);
  assertEquals(folder({ HOME: "/" }), "/.local/state/cifra");
});

Deno.test("defaultStateFolder() asks for --state when the environment names no home", () => {
  for (const os of ["linux", "darwin", "windows"] as const) {
    const error = assertThrows(() => defaultStateFolder(os, () => undefined), CifraError);
    assertEquals(error.code, "local");
    assertEquals(error.hint?.includes("--state"), true);
  }
});

Deno.test("userFolder() finds the settings of each platform, and passes over a relative path", () => {
  const cases: readonly [typeof Deno.build.os, Record<string, string>, string | undefined][] = [
    ["linux", { HOME: "/home/a" }, "/home/a/.config/cifra"],
    ["linux", { HOME: "/home/a", XDG_CONFIG_HOME: "/config" }, "/config/cifra"],
    ["linux", { HOME: "/home/a", XDG_CONFIG_HOME: "config" }, "/home/a/.config/cifra"],
    ["linux", { HOME: "/home/a", XDG_CONFIG_HOME: "" }, "/home/a/.config/cifra"],
    ["darwin", { HOME: "/Users/a" }, "/Users/a/Library/Application Support/cifra"],
    ["windows", { HOME: "C:/a", APPDATA: "C:\\Roaming" }, "C:\\Roaming/cifra"],
    ["linux", {}, undefined],
    ["windows", { HOME: "/home/a" }, undefined],
  ];
  for (const [os, variables, expected] of cases) {
    assertEquals(userFolder(CONFIG_FOLDERS, os, (name) => variables[name]), expected);
  }
});
