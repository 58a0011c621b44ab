/**
 * Being in the lobby of a server: who else is there, and who asks for us. Comes back by itself when the
 * connection, the network or the server has gone (PROTOCOL.md 3.11).
 */
import { identityClassOf, type PublicIdentity, readIdentity } from "../crypto/identity.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError, isFinal } from "../errors.ts";
import { LOBBY_PEOPLE, PRESENCE_LIMIT } from "../limits.ts";
import { delay } from "../flow/delay.ts";
import type { Environment } from "../net/environment.ts";
import { isName } from "../wire/names.ts";
import type { Endpoint } from "../wire/address.ts";
import { Capability } from "../wire/rendezvous_messages.ts";
import { Backoff } from "../flow/backoff.ts";
import { Throttle } from "../flow/throttle.ts";
import type { Registrar } from "./name_claim.ts";
import { NO_PORTS, type Person, type ServerLink, type ServerNews } from "./server_link.ts";

/** How somebody in the lobby is. */
export type Attendance = Exclude<Person["state"], "gone">;

/** Somebody asks for us. */
export interface Offer {
  /** One that somebody could have. */
  readonly name: string;
  /** The number of the suite they use. */
  readonly suite: number;
  /** Who the server says they are; undefined when their suite is not ours. */
  readonly identity: PublicIdentity | undefined;
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

/** What happens in the lobby. */
export type LobbyNews =
  | {
    readonly type: "registered";
    readonly server: Endpoint;
    readonly title: string;
    readonly observed: Endpoint;
  }
  | { readonly type: "changes"; readonly changes: Changes }
  | { readonly type: "offer"; readonly offer: Offer }
  /** `retryIn` milliseconds until the next try. */
  | { readonly type: "server-lost"; readonly error: CifraError; readonly retryIn: number };

/** What being in a lobby takes. */
export interface LobbyOptions {
  readonly environment: Environment;
  readonly ourName: string;
  readonly suite: Suite;
  /** Connects to the server; throws when it cannot be reached or trusted. */
  readonly openServer: () => Promise<ServerLink>;
  /** Registers under our name: one at a time, each with a higher number than all before. */
  readonly register: Registrar;
  /** The others are not told of us. */
  readonly hidden: boolean;
  /** Between two `changes` at least so many milliseconds pass. */
  readonly changesPause: number;
  readonly onNews: (news: LobbyNews) => void;
}

/** A place in the lobby. */
export class Lobby {
  readonly #options: LobbyOptions;
  readonly #backoff: Backoff;
  #people = new Map<string, Attendance>();
  /** A complete presence of which more parts are to come. */
  #arriving: Map<string, Attendance> | undefined;
  /** Who was here when `changes` were told last. */
  #told: ReadonlyMap<string, Attendance> | undefined;
  readonly #throttle: Throttle;
  readonly #leaving = new AbortController();
  #pausing = new AbortController();
  #server: ServerLink | undefined;
  #isAway = false;
  #registered = false;

  constructor(options: LobbyOptions) {
    this.#options = options;
    const { environment: { time, random }, changesPause } = options;
    this.#backoff = new Backoff(random);
    this.#throttle = new Throttle(time, changesPause, () => this.#tellChanges());
  }

  /** Who is here beside us; while the server is lost, who was. */
  get people(): ReadonlyMap<string, Attendance> {
    return this.#people;
  }

  /** Whether the server knows that we are here. */
  get isConnected(): boolean {
    return this.#server?.isOpen === true && this.#registered;
  }

  /**
   * Stays in the lobby until `leave`. Throws what makes that impossible: before the first registration
   * everything that goes wrong with the server, afterwards only what no waiting helps against.
   */
  async run(): Promise<void> {
    const { signal } = this.#leaving;
    const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const attending = this.#attendForEver();
    attending.catch(() => {});
    try {
      await Promise.race([attending, left]);
    } finally {
      this.#leaving.abort();
      this.#pausing.abort();
      this.#throttle.stop();
      await this.#dropServer();
    }
  }

  /** Ends `run`. */
  leave(): void {
    this.#leaving.abort();
    this.#pausing.abort();
  }

