import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import {
  CHANNEL_GRACE,
  DIAL_ATTEMPTS,
  HANDSHAKE_DEADLINE,
  PREFACE_DEADLINE,
} from "../../lib/limits.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { encode } from "../../lib/wire/layout.ts";
import { peerHello } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { ManualTime } from "../testkit/clock.ts";
import { EvilPeer, test } from "../testkit/adversary.ts";
import {
  assertTogether,
  type Couple,
  type Guest,
  initiatorOf,
  introduce,
  prefaceOf,
  responderOf,
} from "../testkit/couple.ts";
import { person } from "../testkit/handshake.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";

/** Cannot dial the other one. */
const NOWHERE = { introduction: { observed: [] } };
const BOTH_NOWHERE = { low: NOWHERE, high: NOWHERE };

async function together({ low, high }: Couple): Promise<void> {
  await assertTogether(await low.meeting(), await high.meeting());
}

/** Comes to the guest's port as the other one would, or nearly so. */
async function come(guest: Guest, preface = new Uint8Array(0)): Promise<EvilPeer> {
  const evil = await EvilPeer.dial(guest.port);
  if (preface.length > 0) await evil.sendFrame(FrameKind.preface, preface);
  return evil;
}

/** Comes to the guest's port as the other one, and is answered where the guest comes from. */
async function comeIn(guest: Guest, other: Guest): Promise<EvilPeer> {
  const evil = await come(guest, prefaceOf(other.options));
  const answer = await evil.nextFrame();
  assertEquals([answer?.kind, answer?.body], [FrameKind.preface, prefaceOf(guest.options)]);
  return evil;
}

for (const suite of SUITE_NAMES) {
  test(`a connector gives two of ${suite} one conversation`, async () => {
    using couple = await introduce({ suite });
    const { low, high } = couple;
    low.seek();
    high.seek();
    const [a, b] = [await low.meeting(), await high.meeting()];
    assertEquals(a.channel.established.role, "initiator");
    assertEquals(b.channel.established.role, "responder");
    await together(couple);
  });
}

test("a meeting tells each where the other stands, and whose log it is asked about", async () => {
  using couple = await introduce();
  const { low, high } = couple;
  low.seek();
  await together(couple);
  assertEquals(low.meetings[0]!.theirs, high.position);
  assertEquals(high.meetings[0]!.theirs, low.position);
  assertEquals(low.askedFor, [undefined]);
  assertEquals(high.askedFor, [low.position.log]);
});

test("a connector works when only one of the two can be dialled, whichever it is", async () => {
  for (const deaf of ["low", "high"] as const) {
    using couple = await introduce({ [deaf]: NOWHERE });
    const { low, high } = couple;
    low.seek();
    high.seek();
    await together(couple);
    const paths = [low, high].map(({ path }) => path?.type === "direct" && path.dialledBy);
    assertEquals(paths, deaf === "low" ? ["peer", "us"] : ["us", "peer"]);
  }
});

test("a connector dials from the send port and is reached at the receive port", async () => {
  using couple = await introduce();
  const { low, high } = couple;
  high.seek();
  await together(couple);
  const host = "127.0.0.1";
  const fromHigh = { host, port: high.sendPort }, toLow = { host, port: low.port };
  assertEquals(low.path, { type: "direct", remote: fromHigh, dialledBy: "peer" });
  assertEquals(high.path, { type: "direct", remote: toLow, dialledBy: "us" });
});

test("a connector waits before the first dial for as long as it is told", async () => {
  const time = new ManualTime();
  using couple = await introduce({ time });
  const { low } = couple;
  low.seek({ after: 2000 });
  time.advance(1999);
  assertEquals(low.network.dials, []);
  time.advance(1);
  await together(couple);
  // Who has met looks no further: the ticker is left.
  assertEquals(time.pending, 1);
  time.advance(60_000);
  assertEquals([low.network.dials.length, low.network.given], [1, 1]);
});

