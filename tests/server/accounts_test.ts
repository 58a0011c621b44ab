/** Accounts over real sockets: signing up, signing in from elsewhere, and those who try without the password. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { provePassword } from "../../lib/client/account.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { type Exchange, type PasswordCost, serverSignature } from "../../lib/crypto/scram.ts";
import { CifraError } from "../../lib/errors.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import { PASSWORD_TRIES } from "../../lib/limits.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { Channel } from "../../lib/channel/channel.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteServerStore } from "../../lib/store/sqlite_server.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import {
  decodeServerRequest,
  encodeServerResponse,
  refusalOf,
  type ServerRequest,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { test } from "../testkit/adversary.ts";
import { cryptoIdle } from "../testkit/turn.ts";
import { ephemeralKeys, type Person, person } from "../testkit/handshake.ts";
import {
  claimOf,
  nextSequence,
  registrationOf,
  TestClient,
  type TestServer,
  withFolder,
  withServer,
} from "../testkit/server.ts";
import { NO_RULES, serverIn } from "../testkit/server_setup.ts";
import { lineOf } from "../../lib/wire/line.ts";

const COST: PasswordCost = { salt: new Uint8Array(16).fill(5), memory: 19_456, passes: 2 };
const BACKUP = encodeUtf8("keys, sealed");
const NONCE = new Uint8Array(24).fill(8);

const passwords = new Map<string, Promise<SaltedPassword>>();

/** A password, worked up once for all tests of this file. */
function salted(password: string): Promise<SaltedPassword> {
  const known = passwords.get(password) ?? SaltedPassword.derive(password, COST);
  passwords.set(password, known);
  return known;
}

interface SignUpWish {
  readonly password?: string;
  readonly cost?: Partial<PasswordCost>;
  readonly signer?: Person;
}

async function signUp(
  client: TestClient,
  who: Person,
  name: string,
  { password = "right", cost = {}, signer = who }: SignUpWish = {},
): Promise<ServerResponse> {
  const registrationSequence = nextSequence();
  return await client.ask({
    type: "signUp",
    name,
    registrationSequence,
    claim: await claimOf(signer, name, registrationSequence),
    ...COST,
    ...cost,
    ...(await salted(password)).verifier(),
    backup: BACKUP,
  });
}

/** Makes an account, and goes. */
async function withAccount(server: TestServer, name: string): Promise<void> {
  const who = await person("modern", name);
  const client = await TestClient.connect(server, who);
  assertEquals(await signUp(client, who, name), { type: "signedUp" });
  await client.leave();
}

/** What both sides have said when a challenge was answered. */
async function challenged(client: TestClient, name: string, nonce = NONCE): Promise<Exchange> {
  const challenge = await client.ask({ type: "signIn", name, nonce });
  assert(challenge.type === "challenge", `got ${challenge.type}`);
  const { salt, memory, passes, nonce: serverNonce } = challenge;
  const { exporter } = client.channel.established;
  return { name, clientNonce: nonce, serverNonce, cost: { salt, memory, passes }, exporter };
}

/** A whole sign-in by somebody whose identity is of no account. */
async function signIn(
  server: TestServer,
  name: string,
  password = "right",
  identity = "occasion",
): Promise<ServerResponse> {
  const client = await TestClient.connect(server, await person("modern", identity));
  try {
    const exchange = await challenged(client, name);
    const proof = (await salted(password)).prove(exchange);
    return await client.ask({ type: "proof", proof });
  } finally {
    client.channel.destroy();
  }
}

function codeOf(response: ServerResponse): string {
  return response.type === "refused" ? refusalOf(response.code) : response.type;
}

test("an account is made by the owner of the name, and brings the backup to another identity", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    const client = await TestClient.connect(server, await person("modern", "occasion"));
    const exchange = await challenged(client, "alice");
    assertEquals(exchange.cost, COST);
    const key = await salted("right");
    const answer = await client.ask({ type: "proof", proof: key.prove(exchange) });
    assert(answer.type === "signedIn");
    assertEquals(answer.backup, BACKUP);
    assert(key.isSigned(exchange, answer.signature));
    await client.leave();
    assertEquals(server.all("signed-up").map(({ name }) => name), ["alice"]);
    assertEquals(server.all("signed-in").map(({ name }) => name), ["alice"]);
    // The identity for the occasion has not got a name by that.
    const other = await TestClient.registered(server, await person("modern", "occasion"), "o", "x");
    await other.leave();
  });
});

