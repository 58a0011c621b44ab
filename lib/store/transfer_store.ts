/**
 * What a profile keeps of files between its person and others (PROTOCOL.md 3.15): what was offered, how far it has
 * come, and how it ended. It stands in the database of messages, since an offer, an answer and an end are messages,
 * and what changes with a message changes in its transaction.
 */
import type { Bytes } from "../bytes.ts";
import type { SuiteName } from "../crypto/suite.ts";
import type { FileOffer, FileWord, TransferFailure } from "../wire/file_messages.ts";
import type { Line } from "../wire/line.ts";
import type { KeptMessage, NewMessage } from "../wire/peer_messages.ts";
import type { ConversationKey, Direction } from "./conversation_key.ts";

/** How a transfer can stand; the last four are final. */
export const TRANSFER_STATES = [
  "offered",
  "accepted",
  "done",
  "refused",
  "cancelled",
  "failed",
] as const;

/** One of them. */
export type TransferState = typeof TRANSFER_STATES[number];

/** A transfer. */
export interface TransferRow extends ConversationKey {
  /** The id of the message that offers it, 16 bytes; the other side may choose one that others have as well. */
  readonly id: Bytes;
  readonly direction: Direction;
  readonly state: TransferState;
  /** Why it has failed; undefined when it has not. */
  readonly failure: TransferFailure | undefined;
  /** How its sender calls it. */
  readonly name: Line;
  readonly files: number;
  readonly folders: number;
  /** In all; undefined when that is not known. */
  readonly bytes: number | undefined;
  /** The length of the manifest, in bytes, and its SHA-256. */
  readonly manifestLength: number;
  readonly manifestHash: Bytes;
  /** Of what we send, where it is; of what comes, the folder it goes to. Empty as long as that is not known. */
  readonly place: string;
  /** Above 0 when there is a folder of what has come so far, which is to go when it is over. */
  readonly entry: number;
  /** Entries that the sender could not read. */
  readonly skipped: number;
  /** Whether our log has our last word about it. */
  readonly isTold: boolean;
  /** When it was offered and when it ended, milliseconds since 1970, by the clock of who said so. */
  readonly began: number;
  readonly ended: number | undefined;
}

/** What may change of a transfer. */
export type TransferChanges = Partial<
  Pick<TransferRow, "state" | "failure" | "place" | "entry" | "skipped" | "isTold" | "ended"> & {
    /** The manifest, whole and verified. */
    readonly manifest: Bytes;
  }
>;

/** What becomes of a transfer with a word of ours: it begins, or changes. */
export type TransferStep =
  | { readonly begin: TransferRow; readonly manifest: Bytes | undefined }
  | { readonly id: Bytes; readonly changes: TransferChanges };

/**
 * Each method that changes something is one transaction, as in MessageStore. What the other side says is not written
 * here: whoever stores its messages (`receive`, `receiveSealed`) changes the transfers with them, as `heard` says.
 */
export interface TransferStore {
  /** All of a suite, without their manifests, in the order in which they came here. */
  all(suite: SuiteName): readonly TransferRow[];
  /** Those between us and one person that are not over, in the order in which they came here. */
  open(key: ConversationKey): readonly TransferRow[];
  /** One of them; undefined when it is not known. */
  get(key: ConversationKey, id: Bytes): TransferRow | undefined;
  /** Its manifest, once that is here. */
  manifest(key: ConversationKey, id: Bytes): Bytes | undefined;
  /** Changes one; false when it is not known. */
  change(key: ConversationKey, id: Bytes, changes: TransferChanges): Promise<boolean>;
  /**
   * Appends a word of ours to our log, and takes the step that it tells of; resolves to the number of the word. A
   * transfer that is known does not begin again.
   */
  say(key: ConversationKey, message: NewMessage, step: TransferStep): Promise<bigint>;
  /** Forgets one; what is said of it later begins nothing. */
  remove(key: ConversationKey, id: Bytes): Promise<void>;
}

/** Whether nothing more becomes of it. */
export function isOver({ state }: Pick<TransferRow, "state">): boolean {
  return state !== "offered" && state !== "accepted";
}

/**
 * What a word of the other side makes of a transfer, `known` being how that stands here. Undefined when it makes
 * nothing: an offer that is known, a word about what is not known or over, or one that is not its writer's to say.
 */
export function heard(
  { peer, suite }: ConversationKey,
  { id, written }: Pick<KeptMessage, "id" | "written">,
  word: FileWord,
  known: Pick<TransferRow, "direction" | "state"> | undefined,
): TransferStep | undefined {
  if (word.type === "offer") {
    if (known) return undefined;
    const { type: _, ...offered } = word;
    const begin: TransferRow = {
      peer,
      suite,
      ...offered,
      id,
      direction: "received",
      state: "offered",
      failure: undefined,
      place: "",
      entry: 0,
      skipped: 0,
      isTold: false,
      began: written,
      ended: undefined,
    };
    return { begin, manifest: undefined };
  }
  if (!known || isOver(known)) return undefined;
  const isOfBoth = word.type === "cancel" || word.type === "failed";
  if (!isOfBoth && known.direction === "received") return undefined;
  return { id: word.transfer, changes: changesBy(word, written) };
}

function changesBy(word: Exclude<FileWord, FileOffer>, written: number): TransferChanges {
  switch (word.type) {
    case "accept":
      return { state: "accepted" };
    case "refuse":
      return { state: "refused", ended: written };
    case "done":
      return { state: "done", skipped: word.skipped, ended: written };
    case "cancel":
      return { state: "cancelled", ended: written };
    case "failed":
      return { state: "failed", failure: word.code, ended: written };
  }
}
