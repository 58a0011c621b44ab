/** Accounts: our keys, left with a server under a password, and fetched from there (PROTOCOL.md 3.10). */
import type { Bytes } from "../bytes.ts";
import type { SaltedPassword } from "../crypto/password.ts";
import type { Random } from "../crypto/platform.ts";
import type { PasswordCost } from "../crypto/scram.ts";
import { CifraError } from "../errors.ts";
import {
  PASSWORD_CHARACTERS,
  PASSWORD_MEMORY,
  PASSWORD_PASSES,
  SALT_LENGTH,
  SIGN_IN_NONCE_LENGTH,
} from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import { type KeyBundle, openKeys, sealKeys } from "../store/key_bundle.ts";
import { NOWHERE } from "../wire/name_claim.ts";
import type { Profile } from "./profile.ts";
import { type ServerLink, unexpected } from "./server_link.ts";

/**
 * Leaves all keys of a profile with the server that `openServer` leads to, sealed under `password`; in the place
 * of what was left before. Throws what the server refuses it with, and `usage` on a password that cannot be.
 */
export async function signUp(
  openServer: () => Promise<ServerLink>,
  profile: Profile,
  password: string,
  { random, time }: Environment,
): Promise<void> {
  requireLongPassword(password);
  const cost = {
    salt: random(SALT_LENGTH),
    memory: PASSWORD_MEMORY,
    passes: PASSWORD_PASSES,
  };
  const key = await derive(password, cost);
  try {
    // Or another machine, using a suite for the first time, would make a key that nobody knows.
    await profile.keys.complete();
    const backup = await sealKeys(await profile.keys.collect(), key);
    const account = { name: profile.name, ...cost, ...key.verifier(), backup };
    // Now: a server waits for the first request no longer than for a registration.
    const link = await openServer();
    try {
      await profile.registrar(time.date)(NOWHERE, async (word) => {
        const answer = await link.ask({ type: "signUp", ...account, ...word });
        if (answer.type !== "signedUp") throw unexpected();
      });
    } finally {
      await link.leave();
    }
  } finally {
    key.drop();
  }
}

/**
 * Fetches the keys of `name` from the server that `link` leads to. Throws `wrong_password`, `limit` after too
 * many of them, `auth_failed` when the server does not know the account or gives the keys of somebody else,
 * `local` when there are none or they are damaged.
 */
export async function signIn(
  link: ServerLink,
  name: string,
  password: string,
  random: Random,
): Promise<KeyBundle> {
  const nonce = random(SIGN_IN_NONCE_LENGTH);
  let key: SaltedPassword | undefined;
  try {
    const backup = await provePassword(link, name, nonce, async (cost) => {
      return key = await derive(password, cost);
    });
    if (backup.length === 0) throw empty(name);
    const bundle = await openBackup(backup, key!);
    if (bundle.name !== name) {
      throw new CifraError(
        "auth_failed",
        `The server gave the keys of ${bundle.name}, not of ${name}`,
      );
    }
    if (bundle.identities.size === 0) throw empty(name);
    return bundle;
  } finally {
    key?.drop();
  }
}

/** Throws `usage` on a password that is too short to lie with a server (PROTOCOL.md 4). */
export function requireLongPassword(password: string): void {
  if ([...password.normalize("NFKC")].length >= PASSWORD_CHARACTERS) return;
  throw new CifraError(
    "usage",
    `This password is too short: it must have ${PASSWORD_CHARACTERS} characters or more`,
    {
      hint:
        "your keys lie with the server under it, and whoever steals them there can try as many " +
        "passwords as a computer can; four words that you make up are good",
    },
  );
}

/**
 * Proves a password, which `derive` makes a key of, to the server and the server's knowledge of the account to us;
 * `clientNonce` has 24 bytes. Resolves to the keys that were left with the server, sealed. Throws like `signIn`.
 */
export async function provePassword(
  link: ServerLink,
  name: string,
  clientNonce: Bytes,
  derive: (cost: PasswordCost) => Promise<SaltedPassword>,
): Promise<Bytes> {
  const challenge = await link.ask({ type: "signIn", name, nonce: clientNonce });
  if (challenge.type !== "challenge") throw unexpected();
  const { salt, memory, passes, nonce: serverNonce } = challenge;
  const cost = { salt, memory, passes };
  const key = await derive(cost);
  const { exporter } = link.channel.established;
  const exchange = { name, clientNonce, serverNonce, cost, exporter };
  const answer = await link.ask({ type: "proof", proof: key.prove(exchange) });
  if (answer.type !== "signedIn") throw unexpected();
  if (!key.isSigned(exchange, answer.signature)) {
    throw new CifraError("auth_failed", "The server does not know this account", {
      hint: "it may not be the server that you mean: compare its key",
    });
  }
  return answer.backup;
}

async function derive(password: string, cost: PasswordCost): Promise<SaltedPassword> {
  // Loaded when it is needed: most programs never derive a key from a password.
  const { SaltedPassword } = await import("../crypto/password.ts");
  return await SaltedPassword.derive(password, cost);
}

async function openBackup(backup: Bytes, key: SaltedPassword): Promise<KeyBundle> {
  try {
    return await openKeys(backup, key);
  } catch (cause) {
    if (!(cause instanceof CifraError) || cause.code !== "auth_failed") throw cause;
    // The password is right, or the server would not have given them.
    throw new CifraError("local", "The keys in this account are damaged", {
      cause,
      hint: "sign up again from a machine that has the keys",
    });
  }
}

function empty(name: string): CifraError {
  return new CifraError("local", `The account of ${name} has no keys in it`, {
    hint: "sign up again from a machine that has the keys, or carry them with cifra keys export",
  });
}
