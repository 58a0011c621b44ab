/** Where this machine is: the addresses of its interfaces. */
import { canonicalAddress } from "../wire/address.ts";

/** All of them in their one form, without zones. None where that is not allowed to be known; never asks for it. */
export function ownAddresses(): readonly string[] {
  const permission = { name: "sys", kind: "networkInterfaces" } as const;
  try {
    if (Deno.permissions.querySync(permission).state !== "granted") return [];
    return Deno.networkInterfaces()
      .map(({ address }) => canonicalAddress(address.replace(/%.*$/, "")))
      .filter((address) => address !== undefined);
  } catch {
    return [];
  }
}
