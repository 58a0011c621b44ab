/** lib/docs/settings.md, from the table of options. */
import { defaultOf } from "../lib/cli/help.ts";
import { SETTINGS, variableOf } from "../lib/cli/settings.ts";
import { code, madeFrom, table } from "./markdown.ts";

/** The page. */
export function settingsPage(): string {
  const sections = ["both", "connect", "serve"] as const;
  const titles = {
    both: "Above all sections",
    connect: "[connect]: for connect, users, history and keys",
    serve: "[serve]: for serve",
  };
  return [
    "# Settings",
    madeFrom("lib/cli/commands.ts"),
    "What need not be typed each time. A value is taken from the first of these that has one:",
    "1. the option on the command line, such as `--server 192.168.1.20`;\n" +
    "2. a variable of the environment, such as `CIFRA_SERVER=192.168.1.20`;\n" +
    "3. the file `cifra.toml`, in which that is a line below `[connect]`: " +
    '`server = "192.168.1.20"`;\n' +
    "4. what was used the last time, of `name` and `server`: `cifra connect --to bob` is enough;\n" +
    "5. the default.",
    "`cifra config` prints each value and where it comes from, and in its first line where the file " +
    "is looked for:",
    "- `$XDG_CONFIG_HOME/cifra/cifra.toml`, or else `~/.config/cifra/cifra.toml`, on Linux;\n" +
    "- `~/Library/Application Support/cifra/cifra.toml` on macOS;\n" +
    "- `%APPDATA%\\cifra\\cifra.toml` on Windows.",
    [
      "```toml",
      'state = "/home/alice/cifra"',
      "",
      "[connect]",
      'name = "alice"',
      'server = "192.168.1.20"',
      "no-history = true",
      "",
      "[serve]",
      'host = ["0.0.0.0"]',
      'title = "Lab 3"',
      "http = 7412",
      "```",
    ].join("\n"),
    "A key is the name of the option without its dashes. A flag is `true` or `false`, a number a " +
    "number, what may be repeated a list; in a variable a flag is also `1` or `0`, and a list has " +
    "commas. What is unknown or of a wrong kind is an error that names the file and the line " +
    "(exit code 2), whatever the command. Of variables only those below are looked at; what both halves have, as " +
    "`CIFRA_TRACE`, is for both. The file and its folder must " +
    "be yours or root's, and nobody else may write them.",
    "An option that was typed wins over settings that make no sense beside it: `--invite` needs no " +
    "`--server` taken back. A flag of the settings is taken back by `=false`, as in " +
    "`--no-history=false`. A setting that needs an option which is not there, such as " +
    "`receive-port` without `--to`, waits for one.",
    "The last time is kept for each name when a server has let it in. A program on a terminal says " +
    "who it is and where, and where there are several names takes the one that was used last. " +
    "Whoever has none is asked.",
    "Passwords, passphrases and invite lines are no settings: they are secrets. Neither are " +
    "options that are meant once, such as `--sign-up`.",
    ...sections.flatMap((section) => [
      `## ${titles[section]}`,
      table(
        ["key", "variable", "what it does", "default"],
        [...SETTINGS.values()].filter((row) => row.section === section).map((
          { name, option },
        ) => [
          code(name),
          code(variableOf(name)),
          `${option.does}${option.kind === "list" ? "; may be repeated" : ""}`,
          defaultOf(option) ?? "",
        ]),
      ),
    ]),
    "",
  ].join("\n\n");
}
