/** The commands of an operator, on the server's own terminal or over its local socket: text in, text out. */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { formatFingerprint, parseFingerprint, shortFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { dayOf } from "../flow/time.ts";
import {
  DAY,
  PASSWORD_TRIES_NAME_PER_MINUTE,
  STANDING_INVITE_LIFETIME,
  STANDING_INVITE_USES,
} from "../limits.ts";
import { bannedAlone, invitesOf, namesBy, type Subject, unban as lift } from "../services/bans.ts";
import { isRevoked, type MadeInvite } from "../services/invites.ts";
import { compareNames, isName, withoutCapitals } from "../wire/names.ts";
import type { Invite, ServerStore } from "../store/server_store.ts";
import type { Metrics } from "./metrics.ts";
import type { Server } from "./server.ts";
import { tableLines } from "./table.ts";

const PAGE = 100;
/** Letters of a key that name it: enough that few keys begin alike. */
const KEY_BEGINNING = 7;
/** Letters of a whole key. */
const KEY_LETTERS = 52;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
/** Words of a usage in whose place a name may stand. */
const NAMES: ReadonlySet<string> = new Set(["WHO", "[FROM]"]);
const NO_INVITE = "there is no such invite";

/** What the commands act on. */
export interface ConsoleOptions {
  readonly server: Server;
  readonly store: ServerStore;
  readonly metrics: Pick<Metrics, "total">;
  /** Milliseconds since 1970. */
  readonly date: () => number;
  /** The line that lets people in with this secret. */
  readonly inviteLine: (secret: MadeInvite["secret"]) => string;
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
  ban: {
    usage: "ban WHO [--line]",
    does: "keep a name and its keys out, or key:KEY; and shut the line they came by",
    run: ban,
  },
  unban: { usage: "unban WHO", does: "let a name and its keys in again, or key:KEY", run: unban },
  bans: { usage: "bans", does: "who is kept out", run: bans },
  forget: {
    usage: "forget WHO",
    does: "make a name free, with its account; or take key:KEY from it",
    run: forget,
  },
  invite: { usage: "invite [DAYS] [USES]", does: "a new invite line (7 days, once)", run: invite },
  invites: { usage: "invites", does: "the invites that there are", run: invites },
  renew: {
    usage: "renew [ID] [DAYS] [USES]",
    does: "set anew whom an invite lets in, or the printed one (30 days, 40 people)",
    run: renew,
  },
  revoke: { usage: "revoke ID", does: "let nobody new in with an invite", run: revoke },
  recall: {
    usage: "recall ID [MINUTES]",
    does: "forget who came by an invite, in all or lately, and put another in its place",
    run: recall,
  },
  locks: {
    usage: "locks",
    does: "who may not sign in after wrong passwords, or is slowed down",
    run: locks,
  },
  unlock: {
    usage: "unlock WHO",
    does: "let them try again: a name, or from:SOURCE",
    run: unlock,
  },
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
  const words = command.usage.split(" ").slice(1);
  const least = words.filter((part) => !part.startsWith("[")).length;
  if (args.length < least || args.length > words.length) throw misused(command);
  const meant = args.map((arg, i) => NAMES.has(words[i]!) ? withoutCapitals(arg) : arg);
  const lowered = meant.flatMap((name, i) =>
    name === args[i] ? [] : [`names have no capitals: ${args[i]} is ${name}`]
  );
  return [...lowered, command.run(options, meant)].join("\n");
}

function misused({ usage }: Command): CifraError {
  return new CifraError("usage", `Use it like this: ${usage}`);
}

function help(): string {
  return [...CONSOLE_COMMANDS.values()].map(({ usage, does }) => `${usage.padEnd(26)}${does}`).join(
    "\n",
  );
}

function active({ server }: ConsoleOptions): string {
  const people = [...server.people()].sort((a, b) => compareNames(a.name, b.name));
  const rows = people.map(({ name, wants, isInLobby, suite, fingerprint, source }) => {
    const what = [
      ...isInLobby ? ["in the lobby"] : [],
      ...wants.length > 0 ? [`waits for ${wants.join(", ")}`] : [],
    ].join(", ") || "here";
    return [name, what, suite, short(fingerprint), source];
  });
  const nameless = [...server.nameless()].map(({ suite, fingerprint, source }) => [
    "-",
    "no name yet",
    suite,
    short(fingerprint),
    source,
  ]);
  const sum = `${rows.length} here, ${connections(server.connections)}`;
  return table(["NAME", "DOES", "SUITE", "KEY", "FROM"], [...rows, ...nameless], sum);
}

function db({ store }: ConsoleOptions, [from = ""]: readonly string[]): string {
  const keys = store.keys(from, PAGE);
  const rows = keys.map(({ name, suite, fingerprint, created, lastSeen, invite }) => [
    name,
    suite,
    short(fingerprint),
    dayOf(created),
    dayOf(lastSeen),
    store.credentials(name) ? "yes" : "no",
    invite === undefined ? "-" : idStart(invite),
  ]);
  const { names } = store.counts();
  const shown = new Set(keys.map(({ name }) => name)).size;
  const sum = shown === PAGE ? `more: db ${keys.at(-1)!.name}` : counted(names, "name");
  return table(["NAME", "SUITE", "KEY", "SINCE", "SEEN", "ACCOUNT", "INVITE"], rows, sum);
}

/** Rows under headings, as wide as they need, and a last line; without rows that alone. */
function table(headings: readonly string[], rows: readonly (readonly string[])[], sum: string) {
  if (rows.length === 0) return sum;
  return [...tableLines([headings, ...rows]), sum].join("\n");
}

/** A name has no colon: a key and a source, as `active` shows them, are told from it by what stands before. */
function kick({ server, store }: ConsoleOptions, [who = ""]: readonly string[]): string {
  const source = sourceOf(who);
  const count = source === undefined
    ? server.kick(subjectOf(server, store, who))
    : server.kickFrom(source);
  return `${connections(count)} of ${who} ended`;
}

function ban(
  { server, store }: ConsoleOptions,
  [who = "", line]: readonly string[],
): string {
  if (line !== undefined && line !== "--line") {
    throw misused(CONSOLE_COMMANDS.get("ban")!);
  }
  const subject = subjectOf(server, store, who);
  const ended = server.ban(subject);
  const lines = invitesOf(store, subject).map((id) => {
    if (line !== undefined && server.invites.revoke(id)) return `the line ${id} is shut`;
    const invite = store.invite(id);
    const isShut = !invite || isRevoked(invite);
    return isShut
      ? `they came by the line ${id}, which is shut`
      : `they came by the line ${id}, by which they may come again with another key: ` +
        `ban ${who} --line shuts it`;
  });
  return [`${who} is kept out; ${connections(ended)} ended`, ...lines].join("\n");
}

function unban({ server, store }: ConsoleOptions, [who = ""]: readonly string[]): string {
  const subject = subjectOf(server, store, who);
  const words = lift(store, subject) ? `${who} may come in again` : `${who} was not kept out`;
  if (subject.kind === "key") return words;
  const kept = bannedAlone(store, subject.name).map((fingerprint) => `key:${short(fingerprint)}`)
    .map((key) => `its ${key} is kept out by a ban of its own: unban ${key} lifts that`);
  return [words, ...kept].join("\n");
}

function bans({ store }: ConsoleOptions): string {
  const lines = store.bans().map(({ kind, subject, since, name }) => {
    if (kind === "name") return `${subject} since ${dayOf(since)}`;
    const owner = store.keyWith(subject)?.name;
    const whose = name !== undefined ? ` (with ${name})` : owner && ` (of ${owner})`;
    return `key:${short(subject)} since ${dayOf(since)}${whose ?? ""}`;
  });
  return lines.join("\n") || "nobody is kept out";
}

function forget({ server, store }: ConsoleOptions, [who = ""]: readonly string[]): string {
  const subject = subjectOf(server, store, who);
  if (!server.forget(subject)) return `${who} is not known`;
  if (subject.kind === "key") return `${who} belongs to nobody now`;
  return store.isBanned("name", subject.name)
    ? `${who} belongs to nobody now, and is still kept out: unban ${who} makes it free`
    : `${who} is free again`;
}

function invite(
  { server, date, inviteLine }: ConsoleOptions,
  [days = "7", uses = "1"]: readonly string[],
): string {
  const lasts = whole(days, "DAYS", 3650), times = whole(uses, "USES", 1_000_000);
  const { invite: { id }, secret } = server.invites.make(date(), date() + lasts * DAY, times);
  return `${inviteLine(secret)}\n${id}: good for ${headcount(times)}, ${lasts} days`;
}

function invites({ store, date }: ConsoleOptions): string {
  const lines = store.invites().map((invite) => {
    const { id, created, expires, uses, standing } = invite;
    const ending = isRevoked(invite) ? "" : ` until ${dayOf(expires)}`;
    const state = isRevoked(invite)
      ? "revoked"
      : expires <= date()
      ? "expired"
      : uses === 0
      ? "used up"
      : `${uses} left`;
    const printed = standing ? ", printed at the start" : "";
    return `${id} ${state.padEnd(10)} made ${dayOf(created)}${ending}${printed}`;
  });
  return lines.join("\n") || "none";
}

function renew(
  { server, store, date, inviteLine }: ConsoleOptions,
  [id, days = `${STANDING_INVITE_LIFETIME / DAY}`, uses = `${STANDING_INVITE_USES}`]:
    readonly string[],
): string {
  const lasts = whole(days, "DAYS", 3650), times = whole(uses, "USES", 1_000_000);
  // Without an id: the one that is printed, or a new one in its place when that was revoked.
  const only = id === undefined ? server.invites.standing(date()).invite : inviteLike(store, id);
  const renewed = only && server.invites.renew(only.id, date() + lasts * DAY, times);
  if (!renewed) return only ? `${only.id} was revoked: make another with invite` : NO_INVITE;
  return `${inviteLine(renewed.secret)}\n${only.id}: good for ${times} more people, ${lasts} days`;
}

function revoke({ server, store }: ConsoleOptions, [id = ""]: readonly string[]): string {
  const only = inviteLike(store, id);
  if (!only) return NO_INVITE;
  server.invites.revoke(only.id);
  return `${only.id} is void`;
}

function recall(
  { server, store, date, inviteLine }: ConsoleOptions,
  [id = "", minutes]: readonly string[],
): string {
  const only = inviteLike(store, id);
  if (!only) return NO_INVITE;
  const since = minutes === undefined ? 0 : date() - whole(minutes, "MINUTES", 1_000_000) * 60_000;
  const names = namesBy(store, only.id, since);
  const other = server.invites.replace(only.id, names.length, date());
  for (const name of names) server.forget({ kind: "name", name });
  const told = [
    `${counted(names.length, "name")} forgotten${names.length > 0 ? `: ${names.join(", ")}` : ""}`,
    `${only.id} is void`,
  ];
  if (!other) return told.join("\n");
  const { invite: { id: next, uses }, secret } = other;
  return [...told, inviteLine(secret), `${next}: good for ${headcount(uses)} in its place`].join(
    "\n",
  );
}

function locks({ server }: ConsoleOptions): string {
  const lines = server.locks().map(({ name, tag, remaining }) => {
    const who = name === undefined ? "everybody" : isName(name) ? name : "no name";
    return tag === undefined
      ? `${who} from anywhere new: slowed down, one try in ${60 / PASSWORD_TRIES_NAME_PER_MINUTE} s`
      : `${who} from ${tag} for ${Math.ceil(remaining / 60_000)} more minutes`;
  });
  return lines.join("\n") || "nobody is locked out";
}

function unlock({ server, store }: ConsoleOptions, [who = ""]: readonly string[]): string {
  const tag = sourceOf(who);
  const name = tag === undefined ? requireNameLike(store, who) : undefined;
  const count = server.unlock({ name, tag });
  return count === 0 ? `${who} was not locked out` : `${who} may try again`;
}

function stats({ server, store, metrics }: ConsoleOptions): string {
  const { names, accounts, invites: open, bans: shut } = store.counts();
  const people = [...server.people()];
  const { mail } = server;
  return [
    `connections   ${server.connections}`,
    `people here   ${people.length}`,
    `wants         ${people.reduce((sum, { wants }) => sum + wants.length, 0)}`,
    `introduced    ${metrics.total("introduced")} since the start`,
    `relayed       ${metrics.total("relaying")} since the start`,
    `names known   ${names}`,
    `accounts      ${accounts}`,
    `invites       ${open}`,
    `bans          ${shut}`,
    ...mail ? [`mailbox       ${counted(mail.count, "envelope")}, ${mail.bytes} bytes`] : [],
  ].join("\n");
}

function quit({ quit: end }: ConsoleOptions): string {
  end();
  return "closing";
}

/** A name that somebody can have, or has from an earlier version, or by which somebody is kept out. */
function requireNameLike(store: ServerStore, name: string): string {
  const isThere = store.keysOf(name).length > 0 || store.isBanned("name", name);
  if (!isThere && !isName(name)) throw new CifraError("usage", "This is not a valid name");
  return name;
}

/** What stands after `from:`, as the log has it; undefined for what does not begin so. */
function sourceOf(who: string): string | undefined {
  if (!who.startsWith("from:")) return undefined;
  const [, source] = /^from:([0-9a-z.:]{1,64})$/.exec(who) ?? [];
  if (source !== undefined) return source;
  throw new CifraError("usage", "Say from: and a source as active shows it");
}

/** A name, or `key:` and the beginning of a fingerprint as people read it, which no name can be. */
function subjectOf(server: Server, store: ServerStore, who: string): Subject {
  if (!who.startsWith("key:")) return { kind: "name", name: requireNameLike(store, who) };
  const letters = who.slice("key:".length).replaceAll("-", "");
  if (letters.length < KEY_BEGINNING || !/^[a-z2-7]{1,52}$/.test(letters)) {
    const words = `Say key: and the first ${KEY_BEGINNING} letters of a key or more`;
    throw new CifraError("usage", `${words}, as active shows it: key:k6xe-fxxu`);
  }
  const known = store.keysBeginning(digitsOf(letters)).map(({ fingerprint }) => fingerprint);
  const kept = store.bans().flatMap(({ kind, subject }) => kind === "key" ? [subject] : []);
  const nameless = [...server.nameless()].map(({ fingerprint }) => fingerprint);
  const found = [...new Set([...known, ...kept, ...nameless])].filter((fingerprint) =>
    formatFingerprint(new Uint8Array(decodeHex(fingerprint))).replaceAll("-", "")
      .startsWith(letters)
  );
  if (found.length > 1) throw new CifraError("usage", `${who} is the beginning of several`);
  const [fingerprint = wholeKey(letters)] = found;
  if (fingerprint !== undefined) return { kind: "key", fingerprint };
  throw new CifraError("usage", `There is no ${who} here`, {
    hint: "a key that was never here is meant by all its 52 letters",
  });
}

/** The hexadecimal digits of a key whose letters are all there, or undefined. */
function wholeKey(letters: string): string | undefined {
  return letters.length < KEY_LETTERS ? undefined : encodeHex(parseFingerprint(letters));
}

/** The hexadecimal digits with which a fingerprint begins whose letters of base32 are these. */
function digitsOf(letters: string): string {
  const bits = [...letters].map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, "0"))
    .join("");
  return (bits.match(/.{4}/g) ?? []).map((digit) => Number.parseInt(digit, 2).toString(16)).join(
    "",
  );
}

function inviteLike(store: ServerStore, id: string): Invite | undefined {
  const found = store.invites().filter((each) => each.id.startsWith(id));
  if (found.length > 1) throw new CifraError("usage", `${id} is the beginning of several`);
  return found[0];
}

/** Enough of an invite's id to tell two of them apart. */
function idStart(id: string): string {
  return id.slice(0, 8);
}

function whole(text: string, what: string, most: number): number {
  const number = Number(text);
  if (!/^\d{1,7}$/.test(text) || number < 1 || number > most) {
    throw new CifraError("usage", `${what} must be a whole number from 1 to ${most}`);
  }
  return number;
}

function connections(count: number): string {
  return counted(count, "connection");
}

function headcount(count: number): string {
  return count === 1 ? "one person" : `${count} people`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function short(fingerprint: string): string {
  return shortFingerprint(new Uint8Array(decodeHex(fingerprint)));
}
