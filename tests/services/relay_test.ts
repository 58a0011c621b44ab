/** The rules of the relay: windows, credit, the rate, and who may say what about which stream. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { RELAY_WINDOW, RELAY_WINDOW_PIECES } from "../../lib/limits.ts";
import { Relay, type RelayLimits, type RelayOutput } from "../../lib/services/relay.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const UNLIMITED: RelayLimits = {
  relayedPairs: 100,
  relayedPerKey: 0,
  relayedPerSource: 0,
  relayRate: 0,
  relayRatePerSource: 0,
};

/** A relay with these limits alone; what comes without a time comes at 0. */
class TestRelay extends Relay<string> {
  constructor(limits: Partial<RelayLimits> = {}) {
    super({ ...UNLIMITED, ...limits });
  }

  override data(from: string, stream: number, length: number, now = 0) {
    return super.data(from, stream, length, now);
  }
}

type Outputs = readonly RelayOutput<string>[];

/** A relay with one stream, 7, between alice and bob. */
function opened(limits: Partial<RelayLimits> = {}): TestRelay {
  const relay = new TestRelay(limits);
  open(relay, 7, "alice", "bob");
  return relay;
}

/** Opens a stream between two sessions that are called after their owners, `key` or `key@source`. */
function open(relay: TestRelay, stream: number, a: string, b: string, now = 0): void {
  const party = (name: string) => {
    const [key = "", source] = name.split("@");
    return { client: name, name, key, source };
  };
  relay.open(stream, party(a), party(b), now);
}

const forwardTo = (to: string): Outputs => [{ to, type: "forward" }];
const creditTo = (to: string, count: number, stream = 7): Outputs => [
  { to, type: "credit", stream, count },
];
const closeTo = (to: string, stream = 7): Outputs => [{ to, type: "close", stream }];

function refusalOf(action: () => unknown): ErrorCode {
  return assertThrows(action, CifraError).code;
}

Deno.test("data() forwards to the other one, whoever of the two it comes from", () => {
  const relay = opened();
  assertEquals(relay.data("alice", 7, 1).outputs, forwardTo("bob"));
  assertEquals(relay.data("bob", 7, 1).outputs, forwardTo("alice"));
});

Deno.test("data() takes one window of credit, to the last byte, in each direction by itself", () => {
  for (const sizes of [[RELAY_WINDOW], [1, RELAY_WINDOW - 1], [RELAY_WINDOW - 1, 1]]) {
    const relay = opened();
    for (const size of sizes) relay.data("alice", 7, size);
    assertEquals(refusalOf(() => relay.data("alice", 7, 1)), "limit");
    assertEquals(relay.data("bob", 7, RELAY_WINDOW).outputs, forwardTo("alice"));
    assertEquals(refusalOf(() => relay.data("bob", 7, 1)), "limit");
  }
  const relay = opened();
  assertEquals(refusalOf(() => relay.data("alice", 7, RELAY_WINDOW + 1)), "limit");
  assertEquals(relay.data("alice", 7, RELAY_WINDOW).outputs, forwardTo("bob"));
});

Deno.test("data() takes a window in 8192 pieces and no more, until some were taken off", () => {
  const relay = opened();
  for (let n = 0; n < RELAY_WINDOW_PIECES; n++) relay.data("alice", 7, 1);
  assertEquals(refusalOf(() => relay.data("alice", 7, 1)), "limit");
  // A reader that takes half makes room for half.
  relay.credit("bob", 7, RELAY_WINDOW_PIECES / 2, 0);
  for (let n = 0; n < RELAY_WINDOW_PIECES / 2; n++) relay.data("alice", 7, 1);
  assertEquals(refusalOf(() => relay.data("alice", 7, 1)), "limit");
  assertEquals(RELAY_WINDOW_PIECES, 8192);
});

