import { assert, assertEquals } from "@std/assert";
import type { ErrorCode } from "../../lib/errors.ts";
import {
  CONNECTIONS_TOTAL,
  HANDSHAKES_PER_MINUTE,
  PENALTY_MAXIMUM,
  SOURCES_REMEMBERED,
  STRANGERS_PER_SOURCE,
  STRANGERS_TOTAL,
} from "../../lib/limits.ts";
import {
  type ConnectionCaps,
  ConnectionLimits,
  sourceOf,
} from "../../lib/services/connection_limits.ts";

const MINUTE = 60_000;
const DEFAULTS: ConnectionCaps = {
  connections: CONNECTIONS_TOTAL,
  strangers: STRANGERS_TOTAL,
  strangersPerSource: STRANGERS_PER_SOURCE,
  handshakesPerMinute: HANDSHAKES_PER_MINUTE,
};
const always = () => 0;
const never = () => 0.999;

/** A door with the default limits; changed where a test wants only one rule. */
function door(
  limits: Partial<ConnectionCaps> = {},
  chance: () => number = never,
): ConnectionLimits {
  return new ConnectionLimits({ ...DEFAULTS, ...limits }, chance);
}

/** Lets in one who shows who it is, so that only the rate and the total count. */
function admitFriend(connectionLimits: ConnectionLimits, source: string, now: number) {
  const refusal = connectionLimits.admit(source, now);
  if (!refusal) connectionLimits.authenticated(source, now);
  return refusal;
}

/** A stranger comes and goes, and earns what its failure is worth. */
function visit(
  connectionLimits: ConnectionLimits,
  source: string,
  now: number,
  failure?: ErrorCode,
) {
  const refusal = connectionLimits.admit(source, now);
  if (!refusal) connectionLimits.left(source, now, false, failure);
  return refusal;
}

Deno.test("the defaults are those of the document", () => {
  assertEquals(DEFAULTS, {
    connections: 1024,
    strangers: 64,
    strangersPerSource: 8,
    handshakesPerMinute: 20,
  });
});

Deno.test("admit() refuses the ninth stranger of one source until one has shown who it is", () => {
  const connectionLimits = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 8; n++) assertEquals(connectionLimits.admit("a", 0), undefined);
  assertEquals(connectionLimits.admit("a", 0), "source-busy");
  assertEquals(connectionLimits.admit("b", 0), undefined);
  connectionLimits.authenticated("a", 0);
  assertEquals(connectionLimits.admit("a", 0), undefined);
  assertEquals(connectionLimits.admit("a", 0), "source-busy");
  connectionLimits.left("a", 0, false, undefined);
  assertEquals(connectionLimits.admit("a", 0), undefined);
});

Deno.test("admit() drops by chance from 16 strangers on, and everybody from 64 on", () => {
  for (const [chance, at16] of [[always, "early-drop"], [never, undefined]] as const) {
    const connectionLimits = door({}, chance);
    for (let n = 0; n < 16; n++) assertEquals(connectionLimits.admit(`source ${n}`, 0), undefined);
    assertEquals(connectionLimits.admit("source 16", 0), at16);
  }
  const connectionLimits = door({}, never);
  for (let n = 0; n < 64; n++) assertEquals(connectionLimits.admit(`source ${n}`, 0), undefined);
  assertEquals(connectionLimits.admit("source 64", 0), "early-drop");
  connectionLimits.left("source 3", 0, false, undefined);
  assertEquals(connectionLimits.admit("source 64", 0), undefined);
});

Deno.test("admit() drops three in ten of those it drops by chance", () => {
  for (const [chance, dropped] of [[0.299, true], [0.3, false]] as const) {
    const connectionLimits = door({}, () => chance);
    for (let n = 0; n < 16; n++) connectionLimits.admit(`source ${n}`, 0);
    assertEquals(connectionLimits.admit("next", 0), dropped ? "early-drop" : undefined);
  }
});

