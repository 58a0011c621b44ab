import { connect } from "node:net";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { type Direction, Proxy, type ProxyOptions } from "./proxy.ts";

const HOST = "127.0.0.1";

/** A target, a proxy before it, and connections through it. */
class Stage {
  readonly proxy: Proxy;
  readonly #listener: Deno.TcpListener;
  readonly #conns: Deno.TcpConn[] = [];

  private constructor(proxy: Proxy, listener: Deno.TcpListener) {
    this.proxy = proxy;
    this.#listener = listener;
  }

  static async open(options?: ProxyOptions): Promise<Stage> {
    const listener = Deno.listen({ hostname: HOST, port: 0 });
    const proxy = await Proxy.open({ host: HOST, port: listener.addr.port }, options);
    return new Stage(proxy, listener);
  }

  /** Dials the proxy. */
  async dial(): Promise<Deno.TcpConn> {
    return this.keep(await Deno.connect({ hostname: HOST, port: this.proxy.port }));
  }

  /** The next one who has come to the target. */
  async arrival(): Promise<Deno.TcpConn> {
    return this.keep(await this.#listener.accept());
  }

  /** Both ends of a connection through the proxy. */
  async pair(): Promise<readonly [Deno.TcpConn, Deno.TcpConn]> {
    return await Promise.all([this.dial(), this.arrival()]);
  }

  keep(conn: Deno.TcpConn): Deno.TcpConn {
    this.#conns.push(conn);
    return conn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const conn of this.#conns) conn.close();
    this.#listener.close();
    await this.proxy[Symbol.asyncDispose]();
  }
}

async function send(conn: Deno.TcpConn, bytes: Bytes): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
}

/** So many bytes, or fewer if they end; a reset is told after what came before it. */
async function receive(
  conn: Deno.TcpConn,
  count = Infinity,
): Promise<{ bytes: Bytes; how: string }> {
  const got: number[] = [];
  const buffer = new Uint8Array(65_536);
  try {
    while (got.length < count) {
      const length = await conn.read(
        buffer.subarray(0, Math.min(buffer.length, count - got.length)),
      );
      if (length === null) return { bytes: new Uint8Array(got), how: "fin" };
      for (const byte of buffer.subarray(0, length)) got.push(byte);
    }
    return { bytes: new Uint8Array(got), how: "open" };
  } catch (error) {
    return { bytes: new Uint8Array(got), ...resetOrThrow(error) };
  }
}

function resetOrThrow(error: unknown): { how: string } {
  if (error instanceof Deno.errors.ConnectionReset) return { how: "rst" };
  throw error;
}

function numbers(length: number): Bytes {
  return Uint8Array.from({ length }, (_, i) => i % 251);
}

/** The sender and the receiver of a direction. */
function ends(direction: Direction, [client, server]: readonly [Deno.TcpConn, Deno.TcpConn]) {
  return direction === "toTarget" ? [client, server] as const : [server, client] as const;
}

const DIRECTIONS: readonly Direction[] = ["toTarget", "toClient"];

Deno.test("a proxy carries bytes both ways, counts them, and ends each way by itself", async () => {
  await using stage = await Stage.open();
  const [client, server] = await stage.pair();
  await send(client, numbers(100_000));
  await client.closeWrite();
  assertEquals(await receive(server), { bytes: numbers(100_000), how: "fin" });
  await send(server, numbers(200_000));
  await server.closeWrite();
  assertEquals(await receive(client), { bytes: numbers(200_000), how: "fin" });
  const connection = stage.proxy.connections[0]!;
  assertEquals([connection.count("toTarget"), connection.count("toClient")], [100_000, 200_000]);
  await connection.ended;
});

Deno.test("a proxy passes a reset on", async () => {
  await using stage = await Stage.open();
  const client = connect({ host: HOST, port: stage.proxy.port });
  const server = await stage.arrival();
  const connection = await stage.proxy.connection(0);
  client.resetAndDestroy();
  assertEquals((await receive(server)).how, "rst");
  await connection.ended;
});

