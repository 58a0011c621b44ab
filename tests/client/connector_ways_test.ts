/** The ways that lead to a meeting when nobody can simply be dialled: the relay, and dialling at once. */
import { assert, assertEquals } from "@std/assert";
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { Network } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";
import { CHANNEL_GRACE, PUNCH_PAUSE, PUNCH_TRIES, RELAY_HEAD_START } from "../../lib/limits.ts";
import type { Endpoint } from "../../lib/wire/address.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { ManualTime } from "../testkit/clock.ts";
import { EvilPeer, test } from "../testkit/adversary.ts";
import {
  assertTogether,
  type Couple,
  type CoupleOptions,
  GENERATION,
  introduce,
  prefaceOf,
} from "../testkit/couple.ts";
import { until } from "../testkit/until.ts";
import { type Pipe, pipe } from "../testkit/pipe.ts";
import { turn } from "../testkit/turn.ts";

const NOWHERE = { introduction: { observed: [] } };
/** What two are told who sit behind routers, and how the routers are seen from outside. */
const BEHIND = {
  low: { host: "10.1.0.1", port: 4001 },
  high: { host: "10.2.0.1", port: 4002 },
} as const;

/** Two with a relayed stream between them. */
async function relayed(
  options: CoupleOptions = {},
): Promise<Couple & { readonly stream: Pipe; readonly time: ManualTime }> {
  const stream = pipe(), time = new ManualTime();
  const couple = await introduce({
    time,
    low: { ...options.low, relay: stream.left },
    high: { ...options.high, relay: stream.right },
  });
  return { ...couple, stream, time };
}

async function together({ low, high }: Couple): Promise<void> {
  await assertTogether(await low.meeting(), await high.meeting());
}

/** Dials of a network on which two reach each other only when both dial within the same try. */
class Routers {
  readonly #waiting = new Map<string, (end: TcpTransport) => void>();
  /** Dials so far, of both. */
  dials = 0;
  /** How many dials go nowhere, as while the other one does not dial. */
  lost = 0;

  network(name: "low" | "high"): Network {
    const dialFrom = async (_: number, to: Endpoint, signal: AbortSignal) => {
      this.dials++;
      if (this.dials <= this.lost) throw new Error("reset by the router");
      const us = BEHIND[name], them = BEHIND[name === "low" ? "high" : "low"];
      assertEquals(to, them);
      const other = this.#waiting.get(them.host);
      if (other) {
        this.#waiting.delete(them.host);
        const { left, right } = pipe();
        other(Object.assign(right, { local: them, remote: us }));
        return Object.assign(left, { local: us, remote: them });
      }
      const { promise, resolve, reject } = Promise.withResolvers<TcpTransport>();
      this.#waiting.set(us.host, resolve);
      signal.addEventListener("abort", () => {
        this.#waiting.delete(us.host);
        reject(new Error("given up"));
      });
      return await promise;
    };
    return { ...systemEnvironment.network, dialFrom };
  }

  change(name: "low" | "high") {
    const punch = [BEHIND[name === "low" ? "high" : "low"]];
    return { network: this.network(name), introduction: { observed: [], punch } };
  }
}

test("two who cannot be dialled meet through the relay, after the head start", async () => {
  using couple = await relayed({ low: NOWHERE, high: NOWHERE });
  const { low, high, stream, time } = couple;
  low.seek();
  high.seek();
  time.advance(RELAY_HEAD_START - 1);
  assertEquals(stream.toRight.written.length + stream.toLeft.written.length, 0);
  time.advance(1);
  await together(couple);
  assertEquals([low.path, high.path], [{ type: "relay" }, { type: "relay" }]);
});

test("who does not dial gives nobody a head start", async () => {
  using couple = await relayed({ low: { hasDoor: false }, high: { hasDoor: false } });
  const { low, high, time } = couple;
  low.seek();
  high.seek();
  time.advance(0);
  await together(couple);
  assertEquals([low.path, high.path], [{ type: "relay" }, { type: "relay" }]);
  assertEquals([low.network.dials, high.network.dials], [[], []]);
});

