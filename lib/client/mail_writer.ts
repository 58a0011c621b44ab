/**
 * Leaves what we have written for people who are not here (PROTOCOL.md 3.12): asks for their prekeys, seals what no
 * envelope holds yet, and again what did not arrive. The log stays the truth: a message leaves it when its reader
 * says that it is stored.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { type Identity, readIdentity } from "../crypto/identity.ts";
import { PASS_LENGTH, passOf } from "../crypto/mailbox_pass.ts";
import { beginSession, sealEnvelope } from "../crypto/mailbox_session.ts";
import { type Random, timingSafeEqual } from "../crypto/platform.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { Limiter } from "../flow/limiter.ts";
import { Signal } from "../flow/signal.ts";
import type { Time } from "../flow/time.ts";
import {
  CONTENT_LIMIT,
  KEYS_PAUSE,
  RECEIPT_CROSSING,
  REPLACES_LIMIT,
  SEAL_AGAIN_AFTER,
  SESSION_ENVELOPES,
  SESSION_LIFETIME,
  SETTLED_LIMIT,
} from "../limits.ts";
import type { Box, Deposit, WritingSession } from "../store/mailbag.ts";
import type { ConversationKey, Gap, MessageStore } from "../store/message_store.ts";
import { type Content, contentLength, encodeContent, sessionHeader } from "../wire/envelope.ts";
import { decode } from "../wire/layout.ts";
import { DepositCode, DepositState, type MailboxResponse } from "../wire/mailbox_messages.ts";
import { ID_LENGTH, type KeptMessage } from "../wire/peer_messages.ts";
import type { Contacts } from "./contacts.ts";
import type { MailboxLane } from "./mailbox_lane.ts";
import { requireClaim } from "./name_claim.ts";

/** Envelopes for one person that are on their way and not answered. */
const UNDER_WAY = 8;
const NO_PASS = new Uint8Array(PASS_LENGTH);
const NO_ID = new Uint8Array(ID_LENGTH);

type Answer<Type extends MailboxResponse["type"]> = Extract<
  MailboxResponse,
  { readonly type: Type }
>;

/** What writing takes, on one connection. */
export interface MailWriterOptions {
  readonly store: MessageStore;
  readonly suite: SuiteName;
  readonly identity: Identity;
  readonly ourName: string;
  readonly contacts: Pick<Contacts, "check" | "knownAs">;
  readonly time: Pick<Time, "now" | "date">;
  readonly random: Random;
  /** The fingerprint of the server's key, in hexadecimal. */
  readonly server: string;
  readonly lane: Pick<MailboxLane, "say" | "hasEnded">;
  /** Our box here, whose passes we give. */
  readonly box: () => Box | undefined;
  /** Whether no channel with somebody is open, and none was just now. */
  readonly isApart: (name: string) => boolean;
  /** Whether others are told what we have read. */
  readonly tellsRead: boolean;
  /** Look at somebody again after so many milliseconds. */
  readonly later: (name: string, milliseconds: number) => void;
  /** Messages to somebody up to this number are about to be left. */
  readonly onSealed: (name: string, number: bigint) => void;
  /** What is left for somebody has changed. */
  readonly onLeft: (name: string) => void;
  /** Why nothing can be left for somebody at the moment; it is tried again. */
  readonly onTrouble: (name: string, error: CifraError) => void;
}

/** What is remembered of somebody while the connection lasts. */
interface Correspondence {
  /** One thing at a time is done for one person. */
  readonly turn: Limiter;
  isAsking: boolean;
  /** Nothing is asked for or left before this moment. */
  notBefore: number;
  /** Another box is the present one, or something is sealed again: the session is over. */
  isStale: boolean;
  /** Envelopes in boxes that are not the present ones. */
  readonly elsewhere: Set<string>;
  /** Those that were sent, by id, with those that they replace. */
  readonly underWay: Map<string, readonly Bytes[]>;
  /** When the last word of theirs on how far they have our messages was left, by the clock of this machine. */
  heardAt: number;
  /** What was told last. */
  trouble: string | undefined;
}

/** Writes to everybody over one connection. */
export class MailWriter {
  readonly #options: MailWriterOptions;
  readonly #correspondences = new Map<string, Correspondence>();
  /** The ids of what is there, as the server tells them, until it has told all. */
  #mine = new Map<string, DepositState>();
  /** What is being done, and told when some of it is. */
  #jobs = 0;
  readonly #done = new Signal();

