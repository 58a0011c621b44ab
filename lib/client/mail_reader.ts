/**
 * Reads what somebody has left for us: whose it is, what opens it, and where it goes in the log (PROTOCOL.md 3.12,
 * Opening). Nothing changes before all of it is known to be good, and then in one transaction.
 */
import { type Identity, type PublicIdentity, readIdentity } from "../crypto/identity.ts";
import { acceptSession, openEnvelope, sessionIdOf } from "../crypto/mailbox_session.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError, type ErrorCode } from "../errors.ts";
import { UNSHOWN_BYTES, UNSHOWN_MESSAGES } from "../limits.ts";
import type { Moment, ReadingSession } from "../store/mailbag.ts";
import type { Backlog, MessageStore, SealedNews } from "../store/message_store.ts";
import {
  type Content,
  decodeContent,
  envelope as envelopeLayout,
  ENVELOPE_HEAD_LENGTH,
  sessionHeader,
} from "../wire/envelope.ts";
import { decode } from "../wire/layout.ts";
import type { MailboxResponse } from "../wire/mailbox_messages.ts";
import type { Contacts } from "./contacts.ts";
import type { Apart } from "./mail_events.ts";
import { requireClaim } from "./name_claim.ts";

/** Something that was left, as the server hands it over. */
export type Letter = Extract<MailboxResponse, { readonly type: "envelope" }>;

/** What became of it. */
export type Reading =
  /** `news` is undefined when it was here before. */
  | { readonly type: "taken"; readonly news: SealedNews | undefined }
  /** Not opened: the key is not the one we know, or that of a stranger to whom the person has not agreed. */
  | { readonly type: "changed"; readonly error: CifraError }
  | { readonly type: "stranger"; readonly sender: PublicIdentity }
  /** Not opened: the person does not want to hear from its writer, whom we know. */
  | { readonly type: "refused" }
  /**
   * There is no room for more of its writer before the person has looked at some of it; or, with `error`, nobody can
   * say who that is at the moment.
   */
  | { readonly type: "later"; readonly error: CifraError | undefined }
  /** A channel with its writer is open, or was opened meanwhile: it waits. */
  | { readonly type: "waits" }
  /** It does not open, and never will. `sender` when that is somebody we know. */
  | { readonly type: "unopened"; readonly sender: PublicIdentity | undefined };

/** What reading takes. */
export interface MailReaderOptions {
  readonly store: MessageStore;
  readonly suite: SuiteName;
  readonly identity: Identity;
  readonly ourName: string;
  /** The fingerprint of the server's key, in hexadecimal. */
  readonly server: string;
  readonly contacts: Pick<Contacts, "judge" | "check">;
  /** Whether the person has agreed to hear from a stranger of this name. */
  readonly isWelcome: (name: string) => boolean;
  /** Whether the person has refused to hear from somebody. */
  readonly isRefused: (name: string) => boolean;
  readonly apart: Apart;
}

/** Reads envelopes, one after the other. */
export class MailReader {
  readonly #options: MailReaderOptions;

  constructor(options: MailReaderOptions) {
    this.#options = options;
  }

  /** Reads one that came at a moment. Throws `local` when it cannot be stored: then it is as if it had not come. */
  async read(letter: Letter, at: Moment): Promise<Reading> {
    const { contacts, ourName, isWelcome, isRefused } = this.#options;
    const { sender: name } = letter;
    const sender = name === ourName ? undefined : await senderOf(letter).catch(refusedOnly);
    if (!sender) return { type: "unopened", sender: undefined };
    const acquaintance = await contacts.judge(name, sender).catch(localOnly);
    // One damaged line among those who are known must not stop what the others have left.
    if (acquaintance instanceof CifraError) return { type: "later", error: acquaintance };
    if (acquaintance === "stranger" && !isWelcome(name)) return { type: "stranger", sender };
    if (acquaintance === "known" && isRefused(name)) return { type: "refused" };
    // What nobody has looked at is not to fill the disk.
    const { messages, bytes } = this.#backlog(name);
    const isFull = messages >= UNSHOWN_MESSAGES || bytes >= UNSHOWN_BYTES;
    if (isFull) return { type: "later", error: undefined };
    let pin: () => Promise<void>;
    try {
      pin = await contacts.check(name, sender);
    } catch (error) {
      if (!(error instanceof CifraError) || error.code === "local") throw error;
      return { type: "changed", error };
    }
    try {
      const opened = await this.#open(letter, sender, at);
      // Whoever wrote is known from now on, by the key that the envelope was opened with.
      await pin();
      const stored = await this.#options.apart(name, async () => await opened());
      return stored ? { type: "taken", news: stored.done } : { type: "waits" };
    } catch (error) {
      refusedOnly(error);
      return { type: "unopened", sender: acquaintance === "known" ? sender : undefined };
    }
  }