test("nobody makes an account for a name that is not theirs, or with another's claim", async () => {
  await withServer(async (server) => {
    const alice = await person("modern", "alice"), mallory = await person("modern", "mallory");
    const owner = await TestClient.registered(server, alice, "alice", "bob");
    const attempts: readonly [SignUpWish, string][] = [
      [{}, "name_taken"],
      [{ signer: alice }, "auth_failed"],
    ];
    for (const [wish, code] of attempts) {
      const client = await TestClient.connect(server, mallory);
      assertEquals(codeOf(await signUp(client, mallory, "alice", wish)), code);
      assertEquals(await client.ending(), CloseCode.failed);
      await client.leave();
    }
    const forger = await TestClient.connect(server, mallory);
    assertEquals(codeOf(await signUp(forger, mallory, "free", { signer: alice })), "auth_failed");
    await forger.leave();
    assertEquals(codeOf(await signIn(server, "alice")), "wrong_password");
    assertEquals(server.all("signed-up"), []);
    await owner.leave();
  });
});

test("a server takes no account whose password would be cheap to guess, or too dear to bear", async () => {
  await withServer(async (server) => {
    const alice = await person("modern", "alice");
    for (const cost of [{ memory: 8 }, { memory: 0xffffffff }, { passes: 0 }, { passes: 11 }]) {
      const client = await TestClient.connect(server, alice);
      assertEquals(codeOf(await signUp(client, alice, "alice", { cost })), "limit");
      await client.leave();
    }
  });
});

test("signing up again changes the password", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    const alice = await person("modern", "alice");
    const client = await TestClient.registered(server, alice, "alice", "bob");
    assertEquals(await signUp(client, alice, "alice", { password: "new" }), { type: "signedUp" });
    // It still waits for Bob.
    const bob = await TestClient.registered(server, await person("modern", "bob"), "bob", "alice");
    assertEquals((await client.next()).type, "introduction");
    assertEquals(codeOf(await signIn(server, "alice", "right")), "wrong_password");
    assertEquals(codeOf(await signIn(server, "alice", "new")), "signedIn");
    for (const each of [client, bob]) await each.leave();
  });
});

test("a name signs up three times an hour, and then without a write to the disk not at all", async () => {
  await withServer(async (server) => {
    const alice = await person("modern", "alice");
    const client = await TestClient.registered(server, alice, "alice", "");
    for (let n = 0; n < 3; n++) {
      assertEquals(await signUp(client, alice, "alice", { password: `${n}` }), {
        type: "signedUp",
      });
    }
    assertEquals(codeOf(await signUp(client, alice, "alice", { password: "more" })), "limit");
    await client.leave();
    assertEquals(codeOf(await signIn(server, "alice", "2")), "signedIn");
  });
});

test("a sign-up that the disk has not taken is none of the three", async () => {
  const store = new MemoryServerStore();
  await withServer(async (server) => {
    const alice = await person("modern", "alice");
    const trySignUp = async () => {
      const client = await TestClient.connect(server, alice);
      const code = codeOf(await signUp(client, alice, "alice"));
      await client.leave();
      return code;
    };
    const putAccount = store.putAccount.bind(store);
    store.putAccount = () => {
      throw new CifraError("local", "Cannot write: no space left");
    };
    for (let n = 0; n < 4; n++) assertEquals(await trySignUp(), "refused");
    store.putAccount = putAccount;
    for (let n = 0; n < 3; n++) assertEquals(await trySignUp(), "signedUp");
    assertEquals(await trySignUp(), "limit");
  }, { store });
});

test("a wrong password and a name that nobody has are refused in the same words (D17)", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    const wrong = await signIn(server, "alice", "wrong");
    assertEquals(wrong, await signIn(server, "nobody", "wrong"));
    assertEquals(codeOf(wrong), "wrong_password");
    assertEquals(server.all("refused").map(({ code, request }) => [code, request]), [
      ["wrong_password", "proof"],
      ["wrong_password", "proof"],
    ]);
  });
});

