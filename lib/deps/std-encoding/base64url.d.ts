/** Bytes as base64url without padding, RFC 4648 (the same as `@std/encoding/base64url`). */
export function encodeBase64Url(source: string | Uint8Array | ArrayBuffer): string;

/** Base64url as bytes; throws TypeError when the text is not base64url. */
export function decodeBase64Url(source: string): Uint8Array<ArrayBuffer>;
