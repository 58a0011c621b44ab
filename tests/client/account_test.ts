/** Accounts as the program uses them, with a real server; what servers may do in a sign-in is in tests/server. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { argon2id } from "@noble/hashes/argon2.js";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { signIn, signUp } from "../../lib/client/account.ts";
import { Profile } from "../../lib/client/profile.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { hmacSha512, systemRandom } from "../../lib/crypto/platform.ts";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  PASSWORD_MEMORY,
  PASSWORD_MEMORY_MINIMUM,
  PASSWORD_PASSES,
  PASSWORD_TRIES,
} from "../../lib/limits.ts";
import { type Environment, systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { type KeyBundle, sealKeys } from "../../lib/store/key_bundle.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { test } from "../testkit/adversary.ts";
import { ephemeralKeys, person } from "../testkit/handshake.ts";
import {
  claimOf,
  nextSequence,
  type TestServer,
  withFolder,
  withServer,
} from "../testkit/server.ts";

const PASSWORD = "correct horse";

/** Runs `job` on a channel to the server, under the identity of `who` or one for the occasion. */
async function withLink<T>(
  server: TestServer,
  job: (link: ServerLink) => Promise<T>,
  who?: Profile,
  environment: Environment = systemEnvironment,
): Promise<T> {
  const { suite, identity } = await person("modern", "occasion");
  const ticker = new Ticker(systemEnvironment.time);
  const link = await ServerLink.open({
    environment,
    address: {
      host: "127.0.0.1",
      port: server.port,
      fingerprint: undefined,
      inviteSecret: undefined,
    },
    suite,
    identity: who?.identity ?? identity,
    ephemeralKey: ephemeralKeys(suite, "account"),
    ticker,
  });
  try {
    return await job(link);
  } finally {
    await link.leave();
    ticker.stop();
  }
}

async function withProfile(job: (profile: Profile) => Promise<void>): Promise<void> {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    try {
      await job(profile);
    } finally {
      await profile.close();
    }
  });
}

function signUpAs(
  server: TestServer,
  profile: Profile,
  password = PASSWORD,
  environment: Environment = systemEnvironment,
): Promise<void> {
  return withLink(
    server,
    (link) => signUp(() => Promise.resolve(link), profile, password, environment),
    profile,
    environment,
  );
}

function fetchKeys(
  server: TestServer,
  password = PASSWORD,
  name = "alice",
  environment?: Environment,
): Promise<KeyBundle> {
  const fetching = (link: ServerLink) => signIn(link, name, password, systemRandom);
  return withLink(server, fetching, undefined, environment);
}

/** Leaves `backup` with the server, as another program might. */
async function leave(
  server: TestServer,
  profile: Profile,
  backup: (key: SaltedPassword) => Bytes | Promise<Bytes>,
): Promise<void> {
  const cost = { salt: systemRandom(16), memory: PASSWORD_MEMORY_MINIMUM, passes: 2 };
  const key = await SaltedPassword.derive(PASSWORD, cost);
  const registrationSequence = nextSequence();
  await withLink(server, async (link) =>
    await link.ask({
      type: "signUp",
      name: "alice",
      registrationSequence,
      claim: await claimOf(profile, "alice", registrationSequence),
      ...cost,
      ...key.verifier(),
      backup: await backup(key),
    }), profile);
}

async function refusal(job: () => Promise<unknown>): Promise<CifraError> {
  return await assertRejects(job, CifraError);
}

test("keys that were left with a server come back whole, one for each suite", async () => {
  await withServer(async (server) => {
    await withProfile(async (profile) => {
      await signUpAs(server, profile);
      const bundle = await fetchKeys(server);
      assertEquals(bundle.name, "alice");
      assertEquals([...bundle.identities.keys()].sort(), [...SUITE_NAMES].sort());
      assertEquals(bundle, await profile.keys.collect());
      assertEquals(bundle.identities.get("modern")!.bundle, profile.identity.bundle);
    });
  });
});

test("the server is left the cost of a password, a fresh salt, and nothing that can be read", async () => {
  const store = new MemoryServerStore();
  await withServer(async (server) => {
    await withProfile(async (profile) => {
      await signUpAs(server, profile);
      const first = store.account("alice")!;
      await signUpAs(server, profile);
      const second = store.account("alice")!;
      assertEquals([first.memory, first.passes], [PASSWORD_MEMORY, PASSWORD_PASSES]);
      assert(first.salt.join() !== second.salt.join());
      assert(first.storedKey.join() !== second.storedKey.join());
      const { signatureKey, bundle } = (await profile.keys.find("modern"))!;
      for (const secret of [signatureKey, bundle]) {
        assert(!first.backup.join().includes(secret.slice(0, 16).join()));
      }
    });
  }, { store });
});

