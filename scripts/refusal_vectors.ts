/**
 * The test vectors of what must be refused, tests/vectors/refusals.json: for each decoder one thing that it
 * takes, and what differs from it in one place that it must not take, with the code. Bytes are edited by
 * hand, so that the library has no say in what is wrong with them.
 */
import { encodeHex } from "@std/encoding/hex";
import { encodeServerResponse } from "../lib/wire/rendezvous_messages.ts";
import type {
  Decoder,
  RefusalsFile,
  ValuesFile,
  VectorFile,
} from "../tests/handshake/vector_file.ts";

/** Why, the bytes, and the code where it is another than `bad_frame`. */
type Case = readonly [why: string, bytes: string, code?: string];

const text = (value: string) => encodeHex(value);
const u16 = (value: number) => value.toString(16).padStart(4, "0");
const u32 = (value: number) => value.toString(16).padStart(8, "0");
const u64 = (value: number) => value.toString(16).padStart(16, "0");
const variable = (hex: string) => u16(hex.length / 2) + hex;
/** `hex` with the bytes from `offset` on replaced. */
function put(hex: string, offset: number, bytes: string): string {
  return hex.slice(0, 2 * offset) + bytes + hex.slice(2 * offset + bytes.length);
}
/** The bytes of a little-endian number, as Ed25519 and X25519 write a coordinate. */
function littleEndian(value: bigint): string {
  const big = value.toString(16).padStart(64, "0");
  return big.match(/../g)!.toReversed().join("");
}

const P = 2n ** 255n - 19n;
const SIGN = 2n ** 255n;
/** The two y of order 8, as they stand on the wire. */
const ORDER_8 = [
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
] as const;
const X25519_ORDER_8 = [
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
] as const;
const WIDE = "a".repeat(33);
const INVALID_UTF8: readonly Case[] = [
  ["an overlong form of /", "c0af"],
  ["a surrogate", "eda080"],
  ["a letter above U+10FFFF", "f4908080"],
  ["a letter that is cut", "c5"],
];

function decoder(what: Decoder["what"], valid: string, cases: readonly Case[]): Decoder {
  const refused = cases.map(([why, bytes, code = "bad_frame"]) => ({ why, bytes, code }));
  return { what, valid, refused };
}

function frames(): Decoder[] {
  const alert = "000000021505";
  return [
    decoder("frame of the handshake", alert, [
      ["a length of 0, seen with the fourth byte", "00000000"],
      ["a length above 8192, seen with the fourth byte", u32(8193)],
      ["a kind that is not known, seen with the fifth byte", "0000000216"],
      ["a kind that is reserved", "0000000211"],
    ]),
    decoder("frame of an open channel", alert, [
      ["a length above 65536", u32(65_537)],
      ["a length of 0", "00000000"],
    ]),
    decoder("alert", "05", [
      ["no code", ""],
      ["two codes", "0505"],
      ["busy without a time", "06"],
      ["busy with a byte left over", "060100"],
    ]),
  ];
}

/** What is inside a record; some of it is refused only once a key has opened it. */
function inners(): Decoder {
  const pad = (hex: string, length = 64) => hex.padEnd(2 * length, "0");
  const item = (type: string, body = "") => type + u32(body.length / 2) + body;
  const ping = item("03");
  const close = item("07", "00" + u64(0) + u64(0));
  return decoder("inner of a record", pad(ping), [
    ["no item", pad("")],
    ["nothing at all", ""],
    ["an unknown type", pad(item("06"))],
    ["a type that is not in this version", pad(item("0b"))],
    ["an item that ends beyond the record", pad("01" + u32(60))],
    ["an item whose header is cut", item("01", "ab".repeat(57)) + "0200"],
    ["a larger bucket than the items need", pad(ping, 128)],
    ["no padding", ping],
    ["padding that is not zero", pad(ping, 63) + "01"],
    ["a ping with a body", pad(item("03", "00"))],
    ["a pong with a body", pad(item("04", "00"))],
    ["a key update with a body", pad(item("05", "00"))],
    ["a key update that is not last", pad(item("05") + ping)],
    ["a close that is not last", pad(close + ping)],
    ["a close with an unknown code", pad(item("07", "05" + u64(0) + u64(0)))],
    ["a close of 16 bytes", pad(item("07", "00".repeat(16)))],
  ]);
}

