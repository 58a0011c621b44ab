/** What the handlers of requests work with: the services of the server, and where they tell what happened. */
import type { Environment } from "../../net/environment.ts";
import type { Accounts } from "../../services/accounts.ts";
import type { ConnectionLimits } from "../../services/connection_limits.ts";
import type { Insiders } from "../../services/insiders.ts";
import type { Directory } from "../../services/directory.ts";
import type { Invites } from "../../services/invites.ts";
import type { Mailbox } from "../../services/mailbox.ts";
import type { Quotas } from "../../services/quotas.ts";
import type { Rendezvous } from "../../services/rendezvous.ts";
import type { ServerStore } from "../../store/server_store.ts";
import type { Tickets } from "../../services/tickets.ts";
import type { ServerRequest } from "../../wire/rendezvous_messages.ts";
import type { Announcing } from "../announcing.ts";
import type { Client } from "../client.ts";
import type { ServerEvent } from "../events.ts";
import type { Relaying } from "../relaying.ts";

/** The request of one type. */
export type Request<Type extends ServerRequest["type"]> = Extract<
  ServerRequest,
  { readonly type: Type }
>;

/** One context serves all clients. */
export interface Context {
  readonly environment: Environment;
  readonly store: ServerStore;
  readonly invites: Invites;
  /** Whether newcomers need an invite. */
  readonly inviteOnly: boolean;
  readonly connectionLimits: Pick<ConnectionLimits<unknown>, "registersAgain">;
  readonly tickets: Pick<Tickets, "issue">;
  readonly insiders: Insiders<Client>;
  readonly directory: Directory;
  readonly accounts: Accounts;
  readonly rendezvous: Rendezvous<Client>;
  readonly quotas: Quotas;
  readonly announcing: Announcing;
  readonly relaying: Relaying;
  /** Undefined on a server that keeps nothing for those who are not here. */
  readonly mailbox: Mailbox<Client> | undefined;
  /** What an address is called in the log. */
  readonly tag: (host: string) => string;
  readonly onEvent: (event: ServerEvent) => void;
}
