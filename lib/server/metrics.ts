/** What a server counts, in the text form of Prometheus. No name and no address is in it. */
import type { ServerStore } from "../store/server_store.ts";
import type { ServerEvent } from "./events.ts";
import type { Server } from "./server.ts";

/** Figures are counted anew after so long, and after so many times what counting them took (milliseconds). */
const COUNTED_FOR = 1000;
const COUNTING_SHARE = 100;

/** Counters over the events of a server. */
export class Metrics {
  readonly #now: () => number;
  #counted: { readonly text: string; readonly until: number } | undefined;
  readonly #events = new Map<ServerEvent["event"], number>();
  #relayedBytes = 0;

  /** `now` gives milliseconds that only grow. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Counts an event. */
  count(event: ServerEvent): void {
    this.#events.set(event.event, this.total(event.event) + 1);
    if (event.event === "relayed") this.#relayedBytes += event.bytes;
  }

  /** How often there was such an event. */
  total(event: ServerEvent["event"]): number {
    return this.#events.get(event) ?? 0;
  }

  /**
   * All figures, one a line. Names and accounts take time to count, while nobody is served: so it takes a
   * hundredth of the time at the most, however often somebody asks.
   */
  format(server: Server, store: ServerStore): string {
    const began = this.#now();
    if (this.#counted && began < this.#counted.until) return this.#counted.text;
    const text = this.#count(server, store);
    const ended = this.#now();
    const until = ended + Math.max(COUNTED_FOR, COUNTING_SHARE * (ended - began));
    this.#counted = { text, until };
    return text;
  }

  #count(server: Server, store: ServerStore): string {
    const { names, accounts, invites, bans } = store.counts();
    const people = [...server.people()];
    const gauges = {
      connections: server.connections,
      people_here: people.length,
      people_in_lobby: people.filter(({ isInLobby }) => isInLobby).length,
      wants: people.reduce((sum, { wants }) => sum + wants.length, 0),
      names,
      accounts,
      invites,
      bans,
      ...server.mail && { envelopes: server.mail.count, mailbox_bytes: server.mail.bytes },
    };
    const lines = Object.entries(gauges).flatMap(([name, value]) => [
      `# TYPE cifra_${name} gauge`,
      `cifra_${name} ${value}`,
    ]);
    lines.push("# TYPE cifra_relayed_bytes_total counter");
    lines.push(`cifra_relayed_bytes_total ${this.#relayedBytes}`);
    lines.push("# TYPE cifra_events_total counter");
    for (const [event, count] of this.#events) {
      lines.push(`cifra_events_total{event="${event}"} ${count}`);
    }
    return lines.join("\n") + "\n";
  }
}
