import { concat } from "@std/bytes/concat";
import { decodeBase64Url } from "@std/encoding/base64url";
import { decodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";

/** All of a PKCS #8 X25519 key but its scalar (RFC 8410, 7). */
const PKCS8_PREFIX = decodeHex("302e020100300506032b656e04220420");

/** The X25519 key pair of a 32-byte scalar. */
export async function x25519KeyPairOf(
  scalar: Bytes,
): Promise<{ publicKey: Bytes; privateKey: CryptoKey }> {
  const pkcs8 = concat([PKCS8_PREFIX, scalar]);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", true, ["deriveBits"]);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  if (x === undefined) throw new Error("Cannot read the public half of an X25519 key");
  return { publicKey: decodeBase64Url(x), privateKey };
}
