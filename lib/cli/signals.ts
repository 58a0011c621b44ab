/** Ctrl-C and its relatives as a value: the signal is aborted with its name. */
export interface Signals {
  readonly interrupted: AbortSignal;
  readonly stop: () => void;
}

/** Listens for SIGINT and SIGTERM (SIGINT alone on Windows) until `stop` is called. */
export function listenForSignals(): Signals {
  const controller = new AbortController();
  const names: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const handlers = names.map((name) => [name, () => controller.abort(name)] as const);
  for (const [name, handler] of handlers) Deno.addSignalListener(name, handler);
  return {
    interrupted: controller.signal,
    stop: () => {
      for (const [name, handler] of handlers) Deno.removeSignalListener(name, handler);
    },
  };
}

/** The exit code after a signal: 130 for Ctrl-C, 0 for an orderly end that was asked for. */
export function exitCodeOfSignal(signal: AbortSignal): number {
  return signal.reason === "SIGTERM" ? 0 : 130;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