Deno.test("the smallest records of a conversation never come near the limit of pieces", () => {
  const relay = opened();
  const record = 5 + 64 + 16;
  let credit = RELAY_WINDOW, unread = 0;
  for (let n = 0; n < 100_000; n++) {
    const length = Math.min(record, credit);
    relay.data("alice", 7, length);
    credit -= length;
    unread += length;
    if (credit > 0) continue;
    // As a client gives it: a quarter of a window at a time.
    relay.credit("bob", 7, RELAY_WINDOW / 4, 0);
    credit += RELAY_WINDOW / 4;
    unread -= RELAY_WINDOW / 4;
  }
  assert(unread > 0);
});

Deno.test("credit() gives the writer what the reader has taken off, and no byte more", () => {
  const relay = opened();
  relay.data("alice", 7, 1000);
  assertEquals(relay.credit("bob", 7, 400, 0), creditTo("alice", 400));
  assertEquals(refusalOf(() => relay.credit("bob", 7, 601, 0)), "limit");
  assertEquals(relay.credit("bob", 7, 600, 0), creditTo("alice", 600));
  assertEquals(refusalOf(() => relay.credit("bob", 7, 1, 0)), "limit");
  relay.data("alice", 7, RELAY_WINDOW);
  assertEquals(refusalOf(() => relay.data("alice", 7, 1)), "limit");
  relay.credit("bob", 7, 5, 0);
  assertEquals(refusalOf(() => relay.data("alice", 7, 6)), "limit");
  assertEquals(relay.data("alice", 7, 5).outputs, forwardTo("bob"));
});

Deno.test("credit() of nothing is nothing, and the largest number is refused", () => {
  const relay = opened();
  assertEquals(relay.credit("bob", 7, 0, 0), []);
  relay.data("alice", 7, 1);
  assertEquals(relay.credit("bob", 7, 0, 0), []);
  assertEquals(refusalOf(() => relay.credit("bob", 7, 0xffffffff, 0)), "limit");
});

Deno.test("credit() by a writer is for what it reads itself: nobody gives credit to itself", () => {
  const relay = opened();
  relay.data("alice", 7, 100);
  assertEquals(refusalOf(() => relay.credit("alice", 7, 100, 0)), "limit");
  relay.data("bob", 7, 30);
  assertEquals(relay.credit("alice", 7, 30, 0), creditTo("bob", 30));
  assertEquals(relay.credit("bob", 7, 100, 0), creditTo("alice", 100));
});

Deno.test("a stranger to a stream is told that it is closed, and the two do not notice", () => {
  const relay = opened();
  relay.data("alice", 7, RELAY_WINDOW);
  for (const [who, stream] of [["mallory", 7], ["alice", 8], ["mallory", 0]] as const) {
    assertEquals(relay.data(who, stream, 1), { outputs: closeTo(who, stream) });
    assertEquals(relay.credit(who, stream, 1, 0), closeTo(who, stream));
    assertEquals(relay.close(who, stream), { outputs: [] });
  }
  assertEquals(relay.credit("bob", 7, RELAY_WINDOW, 0), creditTo("alice", RELAY_WINDOW));
  assertEquals(relay.data("bob", 7, RELAY_WINDOW).outputs, forwardTo("alice"));
});

Deno.test("close() by either one tells the other, once; then the stream is a stranger's", () => {
  for (const [one, other] of [["alice", "bob"], ["bob", "alice"]] as const) {
    const relay = opened();
    const { outputs, ended } = relay.close(one, 7);
    assertEquals(outputs, closeTo(other));
    assertEquals([ended?.stream, ended?.names, ended?.bytes], [7, ["alice", "bob"], 0]);
    assertEquals(relay.close(one, 7), { outputs: [] });
    assertEquals(relay.close(other, 7), { outputs: [] });
    assertEquals(relay.data(other, 7, 1).outputs, closeTo(other));
    assertEquals(relay.credit(one, 7, 1, 0), closeTo(one));
    assertEquals([relay.streamsOf("alice"), relay.streamsOf("bob")], [[], []]);
  }
});