test("somebody silent at an address that the server named keeps nobody from the relay", async () => {
  const { network } = systemEnvironment;
  const dialFrom: Network["dialFrom"] = (port, remote) =>
    Promise.resolve(Object.assign(pipe().left, { local: { ...remote, port }, remote }));
  using couple = await relayed({ low: { network: { ...network, dialFrom } }, high: NOWHERE });
  const { low, high, time } = couple;
  low.seek();
  high.seek();
  time.advance(0);
  for (let turns = 0; turns < 50; turns++) await turn();
  assertEquals(low.network.dials.length, 1);
  time.advance(RELAY_HEAD_START);
  await together(couple);
  assertEquals([low.path, high.path], [{ type: "relay" }, { type: "relay" }]);
});

test("a direct connection within the head start wins, and the relay is let go", async () => {
  using couple = await relayed();
  const { low, high, stream, time } = couple;
  low.seek();
  high.seek();
  time.advance(0);
  await together(couple);
  time.advance(10 * RELAY_HEAD_START);
  assertEquals([low.path?.type, high.path?.type], ["direct", "direct"]);
  assertEquals([stream.left.closed > 0, stream.right.closed > 0], [true, true]);
  assertEquals(stream.toRight.written.length + stream.toLeft.written.length, 0);
});

test("nobody who does not want the relay is asked to use it", async () => {
  using couple = await relayed({ low: NOWHERE, high: NOWHERE });
  const { low, high, stream, time } = couple;
  low.seek({ relay: false });
  high.seek({ relay: false });
  time.advance(60_000);
  assertEquals(stream.toRight.written.length + stream.toLeft.written.length, 0);
  assertEquals([low.meetings, high.meetings], [[], []]);
});

test("a conversation on the relay moves to a direct connection of the same introduction", async () => {
  for (
    const [dialler, after] of [["low", 2000], ["high", 2000], ["low", 0], ["high", 0]] as const
  ) {
    const observed: string[] = [];
    const change = { introduction: { observed } };
    using couple = await relayed({ low: change, high: change });
    const { low, high, time } = couple;
    const guest = couple[dialler];
    low.seek();
    high.seek();
    time.advance(RELAY_HEAD_START);
    await together(couple);
    // Now there is a way.
    observed.push("127.0.0.1");
    guest.seek({ relay: false, after });
    time.advance(after);
    await assertTogether(await low.meeting(1), await high.meeting(1));
    assertEquals([low.path?.type, high.path?.type], ["direct", "direct"]);
    assertEquals(low.options.introduction.generation, GENERATION);
    // The owners let go of the one before; here both ends are still as they were.
    assert(low.meetings[0]!.channel.isOpen && high.meetings[0]!.channel.isOpen);
  }
});

test("a direct connection that fails leaves the relay as it is", async () => {
  using couple = await relayed({ high: NOWHERE });
  const { low, high, time } = couple;
  high.deafen();
  low.seek();
  high.seek();
  time.advance(RELAY_HEAD_START);
  await together(couple);
  low.seek({ relay: false });
  time.advance(0);
  await until(() => low.connector.failures.length > 0, "a refusal");
  await together(couple);
  assertEquals([low.meetings.length, high.meetings.length], [1, 1]);
});

test("a relayed stream that ends is a way that failed, and is not tried again", async () => {
  using couple = await relayed({ low: NOWHERE, high: NOWHERE });
  const { low, high, stream, time } = couple;
  low.seek();
  time.advance(RELAY_HEAD_START);
  await until(() => stream.toRight.written.length > 0, "the preface");
  stream.right.close();
  await until(() => low.connector.failures.length > 0, "the failure");
  assert(low.connector.failures[0]!.startsWith("relay: "));
  low.seek();
  high.seek();
  time.advance(RELAY_HEAD_START);
  assertEquals(low.meetings, []);
});

test("through the relay both say where they come from, and who says it wrongly hears no more", async () => {
  for (const name of ["low", "high"] as const) {
    const wrong = (couple: Couple) => {
      const host = couple[name], peer = couple[name === "low" ? "high" : "low"];
      return [
        prefaceOf(peer.options, { generation: GENERATION + 1 }),
        prefaceOf(peer.options, { id: new Uint8Array(16) }),
        // A server that has only what we said.
        prefaceOf(host.options),
        prefaceOf(peer.options).slice(1),
      ];
    };
    for (let n = 0; n < 4; n++) {
      using couple = await relayed({ low: NOWHERE, high: NOWHERE });
      const { stream, time } = couple;
      const host = couple[name];
      host.seek();
      time.advance(RELAY_HEAD_START);
      const evil = new EvilPeer(name === "low" ? stream.right : stream.left);
      await evil.sendFrame(FrameKind.preface, wrong(couple)[n]!);
      const said = await evil.nextFrame();
      assertEquals([said?.kind, said?.body], [FrameKind.preface, prefaceOf(host.options)]);
      assertEquals((await evil.readToEnd()).length, 0, `${name} ${n}`);
      assertEquals(host.meetings, []);
    }
  }
});

