/**
 * Alice, Bob and their server, each with a real database, one of whom is killed at a place that has a name. The
 * program stops there: what it had asked for and not been told it never learns, and it begins again with its files as
 * they were at that moment. It stops at what the test hands it, which is its store and its connection.
 */
import { existsSync } from "node:fs";
import { CifraError } from "../../lib/errors.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMailbox } from "../../lib/store/sqlite_mailbox.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { ManualTime } from "./clock.ts";
import { type Correspondent, PostRoom } from "./mail_people.ts";

/** Who may be killed. */
export type Mortal = "alice" | "bob" | "server";

const MEMORY = "/dev/shm";
/** Where databases of programs that are killed may lie: what these have written the system has, be it on a disk or not. */
export const UNSYNCED = existsSync(MEMORY) ? MEMORY : undefined;
/** What changes a database. Everything else may go on in a program that is dead. */
const CHANGES: ReadonlySet<string> = new Set([
  "addPrekeys",
  "begin",
  "beginBox",
  "change",
  "confirm",
  "drop",
  "expire",
  "noteAnew",
  "owe",
  "receiveSealed",
  "retire",
  "seal",
]);
/** As long as somebody stays, in milliseconds: what is written is left after 3 s, a receipt after 2 s. */
const STAY = 5000;

/** Two who write to each other, and their server. */
export class KillScene {
  readonly room: PostRoom;
  readonly alice: Correspondent<MessageStore>;
  readonly bob: Correspondent<MessageStore>;
  readonly #path: string;
  /** What everybody has open, and how many folders they have had. */
  readonly #open: Record<Mortal, { close(): unknown }>;
  readonly #folders: Record<Mortal, number> = { alice: 0, bob: 0, server: 0 };
  #plan: { readonly who: Mortal; readonly place: string; left: number } | undefined;
  #dead: Mortal | undefined;
  /** What happens when a program has begun again, before it connects. */
  meanwhile: () => Promise<void> = () => Promise.resolve();

