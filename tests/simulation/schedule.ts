/**
 * One seed, one history: two people talk through every fault that the seed chooses, then everything works again, and
 * the oracle looks at what came of it. A history that went wrong is told line by line with
 * `deno run --allow-all tests/simulation/replay.ts SEED`, one with a mailbox with `SEED mailbox`.
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
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** How often each of two who never meet is there, in peace, until all has arrived and both know it. */
const ROUNDS = 8;
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
  /** Messages that came by the mailbox. */
  readonly mailed: number;
  /** Milliseconds from the moment both were connected to the last message shown. */
  readonly drained: number;
  readonly paths: readonly string[];
}

/** What a history is about. */
export interface ScheduleOptions {
  /** How many messages. */
  readonly messages?: number;
  /** Whether people leave messages at the server as well, and are not always there. */
  readonly mailbox?: boolean;
  readonly onTrace?: (line: string) => void;
}

let identities: Promise<readonly Identity[]> | undefined;

/** Runs one history. Throws Violation, with the seed in its words. */
export async function runSchedule(seed: number, options: ScheduleOptions = {}): Promise<Report> {
  identities ??= makeIdentities(3);
  const made = await identities;
  const unhandled: unknown[] = [];
  const watch = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  addEventListener("unhandledrejection", watch);
  try {
    const report = await outsideOfPromises(() => new Schedule(seed, made, options).run());
    // What nobody has handled is told when the history is over.
    await outsideOfPromises(() => {});
    if (unhandled.length > 0) throw unhandled[0];
    return { seed, ...report };
  } catch (error) {
    await outsideOfPromises(() => {});
    const what = error instanceof Violation ? error.message : String((error as Error)?.stack);
    throw new Violation(`seed ${seed}${options.mailbox ? " mailbox" : ""}: ${what}`);
  } finally {
    removeEventListener("unhandledrejection", watch);
  }
}

function contains(bytes: Bytes): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(CANARY);
}

class Schedule {
  readonly #world: World;
  readonly #oracle = new Oracle();
  readonly #internet: Internet;
  readonly #server: ServerHost;
  readonly #alice: Talker;
  readonly #bob: Talker;
  readonly #messages: number;
  readonly #usesMailbox: boolean;
  /** Who is to be there at the moment. */
  #present: readonly Talker[];
  #said = 0;
  #kills = 0;
  #failure: unknown;
  /** Faults have ended. */
  #calm = false;

