/**
 * What it costs that nothing is lost: real programs, each message on both disks before it counts. And what
 * the relay costs, and how long a conversation takes to go on after a cut.
 */
import { median, report, startServer } from "./bench.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const CONNECT = ["run", "--allow-all", `${ROOT}main.ts`, "connect", "--accept-new"];
const ALONE = 2000;
const BURST = 100_000;
const STREAM = 512 * 1024 * 1024;
const CUTS = 9;

/** A `connect --json`, its counters, and its memory. */
class Talker {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly counters: Record<string, number> = {};
  /** The other end of the connection made last. */
  remote = "";
  readonly #seen: Record<string, number> = {};
  #waiting: { readonly ready: () => boolean; readonly resolve: () => void }[] = [];

  constructor(name: string, to: string, args: readonly string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [...CONNECT, "--json", "--name", name, "--to", to, "--state", state, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#read();
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const { event, number = 0, remote } = JSON.parse(line);
        this.counters[event] = number;
        if (remote) this.remote = remote;
        this.#seen[event] = (this.#seen[event] ?? 0) + 1;
      }
      const done = this.#waiting.filter(({ ready }) => ready());
      this.#waiting = this.#waiting.filter((one) => !done.includes(one));
      for (const { resolve } of done) resolve();
    }
  }

  /** Resolves when something holds, looked at after every piece of output. */
  until(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve();
    return new Promise((resolve) => void this.#waiting.push({ ready, resolve }));
  }

  /** How often an event was told. */
  count(event: string): number {
    return this.#seen[event] ?? 0;
  }

  async write(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text));
  }

  /** Most memory ever held, in MiB. */
  async peak(): Promise<number> {
    const status = await Deno.readTextFile(`/proc/${this.#child.pid}/status`);
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async end(): Promise<void> {
    await this.#input.close();
    await this.#child.status;
  }
}

const server = await startServer("--relay-rate=0");
const state = await Deno.makeTempDir();
await Deno.chmod(state, 0o700);
const address = ["--server", `127.0.0.1:${server.hello.port}`];

async function couple(...args: string[]): Promise<[Talker, Talker]> {
  const alice = new Talker("alice", "bob", [...address, ...args]);
  const bob = new Talker("bob", "alice", [...address, ...args]);
  await Promise.all([
    alice.until(() => alice.count("connected") > 0),
    bob.until(() => bob.count("connected") > 0),
  ]);
  return [alice, bob];
}

async function oneAtATime(): Promise<void> {
  const [alice, bob] = await couple();
  const first = alice.counters.stored ?? 0;
  const began = performance.now();
  for (let n = 1; n <= ALONE; n++) {
    await alice.write(`message ${n}\n`);
    await alice.until(() => (alice.counters.stored ?? 0) >= first + n);
  }
  const seconds = (performance.now() - began) / 1000;
  report("stored on both disks, one message at a time", `${(ALONE / seconds).toFixed(0)}/s`);
  await Promise.all([alice.end(), bob.end()]);
}

async function burst(): Promise<void> {
  const [alice, bob] = await couple();
  const first = alice.counters.stored ?? 0;
  const began = performance.now();
  await sendMany(alice, BURST);
  await alice.until(() => (alice.counters.stored ?? 0) >= first + BURST);
  const seconds = (performance.now() - began) / 1000;
  report(`stored on both disks, ${BURST} at once`, `${(BURST / seconds).toFixed(0)}/s`);
  await Promise.all([alice.end(), bob.end()]);
}

async function sendMany(talker: Talker, count: number): Promise<void> {
  for (let n = 1; n <= count; n += 1000) {
    const lines = Array.from(
      { length: 1000 },
      (_, i) => `message ${n + i} of many, of some length\n`,
    );
    await talker.write(lines.join(""));
  }
}

async function absentPeer(): Promise<void> {
  const alice = new Talker("alice", "bob", address);
  await alice.until(() => alice.count("waiting") > 0);
  const before = await alice.peak();
  const first = alice.counters.queued ?? 0;
  await sendMany(alice, BURST);
  await alice.until(() => alice.count("queued") >= BURST);
  const queued = await alice.peak();
  const bob = new Talker("bob", "alice", address);
  const began = performance.now();
  await alice.until(() => (alice.counters.stored ?? 0) >= first + BURST);
  const seconds = (performance.now() - began) / 1000;
  await bob.until(() => bob.count("message") >= BURST);
  report(
    `memory: writer at start, with ${BURST} queued for an absent peer`,
    `${before.toFixed(0)}, ${queued.toFixed(0)} MiB`,
  );
  report(
    `  and when they are delivered (in ${seconds.toFixed(1)} s): writer, reader`,
    `${(await alice.peak()).toFixed(0)}, ${(await bob.peak()).toFixed(0)} MiB`,
  );
  await Promise.all([alice.end(), bob.end()]);
}

