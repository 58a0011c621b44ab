/** A number of 64 bits in a database, whose own integers hold one bit less. */
import type { Bytes } from "../bytes.ts";

/** Eight bytes, big-endian: they are in order as the numbers are. */
export function u64Bytes(number: bigint): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, number);
  return bytes;
}

/** The number of eight such bytes. */
export function u64Number({ buffer, byteOffset }: Bytes): bigint {
  return new DataView(buffer, byteOffset).getBigUint64(0);
}
