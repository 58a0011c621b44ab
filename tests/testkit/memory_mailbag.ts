/** A mailbag that lives and dies with its process, in the disk of `MemoryMessages`. */
import type { Bytes } from "../../lib/bytes.ts";
import { timingSafeEqual as equals } from "../../lib/crypto/platform.ts";
import type { PrekeyKind } from "../../lib/crypto/prekeys.ts";
import { CifraError } from "../../lib/errors.ts";
import { PREKEY_SECRET_LIFETIME, SESSION_MEMORY, SIGNED_PREKEYS_NEWER } from "../../lib/limits.ts";
import type {
  Box,
  Correspondent,
  Deposit,
  KeptPrekey,
  Mailbag,
  Moment,
  NewDeposit,
  ReadingSession,
  WritingSession,
} from "../../lib/store/mailbag.ts";
import { larger, requireNumber } from "../../lib/store/message_rules.ts";

type BoxOnDisk = { -readonly [K in keyof Box]: Box[K] } & { readonly server: string };
type PrekeyOnDisk = KeptPrekey & { readonly box: Bytes; retired: Moment | undefined };
type ReadingOnDisk = ReadingSession & { readonly last: Moment };
type WritingOnDisk = WritingSession & { readonly peer: string; readonly server: string };
type DepositOnDisk = { -readonly [K in keyof Deposit]: Deposit[K] } & {
  readonly server: string;
  readonly isPaid: boolean;
};
type CorrespondentOnDisk = { -readonly [K in keyof Correspondent]: Correspondent[K] } & {
  readonly peer: string;
  readonly server: string;
};

/** What is durable. */
export interface MailbagDisk {
  boxes: BoxOnDisk[];
  prekeys: PrekeyOnDisk[];
  reading: ReadingOnDisk[];
  writing: WritingOnDisk[];
  deposits: DepositOnDisk[];
  correspondents: CorrespondentOnDisk[];
}

/** A disk with nothing on it. */
export function emptyMailbag(): MailbagDisk {
  return {
    boxes: [],
    prekeys: [],
    reading: [],
    writing: [],
    deposits: [],
    correspondents: [],
  };
}

/** What a mailbag needs of the messages beside it. */
export interface BesideMessages {
  /** Runs a change, which throws before it changes anything or not at all. */
  change<T>(work: () => T): Promise<T>;
  /** Throws what `change` would reject with. */
  requireUsable(): void;
  /** Whether this is a log of ours to somebody. */
  hasLog(peer: string, log: Bytes): boolean;
}

/** The mailbag of a profile in memory. */
export class MemoryMailbag implements Mailbag {
  readonly #disk: MailbagDisk;
  readonly #messages: BesideMessages;

  constructor(disk: MailbagDisk, messages: BesideMessages) {
    this.#disk = disk;
    this.#messages = messages;
  }

  box(server: string): Box | undefined {
    const found = this.#box(server);
    if (!found) return undefined;
    const { server: _, ...box } = found;
    return structuredClone(box);
  }

