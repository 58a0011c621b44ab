/** Whom a messenger talks to and how: as programs that meet at a server, and at one that says what a test wants. */
import type { TransferEvent } from "../../lib/client/transfer_events.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import type { Acquaintance } from "../../lib/client/contacts.ts";
import type { Status } from "../../lib/client/conversation.ts";
import type { Dialogue } from "../../lib/client/conversations.ts";
import type { HomeStatus } from "../../lib/client/home.ts";
import type { MailTrouble } from "../../lib/client/mail_events.ts";
import type { Changes } from "../../lib/client/lobby.ts";
import {
  Messenger,
  type MessengerEvents,
  type MessengerOptions,
} from "../../lib/client/messenger.ts";
import type { Asking } from "../../lib/client/offers.ts";
import { CifraError } from "../../lib/errors.ts";
import { CONVERSATIONS_LIMIT } from "../../lib/limits.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { SERVER_NAME } from "../../lib/wire/names.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { REFUSAL_CODES, type ServerRequest } from "../../lib/wire/rendezvous_messages.ts";
import { ManualTime } from "../testkit/clock.ts";
import { test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import { Ear } from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";
import { programOf, type Stage, talk, type Talker } from "../testkit/talkers.ts";
import type { TestNetwork } from "../testkit/test_network.ts";
import { until } from "../testkit/until.ts";

/** How a messenger differs from the usual: in the lobby, where everybody is answered and what is written is kept. */
type Change =
  & Partial<
    Pick<MessengerOptions, "lobby" | "accept" | "kind" | "showsAll" | "usesMailbox" | "refused">
  >
  & {
    readonly name?: string;
    readonly store?: MemoryMessages;
    /** Whom they know, by which key: of those alone who use the mailbox. */
    readonly pins?: Map<string, Bytes>;
    readonly judge?: () => Promise<Acquaintance>;
    /** Why nobody may be talked to who is introduced. */
    readonly refusal?: CifraError;
    /** Whether what comes is read at once; else it stays unread. */
    readonly reads?: boolean;
  };

/** Somebody at their messenger: Alice, unless another name is said. */
class Resident implements MessengerEvents {
  readonly time: ManualTime;
  readonly store: MemoryMessages;
  readonly messenger: Messenger;
  /** What they were told, in words. */
  readonly said: string[] = [];
  readonly ears = new Map<string, Ear>();
  /** Names of those whose keys they learned. */
  readonly met: string[] = [];
  /** Whether they look at all of their conversations. */
  looks = false;
  readonly network: TestNetwork;
  readonly #reads: boolean;
  readonly #pinned: Map<string, Bytes>;
  readonly #staying: Promise<void>;

  private constructor(
    time: ManualTime,
    { program, network }: ReturnType<typeof programOf>,
    change: Change,
  ) {
    this.time = time;
    this.network = network;
    this.#reads = change.reads ?? true;
    this.#pinned = change.pins ?? new Map();
    this.store = change.store ?? new MemoryMessages();
    this.messenger = new Messenger({
      ...program,
      store: this.store,
      lobby: change.lobby ?? "listed",
      accept: change.accept ?? "all",
      kind: change.kind ?? LogKind.kept,
      showsAll: change.showsAll ?? false,
      ...(change.refused && { refused: change.refused }),
      changesPause: 0,
      contacts: {
        judge: change.judge ??
          ((name) => Promise.resolve(this.#pinned.has(name) ? "known" : "stranger")),
        check: (name, { fingerprint }) => {
          if (change.refusal) return Promise.reject(change.refusal);
          if (change.usesMailbox) this.#pinned.set(name, fingerprint);
          return Promise.resolve(() => Promise.resolve());
        },
        meet: (name) => void this.met.push(name),
        knownAs: (name) => this.#pinned.get(name),
      },
      usesMailbox: change.usesMailbox ?? false,
      tellsRead: true,
      events: this,
    });
    this.#staying = this.messenger.run();
  }

  static async start(
    server: { readonly port: number },
    time: ManualTime,
    change: Change = {},
  ): Promise<Resident> {
    const { name = "alice" } = change;
    const who = await person("modern", name);
    return new Resident(time, programOf(name, server, { time, who, relay: "only" }), change);
  }

  onTransfer({ name }: TransferRow, { type }: TransferEvent): void {
    this.said.push(`${name} ${type}`);
  }

  onMail({ type }: MailTrouble): void {
    this.said.push(`mail ${type}`);
  }

  onHome({ type }: HomeStatus): void {
    this.said.push(type);
  }

  onChanges({ joined, left }: Changes): void {
    this.said.push(`people ${joined.map((name) => `+${name}`)}${left.map((name) => `-${name}`)}`);
  }

  onAsking({ name }: Asking, isAnswered: boolean): void {
    this.said.push(`${name} asks${isAnswered ? ", answered" : ""}`);
  }

  async onOpen({ name, thread }: Dialogue): Promise<void> {
    this.said.push(`open ${name}`);
    if (!this.#reads) return;
    const ear = new Ear(thread);
    this.ears.set(name, ear);
    await ear.ended;
  }

  onStatus({ name }: Dialogue, { type }: Status): void {
    this.said.push(`${name} ${type}`);
  }

  onServerAnswers(): void {
    this.said.push("the server answers");
  }

  onDelivery(): void {}

  onUnread(name: string, unread: number): void {
    if (!this.#reads) this.said.push(`${unread} of ${name}`);
  }

  onEnd({ name }: Dialogue, error: CifraError | undefined): void {
    this.said.push(`end ${name}${error ? ` ${error.code}` : ""}`);
  }

  onFailure(name: string, what: string, error: CifraError): void {
    this.said.push(`cannot ${what} ${name} ${error.code}`);
  }

  isInUse(): boolean {
    return this.looks;
  }

  /** Lets time pass until this was said so often. */
  async told(what: string, count = 1): Promise<void> {
    const isSaid = () => this.said.filter((each) => each === what).length >= count;
    await this.time.until(isSaid, `${count} of "${what}" in [${this.said}]`);
  }

  /** Lets time pass until this was heard of somebody. */
  async hears(name: string, text: string): Promise<void> {
    const isHeard = () => this.ears.get(name)?.words.includes(text) === true;
    await this.time.until(isHeard, `"${text}" of ${name}`);
  }

  /** How many messages wait to be read and to be delivered, by name. */
  async left(): Promise<readonly string[]> {
    const leftovers = await this.messenger.leftovers();
    return leftovers.map(({ name, unread, undelivered }) => `${name} ${unread} ${undelivered}`);
  }

  /** In steps of so many milliseconds: what is done over sockets takes its real time meanwhile. */
  async leave(step?: number): Promise<void> {
    // A dial to the server that is under way would outlive the scene.
    await this.told("registered");
    await this.time.during(this.messenger.leave(), "goodbye to everybody", step);
    this.messenger.stop();
    await this.time.during(this.#staying, "goodbye to the server");
    await this.time.until(() => this.network.open === 0, "everything is closed");
  }
}

/** Runs a scene with a server, Alice and whoever else it starts. */
async function play(
  change: Change,
  scene: (alice: Resident, stage: Stage) => Promise<void>,
  server?: Parameters<typeof talk>[2],
) {
  await talk(
    async (stage) => {
      const alice = await Resident.start(stage.server, stage.time, change);
      try {
        await scene(alice, stage);
      } finally {
        await alice.leave();
      }
    },
    undefined,
    server,
  );
}

/** Both know that they are connected: whoever leaves now says goodbye. */
async function meets(alice: Resident, bob: Talker): Promise<void> {
  await bob.told("connected");
  await alice.told(`${bob.name} connected`);
}

test("whoever is welcome is answered; when they leave with everything, it is over", () =>
  play({}, async (alice, stage) => {
    const bob = await stage.start("bob", "alice");
    await bob.told("connected");
    await alice.told("bob asks, answered");
    await alice.messenger.send("bob", "hello");
    await bob.hears("hello");
    await bob.say("hi");
    await alice.hears("bob", "hi");
    await bob.leave();
    await alice.told("end bob");
    assertEquals([...alice.messenger.all()], []);
    assertEquals(await alice.left(), ["bob 0 0"]);
  }));

test("a message that is kept while the other side leaves begins the conversation anew", () => {
  // The disk takes its time when the test says so.
  let disk = Promise.resolve();
  const store = new MemoryMessages({ commit: (work) => disk.then(work) });
  return play({ store }, async (alice, stage) => {
    const bob = await stage.start("bob", "alice");
    await meets(alice, bob);
    const writing = Promise.withResolvers<void>();
    disk = writing.promise;
    const sending = alice.messenger.send("bob", "wait");
    await bob.leave();
    await alice.told("bob left");
    assertEquals(alice.messenger.get("bob"), undefined);
    writing.resolve();
    await stage.time.during(sending, "the message is kept");
    assertEquals(alice.said.filter((each) => /^(open|end)/.test(each)), [
      "open bob",
      "end bob",
      "open bob",
    ]);
    assertEquals(await alice.left(), ["bob 0 1"]);
  });
});

test("words of being away are said in every conversation, also in one that begins anew", () =>
  play({}, async (alice, stage) => {
    const bob = await Resident.start(stage.server, stage.time, { name: "bob" });
    const { messenger } = alice;
    messenger.setAway(true, lineOf("back at two"));
    await bob.messenger.send("alice", "hello");
    await bob.told("alice away");
    await alice.hears("bob", "hello");
    await alice.time.during(messenger.close("bob"), "goodbye");
    await bob.told("end alice");
    await messenger.send("bob", "one thing more");
    await bob.told("alice away", 2);
    // Without other words they stand, until she is back.
    messenger.setAway(true);
    assertEquals(messenger.awayWords, "back at two");
    messenger.setAway(false);
    assertEquals(messenger.awayWords, "");
    await bob.told("alice away", 3);
    assertEquals(bob.messenger.get("alice")?.thread.theirAway, "");
    await bob.leave();
  }));

test("a message opens the conversation that it needs, and waits; the next run delivers it", async () => {
  const store = new MemoryMessages();
  await talk(async (stage) => {
    const before = await Resident.start(stage.server, stage.time, { store });
    await before.messenger.send("bob", "are you there?");
    assertEquals(before.said.filter((each) => each.startsWith("open")), ["open bob"]);
    await before.leave();
    assertEquals(await before.left(), ["bob 0 1"]);

    const alice = await Resident.start(stage.server, stage.time, { store });
    assertEquals(await alice.messenger.resume(await alice.messenger.leftovers()), []);
    assert(alice.said.includes("open bob"));
    const bob = await stage.start("bob", "alice");
    await bob.hears("are you there?");
    await alice.leave();
  });
});

for (const showsAll of [false, true]) {
  const what = showsAll ? "and what was not read" : "and nothing else";
  test(`what was not delivered goes on in the next run, ${what}`, async () => {
    const store = new MemoryMessages();
    await talk(async (stage) => {
      const before = await Resident.start(stage.server, stage.time, { store, reads: false });
      const bob = await stage.start("bob", "alice");
      await bob.told("connected");
      await bob.say("read this");
      await before.told("1 of bob");
      await before.messenger.send("carol", "queued");
      await bob.leave();
      await before.leave();
      assertEquals(await before.left(), ["bob 1 0", "carol 0 1"]);

      const alice = await Resident.start(stage.server, stage.time, { store, showsAll });
      await alice.messenger.resume(await alice.messenger.leftovers());
      const open = [...alice.messenger.all()].map(({ name }) => name);
      assertEquals(open, showsAll ? ["bob", "carol"] : ["carol"]);
      if (showsAll) await alice.hears("bob", "read this");
      await alice.leave();
    });
  });
}

test("there is room for so many of an earlier run; the names of the others are told", () =>
  play({}, async ({ messenger, said }) => {
    const names = Array.from({ length: CONVERSATIONS_LIMIT + 2 }, (_, i) => `n${i + 10}`);
    const rest = await messenger.resume(
      names.map((name) => ({ name, unread: 0, undelivered: 1 })),
    );
    assertEquals(rest, names.slice(CONVERSATIONS_LIMIT));
    assertEquals([...messenger.all()].map(({ name }) => name), names.slice(0, CONVERSATIONS_LIMIT));
    await messenger.leave();
    // The failure of one that nobody waits for is told, and the others go on.
    const leftovers = ["bob", "carol"].map((name) => ({ name, unread: 0, undelivered: 1 }));
    assertEquals(await messenger.resume(leftovers), []);
    const failures = said.filter((each) => each.startsWith("cannot"));
    assertEquals(failures, ["cannot open bob cut", "cannot open carol cut"]);
    await assertRejects(() => messenger.send("dave", "late"), CifraError, "have ended");
  }));

test("the server itself answers live: nothing of that is kept, and its key is met", () =>
  play({}, async (alice) => {
    await alice.told("registered");
    await alice.messenger.send(SERVER_NAME, "hello");
    await alice.told("the server answers");
    await alice.hears(SERVER_NAME, "OK");
    assertEquals(alice.met, [SERVER_NAME]);
    assertEquals(alice.store.peers("modern"), []);
    assertEquals(alice.messenger.server?.remote.host, "127.0.0.1");
  }));

for (const how of ["close", "refuse", "forget"] as const) {
  test(`whoever does not talk to the server any more stays in its lobby: ${how}`, () =>
    play({}, async (alice) => {
      await alice.told("registered");
      await alice.messenger.send(SERVER_NAME, "hello");
      await alice.hears(SERVER_NAME, "OK");
      const { server } = alice.messenger;
      await alice.messenger[how](SERVER_NAME);
      // Whatever had ended the connection would stand before this answer.
      await alice.messenger.send(SERVER_NAME, "again");
      const words = () => alice.ears.get(SERVER_NAME)!.words;
      await alice.time.until(() => words().length === 2, "another answer");
      assert(server !== undefined && alice.messenger.server === server && server.isOpen);
      assertEquals(alice.said.filter((each) => each === "registered").length, 1);
    }));
}

for (const [kind, kept] of [["live", []], ["kept", ["bob 0 1"]]] as const) {
  test(`what is written to people in a ${kind} log is kept as [${kept}]`, () =>
    play({ kind: LogKind[kind] }, async (alice) => {
      await alice.messenger.send("bob", "to be or not to be");
      assertEquals(await alice.left(), kept);
    }));
}

test("somebody who is refused is told so, and talked to when we open the conversation", () =>
  play({ accept: "none" }, async (alice, stage) => {
    const { messenger } = alice;
    const bob = await stage.start("bob", "alice");
    await alice.told("bob asks");
    assertEquals([...messenger.offers.names], ["bob"]);
    assertEquals(await messenger.refuse("bob"), true);
    await bob.told("declined");
    assertEquals([...messenger.offers.names], []);
    await messenger.open("bob");
    await meets(alice, bob);
    // Refused in the middle of it, and nobody asks now.
    assertEquals(await messenger.refuse("bob"), false);
    await bob.told("left");
    assertEquals(messenger.get("bob"), undefined);
  }));

test("somebody with whom it was closed is announced when they ask again, and not answered", () =>
  play({}, async (alice, stage) => {
    const bob = await stage.start("bob", "alice");
    await meets(alice, bob);
    await alice.messenger.close("bob");
    await bob.told("left");
    bob.conversation.hurry();
    await alice.told("bob asks");
    assertEquals(alice.messenger.get("bob"), undefined);
  }));

test("whoever was refused is answered again once we have talked to them", () =>
  play({}, async (alice, stage) => {
    assertEquals(await alice.messenger.refuse("bob"), false);
    const bob = await stage.start("bob", "alice");
    await bob.told("declined");
    await alice.messenger.open("bob");
    await meets(alice, bob);
    await bob.leave();
    await alice.told("end bob");
    await stage.start("bob", "alice");
    await alice.told("bob asks, answered");
  }));

test("whoever leaves the lobby does not ask any more", () =>
  play({ accept: "none" }, async (alice, stage) => {
    const bob = await Resident.start(stage.server, stage.time, { name: "bob" });
    await alice.told("people +bob");
    await bob.messenger.open("alice");
    await alice.told("bob asks");
    assertEquals([...alice.messenger.offers.names], ["bob"]);
    await bob.leave();
    await alice.told("people -bob");
    assertEquals([...alice.messenger.offers.names], []);
  }));

test("without room whoever is welcome waits; an open conversation at which nobody looks makes it", () =>
  play({}, async (alice, stage) => {
    alice.looks = true;
    for (let n = 0; n < CONVERSATIONS_LIMIT; n++) await alice.messenger.open(`n${n}`);
    await stage.start("bob", "alice");
    await alice.told("bob asks");
    alice.looks = false;
    await stage.time.during(alice.messenger.open("bob"), "the room");
    await alice.told("bob connected");
    assertEquals(alice.said.filter((each) => each.startsWith("end")), ["end n0"]);
  }));

test("what a conversation that is impossible did not deliver is never settled", () =>
  play({ refusal: new CifraError("local", "damaged") }, async (alice, stage) => {
    assertEquals(await alice.messenger.settled(), undefined);
    await alice.messenger.send("bob", "hello");
    await stage.start("bob", "alice");
    await alice.told("end bob local");
    assertEquals((await alice.messenger.settled())?.code, "local");
  }));

test("an offer that cannot be judged is a failure that is told", () =>
  play(
    { judge: () => Promise.reject(new CifraError("local", "damaged")) },
    async (alice, stage) => {
      await stage.start("bob", "alice");
      await alice.told("cannot answer bob local");
      assertEquals([...alice.messenger.offers.names], []);
    },
  ));

test("from outside of the lobby we ask who is there, and stay with somebody who has left", () =>
  play({ lobby: "absent" }, async (alice, stage) => {
    const { messenger } = alice;
    await messenger.open("bob");
    const bob = await stage.start("bob", "alice");
    await meets(alice, bob);
    await bob.leave();
    await alice.told("bob left");
    assert(messenger.get("bob"));
    const carol = await Resident.start(stage.server, stage.time, { name: "carol" });
    await carol.told("people ");
    assertEquals(await stage.time.during(messenger.look(), "the answer"), true);
    assertEquals([...messenger.people], [["carol", "here"]]);
    await carol.leave();
  }));

for (const what of ["an offer", "a message"] as const) {
  test(`${what} hurries the conversation that is open, without a word of its own`, async () => {
    await using server = await PuppetServer.open();
    // Time stands still: no pause of Alice's ends by itself.
    const time = new ManualTime();
    const alice = await Resident.start(server, time, { accept: "none" });
    const channel = await server.accept();
    await channel.register();
    await alice.messenger.open("bob");
    const want: ServerRequest = { type: "want", name: "bob" };
    assertEquals(await channel.request(), want);
    assertEquals(alice.said.slice(0, 2).sort(), ["open bob", "registered"]);
    const code = REFUSAL_CODES.limit, reason = lineOf("Too many");
    channel.respond({ type: "unwanted", peerName: "bob", code, retryAfter: 0, reason });
    await until(() => alice.said.includes("bob unwanted"), "the pause");
    if (what === "a message") await alice.messenger.send("bob", "hello");
    else {
      const { suite, identity } = await person("modern", "bob");
      channel.respond({ type: "offer", peerName: "bob", suite: suite.id, bundle: identity.bundle });
    }
    assertEquals(await channel.request(), want);
    assertEquals(alice.said.slice(2), [
      "bob waiting",
      "bob unwanted",
      "bob waiting",
    ]);
    const leaving = alice.leave();
    await channel.letGo();
    await leaving;
    assertEquals(time.pending, 0);
  });
}

test("a teacher loses none of 36 students, who come, say something and go", () =>
  play({}, async (alice, stage) => {
    for (let n = 1; n <= 36; n++) {
      const student = await stage.start(`student-${n}`, "alice");
      await student.say(`good morning from ${n}`);
      await alice.hears(student.name, `good morning from ${n}`);
      await student.leave();
    }
  }, (time) => ({ environment: { ...systemEnvironment, time } })));

test("two who are never in the lobby together hold a conversation, and nobody who is refused is heard", async () => {
  await talk(async (stage) => {
    const disks = { alice: new MemoryMessages(), bob: new MemoryMessages() };
    const known = { alice: new Map<string, Bytes>(), bob: new Map<string, Bytes>() };
    const comes = async (name: "alice" | "bob", change: Change = {}) => {
      const more = { name, store: disks[name], pins: known[name], usesMailbox: true, ...change };
      const somebody = await Resident.start(stage.server, stage.time, more);
      await somebody.told("registered");
      return somebody;
    };
    const stays = async (name: "alice" | "bob", job: (who: Resident) => Promise<void>) => {
      const who = await comes(name);
      await job(who);
      await stage.time.pass(6000);
      await who.leave();
    };
    const settles = () => stage.time.pass(3000);
    await stays("bob", settles);
    await stays("alice", async ({ messenger }) => {
      await messenger.send("bob", "one");
      await messenger.send("bob", "two");
    });
    // What she left opens a conversation with her, whom he has never met; and it goes both ways.
    await stays("bob", async (bob) => {
      await bob.hears("alice", "two");
      assertEquals(bob.ears.get("alice")!.words, ["one", "two"]);
      await bob.messenger.send("alice", "three");
    });
    await stays("alice", async (alice) => {
      await alice.hears("bob", "three");
      assertEquals(await alice.left(), ["bob 0 0"]);
    });
    const { log } = await disks.alice.outgoing({ peer: "bob", suite: "modern" });
    assertEquals(disks.bob.incoming({ peer: "alice", suite: "modern" }, log)?.read, 2n);
    // He wants to hear of her no more: then it stays there.
    await stays("alice", async ({ messenger }) => {
      await messenger.send("bob", "four");
    });
    const bob = await comes("bob", { refused: ["alice"] });
    await stage.time.pass(6000);
    assertEquals([[...bob.messenger.all()], await bob.left()], [[], ["alice 0 1"]]);
    // Until he does.
    await bob.messenger.open("alice");
    await bob.hears("alice", "four");
    await bob.leave();
  });
});

/** Bob has read what Alice left, each at a messenger of their own with the other alone, and has told nobody. */
async function bobHasRead(
  scene: (
    bob: Resident,
    stage: Stage,
    /** Alice comes, and it comes to this of what she has written. */
    aliceLearns: (left: string) => Promise<void>,
  ) => Promise<void>,
): Promise<void> {
  await talk(async (stage) => {
    const disks = { alice: new MemoryMessages(), bob: new MemoryMessages() };
    const known = { alice: new Map<string, Bytes>(), bob: new Map<string, Bytes>() };
    const comes = async (name: "alice" | "bob") => {
      const somebody = await Resident.start(stage.server, stage.time, {
        name,
        store: disks[name],
        pins: known[name],
        usesMailbox: true,
        lobby: "absent",
      });
      await somebody.messenger.open(name === "alice" ? "bob" : "alice");
      await somebody.told("registered");
      return somebody;
    };
    const first = await comes("bob");
    await stage.time.pass(3000);
    await first.leave();
    const alice = await comes("alice");
    await alice.messenger.send("bob", "hello");
    await stage.time.pass(6000);
    await alice.leave();
    const bob = await comes("bob");
    await bob.hears("alice", "hello");
    await scene(bob, stage, async (what) => {
      const again = await comes("alice");
      let left: readonly string[] = [];
      const look = async () => left = await again.left();
      await stage.time.until(() => (look(), `${left}` === what), `"${what}" and not "${left}"`);
      await again.leave();
    });
  });
}

test("whoever leaves says by the mailbox what they have, over the connection that only the conversation held", () =>
  bobHasRead(async (bob, _stage, aliceLearns) => {
    await bob.leave(1);
    await aliceLearns("bob 0 0");
  }));

test("whoever owes a receipt when the server is lost leaves it when it is back", () =>
  bobHasRead(async (bob, _stage, aliceLearns) => {
    bob.network.cut();
    await bob.told("server-lost");
    await bob.leave(1);
    await aliceLearns("bob 0 0");
  }));

test("whoever owes a receipt does not wait for ever for a server that is gone", () =>
  bobHasRead(async (bob, { time }) => {
    bob.network.refuses = () => true;
    bob.network.cut();
    await bob.told("server-lost");
    const began = time.now();
    await bob.leave();
    assert(time.now() - began < 10_000, `${time.now() - began} ms`);
  }));