test("a connector goes on dialling until the other one is there", async () => {
  const time = new ManualTime();
  using couple = await introduce({ time });
  const { low, high } = couple;
  high.deafen();
  low.seek();
  time.advance(0);
  for (let dial = 1; dial < 5; dial++) {
    // Nobody listens yet, and each dial is refused; the pauses between them grow.
    const isRefused = () => low.connector.failures.length > 0 && time.pending > 1;
    await until(() => low.network.dials.length === dial && isRefused(), `dial ${dial}`);
    assertStringIncludes(low.connector.failures[0]!, `127.0.0.1:${high.port}: Cannot reach`);
    if (dial === 4) high.undeafen();
    time.advance(1000 * 2 ** dial);
  }
  await together(couple);
  assertEquals(low.connector.failures, []);
});

test("a hundred simultaneous openings each end with exactly one conversation", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  let state = seed;
  const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  for (let run = 0; run < 100; run++) {
    using couple = await introduce();
    const { low, high } = couple;
    for (const guest of [low, high]) guest.seek({ after: run % 4 === 0 ? 0 : random() * 12 });
    await together(couple);
    // Once both have what they need, each closes whatever else there is.
    await until(() => low.network.open === 1 && high.network.open === 1, `one of seed ${seed}`);
    assertEquals([low.meetings.length, high.meetings.length], [1, 1], `run ${run}, seed ${seed}`);
  }
});

test("one with a wrong preface gets not a byte, and the right one is met (H24)", async () => {
  const sides = (["low", "high"] as const).map(async (name) => {
    using couple = await introduce(BOTH_NOWHERE);
    const host = couple[name], peer = couple[name === "low" ? "high" : "low"];
    host.seek();
    const stranger = await person("modern", "mallory");
    const good = prefaceOf(peer.options);
    const wrong = [
      prefaceOf(peer.options, { id: new Uint8Array(16) }),
      prefaceOf(peer.options, { generation: 6 }),
      prefaceOf(peer.options, { generation: 8 }),
      // Our own preface, sent back to us.
      prefaceOf(host.options),
      prefaceOf({ ...peer.options, identity: stranger.identity }),
      good.slice(1),
      new Uint8Array([...good, 0]),
      new Uint8Array(0),
    ];
    const noise = new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n");
    const words = [
      ...wrong.map((body) => encodeFrame(FrameKind.preface, body)),
      ...[FrameKind.m1, FrameKind.record, FrameKind.alert].map((kind) => encodeFrame(kind, good)),
      noise,
    ];
    // All at once: those who might have come early are let go of when their time is over.
    const answers = words.map(async (word) => {
      const evil = await EvilPeer.dial(host.port);
      await evil.send(word);
      assertEquals((await evil.readToEnd()).length, 0);
      evil.close();
    });
    await Promise.all(answers);
    await meetAs(name === "low" ? "high" : "low", host);
  });
  await Promise.all(sides);
});

/** An honest peer comes after all: the guest lets it in and climbs with it. */
async function meetAs(name: "low" | "high", host: Guest): Promise<void> {
  const before = host.meetings.length;
  const { introduction, peer, ourName, identity } = host.options;
  const { rendezvousKey, generation } = introduction;
  using other = await introduce({
    [name]: { introduction: { rendezvousKey, generation, receivePort: host.port } },
  });
  // The same two people as in every couple of this suite, so that it is the one introduced.
  const guest = other[name];
  assertEquals(guest.options.identity.fingerprint, peer.fingerprint);
  assertEquals(guest.options.peer.fingerprint, identity.fingerprint);
  assertEquals(guest.options.introduction.peerName, ourName);
  guest.seek();
  await assertTogether(await host.meeting(before), await guest.meeting());
}

test("a silent stranger who knocked first hears nothing, and nobody waits for it", async () => {
  for (const name of ["low", "high"] as const) {
    const time = new ManualTime();
    using couple = await introduce({ time });
    const stranger = await come(couple[name]);
    const heard = stranger.readToEnd();
    couple.low.seek();
    couple.high.seek();
    time.advance(0);
    await together(couple);
    time.advance(PREFACE_DEADLINE + 1000);
    assertEquals((await heard).length, 0, name);
    stranger.close();
  }
});