for (const direction of DIRECTIONS) {
  for (const how of ["fin", "rst"] as const) {
    Deno.test(`cutAfter() ends ${direction} at the exact byte by ${how}, on both sides`, async () => {
      for (const count of [0, 1, 70_000]) {
        await using stage = await Stage.open({
          plan: (connection) => connection.cutAfter(direction, count, how),
        });
        const dialling = stage.dial();
        if (count === 0) {
          // Who is reset at once may hear of it from the dial itself, and the target of nothing.
          const ending = dialling.then((conn) => receive(conn), resetOrThrow);
          assertEquals((await ending).how, how);
        } else {
          const [sender, receiver] = ends(direction, [await dialling, await stage.arrival()]);
          const sending = send(sender, numbers(100_000)).catch(() => {});
          assertEquals(await receive(receiver), { bytes: numbers(count), how });
          await sending;
          assertEquals((await receive(sender)).how, how);
        }
        assertEquals((await stage.proxy.connection(0)).count(direction), count);
      }
    });
  }

  Deno.test(`delay() holds ${direction} back, keeps the order, and does not make it slower`, async () => {
    await using stage = await Stage.open({
      plan: (connection) => connection.delay(direction, 100),
    });
    const [sender, receiver] = ends(direction, await stage.pair());
    const start = performance.now();
    const [{ bytes }] = await Promise.all([
      receive(receiver, 1_000_000),
      send(sender, numbers(1_000_000)),
    ]);
    // What is too early is a fault of the proxy, what is late may be one of the machine.
    assert(performance.now() - start >= 100);
    assertEquals(bytes, numbers(1_000_000));
    assert(stage.proxy.connections[0]!.peakUnderWay(direction) > 500_000);
  });

  Deno.test(`limitRate() lets ${direction} come no faster`, async () => {
    await using stage = await Stage.open({
      plan: (connection) => connection.limitRate(direction, 100_000),
    });
    const [sender, receiver] = ends(direction, await stage.pair());
    const start = performance.now();
    await send(sender, numbers(30_000));
    assertEquals((await receive(receiver, 30_000)).bytes, numbers(30_000));
    // The last step does not wait for what comes after it.
    assert(performance.now() - start >= 1000 * 28_000 / 100_000);
    stage.proxy.connections[0]!.limitRate(direction, Infinity);
    await Promise.all([send(sender, numbers(3_000_000)), receive(receiver, 3_000_000)]);
  });

  Deno.test(`stopReading() fills the window of ${direction}'s sender, and the other way goes on`, async () => {
    await using stage = await Stage.open();
    const pair = await stage.pair();
    const [sender, receiver] = ends(direction, pair);
    const connection = await stage.proxy.connection(0);
    connection.stopReading(direction);
    let finished = false;
    const length = 64 * 1024 * 1024;
    const sending = send(sender, new Uint8Array(length)).then(() => finished = true);
    await send(receiver, numbers(1000));
    assertEquals((await receive(sender, 1000)).bytes, numbers(1000));
    assertEquals([connection.count(direction), finished], [0, false]);
    connection.resumeReading(direction);
    const buffer = new Uint8Array(1024 * 1024);
    for (let got = 0; got < length;) got += (await receiver.read(buffer))!;
    await sending;
    assertEquals(connection.count(direction), length);
  });
}

Deno.test("swallow() moves nothing of connections old and new, and release() loses nothing", async () => {
  await using stage = await Stage.open();
  const [client, server] = await stage.pair();
  await send(client, numbers(10));
  await receive(server, 10);
  stage.proxy.swallow();
  await send(client, numbers(20));
  await send(server, numbers(30));
  const second = await stage.dial();
  await send(second, numbers(40));
  const third = await stage.proxy.connection(1);
  const arriving = stage.arrival();
  let moved = false;
  const reading = Promise.all([receive(client, 30), receive(server, 20), arriving])
    .finally(() => moved = true);
  // Another proxy to the same place shows that time has passed and everything else works.
  for (let round = 0; round < 20; round++) await echoThroughAnother();
  assertEquals(moved, false);
  assertEquals([stage.proxy.connections[0]!.count("toTarget"), third.count("toTarget")], [10, 0]);
  stage.proxy.release();
  const [atClient, atServer, late] = await reading;
  assertEquals([atClient.bytes, atServer.bytes], [numbers(30), numbers(20)]);
  assertEquals((await receive(late, 40)).bytes, numbers(40));
});

