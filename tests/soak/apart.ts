/**
 * Two who are never there together, as real processes: each writes and reads while the other is away, and is killed
 * without a word at any moment, as is the server. Then they visit in peace, still one after the other, and are judged.
 */
import { type Program, Scene } from "../testkit/program.ts";
import { wordsIn } from "../testkit/strings.ts";
import type { Verdict } from "./checker.ts";
import { Dice } from "./dice.ts";
import { Person, verdicts } from "./person.ts";

/** Whoever seals again asks for keys again, which one person may of another once in ten minutes. */
const LIMITS = ["--handshakes-per-minute", "0", "--no-quotas"];
/** The longest visit that a kill ends: what is written is left after three seconds. */
const VISIT = 7000;
/** So long a visit in peace goes on when all is shown and left. */
const RECEIPT = 4000;
/** Lines of a visit at the most. */
const LINES = 40;
/** Messages of each of them at the least, over all. */
const LEAST = 50;

/** What to play. */
export interface ApartOptions {
  /** Decides everything but what the machine does by itself. */
  readonly seed: number;
  /** Visits that a kill ends. */
  readonly visits: number;
}

/** What became of what both wrote, and how often each of the three programs was killed. */
export interface Apart {
  readonly verdicts: readonly [Verdict, Verdict];
  readonly kills: Readonly<Record<"alice" | "bob" | "server", number>>;
  /** What of it could be read in the server's files whenever it was killed, and at the end. */
  readonly leaks: readonly string[];
}

/** Plays it to its end. */
export async function liveApart({ seed, visits }: ApartOptions): Promise<Apart> {
  const dice = new Dice(seed);
  await using scene = await Scene.open();
  let server: Program = await scene.serve(LIMITS);
  const kills = { alice: 0, bob: 0, server: 0 };
  const leaks: string[] = [];
  const args = ["--accept-new"];
  const alice = new Person(scene, "alice", "bob", args);
  const bob = new Person(scene, "bob", "alice", args);
  const lookForWords = async () => {
    const lines = [alice, bob].flatMap(({ runs }) => runs).flatMap(({ lines }) => lines);
    leaks.push(...await wordsIn(`${scene.stateOf("server")}/server`, lines));
  };
  const restart = async () => {
    kills.server++;
    server.kill("SIGKILL");
    await server.exit();
    await lookForWords();
    server = scene.start("serve", "server", ["--port", `${scene.port}`, "--json", ...LIMITS]);
    await server.event("listening");
  };
  const start = async (who: Person) => {
    who.start();
    await who.program.event("registered");
  };
  const isKilledAt = dice.below(visits);
  // Whoever was here once has a box.
  for (const who of [alice, bob]) {
    await start(who);
    await dice.pause(1500);
    await who.kill();
  }
  for (let visit = 0; visit < visits; visit++) {
    // Each of them at least once, if there are visits enough.
    const who = visit < 2 ? [alice, bob][visit]! : dice.pick([alice, bob]);
    await start(who);
    const feeding = who.feed(dice.below(LINES));
    const isServerKilled = visit === isKilledAt || dice.below(4) === 0;
    const killing = isServerKilled ? dice.pause(VISIT).then(restart) : undefined;
    await dice.pause(VISIT);
    await who.kill();
    kills[who === alice ? "alice" : "bob"]++;
    await feeding;
    await killing;
  }
  // In peace: what waits is brought, and what is missing is said again.
  const said = new Map<Person, string>();
  for (let round = 0; round < 4; round++) {
    for (const [who, other] of [[alice, bob], [bob, alice]] as const) {
      await start(who);
      const expected = said.get(other);
      if (expected !== undefined) await who.showsLine(expected);
      said.delete(other);
      if (round < 2) {
        const number = await writes(who, Math.max(1, LEAST - queuedBy(who)));
        said.set(who, `${who.name} ${who.lines - 1}`);
        await who.program.until(
          `${number} left for ${other.name}`,
          () => numbersOf(who, "on-server", "stored").some((told) => told >= number),
        );
      }
      // Time for a receipt.
      await new Promise((resolve) => setTimeout(resolve, RECEIPT));
      who.program.kill("SIGINT");
      await who.program.exit();
    }
  }
  await lookForWords();
  return { verdicts: verdicts(alice, bob), kills, leaks };
}

/** How many messages somebody was told are on disk, in all runs. */
function queuedBy({ runs }: Person): number {
  return runs.flatMap(({ events }) => events).filter(({ event }) => event === "queued").length;
}

/** Writes so many more lines; resolves to the number of the last when all are on disk. */
async function writes(who: Person, count: number): Promise<number> {
  const before = numbersOf(who, "queued").length;
  await who.write(count);
  await who.program.until(
    "the last line is queued",
    () => numbersOf(who, "queued").length >= before + count,
  );
  return numbersOf(who, "queued").at(-1)!;
}

function numbersOf({ program }: Person, ...kinds: readonly string[]): number[] {
  return program.events.filter(({ event }) => kinds.includes(event))
    .map(({ number }) => number as number);
}
