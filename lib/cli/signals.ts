/** Ctrl-C and its relatives, as a value. */
import { CifraError, exitCodeOf } from "../errors.ts";

/** Tells of the signals of the system; `interrupted` is aborted with the name of the first. */
export interface Signals {
  readonly interrupted: AbortSignal;
  /** As if Ctrl-C had come: for a terminal that gives it as a letter. */
  readonly interrupt: () => void;
  readonly stop: () => void;
}

/**
 * Listens for SIGINT and SIGTERM (SIGINT alone on Windows) until `stop` is called, and for SIGHUP, which comes
 * when a terminal is closed: unless we have none, as when nohup has made us deaf to it.
 */
export function listenForSignals(): Signals {
  const controller = new AbortController();
  const names: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const hasTerminal = [Deno.stdin, Deno.stdout, Deno.stderr].some((each) => each.isTerminal());
  if (hasTerminal && Deno.build.os !== "windows") names.push("SIGHUP");
  const handlers = names.map((name) => [name, () => controller.abort(name)] as const);
  for (const [name, handler] of handlers) Deno.addSignalListener(name, handler);
  return {
    interrupted: controller.signal,
    interrupt: () => controller.abort("SIGINT"),
    stop: () => {
      for (const [name, handler] of handlers) Deno.removeSignalListener(name, handler);
    },
  };
}

/**
 * The exit code after a signal: 130 for Ctrl-C, 0 for an orderly end that was asked for; never 0 when the command
 * `isWhole`, so that only its own end is success.
 */
export function exitCodeOfSignal(signal: AbortSignal, isWhole = false): number {
  const isOrderly = signal.reason === "SIGTERM" || signal.reason === "SIGHUP";
  return isOrderly && !isWhole ? 0 : exitCodeOf("interrupted");
}

/** The exit code when `error` only tells of a signal; throws every other error. */
export function exitCodeOfInterruption(
  error: unknown,
  signal: AbortSignal,
  isWhole = false,
): number {
  if (!(error instanceof CifraError) || error.code !== "interrupted") throw error;
  return exitCodeOfSignal(signal, isWhole);
}
