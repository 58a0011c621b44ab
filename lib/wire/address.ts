/** IP addresses as values: their wire form, their text form, and what kind of place they name. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { badFrame, type Layout, struct, u16, u8 } from "./layout.ts";

/** Where to dial. `host` is an IP address in its canonical text form. */
export interface Endpoint {
  /** An IP address or a name. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** What an address is good for; only `private` and `public` ones are worth giving to a peer. */
export type AddressScope =
  | "loopback"
  | "private"
  | "public"
  | "link-local"
  | "multicast"
  | "unspecified"
  /** For protocols, tests and translators: no place where somebody is. */
  | "special";

/** The canonical text of an IP address, or undefined when `text` is none. Mapped IPv4 becomes IPv4. */
export function canonicalAddress(text: string): string | undefined {
  const bytes = parseAddress(text);
  return bytes && formatAddress(bytes);
}

/** 4 or 16 bytes of an address in text form, or undefined when `text` is none. */
export function parseAddress(text: string): Bytes | undefined {
  const dotted = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (dotted) {
    const parts = dotted.slice(1).map(Number);
    // A leading zero means octal to some programs and nothing to others.
    const plain = dotted.slice(1).every((part) => part === "0" || !part.startsWith("0"));
    return plain && parts.every((part) => part < 256) ? new Uint8Array(parts) : undefined;
  }
  if (!text.includes(":") || !/^[0-9a-f:.]+$/i.test(text)) return undefined;
  let canonical: string;
  try {
    // The platform's URL parser knows every spelling of IPv6; its output has one.
    canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
  const [head = "", tail] = canonical.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":").map((g) => parseInt(g, 16));
  const front = groups(head), back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...Array(8 - front.length - back.length).fill(0), ...back];
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  all.forEach((group, i) => view.setUint16(2 * i, group));
  return isMapped(bytes) ? bytes.slice(12) : bytes;
}

/** The canonical text of 4 or 16 bytes. */
export function formatAddress(bytes: Bytes): string {
  if (bytes.length === 4) return bytes.join(".");
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16));
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

/** `10.0.0.7:40112`, `[::1]:40112`. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What kind of place a canonical address names. */
export function addressScope(address: string): AddressScope {
  const bytes = parseAddress(address);
  if (!bytes) throw new TypeError(`Not an address: ${address}`);
  const [a, b] = [bytes[0]!, bytes[1]!];
  if (bytes.length === 4) {
    if (a === 0) return "unspecified";
    if (a === 127) return "loopback";
    if (a === 169 && b === 254) return "link-local";
    if (a >= 224 && a < 240) return "multicast";
    if (isIn(bytes, SITES)) return "private";
    return isIn(bytes, SPECIAL) ? "special" : "public";
  }
  if (bytes.subarray(0, 15).every((byte) => byte === 0)) {
    if (bytes[15] === 0) return "unspecified";
    if (bytes[15] === 1) return "loopback";
  }
  const inner = embeddedIpv4(bytes);
  if (inner) return addressScope(formatAddress(inner));
  if (a === 0xff) return "multicast";
  if (a === 0xfe && (b & 0xc0) === 0x80) return "link-local";
  if (isIsatap(bytes)) return "special";
  if ((a & 0xfe) === 0xfc) return "private";
  return (a & 0xe0) === 0x20 && !isIn(bytes, SPECIAL_IPV6) ? "public" : "special";
}

/** Leading bits of addresses, and how many. */
type Blocks = readonly (readonly [Bytes, number])[];

/** Blocks of addresses that many networks use, each for its own machines. */
const SITES: Blocks = [
  [new Uint8Array([10]), 8],
  [new Uint8Array([172, 16]), 12],
  [new Uint8Array([192, 168]), 16],
  // Behind the router of a carrier, or in a network laid over others.
  [new Uint8Array([100, 64]), 10],
];
/**
 * What else the registries of IANA keep for something special (RFC 6890), as far as it could lead somewhere: the
 * blocks for documentation lead nowhere.
 */
