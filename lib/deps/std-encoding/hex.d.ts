/** Bytes as lower-case hexadecimal (the same as `@std/encoding/hex`). */
export function encodeHex(source: string | Uint8Array | ArrayBuffer): string;

/** Hexadecimal as bytes; throws TypeError when the text is not hexadecimal. */
export function decodeHex(source: string): Uint8Array<ArrayBuffer>;
