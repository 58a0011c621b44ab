/** The other end of the channel measurements: accepts one channel after the other and does as told. */
import { startResponder } from "../../lib/handshake/responder.ts";
import { Listener } from "../../lib/net/listener.ts";
import { Channel } from "../../lib/channel/channel.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { newcomer } from "./bench.ts";
import { lineOf } from "../../lib/wire/line.ts";

const ours = await newcomer("modern");
const clock = () => performance.now();

async function serve(transport: Transport): Promise<void> {
  const connection = new Connection(transport, clock);
  const established = await runHandshake(
    connection,
    startResponder({
      mode: 1,
      context: new Uint8Array(0),
      psk: new Uint8Array(32),
      random: systemRandom,
      ours: () => ours,
      displayName: lineOf(""),
      checkInitiator: () => {},
    }),
  );
  const channel = await Channel.open(connection, established, clock);
  // A request asks for one answer, whenever it comes; messages are counted and dropped.
  for (let items = await channel.receive(); items; items = await channel.receive()) {
    for (const { type, body } of items) {
      if (type === ItemType.request) channel.send(ItemType.response, body);
    }
  }
  await channel.close(CloseCode.done);
  channel.destroy();
}

const listener = Listener.open(["127.0.0.1"], 0);
console.log(JSON.stringify({ port: listener.port }));
await listener.acceptAll((transport) => void serve(transport));
