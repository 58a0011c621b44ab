import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { dial, dialFrom } from "../../lib/net/dial.ts";
import { isNeverDialled, NEVER_DIALLED } from "../../lib/net/never_dialled.ts";

const NEVER = [
  "169.254.169.254",
  "169.254.0.1",
  "fe80::1",
  "[fe80::1]",
  "fe80::1%lo",
  "fd00:ec2::254",
  "FD00:0EC2::0254",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
  "64:ff9b::a9fe:a9fe",
];

Deno.test("addresses of the link and of clouds are known, however they are written", () => {
  for (const host of NEVER) assert(isNeverDialled(host), host);
  for (const host of ["10.0.0.1", "192.168.1.20", "127.0.0.1", "::1", "fd00::1", "lab.example"]) {
    assert(!isNeverDialled(host), host);
  }
});

Deno.test("they are never dialled, also by a program that may dial everywhere", async () => {
  for (const host of NEVER) {
    for (const dialling of [() => dial(host, 80), () => dialFrom(0, { host, port: 80 })]) {
      const error = await assertRejects(dialling, CifraError);
      assertEquals(error.code, "unreachable");
      assertStringIncludes(String((error.cause as Error).message), "never dialled");
    }
  }
});

Deno.test("--deny-net takes them: no permission is left for those of IPv4", async () => {
  const hosts = ["169.254.169.254:80", "100.100.100.200:80", "[fd00:ec2::254]:80", "10.0.0.1:80"];
  const ask = `for (const host of ${JSON.stringify(hosts)}) ` +
    `console.log(Deno.permissions.querySync({ name: "net", host }).state);`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--allow-net",
      `--deny-net=${NEVER_DIALLED.join(",")}`,
      `data:text/javascript,${encodeURIComponent(ask)}`,
    ],
  }).output();
  const states = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals(states, ["denied", "denied", "denied", "granted"]);
});
