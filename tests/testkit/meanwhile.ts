/** What somebody else does to a path at the worst moment: between two steps of the program, both of them real. */

/** Calls of Deno that look at a path, or open it. */
type Call = "lstatSync" | "statSync" | "openSync" | "open";

/**
 * Runs `action` once, right after `Deno[call]` has dealt with `path`, and before its caller goes on. To be
 * disposed of, which throws when it never came to that.
 */
export function meanwhile(call: Call, path: string, action: () => void): Disposable {
  const calls = Deno as unknown as Record<Call, (...args: unknown[]) => unknown>;
  const real = calls[call];
  let isDone = false;
  const act = () => {
    if (isDone) return;
    isDone = true;
    action();
  };
  calls[call] = (...args) => {
    if (args[0] !== path) return real(...args);
    if (call === "open") return (real(...args) as Promise<unknown>).finally(act);
    try {
      return real(...args);
    } finally {
      act();
    }
  };
  return {
    [Symbol.dispose]() {
      calls[call] = real;
      if (!isDone) throw new Error(`nobody asked for ${path} with Deno.${call}`);
    },
  };
}
