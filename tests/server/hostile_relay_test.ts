/** What one client can do through the relay to others, and to the server: nothing that lasts. */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { RELAY_WINDOW, RELAY_WINDOW_PIECES } from "../../lib/limits.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { peerMessage } from "../../lib/wire/peer_messages.ts";
import { encodeItems, type Item, ItemType } from "../../lib/wire/records.ts";
import { type RelayItem, relayItem } from "../../lib/wire/relay_messages.ts";
import {
  Capability,
  decodeServerResponse,
  encodeServerRequest,
} from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder, type EvilChannel, EvilPeer, test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import {
  registrationOf,
  signed,
  TestClient,
  type TestServer,
  withServer,
} from "../testkit/server.ts";
import { Valve } from "../testkit/valve.ts";

const RELAY = { capabilities: Capability.relay };

function relay(item: RelayItem): Item {
  return { type: ItemType.relay, body: encode(relayItem, item) };
}

function data(stream: number, length: number): Item {
  return relay({ type: "data", stream, content: new Uint8Array(length) });
}

/** The next item that is relayed to an honest client. */
async function heard(client: TestClient): Promise<RelayItem> {
  const { type, body } = await client.nextItem();
  assertEquals(type, ItemType.relay);
  return decode(relayItem, body);
}

async function honest(server: TestServer, name: string, wanted: string): Promise<TestClient> {
  const who = await person("modern", name);
  return await TestClient.registered(server, who, name, wanted, RELAY);
}

/** Alice and Bob, whom the server relays; they do not know of Mallory. */
async function bystanders(server: TestServer) {
  const alice = await honest(server, "alice", "bob");
  const bob = await honest(server, "bob", "alice");
  const told = await alice.next();
  assert(told.type === "introduction" && told.relay === 1);
  await bob.next();
  const stream = told.generation;
  return {
    stream,
    /** Fails unless a whole window still goes each way, and its credit back. */
    async assertUntouched(): Promise<void> {
      for (const [one, other] of [[alice, bob], [bob, alice]] as const) {
        for (let left = RELAY_WINDOW; left > 0; left -= 32_768) {
          const content = new Uint8Array(32_768).fill(left / 32_768);
          one.channel.send(ItemType.relay, encode(relayItem, { type: "data", stream, content }));
          assertEquals(await heard(other), { type: "data", stream, content });
        }
        const credit = { type: "credit", stream, count: RELAY_WINDOW } as const;
        other.channel.send(ItemType.relay, encode(relayItem, credit));
        assertEquals(await heard(one), credit);
      }
    },
    async leave(): Promise<void> {
      await alice.leave();
      await bob.leave();
    },
  };
}

/** Mallory on a channel where every record is hers, registered, who wants somebody. */
async function mallory(server: TestServer, wanted: string): Promise<EvilChannel> {
  const peer = await EvilPeer.dial(server.port);
  const channel = await peer.handshakeAll(
    anyResponder(await person("modern", "mallory"), "mallory"),
  );
  await channel.send(ItemType.request, await registration("mallory"));
  assertEquals((await responses(channel))[0]?.type, "registered");
  await peer.send(await channel.sealItems(want(wanted)));
  return channel;
}

/** A registration by Mallory, signed with her key. */
async function registration(name: string): Promise<Bytes> {
  const who = await person("modern", "mallory");
  const wish = registrationOf(name, RELAY);
  return encodeServerRequest({ type: "register", ...await signed(who, wish) });
}

function want(name: string): Item {
  return { type: ItemType.request, body: encodeServerRequest({ type: "want", name }) };
}

async function responses(channel: EvilChannel) {
  const items = await channel.receive();
  assert(Array.isArray(items), `got ${items}`);
  return items.map(({ body }: Item) => decodeServerResponse(body));
}

/** Mallory and Carol, whom the server relays; Carol is honest. */
async function partners(server: TestServer) {
  const carol = await honest(server, "carol", "mallory");
  const evil = await mallory(server, "carol");
  const told = await carol.next();
  assert(told.type === "introduction" && told.relay === 1);
  assertEquals((await responses(evil)).map(({ type }) => type), ["introduction"]);
  return { carol, evil, stream: told.generation };
}

/** Everything that Mallory hears up to the end: what is relayed to her, and the alert. */
async function hearOut(channel: EvilChannel): Promise<readonly (RelayItem | string)[]> {
  const all: (RelayItem | string)[] = [];
  for (let said = await channel.receive(); said !== null; said = await channel.receive()) {
    if (typeof said === "string") all.push(said);
    else for (const { body } of said) all.push(decode(relayItem, body));
  }
  channel.peer.close();
  return all;
}