test("a password that is relayed from another channel proves nothing (M11)", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    // Mallory stands between: what the victim proves on its channel to her she says on hers.
    const victim = await TestClient.connect(server, await person("modern", "victim"));
    const mallory = await TestClient.connect(server, await person("modern", "mallory"));
    const exchange = await challenged(mallory, "alice");
    const { exporter } = victim.channel.established;
    assert(`${exporter}` !== `${exchange.exporter}`);
    const proof = (await salted("right")).prove({ ...exchange, exporter });
    assertEquals(codeOf(await mallory.ask({ type: "proof", proof })), "wrong_password");
    for (const client of [victim, mallory]) await client.leave();
  });
});

test("a proof is good once, for the latest challenge of its channel (M12)", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    const key = await salted("right");
    const client = await TestClient.connect(server, await person("modern", "occasion"));
    const first = await challenged(client, "alice");
    const second = await challenged(client, "alice");
    assert(`${first.serverNonce}` !== `${second.serverNonce}`);
    const proof = key.prove(second);
    assertEquals(codeOf(await client.ask({ type: "proof", proof })), "signedIn");
    // Without a challenge it is out of turn.
    client.send({ type: "proof", proof });
    assertEquals(await client.ending(), "bad_state");
    client.channel.destroy();
    const late = await TestClient.connect(server, await person("modern", "occasion"));
    const old = await challenged(late, "alice");
    await challenged(late, "alice");
    assertEquals(
      codeOf(await late.ask({ type: "proof", proof: key.prove(old) })),
      "wrong_password",
    );
    await late.leave();
    const never = await TestClient.connect(server, await person("modern", "occasion"));
    never.send({ type: "proof", proof });
    assertEquals(await never.ending(), "bad_state");
    never.channel.destroy();
  });
});

test("after five wrong passwords in a row or at once nobody gets in for a while (M10)", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    // All have their challenge before the first of them proves anything.
    const wrong = await salted("wrong");
    const clients: TestClient[] = [], exchanges: Exchange[] = [];
    for (let n = 0; n < 20; n++) {
      const client = await TestClient.connect(server, await person("modern", "mallory"));
      clients.push(client);
      exchanges.push(await challenged(client, "alice"));
    }
    const codes = await Promise.all(clients.map(async (client, n) => {
      const proof = wrong.prove(exchanges[n]!);
      return codeOf(await client.ask({ type: "proof", proof }));
    }));
    const count = (code: string) => codes.filter((each) => each === code).length;
    assertEquals([count("wrong_password"), count("limit")], [PASSWORD_TRIES, 20 - PASSWORD_TRIES]);
    for (const client of clients) client.channel.destroy();
    const late = await TestClient.connect(server, await person("modern", "occasion"));
    const refused = await late.ask({ type: "signIn", name: "alice", nonce: NONCE });
    assertEquals(codeOf(refused), "limit");
    await late.leave();
    // Who has the key is not kept out by that.
    const alice = await TestClient.registered(
      server,
      await person("modern", "alice"),
      "alice",
      "x",
    );
    await alice.leave();
  });
});

test("a server of accounts alone takes nobody else", async () => {
  await withServer(async (server) => {
    const alice = await person("modern", "alice");
    const stranger = await TestClient.connect(server, alice);
    const refused = await stranger.register(registrationOf("alice"));
    assertEquals(codeOf(refused), "account_required");
    await stranger.leave();
    const client = await TestClient.connect(server, alice);
    assertEquals(await signUp(client, alice, "alice"), { type: "signedUp" });
    assertEquals((await client.register(registrationOf("alice"))).type, "registered");
    await client.leave();
  }, { rules: { ...NO_RULES, accountsOnly: true } });
});

test("one who is shut out does not sign in, nor up", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    server.server.ban({ kind: "name", name: "alice" });
    const alice = await person("modern", "alice");
    for (const attempt of ["in", "up"]) {
      const client = await TestClient.connect(server, alice);
      const answer = attempt === "up"
        ? await signUp(client, alice, "alice")
        : await client.ask({ type: "signIn", name: "alice", nonce: NONCE });
      assertEquals(codeOf(answer), "banned");
      await client.leave();
    }
  });
});

