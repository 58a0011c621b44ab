/** Twelve words that two people read to each other to know that nobody sits between them. */
import { encodeUtf8 } from "../bytes.ts";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { sha512 } from "./platform.ts";

const WORD_COUNT = 12;
const BITS_PER_WORD = 11;
const LABEL = encodeUtf8("cifra/1 words");

/**
 * The words of a pair: the first 132 bits of SHA-512("cifra/1 words" ‖ the two fingerprints in order),
 * eleven bits a word, from the English list of BIP 39. The same on both sides.
 */
export async function safetyWords(a: Bytes, b: Bytes): Promise<readonly string[]> {
  const { wordlist } = await import("@scure/bip39/wordlists/english.js");
  const [lower, higher] = encodeHex(a) < encodeHex(b) ? [a, b] : [b, a];
  const digest = sha512(LABEL, lower, higher);
  let bits = BigInt(`0x${encodeHex(digest)}`) >> BigInt(512 - WORD_COUNT * BITS_PER_WORD);
  const words: string[] = [];
  for (let i = 0; i < WORD_COUNT; i++) {
    words.unshift(wordlist[Number(bits & 0x7ffn)]!);
    bits >>= BigInt(BITS_PER_WORD);
  }
  return words;
}
