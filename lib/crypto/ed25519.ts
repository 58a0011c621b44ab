/** Ed25519 (RFC 8032), refusing the keys under which anyone can sign (attack A20). */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { SignatureScheme, SigningKey } from "./signature.ts";
import { subtle } from "./platform.ts";

const FIELD_PRIME = 2n ** 255n - 19n;
const SIGN_BIT = 1n << 255n;

/** One y of the four points of order 8; the other is its negative. */
const ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;

/** The y coordinates of the eight points whose order divides the cofactor, the sign bit left out. */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  FIELD_PRIME - 1n,
  ORDER_8_Y,
  FIELD_PRIME - ORDER_8_Y,
]);

function checkPublicKey(publicKey: Bytes): void {
  if (publicKey.length === 32) {
    const y = BigInt(`0x${encodeHex(publicKey.toReversed())}`) & (SIGN_BIT - 1n);
    if (y < FIELD_PRIME && !SMALL_ORDER_Y.has(y)) return;
  }
  throw new CifraError(
    "auth_failed",
    "Cannot use Ed25519 key: not a canonical point of full order",
  );
}

function signingKey(publicKey: Bytes, privateKey: CryptoKey): SigningKey {
  return {
    publicKey,
    sign: async (data) => new Uint8Array(await subtle.sign("Ed25519", privateKey, data)),
  };
}

/** Ed25519 with the checks of PROTOCOL.md 3.1. */
export const ed25519: SignatureScheme = {
  name: "Ed25519",
  publicKeyLength: 32,
  signatureLength: 64,
  checkPublicKey,

  async generate() {
    const pair = await subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
    const publicKey = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
    const pkcs8 = new Uint8Array(await subtle.exportKey("pkcs8", pair.privateKey));
    return { key: await ed25519.fromPkcs8(pkcs8, publicKey), pkcs8 };
  },

  async fromPkcs8(pkcs8, publicKey) {
    return signingKey(
      publicKey,
      await subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]),
    );
  },

  async verify(publicKey, signature, data) {
    try {
      checkPublicKey(publicKey);
      if (signature.length !== 64) return false;
      const key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
      return await subtle.verify("Ed25519", key, signature, data);
    } catch {
      return false;
    }
  },
};
