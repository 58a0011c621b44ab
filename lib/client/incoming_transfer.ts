/**
 * What comes of one transfer: the manifest, which its offer has told the digest of, then each file in its order, to the
 * disk (PROTOCOL.md 3.15). Whatever happens, it goes on after what is there.
 */
import type { Bytes } from "../bytes.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import type { NameChange } from "../files/plan.ts";
import type { Staging } from "../files/staging.ts";
import type { SharedPause } from "../flow/shared_pause.ts";
import type { FileOffer, HoldReason } from "../wire/file_messages.ts";
import { FILE_CHANGES_LIMIT, FILE_ITEMS_WAITING } from "../limits.ts";
import { decodeManifest, type ManifestEntry } from "../wire/manifest.ts";
import type { Delivered, FileFlow, Inflow, Want } from "./file_flow.ts";
import { AgreedSize, mostOf } from "./agreed_size.ts";
import { digestOf } from "./file_digest.ts";
import { holdReason } from "./file_trouble.ts";

/** What a transfer is, and what is done with it. */
export interface IncomingOptions {
  readonly transfer: Bytes;
  readonly offer: FileOffer;
  /** As far as it was fetched by an earlier run. */
  readonly manifest: Bytes | undefined;
  /** What is taken of it at most, in bytes, however large it becomes. */
  readonly limit?: number | undefined;
  /** Keeps the manifest, of which the entries are these, and opens the disk for it. Throws `local`. */
  readonly open: (manifest: Bytes, entries: readonly ManifestEntry[]) => Promise<Staging>;
  /** Between tries to write what cannot be written now. */
  readonly pause: SharedPause;
  /** All before this place is here. */
  readonly onProgress: (entry: number, offset: number) => void;
  /** What cannot be written at the moment, each time that it was tried. */
  readonly onTrouble: (error: CifraError) => void;
  /** The sender cannot go on at the moment. */
  readonly onPause: (why: HoldReason) => void;
  readonly onSkipped: (entry: ManifestEntry) => void;
  /** All of it has its names. */
  readonly onDone: (names: readonly NameChange[], skipped: number) => void;
  /** It has become larger than what was accepted. */
  readonly onTooLarge: () => void;
  /** The manifest is one that no honest sender makes. */
  readonly onLie: (error: CifraError) => void;
}

/** The entry that comes next, as it was told of last. */
interface Current {
  readonly number: number;
  readonly size: number | undefined;
  readonly modified: number;
  offset: number;
}

/** What has come and cannot be taken yet. */
interface Waiting extends Pick<PromiseWithResolvers<void>, "resolve" | "reject"> {
  readonly item: Delivered;
  readonly flow: FileFlow | undefined;
}