const SPECIAL: Blocks = [
  [new Uint8Array([192, 0, 0]), 24], // protocols
  [new Uint8Array([192, 31, 196]), 24], // AS112
  [new Uint8Array([192, 52, 193]), 24], // AMT
  [new Uint8Array([192, 88, 99]), 24], // relays of 6to4
  [new Uint8Array([192, 175, 48]), 24], // AS112
  [new Uint8Array([198, 18]), 15], // measurements
  [new Uint8Array([240]), 4], // the future, and everybody
];
/** The same of 2000::/3. */
const SPECIAL_IPV6: Blocks = [
  [new Uint8Array([0x20, 0x01, 0x00]), 23], // protocols, Teredo and ORCHID among them
  [new Uint8Array([0x26, 0x20, 0x00, 0x4f, 0x80, 0x00]), 48], // AS112
  [new Uint8Array([0x3f, 0xff, 0x00]), 20], // documentation
];
/** An organisation chooses its own 48 bits of fc00::/7. */
const UNIQUE_LOCAL_SITE = 48;

/**
 * The site that a private or loopback address belongs to, the same text for all addresses of one block:
 * 10/8, 172.16/12, 192.168/16, 100.64/10, the first 48 bits of fc00::/7, or this machine. Undefined for others.
 */
export function siteOf(address: string): string | undefined {
  const scope = addressScope(address);
  if (scope === "loopback") return scope;
  if (scope !== "private") return undefined;
  const bytes = parseAddress(address)!;
  const plain = bytes.length === 4 ? bytes : embeddedIpv4(bytes);
  if (!plain) return encodeHex(bytes.subarray(0, UNIQUE_LOCAL_SITE / 8));
  const block = SITES.find(([start, bits]) => hasPrefix(plain, start, bits))!;
  return `${block[0].join(".")}/${block[1]}`;
}

function isIn(bytes: Bytes, blocks: Blocks): boolean {
  return blocks.some(([start, bits]) => hasPrefix(bytes, start, bits));
}

/** Whether a router of ISATAP would turn the last 32 bits into an IPv4 address (RFC 5214). */
function isIsatap(bytes: Bytes): boolean {
  return /^0[02]005efe/.test(encodeHex(bytes.subarray(8)));
}

function hasPrefix(bytes: Bytes, start: Bytes, bits: number): boolean {
  return start.every((byte, i) => {
    const mask = 0xff << Math.max(0, 8 * (i + 1) - bits);
    return (bytes[i]! & mask) === (byte & mask);
  });
}

/** The canonical IPv4 address inside a canonical IPv6 one, as `embeddedIpv4` finds it; undefined for others. */
export function ipv4Within(address: string): string | undefined {
  const bytes = parseAddress(address);
  const inner = bytes?.length === 16 ? embeddedIpv4(bytes) : undefined;
  return inner && formatAddress(inner);
}

/** The IPv4 address inside an IPv6 one that some router would turn back into it. */
function embeddedIpv4(bytes: Bytes): Bytes | undefined {
  const groups = encodeHex(bytes);
  const compatible = "0".repeat(24), translated = "0".repeat(16) + "ffff0000";
  const nat64 = "0064ff9b" + "0".repeat(16), sixToFour = "2002";
  if ([compatible, translated, nat64].some((prefix) => groups.startsWith(prefix))) {
    return bytes.slice(12);
  }
  return groups.startsWith(sixToFour) ? bytes.slice(2, 6) : undefined;
}

function isMapped(bytes: Bytes): boolean {
  return bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff &&
    bytes.subarray(0, 10).every((byte) => byte === 0);
}

/** `u8 family (4 or 6) | 4 or 16 bytes`; an IPv4 address has no second spelling as IPv6. */
export const address: Layout<string> = {
  write(parts, value) {
    const bytes = parseAddress(value);
    if (!bytes) throw new RangeError(`Not an address: ${value}`);
    parts.push(new Uint8Array([bytes.length === 4 ? 4 : 6]), bytes);
  },
  read(reader) {
    const family = u8.read(reader);
    if (family !== 4 && family !== 6) throw badFrame(`unknown address family ${family}`);
    const bytes = reader.take(family === 4 ? 4 : 16);
    if (isMapped(bytes)) throw badFrame("an IPv4 address is spelled as IPv6");
    return formatAddress(bytes);
  },
};

/** An address and a port. */
export const endpoint: Layout<Endpoint> = struct({ host: address, port: u16 });
