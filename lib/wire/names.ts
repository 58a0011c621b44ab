/** Which names there are (PROTOCOL.md, attack A14). */
import { CifraError } from "../errors.ts";
import { NAME_LIMIT } from "../limits.ts";

const PATTERN = /^[a-z0-9][a-z0-9_-]*$/;
/** The name under which the server itself answers. */
export const SERVER_NAME = "server";
const RESERVED: ReadonlySet<string> = new Set([SERVER_NAME, "admin", "root", "system", "all"]);

/** Whether `name` is one that somebody could have. */
export function isName(name: string): boolean {
  return name.length <= NAME_LIMIT && PATTERN.test(name) && !RESERVED.has(name);
}

/** Throws `bad_name` unless a person may be called `name`. The text of the error repeats no bad name. */
export function requireName(name: string): void {
  if (RESERVED.has(name)) {
    throw new CifraError("bad_name", `Cannot use the name "${name}": it is reserved`);
  }
  if (!isName(name)) {
    throw new CifraError(
      "bad_name",
      `Cannot use this name: must be 1 to ${NAME_LIMIT} of a-z, 0-9, _ and -, starting with a letter or digit`,
      { hint: "choose a name such as alice or lab-3" },
    );
  }
}

/**
 * What a name looks like at a glance: two names with one skeleton can be taken for each other, so they
 * belong to one owner (attack A14).
 */
export function skeletonOf(name: string): string {
  return name.replaceAll("_", "-").replaceAll("0", "o").replaceAll("1", "l")
    .replaceAll("rn", "m").replaceAll("vv", "w");
}