/** The parts of m7 to a server, for one byte of it to be wrong. */
function requests(register: string): Decoder {
  const away = "0301";
  const proof = "06" + "00".repeat(64);
  const signIn = "05" + variable(text("alice")) + "00".repeat(24);
  const name = variable(text("alice"));
  return decoder("request to a server", register, [
    ["no tag", ""],
    ["an unknown tag", "00"],
    ["a byte left over", register + "00"],
    ["the last byte missing", register.slice(0, -2)],
    ["a name of 33 bytes", register.replace(name, variable(text(WIDE)))],
    ...INVALID_UTF8.map(([why, bytes]): Case => [why, register.replace(name, variable(bytes))]),
    ["an address of neither family", register.replace("04c0a80107", "05c0a80107")],
    [
      "an IPv4 address spelled as IPv6",
      register.replace("04c0a80107", "06" + "00".repeat(10) + "ffffc0a80107"),
    ],
    ["five advertised addresses", register.replace("0104c0a80107", "05" + "04c0a80107".repeat(5))],
    [
      "three vouchers",
      register.slice(0, -2) + "03" + (variable("02") + "00".repeat(64)).repeat(3),
    ],
    ["a number spoken for", "07" + name],
    ["away without a state", away.slice(0, 2)],
    ["away in a third state", "0302"],
    ["a want of two lines", "12" + variable(text("bob\nx"))],
    ["a want of 33 bytes", "12" + variable(text(WIDE))],
    ["an unwant without a name", "13"],
    ["who with a name", "15" + name],
    ["a proof of 63 bytes", proof.slice(0, -2)],
    ["a nonce of 25 bytes", signIn + "00"],
  ]);
}

function responses(): Decoder {
  const hex = (response: Parameters<typeof encodeServerResponse>[0]) =>
    encodeHex(encodeServerResponse(response));
  const registered = hex({
    type: "registered",
    observed: { host: "198.51.100.7", port: 50123 },
    frameLimit: 65536,
    silenceDeadline: 60,
    ticket: new Uint8Array(68).fill(1),
    ticketKey: new Uint8Array(32).fill(2),
  });
  const refused = "02" + "06" + u16(0);
  const people = (count: number) =>
    "0500" + count.toString(16).padStart(2, "0") + (variable("61") + "01").repeat(count);
  return decoder("response of a server", registered, [
    ["no tag", ""],
    ["an unknown tag", "00"],
    ["a byte left over", registered + "00"],
    ["the last byte missing", registered.slice(0, -2)],
    ["a reason of 201 bytes", refused + variable(text("a".repeat(201)))],
    ["a reason that is not UTF-8", refused + variable("ff")],
    ["a reason of two lines", refused + variable(text("no\nhint: x"))],
    ["a reason that turns around what follows", refused + variable(text("a\u202eb"))],
    [
      "an offer of a name that nobody could have",
      "06" + variable(text("bob\u2713")) + "01" + variable("00"),
    ],
    ["an unwanted without a reason", "14" + variable(text("bob")) + "06" + u16(0)],
    ["251 people in one message", people(251)],
    ["people neither complete nor not", "05" + "02" + "00"],
    ["fewer people than it counts", people(3).slice(0, -8)],
    ["a bundle of 131 bytes", "06" + variable("61") + "01" + variable("00".repeat(131))],
  ]);
}

