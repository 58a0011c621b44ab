/** One channel between two processes: a long stream, many small messages, round trips. */
import { ITEM_BODY_LIMIT } from "../../lib/limits.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { connect, newcomer, report, residentMemory, start } from "./bench.ts";

const STREAM = 2 ** 30;
const SMALL = 64;
const SMALL_COUNT = 1_000_000;
const ROUND_TRIPS = 20_000;

const peer = await start("tests/bench/channel_peer.ts", []);
const channel = await connect(await newcomer("modern"), peer.hello.port);

/** Sends a request and waits for its answer: everything before it has arrived. */
async function roundTrip(): Promise<void> {
  channel.send(ItemType.request, new Uint8Array(SMALL));
  if (await channel.receive() === null) throw channel.failure;
}

try {
  const piece = new Uint8Array(ITEM_BODY_LIMIT);
  let highest = 0;
  for (const round of ["warm-up", "measured"]) {
    const total = round === "measured" ? STREAM : STREAM / 8;
    const began = performance.now();
    for (let sent = 0, n = 0; sent < total; sent += piece.length, n++) {
      channel.send(ItemType.message, piece);
      await channel.ready();
      if (n % 1000 === 0) highest = Math.max(highest, await residentMemory(peer.process.pid));
    }
    await roundTrip();
    const seconds = (performance.now() - began) / 1000;
    if (round === "measured") {
      report("one channel, 1 GiB stream", `${(total / 1e6 / seconds).toFixed(0)} MB/s`);
      report("  receiver's resident memory, highest", `${(highest / 1024).toFixed(0)} MiB`);
      const own = await residentMemory(Deno.pid);
      report("  sender's resident memory, at the end", `${(own / 1024).toFixed(0)} MiB`);
    }
  }

  const small = new Uint8Array(SMALL);
  let began = performance.now();
  for (let n = 0; n < SMALL_COUNT; n++) {
    channel.send(ItemType.message, small);
    if (channel.queuedLength > 256 * 1024) await channel.ready();
  }
  await roundTrip();
  let seconds = (performance.now() - began) / 1000;
  report("64-byte messages, one way", `${(SMALL_COUNT / seconds).toFixed(0)}/s`);

  for (let n = 0; n < 2000; n++) await roundTrip();
  began = performance.now();
  for (let n = 0; n < ROUND_TRIPS; n++) await roundTrip();
  seconds = (performance.now() - began) / 1000;
  report("round trips", `${(ROUND_TRIPS / seconds).toFixed(0)}/s`);
  await channel.close(CloseCode.done);
  channel.destroy();
} finally {
  await peer.stop();
}
