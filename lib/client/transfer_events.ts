/** What happens to files between us and others, and what carrying them takes of a program. */
import type { CifraError } from "../errors.ts";
import type { NameChange } from "../files/plan.ts";
import type { TransferRow, TransferStep } from "../store/transfer_store.ts";
import type { FileWord, HoldReason } from "../wire/file_messages.ts";
import type { Line } from "../wire/line.ts";

/** How far a transfer has come. */
export interface TransferProgress {
  /** Bytes of content that are here, or sent. */
  readonly bytes: number;
  /** The name of what is on its way, and how many bytes of that are here or sent. */
  readonly entry: Line | undefined;
  readonly offset: number;
}

/** What happens to one transfer. */
export type TransferEvent =
  /** The other side offers something; `isAccepted` when nobody has to be asked. */
  | { readonly type: "offered"; readonly isAccepted: boolean }
  /** The other side has so much offered that is not over that this is refused, and what follows; said once. */
  | { readonly type: "crowded" }
  /** The other side wants what we offered. */
  | { readonly type: "accepted" }
  /** More of it is here, or sent: see `Transfers.progress`. */
  | { readonly type: "moved" }
  /** One side cannot read or write at the moment; without a reason it can again. */
  | { readonly type: "stuck"; readonly who: "us"; readonly error: CifraError | undefined }
  | { readonly type: "stuck"; readonly who: "peer"; readonly why: HoldReason | undefined }
  /** An entry does not come: its sender does not have it any more, or it changes all the time. */
  | { readonly type: "skipped"; readonly entry: Line }
  /** An entry of ours does not go: it has grown far beyond what was offered. */
  | { readonly type: "outgrown"; readonly entry: Line }
  /** All of it is here, under these names in the folder that was chosen. */
  | { readonly type: "received"; readonly names: readonly NameChange[] }
  /** It is over; how, says the state of its row. `who` has said so. */
  | { readonly type: "over"; readonly who: "us" | "peer" };

/** What somebody's offer leads to. */
export type Decision =
  /** It goes to this folder, an absolute path. */
  | { readonly into: string }
  | "ask"
  | "refuse";

/** What carrying files takes of a program. */
export interface TransferContext {
  /** The folder of keys and messages, an absolute path: nothing of it is ever sent. Undefined: there is none. */
  readonly kept: string | undefined;
  /**
   * Says a word in the conversation with somebody, which is opened for it, and takes its step. Throws `local`, and
   * `limit` when there are too many conversations.
   */
  readonly say: (peer: string, word: FileWord, step: TransferStep) => Promise<void>;
  readonly onEvent: (row: TransferRow, event: TransferEvent) => void;
  /** What is done with an offer, by what the person has said before. */
  readonly decide: (row: TransferRow) => Decision;
  /**
   * What is taken at most of one transfer, in bytes, that grows beyond it or did not say how large it is; undefined: no
   * more than that it may grow by.
   */
  readonly limit?: number | undefined;
}
