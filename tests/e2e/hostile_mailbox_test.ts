/** A server that does with what was left for somebody as it likes, and the program of whoever it was left for. */
import { assert, assertEquals } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import type { Identity, PublicIdentity } from "../../lib/crypto/identity.ts";
import { beginSession, sealEnvelope } from "../../lib/crypto/mailbox_session.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { encodeContent } from "../../lib/wire/envelope.ts";
import {
  BoxState,
  decodeMailboxRequest,
  encodeMailboxResponse,
  isMailboxRequest,
  type MailboxRequest,
  type MailboxResponse,
  Verdict,
} from "../../lib/wire/mailbox_messages.ts";
import { NOWHERE, signedNameClaim } from "../../lib/wire/name_claim.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { person } from "../testkit/handshake.ts";
import { Scene } from "../testkit/program.ts";
import { type PuppetChannel, PuppetServer } from "../testkit/puppet_server.ts";
import { within } from "../testkit/time_limit.ts";

type Published = Extract<MailboxRequest, { readonly type: "publish" }>;
type Letter = Extract<MailboxResponse, { readonly type: "envelope" }>;

const ZEROS = new Uint8Array(16);

/** What anybody may show of themselves. */
async function introduction(identity: Identity, name: string) {
  const claim = { sequence: 1n, notAfter: BigInt(Date.UTC(2090, 0, 1)) };
  const signed = signedNameClaim(name, identity.bundle, claim, NOWHERE);
  const signature = await identity.sign(signed);
  return { sender: name, bundle: identity.bundle, claim: { ...claim, signature } };
}

/** Envelopes of one session, in which somebody says these texts, one in each. */
async function letters(
  ours: Identity,
  theirs: PublicIdentity,
  { box, signed, once }: Published,
  ...texts: readonly string[]
): Promise<Letter[]> {
  const prekeys = {
    signed: { kind: "signed" as const, ...signed[0]! },
    once: { kind: "once" as const, ...once[0]! },
  };
  let { header, session } = await beginSession({ ours, theirs, box, ...prekeys });
  const log = systemRandom(16), shown = await introduction(ours, "alice");
  const about = { readLog: ZEROS, have: 0n, haveId: ZEROS, read: 0n, pass: ZEROS };
  const sealed: Letter[] = [];
  for (const [i, text] of texts.entries()) {
    const message = { type: "text" as const, id: systemRandom(16), written: 0 };
    const messages = [{ ...message, number: BigInt(i + 1), content: encodeUtf8(text) }];
    const content = encodeContent({ from: "alice", to: "bob", log, first: 1n, ...about, messages });
    const next = await sealEnvelope(session, header, content);
    session = next.session;
    sealed.push({
      type: "envelope",
      id: systemRandom(16),
      ...shown,
      since: 0n,
      envelope: next.envelope,
    });
  }
  return sealed;
}

/** What is asked of the mailbox next; undefined when the channel is over. */
async function nextRequest(channel: PuppetChannel): Promise<MailboxRequest | undefined> {
  for (let item; (item = await channel.next());) {
    if (item.type === ItemType.request && isMailboxRequest(item.body)) {
      return decodeMailboxRequest(item.body);
    }
  }
  return undefined;
}

/**
 * Answers as a mailbox does in which `count` letters wait: those that are made, when prekeys are there, one by one.
 * Resolves at the end of the channel to how each was settled, and should have been.
 */
async function mailboxOf(
  channel: PuppetChannel,
  count: number,
  make: (published: Published) => Promise<readonly (readonly [Letter, Verdict])[]>,
): Promise<readonly (readonly [Verdict, Verdict])[]> {
  const say = (response: MailboxResponse) => channel.respondRaw(encodeMailboxResponse(response));
  const standing = { type: "box", state: BoxState.open, elsewhere: 0 } as const;
  const verdicts: (readonly [Verdict, Verdict])[] = [];
  let waiting: (readonly [Letter, Verdict])[] = [];
  const handOut = () => {
    if (waiting.length > 0) say(waiting[0]![0]);
  };
  for (let request; (request = await nextRequest(channel));) {
    const now = BigInt(Date.now());
    switch (request.type) {
      case "open":
        say({ ...standing, signed: 0n, next: 0n, highest: 0n, stock: 0, waiting: count, now });
        break;
      case "publish": {
        const signed = request.signed[0]!.number;
        say({ ...standing, signed, next: 1n, highest: 40n, stock: 40, waiting: count, now });
        waiting = [...await make(request)];
        assertEquals(waiting.length, count);
        handOut();
        break;
      }
      case "mine":
        say({ type: "mine", more: 0, deposits: [] });
        break;
      case "ask":
        say({ type: "keys", name: request.name, retryAfter: 0, found: [] });
        break;
      case "settle":
        for (const { verdict } of request.settled) verdicts.push([verdict, waiting.shift()![1]]);
        handOut();
    }
  }
  return verdicts;
}

