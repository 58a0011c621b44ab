/**
 * Files between us and one other person (PROTOCOL.md 3.15), over one channel after the other: which of them are on
 * their way, and what each word and each want does to them.
 */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { Staging } from "../files/staging.ts";
import { sweep } from "../files/staging_folder.ts";
import type { StreamSource } from "../files/stream_source.ts";
import type { SourceEntry } from "../files/tree.ts";
import type { SharedPause } from "../flow/shared_pause.ts";
import type { Time } from "../flow/time.ts";
import { OFFERS_OPEN, TRANSFERS_AT_ONCE } from "../limits.ts";
import type { ConversationKey } from "../store/message_store.ts";
import {
  isOver,
  type TransferChanges,
  type TransferRow,
  type TransferStore,
} from "../store/transfer_store.ts";
import {
  type FileOffer,
  type FileWord,
  type HoldReason,
  TransferFailure,
} from "../wire/file_messages.ts";
import { lineOf } from "../wire/line.ts";
import { decodeManifest, type ManifestEntry } from "../wire/manifest.ts";
import { stagingId } from "./file_digest.ts";
import { AgreedSize, mostOf } from "./agreed_size.ts";
import type { FileCarrier, FileLane } from "./file_dock.ts";
import { FileFlow, type Outflow, type Want } from "./file_flow.ts";
import { IncomingTransfer } from "./incoming_transfer.ts";
import { OutgoingStream } from "./outgoing_stream.ts";
import { OutgoingTransfer } from "./outgoing_transfer.ts";
import { placed } from "./sent_place.ts";
import { TransferCourse } from "./transfer_course.ts";
import type { TransferContext, TransferEvent, TransferProgress } from "./transfer_events.ts";

/** Between whom, and over what. */
export interface PeerTransfersOptions extends TransferContext {
  readonly store: TransferStore;
  readonly key: ConversationKey;
  readonly time: Time;
  /** Between tries at what a disk does not do at the moment. */
  readonly pause: SharedPause;
}

/** How we end a transfer. */
export type Ending =
  | { readonly type: "refuse" | "cancel" }
  | { readonly type: "failed"; readonly code: TransferFailure }
  | { readonly type: "done"; readonly skipped: number };

const STATES = { refuse: "refused", cancel: "cancelled", failed: "failed", done: "done" } as const;

/** What we send, once it was looked at in this run; of a stream there is nothing but itself. */
type Source =
  | {
    readonly manifest: Bytes;
    readonly entries: readonly SourceEntry[];
    readonly agreed: AgreedSize;
    readonly stream?: undefined;
  }
  | {
    readonly manifest: Bytes;
    readonly entries: readonly [ManifestEntry];
    readonly stream: StreamSource;
  };

