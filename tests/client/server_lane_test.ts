/** What we say to the server itself, beside everything else on its channel. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Channel } from "../../lib/channel/channel.ts";
import { ServerLane } from "../../lib/client/server_lane.ts";
import { CifraError } from "../../lib/errors.ts";
import { RESPONSES_LIMIT } from "../../lib/limits.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import { openChannels, test } from "../testkit/adversary.ts";
import { ackItem, Ear, openLink, textItem } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";

/** A lane over a channel to a server that the test plays. */
class Scene implements Disposable {
  readonly lane: ServerLane;
  readonly server: Channel;
  readonly #ours: Channel;
  readonly reading: Promise<void>;

  private constructor(ours: Channel, server: Channel) {
    const lane = this.lane = new ServerLane(ours);
    this.#ours = ours;
    this.server = server;
    // As the link's one reader does.
    this.reading = (async () => {
      for (let items = await ours.receive(); items; items = await ours.receive()) {
        for (const item of items) lane.take(item);
      }
      lane.end();
    })();
  }

  static async open(): Promise<Scene> {
    const { alice, bob } = await openChannels();
    return new Scene(alice, bob);
  }

  say(...items: readonly Item[]): void {
    for (const { type, body } of items) this.server.send(type, body);
  }

  [Symbol.dispose](): void {
    this.#ours.destroy();
    this.server.destroy();
  }
}

test("what has come is given at once and in order; whoever waits is told so first", async () => {
  using scene = await Scene.open();
  const { lane } = scene;
  scene.say(ackItem(1n), ackItem(2n));
  await until(() => lane.hasMore, "both");
  let waits = 0;
  const first = await lane.receive(() => waits++);
  assertEquals([first?.length, waits, lane.hasMore], [2, 0, false]);
  const second = lane.receive(() => waits++);
  await turn();
  assertEquals(waits, 1);
  scene.say(ackItem(3n));
  assertEquals(await second, [ackItem(3n)]);
});

test("what came before the end is given before it", async () => {
  using scene = await Scene.open();
  const { lane } = scene;
  scene.say(ackItem(1n));
  await scene.server.close(CloseCode.done);
  await scene.reading;
  assertEquals(await lane.receive(), [ackItem(1n)]);
  assertEquals(await lane.receive(), null);
  assertEquals(lane.goodbye?.code, CloseCode.done);
});

test("an end wakes whoever waits", async () => {
  using scene = await Scene.open();
  const waiting = scene.lane.receive();
  await turn();
  scene.server.destroy();
  assertEquals(await waiting, null);
  assertEquals([scene.lane.failure?.code, scene.lane.isOpen], ["cut", false]);
});

test("a server that answers more than is taken off is stopped", async () => {
  using scene = await Scene.open();
  for (let n = 0; n < RESPONSES_LIMIT; n++) scene.lane.take(ackItem(1n));
  const error = assertThrows(() => scene.lane.take(ackItem(1n)), CifraError);
  assertEquals(error.code, "limit");
  // What was taken off makes room.
  await scene.lane.receive();
  scene.lane.take(ackItem(1n));
});

test("a thread says and hears over a lane what it does over a channel", async () => {
  using scene = await Scene.open();
  const thread = await openLink("server", { kind: LogKind.live, store: undefined });
  const ear = new Ear(thread);
  const ending = thread.attachServer(scene.lane);
  const number = await thread.sendText("hello");
  const items = await scene.server.receive();
  assert(items?.some(({ type }) => type === ItemType.message));
  scene.say(ackItem(number, number), textItem(1n, "OK"));
  await ear.count(1);
  assertEquals(ear.words, ["OK"]);
  await until(() => thread.delivery.stored === number, "the acknowledgement");
  const leaving = thread.leave();
  while (await scene.server.receive());
  assertEquals(scene.server.goodbye?.lastSent, number);
  await scene.server.close(CloseCode.done, 1n, number);
  await leaving;
  // A goodbye is answered with one.
  assertEquals((await ending).type, "left");
  await ear.ended;
});

test("after the channel has gone nothing is said any more", async () => {
  using scene = await Scene.open();
  scene.server.destroy();
  await scene.reading;
  assertThrows(() => scene.lane.send(ItemType.message, new Uint8Array(1)), CifraError);
  await scene.lane.ready();
  await scene.lane.close(CloseCode.done, 0n, 0n);
  scene.lane.probe();
  const thread = await openLink("server", { kind: LogKind.live, store: undefined });
  assertEquals((await thread.attachServer(scene.lane)).type, "cut");
  await thread.leave();
});