test("nothing that a client sends has the password in it, or what opens the keys", async () => {
  const store = new MemoryServerStore();
  const sent: Bytes[] = [];
  // What is encrypted for the other side, also in the handshake, before it is.
  const encrypt = crypto.subtle.encrypt.bind(crypto.subtle);
  const value: typeof encrypt = (algorithm, key, data) => {
    sent.push(new Uint8Array(data as Bytes).slice());
    return encrypt(algorithm, key, data);
  };
  Object.defineProperty(crypto.subtle, "encrypt", { value, configurable: true });
  const { network } = systemEnvironment;
  const dial: typeof network.dial = async (...where) => {
    const transport = await network.dial(...where);
    const write = transport.write.bind(transport);
    transport.write = (data) => {
      sent.push(data.slice());
      return write(data);
    };
    return transport;
  };
  const environment = { ...systemEnvironment, network: { ...network, dial } };
  const has = (bytes: Bytes) => sent.some((each) => encodeHex(each).includes(encodeHex(bytes)));
  // Its accent is written in two ways.
  const password = "correct horse bateri\u0301a";
  try {
    await withServer(async (server) => {
      await withProfile(async (profile) => {
        await signUpAs(server, profile, password, environment);
        const { salt, memory, passes, storedKey, serverKey } = store.account("alice")!;
        const cost = { m: memory, t: passes, p: 1, dkLen: 32 };
        const salted = new Uint8Array(argon2id(encodeUtf8(password.normalize("NFKC")), salt, cost));
        const keyOf = (label: string) => hmacSha512(salted, encodeUtf8(label));
        const secrets: Readonly<Record<string, Bytes>> = {
          "the password": encodeUtf8(password),
          "the password, normalised": encodeUtf8(password.normalize("NFKC")),
          "a part of it": encodeUtf8("horse"),
          "the salted password": salted,
          "the client key": keyOf("Client Key"),
          "the sealing key": keyOf("Sealing Key").slice(0, 32),
        };
        assertEquals([keyOf("Server Key"), has(storedKey), has(serverKey)], [
          serverKey,
          true,
          true,
        ]);
        const inSignUp = Object.keys(secrets).filter((what) => has(secrets[what]!));
        sent.length = 0;
        await fetchKeys(server, password, "alice", environment);
        assert(has(encodeUtf8("alice")));
        const never = { ...secrets, "the stored key": storedKey, "the server key": serverKey };
        const inSignIn = Object.entries(never).filter(([, bytes]) => has(bytes));
        assertEquals([inSignUp, inSignIn], [[], []]);
      });
    }, { store });
  } finally {
    Reflect.deleteProperty(crypto.subtle, "encrypt");
  }
});

test("signing up again puts another password in the place of the first", async () => {
  await withServer(async (server) => {
    await withProfile(async (profile) => {
      await signUpAs(server, profile, "the old words");
      await signUpAs(server, profile, "the new words");
      assertEquals(
        (await refusal(() => fetchKeys(server, "the old words"))).code,
        "wrong_password",
      );
      assertEquals((await fetchKeys(server, "the new words")).name, "alice");
    });
  });
});

test("after too many wrong passwords it is told when to try again, whoever tries", async () => {
  await withServer(async (server) => {
    await withProfile(async (profile) => {
      await signUpAs(server, profile);
      for (let tries = 0; tries < PASSWORD_TRIES; tries++) {
        assertEquals((await refusal(() => fetchKeys(server, "wrong"))).code, "wrong_password");
      }
      const error = await refusal(() => fetchKeys(server));
      assertEquals([error.code, error.hint], ["limit", "try again in 15 minutes"]);
    });
  });
});

test("a name that has no account looks like one with another password", async () => {
  await withServer(async (server) => {
    const error = await refusal(() => fetchKeys(server, PASSWORD, "nobody"));
    assertEquals(error.code, "wrong_password");
    assertEquals(
      error.message,
      'The server refused; server says: "The name or the password is wrong; 4 more tries"',
    );
  });
});

test("an account without keys, with damaged ones, or with another's is told apart", async () => {
  await withProfile(async (profile) => {
    const keys = await profile.keys.collect();
    const none = { name: "alice", identities: new Map() };
    const backups: Readonly<
      Record<string, readonly [(key: SaltedPassword) => Bytes | Promise<Bytes>, string, string]>
    > = {
      "nothing at all": [() => new Uint8Array(0), "local", "has no keys in it"],
      "an empty bundle": [(key) => sealKeys(none, key), "local", "has no keys in it"],
      "noise": [() => systemRandom(500), "local", "are damaged"],
      "too short to be sealed": [() => systemRandom(5), "local", "are damaged"],
      "sealed, and no keys": [(key) => key.seal(systemRandom(99), systemRandom(12)), "local", ""],
      "bob's keys": [
        (key) => sealKeys({ ...keys, name: "bob" }, key),
        "auth_failed",
        "The server gave the keys of bob, not of alice",
      ],
    };
    for (const [what, [backup, code, message]] of Object.entries(backups)) {
      // A server for each: it takes three sign-ups of a name in an hour.
      await withServer(async (server) => {
        await leave(server, profile, backup);
        const error = await refusal(() => fetchKeys(server));
        assertEquals(error.code, code, what);
        assert(error.message.includes(message), `${what}: ${error.message}`);
      });
    }
  });
});
