/** A mailbox with people in it, and the time in the hand of the test. */
import { assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { Mailbox } from "../../lib/services/mailbox.ts";
import { passOf } from "../../lib/services/mailbox_shares.ts";
import {
  type Asker,
  type BoxStanding,
  type Delivered,
  type Deposit,
  type DepositCode,
  type Deposited,
  Verdict,
} from "../../lib/services/mailbox_terms.ts";
import type { MailboxStore } from "../../lib/store/mailbox_store.ts";
import { idOf, passKeyOf, prekeyOf, prekeysOf } from "../store/mailbox_samples.ts";
import { keyOf, NOW } from "../store/server_samples.ts";
import { MemoryMailbox } from "./memory_mailbox.ts";
import { MemoryServerStore } from "./memory_server.ts";

/** The smallest envelope. */
export const SMALL = 1715;
/** The largest one. */
export const LARGE = 58_547;
/** Sixteen zeros: no pass, and the box that nobody has. */
export const NONE: Bytes = new Uint8Array(16);

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
  open(connection: string, box = "box"): Promise<BoxStanding> {
    const owner = this.of(connection.split(" ")[0]!);
    return this.mailbox.open(connection, owner, idOf(box), passKeyOf(box), this.now);
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
  ): Promise<BoxStanding> {
    return this.mailbox.publish(this.of(name), {
      box: idOf(box),
      anew,
      signed: signed === undefined ? undefined : prekeyOf(signed),
      once: prekeysOf(...once),
    }, this.now);
  }

  /** The pass of somebody at a box. */
  pass(name: string, box = "box"): Bytes {
    return passOf(passKeyOf(box), this.of(name));
  }

  /** Somebody leaves something for somebody else; the id is a new one unless it is named. */
  deposit(
    from: string,
    to: string,
    { size = SMALL, box = "box", passed = false, id = `id ${++this.#ids}`, replaces = [], ...more }:
      & Partial<Pick<Deposit, "pass">>
      & {
        readonly size?: number;
        readonly box?: string;
        readonly passed?: boolean;
        readonly id?: string;
        readonly replaces?: readonly string[];
      } = {},
  ): Promise<Deposited<string>> {
    return this.mailbox.deposit(this.person(from), {
      id: idOf(id),
      name: to,
      box: idOf(box),
      pass: passed ? this.pass(from, box) : NONE,
      replaces: replaces.map(idOf),
      envelope: new Uint8Array(size).fill(id.length),
      ...more,
    }, this.now);
  }

  /** The code that a deposit comes to. */
  async code(...deposit: Parameters<MailboxScene["deposit"]>): Promise<DepositCode> {
    return (await this.deposit(...deposit)).code;
  }

  /** Somebody asks for the keys of somebody else. */
  ask(from: string, to: string, pass: Bytes = NONE) {
    return this.mailbox.ask(this.person(from), to, pass, this.now);
  }

  /** The number of the one-time prekey that somebody gets; undefined for none. */
  async once(from: string, to: string, pass?: Bytes): Promise<number | undefined> {
    const { found } = await this.ask(from, to, pass);
    return found?.once && Number(found.once.number);
  }

  /** All that a connection is to be told now. */
  fetch(connection: string): Delivered[] {
    const told: Delivered[] = [];
    for (let one; (one = this.mailbox.next(connection, this.now));) told.push(one);
    return told;
  }

  /** The same in words: `alice` for an envelope of hers, `box` for how the box stands. */
  words(connection: string): string {
    return this.fetch(connection)
      .map((told) => told.type === "box" ? "box" : told.sender.name).join(" ");
  }

  /** A connection says the same of all these envelopes. */
  settle(
    connection: string,
    told: readonly Delivered[],
    verdict: Verdict = Verdict.taken,
  ): Promise<void> {
    const verdicts = told.flatMap((one) =>
      one.type === "envelope" ? [{ id: one.id, verdict }] : []
    );
    return this.mailbox.settle(connection, verdicts);
  }

  /** Fetches and settles until there is no more; what was told in words. */
  async drain(connection: string, verdict: Verdict = Verdict.taken): Promise<string> {
    const words: string[] = [];
    for (let told; (told = this.fetch(connection)).length > 0;) {
      words.push(...told.map((one) => one.type === "box" ? "box" : one.sender.name));
      await this.settle(connection, told, verdict);
    }
    return words.join(" ");
  }

  /** What somebody has left, and how it is with that. */
  mine(name: string): readonly (readonly [Bytes, number])[] {
    return [...this.mailbox.mine(this.of(name))]
      .flatMap(({ left }) => left.map(({ id, state }) => [id, state] as const));
  }
}

/** How a box stands of which these things are known. */
export function assertStanding(standing: BoxStanding, expected: Partial<BoxStanding>): void {
  const compared = Object.fromEntries(
    Object.keys(expected).map((key) => [key, standing[key as keyof BoxStanding]]),
  );
  assertEquals(compared, { ...expected });
}