/** All transfers between us and one person. */
export class PeerTransfers implements FileLane {
  readonly #options: PeerTransfersOptions;
  #flow: FileFlow | undefined;
  /** Content that was taken over the channels before. */
  #taken = 0;
  /** By the ids of transfers, in hexadecimal. */
  readonly #sources = new Map<string, Source>();
  readonly #incoming = new Map<string, IncomingTransfer>();
  readonly #courses = new Map<string, TransferCourse>();
  /** Offers of theirs that are not over, as many as may be. */
  readonly #open = new Set<string>();
  #isCrowded = false;
  /** What was over in this run: whatever is said of it later is not told. */
  readonly #ended = new Set<string>();
  /** What is changed of rows and disks, one after the other. */
  #work: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: PeerTransfersOptions) {
    this.#options = options;
    const { store, key } = options;
    for (const row of store.all(key.suite)) {
      if (row.peer === key.peer && isOver(row)) this.#do(() => this.#sweep(row));
    }
    const ofTheirs = store.open(key).filter(({ direction }) => direction === "received");
    for (const { id } of ofTheirs.slice(0, OFFERS_OPEN)) this.#open.add(encodeHex(id));
  }

  get progress(): bigint {
    return BigInt(this.#taken + (this.#flow?.progress ?? 0));
  }

  attach(carrier: FileCarrier): void {
    const ends = {
      give: (want: Want, wake: () => void) => this.#give(want, wake),
      held: ({ transfer, why }: { readonly transfer: Bytes; readonly why: HoldReason }) =>
        this.#hold(transfer, why),
      taken: () => {
        for (const [id, course] of this.#courses) this.#recover(decodeHex(id), course);
      },
    };
    this.#flow = new FileFlow(carrier, ends, this.#options.time);
    for (const incoming of this.#incoming.values()) incoming.attach(this.#flow);
    this.#decideAgain();
    this.#goOn();
  }

  detach(): void {
    this.#taken += this.#flow?.progress ?? 0;
    this.#flow?.end();
    this.#flow = undefined;
  }

  take(body: Bytes): void {
    this.#flow?.hear(body);
  }

  hear(id: Bytes, word: FileWord): void {
    const { store, key } = this.#options;
    if (word.type === "offer") {
      const row = store.get(key, id);
      if (row?.state === "offered" && row.direction === "received") this.#consider(row);
      return;
    }
    const row = store.get(key, word.transfer);
    if (!row) return;
    if (word.type === "accept") {
      if (row.state === "accepted") this.#options.onEvent(row, { type: "accepted" });
    } else if (isOver(row) && !this.#ended.has(encodeHex(row.id))) this.#over(row, "peer");
  }

  /** Says an offer of ours. Throws `local`. */
  async offer(
    row: TransferRow,
    manifest: Bytes,
    entries: readonly SourceEntry[],
  ): Promise<void> {
    const { say, key } = this.#options;
    this.#sources.set(encodeHex(row.id), sourceOf(row, manifest, entries));
    await say(key.peer, { type: "offer", ...offerOf(row) }, { begin: row, manifest });
  }

  /** Says an offer of a stream, which can be sent as long as this program runs. Throws `local`. */
  async offerStream(
    row: TransferRow,
    manifest: Bytes,
    entry: ManifestEntry,
    stream: StreamSource,
  ): Promise<void> {
    const { say, key } = this.#options;
    this.#sources.set(encodeHex(row.id), { manifest, entries: [entry], stream });
    await say(key.peer, { type: "offer", ...offerOf(row) }, { begin: row, manifest });
  }

  /** An offer of theirs is to come to this folder. Throws `local`. */
  async accept(row: TransferRow, into: string): Promise<void> {
    const { id } = row;
    const changes = { state: "accepted", place: into, isTold: true } as const;
    await this.#say({ type: "accept", transfer: id }, id, changes);
    this.#goOn();
  }

  /** Ends a transfer. Throws `local`. */
  async end(row: TransferRow, ending: Ending): Promise<void> {
    const { id } = row;
    await this.#say({ ...ending, transfer: id }, id, {
      state: STATES[ending.type],
      failure: ending.type === "failed" ? ending.code : undefined,
      ended: this.#options.time.date(),
      isTold: true,
      ...(ending.type === "done" && { skipped: ending.skipped }),
    });
    const now = this.#options.store.get(this.#options.key, id);
    if (now) this.#over(now, "us");
  }

  /** How far a transfer has come that is on its way. */
  of(id: Bytes): TransferProgress | undefined {
    return this.#courses.get(encodeHex(id))?.progress;
  }

  /** Everything stops where it is. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#incoming.values()].map((incoming) => incoming.close()));
    await Promise.all([...this.#sources.values()].map(({ stream }) => stream?.close()));
    await this.#work;
  }

  async #say(word: FileWord, id: Bytes, changes: TransferChanges): Promise<void> {
    const { say, key } = this.#options;
    await say(key.peer, word, { id, changes });
  }

  #tell(id: Bytes, event: TransferEvent): void {
    const row = this.#options.store.get(this.#options.key, id);
    if (row) this.#options.onEvent(row, event);
  }

  /** What somebody offers is accepted, refused, or asked about. */
  #decide(row: TransferRow): void {
    const { decide, onEvent } = this.#options;
    const decision = decide(row);
    onEvent(row, { type: "offered", isAccepted: typeof decision === "object" });
    if (decision === "ask") return;
    this.#do(() =>
      decision === "refuse" ? this.end(row, { type: "refuse" }) : this.accept(row, decision.into)
    );
  }

  /** An offer has its place among those that are not over, or is refused at once. */
  #consider(row: TransferRow): void {
    if (this.#hasPlace(row)) return this.#decide(row);
    if (!this.#isCrowded) this.#options.onEvent(row, { type: "crowded" });
    this.#isCrowded = true;
    this.#ended.add(encodeHex(row.id));
    const refused = { state: "refused", ended: this.#options.time.date(), isTold: true } as const;
    this.#do(() => this.#say({ type: "refuse", transfer: row.id }, row.id, refused));
  }

  #hasPlace({ id }: TransferRow): boolean {
    const isOpen = this.#open.has(encodeHex(id));
    if (!isOpen && this.#open.size >= OFFERS_OPEN) return false;
    this.#open.add(encodeHex(id));
    return true;
  }

  /** What came to an earlier run, which ended before it could answer, or knew less of what its person wants. */
  #decideAgain(): void {
    const { store, key, decide } = this.#options;
    for (const row of store.open(key)) {
      if (row.direction === "sent" || row.state !== "offered") continue;
      if (!this.#hasPlace(row)) this.#consider(row);
      else if (decide(row) !== "ask") this.#decide(row);
    }
  }

  /** Fetches what was accepted, as much as may be on its way at a time. */
  #goOn(): void {
    const { store, key } = this.#options;
    if (!this.#flow || this.#isClosed) return;
    if (this.#incoming.size >= TRANSFERS_AT_ONCE) return;
    for (const row of store.open(key)) {
      if (this.#incoming.size >= TRANSFERS_AT_ONCE) return;
      if (row.direction !== "received" || row.state !== "accepted") continue;
      const id = encodeHex(row.id);
      if (!this.#incoming.has(id)) this.#fetch(id, row);
    }
  }

  #fetch(id: string, row: TransferRow): void {
    const { store, key, pause, limit } = this.#options;
    const course = this.#course(id);
    const incoming = new IncomingTransfer({
      transfer: row.id,
      offer: { type: "offer", ...offerOf(row) },
      manifest: store.manifest(key, row.id),
      pause,
      open: async (manifest, entries) => {
        // From now on there is something to be swept away when it is over.
        await store.change(key, row.id, { manifest, entry: 1 });
        course.begin(entries);
        return await Staging.open({ folder: row.place, id: stagingId(key, row.id), entries });
      },
      onProgress: (entry, offset) => {
        course.moveTo(entry, offset);
        this.#recover(row.id, course);
        this.#options.onEvent(row, { type: "moved" });
      },
      onTrouble: (error) => {
        if (!course.ours.begin(course.progress.bytes)) return;
        this.#tell(row.id, { type: "stuck", who: "us", error });
      },
      onPause: (why) => this.#hold(row.id, why),
      onSkipped: (entry) => this.#tell(row.id, { type: "skipped", entry: lineOf(entry.name) }),
      onDone: (names, skipped) => {
        this.#tell(row.id, { type: "received", names });
        this.#do(() => this.end(row, { type: "done", skipped }));
      },
      limit,
      onTooLarge: () => this.#fail(row, TransferFailure.tooLarge),
      onLie: () => this.#fail(row, TransferFailure.manifest),
    });
    this.#incoming.set(id, incoming);
    incoming.attach(this.#flow!);
  }

  /** Gives what is wanted of us; undefined when it was never offered to them, or is over. */
  #give(want: Want, wake: () => void): Outflow | undefined {
    const { store, key, pause, onEvent } = this.#options;
    const row = store.get(key, want.transfer);
    if (!row || row.direction !== "sent" || isOver(row)) return undefined;
    if (row.state === "offered") {
      this.#do(() => store.change(key, row.id, { state: "accepted" }));
      onEvent({ ...row, state: "accepted" }, { type: "accepted" });
    }
    const source = this.#source(row);
    if (!source) return undefined;
    const course = this.#course(encodeHex(row.id));
    course.begin(source.entries);
    course.moveTo(want.entry, want.offset);
    course.theirs.resume(course.progress.bytes);
    const onProgress = (entry: number, offset: number) => {
      course.moveTo(entry, offset);
      onEvent(row, { type: "moved" });
    };
    if (source.stream) {
      const onGone = () => this.#fail(row, TransferFailure.gone);
      return new OutgoingStream({ ...source, want, wake, onProgress, onGone });
    }
    return new OutgoingTransfer({
      ...source,
      want,
      pause,
      wake,
      onSkipped: (entry) => {
        if (course.leftOut.has(entry)) return;
        course.leftOut.add(entry);
        this.#tell(row.id, { type: "skipped", entry: lineOf(entry.name) });
      },
      onOutgrown: ({ name }) => this.#tell(row.id, { type: "outgrown", entry: lineOf(name) }),
      onTrouble: (error) => this.#tell(row.id, { type: "stuck", who: "us", error }),
      onProgress,
    });
  }

  /** The other side cannot read or write now, which is told once. */
  #hold(id: Bytes, why: HoldReason): void {
    const row = this.#options.store.get(this.#options.key, id);
    if (!row || isOver(row)) return;
    const course = this.#course(encodeHex(id));
    if (course.theirs.begin(this.#takenOf(course))) {
      this.#tell(id, { type: "stuck", who: "peer", why });
    }
  }

  /** What waited goes on when more than a little was taken since. */
  #recover(id: Bytes, course: TransferCourse): void {
    const { ours, theirs } = course;
    const bytes = this.#takenOf(course);
    if (ours.hasPassed(bytes)) this.#tell(id, { type: "stuck", who: "us", error: undefined });
    if (theirs.hasPassed(bytes)) this.#tell(id, { type: "stuck", who: "peer", why: undefined });
  }

  /** Bytes that were surely taken: what is under way may still be passed over. */
  #takenOf({ progress }: TransferCourse): number {
    return Math.max(0, progress.bytes - (this.#flow?.underWay ?? 0));
  }

  #course(id: string): TransferCourse {
    let course = this.#courses.get(id);
    if (!course) this.#courses.set(id, course = new TransferCourse());
    return course;
  }

  #fail(row: TransferRow, code: TransferFailure): void {
    this.#do(() => this.end(row, { type: "failed", code }));
  }

  /** What an offer of ours was made of; undefined when it is not known any more. */
  #source(row: TransferRow): Source | undefined {
    const { store, key } = this.#options;
    const id = encodeHex(row.id);
    const known = this.#sources.get(id);
    if (known) return known;
    // A stream went with the program that read it.
    if (row.bytes === undefined) this.#fail(row, TransferFailure.gone);
    const manifest = row.bytes === undefined ? undefined : store.manifest(key, row.id);
    if (!manifest) return undefined;
    const entries = placed(decodeManifest(manifest, row), row.place, this.#options.kept);
    const source = sourceOf(row, manifest, entries);
    this.#sources.set(id, source);
    return source;
  }

  /** A transfer is over, whoever said so. */
  #over(row: TransferRow, who: "us" | "peer"): void {
    const id = encodeHex(row.id);
    const incoming = this.#incoming.get(id);
    this.#ended.add(id);
    this.#open.delete(id);
    if (this.#open.size < OFFERS_OPEN / 2) this.#isCrowded = false;
    this.#flow?.drop(id);
    this.#sources.get(id)?.stream?.close();
    this.#sources.delete(id);
    this.#incoming.delete(id);
    this.#courses.delete(id);
    this.#do(async () => {
      await incoming?.close();
      await this.#sweep(row);
      this.#goOn();
    });
    this.#options.onEvent(row, { type: "over", who });
  }

  /** Takes away what a transfer that is over has left in its folder, beside what it brought. */
  async #sweep({ id, direction, place }: TransferRow): Promise<void> {
    const { store, key } = this.#options;
    if (direction === "sent" || !store.get(key, id)?.entry) return;
    await sweep(place, [stagingId(key, id)]);
    await store.change(key, id, { entry: 0 });
  }

  /** Does something after all before it; what the disk does not do is done the next time. */
  #do(job: () => Promise<unknown>): void {
    this.#work = this.#work.then(job).catch((error) => {
      if (!(error instanceof CifraError)) throw error;
    });
  }
}

function offerOf(row: TransferRow): Omit<FileOffer, "type"> {
  const { files, folders, bytes, manifestLength, manifestHash, name } = row;
  return { files, folders, bytes, manifestLength, manifestHash, name };
}

/** What is sent, as large as it was offered. */
function sourceOf({ bytes = 0 }: TransferRow, manifest: Bytes, entries: readonly SourceEntry[]) {
  return { manifest, entries, agreed: new AgreedSize(entries, mostOf(bytes)) };
}
