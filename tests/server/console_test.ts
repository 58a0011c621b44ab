/** The operator's commands, as text; and what they do to those who are connected. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { encodeBase64Url } from "@std/encoding/base64url";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { formatFingerprint, shortFingerprint } from "../../lib/crypto/identity.ts";
import { CifraError } from "../../lib/errors.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { CONSOLE_COMMANDS, runCommand } from "../../lib/server/console.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import type { Invite, NameKey } from "../../lib/store/server_store.ts";
import { CloseCode } from "../../lib/wire/records.ts";
import { Capability, refusalOf } from "../../lib/wire/rendezvous_messages.ts";
import { accountOf, keyOf } from "../store/server_samples.ts";
import { test } from "../testkit/adversary.ts";
import { type Person, person } from "../testkit/handshake.ts";
import {
  claimOf,
  nextSequence,
  PLACE,
  registrationOf,
  TestClient,
  type TestServer,
  type TestServerOptions,
  withServer,
} from "../testkit/server.ts";
import { until } from "../testkit/until.ts";

const DAY = 24 * 3_600_000;
const TODAY = Date.UTC(2030, 4, 6);

interface Desk {
  readonly server: TestServer;
  readonly store: MemoryServerStore;
  /** The answer to a command. */
  readonly type: (line: string) => string;
  /** The code and text with which a command is refused. */
  readonly refused: (line: string) => string;
  readonly secrets: readonly Bytes[];
  readonly quits: () => number;
  advance(milliseconds: number): void;
}

/** What is said of a key that is named by too little. */
const SAY_KEY =
  "usage: Say key: and the first 7 letters of a key or more, as active shows it: key:k6xe-fxxu";

/** A server with its operator. */
async function withDesk(
  scene: (desk: Desk) => Promise<void> | void,
  options: TestServerOptions = {},
): Promise<void> {
  const store = new MemoryServerStore();
  let now = TODAY, quits = 0;
  const date = () => now;
  const { time, ...rest } = systemEnvironment;
  const environment = { ...rest, time: { ...time, date } };
  await withServer(async (server) => {
    const secrets: Bytes[] = [];
    const console = {
      server: server.server,
      store,
      metrics: { total: (event: string) => ({ introduced: 3, relaying: 2 })[event] ?? 0 },
      date,
      inviteLine: (secret: Bytes) => {
        secrets.push(secret);
        return `line of ${encodeBase64Url(secret)}`;
      },
      quit: () => quits++,
    };
    const type = (line: string) => runCommand(line, console);
    await scene({
      server,
      store,
      type,
      secrets,
      refused: (line) => {
        const { code, message } = assertThrows(() => type(line), CifraError);
        return `${code}: ${message}`;
      },
      quits: () => quits,
      advance: (milliseconds) => now += milliseconds,
    });
  }, { store, environment, ...options });
}

async function registered(server: TestServer, name: string, wanted: string) {
  const lobby = wanted === "" ? { capabilities: Capability.lobby } : {};
  return await TestClient.registered(server, await person("modern", name), name, wanted, lobby);
}

/** The code with which somebody is sent away, or refused; the connection is over then. */
async function sentAway(client: TestClient): Promise<string> {
  let last = await client.next();
  while (last.type === "presence") last = await client.next();
  assert(last.type === "refused", `got ${last.type}`);
  assertEquals(await client.ending(), CloseCode.failed);
  await client.leave();
  return refusalOf(last.code);
}

async function refusal(server: TestServer, key: string, name: string): Promise<string> {
  const client = await TestClient.connect(server, await person("modern", key));
  const response = await client.register(registrationOf(name));
  await client.leave();
  return response.type === "refused" ? refusalOf(response.code) : response.type;
}

