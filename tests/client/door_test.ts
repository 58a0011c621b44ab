/** The two ports of a program, and who is let in. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Connection } from "../../lib/channel/connection.ts";
import { Door, NO_PORTS } from "../../lib/client/door.ts";
import { CifraError } from "../../lib/errors.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { PORT_MINIMUM, PREFACE_DEADLINE } from "../../lib/limits.ts";
import { type Listening, type Network, systemEnvironment } from "../../lib/net/environment.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { type PeerPreface, peerPreface } from "../../lib/wire/handshake_messages.ts";
import { encode } from "../../lib/wire/layout.ts";
import { ManualTime } from "../testkit/clock.ts";
import { EvilPeer, test } from "../testkit/adversary.ts";
import { until } from "../testkit/until.ts";
import { TestNetwork } from "../testkit/test_network.ts";

const FIRST = new Uint8Array(16).fill(1), SECOND = new Uint8Array(16).fill(2);
const TOKEN = new Uint8Array(16).fill(7);

function prefaceOf(rendezvousId: typeof FIRST, change: Partial<PeerPreface> = {}) {
  return encode(peerPreface, { rendezvousId, token: TOKEN, ...change });
}

/** A door, and who came through it. */
class Scene implements Disposable {
  readonly time = new ManualTime();
  readonly network: TestNetwork;
  readonly door: Door;
  readonly port: number;
  readonly admitted: string[] = [];
  readonly #inside: Connection[] = [];

  constructor(network?: Network) {
    this.network = new TestNetwork(network);
    const { time } = this;
    this.door = new Door({
      environment: { ...systemEnvironment, time, network: this.network },
      ticker: new Ticker(time),
      receivePort: 0,
      sendPort: undefined,
    });
    this.port = this.door.open(true).receivePort;
  }

  /** Lets the peer of an introduction in, under this name. */
  expect(name: string, rendezvousId: typeof FIRST): () => void {
    return this.door.expect({
      rendezvousId,
      isFromPeer: ({ token }) => token.join() === TOKEN.join(),
      admit: (connection, { host }) => {
        this.#inside.push(connection);
        this.admitted.push(`${name} from ${host}`);
      },
    });
  }

  /** Comes in with this preface, or with none. */
  async come(preface?: ReturnType<typeof prefaceOf>): Promise<EvilPeer> {
    const evil = await EvilPeer.dial(this.port);
    if (preface) await evil.sendFrame(FrameKind.preface, preface);
    return evil;
  }

