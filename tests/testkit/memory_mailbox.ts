/** A server's mailbox that lives and dies with its process, unless its disk is given to the next one. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import type {
  Box,
  Envelope,
  Left,
  MailboxCounts,
  MailboxStore,
  MailboxWriter,
  NewEnvelope,
  OpenedBox,
  Stock,
  Tally,
} from "../../lib/store/mailbox_store.ts";
import type { PublishedPrekey } from "../../lib/wire/mailbox_messages.ts";
import type { Commit } from "./memory_messages.ts";

/** How it differs from the usual. */
export interface MemoryMailboxOptions {
  /** The disk; without one changes are durable a microtask after they were asked for. */
  readonly commit?: Commit;
  /** Bytes of bodies for which there is room. */
  readonly budget?: number;
  /** What is on the disk at the beginning, and changes with it; for one mailbox after the other. */
  readonly disk?: MailboxDisk;
}

/** What is durable; data alone, so that it can be copied whole. */
export interface MailboxDisk {
  readonly boxes: Map<number, Box>;
  readonly once: Map<number, readonly PublishedPrekey[]>;
  readonly envelopes: Map<number, Kept>;
  lastBox: number;
  lastPlace: number;
}

/** A disk with nothing on it. */
export function emptyMailboxDisk(): MailboxDisk {
  return { boxes: new Map(), once: new Map(), envelopes: new Map(), lastBox: 0, lastPlace: 0 };
}

interface Kept extends NewEnvelope {
  readonly place: number;
  readonly size: number;
  wasHandedOut: boolean;
}

/** For tests, and for a server that is to forget. */
export class MemoryMailbox implements MailboxStore, MailboxWriter {
  readonly #commit: Commit;
  readonly #budget: number;
  readonly #disk: MailboxDisk;
  readonly #boxes: MailboxDisk["boxes"];
  readonly #once: MailboxDisk["once"];
  readonly #envelopes: MailboxDisk["envelopes"];

  constructor({ commit, budget = Infinity, disk = emptyMailboxDisk() }: MemoryMailboxOptions = {}) {
    this.#commit = commit ?? ((work) => Promise.resolve().then(work));
    this.#budget = budget;
    this.#disk = disk;
    this.#boxes = disk.boxes;
    this.#once = disk.once;
    this.#envelopes = disk.envelopes;
  }

  boxes(owner: string): readonly Box[] {
    return [...this.#boxes.values()].filter((box) => box.owner === owner)
      .sort((a, b) => b.used - a.used || b.key - a.key);
  }

  stock(box: number): Stock {
    const once = this.#once.get(box) ?? [];
    return { count: once.length, next: once[0]?.number ?? 0n };
  }

  waitingFor(owner: string): { readonly all: Tally; readonly withoutPass: Tally } {
    const all = this.#find(({ box }) => this.#boxes.get(box)!.owner === owner);
    return { all: tally(all), withoutPass: tally(all.filter(({ passed }) => !passed)) };
  }

  waitingIn(box: number): number {
    return this.#find((envelope) => envelope.box === box).length;
  }

  between(sender: string, owner: string): Tally {
    return tally(
      this.#find((envelope) =>
        envelope.sender === sender && this.#boxes.get(envelope.box)!.owner === owner
      ),
    );
  }

