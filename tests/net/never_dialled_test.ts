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
  "fd00:ec2::23",
  "fd20:ce::254",
  "fd00:42::42",
  "fd00:c1::a9fe:a9fe",
  // The same of IPv4, as IPv6 spells them, and as a router makes them of others.
  "::ffff:169.254.169.254",
  "::ffff:6464:64c8",
  "[::ffff:168.63.129.16]",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b::169.254.170.2",
  "64:ff9b::6464:64c8",
  "64:ff9b::168.63.129.16",
  "64:ff9b::192.0.0.192",
  "2002:6464:64c8::1",
];

/** Of those, what only the program refuses: `--deny-net` knows no blocks of IPv6. */
const LEFT_TO_THE_PROGRAM = /^\[?(fe80|2002):/;

Deno.test("addresses of the link and of clouds are known, however they are written", () => {
  for (const host of NEVER) assert(isNeverDialled(host), host);
  for (
    const host of [
      "10.0.0.1",
      "192.168.1.20",
      "127.0.0.1",
      "::1",
      "fd00::1",
      "64:ff9b::a00:1",
      "lab.example",
    ]
  ) {
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

Deno.test("--deny-net takes them: no permission is left but for blocks of IPv6", async () => {
  // A permission knows no zone.
  const never = NEVER.filter((host) => !host.includes("%"));
  const hosts = [...never, "10.0.0.1", "64:ff9b::a00:1"].map((host) =>
    host.includes(":") && !host.startsWith("[") ? `[${host}]:80` : `${host}:80`
  );
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
  const expected = never.map((host) => LEFT_TO_THE_PROGRAM.test(host) ? "granted" : "denied");
  assertEquals(states, [...expected, "granted", "granted"]);
});
