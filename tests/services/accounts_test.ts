import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { hmacSha512, sha512, systemRandom } from "../../lib/crypto/platform.ts";
import { type Exchange, proofBy, serverSignature } from "../../lib/crypto/scram.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import {
  PASSWORD_MEMORY,
  PASSWORD_PASSES,
  PASSWORD_TRIES,
  PASSWORD_TRIES_NAME,
  PASSWORD_TRIES_NAME_PER_MINUTE,
  PASSWORD_TRIES_PERIOD,
  PASSWORD_TRIES_SOURCE,
} from "../../lib/limits.ts";
import { Accounts, type Challenge } from "../../lib/services/accounts.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import type { Account } from "../../lib/store/server_store.ts";

const EXPORTER = new Uint8Array(32).fill(1);
const NONCE = new Uint8Array(24).fill(2);
const HOME = "203.0.113.5";

/** The keys of a password, without the toil: what is tested here is what the server makes of them. */
function keysOf(password: string) {
  const clientKey = hmacSha512(encodeUtf8(password), encodeUtf8("Client Key"));
  const serverKey = hmacSha512(encodeUtf8(password), encodeUtf8("Server Key"));
  return { clientKey, serverKey, storedKey: sha512(clientKey) };
}

function accountOf(name: string, password: string, changes: Partial<Account> = {}): Account {
  const { storedKey, serverKey } = keysOf(password);
  return {
    name,
    salt: new Uint8Array(16).fill(3),
    memory: PASSWORD_MEMORY,
    passes: PASSWORD_PASSES,
    storedKey,
    serverKey,
    backup: encodeUtf8(`backup of ${name}`),
    created: 0,
    ...changes,
  };
}

/** A server that knows Alice. */
class Place {
  readonly store: MemoryServerStore;
  readonly accounts: Accounts;

  /** `store` is what was left by a server that has ended. */
  constructor(store = new MemoryServerStore()) {
    this.store = store;
    this.accounts = new Accounts(store, new Uint8Array(32).fill(7), systemRandom);
    this.accounts.signUp(accountOf("alice", "right"));
  }

  begin(name: string, source = HOME, now = 0, isOwner = false): Challenge {
    return this.accounts.challenge({
      attempt: { name, source, tag: `tag of ${source}`, isOwner },
      clientNonce: NONCE,
      exporter: EXPORTER,
      now,
    });
  }

  /** The whole of a sign-in. */
  signIn(name: string, password: string, source = HOME, now = 0) {
    const challenge = this.begin(name, source, now);
    return this.accounts.prove(challenge, prove(password, challenge.exchange), now);
  }

  refusal(name: string, password: string, source = HOME, now = 0): ErrorCode {
    return assertThrows(() => this.signIn(name, password, source, now), CifraError).code;
  }
}

function prove(password: string, exchange: Exchange): Bytes {
  return proofBy(keysOf(password).clientKey, exchange);
}

Deno.test("the right password brings the backup, and the server's own proof", () => {
  const place = new Place();
  const challenge = place.begin("alice");
  const { exchange } = challenge;
  const { cost } = exchange;
  assertEquals(cost.salt, new Uint8Array(16).fill(3));
  assertEquals([cost.memory, cost.passes], [PASSWORD_MEMORY, PASSWORD_PASSES]);
  assertEquals([exchange.name, exchange.clientNonce, exchange.exporter], [
    "alice",
    NONCE,
    EXPORTER,
  ]);
  assertEquals(exchange.serverNonce.length, 24);
  const { signature, backup } = place.accounts.prove(challenge, prove("right", exchange), 0);
  assertEquals(backup, encodeUtf8("backup of alice"));
  assertEquals(signature, serverSignature(keysOf("right").serverKey, exchange));
});

Deno.test("each challenge has a nonce of its own (M12)", () => {
  const place = new Place();
  const nonces = Array.from({ length: 100 }, () => `${place.begin("alice").exchange.serverNonce}`);
  assertEquals(new Set(nonces).size, 100);
});

