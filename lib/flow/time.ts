/** The clocks and the alarm, as a parameter: a test may be the time and replay it. */
export interface Time {
  /** Milliseconds of a clock that never jumps; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970, as the machine believes: for display and expiry alone. */
  date(): number;
  /** Calls `action` once after `milliseconds`, unless the returned function is called before. */
  after(milliseconds: number, action: () => void): () => void;
}

/** The day of a time in milliseconds since 1970, in UTC: `2026-03-01` (RFC 3339, full-date). */
export function dayOf(date: number): string {
  return new Date(date).toISOString().slice(0, 10);
}
