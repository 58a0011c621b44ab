/**
 * Writes all test vectors of ours, tests/vectors/{handshake}:
 *
 *   deno task vectors
 *
 * Twice gives the same files. What cannot be told its randomness (RSA-OAEP, ECDSA) is kept from the file that
 * is there; to capture it anew, delete that file first.
 */
import { SUITE_NAMES, type SuiteName } from "../lib/crypto/suite.ts";
import {
  formatVectorFile,
  readVectorFile,
  type VectorFile,
  vectorUrl,
} from "../tests/handshake/vector_file.ts";
import { makeVectorFile } from "./handshake_vectors.ts";

/** The file of a suite with randomness of its own, as it is now; undefined where there is none. */
async function captured(suite: SuiteName): Promise<VectorFile | undefined> {
  if (suite === "modern") return undefined;
  try {
    return await readVectorFile(suite);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The files of the handshake: in each suite the same person, known by the key of `modern`. */
export async function makeHandshakeFiles(): Promise<ReadonlyMap<SuiteName, VectorFile>> {
  const modern = await makeVectorFile("modern");
  const files = new Map([["modern" as SuiteName, modern]]);
  for (const suite of SUITE_NAMES) {
    if (suite === "modern") continue;
    const file = await makeVectorFile(suite, await captured(suite), modern.runs[0]!.initiator);
    files.set(suite, file);
  }
  return files;
}

async function write(url: URL, file: unknown): Promise<void> {
  await Deno.writeTextFile(url, formatVectorFile(file));
}

if (import.meta.main) {
  for (const [suite, file] of await makeHandshakeFiles()) await write(vectorUrl(suite), file);
}
