/**
 * One schedule of faults: a server and pairs of people as real processes, killed without a word and cut
 * from each other while they write, then left in peace, and judged by what they told.
 */
import { Between, type Name } from "../testkit/between.ts";
import { type Program, Scene } from "../testkit/program.ts";
import type { Verdict } from "./checker.ts";
import { Dice } from "./dice.ts";
import { finish, Person, verdicts } from "./person.ts";
import { putBack } from "./put_back.ts";

/** What a schedule is made of. */
export interface ScheduleOptions {
  /** Decides everything but what the machine does by itself. */
  readonly seed: number;
  readonly pairs: number;
  /** Faults that each pair meets. */
  readonly rounds: number;
  /** Programs that come at the same moment, an even number. */
  readonly crowd: number;
  /** Also lets the network fall silent, which takes the programs twenty seconds to notice. */
  readonly silences: boolean;
}

/** What was done to them. */
export interface Faults {
  serverKills: number;
  clientKills: number;
  cuts: number;
  silences: number;
  /** Times in which somebody's messages could not be written. */
  heldStores: number;
  /** Connections of two that were cut in a row, each after it had brought something. */
  flakyMeetings: number;
  /** Programs that came at the same moment, while the server was killed. */
  crowded: number;
  /** Visits of one of two while the other was away, each ended by a kill. */
  visitsAlone: number;
  /** Conversations of which a profile was put back from a copy. */
  putBack: number;
}

/** How a schedule went. */
export interface Result {
  readonly faults: Faults;
  /** Two for each pair and those of the crowd, one for each direction; fewer when it got stuck. */
  readonly verdicts: readonly Verdict[];
  /** Where programs did more than they may, while nothing could be stored: a storm. */
  readonly storms: readonly string[];
  /** What was wrong after a profile was put back. */
  readonly aftermath: readonly string[];
  /** What kept it from coming to its end. */
  readonly stuck: string | undefined;
}

const LIMITS = ["--handshakes-per-minute", "0", "--max-strangers-per-address", "64"];
/** Lines of one round and direction at the most. */
const LINES = 200;
/** Long enough that a connection with lines under way is given up. */
const SILENCE = 22_000;

/** So long somebody's messages cannot be written: long enough for what there is of a storm. */
const HELD = 4000;
/** What the two programs of a pair may do in that time, the server coming back included. */
const CONNECTS_HELD = 16, LINES_HELD = 24;
/** The longest visit of one while the other is away: what is written is left after three seconds. */
const ALONE = 6000;
/** More than a server lets two meet in an hour who are new to each other. */
const FLAKY = 35;

/** Runs a schedule to its end. */
export async function runSchedule(options: ScheduleOptions): Promise<Result> {
  const faults: Faults = {
    serverKills: 0,
    clientKills: 0,
    cuts: 0,
    silences: 0,
    heldStores: 0,
    flakyMeetings: 0,
    crowded: 0,
    visitsAlone: 0,
    putBack: 0,
  };
  const storms: string[] = [];
  await using stage = await Stage.open(options, faults, storms);
  try {
    const judged = await stage.play();
    const aftermath = await stage.putBack();
    return { faults, verdicts: judged, storms, aftermath, stuck: undefined };
  } catch (error) {
    const stuck = (error as Error).stack ?? String(error);
    return { faults, verdicts: [], storms, aftermath: [], stuck };
  }
}

/** The server, which can be killed while others need it. */
class Server {
  readonly #scene: Scene;
  readonly #faults: Faults;
  #program: Program;
  #isUp = Promise.resolve();

  constructor(scene: Scene, program: Program, faults: Faults) {
    this.#scene = scene;
    this.#program = program;
    this.#faults = faults;
  }

  /** Resolves when it listens, or is believed to. */
  get isUp(): Promise<void> {
    return this.#isUp;
  }