test("sixteen strangers at the door keep two apart for three seconds at most", async () => {
  const time = new ManualTime();
  using couple = await introduce({ time });
  const { low, high } = couple;
  const strangers: EvilPeer[] = [];
  for (const guest of [low, high]) {
    for (let n = 0; n < 20; n++) strangers.push(await come(guest));
  }
  const heard = strangers.map((stranger) => stranger.readToEnd());
  // Each port holds sixteen and hangs up on the others, the true peer among them.
  await Promise.all(heard.slice(16, 20).concat(heard.slice(36)));
  assertEquals([low.network.open, high.network.open], [16, 16]);
  low.seek();
  high.seek();
  time.advance(0);
  await until(
    () => low.connector.failures.length + high.connector.failures.length === 2,
    "both refused",
  );
  time.advance(PREFACE_DEADLINE + 1000);
  for (const bytes of await Promise.all(heard)) assertEquals(bytes.length, 0);
  await together(couple);
  for (const stranger of strangers) stranger.close();
});

test("somebody who repeats a preface a hundred times takes up thirty-two places at the most", async () => {
  for (const name of ["low", "high"] as const) {
    const time = new ManualTime();
    using couple = await introduce({ time, ...BOTH_NOWHERE });
    const host = couple[name], peer = couple[name === "low" ? "high" : "low"];
    const heard: Promise<unknown>[] = [];
    const visitors: EvilPeer[] = [];
    for (let n = 0; n < 100; n++) {
      const evil = await come(host, prefaceOf(peer.options));
      visitors.push(evil);
      heard.push(evil.readToEnd());
      // Each is heard out before the next one comes.
      const settled = () => host.network.given > n && host.network.open <= 32;
      await until(settled, `visitor ${n} is in or out`);
    }
    time.advance(HANDSHAKE_DEADLINE + 1000);
    await until(() => host.network.open === 0, "all have run out of time");
    await Promise.all(heard);
    for (const visitor of visitors) visitor.close();
    await meetAs(name === "low" ? "high" : "low", host);
  }
});

test("two who both think they are the initiator refuse each other (H25)", async () => {
  using couple = await introduce(BOTH_NOWHERE);
  const { low, high } = couple;
  low.seek();
  const evil = await comeIn(low, high);
  // The higher one speaks first as well: the contexts name them in two orders.
  const failed = await evil.runHandshake(initiatorOf(high)).then(() => undefined, (error) => error);
  assert(failed, "the initiator answered an initiator");
  evil.close();
  await meetAs("high", low);
});

test("two who disagree about the key or the generation do not meet (H24)", async () => {
  for (const change of [{ rendezvousKey: new Uint8Array(32).fill(9) }, { generation: 8 }]) {
    using couple = await introduce({ high: { introduction: change } });
    const { low, high } = couple;
    low.seek();
    high.seek();
    const refused = () => low.connector.failures.length > 0 && high.connector.failures.length > 0;
    await until(refused, "both were refused");
    assertEquals([low.meetings, high.meetings], [[], []]);
  }
});

test("a peer who names himself or us wrongly after the ladder is refused", async () => {
  const names = [["low", "other"], ["other", "high"], ["high", "low"]] as const;
  using couple = await introduce(BOTH_NOWHERE);
  const { low, high } = couple;
  for (const [from, to] of names) {
    const evil = await comeIn(high, low);
    const channel = await evil.handshakeAll(initiatorOf(low));
    await channel.send(ItemType.request, encode(peerHello, { from, to, ...low.position }));
    assertEquals(await channel.receive(), "auth_failed");
    evil.close();
  }
  assertEquals(high.meetings, []);
  await meetAs("low", high);
});

