/**
 * A file through two real programs, in turns: this tree, other trees, executables, and `ssh`.
 *
 *     deno run --allow-all tests/bench/pipe.ts [--rounds 5] [--mib 1024] [--relay] [--pipes] [WHAT...]
 *
 * WHAT is a folder with another tree, a file that is an executable of cifra, or `ssh` (a sshd of its own on
 * loopback). Everything runs once in each round, so that what else the machine does meets all alike; the ratios are
 * those of a round, to the first WHAT. Who sends changes with each round: the keys decide who dials. With --pipes the file goes as in `cat | cifra`, `cifra | cat`. Processor
 * time counts both ends, and the server with --relay. Needs GNU time.
 */
import { parseArgs } from "@std/cli/parse-args";
import { denoDir, makeHome, median, report } from "./bench.ts";
import { startSshd } from "./sshd.ts";

const options = parseArgs(Deno.args, {
  string: ["rounds", "mib"],
  boolean: ["relay", "pipes"],
});
const bytes = Number(options.mib ?? "1024") * 2 ** 20;
const rounds = Number(options.rounds ?? "5");
const scratch = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "cifra-bench-" });
const file = `${scratch}/file`, sum = `${scratch}/sum`;

/** What one run took. */
interface Run {
  readonly seconds: number;
  /** Of the sender, the receiver, and the server where it has a part in it. */
  readonly processor: readonly number[];
  /** Resident memory of sender and receiver, highest, MiB. */
  readonly memory: readonly number[];
}

