/**
 * Writes all test vectors of ours, in tests/vectors/:
 *
 *   deno task vectors
 *
 * Twice gives the same files. What cannot be told its randomness (RSA-OAEP, ECDSA) is kept from the file
 * that is there; to capture it anew, delete that file first. The keys, salts and contents of mailbox.json stay as
 * they are: the first program that wrote the file drew them, and all that follows from them is computed again.
 */
import type { SuiteName } from "../lib/crypto/suite.ts";
import {
  FILES_URL,
  formatVectorFile,
  MAILBOX_URL,
  readMailboxFile,
  readRecordsFile,
  readVectorFile,
  recordsUrl,
  REFUSALS_URL,
  VALUES_URL,
  vectorUrl,
} from "../tests/handshake/vector_file.ts";
import { filesByTheBook } from "../tests/handshake/reference_files.ts";
import { mailboxByTheBook } from "../tests/handshake/reference_mailbox.ts";
import { makeVectorFile } from "./handshake_vectors.ts";
import { makeRecordsFile } from "./record_vectors.ts";
import { makeRefusalsFile } from "./refusal_vectors.ts";
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
  const capture = async (suite: SuiteName) =>
    await makeVectorFile(suite, await captured(readVectorFile, suite), voucher);
  const [rsa, classic] = [await capture("rsa"), await capture("classic")];
  for (const handshake of [modern, rsa, classic]) {
    const { suite } = handshake;
    put(vectorUrl(suite), handshake);
    const records = suite === "classic" ? await captured(readRecordsFile, suite) : undefined;
    put(recordsUrl(suite), await makeRecordsFile(handshake, records));
  }
  const values = await makeValuesFile(modern);
  put(VALUES_URL, values);
  put(MAILBOX_URL, mailboxByTheBook(await readMailboxFile()));
  put(FILES_URL, filesByTheBook());
  put(REFUSALS_URL, makeRefusalsFile(modern, rsa, values));
  return files;
}

if (import.meta.main) {
  for (const [url, text] of await makeAllFiles()) await Deno.writeTextFile(url, text);
}