test("two behind routers meet by dialling each other at once", async () => {
  const routers = new Routers(), time = new ManualTime();
  using couple = await introduce({
    time,
    low: routers.change("low"),
    high: routers.change("high"),
  });
  const { low, high } = couple;
  low.seek();
  high.seek();
  time.advance(0);
  await together(couple);
  assertEquals(low.path, { type: "punched", remote: BEHIND.high });
  assertEquals(high.path, { type: "punched", remote: BEHIND.low });
});

test("dials that are refused while the other does not dial come thick at first", async () => {
  const routers = new Routers(), time = new ManualTime();
  routers.lost = PUNCH_TRIES - 1;
  using couple = await introduce({
    time,
    low: routers.change("low"),
    high: routers.change("high"),
  });
  const { low, high } = couple;
  low.seek();
  time.advance(0);
  for (let dial = 1; dial < PUNCH_TRIES; dial++) {
    await until(() => routers.dials === dial && time.pending > 1, `dial ${dial}`);
    time.advance(PUNCH_PAUSE);
  }
  high.seek();
  time.advance(0);
  await together(couple);
});

test("from a punched connection too, a wrong preface hears no m1", async () => {
  for (const name of ["low", "high"] as const) {
    const time = new ManualTime(), between = pipe();
    const other = name === "low" ? "high" : "low";
    const us = { ...BEHIND[name] }, them = { ...BEHIND[other] };
    let dials = 0;
    const dialFrom = () => {
      if (dials++ > 0) return Promise.reject(new Error("reset by the router"));
      return Promise.resolve(Object.assign(between.left, { local: us, remote: them }));
    };
    const network = { ...systemEnvironment.network, dialFrom };
    using couple = await introduce({
      time,
      [name]: { network, introduction: { observed: [], punch: [them] } },
    });
    const host = couple[name];
    host.seek();
    time.advance(0);
    const evil = new EvilPeer(between.right);
    await evil.sendFrame(FrameKind.preface, prefaceOf(host.options));
    assertEquals((await evil.nextFrame())?.kind, FrameKind.preface);
    assertEquals((await evil.readToEnd()).length, 0);
    assertEquals(host.meetings, []);
  }
});

test("a stale punched connection does not displace a young direct one", async () => {
  const between = pipe(), time = new ManualTime();
  const dialFrom = (_: number, remote: Endpoint) =>
    Promise.resolve(Object.assign(between.left, { local: BEHIND.low, remote }));
  using couple = await introduce({
    time,
    low: {
      network: { ...systemEnvironment.network, dialFrom },
      introduction: { observed: [], punch: [BEHIND.high] },
    },
  });
  const { low, high } = couple;
  low.seek();
  high.seek();
  time.advance(0);
  await together(couple);
  time.advance(CHANNEL_GRACE - 1);
  const evil = new EvilPeer(between.right);
  await evil.sendFrame(FrameKind.preface, prefaceOf(high.options));
  assertEquals((await evil.nextFrame())?.kind, FrameKind.preface);
  assertEquals((await evil.readToEnd()).length, 0);
  assertEquals([low.meetings.length, low.path?.type], [1, "direct"]);
});

test("close() ends the relayed stream, whether it was begun or not", async () => {
  for (const begun of [false, true]) {
    using couple = await relayed({ low: NOWHERE, high: NOWHERE });
    const { low, stream, time } = couple;
    low.seek();
    if (begun) {
      time.advance(RELAY_HEAD_START);
      await until(() => stream.toRight.written.length > 0, "the preface");
    }
    low.connector.close();
    assert(stream.left.closed > 0);
    assertEquals(time.pending, 1, "the other one's ticker");
  }
});
