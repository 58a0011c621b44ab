/** Options of `parseArgs`: which flags are booleans, which take a string, which may repeat. */
export interface ParseOptions {
  readonly boolean?: readonly string[];
  readonly string?: readonly string[];
  readonly collect?: readonly string[];
  readonly negatable?: readonly string[];
  readonly alias?: Readonly<Record<string, string>>;
  readonly stopEarly?: boolean;
  readonly "--"?: boolean;
  /** Called for every argument no option names; return false to leave it out of the result. */
  readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** What was found: flags by name, and under `_` the arguments that are not flags. */
export interface ParsedArgs {
  readonly _: readonly (string | number)[];
  readonly [flag: string]: unknown;
}

/** Parses command-line arguments (the same as `@std/cli/parse-args`). */
export function parseArgs(args: readonly string[], options?: ParseOptions): ParsedArgs;
