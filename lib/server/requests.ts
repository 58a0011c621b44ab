/** Serves a client from its first request to its goodbye: the requests, and what they lead to for others. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { encodeHex } from "@std/encoding/hex";
import { shortFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import {
  FRAME_LIMIT_OPEN,
  OUTBOUND_QUEUE_HIGH_WATER,
  PRESENCE_LIMIT,
  PRESENCE_PAUSE,
  SILENCE_DEADLINE,
} from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import { Accounts } from "../services/accounts.ts";
import { type ConnectionLimits, sourceOf } from "../services/connection_limits.ts";
import { Directory, type DirectoryRules } from "../services/directory.ts";
import type { Invites } from "../services/invites.ts";
import { Presence } from "../services/presence.ts";
import type { RelayLimits } from "../services/relay.ts";
import { type Held, type Outcome, Rendezvous } from "../services/rendezvous.ts";
import type { Channel } from "../channel/channel.ts";
import type { NameKey, ServerStore } from "../store/server_store.ts";
import { addressScope } from "../wire/address.ts";
import { decode, encode } from "../wire/layout.ts";
import { ID_LENGTH, peerAck, peerMessage } from "../wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import {
  Capability,
  decodeServerRequest,
  encodeServerResponse,
  PersonState,
  refusalFor,
  type Registration,
  type ServerRequest,
  type SignUp,
  type VouchedClaim,
} from "../wire/rendezvous_messages.ts";
import type { ServerEvent } from "./events.ts";
import { Relaying } from "./relaying.ts";
import { type Client, dismiss, respond, say } from "./client.ts";

type Request<Type extends ServerRequest["type"]> = Extract<ServerRequest, { readonly type: Type }>;

/** What a reception needs. */
export interface RequestsOptions {
  readonly environment: Environment;
  readonly store: ServerStore;
  readonly invites: Invites;
  readonly connectionLimits: ConnectionLimits;
  /** Known to this server alone, 32 bytes. */
  readonly secret: Bytes;
  readonly rules: DirectoryRules;
  readonly limits: RelayLimits;
  /** What an address is called in the log. */
  readonly tag: (host: string) => string;
  readonly onEvent: (event: ServerEvent) => void;
}

/** The front desk. */
export class Requests {
  readonly #options: RequestsOptions;
  readonly #directory: Directory;
  readonly #accounts: Accounts;
  readonly #rendezvous: Rendezvous<Client>;
  readonly #presence = new Presence<Client>();
  readonly #relaying: Relaying;
  /** Those who were told that whom they wait for does not want to talk. */
  readonly #declined = new WeakSet<Held<Client>>();
  #cancelAnnouncement: (() => void) | undefined;
  #announcedAt = -Infinity;

  constructor(options: RequestsOptions) {
    const { environment: { random, time }, store, rules, limits, onEvent } = options;
    this.#options = options;
    this.#directory = new Directory(store, rules);
    this.#accounts = new Accounts(store, options.secret, random);
    this.#rendezvous = new Rendezvous(random);
    this.#relaying = new Relaying(limits, time, onEvent);
  }

  /** Everybody who holds a name at the moment. */
  get everybody(): Iterable<Held<Client>> {
    return this.#rendezvous.everybody;
  }

  /** From m7 to the goodbye. Throws when the client breaks the protocol. */
  async attend(client: Client, channel: Channel): Promise<void> {
    let answered = 0n;
    try {
      for (;;) {
        const items = await channel.receive();
        if (!items) break;
        for (const item of items) {
          // Sent away meanwhile: it may not ask for anything more.
          if (!channel.isOpen) return await lastWords(channel);
          if (item.type === ItemType.message) answered = this.#answer(client, item);
          else if (item.type !== ItemType.request) this.#pass(client, item);
          else if (!await this.#take(client, channel, item)) return await lastWords(channel);
        }
        // What it does not read, it cannot make us say more of.
        await channel.flush();
      }
    } finally {
      this.#leave(client, channel);
    }
    if (channel.goodbye) await channel.close(CloseCode.done, answered, answered);
  }

  /** Sends somebody away, under whatever they are here; returns how many connections that were. */
  remove(name: string, clients: Iterable<Client>, code: "kicked" | "banned"): number {
    const reason = code === "banned"
      ? "The operator of this server has shut you out"
      : "The operator of this server has ended this connection";
    let count = 0;
    for (const client of clients) {
      if (client.name !== name || !client.channel?.isOpen) continue;
      dismiss(client, code, reason);
      count++;
    }
    return count;
  }

  /** Nothing is told or relayed after this. */
  stop(): void {
    this.#relaying.stop();
    this.#cancelAnnouncement?.();
  }

  /** What is no request is not waited for: what it leads to goes out together. */
  #pass(client: Client, item: Item): void {
    // Before it has said who it is, there is nothing else to say.
    if (client.name === undefined) throw outOfTurn();
    if (item.type === ItemType.relay) this.#relaying.forward(client, item);
    else if (item.type !== ItemType.ack) throw outOfTurn();
  }

