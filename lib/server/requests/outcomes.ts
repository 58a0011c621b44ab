/** Tells clients what a registration or a want leads to. */
import type { RendezvousOutcome } from "../../services/rendezvous.ts";
import type { Client } from "../client.ts";
import type { Context } from "./context.ts";

/** Tells outcomes in their order. */
export function tell(context: Context, outcomes: readonly RendezvousOutcome<Client>[]): void {
  for (const outcome of outcomes) tellOne(context, outcome);
}

function tellOne(context: Context, outcome: RendezvousOutcome<Client>): void {
  const { onEvent } = context;
  switch (outcome.type) {
    case "replaced": {
      const { holder, key: { name } } = outcome.registered;
      holder.dismiss("replaced", "The same identity has connected again");
      return onEvent({ event: "replaced", name });
    }
    case "taken-over": {
      const { holder, peerName } = outcome.want;
      return holder.unwant(peerName, "replaced", "Another program of this identity asks for them");
    }
    case "offer": {
      const { to, from: { key: { name, bundle }, suite } } = outcome;
      return to.holder.respond({ type: "offer", peerName: name, suite, bundle });
    }
    case "suite-mismatch": {
      const [a, b] = outcome.pair;
      for (const [reader, peer] of [[a, b], [b, a]] as const) {
        const suites = { yourSuite: reader.suite, peerSuite: peer.suite };
        reader.holder.respond({ type: "suiteMismatch", peerName: peer.key.name, ...suites });
      }
      return onEvent({ event: "suite-mismatch", names: [b.key.name, a.key.name] });
    }
    case "introduced":
      return introduce(context, outcome);
    default:
      outcome satisfies never;
  }
}

function introduce(
  { relaying, onEvent }: Context,
  { generation, relay, pair }: Extract<RendezvousOutcome<Client>, { readonly type: "introduced" }>,
): void {
  // In the log the one who waited stands first.
  const [a, b] = [pair[1].to, pair[0].to];
  if (relay) {
    const one = { name: a.key.name, client: a.holder },
      other = { name: b.key.name, client: b.holder };
    relaying.open(generation, one, other);
  }
  for (const { to: { holder }, introduction } of pair) {
    holder.respond({ type: "introduction", ...introduction });
  }
  onEvent({ event: "introduced", names: [a.key.name, b.key.name], generation });
}
