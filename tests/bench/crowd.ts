/**
 * A class behind one address: people who switch on at the same moment, at a server with its defaults that is cold,
 * and at one that is killed under them and started again. 40 of them are real programs with a runtime and a profile
 * each, in pairs of which each types a line at once; 200 are the homes of one process over the client library,
 * since 200 runtimes would measure this machine and not the server. Times are from the moment when the last of
 * them is up, or the server again, until the last is in. Numbers after the name choose other sizes.
 */
import { Home } from "../../lib/client/home.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import { TicketHolder } from "../../lib/client/ticket_holder.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { claimOf, nextSequence } from "../testkit/server.ts";
import { newcomer, report } from "./bench.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const HERE = "127.0.0.1";
/** So many of a lobby write to everybody. */
const TALKATIVE = 6;

/** A program that prints events, a line each. */
class Program {
  readonly events: Readonly<Record<string, unknown>>[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #done: Promise<void>;
  #heard = Promise.withResolvers<void>();

  constructor(args: readonly string[], input: "piped" | "null") {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--cached-only", `${ROOT}main.ts`, ...args],
      stdin: input,
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#done = this.#read();
  }

  get pid(): number {
    return this.#process.pid;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.events.push(...lines.map((line) => JSON.parse(line)));
      this.#heard.resolve();
      this.#heard = Promise.withResolvers();
    }
    this.#heard.resolve();
  }

  count(event: string): number {
    return this.events.filter((each) => each.event === event).length;
  }

