/** Twelve words that two people read to each other to know that nobody sits between them. */
import { encodeUtf8 } from "../bytes.ts";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { WORDS_MEMORY, WORDS_PASSES } from "../limits.ts";
import { sha512 } from "./platform.ts";

const WORD_COUNT = 12;
const BITS_PER_WORD = 11;
const OUTPUT_LENGTH = 32;
const LABEL = encodeUtf8("cifra/1 words");

/**
 * The words of a pair: the first 132 bits of Argon2id over SHA-512("cifra/1 words" ‖ the two fingerprints in
 * order), eleven bits a word, from the English list of BIP 39. The same on both sides. Argon2id, because who
 * sits in the middle may choose both keys: two that agree in all words are found after 2^66 tries, and
 * each is to cost as much as this call, which takes about half a second (PROTOCOL.md 3.8).
 */
export async function safetyWords(a: Bytes, b: Bytes): Promise<readonly string[]> {
  const { wordlist } = await import("@scure/bip39/wordlists/english.js");
  const { argon2idAsync } = await import("@noble/hashes/argon2.js");
  const [lower, higher] = encodeHex(a) < encodeHex(b) ? [a, b] : [b, a];
  const cost = { m: WORDS_MEMORY, t: WORDS_PASSES, p: 1, dkLen: OUTPUT_LENGTH };
  const digest = await argon2idAsync(sha512(LABEL, lower, higher), LABEL, cost);
  const spare = BigInt(8 * OUTPUT_LENGTH - WORD_COUNT * BITS_PER_WORD);
  let bits = BigInt(`0x${encodeHex(digest)}`) >> spare;
  const words: string[] = [];
  for (let i = 0; i < WORD_COUNT; i++) {
    words.unshift(wordlist[Number(bits & 0x7ffn)]!);
    bits >>= BigInt(BITS_PER_WORD);
  }
  return words;
}