  constructor(options: MailWriterOptions) {
    this.#options = options;
  }

  /** Resolves when nothing is on its way and not answered, or `signal` is aborted before. */
  async settled(signal: AbortSignal): Promise<void> {
    const isBusy = () =>
      this.#jobs > 0 ||
      [...this.#correspondences.values()].some(({ isAsking, underWay }) =>
        isAsking || underWay.size > 0
      );
    while (isBusy() && !signal.aborted) await this.#done.wait(signal);
  }

  /** The last message of our log to somebody that is on the server, with all after `stored` before it. */
  onServer(name: string, log: Bytes, stored: bigint): bigint {
    const { store: { mailbag }, server } = this.#options;
    const there = mailbag.deposits(server).filter((deposit) =>
      deposit.peer === name && deposit.isConfirmed && !deposit.isOutdated &&
      timingSafeEqual(deposit.log, log)
    ).toSorted((a, b) => a.first < b.first ? -1 : 1);
    let up = stored;
    for (const { first, last } of there) if (first <= up + 1n && last > up) up = last;
    return up;
  }

  /** Leaves what is to be left for somebody; what arrived in another way is withdrawn. Throws `local`. */
  async write(name: string): Promise<void> {
    const correspondence = this.#of(name);
    await this.#busy(() =>
      correspondence.turn.run(async () => {
        await this.#withdraw(name);
        while (await this.#writeOne(name, correspondence));
      })
    );
  }

  /** Runs a job that changes messages to somebody while nothing is sealed for them. */
  async between<T>(name: string, job: () => Promise<T>): Promise<T> {
    return await this.#of(name).turn.run(job);
  }

  /** Keys have come, or none. Throws `local`. */
  async keysCame(keys: Answer<"keys">): Promise<void> {
    await this.#busy(() => this.#takeKeys(keys));
  }

  /** An envelope is there, or was refused. Throws `local`. */
  async deposited(answer: Answer<"deposited">): Promise<void> {
    await this.#busy(() => this.#takeDeposited(answer));
  }

