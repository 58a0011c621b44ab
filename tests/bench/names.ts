/** A server that knows a hundred thousand names: how large its memory is, and how long it takes to start. */
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteServerStore } from "../../lib/store/sqlite_server.ts";
import { nameOf, writeManyNames } from "../store/many_names.ts";
import { keyOf } from "../store/server_samples.ts";
import { median, report, residentMemory, start } from "./bench.ts";

const NAMES = 100_000;
const STARTS = 5;
const CHANGES = 2000;
const LOOKUPS = 20_000;

const state = await Deno.makeTempDir();
await Deno.chmod(state, 0o700);
const folder = await (await PrivateFolder.open(state)).folder("server");

/** From the start of the process until it listens: the median, and the memory that it has then. */
async function measureStart(what: string): Promise<void> {
  const times: number[] = [], sizes: number[] = [];
  for (let n = 0; n < STARTS; n++) {
    const begin = performance.now();
    const args = ["serve", "--json", "--port", "0", "--state", state];
    const server = await start("main.ts", args, ["--v8-flags=--optimize-for-size"]);
    times.push(performance.now() - begin);
    sizes.push(await residentMemory(server.process.pid));
    await server.stop();
  }
  const [time, mebibytes] = [median(times), median(sizes) / 1024];
  report(`start of a server with ${what}`, `${time.toFixed(0)} ms, ${mebibytes.toFixed(0)} MiB`);
}

try {
  // The first makes the server's keys.
  await (await start("main.ts", ["serve", "--json", "--port", "0", "--state", state])).stop();
  await measureStart("no names");
  await writeManyNames(folder.path, NAMES);
  const { size } = await Deno.stat(`${folder.path}/server.db`);
  report(
    `database with ${NAMES} names, an account for every tenth`,
    `${(size / 2 ** 20).toFixed(1)} MiB, ${(size / NAMES).toFixed(0)} bytes a name`,
  );
  await measureStart(`${NAMES} names`);

  const store = await SqliteServerStore.open(folder);
  let begin = performance.now();
  for (let n = 0; n < LOOKUPS; n++) store.keysOf(nameOf(n * 4));
  const lookup = (performance.now() - begin) / LOOKUPS * 1000;
  begin = performance.now();
  for (let n = 0; n < CHANGES; n++) store.putKey(keyOf(`new${n}`));
  const change = (performance.now() - begin) / CHANGES * 1000;
  store.close();
  report(
    "  a name looked up, a new one on disk",
    `${lookup.toFixed(0)} us, ${change.toFixed(0)} us`,
  );
} finally {
  await Deno.remove(state, { recursive: true });
}
