import { assertEquals } from "@std/assert";
import { SOURCES_REMEMBERED } from "../../lib/limits.ts";
import { MailboxRates } from "../../lib/services/mailbox_rates.ts";

Deno.test("deposit() lets sixty through, and says how long the next one has to wait", () => {
  const rates = new MailboxRates(true);
  for (let n = 0; n < 60; n++) assertEquals(rates.deposit("alice", 0), 0);
  assertEquals([rates.deposit("alice", 0), rates.deposit("alice", 500)], [1, 1]);
  assertEquals([rates.deposit("bob", 0), rates.deposit("alice", 1000)], [0, 0]);
  assertEquals(rates.deposit("alice", 1000), 1);
});

Deno.test("ask() counts for one person and for all", () => {
  const rates = new MailboxRates(true);
  assertEquals([rates.ask("alice", "bob", 0), rates.ask("alice", "bob", 1)], [0, 600]);
  assertEquals([rates.ask("alice", "carol", 1), rates.ask("zoe", "bob", 1)], [0, 0]);
  assertEquals([rates.ask("alice", "bob", 599_999), rates.ask("alice", "bob", 600_000)], [1, 0]);
  for (let n = 0; n < 17; n++) assertEquals(rates.ask("alice", `${n}`, 700_000), 0);
  assertEquals(rates.ask("alice", "one more", 700_000), 2900);
  assertEquals(rates.ask("alice", "one more", 3_600_000), 0);
});

Deno.test("ask() names a time that fits its field, also when the clock has gone back", () => {
  const rates = new MailboxRates(true);
  const year = 365 * 86_400_000;
  for (let n = 0; n < 20; n++) rates.ask("alice", `${n}`, year);
  assertEquals([rates.ask("alice", "19", 0), rates.ask("alice", "20", 0)], [3600, 3600]);
  rates.ask("bob", "carol", year);
  assertEquals(rates.ask("bob", "carol", 0), 600);
});

Deno.test("mayHaveOnce() is true ten times an hour", () => {
  const rates = new MailboxRates(true);
  for (let n = 0; n < 10; n++) {
    assertEquals(rates.mayHaveOnce("bob", n), true);
    rates.gaveOnce("bob", n);
  }
  assertEquals([rates.mayHaveOnce("bob", 3_599_999), rates.mayHaveOnce("carol", 10)], [
    false,
    true,
  ]);
  assertEquals(rates.mayHaveOnce("bob", 3_600_000), true);
});

Deno.test("without quotas nobody waits, and strangers drain nobody all the same", () => {
  const rates = new MailboxRates(false);
  for (let n = 0; n < 100; n++) {
    assertEquals([rates.deposit("alice", 0), rates.ask("alice", "bob", 0)], [0, 0]);
    rates.gaveOnce("bob", 0);
  }
  assertEquals(rates.mayHaveOnce("bob", 0), false);
});

Deno.test("who was told of which box is remembered for so many and no more", () => {
  const rates = new MailboxRates(true);
  rates.toldOf("alice", 1);
  assertEquals([rates.knows("alice", 1), rates.knows("alice", 2), rates.knows("bob", 1)], [
    true,
    false,
    false,
  ]);
  for (let n = 0; n < SOURCES_REMEMBERED; n++) rates.toldOf(`somebody ${n}`, 1);
  assertEquals([rates.knows("alice", 1), rates.knows("somebody 0", 1)], [false, true]);
});
