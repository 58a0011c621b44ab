import { assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import {
  MESSAGES_BURST,
  REQUESTS_BURST,
  REQUESTS_PER_MINUTE,
  SIGN_UPS_PER_HOUR,
} from "../../lib/limits.ts";
import { Quotas } from "../../lib/services/quotas.ts";

const HOUR = 3_600_000;

Deno.test("turn() lets a burst through, and has each of more wait for its turn", () => {
  const quotas = new Quotas({ quotas: true });
  for (let n = 0; n < REQUESTS_BURST; n++) assertEquals(quotas.turn("request", "a", 0), 0);
  const pause = 60_000 / REQUESTS_PER_MINUTE;
  assertEquals(quotas.turn("request", "a", 0), pause);
  assertEquals(quotas.turn("request", "a", 0), 2 * pause);
  // Messages, and other identities, have a bucket of their own.
  for (let n = 0; n < MESSAGES_BURST; n++) assertEquals(quotas.turn("message", "a", 0), 0);
  assertEquals(quotas.turn("message", "a", 0) > 0, true);
  assertEquals(quotas.turn("request", "b", 0), 0);
});

Deno.test("a name signs up three times an hour, and only its owner uses that up", () => {
  const quotas = new Quotas({ quotas: true });
  for (let n = 0; n < 100; n++) quotas.requireSignUp("alice", 0);
  for (let n = 0; n < SIGN_UPS_PER_HOUR; n++) quotas.signedUp("alice", n * 1000);
  const error = assertThrows(() => quotas.requireSignUp("alice", 10_000), CifraError);
  assertEquals([error.code, error.retryAfter], ["limit", 3590]);
  quotas.requireSignUp("bob", 10_000);
  quotas.requireSignUp("alice", HOUR);
  assertEquals(SIGN_UPS_PER_HOUR, 3);
});

Deno.test("without quotas nobody waits, and a name signs up as often as it likes", () => {
  const quotas = new Quotas({ quotas: false });
  for (let n = 0; n < 2 * REQUESTS_BURST; n++) assertEquals(quotas.turn("request", "a", 0), 0);
  for (let n = 0; n <= SIGN_UPS_PER_HOUR; n++) {
    quotas.requireSignUp("alice", 0);
    quotas.signedUp("alice", 0);
  }
});
