/** The commands of an operator, on the server's own terminal or over its local socket: text in, text out. */
import { decodeHex } from "@std/encoding/hex";
import { shortFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { DAY } from "../limits.ts";
import { isName } from "../wire/names.ts";
import type { ServerStore } from "../store/server_store.ts";
import type { Server } from "./server.ts";

const PAGE = 100;

/** What the commands act on. */
export interface ConsoleOptions {
  readonly server: Server;
  readonly store: ServerStore;
  /** Milliseconds since 1970. */
  readonly date: () => number;
  /** The line that lets people in with this secret. */
  readonly inviteLine: (secret: ReturnType<Server["invite"]>["secret"]) => string;
  /** Ends the server. */
  readonly quit: () => void;
}

interface Command {
  readonly usage: string;
  readonly does: string;
  readonly run: (console: ConsoleOptions, args: readonly string[]) => string;
}

/** The commands, by name. */
export const CONSOLE_COMMANDS: ReadonlyMap<string, Command> = new Map(Object.entries<Command>({
  help: { usage: "help", does: "this", run: help },
  active: { usage: "active", does: "who is connected, and whom they wait for", run: active },
  db: { usage: "db [FROM]", does: "the names that are known, and whose they are", run: db },
  kick: {
    usage: "kick WHO",
    does: "end their connections: a name, key:KEY or from:SOURCE",
    run: kick,
  },
  ban: { usage: "ban NAME", does: "keep a name and its keys out", run: ban },
  unban: { usage: "unban NAME", does: "let them in again", run: unban },
  bans: { usage: "bans", does: "who is kept out", run: bans },
  forget: { usage: "forget NAME", does: "make a name free, with its account", run: forget },
  invite: { usage: "invite [DAYS] [USES]", does: "a new invite line (7 days, once)", run: invite },
  invites: { usage: "invites", does: "the invites that there are", run: invites },
  revoke: { usage: "revoke ID", does: "make an invite void", run: revoke },
  stats: { usage: "stats", does: "how much there is of everything", run: stats },
  quit: { usage: "quit", does: "end the server", run: quit },
}));

/** Runs one line. Throws `usage` on what is no command; `local` when the store fails. */
export function runCommand(line: string, options: ConsoleOptions): string {
  const [word, ...args] = line.trim().split(/\s+/);
  const command = CONSOLE_COMMANDS.get(word ?? "");
  if (!command) {
    throw new CifraError("usage", `No such command: ${word}`, { hint: "help lists them" });
  }
  const most = command.usage.split(" ").length - 1;
  const least = command.usage.split(" ").slice(1).filter((part) => !part.startsWith("[")).length;
  if (args.length < least || args.length > most) {
    throw new CifraError("usage", `Use it like this: ${command.usage}`);
  }
  return command.run(options, args);
}

function help(): string {
  return [...CONSOLE_COMMANDS.values()].map(({ usage, does }) => `${usage.padEnd(22)}${does}`).join(
    "\n",
  );
}

function active({ server }: ConsoleOptions): string {
  const people = [...server.people()].sort((a, b) => a.name < b.name ? -1 : 1);
  const lines = people.map(({ name, wants, isInLobby, suite, fingerprint, source }) => {
    const what = [
      ...isInLobby ? ["in the lobby"] : [],
      ...wants.length > 0 ? [`waits for ${wants.join(", ")}`] : [],
    ].join(", ") || "here";
    return [name.padEnd(20), what.padEnd(30), suite, short(fingerprint), `from ${source}`].join(
      " ",
    );
  });
  const nameless = [...server.nameless()].map(({ suite, fingerprint, source }) =>
    ["-".padEnd(20), "no name yet".padEnd(30), suite, short(fingerprint), `from ${source}`].join(
      " ",
    )
  );
  const sum = `${lines.length} here, ${server.connections} connections`;
  return [...lines, ...nameless, sum].join("\n");
}

function db({ store }: ConsoleOptions, [from = ""]: readonly string[]): string {
  const keys = store.keys(from, PAGE);
  const lines = keys.map(({ name, suite, fingerprint, created, lastSeen }) =>
    [
      name.padEnd(20),
      suite.padEnd(8),
      short(fingerprint),
      `since ${day(created)}`,
      `seen ${day(lastSeen)}`,
      store.account(name) ? "account" : "",
    ].join(" ").trimEnd()
  );
  const { names } = store.counts();
  const shown = new Set(keys.map(({ name }) => name)).size;
  const more = shown === PAGE ? `more: db ${keys.at(-1)!.name}` : `${names} names`;
  return [...lines, more].join("\n");
}

/** A name has no colon: a key and a source, as `active` shows them, are told from it by what stands before. */
function kick({ server }: ConsoleOptions, [who = ""]: readonly string[]): string {
  const [, by, which] = /^(key|from):([0-9a-z.:-]{7,64})$/.exec(who) ?? [];
  const count = which === undefined
    ? server.kick(requireNameLike(who))
    : server.kickAll(by === "key" ? "key" : "source", which);
  return `${connections(count)} of ${who} ended`;
}

function ban({ server }: ConsoleOptions, [name = ""]: readonly string[]): string {
  const ended = server.ban(requireNameLike(name));
  return `${name} is kept out; ${connections(ended)} ended`;
}

function unban({ server }: ConsoleOptions, [name = ""]: readonly string[]): string {
  return server.unban(requireNameLike(name))
    ? `${name} may come in again`
    : `${name} was not kept out`;
}

function bans({ store }: ConsoleOptions): string {
  const lines = store.bans().map(({ kind, subject, since }) =>
    `${kind.padEnd(5)} ${kind === "key" ? short(subject) : subject} since ${day(since)}`
  );
  return lines.join("\n") || "nobody is kept out";
}

function forget({ server, store }: ConsoleOptions, [name = ""]: readonly string[]): string {
  if (store.keysOf(requireNameLike(name)).length === 0) return `${name} is not known`;
  store.forget(name);
  server.kick(name);
  return `${name} is free again`;
}

function invite(
  { server, date, inviteLine }: ConsoleOptions,
  [days = "7", uses = "1"]: readonly string[],
): string {
  const lasts = whole(days, "DAYS", 3650), times = whole(uses, "USES", 1_000_000);
  const { id, secret } = server.invite(date() + lasts * DAY, times);
  const people = times === 1 ? "one person" : `${times} people`;
  return `${inviteLine(secret)}\n${id}: good for ${people}, ${lasts} days`;
}

function invites({ store, date }: ConsoleOptions): string {
  const lines = store.invites().map(({ id, created, expires, uses }) => {
    const state = expires <= date() ? "expired" : uses === 0 ? "used up" : `${uses} left`;
    return `${id} ${state.padEnd(10)} made ${day(created)} until ${day(expires)}`;
  });
  return lines.join("\n") || "none but the one that the server prints when it starts";
}

function revoke({ store }: ConsoleOptions, [id = ""]: readonly string[]): string {
  const found = store.invites().filter((each) => each.id.startsWith(id));
  if (found.length > 1) throw new CifraError("usage", `${id} is the beginning of several`);
  const [only] = found;
  if (!only) return "there is no such invite";
  store.removeInvite(only.id);
  return `${only.id} is void`;
}

function stats({ server, store }: ConsoleOptions): string {
  const { names, accounts, invites: open, bans: shut } = store.counts();
  return [
    `connections   ${server.connections}`,
    `people here   ${[...server.people()].length}`,
    `names known   ${names}`,
    `accounts      ${accounts}`,
    `invites       ${open}`,
    `bans          ${shut}`,
  ].join("\n");
}

function quit({ quit: end }: ConsoleOptions): string {
  end();
  return "closing";
}

function requireNameLike(name: string): string {
  if (!isName(name)) throw new CifraError("usage", "This is not a valid name");
  return name;
}

function whole(text: string, what: string, most: number): number {
  const number = Number(text);
  if (!/^\d{1,7}$/.test(text) || number < 1 || number > most) {
    throw new CifraError("usage", `${what} must be a whole number from 1 to ${most}`);
  }
  return number;
}

function connections(count: number): string {
  return count === 1 ? "1 connection" : `${count} connections`;
}

function short(fingerprint: string): string {
  return shortFingerprint(new Uint8Array(decodeHex(fingerprint)));
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