  /** Whether much of what had come from somebody was looked at since there was no room for more. */
  hasRoom(name: string): boolean {
    const { messages, bytes } = this.#backlog(name);
    return messages <= UNSHOWN_MESSAGES / 2 && bytes <= UNSHOWN_BYTES / 2;
  }

  #backlog(peer: string): Backlog {
    const { store, suite } = this.#options;
    return store.backlog({ peer, suite });
  }

  /** Opens it; what it returns stores all that follows (C5). Throws `auth_failed`, `bad_frame`. */
  async #open(
    { sender: name, envelope: bytes }: Letter,
    sender: PublicIdentity,
    at: Moment,
  ): Promise<() => Promise<SealedNews | undefined>> {
    const { store, suite, server, ourName } = this.#options;
    const key = { peer: name, suite };
    const { header, n, salt, sealed } = decode(envelopeLayout, bytes);
    const additionalData = bytes.subarray(0, ENVELOPE_HEAD_LENGTH);
    const before = await this.#session(name, sender, header);
    if (n < before.next) {
      // It was here before: whoever left it does not know that yet.
      return async () => {
        await store.mailbag.owe(name, server, sender.fingerprint);
        return undefined;
      };
    }
    const { content, session } = await openEnvelope(before, { n, salt, sealed, additionalData });
    const said = decodeContent(content);
    requireBetween(said, name, ourName);
    return () =>
      store.receiveSealed(key, { session: { ...before, ...session }, content: said, at });
  }

  /** The session of an envelope: the one that we know, or one that begins at place 0. */
  async #session(
    peer: string,
    sender: PublicIdentity,
    headerBytes: Letter["envelope"],
  ): Promise<ReadingSession> {
    const { store: { mailbag }, identity } = this.#options;
    const id = sessionIdOf(headerBytes);
    const known = mailbag.reading(id);
    if (known) {
      // Headers are no secret of those who have made them.
      if (known.peer === peer && timingSafeEqual(known.sender, sender.fingerprint)) return known;
      throw unopened("its session is somebody else's");
    }
    const header = decode(sessionHeader, headerBytes);
    const signed = mailbag.prekey(header.box, "signed", header.signed);
    const once = header.once === 0n ? undefined : mailbag.prekey(header.box, "once", header.once);
    if (!signed || header.once !== 0n && !once) throw unopened("its prekeys are not here");
    const session = await acceptSession({ ours: identity, theirs: sender, header, signed, once });
    const { box, signed: signedNumber, once: onceNumber } = header;
    return {
      ...session,
      id,
      peer,
      sender: sender.fingerprint,
      box: box.slice(),
      signed: signedNumber,
      once: onceNumber,
    };
  }
}

/** Who has left it, by their own word. Throws `auth_failed`. */
async function senderOf({ sender: name, bundle, claim }: Letter): Promise<PublicIdentity> {
  const sender = await readIdentity(bundle, 2);
  await requireClaim(name, sender, claim);
  return sender;
}

/** The names in the content are those of the people whose keys are in the session. */
function requireBetween({ from, to }: Content, theirs: string, ours: string): void {
  if (from !== theirs || to !== ours) throw unopened("it is for other people");
}

/** What is wrong with an envelope; everything else is thrown on. */
function refusedOnly(error: unknown): undefined {
  const isRefused = error instanceof CifraError && REFUSALS.has(error.code);
  if (!isRefused) throw error;
}

/** What cannot be read on this machine; everything else is thrown on. */
function localOnly(error: unknown): CifraError {
  if (error instanceof CifraError && error.code === "local") return error;
  throw error;
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set(["auth_failed", "bad_frame", "limit", "bad_name"]);

function unopened(why: string): CifraError {
  return new CifraError("auth_failed", `Cannot open what was left: ${why}`);
}
