/** Where a message store is opened, closed and found after a crash: in memory, and on a disk. */
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { MemoryMessages, type MessagesSnapshot } from "../testkit/memory_messages.ts";
import { withFolder } from "../testkit/server.ts";

/** A place where a store can be opened, closed and opened again. */
export interface Disk {
  open(keepHistory?: boolean): Promise<MessageStore>;
  /** Opens what a process finds that starts when the last one has died without closing. */
  afterCrash(store: MessageStore): Promise<MessageStore>;
}

/** What happens there. */
export type Scene = (disk: Disk) => Promise<void>;

function onMemory(scene: Scene): Promise<void> {
  let last: MemoryMessages | undefined;
  const open = (snapshot: MessagesSnapshot | undefined, keepHistory: boolean) =>
    Promise.resolve(last = new MemoryMessages({ snapshot, keepHistory }));
  return scene({
    open: (keepHistory = true) => open(last?.snapshot(), keepHistory),
    afterCrash: () => open(last!.snapshot(), true),
  });
}

function onSqlite(scene: Scene): Promise<void> {
  return withFolder(async (path) => {
    const options = { random: systemRandom, after: () => () => {} };
    const stores: MessageStore[] = [];
    let folder = path;
    const open = async (keepHistory: boolean) => {
      const opened = await PrivateFolder.open(folder);
      const store = await SqliteMessages.open(opened, { ...options, keepHistory });
      stores.push(store);
      return store;
    };
    try {
      await scene({
        open: (keepHistory = true) => open(keepHistory),
        async afterCrash() {
          // What the disk has at this moment; the dead process is left with its own copy.
          const copy = `${folder}/copy`;
          await PrivateFolder.open(copy);
          for (const name of ["messages.db", "messages.db-wal"]) {
            await Deno.copyFile(`${folder}/${name}`, `${copy}/${name}`);
          }
          folder = copy;
          return await open(true);
        },
      });
    } finally {
      for (const store of stores) await store.close();
    }
  });
}

/** One test of what every store must do. */
export function conforms(name: string, scene: Scene): void {
  Deno.test(`a message store in memory ${name}`, () => onMemory(scene));
  Deno.test(`a message store on disk ${name}`, () => onSqlite(scene));
}
