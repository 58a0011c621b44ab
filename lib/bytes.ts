/** Bytes over a plain buffer: what WebCrypto and sockets take without a cast. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text as UTF-8. */
export function encodeUtf8(text: string): Bytes {
  return encoder.encode(text);
}

/** UTF-8 as text; throws TypeError on anything malformed (overlong forms, lone surrogates). */
export function decodeUtf8(bytes: Bytes): string {
  return strictDecoder.decode(bytes);
}

/** `value` as four bytes, big-endian. */
export function encodeU32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** `value` as eight bytes, big-endian; throws RangeError where it does not fit. */
export function encodeU64(value: bigint): Bytes {
  if (value < 0n || value >= 2n ** 64n) throw new RangeError(`Cannot encode ${value} in 8 bytes`);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** Writes all of `bytes` where one write may take less than it is given, as sockets and files do. */
export async function writeAll(
  to: { write(bytes: Bytes): Promise<number> },
  bytes: Bytes,
): Promise<void> {
  for (let offset = 0; offset < bytes.length;) offset += await to.write(bytes.subarray(offset));
}

/** Writes all of `bytes` at once. */
export function writeAllSync(to: { writeSync(bytes: Bytes): number }, bytes: Bytes): void {
  for (let offset = 0; offset < bytes.length;) offset += to.writeSync(bytes.subarray(offset));
}
