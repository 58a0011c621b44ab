/** The mailbox over real sockets: who may ask what, in which state, and what is handed to whom (PROTOCOL.md 3.12). */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { makePrekey } from "../../lib/crypto/prekeys.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { HANDED_OUT_BYTES, HANDED_OUT_LIMIT } from "../../lib/limits.ts";
import type { MailboxWriter } from "../../lib/store/mailbox_store.ts";
import {
  BoxState,
  decodeMailboxResponse,
  DepositCode,
  encodeMailboxRequest,
  encodeMailboxResponse,
  isMailboxResponse,
  type MailboxRequest,
  type MailboxResponse,
  Verdict,
} from "../../lib/wire/mailbox_messages.ts";
import { NOWHERE, signedNameClaim } from "../../lib/wire/name_claim.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { decodeServerResponse, refusalOf } from "../../lib/wire/rendezvous_messages.ts";
import { idOf } from "../store/mailbox_samples.ts";
import { test } from "../testkit/adversary.ts";
import { type Person, person } from "../testkit/handshake.ts";
import { MemoryMailbox } from "../testkit/memory_mailbox.ts";
import { nextSequence, TestClient, type TestServer, withServer } from "../testkit/server.ts";
import { NO_RATE } from "../testkit/server_setup.ts";
import { until } from "../testkit/until.ts";

const NONE = new Uint8Array(16);
const SMALL = 1715, LARGE = 58_547;
const NO_QUOTAS = { limits: { ...NO_RATE, quotas: false } };

type Told<T extends MailboxResponse["type"]> = Extract<MailboxResponse, { readonly type: T }>;

/** Those whom a scene has left connected. */
const connected = new Set<TestClient>();

/** Runs a scene at a server; whoever is still connected at its end is let go. */
async function scene(
  play: (server: TestServer) => Promise<void>,
  options: Parameters<typeof withServer>[1] = {},
): Promise<void> {
  await withServer(async (server) => {
    try {
      await play(server);
    } finally {
      for (const { channel } of connected) channel.destroy();
      connected.clear();
    }
  }, options);
}

/** Somebody at the server, who knows what the mailbox says. */
class Customer {
  readonly client: TestClient;
  readonly name: string;
  readonly #who: Person;
  readonly #sequence: bigint;

  private constructor(client: TestClient, name: string, who: Person, sequence: bigint) {
    this.client = client;
    this.name = name;
    this.#who = who;
    this.#sequence = sequence;
  }

  static async come(
    server: TestServer,
    name: string,
    suite: SuiteName = "modern",
  ): Promise<Customer> {
    const who = await person(suite, name), registrationSequence = nextSequence();
    const client = await TestClient.registered(server, who, name, "", { registrationSequence });
    connected.add(client);
    return new Customer(client, name, who, registrationSequence);
  }

  /** Somebody with an open box and prekeys in it. */
  static async settled(server: TestServer, name: string, box = `box of ${name}`) {
    const customer = await Customer.come(server, name);
    await customer.opens(box);
    const publication = await customer.publication(box);
    customer.say(publication);
    assertEquals((await customer.hears("box")).signed, publication.signed[0]!.number);
    return customer;
  }

