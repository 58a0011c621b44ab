/** What the measurements share: a server as its own process, clients in this one, a line a figure. */
import {
  generateIdentity,
  identityClassOf,
  type PublicIdentity,
} from "../../lib/crypto/identity.ts";
import { loadSuite, type SuiteName } from "../../lib/crypto/suite.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import type { OurSide } from "../../lib/handshake/state.ts";
import { dial } from "../../lib/net/dial.ts";
import { Channel } from "../../lib/channel/channel.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const NO_CONTEXT = new Uint8Array(0);
const NO_PSK = new Uint8Array(32);

/** Prints one figure. */
export function report(what: string, figure: string): void {
  console.log(`${what.padEnd(64)} ${figure}`);
}

/** Where packages are, for programs with another home. */
export const denoDir: string = JSON.parse(
  new TextDecoder().decode(
    (await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output()).stdout,
  ),
).denoDir;

/** An empty home for programs that keep things there. */
export async function makeHome(): Promise<string> {
  const home = await Deno.makeTempDir({ prefix: "cifra-bench-" });
  await Deno.mkdir(`${home}/.local/state`, { recursive: true, mode: 0o700 });
  return home;
}

/** A child process of ours and what it said first. */
export interface Child {
  readonly process: Deno.ChildProcess;
  /** The first line of its stdout, as JSON. */
  readonly hello: { readonly port: number };
  stop(): Promise<void>;
}

/**
 * Starts a module of the project as a process of its own and waits for its first line. `via` is what starts it
 * somewhere else, as the same process.
 */
export async function start(
  module: string,
  args: readonly string[],
  flags: readonly string[] = [],
  via: readonly string[] = [],
): Promise<Child> {
  const run = [Deno.execPath(), "run", "--allow-all", ...flags, `${ROOT}${module}`, ...args];
  const [program, ...rest] = [...via, ...run];
  const process = new Deno.Command(program!, {
    args: rest,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await lines.read();
    if (done) throw new Error(`${module} ended before its first line: ${text}`);
    text += value;
  }
  // The rest is read and thrown away, so that the child never waits for us.
  const drained = (async () => {
    while (!(await lines.read()).done);
  })();
  return {
    process,
    hello: JSON.parse(text.slice(0, text.indexOf("\n"))),
    async stop() {
      try {
        process.kill("SIGTERM");
      } catch {
        // It has ended by itself.
      }
      await process.status;
      await drained;
    },
  };
}

const MANY = "100000";

/** Lifts the limits of a server that a benchmark exceeds on purpose. */
export const UNLIMITED: readonly string[] = [
  "--handshakes-per-minute=0",
  "--no-quotas",
  "--max-connections-per-key=0",
  "--max-connections-per-address=0",
  `--max-connections=${MANY}`,
  `--max-strangers=${MANY}`,
  `--max-strangers-per-address=${MANY}`,
];

/** A server as users run it, but for what `UNLIMITED` lifts. */
export async function startServer(...more: readonly string[]): Promise<Child> {
  const state = await Deno.makeTempDir();
  await Deno.chmod(state, 0o700);
  const args = ["serve", "--json", "--port", "0", "--state", state, ...UNLIMITED, ...more];
  // As the task and the executable have it: a server holds much and computes little.
  const child = await start("main.ts", args, ["--v8-flags=--optimize-for-size"]);
  return {
    ...child,
    async stop() {
      await child.stop();
      await Deno.remove(state, { recursive: true });
    },
  };
}

/** Somebody new, with the keys of one suite. */
export async function newcomer(name: SuiteName): Promise<OurSide> {
  const suite = await loadSuite(name);
  const { identity } = await generateIdentity(identityClassOf(suite.signature));
  return { suite, identity, ephemeralKey: () => suite.kem.generate() };
}

/**
 * A channel to whoever answers at `port` of this machine: a new connection, the whole ladder. `pinned`
 * is who answered before, as in a client's profile.
 */
export async function connect(
  ours: OurSide,
  port: number,
  pinned?: PublicIdentity,
): Promise<Channel> {
  const connection = new Connection(await dial("127.0.0.1", port), () => performance.now());
  const first = await startInitiator({
    mode: 1,
    context: NO_CONTEXT,
    psk: NO_PSK,
    random: systemRandom,
    ours,
    pinned,
    checkResponder: () => {},
  });
  const established = await runHandshake(connection, first);
  return await Channel.open(connection, established, () => performance.now());
}

/** Resident memory of a process, in KiB. */
export async function residentMemory(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
}

/** The middle one of some figures. */
export function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)]!;
}
