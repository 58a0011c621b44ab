/**
 * One seed, one history: two people talk through every fault that the seed chooses, then everything works again, and
 * the oracle looks at what came of it. A history that went wrong is told line by line with
 * `deno run --allow-all tests/simulation/replay.ts SEED`.
 */
import { Buffer } from "node:buffer";
import type { Bytes } from "../../lib/bytes.ts";
import type { Identity } from "../../lib/crypto/identity.ts";
import type { RelayChoice } from "../../lib/client/home.ts";
import { makeIdentities } from "./crypto.ts";
import { Internet } from "./network.ts";
import { Oracle, Violation } from "./oracle.ts";
import { type Scenery, ServerHost, Talker, type TalkerOptions } from "./people.ts";
import { outsideOfPromises, World } from "./world.ts";

const SERVER = "10.0.0.1", ALICE = "10.0.0.2", BOB = "10.0.0.3";
/** In every text: it must never be on the wire. */
const CANARY = "~plain~";
/** How long everything works before whatever was accepted must be there. */
const PATIENCE = 120_000;

/** How a history went. */
export interface Report {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly accepted: number;
  readonly recovered: number;
  readonly kills: number;
  /** Milliseconds from the moment both were connected to the last message shown. */
  readonly drained: number;
  readonly paths: readonly string[];
}

/** How many messages, and how long the faults last. */
export interface ScheduleOptions {
  readonly messages?: number;
  readonly onTrace?: (line: string) => void;
}

let identities: Promise<readonly Identity[]> | undefined;

/** Runs one history. Throws Violation, with the seed in its words. */
export async function runSchedule(seed: number, options: ScheduleOptions = {}): Promise<Report> {
  identities ??= makeIdentities(3);
  const made = await identities;
  return await outsideOfPromises(() => new Schedule(seed, made, options).run());
}

function contains(bytes: Bytes): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(CANARY);
}

class Schedule {
  readonly #seed: number;
  readonly #world: World;
  readonly #oracle = new Oracle();
  readonly #internet: Internet;
  readonly #server: ServerHost;
  readonly #alice: Talker;
  readonly #bob: Talker;
  readonly #messages: number;
  #said = 0;
  #kills = 0;
  #failure: unknown;
  /** Faults have ended. */
  #calm = false;

