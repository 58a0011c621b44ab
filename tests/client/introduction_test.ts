/** What a conversation makes of an introduction: from a good one a channel, and to an impostor no word of ours. */
import { assert, assertEquals } from "@std/assert";
import { Conversation, type Status } from "../../lib/client/conversation.ts";
import { MeetingPace } from "../../lib/client/meeting_pace.ts";
import type { ServerLink } from "../../lib/client/server_link.ts";
import type { Thread } from "../../lib/client/thread.ts";
import type { Meeting } from "../../lib/client/connector.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import { CloseCode } from "../../lib/wire/records.ts";
import type { Introduction } from "../../lib/wire/rendezvous_messages.ts";
import { MEETING_PATIENCE } from "../../lib/limits.ts";
import { type Network, systemEnvironment } from "../../lib/net/environment.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { test } from "../testkit/adversary.ts";
import { type Couple, introduce } from "../testkit/couple.ts";
import { NO_ID, NO_LOG, openLink } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { type Pipe, pipe } from "../testkit/pipe.ts";
import { turn } from "../testkit/turn.ts";
import { claimOf, nextSequence } from "../testkit/server.ts";
import { ManualTime } from "../testkit/clock.ts";

/** A server of which nothing is needed but where it is. */
const SERVER = { isOpen: false, remote: { host: "127.0.0.1", port: 7411 } } as ServerLink;

/** Low has a conversation with high, who is there with a connector alone. */
class Scene {
  readonly couple: Couple;
  readonly time: ManualTime;
  readonly thread: Thread;
  readonly introduction: Introduction;
  readonly conversation: Conversation;
  readonly ended: Promise<unknown>;
  readonly statuses: Status[] = [];
  /** What home was told, in words; whom it holds for. */
  readonly said: string[] = [];
  held = 0;

  constructor(
    couple: Couple,
    time: ManualTime,
    thread: Thread,
    introduction: Introduction,
    check: () => void,
    pace: MeetingPace,
  ) {
    this.couple = couple;
    this.time = time;
    this.thread = thread;
    this.introduction = introduction;
    const { low } = couple;
    low.connector.close();
    this.conversation = new Conversation({
      ...low.options,
      door: low.door,
      home: {
        want: (name) => void this.said.push(`want ${name}`),
        unwant: (name) => void this.said.push(`unwant ${name}`),
        forget: (name) => void this.said.push(`forget ${name}`),
        hurry: () => {},
        startOver: () => {},
        worthwhile: () => {},
        hold: () => {
          this.held++;
          return () => void this.held--;
        },
      },
      relay: "allowed",
      advertised: [],
      addresses: { add: () => () => {} },
      peerName: "high",
      thread,
      pace,
      checkPeer: () => {
        check();
        return Promise.resolve(() => Promise.resolve());
      },
      onStatus: (status) => void this.statuses.push(status),
    });
    this.ended = this.conversation.run().then(() => undefined, (error) => error);
  }

  get news(): string[] {
    return this.statuses.map(({ type }) => type);
  }

  /** Both look for each other, until high has met whoever is there. */
  async meet(): Promise<Meeting> {
    const { high } = this.couple;
    this.introduce();
    high.seek();
    await this.time.until(() => high.meetings.length > 0, "a meeting");
    return high.meetings[0]!;
  }

  introduce(change: Partial<Introduction> = {}): void {
    this.conversation.onIntroduction({ ...this.introduction, ...change }, SERVER);
  }
}

async function play(
  job: (scene: Scene) => Promise<void>,
  check: () => void = () => {},
  dialFrom?: Network["dialFrom"],
  pace = new MeetingPace(systemRandom),
): Promise<void> {
  const time = new ManualTime();
  const network = dialFrom && { ...systemEnvironment.network, dialFrom };
  using couple = await introduce({ time, ...(network && { low: { network } }) });
  const { low, high } = couple;
  const sequence = nextSequence();
  const { notAfter, signature } = await claimOf(
    high.who,
    "high",
    sequence,
    [],
    low.options.introduction,
  );
  const introduction = {
    ...low.options.introduction,
    claim: { sequence, notAfter, signature },
  };
  // A log with something in it, that nobody else is to hear of.
  const thread = await openLink("high");
  await thread.sendText("a secret");
  const scene = new Scene(couple, time, thread, introduction, check, pace);
  try {
    await job(scene);
  } finally {
    const left = scene.conversation.leave();
    for (const { channel } of high.meetings) channel.destroy();
    await left;
    await scene.ended;
    assertEquals(scene.held, 0);
  }
}

