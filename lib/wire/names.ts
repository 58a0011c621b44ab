/** Which names there are (PROTOCOL.md, attack A14). */
import { CifraError } from "../errors.ts";
import { NAME_LIMIT } from "../limits.ts";

const PATTERN = /^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$/;
/** The name under which the server itself answers. */
export const SERVER_NAME = "server";
/** Names of authority: nobody may look like one of them. */
const AUTHORITIES = [SERVER_NAME, "admin", "root", "system"];
/** Reserved as it stands: `ali`, which looks like it, is the name of many. */
const EVERYBODY = "all";

/** Whether `name` is one that somebody could have. */
export function isName(name: string): boolean {
  return isWellFormed(name) && !isReserved(name);
}

/** Throws `bad_name` unless a person may be called `name`. The text of the error repeats no bad name. */
export function requireName(name: string): void {
  if (!isWellFormed(name)) {
    throw new CifraError(
      "bad_name",
      `Cannot use this name: must be 1 to ${NAME_LIMIT} of a-z, 0-9, _ and -, from a letter or digit to one`,
      { hint: "choose a name such as alice or lab-3" },
    );
  }
  if (isReserved(name)) {
    throw new CifraError(
      "bad_name",
      `Cannot use the name "${name}": it is reserved, or looks like one that is`,
      { hint: "choose a name such as alice or lab-3" },
    );
  }
}

/** What would be a name without its capitals. */
const WITH_CAPITALS = /^(?=.*[A-Z])[A-Za-z0-9_-]+$/;

/** A name without capitals, as it is meant wherever a person writes one. What is no name is left as it is. */
export function withoutCapitals(name: string): string {
  return WITH_CAPITALS.test(name) ? name.toLowerCase() : name;
}

const ORDER = new Intl.Collator("en", { numeric: true });

/** The order in which names are listed: pupil-3 stands before pupil-10. Negative when `a` comes first. */
export function compareNames(a: string, b: string): number {
  return ORDER.compare(a, b);
}

const LOOKS: Readonly<Record<string, string>> = {
  "-": "",
  "_": "",
  "0": "o",
  "1": "l",
  "i": "l",
  "2": "z",
  "5": "s",
  "d": "cl",
  "m": "nn",
  "w": "vv",
};

/**
 * What a name looks like at a glance: two names with one skeleton can be taken for each other, so they
 * belong to one owner (PROTOCOL.md 3.7, attack A14). Wide letters are spelled by the narrow ones that look
 * like them, so that no name has two skeletons, whatever stands beside them.
 */
export function skeletonOf(name: string): string {
  return name.replace(/[-_0125dimw]/g, (sign) => LOOKS[sign]!)
    .replace(/r+(?=n)/g, (run) => "n".repeat(run.length));
}

const RESERVED_LOOKS: ReadonlySet<string> = new Set(AUTHORITIES.map(skeletonOf));

function isWellFormed(name: string): boolean {
  return name.length <= NAME_LIMIT && PATTERN.test(name);
}

function isReserved(name: string): boolean {
  return name === EVERYBODY || RESERVED_LOOKS.has(skeletonOf(name));
}