Deno.test("a wrong password and an unknown name are refused alike, after challenges alike (D17)", () => {
  const place = new Place();
  const refusals = (["alice", "nobody", "", "__proto__"] as const).map((name) =>
    assertThrows(() => place.signIn(name, "wrong", name), CifraError)
  );
  const [first] = refusals;
  for (const { code, message, hint } of refusals) {
    assertEquals([code, message, hint], ["wrong_password", first!.message, first!.hint]);
  }
  const known = place.begin("alice").exchange.cost, unknown = place.begin("nobody").exchange.cost;
  assertEquals([unknown.memory, unknown.passes], [known.memory, known.passes]);
  assertEquals(unknown.salt.length, known.salt.length);
  // The salt of nobody stays the same, as that of somebody does, and differs by name and by server.
  assertEquals(place.begin("nobody").exchange.cost.salt, unknown.salt);
  assertNotEquals(place.begin("nobody2").exchange.cost.salt, unknown.salt);
  const elsewhere = new Accounts(place.store, new Uint8Array(32), systemRandom).challenge({
    attempt: { name: "nobody", source: HOME, tag: "", isOwner: false },
    clientNonce: NONCE,
    exporter: EXPORTER,
    now: 0,
  });
  assertNotEquals(elsewhere.exchange.cost.salt, unknown.salt);
});

Deno.test("no proof is right for a name without an account, not even one of empty keys", () => {
  const place = new Place();
  const challenge = place.begin("nobody");
  const empty = proofBy(new Uint8Array(64), challenge.exchange);
  for (const proof of [empty, new Uint8Array(64), new Uint8Array(0)]) {
    const error = assertThrows(() => place.accounts.prove(challenge, proof, 0), CifraError);
    assertEquals(error.code, "wrong_password");
  }
});

Deno.test("a proof is good for its own exchange alone (M11, M12)", () => {
  const place = new Place();
  const challenge = place.begin("alice");
  const { exchange } = challenge;
  const other = new Uint8Array(32).fill(99);
  const wrong: Readonly<Record<string, Exchange>> = {
    "another channel": { ...exchange, exporter: other },
    "another nonce of the client": { ...exchange, clientNonce: other.subarray(8) },
    "another nonce of the server": { ...exchange, serverNonce: other.subarray(8) },
    "a nonce that was not extended": { ...exchange, serverNonce: exchange.clientNonce },
    "another salt": { ...exchange, cost: { ...exchange.cost, salt: other.subarray(16) } },
    "another memory": { ...exchange, cost: { ...exchange.cost, memory: 20_000 } },
    "other passes": { ...exchange, cost: { ...exchange.cost, passes: 1 } },
    "another name": { ...exchange, name: "alicia" },
  };
  for (const [what, forged] of Object.entries(wrong)) {
    const { accounts } = new Place();
    const proof = prove("right", forged);
    const error = assertThrows(() => accounts.prove(challenge, proof, 0), CifraError, undefined);
    assertEquals(error.code, "wrong_password", what);
  }
  // An earlier proof does not fit a later challenge.
  const proof = prove("right", exchange);
  place.accounts.prove(challenge, proof, 0);
  assertThrows(() => place.accounts.prove(place.begin("alice"), proof, 0), CifraError);
  for (let bit = 0; bit < 512; bit += 7) {
    const flipped = proof.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const { accounts } = new Place();
    assertThrows(() => accounts.prove(challenge, flipped, 0), CifraError);
  }
});

Deno.test("signing up again changes the password", () => {
  const place = new Place();
  place.accounts.signUp(accountOf("alice", "new", { backup: encodeUtf8("new backup") }));
  assertEquals(place.refusal("alice", "right"), "wrong_password");
  assertEquals(place.signIn("alice", "new").backup, encodeUtf8("new backup"));
  assertEquals(place.store.counts().accounts, 1);
});

Deno.test("a password that is changed while somebody signs in with the old one is the new one", () => {
  const place = new Place();
  const challenge = place.begin("alice");
  place.accounts.signUp(accountOf("alice", "new"));
  const proof = prove("right", challenge.exchange);
  assertThrows(() => place.accounts.prove(challenge, proof, 0), CifraError);
});

Deno.test("signUp() refuses a cost that is too low to protect a password, or too high to bear", () => {
  const place = new Place();
  const costs: readonly [number, number, boolean][] = [
    [19_456, 2, true],
    [19_456, 1, false],
    [262_144, 1, false],
    [262_144, 10, true],
    [19_455, 2, false],
    [8, 2, false],
    [0, 2, false],
    [262_145, 2, false],
    [0xffffffff, 2, false],
    [19_456, 0, false],
    [19_456, 11, false],
    [19_456, 255, false],
  ];
  for (const [memory, passes, fair] of costs) {
    const account = accountOf("bob", "password", { memory, passes });
    if (fair) place.accounts.signUp(account);
    else {
      const error = assertThrows(() => place.accounts.signUp(account), CifraError);
      assertEquals(error.code, "limit", `${memory} ${passes}`);
    }
  }
  const { cost } = place.begin("bob").exchange;
  assertEquals([cost.memory, cost.passes], [262_144, 10]);
});

