import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Bytes, writeAll } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import { dial, dialFrom, findFreePort } from "../../lib/net/dial.ts";
import { READ_BUFFER_MAXIMUM } from "../../lib/limits.ts";
import { Listener } from "../../lib/net/listener.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import { turn } from "../testkit/turn.ts";

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

  Deno.test(`${name} gives a transport that neither reads nor writes nor hangs after close()`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    // What has arrived and was not read is gone as well.
    await writeAll(theirs, new Uint8Array(100));
    await ours.read(new Uint8Array(10));
    ours.close();
    await assertRejects(() => ours.read(new Uint8Array(10)));
    await assertRejects(() => ours.write(new Uint8Array(10)));
    await ours.closeWrite();
    theirs.close();
    await server.close();
  });

  Deno.test(`${name} gives a transport that close() ends amid several writes and closeWrite()`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    // More than the system takes, to somebody who does not read.
    const outcomes = [0, 1, 2].map(() =>
      writeAll(ours, new Uint8Array(8 * 1024 * 1024)).then(() => "done", () => "failed")
    );
    const ending = ours.closeWrite();
    ours.close();
    assertEquals(await Promise.all(outcomes), ["failed", "failed", "failed"]);
    await ending;
    theirs.close();
    await server.close();
  });

  Deno.test(`${name} gives a transport whose write fails once the other side has reset it`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    // Closing with something unread is a reset.
    await writeAll(ours, new Uint8Array(1000));
    await theirs.read(new Uint8Array(1));
    theirs.close();
    await assertRejects(async () => {
      for (;;) await writeAll(ours, new Uint8Array(1000));
    });
    await assertRejects(() => ours.write(new Uint8Array(1)));
    await ours.closeWrite();
    ours.close();
    await server.close();
  });

  Deno.test(`${name} gives a transport that keeps what has arrived until it is read, however slowly`, async () => {
    const server = listen();
    const ours = await connect(server.port);
    const theirs = await server.next();
    const data = Uint8Array.from({ length: 3_000_000 }, (_, i) => i % 251 ^ i >> 8);
    const writing = writeAll(theirs, data).then(() => theirs.closeWrite());
    const read = new Uint8Array(data.length);
    const buffer = new Uint8Array(READ_BUFFER_MAXIMUM);
    for (let at = 0, n = 0;; n++) {
      // What comes meanwhile must wait, also when a part of the buffer is free by now.
      for (let turns = 0; turns < n % 5; turns++) await turn();
      const count = await ours.read(buffer.subarray(0, 1 + n * 7919 % buffer.length));
      if (count === null) break;
      read.set(buffer.subarray(0, count), at);
      at += count;
    }
    await writing;
    assert(read.every((byte, i) => byte === data[i]), "other bytes were read");
    ours.close();
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

Deno.test("dialFrom() reaches several places from one port at once", async () => {
  const [first, second] = [listen(), listen()];
  const port = findFreePort(HOST);
  const there = [];
  for (const server of [first, second]) {
    const ours = await dialFrom(port, { host: HOST, port: server.port }, NEVER);
    const theirs = await server.next();
    assertEquals(theirs.remote.port, port);
    there.push(ours, theirs);
  }
  for (const transport of there) transport.close();
  await first.close();
  await second.close();
});

Deno.test("dialFrom() tells that its port is in use, in words and by the cause", async () => {
  const server = listen();
  const port = findFreePort(HOST);
  const first = await dialFrom(port, { host: HOST, port: server.port }, NEVER);
  const theirs = await server.next();
  const again = () => dialFrom(port, { host: HOST, port: server.port }, NEVER);
  const error = await assertRejects(again, CifraError);
  assertEquals(error.code, "unreachable");
  assert(error.message.endsWith("the port to dial from is in use"), error.message);
  assertMatch(String(error.cause), /EADDRINUSE|EADDRNOTAVAIL|EINVAL/);
  first.close();
  theirs.close();
  await server.close();
});

Deno.test("dialFrom() gives up at once between two tries from a port that is in use", async () => {
  const server = listen();
  const port = findFreePort(HOST);
  const first = await dialFrom(port, { host: HOST, port: server.port }, NEVER);
  const theirs = await server.next();
  const { setTimeout } = globalThis;
  const giveUp = new AbortController();
  // The pause, the only timer this short, never comes to its end.
  globalThis.setTimeout = ((action: () => void, milliseconds: number) => {
    if (milliseconds >= 1000) return setTimeout(action, milliseconds);
    queueMicrotask(() => giveUp.abort());
    return setTimeout(action, 1_000_000);
  }) as typeof setTimeout;
  try {
    const error = await assertRejects(
      () => dialFrom(port, { host: HOST, port: server.port }, giveUp.signal),
      CifraError,
    );
    assert(error.message.endsWith("given up"), error.message);
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  first.close();
  theirs.close();
  await server.close();
});

/** A port that answers nobody: its queue of connections that nobody takes is full. */
async function openSilentPort() {
  const listener = Deno.listen({ hostname: HOST, port: 0, tcpBacklog: 1 });
  const { port } = listener.addr;
  const queued = [await dial(HOST, port), await dial(HOST, port)];
  return {
    remote: { host: HOST, port },
    close() {
      for (const transport of queued) transport.close();
      listener.close();
    },
  };
}

Deno.test({
  name: "dialFrom() gives up at its deadline, or at once when it is told to",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const silent = await openSilentPort();
    const giveUp = new AbortController();
    for (const deadline of [10, undefined]) {
      const dialling = dialFrom(findFreePort(HOST), silent.remote, giveUp.signal, deadline);
      const failing = assertRejects(() => dialling, CifraError);
      if (deadline === undefined) giveUp.abort();
      const error = await failing;
      assertEquals(error.code, "unreachable");
      assert(error.message.endsWith(deadline ? "no answer" : "given up"), error.message);
    }
    silent.close();
  },
});

const DIALLER = `
import { dialFrom } from ${JSON.stringify(new URL("../../lib/net/dial.ts", import.meta.url).href)};
const [host, port, localPort] = Deno.args;
try {
  const never = new AbortController().signal;
  await dialFrom(Number(localPort), { host, port: Number(port) }, never);
} catch (error) {
  console.log(error.name, error.code);
}`;

for (const [host, any] of [["127.0.0.1", "0.0.0.0"], ["::1", "[::]"]] as const) {
  Deno.test(`dialFrom() fails as it says, and nothing else does, when not allowed to dial ${host}`, async () => {
    const port = findFreePort(HOST);
    const remote = host.includes(":") ? `[${host}]` : host;
    for (const allowed of [`${remote}:9`, `${any}:${port}`, `${any}:${port},${remote}:10`]) {
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--quiet",
          "--no-prompt",
          `--allow-net=${allowed}`,
          "-",
          host,
          "9",
          `${port}`,
        ],
        cwd: new URL("../../", import.meta.url),
        env: { NO_COLOR: "1" },
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(DIALLER));
      await writer.close();
      const { stdout, stderr } = await child.output();
      const decoder = new TextDecoder();
      assertEquals(
        [decoder.decode(stdout), decoder.decode(stderr)],
        ["CifraError unreachable\n", ""],
        allowed,
      );
    }
  });
}

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
