/** The history of a profile: read a page at a time, by whoever has the messages open or by another program. */
import { CifraError } from "../errors.ts";
import { finds, historyText, type Progress } from "./message_rules.ts";
import { MESSAGES_FILE, MESSAGES_KIND } from "./messages_schema.ts";
import { type GapRow, messageOrGap, type MessageRow } from "./messages_statements.ts";
import type { Direction, HistoryEntry } from "./message_store.ts";
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
 * file is opened when the first line is asked for. Throws `local`; its cause is NotFound when there is none.
 */
export function* readHistory(
  folder: string,
  filter: { readonly peer?: string; readonly search?: string },
): Iterable<HistoryEntry> {
  const file = SqliteFile.openToRead(`${folder}/${MESSAGES_FILE}`, MESSAGES_KIND);
  try {
    if (!file.isCurrent) throw outOfDate(file.path);
    yield* historyOf(file, filter, (_, progress) => progress);
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
  { peer, search }: { readonly peer?: string; readonly search?: string },
  progressOf: (log: bigint, progress: Progress) => Progress,
): Iterable<HistoryEntry> {
  const page = file.prepare(HISTORY_PAGE);
  const isFound = finds(search);
  let after = 0n;
  for (;;) {
    const rows = file.use(() =>
      page.all({ after, peer: peer ?? null, page: PAGE }) as unknown[] as HistoryRow[]
    );
    for (const row of rows) {
      after = row.ordinal;
      const said = messageOrGap(row);
      const entry = said.type === "gap"
        ? { ...said, peer: row.peer }
        : historyText(row, said, progressOf(row.log, row));
      if (isFound(entry)) yield entry;
    }
    if (rows.length < PAGE) return;
  }
}

const HISTORY_PAGE = `
  SELECT message.ordinal, side.peer, side.direction, message.log, message.number, message.type,
    message.gap_from AS gapFrom, message.written, message.content, log.last, log.stored, log.read
  FROM message JOIN log ON log.id = message.log JOIN side ON side.id = message.side
  WHERE message.ordinal > :after
    AND (message.type = 'text' OR message.type = 'gap' AND side.direction = 'received')
    AND (:peer IS NULL OR side.peer = :peer)
  ORDER BY message.ordinal LIMIT :page`;
