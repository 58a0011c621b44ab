/**
 * Kills and cuts for as long as one likes, and counts: deno task soak --minutes 10 --seed 1
 *
 * Prints what each schedule did and found, and a table at the end; exits with 1 if anything at all was
 * lost, repeated, reordered, invented or stuck. A schedule is had again by its seed, as far as the
 * machine's own timing allows.
 */
import { parseArgs } from "@std/cli/parse-args";
import { isClean, type Verdict } from "./checker.ts";
import { type Faults, type Result, runSchedule } from "./schedule.ts";

/** Sums of all schedules. */
class Totals {
  readonly #counts = new Map<string, number>();
  violations = 0;

  add({ faults, verdicts, storms, aftermath, stuck }: Result): void {
    this.#count("schedules", 1);
    for (const [name, count] of Object.entries(LABELS.faults)) {
      this.#count(count, faults[name as keyof Faults]);
    }
    for (const [name, label] of Object.entries(LABELS.verdict)) {
      const sum = verdicts.map((verdict) => verdict[name as keyof Verdict])
        .reduce(
          (sum: number, found) => sum + (typeof found === "number" ? found : found.length),
          0,
        );
      this.#count(label, sum);
    }
    this.#count("storms", storms.length);
    this.#count("wrong after a profile was put back", aftermath.length);
    this.violations += storms.length + aftermath.length;
    this.#count("schedules that got stuck", stuck === undefined ? 0 : 1);
    this.violations += verdicts.filter((verdict) => !isClean(verdict)).length;
    if (stuck !== undefined) this.violations++;
  }

  /** A line for each sum. */
  toString(): string {
    return [...this.#counts].map(([name, count]) => `${name.padEnd(38)}${count}`).join("\n");
  }

  #count(name: string, more: number): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + more);
  }
}

const LABELS = {
  faults: {
    serverKills: "kills of the server",
    clientKills: "kills of clients",
    cuts: "connections cut",
    silences: "silences",
    heldStores: "times without a store",
    flakyMeetings: "meetings cut in a row",
    crowded: "programs of crowds",
    visitsAlone: "visits while the other was away",
    putBack: "conversations with a profile put back",
  },
  verdict: {
    submitted: "messages given to a program",
    queued: "accepted by it",
    stored: "acknowledged by the other side",
    shown: "shown there",
    recovered: "shown again, with the remark",
    lost: "lost",
    repeated: "repeated without the remark",
    misordered: "out of order",
    wrong: "otherwise wrong",
  },
} as const satisfies {
  readonly faults: Record<keyof Faults, string>;
  readonly verdict: Record<keyof Verdict, string>;
};

const given = parseArgs(Deno.args, {
  string: ["minutes", "seed", "pairs", "rounds"],
  boolean: ["quick"],
});
const numberOf = (name: "minutes" | "seed" | "pairs" | "rounds", usual: number) => {
  const value = Number(given[name] ?? usual);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} must be a number`);
  return value;
};
const quick = given.quick;
const minutes = numberOf("minutes", quick ? 0.4 : 10);
const seed = numberOf("seed", 1);
const pairs = numberOf("pairs", quick ? 2 : 4);
const rounds = numberOf("rounds", 5);
const crowd = quick ? 4 : 24;

const totals = new Totals();
const end = performance.now() + minutes * 60_000;
for (let number = 0; number === 0 || performance.now() < end; number++) {
  const options = { seed: seed + number, pairs, rounds, crowd, silences: !quick };
  const started = performance.now();
  const result = await runSchedule(options);
  totals.add(result);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const { serverKills, clientKills, cuts } = result.faults;
  console.log(
    `seed ${options.seed}: ${serverKills} + ${clientKills} kills, ${cuts} cuts, ${seconds} s`,
  );
  for (const verdict of result.verdicts) {
    if (!isClean(verdict)) console.log(`seed ${options.seed}: ${JSON.stringify(verdict)}`);
  }
  for (const storm of result.storms) console.log(`seed ${options.seed}: a storm: ${storm}`);
  for (const what of result.aftermath) console.log(`seed ${options.seed}: put back: ${what}`);
  if (result.stuck !== undefined) console.log(`seed ${options.seed} got stuck: ${result.stuck}`);
}
console.log(`\n${totals}`);
if (totals.violations > 0) Deno.exit(1);
