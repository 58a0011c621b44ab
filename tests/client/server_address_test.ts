import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  formatInviteLine,
  inviteTextOf,
  isLoopback,
  isPartOfInvite,
  parseInviteLine,
  parseServerAddress,
  serverSubject,
} from "../../lib/client/server_address.ts";
import { CifraError } from "../../lib/errors.ts";

const FINGERPRINT = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1);
const SECRET = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);

Deno.test("parseServerAddress() reads every spelling of a server", () => {
  const cases: Readonly<Record<string, readonly [string, number]>> = {
    "127.0.0.1": ["127.0.0.1", 7411],
    "127.0.0.1:80": ["127.0.0.1", 80],
    "lab.example": ["lab.example", 7411],
    "lab.example:65535": ["lab.example", 65_535],
    "Lab-3": ["Lab-3", 7411],
    "my_host.local.": ["my_host.local.", 7411],
    "bücher.example": ["bücher.example", 7411],
    "xn--bcher-kva.example": ["xn--bcher-kva.example", 7411],
    "4.lab": ["4.lab", 7411],
    "127.1": ["127.1", 7411],
    "0.0.0.0": ["0.0.0.0", 7411],
    "[::1]": ["::1", 7411],
    "[::1]:9000": ["::1", 9000],
    "::1": ["::1", 7411],
    "2001:db8::7": ["2001:db8::7", 7411],
    "[2001:db8:0:0::7]:1": ["2001:db8:0:0::7", 1],
  };
  for (const [text, [host, port]] of Object.entries(cases)) {
    const address = parseServerAddress(text);
    assertEquals([address.host, address.port], [host, port], text);
    assertEquals([address.fingerprint, address.inviteSecret], [undefined, undefined]);
  }
});

Deno.test("a host at which no server will ever be is a usage error, on the command line and in an invite", () => {
  const hosts = [
    "169.254.169.254",
    "169.254.1.1",
    "fe80::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "100.100.100.200",
    "224.0.0.1",
    "ff02::1",
    "300.1.1.1",
    "1.2.3.4.5",
    "a..b",
    ".lab",
    "-lab",
    "lab-",
    "lab!",
    "a@b",
    "a?b",
    "a#b",
    "a\\b",
    "$(lab)",
    `${"a".repeat(64)}.lab`,
    `${"a.".repeat(127)}`,
  ];
  for (const host of hosts) {
    const brackets = host.includes(":") ? `[${host}]` : host;
    const line = formatInviteLine(host, 7411, FINGERPRINT, SECRET);
    for (const parse of [() => parseServerAddress(brackets), () => parseInviteLine(line)]) {
      const error = assertThrows(parse, CifraError, `No server can be at "${host}"`);
      assertEquals([error.code, error.hint?.includes("whoever runs")], ["usage", true], host);
    }
  }
});

Deno.test("parseServerAddress() refuses everything else as a usage error", () => {
  const bad = [
    "",
    ":",
    ":7411",
    "host:",
    "host:0",
    "host:65536",
    "host:999999",
    "host:-1",
    "host:port",
    "host:80:80",
    "a b",
    "http://host/",
    "host/path",
    "[::1",
    "::1]",
    "[]:80",
    "[host]:80",
    "[::1]80",
    "[::1]:",
    "1.2.3.4:",
    "host\n",
  ];
  for (const text of bad) {
    const error = assertThrows(() => parseServerAddress(text), CifraError);
    assertEquals(error.code, "usage", JSON.stringify(text));
  }
});

Deno.test("serverSubject() has one spelling for each server", () => {
  const same: readonly (readonly string[])[] = [
    ["127.0.0.1", "127.0.0.1:7411", "::ffff:127.0.0.1", "[::ffff:7f00:1]:7411"],
    ["lab.example", "LAB.example:7411", "Lab.Example"],
    ["2001:db8::7", "[2001:0DB8:0:0:0:0:0:7]", "[2001:db8::0007]:7411"],
  ];
  for (const spellings of same) {
    const subjects = new Set(spellings.map((text) => serverSubject(parseServerAddress(text))));
    assertEquals(subjects.size, 1, spellings.join());
  }
  assertEquals(serverSubject(parseServerAddress("[::1]:9000")), "[::1]:9000");
});

