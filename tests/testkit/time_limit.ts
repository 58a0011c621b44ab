/**
 * A time limit for every test, so that a fault shows as a failing name and not as a hang. Deno has none:
 * `deno task test` preloads this file, which puts one into `Deno.test`. It works by a timer, so a test that
 * never lets go of the event loop still hangs; Deno names that one when it has run for a minute.
 */
import { runInThisContext } from "node:vm";

type Case = (t: Deno.TestContext) => void | Promise<void>;
// deno-lint-ignore no-explicit-any -- a test is registered by many forms of call, which pass through
type Register = (...args: any[]) => any;
type Test = Register & { readonly each: Register; readonly ignore?: Test; readonly only?: Test };

/** Seconds for a test that does not ask for others; fewer are of use when trying many faults. */
const LIMIT = Number(Deno.env.get("CIFRA_TEST_SECONDS") ?? 60);
const asked = new WeakMap<Case, number>();
/** The test under way: one that Deno has given up is no longer late. */
let running: Case | undefined;

/** A test that takes longer than others: `Deno.test("a soak", within(180, async () => {}))`. */
export function within(seconds: number, test: Case): Case {
  asked.set(test, seconds);
  return test;
}

/** The same test, which fails when its time is over; what it held open then stays so. */
function limited(test: Case, register: Register): Case {
  const seconds = asked.get(test) ?? LIMIT;
  const late = new Error(`The test did not end within ${seconds} s`);
  // The stack says where the test stands in its file.
  Error.captureStackTrace(late, register);
  const run = async (...args: Parameters<Case>) => {
    running = test;
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      if (running === test) reject(late);
    }, 1000 * seconds);
    // Deno gives up at once on a test that nothing could end any more, and goes on to the next.
    Deno.unrefTimer(timer);
    try {
      await Promise.race([test(...args), promise]);
    } finally {
      clearTimeout(timer);
    }
  };
  // A test may have its name from its function.
  return Object.defineProperty(run, "name", { value: test.name });
}

/** The arguments of `Deno.test` with their test limited, wherever it stands. */
function limitedCall(args: readonly unknown[], register: Register): unknown[] {
  return args.map((arg) => {
    if (typeof arg === "function") return limited(arg as Case, register);
    if (typeof arg !== "object" || arg === null || !("fn" in arg)) return arg;
    return { ...arg, fn: limited(arg.fn as Case, register) };
  });
}

/**
 * Deno tells the place of a test by whoever calls `Deno.test`, but for its own code, which it knows by such a
 * file name: so the test's own file is told and not this one.
 */
const passing: (register: Register, change: typeof limitedCall) => Register = runInThisContext(
  "(register, change) => function test(...args) { return register(...change(args, test)); }",
  { filename: "ext:time_limit" },
);

function withLimit(test: Test): Test {
  return Object.assign(passing(test, limitedCall), test, {
    each: (cases: unknown) => passing(test.each(cases), limitedCall),
    ...(test.ignore && { ignore: withLimit(test.ignore) }),
    ...(test.only && { only: withLimit(test.only) }),
  });
}

Object.assign(Deno, { test: withLimit(Deno.test as unknown as Test) });
