/** What a running program could do at a moment, as `tests/e2e/fixtures/probe.ts` tells it from inside. */
import type { Program } from "./program.ts";

/** Flags that put the probe before `main.ts`. */
export const PROBE: readonly string[] = ["--preload", "tests/e2e/fixtures/probe.ts"];

/** When the probe tries what it could do. */
export type Moment = "start" | "touch" | "client" | "end";

/** What came of each attempt at this moment: `done`, or an error. */
export function probed(program: Program, moment: Moment): Promise<Record<string, string>> {
  const told = new RegExp(`^probed ${moment} (.*)\n`, "m");
  return program.until(`what it could do at the ${moment}`, () => {
    const [, results] = told.exec(program.stderr) ?? [];
    return results === undefined ? undefined : JSON.parse(results);
  });
}

/** Whether it was allowed, whatever came of it. */
export function may(result: string): boolean {
  return !result.startsWith("NotCapable");
}
