/** Many conversations at once: when they begin, end and make room, whoever carries them. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import type { Status } from "../../lib/client/conversation.ts";
import {
  Conversations,
  type Dialogue,
  type LiveConversation,
} from "../../lib/client/conversations.ts";
import type { Path } from "../../lib/client/connector.ts";
import type { Thread } from "../../lib/client/thread.ts";
import { CifraError } from "../../lib/errors.ts";
import { CONVERSATIONS_LIMIT } from "../../lib/limits.ts";
import { CloseCode } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import { meet, openLink } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";

const LEFT: Status = { type: "left", failed: false };

/** Goes on until it is left, or the test makes it fail. */
class Puppet implements LiveConversation {
  readonly thread: Thread;
  readonly say: (status: Status) => void;
  readonly failures: readonly string[] = [];
  path: Path | undefined;
  /** With what the other side was left. */
  code: CloseCode | undefined;
  /** What leaving waits for. */
  goodbye: Promise<void> = Promise.resolve();
  readonly #over = Promise.withResolvers<void>();

  constructor(thread: Thread, say: (status: Status) => void) {
    this.thread = thread;
    this.say = say;
  }

  async run(): Promise<void> {
    await this.#over.promise;
  }

  async leave(code: CloseCode = CloseCode.done): Promise<void> {
    this.code = code;
    await this.thread.leave(code);
    await this.goodbye;
    this.#over.resolve();
  }

  hurry(): void {}

  fail(error: Error): void {
    this.#over.reject(error);
  }
}

/** Conversations, and what became of them. */
class Stage {
  readonly conversations: Conversations;
  readonly puppets = new Map<string, Puppet>();
  readonly ended: (readonly [string, string | undefined])[] = [];
  /** Names of which the log is in use. */
  readonly logs = new Set<string>();
  /** Most of them at once. */
  most = 0;
  focus: string | undefined;

  constructor(endsWithPeer = true) {
    this.conversations = new Conversations({
      openThread: async (name) => {
        assert(!this.logs.has(name), `the log of ${name} is open already`);
        this.logs.add(name);
        this.most = Math.max(this.most, this.logs.size);
        return await openLink(name);
      },
      converse: (name, thread, say) => {
        const puppet = new Puppet(thread, say);
        this.puppets.set(name, puppet);
        return puppet;
      },
      onOpen: async ({ thread }) => {
        for await (const event of thread.events()) thread.taken(event);
      },
      onStatus: () => {},
      onEnd: ({ name }, error) => {
        this.logs.delete(name);
        this.ended.push([name, error?.code]);
      },
      endsWithPeer,
      isCarrying: () => false,
      isInUse: (name) => name === this.focus,
    });
  }

  /** Those with whom there is a conversation, in the order of their names. */
  get names(): string[] {
    return [...this.conversations.all()].map(({ name }) => name).sort();
  }
}

/** `a` and so on: in the order of the alphabet, as many as there may be. */
function names(): string[] {
  return Array.from({ length: CONVERSATIONS_LIMIT }, (_, i) => String.fromCharCode(97 + i));
}

test("a name has one conversation, and the next begins when its log is free", async () => {
  const { conversations, puppets, logs } = new Stage();
  const opening = [conversations.open("bob"), conversations.open("bob")];
  assert(conversations.has("bob") && !conversations.get("bob"));
  assert(conversations.isBusy("bob") && !conversations.isBusy("nobody"));
  const [first, second] = await Promise.all(opening) as [Dialogue, Dialogue];
  assertStrictEquals(first, second);
  assertStrictEquals(await conversations.open("bob"), first);
  assertStrictEquals(conversations.get("bob"), first);

  const goodbye = Promise.withResolvers<void>();
  puppets.get("bob")!.goodbye = goodbye.promise;
  const closing = conversations.close("bob");
  assertEquals([conversations.get("bob"), first.over.aborted], [undefined, true]);
  // Its channel may still be there.
  assert(conversations.isBusy("bob") && !conversations.has("bob"));
  // The log would complain if it were opened a second time.
  const again = conversations.open("bob");
  assert(conversations.has("bob"));
  goodbye.resolve();
  await closing;
  assert(await again !== first);
  await conversations.close("nobody");
  await conversations.leave(CloseCode.failed);
  assertEquals(puppets.get("bob")!.code, CloseCode.failed);
  await assertRejects(() => conversations.open("bob"), CifraError, "have ended");
  assert(!conversations.isBusy("bob"));
  // Nor is one opened by that: nobody would close it.
  assertEquals(logs.size, 0);
});

