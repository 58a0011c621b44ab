/** A lobby with a thousand people: how soon they hear of one who comes, how often, and what each costs. */
import { NO_PORTS } from "../../lib/client/door.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import {
  Capability,
  decodeServerResponse,
  encodeServerRequest,
} from "../../lib/wire/rendezvous_messages.ts";
import { registrationOf, signed } from "../testkit/server.ts";
import { until } from "../testkit/until.ts";
import { connect, median, newcomer, report, residentMemory, startServer } from "./bench.ts";

const PEOPLE = 1000;
const AT_ONCE = 16;
const JOINS = 20;
/** Nobody has come or gone for so long that the next one is announced at once. */
const QUIET = 1000;
const SETTLING = 35_000;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Somebody in the lobby, who notes what they are told. */
class Guest {
  readonly channel: Channel;
  /** When each name was told, by the clock of this process. */
  readonly heard = new Map<string, number>();
  messages = 0;

  private constructor(channel: Channel) {
    this.channel = channel;
  }

  /** Comes in; `joinedAt` is when the registration was sent. */
  static async enter(name: string): Promise<{ readonly guest: Guest; readonly joinedAt: number }> {
    const ours = await newcomer("modern");
    const channel = await connect(ours, server.hello.port);
    const wish = registrationOf(name, {
      ...NO_PORTS,
      capabilities: Capability.lobby,
    });
    const request = encodeServerRequest({ type: "register", ...await signed(ours, wish) });
    const joinedAt = performance.now();
    channel.send(ItemType.request, request);
    const guest = new Guest(channel);
    guest.#listen();
    return { guest, joinedAt };
  }

  async leave(): Promise<void> {
    await this.channel.close(CloseCode.done);
    this.channel.destroy();
  }

  async #listen(): Promise<void> {
    for (;;) {
      const items = await this.channel.receive();
      if (!items) return;
      const now = performance.now();
      for (const { type, body } of items) {
        if (type !== ItemType.response) continue;
        const response = decodeServerResponse(body);
        if (response.type === "refused") throw new Error(response.reason);
        if (response.type !== "presence") continue;
        this.messages++;
        for (const { name } of response.people) {
          if (!this.heard.has(name)) this.heard.set(name, now);
        }
      }
    }
  }
}

/** A name is its first owner's: each crowd has names of its own. */
async function fill(crowd: string, count: number): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) guests.push((await Guest.enter(`${crowd}${next++}`)).guest);
  }));
}

const server = await startServer("--new-names-per-day=0");
const guests: Guest[] = [];
try {
  // A crowd that comes and goes warms the server up.
  await fill("early", PEOPLE / 2);
  for (const guest of guests.splice(0)) await guest.leave();
  await pause(SETTLING);
  const before = await residentMemory(server.process.pid);
  const first = (await Guest.enter("first")).guest;
  await until(() => first.heard.has("first"));
  const start = performance.now();
  await fill("guest", PEOPLE);
  await until(() => first.heard.size >= PEOPLE + 1);
  const seconds = (performance.now() - start) / 1000;
  report(
    `${PEOPLE} people come in, all that the first one is sent`,
    `${seconds.toFixed(1)} s, ${first.messages} messages`,
  );
  await pause(SETTLING);
  const after = await residentMemory(server.process.pid);
  report(
    `server memory for each of ${PEOPLE} people in the lobby`,
    `${((after - before) / PEOPLE).toFixed(1)} KiB`,
  );

  const middle: number[] = [], last: number[] = [];
  for (let join = 0; join < JOINS; join++) {
    const name = `late${join}`;
    const { guest, joinedAt } = await Guest.enter(name);
    await until(() => guests.every(({ heard }) => heard.has(name)));
    const delays = guests.map(({ heard }) => heard.get(name)! - joinedAt);
    middle.push(median(delays));
    last.push(Math.max(...delays));
    guests.push(guest);
    await pause(QUIET);
  }
  report(
    `from joining until ${PEOPLE} others know: the median one, the last one`,
    `${median(middle).toFixed(0)}, ${median(last).toFixed(0)} ms`,
  );
  await Promise.all([first, ...guests].map((guest) => guest.leave()));
} finally {
  await server.stop();
}
