/** `cifra send FILE...`: files for somebody, until they are on that person's disk. */
import type { RelayChoice } from "../client/home.ts";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { pathsIn } from "../client/sent_place.ts";
import { profilePath, stateFolder } from "../store/state_folder.ts";
import { isOver, type TransferRow } from "../store/transfer_store.ts";
import {
  describeLeftOut,
  describeLinks,
  nameOf,
  offeredJson,
  stateOf,
  type TransferFacts,
  transferFacts,
} from "./file_words.ts";
import { FileRun } from "./file_run.ts";
import { follow } from "./handed_files.ts";
import { askOffer } from "./running.ts";
import { type MailRunOptions, openMail, requireKnown } from "./mail_run.ts";
import { type CommandFrame, runFramed } from "./run.ts";
import { nextPiece, pieceTaken } from "./stdin.ts";
import type { Terminal } from "./terminal.ts";

/** What the command line says. */
export interface SendFilesOptions extends MailRunOptions {
  readonly to: string;
  /** Absolute; none: standard input. */
  readonly paths: readonly string[];
  /** What standard input is called. */
  readonly as: string | undefined;
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
}

/** Sends them; returns the exit code, which is 0 when the other side has all of it. */
export async function sendFiles(options: SendFilesOptions, terminal: Terminal): Promise<number> {
  // Whoever goes before the end has not sent it.
  return await runFramed(terminal, (frame) => sendAll(options, frame, terminal), { isWhole: true });
}

async function sendAll(
  options: SendFilesOptions,
  frame: CommandFrame,
  terminal: Terminal,
): Promise<number | "interrupted"> {
  const { to, name, as } = options;
  const folder = profilePath(stateFolder(options.state), name);
  const handed = as === undefined ? await askOffer(folder, to, options.paths) : undefined;
  if (handed) {
    const end = await follow(handed, { folder, name }, terminal, frame.interrupted);
    return end === "interrupted" ? end : finish(end, handed.leftOut.length, terminal);
  }
  const busy = `send it there with /send, or end that one first: it sends files of ${name} as well`;
  const place = await openMail(options, frame, terminal, busy);
  await requireKnown(options, place, terminal);
  let row: TransferRow | undefined;
  let leftOut = 0;
  const run: FileRun = new FileRun({
    place,
    terminal,
    only: to,
    relay: options.relay,
    advertised: options.advertised,
    accept: "known",
    // Nobody is asked here; it is offered again to whoever looks.
    decide: () => "ask",
    offers: true,
    patience: options.giveUpAfter,
    onTransfer: () => {},
  });
  const { transfers } = run.messenger;
  const now = () => row && transfers.all().find(({ id }) => isSame(id, row!.id));
  const begin = async () => {
    row = transfers.all().find((known) => isThis(known, options));
    if (row) {
      terminal.say(`${nameOf(row)} was offered before: it goes on`);
      await run.messenger.open(to);
      return;
    }
    if (as !== undefined) {
      row = await transfers.offerStream(to, as, standardInput());
      return terminal.say(`${row.name} is offered to ${to}`, offeredJson(row, NOTHING));
    }
    const offering = await transfers.offer(to, options.paths);
    row = offering.row;
    leftOut = offering.skipped.length;
    const lines = [
      `${nameOf(row)} is offered to ${to}`,
      ...describeLeftOut(offering),
      ...describeLinks(offering),
    ];
    terminal.say(lines.join("\n"), offeredJson(row, offering));
  };
  const outcome = await run.run(
    begin,
    () => isOver(now() ?? { state: "offered" }),
    frame.interrupted,
  )
    .catch((error) => {
      if (row && error instanceof CifraError) sayKept(row, options, terminal);
      throw error;
    });
  if (outcome === "interrupted") {
    if (row) sayKept(row, options, terminal);
    return outcome;
  }
  return finish(transferFacts(now()!, undefined), leftOut, terminal);
}

/** The exit code of a transfer that is over. */
function finish(facts: TransferFacts, leftOut: number, terminal: Terminal): number {
  if (facts.state !== "done") {
    const why = `${facts.name} has not arrived: ${stateOf(facts)}`;
    return terminal.fail(new CifraError("refused", why, { hint: "ask the other person" }));
  }
  const missing = leftOut + facts.skipped;
  if (missing === 0) return 0;
  const what = missing === 1 ? "1 file or folder" : `${missing} files and folders`;
  return terminal.fail(
    new CifraError("local", `${what} of what was to be sent could not be read`, {
      hint: "look above for which, and send them anew",
    }),
  );
}

/** What was offered and is not over goes on another time; a stream does not. */
function sayKept(row: TransferRow, { name }: SendFilesOptions, terminal: Terminal): void {
  terminal.say(
    row.bytes === undefined
      ? `${row.name} has not arrived, and cannot go on: send it anew`
      : `${row.name} is kept: it goes on with the same command, or when ${name} connects with ` +
        "--files; cifra transfers cancel ends it",
  );
}

/** Whether a transfer is what is to be sent, of an earlier run. */
function isThis(row: TransferRow, { to, paths }: SendFilesOptions): boolean {
  if (row.peer !== to || row.direction !== "sent" || isOver(row) || row.bytes === undefined) {
    return false;
  }
  const tops = pathsIn(row.place);
  return tops.length === new Set(paths).size && tops.every((path) => paths.includes(path));
}

function isSame(one: Bytes, other: Bytes): boolean {
  return one.every((byte, i) => byte === other[i]);
}

const NOTHING = { skipped: [], links: 0 };

/** Standard input, which is read when somebody wants more of it. */
function standardInput(): ReadableStream<Bytes> {
  return new ReadableStream<Bytes>({
    async pull(controller) {
      const piece = await nextPiece();
      pieceTaken();
      if (piece === null) controller.close();
      else controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
}
