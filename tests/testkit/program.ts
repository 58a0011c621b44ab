/** cifra as it is used: processes of their own, with the permissions of the tasks and no others. */
import { assertEquals } from "@std/assert";
import { eventsSchema } from "../../lib/cli/events_schema.ts";
import { mismatch } from "./schema.ts";

const ROOT = new URL("../../", import.meta.url);
/** How long anything may take: generous, and less than the time of a test, since this tells more. */
const PATIENCE = 45_000;

/** An executable that is to be tested in place of the source. */
const EXECUTABLE = Deno.env.get("CIFRA_EXECUTABLE");

/** What `--json` prints. */
const SCHEMA = eventsSchema();

/** One line of `--json`. */
export interface JsonEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** How a process ended. */
export interface Exit {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Takes stdout instead of it being kept; the program is read no faster than this resolves. */
  readonly onStdout?: (piece: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  /** What else to tell when the program did not do what it should. */
  readonly context?: () => string;
}

/** A running process, all of whose words are kept. */
export class Program {
  readonly name: string;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #pumps: Promise<unknown>;
  readonly #context: () => string;
  readonly #deaf = new AbortController();
  /** Other programs have events of their own. */
  readonly #isCifra: boolean;
  /** How many of its events were compared with the schema. */
  #checked = 0;
  #inputClosed = false;
  #stdout = "";
  #stderr = "";
  #ended = false;
  #news = Promise.withResolvers<void>();

