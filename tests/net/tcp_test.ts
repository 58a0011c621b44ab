import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import { ACCEPT_PAUSE } from "../../lib/limits.ts";
import { dial, dialFrom, findFreePort, Listener, type TcpTransport } from "../../lib/net/tcp.ts";
import type { Transport } from "../../lib/session/transport.ts";

const HOST = "127.0.0.1";
const NEVER = new AbortController().signal;

/** A listener that hands its connections out one by one. */
function listen() {
  const listener = Listener.open([HOST], 0);
  const arrived: TcpTransport[] = [];
  let wake = Promise.withResolvers<void>();
  const accepting = listener.acceptAll((transport) => {
    arrived.push(transport);
    wake.resolve();
  });
  return {
    port: listener.port,
    async next(): Promise<TcpTransport> {
      while (arrived.length === 0) {
        await wake.promise;
        wake = Promise.withResolvers();
      }
      return arrived.shift()!;
    },
    async close() {
      listener.close();
      await accepting;
    },
  };
}

async function readAll(transport: Transport): Promise<Bytes> {
  const buffer = new Uint8Array(1000);
  const bytes: number[] = [];
  for (let n = await transport.read(buffer); n !== null; n = await transport.read(buffer)) {
    bytes.push(...buffer.subarray(0, n));
  }
  return new Uint8Array(bytes);
}

async function writeAll(transport: Transport, data: Bytes): Promise<void> {
  for (let offset = 0; offset < data.length;) {
    offset += await transport.write(data.subarray(offset));
  }
}

const dialled: Readonly<Record<string, (port: number) => Promise<TcpTransport>>> = {
  "dial()": (port) => dial(HOST, port),
  "dialFrom()": (port) => dialFrom(findFreePort(HOST), { host: HOST, port }, NEVER),
};

for (const [name, connect] of Object.entries(dialled)) {
  Deno.test(`${name} gives a transport that carries bytes both ways and ends each by itself`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    const data = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
    const [atTheirs] = await Promise.all([
      readAll(theirs),
      writeAll(ours, data).then(() => ours.closeWrite()),
    ]);
    assertEquals(atTheirs, data);
    // Ours has ended; theirs still speaks.
    const [atOurs] = await Promise.all([
      readAll(ours),
      writeAll(theirs, data).then(() => theirs.closeWrite()),
    ]);
    assertEquals(atOurs, data);
    ours.close();
    theirs.close();
    theirs.close();
    ours.close();
    await server.close();
  });

  Deno.test(`${name} gives a transport whose pending read and write end when it is closed`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    const outcome = (promise: Promise<unknown>) => promise.then(() => "done", () => "failed");
    const reading = outcome(ours.read(new Uint8Array(10)));
    const flood = outcome((async () => {
      const data = new Uint8Array(4 * 1024 * 1024);
      for (;;) await writeAll(ours, data);
    })());
    await theirs.read(new Uint8Array(10));
    ours.close();
    assertEquals([await reading, await flood], ["failed", "failed"]);
    theirs.close();
    await server.close();
  });

  Deno.test(`${name} gives a transport that knows both its ends`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    assertEquals(ours.remote, { host: HOST, port: server.port });
    assertEquals(theirs.remote.port, ours.local.port);
    ours.close();
    theirs.close();
    await server.close();
  });

  Deno.test(`${name} says unreachable when nobody listens`, async () => {
    const port = findFreePort(HOST);
    const error = await assertRejects(() => connect(port), CifraError);
    assertEquals(error.code, "unreachable");
    assert(error.message.includes("nobody listens there"), error.message);
  });
}

Deno.test("a transport's read takes what fits and keeps the rest", async () => {
  const server = listen();
  const ours = await dialFrom(findFreePort(HOST), { host: HOST, port: server.port }, NEVER);
  const theirs = await server.next();
  await writeAll(theirs, new Uint8Array([1, 2, 3, 4, 5]));
  const got: number[] = [];
  while (got.length < 5) {
    const buffer = new Uint8Array(2);
    const count = await ours.read(buffer);
    got.push(...buffer.subarray(0, count!));
  }
  assertEquals(got, [1, 2, 3, 4, 5]);
  ours.close();
  theirs.close();
  await server.close();
});

