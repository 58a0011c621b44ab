/** `cifra users`: who is in the lobby, told once. */
import { Lobby } from "../client/lobby.ts";
import { DEFAULT_PORT } from "../client/server_address.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { parseOptions } from "./args.ts";
import { type Frame, runFramed } from "./run.ts";
import { ServerAccess } from "./server_access.ts";
import { parseServerOptions, type ServerOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";

export const USERS_HELP = `cifra users: who is in the lobby, for scripts

Usage: cifra users --name NAME [options]

  --name NAME           who you are; the others are not told that you looked
  --server HOST[:PORT]  the meeting place (default 127.0.0.1:${DEFAULT_PORT})
  --server-key KEY      the fingerprint that the server must have
  --invite              ask for the server's invite line; once is enough
  --invite-file FILE    read the invite line from a file
  --accept-new          trust a server seen for the first time without asking
  --suite SUITE         modern (default), rsa, or classic, which is for study
  --state DIR           where your keys are (default: the state folder of this user)
  --passphrase-fd N     read the passphrase of your keys from this descriptor; 0 is standard input
  --json                one JSON object per line on stdout

Each line is a name, and a tab and "away" for those who are away.

Example:
  cifra users --name alice
`;

/** Reads the arguments of `users`; throws `usage` and `bad_name`. */
export function parseUsers(args: readonly string[]): ServerOptions {
  return parseServerOptions(parseOptions(args, {
    flags: ["accept-new", "invite", "json", "help"],
    values: ["name", "server", "server-key", "invite-file", "suite", "state", "passphrase-fd"],
  }));
}

/** Prints who is there; returns the exit code, which is 0 also when nobody is. */
export async function users(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseUsers(args);
  return await runFramed(async (frame) => {
    const people = await lookIntoLobby(options, frame, terminal);
    if (people === "interrupted") return people;
    for (const [name, state] of [...people].sort(([a], [b]) => a < b ? -1 : 1)) {
      if (terminal.json) terminal.emit({ event: "user", name, state });
      else terminal.print(state === "away" ? `${name}\taway` : name);
    }
    return 0;
  });
}

async function lookIntoLobby(
  options: ServerOptions,
  { interrupted, ticker, openProfile }: Frame,
  terminal: Terminal,
): Promise<Lobby["people"] | "interrupted"> {
  const profile = await openProfile(options);
  const access = new ServerAccess(options, profile, terminal, ticker);
  const address = await access.address();
  const complete = Promise.withResolvers<void>();
  const lobby = new Lobby({
    environment: systemEnvironment,
    ourName: profile.name,
    suite: profile.suite,
    openServer: () => access.open(address, undefined),
    register: profile.registrar(systemEnvironment.time.date),
    hidden: true,
    changesPause: 0,
    onNews: (news) => {
      if (news.type === "changes") complete.resolve();
      // Whoever asks once is not kept waiting for a server that has gone.
      if (news.type === "server-lost") complete.reject(news.error);
    },
  });
  const staying = lobby.run();
  try {
    const signal = aborted(interrupted).then(() => "interrupted" as const);
    const first = await Promise.race([complete.promise, staying, signal]);
    return first === "interrupted" ? first : lobby.people;
  } finally {
    lobby.leave();
    await staying.catch(() => {});
  }
}
