import { assert, assertEquals, assertThrows } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { SUITE_IDS, type SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { INTRODUCTIONS_PER_HOUR, OFFERS_LIMIT, WAITS_LIMIT } from "../../lib/limits.ts";
import {
  type Applicant,
  type Held,
  type Outcome,
  Rendezvous,
} from "../../lib/services/rendezvous.ts";
import {
  Capability,
  type Introduction,
  type Registration,
} from "../../lib/wire/rendezvous_messages.ts";

const NOW = Date.UTC(2030, 0, 1);
const HOUR = 3_600_000;

/** Connections are numbers here. */
type Applying = Applicant<number>;
type Outcomes = readonly Outcome<number>[];

/** The rendezvous of a server that has room for relayed pairs, unless a test says otherwise. */
interface Service {
  register(applicant: Applying, now: number, mayRelay?: boolean): Outcomes;
  leave(holder: number): Held<number> | undefined;
  under(name: string): readonly Held<number>[];
  waiting(from: string, wanted: string): Held<number> | undefined;
  readonly size: number;
}

let drawn = 0;
function rendezvous(): Service {
  const service = new Rendezvous<number>((length) => new Uint8Array(length).fill(++drawn));
  return {
    register: (who, now, mayRelay = true) => service.register(who, now, mayRelay),
    leave: (holder) => service.leave(holder),
    under: (name) => service.under(name),
    waiting: (from, wanted) => service.waiting(from, wanted),
    get size() {
      return service.size;
    },
  };
}

interface Wish extends Partial<Registration> {
  readonly key?: string;
  readonly suite?: SuiteName;
  readonly from?: string;
  readonly port?: number;
  /** The connection; a new one, unless told otherwise. */
  readonly holder?: number;
}

let connections = 0;

/** Somebody who wants to register. The key is the name, unless told otherwise. */
function applicant(name: string, wanted: string, wish: Wish = {}): Applying {
  const {
    key = name,
    suite = "modern",
    from = "203.0.113.5",
    port = 55_555,
    holder = ++connections,
    ...registration
  } = wish;
  const fingerprint = new Uint8Array(32);
  new TextEncoder().encodeInto(key, fingerprint);
  const signature = new Uint8Array(64).fill(key.length);
  return {
    holder,
    registration: {
      name,
      wanted,
      receivePort: 40_000,
      sendPort: 40_001,
      capabilities: 0,
      registrationSequence: 1n,
      advertised: [],
      claim: { notAfter: 0n, signature, vouchers: [] },
      ...registration,
    },
    key: {
      name,
      skeleton: name,
      suite,
      fingerprint: encodeHex(fingerprint),
      bundle: new TextEncoder().encode(`bundle of ${key}`),
      sequence: 77n,
      notAfter: NOW,
      signature,
      created: 0,
      lastSeen: 0,
    },
    suite: SUITE_IDS[suite],
    observed: { host: from, port },
  };
}

function refusalOf(action: () => unknown): ErrorCode {
  return assertThrows(action, CifraError).code;
}

/** The introductions that an outcome brings, by whom they are for. */
function introductions(outcomes: Outcomes): Record<string, Introduction> {
  const outcome = outcomes.find(({ type }) => type === "introduced");
  assert(outcome?.type === "introduced", JSON.stringify(outcomes.map(({ type }) => type)));
  return Object.fromEntries(outcome.pair.map(({ to, introduction }) => [to.name, introduction]));
}

function types(outcomes: Outcomes): readonly string[] {
  return outcomes.map(({ type }) => type);
}

/** That one waits, and nothing else has come of it. */
function assertWaits(outcomes: Outcomes, name: string, wanted: string): void {
  const [outcome] = outcomes;
  assertEquals(types(outcomes), ["waiting"]);
  assert(outcome?.type === "waiting");
  assertEquals([outcome.held.name, outcome.held.wanted], [name, wanted]);
}

Deno.test("register() introduces two who ask for each other, in either order of arrival", () => {
  for (const [first, second] of [["alice", "bob"], ["bob", "alice"]] as const) {
    const service = rendezvous();
    assertWaits(service.register(applicant(first, second), NOW), first, second);
    const outcomes = service.register(applicant(second, first), NOW);
    assertEquals(types(outcomes), ["waiting", "introduced"]);
    const { alice, bob } = introductions(outcomes);
    assertEquals(alice?.peerName, "bob");
    assertEquals(bob?.peerName, "alice");
    assertEquals(alice?.bundle, new TextEncoder().encode("bundle of bob"));
    assertEquals(bob?.bundle, new TextEncoder().encode("bundle of alice"));
    // With the peer's own word for it.
    const signature = (name: string) => new Uint8Array(64).fill(name.length);
    const claim = { sequence: 77n, notAfter: BigInt(NOW), signature: signature("bob") };
    assertEquals(alice?.claim, claim);
    assertEquals(bob?.claim, { ...claim, signature: signature("alice") });
    assertEquals(alice?.rendezvousId, bob?.rendezvousId);
    assertEquals(alice?.rendezvousKey, bob?.rendezvousKey);
    assertEquals(alice?.generation, bob?.generation);
    assertEquals([alice?.rendezvousId.length, alice?.rendezvousKey.length], [16, 32]);
  }
});

Deno.test("register() tells each the ports of the other", () => {
  const service = rendezvous();
  service.register(applicant("alice", "bob", { receivePort: 5001, sendPort: 5002 }), NOW);
  const { alice, bob } = introductions(
    service.register(applicant("bob", "alice", { receivePort: 6001, sendPort: 6002 }), NOW),
  );
  assertEquals([alice?.receivePort, alice?.sendPort], [6001, 6002]);
  assertEquals([bob?.receivePort, bob?.sendPort], [5001, 5002]);
});

Deno.test("register() draws a new id and key for every introduction", () => {
  const service = rendezvous();
  const seen = new Set<string>();
  for (let round = 1n; round <= 5n; round++) {
    service.register(applicant("alice", "bob", { registrationSequence: round }), NOW);
    const wish = { registrationSequence: round };
    const { alice } = introductions(service.register(applicant("bob", "alice", wish), NOW));
    seen.add(encodeHex(alice!.rendezvousId)).add(encodeHex(alice!.rendezvousKey));
  }
  assertEquals(seen.size, 10);
});

Deno.test("register() introduces nobody whose wish is not returned (A11, A12)", () => {
  const service = rendezvous();
  for (
    const [name, wanted] of [["alice", "bob"], ["bob", "carol"], ["mallory", "bob"], [
      "dave",
      "alice",
    ]] as const
  ) {
    assertWaits(service.register(applicant(name, wanted), NOW), name, wanted);
  }
});

Deno.test("register() answers alike whether the wanted name is known or not (D17)", () => {
  const service = rendezvous();
  service.register(applicant("bob", "carol"), NOW);
  const known = service.register(applicant("alice", "bob"), NOW);
  const unknown = service.register(applicant("dave", "nobody"), NOW);
  assertEquals(types(known), types(unknown));
});

Deno.test("register() lets go of both who were introduced, and of nothing else they hold", () => {
  const service = rendezvous();
  service.register(applicant("alice", "carol"), NOW);
  service.register(applicant("alice", "bob", { registrationSequence: 2n }), NOW);
  introductions(service.register(applicant("bob", "alice"), NOW));
  assertEquals(service.under("alice").map(({ wanted }) => wanted), ["carol"]);
  assertEquals(service.under("bob"), []);
  assertEquals(service.size, 1);
  // The numbers of what is over do not matter any more.
  assertWaits(service.register(applicant("bob", "alice"), NOW), "bob", "alice");
});

Deno.test("register() takes `server` as the wanted name and introduces nobody for it", () => {
  const service = rendezvous();
  assertEquals(types(service.register(applicant("alice", "server"), NOW)), ["waiting"]);
  assertEquals(types(service.register(applicant("bob", "alice"), NOW)), ["waiting"]);
});

Deno.test("register() refuses to wait for names that nobody can have (D1, D2)", () => {
  const bad = ["", "a".repeat(33), "Alice", "a\0", "../a", "\x1b[2J", "\u202e", "admin", "root"];
  for (const name of bad) {
    const service = rendezvous();
    assertEquals(refusalOf(() => service.register(applicant("bob", name), NOW)), "bad_name");
  }
});

Deno.test("register() refuses to wait for oneself (D9)", () => {
  const service = rendezvous();
  assertEquals(refusalOf(() => service.register(applicant("alice", "alice"), NOW)), "bad_name");
});

Deno.test("register() takes only a higher sequence number for a name it holds (D5)", () => {
  const service = rendezvous();
  const again = (registrationSequence: bigint) =>
    service.register(applicant("alice", "bob", { registrationSequence }), NOW);
  assertEquals(types(again(5n)), ["waiting"]);
  assertEquals(refusalOf(() => again(5n)), "stale_registration");
  assertEquals(refusalOf(() => again(4n)), "stale_registration");
  assertEquals(refusalOf(() => again(0n)), "stale_registration");
  assertEquals(types(again(6n)), ["replaced", "waiting"]);
  assertEquals(types(again(2n ** 53n + 1n)), ["replaced", "waiting"]);
  // As a double, this number would be the one before.
  assertEquals(refusalOf(() => again(2n ** 53n + 1n)), "stale_registration");
  assertEquals(types(again(2n ** 53n + 2n)), ["replaced", "waiting"]);
  assertEquals(types(again(2n ** 64n - 1n)), ["replaced", "waiting"]);
  assertEquals(refusalOf(() => again(2n ** 64n - 1n)), "stale_registration");
  service.leave(connections - 1);
  assertEquals(types(again(1n)), ["waiting"]);
});

Deno.test("register() counts the numbers of an identity over all it waits for", () => {
  const service = rendezvous();
  const alice = (wanted: string, registrationSequence: bigint, suite: SuiteName = "modern") =>
    service.register(applicant("alice", wanted, { registrationSequence, suite }), NOW);
  alice("bob", 5n);
  assertEquals(refusalOf(() => alice("carol", 5n)), "stale_registration");
  assertWaits(alice("carol", 6n), "alice", "carol");
  // Another key counts by itself.
  assertWaits(alice("dave", 1n, "rsa"), "alice", "dave");
  assertEquals(service.under("alice").map(({ wanted }) => wanted), ["bob", "carol", "dave"]);
});

Deno.test("register() goes on with the newer of two connections for one person (D11)", () => {
  const service = rendezvous();
  const older = applicant("alice", "bob", { receivePort: 5001 });
  service.register(older, NOW);
  const newer = { registrationSequence: 2n, receivePort: 5005 };
  const outcomes = service.register(applicant("alice", "bob", newer), NOW);
  assertEquals(types(outcomes), ["replaced", "waiting"]);
  assert(outcomes[0]?.type === "replaced");
  assertEquals(outcomes[0].held.holder, older.holder);
  // The older one's leaving takes nothing from the newer one.
  assertEquals(service.leave(older.holder), undefined);
  const { bob } = introductions(service.register(applicant("bob", "alice"), NOW));
  assertEquals(bob?.receivePort, 5005);
});

Deno.test("register() on the same connection takes the place of what it held", () => {
  const service = rendezvous();
  const holder = ++connections;
  service.register(applicant("alice", "bob", { holder }), NOW);
  const again = applicant("alice", "carol", { holder, registrationSequence: 2n });
  assertWaits(service.register(again, NOW), "alice", "carol");
  assertWaits(service.register(applicant("bob", "alice"), NOW), "bob", "alice");
  assertEquals(service.leave(holder)?.wanted, "carol");
});

Deno.test("register() lets one wait for sixteen people, and be in the lobby beside", () => {
  const service = rendezvous();
  let registrationSequence = 0n;
  const wait = (wanted: string, wish: Wish = {}) => {
    registrationSequence++;
    return service.register(applicant("alice", wanted, { registrationSequence, ...wish }), NOW);
  };
  const lobby = { capabilities: Capability.lobby };
  wait("", lobby);
  for (let n = 0; n < WAITS_LIMIT; n++) assertWaits(wait(`peer${n}`), "alice", `peer${n}`);
  assertEquals(refusalOf(() => wait("one-more")), "limit");
  // What is there already may be replaced, and who moves on does not count twice.
  assertEquals(types(wait("peer3")), ["replaced", "waiting"]);
  const { holder } = service.waiting("alice", "peer4")!;
  assertWaits(wait("one-more", { holder }), "alice", "one-more");
  assertEquals(types(wait("", lobby)), ["replaced", "waiting"]);
  assertEquals(service.under("alice").length, WAITS_LIMIT + 1);
  assertEquals(WAITS_LIMIT, 16);
});

Deno.test("register() tells who is in the lobby who asks for them, whichever came first", () => {
  const lobby = { capabilities: Capability.lobby };
  const offered = (outcomes: Outcomes) =>
    outcomes.flatMap((each) =>
      each.type === "offer" ? [`${each.from.name} to ${each.to.name}`] : []
    );
  const service = rendezvous();
  service.register(applicant("alice", "bob"), NOW);
  service.register(applicant("carol", "bob"), NOW);
  service.register(applicant("dave", "carol"), NOW);
  const outcomes = service.register(applicant("bob", "", lobby), NOW);
  assertEquals(types(outcomes), ["waiting", "offer", "offer"]);
  assertEquals(offered(outcomes), ["alice to bob", "carol to bob"]);
  const late = service.register(applicant("erin", "bob"), NOW);
  assertEquals(offered(late), ["erin to bob"]);
  // Bob's own conversations are no offers, and whoever he asks for is introduced.
  const mutual = service.register(applicant("bob", "alice", { registrationSequence: 2n }), NOW);
  assertEquals(types(mutual), ["waiting", "introduced"]);
  assertEquals(service.under("bob").map(({ wanted }) => wanted), [""]);
  // Only with the capability is an empty name the lobby.
  assertEquals(refusalOf(() => service.register(applicant("frank", ""), NOW)), "bad_name");
});

Deno.test("register() offers no more than 64 who ask, the last of them", () => {
  const service = rendezvous();
  for (let n = 0; n < OFFERS_LIMIT + 5; n++) service.register(applicant(`w${n}`, "bob"), NOW);
  const lobby = applicant("bob", "", { capabilities: Capability.lobby });
  const offers = service.register(lobby, NOW).filter(({ type }) => type === "offer");
  assertEquals(offers.length, OFFERS_LIMIT);
  const names = offers.map((offer) => offer.type === "offer" && offer.from.name);
  assertEquals([names[0], names.at(-1)], ["w5", `w${OFFERS_LIMIT + 4}`]);
});

Deno.test("the lobby costs no introductions", () => {
  const service = rendezvous();
  for (let n = 0n; n < INTRODUCTIONS_PER_HOUR; n++) {
    const wish = { registrationSequence: n };
    service.register(applicant("alice", "bob", wish), NOW);
    introductions(service.register(applicant("bob", "alice", wish), NOW));
  }
  const wish = { registrationSequence: 100n };
  assertEquals(refusalOf(() => service.register(applicant("alice", "bob", wish), NOW)), "limit");
  const lobby = { ...wish, capabilities: Capability.lobby };
  assertWaits(service.register(applicant("alice", "", lobby), NOW), "alice", "");
});

Deno.test("register() tells both of a suite mismatch, and both go on waiting", () => {
  const pairs: readonly [SuiteName, SuiteName][] = [
    ["modern", "rsa"],
    ["rsa", "modern"],
    ["modern", "classic"],
    ["classic", "rsa"],
  ];
  for (const [alices, bobs] of pairs) {
    const service = rendezvous();
    service.register(applicant("alice", "bob", { suite: alices }), NOW);
    const outcomes = service.register(applicant("bob", "alice", { suite: bobs }), NOW);
    assertEquals(types(outcomes), ["waiting", "suite-mismatch"]);
    const mismatch = outcomes[1]!;
    assert(mismatch.type === "suite-mismatch");
    const told = Object.fromEntries(mismatch.pair.map(({ name, suite }) => [name, suite]));
    assertEquals(told, { alice: SUITE_IDS[alices], bob: SUITE_IDS[bobs] });
    assertEquals([...service.under("alice"), ...service.under("bob")].length, 2);
    // One of them comes back with the other's suite.
    const changed = applicant("bob", "alice", { suite: alices, registrationSequence: 2n });
    assertEquals(types(service.register(changed, NOW)), ["replaced", "waiting", "introduced"]);
  }
});

Deno.test("register() refuses ports that nobody may be sent to (D6)", () => {
  const cases: readonly [number, number, boolean][] = [
    [0, 40_001, false],
    [40_000, 0, false],
    [22, 40_001, false],
    [40_000, 22, false],
    [1023, 40_001, false],
    [40_000, 40_000, false],
    [1024, 1025, true],
    [65_535, 65_534, true],
  ];
  for (const [receivePort, sendPort, taken] of cases) {
    const service = rendezvous();
    const register = () =>
      service.register(applicant("alice", "bob", { receivePort, sendPort }), NOW);
    if (taken) assertEquals(types(register()), ["waiting"]);
    else assertEquals(refusalOf(register), "bad_address");
  }
});

Deno.test("register() changes nothing when it refuses", () => {
  const service = rendezvous();
  const { holder } = applicant("alice", "bob");
  service.register(applicant("alice", "bob", { holder }), NOW);
  const before = service.under("alice");
  const newer = { registrationSequence: 9n };
  for (
    const wrong of [
      applicant("alice", "bob", { registrationSequence: 1n, holder }),
      applicant("alice", "bob", { ...newer, receivePort: 1 }),
      applicant("alice", "bob", { ...newer, receivePort: 1, holder }),
      applicant("alice", "alice", newer),
      applicant("alice", "root", { ...newer, holder }),
    ]
  ) {
    refusalOf(() => service.register(wrong, NOW));
    assertEquals(service.under("alice"), before);
    assertEquals(service.size, 1);
  }
});

Deno.test("an introduction has the observed address, and what was advertised inside one site (A13, D7)", () => {
  const advertised = ["10.0.0.7", "fd00::7"];
  const cases: readonly {
    readonly what: string;
    readonly alice: string;
    readonly bob: string;
    readonly expected: readonly string[];
  }[] = [
    {
      what: "two public addresses",
      alice: "203.0.113.5",
      bob: "198.51.100.9",
      expected: ["203.0.113.5"],
    },
    {
      what: "one public address",
      alice: "203.0.113.5",
      bob: "203.0.113.5",
      expected: ["203.0.113.5", ...advertised],
    },
    {
      what: "one private network",
      alice: "192.168.1.5",
      bob: "192.168.1.9",
      expected: ["192.168.1.5", ...advertised],
    },
    {
      what: "a private and a public address",
      alice: "192.168.1.5",
      bob: "198.51.100.9",
      expected: ["192.168.1.5"],
    },
    {
      what: "both on the server's machine",
      alice: "127.0.0.1",
      bob: "127.0.0.1",
      expected: ["127.0.0.1", ...advertised],
    },
    {
      what: "the peer on the server's machine, the reader elsewhere",
      alice: "127.0.0.1",
      bob: "192.168.1.9",
      expected: advertised,
    },
    {
      what: "the reader on the server's machine",
      alice: "192.168.1.5",
      bob: "127.0.0.1",
      expected: ["192.168.1.5"],
    },
    {
      what: "two IPv6 addresses",
      alice: "2001:db8::5",
      bob: "2001:db8::9",
      expected: ["2001:db8::5"],
    },
  ];
  for (const { what, alice, bob, expected } of cases) {
    const service = rendezvous();
    service.register(applicant("alice", "bob", { from: alice, advertised }), NOW);
    const told = introductions(service.register(applicant("bob", "alice", { from: bob }), NOW));
    assertEquals(told.bob?.addresses, expected, what);
  }
});

Deno.test("an introduction never has an advertised address that is not private (D7)", () => {
  const bad = [
    "127.0.0.1",
    "::1",
    "169.254.1.1",
    "fe80::1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
    "8.8.8.8",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
  ];
  for (const address of bad) {
    const service = rendezvous();
    const wish = { from: "192.168.1.5", advertised: [address, "10.1.1.1"] };
    service.register(applicant("alice", "bob", wish), NOW);
    const bob = applicant("bob", "alice", { from: "192.168.1.5" });
    const told = introductions(service.register(bob, NOW)).bob;
    assertEquals(told?.addresses, ["192.168.1.5", "10.1.1.1"], address);
  }
});

Deno.test("an introduction names each address once", () => {
  const service = rendezvous();
  const advertised = ["192.168.1.5", "10.1.1.1", "10.1.1.1", "10.1.1.2"];
  service.register(applicant("alice", "bob", { from: "192.168.1.5", advertised }), NOW);
  const bob = applicant("bob", "alice", { from: "192.168.1.6" });
  const told = introductions(service.register(bob, NOW)).bob;
  assertEquals(told?.addresses, ["192.168.1.5", "10.1.1.1", "10.1.1.2"]);
});

Deno.test("register() gives one identity thirty introductions an hour, and no more", () => {
  const service = rendezvous();
  let sequence = 0n;
  const meet = (peer: string, now: number) => {
    sequence++;
    service.register(applicant(peer, "alice", { registrationSequence: sequence }), now);
    const alice = applicant("alice", peer, { registrationSequence: sequence });
    return service.register(alice, now);
  };
  for (let n = 0; n < INTRODUCTIONS_PER_HOUR; n++) introductions(meet(`peer${n}`, NOW + n));
  const refused = assertThrows(() => meet("peer30", NOW + HOUR - 1), CifraError);
  assertEquals(refused.code, "limit");
  // The one who was asked for goes on waiting, and others are not affected.
  const carol = applicant("carol", "dave");
  service.register(carol, NOW);
  introductions(service.register(applicant("dave", "carol"), NOW));
  const late = applicant("alice", "peer30", { registrationSequence: ++sequence });
  introductions(service.register(late, NOW + HOUR));
  assertEquals(INTRODUCTIONS_PER_HOUR, 30);
});

Deno.test("the one who waits has no more introductions than the one who comes", () => {
  const service = rendezvous();
  const alice = (n: number) => applicant("alice", `peer${n}`, { registrationSequence: BigInt(n) });
  for (let n = 1; n <= INTRODUCTIONS_PER_HOUR; n++) {
    service.register(alice(n), NOW);
    introductions(service.register(applicant(`peer${n}`, "alice"), NOW));
  }
  const next = alice(INTRODUCTIONS_PER_HOUR + 1);
  assertEquals(refusalOf(() => service.register(next, NOW + HOUR - 1)), "limit");
  assertEquals(types(service.register(next, NOW + HOUR)), ["waiting"]);
});

Deno.test("a registration refused for its number leaves an older one of the same identity in place", () => {
  const service = rendezvous();
  const late = NOW + HOUR;
  const alice = (registrationSequence: bigint, now: number) =>
    service.register(applicant("alice", "bob", { registrationSequence }), now);
  for (let n = 1n; n < INTRODUCTIONS_PER_HOUR; n++) {
    alice(n, NOW);
    service.register(applicant("bob", "alice", { registrationSequence: n, key: `${n}` }), NOW);
  }
  alice(100n, NOW);
  service.register(applicant("bob", "alice", { key: "100" }), NOW);
  assertEquals(refusalOf(() => alice(101n, NOW)), "limit");
  alice(102n, late);
  const held = service.under("alice");
  // The clock goes back, and thirty introductions are lately again.
  assertEquals(refusalOf(() => alice(103n, NOW)), "limit");
  assertEquals(service.under("alice"), held);
});

Deno.test("the relay is offered when both can be relayed and the server has room", () => {
  const { relay, hidden, punch } = Capability;
  for (const mayRelay of [true, false]) {
    for (const alices of [0, relay, hidden, punch, relay | hidden, relay | punch, 0xffffffff]) {
      for (const bobs of [0, relay, hidden, punch, relay | hidden, relay | punch, 0xffffffff]) {
        const service = rendezvous();
        const alice = applicant("alice", "bob", { capabilities: alices });
        service.register(alice, NOW, mayRelay);
        const bob = applicant("bob", "alice", { capabilities: bobs });
        const outcomes = service.register(bob, NOW, mayRelay);
        const expected = mayRelay && (alices & relay) !== 0 && (bobs & relay) !== 0;
        const told = introductions(outcomes);
        const what = `${alices} and ${bobs}, ${mayRelay}`;
        assertEquals([told.alice?.relay, told.bob?.relay], Array(2).fill(expected ? 1 : 0), what);
        const outcome = outcomes.at(-1);
        assertEquals(outcome?.type === "introduced" && outcome.relay, expected, what);
      }
    }
  }
});

Deno.test("only what the server may do when the second one comes counts for the relay", () => {
  for (const [first, second] of [[true, false], [false, true]] as const) {
    const service = rendezvous();
    const wish = { capabilities: Capability.relay };
    service.register(applicant("alice", "bob", wish), NOW, first);
    const told = introductions(service.register(applicant("bob", "alice", wish), NOW, second));
    assertEquals(told.alice?.relay, second ? 1 : 0);
  }
});

Deno.test("one who is hidden gives no address and gets none, whatever else the two can", () => {
  const { relay, hidden, punch } = Capability;
  const advertised = ["192.168.1.50"];
  for (const others of [0, relay, punch, relay | punch]) {
    for (const [alices, bobs] of [[hidden, 0], [0, hidden], [hidden, hidden]] as const) {
      const service = rendezvous();
      const wish = { from: "192.168.1.5", advertised };
      service.register(applicant("alice", "bob", { ...wish, capabilities: alices | others }), NOW);
      const bob = applicant("bob", "alice", { ...wish, capabilities: bobs | others });
      for (const told of Object.values(introductions(service.register(bob, NOW)))) {
        assertEquals([told.addresses, told.punch], [[], []]);
        assertEquals(told.relay, others & relay ? 1 : 0);
      }
    }
  }
});

Deno.test("an introduction tells where the peer dials from when the peer can be punched to", () => {
  const { punch } = Capability;
  for (const [alices, bobs] of [[0, 0], [punch, 0], [0, punch], [punch, punch]] as const) {
    const service = rendezvous();
    const alice = { capabilities: alices, from: "203.0.113.5", port: 40_001 };
    service.register(applicant("alice", "bob", alice), NOW);
    // What counts is where the server sees the port, not what the client calls it.
    const bob = { capabilities: bobs, from: "198.51.100.9", port: 1024, sendPort: 2000 };
    const told = introductions(service.register(applicant("bob", "alice", bob), NOW));
    assertEquals(told.bob?.punch, alices ? [{ host: "203.0.113.5", port: 40_001 }] : []);
    assertEquals(told.alice?.punch, bobs ? [{ host: "198.51.100.9", port: 1024 }] : []);
  }
});

Deno.test("nobody is sent to punch at a port of the system or at an odd address (A13)", () => {
  const cases: readonly [string, number, boolean][] = [
    ["203.0.113.5", 0, false],
    ["203.0.113.5", 22, false],
    ["203.0.113.5", 1023, false],
    ["203.0.113.5", 1024, true],
    ["203.0.113.5", 65_535, true],
    ["192.168.1.5", 40_001, true],
    ["2001:db8::5", 40_001, true],
    ["fd00::5", 40_001, true],
    ["127.0.0.1", 40_001, false],
    ["::1", 40_001, false],
    ["169.254.1.1", 40_001, false],
    ["fe80::1", 40_001, false],
    ["0.0.0.0", 40_001, false],
    ["224.0.0.1", 40_001, false],
    ["255.255.255.255", 40_001, false],
  ];
  for (const [from, port, given] of cases) {
    const service = rendezvous();
    const wish = { from, port, capabilities: Capability.punch };
    service.register(applicant("alice", "bob", wish), NOW);
    const bob = applicant("bob", "alice", { from: "203.0.113.9" });
    const told = introductions(service.register(bob, NOW)).bob;
    assertEquals(told?.punch, given ? [{ host: from, port }] : [], `${from} ${port}`);
  }
});

Deno.test("the generation grows with every introduction, also over a restart with nothing kept", () => {
  const generation = (service: Service, now: number, round: bigint) => {
    const wish = { registrationSequence: round };
    service.register(applicant("alice", "bob", wish), now);
    return introductions(service.register(applicant("bob", "alice", wish), now)).alice!.generation;
  };
  const before = rendezvous();
  const first = generation(before, NOW, 1n);
  const second = generation(before, NOW, 2n);
  assertEquals(second, first + 1);
  // The clock has gone back: still it grows.
  const third = generation(before, NOW - HOUR, 3n);
  assertEquals(third, second + 1);
  const after = rendezvous();
  assert(generation(after, NOW + 5000, 1n) > third);
  assert(first < 2 ** 32);
});

Deno.test("leave() gives back what was held, and leaving again or as a stranger is nothing", () => {
  const service = rendezvous();
  const alice = applicant("alice", "bob");
  service.register(alice, NOW);
  const left = service.leave(alice.holder);
  assertEquals([left?.name, left?.wanted], ["alice", "bob"]);
  assertEquals(service.leave(alice.holder), undefined);
  assertEquals(service.leave(-1), undefined);
  assertEquals(service.under("alice"), []);
  assertWaits(service.register(applicant("bob", "alice"), NOW), "bob", "alice");
});

Deno.test("names that objects have already are names like any other (D12)", () => {
  const service = rendezvous();
  for (const name of ["constructor", "__proto__", "tostring", "hasownproperty"]) {
    if (name === "__proto__") {
      assertEquals(refusalOf(() => service.register(applicant("alice", name), NOW)), "bad_name");
      continue;
    }
    assertEquals(service.under(name), []);
    assertWaits(service.register(applicant(name, "alice"), NOW), name, "alice");
  }
});

Deno.test("10,000 who wait for absent names are held and found again (D8)", () => {
  const service = rendezvous();
  const holders: number[] = [];
  for (let n = 0; n < 10_000; n++) {
    const waiter = applicant(`w${n}`, `absent${n}`);
    service.register(waiter, NOW);
    holders.push(waiter.holder);
  }
  assertEquals(service.under("w9999")[0]?.wanted, "absent9999");
  introductions(service.register(applicant("absent5000", "w5000"), NOW));
  assertEquals(service.size, 9_999);
  for (const holder of holders) service.leave(holder);
  assertEquals(service.size, 0);
  assertEquals(service.under("w1"), []);
});