test("help lists every command, and what is none is refused with a sentence", async () => {
  await withDesk(({ type, refused }) => {
    const lines = type("help").split("\n");
    assertEquals(lines.length, CONSOLE_COMMANDS.size);
    for (const name of CONSOLE_COMMANDS.keys()) {
      assert(lines.some((line) => line.startsWith(name)), name);
    }
    const wrong: Readonly<Record<string, string>> = {
      "": "usage: No such command: ",
      "nonsense": "usage: No such command: nonsense",
      "constructor": "usage: No such command: constructor",
      "kick": "usage: Use it like this: kick WHO",
      "kick a b": "usage: Use it like this: kick WHO",
      "kick key:": SAY_KEY,
      "kick key:abc": SAY_KEY,
      "kick key:iuaf": SAY_KEY,
      "ban key:zz": SAY_KEY,
      "ban key:iuaf-1234": SAY_KEY,
      "kick from:": "usage: Say from: and a source as active shows it",
      "unlock from:A B": "usage: Use it like this: unlock WHO",
      "unlock from:A": "usage: Say from: and a source as active shows it",
      "bans all": "usage: Use it like this: bans",
      "kick ../a": "usage: This is not a valid name",
      "ban SERVER": "usage: This is not a valid name",
      "forget server": "usage: This is not a valid name",
      "invite 0": "usage: DAYS must be a whole number from 1 to 3650",
      "invite 3651": "usage: DAYS must be a whole number from 1 to 3650",
      "invite 1.5": "usage: DAYS must be a whole number from 1 to 3650",
      "invite 1e2": "usage: DAYS must be a whole number from 1 to 3650",
      "invite 7 0": "usage: USES must be a whole number from 1 to 1000000",
      "invite 7 -1": "usage: USES must be a whole number from 1 to 1000000",
    };
    for (const [line, said] of Object.entries(wrong)) assertEquals(refused(line), said);
    assertEquals(type("  bans   "), "nobody is kept out");
  });
});

test("active shows who is here and what for", async () => {
  await withDesk(async ({ server, type }) => {
    assertEquals(type("active"), "0 here, 0 connections");
    const clients = [
      await registered(server, "bob", "alice"),
      await registered(server, "alice", ""),
    ];
    const stranger = await TestClient.connect(server, await person("modern", "stranger"));
    const [headings, alice, bob, nameless, sum] = type("active").split("\n");
    assertEquals(headings, `NAME   DOES             SUITE   KEY${" ".repeat(13)}FROM`);
    assertMatch(alice!, /^alice {2}in the lobby {5}modern {2}[a-z2-7-]{14} {2}[0-9a-f]{8}$/);
    assertMatch(bob!, /^bob {4}waits for alice {2}modern {2}[a-z2-7-]{14} {2}[0-9a-f]{8}$/);
    assertMatch(nameless!, /^- {6}no name yet {6}modern {2}[a-z2-7-]{14} {2}[0-9a-f]{8}$/);
    assertEquals(sum, "2 here, 3 connections");
    const pupils = [
      await registered(server, "pupil-10", ""),
      await registered(server, "pupil-3", ""),
    ];
    const order = type("active").split("\n").map((line) => line.split(" ")[0]);
    assertEquals(order.slice(3, 5), ["pupil-3", "pupil-10"]);
    for (const client of [...clients, stranger, ...pupils]) await client.leave();
  });
});

test("db shows the names that are known, a page at a time", async () => {
  await withDesk(({ store, type }) => {
    assertEquals(type("db"), "0 names");
    store.putKey(keyOf("alice", { created: TODAY, lastSeen: TODAY + DAY }));
    store.putKey(keyOf("alice", { suite: "rsa", created: TODAY, lastSeen: TODAY }));
    store.putAccount(accountOf("alice"));
    store.putKey(keyOf("bob", { created: TODAY, lastSeen: TODAY }));
    const lines = type("db").split("\n");
    const [headings, modern, rsa, bob, sum] = lines;
    assertEquals(
      headings,
      `NAME   SUITE   KEY${" ".repeat(13)}SINCE       SEEN        ACCOUNT  INVITE`,
    );
    assertMatch(
      modern!,
      /^alice {2}modern {2}[a-z2-7-]{14} {2}2030-05-06 {2}2030-05-07 {2}yes {6}0{8}$/,
    );
    assertMatch(
      rsa!,
      /^alice {2}rsa {5}[a-z2-7-]{14} {2}2030-05-06 {2}2030-05-06 {2}yes {6}0{8}$/,
    );
    assertMatch(bob!, /^bob {4}modern {2}[a-z2-7-]{14} {2}2030-05-06 {2}2030-05-06 {2}no {7}0{8}$/);
    assertEquals([sum, lines.length], ["2 names", 5]);
    assertEquals(type("db alice").split("\n").map((line) => line.split(" ")[0]), [
      "NAME",
      "bob",
      "2",
    ]);
    for (let n = 0; n < 150; n++) store.putKey(keyOf(`n${`${n}`.padStart(3, "0")}`));
    const page = type("db bob").split("\n");
    assertEquals([page.length, page.at(-1)], [102, "more: db n099"]);
    assertEquals(type("db n099").split("\n").length, 52);
    // One with two keys at the end of a page is there with both.
    store.putKey(keyOf("n099", { suite: "rsa" }));
    assertEquals(type("db bob").split("\n").length, 103);
    assertEquals(type("db n099").split("\n").length, 52);
  });
});

