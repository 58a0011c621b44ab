import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { FRAME_LIMIT_HANDSHAKE, FRAME_LIMIT_OPEN, RECORD_MINIMUM } from "../../lib/limits.ts";
import {
  encodeFrame,
  type Frame,
  FRAME_HEADER_LENGTH,
  FrameDecoder,
  frameHeader,
  FrameKind,
} from "../../lib/wire/frame.ts";
import { assertRefuses } from "./refusal.ts";

/** A body in which every position can be told from its neighbours. */
function patterned(length: number): Bytes {
  const body = new Uint8Array(length);
  for (let i = 0; i < length; i++) body[i] = i * 31 + (i >> 8);
  return body;
}

function decodeAll(pieces: Iterable<Bytes>, limit = FRAME_LIMIT_OPEN): Frame[] {
  const decoder = new FrameDecoder(limit);
  const frames: Frame[] = [];
  for (const piece of pieces) frames.push(...decoder.push(piece));
  assertEquals(decoder.midFrame, false);
  return frames;
}

function* inSteps(bytes: Bytes, step: number): Generator<Bytes> {
  for (let i = 0; i < bytes.length; i += step) yield bytes.subarray(i, i + step);
}

Deno.test("encodeFrame() counts kind and body in its length", () => {
  assertEquals(encodeHex(encodeFrame(FrameKind.alert, decodeHex("05"))), "000000021505");
  assertEquals(encodeHex(encodeFrame(FrameKind.m6, new Uint8Array(0))), "0000000106");
  assertEquals(encodeHex(frameHeader(FrameKind.record, 0x010203)), "0001020417");
});

Deno.test("FrameDecoder.push() takes every kind there is", () => {
  const frames = Object.values(FrameKind).map((kind) => ({
    kind,
    body: patterned(kind === FrameKind.record ? RECORD_MINIMUM : kind),
  }));
  const wire = concat(frames.map(({ kind, body }) => encodeFrame(kind, body)));
  assertEquals(decodeAll([wire]), frames);
});

Deno.test("FrameDecoder.push() refuses every kind there is not, with its fifth byte (F11)", () => {
  const known = new Set<number>(Object.values(FrameKind));
  for (let kind = 0; kind < 256; kind++) {
    if (known.has(kind)) continue;
    const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
    assertEquals(decoder.push(decodeHex("00000009")), []);
    assertRefuses(() => decoder.push(new Uint8Array([kind])), "bad_frame", `kind ${kind}`);
  }
});

Deno.test("FrameDecoder.push() refuses a record too short to be one, with its fifth byte", () => {
  for (const length of [0, 1, RECORD_MINIMUM - 1]) {
    const header = frameHeader(FrameKind.record, length);
    const decoder = new FrameDecoder(FRAME_LIMIT_OPEN);
    assertEquals(decoder.push(header.subarray(0, 4)), []);
    assertRefuses(() => decoder.push(header.subarray(4)), "bad_frame", `${length}`);
  }
});

Deno.test("FrameDecoder.push() refuses a length of zero, with its fourth byte (F1)", () => {
  const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
  assertEquals(decoder.push(decodeHex("000000")), []);
  assertRefuses(() => decoder.push(decodeHex("00")));
});

Deno.test("FrameDecoder.push() refuses a length beyond its limit at the header (F2, F3)", () => {
  for (const limit of [FRAME_LIMIT_HANDSHAKE, FRAME_LIMIT_OPEN]) {
    for (const length of [limit + 1, 2 * limit, 0x7fffffff, 0x80000000, 0xffffffff]) {
      const header = new Uint8Array(4);
      new DataView(header.buffer).setUint32(0, length);
      const decoder = new FrameDecoder(limit);
      assertEquals(decoder.push(header.subarray(0, 3)), []);
      assertRefuses(() => decoder.push(header.subarray(3)), "bad_frame", `${length}`);
    }
  }
});

Deno.test("FrameDecoder.push() takes lengths around every edge in steps of every size (F4)", () => {
  for (const limit of [FRAME_LIMIT_HANDSHAKE, FRAME_LIMIT_OPEN]) {
    for (const length of [RECORD_MINIMUM + 1, 4095, 4096, 4097, 8191, limit - 1, limit]) {
      const body = patterned(length - 1);
      const wire = encodeFrame(FrameKind.record, body);
      for (const step of [1, 2, 3, 4, 5, 6, 7, 511, 512, 4095, 4096, 4097, wire.length]) {
        const [frame, ...more] = decodeAll(inSteps(wire, step), limit);
        const same = frame !== undefined && more.length === 0 &&
          frame.kind === FrameKind.record && frame.body.length === body.length &&
          frame.body.every((byte, i) => byte === body[i]);
        assert(same, `length ${length} in steps of ${step}`);
      }
    }
  }
});

