/** Where this machine is: the addresses of its interfaces. */
import { addressScope, canonicalAddress } from "../wire/address.ts";

/** Networks that a machine makes for itself: nobody else in the building reaches it there. */
const VIRTUAL =
  /^(?:docker|br-|veth|virbr|vmnet|vboxnet|vEthernet|podman|cni|flannel|lxc|lxd|tun|tap|utun|wg|zt|tailscale|ppp|bridge)/i;

/**
 * Addresses under which others can reach this machine, the likeliest first: Deno does not tell where the default
 * route goes, so networks that lead out go before those of virtual machines and tunnels, and IPv4 before IPv6.
 */
export function reachableAddresses(
  interfaces: () => readonly Pick<Deno.NetworkInterfaceInfo, "name" | "address">[] = ownInterfaces,
): readonly string[] {
  const all = interfaces().flatMap(({ name, address }) => {
    const canonical = canonicalAddress(address.replace(/%.*$/, ""));
    if (!canonical || !["private", "public"].includes(addressScope(canonical))) return [];
    const isVirtual = VIRTUAL.test(name), isIpv6 = canonical.includes(":");
    return [{ canonical, rank: Number(isVirtual) * 2 + Number(isIpv6) }];
  });
  return [...new Set(all.sort((a, b) => a.rank - b.rank).map(({ canonical }) => canonical))];
}

/** All of them in their one form, without zones. None where that is not allowed to be known; never asks for it. */
export function ownAddresses(): readonly string[] {
  return ownInterfaces()
    .map(({ address }) => canonicalAddress(address.replace(/%.*$/, "")))
    .filter((address) => address !== undefined);
}

function ownInterfaces(): readonly Deno.NetworkInterfaceInfo[] {
  const permission = { name: "sys", kind: "networkInterfaces" } as const;
  try {
    if (Deno.permissions.querySync(permission).state !== "granted") return [];
    return Deno.networkInterfaces();
  } catch {
    return [];
  }
}
