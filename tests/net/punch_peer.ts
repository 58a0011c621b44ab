/**
 * One of two programs behind routers that want to meet. Arguments: the server's address and port, our
 * send port, the deadline of one dial, and the longest pause between two. Tells in lines of JSON; the
 * first line of stdin is where the other is.
 */
import { dialFrom } from "../../lib/net/dial.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";

const [host, port, sendPort, deadline, pause] = Deno.args;
const never = new AbortController().signal;

async function readLine(transport: Pick<TcpTransport, "read">): Promise<string> {
  const bytes = [];
  const buffer = new Uint8Array(1);
  while (await transport.read(buffer) && buffer[0] !== 10) bytes.push(buffer[0]!);
  return new TextDecoder().decode(new Uint8Array(bytes));
}

async function writeLine(transport: TcpTransport, line: string): Promise<void> {
  await transport.write(new TextEncoder().encode(`${line}\n`));
}

function tell(event: string, more: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify({ event, ...more }));
}

const server = await dialFrom(Number(sendPort), { host: host!, port: Number(port) }, never);
tell("observed", JSON.parse(await readLine(server)));
const remote = JSON.parse(await readLine({ read: (buffer) => Deno.stdin.read(buffer) }));
const failures: string[] = [];
const start = performance.now();
for (let peer: TcpTransport | undefined; !peer;) {
  try {
    peer = await dialFrom(Number(sendPort), remote, never, Number(deadline));
    tell("open", { milliseconds: performance.now() - start, failures });
    await writeLine(peer, `from ${sendPort}`);
    tell("heard", { line: await readLine(peer) });
  } catch (error) {
    const { message } = error as Error;
    failures.push(message);
    tell("failed", { message });
    // By chance, so that the two do not miss each other every time in the same way.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * Number(pause)));
  }
}
