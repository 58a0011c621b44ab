/** Failures of the disk that files come from or go to: what a person reads, and what the other side is told. */
import { CifraError } from "../errors.ts";
import { codeOf, isNotAllowed, isPlatformError, meaningOf } from "../platform_errors.ts";

/** Why a file cannot be read or written now: no room, no right to it, the disk or folder is not there, or else. */
export type FileTrouble = "full" | "denied" | "gone" | "other";

/** A failure of a file or its disk: `local`. Whoever waits may try again. */
export class FileFailure extends CifraError {
  readonly trouble: FileTrouble;

  constructor(
    message: string,
    { trouble = "other", ...options }: ErrorOptions & {
      readonly hint?: string;
      readonly trouble?: FileTrouble;
    } = {},
  ) {
    super("local", message, options);
    this.trouble = trouble;
  }
}

const TROUBLES: Readonly<Record<string, FileTrouble>> = {
  ENOSPC: "full",
  EDQUOT: "full",
  EFBIG: "full",
  EROFS: "denied",
  ENOENT: "gone",
  ENOTDIR: "gone",
  ESTALE: "gone",
  ENODEV: "gone",
  ENXIO: "gone",
  ENOTCONN: "gone",
};

const HINTS: Readonly<Record<FileTrouble, string>> = {
  full: "make room on that disk: it goes on by itself",
  denied: "let this user write there, or receive it into another folder",
  gone: "bring the disk or the folder back: it goes on by itself",
  other: "look after the disk: it goes on by itself",
};

/** What kind of trouble the platform's answer, or an error of ours, stands for. */
export function fileTroubleOf(error: unknown): FileTrouble {
  if (error instanceof FileFailure) return error.trouble;
  if (isNotAllowed(error)) return "denied";
  return TROUBLES[codeOf(error) ?? ""] ?? "other";
}

/**
 * What the platform threw when `what` was tried, such as "Cannot read FILE", as a failure; one of ours is given back
 * as it is. Throws what is a mistake of the program.
 */
export function fileFailure(what: string, cause: unknown): CifraError {
  if (cause instanceof CifraError) return cause;
  if (!isPlatformError(cause)) throw cause;
  const trouble = fileTroubleOf(cause);
  return new FileFailure(`${what}: ${meaningOf(cause).why}`, {
    cause,
    trouble,
    hint: HINTS[trouble],
  });
}
