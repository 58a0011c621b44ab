/** A person's program that talks to the server itself. */
import { assert, assertEquals } from "@std/assert";
import { Person } from "../../lib/client/person.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import type { Thread } from "../../lib/client/thread.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { ManualTime } from "../testkit/clock.ts";
import { test } from "../testkit/adversary.ts";
import { ephemeralKeys, person } from "../testkit/handshake.ts";
import { ackItem, Ear, textItem } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { type PuppetChannel, PuppetServer } from "../testkit/puppet_server.ts";
import { claimOf, nextSequence } from "../testkit/server.ts";
import { TestNetwork } from "../testkit/test_network.ts";

interface Scene {
  readonly server: PuppetChannel;
  readonly thread: Thread;
  /** Why the conversation ended; undefined when it was left. */
  readonly ended: Promise<unknown>;
  readonly leave: () => Promise<void>;
}

/** Plays a conversation with a server that the test plays, and ends it. */
async function play(job: (scene: Scene) => Promise<void>): Promise<void> {
  const server = await PuppetServer.open();
  const who = await person("modern", "alice");
  const { suite, identity } = who;
  const time = new ManualTime(), network = new TestNetwork(), ticker = new Ticker(time);
  const environment = { time, network, random: systemRandom };
  const ephemeralKey = ephemeralKeys(suite, "alice");
  const alice = new Person({
    environment,
    ticker,
    name: "alice",
    suite,
    identity,
    ephemeralKey,
    store: undefined,
    openServer: () =>
      ServerLink.open({
        environment,
        address: {
          host: "127.0.0.1",
          port: server.port,
          fingerprint: undefined,
          inviteSecret: undefined,
        },
        suite,
        identity,
        ephemeralKey,
        ticker,
      }),
    register: async (place, job) => {
      const registrationSequence = nextSequence();
      const claim = await claimOf(who, "alice", registrationSequence, [], place);
      return await job({ registrationSequence, claim });
    },
    checkPeer: () => Promise.reject(new Error("There is no peer")),
    receivePort: 0,
    sendPort: undefined,
    advertised: [],
    relay: "only",
    lobby: "absent",
    onStatus: () => {},
    onLobby: () => {},
  });
  const staying = alice.run().catch(() => {});
  const thread = await alice.openThread("server", LogKind.live);
  const ear = new Ear(thread);
  let isConnected = false;
  const conversation = alice.talkToServer(thread, () => isConnected = true);
  const ended = conversation.run().then(() => undefined, (error) => error);
  const channel = await server.accept();
  await channel.register();
  await until(() => isConnected, "the server is there");
  try {
    await job({ server: channel, thread, ended, leave: () => conversation.leave() });
  } finally {
    const left = conversation.leave();
    alice.leave();
    await server[Symbol.asyncDispose]();
    await Promise.all([left, staying, ended, ear.ended]);
  }
  assertEquals([time.pending, network.open], [0, 0]);
}

function codeOf(error: unknown): string {
  assert(error instanceof CifraError, `${error}`);
  return error.code;
}

test("a conversation with the server is left in order when we say goodbye first", () =>
  play(async ({ server, thread, ended, leave }) => {
    const number = await thread.sendText("hello");
    assertEquals((await server.next())?.type, ItemType.message);
    for (const { type, body } of [ackItem(number, number), textItem(1n, "OK")]) {
      server.channel.send(type, body);
    }
    await until(() => thread.delivery.read === number, "the answer");
    const left = leave();
    assertEquals(await server.end(), "goodbye");
    await server.channel.close(CloseCode.done, 1n, number);
    await left;
    assertEquals(await ended, undefined);
  }));

test("a server that says goodbye first has left us", () =>
  play(async ({ server, ended }) => {
    await server.channel.close(CloseCode.shutdown);
    assertEquals(codeOf(await ended), "shutdown");
  }));

test("a server that is gone without a word is a cut", () =>
  play(async ({ server, ended }) => {
    server.transport.close();
    assertEquals(codeOf(await ended), "cut");
  }));
