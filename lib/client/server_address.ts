/** How a server is named on the command line: an address, or the invite line that it prints. */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import type { Bytes } from "../bytes.ts";
import { formatFingerprint, parseFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { DEFAULT_PORT } from "../limits.ts";
import { isNeverDialled, NEVER_DIALLED_WHY } from "../net/never_dialled.ts";
import { addressScope, canonicalAddress, formatEndpoint } from "../wire/address.ts";

/** A server to connect to, and what is known of it beforehand. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  /** The fingerprint it must have. */
  readonly fingerprint: Bytes | undefined;
  /** The 32-byte secret of its invite line. */
  readonly inviteSecret: Bytes | undefined;
}

/** The one spelling of a server under which it is pinned. */
export function serverSubject({ host, port }: ServerAddress): string {
  return formatEndpoint({ host: canonicalAddress(host) ?? host.toLowerCase(), port });
}

/** Whether the server runs on this very machine, where nobody sits in the middle of the network. */
export function isLoopback({ host }: Pick<ServerAddress, "host">): boolean {
  const address = canonicalAddress(host);
  return address === undefined
    ? host.toLowerCase() === "localhost"
    : addressScope(address) === "loopback";
}

/** Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`; throws `usage`. */
export function parseServerAddress(text: string): ServerAddress {
  if (text.startsWith("cifra1:")) {
    throw new CifraError("usage", "An invite line holds a secret and must not be an argument", {
      hint: "other users of this machine can see arguments: use --invite and paste the line",
    });
  }
  const { host, port } = parseHostPort(text);
  requirePossible(host);
  return { host, port, fingerprint: undefined, inviteSecret: undefined };
}

/** `cifra1:host:port:fingerprint:secret`, all that a person needs to come in. */
export function formatInviteLine(
  host: string,
  port: number,
  fingerprint: Bytes,
  secret: Bytes,
): string {
  const plain = formatFingerprint(fingerprint).replaceAll("-", "");
  return `cifra1:${formatEndpoint({ host, port })}:${plain}:${encodeBase64Url(secret)}`;
}

/** How an invite line begins. */
const PREFIX = "cifra1:";
/** All of one: host and port, fingerprint, secret. */
const WHOLE = /^cifra1:.+:[a-z2-7]{52}:[\w-]{43}$/;
/** What mail, chats and terminals put into and around a line that they quote or break. */
const AROUND = /[\s\0"'`<>|\u200b\u2028\ufeff\u2018-\u201f\u00ab\u00bb]/;

/** A text, and where its invite line ends; no end when there is only the beginning of one. */
function findInvite(text: string): { readonly line: string; readonly rest?: string } | undefined {
  const start = text.indexOf(PREFIX);
  if (start < 0) return undefined;
  let line = "";
  for (let i = start; i < text.length && line.length < 512; i++) {
    if (!AROUND.test(text[i]!)) line += text[i];
    if (text[i] === line.at(-1) && WHOLE.test(line)) return { line, rest: text.slice(i + 1) };
  }
  return { line };
}

/** Whether an invite line, or the beginning of one, is in a text. */
export function hasInvite(text: string): boolean {
  return findInvite(text) !== undefined;
}

/** Whether more of an invite line is to come, as where it was broken into several. */
export function isPartOfInvite(text: string): boolean {
  const found = findInvite(text);
  return found !== undefined && found.rest === undefined;
}

/** The text of a file with an invite line, which Windows may have written as UTF-16. */
export function inviteTextOf(bytes: Bytes): string {
  const [first, second] = bytes;
  const isBig = first === 0xfe && second === 0xff || first === 0 && second !== 0;
  const isLittle = first === 0xff && second === 0xfe || second === 0 && first !== 0;
  const encoding = isBig ? "utf-16be" : isLittle ? "utf-16le" : "utf-8";
  return new TextDecoder(encoding).decode(bytes);
}

/**
 * Reads an invite line out of a text: it may be broken, quoted or labelled, and something may follow, as what
 * `cifra serve invite` prints. Throws `usage`.
 */
export function parseInviteLine(text: string): ServerAddress {
  const { line = "", rest = "" } = findInvite(text) ?? {};
  // Two lines may be for two servers, and a letter more is no end.
  const isOne = !/^[\w-]/.test(rest) && !rest.includes(PREFIX);
  // From the end: an IPv6 address has colons of its own.
  const parts = isOne ? line.split(":") : [];
  const secretText = parts.pop() ?? "", fingerprintText = parts.pop() ?? "";
  let address: ServerAddress;
  try {
    const inviteSecret = decodeBase64Url(secretText);
    if (inviteSecret.length !== 32) throw new TypeError("secret has a wrong length");
    if (parts.shift() !== "cifra1") throw new TypeError("prefix is missing");
    const { host, port } = parseHostPort(parts.join(":"));
    address = { host, port, fingerprint: parseFingerprint(fingerprintText), inviteSecret };
  } catch (cause) {
    // The line holds a secret, so the error does not repeat it.
    throw new CifraError("usage", "Cannot read the invite line", {
      cause,
      hint: "copy the whole line that the server prints, beginning with cifra1:",
    });
  }
  requirePossible(address.host);
  return address;
}

/** One part of a name of a machine, in letters of any language. */
const LABEL = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_-]{0,61}[\p{L}\p{M}\p{N}_])?$/u;

/** Throws `usage` for a host at which no server will ever be: it would be waited for without end. */
function requirePossible(host: string): void {
  const why = whyImpossible(host);
  if (why === undefined) return;
  throw new CifraError("usage", `No server can be at "${host}": ${why}`, {
    hint: "write the name or the address that whoever runs the server has given you",
  });
}

function whyImpossible(host: string): string | undefined {
  if (isNeverDialled(host)) return NEVER_DIALLED_WHY;
  const address = canonicalAddress(host);
  if (address !== undefined) {
    return addressScope(address) === "multicast" ? "it is the address of many" : undefined;
  }
  const labels = host.replace(/\.$/, "").split(".");
  const isName = host.length <= 253 && labels.every((label) => LABEL.test(label));
  return isName && URL.canParse(`http://${host}/`) ? undefined : "no machine has such a name";
}

function parseHostPort(text: string): { host: string; port: number } {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:[\]\s/]+)(?::(\d{1,5}))?$/.exec(text);
  const bare = canonicalAddress(text);
  const [, host, digits] = bracketed ?? plain ?? (bare ? ["", bare] : []);
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (!host || port < 1 || port > 65_535 || (bracketed && !canonicalAddress(host))) {
    throw new CifraError("usage", `Cannot read the server address "${text}"`, {
      hint: "write HOST, HOST:PORT or [IPV6]:PORT",
    });
  }
  return { host, port };
}