  leftBy(sender: string): Tally {
    return tally(this.#find((envelope) => envelope.sender === sender));
  }

  left(sender: string, after: number, limit: number): readonly Left[] {
    return this.#find((envelope) => envelope.sender === sender && envelope.place > after)
      .slice(0, limit)
      .map(({ place, id, wasHandedOut, box }) => {
        return { place, id, wasHandedOut, isPresent: this.#boxes.get(box)!.isPresent };
      });
  }

  envelope(sender: string, id: Bytes): Envelope | undefined {
    const name = encodeHex(id);
    return this.#find((each) => each.sender === sender && encodeHex(each.id) === name)
      .map(withoutBody)[0];
  }

  at(place: number): Envelope | undefined {
    const envelope = this.#envelopes.get(place);
    return envelope && withoutBody(envelope);
  }

  senders(box: number): readonly string[] {
    return [...new Set(this.#find((each) => each.box === box).map(({ sender }) => sender))];
  }

  next(box: number, sender: string, after: number): Envelope | undefined {
    return this.#find((each) => each.box === box && each.sender === sender && each.place > after)
      .map(withoutBody)[0];
  }

  body(place: number): Bytes | undefined {
    return this.#envelopes.get(place)?.body;
  }

  room(): number {
    return this.#budget - tally([...this.#envelopes.values()]).bytes;
  }

  counts(): MailboxCounts {
    return { boxes: this.#boxes.size, ...tally([...this.#envelopes.values()]) };
  }

  async change<T>(work: (writer: MailboxWriter) => T): Promise<T> {
    let result: { readonly is: T } | undefined;
    await this.#commit(() => void (result = { is: work(this) }));
    return result!.is;
  }

  handedOut(place: number, id: Bytes): void {
    const envelope = this.#named(place, id);
    if (envelope) envelope.wasHandedOut = true;
  }

  close(): void {}

  open(owner: string, { name, passKey, claim }: OpenedBox, now: number): number {
    const boxes = this.boxes(owner);
    for (const box of boxes) this.#boxes.set(box.key, { ...box, isPresent: false });
    const known = boxes.find((box) => encodeHex(box.name) === encodeHex(name));
    const key = known?.key ?? ++this.#disk.lastBox;
    const fresh = { key, owner, name, signed: undefined, published: 0, highest: 0n };
    this.#boxes.set(key, { ...known ?? fresh, passKey, claim, isPresent: true, used: now });
    return key;
  }

  use(box: number, used: number): void {
    this.#change(box, { used });
  }

  remove(box: number): void {
    this.#boxes.delete(box);
    this.#once.delete(box);
    this.#drop((envelope) => envelope.box === box);
  }

  removeUnused(before: number, limit: number): number {
    const unused = [...this.#boxes.values()].filter(({ used }) => used < before)
      .sort((a, b) => a.used - b.used).slice(0, limit);
    for (const { key } of unused) this.remove(key);
    return unused.length;
  }

  sign(box: number, prekey: PublishedPrekey, published: number): void {
    this.#change(box, { signed: prekey, published });
  }

  addOnce(box: number, prekeys: readonly PublishedPrekey[]): void {
    const once = [...this.#once.get(box) ?? [], ...prekeys]
      .sort((a, b) => a.number < b.number ? -1 : 1);
    this.#once.set(box, once);
    for (const { number } of prekeys) {
      if (number > this.#boxes.get(box)!.highest) this.#change(box, { highest: number });
    }
  }

  takeOnce(box: number): PublishedPrekey | undefined {
    const [first, ...rest] = this.#once.get(box) ?? [];
    this.#once.set(box, rest);
    return first;
  }

  dropOnce(box: number): void {
    this.#once.delete(box);
  }

  insert(envelope: NewEnvelope, at?: number): number {
    const place = at ?? ++this.#disk.lastPlace;
    const size = envelope.body.length;
    this.#envelopes.set(place, { ...envelope, place, size, wasHandedOut: false });
    return place;
  }

  take(place: number, id: Bytes): void {
    if (this.#named(place, id)) this.#envelopes.delete(place);
  }

  expire(before: number, limit: number): number {
    const old = this.#find(({ since }) => since < before).sort((a, b) => a.since - b.since);
    for (const { place } of old.slice(0, limit)) this.#envelopes.delete(place);
    return Math.min(old.length, limit);
  }

  forget(fingerprint: string): void {
    for (const { key } of this.boxes(fingerprint)) this.remove(key);
    this.#drop(({ sender }) => sender === fingerprint);
  }

  /** In the order of their places. */
  #find(wanted: (envelope: Kept) => boolean): Kept[] {
    return [...this.#envelopes.values()].filter(wanted).sort((a, b) => a.place - b.place);
  }

  #named(place: number, id: Bytes): Kept | undefined {
    const envelope = this.#envelopes.get(place);
    return envelope && encodeHex(envelope.id) === encodeHex(id) ? envelope : undefined;
  }

  #change(box: number, changes: Partial<Box>): void {
    const before = this.#boxes.get(box);
    if (before) this.#boxes.set(box, { ...before, ...changes });
  }

  #drop(unwanted: (envelope: Kept) => boolean): void {
    for (const { place } of this.#find(unwanted)) this.#envelopes.delete(place);
  }
}

function tally(envelopes: readonly Kept[]): Tally {
  return {
    count: envelopes.length,
    bytes: envelopes.reduce((sum, { size }) => sum + size, 0),
  };
}

function withoutBody({ place, id, sender, box, passed, size, since }: Kept): Envelope {
  return { place, id, sender, box, passed, size, since };
}
