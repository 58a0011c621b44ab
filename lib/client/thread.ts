/**
 * A conversation: messages numbered in each direction, stored before they are acknowledged, and sent again
 * over the next channel when one is lost. It is not a connection; channels are attached to it, one at
 * a time, and losing one loses nothing (PROTOCOL.md 3.8).
 */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { type Random, timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import {
  CONVERSATION_WINDOW,
  OUTBOUND_QUEUE_HIGH_WATER,
  PENDING_DEADLINE,
  PENDING_PROBE,
  STORING_PER_MINUTE,
  STREAM_PIECE_LIMIT,
  TEXT_LIMIT,
} from "../limits.ts";
import type { SharedPause } from "../flow/shared_pause.ts";
import { Signal } from "../flow/signal.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import type { Time } from "../flow/time.ts";
import type { Goodbye } from "../channel/channel.ts";
import { larger } from "../store/message_rules.ts";
import type { ConversationKey, MessageStore, SealedNews } from "../store/message_store.ts";
import { type StoreTrouble, troubleOf } from "../store/store_failure.ts";
import type { TransferStep } from "../store/transfer_store.ts";
import { encodeFileWord, type FileWord } from "../wire/file_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import {
  decodeMessage,
  ID_LENGTH,
  LogKind,
  type LogPosition,
  type Message,
  messageLength,
  type NewMessage,
  type NewPiece,
  peerAck,
  peerStoring,
  StoringState,
} from "../wire/peer_messages.ts";
import type { Line } from "../wire/line.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import { AwayWords, NO_WORDS } from "./away_words.ts";
import { FileDock, type FileLane } from "./file_dock.ts";
import { Incoming, outOfTurn, type PeerEvent, type StreamProgress } from "./incoming.ts";
import { KeptLog, LiveLog, type Outgoing } from "./outgoing.ts";
import { PatientLog } from "./patient_log.ts";

/** What the other side's words mean. */
const TROUBLES: Readonly<Record<StoringState, StoreTrouble | undefined>> = {
  [StoringState.again]: undefined,
  [StoringState.full]: "full",
  [StoringState.inUse]: "inUse",
  [StoringState.failing]: "failing",
};

/**
 * An acknowledgement of a stream waits until this much of it has been taken, or `tick` comes: one for each piece
 * would cost as many records as the stream itself. Well below the window, so that its sender never waits for one.
 */
const ACK_STRIDE = CONVERSATION_WINDOW / 4;

/** How a channel ended under a conversation. */
export type Ending =
  /** The other side said goodbye, and everything it sent has arrived. */
  | { readonly type: "left" }
  /** Its program ended itself over something that went wrong there. */
  | { readonly type: "failed" }
  | { readonly type: "cut"; readonly error: CifraError }
  /** Our key is not the one by which the other side knows us. */
  | { readonly type: "unwelcome" }
  /** Another channel took its place, or we left. */
  | { readonly type: "done" };

/** How far our messages have come: the number of the last one of each state. */
export interface Delivery {
  readonly queued: bigint;
  readonly sent: bigint;
  /** On the server, for when the other side comes; not below `stored`. */
  readonly onServer: bigint;
  readonly stored: bigint;
  readonly read: bigint;
}

/** Who cannot store at the moment, and why; without `trouble` they can again. */
export type Storing =
  /** What we write waits in memory, and what comes is held there. */
  | { readonly who: "us"; readonly trouble: CifraError | undefined }
  | { readonly who: "peer"; readonly trouble: StoreTrouble | undefined };

/** Our last message, if it has arrived before this run: its state is no news. */
export function lastArrived({ queued, stored }: Delivery): bigint | undefined {
  return stored === queued ? queued : undefined;
}

/** What became of the wish to take a message back. */
export type Retraction =
  /** There is none that can be: all are stored over there, or taken back already. */
  | { readonly type: "none" }
  /** It is stored over there. */
  | { readonly type: "late"; readonly number: bigint }
  /** `hasLeft`: it was sent or left at a server before, and may be there, and read, by now. */
  | { readonly type: "done"; readonly number: bigint; readonly hasLeft: boolean };

