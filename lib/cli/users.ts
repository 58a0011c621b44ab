/** `cifra users`: who is in the lobby, told once. */
import { Lobby } from "../client/lobby.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { parse } from "./args.ts";
import { USERS } from "./commands.ts";
import { type Frame, runFramed } from "./run.ts";
import { ServerAccess } from "./server_access.ts";
import { type ServerOptions, serverOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";

/** Prints who is there; returns the exit code, which is 0 also when nobody is. */
export async function users(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = serverOptions(parse(USERS, args).given);
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
