/**
 * Alice and bob on this machine, with a proxy in every way between them and to their server. The server
 * sees each at a loopback address of their own, gives it to the other, and there a proxy listens. Takes
 * a system where all of 127.0.0.0/8 is this machine.
 */
import { type Ending, Proxy, type ProxyConnection, type ProxyOptions } from "./proxy.ts";

export type Name = "alice" | "bob";

const LOCALHOST = "127.0.0.1";
const SEEN_AT = { alice: "127.0.0.2", bob: "127.0.0.3" } as const;

/** Whether this machine can do it: macOS has one loopback address alone. */
export const hasLoopbackNet = Deno.build.os !== "darwin";

/** The proxies of one pair. */
export class Between {
  /** In front of the server, as alice and as bob reach it. */
  readonly servers: Readonly<Record<Name, Proxy>>;
  /** In front of the receive ports of alice and of bob. */
  readonly people: Readonly<Record<Name, Proxy>>;

  private constructor(servers: Record<Name, Proxy>, people: Record<Name, Proxy>) {
    this.servers = servers;
    this.people = people;
  }

  /** Goes between two people and the server at this port of 127.0.0.1; `plan` is for the former two. */
  static async open(serverPort: number, plan?: ProxyOptions["plan"]): Promise<Between> {
    await using stack = new AsyncDisposableStack();
    const server = { host: LOCALHOST, port: serverPort };
    const inFront = async (name: Name) => {
      const port = findReceivePort();
      const at = { host: SEEN_AT[name], port };
      return {
        server: stack.use(await Proxy.open(server, { from: SEEN_AT[name] })),
        person: stack.use(
          await Proxy.open({ host: LOCALHOST, port }, { at, ...(plan && { plan }) }),
        ),
      };
    };
    const alice = await inFront("alice"), bob = await inFront("bob");
    stack.move();
    return new Between(
      { alice: alice.server, bob: bob.server },
      { alice: alice.person, bob: bob.person },
    );
  }

  /** What makes `name` go through the proxies. */
  args(name: Name): string[] {
    const { port } = this.servers[name];
    const receivePort = this.people[name].port;
    return ["--server", `${LOCALHOST}:${port}`, "--receive-port", `${receivePort}`];
  }

  /** All connections of the two to each other that ever were, in no order. */
  get connections(): ProxyConnection[] {
    return Object.values(this.people).flatMap(({ connections }) => connections);
  }

  /** Ends what connects the two to each other directly. */
  cut(how: Ending = "rst"): void {
    for (const proxy of Object.values(this.people)) proxy.cut(how);
  }

  /** Lets nobody dial the other any more; what is there stays. */
  refuse(): void {
    for (const proxy of Object.values(this.people)) proxy.refuse();
  }

  /** Undoes `refuse`. */
  async accept(): Promise<void> {
    await Promise.all(Object.values(this.people).map((proxy) => proxy.accept()));
  }

  /** Moves nothing between the two any more, and keeps it all open. */
  swallow(): void {
    for (const proxy of Object.values(this.people)) proxy.swallow();
  }

  /** Undoes `swallow`. */
  release(): void {
    for (const proxy of Object.values(this.people)) proxy.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const proxies = [...Object.values(this.servers), ...Object.values(this.people)];
    await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  }
}

/** Below the ports that systems choose by themselves: it stays free while a program is started again. */
function findReceivePort(): number {
  for (;;) {
    const [random] = crypto.getRandomValues(new Uint16Array(1));
    const port = 20_000 + random! % 12_000;
    try {
      Deno.listen({ hostname: "0.0.0.0", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
