/** Who is in the lobby and who asks for us, as a server tells it that says the truth, or what it should not. */
import { assert, assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { Home, type HomeStatus, type LobbyWord } from "../../lib/client/home.ts";
import { type Changes, Lobby, type Offer } from "../../lib/client/lobby.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import { CifraError } from "../../lib/errors.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { LOBBY_PEOPLE, OFFERS_LIMIT, PRESENCE_LIMIT } from "../../lib/limits.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Capability, PersonState } from "../../lib/wire/rendezvous_messages.ts";
import { ManualTime } from "../testkit/clock.ts";
import { test } from "../testkit/adversary.ts";
import { ephemeralKeys, person } from "../testkit/handshake.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";
import { claimOf, nextSequence, TestClient, withServer } from "../testkit/server.ts";
import { until } from "../testkit/until.ts";

/** Milliseconds in which those who come together have come, and between two tellings. */
const SETTLE = 200;
const PAUSE = 5000;
const NOTHING = { isFirst: false, joined: [], left: [], away: [], back: [] };
const { here, away, gone } = PersonState;

type State = typeof here | typeof away | typeof gone;

/** Alice's lobby, and all that she was told. */
class Listener {
  readonly time = new ManualTime();
  readonly changes: Changes[] = [];
  readonly offers: Offer[] = [];
  readonly lobby: Lobby;

  constructor({ suite }: Awaited<ReturnType<typeof person>>) {
    this.lobby = new Lobby({
      time: this.time,
      ourName: "alice",
      suite,
      changesPause: PAUSE,
      onChanges: (changes) => void this.changes.push(changes),
      onOffer: (offer) => void this.offers.push(offer),
    });
  }

  static async open(): Promise<Listener> {
    return new Listener(await person("modern", "alice"));
  }

  get names(): string[] {
    return [...this.lobby.people.keys()].sort();
  }

  /** The server says how these are; `complete`: and that nobody else is here. */
  async hear(people: Readonly<Record<string, State>>, complete: 0 | 1 = 0): Promise<void> {
    const list = Object.entries(people).map(([name, state]) => ({ name, state }));
    await this.lobby.take({ type: "presence", complete, people: list });
  }

  async offer(peerName: string, suite: number, bundle: Bytes): Promise<void> {
    await this.lobby.take({ type: "offer", peerName, suite, bundle });
  }
}

/** So many names, each with this state. */
function crowd(from: number, count: number, state: State = here): Record<string, State> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${from + i}`, state]));
}

test("a lobby tells first who is here, and a crowd that comes in one piece", async () => {
  const listener = await Listener.open();
  const { lobby, time, changes } = listener;
  await listener.hear({}, 1);
  time.advance(SETTLE);
  assertEquals(changes, [{ ...NOTHING, isFirst: true }]);
  for (let n = 0; n < 40; n++) await listener.hear(crowd(n, 1));
  time.advance(PAUSE - 1);
  // However many words of the server that took: people have not been told, and are told once.
  assertEquals([changes.length, time.pending, lobby.people.size], [1, 1, 40]);
  time.advance(1);
  const names = Object.keys(crowd(0, 40));
  assertEquals(changes[1], { ...NOTHING, joined: names });
  await listener.hear(crowd(0, 40, gone));
  time.advance(PAUSE);
  assertEquals([changes[2]?.left, changes.length, time.pending], [names, 3, 0]);
});

test("whoever comes and goes between two words is not worth one", async () => {
  const listener = await Listener.open();
  const { time, changes } = listener;
  await listener.hear({}, 1);
  time.advance(SETTLE);
  await listener.hear({ bob: here });
  await listener.hear({ bob: gone });
  time.advance(PAUSE);
  assertEquals([changes.length, time.pending], [1, 0]);
});

test("somebody who is away is told apart from somebody who is here", async () => {
  const listener = await Listener.open();
  const { time, changes, lobby } = listener;
  const said: string[] = [];
  for (const state of [here, away, here, away]) {
    await listener.hear({ bob: state }, said.length === 0 ? 1 : 0);
    time.advance(PAUSE);
    const { joined, away, back } = changes.at(-1)!;
    said.push(`${joined}|${away}|${back} ${lobby.people.get("bob")}`);
  }
  assertEquals(said, ["bob|| here", "|bob| away", "||bob here", "|bob| away"]);
  await listener.hear({ carol: away });
  time.advance(PAUSE);
  assertEquals(changes.at(-1), { ...NOTHING, joined: ["carol"], away: ["carol"] });
});

test("an offer says who asks, by the key of our suite or by none", async () => {
  const listener = await Listener.open();
  const [dave, erin] = [await person("modern", "dave"), await person("rsa", "erin")];
  await listener.offer("dave", dave.suite.id, dave.identity.bundle);
  // With another suite there is no identity that we could know.
  await listener.offer("erin", erin.suite.id, erin.identity.bundle);
  const [first, second] = listener.offers;
  assertEquals([first?.name, first?.suite], ["dave", dave.suite.id]);
  assertEquals(first?.identity?.fingerprint, dave.identity.fingerprint);
  assertEquals(second, { name: "erin", suite: erin.suite.id, identity: undefined });
});

test("an offer of our own name, or with a key that cannot be, is passed over", async () => {
  const listener = await Listener.open();
  const { suite, identity: { bundle } } = await person("modern", "dave");
  const flipped = bundle.slice();
  flipped[40]! ^= 1;
  for (
    const [name, key] of [
      ["alice", bundle],
      ["eve", flipped],
      ["eve", new Uint8Array(3)],
      ["dave", bundle],
    ] as const
  ) await listener.offer(name, suite.id, key);
  assertEquals(listener.offers.map(({ name }) => name), ["dave"]);
});

test("we are not shown, and a name may be like something of JavaScript's", async () => {
  const listener = await Listener.open();
  const names = ["alice", "constructor", "bob"];
  await listener.lobby.take({
    type: "presence",
    complete: 1,
    people: names.map((name) => ({ name, state: here })),
  });
  assertEquals(listener.names, ["bob", "constructor"]);
  // A state that a newer server may have is as good as gone.
  await listener.hear({ bob: 9 as State });
  assertEquals(listener.names, ["constructor"]);
});

test("what comes in parts is told when all of it has come, and not as a leaving", async () => {
  const listener = await Listener.open();
  const { time, changes, lobby } = listener;
  await listener.hear({ bob: here }, 1);
  time.advance(SETTLE);

  // As from a server that has been away: all anew, in three parts, of which the last is empty.
  await listener.hear(crowd(0, PRESENCE_LIMIT), 1);
  await listener.hear(crowd(PRESENCE_LIMIT, PRESENCE_LIMIT));
  assertEquals([listener.names, time.pending], [["bob"], 0]);
  await listener.hear({});
  assertEquals(lobby.people.size, 2 * PRESENCE_LIMIT);
  time.advance(PAUSE);
  const { joined, left } = changes.at(-1)!;
  assertEquals([joined.length, left], [2 * PRESENCE_LIMIT, ["bob"]]);

  // Changes have no end that is to be waited for.
  await listener.hear(crowd(0, PRESENCE_LIMIT, gone));
  assertEquals([lobby.people.size, time.pending], [PRESENCE_LIMIT, 1]);
});

test("no server makes a client remember more people than there is room for", async () => {
  const listener = await Listener.open();
  for (let from = 0; from < LOBBY_PEOPLE + 500; from += PRESENCE_LIMIT) {
    await listener.hear(crowd(from, PRESENCE_LIMIT));
  }
  assertEquals(listener.lobby.people.size, LOBBY_PEOPLE);
  await listener.hear({ n0: gone, late: here });
  assertEquals([listener.lobby.people.size, listener.lobby.people.has("late")], [
    LOBBY_PEOPLE,
    true,
  ]);
});

test("those who come back with us to a server that was away have not left", async () => {
  const listener = await Listener.open();
  const { lobby, time, changes } = listener;
  lobby.returned();
  await listener.hear({ bob: here, carol: here }, 1);
  time.advance(SETTLE);
  assertEquals(changes[0]?.joined, ["bob", "carol"]);
  time.advance(60_000);
  lobby.returned();
  await listener.hear({ carol: here }, 1);
  time.advance(PAUSE - 1);
  assertEquals(changes.length, 1);
  await listener.hear({ bob: here, dave: here });
  time.advance(1);
  assertEquals(changes[1], { ...NOTHING, joined: ["dave"] });
});

test("after stop() nothing is told", async () => {
  const listener = await Listener.open();
  await listener.hear({ bob: here }, 1);
  listener.lobby.stop();
  assertEquals(listener.time.pending, 0);
});

/** Alice in the lobby of a server, with a home of her own. */
class Visitor {
  readonly listener: Listener;
  readonly home: Home;
  readonly statuses: HomeStatus[] = [];
  readonly time = new ManualTime();
  readonly ended: Promise<unknown>;

  constructor(who: Awaited<ReturnType<typeof person>>, place: { port: number }) {
    const { suite, identity } = who;
    this.listener = new Listener(who);
    const environment = { ...systemEnvironment, time: this.time };
    const ticker = new Ticker(this.time);
    this.home = new Home({
      environment,
      ourName: "alice",
      openServer: () =>
        ServerLink.open({
          environment,
          address: {
            host: "127.0.0.1",
            port: place.port,
            fingerprint: undefined,
            inviteSecret: undefined,
          },
          suite,
          identity,
          ephemeralKey: ephemeralKeys(suite, "alice"),
          ticker,
        }),
      register: async (place, job) => {
        const registrationSequence = nextSequence();
        const claim = await claimOf(who, "alice", registrationSequence, [], place);
        return await job({ registrationSequence, claim });
      },
      door: undefined,
      relay: "allowed",
      advertised: [],
      lobby: "listed",
      onStatus: (status) => {
        this.statuses.push(status);
        if (status.type === "registered") this.listener.lobby.returned();
      },
      onLobby: (word: LobbyWord) => this.listener.lobby.take(word),
    });
    this.home.hold();
    this.ended = this.home.run().then(() => undefined, (error) => error);
  }

  static async of(place: { port: number }): Promise<Visitor> {
    return new Visitor(await person("modern", "alice"), place);
  }

  all<T extends HomeStatus["type"]>(type: T) {
    return this.statuses.filter((status) => status.type === type) as Extract<
      HomeStatus,
      { readonly type: T }
    >[];
  }

  async leave(): Promise<void> {
    this.home.leave();
    await this.ended;
    this.listener.lobby.stop();
    assertEquals(this.time.pending, 0);
  }
}

async function join(server: { readonly port: number }, name: string): Promise<TestClient> {
  const who = await person("modern", name);
  const capabilities = Capability.lobby;
  return await TestClient.registered(server, who, name, "", { capabilities });
}

/** Reads until the server has said that alice is away, in however many words. */
async function hearsOfAway(client: TestClient): Promise<void> {
  for (;;) {
    const response = await client.next();
    if (response.type !== "presence") continue;
    if (response.people.some(({ name, state }) => name === "alice" && state === away)) return;
  }
}

test("a lobby comes back with the server, away as before, and tells only what has changed", async () => {
  const place = { port: 0 };
  let visitor: Visitor | undefined;
  let others: TestClient[] = [];
  await withServer(async (server) => {
    place.port = server.port;
    const alice = visitor = await Visitor.of(place);
    const present = others = [await join(server, "bob"), await join(server, "carol")];
    await until(() => alice.listener.names.join() === "bob,carol");
    alice.listener.time.advance(SETTLE);
    alice.home.setAway(true);
    await hearsOfAway(present[0]!);
  });
  // They were there to the end.
  for (const { channel } of others) channel.destroy();
  const { home, listener, time } = visitor!;
  try {
    await until(() => visitor!.all("server-lost").length === 1);
    assertEquals([home.link, listener.names], [undefined, ["bob", "carol"]]);
    await withServer(async (server) => {
      place.port = server.port;
      const clients = [await join(server, "carol"), await join(server, "dave")];
      listener.time.advance(60_000);
      time.advance(1000);
      await until(() => listener.names.join() === "carol,dave");
      listener.time.advance(PAUSE);
      const { joined, left } = listener.changes.at(-1)!;
      assertEquals([joined, left], [["dave"], ["bob"]]);
      await hearsOfAway(clients[1]!);
      for (const client of clients) await client.leave();
      await visitor!.leave();
    });
  } finally {
    await visitor!.leave();
  }
});

test("another program of the same name in the lobby ends the stay of the first", () =>
  withServer(async (server) => {
    const first = await Visitor.of(server);
    await until(() => first.all("registered").length === 1);
    const second = await Visitor.of(server);
    await until(() => second.all("registered").length === 1);
    const error = await first.ended;
    assert(error instanceof CifraError && error.code === "replaced", `${error}`);
    await second.leave();
    await first.leave();
  }));

test("somebody who is declined hears of it", () =>
  withServer(async (server) => {
    const alice = await Visitor.of(server);
    await until(() => alice.all("registered").length === 1);
    const dave = await person("modern", "dave");
    const client = await TestClient.registered(server, dave, "dave", "alice");
    await until(() => alice.listener.offers.length === 1);
    assertEquals(
      alice.listener.offers[0]?.identity?.fingerprint,
      dave.identity.fingerprint,
    );
    alice.home.decline("dave");
    assertEquals(await client.next(), { type: "declined", peerName: "alice" });
    await client.leave();
    await alice.leave();
  }));

test("a full lobby, and as many who ask as are told of, may come in one go", async () => {
  const { suite, identity: { bundle } } = await person("modern", "dave");
  await using server = await PuppetServer.open();
  const alice = await Visitor.of(server);
  const puppet = await server.accept();
  await puppet.register();
  for (let from = 0; from < LOBBY_PEOPLE; from += PRESENCE_LIMIT) {
    const people = Object.entries(crowd(from, Math.min(PRESENCE_LIMIT, LOBBY_PEOPLE - from)))
      .map(([name, state]) => ({ name, state }));
    puppet.respond({ type: "presence", complete: from === 0 ? 1 : 0, people });
  }
  for (let n = 0; n < OFFERS_LIMIT; n++) {
    puppet.respond({ type: "offer", peerName: `o${n}`, suite: suite.id, bundle });
  }
  await until(() => alice.listener.offers.length === OFFERS_LIMIT);
  assertEquals(alice.listener.lobby.people.size, LOBBY_PEOPLE);
  assert(alice.home.link?.isOpen);
  puppet.letGo();
  await alice.leave();
});
