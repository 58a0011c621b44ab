import { assert, assertEquals, assertThrows } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { SUITE_IDS, type SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import {
  MEETINGS_BURST,
  MEETINGS_PER_MINUTE,
  OFFERS_LIMIT,
  WANTS_LIMIT,
  WANTS_PER_MINUTE,
} from "../../lib/limits.ts";
import type { Registered } from "../../lib/services/introduction.ts";
import {
  Rendezvous,
  type RendezvousLimits,
  type RendezvousOutcome,
} from "../../lib/services/rendezvous.ts";
import {
  Capability,
  type Introduction,
  type Registration,
} from "../../lib/wire/rendezvous_messages.ts";

const NOW = Date.UTC(2030, 0, 1);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const LOBBY = { capabilities: Capability.lobby };

/** Connections are numbers here. */
type Outcomes = readonly RendezvousOutcome<number>[];

/** Somebody with a connection, and whom they want. */
interface Visitor {
  readonly applicant: Registered<number>;
  readonly wanted: string | undefined;
}

/** The rendezvous of a server that has room for relayed pairs, unless a test says otherwise. */
class Service {
  readonly rules: Rendezvous<number>;

  constructor(limits: Partial<RendezvousLimits> = {}) {
    const random = (length: number) => new Uint8Array(length).fill(++drawn);
    this.rules = new Rendezvous(random, { introductionsPerHour: 30, quotas: true, ...limits });
  }

  /** A registration, and what is wanted with it. */
  meet({ applicant, wanted }: Visitor, now: number, mayRelay = true): Outcomes {
    const outcomes = this.rules.register(applicant);
    if (wanted === undefined) return outcomes;
    return [...outcomes, ...this.rules.want(applicant.holder, wanted, now, mayRelay)];
  }

  /** A connection that is registered wants somebody. */
  want(holder: number, wanted: string, now = NOW): Outcomes {
    return this.rules.want(holder, wanted, now, true);
  }

  get size(): number {
    return [...this.rules.everybody].length;
  }

  /** Who is here, and whom they want. */
  get people(): readonly string[] {
    return [...this.rules.everybody].map(({ holder, key: { name } }) =>
      `${name}: ${this.rules.wantsOf(holder)}`
    );
  }
}

let drawn = 0;
function rendezvous(limits?: Partial<RendezvousLimits>): Service {
  return new Service(limits);
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
let sequence = 0n;

/** Somebody who registers, and may want somebody. The key is the name, unless told otherwise. */
function applicant(name: string, wanted?: string, wish: Wish = {}): Visitor {
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
    wanted,
    applicant: {
      holder,
      registration: {
        name,
        receivePort: 40_000,
        sendPort: 40_001,
        capabilities: 0,
        registrationSequence: ++sequence,
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
        lastSequence: 77n,
        notAfter: NOW,
        signature,
        created: 0,
        lastSeen: 0,
        invite: undefined,
      },
      suite: SUITE_IDS[suite],
      observed: { host: from, port },
    },
  };
}

/** Somebody comes, and wants nobody yet; their connection. */
function come(service: Service, name: string, wish: Wish = {}): number {
  const visitor = applicant(name, undefined, wish);
  service.meet(visitor, NOW);
  return visitor.applicant.holder;
}

function refusalOf(action: () => unknown): ErrorCode {
  return assertThrows(action, CifraError).code;
}

/** The introductions that an outcome brings, by whom they are for. */
function introductions(outcomes: Outcomes): Record<string, Introduction> {
  const outcome = outcomes.find(({ type }) => type === "introduced");
  assert(outcome?.type === "introduced", JSON.stringify(outcomes.map(({ type }) => type)));
  return Object.fromEntries(
    outcome.pair.map(({ to, introduction }) => [to.key.name, introduction]),
  );
}

function types(outcomes: Outcomes): readonly string[] {
  return outcomes.map(({ type }) => type);
}

/** Whom is told of whom. */
function offered(outcomes: Outcomes): readonly string[] {
  return outcomes.flatMap((each) =>
    each.type === "offer" ? [`${each.from.key.name} to ${each.to.key.name}`] : []
  );
}

Deno.test("want() introduces two who want each other, in either order of arrival", () => {
  for (const [first, second] of [["alice", "bob"], ["bob", "alice"]] as const) {
    const service = rendezvous();
    assertEquals(service.meet(applicant(first, second), NOW), []);
    const outcomes = service.meet(applicant(second, first), NOW);
    assertEquals(types(outcomes), ["introduced"]);
    const { alice, bob } = introductions(outcomes);
    assertEquals(alice?.peerName, "bob");
    assertEquals(bob?.peerName, "alice");
    assertEquals(alice?.bundle, new TextEncoder().encode("bundle of bob"));
    assertEquals(bob?.bundle, new TextEncoder().encode("bundle of alice"));
    // With the peer's own word for it.
    const signature = (name: string) => new Uint8Array(64).fill(name.length);
    assertEquals([alice?.claim.signature, bob?.claim.signature], [
      signature("bob"),
      signature("alice"),
    ]);
    assertEquals(alice?.rendezvousKey, bob?.rendezvousKey);
    assertEquals(alice?.generation, bob?.generation);
    assertEquals(alice?.rendezvousKey.length, 32);
  }
});

Deno.test("want() tells each the ports of the other, as it registered them last", () => {
  const service = rendezvous();
  const alice = applicant("alice", "bob", { receivePort: 5001, sendPort: 5002 });
  service.meet(alice, NOW);
  const { holder } = alice.applicant;
  // Another registration on the same connection: what it wants stays.
  const moved = applicant("alice", undefined, { holder, receivePort: 5003, sendPort: 5004 });
  assertEquals(service.meet(moved, NOW), []);
  const told = introductions(
    service.meet(applicant("bob", "alice", { receivePort: 6001, sendPort: 6002 }), NOW),
  );
  assertEquals([told.alice?.receivePort, told.alice?.sendPort], [6001, 6002]);
  assertEquals([told.bob?.receivePort, told.bob?.sendPort], [5003, 5004]);
});

Deno.test("want() draws a new key for every introduction", () => {
  const service = rendezvous();
  const seen = new Set<string>();
  const alice = come(service, "alice"), bob = come(service, "bob");
  for (let round = 1; round <= 5; round++) {
    service.want(alice, "bob");
    const { alice: told } = introductions(service.want(bob, "alice"));
    seen.add(encodeHex(told!.rendezvousKey));
  }
  assertEquals(seen.size, 5);
});

Deno.test("want() introduces nobody whose wish is not returned (A11, A12)", () => {
  const service = rendezvous();
  const wishes = [["alice", "bob"], ["bob", "carol"], ["mallory", "bob"], ["dave", "alice"]];
  for (const [name, wanted] of wishes) {
    assertEquals(service.meet(applicant(name!, wanted), NOW), []);
  }
});

Deno.test("want() answers alike whether the wanted name is known or not (D17)", () => {
  const service = rendezvous();
  service.meet(applicant("bob", "carol"), NOW);
  assertEquals(service.meet(applicant("alice", "bob"), NOW), []);
  assertEquals(service.meet(applicant("dave", "nobody"), NOW), []);
});

Deno.test("an introduction fulfils the wants of both, and no others", () => {
  const service = rendezvous();
  const alice = come(service, "alice");
  service.want(alice, "carol");
  service.want(alice, "bob");
  const bob = applicant("bob", "alice");
  introductions(service.meet(bob, NOW));
  // Both are here still.
  assertEquals(service.people, ["alice: carol", "bob: "]);
  // The one who asks again waits for the other to ask again.
  assertEquals(service.want(bob.applicant.holder, "alice"), []);
  introductions(service.want(alice, "bob"));
});

Deno.test("a registration wants nobody, and several of one identity live side by side", () => {
  const service = rendezvous();
  const one = come(service, "alice"), other = come(service, "alice");
  assertEquals(service.people, ["alice: ", "alice: "]);
  service.want(one, "bob");
  service.want(other, "carol");
  assertEquals(service.people, ["alice: bob", "alice: carol"]);
  service.rules.leave(one);
  assertEquals(service.people, ["alice: carol"]);
  assertEquals(service.meet(applicant("bob", "alice"), NOW), []);
});

Deno.test("want() refuses names that nobody can have, and the server's (D1, D2)", () => {
  const service = rendezvous();
  const bob = come(service, "bob");
  const bad = ["", "a".repeat(33), "Alice", "a\0", "../a", "\x1b[2J", "\u202e", "admin", "server"];
  for (const name of bad) assertEquals(refusalOf(() => service.want(bob, name)), "bad_name");
  assertEquals(refusalOf(() => service.want(bob, "bob")), "bad_name");
  assertEquals(service.people, ["bob: "]);
});

Deno.test("register() takes only a higher sequence number than all others of the identity (D5)", () => {
  const service = rendezvous();
  const holder = ++connections;
  const again = (registrationSequence: bigint, wish: Wish = {}) =>
    service.meet(applicant("alice", undefined, { registrationSequence, ...wish }), NOW);
  again(5n, { holder });
  for (const wish of [{ holder }, {}]) {
    for (const stale of [5n, 4n, 0n]) {
      assertEquals(refusalOf(() => again(stale, wish)), "stale_registration");
    }
  }
  again(6n);
  again(2n ** 53n + 1n, { holder });
  // As a double, this number would be the one before.
  assertEquals(refusalOf(() => again(2n ** 53n + 1n)), "stale_registration");
  again(2n ** 53n + 2n);
  again(2n ** 64n - 1n, { holder });
  assertEquals(refusalOf(() => again(2n ** 64n - 1n)), "stale_registration");
  // Another key of the same name counts by itself.
  again(1n, { suite: "rsa", key: "alice's other key" });
  // The numbers of what is over do not matter any more.
  for (const { holder: each } of [...service.rules.everybody]) service.rules.leave(each);
  again(1n);
});

Deno.test("want() goes on with the later of two connections that want the same (D11)", () => {
  const service = rendezvous();
  const older = applicant("alice", "bob", { receivePort: 5001 });
  service.meet(older, NOW);
  const outcomes = service.meet(applicant("alice", "bob", { receivePort: 5005 }), NOW);
  assertEquals(types(outcomes), ["taken-over"]);
  const { holder } = older.applicant;
  assertEquals(outcomes[0], {
    type: "taken-over",
    want: { holder, name: "alice", peerName: "bob" },
  });
  assertEquals(service.people, ["alice: ", "alice: bob"]);
  // What the older one says now, and its leaving, take nothing from the newer one.
  service.rules.unwant(holder, "bob");
  service.rules.leave(holder);
  const { bob } = introductions(service.meet(applicant("bob", "alice"), NOW));
  assertEquals(bob?.receivePort, 5005);
});

Deno.test("want() of somebody that is wanted already is the same want", () => {
  const service = rendezvous();
  const alice = come(service, "alice");
  for (let n = 0; n < 3; n++) assertEquals(service.want(alice, "bob"), []);
  assertEquals(service.people, ["alice: bob"]);
  service.rules.unwant(alice, "bob");
  assertEquals(service.people, ["alice: "]);
});

Deno.test("unwant() takes back what was wanted, and nothing of others", () => {
  const service = rendezvous();
  const alice = come(service, "alice"), bob = come(service, "bob");
  service.want(alice, "bob");
  service.rules.unwant(alice, "carol");
  service.rules.unwant(bob, "alice");
  service.rules.unwant(-1, "bob");
  assertEquals(service.people, ["alice: bob", "bob: "]);
  service.rules.unwant(alice, "bob");
  assertEquals(service.want(bob, "alice"), []);
});

Deno.test("one identity wants sixteen people at once, over all its connections, and no more", () => {
  const service = rendezvous();
  const holders = [come(service, "alice", LOBBY), come(service, "alice")];
  for (let n = 0; n < WANTS_LIMIT; n++) service.want(holders[n % 2]!, `peer${n}`);
  assertEquals(refusalOf(() => service.want(holders[0]!, "one-more")), "limit");
  // What is wanted already may be wanted again, on either connection.
  assertEquals(types(service.want(holders[0]!, "peer3")), ["taken-over"]);
  service.rules.unwant(holders[0]!, "peer4");
  assertEquals(service.want(holders[0]!, "one-more"), []);
  assertEquals(refusalOf(() => service.want(holders[1]!, "another")), "limit");
  assertEquals(WANTS_LIMIT, 16);
});

Deno.test("one identity may want somebody so many times a minute, and is told when again", () => {
  const service = rendezvous();
  const alice = come(service, "alice");
  for (let n = 0; n < WANTS_PER_MINUTE; n++) service.want(alice, "bob", NOW + n);
  const over = assertThrows(() => service.want(alice, "bob", NOW + 30_000), CifraError);
  assertEquals([over.code, over.retryAfter], ["limit", 30]);
  // Another connection is no way around it; another identity is not concerned.
  assertEquals(refusalOf(() => service.want(come(service, "alice"), "carol", NOW)), "limit");
  service.want(come(service, "dave"), "bob");
  service.want(alice, "bob", NOW + MINUTE);
});

Deno.test("who is in the lobby is told who wants them, whichever came first", () => {
  const service = rendezvous();
  service.meet(applicant("alice", "bob"), NOW);
  service.meet(applicant("carol", "bob"), NOW);
  service.meet(applicant("dave", "carol"), NOW);
  const bob = applicant("bob", undefined, LOBBY);
  assertEquals(offered(service.meet(bob, NOW)), ["alice to bob", "carol to bob"]);
  const { holder } = bob.applicant;
  assert(service.rules.isInLobby(holder));
  assertEquals(offered(service.meet(applicant("erin", "bob"), NOW)), ["erin to bob"]);
  // Whoever he wants is introduced, over the same connection.
  assertEquals(types(service.want(holder, "alice")), ["introduced"]);
  // He is told again of those who wait when he comes again, and of nobody when he has left the lobby.
  const again = { ...LOBBY, holder };
  assertEquals(offered(service.meet(applicant("bob", undefined, again), NOW)), [
    "carol to bob",
    "erin to bob",
  ]);
  service.meet(applicant("bob", undefined, { holder }), NOW);
  assert(!service.rules.isInLobby(holder));
  assertEquals(service.meet(applicant("frank", "bob"), NOW), []);
});

Deno.test("one who waits for another of another suite is not offered to it", () => {
  const service = rendezvous();
  service.meet(applicant("alice", "bob", { suite: "rsa" }), NOW);
  const holder = come(service, "bob", LOBBY);
  assertEquals(types(service.want(holder, "alice")), ["suite-mismatch"]);
  assertEquals(service.meet(applicant("bob", undefined, { ...LOBBY, holder }), NOW), []);
});

Deno.test("the later of two in the lobby under one name dismisses the earlier, and what it wants", () => {
  const service = rendezvous();
  const older = applicant("alice", "bob", LOBBY);
  service.meet(older, NOW);
  const beside = come(service, "alice");
  const newer = applicant("alice", undefined, LOBBY);
  const outcomes = service.meet(newer, NOW);
  assertEquals(outcomes, [{ type: "replaced", registered: older.applicant }]);
  assertEquals(service.people, ["alice: ", "alice: "]);
  assertEquals(service.rules.leave(older.applicant.holder), undefined);
  assertEquals(
    service.meet(applicant("bob", "alice"), NOW).map((each) =>
      each.type === "offer" && each.to.holder
    ),
    [newer.applicant.holder],
  );
  // The one beside it leaves, and takes nobody out of the lobby.
  service.rules.leave(beside);
  assertEquals(types(service.meet(applicant("carol", "alice"), NOW)), ["offer"]);
});

Deno.test("register() offers no more than 64 who ask, the last of them", () => {
  const service = rendezvous();
  for (let n = 0; n < OFFERS_LIMIT + 5; n++) service.meet(applicant(`w${n}`, "bob"), NOW);
  const offers = offered(service.meet(applicant("bob", undefined, LOBBY), NOW));
  assertEquals(offers.length, OFFERS_LIMIT);
  assertEquals([offers[0], offers.at(-1)], ["w5 to bob", `w${OFFERS_LIMIT + 4} to bob`]);
});

Deno.test("decline() tells whoever wants us, once for each time they want us", () => {
  const service = rendezvous();
  const alice = come(service, "alice"), bob = come(service, "bob");
  assertEquals(service.rules.decline(bob, "alice"), undefined);
  service.want(alice, "bob");
  assertEquals(service.rules.decline(alice, "bob"), undefined);
  assertEquals(service.rules.decline(-1, "alice"), undefined);
  assertEquals(service.rules.decline(bob, "alice")?.holder, alice);
  assertEquals(service.rules.decline(bob, "alice"), undefined);
  service.want(alice, "bob");
  assertEquals(service.rules.decline(bob, "alice")?.holder, alice);
});

Deno.test("want() tells both of a suite mismatch, and both go on waiting", () => {
  const pairs: readonly [SuiteName, SuiteName][] = [
    ["modern", "rsa"],
    ["rsa", "modern"],
    ["modern", "classic"],
    ["classic", "rsa"],
  ];
  for (const [alices, bobs] of pairs) {
    const service = rendezvous();
    service.meet(applicant("alice", "bob", { suite: alices }), NOW);
    const outcomes = service.meet(applicant("bob", "alice", { suite: bobs }), NOW);
    assertEquals(types(outcomes), ["suite-mismatch"]);
    const mismatch = outcomes[0]!;
    assert(mismatch.type === "suite-mismatch");
    const told = Object.fromEntries(mismatch.pair.map(({ key, suite }) => [key.name, suite]));
    assertEquals(told, { alice: SUITE_IDS[alices], bob: SUITE_IDS[bobs] });
    assertEquals(service.people, ["alice: bob", "bob: alice"]);
    // One of them comes back with the other's suite.
    const changed = applicant("bob", "alice", { suite: alices });
    assertEquals(types(service.meet(changed, NOW)), ["taken-over", "introduced"]);
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
    const register = () => service.meet(applicant("alice", "bob", { receivePort, sendPort }), NOW);
    if (taken) assertEquals(types(register()), []);
    else assertEquals(refusalOf(register), "bad_address");
  }
});

Deno.test("an introduction has what the peer says of itself as it stands, and the one observed address (A13, D7)", () => {
  const advertised = ["10.0.0.7", "fd00::7", "10.0.0.7"];
  const here = "127.0.0.1", near = "192.168.1.5", far = "203.0.113.5", six = "2001:db8::5";
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    [far, "198.51.100.9", [far]],
    [near, "198.51.100.9", [near]],
    [six, "2001:db8::9", [six]],
    [here, here, [here]],
    // The server's machine means nothing to whoever is not on it.
    [here, "192.168.1.9", []],
    [near, here, [near]],
  ];
  for (const [alice, bob, expected] of cases) {
    const service = rendezvous();
    const wanting = applicant("alice", "bob", { from: alice, advertised });
    service.meet(wanting, NOW);
    const told = introductions(service.meet(applicant("bob", "alice", { from: bob }), NOW)).bob!;
    assertEquals([told.observed, told.advertised], [expected, advertised]);
    const { registrationSequence: sequence, claim } = wanting.applicant.registration;
    const { notAfter, signature } = claim;
    assertEquals(told.claim, { sequence, notAfter, signature });
  }
});

