/** Transfers that live and die with their process, in the disk of `MemoryMessages`. */
import type { Bytes } from "../../lib/bytes.ts";
import { timingSafeEqual as equals } from "../../lib/crypto/platform.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import type { ConversationKey, Gap } from "../../lib/store/message_store.ts";
import {
  heard,
  isOver,
  type TransferChanges,
  type TransferRow,
  type TransferStep,
  type TransferStore,
} from "../../lib/store/transfer_store.ts";
import { fileWordOf } from "../../lib/wire/file_messages.ts";
import type { KeptMessage, NewMessage } from "../../lib/wire/peer_messages.ts";

/** What is durable of a transfer. */
export interface TransferOnDisk {
  row: TransferRow;
  manifest: Bytes | undefined;
}

/** What transfers need of the messages beside them. */
export interface BesideMessages {
  /** Runs a change, which throws before it changes anything or not at all. */
  change<T>(work: () => T): Promise<T>;
  /** Throws what `change` would reject with. */
  requireUsable(): void;
  /** In a change: puts a message of ours into our log. */
  append(key: ConversationKey, message: NewMessage): bigint;
}

/** The transfers of a profile in memory. */
export class MemoryTransfers implements TransferStore {
  readonly #disk: TransferOnDisk[];
  readonly #messages: BesideMessages;

  constructor(disk: TransferOnDisk[], messages: BesideMessages) {
    this.#disk = disk;
    this.#messages = messages;
  }

  all(suite: SuiteName): readonly TransferRow[] {
    this.#messages.requireUsable();
    return this.#disk.filter(({ row }) => row.suite === suite)
      .map(({ row }) => structuredClone(row));
  }

  open({ peer, suite }: ConversationKey): readonly TransferRow[] {
    return this.all(suite).filter((row) => row.peer === peer && !isOver(row));
  }

  get(key: ConversationKey, id: Bytes): TransferRow | undefined {
    return structuredClone(this.#find(key, id)?.row);
  }

  manifest(key: ConversationKey, id: Bytes): Bytes | undefined {
    return this.#find(key, id)?.manifest?.slice();
  }

  #find(key: ConversationKey, id: Bytes): TransferOnDisk | undefined {
    this.#messages.requireUsable();
    return this.#disk.find(({ row }) => isNamed(row, key, id));
  }

  change(key: ConversationKey, id: Bytes, changes: TransferChanges): Promise<boolean> {
    const step = structuredClone({ id, changes });
    return this.#messages.change(() => this.#take(key, step));
  }

  say(key: ConversationKey, message: NewMessage, step: TransferStep): Promise<bigint> {
    const [word, own] = structuredClone([message, step] as const);
    return this.#messages.change(() => {
      this.#take(key, own);
      return this.#messages.append(key, word);
    });
  }

  remove(key: ConversationKey, id: Bytes): Promise<void> {
    const copy = id.slice();
    return this.#messages.change(() => this.#remove(({ row }) => isNamed(row, key, copy)));
  }

  #take(key: ConversationKey, step: TransferStep): boolean {
    if ("begin" in step) {
      const { begin, manifest } = step;
      if (this.#find(key, begin.id)) return false;
      this.#disk.push({ row: { ...begin, ...key }, manifest });
      return true;
    }
    const found = this.#find(key, step.id);
    if (!found) return false;
    const { manifest, ...changes } = step.changes;
    found.row = { ...found.row, ...changes };
    if ("manifest" in step.changes) found.manifest = manifest;
    return true;
  }

  /** In a change: what messages of the other side, which are new and stored, make of transfers. */
  hear({ peer, suite }: ConversationKey, messages: readonly KeptMessage[]): void {
    const key = { peer, suite };
    for (const message of messages) {
      if (message.type !== "file") continue;
      const word = fileWordOf(message);
      const known = this.#find(key, word.type === "offer" ? message.id : word.transfer);
      const step = heard(key, structuredClone(message), word, known?.row);
      if (step) this.#take(key, step);
    }
  }

  /** In a change: what was offered in these messages was never said. */
  forget(key: ConversationKey, messages: readonly (KeptMessage | Gap)[]): void {
    for (const message of messages) {
      if (message.type !== "file") continue;
      this.#remove(({ row }) => row.direction === "sent" && isNamed(row, key, message.id));
    }
  }

  #remove(isGone: (each: TransferOnDisk) => boolean): void {
    const left = this.#disk.filter((each) => !isGone(each));
    this.#disk.splice(0, this.#disk.length, ...left);
  }
}

function isNamed(row: TransferRow, { peer, suite }: ConversationKey, id: Bytes): boolean {
  return row.peer === peer && row.suite === suite && equals(row.id, id);
}
