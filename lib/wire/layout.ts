/**
 * The building blocks of message layouts. A layout is a value that both encodes and decodes; a message
 * is a `struct` of named fields in wire order. Integers are big-endian, variable fields carry a u16
 * length, and there is exactly one legal encoding: decoding refuses anything left over.
 */
import { concat } from "@std/bytes/concat";
import { type Bytes, decodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";

/** How values of type `T` stand on the wire. */
export interface Layout<T> {
  /** Appends the encoding of `value`; throws RangeError on a value that has none. */
  write(parts: Bytes[], value: T): void;
  /** Takes a value off the reader; throws `bad_frame`. */
  read(reader: Reader): T;
  /** The layouts that it is made of, by name, so that a test can visit each field of each message. */
  readonly parts?: Readonly<Record<string, Layout<unknown>>>;
}

/** What a layout decodes to. */
export type Of<L> = L extends Layout<infer T> ? T : never;

/** Encodes one whole message. */
export function encode<T>(layout: Layout<T>, value: T): Bytes {
  const parts: Bytes[] = [];
  layout.write(parts, value);
  return concat(parts);
}

/** Decodes one whole message; throws `bad_frame` on anything but its one legal encoding. */
export function decode<T>(layout: Layout<T>, bytes: Bytes): T {
  const reader = new Reader(bytes);
  const value = layout.read(reader);
  if (reader.remaining !== 0) {
    throw badFrame(`${reader.remaining} bytes are left over`);
  }
  return value;
}

/** The error of every malformed message. */
export function badFrame(why: string): CifraError {
  return new CifraError("bad_frame", `Cannot decode message: ${why}`);
}

/** A cursor over the bytes of one message. */
export class Reader {
  readonly #bytes: Bytes;
  readonly #view: DataView<ArrayBuffer>;
  #offset = 0;

  /** Reads `bytes` from their beginning. */
  constructor(bytes: Bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes not yet taken. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Bytes {
    return this.#bytes.subarray(this.#advance(length), this.#offset);
  }

  /** One byte; every read throws `bad_frame` beyond the end. */
  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  /** Two bytes, big-endian. */
  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  /** Four bytes, big-endian. */
  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** Eight bytes, big-endian. */
  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  #advance(length: number): number {
    if (length > this.remaining) {
      throw badFrame(`a field of ${length} bytes ends beyond the message`);
    }
    const start = this.#offset;
    this.#offset += length;
    return start;
  }
}

function integer(bytes: 1 | 2 | 4, read: (reader: Reader) => number): Layout<number> {
  return {
    write(parts, value) {
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * bytes)) {
        throw new RangeError(`Cannot encode ${value} in ${bytes} bytes`);
      }
      const encoded = new Uint8Array(bytes);
      for (let i = bytes - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) {
        encoded[i] = rest % 256;
      }
      parts.push(encoded);
    },
    read,
  };
}

/** Unsigned integers of one, two and four bytes, big-endian. */
export const u8 = integer(1, (reader) => reader.u8());
export const u16 = integer(2, (reader) => reader.u16());
export const u32 = integer(4, (reader) => reader.u32());

/** An unsigned integer of eight bytes, big-endian. */
export const u64: Layout<bigint> = {
  write(parts, value) {
    if (value < 0n || value >= 2n ** 64n) throw new RangeError(`Cannot encode ${value} in 8 bytes`);
    const encoded = new Uint8Array(8);
    new DataView(encoded.buffer).setBigUint64(0, value);
    parts.push(encoded);
  },
  read: (reader) => reader.u64(),
};

/** A size, an offset or a moment: 8 bytes, at most 2^53 - 1, so that a number holds it. */
export const u53: Layout<number> = {
  write(parts, value) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RangeError(`Cannot encode ${value} in 53 bits`);
    }
    u64.write(parts, BigInt(value));
  },
  read(reader) {
    const value = reader.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw badFrame(`${value} is above 2^53 - 1`);
    return Number(value);
  },
};

const UNKNOWN = 2n ** 64n - 1n;

/** The same, or 2^64 - 1 for what is not known: undefined. */
export const u53OrUnknown: Layout<number | undefined> = {
  write(parts, value) {
    if (value === undefined) u64.write(parts, UNKNOWN);
    else u53.write(parts, value);
  },
  read(reader) {
    const value = reader.u64();
    if (value === UNKNOWN) return undefined;
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw badFrame(`${value} is above 2^53 - 1`);
    return Number(value);
  },
};

/** Last moment that a date can name, in milliseconds since 1970. */
export const LAST_MOMENT = 8.64e15;

/** Milliseconds since 1970, up to `LAST_MOMENT`. */
export const moment: Layout<number> = {
  write(parts, value) {
    if (value > LAST_MOMENT) throw new RangeError(`Cannot encode ${value} as a moment`);
    u53.write(parts, value);
  },
  read(reader) {
    const value = u53.read(reader);
    if (value > LAST_MOMENT) throw badFrame(`no date is ${value}`);
    return value;
  },
};

