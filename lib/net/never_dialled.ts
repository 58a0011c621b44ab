/**
 * Where no client of ours ever dials: the link's own addresses, and those at which clouds answer with the secrets
 * of the machine. Whoever is there is no server and no peer.
 */
import { addressScope, canonicalAddress, ipv4Within } from "../wire/address.ts";

/** Why not, as a part of a sentence. */
export const NEVER_DIALLED_WHY =
  "addresses of the link alone, and those of clouds, are never dialled";

/** Where clouds answer on the link, which is denied as a whole but for other spellings of it. */
const OF_CLOUDS_ON_THE_LINK: readonly string[] = [
  "169.254.169.254", // nearly all
  "169.254.170.2", // Amazon, to containers
  "169.254.170.23", // the same, on Kubernetes
];

/** Addresses of IPv4 beyond the link at which a cloud answers for the machine that it runs. */
const OF_CLOUDS: readonly string[] = [
  "100.100.100.200", // Alibaba
  "168.63.129.16", // Azure
  "192.0.0.192", // Oracle
];

/** The same of IPv6. */
const OF_CLOUDS_IPV6: readonly string[] = [
  "fd00:ec2::254", // Amazon
  "fd00:ec2::23", // Amazon, on Kubernetes
  "fd20:ce::254", // Google
  "fd00:42::42", // Scaleway
  "fd00:c1::a9fe:a9fe", // Oracle
];

const BEYOND_THE_LINK: ReadonlySet<string> = new Set([...OF_CLOUDS, ...OF_CLOUDS_IPV6]);

/**
 * The same for `--deny-net`, which knows no blocks of IPv6, and takes a mapped IPv4 address (::ffff:0:0/96) for
 * what it is, but not one behind NAT64: the rest is up to `isNeverDialled`.
 */
export const NEVER_DIALLED: readonly string[] = [
  "169.254.0.0/16",
  ...OF_CLOUDS,
  ...OF_CLOUDS_IPV6.map((address) => `[${address}]`),
  ...[...OF_CLOUDS_ON_THE_LINK, ...OF_CLOUDS].map((address) => `[${nat64(address)}]`),
];

/** Whether this is such an address. A name is none; what it stands for has to be asked as well. */
export function isNeverDialled(host: string): boolean {
  const address = canonicalAddress(host.replace(/^\[|\]$/g, "").replace(/%.*$/, ""));
  if (address === undefined) return false;
  return BEYOND_THE_LINK.has(ipv4Within(address) ?? address) ||
    addressScope(address) === "link-local";
}

/** The IPv6 address that a router turns into this one of IPv4 (RFC 6052). */
function nat64(address: string): string {
  return canonicalAddress(`64:ff9b::${address}`)!;
}