  /** A signed prekey for a box. */
  async publication(box = `box of ${this.name}`) {
    const number = BigInt(Date.now());
    const { prekey } = await makePrekey(this.#who.identity, idOf(box), "signed", number);
    return { type: "publish", box: idOf(box), anew: 0, signed: [prekey], once: [] } as const;
  }

  say(request: MailboxRequest): void {
    this.client.channel.send(ItemType.request, encodeMailboxRequest(request));
  }

  async next(): Promise<MailboxResponse> {
    const { type, body } = await this.client.nextItem();
    assertEquals(type, ItemType.response);
    return decodeMailboxResponse(body);
  }

  async hears<T extends MailboxResponse["type"]>(type: T): Promise<Told<T>> {
    const response = await this.next();
    assertEquals(response.type, type);
    return response as Told<T>;
  }

  async openRequest(box = `box of ${this.name}`): Promise<MailboxRequest> {
    const { identity } = this.#who;
    const claim = { sequence: this.#sequence, notAfter: BigInt(Date.UTC(2090, 0, 1)) };
    const signed = signedNameClaim(this.name, identity.bundle, claim, NOWHERE);
    const signature = await identity.sign(signed), passKey = new Uint8Array(32).fill(1);
    return { type: "open", box: idOf(box), passKey, notAfter: claim.notAfter, signature };
  }

  async opens(box?: string): Promise<Told<"box">> {
    this.say(await this.openRequest(box));
    return await this.hears("box");
  }

  leaves(to: string, id: string, { box = `box of ${to}`, size = SMALL } = {}): void {
    const envelope = new Uint8Array(size), about = { id: idOf(id), name: to, box: idOf(box) };
    this.say({ type: "deposit", ...about, pass: NONE, replaces: [], envelope });
  }

  settles(verdict: Verdict, ...ids: readonly Bytes[]): void {
    this.say({ type: "settle", settled: ids.map((id) => ({ id, verdict })) });
  }

  /** The ids of what it is handed until the server answers something else. */
  async handed(): Promise<Told<"envelope">[]> {
    this.say({ type: "mine" });
    const envelopes: Told<"envelope">[] = [];
    for (;;) {
      const told = await this.next();
      if (told.type === "mine") return envelopes;
      if (told.type === "envelope") envelopes.push(told);
    }
  }

  /** How the server ends it. */
  async ending(): Promise<string> {
    for (;;) {
      const items = await this.client.channel.receive();
      if (!items) return this.client.channel.failure?.code ?? "goodbye";
      for (const { type, body } of items) {
        if (type !== ItemType.response || isMailboxResponse(body)) continue;
        const response = decodeServerResponse(body);
        if (response.type === "refused") return refusalOf(response.code);
      }
    }
  }

  leave(): Promise<void> {
    return this.client.channel.close(CloseCode.done);
  }
}

const OTHERS: readonly MailboxRequest[] = [
  { type: "publish", box: NONE, anew: 0, signed: [], once: [] },
  { type: "ask", name: "bob", pass: NONE },
  {
    type: "deposit",
    id: NONE,
    name: "bob",
    box: NONE,
    pass: NONE,
    replaces: [],
    envelope: new Uint8Array(SMALL),
  },
  { type: "settle", settled: [] },
  { type: "mine" },
  { type: "withdraw", ids: [] },
];

test("nothing is asked before the registration, before the box is open, or in another suite", async () => {
  await scene(async (server) => {
    const alice = await Customer.come(server, "alice");
    const open = await alice.openRequest();
    for (const request of [...OTHERS, open]) {
      const client = await TestClient.connect(server, await person("modern", "alice"));
      connected.add(client);
      client.channel.send(ItemType.request, encodeMailboxRequest(request));
      assertEquals(await client.ending(), "bad_state", request.type);
    }
    for (const request of OTHERS) {
      const early = await Customer.come(server, "alice");
      early.say(request);
      assertEquals(await early.ending(), "bad_state", request.type);
    }
    for (const suite of ["classic", "rsa"] as const) {
      const old = await Customer.come(server, `old-${suite}`, suite);
      old.say(open);
      assertEquals(await old.ending(), "bad_state", suite);
    }
  });
});

test("where there is no mailbox a box is not open, and nothing else is asked", async () => {
  await scene(async (server) => {
    for (const request of OTHERS) {
      const alice = await Customer.come(server, "alice");
      assertEquals((await alice.opens()).state, BoxState.none);
      alice.say(request);
      assertEquals(await alice.ending(), "bad_state", request.type);
    }
  }, { mail: undefined });
});

/** A mailbox on a disk that may be full. */
class FullMailbox extends MemoryMailbox {
  isFull = true;

  override async change<T>(work: (writer: MailboxWriter) => T): Promise<T> {
    if (this.isFull) throw new CifraError("local", "The disk is full");
    return await super.change(work);
  }
}

test("a disk without room for a box ends no registration, and the operator is told why", async () => {
  const mail = new FullMailbox();
  await scene(async (server) => {
    const alice = await Customer.come(server, "alice");
    assertEquals((await alice.opens()).state, BoxState.none);
    assertEquals(server.events.filter(({ event }) => event === "mailbox-failed"), [
      { event: "mailbox-failed", reason: "The disk is full" },
    ]);
    // On the same connection, when there is room again.
    mail.isFull = false;
    assertEquals((await alice.opens()).state, BoxState.open);
    mail.isFull = true;
    alice.say(await alice.publication());
    assertEquals((await alice.hears("box")).state, BoxState.none);
    mail.isFull = false;
    assertEquals((await alice.opens()).state, BoxState.open);
  }, { mail });
});

test("a claim that does not hold opens no box", async () => {
  await scene(async (server) => {
    const alice = await Customer.come(server, "alice");
    const open = await alice.openRequest();
    assert(open.type === "open");
    alice.say({ ...open, notAfter: open.notAfter + 1n });
    assertEquals(await alice.ending(), "auth_failed");
    assertEquals(server.server.mail?.count, 0);
  });
});

test("a box that is not one's own, and prekeys beyond forty, end the connection", async () => {
  await scene(async (server) => {
    const bob = await Customer.settled(server, "bob");
    const alice = await Customer.settled(server, "alice");
    alice.say({ type: "publish", box: idOf("box of bob"), anew: 1, signed: [], once: [] });
    assertEquals(await alice.ending(), "bad_state");
    // Ids of others are passed over.
    const carol = await Customer.settled(server, "carol");
    carol.leaves("bob", "one");
    await carol.hears("deposited");
    const handed = await bob.hears("envelope");
    carol.settles(Verdict.taken, handed.id);
    const dave = await Customer.settled(server, "dave");
    dave.say({ type: "withdraw", ids: [handed.id] });
    dave.settles(Verdict.unopened, handed.id);
    assertEquals(await dave.handed(), []);
    assertEquals(server.server.mail?.count, 1);
  });
});

test("deposits of one client are all answered, however many come at once", async () => {
  await scene(async (server) => {
    await Customer.settled(server, "bob");
    const alice = await Customer.settled(server, "alice");
    const count = 200;
    for (let i = 0; i < count; i++) alice.leaves("bob", `${i}`);
    const codes = new Map<number, number>(), ids = new Set<string>();
    for (let i = 0; i < count; i++) {
      const { id, code } = await alice.hears("deposited");
      codes.set(code, (codes.get(code) ?? 0) + 1);
      ids.add(encodeHex(id));
    }
    assertEquals(ids.size, count);
    // Bob has not written to her before.
    assertEquals([...codes], [[DepositCode.stored, 64], [DepositCode.shareWithThem, 136]]);
    assertEquals(server.server.mail?.count, 64);
  }, NO_QUOTAS);
});

test("whoever settles nothing is handed so much and no more; all of it again when they come back", async () => {
  await scene(async (server) => {
    const bob = await Customer.settled(server, "bob");
    await bob.leave();
    await server.told("left");
    for (const name of ["alice", "carol", "dave", "erin", "frank"]) {
      const writer = await Customer.settled(server, name);
      for (let i = 0; i < 4; i++) writer.leaves("bob", `${name} ${i}`, { size: LARGE });
      for (let i = 0; i < 4; i++) {
        assertEquals((await writer.hears("deposited")).code, DepositCode.stored);
      }
    }
    for (let turn = 0; turn < 2; turn++) {
      const again = await Customer.come(server, "bob");
      assertEquals((await again.opens()).waiting, 20);
      const handed = await again.handed();
      const bytes = handed.reduce((sum, { envelope }) => sum + envelope.length, 0);
      assertEquals(handed.length, Math.floor(HANDED_OUT_BYTES / LARGE));
      assert(bytes <= HANDED_OUT_BYTES && handed.length <= HANDED_OUT_LIMIT);
      // One of each, in rounds.
      assertEquals(handed.slice(0, 5).map(({ sender }) => sender), [
        "alice",
        "carol",
        "dave",
        "erin",
        "frank",
      ]);
      await again.leave();
    }
    const last = await Customer.come(server, "bob");
    await last.opens();
    const seen = new Set<string>();
    while (seen.size < 20) {
      const told = await last.next();
      if (told.type !== "envelope") continue;
      seen.add(encodeHex(told.id));
      last.settles(Verdict.taken, told.id);
    }
    await until(() => server.server.mail?.count === 0, "all is gone");
  }, NO_QUOTAS);
});

test("of two connections of one identity the one that opened the box last has it", async () => {
  await scene(async (server) => {
    const [one, two] = [await Customer.settled(server, "bob"), await Customer.come(server, "bob")];
    assertEquals((await two.opens()).state, BoxState.open);
    const alice = await Customer.settled(server, "alice");
    alice.leaves("bob", "first");
    await alice.hears("deposited");
    assertEquals(encodeHex((await two.hears("envelope")).id), encodeHex(idOf("first")));
    assertEquals(await one.handed(), []);
    // What the one that had it says of it counts for nothing.
    one.settles(Verdict.taken, idOf("first"));
    assertEquals(await one.handed(), []);
    assertEquals(server.server.mail?.count, 1);
    assertEquals((await one.opens()).waiting, 1);
    assertEquals(encodeHex((await one.hears("envelope")).id), encodeHex(idOf("first")));
    one.settles(Verdict.taken, idOf("first"));
    await until(() => server.server.mail?.count === 0, "it is settled");
  });
});

test("whoever opens their box again on one connection is handed all of it again, the oldest first", async () => {
  await scene(async (server) => {
    const bob = await Customer.settled(server, "bob");
    const alice = await Customer.settled(server, "alice");
    for (const id of ["one", "two", "three"]) {
      alice.leaves("bob", id);
      await alice.hears("deposited");
    }
    const ids = (await bob.handed()).map(({ id }) => id);
    assertEquals(ids.length, 3);
    bob.settles(Verdict.later, ids[0]!, ids[1]!);
    await bob.opens();
    assertEquals((await bob.handed()).map(({ id }) => id), ids);
  });
});

test("nothing tells why there is nobody to write to", async () => {
  await scene(async (server) => {
    await Customer.settled(server, "banned");
    await Customer.come(server, "boxless");
    const keyless = await Customer.come(server, "keyless");
    await keyless.opens();
    server.server.ban({ kind: "name", name: "banned" });
    const alice = await Customer.settled(server, "alice");
    const keys: string[] = [], codes: string[] = [];
    for (const name of ["nobody", "boxless", "keyless", "banned", "alice"]) {
      alice.say({ type: "ask", name, pass: NONE });
      // But for the name that was asked for.
      keys.push(encodeHex(encodeMailboxResponse({ ...await alice.hears("keys"), name: "x" })));
      alice.leaves(name, "one", { box: "some box" });
      codes.push(encodeHex(encodeMailboxResponse(await alice.hears("deposited"))));
    }
    assertEquals(new Set(keys).size, 1);
    assertEquals(new Set(codes).size, 1);
  });
});

test("whoever is kicked, shut out or forgotten is handed nothing more, and what they have goes with their name", async () => {
  for (const how of ["kick", "ban", "forget"] as const) {
    await scene(async (server) => {
      const bob = await Customer.settled(server, "bob");
      const alice = await Customer.settled(server, "alice");
      alice.leaves("bob", "one");
      await alice.hears("deposited");
      await bob.hears("envelope");
      alice.leaves("bob", "two");
      await alice.hears("deposited");
      server.server[how]({ kind: "name", name: "bob" });
      assertEquals(await bob.ending(), how === "ban" ? "banned" : "kicked");
      await server.told("left");
      const left = how === "forget" ? 0 : 2;
      await until(() => server.server.mail?.count === left, `${left} are there`);
      alice.leaves("bob", "three");
      const { code } = await alice.hears("deposited");
      assertEquals(code, how === "kick" ? DepositCode.stored : DepositCode.noRoom, how);
    });
  }
});

test("whoever leaves while their deposits are on the way to the disk has left them", async () => {
  await scene(async (server) => {
    await Customer.settled(server, "bob");
    const alice = await Customer.settled(server, "alice");
    for (let i = 0; i < 20; i++) alice.leaves("bob", `${i}`);
    await alice.leave();
    await until(() => server.server.mail?.count === 20, "all are there");
  });
});