function peers(): Decoder[] {
  const id = "11".repeat(16);
  const position = id + "01" + u64(1) + "00".repeat(16) + u64(0) + "00".repeat(16);
  const hello = variable(text("alice")) + variable(text("bob")) + position;
  const message = "01" + u64(1) + id + u64(0) + text("ahoj");
  const end = "03" + u64(2) + id;
  const credit = "02" + u32(7) + u32(1);
  return [
    decoder("m7 between peers", hello, [
      ["a byte left over", hello + "00"],
      ["the last byte missing", hello.slice(0, -2)],
      ["a tag in front", "01" + hello],
      ["a name that nobody could have", variable(text("Alice")) + variable(text("bob")) + position],
      [
        "a name of 33 bytes",
        variable(text(WIDE)) + variable(text("bob")) + position,
      ],
    ]),
    decoder("m8 between peers", position, [
      ["a byte left over", position + "00"],
      ["the last byte missing", position.slice(0, -2)],
      ["names, as m7 has them", hello],
    ]),
    decoder("message", message, [
      ["no tag", ""],
      ["an unknown tag", put(message, 0, "04")],
      ["a text without the time", message.slice(0, 2 * 25)],
      ["an end with a byte left over", end + "00"],
      ["an end without an id", end.slice(0, 2 * 9)],
      ["a number of seven bytes", "02" + u64(1).slice(2)],
    ]),
    decoder("acknowledgement", u64(5) + u64(4), [
      ["15 bytes", (u64(5) + u64(4)).slice(2)],
      ["17 bytes", u64(5) + u64(4) + "00"],
    ]),
    decoder("storing", "01", [
      ["no state", ""],
      ["an unknown state", "04"],
      ["a byte left over", "0100"],
    ]),
    decoder("away", variable(text("back at two")), [
      ["no length", ""],
      ["201 bytes", variable(text("x".repeat(201)))],
      ["the last byte missing", variable(text("back at two")).slice(0, -2)],
      ["a byte left over", variable(text("back at two")) + "00"],
      ["two lines", variable(text("back\nat two"))],
      ["an escape", variable(text("back\x1b[2J"))],
      ["an override", variable(text("back\u202eat two"))],
      ["half a character", variable("c3")],
    ]),
    decoder("relay item", credit, [
      ["no tag", ""],
      ["an unknown tag", put(credit, 0, "05")],
      ["a credit with a byte left over", credit + "00"],
      ["a credit of nothing", "020000000700000000"],
      ["a stream of three bytes", "03000007"],
    ]),
  ];
}

