import { connect as connectSocket } from "node:net";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { ACCEPT_PAUSE } from "../../lib/limits.ts";
import { dial } from "../../lib/net/dial.ts";
import { Listener } from "../../lib/net/listener.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";

const HOST = "127.0.0.1";

for (const hosts of [["0.0.0.0", "::"], ["::", "0.0.0.0"]]) {
  Deno.test(`Listener.open() on ${hosts.join(" and ")} takes IPv4 and IPv6, each as what it is`, async () => {
    const listener = Listener.open(hosts, 0);
    const remotes: string[] = [];
    const both = Promise.withResolvers<void>();
    const accepting = listener.acceptAll((transport) => {
      remotes.push(transport.remote.host);
      transport.close();
      if (remotes.length === 2) both.resolve();
    });
    for (const host of ["127.0.0.1", "::1"]) {
      (await dial(host, listener.port)).close();
    }
    await both.promise;
    assertEquals(remotes.sort(), ["127.0.0.1", "::1"]);
    // Another program's port is in use for both, whichever of them it has.
    for (const hostname of ["0.0.0.0", "::"]) {
      using other = Deno.listen({ hostname, port: 0 });
      const error = assertThrows(() => Listener.open(hosts, other.addr.port), CifraError);
      assertEquals(error.code, "local");
    }
    listener.close();
    await accepting;
  });
}

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

Deno.test("acceptAll() passes over a caller who has hung up, without a pause", async () => {
  const listener = Listener.open([HOST], 0);
  const gone = connectSocket({ host: HOST, port: listener.port });
  await new Promise((resolve) => gone.once("connect", resolve));
  const closed = new Promise((resolve) => gone.once("close", resolve));
  gone.resetAndDestroy();
  await closed;
  const ours = await dial(HOST, listener.port);
  const troubles: Error[] = [];
  const { promise: arrived, resolve } = Promise.withResolvers<TcpTransport>();
  const accepting = listener.acceptAll(resolve, (error) => troubles.push(error));
  const theirs = await arrived;
  assertEquals(theirs.remote.port, ours.local.port);
  assertEquals(troubles, []);
  ours.close();
  theirs.close();
  listener.close();
  await accepting;
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
