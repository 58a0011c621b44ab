/** What a waiting client costs the server: resident memory with thousands of them, and without. */
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { encodeServerRequest } from "../../lib/wire/rendezvous_messages.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { registrationOf, signed } from "../testkit/server.ts";
import { connect, newcomer, report, residentMemory, startServer } from "./bench.ts";

const WAITING = 5000;
const CROWD = 1000;
const AT_ONCE = 16;
/** Heartbeats begin after 20 s and take turns: by then one round is over, and so is the clearing up. */
const SETTLING = 35_000;

const settle = () => new Promise((resolve) => setTimeout(resolve, SETTLING));

const server = await startServer();
const channels: Channel[] = [];

async function wait(number: number): Promise<void> {
  const ours = await newcomer("modern");
  const wish = registrationOf(`waiter${number}`);
  const channel = await connect(ours, server.hello.port);
  channel.send(
    ItemType.request,
    encodeServerRequest({ type: "register", ...await signed(ours, wish) }),
  );
  if (await channel.receive() === null) throw channel.failure;
  channels.push(channel);
}

async function fill(from: number, to: number): Promise<void> {
  let next = from;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < to) await wait(next++);
  }));
}

try {
  const fresh = await residentMemory(server.process.pid);
  // A crowd that comes and goes warms the server up: what the runtime keeps for work of this kind,
  // however many wait, it has by then.
  await fill(0, CROWD);
  for (const channel of channels.splice(0)) {
    await channel.close(CloseCode.done);
    channel.destroy();
  }
  await settle();
  const before = await residentMemory(server.process.pid);
  await fill(0, WAITING);
  await settle();
  const after = await residentMemory(server.process.pid);
  report(
    `server memory for each of ${WAITING} waiting clients`,
    `${((after - before) / WAITING).toFixed(1)} KiB`,
  );
  const mebibytes = [fresh, before, after].map((kib) => (kib / 1024).toFixed(0));
  report(
    "  the server just started, after a crowd, with all of them",
    `${mebibytes.join(", ")} MiB`,
  );
  for (const channel of channels) {
    channel.close(CloseCode.done);
    channel.destroy();
  }
} finally {
  await server.stop();
}
