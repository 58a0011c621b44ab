/**
 * Files from one folder to another through all that a transfer does with disks, without anything between: 10,000 files
 * of 1 KiB and one of 1 GiB, on the disk itself at the end. Beside it what `cp -r` and `sync` take for the same.
 * `deno run -A tests/bench/files_disk.ts [FOLDER]`: a folder on the disk in question, by default a temporary one.
 */
import { FILE_BENCH_PIECE, moveAll } from "./files_disk_move.ts";
import { report } from "./bench.ts";

const MIB = 2 ** 20;
const where = Deno.args[0] ?? await Deno.makeTempDir();
const from = `${where}/cifra-bench-from`;
const to = `${where}/cifra-bench-to`;

async function run(command: string, ...args: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(command, { args: [...args], stdin: "null" }).output();
  if (!success) throw new Error(`${command} failed`);
}

/** Seconds that `job` takes, everything written before being on the disk. */
async function seconds(job: () => Promise<unknown>): Promise<number> {
  await run("sync");
  const start = performance.now();
  await job();
  return (performance.now() - start) / 1000;
}

async function fresh(): Promise<void> {
  for (const path of [from, to]) {
    await Deno.remove(path, { recursive: true }).catch(() => {});
    await Deno.mkdir(path);
  }
}

async function emptied(): Promise<void> {
  await Deno.remove(to, { recursive: true });
  await Deno.mkdir(to);
}

async function byCopy(): Promise<number> {
  await emptied();
  return await seconds(async () => {
    await run("cp", "-r", from, `${to}/copy`);
    await run("sync", "-f", to);
  });
}

async function byTransfer(): Promise<number> {
  await emptied();
  return await seconds(() => moveAll(from, to));
}

try {
  await fresh();
  const small = new Uint8Array(1024).fill(7);
  for (let i = 0; i < 10_000; i++) Deno.writeFileSync(`${from}/${i}`, small);
  for (let round = 1; round <= 3; round++) {
    const ours = await byTransfer();
    const copy = await byCopy();
    report(
      `10,000 files of 1 KiB, durable, round ${round}`,
      `${(10_000 / ours).toFixed(0)} files/s; cp -r and sync ${(10_000 / copy).toFixed(0)}`,
    );
  }
  await fresh();
  using file = await Deno.open(`${from}/large`, { write: true, create: true });
  const part = crypto.getRandomValues(new Uint8Array(65_536));
  for (let i = 0; i < 1024 * MIB / part.length; i++) file.writeSync(part);
  for (let round = 1; round <= 3; round++) {
    const ours = await byTransfer();
    const copy = await byCopy();
    const rate = (taken: number) => (1024 * MIB / 1e6 / taken).toFixed(0);
    report(
      `1 GiB in pieces of ${FILE_BENCH_PIECE} bytes, durable, round ${round}`,
      `${rate(ours)} MB/s; cp -r and sync ${rate(copy)}`,
    );
  }
} finally {
  for (const path of [from, to]) await Deno.remove(path, { recursive: true }).catch(() => {});
  if (Deno.args.length === 0) await Deno.remove(where);
}
