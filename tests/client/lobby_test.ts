/** Being in the lobby of a real server, and of one that says what it should not. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { Lobby, type LobbyNews } from "../../lib/client/lobby.ts";
import type { Registrar } from "../../lib/client/name_claim.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import { CifraError } from "../../lib/errors.ts";
import { LOBBY_PEOPLE, OFFERS_LIMIT, PRESENCE_LIMIT } from "../../lib/limits.ts";
import { type Environment, systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { CloseCode } from "../../lib/wire/records.ts";
import {
  Capability,
  PersonState,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { cryptoIdle } from "../testkit/adversary.ts";
import { ephemeralKeys, person } from "../testkit/handshake.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";
import {
  claimOf,
  nextSequence,
  TestClient,
  type TestServer,
  type TestServerOptions,
  withServer,
} from "../testkit/server.ts";

const LOBBY = { capabilities: Capability.lobby };
/** Longest wait for what must come. */
const PATIENCE = 10_000;

/** Alarms that go off when the test says so, in the order of their times. */
class Alarms {
  readonly #set = new Map<() => void, number>();
  now = 0;
  readonly environment: Environment = {
    ...systemEnvironment,
    time: {
      ...systemEnvironment.time,
      now: () => this.now,
      after: (milliseconds, action) => {
        this.#set.set(action, milliseconds);
        return () => void this.#set.delete(action);
      },
    },
  };