/** What a conversation is made of. */
export interface ThreadOptions {
  /** Keeps what is written and read; without one nothing outlives the program. */
  readonly store?: MessageStore | undefined;
  readonly key: ConversationKey;
  /** Whether what we write is kept until it is stored over there (a chat), or is a byte stream. */
  readonly kind: LogKind;
  readonly random: Random;
  readonly time: Pick<Time, "now" | "date">;
  /** Whether the other side is told what we have read of its messages; by default it is. */
  readonly tellsRead?: boolean | undefined;
  /** Told when `delivery` has changed. */
  readonly onDelivery?: ((delivery: Delivery) => void) | undefined;
  /** Told when `unread` has changed. */
  readonly onUnread?: (() => void) | undefined;
  /** Told when one of the two cannot store any more, or can again. */
  readonly onStoring?: ((storing: Storing) => void) | undefined;
  /** Our words while we are away, as they are now; see `tellAway`. By default there are none. */
  readonly ourAway?: (() => Line) | undefined;
  /** Told when the other side is away with these words, or with none any more. */
  readonly onAway?: ((words: Line) => void) | undefined;
  /** Takes the content of files; without one it is out of turn. */
  readonly files?: FileLane | undefined;
  /** Between tries to store what could not be stored; all threads of a store share one. */
  readonly storePause: SharedPause;
}

/** What a conversation uses of the channel that carries it; a `Channel` is one. */
export interface Carrier {
  /** Whether `send` takes more. */
  readonly isOpen: boolean;
  /** Whether `receive` has something to give without waiting for the network. */
  readonly hasMore: boolean;
  /** When something was last heard, by the clock that `tick` is told. */
  readonly lastHeard: number;
  /** The other side's last words, when it said them. */
  readonly goodbye: Goodbye | undefined;
  /** Why it is over, when it failed. */
  readonly failure: CifraError | undefined;
  /** Queues an item of type `message`, `ack`, `storing`, `away` or `file`. */
  send(type: ItemType, body: Bytes): void;
  /** Resolves when there is room for more. */
  ready(): Promise<void>;
  /** The next items, null at the end; calls `beforeWaiting` when none is there yet. */
  receive(beforeWaiting: () => void): Promise<readonly Item[] | null>;
  /** Asks the other side for a sign of life. */
  probe(): void;
  /** Says goodbye after everything queued; resolves when all is on its way, also for a second time. */
  close(code: CloseCode, lastSent: bigint, lastStored: bigint): Promise<void>;
  /** Ends it with an error that the other side is told by its code. */
  fail(error: unknown): void;
  /** Lets go of it at once. */
  destroy(): void;
}

/** A channel while it carries the conversation. */
interface Attachment {
  readonly carrier: Carrier;
  /** Whether it is known where both logs go on. */
  isBegun: boolean;
  /** The next message to send on it. */
  next: bigint;
  /** Since when something is sent and not acknowledged, by the channel's clock. */
  pendingSince: number | undefined;
  probed: boolean;
  /** What was last told to the other side. */
  toldStored: bigint;
  toldRead: bigint;
  toldStoring: StoreTrouble | undefined;
  /** The other side cannot store what we send. */
  isPaused: boolean;
  /** How often it may say so. */
  readonly words: TokenBucket;
  readonly ended: PromiseWithResolvers<Ending>;
}

/** One conversation. */
export class Thread {
  readonly #options: ThreadOptions;
  readonly #outgoing: Outgoing;
  readonly #written: PatientLog;
  readonly #incoming: Incoming;
  readonly #away: AwayWords;
  readonly #files: FileDock;
  #attachment: Attachment | undefined;
  /** Sizes of messages sent and not stored over there, oldest first, and their sum. */
  #sizes: number[] = [];
  #bytesUnderWay = 0;
  /** Of a stream, as its sender counts it; infinite when an acknowledgement is due whatever was taken. */
  #takenSinceAck = Infinity;
  /** What our last hello said. */
  #said: LogPosition | undefined;
  /** How often the logs have changed by another way than a channel, and had when something was said of them. */
  #mails = 0;
  readonly #mailsBefore = new WeakMap<LogPosition, number>();
  /** What changes them so, one after the other. */
  #apart: Promise<unknown> = Promise.resolve();
  /** The last message that waits at the server. */
  #onServer = 0n;
  /** The last message that may have been sent, over whichever channel, by whichever program. */
  #lastSent: bigint;
  /** The other side has taken more, or nothing more will come of this. */
  readonly #progress = new Signal();
  /** There may be something to send, or room for it. */
  readonly #sendable = new Signal();
  #broken: CifraError | undefined;
  #left = false;
  readonly #leaving = new AbortController();
  #isStoringAgain = false;
  /** What was told last. */
  #ourTrouble: StoreTrouble | undefined;
  #peerTrouble: StoreTrouble | undefined;
  /** Our last message that its writer was told of: with others it may be on disk a moment before. */
  #kept: bigint;
  /** What those who wrote messages call them, by number, until somebody takes it. */
  readonly #refs = new Map<bigint, unknown>();