Deno.test("the first data of a pair are told as such, and its bytes are counted both ways", () => {
  const relay = opened();
  const { first } = relay.data("bob", 7, 10);
  assertEquals([first?.stream, first?.names], [7, ["alice", "bob"]]);
  assertEquals(relay.data("bob", 7, 10).first, undefined);
  assertEquals(relay.data("alice", 7, 5).first, undefined);
  assertEquals(relay.close("alice", 7).ended?.bytes, 25);
});

Deno.test("a client has several streams, each with a window of its own", () => {
  const relay = opened();
  open(relay, 8, "carol", "alice");
  open(relay, 9, "bob", "carol");
  assertEquals(relay.streamsOf("alice"), [7, 8]);
  assertEquals(relay.streamsOf("carol"), [8, 9]);
  assertEquals([relay.streamsOf("alice", "bob"), relay.streamsOf("alice", "carol")], [[7], [8]]);
  assertEquals([relay.streamsOf("carol", "alice"), relay.streamsOf("carol", "bob")], [[8], [9]]);
  assertEquals([relay.streamsOf("alice", "alice"), relay.streamsOf("dave", "bob")], [[], []]);
  assertEquals(relay.data("alice", 7, RELAY_WINDOW).outputs, forwardTo("bob"));
  assertEquals(relay.data("alice", 8, RELAY_WINDOW).outputs, forwardTo("carol"));
  assertEquals(refusalOf(() => relay.credit("carol", 9, 1, 0)), "limit");
  assertEquals(relay.credit("carol", 8, 9, 0), creditTo("alice", 9, 8));
  assertEquals(relay.close("alice", 7).outputs, closeTo("bob"));
  assertEquals(relay.streamsOf("alice"), [8]);
  assertEquals(relay.streamsOf("bob"), [9]);
  assertEquals(relay.data("alice", 8, 9).outputs, forwardTo("carol"));
});

Deno.test("a place is taken by the first byte, and a full relay is said to both", () => {
  assert(!new TestRelay({ relayedPairs: 0 }).isOn);
  const relay = new TestRelay({ relayedPairs: 1 });
  assert(relay.isOn);
  open(relay, 1, "alice", "bob");
  open(relay, 2, "carol", "dave");
  assertEquals(relay.data("carol", 2, 9).outputs, [{ to: "dave", type: "forward" }]);
  assertEquals(relay.data("bob", 1, 9).outputs, [
    { to: "alice", type: "full", stream: 1 },
    { to: "bob", type: "full", stream: 1 },
  ]);
  assertEquals(relay.streamsOf("alice"), []);
  assertEquals(relay.data("bob", 1, 9).outputs, closeTo("bob", 1));
  relay.close("dave", 2);
  open(relay, 3, "alice", "bob");
  assertEquals(relay.data("alice", 3, 9).outputs, [{ to: "bob", type: "forward" }]);
});

Deno.test("a pair of which no byte comes for a minute gives its place back", () => {
  const relay = new TestRelay({ relayedPairs: 1 });
  open(relay, 1, "alice", "bob", 0);
  open(relay, 2, "carol", "dave", 0);
  relay.data("alice", 1, 9, 10_000);
  assertEquals(relay.expire(59_999), []);
  assertEquals(relay.expire(60_000).map(({ outputs }) => outputs), [
    [{ to: "carol", type: "close", stream: 2 }, { to: "dave", type: "close", stream: 2 }],
  ]);
  relay.data("bob", 1, 9, 69_999);
  assertEquals(relay.expire(129_998), []);
  assertEquals(relay.expire(129_999).length, 1);
  open(relay, 3, "carol", "dave", 130_000);
  assertEquals(relay.data("carol", 3, 9).outputs, [{ to: "dave", type: "forward" }]);
});

