/** Whether two byte arrays hold the same bytes, NOT in constant time (the same as `@std/bytes/equals`). */
export function equals(a: Uint8Array, b: Uint8Array): boolean;
