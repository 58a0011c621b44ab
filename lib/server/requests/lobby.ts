/** Who is in the lobby (PROTOCOL.md 3.11). */
import { Capability } from "../../wire/rendezvous_messages.ts";
import type { Client } from "../client.ts";
import type { Context, Request } from "./context.ts";

/** In the lobby and seen there: away, or back. */
export function away(
  { rendezvous, announcing }: Context,
  client: Client,
  request: Request<"away">,
) {
  const registered = rendezvous.registeredBy(client);
  if (!registered || !rendezvous.isInLobby(client)) return;
  if ((registered.registration.capabilities & Capability.unlisted) !== 0) return;
  announcing.setAway(registered.key.name, request.away === 1);
}

/** Asks who is in the lobby. */
export function who({ announcing }: Context, client: Client): void {
  announcing.ask(client);
}
