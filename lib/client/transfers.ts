/**
 * Files between one person and all others (PROTOCOL.md 3.15): what was offered either way, what becomes of it, and what
 * goes on when the two have a channel again. The rows stand in the store; what runs of them is here.
 */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { digestOf } from "./file_digest.ts";
import type { Random } from "../crypto/platform.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { StreamSource } from "../files/stream_source.ts";
import { type Skipped, walk } from "../files/tree.ts";
import { SharedPause } from "../flow/shared_pause.ts";
import type { Time } from "../flow/time.ts";
import { FILE_NAME_LIMIT, STORE_PAUSE_MAXIMUM, STORE_PAUSE_MINIMUM } from "../limits.ts";
import { isOver, type TransferRow, type TransferStore } from "../store/transfer_store.ts";
import { encodeManifest } from "../wire/manifest.ts";
import { type Line, lineOf } from "../wire/line.ts";
import { ID_LENGTH } from "../wire/peer_messages.ts";
import type { FileLane } from "./file_dock.ts";
import { PeerTransfers } from "./peer_transfers.ts";
import { placeOf } from "./sent_place.ts";
import type { TransferContext, TransferProgress } from "./transfer_events.ts";

/** Whose transfers they are. */
export interface TransfersOptions extends TransferContext {
  readonly store: TransferStore;
  readonly suite: SuiteName;
  readonly random: Random;
  readonly time: Time;
}

/** What was offered, and what of it is left out. */
export interface Offering {
  readonly row: TransferRow;
  readonly skipped: readonly Skipped[];
  /** Links that were not followed. */
  readonly links: number;
  /** Paths of the first of them inside of folders. */
  readonly linked: readonly string[];
}

/** All transfers of one person. */
export class Transfers {
  readonly #options: TransfersOptions;
  readonly #pause: SharedPause;
  readonly #peers = new Map<string, PeerTransfers>();

  constructor(options: TransfersOptions) {
    this.#options = options;
    this.#pause = new SharedPause(options.time, STORE_PAUSE_MINIMUM, STORE_PAUSE_MAXIMUM);
  }

  /** What carries files in the conversation with somebody. */
  lane(peer: string): FileLane {
    return this.#of(peer);
  }

  /** All of them, in the order in which they were offered here. */
  all(): readonly TransferRow[] {
    const { store, suite } = this.#options;
    return store.all(suite);
  }

  /** Those with whom something is to go on: who have accepted, or were. */
  unfinished(): ReadonlySet<string> {
    return new Set(this.all().filter(({ state }) => state === "accepted").map(({ peer }) => peer));
  }

  /** Whether something is to go on with this person. */
  isCarrying(peer: string): boolean {
    const { store, suite } = this.#options;
    return store.open({ peer, suite }).some(({ state }) => state === "accepted");
  }

  /** How far a transfer has come that is on its way; undefined for others. */
  progress(row: TransferRow): TransferProgress | undefined {
    return this.#peers.get(row.peer)?.of(row.id);
  }

  /**
   * Offers what is at these absolute paths. Throws `usage` when there is nothing to send, `limit` when it is too much for
   * one transfer, `local` when it is not kept.
   */
  async offer(peer: string, paths: readonly string[]): Promise<Offering> {
    const { entries, skipped, links, linked } = await walk(paths, this.#options.kept);
    const tops = entries.filter(({ parent }) => parent === 0);
    const [first] = tops;
    if (!first) throw nothing(skipped);
    const { manifest, summary } = encodeManifest(entries);
    const name = tops.length === 1 ? first.name : `${first.name} and ${tops.length - 1} more`;
    const place = placeOf(tops);
    const row = this.#offered(peer, { ...summary, name, place }, manifest);
    await this.#of(peer).offer(row, manifest, entries);
    return { row, skipped, links, linked };
  }

  /**
   * Offers what comes of a stream, under this name: as long as this program runs, and for one receiver at a time. Throws
   * `usage` for what is no name, `local`.
   */
  async offerStream(
    peer: string,
    name: string,
    stream: ReadableStream<Bytes>,
  ): Promise<TransferRow> {
    const modified = this.#options.time.date();
    const entry = {
      type: "file",
      executable: 0,
      parent: 0,
      size: undefined,
      modified,
      name,
    } as const;
    const { manifest, summary } = encodeManifest([entry]);
    const row = this.#offered(peer, { ...summary, name, place: "" }, manifest);
    await this.#of(peer).offerStream(row, manifest, entry, new StreamSource(stream));
    return row;
  }

  /** Has an offer come into a folder, an absolute path. Throws `usage` when it is none that can be accepted, `local`. */
  async accept(row: TransferRow, into: string): Promise<void> {
    await this.#of(row.peer).accept(this.#open(row, "received"), into);
  }

  /** Says no to an offer, for good. Throws `usage`, `local`. */
  async refuse(row: TransferRow): Promise<void> {
    await this.#of(row.peer).end(this.#open(row, "received"), { type: "refuse" });
  }

  /** Ends a transfer from either side. Throws `usage` when it is over, `local`. */
  async cancel(row: TransferRow): Promise<void> {
    await this.#of(row.peer).end(this.#open(row), { type: "cancel" });
  }

  /** What is on its way stops where it is, and goes on the next time. */
  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
  }

  #offered(
    peer: string,
    what: Pick<TransferRow, "files" | "folders" | "bytes" | "place"> & { readonly name: string },
    manifest: Bytes,
  ): TransferRow {
    const { time, random, suite } = this.#options;
    return {
      ...what,
      peer,
      suite,
      id: random(ID_LENGTH),
      direction: "sent",
      state: "offered",
      failure: undefined,
      name: fitting(what.name),
      manifestLength: manifest.length,
      manifestHash: digestOf(manifest),
      entry: 0,
      skipped: 0,
      isTold: true,
      began: time.date(),
      ended: undefined,
    };
  }

  /** The row as it stands now. Throws `usage` when nothing can be done about it any more. */
  #open({ peer, suite, id }: TransferRow, direction?: "received"): TransferRow {
    const row = this.#options.store.get({ peer, suite }, id);
    if (!row || isOver(row)) throw new CifraError("usage", "This transfer is over");
    if (direction && row.direction !== direction) {
      throw new CifraError("usage", `${row.name} is what you offer to ${peer}`);
    }
    return row;
  }

  #of(peer: string): PeerTransfers {
    let transfers = this.#peers.get(peer);
    if (!transfers) {
      const { store, suite, time } = this.#options;
      const key = { peer, suite };
      transfers = new PeerTransfers({ ...this.#options, store, key, time, pause: this.#pause });
      this.#peers.set(peer, transfers);
    }
    return transfers;
  }
}

function nothing(skipped: readonly Skipped[]): CifraError {
  const [first] = skipped;
  const why = first ? `: ${first.path}: ${first.why}` : "";
  return new CifraError("usage", `There is nothing to send${why}`);
}

/** As a name that can be offered: one printable line of at most 255 bytes. */
function fitting(name: string): Line {
  const letters = [...lineOf(name)];
  while (encodeUtf8(letters.join("")).length > FILE_NAME_LIMIT) letters.pop();
  return lineOf(letters.join(""));
}
