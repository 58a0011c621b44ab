/** A shell with job control in a window of tmux: a terminal that can be resized, and whose screen can be read. */
import { delay } from "../../lib/flow/delay.ts";
import { systemTime } from "../../lib/net/system_time.ts";

/** Milliseconds: generous, for a machine that has much to do. */
const PATIENCE = 45_000;
const PAUSE = 50;
let count = 0;

async function tmux(args: readonly string[], env = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("tmux", {
    args: [...args],
    env,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`tmux ${args[2]}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

async function isAlive(session: string): Promise<boolean> {
  return (await new Deno.Command("ps", { args: ["-o", "pid=", "-s", session] }).output()).success;
}

/** Whether tmux and a shell with job control are here; if not, tests that need them are left out. */
export const hasTmux = await Promise.all([tmux(["-V"]), Deno.stat("/bin/bash")])
  .then(() => true, () => false);
if (!hasTmux) {
  console.log("ignored: there is no tmux, or no bash, for tests that resize and suspend");
}

/** A window with a shell, in the folder of the repository. */
export class Window {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  static async open(
    env: Readonly<Record<string, string>>,
    { columns = 80, rows = 24 } = {},
  ): Promise<Window> {
    const window = new Window(`cifra-test-${Deno.pid}-${count++}`);
    // The tests themselves may run under `deno task`; this shell does not.
    const { INIT_CWD: _, TMUX: __, ...inherited } = Deno.env.toObject();
    const all = Object.entries({ ...inherited, ...env }).map(([name, value]) => `${name}=${value}`);
    const size = ["-x", `${columns}`, "-y", `${rows}`];
    const shell = ["env", "-i", ...all, "PS1=$ ", "bash", "--norc", "--noprofile", "-i"];
    await window.#tmux("-f", "/dev/null", "new-session", "-d", "-s", "s", ...size, ...shell);
    await window.shows("$");
    return window;
  }

  /** Types keys by the names that tmux has for them, such as `C-z` and `Enter`. */
  async keys(...names: readonly string[]): Promise<void> {
    await this.#tmux("send-keys", "-t", "=s:", ...names);
  }

  /** Types letters. */
  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", "-t", "=s:", "--", text);
  }

  /** Types a line, and Enter. */
  async line(text: string): Promise<void> {
    await this.type(text);
    await this.keys("Enter");
  }

  /** Sends what a terminal would send, in pieces that come so many milliseconds after each other. */
  async send(pieces: readonly string[], pause = 0): Promise<void> {
    for (const piece of pieces) {
      const bytes = [...new TextEncoder().encode(piece)].map((byte) => byte.toString(16));
      await this.#tmux("send-keys", "-H", "-t", "=s:", ...bytes);
      await delay(systemTime, pause);
    }
  }

  async resize(columns: number, rows = 24): Promise<void> {
    const size = ["-x", `${columns}`, "-y", `${rows}`];
    await this.#tmux("resize-window", "-t", "=s:", ...size);
  }

  /** All rows, also those that have scrolled away, as they were written: what the window broke is whole. */
  async rows(): Promise<string[]> {
    const text = await this.#tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "=s:");
    return text.trimEnd().split("\n").map((row) => row.trimEnd());
  }

  /** The row of the cursor, and its column. */
  async cursor(): Promise<readonly [row: string, column: number]> {
    const format = "#{cursor_y} #{cursor_x}";
    const [y, x] = (await this.#tmux("display-message", "-p", "-t", "=s:", format)).split(" ");
    const visible = (await this.#tmux("capture-pane", "-p", "-t", "=s:")).split("\n");
    return [visible[Number(y)]!.trimEnd(), Number(x)];
  }

  /** Waits until the rows are as they should be. */
  async until(what: string, holds: (rows: readonly string[]) => boolean): Promise<string[]> {
    const deadline = performance.now() + PATIENCE;
    for (;;) {
      const rows = await this.rows();
      if (holds(rows)) return rows;
      if (performance.now() > deadline) {
        throw new Error(`No ${what} on the screen:\n${rows.join("\n")}`);
      }
      await delay(systemTime, PAUSE);
    }
  }

  /** Waits for a text. */
  async shows(text: string): Promise<string[]> {
    return await this.until(`"${text}"`, (rows) => rows.join("\n").includes(text));
  }

  /** Waits until this is the last row. */
  async ends(text: string): Promise<string[]> {
    return await this.until(`"${text}" at the end`, (rows) => rows.at(-1) === text);
  }

  /** Closes the window; resolves when whatever ran in it has ended. */
  async close(): Promise<void> {
    const session = await this.#tmux("display-message", "-p", "-t", "=s:", "#{pane_pid}")
      .catch(() => undefined);
    await this.#tmux("kill-server").catch(() => {});
    // What ran in it may still write somewhere.
    while (session !== undefined && await isAlive(session.trim())) {
      await delay(systemTime, PAUSE);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    return await tmux(["-L", this.#socket, ...args]);
  }
}