test("the oldest that nobody misses make room, each for one, however many come at once", async () => {
  const stage = new Stage();
  const { conversations } = stage;
  const all = names();
  for (const name of all) await conversations.open(name);
  const [first, second, third] = all as [string, string, string];
  // Somebody looks at the first, the second is connected, and the third has something to deliver.
  stage.focus = first;
  stage.puppets.get(second)!.path = { type: "relay" };
  await conversations.get(third)!.thread.sendText("not there yet");
  const late = ["x", "y", "z"];
  await Promise.all(late.map((name) => conversations.open(name)));
  assertEquals(stage.ended.map(([name]) => name), all.slice(3, 6));
  assertEquals(stage.names, [...all.slice(0, 3), ...all.slice(6), ...late]);
  assertEquals(stage.most, CONVERSATIONS_LIMIT);
  await conversations.leave();
});

test("with one in each place that is missed there is no room, until one is over", async () => {
  const stage = new Stage();
  const { conversations } = stage;
  const all = names();
  await Promise.all(all.map((name) => conversations.open(name)));
  for (const name of all) stage.puppets.get(name)!.path = { type: "relay" };
  const error = await assertRejects(() => conversations.open("late"), CifraError);
  assertEquals([error.code, conversations.has("late")], ["limit", false]);
  assertEquals(stage.names, all);

  // One that is ending counts until it has ended, and is not ended twice.
  const goodbye = Promise.withResolvers<void>();
  stage.puppets.get("c")!.goodbye = goodbye.promise;
  const closing = conversations.close("c");
  const late = conversations.open("late");
  goodbye.resolve();
  await Promise.all([closing, late]);
  assertEquals(stage.ended, [["c", undefined]]);
  assertEquals(stage.most, CONVERSATIONS_LIMIT);
  await conversations.leave();
});

test("when the other side leaves, a conversation is over if all has arrived there", async () => {
  const stage = new Stage();
  const { conversations } = stage;
  const { thread } = await conversations.open("bob");
  const carol = await conversations.open("carol");
  await thread.sendText("kept");
  stage.puppets.get("bob")!.say(LEFT);
  stage.puppets.get("carol")!.say(LEFT);
  await until(() => stage.ended.length > 0, "the end of one");
  assertEquals([stage.ended, stage.names], [[["carol", undefined]], ["bob"]]);
  assert(carol.over.aborted);
  await conversations.leave();
});

test("with one person alone, a conversation goes on when the other side has left", async () => {
  const stage = new Stage(false);
  const { conversations, puppets } = stage;
  const { over } = await conversations.open("bob");
  puppets.get("bob")!.say(LEFT);
  // Whatever a leaving sets off would have begun: it is not waited for.
  assertEquals([over.aborted, stage.names, stage.ended], [false, ["bob"], []]);
  await conversations.leave();
  assertEquals(stage.ended, [["bob", undefined]]);
});

test("one that fails is told and over, and the others go on; a mistake of ours is thrown", async () => {
  const stage = new Stage();
  const { conversations, puppets } = stage;
  for (const name of ["bob", "carol", "dave"]) await conversations.open(name);
  const { thread } = conversations.get("bob")!;
  puppets.get("bob")!.fail(new CifraError("identity_changed", "Bob has another key"));
  await until(() => stage.ended.length > 0, "the end of one");
  assertEquals([stage.ended, stage.names], [[["bob", "identity_changed"]], ["carol", "dave"]]);
  // Whatever was to be read has been: the events are over.
  assertEquals((await thread.events().next()).done, true);
  puppets.get("carol")!.fail(new TypeError("a mistake"));
  await assertRejects(() => conversations.failed, TypeError, "a mistake");
  await conversations.leave();
});

test("all is settled when each of the others has stored what was written to them", async () => {
  const stage = new Stage();
  const { conversations } = stage;
  assertEquals(await conversations.settled(), undefined);
  const [bob, carol] = [await conversations.open("bob"), await conversations.open("carol")];
  const theirs = [await openLink("alice"), await openLink("alice")] as const;
  await bob.thread.sendText("one");
  await carol.thread.sendText("two");
  let isSettled = false;
  const settled = conversations.settled().then((failure) => {
    isSettled = true;
    return failure;
  });
  const first = await meet(bob.thread, theirs[0]);
  await bob.thread.settled();
  assertEquals(isSettled, false);
  const second = await meet(carol.thread, theirs[1]);
  assertEquals(await settled, undefined);

  await carol.thread.sendText("three, which does not arrive");
  const never = conversations.settled();
  await Promise.all([second.cut(), carol.thread.leave(CloseCode.failed)]);
  assertEquals((await never)?.code, "cut");
  await first.cut();
  for (const thread of theirs) await thread.leave();
  await conversations.leave();
});