test("kick ends all connections of a name, which may come back", async () => {
  await withDesk(async ({ server, type }) => {
    const clients = [await registered(server, "alice", ""), await registered(server, "alice", "x")];
    const bob = await registered(server, "bob", "x");
    assertEquals(type("kick alice"), "2 connections of alice ended");
    for (const client of clients) assertEquals(await sentAway(client), "kicked");
    await server.told("left", 2);
    assertEquals(type("kick alice"), "0 connections of alice ended");
    const back = await registered(server, "alice", "y");
    assertEquals(type("kick alice"), "1 connection of alice ended");
    assertEquals(await sentAway(back), "kicked");
    await bob.leave();
  });
});

test("kick ends those without a name too, by their key or by where they come from", async () => {
  await withDesk(async ({ server, type }) => {
    const alice = await registered(server, "alice", "");
    const one = await TestClient.connect(server, await person("modern", "one"));
    const two = await TestClient.connect(server, await person("modern", "two"));
    const row = () => type("active").split("\n").filter((line) => line.startsWith("-"));
    assertEquals(row().length, 2);
    const [, key] = / modern {2}(\S+) /.exec(row()[0]!)!;
    assertEquals(type(`kick key:${key}`), `1 connection of key:${key} ended`);
    assertEquals(await sentAway(one), "kicked");
    await until(() => row().length === 1);
    const [, source] = / (\S+)$/.exec(row()[0]!)!;
    assertEquals(type(`kick from:${source}`), `2 connections of from:${source} ended`);
    for (const client of [two, alice]) assertEquals(await sentAway(client), "kicked");
  });
});

test("ban keeps a name and its keys out, by any name, until unban", async () => {
  await withDesk(async ({ server, type }) => {
    const client = await registered(server, "mallory", "x");
    assertEquals(type("ban mallory"), "mallory is kept out; 1 connection ended");
    assertEquals(await sentAway(client), "banned");
    await server.told("left");
    assertEquals(await refusal(server, "mallory", "mallory"), "banned");
    assertEquals(await refusal(server, "mallory", "another"), "banned");
    assertEquals(await refusal(server, "fresh key", "mallory"), "banned");
    assertEquals(await refusal(server, "fresh key", "fresh"), "registered");
    const [key, name] = type("bans").split("\n");
    assertMatch(key!, /^key:[a-z2-7-]{14} since 2030-05-06 \(with mallory\)$/);
    assertEquals(name, "mallory since 2030-05-06");
    assertEquals(type("unban mallory"), "mallory may come in again");
    assertEquals(type("unban mallory"), "mallory was not kept out");
    assertEquals(type("bans"), "nobody is kept out");
    assertEquals(await refusal(server, "mallory", "mallory"), "registered");
    // One who was never here can be kept out as well.
    assertEquals(type("ban nobody"), "nobody is kept out; 0 connections ended");
    assertEquals(await refusal(server, "nobody", "nobody"), "banned");
  });
});