Deno.test("FrameDecoder.push() gives the same frames split at every offset (F8)", () => {
  const expected: Frame[] = [
    { kind: FrameKind.m1, body: patterned(37) },
    { kind: FrameKind.alert, body: new Uint8Array(0) },
    { kind: FrameKind.record, body: patterned(RECORD_MINIMUM) },
  ];
  const wire = concat(expected.map(({ kind, body }) => encodeFrame(kind, body)));
  for (let a = 0; a <= wire.length; a++) {
    for (let b = a; b <= wire.length; b++) {
      const pieces = [wire.subarray(0, a), wire.subarray(a, b), wire.subarray(b)];
      assertEquals(decodeAll(pieces), expected, `split at ${a} and ${b}`);
    }
  }
});

Deno.test("FrameDecoder.push() takes a header one byte at a time and waits for the rest (F5)", () => {
  const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
  const wire = encodeFrame(FrameKind.m1, patterned(3));
  for (const byte of wire.subarray(0, -1)) {
    assertEquals(decoder.push(new Uint8Array([byte])), []);
    assertEquals(decoder.midFrame, true);
  }
  assertEquals(decoder.push(wire.subarray(-1)), [{ kind: FrameKind.m1, body: patterned(3) }]);
  assertEquals(decoder.midFrame, false);
});

Deno.test("FrameDecoder.push() takes 1,000 frames of one segment in order (F7)", () => {
  const expected: Frame[] = [];
  for (let i = 0; i < 1000; i++) {
    expected.push({ kind: FrameKind.record, body: patterned(RECORD_MINIMUM + i % 100) });
  }
  const wire = concat(expected.map(({ kind, body }) => encodeFrame(kind, body)));
  assertEquals(decodeAll([wire]), expected);
});

Deno.test("FrameDecoder.push() ignores empty pieces wherever they come", () => {
  const wire = encodeFrame(FrameKind.m2, patterned(4));
  const nothing = new Uint8Array(0);
  const pieces = [...inSteps(wire, 1)].flatMap((piece) => [nothing, piece, nothing]);
  assertEquals(decodeAll(pieces), [{ kind: FrameKind.m2, body: patterned(4) }]);
});

Deno.test("FrameDecoder.push() gives bodies of its own: a reused read buffer changes nothing", () => {
  const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
  const buffer = encodeFrame(FrameKind.m3, patterned(64));
  const [frame] = decoder.push(buffer);
  buffer.fill(0);
  assertEquals(frame?.body, patterned(64));
});

Deno.test("FrameDecoder.limit can be raised between frames", () => {
  const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
  const large = encodeFrame(FrameKind.record, patterned(FRAME_LIMIT_OPEN - 1));
  assertEquals(decoder.push(encodeFrame(FrameKind.m6, patterned(1))).length, 1);
  decoder.limit = FRAME_LIMIT_OPEN;
  assertEquals(decoder.push(large).length, 1);
});

Deno.test("FrameDecoder.push() does not allocate what a header merely claims (F2)", () => {
  const count = 1000;
  const claim = concat([frameHeader(FrameKind.record, FRAME_LIMIT_OPEN - 1), patterned(1)]);
  const before = Deno.memoryUsage().external;
  const decoders = Array.from({ length: count }, () => new FrameDecoder(FRAME_LIMIT_OPEN));
  for (const decoder of decoders) assertEquals(decoder.push(claim), []);
  const perDecoder = (Deno.memoryUsage().external - before) / count;
  assert(decoders.every(({ midFrame }) => midFrame));
  assert(perDecoder < 8192, `${perDecoder} bytes for a header and one byte`);
});

Deno.test("FrameDecoder.push() refuses other protocols within their first five bytes (F12)", () => {
  const strangers = {
    http: encodeUtf8("GET / HTTP/1.1\r\n"),
    tls: decodeHex("1603010200010001fc0303"),
    ssh: encodeUtf8("SSH-2.0-OpenSSH_9.6\r\n"),
    smtp: encodeUtf8("EHLO example.org\r\n"),
    zeros: new Uint8Array(16),
    ones: new Uint8Array(16).fill(0xff),
  };
  for (const [name, bytes] of Object.entries(strangers)) {
    const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
    const first = bytes.subarray(0, FRAME_HEADER_LENGTH);
    assertRefuses(() => decoder.push(first), "bad_frame", name);
  }
});