  [Symbol.dispose](): void {
    this.door.close();
    for (const connection of this.#inside) connection.close();
  }
}

/** Fails unless somebody was sent away without a byte. */
async function assertUnheard(evil: EvilPeer, who: string): Promise<void> {
  assertEquals((await evil.readToEnd()).length, 0, who);
  evil.close();
}

test("two introductions share one port, and each gets whoever comes from it", async () => {
  using scene = new Scene();
  scene.expect("bob", FIRST);
  scene.expect("carol", SECOND);
  const visitors = [await scene.come(prefaceOf(SECOND)), await scene.come(prefaceOf(FIRST))];
  await until(() => scene.admitted.length === 2, "both are in");
  assertEquals(scene.admitted.toSorted(), ["bob from 127.0.0.1", "carol from 127.0.0.1"]);
  // Whoever is in is the connector's to watch.
  scene.time.advance(PREFACE_DEADLINE + 1000);
  assertEquals(scene.network.open, 2);
  for (const evil of visitors) evil.close();
});

test("whoever comes from no introduction of ours hears not a byte (H24)", async () => {
  using scene = new Scene();
  scene.expect("bob", FIRST);
  const good = prefaceOf(FIRST);
  const wrong = {
    "another token": prefaceOf(FIRST, { token: new Uint8Array(16) }),
    "too short": good.slice(1),
    "too long": new Uint8Array([...good, 0]),
    "nothing": new Uint8Array(0),
  };
  for (const [who, preface] of Object.entries(wrong)) {
    await assertUnheard(await scene.come(preface), who);
  }
  for (const kind of [FrameKind.m1, FrameKind.record, FrameKind.alert]) {
    const evil = await scene.come();
    await evil.sendFrame(kind, good);
    await assertUnheard(evil, `kind ${kind}`);
  }
  const unknown = await scene.come(prefaceOf(SECOND));
  await until(() => scene.network.open === 1, "one from another rendezvous");
  scene.time.advance(PREFACE_DEADLINE);
  await assertUnheard(unknown, "another rendezvous");
  const noise = await scene.come();
  await noise.send(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"));
  await assertUnheard(noise, "noise");
  assertEquals([scene.admitted, scene.network.open], [[], 0]);
  const evil = await scene.come(good);
  await until(() => scene.admitted.length === 1, "the right one");
  evil.close();
});

test("an introduction that is over, or replaced, lets nobody in any more", async () => {
  using scene = new Scene();
  const stop = scene.expect("bob", FIRST);
  const stopAgain = scene.expect("bob again", FIRST);
  // The later expectation is not ended by the end of the one it has replaced.
  stop();
  const evil = await scene.come(prefaceOf(FIRST));
  await until(() => scene.admitted.length === 1, "the peer");
  assertEquals(scene.admitted, ["bob again from 127.0.0.1"]);
  stopAgain();
  const late = await scene.come(prefaceOf(FIRST));
  await until(() => scene.network.open === 2, "one who is late");
  scene.time.advance(PREFACE_DEADLINE);
  await assertUnheard(late, "too late");
  evil.close();
});

test("whoever heard of the introduction earlier than we is let in when we do", async () => {
  using scene = new Scene();
  const evil = await scene.come(prefaceOf(FIRST));
  const forged = await scene.come(prefaceOf(FIRST, { token: new Uint8Array(16) }));
  await until(() => scene.network.open === 2, "both are there");
  scene.time.advance(PREFACE_DEADLINE - 1000);
  scene.expect("carol", SECOND);
  assertEquals(scene.admitted, []);
  scene.expect("bob", FIRST);
  await until(() => scene.admitted.length === 1, "the peer");
  await assertUnheard(forged, "forged");
  evil.close();
});

test("no more than eight wait for their introduction, and others still find room", async () => {
  using scene = new Scene();
  scene.expect("bob", FIRST);
  const early: EvilPeer[] = [];
  for (let n = 0; n < 8; n++) early.push(await scene.come(prefaceOf(SECOND)));
  await until(() => scene.network.open === 8, "all are there");
  await assertUnheard(await scene.come(prefaceOf(SECOND)), "the ninth");
  const evil = await scene.come(prefaceOf(FIRST));
  await until(() => scene.admitted.length === 1, "the peer");
  for (const one of [evil, ...early]) one.close();
});

test("a visitor has three seconds for its preface", async () => {
  using scene = new Scene();
  scene.expect("bob", FIRST);
  const silent = await scene.come(), slow = await scene.come();
  await slow.send(new Uint8Array([0]));
  await until(() => scene.network.open === 2, "both have come");
  scene.time.advance(PREFACE_DEADLINE);
  assertEquals(scene.network.open, 2);
  scene.time.advance(1000);
  await assertUnheard(silent, "silent");
  slow.close();
  assertEquals(scene.admitted, []);
});

test("no more than sixteen are heard out at once; those who are known count no more", async () => {
  using scene = new Scene();
  scene.expect("bob", FIRST);
  const known = await scene.come(prefaceOf(FIRST));
  await until(() => scene.admitted.length === 1, "the peer");
  const visitors: EvilPeer[] = [];
  for (let n = 0; n < 16; n++) visitors.push(await scene.come());
  await until(() => scene.network.open === 17, "all are there");
  await assertUnheard(await scene.come(prefaceOf(FIRST)), "one too many");
  assertEquals(scene.network.open, 17);
  visitors.pop()!.close();
  await until(() => scene.network.open === 16, "one has gone");
  const next = await scene.come(prefaceOf(FIRST));
  await until(() => scene.admitted.length === 2, "there is room again");
  for (const evil of [known, next, ...visitors]) evil.close();
});

test("one pair of ports serves the program, however often it registers", () => {
  using scene = new Scene();
  const { door, network, port } = scene;
  const ports = { receivePort: port, sendPort: door.sendPort };
  assertEquals([door.open(true), door.open(false)], [ports, ports]);
  assertEquals(network.listening, 1);
  assert(NO_PORTS.receivePort >= PORT_MINIMUM && NO_PORTS.sendPort !== NO_PORTS.receivePort);
  return Promise.resolve();
});

test("the two ports differ though the system gives the one for dialling once more for listening", () => {
  const { network } = systemEnvironment;
  const taken: Listening[] = [];
  using scene = new Scene({
    ...network,
    findFreePort: () => {
      // The first that is opened to listen gets it again.
      taken.push(network.listen(["127.0.0.1"], 0));
      return taken[0]!.port;
    },
    listen: (hosts, port) => taken.shift() ?? network.listen(hosts, port),
  });
  assert(scene.port !== scene.door.sendPort);
  // What was opened in vain is closed.
  assertEquals(scene.network.listening, 1);
  return Promise.resolve();
});

test("close() lets nobody in and leaves nothing behind", async () => {
  const scene = new Scene();
  scene.expect("bob", FIRST);
  const waiting = await scene.come();
  await until(() => scene.network.open === 1, "a visitor");
  scene.door.close();
  await assertUnheard(waiting, "the one that waited");
  assertEquals([scene.time.pending, scene.network.open, scene.network.listening], [0, 0, 0]);
  const late = await scene.come(prefaceOf(FIRST)).catch(() => undefined);
  if (late) await assertUnheard(late, "late");
  assertEquals(scene.admitted, []);
});

test("for this machine alone the door is at loopback, otherwise everywhere", () => {
  const asked: string[] = [];
  const { network } = systemEnvironment;
  const doors = [true, false].map((onlyHere) => {
    const listen = (hosts: readonly string[], port: number) => {
      asked.push(hosts.join());
      // A machine without IPv6.
      if (hosts.includes("::")) throw new CifraError("local", "Cannot listen");
      return network.listen(["127.0.0.1"], port);
    };
    const time = new ManualTime();
    const door = new Door({
      environment: { ...systemEnvironment, time, network: { ...network, listen } },
      ticker: new Ticker(time),
      receivePort: 0,
      sendPort: 4321,
    });
    assertEquals(door.open(onlyHere).sendPort, 4321);
    return door;
  });
  assertEquals(asked, ["127.0.0.1,::1", "::", "0.0.0.0"]);
  for (const door of doors) door.close();
  return Promise.resolve();
});

test("a port that is in use is told", () => {
  using scene = new Scene();
  const time = new ManualTime();
  const door = new Door({
    environment: { ...systemEnvironment, time },
    ticker: new Ticker(time),
    receivePort: scene.port,
    sendPort: undefined,
  });
  const error = assertThrows(() => door.open(true), CifraError);
  assertEquals(error.code, "local");
  door.close();
  return Promise.resolve();
});