test("names, accounts and bans outlive a restart of the server", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const run = async (scene: (server: { readonly port: number }) => Promise<void>) => {
      const store = await SqliteServerStore.open(folder);
      const server = await serverIn(folder, { store, allowClassic: false });
      try {
        await scene({ port: server.endpoints[0]!.port });
        server.ban({ kind: "name", name: "mallory" });
      } finally {
        await server.stop();
        store.close();
        await cryptoIdle();
      }
    };
    const alice = await person("modern", "alice"), mallory = await person("modern", "mallory");
    await run(async (server) => {
      const client = await TestClient.registered(server, alice, "alice", "bob");
      assertEquals(await signUp(client, alice, "alice"), { type: "signedUp" });
      await (await TestClient.registered(server, mallory, "mallory", "bob")).leave();
      await client.leave();
    });
    await run(async (server) => {
      const other = await TestClient.connect(server, await person("modern", "other"));
      assertEquals(codeOf(await other.register(registrationOf("alice"))), "name_taken");
      await other.leave();
      const shut = await TestClient.connect(server, mallory);
      assertEquals(codeOf(await shut.register(registrationOf("mallory"))), "banned");
      await shut.leave();
      const client = await TestClient.connect(server, await person("modern", "occasion"));
      const exchange = await challenged(client, "alice");
      const proof = (await salted("right")).prove(exchange);
      const answer = await client.ask({ type: "proof", proof });
      assertEquals(answer.type === "signedIn" && answer.backup, BACKUP);
      await client.leave();
      await (await TestClient.registered(server, alice, "alice", "bob")).leave();
    });
  });
});

/** A link as the program has it. */
async function link({ port }: { readonly port: number }): Promise<{
  readonly link: ServerLink;
  readonly end: () => Promise<void>;
}> {
  const { suite, identity } = await person("modern", "occasion");
  const ticker = new Ticker(systemEnvironment.time);
  const opened = await ServerLink.open({
    environment: systemEnvironment,
    address: { host: "127.0.0.1", port, fingerprint: undefined, inviteSecret: undefined },
    suite,
    identity,
    ephemeralKey: ephemeralKeys(suite, "occasion"),
    ticker,
  });
  return {
    link: opened,
    end: async () => {
      await opened.leave();
      ticker.stop();
    },
  };
}

test("the program signs in with the password, and learns what the server refuses", async () => {
  await withServer(async (server) => {
    await withAccount(server, "alice");
    for (const [password, code] of [["right", undefined], ["wrong", "wrong_password"]] as const) {
      const { link: opened, end } = await link(server);
      const signingIn = provePassword(opened, "alice", systemRandom(24), (cost) => {
        assertEquals(cost, COST);
        return salted(password);
      });
      if (code) assertEquals((await assertRejects(() => signingIn, CifraError)).code, code);
      else assertEquals(await signingIn, BACKUP);
      await end();
    }
  });
});

/** What a server says to a request, whatever that is; undefined ends the connection. */
type Script = (request: ServerRequest, channel: Channel) => Promise<ServerResponse | undefined>;

/** A server that says what the test wants, and what it was asked. */
async function withEvilServer(
  script: Script,
  scene: (server: { readonly port: number }, asked: readonly ServerRequest[]) => Promise<void>,
): Promise<void> {
  const { suite, identity } = await person("modern", "evil server");
  const now = () => performance.now();
  const asked: ServerRequest[] = [];
  const serving: Promise<void>[] = [];
  const serve = async (transport: TcpTransport) => {
    const connection = new Connection(transport, now);
    const established = await runHandshake(
      connection,
      startResponder({
        mode: 1,
        context: new Uint8Array(0),
        psk: new Uint8Array(32),
        random: systemRandom,
        ours: (id) =>
          id === suite.id
            ? { suite, identity, ephemeralKey: ephemeralKeys(suite, "evil") }
            : undefined,
        displayName: lineOf("evil"),
        checkInitiator: () => {},
      }),
    );
    const channel = await Channel.open(connection, established, now);
    for (let items = await channel.receive(); items; items = await channel.receive()) {
      for (const { body } of items) {
        const request = decodeServerRequest(body);
        asked.push(request);
        const response = await script(request, channel);
        if (response) channel.send(ItemType.response, encodeServerResponse(response));
      }
    }
    channel.destroy();
  };
  const listener = systemEnvironment.network.listen(["127.0.0.1"], 0);
  listener.acceptAll((transport) => serving.push(serve(transport)), () => {});
  try {
    await scene({ port: listener.port }, asked);
    await Promise.all(serving);
  } finally {
    listener.close();
  }
}

