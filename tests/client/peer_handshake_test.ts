/** From a candidate to a channel, between two who have been introduced. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Connection } from "../../lib/channel/connection.ts";
import {
  initiate,
  type IntroducedPair,
  isPrefaceOfPeer,
  prefaceOf,
  respond,
} from "../../lib/client/peer_handshake.ts";
import { CifraError } from "../../lib/errors.ts";
import { HANDSHAKE_DEADLINE } from "../../lib/limits.ts";
import { decodePeerPreface } from "../../lib/wire/handshake_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { type LogPosition, peerHello, peerWelcome } from "../../lib/wire/peer_messages.ts";
import { CloseCode, closeLayout, ItemType } from "../../lib/wire/records.ts";
import { ManualTime } from "../testkit/clock.ts";
import { EvilPeer, test } from "../testkit/adversary.ts";
import { type Couple, initiatorOf, introduce, responderOf } from "../testkit/couple.ts";
import { until } from "../testkit/until.ts";
import { pipe } from "../testkit/pipe.ts";

/** Two who were introduced, their time, and a connection between them. */
async function scene(
  job: (scene: {
    readonly couple: Couple;
    readonly low: IntroducedPair;
    readonly high: IntroducedPair;
    readonly time: ManualTime;
    readonly between: ReturnType<typeof pipe>;
  }) => Promise<void>,
): Promise<void> {
  const time = new ManualTime();
  using couple = await introduce({ time });
  const { low: { options: low }, high: { options: high } } = couple;
  await job({ couple, low, high, time, between: pipe() });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, CifraError)).code;
}

test("two who were introduced have one channel, and each hears where the other's log stands", () =>
  scene(async ({ couple, low, high, time, between: { left, right } }) => {
    const [a, b] = await Promise.all([
      initiate(low, new Connection(left, time.now)),
      respond(high, new Connection(right, time.now)),
    ]);
    assertEquals(a.channel.established.sessionId, b.channel.established.sessionId);
    assertEquals(a.theirs, couple.high.position);
    assertEquals(b.theirs, couple.low.position);
    // The responder is asked with the initiator's log, the initiator knows none yet.
    assertEquals(couple.low.askedFor, [undefined]);
    assertEquals(couple.high.askedFor, [couple.low.position.log]);
    for (const { channel } of [a, b]) channel.destroy();
    await until(() => time.pending === 1, "the ticker alone");
  }));

test("a preface is good for one introduction, from one peer, in one direction", () =>
  scene(({ low, high }) => {
    const preface = decodePeerPreface(prefaceOf(high));
    assert(isPrefaceOfPeer(low, preface));
    const wrong = [
      { ...preface, rendezvousId: new Uint8Array(16) },
      decodePeerPreface(prefaceOf({
        ...high,
        introduction: { ...high.introduction, generation: high.introduction.generation + 1 },
      })),
      { ...preface, token: new Uint8Array(preface.token.length) },
      // Our own, sent back to us.
      decodePeerPreface(prefaceOf(low)),
    ];
    for (const each of wrong) assert(!isPrefaceOfPeer(low, each));
    return Promise.resolve();
  }));

test("an initiator whose hello is not answered gives up after ten seconds", () =>
  scene(async ({ couple, low, time, between: { left, right } }) => {
    const evil = new EvilPeer(right);
    const [channel, met] = [
      evil.answerHandshake(responderOf(couple.high)),
      codeOf(initiate(low, new Connection(left, time.now))),
    ];
    const items = await (await channel).receive();
    assertEquals((items as readonly { readonly type: number }[]).map(({ type }) => type), [
      ItemType.request,
    ]);
    time.advance(HANDSHAKE_DEADLINE - 1);
    assertEquals(time.pending, 2, "the deadline stands beside the ticker");
    time.advance(1);
    assertEquals(await met, "timeout");
    assertEquals(await (await channel).receive(), "timeout");
  }));

test("a responder that hears no hello gives up after ten seconds", () =>
  scene(async ({ couple, high, time, between: { left, right } }) => {
    const evil = new EvilPeer(left);
    const met = codeOf(respond(high, new Connection(right, time.now)));
    const channel = await evil.handshakeAll(initiatorOf(couple.low));
    await until(() => time.pending === 2, "the wait for m7");
    time.advance(HANDSHAKE_DEADLINE);
    assertEquals(await met, "timeout");
    assertEquals(await channel.receive(), "timeout");
  }));

test("no deadline is left behind when the peer says something wrong, or hangs up", () =>
  scene(async ({ couple, low, time }) => {
    const position: LogPosition = couple.high.position;
    const welcome = { type: ItemType.response, body: encode(peerWelcome, position) };
    const answers = [
      [[welcome, welcome], "bad_state"],
      [[{ ...welcome, type: ItemType.request }], "bad_state"],
      [[{ ...welcome, body: welcome.body.slice(1) }], "bad_frame"],
      [undefined, "cut"],
    ] as const;
    for (const [items, code] of answers) {
      const { left, right } = pipe();
      const evil = new EvilPeer(right);
      const connection = new Connection(left, time.now);
      const met = codeOf(initiate(low, connection));
      const channel = await evil.answerHandshake(responderOf(couple.high));
      if (items) await evil.send(await channel.sealItems(...items));
      else evil.close();
      assertEquals(await met, code);
      assertEquals(time.pending, 1, "the ticker alone");
      connection.close();
    }
  }));

test("a goodbye in the place of the welcome is answered with one", () =>
  scene(async ({ couple, low, time, between: { left, right } }) => {
    const evil = new EvilPeer(right);
    const met = codeOf(initiate(low, new Connection(left, time.now)));
    const channel = await evil.answerHandshake(responderOf(couple.high));
    const goodbye = { code: CloseCode.done, lastSent: 0n, lastStored: 0n };
    await channel.send(ItemType.close, encode(closeLayout, goodbye));
    assertEquals(await met, "cut");
    const heard: number[] = [];
    for (
      let items = await channel.receive();
      Array.isArray(items);
      items = await channel.receive()
    ) {
      heard.push(...items.map(({ type }) => type));
    }
    assertEquals(heard, [ItemType.request, ItemType.close]);
  }));

test("the hello names both, and the welcome answers for the log that it names", () =>
  scene(async ({ couple, high, time, between: { left, right } }) => {
    const evil = new EvilPeer(left);
    const met = respond(high, new Connection(right, time.now));
    const channel = await evil.handshakeAll(initiatorOf(couple.low));
    const hello = encode(peerHello, { from: "low", to: "high", ...couple.low.position });
    await channel.send(ItemType.request, hello);
    const items = await channel.receive();
    assert(Array.isArray(items));
    assertEquals(decode(peerWelcome, items[0].body), couple.high.position);
    (await met).channel.destroy();
    const { left: other, right: another } = pipe();
    const second = new EvilPeer(other);
    const refused = codeOf(respond(high, new Connection(another, time.now)));
    const wrong = await second.handshakeAll(initiatorOf(couple.low));
    const lie = encode(peerHello, { from: "low", to: "other", ...couple.low.position });
    await wrong.send(ItemType.request, lie);
    assertEquals(await refused, "auth_failed");
  }));
