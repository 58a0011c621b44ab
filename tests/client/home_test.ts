/** Our place at a server that says what the test wants. */
import { assert, assertEquals } from "@std/assert";
import { Home, type HomeOptions, type HomeStatus, type LobbyWord } from "../../lib/client/home.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import type { Bytes } from "../../lib/bytes.ts";
import type { PublicIdentity } from "../../lib/crypto/identity.ts";
import type { Random } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import {
  BACKOFF_MAXIMUM,
  BACKOFF_MINIMUM,
  HURRY_PAUSE,
  MEETINGS_BURST,
  MEETINGS_PER_MINUTE,
  OUR_LADDERS_BURST,
  OUR_LADDERS_PER_MINUTE,
  SERVER_BACKOFF_MAXIMUM,
  SHUT_OUT_PAUSE,
  STEADY_AFTER,
} from "../../lib/limits.ts";
import { ALERT_CODES } from "../../lib/wire/alert.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { CloseCode } from "../../lib/wire/records.ts";
import {
  Capability,
  type Introduction,
  PersonState,
  REFUSAL_CODES,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { ManualTime } from "../testkit/clock.ts";
import { test } from "../testkit/adversary.ts";
import { ephemeralKeys, type Person, person } from "../testkit/handshake.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";
import {
  introductionOf,
  type PuppetChannel,
  PuppetServer,
  REGISTERED,
} from "../testkit/puppet_server.ts";
import { claimOf, nextSequence } from "../testkit/server.ts";
import { TestNetwork } from "../testkit/test_network.ts";
import { lineOf } from "../../lib/wire/line.ts";

const HOST = "127.0.0.1";
/** Pauses are as long as they are on average. */
const EVEN: Random = (length) => new Uint8Array(length).fill(128);

/** What somebody who wants another was told, in words. */
class Ear {
  readonly heard: string[] = [];
  readonly introductions: Introduction[] = [];

  onWaiting(): void {
    this.heard.push("waiting");
  }

  onIntroduction(introduction: Introduction): void {
    this.introductions.push(introduction);
    this.heard.push(`introduction ${introduction.generation}`);
  }

  onSuiteMismatch(peerSuite: number, yourSuite: number): void {
    this.heard.push(`suites ${peerSuite} ${yourSuite}`);
  }

  onDeclined(): void {
    this.heard.push("declined");
  }

  onUnwanted(error: CifraError): void {
    this.heard.push(`unwanted ${error.code}`);
  }
}

/** Alice, whose home is at the puppet server. */
class Guest {
  readonly time = new ManualTime();
  readonly network = new TestNetwork();
  readonly home: Home;
  readonly statuses: HomeStatus[] = [];
  readonly words: LobbyWord[] = [];
  /** Why `run` ended; undefined when it was left. */
  readonly ended: Promise<unknown>;
  /** Whose key is known before; nobody's for a first visit. */
  pinned: PublicIdentity | undefined;
  /** What the dial waits for. */
  dialling: Promise<void> = Promise.resolve();

  constructor(who: Person, port: number, change: Partial<HomeOptions>) {
    const { suite, identity } = who;
    const { time, network } = this;
    const ticker = new Ticker(time);
    const environment = { time, network, random: EVEN };
    this.home = new Home({
      environment,
      ourName: "alice",
      openServer: async (sendPort) => {
        await this.dialling;
        return await ServerLink.open({
          environment: { ...environment, random: (n) => crypto.getRandomValues(new Uint8Array(n)) },
          address: { host: HOST, port, fingerprint: undefined, inviteSecret: undefined },
          suite,
          identity,
          ephemeralKey: ephemeralKeys(suite, "alice"),
          ticker,
          sendPort,
          pinned: this.pinned,
        });
      },
      register: async (place, job) => {
        const registrationSequence = nextSequence();
        return await job({
          registrationSequence,
          claim: await claimOf(who, "alice", registrationSequence, [], place),
        });
      },
      door: undefined,
      relay: "allowed",
      advertised: [],
      lobby: "absent",
      onStatus: (status) => void this.statuses.push(status),
      onLobby: (word) => void this.words.push(word),
      ...change,
    });
    this.ended = this.home.run().then(() => undefined, (error) => error);
  }

  /** How often the server was lost, and why. */
  get losses(): string[] {
    return this.statuses.flatMap((status) =>
      status.type === "server-lost" ? [status.error.code] : []
    );
  }

  /** So long were the pauses that were announced. */
  get pauses(): number[] {
    return this.statuses.flatMap((status) => status.type === "server-lost" ? [status.retryIn] : []);
  }

  /** The server is lost for this reason, after `before` others. */
  async loses(code: string, before = 0): Promise<void> {
    await until(() => this.losses.length > before, `the loss by ${code}`);
    assertEquals(this.losses[before], code);
  }
}

interface Scene {
  readonly guest: Guest;
  readonly home: Home;
  readonly server: PuppetServer;
  /** Takes the next connection and registers it. */
  readonly arrive: () => Promise<PuppetChannel>;
}

/** Plays a scene; afterwards nothing of the guest is left. */
function play(
  name: string,
  job: (scene: Scene) => Promise<void>,
  change: Partial<HomeOptions> = {},
): void {
  test(name, async () => {
    const server = await PuppetServer.open();
    const guest = new Guest(await person("modern", "alice"), server.port, change);
    const arrive = async () => {
      const channel = await server.accept();
      await channel.register();
      await until(() => guest.home.link !== undefined, "we are registered");
      return channel;
    };
    try {
      await job({ guest, home: guest.home, server, arrive });
    } finally {
      guest.home.leave();
      await server[Symbol.asyncDispose]();
      await guest.ended;
      await until(() => guest.network.open === 0, "everything is closed");
    }
    assertEquals(guest.time.pending, 0, "no timer is left");
  });
}

async function bob(generation: number): Promise<ServerResponse> {
  const { identity } = await person("modern", "bob");
  return { type: "introduction", ...introductionOf(generation, identity, 0) };
}

function unwanted(peerName: string, code: keyof typeof REFUSAL_CODES): ServerResponse {
  return {
    type: "unwanted",
    peerName,
    code: REFUSAL_CODES[code],
    retryAfter: 0,
    reason: lineOf("So"),
  };
}

/** The requests that come next, in words. */
async function asked(channel: PuppetChannel, count: number): Promise<string[]> {
  const heard: string[] = [];
  while (heard.length < count) {
    const request = await channel.request();
    if (!request) throw new Error(`No more than ${heard}`);
    heard.push("name" in request ? `${request.type} ${request.name}` : request.type);
  }
  return heard;
}

/** Everything that a guest does by itself has been done. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 30; turns++) await turn();
}

play("one registration serves all, and every want follows it", async ({ guest, home, arrive }) => {
  const toBob = new Ear(), toCarol = new Ear();
  home.want("bob", toBob);
  home.hold();
  const channel = await arrive();
  assertEquals(await asked(channel, 1), ["want bob"]);
  home.want("carol", toCarol);
  home.decline("dave");
  home.setAway(true);
  assertEquals(await asked(channel, 3), ["want carol", "decline dave", "away"]);
  home.unwant("carol");
  home.unwant("carol");
  home.unwant("erin");
  home.forget("bob");
  assertEquals(await asked(channel, 2), ["unwant carol", "unwant bob"]);
  assertEquals([toBob.heard, toCarol.heard], [["waiting"], ["waiting"]]);
  const [status] = guest.statuses;
  assert(status?.type === "registered" && guest.statuses.length === 1);
  assertEquals([status.title, status.ports], ["puppet", undefined]);
  assertEquals(status.server, { host: HOST, port: home.link!.remote.port });
});

play("a want that is renewed without end waits for its turn, and others do not", async (scene) => {
  const { guest, home, arrive } = scene;
  const toBob = new Ear(), toCarol = new Ear();
  home.hold();
  const channel = await arrive();
  const heard: string[] = [];
  const listening = (async () => {
    for (let next = await channel.request(); next; next = await channel.request()) {
      heard.push("name" in next ? `${next.type} ${next.name}` : next.type);
    }
  })();
  for (let tenths = 0; tenths < 300; tenths++) {
    home.want("bob", toBob);
    await turn();
    home.unwant("bob");
    guest.time.advance(100);
  }
  const wants = () => heard.filter((word) => word === "want bob").length;
  const most = MEETINGS_BURST + MEETINGS_PER_MINUTE / 2;
  await until(() => wants() >= most - 1, "all wants that there was a turn for");
  assert(wants() <= most + 1, `${wants()} wants`);
  // Each that was said is taken back, and no other.
  await until(() => heard.length === 2 * wants(), "all were taken back");
  home.want("carol", toCarol);
  await until(() => heard.at(-1) === "want carol", "the want of another");
  // One that waits is said in its turn.
  home.want("bob", toBob);
  const before = wants();
  guest.time.advance(60_000 / MEETINGS_PER_MINUTE + 1);
  await until(() => wants() === before + 1, "its turn");
  assertEquals(toBob.heard.length, before + 1);
  channel.transport.close();
  await listening;
});

play("each word of the server reaches whom it is about", async ({ guest, home, arrive }) => {
  const toBob = new Ear(), toCarol = new Ear();
  home.want("bob", toBob);
  home.want("carol", toCarol);
  home.hold();
  const channel = await arrive();
  await asked(channel, 2);
  channel.respond(
    { type: "suiteMismatch", peerName: "bob", peerSuite: 3, yourSuite: 1 },
    { type: "declined", peerName: "carol" },
    // Nobody has a wish of theirs: these are passed over.
    { type: "suiteMismatch", peerName: "dave", peerSuite: 3, yourSuite: 1 },
    { type: "declined", peerName: "dave" },
    unwanted("carol", "limit"),
    await bob(5),
  );
  await until(() => toBob.introductions.length === 1, "the introduction");
  assertEquals(toBob.heard, ["waiting", "suites 3 1", "introduction 5"]);
  assertEquals(toCarol.heard, ["waiting", "declined", "unwanted limit"]);
  assertEquals(toBob.introductions[0]!.peerName, "bob");
  assertEquals("type" in toBob.introductions[0]!, false);
  // Both wants are over: there is nothing to take back.
  home.unwant("bob");
  home.unwant("carol");
  home.want("bob", toBob);
  assertEquals(await asked(channel, 1), ["want bob"]);
  assertEquals(guest.losses, []);
});

for (const type of ["introduction", "unwanted"] as const) {
  play(`a server with an ${type} for somebody never asked for is left`, async (scene) => {
    const { guest, home, arrive } = scene;
    const word = type === "introduction" ? await bob(5) : unwanted("bob", "limit");
    const toBob = new Ear(), toCarol = new Ear();
    home.want("carol", toCarol);
    home.hold();
    const first = await arrive();
    await asked(first, 1);
    first.respond(word);
    const end = first.letGo();
    await guest.loses("bad_state");
    assertEquals(await end, "bad_state");
    assertEquals(home.link, undefined);

    // Somebody who was asked for on another connection was not asked for on this one.
    guest.time.advance(BACKOFF_MAXIMUM);
    const second = await arrive();
    home.want("bob", toBob);
    assertEquals(await asked(second, 2), ["want carol", "want bob"]);
    second.respond(await bob(6));
    await until(() => toBob.introductions.length === 1, "what was asked for");
    second.transport.close();
    await guest.loses("cut", 1);
    guest.time.advance(BACKOFF_MAXIMUM);
    const third = await arrive();
    await asked(third, 1);
    third.respond(word);
    third.letGo();
    await guest.loses("bad_state", 2);
    assertEquals(toBob.heard, ["waiting", "introduction 6"]);
    assertEquals(toCarol.heard, ["waiting", "waiting", "waiting"]);
  });
}

play("an introduction that crosses our unwant still reaches its wanter", async (scene) => {
  const { guest, home, arrive } = scene;
  const toBob = new Ear();
  home.want("bob", toBob);
  home.hold();
  const channel = await arrive();
  await asked(channel, 1);
  home.unwant("bob");
  assertEquals(await asked(channel, 1), ["unwant bob"]);
  // An end of a want that is over anyway is nothing to tell.
  channel.respond(unwanted("bob", "replaced"), await bob(7));
  await until(() => toBob.introductions.length === 1, "the introduction");
  assertEquals(toBob.heard, ["waiting", "introduction 7"]);
  home.forget("bob");
  assertEquals(guest.losses, []);
  // A want is answered once.
  channel.respond(await bob(8));
  channel.letGo();
  await guest.loses("bad_state");
  assertEquals(toBob.introductions.length, 1);
});

play("an introduction that crosses our goodbye still reaches its wanter", async (scene) => {
  const { guest, home, arrive } = scene;
  const toBob = new Ear();
  home.want("bob", toBob);
  const release = home.hold();
  const channel = await arrive();
  await asked(channel, 1);
  release();
  assertEquals(await channel.end(), "goodbye");
  // Of somebody who was never asked for it is not believed now either.
  const { identity } = await person("modern", "bob");
  channel.respond(await bob(9), {
    type: "introduction",
    ...introductionOf(10, identity, 0),
    peerName: "eve",
  });
  await channel.channel.close(CloseCode.done);
  await until(() => toBob.introductions.length === 1, "the introduction");
  assertEquals(toBob.heard, ["waiting", "introduction 9"]);
  await until(() => guest.network.open === 0, "we have left");

  // The next connection begins without what the last one was asked for.
  home.hold();
  const next = await arrive();
  next.respond(await bob(11));
  next.letGo();
  await guest.loses("bad_state");
  assertEquals(toBob.introductions.length, 1);
});

play("`leave` lets an introduction through that is under way", async ({ home, arrive, guest }) => {
  const toBob = new Ear();
  home.want("bob", toBob);
  home.hold();
  const channel = await arrive();
  await asked(channel, 1);
  home.leave();
  assertEquals(await channel.end(), "goodbye");
  channel.respond(await bob(9));
  await channel.channel.close(CloseCode.done);
  assertEquals(await guest.ended, undefined);
  assertEquals(toBob.heard, ["waiting", "introduction 9"]);
});

play("after a reconnection every want is said again, and that we are away", async (scene) => {
  const { guest, home, arrive } = scene;
  const ears = { bob: new Ear(), carol: new Ear(), dave: new Ear() };
  for (const [name, ear] of Object.entries(ears)) home.want(name, ear);
  home.hold();
  const first = await arrive();
  assertEquals(await asked(first, 3), ["want bob", "want carol", "want dave"]);
  first.respond(await bob(5));
  await until(() => ears.bob.introductions.length === 1, "the introduction");
  home.unwant("dave");
  home.setAway(true);
  await asked(first, 2);
  first.transport.close();
  await guest.loses("cut");
  // Said while there is no connection: it is said when there is one.
  home.want("erin", new Ear());
  home.decline("fred");
  guest.time.advance(BACKOFF_MAXIMUM);
  const second = await arrive();
  assertEquals(await asked(second, 3), ["away", "want carol", "want erin"]);
  assertEquals(ears.carol.heard, ["waiting", "waiting"]);
  assertEquals(ears.dave.heard, ["waiting"]);
});

play("pauses between tries grow, and are short again once we were registered", async (scene) => {
  const { guest, home, arrive } = scene;
  home.hold();
  const first = await arrive();
  guest.network.refuses = () => true;
  first.transport.close();
  const expected: number[] = [];
  for (let tries = 0; tries < 10; tries++) {
    expected.push(Math.min(BACKOFF_MINIMUM * 2 ** tries, SERVER_BACKOFF_MAXIMUM));
    await until(() => guest.pauses.length > tries, `loss ${tries}`);
    guest.time.advance(expected[tries]! - 1);
    await settle();
    // The first connection, and a dial for each pause that is over.
    assertEquals(guest.network.dials.length, 1 + tries);
    if (tries === 9) guest.network.refuses = () => false;
    guest.time.advance(1);
  }
  assertEquals(guest.pauses, expected);
  assertEquals([guest.losses[0], ...new Set(guest.losses.slice(1))], ["cut", "unreachable"]);
  const second = await arrive();
  guest.time.advance(STEADY_AFTER);
  second.transport.close();
  await until(() => guest.pauses.length === 11, "another loss");
  assertEquals(guest.pauses.at(-1), BACKOFF_MINIMUM);
});

/** Registers the next who comes, and hangs up; `before` losses were told already. */
async function dropNext({ guest, arrive }: Scene, before: number): Promise<void> {
  (await arrive()).transport.close();
  await until(() => guest.losses.length > before, `loss ${before}`);
}

play("a server that registers us and hangs up is asked less and less often", async (scene) => {
  const { guest, home, arrive } = scene;
  home.hold();
  for (let tries = 0; tries < 8; tries++) {
    await dropNext(scene, tries);
    guest.time.advance(guest.pauses.at(-1)!);
  }
  const grown = [0.5, 1, 2, 4, 8, 8, 8, 8].map((seconds) => seconds * 1000);
  assertEquals(guest.pauses, grown);
  const shaky = () =>
    guest.statuses.flatMap((each) => each.type === "registered" ? [each.isShaky] : []);
  assertEquals(shaky(), [false, ...Array(7).fill(true)]);
  // One that lasts is told of, once.
  const steady = await arrive();
  assertEquals(guest.statuses.at(-1)?.type, "registered");
  guest.time.advance(STEADY_AFTER);
  assertEquals(guest.statuses.at(-1)?.type, "steady");
  steady.transport.close();
  await until(() => guest.losses.length === 9, "the last loss");
  assertEquals(guest.pauses.at(-1), BACKOFF_MINIMUM);
  guest.time.advance(BACKOFF_MINIMUM);
  await arrive();
  assertEquals(shaky().at(-1), false);
});

play("what came through a server makes a short registration worth it", async (scene) => {
  const { guest, home } = scene;
  home.hold();
  for (let tries = 0; tries < 8; tries++) {
    await dropNext(scene, tries);
    home.worthwhile();
    guest.time.advance(guest.pauses.at(-1)!);
  }
  assert(guest.pauses.every((pause) => pause <= 2 * BACKOFF_MINIMUM), `${guest.pauses}`);
});

play("registrations that do not last are no end of the trouble", async (scene) => {
  const { guest, home } = scene;
  home.hold();
  for (let tries = 0; guest.time.now() < 5000; tries++) {
    await dropNext(scene, tries);
    guest.time.advance(guest.pauses.at(-1)!);
  }
  await (await scene.arrive()).transport.close();
  const error = await guest.ended;
  assertEquals(error instanceof CifraError && error.code, "cut");
}, { giveUpAfter: 5000 });

play("who comes and goes here costs us no more ladders than are ours", async (scene) => {
  const { guest, home, server } = scene;
  const taking = server.takeAll();
  taking.catch(() => {});
  const start = guest.time.now();
  for (let visits = 0; visits < 100; visits++) {
    const release = home.hold();
    await settle();
    release();
    await settle();
    guest.time.advance(100);
  }
  const minutes = (guest.time.now() - start) / 60_000;
  const most = OUR_LADDERS_BURST + OUR_LADDERS_PER_MINUTE * minutes + 1;
  assert(guest.network.dials.length <= most, `${guest.network.dials.length} dials`);
});

play("whoever waits does not wait for the end of a pause", async ({ guest, home, arrive }) => {
  home.hold();
  const first = await arrive();
  guest.network.refuses = () => true;
  first.transport.close();
  await guest.loses("cut");
  home.hurry();
  await until(() => guest.losses.length === 2, "the try at once");
  guest.network.refuses = () => false;
  guest.time.advance(HURRY_PAUSE);
  home.hurry();
  await arrive();
});

play(
  "whoever hurries us again and again gets a try in two seconds, and the pauses grow",
  async (scene) => {
    const { guest, home, arrive } = scene;
    home.hold();
    const first = await arrive();
    guest.network.refuses = () => true;
    first.transport.close();
    await guest.loses("cut");
    for (let tenths = 0; tenths < 600; tenths++) {
      home.hurry();
      await settle();
      guest.time.advance(100);
    }
    const dials = guest.network.dials.length;
    assert(dials > 10 && dials < 35, `${dials} dials in a minute`);
    assert(guest.pauses.at(-1)! > HURRY_PAUSE, `${guest.pauses.at(-1)}`);
    // Another network: as if nothing had been tried.
    guest.network.refuses = () => false;
    home.startOver();
    guest.time.advance(HURRY_PAUSE);
    (await arrive()).transport.close();
  },
);

play("whoever hurried us while we were registered does not take a later pause", async (scene) => {
  const { guest, home, arrive } = scene;
  home.hold();
  const first = await arrive();
  home.hurry();
  first.transport.close();
  await guest.loses("cut");
  guest.time.advance(BACKOFF_MINIMUM - 1);
  await settle();
  assertEquals(guest.network.dials.length, 1);
  guest.time.advance(1);
  await arrive();
});

play("the server is let go of when nobody needs it, and not before", async (scene) => {
  const { guest, home, arrive } = scene;
  await settle();
  assertEquals([guest.network.dials, guest.time.pending], [[], 0]);
  const first = home.hold();
  const channel = await arrive();
  const second = home.hold();
  first();
  first();
  await settle();
  assert(home.link);
  const ending = channel.letGo();
  second();
  assertEquals(await ending, "goodbye");
  await until(() => guest.network.open === 0, "we have left");
  assertEquals([guest.time.pending, home.link], [0, undefined]);
  // That is no loss.
  assertEquals(guest.statuses.map(({ type }) => type), ["registered"]);
  home.hold();
  await arrive();
});

play("what is not needed while it is being dialled is let go of", async (scene) => {
  const { guest, home, server, arrive } = scene;
  const dial = Promise.withResolvers<void>();
  guest.dialling = dial.promise;
  const release = home.hold();
  await settle();
  release();
  await settle();
  guest.dialling = Promise.resolve();
  home.hold();
  const channel = await arrive();
  const late = server.accept().then((late) => late.letGo());
  dial.resolve();
  assertEquals(await late, "goodbye");
  assert(home.link?.isOpen);
  home.setAway(true);
  assertEquals(await asked(channel, 1), ["away"]);
});

play("`leave` during a dial ends at once, and the late connection is left", async (scene) => {
  const { guest, home, server } = scene;
  const dial = Promise.withResolvers<void>();
  guest.dialling = dial.promise;
  home.hold();
  await settle();
  home.leave();
  assertEquals(await guest.ended, undefined);
  const late = server.accept();
  dial.resolve();
  assertEquals(await (await late).letGo(), "goodbye");
  assertEquals(guest.statuses, []);
});

play("`leave` during a dial that fails is no failure", async ({ guest, home }) => {
  const dial = Promise.withResolvers<void>();
  guest.dialling = dial.promise;
  home.hold();
  await settle();
  home.leave();
  assertEquals(await guest.ended, undefined);
  dial.reject(new CifraError("unreachable", "Nobody there"));
  await settle();
});

play("`leave` during a registration ends when the server has let us go", async (scene) => {
  const { guest, home, server } = scene;
  const toBob = new Ear();
  home.want("bob", toBob);
  home.hold();
  const channel = await server.accept();
  assertEquals((await channel.request())?.type, "register");
  home.leave();
  assertEquals(await channel.letGo(), "goodbye");
  assertEquals(await guest.ended, undefined);
  assertEquals([guest.statuses, toBob.heard], [[], []]);
});

play("an answer to a registration that nobody needs any more registers nothing", async (scene) => {
  const { guest, home, server } = scene;
  const toBob = new Ear();
  home.want("bob", toBob);
  const release = home.hold();
  const first = await server.accept();
  assertEquals((await first.request())?.type, "register");
  release();
  assertEquals(await first.end(), "goodbye");
  first.respond(REGISTERED);
  await first.channel.close(CloseCode.done);
  await until(() => guest.network.open === 0, "we have left");
  assertEquals([guest.statuses, toBob.heard], [[], []]);
  home.hold();
  const second = await server.accept();
  assertEquals((await second.request())?.type, "register");
  // Nothing is said on a connection before we are registered on it.
  assertEquals(home.link, undefined);
  home.want("carol", new Ear());
  second.respond({ type: "declined", peerName: "nobody" });
  await settle();
  assertEquals(guest.statuses, []);
  second.letGo();
});

/** The server does not let us in, for this reason; in so many seconds we may ask again. */
async function turnAway(
  channel: PuppetChannel,
  code: keyof typeof REFUSAL_CODES,
  retryAfter = 0,
): Promise<void> {
  await channel.request();
  const reason = lineOf("Not now");
  channel.respond({ type: "refused", code: REFUSAL_CODES[code], retryAfter, reason });
  channel.letGo();
}

play("before the first registration trouble is waited out as after it", async (scene) => {
  const { guest, home, server, arrive } = scene;
  guest.network.refuses = () => true;
  home.hold();
  await guest.loses("unreachable");
  guest.network.refuses = () => false;
  guest.time.advance(SERVER_BACKOFF_MAXIMUM);
  await turnAway(await server.accept(), "limit");
  await guest.loses("limit", 1);
  guest.time.advance(SERVER_BACKOFF_MAXIMUM);
  await arrive();
  const again = guest.statuses.flatMap((each) => each.type === "server-lost" ? [each.again] : []);
  assertEquals(again, [false, false]);
});

play("a server that names a time is asked then, by nobody's haste before", async (scene) => {
  const { guest, home, server, arrive } = scene;
  home.hold();
  await turnAway(await server.accept(), "limit", 7);
  await guest.loses("limit");
  // Spread by as much once more at the most; here the dice fall in the middle.
  assertEquals(guest.pauses, [10_500]);
  const dials = guest.network.dials.length;
  home.hurry();
  guest.time.advance(10_499);
  await settle();
  assertEquals(guest.network.dials.length, dials);
  guest.time.advance(1);
  await arrive();
});

play("whoever sits there keeps to a time that is far off for a minute", async (scene) => {
  const { guest, home, server, arrive } = scene;
  home.hold();
  await turnAway(await server.accept(), "limit", 600);
  await guest.loses("limit");
  const dials = guest.network.dials.length;
  for (let seconds = 0; seconds < 60; seconds++) {
    home.hurry();
    await settle();
    assertEquals(guest.network.dials.length, dials);
    guest.time.advance(1000);
  }
  await turnAway(await server.accept(), "limit", 600);
  await guest.loses("limit", 1);
  // Who does not wait there keeps to what was said.
  await guest.time.pass(120_000);
  assertEquals(guest.network.dials.length, dials + 1);
  home.hurry();
  await arrive();
});

for (const how of ["readdress", "startOver"] as const) {
  play(`another network ends a time that the server has named: ${how}`, async (scene) => {
    const { guest, home, server, arrive } = scene;
    home.hold();
    await turnAway(await server.accept(), "limit", 65_535);
    await guest.loses("limit");
    home.hurry();
    await settle();
    if (how === "startOver") home.startOver();
    else home.readdress(new Set(["192.0.2.7"]));
    await arrive();
  });
}

play("no server locks anybody out for longer than an hour", async (scene) => {
  const { guest, home, server, arrive } = scene;
  home.hold();
  await turnAway(await server.accept(), "limit", 65_535);
  await guest.loses("limit");
  assert(guest.pauses[0]! >= 3_600_000 && guest.pauses[0]! <= 3_610_000, `${guest.pauses}`);
  guest.time.advance(guest.pauses[0]!);
  await arrive();
});

play("a server that is not there at first ends it at once for who does not wait", async (scene) => {
  const { guest, home } = scene;
  guest.network.refuses = () => true;
  home.hold();
  const error = await guest.ended;
  assertEquals(error instanceof CifraError && error.code, "unreachable");
  assertEquals([guest.statuses, guest.time.pending], [[], 0]);
}, { giveUpAfter: 0 });

play("trouble that lasts too long ends it, after a last try", async (scene) => {
  const { guest, home, arrive } = scene;
  home.hold();
  const channel = await arrive();
  guest.network.refuses = () => true;
  channel.transport.close();
  const expected = [500, 1000, 500];
  for (const [tries, pause] of expected.entries()) {
    await until(() => guest.pauses.length > tries, `loss ${tries}`);
    guest.time.advance(pause);
  }
  const error = await guest.ended;
  assertEquals(error instanceof CifraError && error.code, "unreachable");
  assertEquals([guest.pauses, guest.network.dials.length], [expected, 1 + expected.length]);
}, { giveUpAfter: 2000 });

play("a time that is later than our patience is not waited for", async (scene) => {
  const { guest, home, server } = scene;
  home.hold();
  await turnAway(await server.accept(), "limit", 3);
  const error = await guest.ended;
  assertEquals(error instanceof CifraError && error.code, "limit");
  assertEquals([guest.statuses, guest.time.pending], [[], 0]);
}, { giveUpAfter: 2000 });

/** Whoever comes next is answered by this, which takes no key. */
async function answer(server: PuppetServer, kind: FrameKind, body: Bytes): Promise<void> {
  const transport = await server.arrival();
  await transport.read(new Uint8Array(4096));
  await transport.write(encodeFrame(kind, body));
  transport.close();
}

/** All that anybody can say to m1. */
const CLAIMS = [
  ...Object.entries(ALERT_CODES).map(([code, number]) =>
    [`alert ${code}`, FrameKind.alert, code === "busy" ? [number, 1] : [number]] as const
  ),
  ["an alert of another length", FrameKind.alert, [3, 3, 3]],
  ["a malformed m2", FrameKind.m2, [1, 2, 3]],
  ["a false m2", FrameKind.m2, Array<number>(2448).fill(7)],
  ["a message out of turn", FrameKind.m4, [1]],
  ["a frame of no kind", 0x7f as FrameKind, [1]],
] as const;

for (const [what, kind, body] of CLAIMS) {
  play(`${what}, instead of the ladder, ends nobody who knows the server`, async (scene) => {
    const { guest, home, server, arrive } = scene;
    guest.pinned = server.identity;
    home.hold();
    for (let tries = 0; tries < 4; tries++) {
      await answer(server, kind, new Uint8Array(body));
      await until(() => guest.losses.length > tries, `loss ${tries}`);
      guest.time.advance(2 * SERVER_BACKOFF_MAXIMUM);
    }
    assert(guest.pauses[3]! > guest.pauses[0]! || what === "alert busy", `${guest.pauses}`);
    await arrive();
  });

  play(`${what}, instead of the ladder, ends nobody who was registered`, async (scene) => {
    const { guest, home, server, arrive } = scene;
    home.hold();
    (await arrive()).transport.close();
    await guest.loses("cut");
    guest.time.advance(BACKOFF_MAXIMUM);
    await answer(server, kind, new Uint8Array(body));
    await until(() => guest.losses.length === 2, "the second loss");
    guest.time.advance(2 * SERVER_BACKOFF_MAXIMUM);
    await arrive();
  });
}

for (const code of ["bad_version", "suite_refused", "invite_required", "bad_frame"] as const) {
  play(`alert ${code} is told at once to whoever is nowhere known`, async (scene) => {
    const { guest, home, server } = scene;
    home.hold();
    await answer(server, FrameKind.alert, new Uint8Array([ALERT_CODES[code]]));
    const error = await guest.ended;
    assertEquals(error instanceof CifraError && error.code, code);
    assertEquals([guest.statuses, guest.time.pending], [[], 0]);
  });
}

play("an alert on the open channel ends nobody either", async (scene) => {
  const { guest, home, arrive } = scene;
  home.hold();
  const { transport } = await arrive();
  await transport.write(encodeFrame(FrameKind.alert, new Uint8Array([ALERT_CODES.bad_version])));
  await guest.loses("bad_version");
  guest.time.advance(BACKOFF_MAXIMUM);
  await arrive();
});

play("whoever gives up is told what was claimed last", async (scene) => {
  const { guest, home, server } = scene;
  guest.pinned = server.identity;
  home.hold();
  for (let tries = 0; tries < 4; tries++) {
    await answer(server, FrameKind.alert, new Uint8Array([ALERT_CODES.suite_refused]));
    await until(() => guest.losses.length > tries || guest.time.now() >= 2000, `loss ${tries}`);
    guest.time.advance(guest.pauses.at(-1)!);
  }
  const error = await guest.ended;
  assertEquals(error instanceof CifraError && error.code, "suite_refused");
}, { giveUpAfter: 2000 });

let isTalking = true;

play(
  "a server with other rules ends nothing while people talk, and is asked once a minute",
  async (scene) => {
    const { guest, home, server, arrive } = scene;
    isTalking = true;
    home.hold();
    (await arrive()).transport.close();
    await guest.loses("cut");
    guest.time.advance(BACKOFF_MAXIMUM);
    for (let minutes = 1; minutes <= 3; minutes++) {
      await turnAway(await server.accept(), "account_required");
      await until(
        () => guest.statuses.filter(({ type }) => type === "shut-out").length === minutes,
        "the word of it",
      );
      const dials = guest.network.dials.length;
      home.hurry();
      await guest.time.pass(SHUT_OUT_PAUSE - 2000);
      assertEquals(guest.network.dials.length, dials);
      await guest.time.pass(4000);
    }
    // It has been put right; and then it is as before, and nobody talks.
    const channel = await arrive();
    isTalking = false;
    channel.transport.close();
    await guest.loses("cut", 1);
    guest.time.advance(BACKOFF_MAXIMUM);
    await turnAway(await server.accept(), "account_required");
    const error = await guest.ended;
    assertEquals(error instanceof CifraError && error.code, "account_required");
  },
  { isTalking: () => isTalking },
);

play("who talks no more ends with the reason why the server takes nobody", async (scene) => {
  const { guest, home, server, arrive } = scene;
  isTalking = true;
  home.hold();
  (await arrive()).transport.close();
  await guest.loses("cut");
  guest.time.advance(BACKOFF_MAXIMUM);
  await turnAway(await server.accept(), "account_required");
  await until(() => guest.statuses.at(-1)?.type === "shut-out", "the word of it");
  isTalking = false;
  const error = await guest.time.during(guest.ended, "the end");
  assertEquals(error instanceof CifraError && error.code, "account_required");
}, { isTalking: () => isTalking });

play("a number that was behind is no reason to give up, not even at first", async (scene) => {
  const { guest, home, server, arrive } = scene;
  home.hold();
  await turnAway(await server.accept(), "stale_registration");
  await guest.loses("stale_registration");
  guest.time.advance(BACKOFF_MAXIMUM);
  await arrive();
});

for (
  const [code, isFinal] of [
    ["replaced", true],
    ["banned", true],
    ["kicked", true],
    ["name_taken", true],
    ["limit", false],
    ["refused", false],
    ["shutdown", false],
  ] as const
) {
  const what = isFinal ? "ends it" : "is waited out";
  play(`a registered client that is told ${code}: that ${what}`, async (scene) => {
    const { guest, home, arrive } = scene;
    home.hold();
    const channel = await arrive();
    const reason = lineOf("Because");
    channel.respond({ type: "refused", code: REFUSAL_CODES[code], retryAfter: 0, reason });
    channel.channel.close(CloseCode.failed);
    const heard = channel.end();
    if (isFinal) {
      const error = await guest.ended;
      assertEquals(error instanceof CifraError && error.code, code);
      assertEquals(await heard, "goodbye");
      return;
    }
    await guest.loses(code);
    assertEquals(await heard, "goodbye");
    guest.time.advance(BACKOFF_MAXIMUM);
    await arrive();
  });
}

for (const when of ["before", "after"]) {
  play(
    `a server that leaves ${when} the registration is answered with a goodbye`,
    async (scene) => {
      const { guest, home, server } = scene;
      home.hold();
      const channel = await server.accept();
      if (when === "after") await channel.register();
      else await channel.request();
      await channel.channel.close(CloseCode.shutdown);
      assertEquals(await channel.end(), "goodbye");
      await guest.loses("shutdown");
    },
  );
}

test("the next word about the lobby is taken when the one before has been", async () => {
  const taking: PromiseWithResolvers<void>[] = [];
  const words: string[] = [];
  const server = await PuppetServer.open();
  const onLobby = (word: LobbyWord) => {
    words.push(word.type === "offer" ? word.peerName : `${word.people.length} people`);
    taking.push(Promise.withResolvers());
    return taking.at(-1)!.promise;
  };
  const alice = await person("modern", "alice");
  const guest = new Guest(alice, server.port, { onLobby, lobby: "listed" });
  guest.home.hold();
  const channel = await server.accept();
  await channel.register();
  const { bundle } = (await person("modern", "bob")).identity;
  channel.respond(
    { type: "presence", complete: 1, people: [{ name: "bob", state: PersonState.here }] },
    { type: "offer", peerName: "bob", suite: 1, bundle },
    { type: "offer", peerName: "carol", suite: 1, bundle },
  );
  for (const [n, expected] of ["1 people", "bob", "carol"].entries()) {
    await until(() => words.length > n, expected);
    await settle();
    assertEquals(words.slice(n), [expected]);
    taking[n]!.resolve();
  }
  guest.home.leave();
  await server[Symbol.asyncDispose]();
  await guest.ended;
  assertEquals([guest.time.pending, guest.network.open], [0, 0]);
});

const { relay, hidden, lobby, unlisted } = Capability;
for (
  const [change, capabilities] of [
    [{}, relay],
    [{ relay: "only" }, relay | hidden],
    [{ relay: "never" }, 0],
    [{ lobby: "listed" }, relay | lobby],
    [{ lobby: "unlisted", relay: "never" }, lobby | unlisted],
  ] as const
) {
  play(
    `a registration says what we want: ${JSON.stringify(change)}`,
    async ({ home, server }) => {
      home.hold();
      const channel = await server.accept();
      const registration = await channel.register();
      assertEquals(registration.capabilities, capabilities);
      assertEquals(registration.name, "alice");
      // The wire has no empty port.
      assertEquals([registration.receivePort, registration.sendPort], [1024, 1025]);
    },
    change,
  );
}

play("`registered` resolves to the connection, and to nothing when we leave", async (scene) => {
  const { guest, home, arrive } = scene;
  const waiting = home.registered();
  home.hold();
  const channel = await arrive();
  const link = await waiting;
  assert(link && link === home.link);
  assertEquals(await home.registered(), link);
  channel.transport.close();
  await guest.loses("cut");
  const never = home.registered();
  home.leave();
  assertEquals(await never, undefined);
});
