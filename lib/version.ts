/** What runs here, and what it takes. */
import { CifraError } from "./errors.ts";

/** The version of this program; `deno.json` says the same, and a test holds the two together. */
export const VERSION = "0.1.0";

/** The oldest Deno with which two meet directly: from a port of their choice, 2.7 does not dial and relays it all. */
const OLDEST_DENO = "2.9";

/** Throws `local` for a Deno, such as `2.7.11`, that is too old. */
export function requireDeno(version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [leastMajor = 0, leastMinor = 0] = OLDEST_DENO.split(".").map(Number);
  if (major > leastMajor || major === leastMajor && minor >= leastMinor) return;
  throw new CifraError(
    "local",
    `This is Deno ${version}, and cifra needs ${OLDEST_DENO} or newer`,
    {
      hint: "bring it up to date with deno upgrade, or npm install --global deno",
    },
  );
}
