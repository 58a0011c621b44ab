/** Concatenates byte arrays into a new one (the same as `@std/bytes/concat`). */
export function concat(arrays: readonly Uint8Array[]): Uint8Array<ArrayBuffer>;
