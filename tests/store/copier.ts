/** What a killed process leaves of a database at each moment: its files are copied, to be opened later. */
import { type SQLInputValue, StatementSync } from "node:sqlite";

/** Copies the database that is called `name`, in `home`, into numbered folders of `path`. */
export class Copier {
  readonly #path: string;
  readonly #home: string;
  readonly #name: string;
  /** How many there are: the folders are `0`, `1` and so on. */
  copies = 0;

  constructor(path: string, home: string, name: string) {
    this.#path = path;
    this.#home = home;
    this.#name = name;
  }

  /** What is there now: with the index of the log, as a kill leaves it, and without, as a machine that was restored. */
  copy(): void {
    for (const ends of [["", "-wal", "-shm"], ["", "-wal"]]) {
      const target = `${this.#path}/${this.copies++}`;
      Deno.mkdirSync(target, { mode: 0o700 });
      for (const end of ends) {
        Deno.copyFileSync(`${this.#home}/${this.#name}${end}`, `${target}/${this.#name}${end}`);
      }
    }
  }

  /** Copies before and after each statement that `work` has SQLite run. */
  async during(work: () => unknown): Promise<void> {
    const { run, get } = StatementSync.prototype;
    const watched = (method: (...values: never[]) => unknown) => {
      const copy = () => this.copy();
      return function (this: StatementSync, ...values: SQLInputValue[]) {
        // What only reads leaves nothing behind.
        const isChange = !/^\s*(SELECT|PRAGMA)/.test(this.sourceSQL);
        if (isChange) copy();
        const result = Reflect.apply(method, this, values);
        if (isChange) copy();
        return result;
      };
    };
    StatementSync.prototype.run = watched(run) as typeof run;
    StatementSync.prototype.get = watched(get) as typeof get;
    try {
      await work();
    } finally {
      Object.assign(StatementSync.prototype, { run, get });
    }
  }
}

/** Lets JSON.stringify write numbers of 64 bits, and bytes. */
export function asText(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}`;
  return value instanceof Uint8Array ? [...value] : value;
}