/** What is said of files; an entry of a manifest has one byte wrong at a time. */
function files(): Decoder[] {
  const id = "11".repeat(16);
  const hash = "22".repeat(32);
  const offer = "01" + u32(1) + u32(1) + u64(5) + u32(59) + hash + variable(text("docs"));
  const place = id + u32(1) + u32(2);
  const digest = "33".repeat(32);
  const want = "01" + place + u64(65_536) + u64(100_000) + u64(7) + "10" + digest;
  const folder = "0200" + u32(0) + u64(0) + u64(0) + variable(text("docs"));
  const file = "0101" + u32(1) + u64(5) + u64(7) + variable(text("run.sh"));
  const second = folder.length / 2;
  const named = (name: string) => folder + file.slice(0, 2 * 22) + variable(name);
  return [
    decoder("word about a transfer", offer, [
      ["no tag", ""],
      ["an unknown tag", "07" + id],
      ["a byte left over", offer + "00"],
      ["an offer of nothing", put(offer, 1, u64(0))],
      ["an offer of 100001 files", put(offer, 1, u32(100_000))],
      ["two files of a size that is not known", put(offer, 9, "ff".repeat(8))],
      ["a sum of 2^53 bytes", put(offer, 9, "0020000000000000")],
      ["no manifest", put(offer, 17, u32(0))],
      ["a manifest of more than 16 MiB", put(offer, 17, u32(2 ** 24 + 1))],
      ["no name", offer.slice(0, 2 * 53) + u16(0)],
      ["a name of two lines", offer.slice(0, 2 * 53) + variable(text("a\nb"))],
      ["an acceptance of 15 bytes", "02" + id.slice(2)],
      ["a done without a number", "04" + id],
      ["a failure for no reason", "06" + id + "00"],
      ["an unknown failure", "06" + id + "05"],
    ]),
    decoder("file item", want, [
      ["no tag", ""],
      ["an unknown tag", "08" + id + "00"],
      ["turn 0", put(want, 17, u32(0))],
      ["an offset of 2^53", put(want, 25, "0020000000000000")],
      ["a time that no date has", put(want, 41, "001eb208c2dc0001")],
      ["blocks of 32 KiB", put(want, 49, "0f")],
      ["blocks of 2 GiB", put(want, 49, "1f")],
      ["digests without a block", put(want, 49, "00")],
      ["a digest that is cut", want.slice(0, -2)],
      ["a digest too many", want + digest],
      ["a block without a digest", want.slice(0, 2 * 50)],
      ["taken of seven bytes", "02" + u64(1).slice(2)],
      ["held for an unknown reason", "03" + id + "04"],
      ["data without content", "04" + place + u64(0)],
      ["changed with flags that are not known", "05" + place + u64(5) + u64(7) + "02"],
      ["an end without a size", "06" + place],
      ["an end whose size is not known", "06" + place + "ff".repeat(8)],
      ["paused with a byte left over", "07" + id + "0000"],
    ]),
    decoder("manifest of one folder and one file of 5 bytes", folder + file, [
      ["nothing", ""],
      ["the last byte missing", (folder + file).slice(0, -2)],
      ["a byte left over", folder + file + "00"],
      ["an unknown kind", put(folder + file, second, "03")],
      ["flags that are not known", put(folder + file, second + 1, "02")],
      ["a folder that may be run", put(folder + file, 1, "01")],
      ["a folder with a size", put(folder + file, 6, u64(1))],
      ["a file in itself", put(folder + file, second + 2, u32(2))],
      ["a folder that comes later", file + folder],
      ["a folder in nothing that is", put(folder + file, 2, u32(9))],
      ["another sum than was offered", put(folder + file, second + 6, u64(6))],
      ["a size that is not known", put(folder + file, second + 6, "ff".repeat(8))],
      ["a size of 2^53", put(folder + file, second + 6, "0020000000000000")],
      ["a time that no date has", put(folder + file, second + 14, "001eb208c2dc0001")],
      ["a file too many", folder + file + file.replace(text("run"), text("sun"))],
      ["a name twice", folder + put(file, 2, u32(0)).slice(0, 2 * 22) + variable(text("docs"))],
      ["no name", named("")],
      ["the folder itself as a name", named(text("."))],
      ["the folder above as a name", named(text(".."))],
      ["a separator in a name", named(text("../x"))],
      ["a zero byte in a name", named("610062")],
      ["a name of 256 bytes", named("61".repeat(256))],
      ...INVALID_UTF8.map(([why, bytes]): Case => [`${why} in a name`, named(bytes)]),
    ]),
  ];
}

/** Those on whom no alert is wasted: the connection is closed without a byte. */
function prefaces({ invite, peers: { preface_of_initiator } }: ValuesFile): Decoder[] {
  const [ofInvite, ofPeer] = [invite.frame.slice(10), preface_of_initiator.frame.slice(10)];
  return [
    decoder("preface of a peer", ofPeer, [
      ["31 bytes", ofPeer.slice(2)],
      ["33 bytes", ofPeer + "00"],
      ["another introduction", put(ofPeer, 0, "00"), "auth_failed"],
      ["a token that is wrong in its last bit", flipLast(ofPeer), "auth_failed"],
    ]),
    decoder("preface of an invite", ofInvite, [
      ["another kind", put(ofInvite, 0, "03")],
      ["another hour", put(ofInvite, 4, "00"), "auth_failed"],
      ["a token that is wrong in its last bit", flipLast(ofInvite), "auth_failed"],
      ["a byte left over", ofInvite + "00"],
    ]),
  ];
}