  /** Kills it, and starts it again at the same port once `meanwhile` is over. */
  async restart(meanwhile: () => Promise<unknown>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#isUp = promise;
    this.#faults.serverKills++;
    this.#program.kill("SIGKILL");
    await Promise.all([this.#program.exit(), meanwhile()]);
    const args = ["--port", `${this.#scene.port}`, "--json", ...LIMITS];
    this.#program = this.#scene.start("serve", "server", args);
    await this.#program.event("listening");
    resolve();
  }
}

class Stage {
  readonly #options: ScheduleOptions;
  readonly #scene: Scene;
  readonly #faults: Faults;
  readonly #dice: Dice;
  readonly #server: Server;
  readonly #pairs: readonly Pair[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    options: ScheduleOptions,
    scene: Scene,
    faults: Faults,
    server: Server,
    pairs: readonly Pair[],
    stack: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#scene = scene;
    this.#faults = faults;
    this.#dice = new Dice(options.seed);
    this.#server = server;
    this.#pairs = pairs;
    this.#stack = stack;
  }

  static async open(options: ScheduleOptions, faults: Faults, storms: string[]): Promise<Stage> {
    await using stack = new AsyncDisposableStack();
    // The proxies go last: programs that end say goodbye through them.
    const betweens = stack.use(new AsyncDisposableStack());
    const scene = stack.use(await Scene.open());
    const server = new Server(scene, await scene.serve(LIMITS), faults);
    const pairs: Pair[] = [];
    for (let number = 0; number < options.pairs; number++) {
      const between = betweens.use(await Between.open(scene.port));
      pairs.push(new Pair(scene, server, between, number, options, faults, storms));
    }
    return new Stage(options, scene, faults, server, pairs, stack.move());
  }

  /** All rounds, and the end of all. */
  async play(): Promise<Verdict[]> {
    await Promise.all(this.#pairs.map((pair) => pair.start()));
    for (let round = 0; round < this.#options.rounds; round++) {
      const others = this.#dice.below(3) === 0 ? [this.#killServer()] : [];
      await Promise.all([...this.#pairs.map((pair) => pair.round()), ...others]);
      if (this.#dice.below(4) === 0) await this.#killAll();
    }
    const crowd = await this.#crowd();
    return [...crowd, ...(await Promise.all(this.#pairs.map((pair) => pair.finish()))).flat()];
  }

  /** After `play`: the profile of one or both of each pair is put back. Returns what was wrong then. */
  async putBack(): Promise<readonly string[]> {
    return (await Promise.all(this.#pairs.map((pair) => pair.putBack()))).flat();
  }

  /** A class comes at the same moment, from one address, and the server is killed while it does; all talk. */
  async #crowd(): Promise<readonly Verdict[]> {
    const couples = Array.from({ length: this.#options.crowd / 2 }, (_, number) => {
      const [one, two] = [`pupil-${number}`, `friend-${number}`] as const;
      return [new Person(this.#scene, one, two), new Person(this.#scene, two, one)] as const;
    });
    const pupils = couples.flat();
    this.#faults.crowded += pupils.length;
    for (const pupil of pupils) pupil.start();
    await Promise.all([this.#killServer(), ...pupils.map((pupil) => pupil.feed(3))]);
    return (await Promise.all(couples.map(async ([one, two]) => {
      await finish(one, two);
      return verdicts(one, two);
    }))).flat();
  }

  async #killServer(): Promise<void> {
    await this.#dice.pause(400);
    await this.#server.restart(() => this.#dice.pause(600));
  }

  /** The power fails. */
  async #killAll(): Promise<void> {
    const feeding = this.#pairs.map((pair) => pair.feed());
    await this.#dice.pause(150);
    await this.#server.restart(() => Promise.all(this.#pairs.map((pair) => pair.kill())));
    await Promise.all(feeding);
    await Promise.all(this.#pairs.map((pair) => pair.start()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

type Fault = "kill" | "kill both" | "cut" | "cut off" | "silence" | "hold" | "flaky" | "apart";

/** Two people who want each other. */
class Pair {
  readonly #server: Server;
  readonly #between: Between;
  readonly #people: Readonly<Record<Name, Person>>;
  readonly #dice: Dice;
  readonly #faults: Faults;
  readonly #silences: boolean;
  readonly #storms: string[];

  constructor(
    scene: Scene,
    server: Server,
    between: Between,
    number: number,
    { seed, silences }: ScheduleOptions,
    faults: Faults,
    storms: string[],
  ) {
    this.#storms = storms;
    this.#server = server;
    this.#between = between;
    this.#dice = new Dice(seed, 1 + number);
    this.#faults = faults;
    this.#silences = silences;
    const way = this.#dice.pick([[], [], ["--no-relay"], ["--relay-only"]]);
    const names = { alice: `alice-${number}`, bob: `bob-${number}` };
    const person = (name: Name, other: Name) =>
      new Person(scene, names[name], names[other], [...between.args(name), ...way]);
    this.#people = { alice: person("alice", "bob"), bob: person("bob", "alice") };
  }

  /** Starts both programs, and waits until each has been at the server. */
  async start(): Promise<void> {
    await Promise.all([this.#start("alice"), this.#start("bob")]);
  }

  /** Both write. */
  async feed(): Promise<void> {
    const lines = [this.#dice.below(LINES), this.#dice.below(LINES)];
    await Promise.all([
      this.#people.alice.feed(lines[0]!),
      this.#people.bob.feed(lines[1]!),
    ]);
  }

  /** Kills both programs at once. */
  async kill(): Promise<void> {
    this.#faults.clientKills += 2;
    await Promise.all([this.#people.alice.kill(), this.#people.bob.kill()]);
  }

  /** Both write, and something happens to them meanwhile. */
  async round(): Promise<void> {
    const feeding = this.feed();
    await this.#dice.pause(80);
    await this.#meet(
      this.#dice.pick([
        "kill",
        "kill",
        "kill both",
        "cut",
        "cut",
        "cut off",
        "silence",
        "hold",
        "flaky",
        "apart",
      ]),
    );
    await feeding;
    await this.#dice.pause(400);
  }

  /** In peace again: everything arrives, both end, and are judged. */
  async finish(): Promise<readonly Verdict[]> {
    const { alice, bob } = this.#people;
    await finish(alice, bob);
    return verdicts(alice, bob);
  }

  /** After `finish`. */
  async putBack(): Promise<readonly string[]> {
    this.#faults.putBack++;
    this.#faults.clientKills += 2;
    const { alice, bob } = this.#people;
    return await putBack(alice, bob, this.#dice);
  }

  async #meet(fault: Fault): Promise<void> {
    const between = this.#between;
    switch (fault) {
      case "kill": {
        const victim = this.#dice.pick(["alice", "bob"] as const);
        this.#faults.clientKills++;
        await this.#people[victim].kill();
        await this.#dice.pause(300);
        return await this.#start(victim);
      }
      case "kill both":
        await this.kill();
        return await this.start();
      case "cut":
        return this.#cut();
      case "cut off":
        // The direct way is gone, and comes back.
        between.refuse();
        this.#cut();
        await this.#dice.pause(1500);
        return await between.accept();
      case "hold":
        return await this.#hold(this.#dice.pick(["alice", "bob"] as const));
      case "flaky":
        return this.#silences ? await this.#flake() : this.#cut();
      case "apart":
        await this.kill();
        if (this.#silences) await this.#visitAlone();
        return await this.start();
      case "silence": {
        if (!this.#silences) return this.#cut();
        this.#faults.silences++;
        const proxies = [...Object.values(between.people), ...Object.values(between.servers)];
        for (const proxy of proxies) proxy.swallow();
        await new Promise((resolve) => setTimeout(resolve, SILENCE));
        for (const proxy of proxies) proxy.release();
      }
    }
  }

  /** Nothing can be written for a while. Both say so, and wait: nobody connects again and again, or says it again. */
  async #hold(victim: Name): Promise<void> {
    const { alice, bob } = this.#people;
    this.#faults.heldStores++;
    const release = await this.#people[victim].holdStore();
    try {
      // What was under way has come to rest.
      await new Promise((resolve) => setTimeout(resolve, 500));
      const before = this.#doings;
      await Promise.all([alice.write(2), bob.write(2)]);
      await new Promise((resolve) => setTimeout(resolve, HELD));
      const { connects, lines } = this.#doings;
      const more = { connects: connects - before.connects, lines: lines - before.lines };
      if (more.connects > CONNECTS_HELD || more.lines > LINES_HELD) {
        this.#storms.push(`${victim} could not write for ${HELD} ms: ${JSON.stringify(more)}`);
      }
    } finally {
      release();
    }
  }

  /** They are never there together: what they write they leave at the server, and are killed while they do. */
  async #visitAlone(): Promise<void> {
    for (let visits = 2 + this.#dice.below(4); visits > 0; visits--) {
      const name = this.#dice.pick(["alice", "bob"] as const), person = this.#people[name];
      await this.#start(name);
      const feeding = person.feed(this.#dice.below(LINES));
      await this.#dice.pause(ALONE);
      await person.kill();
      await feeding;
      this.#faults.visitsAlone++;
      this.#faults.clientKills++;
    }
  }

  /** What the two programs have done so far. */
  get #doings(): { readonly connects: number; readonly lines: number } {
    const { people, servers } = this.#between;
    const proxies = [...Object.values(people), ...Object.values(servers)];
    const { alice, bob } = this.#people;
    return {
      connects: proxies.flatMap(({ connections }) => connections).length,
      lines: alice.statusLines + bob.statusLines,
    };
  }

  /** A line that is cut again and again, as on a train; each connection has brought something before. */
  async #flake(): Promise<void> {
    const { alice, bob } = this.#people;
    for (let meetings = 0; meetings < FLAKY; meetings++) {
      await alice.write(1);
      await bob.showsLine(`${alice.name} ${alice.lines - 1}`);
      this.#faults.flakyMeetings++;
      this.#cut();
    }
  }

  /** Whatever connects them: each other, a relay, or each to the server. */
  #cut(): void {
    const { people, servers } = this.#between;
    const proxies = this.#dice.pick([
      Object.values(people),
      [...Object.values(people), ...Object.values(servers)],
      [servers.alice],
    ]);
    const how = this.#dice.pick(["rst", "fin"] as const);
    const within = this.#dice.pick([0, 0, 300, 5000]);
    for (const connection of proxies.flatMap(({ connections }) => connections)) {
      if (!connection.isOpen) continue;
      this.#faults.cuts++;
      const direction = this.#dice.pick(["toTarget", "toClient"] as const);
      if (within === 0) connection.cut(how);
      else connection.cutAfter(direction, connection.count(direction) + within, how);
    }
  }

  /** A program whose first contact with the server fails ends at once, and is started again. */
  async #start(name: Name): Promise<void> {
    for (;;) {
      await this.#server.isUp;
      const program = this.#people[name].start();
      try {
        await program.event("registered");
        return;
      } catch (error) {
        // What ended it is in its log; it runs no longer only if that was a failure to begin.
        if (!program.events.some(({ event }) => event === "error")) throw error;
      }
    }
  }
}
