/** Two profiles that are never there at the same time, over real sessions and real bytes (PROTOCOL.md 3.12). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Bytes, decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { generateIdentity, type Identity, identityClassOf } from "../../lib/crypto/identity.ts";
import {
  acceptSession,
  beginSession,
  openEnvelope,
  sealEnvelope,
  sessionIdOf,
} from "../../lib/crypto/mailbox_session.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { makePrekey, type Prekey } from "../../lib/crypto/prekeys.ts";
import { loadSuite } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import type { ConversationKey, MessageStore } from "../../lib/store/message_store.ts";
import {
  decodeContent,
  encodeContent,
  envelope,
  ENVELOPE_HEAD_LENGTH,
  sessionHeader,
} from "../../lib/wire/envelope.ts";
import { decode } from "../../lib/wire/layout.ts";
import { conforms } from "./disks.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { AT, SERVER } from "./mailbag_samples.ts";

const NOTHING = new Uint8Array(16);

/** Somebody with a box, one signed prekey and one one-time prekey, as far as a server knows. */
class Person {
  readonly name: string;
  readonly identity: Identity;
  store: MessageStore;
  readonly published: { signed: Prekey; once: Prekey | undefined; box: Bytes };

  private constructor(
    name: string,
    identity: Identity,
    store: MessageStore,
    published: Person["published"],
  ) {
    this.name = name;
    this.identity = identity;
    this.store = store;
    this.published = published;
  }

  static async begin(name: string, store: MessageStore): Promise<Person> {
    const suite = await loadSuite("modern");
    const { identity } = await generateIdentity(identityClassOf(suite.signature));
    const box = systemRandom(16);
    await store.mailbag.beginBox(SERVER, box, systemRandom(32));
    const signed = await makePrekey(identity, box, "signed", 1n);
    const once = await makePrekey(identity, box, "once", 1n);
    const kept = [signed, once].map(({ prekey: { kind, number }, secret }) => {
      return { kind, number, secret };
    });
    await store.mailbag.addPrekeys(SERVER, kept);
    const published = { signed: signed.prekey, once: once.prekey, box };
    return new Person(name, identity, store, published);
  }

  /** Seals what the other one does not have, or a receipt. */
  async seal(to: Person): Promise<Bytes> {
    const { mailbag } = this.store, key = keyOf(to);
    if (!mailbag.writing(to.name, SERVER)) {
      const { box, signed, once } = to.published;
      to.published.once = undefined;
      const request = { ours: this.identity, theirs: to.identity, box, signed, once };
      const { header, session } = await beginSession(request);
      const writing = { ...session, header, owner: to.identity.fingerprint, began: AT.here };
      await mailbag.begin(to.name, SERVER, writing, signed.number);
    }
    const writing = mailbag.writing(to.name, SERVER)!;
    const { log, stored } = await this.store.outgoing(key);
    const messages = this.store.read(key, stored + 1n, 50_000);
    const theirs = this.store.incoming(key);
    const content = encodeContent({
      from: this.name,
      to: to.name,
      log,
      first: stored + 1n,
      readLog: theirs?.log ?? NOTHING,
      have: theirs?.have ?? 0n,
      haveId: theirs?.haveId ?? NOTHING,
      read: theirs?.read ?? 0n,
      pass: NOTHING,
      messages,
    });
    const { envelope, session } = await sealEnvelope(writing, writing.header, content);
    const { next, chain } = session;
    await mailbag.seal(to.name, SERVER, { header: writing.header, next, chain }, {
      id: systemRandom(16),
      box: to.published.box,
      log,
      first: stored + 1n,
      last: messages.at(-1)?.number ?? 0n,
      at: AT.here,
    });
    return envelope;
  }

  /** Opens an envelope of somebody and stores what it holds. */
  async open(from: Person, bytes: Bytes) {
    const { mailbag } = this.store;
    const { header, n, salt, sealed } = decode(envelope, bytes);
    const fields = decode(sessionHeader, header);
    const { box, signed, once } = fields;
    const id = sessionIdOf(header);
    const known = mailbag.reading(id);
    const state = known ?? await acceptSession({
      ours: this.identity,
      theirs: from.identity,
      header: fields,
      signed: mailbag.prekey(box, "signed", signed)!,
      once: once > 0n ? mailbag.prekey(box, "once", once)! : undefined,
    });
    const additionalData = bytes.slice(0, ENVELOPE_HEAD_LENGTH);
    const opened = await openEnvelope(state, { n, salt, sealed, additionalData });
    const about = { id, peer: from.name, sender: from.identity.fingerprint, box, signed, once };
    return await this.store.receiveSealed(keyOf(from), {
      session: { ...about, ...opened.session },
      content: decodeContent(opened.content),
      at: AT,
    });
  }

  async say(to: Person, words: string): Promise<void> {
    const content = encodeUtf8(words);
    const message = { type: "text", id: systemRandom(16), written: 5, content } as const;
    await this.store.append(keyOf(to), [message]);
  }

  heard(from: Person): string[] {
    return this.store.unshown(keyOf(from), 0, 100)
      .map(({ message }) => message.type === "gap" ? "gap" : decodeUtf8(message.content));
  }
}

function keyOf({ name }: Person): ConversationKey {
  return { peer: name, suite: "modern" };
}

conforms(
  "brings what is said from one to the other and back, once, by envelopes alone",
  async (disk) => {
    const alice = await Person.begin("alice", await disk.open());
    const bob = await Person.begin("bob", new MemoryMessages());
    await alice.say(bob, "one");
    const first = await alice.seal(bob);
    await alice.say(bob, "two");
    const second = await alice.seal(bob);
    // Whatever the order, and however often.
    const news = await bob.open(alice, second);
    assertEquals([news?.fresh.length, news?.early], [2, 0]);
    assert(await assertRejects(() => bob.open(alice, first), CifraError));
    assertEquals(bob.heard(alice), ["one", "two"]);
    assertEquals(bob.store.mailbag.prekeys(SERVER, "once"), []);
    await bob.say(alice, "three");
    const answer = await bob.seal(alice);
    assertEquals(bob.store.mailbag.owed(SERVER), []);
    const crashed = await disk.afterCrash(alice.store);
    alice.store = crashed;
    const heard = await alice.open(bob, answer);
    assertEquals(heard?.outgoing.stored, 2n);
    assertEquals(alice.heard(bob), ["three"]);
    assertEquals(crashed.unstored("modern"), []);
    // A receipt: nothing is left to say.
    const receipt = await alice.seal(bob);
    const told = await bob.open(alice, receipt);
    assertEquals([told?.fresh, told?.outgoing.stored], [[], 1n]);
    assertEquals(bob.store.mailbag.owed(SERVER), []);
  },
);
