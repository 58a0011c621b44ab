/** Two people with files for each other, without all that is around a conversation. */
import type { Thread } from "../../lib/client/thread.ts";
import { Transfers } from "../../lib/client/transfers.ts";
import type { Decision, TransferEvent } from "../../lib/client/transfer_events.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import { Ear, openLink } from "./links.ts";
import { MemoryMessages } from "./memory_messages.ts";

/** One of two people, over runs of a program. */
export class Side {
  readonly store = new MemoryMessages();
  readonly told: [TransferRow, TransferEvent][] = [];
  readonly #peer: string;
  readonly #decide: () => Decision;
  readonly #kept: string | undefined;
  transfers!: Transfers;
  thread!: Thread;

  /** `kept`: the folder of keys, of which nothing is sent. */
  constructor(peer: string, decide: () => Decision = () => "ask", kept?: string) {
    this.#peer = peer;
    this.#kept = kept;
    this.#decide = decide;
  }

  async begin(): Promise<void> {
    this.transfers = new Transfers({
      ...systemEnvironment,
      store: this.store.transfers,
      suite: "modern",
      say: async (_peer, word, step) => void await this.thread.sendFileWord(word, step),
      onEvent: (row, event) => this.told.push([row, event]),
      decide: this.#decide,
      kept: this.#kept,
    });
    const files = this.transfers.lane(this.#peer);
    this.thread = await openLink(this.#peer, { store: this.store, files });
    new Ear(this.thread);
  }

  async end(): Promise<void> {
    await this.thread.leave();
    await this.transfers.close();
  }

  get row(): TransferRow {
    const [row] = this.transfers.all();
    return row!;
  }

  has(type: TransferEvent["type"]): boolean {
    return this.told.some(([, event]) => event.type === type);
  }
}

/** Folders for what is sent and what comes. */
export class Place {
  readonly path = Deno.makeTempDirSync();
  readonly source = `${this.path}/source`;
  readonly target = `${this.path}/target`;

  constructor() {
    Deno.mkdirSync(this.source);
    Deno.mkdirSync(this.target);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** All that is below a folder, by its path: a text for what is in a file. */
export function contents(folder: string, below = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const { name, isDirectory } of Deno.readDirSync(`${folder}${below}`)) {
    const path = `${below}/${name}`;
    if (isDirectory) {
      all.set(path, "folder");
      for (const [each, what] of contents(folder, path)) all.set(each, what);
    } else all.set(path, digest(Deno.readFileSync(`${folder}${path}`)));
  }
  return new Map([...all].sort());
}

function digest(bytes: Uint8Array): string {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193) >>> 0;
  return `${bytes.length} ${sum}`;
}
