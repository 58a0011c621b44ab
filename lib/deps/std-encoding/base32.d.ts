/** Bytes as upper-case base32 with padding, RFC 4648 (the same as `@std/encoding/base32`). */
export function encodeBase32(source: string | Uint8Array | ArrayBuffer): string;

/** Base32 with padding as bytes; throws when the text is not base32. */
export function decodeBase32(source: string): Uint8Array<ArrayBuffer>;