  /** Resolves when it has told this so often; throws when it ends before. */
  async told(event: string, count = 1): Promise<void> {
    const ended = this.#process.status.then(() => "ended");
    while (this.count(event) < count) {
      if (await Promise.race([this.#heard.promise, ended]) === "ended") {
        throw new Error(`A program ended: ${JSON.stringify(this.events.at(-1))}`);
      }
    }
  }

  async type(text: string): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  async end(signal: Deno.Signal): Promise<void> {
    this.#process.kill(signal);
    await this.#process.status;
    await this.#done;
  }
}

/** A server with its defaults that can be killed and come back, and what it refused and used. */
class House {
  readonly state: string;
  refused = 0;
  #server: Program | undefined;
  port = 0;

  constructor(state: string) {
    this.state = state;
  }

  async start(): Promise<void> {
    const args = ["serve", "--json", "--port", `${this.port}`, "--state", this.state];
    this.#server = new Program([...args, "--host", HERE], "null");
    await this.#server.told("listening");
    this.port = this.#server.events[0]!.port as number;
  }

  async kill(): Promise<void> {
    this.refused += this.#server!.count("refused-connection");
    await this.#server!.end("SIGKILL");
  }

  /** Seconds of processor time so far. */
  async used(): Promise<number> {
    const fields = (await Deno.readTextFile(`/proc/${this.#server!.pid}/stat`)).split(") ")[1]!;
    const [user, system] = fields.split(" ").slice(11, 13).map(Number);
    return (user! + system!) / 100;
  }

  /** One line: the time since `begun`, and what the server has refused and used since it started. */
  async tell(what: string, begun: number): Promise<void> {
    const took = ((performance.now() - begun) / 1000).toFixed(1);
    const refused = this.#server!.count("refused-connection");
    const used = (await this.used()).toFixed(1);
    report(what, `${took} s, ${refused} refused, ${used} s of the server's processor`);
  }
}

/** People in the lobby of a server, each a program of its own, who answer everybody. */
function lobby(count: number, folder: string, house: House): Program[] {
  return Array.from({ length: count }, (_, n) => {
    const args = ["--name", `p${n}`, "--accept", "all", "--state", `${folder}/p${n}`];
    const where = ["--server", `${HERE}:${house.port}`, "--accept-new"];
    return new Program(["connect", "--json", ...args, ...where], "piped");
  });
}

async function programs(count: number, folder: string): Promise<void> {
  const house = new House(`${folder}/server`);
  await house.start();
  const people = lobby(count, folder, house);
  /** Each writes to another one. */
  const write = () =>
    Promise.all(people.map((each, n) => each.type(`p${n ^ 1}: good morning from ${n}\n`)));
  try {
    await write();
    const born = performance.now();
    await Promise.all(people.map((each) => each.told("profile")));
    const up = performance.now();
    report(`${count} programs are up`, `${((up - born) / 1000).toFixed(1)} s`);
    await Promise.all(people.map((each) => each.told("lobby")));
    await house.tell(`${count} programs at a cold server: all are in`, up);
    await Promise.all(people.map((each) => each.told("message")));
    await house.tell(`${count} programs: each has heard what the other typed at once`, up);
    await house.kill();
    await write();
    await house.start();
    const back = performance.now();
    await Promise.all(people.map((each) => each.told("lobby", 2)));
    await house.tell(`${count} programs after a restart: all are in`, back);
    await Promise.all(people.map((each) => each.told("message", 2)));
    await house.tell(`${count} programs: what was typed meanwhile has arrived`, back);
  } finally {
    for (const each of people) await each.end("SIGKILL").catch(() => {});
    await house.kill();
  }
}

/** Some of them write to all others at once: as many conversations as one may have. */
async function talkative(count: number, folder: string): Promise<void> {
  const house = new House(`${folder}/server`);
  await house.start();
  const people = lobby(count, folder, house);
  try {
    await Promise.all(people.map((each) => each.told("lobby")));
    const begun = performance.now();
    for (const [n, each] of people.slice(0, TALKATIVE).entries()) {
      const others = people.map((_, k) => k).filter((k) => k !== n);
      await each.type(others.map((k) => `p${k}: good morning from ${n}\n`).join(""));
    }
    await Promise.all(people.map((each, n) => {
      return each.told("message", n < TALKATIVE ? TALKATIVE - 1 : TALKATIVE);
    }));
    await house.tell(`${TALKATIVE} open all their ${count - 1} conversations`, begun);
  } finally {
    for (const each of people) await each.end("SIGKILL").catch(() => {});
    await house.kill();
  }
}

async function homes(count: number, folder: string): Promise<void> {
  const house = new House(`${folder}/server`);
  await house.start();
  const ticker = new Ticker(systemEnvironment.time);
  let registered = 0, lost = 0;
  const ends: (() => Promise<unknown>)[] = [];
  const sides = await Promise.all(Array.from({ length: count }, () => newcomer("modern")));
  const all = async (target: number) => {
    while (registered < target) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  try {
    const up = performance.now();
    for (const [n, side] of sides.entries()) {
      const tickets = new TicketHolder();
      const home = new Home({
        environment: systemEnvironment,
        ourName: `p${n}`,
        openServer: () =>
          ServerLink.open({
            environment: systemEnvironment,
            address: {
              host: HERE,
              port: house.port,
              fingerprint: undefined,
              inviteSecret: undefined,
            },
            ...side,
            ticker,
            tickets,
          }),
        register: async (place, job) => {
          const registrationSequence = BigInt(Date.now()) * 1000n + nextSequence();
          const claim = await claimOf(side, `p${n}`, registrationSequence, [], place);
          return await job({ registrationSequence, claim });
        },
        door: undefined,
        relay: "allowed",
        advertised: [],
        lobby: "listed",
        onStatus: ({ type }) => {
          if (type === "registered") registered++;
          else lost++;
        },
        onLobby: () => {},
      });
      home.hold();
      const running = home.run();
      ends.push(() => {
        home.leave();
        return running;
      });
    }
    await all(count);
    await house.tell(`${count} homes at a cold server: all are in`, up);
    report("  tries that came to nothing", `${lost}`);
    lost = 0;
    await house.kill();
    await house.start();
    const back = performance.now();
    await all(2 * count);
    await house.tell(`${count} homes after a restart: all are in`, back);
    report("  tries that came to nothing", `${lost}`);
  } finally {
    for (const end of ends) await end().catch(() => {});
    await house.kill();
    ticker.stop();
  }
}

const [small = 40, large = 200, all = 16] = Deno.args.map(Number);
for (const [count, crowd] of [[small, programs], [large, homes], [all, talkative]] as const) {
  if (count === 0) continue;
  const folder = await Deno.makeTempDir({ prefix: "cifra-crowd-" });
  try {
    for (const name of ["server", ...Array.from({ length: count }, (_, n) => `p${n}`)]) {
      await Deno.mkdir(`${folder}/${name}`, { mode: 0o700 });
    }
    await crowd(count, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
