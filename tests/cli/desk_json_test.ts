/** The fronts of programs: JSON lines with one person or with many, and the pipe. */
import { assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import type { Dialogue } from "../../lib/client/conversations.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import { lastArrived, type Thread } from "../../lib/client/thread.ts";
import { readLine } from "../../lib/cli/desk_commands.ts";
import type { DeskView, Front } from "../../lib/cli/desk_front.ts";
import { DeskJson } from "../../lib/cli/desk_json.ts";
import { isObject, readObject, type Request } from "../../lib/cli/json_input.ts";
import { Pipe } from "../../lib/cli/pipe.ts";
import { type JsonEvent, Terminal } from "../../lib/cli/terminal.ts";
import { CifraError } from "../../lib/errors.ts";
import type { FileWord } from "../../lib/wire/file_messages.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { CONFIRMATION_PATIENCE } from "../../lib/limits.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { meet, type Meeting, openLink } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";

/** Keeps what would be printed. */
class Recorder extends Terminal {
  readonly events: JsonEvent[] = [];
  readonly said: string[] = [];
  readonly stdout: string[] = [];

  override emit(event: JsonEvent, onWritten?: () => void): void {
    this.events.push(event);
    onWritten?.();
  }

  override say(text: string): void {
    this.said.push(text);
  }

  override write(bytes: Uint8Array): Promise<void> {
    this.stdout.push(new TextDecoder().decode(bytes));
    return Promise.resolve();
  }
}

/** A standard input that the test writes to. */
class Input {
  #waiting: PromiseWithResolvers<Uint8Array | null> | undefined;
  readonly #pieces: (Uint8Array | null)[] = [];

  /** Runs `job` with this in the place of stdin. */
  async during(job: () => Promise<void>): Promise<void> {
    const { read } = Deno.stdin;
    Deno.stdin.read = async (buffer) => {
      const { promise } = this.#waiting = Promise.withResolvers();
      this.#give();
      const piece = await promise;
      if (piece) buffer.set(piece);
      return piece && piece.length;
    };
    try {
      await job();
    } finally {
      Deno.stdin.read = read;
    }
  }

  write(text: string): void {
    this.#pieces.push(encodeUtf8(text));
    this.#give();
  }

  end(): void {
    this.#pieces.push(null);
    this.#give();
  }

  #give(): void {
    if (!this.#waiting || this.#pieces.length === 0) return;
    this.#waiting.resolve(this.#pieces.shift()!);
    this.#waiting = undefined;
  }
}

/** A desk with these threads open, seen by one front. */
class Scene {
  readonly terminal = new Recorder(true);
  readonly dialogues = new Map<string, Dialogue>();
  readonly time = new ManualTime();
  readonly view: DeskView;
  failure: CifraError | undefined;
  /** Resolves when everything has been settled; the test may hold it up. */
  settling: Promise<void> = Promise.resolve();

  constructor(only: string | undefined) {
    const { dialogues } = this;
    this.view = {
      ourName: "alice",
      only,
      focus: only,
      names: [],
      label: (name) => name,
      dialogue: (name) => dialogues.get(name),
      past: () => [],
      newest: () => [],
      isOffered: () => false,
      files: undefined,
      settled: async () => {
        await this.settling;
        return this.failure;
      },
      leave: async () => {
        for (const { thread } of dialogues.values()) await thread.leave();
      },
    };
  }

  open(name: string, thread: Thread): Dialogue {
    const conversation = {} as Dialogue["conversation"];
    const { delivery } = thread;
    const before = delivery.queued, arrived = lastArrived(delivery);
    const over = new AbortController().signal;
    const dialogue = { name, thread, conversation, before, arrived, over };
    this.dialogues.set(name, dialogue);
    return dialogue;
  }
}

/** A thread that has only these events to tell. */
function telling(...events: readonly PeerEvent[]): { thread: Thread; taken: PeerEvent[] } {
  const taken: PeerEvent[] = [];
  const thread = {
    delivery: { queued: 0n, sent: 0n, onServer: 0n, stored: 0n, read: 0n },
    events: async function* () {
      yield* events;
    },
    taken: (event: PeerEvent) => void taken.push(event),
  };
  return { thread: thread as unknown as Thread, taken };
}

const TEXT = { type: "text", number: 3n, text: "hi\x1b[2J", written: 0, recovered: false } as const;
const CONNECTED = {
  type: "connected",
  path: { type: "relay" },
  again: true,
  fingerprint: new Uint8Array(32),
  sessionId: new Uint8Array(32),
  isShaky: false,
} as const;
const RECOVERED = { ...TEXT, number: 4n, recovered: true } as const;
const transfer = new Uint8Array(16).fill(6);
const OFFER: FileWord = {
  type: "offer",
  files: 2,
  folders: 1,
  bytes: 7,
  manifestLength: 99,
  manifestHash: new Uint8Array(32),
  name: lineOf("photos"),
};

/** Whatever the message's id is, a word names the transfer; an offer's is that of its message. */
function fileWord(word: FileWord): PeerEvent {
  return { type: "file", number: 11n, id: transfer, word, written: 0, recovered: false };
}

for (const only of ["bob", undefined]) {
  const mode = only === undefined ? "in the lobby" : "with one person";
  const about = only === undefined ? { with: "bob" } : {};

  test(`${mode} a program is told everything that comes, and what may have come before`, async () => {
    const scene = new Scene(only);
    const front = new DeskJson(scene.view, scene.terminal, scene.time);
    const { thread, taken } = telling(
      TEXT,
      RECOVERED,
      { ...TEXT, number: 5n, written: Date.UTC(2030, 0, 1) },
      { type: "bytes", number: 6n, bytes: new Uint8Array([0xe2, 0x82]) },
      { type: "bytes", number: 7n, bytes: new Uint8Array([0xac]) },
      { type: "gap", from: 8n, to: 9n },
      { type: "taken back", number: 10n },
      { type: "restarted", who: "peer" },
      { type: "restarted", who: "us" },
      { type: "end", number: 9n },
      fileWord(OFFER),
      fileWord({ ...OFFER, files: 1, folders: 0, bytes: undefined }),
      fileWord({ type: "accept", transfer }),
      fileWord({ type: "done", transfer, skipped: 2 }),
      fileWord({ type: "failed", transfer, code: 3 }),
    );
    await front.read(scene.open("bob", thread));
    const file = { event: "file", from: "bob", transfer: "06".repeat(16), ...about };
    const message = { event: "message", from: "bob", text: "hi\x1b[2J" };
    assertEquals(scene.terminal.events, [
      { ...message, number: 3, ...about },
      { ...message, number: 4, recovered: true, ...about },
      { ...message, number: 5, written: "2030-01-01T00:00:00.000Z", ...about },
      { ...message, number: 6, text: "", ...about },
      { ...message, number: 7, text: "€", ...about },
      { event: "gap", from: 8, to: 9, ...about },
      { event: "taken-back", number: 10, ...about },
      { event: "peer-restarted", ...about },
      { event: "restarted", ...about },
      { event: "peer-ended", ...about },
      { ...file, word: "offer", name: "photos", files: 2, folders: 1, bytes: 7 },
      { ...file, word: "offer", name: "photos", files: 1, folders: 0 },
      { ...file, word: "accept" },
      { ...file, word: "done", skipped: 2 },
      { ...file, word: "failed", code: 3 },
    ]);
    assertEquals(taken.length, 15);
  });

  test(`${mode} a program is told how far each message has come`, async () => {
    const scene = new Scene(only);
    const front = new DeskJson(scene.view, scene.terminal, scene.time);
    const ours = await openLink("bob", {
      onDelivery: () => {
        const open = scene.dialogues.get("bob");
        if (open) front.onDelivery(open);
      },
    });
    const theirs = await openLink("alice");
    await ours.sendText("from before");
    const dialogue = scene.open("bob", ours);
    // Nothing is told of a conversation that is not read.
    front.onDelivery(dialogue);
    const reading = front.read(dialogue);
    await Promise.all([ours.sendText("one"), ours.sendText("two")]);
    const meeting: Meeting = await meet(ours, theirs);
    await until(() => ours.delivery.stored === 3n, "all is stored");
    const told = scene.terminal.events;
    assertEquals(told.slice(0, 2), [
      { event: "queued", number: 2, ...about },
      { event: "queued", number: 3, ...about },
    ]);
    for (const event of ["sent", "stored"]) {
      const numbers = told.filter((each) => each.event === event).map(({ number }) => number);
      assertEquals(numbers.at(-1), 3);
      assertEquals(numbers, [...new Set(numbers)]);
    }
    await meeting.cut();
    await Promise.all([ours.leave(), theirs.leave()]);
    await reading;
  });
}

const LOBBY = { isLobby: true, isKnown: () => true };

/** What `front` hands on of what a program writes, and how the run ends. */
async function runWith(
  scene: Scene,
  front: Front,
  script: (input: Input, taken: string[]) => Promise<void>,
): Promise<{ readonly taken: string[]; readonly outcome: unknown }> {
  const input = new Input();
  const taken: string[] = [];
  let outcome: unknown;
  await input.during(async () => {
    const { only } = scene.view;
    const texts = new Map<Request, string>();
    const running = front.run({
      read: (text) => {
        const say = { type: "say", name: undefined, text } as const;
        const request = isObject(text)
          ? readObject(text, only)
          : { line: only === undefined ? readLine(text, LOBBY) : say };
        texts.set(request, text);
        return request;
      },
      obey: async (request) => {
        taken.push(`+${texts.get(request)}`);
        // Those that take as long end in the order in which they began.
        await new Promise((resolve) => void setTimeout(resolve));
        taken.push(`-${texts.get(request)}`);
      },
    });
    await script(input, taken);
    outcome = await running;
    // The read that is under way.
    input.end();
    await turn();
  });
  assertEquals(scene.failure === undefined || typeof outcome === "object", true);
  return { taken, outcome };
}

test("with one person each line is a message, and those of one piece go together", async () => {
  const scene = new Scene("bob");
  const thread = await openLink("bob");
  scene.open("bob", thread);
  const front = new DeskJson(scene.view, scene.terminal, scene.time);
  const { taken, outcome } = await runWith(scene, front, async (input, taken) => {
    input.write("/quit\nbob: x\nthr");
    await until(() => taken.length === 4, "two lines");
    assertEquals(taken, ["+/quit", "+bob: x", "-/quit", "-bob: x"]);
    input.write("ee");
    input.end();
    await until(() => thread.delivery.queued === 1n, "the end is said");
    // The other side may have more to say.
    for (let turns = 0; turns < 20; turns++) await turn();
    front.onStatus({ type: "left", failed: false });
  });
  assertEquals([taken.slice(4), outcome], [["+three", "-three"], "finished"]);
  await thread.leave();
});

test("in the lobby commands wait for what stands before them, and it ends with stdin", async () => {
  const scene = new Scene(undefined);
  const front = new DeskJson(scene.view, scene.terminal, scene.time);
  const settled = Promise.withResolvers<void>();
  scene.settling = settled.promise;
  const { taken, outcome } = await runWith(scene, front, async (input, taken) => {
    input.write("bob: a\nbob: b\n/close bob\n//c\n");
    await until(() => taken.length === 8, "all lines");
    input.end();
    await turn();
    settled.resolve();
  });
  assertEquals(
    taken.join(" "),
    "+bob: a +bob: b -bob: a -bob: b +/close bob -/close bob +//c -//c",
  );
  assertEquals(outcome, "finished");
});

test("messages that never arrive are how it ends", async () => {
  const scene = new Scene(undefined);
  scene.failure = new CifraError("identity_changed", "Another key");
  const front = new DeskJson(scene.view, scene.terminal, scene.time);
  const { outcome } = await runWith(scene, front, (input) => Promise.resolve(input.end()));
  assertEquals(outcome, { error: scene.failure });
});

test("who has left without a word of what waits on the server for them is not waited for for ever", async () => {
  const scene = new Scene("bob");
  const thread = await openLink("bob");
  const dialogue = scene.open("bob", thread);
  const front = new DeskJson(scene.view, scene.terminal, scene.time);
  scene.settling = new Promise(() => {});
  await thread.sendText("hello");
  const isOver = { yes: false };
  const { outcome } = await runWith(scene, front, async (input) => {
    const waits = async (milliseconds: number) => {
      scene.time.advance(milliseconds);
      for (let turns = 0; turns < 20; turns++) await turn();
      assertEquals(isOver.yes, false);
    };
    input.end();
    await until(() => thread.delivery.queued === 2n, "the end is said");
    // They may not have left yet.
    thread.noteOnServer(2n);
    front.onDelivery(dialogue);
    await waits(CONFIRMATION_PATIENCE);
    front.onStatus({ type: "left", failed: false });
    await waits(CONFIRMATION_PATIENCE - 1);
    // Nor is somebody gone who is here again.
    front.onStatus(CONNECTED);
    await waits(CONFIRMATION_PATIENCE);
    front.onStatus({ type: "left", failed: false });
    await waits(CONFIRMATION_PATIENCE - 1);
    scene.time.advance(1);
  }).finally(() => isOver.yes = true);
  assertEquals(outcome, "finished");
  assertEquals(scene.terminal.events.at(-1), { event: "unconfirmed", to: "bob", messages: 1 });
  assertEquals(scene.time.pending, 0);
  await thread.leave();
});

test("what no server has taken is waited for, for as long as it takes", async () => {
  const scene = new Scene("bob");
  const thread = await openLink("bob");
  const dialogue = scene.open("bob", thread);
  const front = new DeskJson(scene.view, scene.terminal, scene.time);
  const { promise, resolve } = Promise.withResolvers<void>();
  scene.settling = promise;
  await thread.sendText("hello");
  const { outcome } = await runWith(scene, front, async (input) => {
    input.end();
    await until(() => thread.delivery.queued === 2n, "the end is said");
    thread.noteOnServer(1n);
    front.onDelivery(dialogue);
    front.onStatus({ type: "left", failed: false });
    for (let turns = 0; turns < 20; turns++) await turn();
    assertEquals(scene.time.pending, 0);
    resolve();
  });
  assertEquals([outcome, scene.terminal.events], ["finished", []]);
  await thread.leave();
});

test("somebody who left and is connected again is waited for once more", async () => {
  const scene = new Scene("bob");
  const thread = await openLink("bob");
  scene.open("bob", thread);
  const front = new DeskJson(scene.view, scene.terminal, scene.time);
  front.onStatus({ type: "left", failed: false });
  front.onStatus(CONNECTED);
  let isOver = false;
  const { outcome } = await runWith(scene, front, async (input) => {
    input.end();
    await until(() => thread.delivery.queued === 1n, "the end is said");
    for (let turns = 0; turns < 20; turns++) await turn();
    assertEquals(isOver, false);
    isOver = true;
    const { thread: theirs } = telling({ type: "end", number: 9n });
    await front.read(scene.open("bob", theirs));
  });
  assertEquals([outcome, isOver], ["finished", true]);
  await thread.leave();
});

test("a pipe carries texts as lines, and says on the side what may have come before", async () => {
  const scene = new Scene("bob");
  const terminal = new Recorder(false);
  const front = new Pipe(scene.view, terminal, new ManualTime(), 1000);
  const { thread } = telling(TEXT, RECOVERED, { type: "gap", from: 8n, to: 9n });
  await front.read(scene.open("bob", thread));
  // What a program reads is not changed.
  assertEquals(terminal.stdout, ["hi\x1b[2J\n", "hi\x1b[2J\n"]);
  assertEquals(terminal.said, [
    "(this message may have been shown before, when the program last ended)",
    "messages 8 to 9 of bob are not on this machine any more",
  ]);
});

test("a pipe gives up when a lost connection does not come back in time", async () => {
  const scene = new Scene("bob");
  const terminal = new Recorder(false);
  const time = new ManualTime();
  const front = new Pipe(scene.view, terminal, time, 1000);
  const thread = await openLink("bob");
  scene.open("bob", thread);
  const error = new CifraError("cut", "The connection is gone");
  const { outcome } = await runWith(scene, front, () => {
    front.onStatus({ type: "lost", error });
    time.advance(999);
    front.onStatus(CONNECTED);
    front.onStatus({ type: "lost", error });
    // The second loss begins the wait anew.
    front.onStatus({ type: "lost", error });
    time.advance(999);
    assertEquals(time.pending, 1);
    time.advance(1);
    return Promise.resolve();
  }).catch((outcome) => ({ outcome }));
  assertEquals([outcome instanceof CifraError && outcome.message, time.pending], [
    "bob did not come back within 1 s (the connection is gone)",
    0,
  ]);
  await thread.leave();
});