  #box(server: string): BoxOnDisk | undefined {
    this.#messages.requireUsable();
    return this.#disk.boxes.find((box) => box.server === server);
  }

  beginBox(server: string, name: Bytes, passKey: Bytes): Promise<void> {
    const box = structuredClone({ server, name, passKey });
    return this.#messages.change(() => {
      const old = this.#box(server)?.name;
      const isLeft = ({ box }: { readonly box: Bytes }) => !old || !equals(box, old);
      this.#disk.prekeys = this.#disk.prekeys.filter(isLeft);
      this.#disk.reading = this.#disk.reading.filter(isLeft);
      this.#disk.boxes = this.#disk.boxes.filter((other) => other.server !== server);
      this.#disk.boxes.push({ ...box, highest: 0n, signed: 0n, anew: true });
    });
  }

  // deno-lint-ignore require-await -- a mistake is the promise's
  async addPrekeys(server: string, prekeys: readonly KeptPrekey[]): Promise<void> {
    for (const { number } of prekeys) requireNumber(number);
    const copies = structuredClone(prekeys);
    return this.#messages.change(() => {
      const box = this.#box(server);
      const last = { signed: box?.signed ?? 0n, once: box?.highest ?? 0n };
      for (const { kind, number } of copies) {
        if (!box || number <= last[kind]) {
          throw new CifraError("bad_state", "A prekey cannot have a number again");
        }
        last[kind] = number;
      }
      if (!box) return;
      for (const each of copies) {
        this.#disk.prekeys.push({ ...each, box: box.name, retired: undefined });
      }
      box.signed = last.signed;
      box.highest = last.once;
    });
  }

  noteAnew(server: string): Promise<void> {
    return this.#messages.change(() => {
      const box = this.#box(server);
      if (box) box.anew = false;
    });
  }

  prekey(box: Bytes, kind: PrekeyKind, number: bigint): KeptPrekey | undefined {
    this.#messages.requireUsable();
    const found = this.#disk.prekeys.find((each) => isPrekey(each, box, kind, number));
    return found && keptPrekey(found);
  }

  prekeys(server: string, kind: PrekeyKind): readonly KeptPrekey[] {
    const name = this.#box(server)?.name;
    return this.#disk.prekeys
      .filter((each) => name && each.kind === kind && !each.retired && equals(each.box, name))
      .map(keptPrekey);
  }

  signedSince(server: string): number | undefined {
    const name = this.#box(server)?.name;
    const retired = this.#disk.prekeys.filter((each) =>
      name && each.kind === "signed" && each.retired && equals(each.box, name)
    );
    return retired.toSorted((a, b) => a.number < b.number ? -1 : 1).at(-1)?.retired?.here;
  }

  retire(
    server: string,
    before: { signed: bigint; once: bigint },
    now: Moment,
  ): Promise<void> {
    return this.#messages.change(() => {
      const name = this.#box(server)?.name;
      for (const each of this.#disk.prekeys) {
        if (!name || !equals(each.box, name) || each.number >= before[each.kind]) continue;
        each.retired ??= { ...now };
      }
    });
  }

  expire(now: Moment): Promise<void> {
    return this.#messages.change(() => {
      const isOld = ({ here, there }: Moment, lifetime: number) =>
        here + lifetime <= now.here && there + lifetime <= now.there;
      const all = this.#disk.prekeys;
      this.#disk.prekeys = all.filter((each) => {
        if (each.retired && isOld(each.retired, PREKEY_SECRET_LIFETIME)) return false;
        const newer = all.filter(({ box, kind, number }) =>
          kind === "signed" && equals(box, each.box) && number > each.number
        );
        return each.kind === "once" || newer.length < SIGNED_PREKEYS_NEWER;
      });
      this.#disk.reading = this.#disk.reading.filter(({ once, signed, box, last }) =>
        once > 0n
          ? !isOld(last, SESSION_MEMORY)
          : this.#disk.prekeys.some((each) => isPrekey(each, box, "signed", signed))
      );
    });
  }

  reading(id: Bytes): ReadingSession | undefined {
    this.#messages.requireUsable();
    const found = this.#disk.reading.find((each) => equals(each.id, id));
    if (!found) return undefined;
    const { last: _, ...session } = found;
    return structuredClone(session);
  }

  writing(peer: string, server: string): WritingSession | undefined {
    this.#messages.requireUsable();
    const found = find(this.#disk.writing, peer, server);
    if (!found) return undefined;
    const { peer: _, server: __, ...session } = found;
    return structuredClone(session);
  }

  // deno-lint-ignore require-await -- a mistake is the promise's
  async begin(
    peer: string,
    server: string,
    session: WritingSession,
    signed: bigint,
  ): Promise<void> {
    requireNumber(signed);
    const copy = structuredClone({ ...session, peer, server });
    return this.#messages.change(() => {
      const others = this.#disk.writing.filter((each) => each !== find([each], peer, server));
      this.#disk.writing = [...others, copy];
      const known = this.#meet(peer, server, copy.owner);
      known.highestSigned = larger(known.highestSigned, signed);
    });
  }

  seal(
    peer: string,
    server: string,
    session: Pick<WritingSession, "header" | "chain" | "next">,
    deposit: NewDeposit,
  ): Promise<void> {
    const { header, chain, next } = structuredClone(session);
    const copy = structuredClone(deposit);
    return this.#messages.change(() => {
      const at = this.#disk.writing.findIndex((each) => each === find([each], peer, server));
      const writing = this.#disk.writing[at];
      const isThere = writing && equals(writing.header, header) && writing.next < next;
      if (!isThere || !this.#messages.hasLog(peer, copy.log)) {
        throw new CifraError("bad_state", "The session has moved on, or the log is another");
      }
      this.#disk.writing[at] = { ...writing, chain, next };
      const known = find(this.#disk.correspondents, peer, server);
      const isPaid = known?.isOwed ?? false;
      if (known) known.isOwed = false;
      const state = { isConfirmed: false, isOutdated: false, isPaid };
      this.#disk.deposits.push({ ...copy, peer, server, ...state });
    });
  }

  confirm(id: Bytes, replaced: readonly Bytes[]): Promise<void> {
    const copies = structuredClone(replaced), own = id.slice();
    return this.#messages.change(() => {
      for (const each of this.#disk.deposits) if (equals(each.id, own)) each.isConfirmed = true;
      this.#remove(copies);
    });
  }

  drop(ids: readonly Bytes[]): Promise<void> {
    const copies = structuredClone(ids);
    return this.#messages.change(() => {
      for (const { peer, server, isConfirmed, isPaid } of this.#remove(copies)) {
        const known = find(this.#disk.correspondents, peer, server);
        if (known && isPaid && !isConfirmed) known.isOwed = true;
      }
    });
  }

  #remove(ids: readonly Bytes[]): readonly DepositOnDisk[] {
    const isNamed = ({ id }: DepositOnDisk) => ids.some((each) => equals(each, id));
    const removed = this.#disk.deposits.filter(isNamed);
    this.#disk.deposits = this.#disk.deposits.filter((each) => !isNamed(each));
    return removed;
  }

  deposits(server: string): readonly Deposit[] {
    this.#messages.requireUsable();
    return this.#disk.deposits.filter((each) => each.server === server)
      .map(({ server: _, isPaid: __, ...deposit }) => structuredClone(deposit));
  }

  correspondent(peer: string, server: string): Correspondent | undefined {
    this.#messages.requireUsable();
    const found = find(this.#disk.correspondents, peer, server);
    if (!found) return undefined;
    const { peer: _, server: __, ...known } = found;
    return structuredClone(known);
  }

  owe(peer: string, server: string, owner: Bytes): Promise<void> {
    const copy = owner.slice();
    return this.#messages.change(() => {
      this.#meet(peer, server, copy).isOwed = true;
    });
  }

  owed(server: string): readonly string[] {
    this.#messages.requireUsable();
    return this.#disk.correspondents
      .filter((each) => each.server === server && each.isOwed).map(({ peer }) => peer);
  }

  /** In a change, as `SqliteMailbag` has it. */
  takeSession(session: ReadingSession, at: Moment): boolean {
    const { id, peer, sender, box, signed, once } = session;
    const server = this.#serverOf(box);
    if (server === undefined) return false;
    const known = this.#disk.reading.find((each) => equals(each.id, id));
    const hasPrekey = (kind: PrekeyKind, number: bigint) =>
      this.#disk.prekeys.some((each) => isPrekey(each, box, kind, number));
    const isAhead = known
      ? known.next < session.next
      : hasPrekey("signed", signed) && (once === 0n || hasPrekey("once", once));
    if (!isAhead) {
      this.#meet(peer, server, sender).isOwed = true;
      return false;
    }
    if (!known) {
      this.#disk.prekeys = this.#disk.prekeys
        .filter((each) => !isPrekey(each, box, "once", once));
    }
    this.#disk.reading = this.#disk.reading.filter((each) => each !== known);
    const { chain, next } = session;
    const moved = known ? { ...known, chain, next } : session;
    this.#disk.reading.push(structuredClone({ ...moved, last: at }));
    return true;
  }

  /** In a change, as `SqliteMailbag` has it. */
  noteEnvelope(
    { peer, sender, box }: ReadingSession,
    { pass, isOwed }: { readonly pass: Bytes | undefined; readonly isOwed: boolean },
  ): void {
    const known = this.#meet(peer, this.#serverOf(box)!, sender);
    if (isOwed) known.isOwed = true;
    if (pass) known.pass = pass;
  }

  /** In a change: envelopes that hold this message of our log are to be replaced. */
  outdate(log: Bytes, number: bigint): void {
    for (const each of this.#disk.deposits) {
      const isInside = each.first <= number && number <= each.last;
      if (isInside && equals(each.log, log)) each.isOutdated = true;
    }
  }

  #serverOf(name: Bytes): string | undefined {
    return this.#disk.boxes.find((box) => equals(box.name, name))?.server;
  }

  #meet(peer: string, server: string, owner: Bytes): CorrespondentOnDisk {
    const found = find(this.#disk.correspondents, peer, server);
    if (found && equals(found.owner, owner)) return found;
    const about = { pass: undefined, highestSigned: 0n, isOwed: false };
    const met = { peer, server, owner: owner.slice(), ...about };
    this.#disk.correspondents = this.#disk.correspondents.filter((each) => each !== found);
    this.#disk.correspondents.push(met);
    return met;
  }
}

function find<T extends { readonly peer: string; readonly server: string }>(
  all: readonly T[],
  peer: string,
  server: string,
): T | undefined {
  return all.find((each) => each.peer === peer && each.server === server);
}

function isPrekey(prekey: PrekeyOnDisk, box: Bytes, kind: PrekeyKind, number: bigint): boolean {
  return prekey.kind === kind && prekey.number === number && equals(prekey.box, box);
}

function keptPrekey({ kind, number, secret }: PrekeyOnDisk): KeptPrekey {
  return structuredClone({ kind, number, secret });
}
