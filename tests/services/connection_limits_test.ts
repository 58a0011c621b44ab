/** Which connections come onto the porch, who gives way, and who is in doubt. */
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
  isHere,
  sourceOf,
} from "../../lib/services/connection_limits.ts";

const MINUTE = 60_000;
const DEFAULTS: ConnectionCaps = {
  connections: CONNECTIONS_TOTAL,
  strangers: STRANGERS_TOTAL,
  strangersPerSource: STRANGERS_PER_SOURCE,
  handshakesPerMinute: HANDSHAKES_PER_MINUTE,
  penalties: true,
};

/** A porch with the default limits, and what a test does with it. Strangers are called by numbers. */
class Porch {
  readonly limits: ConnectionLimits<number>;
  readonly said = new Map<number, number>();
  /** Those who wait for us. */
  readonly working = new Set<number>();
  #last = 0;

  constructor(limits: Partial<ConnectionCaps> = {}) {
    this.limits = new ConnectionLimits(
      { ...DEFAULTS, ...limits },
      (n) => this.working.has(n) ? undefined : this.said.get(n) ?? 0,
    );
  }

  /** Somebody comes, and then says so much; who had to give way. */
  come(source: string, now = 0, said = 0): { readonly stranger: number; readonly out: number[] } {
    const stranger = ++this.#last;
    const admission = this.limits.admit(stranger, source, now);
    assert(admission.type === "in", "full");
    this.said.set(stranger, said);
    return { stranger, out: [...admission.out] };
  }

  /** One who shows who it is comes in; what its source was in doubt for. */
  friend(source: string, now = 0) {
    const { stranger } = this.come(source, now);
    const doubt = this.limits.doubtOf(stranger);
    if (doubt) this.limits.left(stranger, now);
    else assert(this.limits.authenticated(stranger));
    return doubt;
  }

  /** A stranger comes and goes, and earns what its failure is worth; what its source was in doubt for. */
  visit(source: string, now: number, failure?: ErrorCode) {
    const { stranger } = this.come(source, now);
    const doubt = this.limits.doubtOf(stranger);
    this.limits.left(stranger, now, failure);
    return doubt;
  }
}

Deno.test("the defaults are those of the document", () => {
  assertEquals(DEFAULTS, {
    connections: 1024,
    strangers: 512,
    strangersPerSource: 256,
    handshakesPerMinute: 20,
    penalties: true,
  });
});

Deno.test("the ninth stranger of one source is there instead of the oldest of it that said least", () => {
  const porch = new Porch({ handshakesPerMinute: 0, strangersPerSource: 8 });
  const other = porch.come("b").stranger;
  const first = porch.come("a", 0, 3).stranger;
  const second = porch.come("a", 0, 1).stranger;
  for (let n = 0; n < 6; n++) porch.come("a", 0, 1);
  const ninth = porch.come("a");
  assertEquals(ninth.out, [second]);
  // The ninth has said nothing yet.
  assertEquals(porch.come("a", 0, 5).out, [ninth.stranger]);
  assertEquals(porch.limits.authenticated(second), false);
  assert(porch.limits.authenticated(first));
  assertEquals(porch.come("a").out, []);
  assert(porch.limits.authenticated(other));
});

Deno.test("20 addresses with six slow connections each keep nobody out", () => {
  const porch = new Porch({ strangers: 64, strangersPerSource: 8 });
  const slow = new Set<number>();
  for (let n = 0; n < 120; n++) slow.add(porch.come(`slow ${n % 20}`, 0, 1).stranger);
  for (let n = 0; n < 100; n++) {
    const honest = porch.come(`honest ${n}`, 0, 5).stranger;
    for (let k = 0; k < 20; k++) slow.add(porch.come(`slow ${k}`, 0, 1).stranger);
    // One that speaks at once does not go while slow ones are there.
    assert(porch.limits.authenticated(honest), `${n}`);
  }
});