Deno.test("after five wrong passwords from one source a name is refused there, and nowhere else (M10)", () => {
  const place = new Place();
  for (let n = 0; n < PASSWORD_TRIES; n++) {
    assertEquals(place.refusal("alice", "wrong", HOME, n * 60_000), "wrong_password");
  }
  const now = PASSWORD_TRIES * 60_000;
  assertEquals(place.refusal("alice", "right", HOME, now), "limit");
  assertEquals(place.refusal("alice", "right", HOME, PASSWORD_TRIES_PERIOD - 1), "limit");
  // The owner elsewhere is not locked out, nor others at the same address.
  place.signIn("alice", "right", "elsewhere", now);
  place.accounts.signUp(accountOf("bob", "right"));
  place.signIn("bob", "right", HOME, now);
  // The first failure is long ago: there is room for one more try.
  assertEquals(place.refusal("alice", "wrong", HOME, PASSWORD_TRIES_PERIOD), "wrong_password");
  assertEquals(place.refusal("alice", "right", HOME, PASSWORD_TRIES_PERIOD), "limit");
  assertEquals([PASSWORD_TRIES, PASSWORD_TRIES_PERIOD], [5, 900_000]);
});

Deno.test("a right password clears the wrong ones before it, for that name and source", () => {
  const place = new Place();
  for (let round = 0; round < 5; round++) {
    for (let n = 1; n < PASSWORD_TRIES; n++) {
      assertEquals(place.refusal("alice", "wrong"), "wrong_password");
    }
    place.signIn("alice", "right");
  }
});

Deno.test("thirty pupils behind one address mistype three times each, and all come in", () => {
  const place = new Place();
  for (let n = 0; n < 30; n++) {
    place.accounts.signUp(accountOf(`pupil${n}`, "right"));
    for (let wrong = 0; wrong < 3; wrong++) place.refusal(`pupil${n}`, "wrong");
    place.signIn(`pupil${n}`, "right");
  }
});

Deno.test("one who tries names from one address is refused there after a hundred, but no owner is", () => {
  const place = new Place();
  place.signIn("alice", "right");
  for (let n = 0; n < PASSWORD_TRIES_SOURCE; n++) {
    assertEquals(place.refusal(`name${n}`, "wrong"), "wrong_password");
  }
  assertEquals(place.refusal("name-x", "wrong"), "limit");
  place.signIn("alice", "right");
  assertEquals(place.refusal("name-x", "wrong", "elsewhere"), "wrong_password");
  assertEquals(place.refusal("name-x", "wrong", HOME, PASSWORD_TRIES_PERIOD), "wrong_password");
});

Deno.test("a thief of many addresses has a hundred tries and then one a minute, and locks no owner out (M10)", () => {
  const place = new Place();
  const pause = 60_000 / PASSWORD_TRIES_NAME_PER_MINUTE;
  place.signIn("alice", "right");
  place.accounts.lanes.visited("alice", "office");
  for (let n = 0; n < PASSWORD_TRIES_NAME; n++) {
    assertEquals(place.refusal("alice", "wrong", `thief${n}`), "wrong_password");
  }
  assertEquals(place.refusal("alice", "right", "new"), "limit");
  assertEquals(place.refusal("alice", "right", "new", pause - 1), "limit");
  place.signIn("alice", "right", HOME, pause - 1);
  place.signIn("alice", "right", "office", pause - 1);
  // Nor one who has shown a key of the name.
  const challenge = place.begin("alice", "new", 0, true);
  place.accounts.prove(challenge, prove("right", challenge.exchange), 0);
  // At a new place the owner has to wait for a minute, not for a day.
  place.signIn("alice", "right", "new2", pause);
  assertEquals(place.refusal("alice", "wrong", "thief", pause), "wrong_password");
  assertEquals(place.refusal("alice", "wrong", "thief2", pause), "limit");
  assertEquals(place.refusal("alice", "wrong", "thief2", 2 * pause), "wrong_password");
});

