/**
 * Files from one person's disk to another's by `send` and `receive`, beside `scp` through a sshd of its own, in turns.
 *
 *     deno run --allow-all tests/bench/send.ts [--rounds 5] [--mib 1024] [--files 10000] [--on FOLDER]
 *
 * One large file, then a folder of many of 1 KiB. Start and end of all programs are counted; `receive` has everything
 * on the disk itself when it ends, which `scp` does not promise: it is followed by `sync`. FOLDER may be on a tmpfs, but not /dev/shm, which Deno gives no
 * program that has given up anything. Needs GNU time.
 */
import { parseArgs } from "@std/cli/parse-args";
import { denoDir, makeHome, median, report } from "./bench.ts";
import { startSshd } from "./sshd.ts";

const options = parseArgs(Deno.args, {
  string: ["rounds", "mib", "files", "on"],
});
const rounds = Number(options.rounds ?? "5");
const mib = Number(options.mib ?? "1024"), files = Number(options.files ?? "10000");
const scratch = await Deno.makeTempDir({
  dir: String(options.on ?? "/tmp"),
  prefix: "cifra-bench-",
});
const source = `${scratch}/source`, target = `${scratch}/target`;
const ROOT = new URL("../../", import.meta.url).pathname;

interface Run {
  readonly seconds: number;
  /** Resident memory of the two programs, highest, MiB. */
  readonly memory: readonly number[];
}

/** Runs commands at once, until all have ended well. */
async function timed(
  commands: readonly (readonly string[])[],
  env: Record<string, string> = {},
): Promise<Run> {
  const began = performance.now();
  const running = commands.map((command, i) => {
    const args = ["-o", `${scratch}/time${i}`, "-f", "%M", ...command];
    const streams = { stdin: "null", stdout: "null", stderr: "piped" } as const;
    return new Deno.Command("/usr/bin/time", { args, env, cwd: target, ...streams }).output();
  });
  for (const { success, stderr } of await Promise.all(running)) {
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }
  const seconds = (performance.now() - began) / 1000;
  const memory = commands.map((_, i) =>
    Number(Deno.readTextFileSync(`${scratch}/time${i}`)) / 1024
  );
  return { seconds, memory };
}

function cifra(command: string): string[] {
  return [Deno.execPath(), "run", "--allow-all", "--v8-flags=--initial-old-space-size=64"]
    .concat([`${ROOT}main.ts`, command]);
}

const homes = [await makeHome(), await makeHome()];
const env = (home: string) => ({
  HOME: home,
  XDG_STATE_HOME: "",
  XDG_CONFIG_HOME: "/nowhere",
  DENO_DIR: denoDir,
});
const [listen, ...rest] = cifra("serve").concat(["--json", "--port", "0"]);
const server = new Deno.Command(listen!, {
  args: rest,
  env: env(homes[0]!),
  stdin: "null",
  stdout: "piped",
  stderr: "null",
}).spawn();
const lines = server.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
const { port } = JSON.parse((await lines.next()).value!.split("\n")[0]!);
const drained = (async () => {
  while (!(await lines.next()).done);
})();
const sshd = await startSshd();

const where = ["--server", `127.0.0.1:${port}`, "--accept-new"];
const ways: Readonly<Record<string, (path: string) => Promise<Run>>> = {
  cifra: (path) =>
    timed([
      [...cifra("send"), path, "--name", "alice", "--to", "bob", ...where],
      [...cifra("receive"), "--name", "bob", "--from", "alice", "--into", target, ...where],
    ], env(homes[1]!)),
  "scp -r, and sync": (path) =>
    timed([[
      "bash",
      "-c",
      `scp -r ${sshd.options.join(" ")} -P ${sshd.port} ${path} 127.0.0.1:${target}/ && ` +
      `sync -f ${target}`,
    ]]),
};

try {
  await Deno.mkdir(source);
  await Deno.mkdir(`${source}/many`);
  const large = await Deno.create(`${source}/large`);
  const piece = crypto.getRandomValues(new Uint8Array(65_536));
  for (let done = 0; done < mib * 2 ** 20; done += piece.length) {
    piece[0]!++;
    large.writeSync(piece);
  }
  large.close();
  for (let i = 0; i < files; i++) {
    Deno.writeFileSync(`${source}/many/${i}`, piece.subarray(0, 1024));
  }
  const kinds = [
    ["large", `${mib} MiB in one file, MB/s`, mib * 2 ** 20 / 1e6],
    ["many", `${files} files of 1 KiB, a second`, files],
  ] as const;
  for (const [name, what, amount] of kinds) {
    const runs = new Map(Object.keys(ways).map((way): [string, Run[]] => [way, []]));
    for (let round = -1; round < rounds; round++) {
      for (const [way, run] of Object.entries(ways)) {
        await Deno.mkdir(target);
        const done = await run(`${source}/${name}`);
        const { success } = await new Deno.Command("diff", {
          args: ["-r", `${source}/${name}`, `${target}/${name}`],
        }).output();
        if (!success) throw new Error(`${way}: something else has come`);
        await Deno.remove(target, { recursive: true });
        // The first fills caches, and makes keys.
        if (round >= 0) runs.get(way)!.push(done);
      }
    }
    for (const [way, mine] of runs) {
      const rates = mine.map(({ seconds }) => amount / seconds);
      const memory = mine[0]!.memory.map((_, i) => median(mine.map(({ memory }) => memory[i]!)));
      report(
        `${what}: ${way}`,
        `${median(rates).toFixed(0)} [${Math.min(...rates).toFixed(0)}..` +
          `${Math.max(...rates).toFixed(0)}]; ${
            memory.map((each) => each.toFixed(0)).join(", ")
          } MiB`,
      );
    }
  }
} finally {
  server.kill("SIGTERM");
  await Promise.all([server.status, drained]);
  await sshd.stop();
  for (const folder of [...homes, scratch]) await Deno.remove(folder, { recursive: true });
}
