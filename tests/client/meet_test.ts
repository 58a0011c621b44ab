import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { meet, type Meeting, type MeetOptions } from "../../lib/client/meet.ts";
import { SUITE_NAMES, type SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import type { InitiatorConfig } from "../../lib/handshake/state.ts";
import { MEETING_DEADLINE, PREFACE_DEADLINE } from "../../lib/limits.ts";
import { findFreePort, Listener } from "../../lib/net/tcp.ts";
import { Ticker } from "../../lib/net/ticker.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { peerContext, peerPreface, peerPrefaceToken } from "../../lib/wire/handshake_messages.ts";
import { encode } from "../../lib/wire/layout.ts";
import { peerHello } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import type { Introduction } from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder, EvilPeer, test } from "../testkit/adversary.ts";
import { envelopeKeys, type Person, person } from "../testkit/ladder.ts";

/** A ticker that beats when the test says so, as late as it says. */
class ManualTicker extends Ticker {
  readonly #members = new Set<(now: number) => void>();

  override add(member: (now: number) => void): () => void {
    this.#members.add(member);
    return () => void this.#members.delete(member);
  }

  override stop(): void {
    this.#members.clear();
  }

  /** Tells everybody that it is so many milliseconds later. */
  jump(milliseconds: number): void {
    const now = performance.now() + milliseconds;
    for (const member of [...this.#members]) member(now);
  }
}

interface Guest {
  readonly who: Person;
  readonly options: MeetOptions;
}

/** Two who have been introduced: `low` has the lower fingerprint, and so is the initiator. */
interface Couple {
  readonly low: Guest;
  readonly high: Guest;
  readonly ticker: ManualTicker;
}

type Change = Partial<Introduction>;

async function introduce(
  suiteName: SuiteName = "modern",
  changes: { readonly low?: Change; readonly high?: Change } = {},
): Promise<Couple> {
  const people = [await person(suiteName, "alice"), await person(suiteName, "bob")];
  people.sort((a, b) =>
    encodeHex(a.identity.fingerprint) < encodeHex(b.identity.fingerprint) ? -1 : 1
  );
  const [low, high] = people as [Person, Person];
  const rendezvousId = crypto.getRandomValues(new Uint8Array(16));
  const rendezvousKey = crypto.getRandomValues(new Uint8Array(32));
  const ticker = new ManualTicker();
  const places = { low: place(), high: place() };
  const guest = (name: "low" | "high", who: Person, peer: Person): Guest => {
    const other = name === "low" ? "high" : "low";
    const introduction: Introduction = {
      peerName: other,
      rendezvousId,
      rendezvousKey,
      generation: 7,
      bundle: peer.identity.bundle,
      receivePort: places[other].listener.port,
      sendPort: places[other].sendPort,
      addresses: ["127.0.0.1"],
      ...changes[name],
    };
    const { suite, identity } = who;
    const envelopeKey = envelopeKeys(suite, "client");
    const options = {
      ourName: name,
      suite,
      identity,
      envelopeKey,
      introduction,
      peer: peer.identity,
      allowLoopback: true,
      ticker,
      ...places[name],
    };
    return { who, options };
  };
  return { low: guest("low", low, high), high: guest("high", high, low), ticker };
}

function place() {
  return { listener: Listener.open(["127.0.0.1"], 0), sendPort: findFreePort("127.0.0.1") };
}

/** Fails unless the two meetings are the two ends of one conversation; then ends it. */
async function assertTogether(a: Meeting, b: Meeting): Promise<void> {
  assertEquals(a.channel.established.sessionId, b.channel.established.sessionId);
  assertEquals([a.dialledBy, b.dialledBy].sort(), ["peer", "us"]);
  for (const [from, to] of [[a, b], [b, a]] as const) {
    from.channel.send(ItemType.message, new Uint8Array([1, 2, 3]));
    const items = await to.channel.receive();
    assertEquals(items?.map(({ body }) => [...body]), [[1, 2, 3]]);
  }
  a.close();
  b.close();
}

/** A preface as a peer with this introduction sends it. */
function prefaceOf(
  { identity, introduction }: MeetOptions,
  changes: { readonly id?: Uint8Array<ArrayBuffer>; readonly generation?: number } = {},
) {
  return encode(peerPreface, {
    rendezvousId: changes.id ?? introduction.rendezvousId,
    generation: changes.generation ?? introduction.generation,
    token: peerPrefaceToken(introduction.rendezvousKey, identity.fingerprint),
  });
}

/** How the guest with these options climbs towards the other as the initiator. */
function initiatorOf({ who, options }: Guest): InitiatorConfig {
  const { introduction, peer, identity } = options;
  const { rendezvousId, generation, rendezvousKey } = introduction;
  return {
    ...anyResponder(who, options.ourName),
    mode: 2,
    psk: rendezvousKey,
    context: peerContext(rendezvousId, generation, identity.fingerprint, peer.fingerprint),
  };
}

for (const suite of SUITE_NAMES) {
  test(`meet() gives two of ${suite} one conversation`, async () => {
    const { low, high } = await introduce(suite);
    const [a, b] = await Promise.all([meet(low.options), meet(high.options)]);
    assertEquals(a.channel.established.role, "initiator");
    assertEquals(b.channel.established.role, "responder");
    await assertTogether(a, b);
  });
}

test("meet() works when only one of the two can be dialled, whichever it is", async () => {
  for (const deaf of ["low", "high"] as const) {
    const nowhere = { addresses: [] };
    const { low, high } = await introduce("modern", { [deaf]: nowhere });
    const [a, b] = await Promise.all([meet(low.options), meet(high.options)]);
    assertEquals(a.dialledBy, deaf === "low" ? "peer" : "us");
    await assertTogether(a, b);
  }
});

test("meet() dials from the send port and is reached at the receive port", async () => {
  const { low, high } = await introduce("modern", { low: { addresses: [] } });
  const [a, b] = await Promise.all([meet(low.options), meet(high.options)]);
  assertEquals(a.remote, { host: "127.0.0.1", port: high.options.sendPort });
  assertEquals(b.remote, { host: "127.0.0.1", port: low.options.listener.port });
  await assertTogether(a, b);
});

test("meet() goes on dialling until the other one is there", async () => {
  const { low, high } = await introduce("modern", { high: { addresses: [] } });
  const { port } = high.options.listener;
  high.options.listener.close();
  const early = meet(low.options);
  // Nobody listens yet, and the first dial is refused.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const listener = Listener.open(["127.0.0.1"], port);
  const [a, b] = await Promise.all([early, meet({ ...high.options, listener })]);
  await assertTogether(a, b);
});

test("meet() closes its port and every connection but one when it ends", async () => {
  const { low, high } = await introduce();
  const [a, b] = await Promise.all([meet(low.options), meet(high.options)]);
  for (const { options } of [low, high]) {
    const refused = await EvilPeer.dial(options.listener.port).then(() => false, () => true);
    assert(refused);
  }
  await assertTogether(a, b);
});

test("a hundred simultaneous openings each end with exactly one conversation, and soon", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  let state = seed;
  const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  for (let run = 0; run < 100; run++) {
    const { low, high } = await introduce();
    const late = ({ options }: Guest) => {
      const pause = run % 4 === 0 ? 0 : random() * 12;
      return new Promise((resolve) => setTimeout(resolve, pause)).then(() => meet(options));
    };
    const start = performance.now();
    const [a, b] = await Promise.all([late(low), late(high)]);
    const took = performance.now() - start;
    assert(took < 2000, `run ${run} of seed ${seed} took ${took} ms`);
    await assertTogether(a, b);
  }
});

test("meet() gives one with a wrong preface not a byte, and meets the right one (H24)", async () => {
  for (const guest of ["low", "high"] as const) {
    const couple = await introduce("modern", { low: { addresses: [] }, high: { addresses: [] } });
    const host = couple[guest], peer = couple[guest === "low" ? "high" : "low"];
    const meeting = meet(host.options);
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
    for (const body of wrong) {
      const evil = await EvilPeer.dial(host.options.listener.port);
      await evil.sendFrame(FrameKind.preface, body);
      assertEquals((await evil.readToEnd()).length, 0);
      evil.close();
    }
    for (const kind of [FrameKind.m1, FrameKind.record, FrameKind.alert]) {
      const evil = await EvilPeer.dial(host.options.listener.port);
      await evil.sendFrame(kind, good);
      assertEquals((await evil.readToEnd()).length, 0);
      evil.close();
    }
    const noise = await EvilPeer.dial(host.options.listener.port);
    await noise.send(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"));
    assertEquals((await noise.readToEnd()).length, 0);
    noise.close();
    const dialling = { ...peer.options.introduction, addresses: ["127.0.0.1"] };
    const other = await meet({ ...peer.options, introduction: dialling });
    await assertTogether(await meeting, other);
  }
});

test("meet() says nothing to a silent stranger who knocked first, and does not wait for it", async () => {
  for (const guest of ["low", "high"] as const) {
    const couple = await introduce();
    const host = couple[guest], peer = couple[guest === "low" ? "high" : "low"];
    const stranger = await EvilPeer.dial(host.options.listener.port);
    const heard = stranger.readToEnd();
    const [a, b] = await Promise.all([meet(host.options), meet(peer.options)]);
    await assertTogether(a, b);
    assertEquals((await heard).length, 0, guest);
    stranger.close();
  }
});

test("meet() succeeds though strangers fill both receive ports", async () => {
  const { low, high, ticker } = await introduce();
  const strangers: EvilPeer[] = [];
  for (const { options } of [low, high]) {
    for (let n = 0; n < 20; n++) strangers.push(await EvilPeer.dial(options.listener.port));
  }
  const heard = strangers.map((stranger) => stranger.readToEnd());
  const meetings = Promise.all([meet(low.options), meet(high.options)]);
  // Each port holds sixteen and hangs up on the others, the true peer among them.
  await Promise.race([meetings, Promise.all(heard.slice(16, 20).concat(heard.slice(36)))]);
  ticker.jump(PREFACE_DEADLINE + 1);
  const [a, b] = await meetings;
  await assertTogether(a, b);
  for (const bytes of await Promise.all(heard)) assertEquals(bytes.length, 0);
  for (const stranger of strangers) stranger.close();
});

test("meet() between two who both think they are the initiator refuses on both sides (H25)", async () => {
  const { low, high, ticker } = await introduce();
  const evil = await EvilPeer.dial(low.options.listener.port);
  const meeting = meet(low.options);
  await evil.sendFrame(FrameKind.preface, prefaceOf(high.options));
  // The higher one speaks first as well: the contexts name them in two orders.
  const failed = await evil.climb(initiatorOf(high)).then(() => undefined, (error) => error);
  assert(failed, "the initiator answered an initiator");
  evil.close();
  const other = await meet(high.options);
  await assertTogether(await meeting, other);
  ticker.stop();
});

test("meet() refuses two who disagree about the key or the generation (H24)", async () => {
  const key = new Uint8Array(32).fill(9);
  for (const change of [{ rendezvousKey: key }, { generation: 8 }]) {
    const { low, high, ticker } = await introduce("modern", { high: change });
    const meetings = [low, high].map(({ options }) =>
      meet(options).then(() => undefined, (error) => error)
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    ticker.jump(MEETING_DEADLINE + 1);
    for (const error of await Promise.all(meetings)) {
      assert(error instanceof CifraError);
      assertEquals(error.code, "unreachable");
    }
  }
});

test("meet() refuses a peer who names himself or us wrongly after the ladder", async () => {
  const names = [["low", "other"], ["other", "high"], ["high", "low"]] as const;
  const { low, high } = await introduce("modern", { high: { addresses: [] } });
  const meeting = meet(high.options);
  for (const [from, to] of names) {
    const evil = await EvilPeer.dial(high.options.listener.port);
    await evil.sendFrame(FrameKind.preface, prefaceOf(low.options));
    const channel = await evil.climbAll(initiatorOf(low));
    await channel.send(ItemType.request, encode(peerHello, { from, to, have: 0n }));
    assertEquals(await channel.receive(), "auth_failed");
    evil.close();
  }
  const other = await meet(low.options);
  await assertTogether(await meeting, other);
});

test("meet() tries the next connection when one dies under way", async () => {
  const { low, high } = await introduce("modern", { low: { addresses: [] } });
  const meeting = meet(low.options);
  for (let n = 0; n < 3; n++) {
    const evil = await EvilPeer.dial(low.options.listener.port);
    await evil.sendFrame(FrameKind.preface, prefaceOf(high.options));
    assertEquals((await evil.nextFrame())?.kind, FrameKind.m1);
    evil.close();
  }
  const other = await meet(high.options);
  await assertTogether(await meeting, other);
});

test("meet() answers a later m1 in place of an unfinished earlier one", async () => {
  const { low, high } = await introduce("modern", { high: { addresses: [] } });
  const meeting = meet(high.options);
  const slow = await EvilPeer.dial(high.options.listener.port);
  await slow.sendFrame(FrameKind.preface, prefaceOf(low.options));
  await slow.climb(initiatorOf(low), 1);
  assertEquals((await slow.nextFrame())?.kind, FrameKind.m2);
  const other = await meet(low.options);
  await assertTogether(await meeting, other);
  assertEquals(await slow.nextFrame(), null);
  slow.close();
});

test("meet() gives up after fifteen seconds and says what it tried", async () => {
  const { low, high, ticker } = await introduce();
  high.options.listener.close();
  const failed = meet(low.options).then(() => undefined, (error) => error);
  await new Promise((resolve) => setTimeout(resolve, 20));
  ticker.jump(MEETING_DEADLINE + 1);
  const error = await failed;
  assert(error instanceof CifraError);
  assertEquals(error.code, "unreachable");
  assertStringIncludes(error.message, `127.0.0.1:${low.options.introduction.receivePort}`);
  assertStringIncludes(error.hint!, "--receive-port");
});

test("meet() dials no address that nobody may be sent to (A13, D7)", async () => {
  const addresses = ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "::1", "fe80::1"];
  const { low, high, ticker } = await introduce("modern", { low: { addresses } });
  const failed = meet({ ...low.options, allowLoopback: false })
    .then(() => undefined, (error) => error);
  ticker.jump(MEETING_DEADLINE + 1);
  const error = await failed;
  assert(error instanceof CifraError);
  for (const scope of ["loopback", "link-local", "multicast", "unspecified"]) {
    assertStringIncludes(error.message, `a ${scope} address is not dialled`);
  }
  high.options.listener.close();
});
