/**
 * Random bytes and mutated messages into every decoder. Two things must hold: nothing but `bad_frame`
 * comes out, and what is taken is the one legal encoding of what was read. A failure prints its seed;
 * CIFRA_SEED repeats it.
 */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import { FRAME_LIMIT_HANDSHAKE } from "../../lib/limits.ts";
import { ALERT_CODES, decodeAlert } from "../../lib/wire/alert.ts";
import { encodeFrame, type Frame, FrameDecoder } from "../../lib/wire/frame.ts";
import { allSamples, FRAME_SAMPLES } from "./samples.ts";

const SEED = Number(Deno.env.get("CIFRA_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const ROUNDS = 1500;

/** A small generator that a seed repeats (mulberry32); nothing here is secret. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `below` - 1. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * below);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  bytes(length: number): Bytes {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Bytes that parsers trip over. */
const EDGES = [0x00, 0x01, 0x04, 0x06, 0x7f, 0x80, 0xc0, 0xed, 0xf4, 0xfe, 0xff] as const;

function mutate(chance: Chance, message: Bytes, other: Bytes): Bytes {
  const bytes = message.slice();
  const at = chance.below(bytes.length + 1);
  switch (chance.below(8)) {
    case 0:
      if (at < bytes.length) bytes[at]! ^= 1 << chance.below(8);
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = chance.pick(EDGES);
      return bytes;
    case 2:
      return bytes.slice(0, at);
    case 3:
      return concat([bytes.subarray(0, at), chance.bytes(1 + chance.below(9)), bytes.subarray(at)]);
    case 4:
      return concat([bytes.subarray(0, at), bytes.subarray(at + 1 + chance.below(9))]);
    case 5:
      return concat([bytes.subarray(0, at), other.subarray(chance.below(other.length + 1))]);
    case 6:
      return concat([bytes, bytes.subarray(at)]);
    default:
      for (let i = 0; i < 4 && at + i < bytes.length; i++) bytes[at + i] = chance.pick(EDGES);
      return bytes;
  }
}

/** The result of `decode`, or undefined when it refuses as it may; anything else fails the test. */
function attempt<T>(name: string, input: Bytes, decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    const expected = error instanceof CifraError && error.code === "bad_frame";
    assert(expected, `CIFRA_SEED=${SEED}: ${name} threw ${error} on ${encodeHex(input)}`);
    return undefined;
  }
}

const samples = await allSamples();

Deno.test("no message of random bytes is taken for another, or breaks a decoder", () => {
  const chance = new Chance(SEED);
  for (const { name, roundTrip } of samples) {
    for (let round = 0; round < ROUNDS; round++) {
      const input = chance.bytes(chance.below(round % 2 === 0 ? 24 : 200));
      const again = attempt(name, input, () => roundTrip(input));
      if (again) assertEquals(encodeHex(again), encodeHex(input), `CIFRA_SEED=${SEED}: ${name}`);
    }
  }
});

Deno.test("no mutated message breaks a decoder or has a second encoding", () => {
  const chance = new Chance(SEED ^ 1);
  for (const { name, valid, roundTrip } of samples) {
    for (let round = 0; round < ROUNDS; round++) {
      let input = chance.pick(valid);
      for (let i = chance.below(3); i >= 0; i--) {
        input = mutate(chance, input, chance.pick(chance.pick(samples).valid));
      }
      const again = attempt(name, input, () => roundTrip(input));
      if (again) assertEquals(encodeHex(again), encodeHex(input), `CIFRA_SEED=${SEED}: ${name}`);
    }
  }
});

Deno.test("decodeAlert() gives an error or refuses, whatever it is given", () => {
  const chance = new Chance(SEED ^ 2);
  for (let round = 0; round < ROUNDS; round++) {
    const input = chance.bytes(chance.below(4));
    const error = attempt("alert", input, () => decodeAlert(input));
    const length = input[0] === ALERT_CODES.busy ? 2 : 1;
    assertEquals(error instanceof CifraError, input.length === length, `CIFRA_SEED=${SEED}`);
  }
});

Deno.test("FrameDecoder.push() gives the same frames in pieces and in one, good or bad", () => {
  const chance = new Chance(SEED ^ 3);
  for (let round = 0; round < ROUNDS; round++) {
    let input = concat(
      Array.from({ length: 1 + chance.below(4) }, () => chance.pick(FRAME_SAMPLES)),
    );
    if (chance.below(2) === 0) input = mutate(chance, input, chance.pick(FRAME_SAMPLES));
    const inPieces: Frame[] = [];
    const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
    const taken = attempt("frames in pieces", input, () => {
      for (let offset = 0; offset < input.length;) {
        const length = 1 + chance.below(chance.pick([1, 4, 6, 64, 512]));
        inPieces.push(...decoder.push(input.subarray(offset, offset + length)));
        offset += length;
      }
      return true;
    });
    const whole = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
    const atOnce = attempt("frames at once", input, () => whole.push(input)) ?? [];
    assertEquals(atOnce, inPieces, `CIFRA_SEED=${SEED}`);
    assertEquals(whole.failed, decoder.failed, `CIFRA_SEED=${SEED}`);
    if (taken === undefined) assert(decoder.failed, `CIFRA_SEED=${SEED}`);
    const again = concat(inPieces.map(({ kind, body }) => encodeFrame(kind, body)));
    const consumed = encodeHex(input.subarray(0, again.length));
    assertEquals(encodeHex(again), consumed, `CIFRA_SEED=${SEED}`);
  }
});