test("items for the stream of others, or for none, are answered by close and reach nobody", async () => {
  await withServer(async (server) => {
    const others = await bystanders(server);
    const { carol, evil, stream } = await partners(server);
    for (const number of [others.stream, stream - 1000, stream + 1, 0, 0xffffffff]) {
      const closed = relay({ type: "close", stream: number });
      await evil.peer.send(await evil.sealItems(data(number, 1)));
      assertEquals(await evil.receive(), [closed]);
      const credit = relay({ type: "credit", stream: number, count: 0xffffffff });
      await evil.peer.send(await evil.sealItems(credit, closed, data(number, 1)));
      assertEquals(await evil.receive(), [closed, closed]);
    }
    // Its own is still good.
    await evil.peer.send(await evil.sealItems(data(stream, 7)));
    assertEquals(await heard(carol), { type: "data", stream, content: new Uint8Array(7) });
    await others.assertUntouched();
    evil.peer.close();
    await others.leave();
    await carol.leave();
  });
});

/** What ends the channel of one who says it of its own stream; the other one is told. */
const BREACHES: readonly {
  readonly what: string;
  /** Records, each with its items. */
  readonly records: (stream: number) => readonly (readonly Item[])[];
  readonly code: ErrorCode;
}[] = [
  {
    what: "a byte beyond the credit",
    records: (stream) => [
      ...Array.from({ length: 4 }, () => [data(stream, 61_430)]),
      [data(stream, RELAY_WINDOW - 4 * 61_430)],
      [data(stream, 1)],
    ],
    code: "limit",
  },
  {
    what: "credit for what was never sent",
    records: (stream) => [[relay({ type: "credit", stream, count: 1 })]],
    code: "limit",
  },
  {
    what: "credit that would go round",
    records: (stream) => [[relay({ type: "credit", stream, count: 0xffffffff })]],
    code: "limit",
  },
  {
    what: "a window in crumbs",
    records: (stream) =>
      Array.from(
        { length: RELAY_WINDOW_PIECES / 4096 + 1 },
        () => Array.from({ length: 4096 }, () => data(stream, 1)),
      ),
    code: "limit",
  },
  { what: "data of no length", records: (stream) => [[data(stream, 0)]], code: "bad_frame" },
  {
    what: "data of no length for a stream of nobody",
    records: (stream) => [[data(stream + 1, 0)]],
    code: "bad_frame",
  },
  ...["", "00", "04", "01000000", "0200000000", "020000000000000000", "0300000000ff"].map((
    hex,
  ) => ({
    what: `a malformed item (${hex || "empty"})`,
    records: () => [[{ type: ItemType.relay, body: Uint8Array.fromHex(hex) }]],
    code: "bad_frame" as const,
  })),
];

for (const { what, records, code } of BREACHES) {
  test(`${what} ends the channel with ${code} and the stream, and nobody else's`, async () => {
    await withServer(async (server) => {
      const others = await bystanders(server);
      const { carol, evil, stream } = await partners(server);
      for (const items of records(stream)) await evil.peer.send(await evil.sealItems(...items));
      assertEquals((await hearOut(evil)).at(-1), code);
      let last = await heard(carol);
      for (; last.type === "data"; last = await heard(carol));
      assertEquals(last, { type: "close", stream });
      await server.told("relayed", server.all("relaying").length);
      await others.assertUntouched();
      await others.leave();
      // Carol's channel is as good as before.
      await carol.assertAnswered();
      await carol.leave();
    });
  });
}

test("the smallest of records of one pair, in a window full, reach a reader that comes late", async () => {
  await withServer(async (server) => {
    const { carol, evil, stream } = await partners(server);
    for (let n = 0; n < RELAY_WINDOW_PIECES / 4096; n++) {
      const crumbs = Array.from({ length: 4096 }, () => data(stream, 1));
      await evil.peer.send(await evil.sealItems(...crumbs));
    }
    for (let n = 0; n < RELAY_WINDOW_PIECES; n++) assertEquals((await heard(carol)).type, "data");
    evil.peer.close();
    assertEquals(await heard(carol), { type: "close", stream });
    await carol.leave();
  });
});

test("small data in a large record is forwarded as data alone", async () => {
  await withServer(async (server) => {
    const { carol, evil, stream } = await partners(server);
    const content = new Uint8Array([1, 2, 3]);
    const small = relay({ type: "data", stream, content });
    const message = { type: "bytes", number: 1n, content: new Uint8Array(60_000) } as const;
    const filler = { type: ItemType.message, body: encode(peerMessage, message) };
    await evil.peer.send(await evil.seal(encodeItems([filler, small])));
    assertEquals(await heard(carol), { type: "data", stream, content });
    evil.peer.close();
    await carol.leave();
  });
});

test("data and another want in one record: what comes before the want counts", async () => {
  await withServer(async (server) => {
    const { carol, evil, stream } = await partners(server);
    await evil.peer.send(
      await evil.sealItems(
        data(stream, 5),
        want("carol"),
        data(stream, 6),
      ),
    );
    assertEquals(await heard(carol), { type: "data", stream, content: new Uint8Array(5) });
    assertEquals(await heard(carol), { type: "close", stream });
    assertEquals(await evil.receive(), [relay({ type: "close", stream })]);
    evil.peer.close();
    await carol.leave();
  });
});