Deno.test("a key and a source have their share of the places, and others what is left", () => {
  const type = (relay: TestRelay, stream: number, a: string, b: string) => {
    open(relay, stream, a, b);
    return relay.data(a, stream, 9).outputs[0]!.type;
  };
  const byKey = new TestRelay({ relayedPerKey: 2 });
  assertEquals(type(byKey, 1, "eve", "a"), "forward");
  assertEquals(type(byKey, 2, "b", "eve"), "forward");
  assertEquals(type(byKey, 3, "eve", "c"), "full");
  assertEquals(type(byKey, 4, "d", "c"), "forward");
  byKey.close("eve", 1);
  assertEquals(type(byKey, 5, "eve", "c"), "forward");
  const bySource = new TestRelay({ relayedPerSource: 2 });
  // Two of one source are one pair of it.
  assertEquals(type(bySource, 1, "a@here", "b@here"), "forward");
  assertEquals(type(bySource, 2, "c@there", "d@here"), "forward");
  assertEquals(type(bySource, 3, "e@here", "f@else"), "full");
  assertEquals(type(bySource, 4, "e@there", "f@else"), "forward");
});

Deno.test("all that comes from one source goes by one rate, whatever pair it is for", () => {
  const relay = new TestRelay({ relayRatePerSource: 100 });
  open(relay, 1, "a@here", "b@there");
  open(relay, 2, "c@here", "d@there");
  for (const [from, to, stream] of [["a@here", "b@there", 1], ["c@here", "d@there", 2]] as const) {
    relay.data(from, stream, 300);
    // Two seconds' worth is there at once, for the first of them.
    assertEquals(relay.credit(to, stream, 200, 0).length, stream === 1 ? 1 : 0);
  }
  assertEquals(relay.nextRelease(0), 2000);
  assertEquals(relay.release(2000), [{ to: "c@here", type: "credit", stream: 2, count: 200 }]);
  // The other way has a rate of its own.
  relay.data("d@there", 2, 100);
  assertEquals(relay.credit("c@here", 2, 100, 2000).length, 1);
});

Deno.test("without a rate credit is never held back", () => {
  const relay = opened();
  relay.data("alice", 7, RELAY_WINDOW);
  relay.credit("bob", 7, RELAY_WINDOW, 0);
  assertEquals(relay.nextRelease(0), undefined);
  assertEquals(relay.release(1e9), []);
});

Deno.test("with a rate credit flows for two seconds' worth, and is held back from then on", () => {
  const relay = opened({ relayedPairs: 1, relayRate: 100 });
  relay.data("alice", 7, 1000);
  assertEquals(relay.nextRelease(0), undefined);
  assertEquals(relay.credit("bob", 7, 150, 0), creditTo("alice", 150));
  assertEquals(relay.credit("bob", 7, 50, 0), creditTo("alice", 50));
  assertEquals(relay.credit("bob", 7, 50, 0), []);
  assertEquals(relay.nextRelease(0), 500);
  assertEquals(relay.release(499), []);
  assertEquals(relay.release(500), creditTo("alice", 50));
  assertEquals(relay.nextRelease(500), undefined);
  // Held back is not lost, and not to be had by asking twice.
  assertEquals(refusalOf(() => relay.credit("bob", 7, 751, 500)), "limit");
});

Deno.test("an idle pair saves up two seconds' worth and no more", () => {
  const relay = opened({ relayedPairs: 1, relayRate: 100 });
  relay.data("alice", 7, 1000);
  assertEquals(relay.credit("bob", 7, 1000, 3_600_000), creditTo("alice", 200));
  assertEquals(relay.release(3_601_000), []);
  assertEquals(relay.release(3_602_000), creditTo("alice", 200));
});

Deno.test("credit that was held back ends with its stream", () => {
  const relay = opened({ relayedPairs: 1, relayRate: 100 });
  relay.data("alice", 7, 1000);
  relay.credit("bob", 7, 1000, 0);
  assert(relay.nextRelease(0) !== undefined);
  relay.close("bob", 7);
  assertEquals(relay.nextRelease(0), undefined);
  assertEquals(relay.release(1e9), []);
});

/** Two who send as much as they may and take off what has come, on the alarm that the relay asks for. */
class Greedy {
  readonly #relay: Relay<string>;
  readonly #stream: number;
  readonly #credits: Record<string, number> = { alice: RELAY_WINDOW, bob: RELAY_WINDOW };
  readonly #sent: Record<string, number> = { alice: 0, bob: 0 };

