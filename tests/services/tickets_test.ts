import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { TICKET_LIFETIME } from "../../lib/limits.ts";
import { type Ticket, Tickets } from "../../lib/services/tickets.ts";
import { decodeClientPreface, encodeTicketPreface } from "../../lib/wire/handshake_messages.ts";

const NOW = Date.UTC(2030, 0, 1);
const ALICE = new Uint8Array(32).fill(7);
const M1 = new Uint8Array(100).fill(1);

function show(tickets: Tickets, ticket: Ticket, now = NOW, m1 = M1, sent = M1) {
  const preface = decodeClientPreface(encodeTicketPreface(ticket, sent));
  assert(preface.type === "ticket");
  return tickets.presented(preface, m1, now);
}

Deno.test("a ticket is good for its identity, once, and until it is too old", () => {
  const tickets = new Tickets(systemRandom, systemRandom(32));
  const ticket = tickets.issue(ALICE, NOW);
  assertEquals(show(tickets, ticket), encodeHex(ALICE));
  assertEquals(show(tickets, ticket), undefined);
  const late = tickets.issue(ALICE, NOW);
  assertEquals(show(tickets, late, NOW + TICKET_LIFETIME + 3_600_000), undefined);
  assertEquals(show(tickets, late, NOW + TICKET_LIFETIME), encodeHex(ALICE));
});

Deno.test("a ticket holds before its own m1, whole, and with the server that made it", () => {
  const tickets = new Tickets(systemRandom, systemRandom(32));
  const ticket = tickets.issue(ALICE, NOW);
  assertEquals(show(tickets, ticket, NOW, M1.slice(1)), undefined);
  for (let i = 0; i < ticket.ticket.length; i++) {
    const forged = ticket.ticket.slice();
    forged[i]! ^= 1;
    assertEquals(show(tickets, { ...ticket, ticket: forged }), undefined, `byte ${i}`);
  }
  assertEquals(show(tickets, { ...ticket, ticketKey: new Uint8Array(32) }), undefined);
  assertEquals(show(new Tickets(systemRandom, systemRandom(32)), ticket), undefined);
  assertEquals(show(tickets, ticket), encodeHex(ALICE));
});

Deno.test("two tickets of one identity have nothing in common", () => {
  const tickets = new Tickets(systemRandom, systemRandom(32));
  const [one, other] = [tickets.issue(ALICE, NOW).ticket, tickets.issue(ALICE, NOW).ticket];
  assert(one.filter((byte, i) => byte === other[i]).length < 8);
});

Deno.test("a server that was started again with its secret knows its tickets, under a key for each period", () => {
  const secret = systemRandom(32);
  const before = new Tickets(systemRandom, secret), after = new Tickets(systemRandom, secret);
  const end = (Math.floor(NOW / TICKET_LIFETIME) + 1) * TICKET_LIFETIME;
  for (const issued of [NOW, end - 1, end]) {
    const ticket = before.issue(ALICE, issued);
    assertEquals(show(after, ticket, issued + TICKET_LIFETIME), encodeHex(ALICE));
    assertEquals(show(after, ticket, issued + TICKET_LIFETIME), undefined);
  }
  // A clock that has gone back far meets tickets of a time to come.
  assertEquals(show(after, before.issue(ALICE, end + 2 * TICKET_LIFETIME), NOW), undefined);
});