function impostor(): never {
  throw new CifraError("identity_changed", "Another key");
}

test("an introduced peer hears where our log stands", () =>
  play(async (scene) => {
    const { thread, conversation, statuses } = scene;
    const { theirs } = await scene.meet();
    assertEquals(theirs.log, thread.position().log);
    await until(() => conversation.path !== undefined, "the conversation is live");
    assertEquals(statuses.at(-1)?.type, "connected");
    // Two who talk directly need no server.
    assertEquals(scene.held, 0);
    assertEquals(scene.said.at(-1), "unwant high");
  }));

test("an impostor hears no log, number or id of ours, and that it is one", () =>
  play(async (scene) => {
    const { thread, statuses } = scene;
    const { theirs, channel } = await scene.meet();
    const ours = thread.position();
    assert(theirs.log.join() !== ours.log.join(), "the log is ours");
    assertEquals({ ...theirs, log: NO_LOG }, {
      log: NO_LOG,
      kind: LogKind.kept,
      first: 1n,
      readLog: NO_LOG,
      have: 0n,
      haveId: NO_ID,
    });
    assertEquals(await channel.receive(), null);
    assertEquals(channel.goodbye?.code, CloseCode.stranger);
    channel.destroy();
    const error = await scene.ended;
    assert(error instanceof CifraError && error.code === "identity_changed", `${error}`);
    // Nobody was told that they are connected.
    assertEquals(statuses, []);
  }, impostor));

test("an impostor that does not come is told of after a while", () =>
  play(async (scene) => {
    scene.introduce();
    await until(() => scene.time.pending > 1, "the wait for it");
    scene.time.advance(3000);
    const error = await scene.ended;
    assert(error instanceof CifraError && error.code === "identity_changed", `${error}`);
  }, impostor));

test("an introduction that comes after the want was over is taken all the same", () =>
  play(async (scene) => {
    const { conversation } = scene;
    conversation.onUnwanted(new CifraError("limit", "Too many"));
    assertEquals(scene.said, ["want high", "unwant high"]);
    await scene.meet();
    await until(() => conversation.path !== undefined, "the conversation is live");
    assertEquals(scene.news, ["unwanted", "connected"]);
  }));

test("somebody who waits there asks again a minute after the server said when, and no sooner", () =>
  play((scene) => {
    const { conversation, time } = scene;
    const later = new CifraError("limit", "Too many", { retryAfter: 3600 });
    conversation.onUnwanted(later);
    for (let seconds = 0; seconds < 60; seconds++) {
      assertEquals(scene.said.at(-1), "unwant high");
      conversation.hurry();
      time.advance(1000);
    }
    assertEquals(scene.said.at(-1), "want high");
    return Promise.resolve();
  }));

test("another network ends a pause that the server has asked for", () =>
  play((scene) => {
    const { conversation, time } = scene;
    conversation.onUnwanted(new CifraError("limit", "Too many", { retryAfter: 3600 }));
    time.advance(1000);
    assertEquals(scene.said.at(-1), "unwant high");
    // A machine that was asleep may be anywhere.
    time.sleep(3_600_000 / 2);
    time.advance(1000);
    assertEquals(scene.said.at(-1), "want high");
    return Promise.resolve();
  }));

/** How somebody who was met ends it, without having said anything. */
const ENDINGS: Readonly<Record<string, (meeting: Meeting) => void>> = {
  "cuts it": ({ channel }) => channel.destroy(),
  "says goodbye": ({ channel }) => void channel.close(CloseCode.done),
  "fails": ({ channel }) => void channel.close(CloseCode.failed),
  "takes another": () => {},
};

for (const [how, end] of Object.entries(ENDINGS)) {
  test(`a peer that comes again and again, and each time ${how}, is met less and less often`, () =>
    play(async (scene) => {
      const { couple: { high }, time } = scene;
      const count = (type: Status["type"]) => scene.news.filter((each) => each === type).length;
      let met = 0, introduced = 0;
      // It dials as fast as it likes, and the server introduces the two whenever they are wanted.
      const come = async (end: (meeting: Meeting) => void, pause: number) => {
        const wants = scene.said.filter((said) => said === "want high").length;
        if (wants > introduced) scene.introduce();
        introduced = wants;
        high.seek({ relay: false });
        for (let turns = 0; turns < 40; turns++) {
          await turn();
          for (; met < high.meetings.length; met++) end(high.meetings[met]!);
        }
        time.advance(pause);
      };
      while (time.now() < 30_000) await come(end, 50);
      const channels = count("connected") + count("moved");
      assert(channels >= 2 && channels <= 9, `${channels} channels`);
      // It still comes through, when it waits.
      for (const { channel } of high.meetings) channel.destroy();
      for (let tries = 0; tries < 200 && !scene.conversation.path; tries++) {
        await come(() => {}, 1000);
      }
      assert(scene.conversation.path);
    }));
}