Deno.test("one who is acquainted does not give way to those who are not, however much they say", () => {
  const porch = new Porch({ strangers: 2, strangersPerSource: 0 });
  const friend = porch.come("a").stranger;
  porch.limits.acquainted(friend, "invite", 0);
  for (let n = 0; n < 10; n++) porch.come(`${n}`, 0, 20);
  assert(porch.limits.authenticated(friend));
});

Deno.test("connection 1,025 finds no place, stranger or not, and 0 is no limit", () => {
  const porch = new Porch({ handshakesPerMinute: 0 });
  for (let n = 0; n < 1024; n++) assertEquals(porch.friend(`${n}`), undefined);
  assertEquals(porch.limits.connections, 1024);
  assertEquals(porch.limits.admit(-1, "more", 0), { type: "full" });
  porch.limits.leftInside();
  assertEquals(porch.limits.connections, 1023);
  assertEquals(porch.limits.admit(-1, "more", 0).type, "in");
  const open = new Porch({ connections: 0, strangers: 0, strangersPerSource: 0 });
  for (let n = 0; n < 2000; n++) assertEquals(open.come("a").out, []);
});

Deno.test("nobody gives way who waits for us, and for whom there is no place then is told so", () => {
  for (const limits of [{ strangers: 3 }, { strangersPerSource: 3 }]) {
    const porch = new Porch(limits);
    const [first, second, third] = [1, 2, 3].map(() => porch.come("a").stranger);
    porch.working.add(first!).add(third!);
    assertEquals(porch.come("a").out, [second]);
    for (const n of [4, 2]) porch.working.add(n);
    assertEquals(porch.limits.admit(-1, "a", 0), { type: "crowded" });
    porch.working.delete(third!);
    assertEquals(porch.come("a").out, [third]);
  }
});

Deno.test("a crowd that climbs the ladder costs its source nothing", () => {
  const porch = new Porch();
  for (let n = 0; n < 1000; n++) {
    assertEquals(porch.friend("a"), undefined);
    porch.limits.leftInside();
  }
});

Deno.test("ten handshakes of one source fail at once, then twenty a minute; more of it is in doubt", () => {
  const porch = new Porch({ penalties: false });
  const fail = (now = 0, source = "a") => porch.visit(source, now, "timeout");
  for (let n = 0; n < 10; n++) assertEquals(fail(), undefined);
  assertEquals(fail(), "source-rate");
  assertEquals(porch.friend("a"), "source-rate");
  assertEquals(porch.limits.patienceOf("a", 0), 3);
  assertEquals(fail(0, "b"), undefined);
  assertEquals(fail(2_999), "source-rate");
  assertEquals(fail(3_001), undefined);
  assertEquals(fail(3_001), "source-rate");
  let taken = 0;
  for (let now = 3_100; now <= 3_100 + MINUTE; now += 100) if (!fail(now)) taken++;
  assertEquals(taken, 20);
  // However long it was away, the bucket holds ten.
  const later = 100 * MINUTE;
  for (let n = 0; n < 10; n++) assertEquals(fail(later), undefined);
  assertEquals(fail(later), "source-rate");
  // Those who are there already count as well, and no more than ten are owed.
  const there = Array.from({ length: 50 }, () => porch.come("c").stranger);
  for (const stranger of there) porch.limits.left(stranger, 0, "timeout");
  assertEquals(porch.limits.patienceOf("c", 0), 33);
});

Deno.test("whoever only wants to see the key costs a tenth of one who fails", () => {
  const porch = new Porch();
  for (let n = 0; n < 91; n++) assertEquals(porch.visit("a", 0, "shutdown"), undefined, `${n}`);
  assertEquals(porch.visit("a", 0, "shutdown"), "source-rate");
  for (let n = 0; n < 91; n++) porch.limits.tookNoName("b", 0, undefined);
  assertEquals(porch.visit("b", 0), "source-rate");
});

