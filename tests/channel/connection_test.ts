import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import {
  FIRST_BYTE_DEADLINE,
  FRAME_DEADLINE,
  FRAME_LIMIT_HANDSHAKE,
  FRAME_LIMIT_OPEN,
  HANDSHAKE_DEADLINE,
  READ_BUFFER_MAXIMUM,
  READ_BUFFER_MINIMUM,
  RECORD_MINIMUM,
  WRITE_DEADLINE,
} from "../../lib/limits.ts";
import { Connection } from "../../lib/channel/connection.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import { ALERT_CODES, encodeAlert } from "../../lib/wire/alert.ts";
import { encodeFrame, FRAME_HEADER_LENGTH, FrameDecoder, FrameKind } from "../../lib/wire/frame.ts";
import { ManualTime } from "../testkit/clock.ts";
import { type LaneOptions, type Pipe, pipe } from "../testkit/pipe.ts";
import { turn } from "../testkit/turn.ts";

/** A connection at the right end of a pipe; the test speaks for the left one. */
function connected(
  options: LaneOptions = {},
): { connection: Connection; between: Pipe; clock: ManualTime } {
  const clock = new ManualTime();
  const between = pipe(options);
  return { connection: new Connection(between.right, clock.now), between, clock };
}

/** The CifraError with which `promise` rejects. */
async function failure(promise: Promise<unknown>): Promise<CifraError> {
  const error = await promise.then(() => undefined, (reason) => reason);
  assertInstanceOf(error, CifraError);
  return error;
}

function alert(code: keyof typeof ALERT_CODES): Bytes {
  return encodeFrame(FrameKind.alert, encodeAlert({ code }));
}

function filled(length: number, value: number): Bytes {
  return new Uint8Array(length).fill(value);
}

const HELLO = encodeFrame(FrameKind.m1, filled(40, 7));

Deno.test("nextFrame() gives the same frame whatever the pieces it arrives in (F5, F8)", async () => {
  for (const readLimit of [1, 2, 3, 5, 44, 45, 46]) {
    const { connection, between } = connected({ readLimit });
    between.toRight.deliver(HELLO);
    assertEquals(await connection.nextFrame(), { kind: FrameKind.m1, body: filled(40, 7) });
  }
  for (let split = 1; split < HELLO.length; split++) {
    const { connection, between } = connected();
    const next = connection.nextFrame();
    between.toRight.deliver(HELLO.slice(0, split));
    await turn();
    between.toRight.deliver(HELLO.slice(split));
    assertEquals((await next).body, filled(40, 7));
  }
});

Deno.test("nextFrame() takes a header that comes in five pieces a second apart (F5)", async () => {
  const { connection, between, clock } = connected();
  const next = connection.nextFrame();
  const frame = encodeFrame(FrameKind.m1, filled(1, 9));
  for (const byte of frame) {
    between.toRight.deliver(new Uint8Array([byte]));
    await turn();
    connection.enforceDeadlines();
    clock.advance(FRAME_DEADLINE / (frame.length - 1));
  }
  assertEquals((await next).body, filled(1, 9));
  assertEquals(connection.failure, undefined);
});

Deno.test("nextFrames() gives a thousand frames of one piece in order (F7)", async () => {
  const { connection, between } = connected();
  connection.markOpen();
  const sent = Array.from({ length: 1000 }, (_, i) => filled(RECORD_MINIMUM, i & 0xff));
  between.toRight.deliver(concat(sent.map((body) => encodeFrame(FrameKind.record, body))));
  const received: Bytes[] = [];
  while (received.length < 1000) {
    const frames = await connection.nextFrames();
    assert(frames);
    received.push(...frames.map(({ body }) => body));
  }
  assertEquals(received, sent);
});

Deno.test("enforceDeadlines() gives up on one byte every two seconds after five (F6)", async () => {
  const { connection, between, clock } = connected();
  const ended = failure(connection.nextFrame());
  let given = 0;
  while (!connection.failure) {
    between.toRight.deliver(HELLO.slice(given, given + 1));
    given++;
    await turn();
    clock.advance(2000);
    connection.enforceDeadlines();
  }
  assertEquals((await ended).code, "timeout");
  assertEquals(clock.now(), 6000);
  assertEquals(between.toLeft.bytes.length, 0);
});