function flipLast(hex: string): string {
  return hex.slice(0, -1) + (parseInt(hex.slice(-1), 16) ^ 1).toString(16);
}

/** m1 as a responder reads it that serves mode 1 and takes `modern` alone. */
function firstMessages(m1: string): Decoder {
  const mlkem = 36, x25519 = 36 + 1184;
  return decoder("m1 of modern, mode 1", m1, [
    ["three bytes", m1.slice(0, 6)],
    ["another version", put(m1, 0, "02"), "bad_version"],
    ["another version, and everything else is wrong", "02ffffff", "bad_version"],
    ["flags", put(m1, 3, "01")],
    ["flags before the mode", put(m1, 1, "090301")],
    ["a mode that is not served here", put(m1, 1, "02"), "bad_state"],
    ["a mode that does not exist", put(m1, 1, "00"), "bad_state"],
    ["a suite that is not accepted", put(m1, 2, "01"), "suite_refused"],
    ["a suite that does not exist", put(m1, 2, "09"), "suite_refused"],
    ["one byte too few", m1.slice(0, -2)],
    ["one byte too many", m1 + "00"],
    ["an ML-KEM key whose first number is 3329", put(m1, mlkem, "010d"), "auth_failed"],
    ["an X25519 key of small order", put(m1, x25519, "00".repeat(32)), "auth_failed"],
    [
      "an X25519 key with its highest bit set",
      put(m1, x25519 + 31, (parseInt(m1.slice(-2), 16) | 0x80).toString(16)),
      "auth_failed",
    ],
  ]);
}

function keys(modern: VectorFile, rsa: VectorFile): Decoder[] {
  const { identity } = modern.runs[0]!.initiator;
  const { identity: p256, ephemeral_public_key: spki } = rsa.runs[0]!.initiator;
  const ed25519 = identity.bundle.slice(2, 66), x25519 = identity.bundle.slice(66, 130);
  const point = p256.bundle.slice(2, 132);
  const [x, y] = [point.slice(2, 66), point.slice(66)];
  const FIELD = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
  const bad = (why: string, bytes: string): Case => [why, bytes, "auth_failed"];
  const withSign = (hex: string) => put(hex, 31, (parseInt(hex.slice(-2), 16) | 0x80).toString(16));
  return [
    decoder("Ed25519 public key", ed25519, [
      ...[0n, 1n, P - 1n].flatMap((value) => [
        bad(`y = ${value === P - 1n ? "p - 1" : value}`, littleEndian(value)),
        bad(
          `y = ${value === P - 1n ? "p - 1" : value}, the other sign`,
          littleEndian(value | SIGN),
        ),
      ]),
      ...ORDER_8.flatMap((key) => [
        bad("a y of order 8", key),
        bad("a y of order 8, the other sign", withSign(key)),
      ]),
      bad("y = p, which is 0 again", littleEndian(P)),
      bad("y = p + 1, which is 1 again", littleEndian(P + 1n)),
      bad("31 bytes", ed25519.slice(2)),
    ]),
    decoder("X25519 public key", x25519, [
      bad("u = 0", littleEndian(0n)),
      bad("u = 1", littleEndian(1n)),
      bad("u = p - 1", littleEndian(P - 1n)),
      ...X25519_ORDER_8.map((key) => bad("a u of order 8", key)),
      bad("u = p", littleEndian(P)),
      bad("the highest bit set", withSign(x25519)),
      bad("33 bytes", x25519 + "00"),
    ]),
    decoder("P-256 public key", point, [
      bad("compressed", (parseInt(y.slice(-2), 16) % 2 ? "03" : "02") + x),
      bad("a point off the curve", flipLast(point)),
      bad("x not below p", "04" + FIELD + y),
      bad("the point at infinity", "00"),
    ]),
    decoder("RSA-3072 public key", spki, [
      bad("an even modulus", put(spki, 33 + 383, "00")),
      bad("a modulus whose highest bit is 0", put(spki, 33, "7f")),
      bad("another exponent", spki.slice(0, -2) + "03"),
      bad("another prefix", put(spki, 0, "31")),
      bad("a byte left over", spki + "00"),
    ]),
    decoder("bundle of class 2", identity.bundle, [
      bad("class 1", put(identity.bundle, 0, "01")),
      bad("class 3", put(identity.bundle, 0, "03")),
      bad("a self-signature that does not hold", flipLast(identity.bundle)),
      bad("a signature key of order 8", put(identity.bundle, 1, ORDER_8[0])),
      bad("an agreement key of small order", put(identity.bundle, 33, littleEndian(1n))),
      bad("128 bytes", identity.bundle.slice(0, -2)),
      bad("a bundle of class 1", p256.bundle),
    ]),
  ];
}

