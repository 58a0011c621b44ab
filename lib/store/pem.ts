/**
 * PEM, the textual form of keys (RFC 7468). No module loader takes it: the five dashes that it begins with are
 * no JSON and no JavaScript, so that a program which may `import` but not read learns nothing of it.
 */
import type { Bytes } from "../bytes.ts";

/** Characters of base64 on a line. */
const LINE_LENGTH = 64;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END \1-----\n/y;

/** One block: what it holds, and its bytes. */
export interface PemBlock {
  readonly label: string;
  readonly bytes: Bytes;
}

/** The text of blocks, one after the other. */
export function formatPem(blocks: readonly PemBlock[]): string {
  return blocks.map(({ label, bytes }) => {
    const lines = bytes.toBase64().match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? [];
    return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
  }).join("");
}

/** Reads what `formatPem` wrote; throws TypeError on anything else, also around the blocks. */
export function parsePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  const pattern = new RegExp(BLOCK);
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text);
    if (!found) throw new TypeError("is not PEM");
    const [, label, lines] = found;
    blocks.push({ label: label!, bytes: decode(lines!.replaceAll("\n", "")) });
  }
  if (formatPem(blocks) !== text) throw new TypeError("is not PEM as it is written here");
  return blocks;
}

function decode(base64: string): Bytes {
  try {
    return Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
  } catch {
    // What the platform says may quote it.
    throw new TypeError("is not base64");
  }
}
