import { decodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";

/** The ML-KEM-768 public keys of CCTV that have a coefficient of q or more. */
export async function readModulusVectors(): Promise<Bytes[]> {
  const url = new URL("../vectors/cctv/ML-KEM-768-modulus.txt.gz", import.meta.url);
  const file = await Deno.open(url);
  const text = await new Response(
    file.readable.pipeThrough(new DecompressionStream("gzip")),
  ).text();
  return text.trimEnd().split("\n").map(decodeHex);
}