Deno.test("enforceDeadlines() gives up on a handshake of many small frames after ten seconds (F6)", async () => {
  const { connection, between, clock } = connected();
  const frame = encodeFrame(FrameKind.m1, filled(1, 0));
  while (!connection.failure) {
    between.toRight.deliver(frame);
    await connection.nextFrame();
    clock.advance(1000);
    connection.enforceDeadlines();
  }
  assertEquals(clock.now(), HANDSHAKE_DEADLINE + 1000);
  assertEquals(connection.failure?.code, "timeout");
  await turn();
  assertEquals(between.toLeft.bytes, alert("timeout"));
});

Deno.test("enforceDeadlines() keeps each deadline to the millisecond", async (t) => {
  await t.step("first byte", () => {
    const { connection, between, clock } = connected();
    clock.advance(FIRST_BYTE_DEADLINE);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    clock.advance(1);
    connection.enforceDeadlines();
    assertEquals(connection.failure?.code, "timeout");
    assertEquals(between.right.closed, 1);
    assertEquals(between.toLeft.bytes.length, 0);
  });
  await t.step("first byte, longer on request", () => {
    const clock = new ManualTime();
    const connection = new Connection(pipe().right, clock.now, 9000);
    clock.advance(9000);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    clock.advance(1);
    connection.enforceDeadlines();
    assertEquals(connection.failure?.code, "timeout");
  });
  await t.step("one frame, counted from its own first byte", async () => {
    const { connection, between, clock } = connected();
    clock.advance(2000);
    const ended = failure(connection.nextFrame());
    between.toRight.deliver(HELLO.slice(0, 1));
    await turn();
    clock.advance(FRAME_DEADLINE);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    clock.advance(1);
    connection.enforceDeadlines();
    assertEquals((await ended).code, "timeout");
  });
  await t.step("the next frame of the handshake, counted from when it is waited for", async () => {
    const { connection, between, clock } = connected();
    between.toRight.deliver(HELLO);
    await connection.nextFrame();
    // Our own work is not the other side's delay.
    clock.advance(4000);
    connection.enforceDeadlines();
    const ended = failure(connection.nextFrame());
    clock.advance(1000);
    // A frame that begins late has no more time for that.
    between.toRight.deliver(HELLO.slice(0, 1));
    await turn();
    clock.advance(FRAME_DEADLINE - 1000);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    clock.advance(1);
    connection.enforceDeadlines();
    assertEquals((await ended).code, "timeout");
  });
  await t.step("no frame after a preface: a candidate may wait for its turn", async () => {
    const { connection, between, clock } = connected();
    between.toRight.deliver(encodeFrame(FrameKind.preface, filled(32, 1)));
    await connection.nextFrame();
    const next = connection.nextFrame();
    clock.advance(HANDSHAKE_DEADLINE);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    between.toRight.deliver(HELLO);
    await next;
  });
  await t.step("one frame that begins in the same piece as another ends", async () => {
    const { connection, between, clock } = connected();
    between.toRight.deliver(HELLO.slice(0, 3));
    const next = connection.nextFrame();
    await turn();
    clock.advance(4000);
    between.toRight.deliver(concat([HELLO.slice(3), HELLO.slice(0, 3)]));
    await next;
    clock.advance(FRAME_DEADLINE);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    clock.advance(1);
    connection.enforceDeadlines();
    assertEquals(connection.failure?.code, "timeout");
  });
  await t.step("none of them in an open channel", async () => {
    const { connection, between, clock } = connected();
    connection.markOpen();
    const next = connection.nextFrames();
    between.toRight.deliver(HELLO.slice(0, 9));
    await turn();
    clock.advance(10 * HANDSHAKE_DEADLINE);
    connection.enforceDeadlines();
    assertEquals(connection.failure, undefined);
    between.toRight.deliver(HELLO.slice(9));
    assertEquals((await next)?.length, 1);
  });
});

Deno.test("nextFrame() fails as cut at an end of input anywhere (F13)", async () => {
  for (let length = 0; length <= HELLO.length; length++) {
    const { connection, between } = connected();
    between.toRight.deliver(HELLO.slice(0, length));
    between.toRight.end();
    if (length === HELLO.length) await connection.nextFrame();
    assertEquals((await failure(connection.nextFrame())).code, "cut", `after ${length} bytes`);
    assertEquals(between.toLeft.bytes.length, 0);
    assertEquals(between.right.closed, 1);
  }
});

