/**
 * What a program gets from the world: sockets, time and chance. The client and the server take it as a
 * parameter, so that a test may be the world and replay it.
 */
import { type Random, systemRandom } from "../crypto/platform.ts";
import type { Endpoint } from "../wire/address.ts";
import type { Time } from "../flow/time.ts";
import { dial, dialFrom, findFreePort } from "./dial.ts";
import { Listener } from "./listener.ts";
import { ownAddresses } from "./own_addresses.ts";
import { systemTime } from "./system_time.ts";
import type { TcpTransport } from "./transports.ts";

/** An open port, as `Listener` is one. */
export type Listening = Pick<Listener, "port" | "endpoints" | "acceptAll" | "close">;

/** Sockets, as `listener.ts` and `dial.ts` describe them. */
export interface Network {
  listen(hosts: readonly string[], port: number): Listening;
  dial(host: string, port: number, deadline?: number): Promise<TcpTransport>;
  dialFrom(localPort: number, remote: Endpoint, signal?: AbortSignal): Promise<TcpTransport>;
  findFreePort(host: string): number;
  /** This machine's own addresses; none where they are not to be known. */
  addresses(): readonly string[];
}

/** Sockets, time and chance. */
export interface Environment {
  readonly time: Time;
  readonly network: Network;
  readonly random: Random;
}

/** The world as it is. */
export const systemEnvironment: Environment = {
  time: systemTime,
  network: {
    listen: (hosts, port) => Listener.open(hosts, port),
    dial,
    dialFrom,
    findFreePort,
    addresses: ownAddresses,
  },
  random: systemRandom,
};
