/** Forwards between two clients that cannot reach each other, by the rules of the relay (PROTOCOL.md 3.9). */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import type { Time } from "../flow/time.ts";
import { CifraError } from "../errors.ts";
import { isHere, sourceOf } from "../services/connection_limits.ts";
import {
  Relay,
  type RelayedPair,
  type RelayLimits,
  type RelayOutput,
  type RelayParty,
} from "../services/relay.ts";
import { decode, encode } from "../wire/layout.ts";
import { type Item, ItemType } from "../wire/records.ts";
import { relayItem } from "../wire/relay_messages.ts";
import type { ServerEvent } from "./events.ts";
import type { Client } from "./client.ts";

const NOTHING = new Uint8Array(0);

/** The relay of a server, at work. */
export class Relaying {
  readonly #time: Time;
  readonly #onEvent: (event: ServerEvent) => void;
  readonly #relay: Relay<Client>;
  #cancelRelease: (() => void) | undefined;

  constructor(limits: RelayLimits, time: Time, onEvent: (event: ServerEvent) => void) {
    this.#relay = new Relay(limits);
    this.#time = time;
    this.#onEvent = onEvent;
  }

  /** Whether anything is relayed at all. */
  get isOn(): boolean {
    return this.#relay.isOn;
  }

  /** Ends pairs that say nothing; the server calls it about once a second. */
  tick(now: number): void {
    for (const { outputs, ended } of this.#relay.expire(now)) {
      this.#put(outputs);
      this.#tellEnd(ended, outputs.map(({ to }) => to));
    }
  }

  /** Two clients have been introduced and may be relayed. */
  open(stream: number, a: Party, b: Party): void {
    this.#relay.open(stream, partyOf(a), partyOf(b), this.#time.now());
    for (const { client } of [a, b]) client.streams++;
  }

  /** No credit is given after this. */
  stop(): void {
    this.#cancelRelease?.();
  }

  /** Forwards an item as it came, and counts it. Throws `limit` and `bad_frame` as `Relay` does. */
  forward(client: Client, item: Item): void {
    const relayed = decode(relayItem, item.body);
    const { stream } = relayed;
    const now = this.#time.now();
    switch (relayed.type) {
      case "data": {
        const { outputs, first, ended } = this.#guard(
          client,
          stream,
          () => this.#relay.data(client, stream, relayed.content.length, now),
        );
        if (ended) this.#tellEnd(ended, outputs.map(({ to }) => to));
        if (first) {
          const { names } = first;
          this.#onEvent({ event: "relaying", names, generation: stream });
        }
        return this.#put(outputs, ownBytes(item.body));
      }
      case "credit":
        this.#put(this.#guard(
          client,
          stream,
          () => this.#relay.credit(client, stream, relayed.count, now),
        ));
        return this.#planRelease();
      case "close":
        return this.#endStream(client, stream);
      case "full":
        throw new CifraError("bad_state", "Cannot relay: only a server says that it is full");
      default:
        relayed satisfies never;
    }
  }

  /** Runs a job on a stream; a client that breaks the rules ends the stream for both. */
  #guard<T>(client: Client, stream: number, job: () => T): T {
    try {
      return job();
    } catch (error) {
      this.#endStream(client, stream);
      throw error;
    }
  }

  #put(outputs: readonly RelayOutput<Client>[], body: Bytes = NOTHING): void {
    for (const output of outputs) {
      const content = output.type === "forward" ? body : encode(relayItem, output);
      output.to.say(ItemType.relay, content);
    }
  }

  /** Credit that is held back is given at its moment, not with the next tick: the rate is to be reached. */
  #planRelease(): void {
    if (this.#cancelRelease) return;
    const wait = this.#relay.nextRelease(this.#time.now());
    if (wait === undefined) return;
    this.#cancelRelease = this.#time.after(wait, () => {
      this.#cancelRelease = undefined;
      this.#put(this.#relay.release(this.#time.now()));
      this.#planRelease();
    });
  }

  /** Ends whatever is relayed for this client; only what goes to one peer, when its name is given. */
  end(client: Client, peerName?: string): void {
    for (const stream of this.#relay.streamsOf(client, peerName)) this.#endStream(client, stream);
  }

  #endStream(client: Client, stream: number): void {
    const { outputs, ended } = this.#relay.close(client, stream);
    this.#put(outputs);
    if (ended) this.#tellEnd(ended, [client, ...outputs.map(({ to }) => to)]);
  }

  #tellEnd({ stream, names, bytes }: RelayedPair, pair: readonly Client[]): void {
    for (const client of pair) client.streams--;
    if (bytes === 0) return;
    this.#onEvent({ event: "relayed", names, generation: stream, bytes });
  }
}

/** One of the two clients of a stream, and its name. */
export interface Party {
  readonly name: string;
  readonly client: Client;
}

function partyOf({ name, client }: Party): RelayParty<Client> {
  const source = sourceOf(client.observed.host);
  const key = encodeHex(client.channel.established.theirs.fingerprint);
  return { name, client, key, source: isHere(source) ? undefined : source };
}

/** A small piece of a large record must not keep all of the record in memory while it waits. */
function ownBytes(bytes: Bytes): Bytes {
  return bytes.length < bytes.buffer.byteLength / 2 ? bytes.slice() : bytes;
}