Deno.test("admit() drops by chance from a quarter of another number of strangers on", () => {
  const connectionLimits = door({ strangers: 8 }, always);
  for (const source of ["a", "b"]) assertEquals(connectionLimits.admit(source, 0), undefined);
  assertEquals(connectionLimits.admit("c", 0), "early-drop");
});

Deno.test("admit() refuses connection 1,025, stranger or not", () => {
  const connectionLimits = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 1024; n++) assertEquals(admitFriend(connectionLimits, `${n}`, 0), undefined);
  assertEquals(connectionLimits.connections, 1024);
  assertEquals(connectionLimits.admit("more", 0), "full");
  connectionLimits.left("0", 0, true);
  assertEquals(connectionLimits.connections, 1023);
  assertEquals(connectionLimits.admit("more", 0), undefined);
});

Deno.test("admit() takes ten handshakes of one source at once, then twenty a minute", () => {
  const connectionLimits = door();
  for (let n = 0; n < 10; n++) assertEquals(admitFriend(connectionLimits, "a", 0), undefined);
  assertEquals(connectionLimits.admit("a", 0), "source-rate");
  assertEquals(connectionLimits.admit("b", 0), undefined);
  assertEquals(connectionLimits.admit("a", 2_999), "source-rate");
  assertEquals(admitFriend(connectionLimits, "a", 3_001), undefined);
  assertEquals(connectionLimits.admit("a", 3_001), "source-rate");
  let taken = 0;
  for (let now = 3_100; now <= 3_100 + MINUTE; now += 100) {
    if (!admitFriend(connectionLimits, "a", now)) taken++;
  }
  assertEquals(taken, 20);
  // However long it was away, the bucket holds ten.
  const later = 100 * MINUTE;
  for (let n = 0; n < 10; n++) assertEquals(admitFriend(connectionLimits, "a", later), undefined);
  assertEquals(connectionLimits.admit("a", later), "source-rate");
});

Deno.test("admit() keeps another rate with half of it as the burst, and 0 counts none", () => {
  const slow = door({ handshakesPerMinute: 6 });
  for (let n = 0; n < 3; n++) assertEquals(admitFriend(slow, "a", 0), undefined);
  assertEquals(slow.admit("a", 0), "source-rate");
  assertEquals(admitFriend(slow, "a", 10_000), undefined);
  const one = door({ handshakesPerMinute: 1 });
  assertEquals(admitFriend(one, "a", 0), undefined);
  assertEquals(one.admit("a", MINUTE - 1), "source-rate");
  assertEquals(admitFriend(one, "a", MINUTE), undefined);
  const free = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 500; n++) assertEquals(admitFriend(free, "a", 0), undefined);
});

Deno.test("left() adds a penalty for each failure, and above 15 s in sum the source is refused", () => {
  const cases: readonly { failure: ErrorCode | undefined; taken: number }[] = [
    // 10 s each: 10, 20.
    { failure: "bad_frame", taken: 2 },
    { failure: "bad_state", taken: 2 },
    // 5 s each: 5, 10, 15, 20.
    { failure: "auth_failed", taken: 4 },
    // 1 s each.
    { failure: "timeout", taken: 16 },
    { failure: "cut", taken: 16 },
    { failure: undefined, taken: 16 },
  ];
  for (const { failure, taken } of cases) {
    const connectionLimits = door({ handshakesPerMinute: 0 });
    for (let n = 0; n < taken; n++) {
      assertEquals(visit(connectionLimits, "a", 0, failure), undefined, `${failure}, visit ${n}`);
    }
    assertEquals(visit(connectionLimits, "a", 0, failure), "source-penalty", failure);
    assertEquals(visit(connectionLimits, "b", 0, failure), undefined);
  }
});

