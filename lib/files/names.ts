/**
 * Names of files and folders that somebody else has chosen, as they are written here. They lead nowhere, hide nothing
 * and take no other name's place; what cannot stay is written as `_`. Whoever shows a name shows what is written.
 */
import { encodeUtf8 } from "../bytes.ts";
import { LOCAL_NAME_LIMIT } from "../limits.ts";
import { cutPiles, replaceInvisible } from "../wire/invisible.ts";

/** Whose rules hold on a disk: those of Windows hold on the disks that it made as well (FAT, exFAT, NTFS). */
export type NameRules = "posix" | "windows";

/** A name as it is written here. */
export interface LocalName {
  readonly name: string;
  /** Whether the other side calls it otherwise. */
  readonly isChanged: boolean;
}

/** What our own folders of unfinished transfers begin with: nobody else's do. */
export const STAGING_PREFIX = ".cifra-";

const INSTEAD = "_";
/** What separates the parts of a path, here or elsewhere, and what drives terminals. */
const NOWHERE = /[\p{Cc}/\\]/gu;
/** Nothing, this folder, the one above, or blanks alone. */
const NO_NAME = /^(?:\.{0,2}|\s+)$/;
const NOT_ON_WINDOWS = /[<>:"|?*]/g;
/** Windows leaves these out, so that another name is meant. */
const LEFT_OUT_ON_WINDOWS = /[. ]+$/;
/** Devices of Windows, whatever comes behind the first full stop. */
const DEVICE =
  /^(?:con|prn|aux|nul|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]|con(?:in|out)\$|clock\$) *(?:\.|$)/i;
/** A name and its extension, which may be one of two parts; a name may have none. */
const EXTENSION = /^(.+?)((?:\.tar)?\.[^.\s]{1,16})?$/su;

/** The name under which `name` is written, were it alone in its folder. Made harmless twice, a name is the same. */
export function harmlessName(name: string, rules: NameRules): string {
  let harmless = cutPiles(replaceInvisible(name.replace(NOWHERE, INSTEAD), () => INSTEAD));
  if (rules === "windows") harmless = harmless.replace(NOT_ON_WINDOWS, INSTEAD);
  const isOurs = harmless.toLowerCase().startsWith(STAGING_PREFIX);
  if (isOurs || rules === "windows" && DEVICE.test(harmless)) harmless = `${INSTEAD}${harmless}`;
  harmless = withinLimit(harmless, "");
  if (rules === "windows") harmless = harmless.replace(LEFT_OUT_ON_WINDOWS, INSTEAD);
  return NO_NAME.test(harmless) ? INSTEAD : harmless;
}

/**
 * The name under which `name` is written in a folder where `taken` names are others': with a number before its
 * extension, `photo (2).jpg`, should it be one of them. `from`: the first number to try.
 */
export function localName(
  name: string,
  rules: NameRules,
  taken: (name: string) => boolean,
  from = 2,
): LocalName & { readonly number: number } {
  const plain = harmlessName(name, rules);
  let written = plain;
  let number = from - 1;
  while (taken(written)) written = numbered(plain, ++number);
  return { name: written, isChanged: written !== name, number };
}

/** `name` with a number that tells it from others: before its extension, within the limit of a name. */
function numbered(name: string, number: number): string {
  const [, stem = name, extension = ""] = EXTENSION.exec(name) ?? [];
  return withinLimit(stem, ` (${number})${extension}`);
}

/** `stem` and `end`, with as much of the stem as fits. */
function withinLimit(stem: string, end: string): string {
  const room = LOCAL_NAME_LIMIT - encodeUtf8(end).length;
  if (encodeUtf8(stem).length <= room) return `${stem}${end}`;
  let cut = "";
  let length = 0;
  for (const letter of stem) {
    length += encodeUtf8(letter).length;
    if (length > room) break;
    cut += letter;
  }
  // What joined the last letter to the next one joins nothing now.
  return `${replaceInvisible(cut, () => INSTEAD)}${end}`;
}

/** What two names share that are one to some disk: by capitals, by Unicode form, by what is not drawn. */
function collisionKey(name: string): string {
  return name.replace(/\p{Default_Ignorable_Code_Point}/gu, "").normalize("NFD").toUpperCase()
    .toLowerCase().normalize("NFD");
}

/** The names in one folder, of which no two are one to any disk. */
export class Siblings {
  readonly #rules: NameRules;
  readonly #keys = new Set<string>();
  /** Last number by what it was given for: a hundred thousand names that are one take no longer than others. */
  readonly #numbers = new Map<string, number>();

  /** `there`: the names that are in the folder already. */
  constructor(rules: NameRules, there: Iterable<string> = []) {
    this.#rules = rules;
    for (const name of there) this.#keys.add(collisionKey(name));
  }

  /** The name under which the next one is written; from now on it is taken. */
  take(name: string): LocalName {
    const key = collisionKey(harmlessName(name, this.#rules));
    const local = localName(
      name,
      this.#rules,
      (written) => this.#keys.has(collisionKey(written)),
      (this.#numbers.get(key) ?? 1) + 1,
    );
    this.#keys.add(collisionKey(local.name));
    this.#numbers.set(key, local.number);
    return { name: local.name, isChanged: local.isChanged };
  }
}
