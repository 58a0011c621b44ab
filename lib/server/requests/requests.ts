/** Serves a client from its first request to its goodbye: who may say what, and which handler takes it. */
import { encodeHex } from "@std/encoding/hex";
import { CifraError } from "../../errors.ts";
import { Accounts } from "../../services/accounts.ts";
import { Mailbox } from "../../services/mailbox.ts";
import type { ConnectionLimits } from "../../services/connection_limits.ts";
import type { Insiders } from "../../services/insiders.ts";
import { type Counted, type QuotaLimits, Quotas } from "../../services/quotas.ts";
import { Directory, type DirectoryRules } from "../../services/directory.ts";
import type { Invites } from "../../services/invites.ts";
import type { PasswordLanes } from "../../services/password_lanes.ts";
import type { RelayLimits } from "../../services/relay.ts";
import type { Tickets } from "../../services/tickets.ts";
import { Rendezvous, type RendezvousLimits } from "../../services/rendezvous.ts";
import { delay } from "../../flow/delay.ts";
import type { Bytes } from "../../bytes.ts";
import type { Channel } from "../../channel/channel.ts";
import type { SuiteName } from "../../crypto/suite.ts";
import type { Environment } from "../../net/environment.ts";
import type { MailboxStore } from "../../store/mailbox_store.ts";
import type { ServerStore } from "../../store/server_store.ts";
import { isMailboxRequest } from "../../wire/mailbox_messages.ts";
import { CloseCode, type Item, ItemType } from "../../wire/records.ts";
import {
  decodeServerRequest,
  refusalFor,
  type ServerRequest,
} from "../../wire/rendezvous_messages.ts";
import { Announcing } from "../announcing.ts";
import type { Client } from "../client.ts";
import type { ServerEvent } from "../events.ts";
import { Relaying } from "../relaying.ts";
import { prove, signIn, signUp } from "./account.ts";
import type { Context, Request } from "./context.ts";
import { away, known, who } from "./lobby.ts";
import { obeyMail } from "./mailbox.ts";
import { acknowledge, answer } from "./messages.ts";
import { logRefusal, outOfTurn } from "./refusals.ts";
import { register } from "./register.ts";
import { decline, unwant, want } from "./want.ts";

/** Who may ask for it, and what does it. */
interface Row<Type extends ServerRequest["type"]> {
  readonly from: "anybody" | "registered";
  readonly handle: (
    context: Context,
    client: Client,
    request: Request<Type>,
  ) => void | Promise<void>;
}

/** All requests. */
const REQUESTS: { readonly [Type in ServerRequest["type"]]: Row<Type> } = {
  register: { from: "anybody", handle: register },
  want: { from: "registered", handle: want },
  unwant: { from: "registered", handle: unwant },
  decline: { from: "registered", handle: decline },
  away: { from: "registered", handle: away },
  who: { from: "registered", handle: who },
  known: { from: "registered", handle: known },
  signUp: { from: "anybody", handle: signUp },
  signIn: { from: "anybody", handle: signIn },
  proof: { from: "anybody", handle: prove },
};

/** Items that cost more than they bring; what is relayed is bounded by its credit. */
const COUNTED: { readonly [Type in ItemType]?: Counted } = {
  [ItemType.request]: "request",
  [ItemType.message]: "message",
  [ItemType.ack]: "message",
};

/** What the requests of a server need. */
export interface RequestsOptions {
  readonly environment: Environment;
  readonly store: ServerStore;
  /** Where what is left for those who are not here is kept; without it nothing is. */
  readonly mail: MailboxStore | undefined;
  readonly invites: Invites;
  /** Whether newcomers need an invite. */
  readonly inviteOnly: boolean;
  readonly connectionLimits: Pick<ConnectionLimits<unknown>, "registersAgain">;
  readonly tickets: Pick<Tickets, "issue">;
  readonly insiders: Insiders<Client>;
  /** 32 bytes for salts of names without an account, and for nothing else. */
  readonly saltSecret: Bytes;
  readonly rules: DirectoryRules;
  readonly limits: RelayLimits & QuotaLimits & RendezvousLimits;
  /** What an address is called in the log. */
  readonly tag: (host: string) => string;
  readonly onEvent: (event: ServerEvent) => void;
}

/** Somebody who is registered. */
export interface Present {
  readonly name: string;
  /** Names of those to whom it wants to be introduced. */
  readonly wants: readonly string[];
  readonly isInLobby: boolean;
  readonly suite: SuiteName;
  /** 64 hexadecimal digits. */
  readonly fingerprint: string;
  /** The address it comes from. */
  readonly host: string;
}

/** The requests of all clients. */
export class Requests {
  readonly #context: Context;