Deno.test("left() blames nobody for the server's own trouble, nor those who showed who they are", () => {
  const connectionLimits = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 100; n++) {
    assertEquals(visit(connectionLimits, "a", 0, "busy"), undefined);
    assertEquals(visit(connectionLimits, "a", 0, "shutdown"), undefined);
    assertEquals(admitFriend(connectionLimits, "a", 0), undefined);
    connectionLimits.left("a", 0, true, "bad_frame");
  }
});

Deno.test("a penalty runs off with time, and never lasts longer than ten minutes", () => {
  const connectionLimits = door({
    handshakesPerMinute: 0,
    strangersPerSource: 1000,
    strangers: 1000,
  });
  visit(connectionLimits, "a", 0, "bad_frame");
  visit(connectionLimits, "a", 0, "bad_frame");
  assertEquals(connectionLimits.admit("a", 4_999), "source-penalty");
  assertEquals(visit(connectionLimits, "a", 5_000, "bad_frame"), undefined);
  assertEquals(connectionLimits.admit("a", 5_000), "source-penalty");

  for (let n = 0; n < 200; n++) assertEquals(connectionLimits.admit("b", 0), undefined);
  for (let n = 0; n < 200; n++) connectionLimits.left("b", 0, false, "bad_frame");
  assertEquals(connectionLimits.admit("b", PENALTY_MAXIMUM - 15_001), "source-penalty");
  assertEquals(connectionLimits.admit("b", PENALTY_MAXIMUM - 15_000), undefined);
  assertEquals(PENALTY_MAXIMUM, 600_000);
});

Deno.test("at most 65,536 sources are remembered, and the least recently seen goes first", () => {
  const connectionLimits = door({ handshakesPerMinute: 2 });
  const spend = (source: string) => visit(connectionLimits, source, 0, "busy");
  assertEquals(spend("old"), undefined);
  assertEquals(spend("kept"), undefined);
  assertEquals(spend("old"), "source-rate");
  // Refused or not, `kept` was seen after `old`.
  assertEquals(spend("kept"), "source-rate");
  for (let n = 0; n < SOURCES_REMEMBERED - 1; n++) assertEquals(spend(`${n}`), undefined);
  assertEquals(spend("kept"), "source-rate");
  assertEquals(spend("old"), undefined);
  assertEquals(SOURCES_REMEMBERED, 65_536);
});

Deno.test("a source with open connections is not forgotten", () => {
  const connectionLimits = door({ handshakesPerMinute: 0, strangersPerSource: 1 });
  assertEquals(connectionLimits.admit("open", 0), undefined);
  for (let n = 0; n < SOURCES_REMEMBERED + 10; n++) visit(connectionLimits, `${n}`, 0, "busy");
  assertEquals(connectionLimits.admit("open", 0), "source-busy");
});

Deno.test("sourceOf() is an IPv4 address, or the /64 of an IPv6 one", () => {
  assertEquals(sourceOf("10.0.0.7"), sourceOf("10.0.0.7"));
  assert(sourceOf("10.0.0.7") !== sourceOf("10.0.0.8"));
  assertEquals(sourceOf("2001:db8:1:2::1"), sourceOf("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  assert(sourceOf("2001:db8:1:2::1") !== sourceOf("2001:db8:1:3::1"));
  assertEquals(sourceOf("::ffff:10.0.0.7"), sourceOf("10.0.0.7"));
  assertEquals(sourceOf("not an address"), "not an address");
});

Deno.test("registersAgain() costs as much as coming in, and what is spent comes back with time", () => {
  const connectionLimits = door();
  for (let n = 0; n < 10; n++) assert(connectionLimits.registersAgain("a", 0));
  assertEquals(connectionLimits.registersAgain("a", 0), false);
  assertEquals(admitFriend(connectionLimits, "a", 0), "source-rate");
  assert(connectionLimits.registersAgain("b", 0));
  assert(connectionLimits.registersAgain("a", MINUTE / HANDSHAKES_PER_MINUTE));
  const unlimited = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 1000; n++) assert(unlimited.registersAgain("a", 0));
});