test("forget makes a name free, with its account, and ends its connections", async () => {
  await withDesk(async ({ server, store, type }) => {
    const client = await registered(server, "alice", "x");
    store.putAccount(accountOf("alice"));
    assertEquals(await refusal(server, "other", "alice"), "name_taken");
    assertEquals(type("forget alice"), "alice is free again");
    assertEquals(type("ban zoe").split(";")[0], "zoe is kept out");
    store.putKey(keyOf("zoe"));
    const kept = "zoe belongs to nobody now, and is still kept out: unban zoe makes it free";
    assertEquals(type("forget zoe"), kept);
    assertEquals(await sentAway(client), "kicked");
    assertEquals(store.account("alice"), undefined);
    assertEquals(type("forget alice"), "alice is not known");
    assertEquals(await refusal(server, "other", "alice"), "registered");
    assertEquals(await refusal(server, "alice", "alice"), "name_taken");
  });
});

test("an invite lets in as many new people as it says, for as long as it says", async () => {
  await withDesk(async ({ server, type, secrets, advance }) => {
    assertEquals(type("invites"), "none");
    const [line, what] = type("invite 2 2").split("\n");
    assertEquals(line, `line of ${encodeBase64Url(secrets[0]!)}`);
    assertMatch(what!, /^[0-9a-f]{32}: good for 2 people, 2 days$/);
    const come = async (name: string, invite = secrets[0]!) => {
      const client = await TestClient.connect(server, await person("modern", name), invite);
      const response = await client.register(registrationOf(name));
      await client.leave();
      return response.type === "refused" ? refusalOf(response.code) : response.type;
    };
    assertEquals(await come("alice"), "registered");
    assertMatch(type("invites"), / 1 left {5}made 2030-05-06 until 2030-05-08$/);
    assertEquals(await come("bob"), "registered");
    assertMatch(type("invites"), / used up {4}made/);
    assertEquals(await come("carol"), "invite_required");
    // Those who came with it come again.
    assertEquals(await come("alice"), "registered");
    assertMatch(type("invite"), /: good for one person, 7 days$/);
    advance(7 * DAY);
    assertEquals(await come("carol", secrets[1]), "invite_required");
    assertEquals(await come("bob"), "registered");
    assertMatch(type("invites"), /expired {4}made/);
    assertEquals(type("renew"), type("renew"));
    // The line that the server prints is good still.
    const { secret } = server.server.invites.standing(TODAY + 7 * DAY);
    assertEquals(await come("carol", secret), "registered");
  }, { inviteOnly: true });
});

/** Somebody comes, with an invite or without; what they are answered. */
async function comes(server: TestServer, name: string, invite?: Bytes): Promise<string> {
  const client = await TestClient.connect(server, await person("modern", name), invite);
  const response = await client.register(registrationOf(name));
  await client.leave();
  return response.type === "refused" ? refusalOf(response.code) : response.type;
}

test("whom a server knows comes in without an invite, and nobody else", async () => {
  await withDesk(async ({ server, type, secrets }) => {
    type("invite");
    assertEquals(await comes(server, "mallory"), "invite_required");
    assertEquals(await comes(server, "alice", secrets[0]), "registered");
    assertEquals(await comes(server, "alice"), "registered");
    assertEquals(await comes(server, "mallory"), "invite_required");
    assertEquals(await comes(server, "mallory", secrets[0]), "invite_required");
  }, { inviteOnly: true });
});

test("a new key of somebody whom a server knows needs no invite, when an owner vouches for it", async () => {
  await withDesk(async ({ server, type, secrets }) => {
    type("invite");
    assertEquals(await comes(server, "alice", secrets[0]), "registered");
    const mallory = await person("modern", "mallory");
    const [alice, other] = [await person("modern", "alice"), await person("rsa", "alice")];
    const come = async (who: Person, name: string, vouching: Person) => {
      const client = await TestClient.connect(server, who);
      const sequence = nextSequence();
      const claim = await claimOf(who, name, sequence, [vouching], PLACE);
      const response = await client.register({
        ...registrationOf(name),
        registrationSequence: sequence,
        claim,
      });
      await client.leave();
      return response.type === "refused" ? refusalOf(response.code) : response.type;
    };
    // Whoever vouches for itself, or by a stranger, or for a name that nobody has, is not known.
    assertEquals(await come(mallory, "alice", mallory), "invite_required");
    assertEquals(await come(other, "alice", mallory), "invite_required");
    assertEquals(await come(other, "bob", alice), "invite_required");
    const key = `key:${shortFingerprint(alice.identity.fingerprint)}`;
    type(`ban ${key}`);
    assertEquals(await come(other, "alice", alice), "invite_required");
    type(`unban ${key}`);
    assertEquals(await come(other, "alice", alice), "registered");
  }, { inviteOnly: true });
});