  private constructor(
    path: string,
    room: PostRoom,
    people: readonly [Correspondent<MessageStore>, Correspondent<MessageStore>],
    open: Record<Mortal, { close(): unknown }>,
  ) {
    this.#path = path;
    this.room = room;
    [this.alice, this.bob] = people;
    this.#open = open;
    room.store = this.#watched("server", room.store);
    room.restart(room.store);
    for (const who of people) who.comesBack(this.#watched(who.name as Mortal, who.store));
    room.hears = ({ type }, { name }) => {
      if (this.#reach(name as Mortal, `sends ${type}`)) return false;
      return !this.#reach("server", `hears ${type}`);
    };
    room.alter = (response, { name }) => {
      if (this.#reach("server", `says ${response.type}`)) return [];
      return this.#reach(name as Mortal, `hears ${response.type}`) ? [] : [response];
    };
  }

  /** Both know each other; nobody has been at the server. All of it is below `path`. */
  static async begin(path: string): Promise<KillScene> {
    const time = new ManualTime();
    const mail = await openMailbox(`${path}/server 0`, time.after);
    const room = new PostRoom({ store: mail, time });
    const stores = {
      alice: await openMessages(`${path}/alice 0`, room),
      bob: await openMessages(`${path}/bob 0`, room),
    };
    const alice = await room.keeper<MessageStore>("alice", stores.alice);
    const bob = await room.keeper<MessageStore>("bob", stores.bob);
    alice.knows(bob);
    bob.knows(alice);
    return new KillScene(path, room, [alice, bob], { ...stores, server: mail });
  }

  /** Whether nobody is to be killed any more. */
  get isDone(): boolean {
    return this.#plan === undefined;
  }

  /**
   * Has somebody killed when they come to a place for the so manieth time: `sends deposit`, `hears keys`, `says keys`
   * before that is heard, `before seal` and `after seal` of a change of a profile's database, and of a server's
   * `before the change of deposit`, `after the change of deposit`.
   */
  killAt(who: Mortal, place: string, time = 1): void {
    this.#plan = { who, place, left: time };
  }

  /** Somebody comes for a while, and goes; once more when somebody was killed meanwhile. */
  async visits(who: Correspondent<MessageStore>): Promise<void> {
    for (;;) {
      await who.come();
      await this.room.pass(STAY, STAY / 2);
      if (this.#dead === undefined) break;
      await this.#revive(this.#dead);
    }
    await who.leave();
  }

  /** Ends it. */
  async end(): Promise<void> {
    for (const each of Object.values(this.#open)) await each.close();
  }

  /** Keeps a copy of the server's database; what is returned puts it back. */
  keepMailbox(name: string): () => Promise<void> {
    const kept = `${this.#path}/${name}`;
    copyFolder(this.#folder("server"), kept);
    return async () => {
      this.#folders.server++;
      copyFolder(kept, this.#folder("server"));
      this.#open.server.close();
      await this.#openAgain("server");
    };
  }

  #folder(who: Mortal): string {
    return `${this.#path}/${who} ${this.#folders[who]}`;
  }

  /** Whether whoever is here is dead, now or before. */
  #reach(who: Mortal, place: string): boolean {
    if (this.#dead === who) return true;
    const plan = this.#plan;
    if (plan?.who !== who || plan.place !== place || --plan.left > 0) return false;
    this.#plan = undefined;
    this.#dead = who;
    const before = this.#folder(who);
    this.#folders[who]++;
    copyFolder(before, this.#folder(who));
    if (who === "server") {
      for (const { connection } of [this.alice, this.bob]) {
        if (connection) this.room.disconnect(connection);
      }
    } else this[who].stops();
    return true;
  }

  async #revive(who: Mortal): Promise<void> {
    await this.room.calm();
    await this.#open[who].close();
    await this.#openAgain(who);
    this.#dead = undefined;
    await this.meanwhile();
  }

  async #openAgain(who: Mortal): Promise<void> {
    const folder = this.#folder(who), { room } = this;
    if (who === "server") {
      const store = await openMailbox(folder, room.time.after);
      this.#open.server = store;
      room.restart(this.#watched(who, store));
    } else {
      const store = await openMessages(folder, room);
      this.#open[who] = store;
      this[who].comesBack(this.#watched(who, store));
    }
  }

  /** A store whose changes are places. */
  #watched<Store extends object>(who: Mortal, store: Store): Store {
    return new Proxy(store, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target);
        if (property === "mailbag") return this.#watched(who, value as object);
        if (typeof value !== "function") return value;
        const name = String(property);
        if (!CHANGES.has(name)) return value.bind(target);
        return async (...values: unknown[]) => {
          // Nothing changes where nothing is dropped.
          if (Array.isArray(values[0]) && values[0].length === 0) return;
          const place = who === "server" ? `the change of ${this.room.asked}` : name;
          if (this.#reach(who, `before ${place}`)) return await ended(who);
          const result = await value.apply(target, values);
          return this.#reach(who, `after ${place}`) ? await ended(who) : result;
        };
      },
    });
  }
}

/** A program that is dead learns nothing; of a server's requests the next one waits for the one before. */
function ended(who: Mortal): Promise<never> {
  return who === "server"
    ? Promise.reject(new CifraError("shutdown", "It was killed"))
    : new Promise(() => {});
}

async function openMessages(path: string, { time: { after } }: PostRoom): Promise<SqliteMessages> {
  return await SqliteMessages.open(await PrivateFolder.open(path), { keepHistory: true, after });
}

async function openMailbox(path: string, after: PostRoom["time"]["after"]): Promise<SqliteMailbox> {
  return await SqliteMailbox.open(await PrivateFolder.open(path), { budget: 2 ** 26, after });
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { mode: 0o700 });
  for (const { name } of Deno.readDirSync(from)) {
    Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}