  /** The pauses that are being waited for, in milliseconds. */
  get pauses(): number[] {
    return [...this.#set.values()];
  }

  ring(): void {
    const due = [...this.#set.keys()];
    this.#set.clear();
    for (const action of due) action();
  }
}

/** Alice in the lobby, and all that she was told. */
class Guest {
  readonly lobby: Lobby;
  readonly alarms = new Alarms();
  readonly news: LobbyNews[] = [];
  readonly staying: Promise<void>;
  readonly #ticker = new Ticker(systemEnvironment.time);
  readonly #waiting = new Set<() => void>();

  private constructor(
    place: { port: number },
    who: Awaited<ReturnType<typeof person>>,
    hidden: boolean,
  ) {
    const register: Registrar = async (job) => {
      const registrationSequence = nextSequence();
      const claim = await claimOf(who, "alice", registrationSequence);
      return await job({ registrationSequence, claim });
    };
    this.lobby = new Lobby({
      environment: this.alarms.environment,
      ourName: "alice",
      suite: who.suite,
      openServer: () =>
        ServerLink.open({
          environment: systemEnvironment,
          address: {
            host: "127.0.0.1",
            port: place.port,
            fingerprint: undefined,
            inviteSecret: undefined,
          },
          suite: who.suite,
          identity: who.identity,
          ephemeralKey: ephemeralKeys(who.suite, "alice"),
          ticker: this.#ticker,
        }),
      register,
      hidden,
      changesPause: 5000,
      onNews: (news) => {
        this.news.push(news);
        this.#look();
      },
    });
    this.staying = this.lobby.run().finally(() => this.#ticker.stop());
    this.staying.catch(() => {});
  }

  /** Comes to whatever listens at the port of `place` at the time. */
  static async in(place: { port: number }, hidden = false): Promise<Guest> {
    return new Guest(place, await person("modern", "alice"), hidden);
  }

  all<T extends LobbyNews["type"]>(type: T): Extract<LobbyNews, { type: T }>[] {
    return this.news.filter((news): news is Extract<LobbyNews, { type: T }> => news.type === type);
  }

  get names(): string[] {
    return [...this.lobby.people.keys()].sort();
  }

  /** Waits until it is so; looked at when news come, and now and then for what comes without. */
  async until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => holds() && resolve();
    const timer = setTimeout(() => reject(new Error(`It did not come to ${what}`)), PATIENCE);
    const glance = setInterval(look, 5);
    this.#waiting.add(look);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      clearInterval(glance);
      this.#waiting.delete(look);
    }
  }

  async leave(): Promise<void> {
    this.lobby.leave();
    await this.staying;
  }

  #look(): void {
    for (const look of [...this.#waiting]) look();
  }
}

function test(
  name: string,
  scene: (guest: Guest, server: TestServer) => Promise<void>,
  options: TestServerOptions = {},
): void {
  Deno.test(name, () =>
    withServer(async (server) => {
      const guest = await Guest.in(server);
      try {
        await guest.until("a registration", () => guest.all("registered").length === 1);
        await scene(guest, server);
      } finally {
        await guest.leave();
      }
    }, options));
}

async function join(server: TestServer, name: string): Promise<TestClient> {
  return await TestClient.registered(server, await person("modern", name), name, "", LOBBY);
}

test(
  "a lobby tells first who is here, and a crowd that comes in one piece",
  async (guest, server) => {
    await guest.until("word of nobody", () => guest.alarms.pauses.length === 1);
    guest.alarms.ring();
    const nobody = { joined: [], left: [], away: [], back: [] };
    assertEquals(guest.all("changes").map(({ changes }) => changes), [{
      isFirst: true,
      ...nobody,
    }]);

    const names = Array.from({ length: 40 }, (_, i) => `guest${i}`);
    const clients: TestClient[] = [];
    for (const name of names) clients.push(await join(server, name));
    await guest.until("everybody", () => guest.lobby.people.size === names.length);
    // However many words of the server that took: people have not been told, and are told once.
    assertEquals(guest.all("changes").length, 1);
    assertEquals(guest.alarms.pauses, [5000]);
    guest.alarms.ring();
    assertEquals(guest.all("changes")[1]!.changes, {
      isFirst: false,
      ...nobody,
      joined: names.toSorted(),
    });
    for (const client of clients) await client.leave();
    await guest.until("nobody", () => guest.lobby.people.size === 0);
    guest.alarms.ring();
    assertEquals(guest.all("changes")[2]!.changes.left, names.toSorted());
  },
);

test("who comes and goes between two words is not worth one", async (guest, server) => {
  await guest.until("word of nobody", () => guest.alarms.pauses.length === 1);
  guest.alarms.ring();
  const bob = await join(server, "bob");
  await guest.until("bob", () => guest.lobby.people.has("bob"));
  await bob.leave();
  await guest.until("no bob", () => !guest.lobby.people.has("bob"));
  assertEquals(guest.alarms.pauses.length, 1);
  guest.alarms.ring();
  assertEquals(guest.all("changes").length, 1);
});

test("who is away is told apart from who is here", async (guest, server) => {
  const bob = await join(server, "bob");
  await guest.until("bob", () => guest.lobby.people.get("bob") === "here");
  guest.alarms.ring();
  bob.send({ type: "away", away: 1 });
  await guest.until("bob being away", () => guest.lobby.people.get("bob") === "away");
  guest.alarms.ring();
  bob.send({ type: "away", away: 0 });
  await guest.until("bob being back", () => guest.lobby.people.get("bob") === "here");
  guest.alarms.ring();
  const told = guest.all("changes").map(({ changes: { joined, away, back } }) => [
    joined,
    away,
    back,
  ]);
  assertEquals(told, [[["bob"], [], []], [[], ["bob"], []], [[], [], ["bob"]]]);
  await bob.leave();
});

test("an offer says who asks, and who is declined hears of it", async (guest, server) => {
  const dave = await person("modern", "dave");
  const client = await TestClient.registered(server, dave, "dave", "alice");
  await guest.until("an offer", () => guest.all("offer").length === 1);
  const [{ offer }] = guest.all("offer") as [Extract<LobbyNews, { type: "offer" }>];
  assertEquals([offer.name, offer.suite], ["dave", dave.suite.id]);
  assertEquals(offer.identity?.fingerprint, dave.identity.fingerprint);
  guest.lobby.decline("dave");
  assertEquals(await client.next(), { type: "declined", peerName: "alice" });
  await client.leave();

  const other = await person("rsa", "erin");
  const erin = await TestClient.registered(server, other, "erin", "alice");
  await guest.until("another offer", () => guest.all("offer").length === 2);
  // With another suite there is no identity that we could know.
  assertEquals(guest.all("offer")[1]!.offer, {
    name: "erin",
    suite: other.suite.id,
    identity: undefined,
  });
  await erin.leave();
});

/** Reads until the server has said that alice is away, in however many words. */
async function hearsOfAway(client: TestClient): Promise<void> {
  for (;;) {
    const response = await client.next();
    if (response.type !== "presence") continue;
    const { people } = response;
    if (people.some(({ name, state }) => name === "alice" && state === PersonState.away)) return;
  }
}

Deno.test("a lobby comes back with the server, away as before, and tells only what has changed", async () => {
  const place = { port: 0 };
  let guest: Guest | undefined;
  let others: TestClient[] = [];
  await withServer(async (server) => {
    place.port = server.port;
    guest = await Guest.in(place);
    const here = others = [await join(server, "bob"), await join(server, "carol")];
    await guest.until("both", () => guest!.names.length === 2);
    guest.alarms.ring();
    guest.lobby.setAway(true);
    await hearsOfAway(here[0]!);
  });
  // They were there to the end.
  for (const { channel } of others) channel.destroy();
  const stayer = guest!;
  try {
    await stayer.until("the loss", () => stayer.all("server-lost").length === 1);
    assertEquals(stayer.lobby.isConnected, false);
    assertEquals(stayer.names, ["bob", "carol"]);
    await withServer(async (server) => {
      place.port = server.port;
      const clients = [await join(server, "carol"), await join(server, "dave")];
      stayer.alarms.ring();
      stayer.alarms.now = 60_000;
      await stayer.until("the others", () => stayer.names.join() === "carol,dave");
      // Others may be about to come back too.
      assertEquals(stayer.alarms.pauses, [5000]);
      stayer.alarms.ring();
      const { joined, left } = stayer.all("changes").at(-1)!.changes;
      assertEquals([joined, left], [["dave"], ["bob"]]);
      await hearsOfAway(clients[1]!);
      for (const client of clients) await client.leave();
      await stayer.leave();
    });
  } finally {
    await stayer.leave();
  }
});

Deno.test("what ends a stay: no server at the beginning, and another one of the same name", async () => {
  const place = { port: 0 };
  await withServer((server) => {
    place.port = server.port;
    return Promise.resolve();
  });
  const early = await Guest.in(place);
  const error = await assertRejects(() => early.staying, CifraError);
  assertEquals(error.code, "unreachable");
  assertEquals(early.news, []);

  await withServer(async (server) => {
    const first = await Guest.in(server);
    await first.until("a registration", () => first.all("registered").length === 1);
    const second = await Guest.in(server);
    await second.until("a registration", () => second.all("registered").length === 1);
    const replaced = await assertRejects(() => first.staying, CifraError);
    assertEquals(replaced.code, "replaced");
    await second.leave();
  });
});

/** A server that takes everybody, and then says what the test wants. */
async function withEvilServer(
  script: (say: (response: ServerResponse) => void, guest: Guest) => Promise<void>,
): Promise<void> {
  await using server = await PuppetServer.open();
  const guest = await Guest.in(server);
  const puppet = await server.accept();
  await puppet.register();
  try {
    await guest.until("a registration", () => guest.all("registered").length === 1);
    await script((response) => puppet.respond(response), guest);
  } finally {
    const left = guest.leave().catch(() => {});
    await puppet.end();
    await puppet.channel.close(CloseCode.done);
    await left;
    await cryptoIdle();
  }
}

type Presence = Extract<ServerResponse, { readonly type: "presence" }>;
const { here } = PersonState;

Deno.test("names that nobody can have are not shown, and neither are we", async () => {
  await withEvilServer(async (say, guest) => {
    const names = ["\x1b[2J", "ALICE", "alice", "server", "", "b\u202eob", "__proto__", "bob"];
    say({ type: "presence", complete: 1, people: names.map((name) => ({ name, state: here })) });
    await guest.until("bob", () => guest.lobby.people.size > 0);
    assertEquals(guest.names, ["bob"]);
    // A state that a newer server may have is as good as gone.
    say({ type: "presence", complete: 0, people: [{ name: "bob", state: 9 }] });
    await guest.until("nobody", () => guest.lobby.people.size === 0);
  });
});

Deno.test("what comes in parts is told when all of it has come, and not as a leaving", async () => {
  await withEvilServer(async (say, guest) => {
    const crowd = Array.from(
      { length: 2 * PRESENCE_LIMIT },
      (_, i) => ({ name: `n${i}`, state: here }),
    );
    const [first, second] = [crowd.slice(0, PRESENCE_LIMIT), crowd.slice(PRESENCE_LIMIT)];
    const tell = (complete: 0 | 1, people: Presence["people"]) =>
      say({ type: "presence", complete, people });
    tell(1, [{ name: "bob", state: here }]);
    await guest.until("bob", () => guest.lobby.people.size === 1);
    guest.alarms.ring();

    // As from a server that has been away: all anew, in three parts, of which the last is empty.
    tell(1, first);
    say({ type: "offer", peerName: "mark1", suite: 2, bundle: new Uint8Array(1) });
    await guest.until("an offer after the first part", () => guest.all("offer").length === 1);
    assertEquals([guest.names, guest.alarms.pauses], [["bob"], []]);
    tell(0, second);
    say({ type: "offer", peerName: "mark2", suite: 2, bundle: new Uint8Array(1) });
    await guest.until("an offer after the second part", () => guest.all("offer").length === 2);
    assertEquals([guest.names, guest.alarms.pauses], [["bob"], []]);
    tell(0, []);
    await guest.until("the crowd", () => guest.lobby.people.size === crowd.length);
    guest.alarms.ring();
    const { joined, left } = guest.all("changes").at(-1)!.changes;
    assertEquals([joined.length, left], [crowd.length, ["bob"]]);

    // Changes have no end that is to be waited for.
    tell(0, first.map(({ name }) => ({ name, state: PersonState.gone })));
    await guest.until("half of them", () => guest.lobby.people.size === PRESENCE_LIMIT);
    assertEquals(guest.alarms.pauses, [5000]);
  });
});

Deno.test("a full lobby, and as many who ask as are told of, may come in one go", async () => {
  const { suite, identity: { bundle } } = await person("modern", "dave");
  await withEvilServer(async (say, guest) => {
    const parts = LOBBY_PEOPLE / PRESENCE_LIMIT;
    for (let i = 0; i < parts; i++) {
      const people = Array.from(
        { length: PRESENCE_LIMIT },
        (_, j) => ({ name: `n${i}x${j}`, state: here }),
      );
      say({ type: "presence", complete: i === 0 ? 1 : 0, people });
    }
    say({ type: "presence", complete: 0, people: [] });
    for (let i = 0; i < OFFERS_LIMIT; i++) {
      say({ type: "offer", peerName: `o${i}`, suite: suite.id, bundle });
    }
    await guest.until("the offers", () => guest.all("offer").length === OFFERS_LIMIT);
    assertEquals(guest.lobby.people.size, LOBBY_PEOPLE);
    assert(guest.lobby.isConnected);
  });
});

Deno.test("an offer with a name or a key that cannot be is passed over", async () => {
  const { identity: { bundle } } = await person("modern", "dave");
  await withEvilServer(async (say, guest) => {
    const offer = (peerName: string, key: Bytes) =>
      say({ type: "offer", peerName, suite: 3, bundle: key });
    const flipped = bundle.slice();
    flipped[40]! ^= 1;
    offer("\x1b[2J", bundle);
    offer("alice", bundle);
    offer("eve", flipped);
    offer("eve", new Uint8Array(3));
    offer("dave", bundle);
    await guest.until("dave", () => guest.all("offer").length > 0);
    assertEquals(guest.all("offer").map(({ offer: { name } }) => name), ["dave"]);
    assert(guest.lobby.isConnected);
  });
});

Deno.test("no server makes a client remember more people than there is room for", async () => {
  await withEvilServer(async (say, guest) => {
    for (let i = 0; i < LOBBY_PEOPLE + 500; i += 250) {
      const people = Array.from({ length: 250 }, (_, j) => ({ name: `n${i + j}`, state: here }));
      say({ type: "presence", complete: 0, people });
      await guest.until(
        "taking them",
        () => guest.lobby.people.size >= Math.min(i + 250, LOBBY_PEOPLE),
      );
    }
    say({ type: "presence", complete: 0, people: [{ name: "n0", state: PersonState.gone }] });
    await guest.until("one less", () => !guest.lobby.people.has("n0"));
    assertEquals(guest.lobby.people.size, LOBBY_PEOPLE - 1);
  });
});

Deno.test("a server that says what does not belong in the lobby is left, and tried again", async () => {
  await withEvilServer(async (say, guest) => {
    say({ type: "declined", peerName: "bob" });
    await guest.until("the loss", () => guest.all("server-lost").length === 1);
    assertEquals(guest.all("server-lost")[0]!.error.code, "bad_state");
  });
});
