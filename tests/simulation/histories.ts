/** Many histories, and what they came to together. */
import { type Report, runSchedule, type ScheduleOptions } from "./schedule.ts";

/** Sums over histories. */
export interface Summary {
  readonly schedules: number;
  readonly kills: number;
  readonly accepted: number;
  readonly recovered: number;
  readonly mailed: number;
  /** Milliseconds of the median and of the slowest, from both connected to everything shown. */
  readonly drained: { readonly median: number; readonly slowest: number };
  /** In how many each way was used. */
  readonly paths: ReadonlyMap<string, number>;
}

/** Runs the histories of these seeds, each as `optionsOf` says; throws the first Violation. */
export async function runAll(
  seeds: Iterable<number>,
  optionsOf: (seed: number) => ScheduleOptions = () => ({}),
  enough: (accepted: number) => boolean = () => false,
): Promise<Summary> {
  const reports: Report[] = [];
  let accepted = 0;
  for (const seed of seeds) {
    const report = await runSchedule(seed, optionsOf(seed));
    reports.push(report);
    accepted += report.accepted;
    if (enough(accepted)) break;
  }
  return summarize(reports);
}

function summarize(reports: readonly Report[]): Summary {
  const sum = (count: (report: Report) => number) =>
    reports.reduce((total, report) => total + count(report), 0);
  const drained = reports.map((report) => report.drained).sort((a, b) => a - b);
  const paths = new Map<string, number>();
  for (const report of reports) {
    for (const path of report.paths) paths.set(path, (paths.get(path) ?? 0) + 1);
  }
  return {
    schedules: reports.length,
    kills: sum(({ kills }) => kills),
    accepted: sum((report) => report.accepted),
    recovered: sum(({ recovered }) => recovered),
    mailed: sum(({ mailed }) => mailed),
    drained: { median: drained[drained.length >> 1] ?? 0, slowest: drained.at(-1) ?? 0 },
    paths,
  };
}

/** A summary as a few lines. */
export function describe(summary: Summary): string {
  const { schedules, kills, accepted, recovered, mailed, drained, paths } = summary;
  const ways = [...paths].map(([path, count]) => `${path} ${count}`).join(", ");
  return [
    `schedules                    ${schedules}`,
    `kills                        ${kills}`,
    `messages accepted            ${accepted}`,
    "lost, repeated, out of order 0, 0, 0",
    `shown again, with a remark   ${recovered}`,
    `came by the mailbox          ${mailed}`,
    `until all was shown          median ${drained.median.toFixed(1)} ms, slowest ${
      drained.slowest.toFixed(0)
    } ms`,
    `ways                         ${ways}`,
  ].join("\n");
}
