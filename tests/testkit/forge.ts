/** Messages that no encoder makes: valid ones with words in them that are none. */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { address } from "../../lib/wire/address.ts";
import { encode, type Layout } from "../../lib/wire/layout.ts";

/** Where words stand in a message: the names of layouts, from the outside to the field. */
export type Path = readonly string[];

/** Stands where the words will; a name, so that every field takes it. */
const MARK = "markmarkmarkmarkmark";

/**
 * The fields of `example` that hold words. Throws where the example does not reach every field of its layout: a
 * list of it must have an element.
 */
export function wordsIn(layout: Layout<unknown>, example: unknown, at: Path = []): readonly Path[] {
  if (layout === address) return [];
  if (layout.parts === undefined) return typeof example === "string" ? [at] : [];
  return partsOf(layout, example).flatMap(([name, part]) =>
    wordsIn(part, childOf(example, name), [...at, name])
  );
}

/** The encoding of `example` with `words` in the field at `path`, whatever they are. */
export function forge(
  layout: Layout<unknown>,
  example: unknown,
  path: Path,
  words: Bytes,
): Bytes {
  const marked = encode(layout, put(example, path));
  const mark = field(encodeUtf8(MARK));
  const start = indexOf(marked, mark);
  return concat([marked.subarray(0, start), field(words), marked.subarray(start + mark.length)]);
}

function partsOf(layout: Layout<unknown>, example: unknown): [string, Layout<unknown>][] {
  const entries = Object.entries(layout.parts!);
  const type = (example as { readonly type?: string }).type;
  const ofVariant = entries.filter(([name]) => name === type);
  return ofVariant.length > 0 ? ofVariant : entries;
}

function childOf(example: unknown, name: string): unknown {
  if (!Array.isArray(example)) {
    const fields = example as Readonly<Record<string, unknown>>;
    return name === fields.type ? withoutType(fields) : fields[name];
  }
  if (example.length === 0) throw new Error("An example has an empty list");
  return example[0];
}

function withoutType({ type: _, ...fields }: Readonly<Record<string, unknown>>): unknown {
  return fields;
}

function put(example: unknown, [name, ...rest]: Path): unknown {
  if (name === undefined) return MARK;
  if (Array.isArray(example)) return [put(example[0], rest), ...example.slice(1)];
  const fields = example as Readonly<Record<string, unknown>>;
  if (name !== fields.type) return { ...fields, [name]: put(fields[name], rest) };
  return { type: name, ...put(withoutType(fields), rest) as object };
}

function field(words: Bytes): Bytes {
  return concat([new Uint8Array([words.length >> 8, words.length & 0xff]), words]);
}

function indexOf(bytes: Bytes, wanted: Bytes): number {
  for (let at = 0; at + wanted.length <= bytes.length; at++) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  throw new Error("The mark is not there");
}
