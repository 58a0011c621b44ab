/**
 * Arithmetic on edwards25519 and Curve25519, plain and slow: the tests derive from it the points
 * that lib/crypto refuses by constant.
 */
import type { Bytes } from "../../lib/bytes.ts";

/** The prime of the field. */
export const P = 2n ** 255n - 19n;
/** The prime order of the base point (RFC 8032, 5.1). */
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const modulo = (value: bigint): bigint => ((value % P) + P) % P;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = modulo(base); exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = result * square % P;
    square = square * square % P;
  }
  return result;
}

const invert = (value: bigint): bigint => power(value, P - 2n);
const divide = (a: bigint, b: bigint): bigint => modulo(a * invert(b));

/** A square root, or undefined; P is 5 modulo 8. */
function squareRoot(value: bigint): bigint | undefined {
  const candidate = power(value, (P + 3n) / 8n);
  for (const root of [candidate, candidate * power(2n, (P - 1n) / 4n) % P]) {
    if (modulo(root * root - value) === 0n) return root;
  }
  return undefined;
}

const D = divide(-121665n, 121666n);
const A = 486662n;

/** A point of edwards25519, affine. */
export interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

export const IDENTITY: Point = { x: 0n, y: 1n };

/** The sum; the formula is complete, so it doubles too. */
export function add(a: Point, b: Point): Point {
  const cross = modulo(D * a.x * b.x * a.y * b.y);
  return {
    x: divide(a.x * b.y + a.y * b.x, 1n + cross),
    y: divide(a.y * b.y + a.x * b.x, 1n - cross),
  };
}

/** The point added to itself `scalar` times. */
export function multiply(scalar: bigint, point: Point): Point {
  let result = IDENTITY;
  for (let double = point; scalar > 0n; scalar >>= 1n) {
    if (scalar & 1n) result = add(result, double);
    double = add(double, double);
  }
  return result;
}

/** One of the two points with this y, or undefined. */
export function pointOfY(y: bigint): Point | undefined {
  const x = squareRoot(divide(y * y - 1n, D * y * y + 1n));
  return x === undefined ? undefined : { x, y: modulo(y) };
}

/** Whether the point satisfies -x² + y² = 1 + d·x²·y². */
export function isOnCurve({ x, y }: Point): boolean {
  return modulo(y * y - x * x - 1n - D * x * x * y * y) === 0n;
}

/** The eight points whose order divides the cofactor: multiples of one that L takes to order 8. */
export function smallOrderPoints(): Point[] {
  for (let y = 2n;; y++) {
    const point = pointOfY(y);
    if (point === undefined) continue;
    const torsion = multiply(L, point);
    if (multiply(4n, torsion).y === 1n) continue;
    return Array.from({ length: 8 }, (_, i) => multiply(BigInt(i), torsion));
  }
}

/** The same point on Curve25519, as its u; the identity has none. */
export function montgomeryU({ y }: Point): bigint | undefined {
  return y === 1n ? undefined : divide(1n + y, 1n - y);
}

/** u of twice the point, on the curve or its twist; undefined is the point at infinity. */
export function doubleU(u: bigint | undefined): bigint | undefined {
  if (u === undefined) return undefined;
  const denominator = modulo(4n * u * (u * u + A * u + 1n));
  return denominator === 0n ? undefined : divide((u * u - 1n) ** 2n, denominator);
}

/** `value` as 32 bytes, little-endian. */
export function littleEndian32(value: bigint): Bytes {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** Bytes as a number, little-endian. */
export function fromLittleEndian(bytes: Bytes): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
