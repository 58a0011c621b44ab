/** The ticket by which a server knows again whoever was there before (PROTOCOL.md 3.7). */
import type { encodeTicketPreface } from "../wire/handshake_messages.ts";

/** A ticket of a server (PROTOCOL.md 3.7). */
export type Ticket = Parameters<typeof encodeTicketPreface>[0];

/** Keeps the last ticket of one server for one identity: in memory, and where `save` puts it. */
export class TicketHolder {
  readonly #save: (ticket: Ticket | undefined) => Promise<void>;
  #ticket: Ticket | undefined;

  /** `ticket` is of an earlier run. */
  constructor(
    ticket?: Ticket,
    save: (ticket: Ticket | undefined) => Promise<void> = () => Promise.resolve(),
  ) {
    this.#ticket = ticket;
    this.#save = save;
  }

  /** Whether there is one. */
  get isThere(): boolean {
    return this.#ticket !== undefined;
  }

  /** The ticket, which is not here any more; none that cannot be forgotten, for it is shown once. */
  async take(): Promise<Ticket | undefined> {
    const ticket = this.#ticket;
    this.#ticket = undefined;
    if (!ticket) return undefined;
    return await this.#save(undefined).then(() => ticket, () => undefined);
  }

  /** Keeps a ticket for the next time; one that cannot be kept is only a convenience. */
  async keep({ ticket, ticketKey }: Ticket): Promise<void> {
    this.#ticket = { ticket, ticketKey };
    await this.#save(this.#ticket).catch(() => {});
  }
}
