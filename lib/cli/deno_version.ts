/** What cifra needs to run on. */
import { CifraError } from "../errors.ts";

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