test("one who needs no invite is not refused for a line that has ended", async () => {
  await withDesk(async ({ server, type, secrets }) => {
    type("invite");
    for (const name of ["ann", "ben"]) {
      assertEquals(await comes(server, name, secrets[0]), "registered");
    }
  });
});

test("a banned person does not come back with the line and a new key once it is shut; others do", async () => {
  await withDesk(async ({ server, store, type, refused }) => {
    const { invite: { id }, secret } = server.server.invites.standing(TODAY);
    assertMatch(type("invites"), / 40 left {4}made .*, printed at the start$/);
    assertEquals(await comes(server, "alice", secret), "registered");
    assertEquals(await comes(server, "mallory", secret), "registered");
    assertMatch(type("db"), new RegExp(`mallory .* ${id.slice(0, 8)}`));
    const [, line] = type("ban mallory").split("\n");
    assertEquals(
      line,
      `they came by the line ${id}, by which they may come again with another key: ` +
        "ban mallory --line shuts it",
    );
    assertEquals(await comes(server, "mallory2", secret), "registered");
    assertEquals(refused("ban mallory --all"), "usage: Use it like this: ban WHO [--line]");
    assertEquals(type("ban mallory2 --line").split("\n")[1], `the line ${id} is shut`);
    assertEquals(await comes(server, "mallory3", secret), "invite_required");
    // Those who came by it, and show it each time, are not shut out.
    assertEquals(await comes(server, "alice", secret), "registered");
    assertEquals(await comes(server, "mallory", secret), "banned");
    assertMatch(type("invites"), new RegExp(`^${id} revoked `));
    assertEquals(type(`renew ${id}`), `${id} was revoked: make another with invite`);
    // Without an id there is a new line.
    assertMatch(type("renew"), /: good for 40 more people, 30 days$/);
    assertEquals(store.counts().invites, 2);
    assertEquals(type("ban mallory").split("\n")[1], `they came by the line ${id}, which is shut`);
  }, { inviteOnly: true });
});

test("recall forgets who came by an invite lately, and puts another in its place", async () => {
  await withDesk(async ({ server, store, type, secrets, refused }) => {
    type("invite 7 40");
    const [secret] = secrets;
    const [{ id }] = store.invites() as readonly [Invite];
    assertEquals(await comes(server, "alice", secret), "registered");
    const [alice] = store.keysOf("alice") as readonly [NameKey];
    store.putKey({ ...alice, created: TODAY - 10 * 60_000 });
    type("invite");
    assertEquals(await comes(server, "carol", secrets[1]), "registered");
    for (let n = 0; n < 19; n++) {
      assertEquals(await comes(server, `m${n}`, secret), "registered");
    }
    // Nineteen and one are within a minute of the machine's own clock.
    await server.told("invite-rush");
    const [rush] = server.all("invite-rush");
    assertEquals([rush!.invite, rush!.people], [id, 20]);
    const mallory = await TestClient.connect(server, await person("modern", "mallory"), secret);
    assertEquals((await mallory.register(registrationOf("mallory"))).type, "registered");
    const [forgotten, ended, line, next] = type(`recall ${id} 5`).split("\n");
    assertMatch(forgotten!, /^20 names forgotten: m0, m1, .*, mallory$/);
    assertEquals(ended, `${id} is void`);
    assertMatch(line!, /^line of /);
    assertMatch(next!, /^[0-9a-f]{32}: good for 39 people in its place$/);
    assertEquals(await sentAway(mallory), "kicked");
    assertEquals(store.keys("", 100).map(({ name }) => name), ["alice", "carol"]);
    assertEquals(await comes(server, "thief", secret), "invite_required");
    assertEquals(await comes(server, "hanna", secrets[2]), "registered");
    assertEquals(type(`recall ${id}`), `1 name forgotten: alice\n${id} is void`);
    assertEquals(type("recall 00000000"), "there is no such invite");
    assertEquals(
      refused(`recall ${id} 0`),
      "usage: MINUTES must be a whole number from 1 to 1000000",
    );
  }, { inviteOnly: true });
});

