import { assert, assertEquals } from "@std/assert";
import { generateIdentity, type Identity, identityClassOf } from "../../lib/crypto/identity.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { loadSuite } from "../../lib/crypto/suite.ts";
import { MailboxKeys, type Standing } from "../../lib/client/mailbox_keys.ts";
import { SIGNED_PREKEY_LIFETIME } from "../../lib/limits.ts";
import { BoxState } from "../../lib/wire/mailbox_messages.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";

const SERVER = "ab".repeat(32);
const EMPTY: Standing = {
  type: "box",
  state: BoxState.open,
  signed: 0n,
  next: 0n,
  highest: 0n,
  stock: 40,
  waiting: 0,
  elsewhere: 0,
  now: 1_800_000_000_000n,
};

/** The keys of a profile on one connection after the other, and how the server says that its box stands. */
class Connections {
  readonly mailbag = new MemoryMessages().mailbag;
  now = 1_800_000_000_000;
  signed = 0n;
  readonly #identity: Identity;
  #keys!: MailboxKeys;

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  static async begin(): Promise<Connections> {
    const suite = await loadSuite("modern");
    const { identity } = await generateIdentity(identityClassOf(suite.signature));
    return new Connections(identity);
  }

  /** Registers, and returns the sequence. */
  async register(): Promise<bigint> {
    const sequence = BigInt(this.now);
    // What follows takes a moment.
    this.now += 20;
    this.#keys = new MailboxKeys({
      mailbag: this.mailbag,
      identity: this.#identity,
      random: systemRandom,
      date: () => this.now,
      server: SERVER,
      sequence,
    });
    await this.#keys.box();
    return sequence;
  }

  /** The number of the signed prekey that is published when the server has said how the box stands. */
  async published(): Promise<bigint | undefined> {
    const publication = await this.#keys.publication({ ...EMPTY, signed: this.signed });
    if (publication?.type !== "publish") return undefined;
    const [prekey] = publication.signed;
    this.signed = prekey?.number ?? this.signed;
    return prekey?.number;
  }
}

Deno.test(
  "the number of a signed prekey is that of the registration, however late it is made",
  async () => {
    const connections = await Connections.begin();
    const sequence = await connections.register();
    assertEquals(await connections.published(), sequence);
    assertEquals(await connections.published(), undefined);
    // Whoever stays for long replaces it once a week, under a number that no later registration lags behind.
    for (let week = 1n; week < 4n; week++) {
      connections.now += SIGNED_PREKEY_LIFETIME + 10_000;
      assertEquals(await connections.published(), sequence + week);
      assertEquals(await connections.published(), undefined);
    }
  },
);

Deno.test("a server that has lost a signed prekey gets a new one, and the same when it never had it", async () => {
  const connections = await Connections.begin();
  const first = await connections.register();
  assertEquals(await connections.published(), first);
  connections.signed = 0n;
  await connections.register();
  assertEquals(await connections.published(), first);
  await connections.mailbag.noteAnew(SERVER);
  await connections.register();
  assertEquals(await connections.published(), undefined);
  // Senders may know one that this profile made before it came back from an old copy.
  connections.signed = 0n;
  const last = await connections.register();
  assertEquals(await connections.published(), last);
  assert(last > first);
});
