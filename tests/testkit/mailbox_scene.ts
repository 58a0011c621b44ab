/** A mailbox with people in it, and the time in the hand of the test. */
import { assertEquals } from "@std/assert";
import { decodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import type { CifraError } from "../../lib/errors.ts";
import type { NameClaim } from "../../lib/wire/name_claim.ts";
import { Mailbox } from "../../lib/services/mailbox.ts";
import type { Asker, Request, Response } from "../../lib/services/mailbox_terms.ts";
import { passOf } from "../../lib/crypto/mailbox_pass.ts";
import type { MailboxStore } from "../../lib/store/mailbox_store.ts";
import { type DepositCode, Verdict } from "../../lib/wire/mailbox_messages.ts";
import { boxOf, idOf, passKeyOf, prekeyOf, prekeysOf } from "../store/mailbox_samples.ts";
import { keyOf, NOW } from "../store/server_samples.ts";
import { MemoryMailbox } from "./memory_mailbox.ts";
import { MemoryServerStore } from "./memory_server.ts";

/** What a connection is told of its box. */
export type Told = Response<"box" | "envelope">;

/** The smallest envelope. */
export const SMALL = 1715;
/** The largest one. */
export const LARGE = 58_547;
/** Sixteen zeros: no pass, and the box that nobody has. */
export const NONE: Bytes = new Uint8Array(16);

/** What became of a deposit. */
export interface Deposited {
  readonly code: DepositCode;
  readonly retryAfter: number;
  readonly wake: string | undefined;
  readonly failure?: CifraError;
}

/** What a scene may be given. */
export interface MailboxSceneOptions {
  readonly store?: MailboxStore;
  readonly quotas?: boolean;
}

/** Whoever is named in it is known to the server. Connections are called `bob 1`, and belong to bob. */
export class MailboxScene {
  readonly store: MailboxStore;
  readonly names = new MemoryServerStore();
  readonly mailbox: Mailbox<string>;
  /** Milliseconds since 1970. */
  now = NOW;
  readonly #writers = new Set<string>();
  #ids = 0;

  constructor({ store = new MemoryMailbox(), quotas = false }: MailboxSceneOptions = {}) {
    this.store = store;
    this.mailbox = new Mailbox({ store, names: this.names, quotas });
  }

  /** Somebody who is registered. */
  person(name: string): Asker {
    const key = keyOf(name);
    if (!this.names.keyWith(key.fingerprint)) this.names.putKey(key);
    return key;
  }

  /** The fingerprint of somebody who is registered. */
  of(name: string): string {
    return this.person(name).fingerprint;
  }

  /** A connection opens a box of its person's, called `box`. */
  open(
    connection: string,
    box = "box",
    { passKey = passKeyOf(box), check = () => Promise.resolve(), ...changes }:
      & Partial<NameClaim>
      & { readonly passKey?: Bytes; readonly check?: (claim: NameClaim) => Promise<void> } = {},
  ): Promise<Response<"box">> {
    const name = connection.split(" ")[0]!, owner = this.of(name);
    this.#writers.add(name);
    const { sequence, notAfter, signature } = { ...boxOf(box).claim, ...changes };
    const request = { type: "open", box: idOf(box), passKey, notAfter, signature } as const;
    return this.mailbox.open(connection, owner, request, sequence, check, this.now);
  }

  /** Somebody has a box with a signed prekey and forty one-time ones, and a connection that has it. */
  async settleIn(connection: string, box = "box", signed = 1): Promise<void> {
    await this.open(connection, box);
    await this.publish(connection.split(" ")[0]!, { box, signed });
  }

  /** Publishes prekeys in a box. */
  publish(
    name: string,
    { box = "box", signed, once = [1, 40], anew = false }: {
      readonly box?: string;
      readonly signed?: number;
      readonly once?: readonly [first: number, last: number];
      readonly anew?: boolean;
    } = {},
  ): Promise<Response<"box">> {
    return this.mailbox.publish(this.of(name), {
      type: "publish",
      box: idOf(box),
      anew: anew ? 1 : 0,
      signed: signed === undefined ? [] : [prekeyOf(signed)],
      once: prekeysOf(...once),
    }, this.now);
  }

  /** The pass of somebody at a box. */
  pass(name: string, box = "box"): Bytes {
    return passOf(passKeyOf(box), decodeHex(this.of(name)));
  }

  /** Somebody is here, as whoever leaves something: those who have no box have one of their own from now on. */
  async arrive(name: string): Promise<void> {
    if (this.#writers.has(name)) return;
    await this.open(`${name} 0`, `of ${name}`);
    this.mailbox.leave(`${name} 0`);
  }

  /** Somebody leaves something for somebody else; the id is a new one unless it is named. */
  async deposit(
    from: string,
    to: string,
    {
      size = SMALL,
      box = "box",
      passed = false,
      id = `id ${++this.#ids}`,
      replaces = [],
      ...changes
    }:
      & Partial<Pick<Request<"deposit">, "pass">>
      & {
        readonly size?: number;
        readonly box?: string;
        readonly passed?: boolean;
        readonly id?: string;
        readonly replaces?: readonly string[];
      } = {},
  ): Promise<Deposited> {
    await this.arrive(from);
    const { answer: { code, retryAfter }, ...more } = await this.mailbox.deposit(
      this.person(from),
      {
        type: "deposit",
        id: idOf(id),
        name: to,
        box: idOf(box),
        pass: passed ? this.pass(from, box) : NONE,
        replaces: replaces.map(idOf),
        envelope: new Uint8Array(size).fill(id.length),
        ...changes,
      },
      this.now,
    );
    return { code, retryAfter, ...more };
  }

  /** The code that a deposit comes to. */
  async code(...deposit: Parameters<MailboxScene["deposit"]>): Promise<DepositCode> {
    return (await this.deposit(...deposit)).code;
  }

  /** Somebody asks for the keys of somebody else. */
  async ask(from: string, to: string, pass: Bytes = NONE) {
    const request = { type: "ask", name: to, pass } as const;
    const { answer, wake } = await this.mailbox.ask(this.person(from), request, this.now);
    assertEquals(answer.name, to);
    const { found: [found], retryAfter } = answer;
    return { found: found && { ...found, once: found.once[0] }, retryAfter, wake };
  }

  /** The number of the one-time prekey that somebody gets; undefined for none. */
  async once(from: string, to: string, pass?: Bytes): Promise<number | undefined> {
    const { found } = await this.ask(from, to, pass);
    return found?.once && Number(found.once.number);
  }

  /** All that a connection is to be told now. */
  fetch(connection: string): Told[] {
    const told: Told[] = [];
    for (let one; (one = this.mailbox.next(connection, this.now));) told.push(one);
    return told;
  }

  /** The same in words: `alice` for an envelope of hers, `box` for how the box stands. */
  words(connection: string): string {
    return this.fetch(connection)
      .map((told) => told.type === "box" ? "box" : told.sender).join(" ");
  }

  /** A connection says the same of all these envelopes. */
  settle(
    connection: string,
    told: readonly Told[],
    verdict: Verdict = Verdict.taken,
  ): Promise<void> {
    const ids = told.flatMap((one) => one.type === "envelope" ? [one.id] : []);
    const settled = ids.map((id) => ({ id, verdict }));
    return this.mailbox.settle(connection, { type: "settle", settled });
  }

  /** Fetches and settles until there is no more; what was told in words. */
  async drain(connection: string, verdict: Verdict = Verdict.taken): Promise<string> {
    const words: string[] = [];
    for (let told; (told = this.fetch(connection)).length > 0;) {
      words.push(...told.map((one) => one.type === "box" ? "box" : one.sender));
      await this.settle(connection, told, verdict);
    }
    return words.join(" ");
  }

  /** What somebody has left, and how it is with that. */
  mine(name: string): readonly (readonly [Bytes, number])[] {
    return [...this.mailbox.mine(this.of(name))]
      .flatMap(({ deposits }) => deposits.map(({ id, state }) => [id, state] as const));
  }

  /** Somebody takes deposits back. */
  withdraw(name: string, ids: readonly Bytes[]): Promise<void> {
    return this.mailbox.withdraw(this.of(name), { type: "withdraw", ids });
  }
}

/** How a box stands of which these things are known. */
export function assertStanding(
  standing: Response<"box">,
  expected: Partial<Response<"box">>,
): void {
  const compared = Object.fromEntries(
    Object.keys(expected).map((key) => [key, standing[key as keyof Response<"box">]]),
  );
  assertEquals(compared, { ...expected });
}
