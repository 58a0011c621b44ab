/**
 * A server's mailbox: envelopes left and on its disk a second, while others are fetched and settled, beside the
 * brokers that a user might take for it.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { passOf } from "../../lib/crypto/mailbox_pass.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { makePrekey } from "../../lib/crypto/prekeys.ts";
import type { OurSide } from "../../lib/handshake/state.ts";
import { CONTENT_MINIMUM, ENVELOPE_OVERHEAD } from "../../lib/limits.ts";
import {
  decodeMailboxResponse,
  encodeMailboxRequest,
  isMailboxResponse,
  type MailboxRequest,
  type MailboxResponse,
  Verdict,
} from "../../lib/wire/mailbox_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { encodeServerRequest } from "../../lib/wire/rendezvous_messages.ts";
import { claimOf, registrationOf, signed } from "../testkit/server.ts";
import { type Broker, isThere, rate, startMosquitto, startNats } from "./brokers.ts";
import { connect, median, newcomer, report, startServer } from "./bench.ts";

/** An envelope with a message of 20 bytes in it. */
const LENGTH = ENVELOPE_OVERHEAD + CONTENT_MINIMUM;
/** What one may have waiting with one person is a little more. */
const BATCH = 192;
const ROUNDS = 5;
const WIDTHS = [1, 128];

/** Somebody with a box at the server. */
class Owner {
  readonly channel: Channel;
  readonly box = systemRandom(16);
  readonly passKey = systemRandom(32);
  readonly #waiting = new Map<string, () => void>();
  /** Told each envelope that is handed out. */
  onEnvelope: ((id: Bytes) => void) | undefined;

  private constructor(channel: Channel) {
    this.channel = channel;
    // Nobody waits for an answer that does not come.
    this.#read();
  }

  static async open(side: OurSide, name: string, port: number): Promise<Owner> {
    const channel = await connect(side, port);
    const registration = await signed(side, registrationOf(name));
    channel.send(ItemType.request, encodeServerRequest({ type: "register", ...registration }));
    if (await channel.receive() === null) throw channel.failure;
    const owner = new Owner(channel);
    const { box, passKey } = owner;
    const { notAfter, signature } = await claimOf(side, name, registration.registrationSequence);
    owner.say({ type: "open", box, passKey, notAfter, signature });
    const { prekey } = await makePrekey(
      side.identity,
      box,
      "signed",
      registration.registrationSequence,
    );
    owner.say({ type: "publish", box, anew: 0, signed: [prekey], once: [] });
    return owner;
  }

  say(request: MailboxRequest): void {
    this.channel.send(ItemType.request, encodeMailboxRequest(request));
  }

  /** Resolves when the envelope is on the server's disk. */
  deposit(name: string, to: Owner, pass: Bytes, envelope: Bytes): Promise<void> {
    const id = systemRandom(16);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(encodeHex(id), resolve);
    this.say({ type: "deposit", id, name, box: to.box, pass, replaces: [], envelope });
    return promise;
  }

  async #read(): Promise<void> {
    for (;;) {
      const items = await this.channel.receive();
      if (!items) return;
      for (const { body } of items) {
        if (isMailboxResponse(body)) this.#take(decodeMailboxResponse(body));
      }
    }
  }

  #take(response: MailboxResponse): void {
    if (response.type === "envelope") this.onEnvelope?.(response.id);
    if (response.type !== "deposited") return;
    if (response.code !== 0) throw new Error(`A deposit was refused with ${response.code}`);
    this.#waiting.get(encodeHex(response.id))?.();
  }
}

/** Envelopes a second: left with each width, and fetched and settled. */
async function measureMailbox(): Promise<readonly number[]> {
  const server = await startServer();
  try {
    const { port } = server.hello;
    const [one, two] = [await newcomer("modern"), await newcomer("modern")];
    const alice = await Owner.open(one, "alice", port), bob = await Owner.open(two, "bob", port);
    const pass = passOf(bob.passKey, one.identity.fingerprint);
    const publish = (envelope: Bytes) => alice.deposit("bob", bob, pass, envelope);
    const rates: number[] = [];
    for (const width of WIDTHS) {
      bob.onEnvelope = (id) =>
        bob.say({ type: "settle", settled: [{ id, verdict: Verdict.taken }] });
      rates.push(await rate(publish, BATCH, width, LENGTH));
    }
    return rates;
  } finally {
    await server.stop();
  }
}

async function measureBroker(
  start: (folder: string, port: number) => Promise<Broker>,
  port: number,
): Promise<readonly number[]> {
  const folder = await Deno.makeTempDir();
  try {
    await using broker = await start(folder, port);
    const rates: number[] = [];
    for (const width of WIDTHS) {
      rates.push(await rate((content) => broker.publish(content), BATCH, width, LENGTH));
    }
    return rates;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const CONTESTANTS: readonly (readonly [string, () => Promise<readonly number[]>])[] = [
  ["mailbox", measureMailbox],
  ...await isThere("mosquitto")
    ? [["mosquitto", () => measureBroker(startMosquitto, 18_830)] as const]
    : [],
  ...await isThere("nats-server")
    ? [["nats-server, before the disk", () => measureBroker(startNats, 18_831)] as const]
    : [],
];
const figures = new Map(CONTESTANTS.map(([name]) => [name, WIDTHS.map(() => [] as number[])]));
for (let round = 0; round < ROUNDS; round++) {
  // In turn, so that what else the machine does falls on all alike.
  for (const [name, measure] of CONTESTANTS) {
    for (const [i, perSecond] of (await measure()).entries()) {
      figures.get(name)![i]!.push(perSecond);
    }
  }
}
for (const [name, rates] of figures) {
  const medians = rates.map((each) => median(each).toFixed(0)).join(", ");
  report(`${name}: durable messages, ${WIDTHS.join(" and ")} under way`, `${medians}/s`);
}
