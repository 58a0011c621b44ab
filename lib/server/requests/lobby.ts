/** Who is in the lobby, and who is known (PROTOCOL.md 3.11). */
import { decodeHex } from "@std/encoding/hex";
import { SUITE_IDS } from "../../crypto/suite.ts";
import { KNOWN_NAMES } from "../../limits.ts";
import { ItemType } from "../../wire/records.ts";
import { Capability, encodeServerResponse } from "../../wire/rendezvous_messages.ts";
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

/** Asks who is known, here or away. */
export function known(
  { directory, announcing }: Context,
  client: Client,
  { after }: Request<"known">,
): void {
  const { keys, hasMore } = directory.known(after, KNOWN_NAMES);
  const body = encodeServerResponse({
    type: "known",
    more: hasMore ? 1 : 0,
    keys: keys.map(({ name, suite, fingerprint }) => ({
      name,
      suite: SUITE_IDS[suite],
      fingerprint: decodeHex(fingerprint),
      state: announcing.stateOf(name),
    })),
  });
  client.say(ItemType.response, body);
}