  constructor({ name, command, env = {}, onStdout, context = () => "" }: ProgramOptions) {
    const [program, ...args] = command;
    this.name = name;
    this.#isCifra = command.some((word) => /^(main\.ts|tasks?)$/.test(word) || word === EXECUTABLE);
    this.#context = context;
    this.#child = new Deno.Command(program!, {
      args,
      cwd: ROOT,
      // Whoever runs the tests may have settings of their own.
      env: { NO_COLOR: "1", RUST_BACKTRACE: "0", XDG_CONFIG_HOME: "/nowhere", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    // Whoever writes sees the failure; the stream's own report of it is of no use to anybody.
    this.#input.closed.catch(() => {});
    const keepStdout = keeper((text) => this.#tell(() => this.#stdout += text));
    const keepStderr = keeper((text) => this.#tell(() => this.#stderr += text));
    this.#pumps = Promise.all([
      pump(this.#child.stdout, onStdout ?? keepStdout, this.#deaf.signal),
      pump(this.#child.stderr, keepStderr, this.#deaf.signal),
    ]).finally(() => this.#tell(() => this.#ended = true));
  }

  get pid(): number {
    return this.#child.pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The end of all that it said. */
  get told(): string {
    return `${this.#stdout.slice(-5000)}\n${this.#stderr.slice(-5000)}`;
  }

  /** What stdout said so far, as lines of JSON; each as the schema of events has it. */
  get events(): JsonEvent[] {
    const events: JsonEvent[] = this.#stdout.split("\n").slice(0, -1).map((line) =>
      JSON.parse(line)
    );
    for (const event of this.#isCifra ? events.slice(this.#checked) : []) {
      const why = mismatch(event, SCHEMA);
      if (why !== undefined) throw new Error(`${why}, by the schema: ${JSON.stringify(event)}`);
    }
    this.#checked = events.length;
    return events;
  }

  /** Waits until `ready` gives something; fails when the process ends, or time runs out, without it. */
  async until<T>(what: string, ready: () => T | undefined | false): Promise<T> {
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort();
      this.#tell(() => {});
    }, PATIENCE);
    try {
      for (;;) {
        const news = this.#news.promise;
        const found = ready();
        if (found !== undefined && found !== false) return found;
        if (this.#ended || late.signal.aborted) {
          const why = this.#ended ? "ended" : `ran ${PATIENCE / 1000} s`;
          throw new Error(
            `${this.name} ${why} without ${what}; it said\n${this.told}${this.#context()}`,
          );
        }
        await news;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** The first event of this name, and with these values, also of the past. */
  event(name: string, values: Readonly<Record<string, unknown>> = {}): Promise<JsonEvent> {
    return this.until(
      `the event ${name} ${JSON.stringify(values)}`,
      () =>
        this.events.find((event) =>
          event.event === name &&
          Object.entries(values).every(([key, value]) => event[key] === value)
        ),
    );
  }

  /** Waits for a text on stderr. */
  says(text: string): Promise<true> {
    return this.until(`"${text}" on stderr`, () => this.#stderr.includes(text));
  }

  /** Waits for a text on stdout. */
  prints(text: string): Promise<true> {
    return this.until(`"${text}" on stdout`, () => this.#stdout.includes(text));
  }

  /** Writes to stdin; resolves when there is room for more. */
  async write(data: string | Uint8Array<ArrayBuffer>): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.#input.write(bytes);
  }

  /** The end of stdin. */
  async endInput(): Promise<void> {
    if (this.#inputClosed) return;
    this.#inputClosed = true;
    await this.#input.close();
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** How it ended, once it has; fails when it does not. */
  async exit(): Promise<Exit> {
    await this.until("coming to its end", () => this.#ended);
    const { code, signal } = await this.#child.status;
    return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
  }

  /** Waits for the end, which must be with this code, and returns the rest. */
  async exits(code: number): Promise<Exit> {
    const exit = await this.exit();
    const { stdout, stderr } = exit;
    assertEquals(exit.signal, null, `${this.name} was killed\n${stdout}\n${stderr}`);
    assertEquals(exit.code, code, `the exit code of ${this.name}\n${stdout}\n${stderr}`);
    return exit;
  }

  /** Most memory that the process ever held, in MiB; Linux alone can tell. */
  async peakMemory(): Promise<number> {
    const status = await Deno.readTextFile(`/proc/${this.pid}/status`);
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.endInput().catch(() => {});
    await this.#child.status;
    // Whatever it started may hold its output open, and outlive it.
    this.#deaf.abort();
    await this.#pumps.catch(() => {});
  }

  #tell(change: () => void): void {
    change();
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

function keeper(keep: (text: string) => void): (piece: Uint8Array<ArrayBuffer>) => void {
  const decoder = new TextDecoder();
  return (piece) => keep(decoder.decode(piece, { stream: true }));
}

async function pump(
  from: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (piece: Uint8Array<ArrayBuffer>) => void | Promise<void>,
  deaf: AbortSignal,
): Promise<void> {
  const reader = from.getReader();
  const isDeaf = new Promise<undefined>((resolve) =>
    deaf.addEventListener("abort", () => resolve(undefined))
  );
  while (!deaf.aborted) {
    const piece = await Promise.race([reader.read(), isDeaf]);
    if (!piece?.value) break;
    await Promise.race([take(piece.value), isDeaf]);
  }
  await reader.cancel();
}

/** The commands of cifra, each with a task of its own. */
export type Task =
  | "serve"
  | "connect"
  | "send"
  | "receive"
  | "transfers"
  | "inbox"
  | "users"
  | "history"
  | "keys"
  | "config"
  | "help"
  | "man"
  | "completions";

/** The flags of a task in deno.json, but for the folders, which the test chooses. */
function taskFlags(task: Task): string[] {
  const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const command: string = config.tasks[task].command;
  return [...command.matchAll(/(?:^| )(--(?!allow-read|allow-write)[\w-]+(?:=\S+)?)/g)]
    .map((match) => match[1]!.replaceAll('"', ""));
}

function readKey(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * What starts cifra, with `folder` for its state: from its source, allowed what the task is allowed, unless
 * the environment names an executable.
 */
export function cifraCommand(task: Task, folder: string): string[] {
  return EXECUTABLE === undefined ? sourceCommand(task, folder) : [EXECUTABLE, task];
}

/** What starts cifra from its source, allowed what the task is allowed, with `folder` for its state. */
export function sourceCommand(task: Task, folder: string): string[] {
  const access = [`--allow-read=${folder}`, `--allow-write=${folder}`];
  // Quiet, so that a first run does not tell what it fetches among what the program says.
  return [
    Deno.execPath(),
    "run",
    "--quiet",
    ...taskFlags(task),
    ...access,
    "main.ts",
    task,
  ];
}

/** How a scene's programs differ from the usual. */
export interface CastOptions {
  /** State folder, below the scene's; the default is the name of the program. */
  readonly state?: string;
  /** Starts the program; what `cifraCommand` gives is the default. */
  readonly start?: (task: Task, folder: string) => string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly onStdout?: ProgramOptions["onStdout"];
}

/** A server and the people around it, in a folder of their own; all gone when the scene is over. */
export class Scene {
  readonly folder: string;
  readonly #programs: Program[] = [];
  #port = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** An empty stage. */
  static async open(): Promise<Scene> {
    // A fresh folder of the system's is private.
    return new Scene(await Deno.makeTempDir({ prefix: "cifra-test-" }));
  }

  /** A stage with a server on it. */
  static async withServer(...args: readonly string[]): Promise<Scene> {
    const scene = await Scene.open();
    await scene.serve(args);
    return scene;
  }

  /** The port of the server that was started last. */
  get port(): number {
    return this.#port;
  }

  /** Starts a server and waits until it listens. */
  async serve(args: readonly string[] = [], options: CastOptions = {}): Promise<Program> {
    const server = this.start("serve", "server", ["--port", "0", "--json", ...args], options);
    const { port } = await server.event("listening");
    this.#port = port as number;
    return server;
  }

  /** Runs one command of the operator of the server that was started last, as `serve console` does. */
  async operate(command: string): Promise<void> {
    const start: CastOptions["start"] = (
      task,
      folder,
    ) => [...sourceCommand(task, folder), "console"];
    const operator = this.start("serve", "operator", [], { state: "server", start });
    await operator.write(`${command}\n`);
    await operator.endInput();
    await operator.exits(0);
  }

  /** Starts `name`, who wants `to`. */
  connect(
    name: string,
    to: string,
    args: readonly string[] = [],
    options: CastOptions = {},
  ): Program {
    const server = args.some((arg) => /^--(server|invite)/.test(arg) && arg !== "--server-key")
      ? []
      : ["--server", `127.0.0.1:${this.#port}`];
    return this.start("connect", name, ["--name", name, "--to", to, ...server, ...args], options);
  }

  /** Starts a command with exactly these arguments, and a state folder. */
  start(
    task: Task,
    name: string,
    args: readonly string[],
    options: CastOptions = {},
  ): Program {
    const { state = name, start = cifraCommand, env, onStdout } = options;
    const folder = this.stateOf(state);
    const command = [...start(task, folder), ...args, "--state", folder];
    if (task !== "serve") this.lendServerKeys(folder);
    return this.add(
      new Program({
        name,
        command,
        ...(env && { env }),
        ...(onStdout && { onStdout }),
        context: () =>
          this.#programs.map((other) => `\n--- ${other.name}:\n${other.told}`).join(""),
      }),
    );
  }

  /** Starts any command line. */
  run(name: string, command: readonly string[]): Program {
    return this.add(new Program({ name, command }));
  }

  /** Whoever plays on this machine runs the server on it too, and so holds its keys. */
  lendServerKeys(folder: string): void {
    const server = `${this.stateOf("server")}/server`;
    for (const file of ["identity-modern.pem", "identity-rsa.pem", "identity-classic.pem"]) {
      const key = readKey(`${server}/${file}`);
      if (key === undefined || key === readKey(`${folder}/server/${file}`)) continue;
      Deno.mkdirSync(`${folder}/server`, { recursive: true, mode: 0o700 });
      Deno.writeTextFileSync(`${folder}/server/${file}`, key, { mode: 0o600 });
    }
  }

  /** Lets a program end with the scene. */
  add(program: Program): Program {
    this.#programs.push(program);
    return program;
  }

  stateOf(name: string): string {
    return `${this.folder}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Starts alice and bob with the same arguments and waits until they are connected. */
export async function couple(
  scene: Scene,
  args: readonly string[] = ["--json"],
): Promise<readonly [Program, Program]> {
  const alice = scene.connect("alice", "bob", args);
  const bob = scene.connect("bob", "alice", args);
  if (args.includes("--json")) {
    await Promise.all([alice.event("connected"), bob.event("connected")]);
  } else await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
  return [alice, bob];
}
