/** What a person, or a program, does with files at the desk. */
import { encodeHex } from "@std/encoding/hex";
import type { Transfers } from "../client/transfers.ts";
import { isOver, type TransferRow } from "../store/transfer_store.ts";
import type { DeskVoice } from "./desk_voice.ts";
import {
  describeLeftOut,
  describeLinks,
  nameOf,
  offeredJson,
  shortId,
  transferFacts,
  transferLine,
} from "./file_words.ts";
import { absolutePath, isWithin, typedPaths } from "./here.ts";

const NO_FILES = "This program may neither read nor write files: start it with --files DIR, the " +
  "folder for them";

/** Where files are, and who is told. */
export interface FileDeskOptions {
  readonly transfers: Pick<
    Transfers,
    "all" | "progress" | "offer" | "accept" | "refuse" | "cancel"
  >;
  /** The folder of `--files`; undefined: none may be touched. */
  readonly folder: string | undefined;
  readonly voice: DeskVoice;
  readonly isProgram: boolean;
}

/** Offers what is at these paths, one or more. Throws like `Transfers.offer`. */
export async function offerFiles(
  { transfers, folder, voice, isProgram }: FileDeskOptions,
  paths: string,
  to: string,
): Promise<void> {
  if (folder === undefined) return voice.complain(NO_FILES);
  const given = (isProgram ? [paths] : typedPaths(paths)).map(absolutePath);
  const outside = given.find((path) => !isWithin(path, folder));
  if (outside !== undefined) {
    return voice.complain(`NOT SENT: ${outside} is not in ${folder}, the folder of --files`);
  }
  const offering = await transfers.offer(to, given);
  const { row } = offering;
  const lines = [
    `${nameOf(row)} is offered to ${to}`,
    ...describeLeftOut(offering),
    ...describeLinks(offering),
  ];
  voice.say(lines.join("\n"), offeredJson(row, offering), to);
}

/** Has what is offered come to the folder. Throws like `Transfers.accept`. */
export async function takeFiles(
  { transfers, folder, voice }: FileDeskOptions,
  row: TransferRow,
): Promise<void> {
  if (folder === undefined) return voice.complain(NO_FILES);
  await transfers.accept(row, folder);
  voice.say(`${nameOf(row)} comes to ${folder}`, {
    event: "file-accepted",
    transfer: encodeHex(row.id),
    peer: row.peer,
    direction: row.direction,
    name: row.name,
  }, row.peer);
}

/** Which transfers a command is about. */
export interface Choice {
  /** The beginning of an id; empty: the only one. */
  readonly id: string;
  /** With whom, when no id says it. */
  readonly peer: string | undefined;
  readonly is: "offered to us" | "not over";
}

/** The transfer that is meant; or why there is none, in a sentence. */
export function chooseTransfer(
  rows: readonly TransferRow[],
  { id, peer, is }: Choice,
): TransferRow | string {
  const fits = rows.filter((row) =>
    is === "not over" ? !isOver(row) : row.direction === "received" && row.state === "offered"
  ).filter((row) => id === "" ? peer === undefined || row.peer === peer : beginsWith(row, id));
  const [first] = fits;
  if (first && fits.length === 1) return first;
  const what = is === "not over" ? "transfer that is not over" : "offer";
  if (first) {
    const named = fits.map((row) => `${shortId(row)} (${nameOf(row)})`).join(", ");
    return `Which of them? ${named}`;
  }
  if (id !== "") return `There is no ${what} whose ID begins with ${id}`;
  return `There is no ${what}${peer === undefined ? "" : ` ${OF[is]} ${peer}`}`;
}

const OF = { "not over": "with", "offered to us": "of" } as const;

function beginsWith({ id }: TransferRow, text: string): boolean {
  return encodeHex(id).startsWith(text.toLowerCase());
}

/** All that is not over, told as it stands. */
export function tellTransfers({ transfers, voice }: FileDeskOptions): void {
  const open = transfers.all().filter((row) => !isOver(row)).map((row) =>
    transferFacts(row, transfers.progress(row)?.bytes)
  );
  const text = open.length === 0
    ? "nothing is offered, or on its way"
    : open.map(transferLine).join("\n");
  voice.say(text, { event: "transfers", transfers: open });
}