test("one who was sent away is not heard any more, whatever it says in the same breath", async () => {
  await withServer(async (server) => {
    const { carol, evil, stream } = await partners(server);
    const text = { type: ItemType.message, body: concat([Uint8Array.of(3), new Uint8Array(8)]) };
    const again = async (name: string) => ({
      type: ItemType.request,
      body: await registration(name),
    });
    await evil.peer.send(
      await evil.sealItems(
        await again("server"),
        await again("mallory"),
        want("carol"),
        text,
        { type: ItemType.relay, body: new Uint8Array(0) },
      ),
    );
    // More of the same, on its way when the refusal is: it must not cut the refusal off.
    for (let n = 0; n < 10; n++) {
      await evil.send(ItemType.request, await registration("mallory"));
    }
    const [response, goodbye] = (await evil.receive()) as readonly Item[];
    assertEquals(decodeServerResponse(response!.body).type, "refused");
    assertEquals(goodbye?.type, ItemType.close);
    evil.peer.close();
    assertEquals(await heard(carol), { type: "close", stream });
    await server.told("refused");
    assertEquals(server.all("registered").map(({ name }) => name), ["carol", "mallory"]);
    await carol.leave();
  });
});

test("one who reads nothing is dropped when others give the server too much to tell it", async () => {
  const valve = new Valve();
  await withServer(async (server) => {
    const others = await bystanders(server);
    const deaf = await TestClient.connect(server, await person("modern", "deaf"));
    const response = await deaf.register(registrationOf("deaf", RELAY));
    assert(response.type === "registered");
    // Streams that are over entitle to nothing.
    for (const name of ["ann", "ben", "cid", "dan"]) {
      deaf.want(name);
      const peer = await honest(server, name, "deaf");
      for (const client of [deaf, peer]) assertEquals((await client.next()).type, "introduction");
      await peer.leave();
      assertEquals((await heard(deaf)).type, "close");
    }
    await server.told("left", 4);
    deaf.want("mallory");
    const evil = await mallory(server, "deaf");
    const told = await deaf.next();
    assert(told.type === "introduction");
    const stream = told.generation;
    for (let left = RELAY_WINDOW; left > 0; left -= 32_768) {
      const content = new Uint8Array(32_768);
      deaf.channel.send(ItemType.relay, encode(relayItem, { type: "data", stream, content }));
    }
    await deaf.assertAnswered();
    valve.shut(response.observed.port);
    // Credit for every byte by itself: each is another item for the one who does not read.
    const hearing = ignore(evil);
    const crumbs = Array.from({ length: 4000 }, () => relay({ type: "credit", stream, count: 1 }));
    for (let n = 0; n < 30; n++) {
      await evil.peer.send(await evil.sealItems(...crumbs)).catch(() => {});
    }
    await server.told("left", 5);
    const last = server.all("left").at(-1);
    assertEquals(last, { event: "left", name: "deaf", code: "slow_reader" });
    evil.peer.close();
    await hearing;
    await others.assertUntouched();
    await others.leave();
    deaf.channel.destroy();
  }, { environment: valve.environment() });
});

/** Reads and forgets whatever comes. */
async function ignore(channel: EvilChannel): Promise<void> {
  for (;;) {
    try {
      if (await channel.peer.nextFrame() === null) return;
    } catch {
      // Our own end was closed.
      return;
    }
  }
}

/** A small generator that a seed repeats; nothing here is secret. */
function chance(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

test("any mixture of relay items ends in an alert at the worst, and disturbs no bystander", async () => {
  const seed = Number(Deno.env.get("CIFRA_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const draw = chance(seed);
  await withServer(async (server) => {
    const others = await bystanders(server);
    for (let round = 0; round < 12; round++) {
      const carol = await honest(server, `carol${round}`, "mallory");
      const evil = await mallory(server, `carol${round}`);
      const told = await carol.next();
      assert(told.type === "introduction");
      const streams = [told.generation, others.stream, others.stream + 1, draw(2 ** 32)];
      const hearing = ignore(evil);
      for (let n = 0; n < 30; n++) {
        const items = Array.from({ length: 1 + draw(20) }, (): Item => {
          const stream = streams[draw(streams.length)]!;
          switch (draw(6)) {
            case 0:
              return relay({ type: "credit", stream, count: draw(3) });
            case 1:
              return relay({ type: "close", stream: streams[1 + draw(3)]! });
            case 2:
              return n < 20 ? data(stream, 1) : {
                type: ItemType.relay,
                body: crypto.getRandomValues(new Uint8Array(draw(12))),
              };
            default:
              return data(stream, 1 + draw(2000));
          }
        });
        try {
          await evil.peer.send(await evil.sealItems(...items));
        } catch {
          break; // Thrown out.
        }
      }
      await evil.peer.transport.closeWrite().catch(() => {});
      await hearing;
      evil.peer.close();
      let last = await heard(carol);
      for (; last.type !== "close"; last = await heard(carol));
      assertEquals(last.stream, told.generation);
      await carol.leave();
    }
    await others.assertUntouched();
    await others.leave();
  }).catch((error) => {
    throw new Error(`CIFRA_SEED=${seed}`, { cause: error });
  });
});
