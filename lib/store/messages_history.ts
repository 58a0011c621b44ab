/** The history of a profile: read a page at a time, by whoever has the messages open or by another program. */
import type { ProfileKey } from "../crypto/profile_key.ts";
import { CifraError } from "../errors.ts";
import { AtRest } from "./at_rest.ts";
import { finds, historyLine, type Progress } from "./message_rules.ts";
import { MESSAGES_FILE, MESSAGES_KIND } from "./messages_schema.ts";
import { type GapRow, messageOrGap, type MessageRow } from "./messages_statements.ts";
import type { Direction, HistoryEntry, HistoryFilter } from "./message_store.ts";
import { SqliteFile } from "./sqlite_file.ts";

/** Lines of the history read at once: a reader that takes its time holds no transaction open. */
const PAGE = 100;

type HistoryRow = (MessageRow | GapRow) & Progress & {
  readonly ordinal: bigint;
  readonly peer: string;
  readonly direction: Direction;
  readonly log: bigint;
};

/**
 * What was said in the profile in `folder`, oldest first, while another program may be saying more. The
 * file is opened when the first line is asked for, `onOpen` called before anything that was said is read. Throws
 * `local`; its cause is NotFound when there is none; and `usage` when it is sealed, and no key is given.
 */
export function* readHistory(
  folder: string,
  filter: HistoryFilter,
  key?: ProfileKey,
  onOpen: () => void = () => {},
): Iterable<HistoryEntry> {
  const file = SqliteFile.openToRead(`${folder}/${MESSAGES_FILE}`, MESSAGES_KIND);
  try {
    onOpen();
    if (!file.isCurrent) throw outOfDate(file.path);
    yield* historyOf(file, AtRest.openToRead(file, key), filter, (_, progress) => progress);
  } finally {
    file.close();
  }
}

/** A reader cannot bring a file up to date: that is for whoever has the profile's lock. */
function outOfDate(path: string): CifraError {
  return new CifraError("local", `Cannot read ${path}: an older cifra wrote it`, {
    hint: "run 'cifra connect' once with this name, which brings the file up to date",
  });
}

/** The history in `file`; `progressOf` knows more about a log than its row does. */
export function* historyOf(
  file: SqliteFile,
  atRest: AtRest,
  filter: HistoryFilter,
  progressOf: (log: bigint, progress: Progress) => Progress,
): Iterable<HistoryEntry> {
  const { last } = filter;
  if (last === undefined) return yield* entriesOf(file, atRest, filter, progressOf, "forwards");
  const newest: HistoryEntry[] = [];
  if (last > 0) {
    for (const entry of entriesOf(file, atRest, filter, progressOf, "backwards")) {
      if (newest.push(entry) === last) break;
    }
  }
  yield* newest.reverse();
}

function* entriesOf(
  file: SqliteFile,
  atRest: AtRest,
  filter: HistoryFilter,
  progressOf: (log: bigint, progress: Progress) => Progress,
  way: keyof typeof HISTORY_PAGE,
): Iterable<HistoryEntry> {
  const { sql, start } = HISTORY_PAGE[way];
  const page = file.prepare(sql);
  const isFound = finds(filter);
  let from = start;
  for (;;) {
    const rows: readonly HistoryRow[] = file.use(() =>
      page.all({ from, peer: filter.peer ?? null, page: PAGE }) as unknown[] as HistoryRow[]
    );
    for (const row of rows) {
      from = row.ordinal;
      const said = messageOrGap(row, atRest);
      const progress = progressOf(row.log, row);
      const entry = said.type === "gap"
        ? { ...said, peer: row.peer }
        : historyLine(row, said, progress);
      if (entry && isFound(entry, progress)) yield entry;
    }
    if (rows.length < PAGE) return;
  }
}

const pageOf = (isNext: string, order: string) => `
  SELECT message.ordinal, side.peer, side.direction, message.log, message.number, message.id, message.type,
    message.gap_from AS gapFrom, message.written, message.content, log.last, log.stored, log.read
  FROM message JOIN log ON log.id = message.log JOIN side ON side.id = message.side
  WHERE message.ordinal ${isNext} :from
    AND (message.type = 'text' OR message.type = 'file' OR message.type = 'gap' AND side.direction = 'received')
    AND (:peer IS NULL OR side.peer = :peer)
  ORDER BY message.ordinal ${order} LIMIT :page`;
/** An ordinal is positive, and has 63 bits. */
const HISTORY_PAGE = {
  forwards: { sql: pageOf(">", "ASC"), start: 0n },
  backwards: { sql: pageOf("<", "DESC"), start: 2n ** 63n - 1n },
};
