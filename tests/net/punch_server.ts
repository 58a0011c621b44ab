/** A server that tells everybody the endpoint from which it sees them, and keeps the connection. */
import { Listener } from "../../lib/net/listener.ts";

const listener = Listener.open(["0.0.0.0"], 0);
console.log(JSON.stringify({ event: "listening", port: listener.port }));
await listener.acceptAll((transport) => {
  transport.write(new TextEncoder().encode(`${JSON.stringify(transport.remote)}\n`));
});