/** 0 or 1, in a u8; every other value is refused. */
export const flag: Layout<number> = {
  write(parts, value) {
    if (value !== 0 && value !== 1) throw new RangeError(`Cannot encode ${value} as a flag`);
    u8.write(parts, value);
  },
  read(reader) {
    const value = reader.u8();
    if (value > 1) throw badFrame(`a flag is ${value}, not 0 or 1`);
    return value;
  },
};

/** One of a few numbers, in a u8; every other value is refused. `what` names it in the error. */
export function oneOf<N extends number>(
  numbers: Readonly<Record<string, N>>,
  what: string,
): Layout<N> {
  const known: ReadonlySet<number> = new Set(Object.values(numbers));
  const isKnown = (value: number): value is N => known.has(value);
  return {
    write(parts, value) {
      if (!isKnown(value)) throw new RangeError(`Cannot encode ${value} as ${what}`);
      u8.write(parts, value);
    },
    read(reader) {
      const value = reader.u8();
      if (!isKnown(value)) throw badFrame(`unknown ${what} ${value}`);
      return value;
    },
  };
}

/** Exactly `length` bytes. */
export function bytes(length: number): Layout<Bytes> {
  return {
    write(parts, value) {
      if (value.length !== length) {
        throw new RangeError(`Cannot encode ${value.length} bytes in a field of ${length}`);
      }
      parts.push(value);
    },
    read: (reader) => reader.take(length).slice(),
  };
}

/** A u16 length and that many bytes, at most `limit`. */
export function variable(limit: number): Layout<Bytes> {
  return {
    write(parts, value) {
      if (value.length > limit) {
        throw new RangeError(`Cannot encode ${value.length} > ${limit} bytes`);
      }
      u16.write(parts, value.length);
      parts.push(value);
    },
    read(reader) {
      const length = reader.u16();
      if (length > limit) {
        throw badFrame(`a field has ${length} bytes, at most ${limit} are allowed`);
      }
      return reader.take(length).slice();
    },
  };
}

/** Everything to the end of the message. */
export const rest: Layout<Bytes> = {
  write: (parts, value) => void parts.push(value),
  read: (reader) => reader.take(reader.remaining),
};

/** The text in a field; throws `bad_frame` on malformed UTF-8. */
export function readUtf8(field: Bytes): string {
  try {
    return decodeUtf8(field);
  } catch {
    throw badFrame("text is not UTF-8");
  }
}

/** A u8 count and that many elements, at most `limit`. */
export function list<T>(element: Layout<T>, limit: number): Layout<readonly T[]> {
  return {
    write(parts, values) {
      if (values.length > limit) throw new RangeError(`Cannot encode ${values.length} > ${limit}`);
      u8.write(parts, values.length);
      for (const value of values) element.write(parts, value);
    },
    read(reader) {
      const count = reader.u8();
      if (count > limit) {
        throw badFrame(`a list has ${count} elements, at most ${limit} are allowed`);
      }
      return Array.from({ length: count }, () => element.read(reader));
    },
    parts: { element },
  };
}

type Fields = Readonly<Record<string, Layout<unknown>>>;
type Struct<F> = { readonly [K in keyof F]: Of<F[K]> };

/** Named fields, one after the other. */
export function struct<F extends { readonly [K in keyof F]: Layout<Of<F[K]>> }>(
  fields: F,
): Layout<Struct<F>> {
  const parts = fields as unknown as Fields;
  const entries = Object.entries(parts);
  return {
    parts,
    write(parts, value) {
      for (const [name, field] of entries) field.write(parts, value[name as keyof F]);
    },
    read(reader) {
      const value: Record<string, unknown> = {};
      for (const [name, field] of entries) value[name] = field.read(reader);
      return value as Struct<F>;
    },
  };
}

type Tagged<V> = { [K in keyof V]: { readonly type: K } & Of<V[K]> }[keyof V];

/** One of several messages: a u8 that names it, then its fields. Decodes to a union over `type`. */
export function tagged<V extends { readonly [K in keyof V]: Layout<Of<V[K]>> }>(
  tags: { readonly [K in keyof V]: number },
  variants: V,
): Layout<Tagged<V>> {
  const names = Object.keys(variants) as (keyof V & string)[];
  const byTag = new Map(names.map((name) => [tags[name] as number, name]));
  return {
    parts: variants as unknown as Fields,
    write(parts, value) {
      u8.write(parts, tags[value.type as keyof V]);
      (variants[value.type as keyof V] as Layout<unknown>).write(parts, value);
    },
    read(reader) {
      const tag = reader.u8();
      const type = byTag.get(tag);
      if (type === undefined) throw badFrame(`unknown message ${tag}`);
      return { type, ...(variants[type] as Layout<object>).read(reader) } as Tagged<V>;
    },
  };
}