/** Those that people read and type are given as text, in hexadecimal like everything. */
function texts({ fingerprints, invite }: ValuesFile): Decoder[] {
  const fingerprint = fingerprints[0]!.text;
  const line = invite.lines[0]!;
  const usage = (why: string, value: string): Case => [why, text(value), "usage"];
  const badName = (why: string, value: string): Case => [why, text(value), "bad_name"];
  return [
    decoder("fingerprint, as text", text(fingerprint), [
      usage("a letter too few", fingerprint.slice(1)),
      usage("a digit that is none of base32", fingerprint.replace(/.$/, "1")),
      usage("the unused bits of the last letter are not zero", fingerprint.replace(/.$/, "b")),
    ]),
    decoder("invite line, as text", text(line), [
      usage("another prefix", line.replace("cifra1", "cifra2")),
      usage("a secret of 31 bytes", line.slice(0, -43) + "A".repeat(42)),
      usage("no port that there is", line.replace(":7411:", ":65536:")),
    ]),
    decoder("name", text("alice_3-b"), [
      badName("empty", ""),
      badName("33 letters", WIDE),
      badName("a capital letter", "Alice"),
      badName("begins with -", "-alice"),
      badName("begins with _", "_alice"),
      badName("a letter with an accent", "žofie"),
      badName("reserved", "server"),
      badName("reserved as well", "admin"),
    ]),
  ];
}

/** The first record to the responder, and what the network may make of it. */
function records({ runs }: VectorFile): Decoder {
  const { m7: { frame }, m8 } = runs[1]!;
  return decoder("m7 of modern, mode 2, as a frame", frame, [
    ["the tag is wrong in its last bit", flipLast(frame), "auth_failed"],
    ["the ciphertext is wrong in its first bit", put(frame, 5, flipFirst(frame)), "auth_failed"],
    ["a record of the other direction", m8.frame, "auth_failed"],
    [
      "a shorter record, its header changed to fit",
      u32(frame.length / 2 - 5) + frame.slice(8, -2),
      "auth_failed",
    ],
    ["shorter than the shortest record", "0000000417000000"],
    ["a record of m1's kind", put(frame, 4, "01"), "bad_state"],
  ]);
}

function flipFirst(frame: string): string {
  return (parseInt(frame.slice(10, 12), 16) ^ 0x80).toString(16).padStart(2, "0");
}

/** The file. */
export function makeRefusalsFile(
  modern: VectorFile,
  rsa: VectorFile,
  values: ValuesFile,
): RefusalsFile {
  const m7 = modern.runs[0]!.m7.inner;
  // One item: type and length, then the request.
  const register = m7.slice(10, 10 + 2 * parseInt(m7.slice(2, 10), 16));
  return {
    decoders: [
      ...frames(),
      firstMessages(modern.runs[0]!.messages[0]!),
      records(modern),
      inners(),
      requests(register),
      responses(),
      ...peers(),
      ...files(),
      ...prefaces(values),
      ...keys(modern, rsa),
      ...texts(values),
    ],
  };
}
