/** A person on this machine: identity keys, pinned servers and people, all in one private folder. */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import type { Bytes } from "../bytes.ts";
import type { Identity } from "../crypto/identity.ts";
import { loadSuite, type Suite, type SuiteName } from "../crypto/suite.ts";
import { requireName } from "../services/names.ts";
import { loadIdentity } from "../store/identity_file.ts";
import type { MessageStore } from "../store/message_store.ts";
import { PrivateFolder } from "../store/private_files.ts";
import { SqliteMessages } from "../store/sqlite_messages.ts";
import { KnownIdentities } from "./known_identities.ts";

const SEQUENCE_FILE = "registration-sequence";
const INVITES_FILE = "invites";

/** An opened profile; no other program has it open. */
export class Profile {
  readonly name: string;
  readonly suite: Suite;
  readonly identity: Identity;
  /** Whether the identity was made just now. */
  readonly isNew: boolean;
  readonly servers: KnownIdentities;
  readonly peers: KnownIdentities;
  readonly #folder: PrivateFolder;
  readonly #unlock: () => void;
  #messages: Promise<MessageStore> | undefined;

  private constructor(
    name: string,
    suite: Suite,
    loaded: { readonly identity: Identity; readonly made: boolean },
    servers: KnownIdentities,
    peers: KnownIdentities,
    folder: PrivateFolder,
    unlock: () => void,
  ) {
    this.name = name;
    this.suite = suite;
    this.identity = loaded.identity;
    this.isNew = loaded.made;
    this.servers = servers;
    this.peers = peers;
    this.#folder = folder;
    this.#unlock = unlock;
  }

  /** Opens the profile of `name` below `stateFolder`, making it on first use. Throws `locked`, `local`. */
  static async open(stateFolder: string, name: string, suiteName: SuiteName): Promise<Profile> {
    requireName(name);
    const profiles = await (await PrivateFolder.open(stateFolder)).folder("profiles");
    const folder = await profiles.folder(name);
    const unlock = await folder.lock();
    try {
      const suite = await loadSuite(suiteName);
      const [loaded, servers, peers] = await Promise.all([
        loadIdentity(folder, suite),
        KnownIdentities.open(folder, "known-servers"),
        KnownIdentities.open(folder, "known-peers"),
      ]);
      return new Profile(name, suite, loaded, servers, peers, folder, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** Where the profile lives. */
  get path(): string {
    return this.#folder.path;
  }

  /**
   * A number for the next registration, higher than any before: the clock, unless the clock has gone
   * back since (PROTOCOL.md 3.7).
   */
  async nextRegistrationSequence(now: number): Promise<bigint> {
    const text = await this.#folder.read(SEQUENCE_FILE);
    const last = /^\d{1,20}$/.test(text?.trim() ?? "") ? BigInt(text!.trim()) : 0n;
    const clock = BigInt(Math.max(0, Math.floor(now)));
    const next = clock > last ? clock : last + 1n;
    await this.#folder.write(SEQUENCE_FILE, `${next}\n`);
    return next;
  }

  /** The secret of the invite with which this server was entered before. */
  async inviteSecret(server: string): Promise<Bytes | undefined> {
    const secret = (await this.#invites()).get(server);
    return secret === undefined ? undefined : decodeBase64Url(secret);
  }

  /** Remembers an invite that was good, so that its line is needed once. */
  async rememberInvite(server: string, secret: Bytes): Promise<void> {
    const invites = await this.#invites();
    if (invites.get(server) === encodeBase64Url(secret)) return;
    invites.set(server, encodeBase64Url(secret));
    const lines = [...invites].map((invite) => `${invite.join(" ")}\n`);
    await this.#folder.write(INVITES_FILE, lines.join(""));
  }

  /** One line for each: `server secret`. A line that is damaged is as good as none. */
  async #invites(): Promise<Map<string, string>> {
    const text = await this.#folder.read(INVITES_FILE) ?? "";
    const lines = text.matchAll(/^(\S+) ([\w-]{43})$/gm);
    return new Map(Array.from(lines, ([, server, secret]) => [server!, secret!]));
  }

  /** What is kept of this person's conversations. Throws `local` when it cannot be read. */
  async openMessages(keepHistory: boolean): Promise<MessageStore> {
    // The promise is kept, so that two who ask at once do not open the files twice.
    this.#messages ??= SqliteMessages.open(this.#folder, { keepHistory });
    try {
      return await this.#messages;
    } catch (error) {
      this.#messages = undefined;
      throw error;
    }
  }

  /** Puts everything on disk, and lets another program have the profile. Throws `local`. */
  async close(): Promise<void> {
    try {
      await (await this.#messages)?.close();
    } finally {
      this.#unlock();
    }
  }
}