  constructor(seed: number, made: readonly Identity[], { messages, onTrace }: ScheduleOptions) {
    this.#seed = seed;
    this.#world = new World(seed, onTrace);
    this.#messages = messages ?? 20 + this.#world.dice.below(60);
    this.#internet = new Internet(this.#world, (bytes) => {
      if (contains(bytes)) throw new Violation("I7: a text is on the wire as it is");
    });
    const scenery: Scenery = {
      world: this.#world,
      internet: this.#internet,
      oracle: this.#oracle,
    };
    const [ofServer, ofAlice, ofBob] = made as [Identity, Identity, Identity];
    this.#server = new ServerHost(scenery, SERVER, ofServer);
    const { dice } = this.#world;
    const both: RelayChoice = dice.pick(["allowed", "allowed", "allowed", "only", "never"]);
    const person = (name: string, host: string, identity: Identity) => {
      const who: TalkerOptions = {
        name,
        host,
        identity,
        relay: both,
        keepHistory: !dice.oneIn(4),
        clockSkew: dice.oneIn(4) ? dice.between(-1, 1) * 365 * 24 * 3_600_000 : 0,
      };
      return new Talker(scenery, who, this.#server, ofServer);
    };
    this.#alice = person("alice", ALICE, ofAlice);
    this.#bob = person("bob", BOB, ofBob);
    this.#alice.peer = this.#bob;
    this.#bob.peer = this.#alice;
    // Sometimes there is no way between the two, for long: the relay has to do it.
    if (both === "allowed" && dice.oneIn(3)) this.#internet.swallow(ALICE, BOB);
  }

  run(): Report {
    const { dice } = this.#world;
    const watch = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      this.#failure ??= event.reason;
    };
    addEventListener("unhandledrejection", watch);
    try {
      this.#world.after(dice.between(0, 300), () => this.#guard(() => this.#server.start()));
      for (const person of this.#people) {
        this.#world.after(dice.between(0, 2000), () => this.#start(person));
      }
      const turmoil = dice.between(5000, 40_000);
      this.#talk(turmoil);
      this.#trouble(turmoil);
      this.#go(turmoil);
      this.#calmDown();
      const drained = this.#drain();
      this.#oracle.finish();
      return {
        seed: this.#seed,
        hash: this.#world.hash,
        events: this.#world.count,
        accepted: this.#oracle.accepted,
        recovered: this.#oracle.recovered,
        kills: this.#kills,
        drained,
        paths: [...new Set([...this.#alice.paths, ...this.#bob.paths])],
      };
    } catch (error) {
      const what = error instanceof Violation ? error.message : String((error as Error)?.stack);
      throw new Violation(`seed ${this.#seed}: ${what}`);
    } finally {
      removeEventListener("unhandledrejection", watch);
    }
  }

  get #people(): readonly Talker[] {
    return [this.#alice, this.#bob];
  }

  /** Lets time pass; what a program throws ends the history. */
  #go(milliseconds: number, done: () => boolean = () => false): boolean {
    const result = this.#world.run(milliseconds, () => this.#failure !== undefined || done());
    if (this.#failure !== undefined) throw this.#failure;
    return result;
  }

  #guard(action: () => unknown): void {
    const fail = (error: unknown) => {
      this.#failure ??= error ?? new Error("something was thrown");
    };
    try {
      const result = action();
      if (result instanceof Promise) result.catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  #start(person: Talker): void {
    if (!person.isUp) this.#guard(() => person.start());
  }

  /** Lines, one at a time and in bursts, at random moments. */
  #talk(until: number): void {
    const { dice } = this.#world;
    while (this.#said < this.#messages) {
      const person = dice.pick(this.#people);
      const count = Math.min(this.#messages - this.#said, dice.oneIn(4) ? 1 + dice.below(20) : 1);
      const first = this.#said;
      this.#said += count;
      this.#world.after(dice.between(0, until), () => {
        for (let n = first; n < first + count; n++) {
          const size = dice.oneIn(20) ? dice.below(16_000) : dice.below(60);
          const text = `${n} ${CANARY}${"x".repeat(size)}`;
          this.#guard(() => person.say(text));
        }
      });
    }
  }

  /** Faults of every kind, until the moment `until`. */
  #trouble(until: number): void {
    const { dice } = this.#world;
    const count = dice.below(12);
    for (let n = 0; n < count; n++) {
      this.#world.after(dice.between(0, until), () => {
        if (!this.#calm) this.#guard(() => this.#harm());
      });
    }
  }

  #harm(): void {
    const { dice } = this.#world;
    const [a, b] = dice.pick([[ALICE, BOB], [ALICE, SERVER], [BOB, SERVER]] as const);
    const person = dice.pick(this.#people);
    switch (dice.below(8)) {
      case 0:
      case 1:
        return this.#kill(person);
      case 2:
        return this.#killServer();
      case 3:
        return this.#internet.cut(a, b);
      case 4:
        this.#internet.swallow(a, b);
        this.#world.after(dice.between(50, 30_000), () => this.#internet.mend(a, b));
        return;
      case 5:
        // Across a new network: every connection is gone, also those that were swallowed.
        this.#internet.cut(ALICE, BOB);
        return this.#internet.cut(person.options.host, SERVER);
      case 6:
        return person.process?.sleep(dice.between(100, dice.oneIn(3) ? 100_000 : 5000));
      case 7:
        this.#guard(() => person.leave());
        return this.#startLater(person);
    }
  }

  /** At the moment, or after some more steps; sometimes with all others; and starts it again. */
  #kill(person: Talker): void {
    const { dice } = this.#world;
    const all = dice.oneIn(6);
    for (const each of all ? this.#people : [person]) {
      if (!each.isUp) continue;
      this.#kills++;
      each.process!.fuse = 1 + dice.below(60);
      this.#startLater(each);
    }
    if (all) this.#killServer();
  }

  #startLater(person: Talker): void {
    const { dice } = this.#world;
    this.#world.after(dice.between(10, 8000), () => {
      person.process?.kill();
      this.#start(person);
    });
  }

  #killServer(): void {
    const { dice } = this.#world;
    if (!this.#server.isUp) return;
    this.#kills++;
    this.#server.process!.fuse = 1 + dice.below(60);
    this.#world.after(dice.between(10, 8000), () => {
      this.#server.process?.kill();
      this.#guard(() => this.#server.start());
    });
  }

  /** From now on everything works, and everybody is there. */
  #calmDown(): void {
    this.#calm = true;
    this.#world.trace("everything works again");
    for (const [a, b] of [[ALICE, BOB], [ALICE, SERVER], [BOB, SERVER]] as const) {
      this.#internet.mend(a, b);
    }
    if (!this.#server.isUp) this.#guard(() => this.#server.start());
    else this.#server.process!.fuse = Infinity;
    for (const person of this.#people) {
      if (person.isUp) person.process!.fuse = Infinity;
      person.process?.awake();
      this.#start(person);
      this.#keepUp(person);
      // So that there is always something to deliver.
      this.#world.after(this.#world.dice.between(0, 3000), () => {
        this.#guard(() => person.say(`${this.#said++} ${CANARY}`));
      });
    }
  }

  /** Somebody looks after the program: one that has given up is started again. */
  #keepUp(person: Talker): void {
    this.#world.after(1000, () => {
      this.#start(person);
      this.#keepUp(person);
    });
  }

  /** Milliseconds from the moment when both are connected until all has been shown. */
  #drain(): number {
    let since: number | undefined;
    // Whoever still has something to say says it first.
    this.#go(3000);
    const quiet = this.#go(PATIENCE, () => {
      const connected = this.#people.every((person) => person.connectedSince !== undefined);
      since = connected ? since ?? this.#world.now : undefined;
      return this.#oracle.isQuiet;
    });
    if (!quiet) this.#oracle.finish();
    const drained = since === undefined ? 0 : this.#world.now - since;
    if (drained > 5000) throw new Violation(`I6: it took ${drained} ms until all was shown`);
    return drained;
  }
}