async function echoThroughAnother(): Promise<void> {
  await using stage = await Stage.open();
  const [client, server] = await stage.pair();
  await send(client, numbers(100));
  await send(server, (await receive(server, 100)).bytes);
  assertEquals((await receive(client, 100)).bytes, numbers(100));
}

Deno.test("hold() and release() do so to one connection alone", async () => {
  await using stage = await Stage.open();
  const [client, server] = await stage.pair();
  const [otherClient, otherServer] = await stage.pair();
  const connection = stage.proxy.connections[0]!;
  connection.hold();
  await send(client, numbers(10));
  await send(otherClient, numbers(20));
  assertEquals((await receive(otherServer, 20)).bytes, numbers(20));
  assertEquals(connection.count("toTarget"), 0);
  connection.release();
  await connection.reaches("toTarget", 10);
  assertEquals((await receive(server, 10)).bytes, numbers(10));
});

Deno.test("refuse() turns new connections away and lets the old ones be; accept() is at the same port", async () => {
  await using stage = await Stage.open();
  const [client, server] = await stage.pair();
  const { port } = stage.proxy;
  stage.proxy.refuse();
  stage.proxy.refuse();
  await assertRejects(() => stage.dial(), Deno.errors.ConnectionRefused);
  await send(client, numbers(10));
  assertEquals((await receive(server, 10)).bytes, numbers(10));
  await stage.proxy.accept();
  await stage.proxy.accept();
  assertEquals(stage.proxy.port, port);
  await stage.pair();
  assertEquals(stage.proxy.connections.length, 2);
});

Deno.test("cut() ends every connection at once", async () => {
  for (const how of ["fin", "rst"] as const) {
    await using stage = await Stage.open();
    const first = await stage.pair(), second = await stage.pair();
    stage.proxy.cut(how);
    for (const conn of [...first, ...second]) assertEquals((await receive(conn)).how, how);
  }
});

Deno.test("reaches() fails when the connection ends before", async () => {
  await using stage = await Stage.open();
  const [client] = await stage.pair();
  const connection = await stage.proxy.connection(0);
  await send(client, numbers(10));
  await connection.reaches("toTarget", 10);
  const waiting = assertRejects(() => connection.reaches("toTarget", 11), Error, "Only 10 of 11");
  await client.closeWrite();
  connection.cut("rst");
  await waiting;
});

Deno.test("replay() sends the target what a connection has sent it before", async () => {
  await using stage = await Stage.open({ record: true });
  const [client, server] = await stage.pair();
  await send(client, numbers(5000));
  await receive(server, 5000);
  await send(server, numbers(300));
  await receive(client, 300);
  const connection = stage.proxy.connections[0]!;
  assertEquals(connection.recorded("toTarget"), numbers(5000));
  assertEquals(connection.recorded("toClient"), numbers(300));
  const replayed = stage.keep(await stage.proxy.replay(connection));
  const again = await stage.arrival();
  assertEquals((await receive(again, 5000)).bytes, numbers(5000));
  await send(again, numbers(7));
  assertEquals((await receive(replayed, 7)).bytes, numbers(7));
});

Deno.test("a proxy whose target is not there resets who dials it", async () => {
  const listener = Deno.listen({ hostname: HOST, port: 0 });
  const { port } = listener.addr;
  listener.close();
  await using proxy = await Proxy.open({ host: HOST, port });
  const client = await Deno.connect({ hostname: HOST, port: proxy.port });
  assertEquals((await receive(client)).how, "rst");
  client.close();
});

Deno.test("a proxy that is disposed of amid everything leaves nothing", async () => {
  await using stage = await Stage.open({
    plan: (connection) => connection.delay("toTarget", 60_000),
  });
  const [client] = await stage.pair();
  await send(client, numbers(10));
  const second = await stage.dial();
  stage.proxy.swallow();
  await stage.dial();
  await stage.proxy.connection(2);
  await stage.proxy[Symbol.asyncDispose]();
  assertEquals([(await receive(client)).how, (await receive(second)).how], ["rst", "rst"]);
  await assertRejects(() => stage.dial(), Deno.errors.ConnectionRefused);
});
