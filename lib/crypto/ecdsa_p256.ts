/** ECDSA over P-256 with SHA-256; public keys uncompressed, signatures r‖s (IEEE P1363). */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { SignatureScheme } from "./signature.ts";
import { subtle } from "./platform.ts";

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const HASH = { name: "ECDSA", hash: "SHA-256" };
const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

/** The runtime imports points off the curve and fails later (attack A21), so the equation is ours. */
function checkPublicKey(publicKey: Bytes): void {
  const coordinate = (start: number) =>
    BigInt(`0x${encodeHex(publicKey.subarray(start, start + 32))}`);
  if (publicKey.length === 65 && publicKey[0] === 0x04) {
    const x = coordinate(1), y = coordinate(33);
    if (x < P && y < P && (y * y - (x * x * x - 3n * x + B)) % P === 0n) return;
  }
  throw new CifraError(
    "auth_failed",
    "Cannot use P-256 key: not an uncompressed point of the curve",
  );
}

/** ECDSA over P-256 with SHA-256 (PROTOCOL.md 3.1). */
export const ecdsaP256: SignatureScheme = {
  name: "ECDSA P-256",
  publicKeyLength: 65,
  signatureLength: 64,
  checkPublicKey,

  async generate() {
    const pair = await subtle.generateKey(CURVE, true, ["sign", "verify"]);
    const publicKey = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
    const pkcs8 = new Uint8Array(await subtle.exportKey("pkcs8", pair.privateKey));
    return { key: await ecdsaP256.fromPkcs8(pkcs8, publicKey), pkcs8 };
  },

  async fromPkcs8(pkcs8, publicKey) {
    const privateKey = await subtle.importKey("pkcs8", pkcs8, CURVE, false, ["sign"]);
    return {
      publicKey,
      sign: async (data) => new Uint8Array(await subtle.sign(HASH, privateKey, data)),
    };
  },

  async verify(publicKey, signature, data) {
    try {
      checkPublicKey(publicKey);
      if (signature.length !== 64) return false;
      const key = await subtle.importKey("raw", publicKey, CURVE, false, ["verify"]);
      return await subtle.verify(HASH, key, signature, data);
    } catch {
      return false;
    }
  },
};
