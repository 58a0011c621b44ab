/**
 * What stands beside the handshake (prefaces, words, accounts), as somebody would write it who has the
 * document alone. Shares no code with the library: hashes are node's, Argon2id is noble's.
 */
import { argon2id } from "@noble/hashes/argon2.js";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { Buffer } from "node:buffer";
import { createCipheriv, createHash, createHmac } from "node:crypto";

type Part = string | Uint8Array;

/** `text:…` stands for its bytes; all else is hexadecimal. */
function bytes(part: Part): Uint8Array {
  if (typeof part !== "string") return part;
  return part.startsWith("text:") ? Buffer.from(part.slice(5)) : Buffer.from(part, "hex");
}

function hash(...parts: readonly Part[]): string {
  const sha512 = createHash("sha512");
  for (const part of parts) sha512.update(bytes(part));
  return sha512.digest("hex");
}

function hmac(key: string, ...parts: readonly Part[]): string {
  const mac = createHmac("sha512", bytes(key));
  for (const part of parts) mac.update(bytes(part));
  return mac.digest("hex");
}

function integer(value: number, length: number): string {
  return value.toString(16).padStart(2 * length, "0");
}

function xor(a: string, b: string): string {
  const other = bytes(b);
  return Buffer.from(bytes(a).map((byte, i) => byte ^ other[i]!)).toString("hex");
}

/** A frame of kind 0x10 around this body. */
function prefaceFrame(body: string): string {
  return integer(body.length / 2 + 1, 4) + "10" + body;
}

/** 3.7: what a client with this invite secret sends first, before this m1. */
export function invitePreface(secret: string, hour: number, m1: string) {
  const invite_id = hash("text:cifra/1 invite id\0", secret).slice(0, 32);
  const label = "text:cifra/1 invite preface\0";
  const token = hmac(secret, label, integer(hour, 4), hash(m1)).slice(0, 64);
  return { invite_id, token, frame: prefaceFrame("01" + integer(hour, 4) + token) };
}

/** 3.7: the secret of a further invite, made from that of the server's own. */
export function furtherInviteSecret(secret: string, serial: string): string {
  return hmac(secret, "text:cifra/1 invite secret\0", serial).slice(0, 64);
}

/** 3.7: what names an introduction. */
export function rendezvousId(
  { rv_key, generation, fp_i, fp_r }: {
    readonly rv_key: string;
    readonly generation: number;
    readonly fp_i: string;
    readonly fp_r: string;
  },
): string {
  return hash("text:cifra/1 introduction\0", rv_key, integer(generation, 4), fp_i, fp_r)
    .slice(0, 32);
}

/** 3.8: what the peer of this fingerprint sends first. */
export function peerPreface(
  { rv_id, rv_key }: { readonly rv_id: string; readonly rv_key: string },
  fingerprint: string,
) {
  const token = hmac(rv_key, "text:preface", fingerprint).slice(0, 32);
  return { token, frame: prefaceFrame(rv_id + token) };
}

/** 3.8: twelve numbers of eleven bits, highest bit first, and their words. */
export function twelveWords(a: string, b: string) {
  const pair = bytes(hash("text:cifra/1 words", ...[a, b].sort()));
  const salt = new TextEncoder().encode("cifra/1 words");
  const digest = argon2id(pair, salt, { m: 65536, t: 2, p: 1, dkLen: 32 });
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const numbers = Array.from(
    { length: 12 },
    (_, i) => parseInt(bits.slice(11 * i, 11 * i + 11), 2),
  );
  return { numbers, words: numbers.map((number) => wordlist[number]!) };
}

/** 3.2: as people read it. */
export function fingerprintText(fingerprint: string): string {
  const bits = [...bytes(fingerprint)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const letters = (bits + "0000").match(/.{5}/g)!
    .map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]).join("");
  return letters.match(/.{4}/g)!.join("-");
}

/** What goes into the proof of a password. */
export interface AccountInput {
  readonly password: string;
  readonly name: string;
  readonly salt: string;
  readonly memory: number;
  readonly passes: number;
  readonly client_nonce: string;
  readonly server_nonce: string;
  readonly exporter: string;
  readonly backup_iv: string;
  /** The JSON text inside the backup. */
  readonly backup_plaintext: string;
}

/** 3.10: everything that both sides compute. */
export function account(input: AccountInput) {
  const { password, name, salt, memory, passes, client_nonce, server_nonce, exporter } = input;
  const normalized = Buffer.from(password.normalize("NFKC"));
  const S = Buffer.from(
    argon2id(normalized, bytes(salt), { m: memory, t: passes, p: 1, dkLen: 32 }),
  ).toString("hex");
  const client_key = hmac(S, "text:Client Key");
  const stored_key = hash(client_key);
  const server_key = hmac(S, "text:Server Key");
  const sealing_key = hmac(S, "text:Sealing Key").slice(0, 64);
  const A = hash(
    "text:cifra/1 password\0",
    integer(Buffer.byteLength(name), 4) + integer(memory, 4) + integer(passes, 1),
    `text:${name}`,
    client_nonce + server_nonce + salt + exporter,
  );
  const cipher = createCipheriv("aes-256-gcm", bytes(sealing_key), bytes(input.backup_iv));
  cipher.setAAD(bytes("text:cifra/1 sealed by password\0"));
  const sealed = Buffer.concat([
    bytes(input.backup_iv),
    cipher.update(input.backup_plaintext),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
  return {
    password_bytes: normalized.toString("hex"),
    S,
    client_key,
    stored_key,
    server_key,
    sealing_key,
    A,
    proof: xor(client_key, hmac(stored_key, A)),
    signature: hmac(server_key, A, "text:server"),
    backup: sealed.toString("hex"),
  };
}
