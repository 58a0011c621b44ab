/** A person on this machine: identity keys, pinned servers and people, all in one private folder. */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import type { Bytes } from "../bytes.ts";
import {
  formatFingerprint,
  generateIdentity,
  type Identity,
  identityClassOf,
  openIdentity,
  type PublicIdentity,
  readIdentity,
} from "../crypto/identity.ts";
import { loadSuite, type Suite, SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { Limiter } from "../flow/limiter.ts";
import type { Place } from "../wire/name_claim.ts";
import { requireName } from "../wire/names.ts";
import type { MessageStore } from "../store/message_store.ts";
import { findEntry, removeIdentity } from "../store/identity_file.ts";
import { findPrivate, PrivateFolder } from "../store/private_files.ts";
import { profilePath, PROFILES_FOLDER, SERVER_FOLDER } from "../store/state_folder.ts";
import { SqliteMessages } from "../store/sqlite_messages.ts";
import { type AskPassphrase, KeyRing } from "./key_ring.ts";
import { Pins } from "./pins.ts";
import { TicketHolder } from "./ticket_holder.ts";
import { claimName, type Registrar, type SignedRegistration } from "./name_claim.ts";

/** The file of pinned people in a profile's folder. */
export const PEERS_FILE = "known-peers";
const SEQUENCE_FILE = "registration-sequence";
const TICKETS_FILE = "tickets";
/** Servers of which a ticket is kept, the latest. */
const TICKETS_KEPT = 16;
const INVITES_FILE = "invites";

/** Opens the folder of the profile of `name`, making it and those above it if need be. Throws `local`. */
export async function openProfileFolder(stateFolder: string, name: string): Promise<PrivateFolder> {
  const profiles = await (await PrivateFolder.open(stateFolder)).folder(PROFILES_FOLDER);
  return await profiles.folder(name);
}

/** An opened profile; no other program has it open. */
export class Profile {
  readonly name: string;
  readonly suite: Suite;
  readonly identity: Identity;
  /** Whether the identity was made just now. */
  readonly isNew: boolean;
  readonly servers: Pins;
  readonly peers: Pins;
  /** The keys for all suites. */
  readonly keys: KeyRing;
  readonly #folder: PrivateFolder;
  readonly #stateFolder: string;
  readonly #unlock: () => void;
  /** Whether its folder was made when it was opened. */
  readonly #isFolderNew: boolean;
  #leavesNothing = false;
  #others: Promise<readonly Identity[]> | undefined;
  readonly #registering = new Limiter(1);
  #messages: Promise<MessageStore> | undefined;

  private constructor(
    name: string,
    suite: Suite,
    loaded: { readonly identity: Identity; readonly made: boolean },
    servers: Pins,
    peers: Pins,
    keys: KeyRing,
    folder: PrivateFolder,
    stateFolder: string,
    unlock: () => void,
    isFolderNew: boolean,
  ) {
    this.name = name;
    this.suite = suite;
    this.identity = loaded.identity;
    this.isNew = loaded.made;
    this.servers = servers;
    this.peers = peers;
    this.keys = keys;
    this.#folder = folder;
    this.#stateFolder = stateFolder;
    this.#unlock = unlock;
    this.#isFolderNew = isFolderNew;
  }

  /**
   * Opens the profile of `name` below `stateFolder`, making it on first use. `ask` is called when its keys
   * are sealed. Throws `locked`, `local`, `wrong_password`.
   */
  static open(
    stateFolder: string,
    name: string,
    suiteName: SuiteName,
    ask?: AskPassphrase,
  ): Promise<Profile> {
    return Profile.#open(stateFolder, name, suiteName, ask, (keys, suite) => keys.load(suite));
  }

  /**
   * Opens the profile of `name` under an identity made for the occasion, which is kept nowhere: for fetching
   * the keys that belong there. Throws like `open`.
   */
  static openAsGuest(
    stateFolder: string,
    name: string,
    suiteName: SuiteName,
    ask?: AskPassphrase,
  ): Promise<Profile> {
    return Profile.#open(stateFolder, name, suiteName, ask, async (_keys, suite) => {
      const { identity } = await generateIdentity(identityClassOf(suite.signature));
      return { identity, made: true };
    });
  }

  static async #open(
    stateFolder: string,
    name: string,
    suiteName: SuiteName,
    ask: AskPassphrase | undefined,
    load: (keys: KeyRing, suite: Suite) => ReturnType<KeyRing["load"]>,
  ): Promise<Profile> {
    requireName(name);
    const path = profilePath(stateFolder, name);
    const isFolderNew = await Deno.lstat(path).then(() => false, () => true);
    const folder = await openProfileFolder(stateFolder, name);
    const unlock = await folder.lock();
    try {
      const suite = await loadSuite(suiteName);
      const keys = new KeyRing(folder, name, ask);
      const [loaded, servers, peers] = await Promise.all([
        load(keys, suite),
        Pins.open(folder, "known-servers"),
        Pins.open(folder, PEERS_FILE),
      ]);
      return new Profile(
        name,
        suite,
        loaded,
        servers,
        peers,
        keys,
        folder,
        stateFolder,
        unlock,
        isFolderNew,
      );
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** Where it lives beside others, and a server. */
  get stateFolder(): string {
    return this.#stateFolder;
  }

  /** Where the profile lives. */
  get path(): string {
    return this.#folder.path;
  }

  /**
   * The identity, in this suite, of the server that keeps its keys in the same state folder; undefined when
   * there is none. Throws `local` when they cannot be read.
   */
  async ownServer(): Promise<PublicIdentity | undefined> {
    const path = `${this.#stateFolder}/${SERVER_FOLDER}`;
    if (!findPrivate(path, "isDirectory")) return undefined;
    const entry = await findEntry(await PrivateFolder.open(path), this.suite.name);
    return entry && await readIdentity(entry.bundle);
  }

  /** Removes the identity if it was made just now: the server wants another, and nobody knows it. Throws `local`. */
  async forgetNewIdentity(): Promise<void> {
    if (this.isNew) await removeIdentity(this.#folder, this.suite.name);
  }

  /**
   * The visit for which the profile was made was refused: unless it was there before, or somebody has a message in
   * it that waits, it is gone when it is closed.
   */
  leaveNothing(): void {
    this.#leavesNothing = true;
  }

  /**
   * A number for the next registration, higher than any before: the clock, unless the clock has gone
   * back since (PROTOCOL.md 3.7).
   */
  async nextRegistrationSequence(now: number): Promise<bigint> {
    const last = await this.#lastSequence();
    const clock = BigInt(Math.max(0, Math.floor(now)));
    const next = clock > last ? clock : last + 1n;
    await this.#folder.write(SEQUENCE_FILE, `${next}\n`);
    return next;
  }

  /** Where the profile's files are. */
  get folder(): PrivateFolder {
    return this.#folder;
  }

  /**
   * Registers under this name, one registration after the other: a server refuses those that come in
   * another order. `date` gives milliseconds since 1970.
   */
  registrar(date: () => number): Registrar {
    return (place, job) =>
      this.#registering.run(async () => {
        try {
          return await job(await this.#signRegistration(date(), place));
        } catch (error) {
          await this.#catchUp(error);
          throw error;
        }
      });
  }

  /** Another machine of ours, whose clock is ahead, has used higher numbers: the next one is above them. */
  async #catchUp(error: unknown): Promise<void> {
    if (!(error instanceof CifraError) || error.code !== "stale_registration") return;
    const last = await this.#lastSequence();
    const behind = BigInt(error.retryAfter ?? 0) * 1000n;
    await this.#folder.write(SEQUENCE_FILE, `${last + behind}\n`);
  }

  async #lastSequence(): Promise<bigint> {
    const text = await this.#folder.read(SEQUENCE_FILE);
    return /^\d{1,19}$/.test(text?.trim() ?? "") ? BigInt(text!.trim()) : 0n;
  }

  async #signRegistration(now: number, place: Place): Promise<SignedRegistration> {
    this.#others ??= this.#openOthers();
    const ours = { identity: this.identity, others: await this.#others };
    const registrationSequence = await this.nextRegistrationSequence(now);
    const claim = await claimName(this.name, ours, registrationSequence, now, place);
    return { registrationSequence, claim };
  }

  /** The keys for other suites, as far as there are any. */
  async #openOthers(): Promise<readonly Identity[]> {
    const others: Identity[] = [];
    for (const suite of SUITE_NAMES.filter((name) => name !== this.suite.name)) {
      const stored = await this.keys.find(suite);
      if (stored) others.push(await openIdentity(stored));
    }
    return others;
  }

  /** The secret of the invite with which this server was entered before. */
  async inviteSecret(server: string): Promise<Bytes | undefined> {
    const secret = (await this.#invites()).get(server);
    return secret === undefined ? undefined : decodeBase64Url(secret);
  }

  /** Remembers an invite until the server has registered us: its line is needed once. Throws `local`. */
  async rememberInvite(server: string, secret: Bytes): Promise<void> {
    const invites = await this.#invites();
    if (invites.get(server) === encodeBase64Url(secret)) return;
    invites.set(server, encodeBase64Url(secret));
    await this.#writeInvites(invites);
  }

  /** The server knows us now, and asks for no invite. Throws `local`. */
  async forgetInvite(server: string): Promise<void> {
    const invites = await this.#invites();
    if (invites.delete(server)) await this.#writeInvites(invites);
  }

  async #writeInvites(invites: ReadonlyMap<string, string>): Promise<void> {
    const lines = [...invites].map((invite) => `${invite.join(" ")}\n`);
    await this.#folder.write(INVITES_FILE, lines.join(""));
  }

  /** One line for each: `server secret`. A line that is damaged is as good as none. */
  async #invites(): Promise<Map<string, string>> {
    const text = await this.#folder.read(INVITES_FILE) ?? "";
    const lines = text.matchAll(/^(\S+) ([\w-]{43})$/gm);
    return new Map(Array.from(lines, ([, server, secret]) => [server!, secret!]));
  }

  /**
   * Where the ticket of a server for our identity is kept, with that of an earlier run. A line that is damaged is as
   * good as none.
   */
  async ticketsOf(server: string): Promise<TicketHolder> {
    const key = `${server} ${formatFingerprint(this.identity.fingerprint)}`;
    const tickets = await this.#tickets();
    const [ticket, ticketKey] = tickets.get(key) ?? [];
    const kept = ticket !== undefined && ticketKey !== undefined
      ? { ticket: decodeBase64Url(ticket), ticketKey: decodeBase64Url(ticketKey) }
      : undefined;
    return new TicketHolder(kept, async (next) => {
      const all = await this.#tickets();
      all.delete(key);
      if (next) all.set(key, [encodeBase64Url(next.ticket), encodeBase64Url(next.ticketKey)]);
      const lines = [...all].slice(-TICKETS_KEPT).map(([who, words]) =>
        `${who} ${words.join(" ")}\n`
      );
      await this.#folder.write(TICKETS_FILE, lines.join(""));
    });
  }

  /** One line for each: `server fingerprint ticket key`. */
  async #tickets(): Promise<Map<string, readonly [string, string]>> {
    const text = await this.#folder.read(TICKETS_FILE) ?? "";
    const lines = text.matchAll(/^(\S+ [\w-]{64}) ([\w-]{91}) ([\w-]{43})$/gm);
    return new Map(
      Array.from(lines, ([, key, ticket, ticketKey]) => [key!, [ticket!, ticketKey!]]),
    );
  }

  /** What is kept of this person's conversations. Throws `local` when it cannot be read. */
  async openMessages(keepHistory: boolean): Promise<MessageStore> {
    // The promise is kept, so that two who ask at once do not open the files twice.
    this.#messages ??= this.#openMessages(keepHistory);
    try {
      return await this.#messages;
    } catch (error) {
      this.#messages = undefined;
      throw error;
    }
  }

  /** Whether a passphrase seals what is said as well: then no word of it lies elsewhere on this disk. */
  async isSealed(): Promise<boolean> {
    return (await this.keys.messagesKey()) !== undefined;
  }

  async #openMessages(keepHistory: boolean): Promise<MessageStore> {
    const key = await this.keys.messagesKey();
    return await SqliteMessages.open(this.#folder, { keepHistory, ...(key && { key }) });
  }

  /** Puts everything on disk, and lets another program have the profile. Throws `local`. */
  async close(): Promise<void> {
    try {
      const messages = await this.#messages;
      const isEmpty = (messages?.lastOrdinal() ?? 0) === 0;
      await messages?.close();
      if (this.#leavesNothing && this.#isFolderNew && isEmpty) {
        await Deno.remove(this.path, { recursive: true }).catch(() => {});
      }
    } finally {
      this.keys.drop();
      this.#unlock();
    }
  }
}