/** From the moment the connection is torn off both ends to the first message shown that was written then. */
async function linkCut(): Promise<void> {
  const [alice, bob] = await couple();
  const figures: number[] = [];
  for (let n = 0; n < CUTS; n++) {
    const cuts = alice.count("lost"), shown = bob.count("message");
    const began = performance.now();
    if (!await tearDown(alice.remote)) {
      report("a cut connection", "not measured: ss -K needs root and iproute2");
      break;
    }
    await alice.until(() => alice.count("lost") > cuts);
    await alice.write(`written while there is no connection ${n}\n`);
    await bob.until(() => bob.count("message") > shown);
    figures.push(performance.now() - began);
  }
  if (figures.length > 0) {
    const slowest = Math.max(...figures).toFixed(0);
    report(
      "connection cut, until what was written then is shown: median, slowest",
      `${median(figures).toFixed(0)}, ${slowest} ms`,
    );
  }
  await Promise.all([alice.end(), bob.end()]);
}

/** Ends a TCP connection of this machine behind the backs of those who have it. */
async function tearDown(remote: string): Promise<boolean> {
  const port = remote.slice(remote.lastIndexOf(":") + 1);
  const filter = ["state", "established", `( sport = :${port} or dport = :${port} )`];
  try {
    return (await new Deno.Command("ss", { args: ["-K", ...filter], stderr: "null" }).output())
      .success;
  } catch {
    return false;
  }
}

/** From the moment one of the two is killed and started again to the first message of the other shown. */
async function killed(): Promise<void> {
  const [alice, first] = await couple();
  let bob = first;
  const figures: number[] = [];
  for (let n = 0; n < CUTS; n++) {
    const cuts = alice.count("lost");
    bob.kill();
    await alice.until(() => alice.count("lost") > cuts);
    const queued = alice.count("queued");
    await alice.write(`written while bob is away ${n}\n`);
    await alice.until(() => alice.count("queued") > queued);
    const began = performance.now();
    bob = new Talker("bob", "alice", address);
    // Those shown just before the end may be shown once more.
    await bob.until(() => (bob.counters.message ?? 0) >= alice.counters.queued!);
    figures.push(performance.now() - began);
  }
  report(
    "killed and started again, until what was written meanwhile is shown, median",
    `${median(figures).toFixed(0)} ms`,
  );
  await Promise.all([alice.end(), bob.end()]);
}

/** Bytes a second through a pipe. */
async function stream(...args: string[]): Promise<number> {
  const start = (name: string, to: string) =>
    new Deno.Command(Deno.execPath(), {
      args: [...CONNECT, "--name", name, "--to", to, "--state", state, ...address, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
  const alice = start("alice", "bob"), bob = start("bob", "alice");
  await bob.stdin.close();
  const sending = (async () => {
    const input = alice.stdin.getWriter();
    const piece = crypto.getRandomValues(new Uint8Array(65_536));
    for (let sent = 0; sent < STREAM; sent += piece.length) await input.write(piece);
    await input.close();
  })();
  let began = 0, received = 0;
  for await (const piece of bob.stdout) {
    began ||= performance.now();
    received += piece.length;
  }
  const seconds = (performance.now() - began) / 1000;
  await Promise.all([sending, alice.stdout.cancel(), alice.status, bob.status]);
  if (received !== STREAM) throw new Error(`${received} bytes arrived, not ${STREAM}`);
  return received / seconds;
}

try {
  await oneAtATime();
  await burst();
  await absentPeer();
  await linkCut();
  await killed();
  const direct = await stream("--no-relay"), relayed = await stream("--relay-only");
  report("a pipe, direct", `${(direct / 1e6).toFixed(0)} MB/s`);
  report(
    "the same through the relay, without a limit of rate",
    `${(relayed / 1e6).toFixed(0)} MB/s, ${(relayed / direct).toFixed(2)} of direct`,
  );
} finally {
  await server.stop();
  await Deno.remove(state, { recursive: true });
}