Deno.test("isLoopback() knows this machine by name and by every address of it", () => {
  for (
    const text of ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
  ) {
    assert(isLoopback(parseServerAddress(text)), text);
  }
  for (const text of ["localhost.example", "10.0.0.1", "0.0.0.0", "lab", "2001:db8::1"]) {
    assert(!isLoopback(parseServerAddress(text)), text);
  }
});

Deno.test("an invite line comes back as it was written", () => {
  for (
    const [host, port] of [["127.0.0.1", 7411], ["lab.example", 1], [
      "2001:db8::7",
      65_535,
    ]] as const
  ) {
    const line = formatInviteLine(host, port, FINGERPRINT, SECRET);
    for (const copy of [line, `  ${line}\n`, `${line}\r\n`]) {
      assertEquals(parseInviteLine(copy), {
        host,
        port,
        fingerprint: FINGERPRINT,
        inviteSecret: SECRET,
      });
    }
  }
});

Deno.test("parseInviteLine() finds the line however mail, chats and terminals have treated it", () => {
  const expected = {
    host: "2001:db8::7",
    port: 7411,
    fingerprint: FINGERPRINT,
    inviteSecret: SECRET,
  };
  const line = formatInviteLine(expected.host, expected.port, FINGERPRINT, SECRET);
  const broken = (width: number, between: string) =>
    line.match(new RegExp(`.{1,${width}}`, "g"))!.join(between);
  for (
    const text of [
      `invite       ${line}`,
      `"${line}"`,
      `\u201c${line}\u201d,`,
      `\ufeff${line}\r\n`,
      `Hello,\n> my server: <${line}>\n> see you`,
      broken(40, "\n"),
      broken(64, "\r\n   "),
      broken(72, "\n> "),
      `${line}\n8c1d04e2: good for one person, 7 days\n`,
      `${line}.`,
    ]
  ) {
    assert(!isPartOfInvite(text), text);
    assertEquals(parseInviteLine(text), expected, text);
  }
  for (const text of [line.slice(0, 80), line.slice(0, -1)]) assert(isPartOfInvite(text));
  for (const text of ["", "hello", line]) assert(!isPartOfInvite(text));
});

Deno.test("inviteTextOf() reads what Windows has written", () => {
  const line = "cifra1:lab";
  const utf16 = (isLittle: boolean, text: string) => {
    const bytes = new Uint8Array(2 * text.length);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), isLittle);
    return bytes;
  };
  const files = [`\ufeff${line}`, line].flatMap((text) => [
    utf16(true, text),
    utf16(false, text),
    new TextEncoder().encode(text),
  ]);
  for (const bytes of files) assertEquals(inviteTextOf(bytes), line);
});

Deno.test("parseInviteLine() refuses a line with anything missing, and never repeats it", () => {
  const line = formatInviteLine("lab.example", 7411, FINGERPRINT, SECRET);
  const secret = line.split(":").at(-1)!;
  const bad = [
    "",
    "cifra1:",
    secret,
    line.slice(1),
    line.replace("cifra1", "cifra2"),
    line.slice(0, -1),
    line.slice(0, -2),
    `${line}A`,
    `${line}AAAA`,
    line.replace(":7411", ":0"),
    line.replace("lab.example:7411:", ""),
    line.replace(secret, "*".repeat(43)),
    line.replace(/:[a-z2-7]{52}:/, ":short:"),
    line.replace(/:[a-z2-7]{52}:/, ":"),
    `${line}\n${line}`,
  ];
  for (const text of bad) {
    const error = assertThrows(() => parseInviteLine(text), CifraError);
    assertEquals(error.code, "usage", text);
    for (const told of [error.message, error.hint ?? ""]) {
      assert(!told.includes(secret.slice(0, 20)), text);
    }
  }
});

Deno.test("parseServerAddress() refuses an invite line as an argument, and never repeats it", () => {
  const line = formatInviteLine("lab.example", 7411, FINGERPRINT, SECRET);
  const secret = line.split(":").at(-1)!;
  const error = assertThrows(() => parseServerAddress(line), CifraError);
  assertEquals(error.code, "usage");
  assert(!`${error.message} ${error.hint} ${error.stack}`.includes(secret));
});