  async #busy(job: () => Promise<void>): Promise<void> {
    this.#jobs++;
    try {
      await job();
    } finally {
      this.#jobs--;
      this.#done.notify();
    }
  }

  async #takeKeys(keys: Answer<"keys">): Promise<void> {
    const { name } = keys;
    const correspondence = this.#of(name);
    const [found] = keys.found;
    if (!found) {
      correspondence.isAsking = false;
      if (keys.retryAfter === 0) return this.#rest(name, KEYS_PAUSE, nobodyTakesIt(name));
      return this.#rest(name, 1000 * keys.retryAfter, askedBefore(name, keys.retryAfter));
    }
    try {
      await this.#begin(name, found);
      correspondence.isStale = false;
      correspondence.trouble = undefined;
    } catch (error) {
      if (!(error instanceof CifraError) || error.code === "local") throw error;
      return this.#rest(name, KEYS_PAUSE, error);
    } finally {
      // Whoever asks before the session is on disk gets no keys, and rests.
      correspondence.isAsking = false;
    }
    await this.write(name);
  }

  async #takeDeposited({ id, code, retryAfter }: Answer<"deposited">): Promise<void> {
    const { store: { mailbag }, onLeft } = this.#options;
    const key = encodeHex(id);
    const [name, correspondence] =
      [...this.#correspondences].find(([, { underWay }]) => underWay.has(key)) ?? [];
    if (name === undefined || !correspondence) return;
    const replaced = correspondence.underWay.get(key)!;
    if (code === DepositCode.stored) {
      await mailbag.confirm(id, replaced);
      for (const each of replaced) correspondence.elsewhere.delete(encodeHex(each));
      correspondence.trouble = undefined;
    } else await mailbag.drop([id]);
    correspondence.underWay.delete(key);
    onLeft(name);
    switch (code) {
      case DepositCode.stored:
        break;
      case DepositCode.moved:
        correspondence.isStale = true;
        break;
      case DepositCode.tooFast:
        return this.#rest(name, 1000 * Math.max(1, retryAfter), undefined);
      default:
        return this.#rest(name, KEYS_PAUSE, noRoom(name, code));
    }
    await this.write(name);
  }

  /**
   * Part of what is there of ours has come; with the last part, what we believe is put right (C7). Returns the names
   * of those of whom something is to be done. Throws `local`.
   */
  async mineCame({ more, deposits }: Answer<"mine">): Promise<readonly string[]> {
    for (const { id, state } of deposits) this.#mine.set(encodeHex(id), state);
    if (more !== 0) return [];
    const mine = this.#mine;
    this.#mine = new Map();
    const { store, server, time } = this.#options;
    const { mailbag } = store;
    const now = time.date();
    const gone: Bytes[] = [];
    const names = new Set<string>();
    for (const deposit of mailbag.deposits(server)) {
      const { id, peer, at, last, isConfirmed } = deposit;
      const key = encodeHex(id);
      const correspondence = this.#of(peer);
      if (correspondence.underWay.has(key)) continue;
      const state = mine.get(key);
      names.add(peer);
      if (state === undefined) {
        const { log, stored } = await store.outgoing(this.#key(peer));
        if (last > 0n && last <= stored && timingSafeEqual(deposit.log, log)) {
          gone.push(id);
          continue;
        }
        // What was fetched will be acknowledged, unless its reader has spoken since and does not have it.
        const isYoung = now >= at && now - at < SEAL_AGAIN_AFTER;
        const isAwaited = isYoung && !isMissed(at, correspondence.heardAt, now);
        if (isConfirmed && last > 0n && isAwaited) continue;
        // What the server never had may follow in the same session.
        if (isConfirmed && last > 0n) correspondence.isStale = true;
        gone.push(id);
        continue;
      }
      if (!isConfirmed) await mailbag.confirm(id, []);
      if (state === DepositState.elsewhere) {
        correspondence.elsewhere.add(key);
        correspondence.isStale = true;
      }
    }
    await mailbag.drop(gone);
    return [...names];
  }

  /**
   * Somebody has said how far they have our messages, in what they left at this moment by the clock of this machine.
   * Whether they have fetched something and do not have it is to be found out by asking what is left, after so many
   * milliseconds; undefined when nothing can be missing. Throws `local`.
   */
  async heard(name: string, leftAt: number): Promise<number | undefined> {
    const { store, server, time } = this.#options;
    const { log, stored } = await store.outgoing(this.#key(name));
    const correspondence = this.#of(name), now = time.date();
    const heardAt = Math.max(correspondence.heardAt, Math.min(leftAt, now));
    correspondence.heardAt = heardAt;
    const missed = store.mailbag.deposits(server).filter((deposit) =>
      deposit.peer === name && deposit.isConfirmed && deposit.last > stored &&
      deposit.at <= heardAt && timingSafeEqual(deposit.log, log)
    );
    if (missed.length === 0) return undefined;
    return missed.every(({ at }) => isMissed(at, heardAt, now)) ? 0 : RECEIPT_CROSSING;
  }

  /** One envelope on its way, or one question; false when there is nothing to do now. */
  async #writeOne(name: string, correspondence: Correspondence): Promise<boolean> {
    const { lane, isApart, later, time } = this.#options;
    if (lane.hasEnded || !isApart(name)) return false;
    if (correspondence.isAsking || correspondence.underWay.size >= UNDER_WAY) return false;
    const wait = correspondence.notBefore - time.now();
    const letter = await this.#letter(name, correspondence);
    if (!letter) return false;
    if (wait > 0) {
      later(name, wait);
      return false;
    }
    const session = this.#session(name, correspondence);
    if (!session) {
      correspondence.isAsking = true;
      lane.say({ type: "ask", name, pass: this.#passAt(name) });
      return false;
    }
    await this.#seal(name, correspondence, session, letter);
    return true;
  }

  /** The session in which an envelope can be sealed, if there is one. */
  #session(name: string, { isStale }: Correspondence): WritingSession | undefined {
    const { store: { mailbag }, server, contacts, time } = this.#options;
    const session = isStale ? undefined : mailbag.writing(name, server);
    if (!session || session.next >= SESSION_ENVELOPES) return undefined;
    const age = time.date() - session.began;
    if (age < 0 || age >= SESSION_LIFETIME) return undefined;
    const known = contacts.knownAs(name);
    return known && timingSafeEqual(known, session.owner) ? session : undefined;
  }

  /** Begins a session with what the server has shown of somebody (C2). Throws `auth_failed`, and as `Contacts.check`. */
  async #begin(name: string, found: Answer<"keys">["found"][number]): Promise<void> {
    const { store: { mailbag }, identity, contacts, server, random, time } = this.#options;
    const theirs = await readIdentity(found.bundle, 2);
    await requireClaim(name, theirs, found.claim);
    const pin = await contacts.check(name, theirs);
    const known = mailbag.correspondent(name, server);
    const isSame = known && timingSafeEqual(known.owner, theirs.fingerprint);
    if (isSame && found.signed.number < known.highestSigned) {
      throw new CifraError("auth_failed", `The server shows an old key of ${name}'s`);
    }
    const [once] = found.once;
    const { header, session } = await beginSession({
      ours: identity,
      theirs,
      box: found.box,
      signed: { kind: "signed", ...found.signed },
      once: once && { kind: "once", ...once },
    }, { random });
    // The pin first: without a session it is harmless, and a session without it is not.
    await pin();
    await mailbag.begin(name, server, {
      ...session,
      owner: theirs.fingerprint,
      header,
      began: time.date(),
    }, found.signed.number);
  }

  /** What the next envelope for somebody holds, but for their pass; undefined when there is nothing to leave. */
  async #letter(
    name: string,
    { elsewhere }: Correspondence,
  ): Promise<{ readonly content: Content; readonly replaces: readonly Bytes[] } | undefined> {
    const { store, ourName, server, tellsRead } = this.#options;
    const { mailbag } = store;
    const key = this.#key(name);
    const deposits = mailbag.deposits(server).filter(({ peer }) => peer === name);
    const { log, stored, last } = await store.outgoing(key);
    const first = firstNeeded(stored, store.missing(key));
    const isGood = (deposit: Deposit) =>
      timingSafeEqual(deposit.log, log) && !deposit.isOutdated &&
      !elsewhere.has(encodeHex(deposit.id));
    const held = deposits.filter((deposit) => deposit.last > 0n && isGood(deposit));
    const heldBy = (number: bigint) =>
      held.find((deposit) => deposit.first <= number && number <= deposit.last);
    let start = first;
    for (let holder = heldBy(start); holder; holder = heldBy(start)) start = holder.last + 1n;
    const owed = mailbag.correspondent(name, server)?.isOwed ?? false;
    if (start > last && !owed) return undefined;
    const incoming = store.incoming(key);
    const head = {
      from: ourName,
      to: name,
      log,
      first,
      readLog: incoming?.log ?? NO_ID,
      have: incoming?.have ?? 0n,
      haveId: incoming?.haveId ?? NO_ID,
      read: tellsRead ? incoming?.read ?? 0n : 0n,
      pass: NO_PASS,
      messages: [] as KeptMessage[],
    };
    // With the one before, which waits in another, its reader sees what this follows.
    const from = start > first ? start - 1n : start;
    const available = start > last ? [] : store.read(key, from, CONTENT_LIMIT);
    for (const message of available) {
      if (message.number >= start && heldBy(message.number)) break;
      head.messages.push(message);
      if (contentLength(head) <= CONTENT_LIMIT) continue;
      head.messages.pop();
      break;
    }
    // What comes next is lost here.
    if (head.messages.at(-1)?.number === start - 1n) head.messages = [];
    if (head.messages.length === 0 && !owed) return undefined;
    const end = head.messages.at(-1)?.number ?? 0n;
    // An envelope says where both logs stand, as a receipt does.
    const replaces = deposits.filter((deposit) =>
      deposit.last === 0n ||
      !isGood(deposit) && (deposit.last <= end || !timingSafeEqual(deposit.log, log))
    ).map(({ id }) => id).slice(0, REPLACES_LIMIT);
    return { content: head, replaces };
  }

  async #seal(
    name: string,
    correspondence: Correspondence,
    session: WritingSession,
    { content, replaces }: { readonly content: Content; readonly replaces: readonly Bytes[] },
  ): Promise<void> {
    const { store: { mailbag }, lane, server, random, time } = this.#options;
    const passKey = this.#options.box()?.passKey;
    const whole = { ...content, pass: passKey ? passOf(passKey, session.owner) : NO_PASS };
    const sealed = await sealEnvelope(session, session.header, encodeContent(whole), random);
    const id = random(ID_LENGTH);
    const { box } = decode(sessionHeader, session.header);
    await mailbag.seal(name, server, { header: session.header, ...sealed.session }, {
      id,
      box,
      log: content.log,
      first: content.messages[0]?.number ?? 0n,
      last: content.messages.at(-1)?.number ?? 0n,
      at: time.date(),
    });
    correspondence.underWay.set(encodeHex(id), replaces);
    if (content.messages.length > 0) this.#options.onSealed(name, content.messages.at(-1)!.number);
    const pass = this.#passAt(name);
    lane.say({
      type: "deposit",
      id,
      name,
      box,
      pass,
      replaces: [...replaces],
      envelope: sealed.envelope,
    });
  }

  /** What somebody has by now is taken away from the server. */
  async #withdraw(name: string): Promise<void> {
    const { store, server, lane } = this.#options;
    const deposits = store.mailbag.deposits(server).filter(({ peer }) => peer === name);
    if (deposits.length === 0) return;
    const { log, stored, last } = await store.outgoing(this.#key(name));
    const { underWay } = this.#of(name);
    // Where nothing is to be said any more, what another log of ours said is not to arrive either: it was dropped. What
    // holds something that was taken back goes at once: replaced, its place would be before others of its session.
    const arrived = deposits.filter((deposit) =>
      deposit.last > 0n && !underWay.has(encodeHex(deposit.id)) &&
      (deposit.isOutdated ||
        (timingSafeEqual(deposit.log, log) ? deposit.last <= stored : stored === last))
    ).map(({ id }) => id);
    for (let i = 0; i < arrived.length; i += SETTLED_LIMIT) {
      lane.say({ type: "withdraw", ids: arrived.slice(i, i + SETTLED_LIMIT) });
    }
    if (arrived.length > 0) await store.mailbag.drop(arrived);
  }

  /** Nothing is done for somebody for a while; why is told once. */
  #rest(name: string, milliseconds: number, error: CifraError | undefined): void {
    const { time, later, onTrouble } = this.#options;
    const correspondence = this.#of(name);
    correspondence.notBefore = time.now() + milliseconds;
    later(name, milliseconds);
    if (!error || correspondence.trouble === error.message) return;
    correspondence.trouble = error.message;
    onTrouble(name, error);
  }

  #passAt(name: string): Bytes {
    const { store: { mailbag }, server } = this.#options;
    return mailbag.correspondent(name, server)?.pass ?? NO_PASS;
  }

  #key(name: string): ConversationKey {
    return { peer: name, suite: this.#options.suite };
  }

  #of(name: string): Correspondence {
    let correspondence = this.#correspondences.get(name);
    if (!correspondence) {
      correspondence = {
        turn: new Limiter(1),
        isAsking: false,
        notBefore: -Infinity,
        isStale: false,
        elsewhere: new Set(),
        underWay: new Map(),
        heardAt: -Infinity,
        trouble: undefined,
      };
      this.#correspondences.set(name, correspondence);
    }
    return correspondence;
  }
}

