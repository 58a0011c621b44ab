/**
 * Accounts: a password that brings somebody's keys to another machine (PROTOCOL.md 3.10). The client derives
 * a key from the password, which is slow; the server checks proofs of it by a few hashes. Rules over a store.
 */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { hmacSha512, type Random } from "../crypto/platform.ts";
import {
  type Exchange,
  isFairCost,
  type PasswordCost,
  serverSignature,
  verifyProof,
} from "../crypto/scram.ts";
import { CifraError } from "../errors.ts";
import {
  PASSWORD_MEMORY,
  PASSWORD_PASSES,
  PROOF_LENGTH,
  SALT_LENGTH,
  SIGN_IN_NONCE_LENGTH,
} from "../limits.ts";
import type { Account, ServerStore } from "../store/server_store.ts";
import { type Attempt, inSeconds, PasswordLanes } from "./password_lanes.ts";

const SALT_LABEL = encodeUtf8("cifra/1 salt of nobody\0");
/** A proof of a name without an account is compared with this, in the same time. */
const NOBODY = { storedKey: new Uint8Array(PROOF_LENGTH), serverKey: new Uint8Array(PROOF_LENGTH) };

/** A sign-in that has begun. */
export interface Challenge {
  readonly exchange: Exchange;
  /** What a wrong password counts against. */
  readonly attempt: Attempt;
}

/** The passwords of a server. */
export class Accounts {
  readonly #store: ServerStore;
  readonly #secret: Bytes;
  readonly #random: Random;
  /** How many wrong ones are taken. */
  readonly lanes = new PasswordLanes();

  /**
   * `secret` makes up salts for names that have no account, so that they look like those that have: 32 bytes that
   * serve for nothing else.
   */
  constructor(store: ServerStore, secret: Bytes, random: Random) {
    this.#store = store;
    this.#secret = secret;
    this.#random = random;
  }

  /** Makes an account, or puts it in the place of the one of the same name. Throws `limit` on a bad cost. */
  signUp(account: Account): void {
    if (!isFairCost(account)) {
      throw new CifraError("limit", "The cost of this password is out of bounds");
    }
    this.#store.putAccount(account);
  }

  /**
   * Begins a sign-in at `now` (milliseconds). A name that has no account gets an answer like any other.
   * Throws `limit` after too many wrong passwords.
   */
  challenge(
    { attempt, clientNonce, exporter, now }: {
      readonly attempt: Attempt;
      readonly clientNonce: Bytes;
      readonly exporter: Bytes;
      readonly now: number;
    },
  ): Challenge {
    this.lanes.require(attempt, now);
    const { name } = attempt;
    // Made up for every name, so that those without an account do not take longer.
    const madeUp = hmacSha512(this.#secret, SALT_LABEL, encodeUtf8(name)).slice(0, SALT_LENGTH);
    const cost: PasswordCost = this.#store.credentials(name) ?? {
      salt: madeUp,
      memory: PASSWORD_MEMORY,
      passes: PASSWORD_PASSES,
    };
    const { salt, memory, passes } = cost;
    const serverNonce = this.#random(SIGN_IN_NONCE_LENGTH);
    const exchange = {
      name,
      clientNonce,
      serverNonce,
      cost: { salt, memory, passes },
      exporter,
    };
    return { exchange, attempt };
  }

  /**
   * Ends a sign-in: what proves the server's side, and the backup of the owner's keys. Throws
   * `wrong_password`, in the same way for a name that has no account; `limit` as for a challenge.
   */
  prove(
    { exchange, attempt }: Challenge,
    proof: Bytes,
    now: number,
  ): { readonly signature: Bytes; readonly backup: Bytes } {
    const { name } = exchange;
    // Again: many may have begun before the first of them failed.
    this.lanes.require(attempt, now);
    const account = this.#store.credentials(name);
    const holds = verifyProof(account ?? NOBODY, exchange, proof) && account !== undefined;
    const signature = serverSignature((account ?? NOBODY).serverKey, exchange);
    if (holds) {
      this.lanes.succeeded(attempt);
      return { signature, backup: this.#store.account(name)!.backup };
    }
    const left = this.lanes.failed(attempt, now);
    const remaining = this.lanes.remaining(attempt, now);
    const tries = left > 0 ? more(left) : noneFor(remaining);
    throw new CifraError("wrong_password", `The name or the password is wrong; ${tries}`, {
      retryAfter: left > 0 ? 0 : inSeconds(remaining),
    });
  }
}

function more(tries: number): string {
  return tries === 1 ? "1 more try" : `${tries} more tries`;
}

function noneFor(milliseconds: number): string {
  const minutes = Math.ceil(milliseconds / 60_000);
  return `no more tries for ${minutes === 1 ? "a minute" : `${minutes} minutes`}`;
}
