/** Failures of a store: what a person reads, and what goes on by itself. */
import { CifraError } from "../errors.ts";

/** Why nothing can be stored: the disk is full, another program has the file, or something else. */
export type StoreTrouble = "full" | "inUse" | "failing";

/** A failure of the file or its disk: `local`. */
export class StoreFailure extends CifraError {
  readonly trouble: StoreTrouble;
  /** Whether nobody knows any more what is on the disk. */
  readonly fatal: boolean;

  constructor(
    message: string,
    { trouble = "failing", fatal = false, ...options }: ErrorOptions & {
      readonly hint?: string;
      readonly trouble?: StoreTrouble;
      readonly fatal?: boolean;
    },
  ) {
    super("local", message, options);
    this.trouble = trouble;
    this.fatal = fatal;
  }
}

/** Why nothing can be stored, of an error with the code `local`. */
export function troubleOf(error: CifraError): StoreTrouble {
  return error instanceof StoreFailure ? error.trouble : "failing";
}
