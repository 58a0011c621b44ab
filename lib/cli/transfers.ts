/** `cifra transfers`: what is not over, of the program that runs or from the disk. */
import { stagingId } from "../client/file_digest.ts";
import { SUITE_NAMES } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { stagingPath } from "../files/staging_folder.ts";
import { systemEnvironment } from "../net/environment.ts";
import type { MessageStore } from "../store/message_store.ts";
import { profilePath, stateFolder } from "../store/state_folder.ts";
import { isOver, type TransferRow } from "../store/transfer_store.ts";
import { encodeFileWord } from "../wire/file_messages.ts";
import { ID_LENGTH } from "../wire/peer_messages.ts";
import { parse } from "./args.ts";
import { chooseTransfer } from "./file_desk.ts";
import { calledBy, type TransferFacts, transferFacts, transferLine } from "./file_words.ts";
import { chooseProfile } from "./profiles.ts";
import { runFramed } from "./run.ts";
import { askCancel, askTransfers } from "./running.ts";
import type { Terminal } from "./terminal.ts";
import { TRANSFERS } from "./transfers_command.ts";

/** Lists them, or cancels one; returns the exit code, which is 0 also when there is none. */
export async function transfers(args: readonly string[], terminal: Terminal): Promise<number> {
  const { action, words: [id = ""], given } = parse(TRANSFERS, args);
  const state = stateFolder(given.state);
  const name = await chooseProfile(state, given.name, "transfers");
  const folder = profilePath(state, name);
  return await runFramed(terminal, async ({ openProfile }) => {
    const open = async () => {
      const { suite, "passphrase-fd": passphraseFd } = given;
      const profile = await openProfile({ name, suite, state: given.state, passphraseFd });
      return await profile.openMessages(true);
    };
    const cancel = async (): Promise<readonly [TransferFacts, string]> => {
      const asked = await askCancel(folder, id);
      return asked ? [asked, ""] : await cancelKept(await open(), id);
    };
    if (action === "cancel") {
      const [facts, left] = await cancel();
      terminal.say(`${calledBy(facts)} is cancelled${left}`, { event: "transfer", ...facts });
      return 0;
    }
    const all = await askTransfers(folder) ??
      allOf(await open()).map((row) => transferFacts(row, undefined));
    const shown = given.all ? all : all.filter((facts) => !isOver(facts));
    for (const facts of shown) {
      if (terminal.json) terminal.emit({ event: "transfer", ...facts });
      else terminal.print(transferLine(facts));
    }
    if (shown.length === 0) terminal.say("nothing is offered, or on its way");
    return 0;
  });
}

/** Those of all suites, in the order in which they came. */
function allOf({ transfers }: MessageStore): TransferRow[] {
  return SUITE_NAMES.flatMap((suite) => transfers.all(suite)).sort((a, b) => a.began - b.began);
}

/**
 * Ends one where no program runs: the word waits in the log for whoever connects next. Also returns what there is to say
 * of what has come of it. Throws `usage`, `local`.
 */
async function cancelKept(
  store: MessageStore,
  id: string,
): Promise<readonly [TransferFacts, string]> {
  const row = chooseTransfer(allOf(store), { id, peer: undefined, is: "not over" });
  if (typeof row === "string") throw new CifraError("usage", row);
  const { random, time } = systemEnvironment;
  const now = time.date();
  const message = {
    type: "file",
    id: random(ID_LENGTH),
    written: now,
    content: encodeFileWord({ type: "cancel", transfer: row.id }),
  } as const;
  const changes = { state: "cancelled", ended: now, isTold: true } as const;
  await store.transfers.say(row, message, { id: row.id, changes });
  return [transferFacts({ ...row, ...changes }, undefined), leftOf(row)];
}

/**
 * Where what has come still is, and what removes it, after a line break: this command may not write there, whoever
 * runs it. Empty when nothing is left.
 */
function leftOf(row: TransferRow): string {
  const { direction, peer, place, entry, id } = row;
  if (direction === "sent" || entry === 0) return "";
  const path = stagingPath(place, stagingId(row, id));
  return `\nwhat has come of it is still in ${path}: remove that folder, or ` +
    `cifra receive --from ${peer} --into ${place} does`;
}
