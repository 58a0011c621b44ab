/** Tells those in the lobby who comes and goes, and whoever asks who is there (PROTOCOL.md 3.11). */
import { OUTBOUND_QUEUE_HIGH_WATER, PRESENCE_LIMIT, PRESENCE_PAUSE } from "../limits.ts";
import type { Time } from "../flow/time.ts";
import { Presence } from "../services/presence.ts";
import { ItemType } from "../wire/records.ts";
import { encodeServerResponse, PersonState } from "../wire/rendezvous_messages.ts";
import type { Client } from "./client.ts";

/** The lobby of a server, at work. */
export class Announcing {
  readonly #time: Time;
  readonly #presence = new Presence<Client>();
  #cancel: (() => void) | undefined;
  #announcedAt = -Infinity;

  constructor(time: Time) {
    this.#time = time;
  }

  /** A client comes to the lobby; `isListed`: the others are told. */
  enter(client: Client, name: string, isListed: boolean): void {
    this.#presence.read(client);
    this.#presence.change({ name, state: isListed ? PersonState.here : PersonState.gone });
    this.#plan();
  }

  /** A client leaves the lobby. */
  exit(client: Client, name: string): void {
    this.#presence.stop(client);
    this.#presence.change({ name, state: PersonState.gone });
    this.#plan();
  }

  /** Somebody whom the others see in the lobby is away, or back. */
  setAway(name: string, isAway: boolean): void {
    this.#presence.change({ name, state: isAway ? PersonState.away : PersonState.here });
    this.#plan();
  }

  /** A client, in the lobby or not, asks who is there. */
  ask(client: Client): void {
    this.#presence.ask(client);
    this.#plan();
  }

  /** How the others see somebody. */
  stateOf(name: string): PersonState {
    return this.#presence.stateOf(name);
  }

  /** A client has gone: it is told nothing more. */
  forget(client: Client): void {
    this.#presence.stop(client);
  }

  /** Nothing is told after this. */
  stop(): void {
    this.#cancel?.();
  }

  /** Tells changes at once when none were told lately, otherwise together a little later. */
  #plan(): void {
    if (this.#cancel || !this.#presence.hasNews) return;
    const wait = Math.max(0, this.#announcedAt + PRESENCE_PAUSE - this.#time.now());
    this.#cancel = this.#time.after(wait, () => {
      this.#cancel = undefined;
      this.#announcedAt = this.#time.now();
      this.#announce();
      this.#plan();
    });
  }

  #announce(): void {
    // A client that does not read is told later, and then of everything at once.
    const isReady = ({ channel }: Client) =>
      channel.isOpen && channel.queuedLength < OUTBOUND_QUEUE_HIGH_WATER / 8;
    for (const { to, changes: { complete, people } } of this.#presence.take(isReady)) {
      // All there is ends with a part that has room for more; of changes there is always one.
      for (let i = 0; complete ? i <= people.length : i < people.length; i += PRESENCE_LIMIT) {
        const body = encodeServerResponse({
          type: "presence",
          complete: complete && i === 0 ? 1 : 0,
          people: people.slice(i, i + PRESENCE_LIMIT),
        });
        for (const client of to) client.say(ItemType.response, body);
      }
    }
  }
}
