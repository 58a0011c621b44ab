/** What a program that talks answers to other commands of its profile: see `running.ts`. */
import { askKnown } from "../client/known_people.ts";
import type { Messenger } from "../client/messenger.ts";
import { CifraError } from "../errors.ts";
import { Limiter } from "../flow/limiter.ts";
import type { HistoryEntry, HistoryFilter, MessageStore } from "../store/message_store.ts";
import { chooseTransfer } from "./file_desk.ts";
import { describeLeftOut, describeLinks, type TransferFacts, transferFacts } from "./file_words.ts";
import { isWithin } from "./here.ts";
import {
  type Answering,
  describeKnown,
  type Everybody,
  type Offered,
  type People,
  sorted,
} from "./running.ts";

/** Of the newest transfers so many are told. */
const TRANSFERS_TOLD = 500;

/** Answers out of a messenger, and the messages that it keeps. */
export class Answers implements Answering {
  readonly #messenger: Messenger;
  /** Questions to the server are asked one after the other. */
  readonly #asking = new Limiter(1);

  readonly #store: MessageStore;
  /** The folder whose files may be offered; undefined: none. */
  readonly #files: string | undefined;

  constructor(messenger: Messenger, store: MessageStore, files?: string) {
    this.#messenger = messenger;
    this.#store = store;
    this.#files = files;
  }

  /** What was said. */
  history(filter: HistoryFilter): Iterable<HistoryEntry> {
    return this.#store.history(filter);
  }

  /** Who is in the lobby: as we see it there, or as the server answers. */
  async people(): Promise<People> {
    await this.#messenger.look();
    return sorted(this.#messenger.people);
  }

  /** Who is known at the server, here or away. Throws `cut` without a connection. */
  async everybody(): Promise<Everybody> {
    return await this.#asking.run(async () => {
      const { server } = this.#messenger;
      if (!server) {
        throw new CifraError("cut", "The running program is not connected to its server", {
          hint: "try again when it is",
        });
      }
      return describeKnown(await askKnown(server));
    });
  }

  transfers(): readonly TransferFacts[] {
    const { transfers } = this.#messenger;
    return transfers.all().slice(-TRANSFERS_TOLD).map((row) =>
      transferFacts(row, transfers.progress(row)?.bytes)
    );
  }

  async offerFiles(to: string, paths: readonly string[]): Promise<Offered> {
    const files = this.#files;
    const outside = paths.find((path) => files === undefined || !isWithin(path, files));
    if (outside !== undefined) {
      throw new CifraError("locked", `Another cifra runs as you, and may not read ${outside}`, {
        hint: "start that one with --files DIR, a folder that has it, or end it first",
      });
    }
    const offering = await this.#messenger.transfers.offer(to, paths);
    return {
      offered: transferFacts(offering.row, undefined),
      leftOut: describeLeftOut(offering),
      links: describeLinks(offering),
    };
  }

  async cancelTransfer(id: string): Promise<TransferFacts> {
    const { transfers } = this.#messenger;
    const row = chooseTransfer(transfers.all(), { id, peer: undefined, is: "not over" });
    if (typeof row === "string") throw new CifraError("usage", row);
    await transfers.cancel(row);
    return transferFacts({ ...row, state: "cancelled" }, undefined);
  }
}
