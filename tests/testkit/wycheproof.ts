/** Reads the published vectors of tests/vectors/wycheproof. */

/** What every Wycheproof test has: a number to name it by, and what must come of it. */
export interface WycheproofTest {
  readonly tcId: number;
  readonly comment?: string;
  readonly flags?: readonly string[];
  readonly result: "valid" | "invalid" | "acceptable";
}

/** One group of a file: what its tests share, and the tests. */
export type WycheproofGroup<Shared, Test> = Shared & {
  readonly tests: readonly (Test & WycheproofTest)[];
};

interface WycheproofFile<Shared, Test> {
  readonly numberOfTests: number;
  readonly testGroups: readonly WycheproofGroup<Shared, Test>[];
}

/** The groups of `<name>_test.json`. `Shared` and `Test` are the fields of its schema in use. */
export async function readWycheproof<Shared, Test>(
  name: string,
): Promise<readonly WycheproofGroup<Shared, Test>[]> {
  const url = new URL(`../vectors/wycheproof/${name}_test.json`, import.meta.url);
  const file: WycheproofFile<Shared, Test> = JSON.parse(await Deno.readTextFile(url));
  const found = file.testGroups.reduce((sum, group) => sum + group.tests.length, 0);
  // A file cut short must not pass for a file without failures.
  if (found === 0 || found !== file.numberOfTests) {
    throw new Error(`Cannot use ${name}: ${file.numberOfTests} tests announced, ${found} found`);
  }
  return file.testGroups;
}

/** How a failure names its vector. */
export function describeTest(test: WycheproofTest): string {
  return `tcId ${test.tcId} (${test.result}) ${test.comment ?? ""} [${test.flags ?? ""}]`;
}