/**
 * Whether somebody who said at `heardAt` how far they were should have had what was left for them at `at`. What they
 * said may have crossed with it; then they say more soon.
 */
function isMissed(at: number, heardAt: number, now: number): boolean {
  return heardAt >= at &&
    (heardAt - at >= RECEIPT_CROSSING || now - heardAt >= RECEIPT_CROSSING);
}

/** The first number after `stored` that is not lost here. */
function firstNeeded(stored: bigint, missing: readonly Gap[]): bigint {
  let first = stored + 1n;
  for (const { from, to } of missing) if (from <= first && first <= to) first = to + 1n;
  return first;
}

function nobodyTakesIt(name: string): CifraError {
  return new CifraError("quota", `Nobody called ${name} can take it at the moment`, {
    hint:
      `kept here; who has never been at this server has no mailbox there, and ${name}'s may be full`,
  });
}

function askedBefore(name: string, retryAfter: number): CifraError {
  return new CifraError("quota", `${name}'s keys were asked for a moment ago`, {
    hint: `kept here; the server gives them again in ${retryAfter} s`,
  });
}

/** Why an envelope was refused. That there is no room may have any cause: a server names nobody's. */
function noRoom(name: string, code: DepositCode): CifraError {
  if (code === DepositCode.noRoom) {
    return new CifraError("quota", `Nothing can be left for ${name} at the moment`, {
      hint:
        `kept here; ${name}'s mailbox may be full, or gone from the server until ${name} is back`,
    });
  }
  const why = code === DepositCode.shareWithThem
    ? `too much of yours waits for ${name} already`
    : code === DepositCode.share
    ? "too much of yours waits on the server already"
    : "the server has no room";
  return new CifraError("quota", `Cannot leave it on the server: ${why}`);
}
