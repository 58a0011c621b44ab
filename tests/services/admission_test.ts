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
import { Admission, type AdmissionLimits, sourceOf } from "../../lib/services/admission.ts";

const MINUTE = 60_000;
const DEFAULTS: AdmissionLimits = {
  connections: CONNECTIONS_TOTAL,
  strangers: STRANGERS_TOTAL,
  strangersPerSource: STRANGERS_PER_SOURCE,
  handshakesPerMinute: HANDSHAKES_PER_MINUTE,
};
const always = () => 0;
const never = () => 0.999;

/** A door with the default limits; changed where a test wants only one rule. */
function door(limits: Partial<AdmissionLimits> = {}, chance: () => number = never): Admission {
  return new Admission({ ...DEFAULTS, ...limits }, chance);
}

/** Lets in one who shows who it is, so that only the rate and the total count. */
function admitFriend(admission: Admission, source: string, now: number) {
  const refusal = admission.admit(source, now);
  if (!refusal) admission.authenticated(source, now);
  return refusal;
}

/** A stranger comes and goes, and earns what its failure is worth. */
function visit(admission: Admission, source: string, now: number, failure?: ErrorCode) {
  const refusal = admission.admit(source, now);
  if (!refusal) admission.left(source, now, false, failure);
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
  const admission = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 8; n++) assertEquals(admission.admit("a", 0), undefined);
  assertEquals(admission.admit("a", 0), "source-busy");
  assertEquals(admission.admit("b", 0), undefined);
  admission.authenticated("a", 0);
  assertEquals(admission.admit("a", 0), undefined);
  assertEquals(admission.admit("a", 0), "source-busy");
  admission.left("a", 0, false, undefined);
  assertEquals(admission.admit("a", 0), undefined);
});

Deno.test("admit() drops by chance from 16 strangers on, and everybody from 64 on", () => {
  for (const [chance, at16] of [[always, "early-drop"], [never, undefined]] as const) {
    const admission = door({}, chance);
    for (let n = 0; n < 16; n++) assertEquals(admission.admit(`source ${n}`, 0), undefined);
    assertEquals(admission.admit("source 16", 0), at16);
  }
  const admission = door({}, never);
  for (let n = 0; n < 64; n++) assertEquals(admission.admit(`source ${n}`, 0), undefined);
  assertEquals(admission.admit("source 64", 0), "early-drop");
  admission.left("source 3", 0, false, undefined);
  assertEquals(admission.admit("source 64", 0), undefined);
});

Deno.test("admit() drops three in ten of those it drops by chance", () => {
  for (const [chance, dropped] of [[0.299, true], [0.3, false]] as const) {
    const admission = door({}, () => chance);
    for (let n = 0; n < 16; n++) admission.admit(`source ${n}`, 0);
    assertEquals(admission.admit("next", 0), dropped ? "early-drop" : undefined);
  }
});

Deno.test("admit() drops by chance from a quarter of another number of strangers on", () => {
  const admission = door({ strangers: 8 }, always);
  for (const source of ["a", "b"]) assertEquals(admission.admit(source, 0), undefined);
  assertEquals(admission.admit("c", 0), "early-drop");
});

Deno.test("admit() refuses connection 1,025, stranger or not", () => {
  const admission = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 1024; n++) assertEquals(admitFriend(admission, `${n}`, 0), undefined);
  assertEquals(admission.connections, 1024);
  assertEquals(admission.admit("more", 0), "full");
  admission.left("0", 0, true);
  assertEquals(admission.connections, 1023);
  assertEquals(admission.admit("more", 0), undefined);
});

Deno.test("admit() takes ten handshakes of one source at once, then twenty a minute", () => {
  const admission = door();
  for (let n = 0; n < 10; n++) assertEquals(admitFriend(admission, "a", 0), undefined);
  assertEquals(admission.admit("a", 0), "source-rate");
  assertEquals(admission.admit("b", 0), undefined);
  assertEquals(admission.admit("a", 2_999), "source-rate");
  assertEquals(admitFriend(admission, "a", 3_001), undefined);
  assertEquals(admission.admit("a", 3_001), "source-rate");
  let taken = 0;
  for (let now = 3_100; now <= 3_100 + MINUTE; now += 100) {
    if (!admitFriend(admission, "a", now)) taken++;
  }
  assertEquals(taken, 20);
  // However long it was away, the bucket holds ten.
  const later = 100 * MINUTE;
  for (let n = 0; n < 10; n++) assertEquals(admitFriend(admission, "a", later), undefined);
  assertEquals(admission.admit("a", later), "source-rate");
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
    const admission = door({ handshakesPerMinute: 0 });
    for (let n = 0; n < taken; n++) {
      assertEquals(visit(admission, "a", 0, failure), undefined, `${failure}, visit ${n}`);
    }
    assertEquals(visit(admission, "a", 0, failure), "source-penalty", failure);
    assertEquals(visit(admission, "b", 0, failure), undefined);
  }
});

Deno.test("left() blames nobody for the server's own trouble, nor those who showed who they are", () => {
  const admission = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 100; n++) {
    assertEquals(visit(admission, "a", 0, "busy"), undefined);
    assertEquals(visit(admission, "a", 0, "shutdown"), undefined);
    assertEquals(admitFriend(admission, "a", 0), undefined);
    admission.left("a", 0, true, "bad_frame");
  }
});

Deno.test("a penalty runs off with time, and never lasts longer than ten minutes", () => {
  const admission = door({ handshakesPerMinute: 0, strangersPerSource: 1000, strangers: 1000 });
  visit(admission, "a", 0, "bad_frame");
  visit(admission, "a", 0, "bad_frame");
  assertEquals(admission.admit("a", 4_999), "source-penalty");
  assertEquals(visit(admission, "a", 5_000, "bad_frame"), undefined);
  assertEquals(admission.admit("a", 5_000), "source-penalty");

  for (let n = 0; n < 200; n++) assertEquals(admission.admit("b", 0), undefined);
  for (let n = 0; n < 200; n++) admission.left("b", 0, false, "bad_frame");
  assertEquals(admission.admit("b", PENALTY_MAXIMUM - 15_001), "source-penalty");
  assertEquals(admission.admit("b", PENALTY_MAXIMUM - 15_000), undefined);
  assertEquals(PENALTY_MAXIMUM, 600_000);
});

Deno.test("at most 65,536 sources are remembered, and the least recently seen goes first", () => {
  const admission = door({ handshakesPerMinute: 2 });
  const spend = (source: string) => visit(admission, source, 0, "busy");
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
  const admission = door({ handshakesPerMinute: 0, strangersPerSource: 1 });
  assertEquals(admission.admit("open", 0), undefined);
  for (let n = 0; n < SOURCES_REMEMBERED + 10; n++) visit(admission, `${n}`, 0, "busy");
  assertEquals(admission.admit("open", 0), "source-busy");
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
  const admission = door();
  for (let n = 0; n < 10; n++) assert(admission.registersAgain("a", 0));
  assertEquals(admission.registersAgain("a", 0), false);
  assertEquals(admitFriend(admission, "a", 0), "source-rate");
  assert(admission.registersAgain("b", 0));
  assert(admission.registersAgain("a", MINUTE / HANDSHAKES_PER_MINUTE));
  const unlimited = door({ handshakesPerMinute: 0 });
  for (let n = 0; n < 1000; n++) assert(unlimited.registersAgain("a", 0));
});
