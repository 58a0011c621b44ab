/**
 * What a program gets from the world: sockets, time and chance. The client and the server take it as a
 * parameter, so that a test may be the world and replay it.
 */
import { type Random, systemRandom } from "../crypto/platform.ts";
import type { Endpoint } from "../wire/address.ts";
import { dial, dialFrom, findFreePort, Listener, type TcpTransport } from "./tcp.ts";

/** The clocks and the alarm. */
export interface Time {
  /** Milliseconds of a clock that never jumps; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970, as the machine believes: for display and expiry alone. */
  date(): number;
  /** Calls `action` once after `milliseconds`, unless the returned function is called before. */
  after(milliseconds: number, action: () => void): () => void;
}

/** An open port, as `Listener` is one. */
export type Listening = Pick<Listener, "port" | "endpoints" | "acceptAll" | "close">;

/** Sockets, as the functions of `tcp.ts` describe them. */
export interface Network {
  listen(hosts: readonly string[], port: number): Listening;
  dial(host: string, port: number, deadline?: number): Promise<TcpTransport>;
  dialFrom(localPort: number, remote: Endpoint, signal?: AbortSignal): Promise<TcpTransport>;
  findFreePort(host: string): number;
}

/** All three. */
export interface Environment {
  readonly time: Time;
  readonly network: Network;
  readonly random: Random;
}

/** The world as it is. */
export const systemEnvironment: Environment = {
  time: {
    now: () => performance.now(),
    date: () => Date.now(),
    after: (milliseconds, action) => {
      const timer = setTimeout(action, milliseconds);
      return () => clearTimeout(timer);
    },
  },
  network: { listen: (hosts, port) => Listener.open(hosts, port), dial, dialFrom, findFreePort },
  random: systemRandom,
};