test("the first thing said after the ladder is where one stands, and nothing else", async () => {
  using couple = await introduce(BOTH_NOWHERE);
  const { low, high } = couple;
  const hello = encode(peerHello, { from: "low", to: "high", ...low.position });
  const request = { type: ItemType.request, body: hello };
  const wrong = [
    [{ ...request, type: ItemType.message }],
    [{ ...request, type: ItemType.response }],
    [request, request],
    [{ ...request, body: hello.slice(1) }],
  ];
  const answers: unknown[] = [];
  for (const items of wrong) {
    const evil = await comeIn(high, low);
    const channel = await evil.handshakeAll(initiatorOf(low));
    await evil.send(await channel.sealItems(...items));
    answers.push(await channel.receive());
    evil.close();
  }
  assertEquals(answers, ["bad_state", "bad_state", "bad_state", "bad_frame"]);
  assertEquals(high.meetings, []);
  await meetAs("low", high);
});

test("the initiator tries the next connection when one dies under way", async () => {
  using couple = await introduce(BOTH_NOWHERE);
  const { low, high } = couple;
  low.seek();
  for (let n = 0; n < 3; n++) {
    const evil = await comeIn(low, high);
    assertEquals((await evil.nextFrame())?.kind, FrameKind.m1);
    evil.close();
  }
  await meetAs("high", low);
});

test("a peer that stalls after the handshake does not keep the others waiting", async () => {
  const time = new ManualTime();
  using couple = await introduce({ time, ...BOTH_NOWHERE });
  const { low, high } = couple;
  const stalling = await comeIn(low, high);
  await stalling.answerHandshake(responderOf(high));
  // m7 has come, and is not answered.
  assertEquals((await stalling.nextFrame())?.kind, FrameKind.record);
  time.advance(HANDSHAKE_DEADLINE);
  assertEquals(await stalling.lastWords(), "timeout");
  stalling.close();
  await meetAs("high", low);
});

test("the initiator says m1 on one connection at a time", async () => {
  using couple = await introduce(BOTH_NOWHERE);
  const { low, high } = couple;
  const first = await comeIn(low, high);
  assertEquals((await first.nextFrame())?.kind, FrameKind.m1);
  const second = await comeIn(low, high);
  const third = await comeIn(low, high);
  let heard = 0;
  const frames = [second, third].map((evil) => evil.nextFrame().then((frame) => (heard++, frame)));
  const stranger = await come(low, prefaceOf(low.options));
  assertEquals((await stranger.readToEnd()).length, 0);
  stranger.close();
  // Whatever the others were to hear they would have heard by now.
  for (let turns = 0; turns < 50; turns++) await turn();
  assertEquals(heard, 0);
  first.close();
  assertEquals((await frames[0])?.kind, FrameKind.m1);
  assertEquals(heard, 1);
  second.close();
  assertEquals((await frames[1])?.kind, FrameKind.m1);
  third.close();
});

test("the responder answers a later m1 in place of an unfinished earlier one", async () => {
  const time = new ManualTime();
  using couple = await introduce({ time, high: NOWHERE });
  const { low, high } = couple;
  const slow = await comeIn(high, low);
  await slow.runHandshake(initiatorOf(low), 1);
  assertEquals((await slow.nextFrame())?.kind, FrameKind.m2);
  const silent = await comeIn(high, low);
  const later = await comeIn(high, low);
  await later.runHandshake(initiatorOf(low), 1);
  assertEquals(await slow.nextFrame(), null);
  assertEquals((await later.nextFrame())?.kind, FrameKind.m2);
  low.seek();
  time.advance(0);
  await together(couple);
  assertEquals(await later.nextFrame(), null);
  // One that never came to say m1 is sent away as well.
  assertEquals(await silent.nextFrame(), null);
  for (const evil of [slow, silent, later]) evil.close();
});

test("no address is dialled that nobody may be sent to (A13, D7)", async () => {
  const observed = ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "::1", "fe80::1"];
  const endpoint = { host: "127.0.0.1", port: 4000 };
  using couple = await introduce({
    low: { introduction: { observed, punch: [endpoint] }, near: ["203.0.113.1"] },
  });
  const { low } = couple;
  low.seek();
  const failures = low.connector.failures.join("\n");
  for (const scope of ["loopback", "link-local", "multicast", "unspecified"]) {
    assertStringIncludes(failures, `a ${scope} address is not dialled`);
  }
  assertStringIncludes(failures, "127.0.0.1:4000: a loopback address is not dialled");
  assertEquals(low.network.dials, []);
});

