/** Whom a client wants to be introduced to, and whom it does not want to talk to (PROTOCOL.md 3.7, 3.11). */
import { CifraError } from "../../errors.ts";
import type { RendezvousOutcome } from "../../services/rendezvous.ts";
import type { Client } from "../client.ts";
import type { Context, Request } from "./context.ts";
import { logRefusal } from "./refusals.ts";
import { tell } from "./outcomes.ts";

/** Wants somebody. A want that cannot be is over; the registration and all other wants stay. */
export function want(context: Context, client: Client, { name: peerName }: Request<"want">): void {
  const { environment: { time }, rendezvous, relaying, onEvent } = context;
  // A client that wants somebody has lost what was relayed to them.
  relaying.end(client, peerName);
  let outcomes: readonly RendezvousOutcome<Client>[];
  try {
    outcomes = rendezvous.want(client, peerName, time.date(), relaying.isOn);
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    rendezvous.unwant(client, peerName);
    logRefusal(context, client, "want", error.code);
    client.unwant(peerName, error.code, error.message, error.retryAfter);
    if (error.code === "limit" && error.retryAfter) tellOther(context, client, peerName, error);
    return;
  }
  onEvent({ event: "wants", name: client.name!, wanted: peerName });
  tell(context, outcomes);
}

/** Both want each other, and one has to wait: the other would wait as long without knowing why. */
function tellOther(
  { rendezvous }: Context,
  client: Client,
  peerName: string,
  { code, retryAfter }: CifraError,
): void {
  const { name } = client;
  const other = rendezvous.wantFor(client, peerName);
  if (!other || name === undefined) return;
  rendezvous.unwant(other.holder, name);
  other.holder.unwant(
    name,
    code,
    `${name} asks for you as well, and cannot be introduced yet`,
    retryAfter,
  );
}

/** No longer wants somebody. */
export function unwant(
  { rendezvous }: Context,
  client: Client,
  { name }: Request<"unwant">,
): void {
  rendezvous.unwant(client, name);
}

/** Does not want to talk to somebody who wants it. */
export function decline(
  { rendezvous }: Context,
  client: Client,
  { name }: Request<"decline">,
): void {
  const declined = rendezvous.decline(client, name);
  declined?.holder.respond({ type: "declined", peerName: declined.peerName });
}