/** One transfer to us on its way. */
export class IncomingTransfer implements Inflow {
  readonly #options: IncomingOptions;
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;
  #flow: FileFlow | undefined;
  #turn = 0;
  #manifest: Bytes;
  /** How much of it is here. */
  #told = 0;
  #entries: readonly ManifestEntry[] = [];
  #staging: Staging | undefined;
  #agreed: AgreedSize | undefined;
  /** Undefined before the manifest is here, and after everything is. */
  #current: Current | undefined;
  /** The entry of which something came last: it may begin anew. */
  #last = 0;
  /** The entry that has changed last, and how often in this turn; infinite when it was skipped. */
  #changed = 0;
  #changes = 0;
  /** What the last want said of blocks: the first data of its turn may stand at the end of one. */
  #block: number | undefined;
  /** Something is done that takes its time: what comes waits. */
  #work: Promise<void> | undefined;
  readonly #waiting: Waiting[] = [];
  /** It is tried again after a pause; what comes meanwhile is passed over. */
  #isStuck = false;
  /** The disk knows better where to go on. */
  #isOnDisk = false;
  #isOver = false;
  /** What follows the manifest comes in the same turn. */
  #isFollowed = false;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#manifest = options.manifest ?? new Uint8Array(0);
    this.#told = this.#manifest.length;
  }

  /** Goes on over this channel. */
  attach(flow: FileFlow): void {
    this.#flow = flow;
    this.#turn = 0;
    this.#isFollowed = false;
    if (!this.#isStuck && !this.#work) this.#goOn();
  }

  detach(): void {
    this.#flow = undefined;
  }

  /** It is over, or this program ends: what is on the disk stays there. Resolves when nothing is written any more. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#isOver = true;
    this.#closed.abort();
    await this.#work?.catch(() => {});
    await this.#staging?.close();
  }

  take(item: Delivered): Promise<void> | undefined {
    if (!this.#work && this.#waiting.length === 0) return this.#take(item);
    if (this.#waiting.length >= FILE_ITEMS_WAITING + 2 * this.#entries.length) {
      throw endless("more of a file than the disk has done with");
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ item, flow: this.#flow, resolve, reject });
    return promise;
  }

  /** Takes what has come meanwhile, until something takes its time again. */
  #takeWaiting(): void {
    while (!this.#work) {
      const next = this.#waiting.shift();
      if (!next) return;
      const { item, flow, resolve, reject } = next;
      try {
        // What an earlier channel brought comes again.
        const done = flow === this.#flow ? this.#take(item) : undefined;
        if (done) done.then(resolve, reject);
        else resolve();
      } catch (error) {
        reject(error);
      }
    }
  }

  #take(item: Delivered): Promise<void> | undefined {
    if (this.#isOver || this.#isStuck) return undefined;
    if (item.type === "pause") {
      this.#options.onPause(item.why);
      return undefined;
    }
    if (item.turn > this.#turn) throw outOfTurn();
    if (item.turn < this.#turn) return undefined;
    switch (item.type) {
      case "data":
        return item.entry === 0 ? this.#learn(item) : this.#write(item);
      case "changed":
        return this.#restart(item);
      case "end":
        return this.#end(item);
    }
  }

  /** Goes on with whatever is next. */
  #goOn(): void {
    const { offer: { manifestLength } } = this.#options;
    if (this.#told < manifestLength) this.#want(0, this.#told, { size: 0, modified: 0 });
    else if (!this.#staging) this.#begin(this.#open());
    else if (this.#isOnDisk) this.#seek(this.#staging);
    else if (!this.#current) this.#begin(this.#finish());
    else this.#want(this.#current.number, this.#current.offset, this.#current);
  }

  #want(
    entry: number,
    offset: number,
    { size, modified }: Pick<Want, "size" | "modified">,
    { block, digests }: Pick<Want, "block" | "digests"> = NO_DIGESTS,
  ): void {
    const { transfer } = this.#options;
    this.#block = block;
    this.#changed = 0;
    this.#isFollowed = false;
    const turn = ++this.#turn;
    const want = { type: "want", transfer, turn, entry, offset, size, modified } as const;
    this.#flow?.ask({ ...want, block, digests }, this);
  }

  /** Something takes its time: what comes waits for it. What the disk does not do is done after a pause. */
  #begin(doing: Promise<void>): Promise<void> {
    const work = doing.catch((error) => this.#stick(error)).finally(() => {
      if (this.#work !== work) return;
      this.#work = undefined;
      // A channel has come meanwhile.
      if (this.#flow && this.#turn === 0 && !this.#isOver) this.#goOn();
      this.#takeWaiting();
    });
    return this.#work = work;
  }

  /** Takes a piece of the manifest. */
  #learn({ offset, content }: Extract<Delivered, { type: "data" }>): Promise<void> | undefined {
    const { offer: { manifestLength } } = this.#options;
    const length = offset + content.length;
    if (offset !== this.#told || length > manifestLength) throw outOfTurn();
    // Not more at a time than has come: an offer costs nothing.
    if (length > this.#manifest.length) {
      this.#manifest = grown(this.#manifest, length, manifestLength);
    }
    this.#manifest.set(content, offset);
    this.#told = length;
    this.#isFollowed = true;
    return length < manifestLength ? undefined : this.#begin(this.#open());
  }

  /** The manifest is whole: finds out what is here of all that. */
  async #open(): Promise<void> {
    const { offer, open, onLie } = this.#options;
    if (this.#entries.length === 0) {
      const manifest = this.#manifest.subarray(0, this.#told);
      try {
        if (!timingSafeEqual(digestOf(manifest), offer.manifestHash)) throw notOffered();
        this.#entries = decodeManifest(manifest, offer);
      } catch (error) {
        if (!(error instanceof CifraError)) throw error;
        this.#isOver = true;
        return onLie(error);
      }
    }
    this.#staging ??= await open(this.#manifest.subarray(0, this.#told), this.#entries);
    this.#agreed ??= new AgreedSize(this.#staging.entries, this.#most);
    this.#manifest = new Uint8Array(0);
    this.#seek(this.#staging);
  }

  /** Goes on with what is on the disk. */
  #seek(staging: Staging): void {
    const { entry, offset, size, modified, ...blocks } = staging.position;
    const isHere = this.#entries[entry - 1]?.type === "file" && size !== 0;
    this.#current = isHere ? { number: entry, offset, size, modified } : this.#from(entry);
    this.#last = entry;
    this.#isOnDisk = false;
    if (!this.#current) return void this.#begin(this.#finish());
    const { number, offset: here } = this.#current;
    // To the beginning its sender goes on by itself, behind the manifest.
    const isNew = here === 0 && number === this.#from(1)?.number;
    if (!isNew || !this.#isFollowed) this.#want(number, here, this.#current, blocks);
  }

  /** The first entry from this one on of which something is to come. */
  #from(number: number): Current | undefined {
    for (; number <= this.#entries.length; number++) {
      const { type, size, modified } = this.#entries[number - 1]!;
      if (type === "file" && size !== 0) return { number, size, modified, offset: 0 };
    }
    return undefined;
  }

  #write(
    { entry, offset, content }: Extract<Delivered, { type: "data" }>,
  ): Promise<void> | undefined {
    const current = this.#current;
    if (!current || entry !== current.number) throw outOfTurn();
    if (offset !== current.offset) this.#goBack(current, offset);
    this.#block = undefined;
    const end = offset + content.length;
    if (current.size !== undefined && end > current.size) throw outOfTurn();
    if (current.size === undefined && end > this.#most) return this.#refuse();
    return this.#do(() => {
      const writing = this.#staging!.write(entry, offset, content);
      const wrote = () => this.#wrote(current, content.length);
      return writing ? writing.then(wrote) : wrote();
    });
  }

  #wrote(current: Current, length: number): Promise<void> | undefined {
    current.offset += length;
    this.#last = current.number;
    this.#options.onProgress(current.number, current.offset);
    return current.offset === current.size ? this.#advance() : undefined;
  }

  /** Less of the source is what is here than was hoped for: the first data say from where on it goes. */
  #goBack(current: Current, offset: number): void {
    const block = this.#block;
    if (!block || offset > current.offset || offset % 2 ** block !== 0) throw outOfTurn();
    current.offset = offset;
  }

  #restart(
    { entry, size, modified, executable }: Extract<Delivered, { type: "changed" }>,
  ): Promise<void> | undefined {
    const ahead = this.#current?.number ?? this.#entries.length;
    const known = this.#entries[entry - 1];
    if (entry < this.#last || entry > ahead || known?.type !== "file") throw outOfTurn();
    const isGone = size === undefined;
    this.#countChange(entry, isGone);
    if (!isGone && !this.#agreed!.takes(entry, size)) return this.#refuse();
    this.#block = undefined;
    return this.#do(async () => {
      if (isGone) await this.#staging!.skip(entry);
      else await this.#staging!.restart(entry, { size, modified, executable });
      this.#last = entry;
      this.#current = { number: entry, size, modified, offset: 0 };
      if (isGone) this.#options.onSkipped(known);
      if (isGone || size === 0) await this.#advance();
    });
  }

  /** The most that was accepted of it. */
  get #most(): number {
    const { offer: { bytes }, limit = Infinity } = this.#options;
    // What was larger from the start was accepted as it is.
    return bytes === undefined ? limit : Math.min(mostOf(bytes), Math.max(bytes, limit));
  }

  /** Nothing more of it is taken. */
  #refuse(): undefined {
    this.#isOver = true;
    this.#options.onTooLarge();
  }

  /** Each change costs us more than its sender, and may be told of. */
  #countChange(entry: number, isGone: boolean): void {
    if (entry !== this.#changed) this.#changes = 0;
    this.#changed = entry;
    if (this.#changes >= (isGone ? Infinity : FILE_CHANGES_LIMIT)) {
      throw endless("changes of a file without end");
    }
    this.#changes = isGone ? Infinity : this.#changes + 1;
  }

  #end({ entry, size }: Extract<Delivered, { type: "end" }>): Promise<void> | undefined {
    const current = this.#current;
    const fits = current?.number === entry && current.size === undefined && current.offset === size;
    if (!fits) throw outOfTurn();
    return this.#do(async () => {
      await this.#staging!.end(entry, size);
      await this.#advance();
    });
  }

  /** All of the present entry is here. */
  #advance(): Promise<void> | undefined {
    this.#current = this.#from(this.#current!.number + 1);
    return this.#current ? undefined : this.#begin(this.#finish());
  }

  async #finish(): Promise<void> {
    const { names, skipped } = await this.#staging!.finish();
    this.#isOver = true;
    this.#options.onDone(names, skipped);
  }

  /** Does something with the disk. */
  #do(job: () => Promise<void> | undefined): Promise<void> | undefined {
    try {
      const doing = job();
      return doing && this.#begin(doing);
    } catch (error) {
      return this.#begin(Promise.reject(error));
    }
  }

  /**
   * The disk does not do what is wanted: both sides are told, and after a pause it goes on from what is there.
   * Throws what is a mistake of ours, or of the sender.
   */
  async #stick(error: unknown): Promise<void> {
    requireLocal(error);
    const { transfer, pause, onTrouble } = this.#options;
    const { signal } = this.#closed;
    onTrouble(error);
    this.#isStuck = this.#isOnDisk = true;
    this.#flow?.ask({ type: "hold", transfer, why: holdReason(error) }, this);
    await pause.wait(signal);
    this.#isStuck = false;
    if (!signal.aborted) this.#goOn();
  }
}

const NO_DIGESTS = { block: 0, digests: new Uint8Array(0) };

/** Room for more of a manifest, twice as much each time. */
function grown(manifest: Bytes, length: number, limit: number): Bytes {
  const larger = new Uint8Array(Math.min(limit, Math.max(length, 2 * manifest.length)));
  larger.set(manifest);
  return larger;
}

function requireLocal(error: unknown): asserts error is CifraError {
  if (!(error instanceof CifraError) || error.code !== "local") throw error;
}

function notOffered(): CifraError {
  return new CifraError("bad_frame", "The manifest is not the one that was offered");
}

function endless(what: string): CifraError {
  return new CifraError("limit", `The other side sends ${what}`);
}

function outOfTurn(): CifraError {
  return new CifraError("bad_state", "The other side sends what does not follow of a file");
}