  constructor(options: RequestsOptions) {
    const { environment: { random, time }, store, rules, limits, onEvent } = options;
    this.#context = {
      ...options,
      directory: new Directory(store, rules),
      accounts: new Accounts(store, options.saltSecret, random),
      rendezvous: new Rendezvous(random, limits),
      quotas: new Quotas(limits),
      announcing: new Announcing(time),
      relaying: new Relaying(limits, time, onEvent),
      mailbox: options.mail &&
        new Mailbox({ store: options.mail, names: store, quotas: limits.quotas }),
    };
  }

  /** What is kept for those who are not here. */
  get mailbox(): Mailbox<Client> | undefined {
    return this.#context.mailbox;
  }

  /** Everybody who is registered. */
  *everybody(): Iterable<Present> {
    const { rendezvous } = this.#context;
    for (const { holder, key, observed: { host } } of rendezvous.everybody) {
      const { name, suite, fingerprint } = key;
      const wants = rendezvous.wantsOf(holder), isInLobby = rendezvous.isInLobby(holder);
      yield { name, wants, isInLobby, suite, fingerprint, host };
    }
  }

  /** The wrong passwords. */
  get passwordLanes(): PasswordLanes {
    return this.#context.accounts.lanes;
  }

  /** From m7 to the goodbye. Throws when the client breaks the protocol. */
  async attend(client: Client): Promise<void> {
    const { channel } = client;
    try {
      for (;;) {
        const items = await channel.receive();
        if (!items) break;
        for (const item of items) {
          // A client that was sent away meanwhile may not ask for anything more.
          if (!channel.isOpen) return await lastWords(channel);
          const wait = this.#turn(client, item);
          // Nothing more is read from it meanwhile: who asks too often slows itself down.
          if (wait > 0) await delay(this.#context.environment.time, wait);
          if (!channel.isOpen) return await lastWords(channel);
          if (item.type === ItemType.request) await this.#obey(client, item);
          else this.#pass(client, item);
        }
        // A client that does not read cannot make us say more.
        await channel.flush();
      }
    } finally {
      this.#leave(client);
    }
    if (channel.goodbye) await channel.close(CloseCode.done, client.heard, client.heard);
  }

  /** Sends these clients away; returns how many were still there. */
  dismiss(clients: readonly Client[], code: "kicked" | "banned"): number {
    const reason = code === "banned"
      ? "The operator of this server has shut you out"
      : "The operator of this server has ended this connection";
    const open = clients.filter(({ channel }) => channel.isOpen);
    for (const client of open) client.dismiss(code, reason);
    return open.length;
  }

  /** About once a second. */
  tick(now: number): void {
    this.#context.relaying.tick(now);
  }

  /** Nothing is told or relayed after this. */
  stop(): void {
    this.#context.relaying.stop();
    this.#context.announcing.stop();
  }

  /** How long a client has to wait before an item of its is looked at, in milliseconds. */
  #turn({ channel }: Client, { type }: Item): number {
    const what = COUNTED[type];
    if (!what) return 0;
    const { quotas, environment: { time } } = this.#context;
    return quotas.turn(what, encodeHex(channel.established.theirs.fingerprint), time.now());
  }

  /** Takes an item that is no request. Nothing is awaited: the answers to several go out together. */
  #pass(client: Client, item: Item): void {
    // Before a client has said who it is, it has nothing else to say.
    if (client.name === undefined) throw outOfTurn();
    switch (item.type) {
      case ItemType.message:
        return answer(this.#context, client, item);
      case ItemType.ack:
        return acknowledge(client, item);
      case ItemType.relay:
        return this.#context.relaying.forward(client, item);
      default:
        throw outOfTurn();
    }
  }

  /** Does what a request asks for. A client that is refused has to go. */
  async #obey(client: Client, { body }: Item): Promise<void> {
    if (isMailboxRequest(body)) {
      return await this.#refusing(client, "mailbox", () => obeyMail(this.#context, client, body));
    }
    const request = decodeServerRequest(body);
    const { from, handle } = REQUESTS[request.type];
    if (from === "registered" && client.name === undefined) throw outOfTurn();
    await this.#refusing(client, request.type, async () => {
      // The row is that of its type, which the compiler does not see.
      await handle(this.#context, client, request as never);
    });
  }

  /** Tells a client why what it asks for is refused. */
  async #refusing(
    client: Client,
    what: ServerRequest["type"] | "mailbox",
    job: () => Promise<void>,
  ): Promise<void> {
    try {
      await job();
    } catch (error) {
      if (!(error instanceof CifraError) || !refusalFor(error.code)) throw error;
      const { code, message, retryAfter } = error;
      logRefusal(this.#context, client, what, code);
      // What is wrong with the server's own disk, and where that is, concerns its operator.
      if (code === "local") client.dismiss(code, "The server cannot take this at the moment");
      else client.dismiss(code, message, retryAfter);
    }
  }

  #leave(client: Client): void {
    const { relaying, announcing, rendezvous, mailbox, onEvent } = this.#context;
    relaying.end(client);
    mailbox?.leave(client);
    const isInLobby = rendezvous.isInLobby(client);
    const registered = rendezvous.leave(client);
    announcing.forget(client);
    if (!registered) return;
    const { name } = registered.key;
    if (isInLobby) announcing.exit(client, name);
    onEvent({ event: "left", name, code: client.channel.failure?.code ?? "goodbye" });
  }
}

/** Waits until a client that was sent away has gone, and passes over what it still says. */
async function lastWords(channel: Channel): Promise<void> {
  while (await channel.receive());
}
