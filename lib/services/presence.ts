/**
 * Who is in the lobby, told to everybody in it (PROTOCOL.md 3.11). Changes go into one log; each reader has a
 * place in it and is told in one piece what happened since: a thousand people who come at once are one
 * message for each reader, and a reader that does not read costs nothing.
 */
import { PRESENCE_LOG } from "../limits.ts";
import { PersonState } from "../wire/rendezvous_messages.ts";

/** A person in the lobby, or one who has just left it. */
export interface Attendee {
  readonly name: string;
  readonly state: PersonState;
}

/** What a reader has not been told yet. */
export interface PresenceChanges {
  /** Whether all who are here are named, and whoever is not named is not here. */
  readonly complete: boolean;
  readonly people: readonly Attendee[];
}

/** The lobby, as its readers see it. `Reader` is whatever stands for one. */
export class Presence<Reader> {
  readonly #here = new Map<string, Attendee>();
  readonly #readers = new Map<Reader, { place: number; isNew: boolean; readonly once: boolean }>();
  #log: Attendee[] = [];
  /** The place of the first entry of the log. */
  #start = 0;

  /** Everybody who is here and may be told of, in no order. */
  get people(): Iterable<Attendee> {
    return this.#here.values();
  }

  /** How somebody is seen: whoever is not to be told of is gone. */
  stateOf(name: string): PersonState {
    return this.#here.get(name)?.state ?? PersonState.gone;
  }

  /** All readers. */
  get readers(): Iterable<Reader> {
    return this.#readers.keys();
  }

  /** Whether a reader is to be told something. */
  get hasNews(): boolean {
    const end = this.#end;
    for (const { place, isNew } of this.#readers.values()) if (isNew || place < end) return true;
    return false;
  }

  /** From now on this reader is told of changes; first of all who are here. */
  read(reader: Reader): void {
    this.#readers.set(reader, { place: this.#end, isNew: true, once: false });
  }

  /** This reader is told of all who are here, once; if it is told of changes already, it goes on being told. */
  ask(reader: Reader): void {
    const known = this.#readers.get(reader);
    if (known) known.isNew = true;
    else this.#readers.set(reader, { place: this.#end, isNew: true, once: true });
  }

  /** This reader is told nothing more. */
  stop(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) this.#forget(this.#end);
  }

  /** A person came, went, or is away. */
  change(person: Attendee): void {
    if (this.#here.get(person.name)?.state === person.state) return;
    if (person.state === PersonState.gone) {
      if (!this.#here.delete(person.name)) return;
    } else this.#here.set(person.name, person);
    if (this.#readers.size === 0) this.#start++;
    else this.#log.push(person);
    if (this.#log.length > PRESENCE_LOG) this.#forget(this.#end - PRESENCE_LOG / 2);
  }

  /**
   * What those of `ready` have not been told yet, for each group of readers that are equally far. They
   * count as told.
   */
  take(
    ready: (reader: Reader) => boolean,
  ): { readonly to: Reader[]; readonly changes: PresenceChanges }[] {
    const end = this.#end;
    const groups = new Map<number, Reader[]>();
    for (const [reader, state] of this.#readers) {
      if (!state.isNew && state.place === end) continue;
      if (!ready(reader)) continue;
      // Whoever is new, or so far behind that the log does not go back there, is told everything.
      const place = state.isNew || state.place < this.#start ? -1 : state.place;
      const group = groups.get(place);
      if (group) group.push(reader);
      else groups.set(place, [reader]);
      state.place = end;
      state.isNew = false;
      if (state.once) this.#readers.delete(reader);
    }
    const taken = [...groups].map(([place, to]) => ({ to, changes: this.#since(place) }));
    this.#trim();
    return taken;
  }

  get #end(): number {
    return this.#start + this.#log.length;
  }

  #since(place: number): PresenceChanges {
    if (place < 0) return { complete: true, people: [...this.#here.values()] };
    const last = new Map<string, Attendee>();
    for (const person of this.#log.slice(place - this.#start)) last.set(person.name, person);
    return { complete: false, people: [...last.values()] };
  }

  /** What everybody has been told is not kept. */
  #trim(): void {
    let slowest = this.#end;
    for (const { place, isNew } of this.#readers.values()) {
      if (!isNew && place < slowest) slowest = place;
    }
    this.#forget(slowest);
  }

  #forget(place: number): void {
    if (place <= this.#start) return;
    this.#log = this.#log.slice(place - this.#start);
    this.#start = place;
  }
}