/** What a file can go through. */
interface Way {
  readonly name: string;
  /** `turned`: the other one of the two sends. */
  run(turned: boolean): Promise<Run>;
  stop(): Promise<void>;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function shell(script: string, env: Record<string, string> = {}): Deno.ChildProcess {
  return new Deno.Command("bash", {
    args: ["-c", script],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/** What GNU time wrote: processor seconds and MiB. */
async function readTime(path: string): Promise<readonly [number, number]> {
  const [user, system, memory] = (await Deno.readTextFile(path)).trim().split("\n").at(-1)!
    .split(" ").map(Number);
  return [user! + system!, memory! / 1024];
}

async function processorOf(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Sends the file by one command, which another receives, and checks that it has come. */
async function send(sender: string, receiver: string, env: Record<string, string>): Promise<Run> {
  const timed = (who: string, command: string) =>
    `/usr/bin/time -o ${scratch}/${who} -f '%U %S %M' bash -c ${quoted(command)}`;
  const [into, out] = options.pipes ? [`cat ${file} | `, ` | cat > ${sum}`] : ["", ` < ${file}`];
  const began = performance.now();
  const receiving = receiver === "" ? undefined : shell(
    timed("receiver", `exec ${receiver} < /dev/null`) + (options.pipes ? out : ` > ${sum}`),
    env,
  );
  const sending = shell(
    options.pipes
      ? into + timed("sender", `exec ${sender}`)
      : timed("sender", `exec ${sender}`) + out,
    env,
  );
  const ended = await Promise.all([sending.status, receiving?.status]);
  const seconds = (performance.now() - began) / 1000;
  if (ended.some((status) => status && !status.success)) throw new Error(`failed: ${sender}`);
  const times = [await readTime(`${scratch}/sender`)];
  if (receiving) times.push(await readTime(`${scratch}/receiver`));
  return {
    seconds,
    processor: times.map(([processor]) => processor),
    memory: times.map(([, memory]) => memory),
  };
}

/** Whether what came is what was sent. */
async function requireSame(): Promise<void> {
  const { success } = await new Deno.Command("cmp", { args: [file, sum] }).output();
  if (!success) throw new Error("another file has come");
  await Deno.remove(sum);
}

/** A tree, by its tasks, or an executable. */
async function cifra(path: string): Promise<Way> {
  const isTree = (await Deno.stat(path)).isDirectory;
  const people = await makeHome(), home = await makeHome();
  const env = { HOME: people, XDG_STATE_HOME: "", XDG_CONFIG_HOME: "/nowhere", DENO_DIR: denoDir };
  const absolute = await Deno.realPath(path);
  const tasks = isTree && JSON.parse(await Deno.readTextFile(`${absolute}/deno.json`)).tasks;
  const command = (task: string) =>
    isTree
      ? `bash -c ${quoted(`cd ${absolute} && exec ${tasks[task].command} "$@"`)} --`
      : `${absolute} ${task}`;
  const server = new Deno.Command("bash", {
    args: [
      "-c",
      `exec ${command("serve")} --json --port 0 --relay-rate 0 --relay-rate-per-address 0`,
    ],
    env: { ...env, HOME: home },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const lines = server.stdout.pipeThrough(new TextDecoderStream());
  let port: number | undefined, text = "";
  const reading = lines[Symbol.asyncIterator]();
  while (port === undefined) {
    const { value, done } = await reading.next();
    if (done) throw new Error(`no server: ${text}`);
    text += value;
    port = /"port":(\d+)/.exec(text) ? Number(/"port":(\d+)/.exec(text)![1]) : undefined;
  }
  const drained = (async () => {
    while (!(await reading.next()).done);
  })();
  const args = `--server 127.0.0.1:${port} --accept-new ${
    options.relay ? "--relay-only" : "--no-relay"
  }`;
  const person = (name: string, to: string) =>
    `${command("connect")} --name ${name} --to ${to} ${args}`;
  return {
    name: path,
    async run(turned) {
      await shareKeys(people);
      const before = await processorOf(server.pid);
      const [alice, bob] = [person("alice", "bob"), person("bob", "alice")];
      const run = turned ? await send(bob, alice, env) : await send(alice, bob, env);
      const after = await processorOf(server.pid);
      await requireSame();
      await shareKeys(people);
      return options.relay ? { ...run, processor: [...run.processor, after - before] } : run;
    },
    async stop() {
      server.kill("SIGTERM");
      await server.status;
      await drained;
      for (const folder of [people, home]) await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Its own part of the work is not counted. */
async function ssh(): Promise<Way> {
  const { port, options, stop } = await startSshd();
  return {
    name: "ssh",
    async run() {
      const client = `ssh ${options.join(" ")} -p ${port} 127.0.0.1 ${quoted(`cat > ${sum}`)}`;
      const run = await send(client, "", {});
      await requireSame();
      return run;
    },
    stop,
  };
}

/** By the path in a home: the keys of the two, which decide who dials whom. Whatever they run, they go by the same. */
const keys = new Map<string, Uint8Array>();

/** Gives a home the keys of the first one that has any. Other files may be of another version. */
async function shareKeys(home: string): Promise<void> {
  for (const name of ["alice", "bob"]) {
    const folder = `${home}/.local/state/cifra/profiles/${name}`;
    const path = `${folder}/identity-modern.pem`;
    const known = keys.get(name);
    if (!known) {
      const made = await Deno.readFile(path).catch(() => undefined);
      if (made) keys.set(name, made);
    } else if (!await Deno.stat(path).then(() => true, () => false)) {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      await Deno.writeFile(path, known, { mode: 0o600 });
    }
  }
}

async function makeFile(): Promise<void> {
  const to = await Deno.create(file);
  const piece = new Uint8Array(2 ** 20);
  for (let done = 0; done < bytes; done += piece.length) {
    for (let at = 0; at < piece.length; at += 65_536) {
      crypto.getRandomValues(piece.subarray(at, at + 65_536));
    }
    await to.write(piece);
  }
  to.close();
}

function spread(figures: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...figures), Math.max(...figures)];
  return `${median(figures).toFixed(digits)} [${least.toFixed(digits)}..${most.toFixed(digits)}]`;
}

const ways: Way[] = [];
try {
  await makeFile();
  const named = options._.map(String);
  for (const what of named.length > 0 ? named : ["."]) {
    ways.push(what === "ssh" ? await ssh() : await cifra(what));
  }
  const runs = ways.map((): Run[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, way] of ways.entries()) {
      const run = await way.run(round % 2 !== 0);
      // The first fills caches.
      if (round >= 0) runs[i]!.push(run);
    }
  }
  const gib = bytes / 2 ** 30;
  const total = ({ processor }: Run) => processor.reduce((sum, one) => sum + one, 0);
  for (const [i, { name }] of ways.entries()) {
    const mine = runs[i]!;
    report(`${name}: MB/s`, spread(mine.map(({ seconds }) => bytes / 1e6 / seconds), 0));
    const parts = mine[0]!.processor.map((_, part) =>
      median(mine.map(({ processor }) => processor[part]!)) / gib
    );
    const each = parts.map((part) => part.toFixed(1)).join(" + ");
    report("  processor s/GiB", `${spread(mine.map((run) => total(run) / gib), 1)} = ${each}`);
    const memory = mine[0]!.memory.map((_, part) =>
      median(mine.map(({ memory }) => memory[part]!)).toFixed(0)
    );
    report("  memory, MiB", memory.join(", "));
    if (i === 0) continue;
    const faster = mine.map(({ seconds }, round) => runs[0]![round]!.seconds / seconds);
    const dearer = mine.map((run, round) => total(run) / total(runs[0]![round]!));
    report("  as fast as the first; processor", `${spread(faster, 2)}; ${spread(dearer, 2)}`);
  }
} finally {
  for (const way of ways) await way.stop();
  await Deno.remove(scratch, { recursive: true });
}