test("a key is kept out, let in and forgotten by what the console shows of it", async () => {
  await withDesk(async ({ server, store, type, refused }) => {
    const client = await registered(server, "mallory", "x");
    const [{ fingerprint }] = store.keysOf("mallory") as readonly [NameKey];
    const shown = shortFingerprint(new Uint8Array(decodeHex(fingerprint)));
    assertEquals(type(`ban key:${shown}`), `key:${shown} is kept out; 1 connection ended`);
    assertEquals(await sentAway(client), "banned");
    assertEquals(await refusal(server, "mallory", "mallory"), "banned");
    assertEquals(type("bans"), `key:${shown} since 2030-05-06 (of mallory)`);
    assertEquals(
      type("unban mallory"),
      "mallory was not kept out\n" +
        `its key:${shown} is kept out by a ban of its own: unban key:${shown} lifts that`,
    );
    assertEquals(await refusal(server, "mallory", "mallory"), "banned");
    assertEquals(type(`forget key:${shown}`), `key:${shown} belongs to nobody now`);
    assertEquals(store.keysOf("mallory"), []);
    // It is not in the directory any more, and still listed and lifted by what the list says.
    const [ban] = type("bans").split(" ");
    assertEquals(type(`unban ${ban}`), `key:${shown} may come in again`);
    assertEquals(type("bans"), "nobody is kept out");
    assertEquals(await refusal(server, "mallory", "mallory"), "registered");
    assertEquals(refused("ban key:abc"), SAY_KEY);
    assertEquals(refused("ban key:aaaa-aaaa-aaaa"), "usage: There is no key:aaaa-aaaa-aaaa here");
    // One that was never here is kept out by all its letters.
    const { identity: { fingerprint: stranger } } = await person("modern", "stranger");
    const whole = `key:${formatFingerprint(stranger)}`;
    assertEquals(type(`ban ${whole}`), `${whole} is kept out; 0 connections ended`);
    assertEquals(await refusal(server, "stranger", "stranger"), "banned");
    assertEquals(type(`unban ${whole}`), `${whole} may come in again`);
    assertMatch(refused(`ban key:${"a".repeat(51)}b`), /^usage: Cannot read fingerprint/);
  });
});

test("a name of an earlier version that nobody can have any more is forgotten and banned all the same", async () => {
  await withDesk(({ store, type }) => {
    store.putKey(keyOf("r00t"));
    assertEquals(type("ban r00t").split("\n")[0], "r00t is kept out; 0 connections ended");
    assertMatch(type("forget r00t"), /^r00t belongs to nobody now, and is still kept out/);
    assertEquals(type("unban r00t"), "r00t may come in again");
    assertEquals(type("bans"), "nobody is kept out");
  });
});

test("a name is meant without its capitals, and that is said", async () => {
  await withDesk(({ store, type }) => {
    store.putKey(keyOf("alice"));
    const isAlice = "names have no capitals: Alice is alice\n";
    assertEquals(type("kick Alice"), `${isAlice}0 connections of alice ended`);
    const banned = `${isAlice}alice is kept out; 0 connections ended`;
    assertEquals(type("ban Alice").split("\n").slice(0, 2).join("\n"), banned);
    assertEquals(type("unban Alice"), `${isAlice}alice may come in again`);
    assertEquals(type("unlock Alice"), `${isAlice}alice was not locked out`);
    assertEquals(type("db Alice").split("\n").at(-1), "1 name");
    assertEquals(type("forget Alice"), `${isAlice}alice is free again`);
  });
});

