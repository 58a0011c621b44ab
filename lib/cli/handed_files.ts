/** Files that were handed to the program which runs as the same person: what that one does with them is told here too. */
import { decodeHex } from "@std/encoding/hex";
import { CifraError } from "../errors.ts";
import { delay } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { isOver } from "../store/transfer_store.ts";
import { progressJson, Speedometer, type UnderWay } from "./file_progress.ts";
import { nameOf, type TransferFacts } from "./file_words.ts";
import { ProgressLine } from "./progress_line.ts";
import { askTransfers, type Offered } from "./running.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds between two looks at what the other program does; a program is told at every second one. */
const LOOKED_EVERY = 500;

/**
 * Looks on until the transfer is over, or a signal comes, at which the other program goes on. `folder`: of the profile
 * of `name`. Throws `cut` when that program ends before, and like `askTransfers`.
 */
export async function follow(
  { offered, leftOut, links }: Offered,
  { folder, name }: { readonly folder: string; readonly name: string },
  terminal: Terminal,
  interrupted: AbortSignal,
): Promise<TransferFacts | "interrupted"> {
  sayOffered(offered, { leftOut, links }, name, terminal);
  const line = new ProgressLine(terminal);
  const speed = new Speedometer();
  try {
    for (let looks = 0; !interrupted.aborted; looks++) {
      const all = await askTransfers(folder);
      const now = all?.find(({ transfer }) => transfer === offered.transfer);
      if (!now) throw ended(offered);
      if (isOver(now)) {
        line.close();
        sayOver(now, terminal);
        return now;
      }
      const underWay = underWayOf(now, speed);
      if (underWay && !terminal.json) line.draw(underWay);
      if (underWay && terminal.json && looks % 2 === 1) terminal.emit(progressJson(underWay));
      await delay(systemEnvironment.time, LOOKED_EVERY, interrupted);
    }
  } finally {
    line.close();
  }
  terminal.say(`the cifra that runs as ${name} goes on with ${offered.name}`);
  return "interrupted";
}

function sayOffered(
  offered: TransferFacts,
  { leftOut, links }: Pick<Offered, "leftOut" | "links">,
  ourName: string,
  terminal: Terminal,
): void {
  const { transfer, peer, direction, name, files, folders, bytes } = offered;
  const text = `${nameOf(offered)} is offered to ${peer} by the cifra that runs as ${ourName}`;
  terminal.say([text, ...leftOut, ...links].join("\n"), {
    event: "file-offered",
    transfer,
    peer,
    direction,
    name,
    files,
    folders,
    ...(bytes !== undefined && { bytes }),
    leftOut,
    links: 0,
  });
}

/** What went wrong is told at the end. */
function sayOver(facts: TransferFacts, terminal: Terminal): void {
  const { transfer, peer, direction, name, state, why, skipped } = facts;
  const about = { transfer, peer, direction, name };
  const event = { event: "file-over", ...about, state, ...(why !== undefined && { why }), skipped };
  if (terminal.json) terminal.emit(event);
  else if (state === "done") terminal.say(`${peer} has all of ${name}`);
}

/** What is drawn of it; undefined before anything has moved. */
function underWayOf(facts: TransferFacts, speed: Speedometer): UnderWay | undefined {
  const { done, transfer, peer, direction, name, files, bytes } = facts;
  if (done === undefined) return undefined;
  speed.note(done, systemEnvironment.time.now());
  return {
    row: { id: decodeHex(transfer), peer, direction, name, files, bytes },
    progress: { bytes: done, entry: undefined, offset: 0 },
    rate: speed.rate,
    path: undefined,
    more: 0,
  };
}

function ended({ name }: TransferFacts): CifraError {
  return new CifraError("cut", `The program that was sending ${name} has ended`, {
    hint: "it goes on when that one runs again, or with the same command",
  });
}
