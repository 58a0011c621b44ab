/** cifra: an encrypted messenger for machines that share a network. One program: `serve`, `connect`, `users`, `history`, `keys`. */
import { CifraError } from "./lib/errors.ts";
import { Terminal } from "./lib/cli/terminal.ts";
import { VERSION } from "./lib/version.ts";

const HELP = `cifra ${VERSION}: talk, encrypted end to end, over a meeting place of your own

Usage: cifra COMMAND [options]

  serve      run the meeting place
  connect    find people and talk
  users      who is there
  history    what was said
  keys       your keys, and those of the people you know

Every command has --help. In two terminals, after cifra serve in a third:
  cifra connect --name alice --to bob
  cifra connect --name bob --to alice
or both without --to, for the lobby, where one can talk to several.
`;

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  const terminal = new Terminal(rest.includes("--json"));
  try {
    switch (command) {
      case "serve": {
        const { serve, SERVE_HELP } = await import("./lib/cli/serve.ts");
        return rest.includes("--help") ? help(terminal, SERVE_HELP) : await serve(rest, terminal);
      }
      case "connect": {
        const { connect } = await import("./lib/cli/connect.ts");
        const { CONNECT_HELP } = await import("./lib/cli/connect_options.ts");
        return rest.includes("--help")
          ? help(terminal, CONNECT_HELP)
          : await connect(rest, terminal);
      }
      case "users": {
        const { users, USERS_HELP } = await import("./lib/cli/users.ts");
        return rest.includes("--help") ? help(terminal, USERS_HELP) : await users(rest, terminal);
      }
      case "history": {
        const { history, HISTORY_HELP } = await import("./lib/cli/history.ts");
        return rest.includes("--help")
          ? help(terminal, HISTORY_HELP)
          : await history(rest, terminal);
      }
      case "keys": {
        const { keys, KEYS_HELP } = await import("./lib/cli/keys.ts");
        return rest.includes("--help") ? help(terminal, KEYS_HELP) : await keys(rest, terminal);
      }
      case "--help":
      case "help":
        return help(terminal, HELP);
      case "--version":
        return help(terminal, `cifra ${VERSION}\n`);
      case undefined:
        help(terminal, HELP);
        return 2;
      default:
        throw new CifraError("usage", `Unknown command "${command}"`, {
          hint: "cifra --help lists the commands",
        });
    }
  } catch (error) {
    return terminal.fail(error);
  }
}

function help(terminal: Terminal, text: string): number {
  terminal.print(text.trimEnd());
  return 0;
}

Deno.exit(await main(Deno.args));
