/**
 * Writes all test vectors of ours, in tests/vectors/:
 *
 *   deno task vectors
 *
 * Twice gives the same files. What cannot be told its randomness (RSA-OAEP, ECDSA) is kept from the file
 * that is there; to capture it anew, delete that file first.
 */
import { SUITE_NAMES, type SuiteName } from "../lib/crypto/suite.ts";
import {
  formatVectorFile,
  readRecordsFile,
  readVectorFile,
  recordsUrl,
  VALUES_URL,
  vectorUrl,
} from "../tests/handshake/vector_file.ts";
import { makeVectorFile } from "./handshake_vectors.ts";
import { makeRecordsFile } from "./record_vectors.ts";
import { makeValuesFile } from "./value_vectors.ts";

/** A file as it is now; undefined where there is none. */
async function captured<T>(read: (suite: SuiteName) => Promise<T>, suite: SuiteName) {
  try {
    return await read(suite);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Every file, by where it belongs. In each suite it is the same person, known by the key of `modern`. */
export async function makeAllFiles(): Promise<ReadonlyMap<URL, string>> {
  const files = new Map<URL, string>();
  const put = (url: URL, file: unknown) => files.set(url, formatVectorFile(file));
  const modern = await makeVectorFile("modern");
  const voucher = modern.runs[0]!.initiator;
  for (const suite of SUITE_NAMES) {
    const handshake = suite === "modern"
      ? modern
      : await makeVectorFile(suite, await captured(readVectorFile, suite), voucher);
    put(vectorUrl(suite), handshake);
    const records = suite === "classic" ? await captured(readRecordsFile, suite) : undefined;
    put(recordsUrl(suite), await makeRecordsFile(handshake, records));
  }
  put(VALUES_URL, await makeValuesFile(modern));
  return files;
}

if (import.meta.main) {
  for (const [url, text] of await makeAllFiles()) await Deno.writeTextFile(url, text);
}
