/** `--trace`: protocol messages as lines for people and as JSON. Public facts alone. */
import { encodeHex } from "@std/encoding/hex";
import type { TraceEvent } from "../client/trace.ts";
import { formatFingerprint, shortFingerprint } from "../crypto/identity.ts";
import type { JsonEvent } from "./terminal.ts";

const SHORT_TRANSCRIPT = 4;

/** One aligned line. */
export function formatTrace(event: TraceEvent): string {
  const { message, direction, transcript, fingerprint, detail } = event;
  const columns = [
    "trace",
    event.with.padEnd(8),
    message === undefined ? "  " : `m${message}`,
    direction === "sent" ? "->" : "<-",
    event.name.padEnd(34),
    `${event.length} B`.padStart(7),
    event.algorithm,
  ];
  const facts = [
    transcript && `T ${encodeHex(transcript.subarray(0, SHORT_TRANSCRIPT))}`,
    fingerprint && `key ${shortFingerprint(fingerprint)}`,
    detail,
  ].filter((fact) => fact !== undefined);
  return [...columns, ...facts.map((fact) => `| ${fact}`)].join(" ");
}

/** The same as one JSON object, fingerprints whole. */
export function traceJson(event: TraceEvent): JsonEvent {
  const { message, direction, name, algorithm, length, transcript, fingerprint, detail } = event;
  return {
    event: "trace",
    with: event.with,
    ...(message !== undefined && { message }),
    direction,
    name,
    algorithm,
    bytes: length,
    ...(transcript && { transcript: encodeHex(transcript.subarray(0, SHORT_TRANSCRIPT)) }),
    ...(fingerprint && { fingerprint: formatFingerprint(fingerprint) }),
    ...(detail !== undefined && { detail }),
  };
}