  constructor(relay: Relay<string>, stream: number) {
    this.#relay = relay;
    this.#stream = stream;
    open(relay, stream, this.#client("alice"), this.#client("bob"));
  }

  /** Bytes sent by each of the two. */
  get sent(): readonly number[] {
    return Object.values(this.#sent);
  }

  /** Each sends everything it may, and the other takes it off at once, as long as that goes. */
  send(now: number): void {
    for (const [writer, reader] of [["alice", "bob"], ["bob", "alice"]] as const) {
      for (let length = this.#credits[writer]!; length > 0; length = this.#credits[writer]!) {
        this.#credits[writer] = 0;
        this.#sent[writer]! += length;
        this.#relay.data(this.#client(writer), this.#stream, length, now);
        this.take(this.#relay.credit(this.#client(reader), this.#stream, length, now));
      }
    }
  }

  take(outputs: Outputs): void {
    for (const output of outputs) {
      const [name, stream] = output.to.split(" ");
      if (output.type !== "credit" || Number(stream) !== this.#stream) continue;
      this.#credits[name!]! += output.count;
    }
  }

  #client(name: string): string {
    return `${name} ${this.#stream}`;
  }
}

/** Runs `pairs` greedy ones for so many seconds; `late` is by how much the alarm misses its moment. */
function run(rate: number, seconds: number, pairs = 1, late: () => number = () => 0) {
  const relay = new TestRelay({ relayedPairs: pairs, relayRate: rate });
  const greedy = Array.from({ length: pairs }, (_, n) => new Greedy(relay, n + 1));
  let alarms = 0;
  for (let now = 0; now < seconds * 1000; alarms++) {
    const outputs = relay.release(now);
    for (const one of greedy) {
      one.take(outputs);
      one.send(now);
    }
    const wait = relay.nextRelease(now);
    assert(wait !== undefined && wait > 0, `${rate}: nothing is held back at ${now}`);
    now += wait + late();
  }
  return { sent: greedy.flatMap(({ sent }) => sent), alarms };
}

/** A window to begin with, what was saved up, and the rate from then on. */
const most = (rate: number, seconds: number) => RELAY_WINDOW + rate * 2 + rate * seconds;

for (const rate of [1, 2, 3, 7, 100, 1000, 32 * KIB - 1, 32 * KIB, 100_000, MIB, 16 * MIB]) {
  Deno.test(`over a long time a pair gets ${rate} bytes a second each way, not more and not less`, () => {
    const seconds = rate < 1000 ? 10_000 : 100;
    const { sent, alarms } = run(rate, seconds);
    for (const bytes of sent) {
      assert(bytes <= most(rate, seconds), `${bytes} is too much`);
      // All but the last stride, which is still held back.
      assert(bytes >= most(rate, seconds) - Math.max(2 * rate, 64 * KIB), `${bytes} is too little`);
    }
    // One alarm for each stride, and a few more where a moment fell between two milliseconds.
    const strides = 2 * seconds * rate / Math.min(64 * KIB, 2 * rate);
    assert(alarms <= 1.5 * strides + 10, `${alarms} alarms`);
  });
}

Deno.test("an alarm that is late now and then costs no throughput above the smallest rates", () => {
  let n = 0;
  const late = () => n++ % 3 === 0 ? 15 : 0;
  for (const rate of [100_000, MIB, 16 * MIB]) {
    for (const bytes of run(rate, 60, 1, late).sent) {
      assert(bytes <= most(rate, 61), `${rate}: ${bytes} is too much`);
      assert(bytes >= rate * 60, `${rate}: ${bytes} is too little`);
    }
  }
});

Deno.test("each of several pairs has the rate for itself", () => {
  for (const rate of [1000, MIB]) {
    for (const bytes of run(rate, 30, 5).sent) {
      assert(bytes <= most(rate, 30), `${rate}: ${bytes} is too much`);
      assert(bytes >= rate * 30, `${rate}: ${bytes} is too little`);
    }
  }
});