  /** Somebody waits: the next try is made at once. */
  hurry(): void {
    this.#backoff.reset();
    this.#pausing.abort();
  }

  /** Away from the keyboard, or back; the others are told. */
  setAway(isAway: boolean): void {
    this.#isAway = isAway;
    if (this.#server?.isOpen) this.#server.setAway(isAway);
  }

  /** Lets somebody who asks for us know that we do not want to talk to them now. */
  decline(name: string): void {
    if (this.#server?.isOpen) this.#server.decline(name);
  }

  async #attendForEver(): Promise<void> {
    const { signal } = this.#leaving;
    while (!signal.aborted) {
      let failure: CifraError;
      try {
        await this.#attend(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof CifraError)) throw error;
        if (isFinal(error.code, this.#registered)) throw error;
        failure = error;
      }
      await this.#dropServer();
      const pause = this.#backoff.next();
      this.#tell({ type: "server-lost", error: failure, retryIn: pause });
      await delay(this.#options.environment.time, pause, this.#pausing.signal);
      if (!signal.aborted) this.#pausing = new AbortController();
    }
  }

  /** One connection, from the first byte until there will be no more news of it. */
  async #attend(signal: AbortSignal): Promise<void> {
    const { openServer, register, ourName, hidden } = this.#options;
    const server = await openServer();
    if (signal.aborted) return await server.close();
    this.#server = server;
    const observed = await register((word) =>
      server.register({
        name: ourName,
        wanted: "",
        ...NO_PORTS,
        capabilities: Capability.lobby | (hidden ? Capability.unlisted : 0),
        advertised: [],
        ...word,
      })
    );
    // A server that was away has lost everybody; those who come back with us have not left.
    if (this.#registered) this.#throttle.rest();
    this.#registered = true;
    if (this.#isAway) server.setAway(true);
    const { displayName: title } = server.channel.established;
    this.#tell({ type: "registered", server: server.remote, title, observed });
    for (;;) {
      const news = await server.nextNews(signal);
      if (!news) return;
      // It has room for us: should the connection go now, the next try is soon.
      this.#backoff.reset();
      await this.#take(news);
    }
  }

  async #take(news: ServerNews): Promise<void> {
    switch (news.type) {
      case "presence":
        return this.#takePresence(news.people, news.complete);
      case "offer":
        return await this.#takeOffer(news);
      default:
        throw new CifraError("bad_state", "The server said something out of turn");
    }
  }

  #takePresence(said: readonly Person[], complete: boolean): void {
    if (complete) this.#arriving = new Map();
    const people = this.#arriving ?? this.#people;
    for (const { name, state } of said) {
      // A name that nobody can have is nothing to show.
      if (name === this.#options.ourName || !isName(name)) continue;
      if (state === "gone") people.delete(name);
      else if (people.has(name) || people.size < LOBBY_PEOPLE) people.set(name, state);
    }
    if (this.#arriving) {
      // Whoever is not named in a part may be named in the next.
      if (said.length >= PRESENCE_LIMIT) return;
      this.#people = this.#arriving;
      this.#arriving = undefined;
    }
    this.#throttle.touch();
  }

  async #takeOffer(
    { peerName: name, suite, bundle }: Extract<ServerNews, { type: "offer" }>,
  ): Promise<void> {
    const { ourName, suite: ours } = this.#options;
    if (name === ourName || !isName(name)) return;
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
    this.#tell({ type: "offer", offer: { name, suite, identity } });
  }

  #tellChanges(): void {
    const before = this.#told, now = this.#people;
    this.#told = new Map(now);
    const changes = { isFirst: before === undefined, ...compare(before ?? new Map(), now) };
    const { isFirst, joined, left, away, back } = changes;
    if (isFirst || joined.length + left.length + away.length + back.length > 0) {
      this.#tell({ type: "changes", changes });
    }
  }

  async #dropServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  #tell(news: LobbyNews): void {
    if (!this.#leaving.signal.aborted) this.#options.onNews(news);
  }
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
  for (const names of [joined, left, away, back]) names.sort();
  return { joined, left, away, back };
}