  /** False: the client was refused, and is to go. */
  async #take(client: Client, channel: Channel, item: Item): Promise<boolean> {
    const request = decodeServerRequest(item.body);
    try {
      await this.#obey(client, channel, request);
      return true;
    } catch (error) {
      if (!(error instanceof CifraError) || !refusalFor(error.code)) throw error;
      const { code, message, retryAfter } = error;
      const key = shortFingerprint(channel.established.theirs.fingerprint);
      const source = this.#options.tag(client.observed.host);
      this.#options.onEvent({ event: "refused", source, client: key, code, request: request.type });
      // What is wrong with the server's own disk, and where that is, concerns its operator.
      if (code === "local") {
        dismiss(client, "refused", "The server cannot take this at the moment");
      } else dismiss(client, code, message, retryAfter);
      return false;
    }
  }

  async #obey(client: Client, channel: Channel, request: ServerRequest): Promise<void> {
    switch (request.type) {
      case "register":
        return await this.#register(client, channel, request);
      case "signUp":
        return await this.#signUp(client, channel, request);
      case "signIn":
        return this.#challenge(client, channel, request);
      case "proof":
        return this.#prove(client, request.proof);
      case "decline":
        return this.#decline(client, request.name);
      case "away":
        return this.#goAway(client, request.away === 1);
    }
  }

  /** m7 in, m8 out, and whatever follows from it for this client and others. */
  async #register(client: Client, channel: Channel, registration: Registration): Promise<void> {
    const { environment: { time }, onEvent, connectionLimits, tag } = this.#options;
    const { observed } = client;
    const again = client.name !== undefined;
    if (again && !connectionLimits.registersAgain(sourceOf(observed.host), time.now())) {
      throw new CifraError("limit", "Too many registrations from this address; wait a minute");
    }
    const { theirs: identity, suite } = channel.established;
    // Whoever asks for somebody has nobody at present.
    this.#relaying.endAll(client);
    const { name, registrationSequence: sequence, claim } = registration;
    const key = await this.#claim(client, channel, name, sequence, claim, false);
    // It may have gone while signatures were checked.
    if (!channel.isOpen) return;
    const applicant = { holder: client, registration, key, suite: suite.id, observed };
    const before = this.#rendezvous.heldBy(client);
    const outcomes = this.#rendezvous.register(applicant, time.date(), this.#relaying.hasRoom);
    const replaced = outcomes.flatMap((each) => each.type === "replaced" ? [each.held] : []);
    client.name = name;
    client.stays = (registration.capabilities & (Capability.relay | Capability.lobby)) !== 0;
    respond(client, {
      type: "registered",
      observed,
      frameLimit: FRAME_LIMIT_OPEN,
      silenceDeadline: SILENCE_DEADLINE / 1000,
    });
    const { wanted, capabilities } = registration;
    onEvent({
      event: "registered",
      source: tag(observed.host),
      name,
      wanted,
      client: shortFingerprint(identity.fingerprint),
      suite: suite.name,
    });
    if ([before, ...replaced].some((held) => this.#isAnnounced(held))) {
      this.#presence.change({ name, state: PersonState.gone });
    }
    this.#presence.stop(client);
    if (wanted === "" && (capabilities & Capability.lobby) !== 0) {
      this.#presence.read(client);
      if ((capabilities & Capability.unlisted) === 0) {
        this.#presence.change({ name, state: PersonState.here });
      }
    }
    for (const outcome of outcomes) this.#tell(outcome, client);
    this.#planAnnouncement();
  }

  /** The name is theirs, or becomes theirs now; whoever is new needs an invite that is still good. */
  async #claim(
    client: Client,
    channel: Channel,
    name: string,
    sequence: bigint,
    { notAfter, signature, vouchers }: VouchedClaim,
    signingUp: boolean,
  ): Promise<NameKey> {
    const { environment: { time }, store, invites } = this.#options;
    const { theirs: identity, suite } = channel.established;
    const isKnown = store.keyWith(encodeHex(identity.fingerprint)) !== undefined;
    const invite = isKnown ? undefined : client.invite;
    if (invite && !invites.reserve(invite, time.date())) {
      throw new CifraError("invite_required", "This invite has expired, or was used too often");
    }
    const { host } = client.observed;
    const claimant = {
      name,
      suite: suite.name,
      identity,
      claim: { sequence, notAfter, signature },
      vouchers,
      // On the server's own machine everybody has the same address.
      source: addressScope(host) === "loopback" ? undefined : sourceOf(host),
    };
    let isIn = false;
    try {
      const key = await this.#directory.claim(claimant, time.date(), signingUp);
      isIn = true;
      return key;
    } finally {
      if (invite) invites.release(invite, isIn);
    }
  }

  async #signUp(client: Client, channel: Channel, request: SignUp): Promise<void> {
    const { environment: { time }, onEvent, tag } = this.#options;
    const { name, registrationSequence, claim } = request;
    await this.#claim(client, channel, name, registrationSequence, claim, true);
    const { salt, memory, passes, storedKey, serverKey, backup } = request;
    const created = time.date();
    this.#accounts.signUp({ name, salt, memory, passes, storedKey, serverKey, backup, created });
    respond(client, { type: "signedUp" });
    onEvent({ event: "signed-up", source: tag(client.observed.host), name });
  }

  #challenge(client: Client, channel: Channel, { name, nonce }: Request<"signIn">): void {
    this.#directory.requireAllowed(channel.established.theirs);
    const challenge = this.#accounts.challenge({
      name,
      clientNonce: nonce,
      exporter: channel.established.exporter,
      source: sourceOf(client.observed.host),
      now: this.#options.environment.time.now(),
    });
    client.challenge = challenge;
    const { cost, serverNonce } = challenge.exchange;
    respond(client, { type: "challenge", ...cost, nonce: serverNonce });
  }

  #prove(client: Client, proof: Bytes): void {
    const { environment: { time }, onEvent, tag } = this.#options;
    const { challenge } = client;
    if (!challenge) throw outOfTurn();
    client.challenge = undefined;
    const { signature, backup } = this.#accounts.prove(challenge, proof, time.now());
    respond(client, { type: "signedIn", signature, backup });
    const { name } = challenge.exchange;
    onEvent({ event: "signed-in", source: tag(client.observed.host), name });
  }

  #decline(client: Client, name: string): void {
    const held = this.#rendezvous.heldBy(client);
    if (!held) return;
    const asking = this.#rendezvous.waiting(name, held.name);
    // Once is enough: more would be a way to flood whoever asks.
    if (!asking || this.#declined.has(asking)) return;
    this.#declined.add(asking);
    respond(asking.holder, { type: "declined", peerName: held.name });
  }

  #goAway(client: Client, isAway: boolean): void {
    const held = this.#rendezvous.heldBy(client);
    if (!this.#isAnnounced(held)) return;
    const state = isAway ? PersonState.away : PersonState.here;
    this.#presence.change({ name: held!.name, state });
    this.#planAnnouncement();
  }

  #isAnnounced(held: Held<Client> | undefined): boolean {
    if (held?.wanted !== "") return false;
    return (held.registration.capabilities & Capability.unlisted) === 0;
  }

  #tell(outcome: Outcome<Client>, client: Client): void {
    const { onEvent } = this.#options;
    switch (outcome.type) {
      case "waiting":
        return;
      case "replaced": {
        const { name, holder } = outcome.held;
        this.#presence.stop(holder);
        if (holder !== client) {
          dismiss(holder, "replaced", "The same identity has connected again");
        }
        return onEvent({ event: "replaced", name });
      }
      case "offer": {
        const { to, from } = outcome;
        const { bundle } = from.key;
        const offer = { type: "offer", peerName: from.name, suite: from.suite, bundle } as const;
        return respond(to.holder, offer);
      }
      case "suite-mismatch": {
        const [a, b] = outcome.pair;
        for (const [reader, peer] of [[a, b], [b, a]] as const) {
          const suites = { yourSuite: reader.suite, peerSuite: peer.suite };
          respond(reader.holder, { type: "suiteMismatch", peerName: peer.name, ...suites });
        }
        return onEvent({ event: "suite-mismatch", names: [b.name, a.name] });
      }
      case "introduced":
        return this.#introduce(outcome);
    }
  }

  #introduce(
    { generation, relay, pair }: Extract<Outcome<Client>, { readonly type: "introduced" }>,
  ): void {
    const [a, b] = [pair[1].to, pair[0].to];
    if (relay) {
      const one = { name: a.name, client: a.holder }, other = { name: b.name, client: b.holder };
      this.#relaying.open(generation, one, other);
    }
    for (const { to: { holder }, introduction } of pair) {
      respond(holder, { type: "introduction", ...introduction });
      if (!holder.stays) holder.channel?.close(CloseCode.done);
    }
    this.#options.onEvent({ event: "introduced", names: [a.name, b.name], generation });
  }

  /** Those who come and go are announced at once when nothing was lately, otherwise together a little later. */
  #planAnnouncement(): void {
    if (this.#cancelAnnouncement || !this.#presence.hasNews) return;
    const { time } = this.#options.environment;
    const wait = Math.max(0, this.#announcedAt + PRESENCE_PAUSE - time.now());
    this.#cancelAnnouncement = time.after(wait, () => {
      this.#cancelAnnouncement = undefined;
      this.#announcedAt = time.now();
      this.#announce();
      this.#planAnnouncement();
    });
  }

  #announce(): void {
    // One who does not read is told later, and then of everything at once.
    const ready = ({ channel }: Client) =>
      channel?.isOpen === true && channel.queuedLength < OUTBOUND_QUEUE_HIGH_WATER / 8;
    for (const { to, changes: { complete, people } } of this.#presence.take(ready)) {
      // All there is ends with a part that has room for more; of changes there is always one.
      for (let i = 0; complete ? i <= people.length : i < people.length; i += PRESENCE_LIMIT) {
        const body = encodeServerResponse({
          type: "presence",
          complete: complete && i === 0 ? 1 : 0,
          people: people.slice(i, i + PRESENCE_LIMIT),
        });
        for (const client of to) say(client, ItemType.response, body);
      }
    }
  }

  /** A registered client may speak to the server; each message is answered OK. Returns its number. */
  #answer(client: Client, item: Item): bigint {
    if (client.name === undefined) throw outOfTurn();
    const { number, type } = decode(peerMessage, item.body);
    say(client, ItemType.ack, encode(peerAck, { stored: number, read: number }));
    const { random, time } = this.#options.environment;
    const id = random(ID_LENGTH);
    const reply = type === "end" ? { type: "end" as const, number, id } : {
      type: "text" as const,
      number,
      id,
      written: BigInt(time.date()),
      content: encodeUtf8("OK"),
    };
    say(client, ItemType.message, encode(peerMessage, reply));
    return number;
  }

  #leave(client: Client, channel: Channel): void {
    this.#relaying.endAll(client);
    this.#presence.stop(client);
    const held = this.#rendezvous.leave(client);
    if (!held) return;
    if (this.#isAnnounced(held)) {
      this.#presence.change({ name: held.name, state: PersonState.gone });
      this.#planAnnouncement();
    }
    const code = channel.failure?.code ?? "goodbye";
    this.#options.onEvent({ event: "left", name: held.name, code });
  }
}

/** Waits until a client that was sent away has gone; what it still says is nobody's business. */
async function lastWords(channel: Channel): Promise<void> {
  while (await channel.receive());
}

function outOfTurn(): CifraError {
  return new CifraError("bad_state", "Cannot take this message: it is out of turn");
}
