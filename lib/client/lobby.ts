/** Who else is in the lobby, and who asks for us, as the server tells it (PROTOCOL.md 3.11). */
import { identityClassOf, type PublicIdentity, readIdentity } from "../crypto/identity.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { Throttle } from "../flow/throttle.ts";
import type { Time } from "../flow/time.ts";
import { LOBBY_PEOPLE, PRESENCE_LIMIT } from "../limits.ts";
import { compareNames } from "../wire/names.ts";
import { PersonState } from "../wire/rendezvous_messages.ts";
import type { LobbyWord } from "./home.ts";

type Presence = Extract<LobbyWord, { readonly type: "presence" }>;

/** How somebody in the lobby is. */
export type Attendance = "here" | "away";

/** Somebody asks for us. */
export interface Offer {
  /** A valid name. */
  readonly name: string;
  /** The number of the suite they use. */
  readonly suite: number;
  /** Who the server says they are; undefined when their suite is not ours. */
  readonly identity: PublicIdentity | undefined;
  /** They are not here, and have left something at the server. */
  readonly hasLeft?: boolean;
}

/** Who came and went since it was last told, by name, sorted. */
export interface Changes {
  /** Whether it is the first word of all. */
  readonly isFirst: boolean;
  readonly joined: readonly string[];
  readonly left: readonly string[];
  readonly away: readonly string[];
  readonly back: readonly string[];
}

/** What a lobby is made of. */
export interface LobbyOptions {
  readonly time: Time;
  readonly ourName: string;
  readonly suite: Suite;
  /** Between two `onChanges` at least so many milliseconds pass. */
  readonly changesPause: number;
  readonly onChanges: (changes: Changes) => void;
  readonly onOffer: (offer: Offer) => void;
}

/** The lobby as we see it. */
export class Lobby {
  readonly #options: LobbyOptions;
  #people = new Map<string, Attendance>();
  /** A complete presence of which more parts are to come. */
  #arriving: Map<string, Attendance> | undefined;
  #isTold = false;
  /** Who was here when `changes` were told last. */
  #told: ReadonlyMap<string, Attendance> | undefined;
  readonly #throttle: Throttle;

  constructor(options: LobbyOptions) {
    this.#options = options;
    this.#throttle = new Throttle(options.time, options.changesPause, () => this.#tellChanges());
  }

  /** Who is here beside us; while the server is lost, who was. */
  get people(): ReadonlyMap<string, Attendance> {
    return this.#people;
  }

  /** Whether the server has ever told who is here. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /** We have come back: whoever comes back with us to a server that was away has not left. */
  returned(): void {
    if (this.#told) this.#throttle.rest();
  }

  /** Takes a word of the server. */
  async take(word: LobbyWord): Promise<void> {
    if (word.type === "presence") this.#takePresence(word);
    else await this.#takeOffer(word);
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#throttle.stop();
  }

  #takePresence({ people: said, complete }: Presence): void {
    if (complete === 1) this.#arriving = new Map();
    const people = this.#arriving ?? this.#people;
    for (const { name, state } of said) {
      if (name === this.#options.ourName) continue;
      const attendance = attendanceOf(state);
      if (!attendance) people.delete(name);
      else if (people.has(name) || people.size < LOBBY_PEOPLE) people.set(name, attendance);
    }
    if (this.#arriving) {
      // Whoever is not named in a part may be named in the next.
      if (said.length >= PRESENCE_LIMIT) return;
      this.#people = this.#arriving;
      this.#arriving = undefined;
      this.#isTold = true;
    }
    this.#throttle.touch();
  }

  async #takeOffer(
    { peerName: name, suite, bundle }: Extract<LobbyWord, { readonly type: "offer" }>,
  ): Promise<void> {
    const { ourName, suite: ours } = this.#options;
    if (name === ourName) return;
    let identity: PublicIdentity | undefined;
    if (suite === ours.id) {
      try {
        identity = await readIdentity(bundle, identityClassOf(ours.signature));
      } catch (error) {
        // Nobody can prove such a key: there is nobody to talk to.
        if (error instanceof CifraError) return;
        throw error;
      }
    }
    this.#options.onOffer({ name, suite, identity });
  }

  #tellChanges(): void {
    const before = this.#told, now = this.#people;
    this.#told = new Map(now);
    const changes = { isFirst: before === undefined, ...compare(before ?? new Map(), now) };
    const { isFirst, joined, left, away, back } = changes;
    if (isFirst || joined.length + left.length + away.length + back.length > 0) {
      this.#options.onChanges(changes);
    }
  }
}

/** Undefined for somebody who has gone. */
function attendanceOf(state: number): Attendance | undefined {
  if (state === PersonState.here) return "here";
  return state === PersonState.away ? "away" : undefined;
}

function compare(
  before: ReadonlyMap<string, Attendance>,
  now: ReadonlyMap<string, Attendance>,
): Omit<Changes, "isFirst"> {
  const joined: string[] = [], left: string[] = [], away: string[] = [], back: string[] = [];
  for (const [name, state] of now) {
    const was = before.get(name);
    if (was === undefined) joined.push(name);
    if (state === "away" && was !== "away") away.push(name);
    if (state === "here" && was === "away") back.push(name);
  }
  for (const name of before.keys()) if (!now.has(name)) left.push(name);
  for (const names of [joined, left, away, back]) names.sort(compareNames);
  return { joined, left, away, back };
}
