/** The options about files that several commands have, and what they decide about an offer. */
import type { Decision } from "../client/transfer_events.ts";
import { CifraError } from "../errors.ts";
import { platformFailure } from "../platform_errors.ts";
import type { TransferRow } from "../store/transfer_store.ts";
import { readFolder } from "./here.ts";
import { type OptionTable, settings } from "./options.ts";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** A number of bytes as people write it: `500MB`, `2 GiB`, `1000`. Throws `usage`. */
export function readSize(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,12}(?:\.\d{1,3})?)\s*([kmgt]?i?)b?$/i.exec(text.trim()) ??
    [];
  const factor = UNITS[unit.toLowerCase()];
  const size = Math.round(Number(digits) * (factor ?? NaN));
  if (Number.isSafeInteger(size)) return size;
  throw new CifraError("usage", `--limit must be a size such as 500MB or 2GiB, got "${text}"`);
}

/** Up to how much is taken without asking. */
export const LIMIT = settings("connect", {
  limit: {
    kind: "text",
    value: "SIZE",
    does: "take by itself only what is so large at most, such as 500MB",
    otherwise: "any size",
    read: readSize,
  },
});

/** The folder for files of a program that stays, and whose files come there. */
export const FILES = {
  ...settings("connect", {
    files: {
      kind: "text",
      value: "DIR",
      does: "/send may send what is in this folder, and what is taken comes there",
      otherwise: "files are neither read nor written",
      access: { path: "folder", permissions: ["read", "write"], receives: true },
      read: readFolder,
    },
    "accept-files": {
      kind: "choice",
      value: "WHOM",
      does: "whose files are taken without asking: those of known people, of all, or none",
      choices: ["known", "all", "none"],
      default: "none",
      needs: ["files"],
    },
  }),
  limit: { ...LIMIT.limit, needs: ["files"] },
} as const satisfies OptionTable;

/** Makes sure that there is a folder for files. Throws `local`. */
export async function requireFolder(path: string): Promise<void> {
  try {
    // Whatever the umask is: nobody else may write there.
    await Deno.mkdir(path, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw platformFailure(`Cannot use the folder ${path}`, cause);
  }
}

/** Whose files are taken without asking, how much at most, and where they come. */
export interface FileChoice {
  readonly accept: "known" | "all" | "none";
  readonly limit: number | undefined;
  /** An absolute path; undefined: nowhere. */
  readonly folder: string | undefined;
  /** Whether somebody was known before this run. */
  readonly isKnown: (name: string) => boolean;
}

/** What is done with an offer: what is not taken waits until somebody says so. */
export function decideBy(
  { accept, limit = Infinity, folder, isKnown }: FileChoice,
): (row: Pick<TransferRow, "peer" | "bytes">) => Decision {
  return ({ peer, bytes = Infinity }) => {
    const isWanted = accept === "all" || accept === "known" && isKnown(peer);
    // What does not say how large it is may be too much.
    const fits = limit === Infinity || bytes <= limit;
    return folder !== undefined && isWanted && fits ? { into: folder } : "ask";
  };
}