Deno.test("nextFrames() is null at an end between frames and fails as cut inside one (F13)", async () => {
  for (let length = 0; length <= HELLO.length; length++) {
    const { connection, between } = connected();
    connection.markOpen();
    between.toRight.deliver(concat([HELLO, HELLO.slice(0, length)]));
    between.toRight.end();
    assertEquals((await connection.nextFrames())?.length, length === HELLO.length ? 2 : 1);
    if (length === 0 || length === HELLO.length) {
      assertEquals(await connection.nextFrames(), null);
      assertEquals(connection.failure, undefined);
    } else {
      assertEquals((await failure(connection.nextFrames())).code, "cut");
    }
  }
});

Deno.test("nextFrame() fails as cut when the connection is reset at any byte (F14)", async () => {
  for (const length of [0, 1, 4, 5, 20, HELLO.length]) {
    const { connection, between } = connected();
    between.toRight.deliver(HELLO.slice(0, length));
    if (length === HELLO.length) await connection.nextFrame();
    const ended = failure(connection.nextFrame());
    await turn();
    between.toRight.break();
    assertEquals((await ended).code, "cut");
    assertEquals(between.toLeft.bytes.length, 0);
  }
});

Deno.test("nextFrame() still answers a side that has ended its output (F15)", async () => {
  const { connection, between, clock } = connected();
  between.toRight.deliver(HELLO);
  between.toRight.end();
  await connection.nextFrame();
  await connection.sendFrame(FrameKind.m2, filled(3, 3));
  assertEquals(between.toLeft.bytes, encodeFrame(FrameKind.m2, filled(3, 3)));
  clock.advance(1);
  assertEquals((await failure(connection.nextFrame())).code, "cut");
});

