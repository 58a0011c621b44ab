/** `--trace`: protocol messages as lines for people and as JSON. Public facts alone. */
import { encodeHex } from "@std/encoding/hex";
import type { TraceEvent } from "../client/trace.ts";
import { formatFingerprint, shortFingerprint } from "../crypto/identity.ts";
import type { JsonEvent } from "./terminal.ts";

const SHORT_TRANSCRIPT = 4;
const SEPARATOR = " | ";
/** Below whom it is about. */
const INDENT = " ".repeat("trace ".length);

/**
 * One aligned line; where that is wider than `columns`, facts stand on rows of their own below the first.
 * Without `columns` nobody knows how wide the output is.
 */
export function formatTrace(event: TraceEvent, columns?: number): string {
  const { message, direction, transcript, fingerprint, detail } = event;
  const head = [
    "trace",
    event.with.padEnd(8),
    message === undefined ? "  " : `m${message}`,
    direction === "sent" ? "->" : "<-",
    event.name.padEnd(34),
    `${event.length} B`.padStart(7),
  ].join(" ");
  const facts = [
    event.algorithm,
    transcript && `T ${encodeHex(transcript.subarray(0, SHORT_TRANSCRIPT))}`,
    fingerprint && `key ${shortFingerprint(fingerprint)}`,
    detail,
  ].filter((fact) => fact !== undefined);
  const line = `${head} ${facts.join(SEPARATOR)}`;
  if (!columns || line.length <= columns) return line;
  return [head, ...packed(facts, columns - INDENT.length).map((row) => INDENT + row)].join("\n");
}

/** Facts side by side, as many on a row as fit. */
function packed(facts: readonly string[], columns: number): readonly string[] {
  const rows: string[] = [];
  for (const fact of facts) {
    const beside = rows.length > 0 ? `${rows.at(-1)}${SEPARATOR}${fact}` : undefined;
    if (beside !== undefined && beside.length <= columns) rows[rows.length - 1] = beside;
    else rows.push(fact);
  }
  return rows;
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