Deno.test("one identity comes thirty times at once, then sixty a minute", () => {
  const porch = new Porch();
  for (let n = 0; n < 30; n++) assertEquals(porch.limits.comes("alice", 0), 0);
  assertEquals([porch.limits.comes("alice", 0), porch.limits.comes("bob", 0)], [1, 0]);
  assertEquals(porch.limits.comes("alice", 1001), 0);
  const free = new Porch({ handshakesPerMinute: 0 });
  for (let n = 0; n < 100; n++) assertEquals(free.limits.comes("alice", 0), 0);
});

Deno.test("another rate has half of it as the burst, and 0 counts none", () => {
  const fail = (porch: Porch, now = 0) => porch.visit("a", now, "timeout");
  const slow = new Porch({ handshakesPerMinute: 6, penalties: false });
  for (let n = 0; n < 3; n++) assertEquals(fail(slow), undefined);
  assertEquals(fail(slow), "source-rate");
  assertEquals(fail(slow, 10_000), undefined);
  const one = new Porch({ handshakesPerMinute: 1, penalties: false });
  assertEquals(fail(one), undefined);
  assertEquals(fail(one, MINUTE - 1), "source-rate");
  assertEquals(fail(one, MINUTE), undefined);
  const free = new Porch({ handshakesPerMinute: 0, penalties: false });
  for (let n = 0; n < 500; n++) assertEquals(fail(free), undefined);
});

Deno.test("each failure adds a penalty, and above 15 s in sum the source is in doubt", () => {
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
    const porch = new Porch({ handshakesPerMinute: 0 });
    for (let n = 0; n < taken; n++) {
      assertEquals(porch.visit("a", 0, failure), undefined, `${failure}, visit ${n}`);
    }
    assertEquals(porch.visit("a", 0, failure), "source-penalty", failure);
    assertEquals(porch.visit("b", 0, failure), undefined);
    const off = new Porch({ handshakesPerMinute: 0, penalties: false });
    for (let n = 0; n < 100; n++) assertEquals(off.visit("a", 0, failure), undefined);
  }
});

Deno.test("nobody pays for the server's own trouble, for what they did inside, or on this machine", () => {
  const porch = new Porch({ handshakesPerMinute: 0 });
  for (let n = 0; n < 100; n++) {
    assertEquals(porch.visit("a", 0, "busy"), undefined);
    assertEquals(porch.visit("a", 0, "shutdown"), undefined);
    assertEquals(porch.friend("a"), undefined);
    porch.limits.leftInside();
    assertEquals(porch.visit(sourceOf("127.0.0.1"), 0, "bad_frame"), undefined);
    assertEquals(porch.visit(sourceOf("::1"), 0, "bad_frame"), undefined);
  }
});

Deno.test("a doubt does not concern those who are acquainted, unless they fail too often themselves", () => {
  const porch = new Porch({ strangersPerSource: 0, strangers: 0 });
  for (let n = 0; n < 500; n++) porch.visit("a", 0, "bad_frame");
  const come = (what: string, now = 0, share?: number) => {
    const { stranger } = porch.come("a", now);
    assert(porch.limits.doubtOf(stranger));
    porch.limits.acquainted(stranger, what, now, share);
    const doubt = porch.limits.doubtOf(stranger);
    porch.limits.left(stranger, now, "timeout");
    return doubt;
  };
  for (let n = 0; n < 10; n++) assertEquals(come("alice"), undefined);
  assertEquals(come("alice"), "source-penalty");
  assertEquals(come("bob"), undefined);
  assertEquals(come("alice", 3001), undefined);
  // What a class shares counts for ten.
  for (let n = 0; n < 100; n++) assertEquals(come("invite", 3001, 10), undefined);
  assertEquals(come("invite", 3001, 10), "source-penalty");
});

