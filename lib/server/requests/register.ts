/** Who a client is, and where (PROTOCOL.md 3.7). */
import { shortFingerprint } from "../../crypto/identity.ts";
import { CifraError } from "../../errors.ts";
import { FRAME_LIMIT_OPEN, SILENCE_DEADLINE } from "../../limits.ts";
import { sourceOf } from "../../services/connection_limits.ts";
import { Capability } from "../../wire/rendezvous_messages.ts";
import type { Client } from "../client.ts";
import { claim } from "./claim.ts";
import type { Context, Request } from "./context.ts";
import { tell } from "./outcomes.ts";

/** m7 in, m8 out, and whatever follows from it for this client and others. */
export async function register(
  context: Context,
  client: Client,
  registration: Request<"register">,
): Promise<void> {
  const {
    environment: { time },
    connectionLimits,
    insiders,
    tickets,
    rendezvous,
    announcing,
    onEvent,
    tag,
  } = context;
  const { channel, observed } = client;
  const isAgain = client.name !== undefined;
  if (isAgain && !connectionLimits.registersAgain(sourceOf(observed.host), time.now())) {
    throw new CifraError("limit", "Too many registrations from this address; wait a minute");
  }
  const key = await claim(context, client, registration);
  // The client may have gone while signatures were checked.
  if (!channel.isOpen) return;
  const before = rendezvous.registeredBy(client);
  if (before && rendezvous.isInLobby(client)) announcing.exit(client, before.key.name);
  const { theirs: { fingerprint }, suite } = channel.established;
  const outcomes = rendezvous.register({
    holder: client,
    registration,
    key,
    suite: suite.id,
    observed,
  });
  const { name } = key;
  client.name = name;
  client.sequence = registration.registrationSequence;
  insiders.named(client);
  client.respond({
    type: "registered",
    observed,
    frameLimit: FRAME_LIMIT_OPEN,
    silenceDeadline: SILENCE_DEADLINE / 1000,
    ...tickets.issue(fingerprint, time.date()),
  });
  const isInLobby = rendezvous.isInLobby(client);
  onEvent({
    event: "registered",
    source: tag(observed.host),
    name,
    lobby: isInLobby,
    client: shortFingerprint(fingerprint),
    suite: suite.name,
  });
  tell(context, outcomes);
  if (!isInLobby) return;
  announcing.enter(client, name, (registration.capabilities & Capability.unlisted) === 0);
}