Deno.test("the relay is offered when both can be relayed and the server has room", () => {
  const { relay, hidden, punch } = Capability;
  for (const mayRelay of [true, false]) {
    for (const alices of [0, relay, hidden, punch, relay | hidden, relay | punch, 0xffffffff]) {
      for (const bobs of [0, relay, hidden, punch, relay | hidden, relay | punch, 0xffffffff]) {
        const service = rendezvous();
        const alice = applicant("alice", "bob", { capabilities: alices });
        service.meet(alice, NOW, mayRelay);
        const bob = applicant("bob", "alice", { capabilities: bobs });
        const outcomes = service.meet(bob, NOW, mayRelay);
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
    service.meet(applicant("alice", "bob", wish), NOW, first);
    const told = introductions(service.meet(applicant("bob", "alice", wish), NOW, second));
    assertEquals(told.alice?.relay, second ? 1 : 0);
  }
});

Deno.test("one who is hidden gives no address and gets none, whatever else the two can", () => {
  const { relay, hidden, punch } = Capability;
  for (const others of [0, relay, punch, relay | punch]) {
    for (const [alices, bobs] of [[hidden, 0], [0, hidden], [hidden, hidden]] as const) {
      const service = rendezvous();
      const wish = { from: "192.168.1.5" };
      service.meet(applicant("alice", "bob", { ...wish, capabilities: alices | others }), NOW);
      const bob = applicant("bob", "alice", { ...wish, capabilities: bobs | others });
      for (const told of Object.values(introductions(service.meet(bob, NOW)))) {
        assertEquals([told.observed, told.punch], [[], []]);
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
    service.meet(applicant("alice", "bob", alice), NOW);
    // What counts is where the server sees the port, not what the client calls it.
    const bob = { capabilities: bobs, from: "198.51.100.9", port: 1024, sendPort: 2000 };
    const told = introductions(service.meet(applicant("bob", "alice", bob), NOW));
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
    service.meet(applicant("alice", "bob", wish), NOW);
    const bob = applicant("bob", "alice", { from: "203.0.113.9" });
    const told = introductions(service.meet(bob, NOW)).bob;
    assertEquals(told?.punch, given ? [{ host: from, port }] : [], `${from} ${port}`);
  }
});

Deno.test("register() and want() change nothing when they refuse", () => {
  const service = rendezvous();
  const holder = come(service, "alice", { registrationSequence: 5n, capabilities: 1 });
  service.want(holder, "bob");
  const before = service.people;
  for (
    const wrong of [
      { registrationSequence: 1n, holder },
      { receivePort: 1 },
      { receivePort: 1, holder },
    ]
  ) {
    refusalOf(() => service.meet(applicant("alice", undefined, wrong), NOW));
    assertEquals(service.people, before);
    assertEquals(service.rules.registeredBy(holder)?.registration.capabilities, 1);
  }
  refusalOf(() => service.want(holder, "root"));
  assertEquals(service.people, before);
});

Deno.test("an identity meets so many new people in an hour, and is told when the next", () => {
  const service = rendezvous();
  const alice = come(service, "alice");
  for (let n = 0; n < 30; n++) {
    // Both the one who comes and the one who waits are counted.
    const peer = `peer${n}`, now = NOW + n * MINUTE;
    if (n % 2 === 0) {
      service.meet(applicant(peer, "alice"), now);
      introductions(service.want(alice, peer, now));
    } else {
      service.want(alice, peer, now);
      introductions(service.meet(applicant(peer, "alice"), now));
    }
  }
  service.meet(applicant("late", "alice"), NOW);
  const refused = assertThrows(() => service.want(alice, "late", NOW + HOUR - 1500), CifraError);
  assertEquals([refused.code, refused.retryAfter], ["limit", 2]);
  // Another connection is no way around it, and others are not affected.
  assertEquals(refusalOf(() => service.want(come(service, "alice"), "x", NOW + HOUR - 1)), "limit");
  service.meet(applicant("carol", "dave"), NOW);
  introductions(service.meet(applicant("dave", "carol"), NOW));
  introductions(service.want(alice, "late", NOW + HOUR));
});

Deno.test("those who were introduced come again as often as they lose each other", () => {
  const service = rendezvous({ introductionsPerHour: 1 });
  const alice = come(service, "alice"), bob = come(service, "bob");
  for (let n = 0; n < 200; n++) {
    const now = NOW + n * MINUTE / MEETINGS_PER_MINUTE;
    service.want(alice, "bob", now);
    introductions(service.want(bob, "alice", now));
  }
});

Deno.test("two who meet again and again are told when again, and meet others meanwhile", () => {
  const service = rendezvous();
  const alice = come(service, "alice"), bob = come(service, "bob");
  for (let n = 0; n <= MEETINGS_BURST; n++) {
    service.want(alice, "bob");
    introductions(service.want(bob, "alice"));
  }
  for (const [holder, name] of [[alice, "bob"], [bob, "alice"]] as const) {
    const refused = assertThrows(() => service.want(holder, name), CifraError);
    assertEquals([refused.code, refused.retryAfter], ["limit", 60 / MEETINGS_PER_MINUTE]);
  }
  service.meet(applicant("carol", "alice"), NOW);
  introductions(service.want(alice, "carol"));
  const again = NOW + MINUTE / MEETINGS_PER_MINUTE;
  service.want(alice, "bob", again);
  introductions(service.want(bob, "alice", again));
});

Deno.test("limits of meetings that are switched off are none", () => {
  const service = rendezvous({ introductionsPerHour: 0, quotas: false });
  const alice = come(service, "alice"), bob = come(service, "bob");
  for (let n = 0; n < 200; n++) {
    service.meet(applicant(`peer${n}`, "alice"), NOW);
    introductions(service.want(alice, `peer${n}`));
    service.want(alice, "bob");
    introductions(service.want(bob, "alice"));
  }
});

Deno.test("the lobby costs no introductions", () => {
  const service = rendezvous({ introductionsPerHour: 1 });
  const alice = come(service, "alice"), bob = come(service, "bob");
  service.want(alice, "bob");
  introductions(service.want(bob, "alice"));
  assertEquals(refusalOf(() => service.want(alice, "carol")), "limit");
  service.meet(applicant("alice", undefined, LOBBY), NOW);
});

Deno.test("the generation grows with every introduction, also over a restart with nothing kept", () => {
  const generation = (service: Service, now: number) => {
    service.meet(applicant("alice", "bob"), now);
    return introductions(service.meet(applicant("bob", "alice"), now)).alice!.generation;
  };
  const before = rendezvous();
  const first = generation(before, NOW);
  const second = generation(before, NOW);
  assertEquals(second, first + 1);
  // The clock has gone back: still it grows.
  const third = generation(before, NOW - HOUR);
  assertEquals(third, second + 1);
  const after = rendezvous();
  assert(generation(after, NOW + 5000) > third);
  assert(first < 2 ** 32);
});

Deno.test("leave() gives back what was held, and leaving again or as a stranger is nothing", () => {
  const service = rendezvous();
  const { applicant: alice, wanted } = applicant("alice", "bob");
  service.meet({ applicant: alice, wanted }, NOW);
  assertEquals(service.rules.leave(alice.holder), alice);
  assertEquals(service.rules.leave(alice.holder), undefined);
  assertEquals(service.rules.leave(-1), undefined);
  assertEquals([service.people, service.rules.wantsOf(alice.holder)], [[], []]);
  assertEquals(service.meet(applicant("bob", "alice"), NOW), []);
});

Deno.test("names that objects have already are names like any other (D12)", () => {
  const service = rendezvous();
  for (const name of ["constructor", "tostring", "hasownproperty"]) {
    const holder = come(service, name);
    assertEquals(service.want(holder, "alice"), []);
    assertEquals(service.rules.wantsOf(holder), ["alice"]);
  }
  const dave = come(service, "dave");
  assertEquals(refusalOf(() => service.want(dave, "__proto__")), "bad_name");
  assertEquals(service.want(dave, "valueof"), []);
});

Deno.test("10,000 who wait for absent names are held and found again (D8)", () => {
  const service = rendezvous();
  const holders: number[] = [];
  for (let n = 0; n < 10_000; n++) {
    const waiter = applicant(`w${n}`, `absent${n}`);
    service.meet(waiter, NOW);
    holders.push(waiter.applicant.holder);
  }
  assertEquals(service.rules.wantsOf(holders[9999]!), ["absent9999"]);
  introductions(service.meet(applicant("absent5000", "w5000"), NOW));
  assertEquals(service.size, 10_001);
  for (const holder of holders) service.rules.leave(holder);
  assertEquals(service.people, ["absent5000: "]);
});