  private constructor(options: ThreadOptions, outgoing: Outgoing) {
    this.#options = options;
    this.#outgoing = outgoing;
    this.#written = new PatientLog(outgoing, options.storePause, () => this.#tellStoring());
    this.#away = new AwayWords({
      ours: options.ourAway ?? (() => NO_WORDS),
      onTheirs: (words) => options.onAway?.(words),
      now: () => options.time.now(),
    });
    this.#files = new FileDock(options.files, options.time);
    this.#incoming = new Incoming(options.store, options.key, (fresh) => this.#files.hear(fresh));
    this.#lastSent = this.#kept = outgoing.last;
  }

  /** Opens a conversation, where it was when the last program that had it ended. Throws `local`. */
  static async open(options: ThreadOptions): Promise<Thread> {
    const { store, kind, key, random } = options;
    const outgoing = store && kind === LogKind.kept
      ? await KeptLog.open(store, key)
      : new LiveLog(random);
    return new Thread(options, outgoing);
  }

  /** How far our messages have come. */
  get delivery(): Delivery {
    const { stored, read } = this.#outgoing;
    const queued = this.#kept;
    const sent = this.#attachment ? this.#attachment.next - 1n : stored;
    const onServer = larger(this.#onServer < queued ? this.#onServer : queued, stored);
    return { queued, sent: sent < queued ? sent : queued, onServer, stored, read };
  }

  /** Our messages that wait in memory, since they cannot be stored at the moment. */
  get unkept(): number {
    return this.#written.waiting;
  }

  /** Another figure than before says that something has been stored or taken since, here or over there. */
  get progress(): bigint {
    return this.#outgoing.stored + this.#incoming.stored + this.#files.progress;
  }

  /** Why the conversation cannot go on, over any channel. */
  get broken(): CifraError | undefined {
    return this.#broken;
  }

  /** How many messages of the other side have come and are not `taken`. */
  get unread(): number {
    return this.#incoming.unread;
  }

  /** How far their byte stream has come; undefined when they write messages, or were never heard. */
  get theirStream(): StreamProgress | undefined {
    return this.#incoming.stream;
  }

  /** The words with which the other side is away; empty when it is not, has none, or was not heard. */
  get theirAway(): Line {
    return this.#away.theirs;
  }

  /** Whether a channel is attached. */
  get isAttached(): boolean {
    return this.#attachment !== undefined;
  }

  /** Where both directions stand, for a hello; `theirLog` is the other side's log, once it is known. */
  position(theirLog?: Bytes): LogPosition {
    const { log, kind, stored } = this.#outgoing;
    this.#said = { log, kind, first: stored + 1n, ...this.#incoming.position(theirLog) };
    this.#mailsBefore.set(this.#said, this.#mails);
    return this.#said;
  }

  /**
   * Goes on over this channel, whose other side stands at `theirs`; the channel before it is let go. `ours` is the
   * position that was said on this channel, by default the last one. Resolves when the channel has ended.
   */
  attach(carrier: Carrier, theirs: LogPosition, ours = this.#said): Promise<Ending> {
    const ending = this.#attach(carrier, async (attachment) => {
      await this.#agree(attachment, theirs, ours);
      if (!this.#left && this.#attachment === attachment) this.#files.attach(carrier);
    });
    // Before anything else is said on it.
    this.#away.begin(carrier);
    return ending;
  }

  /**
   * Goes on over a channel to a server, which exchanges no hellos: neither side keeps a log of what it says,
   * and the server's answer to a message has the number of that message.
   */
  attachServer(carrier: Carrier): Promise<Ending> {
    return this.#attach(carrier, (attachment) => {
      const next = this.#outgoing.stored + 1n;
      this.#rewind(attachment, next);
      this.#incoming.beginUnnamed(next);
    });
  }

  /** `begin` finds where both logs go on. */
  #attach(
    carrier: Carrier,
    begin: (attachment: Attachment) => Promise<void> | void,
  ): Promise<Ending> {
    this.#detach({ type: "done" })?.destroy();
    const attachment: Attachment = {
      carrier,
      isBegun: false,
      next: this.#outgoing.stored + 1n,
      pendingSince: undefined,
      probed: false,
      toldStored: 0n,
      toldRead: 0n,
      toldStoring: undefined,
      isPaused: false,
      words: new TokenBucket(STORING_PER_MINUTE, STORING_PER_MINUTE, this.#options.time.now()),
      ended: Promise.withResolvers(),
    };
    this.#attachment = attachment;
    this.#takenSinceAck = Infinity;
    this.#carry(attachment, begin);
    return attachment.ended.promise;
  }

  /**
   * Runs `work`, which changes both logs on disk by what came in an envelope, unless a channel is attached: then it is
   * not run, and undefined is returned. A channel that comes meanwhile waits; one on which it was said before where
   * the logs stand does not carry the conversation (PROTOCOL.md 3.12, Opening).
   */
  async whileApart<T extends SealedNews | undefined>(
    work: () => Promise<T>,
  ): Promise<{ readonly done: T } | undefined> {
    if (this.#attachment || this.#left) return undefined;
    const job = this.#apart.then(async () => {
      const done = await work();
      if (done) await this.#refresh(done);
      return done;
    });
    this.#apart = job.catch(() => {});
    return { done: await job };
  }

  async #refresh(news: SealedNews): Promise<void> {
    this.#mails++;
    const log = this.#outgoing;
    if (log instanceof KeptLog) {
      const { log: before, stored } = log;
      await log.refresh();
      if (timingSafeEqual(before, log.log)) this.#arrived(log.stored - stored);
      else {
        this.#begunAnew(log);
        this.#arrived(BigInt(this.#sizes.length));
      }
    }
    this.#lastSent = larger(this.#lastSent, log.stored);
    this.#incoming.refresh(news);
    this.#wake();
    this.#tellDelivery();
    this.#options.onUnread?.();
  }

  /** Our log is another one now: nothing is known of where its messages are. */
  #begunAnew(log: Outgoing): void {
    this.#lastSent = 0n;
    this.#onServer = 0n;
    this.#kept = log.last;
  }

  /** Messages up to this one are about to be left for the other side, which may have them sooner than we know. */
  noteSealed(number: bigint): void {
    this.#lastSent = larger(this.#lastSent, number);
  }

  /** The last message that waits at the server for the other side, with all before it. */
  noteOnServer(number: bigint): void {
    if (number <= this.#onServer) return;
    this.#onServer = number;
    this.#tellDelivery();
  }

  /**
   * Keeps a text and sends it when there is a channel; resolves to its number when it is on disk, after a wait
   * where the disk is full. `ref` is what its writer calls it. Throws `limit` beyond 16 KiB of UTF-8, `local` when it
   * is not kept by the time we leave.
   */
  async sendText(text: string, ref?: unknown): Promise<bigint> {
    const content = encodeUtf8(text);
    if (content.length > TEXT_LIMIT) {
      throw new CifraError(
        "limit",
        `Cannot send this message: must be at most ${TEXT_LIMIT} bytes, got ${content.length}`,
        { hint: "send it in parts, or through a pipe: cifra connect ... < file" },
      );
    }
    return await this.#append(this.#newMessage("text", content), ref);
  }

  /** Our words of being away have changed: the other side is told, when there is a channel, or when there is one. */
  tellAway(): void {
    this.#away.say();
  }

  /**
   * Keeps a word about a transfer, takes the step that it tells of, in one change, and sends it when there is a
   * channel; after a wait where the disk is full. An offer has the id of the transfer that begins. Throws as
   * `sendText`, and TypeError where nothing is kept.
   */
  async sendFileWord(
    word: FileWord,
    step: TransferStep,
  ): Promise<{ readonly number: bigint; readonly id: Bytes }> {
    const message = this.#newMessage("file", encodeFileWord(word));
    const id = "begin" in step ? step.begin.id : message.id;
    return { number: await this.#append({ ...message, id }, undefined, step), id };
  }

  /** What the writer of a message calls it, told once: when `onDelivery` says that it is queued. */
  takeRef(number: bigint): unknown {
    const ref = this.#refs.get(number);
    this.#refs.delete(number);
    return ref;
  }

  /**
   * Takes a text back, by default the last one, unless it is known to be stored over there: what has its number says so
   * from then on. Throws `local`.
   */
  async takeBack(chosen?: bigint): Promise<Retraction> {
    const { store, key } = this.#options;
    const { kind, stored, last } = this.#outgoing;
    if (!store || kind !== LogKind.kept) return { type: "none" };
    if (chosen !== undefined && 0n < chosen && chosen <= stored) {
      return { type: "late", number: chosen };
    }
    const number = chosen ?? lastText(store, key, stored, last);
    if (number === undefined) return { type: "none" };
    const hasLeft = number <= this.#lastSent || number <= this.#onServer;
    if (!await store.takeBack(key, number)) {
      return number <= this.#outgoing.stored ? { type: "late", number } : { type: "none" };
    }
    return { type: "done", number, hasLeft: hasLeft || number <= this.#lastSent };
  }

  /** Says that this program has nothing more to say. Throws `local`. */
  async sendEnd(): Promise<bigint> {
    return await this.#append(this.#newMessage("end", new Uint8Array(0)));
  }

  /** Sends a piece of a byte stream of any length; resolves when there is room for the next. */
  async sendBytes(bytes: Bytes): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += STREAM_PIECE_LIMIT) {
      const content = bytes.subarray(offset, offset + STREAM_PIECE_LIMIT);
      await this.#append({ type: "bytes", content });
      // Waits until what the other side has not taken fits the window, so that little is held.
      while (this.#outgoing.bytesHeld > CONVERSATION_WINDOW) await this.#awaitProgress();
    }
  }

  /** Resolves when the other side has stored everything we wrote; throws when it never will. */
  async settled(): Promise<void> {
    while (this.#outgoing.stored < this.#outgoing.last) await this.#awaitProgress();
  }

  /** What the other side says, in order, over all channels; ends after `leave`. Each is to be `taken`. */
  async *events(): AsyncGenerator<PeerEvent, void, void> {
    for (;;) {
      const event = await this.#incoming.next();
      if (!event) return;
      yield event;
    }
  }

  /** The program is done with this event, and with all before it. */
  taken(event: PeerEvent): void {
    this.#incoming.taken(event);
    this.#options.onUnread?.();
    const isPiece = event.type === "bytes";
    this.#takenSinceAck += isPiece
      ? messageLength({ type: "bytes", number: event.number, content: event.bytes })
      : Infinity;
    if (this.#incoming.canStoreHeldBack) this.#storeHeldBack();
    const attachment = this.#attachment;
    if (!attachment) return;
    // In a flood one acknowledgement serves many messages; otherwise each is told at once.
    if (!isPiece && attachment.carrier.hasMore) return;
    this.#acknowledge(attachment);
  }

  /** Stores what waited for room, which follows what is shown, and tells the other side. */
  async #storeHeldBack(): Promise<void> {
    await this.#incoming.storeHeldBack();
    this.#options.onUnread?.();
    if (this.#attachment) this.#acknowledge(this.#attachment);
    this.#tellStoring();
    this.#storeAgain();
  }

  /** Tries to store what could not be stored, for as long as it takes. */
  async #storeAgain(): Promise<void> {
    if (this.#isStoringAgain) return;
    this.#isStoringAgain = true;
    while (this.#incoming.isInTrouble && !this.#leaving.signal.aborted) {
      await this.#options.storePause.wait(this.#leaving.signal);
      await this.#storeHeldBack();
    }
    this.#isStoringAgain = false;
  }

  /** Tells our side and the other one whether what is written and what comes can be stored. */
  #tellStoring(): void {
    const ours = this.#incoming.trouble ?? this.#written.trouble;
    const trouble = ours && troubleOf(ours);
    if (trouble !== this.#ourTrouble) {
      this.#ourTrouble = trouble;
      this.#options.onStoring?.({ who: "us", trouble: ours });
    }
    const attachment = this.#attachment;
    // What comes is not stored: what we write is not the other side's business.
    const theirs = this.#incoming.isInTrouble ? trouble : undefined;
    if (!attachment?.carrier.isOpen || theirs === attachment.toldStoring) return;
    attachment.toldStoring = theirs;
    const state = StoringState[theirs ?? "again"];
    attachment.carrier.send(ItemType.storing, encode(peerStoring, { state }));
  }

  #hearStoring(attachment: Attachment, item: Item): void {
    if (!attachment.words.take(this.#options.time.now())) {
      throw new CifraError("limit", "The other side says again and again whether it can store");
    }
    const { state } = decode(peerStoring, item.body);
    const trouble = TROUBLES[state];
    attachment.isPaused = trouble !== undefined;
    this.#sendable.notify();
    this.#setPeerTrouble(trouble);
  }

  #setPeerTrouble(trouble: StoreTrouble | undefined): void {
    if (trouble === this.#peerTrouble) return;
    this.#peerTrouble = trouble;
    this.#options.onStoring?.({ who: "peer", trouble });
  }

  /** Says goodbye, after everything sent, and ends the conversation for this program. */
  async leave(code: CloseCode = CloseCode.done): Promise<void> {
    this.#left = true;
    this.#leaving.abort();
    await this.#written.stop();
    // The log is open until what came by another way stands in it.
    await this.#apart;
    const attachment = this.#attachment;
    if (attachment) {
      const { carrier } = attachment;
      this.#files.detach(carrier);
      while (carrier.isOpen && this.#hasRoomToSend(attachment)) this.#sendSome(attachment);
      await carrier.close(code, attachment.next - 1n, this.#incoming.stored);
      await attachment.ended.promise;
    }
    this.#incoming.close();
    this.#wake();
  }

  /**
   * The owner calls this about once a second: with messages under way, silence is not waited out as long
   * as in an idle channel, and what was taken of a stream that rests is told.
   */
  tick(now: number): void {
    this.#away.say();
    const attachment = this.#attachment;
    if (!attachment) return;
    if (attachment.isBegun) {
      this.#takenSinceAck = Infinity;
      this.#acknowledge(attachment);
    }
    const { carrier, pendingSince = Infinity } = attachment;
    const since = Math.min(pendingSince, this.#files.underWaySince);
    if (since === Infinity) return;
    const silence = now - Math.max(since, carrier.lastHeard);
    if (silence > PENDING_DEADLINE) {
      carrier.fail(new CifraError("timeout", "The other side does not answer"));
    } else if (silence > PENDING_PROBE && !attachment.probed) {
      attachment.probed = true;
      carrier.probe();
    } else if (silence <= PENDING_PROBE) attachment.probed = false;
  }

  #newMessage(type: NewMessage["type"], content: Bytes): NewMessage {
    const { random, time } = this.#options;
    return { type, id: random(ID_LENGTH), written: time.date(), content };
  }

  /** Puts a message in our log, and lets it be sent. */
  async #append(
    message: NewMessage | NewPiece,
    ref?: unknown,
    step?: TransferStep,
  ): Promise<bigint> {
    const number = await this.#written.append(message, step);
    if (ref !== undefined) this.#refs.set(number, ref);
    this.#kept = larger(this.#kept, number);
    this.#sendable.notify();
    this.#tellDelivery();
    return number;
  }

  async #carry(
    attachment: Attachment,
    begin: (attachment: Attachment) => Promise<void> | void,
  ): Promise<void> {
    const { carrier } = attachment;
    try {
      await begin(attachment);
      attachment.isBegun = true;
      this.#tellDelivery();
      const sending = this.#sendAll(attachment);
      // Who cannot send must not go on listening as if nothing were wrong.
      sending.catch((error) => carrier.fail(error));
      await this.#receiveAll(attachment);
      await this.#answerGoodbye(attachment);
      if (this.#attachment === attachment) this.#finish(attachment, this.#judgeEnding(carrier));
      await sending;
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      carrier.fail(error);
      this.#finish(attachment, { type: "cut", error });
    }
  }

  /** Compares what both say of the two logs, and finds where to go on. */
  async #agree(
    attachment: Attachment,
    theirs: LogPosition,
    said: LogPosition | undefined,
  ): Promise<void> {
    await this.#apart;
    if (said && this.#mailsBefore.get(said) !== this.#mails) {
      throw new CifraError("cut", "What this side said of its messages is no longer so");
    }
    const log = this.#outgoing;
    if (said && !timingSafeEqual(said.log, log.log)) {
      throw new CifraError("cut", "This side has begun a new log since it said where it stands");
    }
    if (timingSafeEqual(theirs.readLog, log.log)) {
      if (!log.has(theirs.have, theirs.haveId)) {
        // It has messages that we do not know of: ours came back from an old copy, and what was written
        // since may have taken their numbers.
        if (!await log.restart()) throw outOfTurn();
        this.#begunAnew(log);
        throw new CifraError("cut", "This profile is older than what the other side has of it");
      }
      if (log.kind === LogKind.kept) this.#settle(theirs.have, log.read);
      const { lostUpTo } = log;
      if (lostUpTo > theirs.have && said && lostUpTo >= said.first) throw someAreLost();
      this.#rewind(attachment, larger(theirs.have, log.stored) + 1n);
    } else if (log.kind === LogKind.live && log.stored > 0n) {
      throw this.#break("The other side's program has restarted: a byte stream cannot go on there");
    } else this.#rewind(attachment, log.stored + 1n);
    await this.#incoming.begin(theirs);
    if (said && this.#isUnchecked(said, theirs)) {
      throw new CifraError("cut", "The other side was not told what is here of its log");
    }
    if (this.#incoming.have > 0n) this.#acknowledge(attachment);
  }

  /**
   * Whether the other side goes on before the end of what is here of its log, and could not compare: our
   * hello named another log, as that of an initiator may. Its messages may be others than those that are
   * here; passed over and acknowledged, they would be lost. The next hello names this log.
   */
  #isUnchecked(said: LogPosition, { log, kind, first }: LogPosition): boolean {
    return kind === LogKind.kept && first <= this.#incoming.have &&
      !timingSafeEqual(said.readLog, log);
  }

  #break(message: string): CifraError {
    this.#broken = beyondRepair(message);
    return this.#broken;
  }

  /** What was sent over a lost channel and has not arrived counts as not sent. */
  #rewind(attachment: Attachment, next: bigint): void {
    attachment.next = next;
    const arrived = Number(next - 1n - this.#outgoing.stored);
    for (const size of this.#sizes.splice(arrived)) this.#bytesUnderWay -= size;
  }

  /** Sends what is in our log, in order, for as long as the channel carries the conversation. */
  async #sendAll(attachment: Attachment): Promise<void> {
    const { carrier } = attachment;
    while (this.#attachment === attachment && carrier.isOpen) {
      if (!this.#hasRoomToSend(attachment)) {
        await this.#sendable.wait();
        continue;
      }
      this.#sendSome(attachment);
      await carrier.ready();
    }
  }

  /** Hands the next messages to the channel. */
  #sendSome(attachment: Attachment): void {
    const messages = this.#outgoing.messages(attachment.next, OUTBOUND_QUEUE_HIGH_WATER);
    for (const { number, body } of messages) {
      attachment.carrier.send(ItemType.message, body);
      attachment.next = number + 1n;
      this.#lastSent = larger(this.#lastSent, number);
      this.#sizes.push(body.length);
      this.#bytesUnderWay += body.length;
    }
    attachment.pendingSince ??= this.#options.time.now();
    this.#tellDelivery();
  }

  #hasRoomToSend(attachment: Attachment): boolean {
    const { next, isPaused } = attachment;
    return !isPaused && next <= this.#outgoing.last && !this.#outgoing.isLost(next) &&
      this.#bytesUnderWay <= CONVERSATION_WINDOW;
  }

  async #receiveAll(attachment: Attachment): Promise<void> {
    const { carrier } = attachment;
    for (;;) {
      // What follows a message need not be one: nobody waits for an acknowledgement for ever.
      const items = await carrier.receive(() => this.#acknowledge(attachment));
      if (!items || this.#attachment !== attachment) return;
      const messages: Message[] = [];
      for (const item of items) {
        if (item.type !== ItemType.away) this.#away.hearOther();
        if (item.type === ItemType.ack) this.#readAcknowledgement(attachment, item);
        else if (item.type === ItemType.storing) this.#hearStoring(attachment, item);
        else if (item.type === ItemType.away) this.#away.hear(item);
        else if (item.type === ItemType.message) messages.push(decodeMessage(item.body));
        else if (item.type === ItemType.file) {
          await this.#takeMessages(attachment, messages.splice(0));
          if (this.#attachment !== attachment) return;
          this.#files.take(carrier, item.body);
        } else throw outOfTurn();
      }
      await this.#takeMessages(attachment, messages);
    }
  }

  async #takeMessages(attachment: Attachment, messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    const fresh = await this.#incoming.take(messages);
    if (fresh) this.#options.onUnread?.();
    // What was stored is told at once; one who sends what is here already is told once more.
    this.#acknowledge(attachment, !fresh);
    this.#tellStoring();
    if (this.#incoming.canStoreHeldBack) this.#storeHeldBack();
    else this.#storeAgain();
  }

  #readAcknowledgement(attachment: Attachment, item: Item): void {
    const { stored, read } = decode(peerAck, item.body);
    if (stored > this.#lastSent || read > stored) throw outOfTurn();
    // More may have arrived over the channel before than either knew when this one began.
    if (stored >= attachment.next) attachment.next = stored + 1n;
    this.#settle(stored, read);
    // What is lost next cannot come; the next hello says so.
    if (this.#outgoing.stored >= attachment.next) throw someAreLost();
    const pending = this.#outgoing.stored < attachment.next - 1n;
    attachment.pendingSince = pending ? this.#options.time.now() : undefined;
  }

  /** The other side has stored and read this much. */
  #settle(stored: bigint, read: bigint): void {
    const log = this.#outgoing;
    const more = stored - log.stored;
    this.#arrived(more);
    // It may be another program by now, which had nothing to say of its disk.
    if (more > 0n && this.#attachment?.isPaused !== true) this.#setPeerTrouble(undefined);
    if (more <= 0n && read <= log.read) return;
    log.acknowledge(stored, read);
    // Some may have come by the mailbox.
    this.#lastSent = larger(this.#lastSent, stored);
    this.#wake();
    this.#tellDelivery();
  }

  /** So many of those sent are stored over there. */
  #arrived(more: bigint): void {
    if (more <= 0n) return;
    for (const size of this.#sizes.splice(0, Number(more))) this.#bytesUnderWay -= size;
  }

  /** Tells the other side what is stored and read here, unless it knows. */
  #acknowledge(attachment: Attachment, always = false): void {
    if (this.#attachment !== attachment || !attachment.carrier.isOpen) return;
    const { stored, read: shown } = this.#incoming;
    const told = this.#options.tellsRead === false ? 0n : shown;
    const read = told < stored ? told : stored;
    if (!always && stored === attachment.toldStored && read === attachment.toldRead) return;
    const mayWait = this.#incoming.stream !== undefined && this.#takenSinceAck < ACK_STRIDE;
    if (mayWait && !always) return;
    attachment.toldStored = stored;
    attachment.toldRead = read;
    this.#takenSinceAck = 0;
    attachment.carrier.send(ItemType.ack, encode(peerAck, { stored, read }));
  }

  /** Lets go of the present channel, if there is one. */
  #detach(ending: Ending): Carrier | undefined {
    const attachment = this.#attachment;
    if (!attachment) return undefined;
    this.#finish(attachment, ending);
    return attachment.carrier;
  }

  #finish(attachment: Attachment, ending: Ending): void {
    if (this.#attachment === attachment) {
      this.#attachment = undefined;
      this.#away.end(ending.type === "left" || ending.type === "failed");
    }
    if (this.#attachment === attachment) this.#attachment = undefined;
    this.#files.detach(attachment.carrier);
    attachment.ended.resolve(ending);
    this.#wake();
    this.#tellDelivery();
  }

  /**
   * A goodbye is answered with ours, which says how far we have come (PROTOCOL.md 3.6). When both say it at the
   * same time, ours, and what stands before it, has to be on its way before the connection goes.
   */
  async #answerGoodbye({ carrier, next }: Attachment): Promise<void> {
    if (carrier.goodbye) await carrier.close(CloseCode.done, next - 1n, this.#incoming.stored);
  }

  /** A goodbye whose counters disagree with ours is no goodbye (PROTOCOL.md 3.6). */
  #judgeEnding(carrier: Carrier): Ending {
    const { goodbye, failure } = carrier;
    if (!goodbye) {
      if (this.#left) return { type: "done" };
      return { type: "cut", error: failure ?? new CifraError("cut", "The connection was cut") };
    }
    const { code, lastSent, lastStored } = goodbye;
    if (code === CloseCode.stranger) return { type: "unwelcome" };
    if (lastStored <= this.#lastSent) this.#settle(lastStored, this.#outgoing.read);
    if (code === CloseCode.failed) return { type: "failed" };
    if (lastSent !== this.#incoming.come || lastStored > this.#lastSent) {
      const message = "The other side left, and some of its messages are missing";
      return { type: "cut", error: new CifraError("cut", message) };
    }
    return { type: "left" };
  }

  async #awaitProgress(): Promise<void> {
    if (this.#broken) throw this.#broken;
    if (this.#left) throw new CifraError("cut", "The conversation has ended");
    await this.#progress.wait();
  }

  #wake(): void {
    this.#progress.notify();
    this.#sendable.notify();
  }

  #tellDelivery(): void {
    this.#options.onDelivery?.(this.delivery);
  }
}

/** The last text of ours after `stored`. */
function lastText(
  store: MessageStore,
  key: ConversationKey,
  stored: bigint,
  last: bigint,
): bigint | undefined {
  for (let number = last; number > stored; number--) {
    const [message] = store.read(key, number, 1);
    if (message?.number === number && message.type === "text") return number;
  }
  return undefined;
}

/** Why a channel ends whose reader waits for messages that are lost. */
function someAreLost(): CifraError {
  return new CifraError("cut", "This side has lost messages, and says which over the next channel");
}

/** Why a stream or a conversation cannot go on, and what is left to do: `cut`. */
export function beyondRepair(message: string): CifraError {
  return new CifraError("cut", message, { hint: "run the command again on both sides" });
}