Deno.test("a penalty runs off with time: a source in doubt is not kept there by more of the same", () => {
  const porch = new Porch({ handshakesPerMinute: 0, strangersPerSource: 1000, strangers: 1000 });
  porch.visit("a", 0, "bad_frame");
  porch.visit("a", 0, "bad_frame");
  for (let now = 0; now < 5000; now += 100) {
    assertEquals(porch.visit("a", now, "bad_frame"), "source-penalty");
  }
  assertEquals(porch.visit("a", 5_000, "bad_frame"), undefined);
  assertEquals(porch.visit("a", 5_000), "source-penalty");

  // Those who are there already count in sum, up to ten minutes.
  const there = Array.from({ length: 200 }, () => porch.come("b").stranger);
  for (const stranger of there) porch.limits.left(stranger, 0, "bad_frame");
  assertEquals(porch.visit("b", PENALTY_MAXIMUM - 15_001), "source-penalty");
  assertEquals(porch.visit("b", PENALTY_MAXIMUM - 15_000), undefined);
  assertEquals(PENALTY_MAXIMUM, 600_000);
});

Deno.test("at most 65,536 sources are remembered, and the least recently seen goes first", () => {
  const porch = new Porch({ handshakesPerMinute: 2, penalties: false });
  const spend = (source: string) => porch.visit(source, 0, "timeout");
  assertEquals(spend("old"), undefined);
  assertEquals(spend("kept"), undefined);
  assertEquals(spend("old"), "source-rate");
  // In doubt or not, `kept` was seen after `old`.
  assertEquals(spend("kept"), "source-rate");
  for (let n = 0; n < SOURCES_REMEMBERED - 1; n++) assertEquals(spend(`${n}`), undefined);
  assertEquals(spend("kept"), "source-rate");
  assertEquals(spend("old"), undefined);
  assertEquals(SOURCES_REMEMBERED, 65_536);
});

Deno.test("a source with open connections is not forgotten", () => {
  const porch = new Porch({ handshakesPerMinute: 0, strangersPerSource: 1 });
  const { stranger } = porch.come("open");
  for (let n = 0; n < SOURCES_REMEMBERED + 10; n++) porch.visit(`${n}`, 0, "busy");
  assertEquals(porch.come("open").out, [stranger]);
});

Deno.test("sourceOf() is an IPv4 address, or the /64 of an IPv6 one; isHere() is this machine", () => {
  assertEquals(sourceOf("10.0.0.7"), sourceOf("10.0.0.7"));
  assert(sourceOf("10.0.0.7") !== sourceOf("10.0.0.8"));
  assertEquals(sourceOf("2001:db8:1:2::1"), sourceOf("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  assert(sourceOf("2001:db8:1:2::1") !== sourceOf("2001:db8:1:3::1"));
  assertEquals(sourceOf("::ffff:10.0.0.7"), sourceOf("10.0.0.7"));
  assertEquals(sourceOf("not an address"), "not an address");
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
    assert(isHere(sourceOf(host)), host);
    assertEquals(sourceOf(host), sourceOf("127.0.0.1"));
  }
  for (
    const host of [
      "128.0.0.1",
      "7f00::1",
      "fe80::1",
      "::7f00:1",
      "2002:7f00:1::",
      "2001:db8::",
      "not an address",
    ]
  ) {
    assert(!isHere(sourceOf(host)), host);
  }
});

Deno.test("registersAgain() costs as much as failing, and what is spent comes back with time", () => {
  const porch = new Porch();
  for (let n = 0; n < 10; n++) assert(porch.limits.registersAgain("a", 0));
  assertEquals(porch.limits.registersAgain("a", 0), false);
  assertEquals(porch.friend("a"), "source-rate");
  assert(porch.limits.registersAgain("b", 0));
  assert(porch.limits.registersAgain("a", MINUTE / HANDSHAKES_PER_MINUTE));
  const unlimited = new Porch({ handshakesPerMinute: 0 });
  for (let n = 0; n < 1000; n++) assert(unlimited.limits.registersAgain("a", 0));
});