/** Letters that are no envelopes. */
const GARBAGE = 300;
/** The longest envelopes at once: 112 MiB. */
const POURED = 2000;

Deno.test(
  "of what a hostile server brings a program shows what its writer said, once and in order",
  within(90, async () => {
    await using scene = await Scene.open();
    await using server = await PuppetServer.open();
    const args = ["--name", "bob", "--server", `127.0.0.1:${server.port}`, "--accept-new"];
    const bob = scene.start("inbox", "bob", [...args, "--json", "--accept", "all"]);
    const channel = await server.accept();
    await channel.register();
    const { identity: alice } = await person("modern", "alice");
    const { identity: mallory } = await person("modern", "mallory");
    const verdicts = await mailboxOf(channel, GARBAGE + 12, async (published) => {
      const visitor = server.visitor!, { unopened, taken, later } = Verdict;
      const [one, two, three] = await letters(alice, visitor, published, "one", "two", "three");
      const [forged] = await letters(mallory, visitor, published, "I am not alice");
      const hers = await introduction(alice, "alice");
      const again = (letter: Letter) => ({ ...letter, id: systemRandom(16) });
      const broken = one!.envelope.with(-1, one!.envelope.at(-1)! ^ 1) as Bytes;
      return [
        [again({ ...one!, envelope: broken }), unopened],
        [again({ ...forged!, ...hers }), unopened],
        [again({ ...one!, sender: "carol" }), unopened],
        [again({ ...one!, ...await introduction(alice, "carol") }), unopened],
        [again({ ...one!, ...await introduction(mallory, "alice") }), unopened],
        [one!, taken],
        [again(one!), taken],
        [three!, taken],
        ...Array.from(
          { length: GARBAGE },
          () => [again({ ...one!, envelope: systemRandom(1715) }), unopened] as const,
        ),
        // Its session has passed over it: she hears that it is missing.
        [two!, taken],
        [again(three!), taken],
        [again(one!), taken],
        // She is known now, by another key.
        [again({ ...forged!, ...await introduction(mallory, "alice") }), later],
      ];
    });
    assertEquals(verdicts.map(([verdict]) => verdict), verdicts.map(([, expected]) => expected));
    assertEquals(verdicts.length, GARBAGE + 12);
    await bob.exits(0);
    const told = (kind: string) => bob.events.filter(({ event }) => event === kind);
    assertEquals(told("message").map(({ from, text }) => [from, text]), [["alice", "one"]]);
    assertEquals(told("early").map(({ messages }) => messages), [1]);
    assertEquals(told("peer-pinned").map(({ peer }) => peer), ["alice"]);
    assertEquals([told("asked-again").length, told("not-opened").length], [1, 1]);
  }),
);

Deno.test(
  "a server that pours out envelopes is left before they fill the memory, and come to again",
  within(90, async () => {
    await using scene = await Scene.open();
    await using server = await PuppetServer.open();
    const args = ["--name", "bob", "--server", `127.0.0.1:${server.port}`, "--accept-new"];
    const bob = scene.start("inbox", "bob", [...args, "--json", "--accept", "all"]);
    const evil = await server.accept();
    await evil.register();
    const { identity: alice } = await person("modern", "alice");
    const letter = {
      type: "envelope",
      ...await introduction(alice, "alice"),
      since: 0n,
      envelope: systemRandom(58_547),
    } as const;
    while ((await nextRequest(evil))?.type !== "open");
    const nothing = { signed: 0n, next: 0n, highest: 0n, stock: 0, waiting: 0, elsewhere: 0 };
    const box = { type: "box", state: BoxState.open, ...nothing, now: 0n } as const;
    evil.respondRaw(encodeMailboxResponse({ ...box, waiting: POURED }));
    for (let i = 0; i < POURED; i++) {
      evil.respondRaw(encodeMailboxResponse({ ...letter, id: systemRandom(16) }));
    }
    // Why it has ended is lost where there is more under way than is taken.
    await evil.end();
    await bob.event("server-lost", { code: "limit" });
    // Where that can be asked.
    const status = await Deno.readTextFile(`/proc/${bob.pid}/status`).catch(() => "");
    const peak = Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0) / 1024;
    assert(peak < 200, `${Math.round(peak)} MiB, of ${POURED} envelopes`);
    const good = await server.accept();
    await good.register();
    assertEquals(await mailboxOf(good, 0, () => Promise.resolve([])), []);
    await bob.exits(0);
    assertEquals(bob.events.filter(({ event }) => event === "message"), []);
  }),
);