Deno.test("fail() answers a stranger's first garbage with silence (F12)", async () => {
  const encoder = new TextEncoder();
  const garbage = [
    encoder.encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    encoder.encode("SSH-2.0-OpenSSH_9.9\r\n"),
    new Uint8Array([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
    filled(5, 0xff),
    filled(5, 0),
  ];
  for (const piece of garbage) {
    const { connection, between } = connected();
    between.toRight.deliver(piece);
    assertEquals((await failure(connection.nextFrame())).code, "bad_frame");
    assertEquals(between.toLeft.bytes.length, 0);
    assertEquals(between.right.closed, 1);
  }
});

Deno.test("fail() tells the other side once and keeps the first error", async () => {
  const { connection, between } = connected();
  between.toRight.deliver(HELLO);
  await connection.nextFrame();
  const first = connection.fail(new CifraError("auth_failed", "First"));
  assertStrictEquals(connection.fail(new CifraError("limit", "Second")), first);
  connection.enforceDeadlines(1e9);
  assertStrictEquals(connection.failure, first);
  await turn();
  assertEquals(between.toLeft.bytes, alert("auth_failed"));
  assert(between.toLeft.ended);
  assertEquals(between.right.closed, 1);
  for (const again of [connection.nextFrame(), connection.sendFrame(FrameKind.m2, filled(1, 1))]) {
    assertStrictEquals(await failure(again), first);
  }
  assertEquals(between.toLeft.bytes, alert("auth_failed"));
});

Deno.test("onWord is told of prefaces and alerts, both ways, and of nothing else", async () => {
  const { connection, between } = connected();
  const words: unknown[] = [];
  connection.onWord = ({ direction, name, length }) => words.push([direction, name, length]);
  between.toRight.deliver(encodeFrame(FrameKind.preface, filled(32, 1)));
  between.toRight.deliver(HELLO);
  await connection.nextFrame();
  await connection.sendFrame(FrameKind.preface, filled(48, 2));
  await connection.nextFrame();
  await connection.sendFrame(FrameKind.m2, filled(1, 1));
  connection.fail(new CifraError("auth_failed", "First"));
  await turn();
  const other = connected();
  other.connection.onWord = connection.onWord;
  other.between.toRight.deliver(alert("limit"));
  await failure(other.connection.nextFrame());
  assertEquals(words, [
    ["received", "preface", 37],
    ["sent", "preface", 53],
    ["sent", "alert", 6],
    ["received", "alert", 6],
  ]);
});

Deno.test("fail() writes its whole alert even if the transport takes one byte at a time", async () => {
  const { connection, between } = connected({ writeLimit: 1 });
  between.toRight.deliver(HELLO);
  await connection.nextFrame();
  connection.fail(new CifraError("bad_state", "Out of turn"));
  await turn();
  assertEquals(between.toLeft.bytes, alert("bad_state"));
  assertEquals(between.right.closed, 1);
});

Deno.test("fail() says nothing when silence is asked for, and nothing about a cut", async () => {
  const cases: readonly ["silently" | "aloud", ErrorCode][] = [
    ["silently", "auth_failed"],
    ["aloud", "cut"],
  ];
  for (const [how, code] of cases) {
    const { connection, between } = connected();
    between.toRight.deliver(HELLO);
    await connection.nextFrame();
    connection.fail(new CifraError(code, "Test"), { silently: how === "silently" });
    await turn();
    assertEquals(between.toLeft.bytes.length, 0);
    assertEquals(between.right.closed, 1);
  }
});

Deno.test("fail() never puts its alert into the middle of a frame", async () => {
  const { connection, between } = connected({ writeLimit: 10 });
  between.toRight.deliver(HELLO);
  await connection.nextFrame();
  between.toLeft.stall();
  const sending = connection.sendFrame(FrameKind.m2, filled(25, 2));
  sending.catch(() => {});
  await turn();
  connection.fail(new CifraError("auth_failed", "Test"));
  between.toLeft.resume();
  await turn();
  await failure(sending);
  const whole = encodeFrame(FrameKind.m2, filled(25, 2));
  assertEquals(between.toLeft.bytes, whole.slice(0, between.toLeft.bytes.length));
  assertEquals(between.right.closed, 1);
});

Deno.test("close() ends an alert that the other side does not take", async () => {
  const { connection, between } = connected();
  between.toRight.deliver(HELLO);
  await connection.nextFrame();
  between.toLeft.stall();
  connection.fail(new CifraError("auth_failed", "Test"));
  await turn();
  assertEquals(between.right.closed, 0);
  connection.close();
  assert(between.right.closed > 0);
  assertEquals(connection.failure?.code, "auth_failed");
});

Deno.test("nextFrame() throws the other side's alert and does not answer it", async () => {
  for (const code of Object.keys(ALERT_CODES) as (keyof typeof ALERT_CODES)[]) {
    const { connection, between } = connected();
    between.toRight.deliver(concat([HELLO]));
    await connection.nextFrame();
    between.toRight.deliver(encodeFrame(FrameKind.alert, encodeAlert({ code })));
    assertEquals((await failure(connection.nextFrame())).code, code);
    await turn();
    assertEquals(between.toLeft.bytes.length, 0);
    assertEquals(between.right.closed, 1);
  }
});

Deno.test("nextFrame() keeps the limit of its state (F2, F3, F4)", async () => {
  const header = (length: number) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, length);
    return bytes;
  };
  const cases = [
    { open: false, length: 0, taken: false },
    { open: false, length: FRAME_LIMIT_HANDSHAKE, taken: true },
    { open: false, length: FRAME_LIMIT_HANDSHAKE + 1, taken: false },
    { open: true, length: FRAME_LIMIT_HANDSHAKE + 1, taken: true },
    { open: true, length: FRAME_LIMIT_OPEN, taken: true },
    { open: true, length: FRAME_LIMIT_OPEN + 1, taken: false },
    { open: true, length: 0xffff_ffff, taken: false },
  ];
  for (const { open, length, taken } of cases) {
    const { connection, between } = connected();
    if (open) connection.markOpen();
    const next = connection.nextFrame();
    // Four bytes suffice to refuse: nothing waits for what will not be read.
    between.toRight.deliver(header(length));
    if (taken) {
      between.toRight.deliver(concat([new Uint8Array([FrameKind.m1]), filled(length - 1, 1)]));
      assertEquals((await next).body.length, length - 1);
    } else {
      assertEquals((await failure(next)).code, "bad_frame");
    }
  }
});