test("a conversation begins no sooner than the last one with the same person left it", async () => {
  const pace = new MeetingPace(systemRandom);
  for (let times = 0; times < 5; times++) pace.inVain(0);
  const pause = pace.closedFor(0);
  assert(pause > 3000, `${pause}`);
  await play(
    (scene) => {
      const { time, conversation, said } = scene;
      time.advance(pause - 1);
      // The peer asks at the server: that is no reason.
      conversation.hurry("peer");
      time.advance(0);
      assertEquals(said, ["unwant high"]);
      time.advance(1);
      assertEquals(said, ["unwant high", "want high"]);
      return Promise.resolve();
    },
    undefined,
    undefined,
    pace,
  );
});

test("an introduction after the end is nobody's business", () =>
  play(async (scene) => {
    const { couple: { low }, conversation } = scene;
    await conversation.leave();
    assertEquals(await scene.ended, undefined);
    assertEquals(scene.said.at(-1), "forget high");
    scene.introduce();
    for (let turns = 0; turns < 20; turns++) await turn();
    scene.time.advance(0);
    assertEquals([low.network.dials, scene.statuses], [[], []]);
  }));

test("a key whose owner has not said to be who and where the server says is not talked to", () =>
  play(async (scene) => {
    const { couple: { high, low } } = scene;
    // Theirs, for another name; and theirs, changed on the way.
    const sequence = nextSequence();
    const other = await claimOf(high.who, "other", sequence, [], scene.introduction);
    const { claim, receivePort, sendPort } = scene.introduction;
    const lies: Partial<Introduction>[] = [
      { claim: { sequence, notAfter: other.notAfter, signature: other.signature } },
      { claim: { ...claim, sequence } },
      // What they never said of where they are; and two addresses that nobody vouches for.
      { receivePort: receivePort - 1 },
      { sendPort: sendPort - 1 },
      { advertised: ["127.0.0.2"] },
      { observed: ["127.0.0.2"], punch: [{ host: "127.0.0.3", port: 4000 }] },
    ];
    for (const [n, lie] of lies.entries()) {
      scene.introduce(lie);
      await until(() => scene.statuses.length > n, "the refusal");
      const status = scene.statuses[n]!;
      assert(status.type === "unwanted");
      assertEquals([status.error.code, low.network.dials], ["auth_failed", []]);
      // It is asked for again after a pause.
      scene.time.advance(status.retryIn);
      assertEquals(scene.said.at(-1), "want high");
    }
  }));

/** What may be at an address that a server names, and how it answers a dial; everything but the peer. */
const ANSWERS: Readonly<Record<string, (() => Pipe) | undefined>> = {
  "nobody": undefined,
  "somebody silent": () => pipe(),
  "somebody who speaks first": () => {
    const line = pipe();
    line.right.write(new TextEncoder().encode("SSH-2.0-OpenSSH_9.9\r\n"));
    return line;
  },
  "somebody who speaks in frames": () => {
    const line = pipe();
    line.right.write(encodeFrame(FrameKind.preface, new Uint8Array(36)));
    return line;
  },
  "somebody who hangs up": () => {
    const line = pipe();
    line.right.close();
    return line;
  },
};

for (const [who, answer] of Object.entries(ANSWERS)) {
  const dialFrom: Network["dialFrom"] = (port, remote) => {
    if (!answer) return Promise.reject(new CifraError("unreachable", "Nobody is there"));
    return Promise.resolve(Object.assign(answer().left, { local: { ...remote, port }, remote }));
  };
  test(`when the server is asked again does not tell that ${who} is at an address that it named`, () =>
    play(
      async (scene) => {
        const { time } = scene;
        const started = time.now();
        scene.introduce();
        const isDialled = () => scene.couple.low.network.dials.length > 0;
        for (let turns = 0; turns < 1000 && !isDialled(); turns++) {
          time.advance(0);
          await turn();
        }
        assert(isDialled());
        const step = 100;
        await time.until(() => scene.news.includes("no-way"), "it is given up", step);
        assertEquals(time.now() - started, MEETING_PATIENCE);
      },
      undefined,
      dialFrom,
    ));
}
