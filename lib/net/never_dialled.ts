/**
 * Where no client of ours ever dials: the link's own addresses, and those at which clouds answer with the secrets
 * of the machine. Whoever is there is no server and no peer.
 */
import { addressScope, canonicalAddress } from "../wire/address.ts";

/** Addresses beyond the link-local ones at which a cloud answers for the machine that it runs. */
const OF_CLOUDS: readonly string[] = [
  "fd00:ec2::254", // Amazon
  "100.100.100.200", // Alibaba
  "168.63.129.16", // Azure
  "192.0.0.192", // Oracle
];

/** The same for `--deny-net`, which knows no blocks of IPv6: the rest is up to `isNeverDialled`. */
export const NEVER_DIALLED: readonly string[] = [
  "169.254.0.0/16",
  ...OF_CLOUDS.map((address) => address.includes(":") ? `[${address}]` : address),
];

/** Whether this is such an address. A name is none; what it stands for has to be asked as well. */
export function isNeverDialled(host: string): boolean {
  const address = canonicalAddress(host.replace(/^\[|\]$/g, "").replace(/%.*$/, ""));
  if (address === undefined) return false;
  return OF_CLOUDS.includes(address) || addressScope(address) === "link-local";
}
