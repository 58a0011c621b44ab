/** Moments as people read and write them: by the clock on the wall here. */
import { CifraError } from "../errors.ts";

/** Milliseconds. */
const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Such as `10:03`. */
export function timeOf(moment: number): string {
  const date = new Date(moment);
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Such as `2026-11-21`. */
export function dayOf(moment: number): string {
  const date = new Date(moment);
  return [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
}

/**
 * The moment that somebody writes, in milliseconds since 1970: a day (`2026-11-21`), with a time (`2026-11-21 10:03`),
 * a time of today (`10:03`), or how long ago (`45m`, `2h`, `3d`). Throws `usage`.
 */
export function readMoment(text: string, now = Date.now()): number {
  const ago = /^(\d{1,6})([mhd])$/.exec(text);
  if (ago) return Math.max(0, now - Number(ago[1]) * UNITS[ago[2]!]!);
  const given = /^(?:(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d))?|(\d\d:\d\d))$/.exec(text);
  if (given) {
    const [, day = dayOf(now), time = given[3] ?? "00:00"] = given;
    const moment = new Date(`${day}T${time}`).getTime();
    // The thirtieth of February would be a day in March; an hour that a change of the clock leaves out is the next.
    if (!Number.isNaN(moment) && dayOf(moment) === day) return moment;
  }
  throw new CifraError("usage", `"${text}" is no day or time`, {
    hint: "such as 2026-11-21, 2026-11-21T10:03, 10:03, or 45m, 2h, 3d for so long ago",
  });
}

function two(part: number): string {
  return String(part).padStart(2, "0");
}