Deno.test("dialFrom() comes from the port it was given", async () => {
  const server = listen();
  const port = findFreePort(HOST);
  const ours = await dialFrom(port, { host: HOST, port: server.port }, NEVER);
  const theirs = await server.next();
  assertEquals(theirs.remote.port, port);
  ours.close();
  theirs.close();
  await server.close();
});

Deno.test("dialFrom() does not dial when it was told to give up", async () => {
  const early = AbortSignal.abort();
  const error = await assertRejects(
    () => dialFrom(findFreePort(HOST), { host: HOST, port: 9 }, early),
    CifraError,
  );
  assertEquals(error.code, "unreachable");
});

Deno.test("dial() gives up when its deadline has passed", async () => {
  const { connect } = Deno;
  const late = Promise.withResolvers<Deno.TcpConn>();
  const replace = (value: unknown) =>
    Object.defineProperty(Deno, "connect", { configurable: true, writable: true, value });
  replace(() => late.promise);
  try {
    const error = await assertRejects(() => dial("203.0.113.1", 9, 5), CifraError);
    assertEquals(error.code, "unreachable");
    assert(error.message.includes("no answer"));
  } finally {
    replace(connect);
  }
  // One that comes after all is let go.
  let closed = false;
  late.resolve({ close: () => void (closed = true) } as Deno.TcpConn);
  await late.promise;
  await Promise.resolve();
  assert(closed);
});

Deno.test("Listener.open() listens on all its hosts on one port, and leaves out a missing one", async () => {
  const both = Listener.open([HOST, "::1"], 0);
  assert(both.endpoints.length >= 1);
  assertEquals(new Set(both.endpoints.map(({ port }) => port)), new Set([both.port]));
  both.close();
  both.close();
  const one = Listener.open(["203.0.113.77", HOST], 0);
  assertEquals(one.endpoints.map(({ host }) => host), [HOST]);
  one.close();
  await Promise.resolve();
});

Deno.test("Listener.open() says local for a port in use and for addresses that are not ours", () => {
  const first = Listener.open([HOST], 0);
  const taken = assertThrows(() => Listener.open([HOST], first.port), CifraError);
  assertEquals(taken.code, "local");
  assert(taken.hint?.includes("--port"));
  for (const hosts of [["203.0.113.77"], ["203.0.113.77", "203.0.113.78"]]) {
    assertEquals(assertThrows(() => Listener.open(hosts, 0), CifraError).code, "local");
  }
  first.close();
});

Deno.test("acceptAll() outlives running out of descriptors, tells it, and goes on after a pause", async () => {
  const { listen: original } = Deno;
  let failures = 3;
  const replace = (value: unknown) =>
    Object.defineProperty(Deno, "listen", { configurable: true, writable: true, value });
  replace((options: Deno.TcpListenOptions) => {
    const listener = original(options);
    const accept = listener.accept.bind(listener);
    listener.accept = () =>
      failures-- > 0 ? Promise.reject(new Error("Too many open files (os error 24)")) : accept();
    return listener;
  });
  const troubles: string[] = [];
  let listener: Listener;
  try {
    listener = Listener.open([HOST], 0);
  } finally {
    replace(original);
  }
  const { promise: arrived, resolve } = Promise.withResolvers<TcpTransport>();
  const start = performance.now();
  const accepting = listener.acceptAll(resolve, (error) => troubles.push(error.message));
  const ours = await dial(HOST, listener.port);
  const theirs = await arrived;
  assertEquals(troubles.length, 3);
  assert(performance.now() - start >= 3 * ACCEPT_PAUSE - 10);
  ours.close();
  theirs.close();
  listener.close();
  await accepting;
});
