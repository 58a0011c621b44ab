/** `cifra history`: what was said, from the disk; also while `connect` is running. */
import { KeyRing } from "../client/key_ring.ts";
import { openProfileFolder } from "../client/profile.ts";
import type { ProfileKey } from "../crypto/profile_key.ts";
import { CifraError } from "../errors.ts";
import type { HistoryEntry, HistoryFilter } from "../store/message_store.ts";
import { readHistory } from "../store/messages_history.ts";
import { findPrivate } from "../store/private_files.ts";
import { PROFILE_KEY_FILE } from "../store/profile_key_file.ts";
import { profilePath, stateFolder } from "../store/state_folder.ts";
import { parse } from "./args.ts";
import { HISTORY } from "./commands.ts";
import { describeGap } from "./message_words.ts";
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
    showHistory(readHistory(path, options, key), name, options, terminal);
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

async function showHistory(
  entries: Iterable<HistoryEntry>,
  name: string,
  options: HistoryFilter,
  terminal: Terminal,
): Promise<number> {
  const lines = terminal.json
    ? jsonLines(entries)
    : textLines(entries, name, options.peer, terminal);
  const found = await print(lines, terminal);
  // With --json this says nothing: no line is answer enough.
  if (!found) terminal.say(nothing(name, options));
  return 0;
}

/** One line for a person, or several: those that go on are indented, so that none can pass for another's. */
function* textLines(
  entries: Iterable<HistoryEntry>,
  name: string,
  onlyPeer: string | undefined,
  terminal: Terminal,
): Iterable<Shown> {
  for (const entry of entries) {
    const { peer: other } = entry;
    if (entry.type === "gap") {
      yield terminal.page("-- ", describeGap(entry, other), INDENT);
      continue;
    }
    const { direction, written, text, state } = entry;
    const to = onlyPeer === undefined ? ` to ${other}` : "";
    const who = direction === "received" ? other : `${name}${to}`;
    const mark = state === "queued" ? " (queued)" : "";
    const from = { from: who, isOurs: direction === "sent", after: mark };
    yield terminal.saying(`${dayOf(written)} ${timeOf(written)} `, from, text, INDENT);
  }
}

function* jsonLines(entries: Iterable<HistoryEntry>): Iterable<Shown> {
  for (const entry of entries) {
    const { peer } = entry;
    if (entry.type === "gap") {
      yield jsonLine({
        event: "gap",
        peer,
        from: Number(entry.from),
        to: Number(entry.to),
      });
      continue;
    }
    const { direction, number, written, text, state } = entry;
    const time = new Date(written).toISOString();
    yield jsonLine({
      event: "history",
      peer,
      direction,
      number: Number(number),
      time,
      text,
      state,
    });
  }
}

/** Prints until the end, or until the reader of our stdout has had enough, as `head` has. Whether there was anything. */
async function print(lines: Iterable<Shown>, terminal: Terminal): Promise<boolean> {
  let piece: Shown[] = [];
  let length = 0;
  let found = false;
  try {
    for (const line of linesOrNone(lines)) {
      found = true;
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
function* linesOrNone(lines: Iterable<Shown>): Iterable<Shown> {
  try {
    yield* lines;
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
