/** The running hash of everything said, and the keys that come out of it (PROTOCOL.md 3.3). */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeU32, encodeUtf8 } from "../bytes.ts";
import type { Aead } from "./aead.ts";
import type { Suite, SuiteId } from "./suite.ts";
import { hkdf, sha512 } from "./platform.ts";

/** 1 client to server, 2 peer to peer, 3 client to server with an invite. */
export type Mode = 1 | 2 | 3;

/** Length of a chain key and of a traffic secret, in bytes. */
export const CHAIN_KEY_LENGTH = 64;

const TRANSCRIPT_LABEL = encodeUtf8("cifra/1 transcript\0");
const PROTOCOL_LABEL = encodeUtf8("cifra/1\0");
const EMPTY = new Uint8Array(0);

/** T0: the hash of protocol, mode, suite and context, before the first message. */
export function startTranscript(mode: Mode, suite: SuiteId, context: Bytes): Bytes {
  const head = new Uint8Array([mode, suite, context.length >> 8, context.length & 0xff]);
  return sha512(TRANSCRIPT_LABEL, PROTOCOL_LABEL, head, context);
}

/** The transcript after `message`: H(T ‖ u32 length ‖ message). */
export function absorb(transcript: Bytes, message: Bytes): Bytes {
  return sha512(transcript, encodeU32(message.length), message);
}

/** ck0 = HKDF(salt T0, psk). The psk is 32 zero bytes where there is none. */
export function startChain(transcript: Bytes, psk: Bytes): Bytes {
  return hkdf(transcript, psk, encodeUtf8("cifra/1 ck0"), CHAIN_KEY_LENGTH);
}

/** Key and IV of one sealed box. */
export interface BoxKey {
  readonly key: Bytes;
  readonly iv: Bytes;
}

function info(label: string, transcript: Bytes): Bytes {
  return concat([encodeUtf8(`cifra/1 ${label}\0`), transcript]);
}

/** Mixes `secret` into the chain: the next chain key, and the key of the box that goes with it. */
export function mix(
  chainKey: Bytes,
  secret: Bytes,
  transcript: Bytes,
  label: string,
  aead: Aead,
): { readonly chainKey: Bytes; readonly box: BoxKey } {
  const length = CHAIN_KEY_LENGTH + aead.keyLength + aead.ivLength;
  const output = hkdf(chainKey, secret, info(label, transcript), length);
  return {
    chainKey: output.slice(0, CHAIN_KEY_LENGTH),
    box: splitBoxKey(output.subarray(CHAIN_KEY_LENGTH), aead),
  };
}

/** `length` bytes out of the chain for one purpose, the chain staying as it is. */
export function derive(
  chainKey: Bytes,
  transcript: Bytes,
  label: string,
  length: number,
  salt: Bytes = EMPTY,
): Bytes {
  return hkdf(salt, chainKey, info(label, transcript), length);
}

/** The key of a box that mixes nothing new in. */
export function deriveBox(
  chainKey: Bytes,
  transcript: Bytes,
  label: string,
  aead: Aead,
  salt: Bytes = EMPTY,
): BoxKey {
  const length = aead.keyLength + aead.ivLength;
  return splitBoxKey(derive(chainKey, transcript, label, length, salt), aead);
}

function splitBoxKey(output: Bytes, aead: Aead): BoxKey {
  return { key: output.slice(0, aead.keyLength), iv: output.slice(aead.keyLength) };
}

/** Seals the one message of a box; its additional data are the transcript, or what stands before it. */
export async function sealBox(
  aead: Aead,
  box: BoxKey,
  additionalData: Bytes,
  plaintext: Bytes,
): Promise<Bytes> {
  const key = await aead.importKey(box.key);
  return await key.seal(box.iv, additionalData, plaintext);
}

/** Opens the one message of a box; throws `auth_failed`. */
export async function openBox(
  aead: Aead,
  box: BoxKey,
  additionalData: Bytes,
  sealed: Bytes,
): Promise<Bytes> {
  const key = await aead.importKey(box.key);
  return await key.open(box.iv, additionalData, sealed);
}

/** Who signs, and when; part of what is signed, so that no signature fits another place. */
export type SignatureRole = "R early" | "I auth" | "R auth";

/** What a handshake signature covers: context, suite, mode, role and the transcript. */
export function signatureInput(
  suite: Suite,
  mode: Mode,
  role: SignatureRole,
  transcript: Bytes,
): Bytes {
  // As in TLS 1.3: a long prefix that starts no other format.
  const prefix = new Uint8Array(64).fill(0x20);
  return concat([prefix, encodeUtf8(`cifra/1 s${suite.id} m${mode} ${role}\0`), transcript]);
}
