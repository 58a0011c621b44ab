/**
 * Two who are never there together, as real processes: each writes and reads while the other is away, and is killed
 * without a word at any moment, as is the server. Then they visit in peace, still one after the other, and are judged.
 */
import { type Program, Scene } from "../testkit/program.ts";
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

/** What to play. */
export interface ApartOptions {
  /** Decides everything but what the machine does by itself. */
  readonly seed: number;
  /** Visits that a kill ends. */
  readonly visits: number;
}

/** What became of what both wrote, and how often somebody was killed. */
export interface Apart {
  readonly verdicts: readonly [Verdict, Verdict];
  readonly kills: number;
}

/** Plays it to its end. */
export async function liveApart({ seed, visits }: ApartOptions): Promise<Apart> {
  const dice = new Dice(seed);
  await using scene = await Scene.open();
  let server: Program = await scene.serve(LIMITS);
  let kills = 0;
  const args = ["--accept-new"];
  const alice = new Person(scene, "alice", "bob", args);
  const bob = new Person(scene, "bob", "alice", args);
  const restart = async () => {
    kills++;
    server.kill("SIGKILL");
    await server.exit();
    server = scene.start("serve", "server", ["--port", `${scene.port}`, "--json", ...LIMITS]);
    await server.event("listening");
  };
  const start = async (who: Person) => {
    who.start();
    await who.program.event("registered");
  };
  // Whoever was here once has a box.
  for (const who of [alice, bob]) {
    await start(who);
    await dice.pause(1500);
    await who.kill();
  }
  for (let visit = 0; visit < visits; visit++) {
    const who = dice.pick([alice, bob]);
    await start(who);
    const feeding = who.feed(dice.below(LINES));
    const killing = dice.below(4) === 0 ? dice.pause(VISIT).then(restart) : undefined;
    await dice.pause(VISIT);
    await who.kill();
    kills++;
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
        const number = await writesLast(who);
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
  return { verdicts: verdicts(alice, bob), kills };
}

/** Writes one more line; resolves to its number when it is on disk. */
async function writesLast(who: Person): Promise<number> {
  const before = numbersOf(who, "queued").length;
  await who.write(1);
  await who.program.until(
    "the last line is queued",
    () => numbersOf(who, "queued").length > before,
  );
  return numbersOf(who, "queued").at(-1)!;
}

function numbersOf({ program }: Person, ...kinds: readonly string[]): number[] {
  return program.events.filter(({ event }) => kinds.includes(event))
    .map(({ number }) => number as number);
}