/** A server that gives a fair challenge, and signs the proof in its own way. */
function signingWith(
  sign: (exchange: Exchange, proof: Bytes) => Bytes | Promise<Bytes>,
  cost: PasswordCost = COST,
): Script {
  let exchange: Exchange;
  return async (request, channel) => {
    if (request.type === "signIn") {
      const { name, nonce: clientNonce } = request;
      const { exporter } = channel.established;
      const serverNonce = new Uint8Array(24).fill(1);
      exchange = { name, clientNonce, serverNonce, cost, exporter };
      return { type: "challenge", ...cost, nonce: serverNonce };
    }
    assert(request.type === "proof");
    return { type: "signedIn", signature: await sign(exchange, request.proof), backup: BACKUP };
  };
}

/** Signs in at a server; the code of what is refused, and nothing is opened. */
async function trapped(server: { readonly port: number }): Promise<string> {
  const { link: opened, end } = await link(server);
  const signIn = () =>
    provePassword(
      opened,
      "alice",
      NONCE,
      // As the program does; what is fair here is worked up once.
      (cost) =>
        cost.memory === COST.memory && cost.passes === 1
          ? salted("right")
          : SaltedPassword.derive("right", cost),
    );
  const error = await assertRejects(signIn, CifraError);
  await end();
  return error.code;
}

test("a server that knows the account is believed", async () => {
  const key = await salted("right");
  const { serverKey } = key.verifier();
  await withEvilServer(
    signingWith((exchange) => serverSignature(serverKey, exchange)),
    async (server) => {
      const { link: opened, end } = await link(server);
      assertEquals(
        await provePassword(opened, "alice", NONCE, () => salted("right")),
        BACKUP,
      );
      await end();
    },
  );
});

test("a server that cannot prove that it knows the account is refused (M12)", async () => {
  const key = await salted("right"), other = await salted("wrong");
  const { serverKey, storedKey } = key.verifier();
  const lies: Readonly<Record<string, (exchange: Exchange, proof: Bytes) => Bytes>> = {
    "nothing": () => new Uint8Array(64),
    "the proof itself": (_, proof) => proof,
    "another password's": (exchange) => serverSignature(other.verifier().serverKey, exchange),
    "the wrong half of the verifier": (exchange) => serverSignature(storedKey, exchange),
    "another channel's": (exchange) =>
      serverSignature(serverKey, { ...exchange, exporter: new Uint8Array(32) }),
    "an earlier sign-in's": (exchange) =>
      serverSignature(serverKey, { ...exchange, clientNonce: new Uint8Array(24) }),
    "another nonce of its own": (exchange) =>
      serverSignature(serverKey, { ...exchange, serverNonce: exchange.clientNonce }),
    "another name's": (exchange) => serverSignature(serverKey, { ...exchange, name: "mallory" }),
  };
  for (const [what, lie] of Object.entries(lies)) {
    await withEvilServer(signingWith(lie), async (server) => {
      assertEquals(await trapped(server), "auth_failed", what);
    });
  }
});

test("a server that asks for too cheap or too dear a password gets no proof of it (M12)", async () => {
  const GIB = 1024 * 1024;
  const costs = [
    { memory: 8 },
    { memory: 19_455 },
    { memory: 262_145 },
    { memory: 64 * GIB },
    { memory: 0 },
    { passes: 0 },
    { passes: 11 },
    { passes: 255 },
  ];
  for (const cost of costs) {
    const script = signingWith(() => new Uint8Array(64), { ...COST, ...cost });
    await withEvilServer(script, async (server, asked) => {
      assertEquals(await trapped(server), "auth_failed", JSON.stringify(cost));
      assertEquals(asked.map(({ type }) => type), ["signIn"]);
    });
  }
});

test("a server that leaves out the challenge, or says something else, gets nothing", async () => {
  const signature = new Uint8Array(64);
  const observed = { host: "127.0.0.1", port: 7411 };
  const answers: readonly [ServerResponse, string][] = [
    [{ type: "signedIn", signature, backup: BACKUP }, "bad_state"],
    [{ type: "signedUp" }, "bad_state"],
    [{
      type: "registered",
      observed,
      frameLimit: 65536,
      silenceDeadline: 60,
      ticket: new Uint8Array(68),
      ticketKey: new Uint8Array(32),
    }, "bad_state"],
    [{ type: "refused", code: 6, retryAfter: 0, reason: lineOf("later") }, "limit"],
  ];
  for (const [answer, code] of answers) {
    await withEvilServer(() => Promise.resolve(answer), async (server, asked) => {
      assertEquals(await trapped(server), code, answer.type);
      assertEquals(asked.map(({ type }) => type), ["signIn"]);
    });
  }
});
