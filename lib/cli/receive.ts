/** `cifra receive`: files that others send, until they are here. */
import { encodeHex } from "@std/encoding/hex";
import type { TransferEvent } from "../client/transfer_events.ts";
import { CifraError } from "../errors.ts";
import { Limiter } from "../flow/limiter.ts";
import { isOver, type TransferRow } from "../store/transfer_store.ts";
import { parse } from "./args.ts";
import { decideBy, requireFolder } from "./file_options.ts";
import { FileRun } from "./file_run.ts";
import {
  calledBy,
  describeOffer,
  nameOf,
  stateOf,
  transferFacts,
  waitsJson,
} from "./file_words.ts";
import { type MailPlace, openMail, requireKnown } from "./mail_run.ts";
import { askYesNo } from "./questions.ts";
import { RECEIVE } from "./receive_command.ts";
import { type CommandFrame, runFramed } from "./run.ts";
import { serverOptions, wayOf } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";
import { knownBefore } from "./visit.ts";

/** What the command line says. */
type ReceiveOptions = ReturnType<typeof parseReceive>;

/** Takes what comes; returns the exit code, which is 0 when nothing of it is missing. */
export async function receive(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseReceive(args);
  return await runFramed(terminal, async (frame) => {
    await requireFolder(options.into);
    const busy =
      `take it there with /take, or end that one first: it has the files of ${options.name}`;
    const place = await openMail(options, frame, terminal, busy);
    if (options.from !== undefined) {
      await requireKnown({ ...options, to: options.from }, place, terminal);
    }
    return await new Receiving(options, place, terminal).run(frame);
  }, { isWhole: !options.keep });
}

function parseReceive(args: readonly string[]) {
  const { given } = parse(RECEIVE, args);
  const { name, from, into, accept, limit, keep } = given;
  if (name === from) throw new CifraError("usage", "--name and --from must be two different names");
  return {
    ...serverOptions(given),
    ...wayOf(given),
    from,
    into,
    accept: accept ?? (from === undefined ? "known" : "all"),
    limit,
    keep,
    peerKey: given["peer-key"],
    keepHistory: !given["no-history"],
    tellsRead: !given["no-receipts"],
  };
}

/** One run. */
class Receiving {
  readonly #options: ReceiveOptions;
  readonly #terminal: Terminal;
  readonly #run: FileRun;
  readonly #decide: ReturnType<typeof decideBy>;
  /** What has begun to come in this run and is not over, by id. */
  readonly #underWay = new Set<string>();
  /** What became of those that are. */
  readonly #over: TransferRow[] = [];
  /** A person is asked about one offer after the other. */
  readonly #asking = new Limiter(1);
  readonly #asked = new Set<string>();

  constructor(options: ReceiveOptions, place: MailPlace, terminal: Terminal) {
    const { from, into, accept, limit, relay, advertised, giveUpAfter } = options;
    this.#options = options;
    this.#terminal = terminal;
    const decide = decideBy({ accept, limit, folder: into, isKnown: knownBefore(place.profile) });
    this.#decide = (row) => from === undefined || row.peer === from ? decide(row) : "ask";
    this.#run = new FileRun({
      place,
      terminal,
      only: from,
      relay,
      advertised,
      accept: accept === "all" ? "all" : "known",
      decide: this.#decide,
      fileLimit: limit,
      offers: false,
      patience: giveUpAfter,
      onTransfer: (row, event) => this.#onTransfer(row, event),
    });
  }

  async run({ interrupted }: CommandFrame): Promise<number | "interrupted"> {
    const outcome = await this.#run.run(() => this.#begin(), () => this.#isDone(), interrupted);
    if (outcome === "interrupted") {
      if (this.#underWay.size > 0) {
        this.#terminal.say("what has come is kept: the same command goes on from there");
      }
      return this.#options.keep && this.#underWay.size === 0 ? this.#finish() : outcome;
    }
    return this.#finish();
  }

  /** Asks for whom we take files from, and goes on with what is unfinished. */
  async #begin(): Promise<void> {
    const { from } = this.#options;
    const { messenger } = this.#run;
    if (from === undefined) await messenger.resume(await messenger.leftovers());
    else await messenger.open(from);
    for (const row of messenger.transfers.all()) {
      const isTheirs = row.direction === "received" && (from === undefined || row.peer === from);
      if (!isTheirs || row.state !== "offered") continue;
      const decision = this.#decide(row);
      if (typeof decision === "object") await this.#take(row, decision.into);
      else this.#consider(row);
    }
  }

  async #take(row: TransferRow, into: string): Promise<void> {
    await this.#run.messenger.transfers.accept(row, into);
    this.#terminal.say(`${nameOf(row)} of ${row.peer} comes to ${into}`, {
      event: "file-accepted",
      transfer: encodeHex(row.id),
      peer: row.peer,
      direction: row.direction,
      name: row.name,
    });
  }

  #onTransfer(row: TransferRow, event: TransferEvent): void {
    if (row.direction !== "received") return;
    const id = encodeHex(row.id);
    if (event.type === "moved" || event.type === "received") this.#underWay.add(id);
    if (event.type === "offered" && !event.isAccepted) this.#consider(row);
    if (event.type !== "over") return;
    const hadBegun = this.#underWay.delete(id);
    if (hadBegun || row.state === "failed") this.#over.push(row);
  }

  /** What is not taken by itself is asked about, once, where there is somebody. */
  #consider(row: TransferRow): void {
    const id = encodeHex(row.id);
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    const { peer } = row;
    const offer = describeOffer(row, peer, false);
    if (!this.#terminal.interactive) {
      return this.#terminal.say(
        `${offer}, which is not taken without asking: cifra receive --from ${peer} takes it`,
        waitsJson(row),
      );
    }
    this.#asking.run(async () => {
      const isWanted = await askYesNo(this.#terminal, `${offer}: take it?`);
      const { transfers } = this.#run.messenger;
      const now = transfers.all().find((other) => encodeHex(other.id) === id);
      if (!now || isOver(now)) return;
      if (isWanted) await this.#take(now, this.#options.into);
      else await transfers.refuse(now);
    }).catch((error) => {
      // Ctrl-C at a question ends the program by its signal.
      if (!(error instanceof CifraError)) throw error;
      if (error.code !== "interrupted") this.#run.voice.fail("that cannot be done", error, peer);
    });
  }

  #isDone(): boolean {
    return !this.#options.keep && this.#over.length > 0 && this.#underWay.size === 0;
  }

  /** The exit code of all that has come. */
  #finish(): number {
    const failed = this.#over.find(({ state }) => state !== "done");
    if (failed) {
      const why = `${calledBy(failed)} has not come: ${stateOf(transferFacts(failed, undefined))}`;
      return this.#terminal.fail(
        new CifraError("refused", why, { hint: `ask ${failed.peer} to send it anew` }),
      );
    }
    const skipped = this.#over.reduce((sum, row) => sum + row.skipped, 0);
    if (skipped === 0) return 0;
    const what = skipped === 1 ? "1 file" : `${skipped} files`;
    return this.#terminal.fail(
      new CifraError("local", `${what} could not be read where it was sent, and did not come`, {
        hint: "look above for which, and ask for them",
      }),
    );
  }
}