test("no server aims a client at a network behind it, at this machine or at a well-known port (A13)", async () => {
  const behind = [
    "127.0.0.1",
    "::1",
    "10.9.9.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "fd00::1",
  ];
  /** Where the server and we are, and what it may name beside public observed. */
  const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
    [["203.0.113.1"], []],
    [["2001:db8::1"], []],
    [["10.0.0.1"], ["10.9.9.1"]],
    [["192.168.7.7"], ["192.168.1.1"]],
    [["172.31.0.1"], ["172.16.0.1"]],
    [["100.127.0.1"], ["100.64.0.1"]],
    [["fd00::2"], ["fd00::1"]],
    [["fd00:0:1::2"], []],
    // We say ourselves where we are.
    [["203.0.113.1", "192.168.1.7"], ["192.168.1.1"]],
    [["127.0.0.1"], behind],
  ];
  for (const [near, allowed] of cases) {
    for (const way of ["observed", "punch"] as const) {
      const time = new ManualTime();
      for (const host of ["198.51.100.1", ...behind]) {
        const told = way === "punch"
          ? { observed: [], punch: [{ host, port: 4000 }] }
          : { observed: [host] };
        const network = {
          ...systemEnvironment.network,
          dialFrom: () => new Promise<never>(() => {}),
        };
        using couple = await introduce({ time, low: { introduction: told, near, network } });
        const { low } = couple;
        low.seek();
        time.advance(0);
        for (let turns = 0; turns < 3; turns++) await turn();
        const dialled = low.network.dials.map(({ to }) => to.host);
        const isAllowed = host === "198.51.100.1" || allowed.includes(host);
        assertEquals(dialled, isAllowed ? [host] : [], `${host} from ${near}`);
      }
    }
  }
  const strangers = ["127.0.0.1", "::1", "169.254.1.1", "224.0.0.1", "8.8.8.8", "2001:db8::1"];
  const told = { observed: [], advertised: strangers };
  using advertising = await introduce({ low: { introduction: told } });
  advertising.low.seek();
  assertEquals(advertising.low.network.dials, [], "a stranger is advertised");
  using couple = await introduce({ low: { introduction: { receivePort: 22 } } });
  couple.low.seek();
  assertStringIncludes(
    couple.low.connector.failures.join(),
    ":22: a port below 1024 is not dialled",
  );
  assertEquals(couple.low.network.dials, []);
});

test("six places are dialled at the most, the one to punch among them", async () => {
  const time = new ManualTime();
  const observed = Array.from({ length: 7 }, (_, n) => `127.0.0.${n + 10}`);
  const punch = [{ host: "127.0.0.9", port: 4000 }];
  using couple = await introduce({ time, low: { introduction: { observed, punch } } });
  const { low } = couple;
  low.seek();
  time.advance(0);
  await until(() => low.connector.failures.length === DIAL_ATTEMPTS, "all are refused");
  const places = new Set(low.network.dials.map(({ to }) => to.host));
  assertEquals(places.size, DIAL_ATTEMPTS);
  assert(places.has("127.0.0.9"));
});

test("a peer who comes again replaces a channel, unless that is a young one", async () => {
  for (const name of ["low", "high"] as const) {
    const time = new ManualTime();
    using couple = await introduce({ time, ...BOTH_NOWHERE });
    const host = couple[name], peer = couple[name === "low" ? "high" : "low"];
    const first = () => {
      (peer.options.introduction.observed as string[]).push("127.0.0.1");
      peer.seek();
      time.advance(0);
    };
    first();
    await together(couple);
    time.advance(CHANNEL_GRACE - 1);
    const hasty = await come(host, prefaceOf(peer.options));
    assertEquals((await hasty.readToEnd()).length, 0, name);
    hasty.close();
    // The peer lost its channel, and knows before we do.
    peer.lose();
    time.advance(1);
    peer.seek();
    time.advance(0);
    await assertTogether(await host.meeting(1), await peer.meeting(1));
    assertEquals([host.meetings.length, peer.meetings.length], [2, 2]);
  }
});

