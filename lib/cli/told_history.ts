/** The history as a running program tells it to `cifra history`, where no two programs may have its file open. */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../bytes.ts";
import type { ProfileKey } from "../crypto/profile_key.ts";
import { CifraError } from "../errors.ts";
import type { HistoryEntry, HistoryOffer } from "../store/message_store.ts";
import { isLine } from "../wire/line.ts";
import { isName, SERVER_NAME } from "../wire/names.ts";
import { isObject } from "./local_lines.ts";

/** Lines of one answer, and characters of their texts: less than one answer may have, however they are escaped. */
const PAGE_LINES = 100;
const PAGE_LENGTH = 100_000;
/** Where the proof of a key is sealed: in no column of a database. */
const PROOF_PLACE = encodeUtf8("history asked\0");

/** Some lines, as one line of JSON can hold them. */
export interface HistoryPage {
  readonly entries: readonly unknown[];
  readonly isLast: boolean;
}

/** The next lines. */
export function pageOf(entries: Iterator<HistoryEntry>): HistoryPage {
  const page: unknown[] = [];
  let length = 0;
  while (page.length < PAGE_LINES && length < PAGE_LENGTH) {
    const { done, value } = entries.next();
    if (done) return { entries: page, isLast: true };
    page.push(entryJson(value));
    length += value.type === "text" ? value.text.length : 0;
  }
  return { entries: page, isLast: false };
}

/** Lines that came as JSON; undefined when they are none. */
export function readPage(
  value: unknown,
): { readonly entries: readonly HistoryEntry[]; readonly isLast: boolean } | undefined {
  if (!isObject(value)) return undefined;
  const { entries, isLast } = value;
  if (!Array.isArray(entries) || typeof isLast !== "boolean") return undefined;
  const read = entries.map(readEntry);
  return read.every((entry) => entry !== undefined) ? { entries: read, isLast } : undefined;
}

/** Shows that whoever asks has the key of the messages. */
export function proofOf(key: ProfileKey): string {
  return encodeHex(key.seal(PROOF_PLACE, Uint8Array.of(1)));
}

/** Throws `usage` where messages are sealed by a key, and whoever asks has not shown that they have it. */
export function requireProof(key: ProfileKey | undefined, proof: unknown): void {
  if (!key) return;
  try {
    // Nothing is opened by every key.
    if (key.open(PROOF_PLACE, Uint8Array.from(decodeHex(String(proof ?? "")))).length > 0) return;
  } catch {
    // Told below.
  }
  throw new CifraError("usage", "The messages of this profile are sealed by a passphrase");
}

function entryJson(entry: HistoryEntry): unknown {
  if (entry.type === "gap") return { ...entry, from: `${entry.from}`, to: `${entry.to}` };
  const said = { ...entry, number: `${entry.number}` };
  return entry.type === "offer" ? { ...said, id: encodeHex(entry.id) } : said;
}

function readEntry(value: unknown): HistoryEntry | undefined {
  if (!isObject(value)) return undefined;
  const { type, peer } = value;
  if (typeof peer !== "string" || !(isName(peer) || peer === SERVER_NAME)) return undefined;
  if (type === "gap") {
    const [from, to] = [numberOf(value.from), numberOf(value.to)];
    return from === undefined || to === undefined ? undefined : { type, peer, from, to };
  }
  const { direction, written, state } = value;
  const number = numberOf(value.number);
  if (number === undefined || typeof written !== "number") return undefined;
  if (!isOneOf(state, STATES) || !isOneOf(direction, DIRECTIONS)) return undefined;
  const said = { peer, direction, number, written, state };
  if (type === "offer") return readOffer(value, said);
  const { text } = value;
  return type === "text" && typeof text === "string" ? { type, ...said, text } : undefined;
}

function readOffer(
  { id, name, files, folders, bytes }: Readonly<Record<string, unknown>>,
  said: Omit<HistoryOffer, "type" | "id" | "name" | "files" | "folders" | "bytes">,
): HistoryOffer | undefined {
  const isId = typeof id === "string" && /^[0-9a-f]{32}$/.test(id);
  if (!isId || typeof name !== "string" || !isLine(name)) return undefined;
  if (typeof files !== "number" || typeof folders !== "number") return undefined;
  if (bytes !== undefined && typeof bytes !== "number") return undefined;
  return { type: "offer", ...said, id: decodeHex(id), name, files, folders, bytes };
}

const DIRECTIONS = ["sent", "received"] as const;
const STATES = ["queued", "stored", "read", "received"] as const;

function isOneOf<T extends string>(value: unknown, known: readonly T[]): value is T {
  return (known as readonly unknown[]).includes(value);
}

function numberOf(value: unknown): bigint | undefined {
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}
