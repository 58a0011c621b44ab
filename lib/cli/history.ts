/** `cifra history`: what was said, from the disk; also while `connect` is running. */
import { encodeHex } from "@std/encoding/hex";
import { KeyRing } from "../client/key_ring.ts";
import { openProfileFolder } from "../client/profile.ts";
import type { ProfileKey } from "../crypto/profile_key.ts";
import { CifraError } from "../errors.ts";
import type { HistoryEntry, HistoryFilter } from "../store/message_store.ts";
import { readHistory } from "../store/messages_history.ts";
import { StoreFailure } from "../store/store_failure.ts";
import { giveUpNetwork } from "./permissions.ts";
import { reachHistory } from "./running.ts";
import { findPrivate } from "../store/private_files.ts";
import { PROFILE_KEY_FILE } from "../store/profile_key_file.ts";
import { profilePath, stateFolder } from "../store/state_folder.ts";
import { parse } from "./args.ts";
import { HISTORY } from "./commands.ts";
import { describeGap, describeOffered } from "./message_words.ts";
import { chooseProfile } from "./profiles.ts";
import { jsonLine, type Shown } from "./page.ts";
import { runFramed } from "./run.ts";
import type { Terminal } from "./terminal.ts";
import { dayOf, timeOf } from "./wall_clock.ts";

/** Stands before lines that go on. */
const INDENT = "    ";
/** Results are written in pieces of about this many bytes. */
const PIECE = 64 * 1024;

/** Prints the history; returns the exit code, which is 0 also when there is none. */
export async function history(args: readonly string[], terminal: Terminal): Promise<number> {
  const { given } = parse(HISTORY, args);
  const { with: peer, search, since, last } = given;
  const options = { peer, search, since, last };
  if (!terminal.json) {
    terminal.looks = { colours: terminal.wantsColours(given.color), times: true };
  }
  const state = stateFolder(given.state);
  const name = await chooseProfile(state, given.name, "history");
  const path = profilePath(state, name);
  const show = (key?: ProfileKey) =>
    showHistory(entriesOf(path, options, key), name, options, terminal);
  if (!findPrivate(`${path}/${PROFILE_KEY_FILE}`, "isFile")) return await show();
  return await runFramed(terminal, async ({ secrets }) => {
    const passphrase = secrets.passphrase(name, given["passphrase-fd"]);
    const ring = new KeyRing(await openProfileFolder(state, name), name, passphrase);
    try {
      return await show(await ring.findMessagesKey());
    } finally {
      ring.drop();
    }
  });
}

/**
 * What was said: read from the disk, or, where another program has the file to itself, told by that one if it has the
 * profile. The network, as which its socket counts, is given up before anybody's words are read. Throws like
 * `readHistory` and `ToldHistory.tell`.
 */
async function* entriesOf(
  path: string,
  filter: HistoryFilter,
  key: ProfileKey | undefined,
): AsyncIterable<HistoryEntry> {
  let isOpen = false;
  const onOpen = () => {
    isOpen = true;
    giveUpNetwork();
  };
  try {
    return yield* readHistory(path, filter, key, onOpen);
  } catch (error) {
    if (isOpen || !(error instanceof StoreFailure) || error.trouble !== "inUse") throw error;
    const running = await reachHistory(path);
    giveUpNetwork();
    if (!running) throw error;
    yield* running.tell(filter, key);
  }
}

async function showHistory(
  entries: AsyncIterable<HistoryEntry>,
  name: string,
  options: HistoryFilter,
  terminal: Terminal,
): Promise<number> {
  const lineOf = (entry: HistoryEntry) =>
    terminal.json ? jsonOf(entry) : textOf(entry, name, options.peer, terminal);
  const found = await print(entries, lineOf, terminal);
  // With --json this says nothing: no line is answer enough.
  if (!found) terminal.say(nothing(name, options));
  return 0;
}

/** One line for a person, or several: those that go on are indented, so that none can pass for another's. */
function textOf(
  entry: HistoryEntry,
  name: string,
  onlyPeer: string | undefined,
  terminal: Terminal,
): Shown {
  const { peer: other } = entry;
  if (entry.type === "gap") return terminal.page("-- ", describeGap(entry, other), INDENT);
  const { direction, written } = entry;
  const when = `${dayOf(written)} ${timeOf(written)}`;
  if (entry.type === "offer") {
    const offered = describeOffered(entry, direction === "received" ? other : name);
    return terminal.page("-- ", `${when}: ${offered}`, INDENT);
  }
  const { text, state } = entry;
  const to = onlyPeer === undefined ? ` to ${other}` : "";
  const who = direction === "received" ? other : `${name}${to}`;
  const mark = state === "queued" ? " (queued)" : "";
  const from = { from: who, isOurs: direction === "sent", after: mark };
  return terminal.saying(`${when} `, from, text, INDENT);
}

function jsonOf(entry: HistoryEntry): Shown {
  const { peer } = entry;
  if (entry.type === "gap") {
    return jsonLine({ event: "gap", peer, from: Number(entry.from), to: Number(entry.to) });
  }
  const { direction, number, written, state } = entry;
  const time = new Date(written).toISOString();
  const said = { peer, direction, number: Number(number), time, state };
  if (entry.type === "text") return jsonLine({ event: "history", ...said, text: entry.text });
  const { id, name, files, folders, bytes } = entry;
  const size = bytes === undefined ? {} : { bytes };
  const offered = { transfer: encodeHex(id), name, files, folders, ...size };
  return jsonLine({ event: "offered", ...said, ...offered });
}

/** Prints until the end, or until the reader of our stdout has had enough, as `head` has. Whether there was anything. */
async function print(
  entries: AsyncIterable<HistoryEntry>,
  lineOf: (entry: HistoryEntry) => Shown,
  terminal: Terminal,
): Promise<boolean> {
  let piece: Shown[] = [];
  let length = 0;
  let found = false;
  try {
    for await (const entry of entriesOrNone(entries)) {
      found = true;
      const line = lineOf(entry);
      piece.push(line);
      length += line.length;
      if (length < PIECE) continue;
      await terminal.results(piece);
      piece = [];
      length = 0;
    }
    await terminal.results(piece);
  } catch (error) {
    const { cause } = error as Error;
    if (!(cause instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return found;
}

/** A profile that has never talked has no file of messages yet. */
async function* entriesOrNone(
  entries: AsyncIterable<HistoryEntry>,
): AsyncIterable<HistoryEntry> {
  try {
    yield* entries;
  } catch (error) {
    const missing = error instanceof CifraError && error.cause instanceof Deno.errors.NotFound;
    if (!missing) throw error;
  }
}

function nothing(name: string, { peer, search, since }: HistoryFilter): string {
  const withPeer = peer === undefined ? "" : ` with ${peer}`;
  const about = search === undefined ? "" : `, with "${search}" in it`;
  const from = since === undefined ? "" : `, since ${dayOf(since)} ${timeOf(since)}`;
  return `nothing is kept of what ${name} said${withPeer}${about}${from}`;
}