Deno.test("a refusal says how many more are taken, and when there are none how long", () => {
  const place = new Place();
  const said = Array.from({ length: PASSWORD_TRIES }, (_, n) => {
    const wrong = () => place.signIn("alice", "wrong", HOME, n * 60_000);
    const { message, retryAfter } = assertThrows(wrong, CifraError);
    return [message.replace("The name or the password is wrong; ", ""), retryAfter];
  });
  assertEquals(said, [
    ...["4 more tries", "3 more tries", "2 more tries", "1 more try"].map((more) => [more, 0]),
    // The first of them was four minutes ago.
    ["no more tries for 11 minutes", 660],
  ]);
});

Deno.test("where an owner has been, and what was wrong, is forgotten when the server starts again", () => {
  const before = new Place();
  before.signIn("alice", "right", HOME);
  for (let n = 0; n < PASSWORD_TRIES_NAME; n++) before.refusal("alice", "wrong", `thief${n}`);
  assertEquals(before.refusal("alice", "right", "elsewhere"), "limit");
  before.signIn("alice", "right", HOME);

  const after = new Place(before.store);
  assertEquals(after.accounts.lanes.locks(0), []);
  for (let n = 0; n < PASSWORD_TRIES_NAME; n++) after.refusal("alice", "wrong", `thief${n}`);
  assertEquals(after.refusal("alice", "right", HOME), "limit");
  // A registration is as good as a password.
  after.accounts.lanes.visited("alice", HOME);
  after.signIn("alice", "right", HOME);
});

Deno.test("locks are shown and lifted, by the name or by where they come from", () => {
  const place = new Place();
  const fail = (name: string, source: string, times: number) => {
    for (let n = 0; n < times; n++) place.refusal(name, "wrong", source);
  };
  const { lanes } = place.accounts;
  assertEquals(lanes.locks(0), []);
  fail("alice", HOME, PASSWORD_TRIES);
  fail("alice", "other", PASSWORD_TRIES - 1);
  const lock = { name: "alice", tag: `tag of ${HOME}`, remaining: PASSWORD_TRIES_PERIOD };
  assertEquals(lanes.locks(0), [lock]);
  assertEquals(lanes.lift({ name: "bob", tag: undefined }, 0), 0);
  assertEquals(lanes.lift({ name: "alice", tag: undefined }, 0), 1);
  assertEquals(lanes.locks(0), []);
  place.signIn("alice", "right");
  for (let n = 0; n < PASSWORD_TRIES_SOURCE; n++) fail(`name${n}`, "thief", 1);
  assertEquals(lanes.locks(0).map(({ name, tag }) => [name, tag]), [[undefined, "tag of thief"]]);
  assertEquals(lanes.lift({ name: undefined, tag: "tag of thief" }, 0), 1);
  assertEquals(place.refusal("name-x", "wrong", "thief"), "wrong_password");
  for (let n = 0; n < PASSWORD_TRIES_NAME; n++) fail("carol", `from${n}`, 1);
  const slowed = { name: "carol", tag: undefined, remaining: 60_000 };
  assertEquals(lanes.locks(0), [slowed]);
  // With one try to spend it is slowed down all the same, and no more when nobody has spent it.
  assertEquals(lanes.locks(60_000), [{ ...slowed, remaining: 0 }]);
  assertEquals(lanes.locks(120_000), []);
  fail("carol", "from0", 2);
  assertEquals(lanes.lift({ name: "carol", tag: undefined }, 0), 1);
  assertEquals(place.refusal("carol", "wrong", "new"), "wrong_password");
});

Deno.test("a name that nobody has is refused after as many tries as one that somebody has (D17)", () => {
  const tries = (name: string) => {
    const place = new Place();
    return Array.from({ length: 8 }, (_, n) => place.refusal(name, "wrong", `source${n % 2}`));
  };
  assertEquals(tries("nobody"), tries("alice"));
});

Deno.test("the right password is not counted", () => {
  const place = new Place();
  for (let n = 0; n < 50; n++) place.signIn("alice", "right");
});

Deno.test("many sign-ins begun at once have no more tries than those one after the other (M10)", () => {
  const place = new Place();
  const begun = Array.from({ length: 100 }, () => place.begin("alice"));
  const codes = begun.map((challenge, n) => {
    // The right one comes last, when too many were wrong.
    const proof = prove(n === 99 ? "right" : `wrong ${n}`, challenge.exchange);
    return assertThrows(() => place.accounts.prove(challenge, proof, 0), CifraError).code;
  });
  assertEquals(codes.filter((code) => code === "wrong_password").length, PASSWORD_TRIES);
  assert(codes.slice(PASSWORD_TRIES).every((code) => code === "limit"));
});