Deno.test("write() never interleaves frames of concurrent writers on short writes (F16)", async () => {
  for (const writeLimit of [1, 7, 64]) {
    const { connection, between } = connected({ writeLimit, capacity: 100 });
    const bodies = Array.from({ length: 20 }, (_, i) => filled(i * 3, i));
    const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
    const received: Bytes[] = [];
    const reading = (async () => {
      const buffer = new Uint8Array(33);
      while (received.length < bodies.length) {
        const count = await between.left.read(buffer);
        assert(count);
        received.push(...decoder.push(buffer.slice(0, count)).map(({ body }) => body));
      }
    })();
    await Promise.all(bodies.map((body) => connection.sendFrame(FrameKind.m2, body)));
    await reading;
    assertEquals(received, bodies);
  }
});

Deno.test("write() is given up when nothing of it was taken for twenty seconds", async () => {
  const { connection, between, clock } = connected({ capacity: 64 });
  connection.markOpen();
  const writing = failure(connection.sendFrame(FrameKind.record, filled(200, 1)));
  await turn();
  clock.advance(WRITE_DEADLINE);
  connection.enforceDeadlines();
  assertEquals(connection.failure, undefined);
  // Progress starts the wait anew.
  await between.left.read(new Uint8Array(10));
  await turn();
  clock.advance(WRITE_DEADLINE);
  connection.enforceDeadlines();
  assertEquals(connection.failure, undefined);
  clock.advance(1);
  connection.enforceDeadlines();
  assertEquals((await writing).code, "timeout");
  assertEquals(between.right.closed, 1);
});

Deno.test("write() fails for everybody in the queue once one write has failed", async () => {
  const { connection, between } = connected();
  between.toLeft.stall();
  const writes = [1, 2, 3].map((value) => failure(connection.write(filled(10, value))));
  await turn();
  between.toLeft.break();
  const errors = await Promise.all(writes);
  for (const error of errors) assertStrictEquals(error, connection.failure);
  assertEquals(connection.failure?.code, "cut");
});

Deno.test("unread() puts a frame back before those that follow", async () => {
  const { connection, between } = connected();
  const other = encodeFrame(FrameKind.m3, filled(1, 3));
  between.toRight.deliver(concat([HELLO, other]));
  const first = await connection.nextFrame();
  connection.unread(first);
  assertStrictEquals(await connection.nextFrame(), first);
  assertEquals((await connection.nextFrame()).kind, FrameKind.m3);
});

Deno.test("closeWrite() ends the output after everything written", async () => {
  const { connection, between } = connected({ writeLimit: 3 });
  const written = connection.sendFrame(FrameKind.m2, filled(30, 5));
  await connection.closeWrite();
  await written;
  assertEquals(between.toLeft.bytes, encodeFrame(FrameKind.m2, filled(30, 5)));
  assert(between.toLeft.ended);
});

Deno.test("close() ends the connection without a word, and a read under way with it", async () => {
  const { connection, between } = connected();
  between.toRight.deliver(HELLO);
  await connection.nextFrame();
  const reading = failure(connection.nextFrame());
  await turn();
  connection.close();
  assertEquals((await reading).code, "cut");
  assertEquals(between.toLeft.bytes.length, 0);
});

Deno.test("a connection's read buffer grows with the flow and shrinks again", async () => {
  const clock = new ManualTime();
  const sizes: number[] = [];
  const pieces = [
    ...Array(6).fill(READ_BUFFER_MAXIMUM),
    ...Array(3).fill(FRAME_HEADER_LENGTH + RECORD_MINIMUM),
  ] as number[];
  const frame = encodeFrame(FrameKind.record, filled(RECORD_MINIMUM, 1));
  let offset = 0;
  const transport: Transport = {
    read: (buffer) => {
      sizes.push(buffer.length);
      const count = Math.min(pieces.shift()!, buffer.length);
      for (let i = 0; i < count; i++) buffer[i] = frame[offset++ % frame.length]!;
      return Promise.resolve(count);
    },
    write: (data) => Promise.resolve(data.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  const connection = new Connection(transport, clock.now);
  connection.markOpen();
  while (pieces.length > 0) await connection.nextFrames();
  assertEquals(sizes[0], READ_BUFFER_MINIMUM);
  assertEquals(Math.max(...sizes), READ_BUFFER_MAXIMUM);
  assertEquals(sizes.at(-1), READ_BUFFER_MINIMUM);
});
