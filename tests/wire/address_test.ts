import { assertEquals, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import {
  address,
  addressScope,
  canonicalAddress,
  endpoint,
  formatAddress,
  formatEndpoint,
  parseAddress,
  siteOf,
} from "../../lib/wire/address.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { assertRefuses } from "./refusal.ts";

Deno.test("canonicalAddress() has one spelling for each address", () => {
  const spellings = {
    "192.168.1.7": ["192.168.1.7", "::ffff:192.168.1.7", "::FFFF:c0a8:107"],
    "0.0.0.0": ["0.0.0.0", "::ffff:0:0"],
    "::": ["::", "0:0:0:0:0:0:0:0", "0::0", "0::"],
    "::1": ["::1", "0:0:0:0:0:0:0:1", "0000::0001"],
    "2001:db8::1": ["2001:db8::1", "2001:0DB8:0:0:0:0:0:1", "2001:db8:0:0::1", "2001:db8::0:1"],
    "fe80::1:0:0:1": ["fe80:0:0:0:1:0:0:1", "fe80::1:0:0:1"],
    "1:2:3:4:5:6:7:0": ["1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7::"],
    "0:1:2:3:4:5:6:7": ["0:1:2:3:4:5:6:7", "::1:2:3:4:5:6:7"],
    "::ffff:0:7f00:1": ["::ffff:0:127.0.0.1"],
  };
  for (const [canonical, texts] of Object.entries(spellings)) {
    for (const text of texts) assertEquals(canonicalAddress(text), canonical, text);
  }
});

Deno.test("canonicalAddress() knows what is no address", () => {
  const others = [
    "",
    " ",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.2.3.999",
    "1.2.3.4 ",
    "1.2.3.-4",
    "0x7f.0.0.1",
    "2130706433",
    "localhost",
    "example.org",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::1",
    "[::1]",
    "::1%eth0",
    "fe80::1%25lo",
    "::1]/x[::",
    "::1/64",
    "::1:443@host",
    "::256.1.1.1",
    "1.2.3.4::",
  ];
  for (const text of others) assertEquals(canonicalAddress(text), undefined, JSON.stringify(text));
});

Deno.test("formatAddress() and parseAddress() undo each other", () => {
  const samples = [
    "00000000",
    "ffffffff",
    "0a000001",
    "00000000000000000000000000000000",
    "00000000000000000000000000000001",
    "20010db8000000000000000000000001",
    "00010000000200000003000000040000",
    "ffffffffffffffffffffffffffffffff",
    "00000000000000000000fffe7f000001",
  ];
  for (const hex of samples) {
    assertEquals(encodeHex(parseAddress(formatAddress(decodeHex(hex)))!), hex);
  }
});

Deno.test("address is a family and 4 or 16 bytes", () => {
  const wire = {
    "10.0.0.7": "040a000007",
    "::1": "0600000000000000000000000000000001",
    "2001:db8::a": "0620010db800000000000000000000000a",
  };
  for (const [text, hex] of Object.entries(wire)) {
    assertEquals(encodeHex(encode(address, text)), hex);
    assertEquals(decode(address, decodeHex(hex)), text);
  }
});

Deno.test("address writes a mapped IPv4 address as IPv4 and refuses to read it otherwise (D7)", () => {
  assertEquals(encodeHex(encode(address, "::ffff:127.0.0.1")), "047f000001");
  assertRefuses(() => decode(address, decodeHex("0600000000000000000000ffff7f000001")));
});

Deno.test("address refuses other families and any other length", () => {
  const malformed = [
    "",
    "00",
    "057f000001",
    "04",
    "047f0000",
    "047f00000100",
    "06000000000000000000000000000000",
    "0600000000000000000000000000000000ff",
    "ff7f000001",
  ];
  for (const hex of malformed) {
    assertRefuses(() => decode(address, decodeHex(hex)), "bad_frame", hex);
  }
});

Deno.test("address refuses to encode what is no address", () => {
  for (const text of ["localhost", "", "1.2.3.4:80"]) {
    assertThrows(() => encode(address, text), RangeError);
  }
});

Deno.test("endpoint is an address and a port", () => {
  const value = { host: "192.0.2.1", port: 40112 };
  assertEquals(encodeHex(encode(endpoint, value)), "04c00002019cb0");
  assertEquals(decode(endpoint, decodeHex("04c00002019cb0")), value);
});

Deno.test("formatEndpoint() puts IPv6 in brackets", () => {
  assertEquals(formatEndpoint({ host: "10.0.0.7", port: 1 }), "10.0.0.7:1");
  assertEquals(formatEndpoint({ host: "::1", port: 65535 }), "[::1]:65535");
});

Deno.test("addressScope() tells what kind of place an address names (A13)", () => {
  const scopes = {
    unspecified: ["0.0.0.0", "0.1.2.3", "::"],
    loopback: ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"],
    multicast: ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    special: [
      "192.0.0.8",
      "192.0.0.192",
      "192.31.196.1",
      "192.52.193.1",
      "192.88.99.1",
      "192.175.48.1",
      "198.18.0.1",
      "198.19.255.255",
      "240.0.0.1",
      "255.255.255.255",
      "64:ff9b:1::a09:901",
      "64:ff9b:1::7f00:1",
      "64:ff9b:1:a09:9:100::",
      "64:ff9b:0:0:0:1:a09:901",
      "100::1",
      "1fff::1",
      "2001::1",
      "2001:0:1::5",
      "2001:2::1",
      "2001:10::1",
      "2001:20::1",
      "2001:1ff:ffff::1",
      "2001:db8::5efe:a09:901",
      "2a00::200:5efe:a09:901",
      "fd00::5efe:a09:901",
      "2620:4f:8000::1",
      "3fff::1",
      "3fff:fff::1",
      "4000::1",
      "5f00::1",
      "fbff::1",
      "fe00::1",
      "fec0::1",
      "2002:c612:1::",
      "64:ff9b::198.18.0.1",
    ],
    private: [
      "10.0.0.1",
      "10.255.255.255",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.0.1",
      "100.64.0.1",
      "100.127.255.255",
      "fc00::1",
      "fdff::1",
      "::ffff:10.0.0.1",
    ],
    public: [
      "1.1.1.1",
      "9.255.255.255",
      "11.0.0.0",
      "100.63.255.255",
      "100.128.0.0",
      "126.255.255.255",
      "128.0.0.1",
      "169.253.255.255",
      "172.15.255.255",
      "172.32.0.0",
      "192.167.255.255",
      "191.255.255.255",
      "192.0.1.0",
      "192.1.0.0",
      "198.17.255.255",
      "198.20.0.0",
      "223.255.255.255",
      "2000::1",
      "2001:200::1",
      "2001:db8::1",
      "2003::1",
      "2620:4f:8001::1",
      "3ffe::1",
      "2606:4700::1111",
      "2002:101:101::",
    ],
  };
  for (const [scope, addresses] of Object.entries(scopes)) {
    for (const text of addresses) assertEquals(addressScope(text), scope, text);
  }
});

Deno.test("addressScope() of what is no address is a programmer's mistake", () => {
  assertThrows(() => addressScope("example.org"), TypeError);
});

Deno.test("siteOf() gives the private addresses of one block one site, and public ones none", () => {
  const sites = [
    ["127.0.0.1", "127.9.9.9", "::1"],
    ["10.0.0.1", "10.255.255.255", "64:ff9b::a01:101"],
    ["172.16.0.1", "172.31.255.255"],
    ["192.168.0.1", "192.168.255.1"],
    ["100.64.0.1", "100.127.255.255"],
    ["fd00:1:2::1", "fd00:1:2:ffff::1"],
    ["fd00:1:3::1"],
  ];
  const found = sites.map((site) => new Set(site.map(siteOf)));
  for (const [n, site] of found.entries()) assertEquals(site.size, 1, sites[n]!.join());
  assertEquals(new Set(found.flatMap((site) => [...site])).size, sites.length);
  for (
    const other of ["203.0.113.1", "172.32.0.1", "100.128.0.1", "2001:db8::1", "169.254.1.1", "::"]
  ) {
    assertEquals(siteOf(other), undefined, other);
  }
});
