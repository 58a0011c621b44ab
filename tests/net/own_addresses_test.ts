import { assertEquals } from "@std/assert";
import { reachableAddresses } from "../../lib/net/own_addresses.ts";

Deno.test("the networks that lead out go before those that a machine makes for itself, IPv4 before IPv6", () => {
  const interfaces = [
    ["lo", "127.0.0.1"],
    ["lo", "::1"],
    ["docker0", "172.17.0.1"],
    ["virbr0", "192.168.122.1"],
    ["tun0", "10.8.0.2"],
    ["eth0", "fe80::1%eth0"],
    ["eth0", "fd00::7"],
    ["wlp3s0", "192.168.1.7"],
    ["wlp3s0", "192.168.1.7"],
    ["vEthernet (WSL)", "172.20.0.1"],
  ] as const;
  assertEquals(
    reachableAddresses(() => interfaces.map(([name, address]) => ({ name, address }))),
    ["192.168.1.7", "fd00::7", "172.17.0.1", "192.168.122.1", "10.8.0.2", "172.20.0.1"],
  );
  assertEquals(reachableAddresses(() => []), []);
});