  constructor(
    seed: number,
    made: readonly Identity[],
    { messages, mailbox = false, onTrace }: ScheduleOptions,
  ) {
    this.#usesMailbox = mailbox;
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
        usesMailbox: mailbox,
      };
      const talker = new Talker(scenery, who, this.#server, ofServer);
      if (dice.oneIn(4)) talker.clockSkew = this.#anyClock();
      return talker;
    };
    this.#alice = person("alice", ALICE, ofAlice);
    this.#bob = person("bob", BOB, ofBob);
    this.#alice.peer = this.#bob;
    this.#bob.peer = this.#alice;
    this.#present = this.#people;
    // Sometimes there is no way between the two, for long: the relay has to do it.
    if (both === "allowed" && dice.oneIn(3)) this.#internet.swallow(ALICE, BOB);
  }

  run(): Omit<Report, "seed"> {
    const { dice } = this.#world;
    let drained = 0;
    if (this.#usesMailbox) this.#seasons();
    else this.#turmoil();
    if (this.#usesMailbox && dice.oneIn(2)) this.#settleApart();
    else {
      this.#calmDown();
      drained = this.#drain();
    }
    this.#oracle.finish();
    for (const person of this.#people) person.checkOutbox();
    return {
      hash: this.#world.hash,
      events: this.#world.count,
      accepted: this.#oracle.accepted,
      recovered: this.#oracle.recovered,
      kills: this.#kills,
      mailed: this.#alice.mailed + this.#bob.mailed,
      drained,
      paths: [...new Set([...this.#alice.paths, ...this.#bob.paths])],
    };
  }

  get #people(): readonly Talker[] {
    return [this.#alice, this.#bob];
  }

  #anyClock(): number {
    return this.#world.dice.between(-1, 1) * 365 * DAY;
  }

  /** Both are there, and everything goes wrong. */
  #turmoil(): void {
    const { dice } = this.#world;
    this.#startServer(dice.between(0, 300));
    for (const person of this.#people) this.#startIn(person, dice.between(0, 2000));
    const turmoil = dice.between(5000, 40_000);
    this.#talk(turmoil, this.#messages);
    this.#trouble(turmoil);
    this.#go(turmoil);
  }

  /** Now one is there, now the other, now both; long times lie between. */
  #seasons(): void {
    const { dice } = this.#world;
    const count = 2 + dice.below(5);
    const isPoor = dice.oneIn(3);
    for (let n = 1; n <= count; n++) {
      this.#present = dice.pick([[this.#alice], [this.#bob], this.#people]);
      this.#startServer(0);
      // Each reaches the server, and not the other.
      if (dice.oneIn(3)) this.#internet.swallow(ALICE, BOB);
      else this.#internet.mend(ALICE, BOB);
      this.#server.lies = isPoor && dice.oneIn(3);
      for (const person of this.#present) this.#startIn(person, dice.between(0, 2000));
      const season = dice.oneIn(4) ? dice.between(60_000, 1_000_000) : dice.between(3000, 40_000);
      this.#talk(season, Math.ceil(this.#messages * n / count));
      if (isPoor) this.#trouble(season);
      this.#makeCopies(season);
      this.#go(season);
      this.#allLeave();
      this.#timePasses();
    }
    this.#server.lies = false;
  }

  #startServer(after: number): void {
    this.#world.after(after, () => {
      if (!this.#server.isUp) this.#guard(() => this.#server.start());
    });
  }

  #startIn(person: Talker, milliseconds: number): void {
    this.#world.after(milliseconds, () => this.#start(person));
  }

  /** Those who are there go, in order or not. */
  #allLeave(): void {
    const { dice } = this.#world;
    const leaving = this.#present;
    this.#present = [];
    for (const person of leaving) {
      person.process?.awake();
      if (dice.oneIn(4)) person.process?.kill();
      else this.#guard(() => person.leave());
    }
    this.#go(dice.between(100, 10_000));
    for (const person of leaving) person.process?.kill();
  }

  /** Nobody is there for a while; who comes back may have another clock, or an old copy. */
  #timePasses(): void {
    const { dice } = this.#world;
    const pause = dice.pick([5000, 700_000, HOUR, DAY, 1.1 * DAY, 8 * DAY, 15 * DAY, 17 * DAY]);
    // A server that has nothing to do for days is not looked at.
    if (pause > HOUR || dice.oneIn(3)) this.#server.process?.kill();
    this.#go(pause);
    if (!this.#server.isUp && dice.oneIn(6)) this.#server.putMailBack();
    for (const person of this.#people) {
      if (dice.oneIn(10)) person.clockSkew = dice.pick([0, this.#anyClock()]);
      // A reader that keeps no ids cannot tell what an old copy says again from what it says anew.
      if (dice.oneIn(8) && person.peer.options.keepHistory) person.putBack();
    }
  }

  /** Copies are made at some moment of a season. */
  #makeCopies(until: number): void {
    const { dice } = this.#world;
    if (dice.oneIn(4)) this.#world.after(dice.between(0, until), () => this.#server.copyMail());
    for (const person of this.#people) {
      if (dice.oneIn(4)) this.#world.after(dice.between(0, until), () => person.copyProfile());
    }
  }

  /** From now on everything works, but the two are never there together. */
  #settleApart(): void {
    this.#calm = true;
    this.#world.trace("everything works again, for one at a time");
    const isDone = () =>
      this.#oracle.isQuiet && this.#people.every(({ outbox }) => outbox.size === 0);
    for (let n = 0; n < ROUNDS; n++) {
      for (const person of this.#people) {
        this.#present = [person];
        if (!this.#server.isUp) this.#server.start();
        this.#start(person);
        this.#keepUp(person);
        if (n === 0) this.#go(3000);
        if (n === 0) this.#guard(() => person.say(`${this.#said++} ${CANARY}`));
        this.#go(30_000);
        this.#allLeave();
        this.#server.process?.kill();
        this.#go(13 * HOUR);
      }
      if (isDone()) return;
    }
    this.#oracle.finish();
    throw new Violation("I1: somebody never hears that their messages have arrived");
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

  /** Lines up to number `last`, one at a time and in bursts, at random moments. */
  #talk(until: number, last: number): void {
    const { dice } = this.#world;
    while (this.#said < last) {
      const person = dice.pick(this.#present);
      const count = Math.min(last - this.#said, dice.oneIn(4) ? 1 + dice.below(20) : 1);
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
    if (this.#present.length === 0) return;
    const person = dice.pick(this.#present);
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
      if (this.#present.includes(person)) this.#start(person);
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
    this.#present = this.#people;
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
      if (!this.#present.includes(person)) return;
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
