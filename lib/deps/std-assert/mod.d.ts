// deno-lint-ignore-file no-explicit-any
// The part of @std/assert that the tests use, typed as there.

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg?: string): asserts expr;

/** Fails unless `actual` and `expected` are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void;

/** Fails if `actual` and `expected` are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;

/** Fails unless the two are the same value by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T;

/** Fails unless `actual` is an instance of `expectedType`. */
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T>;

/** Fails unless `actual` matches the expression. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void;

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void;

/** Fails unless `fn` throws; returns what it threw. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: new (...args: any[]) => E,
  msgIncludes?: string,
): E;

/** Fails unless `fn` rejects; resolves to the rejection. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: new (...args: any[]) => E,
  msgIncludes?: string,
): Promise<E>;

/** Fails at once. */
export function fail(msg?: string): never;