test("revoke lets nobody new in from then on", async () => {
  await withDesk(async ({ server, store, type, refused, secrets }) => {
    type("invite");
    const [{ id }] = store.invites() as readonly [Invite];
    assertEquals(type("revoke ffffffff"), "there is no such invite");
    assertEquals(type(`revoke ${id.slice(0, 6)}`), `${id} is void`);
    assertEquals(await comes(server, "alice", secrets[0]), "invite_required");
    const serial = new Uint8Array(16);
    for (const last of ["a", "b"]) {
      store.putInvite({
        id: "0".repeat(31) + last,
        serial,
        created: 0,
        expires: 1,
        uses: 1,
        standing: false,
      });
    }
    assertEquals(refused("revoke 000"), "usage: 000 is the beginning of several");
    assertEquals(store.invites().length, 3);
  }, { inviteOnly: true });
});

test("of several who come at once with an invite for one, one comes in", async () => {
  await withDesk(async ({ server, type, secrets, store }) => {
    type("invite");
    const names = ["ann", "ben", "cid", "dan"];
    const clients = await Promise.all(
      names.map(async (name) =>
        await TestClient.connect(server, await person("modern", name), secrets[0])
      ),
    );
    const answers = await Promise.all(
      clients.map((client, n) => client.register(registrationOf(names[n]!))),
    );
    assertEquals(answers.map(({ type }) => type).toSorted(), [
      "refused",
      "refused",
      "refused",
      "registered",
    ]);
    assertEquals(store.counts().names, 1);
    for (const client of clients) await client.leave();
  }, { inviteOnly: true });
});

test("locks shows who may not sign in, and unlock lifts it", async () => {
  await withDesk(async ({ server, type }) => {
    assertEquals(type("locks"), "nobody is locked out");
    const tryOnce = async () => {
      const client = await TestClient.connect(server, await person("modern", "guest"));
      const nonce = new Uint8Array(24);
      const challenge = await client.ask({ type: "signIn", name: "alice", nonce });
      const answer = challenge.type === "challenge"
        ? await client.ask({ type: "proof", proof: new Uint8Array(64) })
        : challenge;
      await client.leave();
      assert(answer.type === "refused");
      return refusalOf(answer.code);
    };
    for (let n = 0; n < 5; n++) assertEquals(await tryOnce(), "wrong_password");
    assertEquals(await tryOnce(), "limit");
    const lock = /^alice from ([0-9a-f]{8}) for 15 more minutes$/;
    assertMatch(type("locks"), lock);
    const [, tag] = lock.exec(type("locks"))!;
    assertEquals(type("unlock bob"), "bob was not locked out");
    assertEquals(type("unlock alice"), "alice may try again");
    assertEquals(type("locks"), "nobody is locked out");
    for (let n = 0; n < 5; n++) await tryOnce();
    assertEquals(type(`unlock from:${tag}`), `from:${tag} may try again`);
    assertEquals(await tryOnce(), "wrong_password");
  });
});

test("stats counts, and quit ends", async () => {
  await withDesk(async ({ server, store, type, quits }) => {
    const client = await registered(server, "alice", "bob");
    await server.told("wants");
    store.putAccount(accountOf("alice"));
    type("invite");
    type("ban mallory");
    assertEquals(type("stats").split("\n"), [
      "connections   1",
      "people here   1",
      "wants         1",
      "introduced    3 since the start",
      "relayed       2 since the start",
      "names known   1",
      "accounts      1",
      "invites       1",
      "bans          1",
      "mailbox       0 envelopes, 0 bytes",
    ]);
    assertEquals(quits(), 0);
    assertEquals(type("quit"), "closing");
    assertEquals(quits(), 1);
    await client.leave();
  });
});

test("no command shows a secret", async () => {
  await withDesk(async ({ server, store, type, secrets }) => {
    const client = await registered(server, "alice", "");
    store.putAccount(accountOf("alice"));
    type("invite");
    const [made] = secrets;
    const { storedKey, serverKey, backup } = accountOf("alice");
    const shown = ["active", "db", "invites", "bans", "stats", "help"].map(type).join("\n");
    for (
      const secret of [
        made!,
        server.server.invites.standing(TODAY).secret,
        storedKey,
        serverKey,
        backup,
      ]
    ) {
      assert(!shown.includes(encodeBase64Url(secret)));
      assert(!shown.includes(encodeHex(secret)));
    }
    await client.leave();
  });
});