test("a connector at rest lets in whoever comes, and dials nobody", async () => {
  const time = new ManualTime();
  using couple = await introduce({ time });
  const { low, high } = couple;
  low.deafen();
  high.seek();
  time.advance(0);
  await until(() => high.connector.failures.length === 1, "a refusal");
  high.connector.rest();
  assertEquals(time.pending, 1, "the ticker alone");
  low.undeafen();
  time.advance(60_000);
  assertEquals(high.network.dials.length, 1);
  low.seek();
  time.advance(0);
  await together(couple);
});

test("rest() gives up a dial under way", async () => {
  const time = new ManualTime();
  const given = Promise.withResolvers<AbortSignal>();
  const { network } = systemEnvironment;
  const dialFrom = (_: number, __: unknown, signal: AbortSignal) => {
    given.resolve(signal);
    return new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(new Error("given up")));
    });
  };
  using couple = await introduce({ time, low: { network: { ...network, dialFrom } } });
  const { low } = couple;
  low.seek();
  time.advance(0);
  const signal = await given.promise;
  low.connector.rest();
  assert(signal.aborted);
  assertEquals(low.connector.failures, []);
  assertEquals(time.pending, 1);
});

test("close() leaves no socket, no timer and nobody waiting, at any stage", async () => {
  type Stage = (couple: Couple) => Promise<EvilPeer | void>;
  const stages: Record<string, Stage> = {
    "a stranger": ({ low }) => come(low),
    "m1 was said": async ({ low, high }) => {
      const evil = await comeIn(low, high);
      assertEquals((await evil.nextFrame())?.kind, FrameKind.m1);
      return evil;
    },
    "m1 is awaited": ({ low, high }) => comeIn(high, low),
    "m3 is awaited": async ({ low, high }) => {
      const evil = await comeIn(high, low);
      await evil.runHandshake(initiatorOf(low), 1);
      assertEquals((await evil.nextFrame())?.kind, FrameKind.m2);
      return evil;
    },
    "m7 is awaited": async ({ low, high }) => {
      const evil = await comeIn(high, low);
      await evil.handshakeAll(initiatorOf(low));
      return evil;
    },
    "dialling": async ({ low, high }) => {
      high.deafen();
      low.seek();
      await until(() => low.network.dials.length > 0, "a dial");
    },
    "a pause": async ({ low, high }) => {
      high.deafen();
      low.seek();
      await until(() => low.connector.failures.length > 0, "a refusal");
    },
  };
  for (const [name, stage] of Object.entries(stages)) {
    const time = new ManualTime();
    using couple = await introduce({ time, ...(name.startsWith("m") && BOTH_NOWHERE) });
    const { low, high } = couple;
    const staged = stage(couple);
    time.advance(0);
    const evil = await staged;
    if (evil) await until(() => low.network.open + high.network.open > 0, name);
    for (const { connector } of [low, high]) {
      connector.close();
      connector.seek({ relay: true, after: 0 });
    }
    // Whoever comes from an introduction that is over is nobody.
    const before = low.network.open;
    const late = await come(low, prefaceOf(high.options));
    await until(() => low.network.open > before, `${name}: one comes late`);
    time.advance(PREFACE_DEADLINE);
    assertEquals((await late.readToEnd()).length, 0, name);
    late.close();
    for (const { door } of [low, high]) door.close();
    await until(() => time.pending === 0, `${name}: no timer is left`);
    await until(() => low.network.open + high.network.open === 0, `${name}: all is closed`);
    assertEquals([low.meetings, high.meetings], [[], []], name);
    await evil?.readToEnd();
    evil?.close();
  }
});
