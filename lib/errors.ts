/**
 * What went wrong, as a stable word. The groups say whose fault it is and so what helps: `usage` and
 * `local` concern this machine, the transport group is worth a retry, the rest is not.
 */
export type ErrorCode =
  // this side
  | "usage"
  | "local"
  | "locked"
  | "interrupted"
  // transport: try again
  | "unreachable"
  | "timeout"
  | "cut"
  | "busy"
  | "slow_reader"
  // the other side broke the protocol
  | "bad_frame"
  | "bad_state"
  | "bad_version"
  | "suite_refused"
  | "auth_failed"
  | "limit"
  // the other side said no
  | "refused"
  | "name_taken"
  | "bad_name"
  | "bad_address"
  | "stale_registration"
  | "replaced"
  | "invite_required"
  | "account_required"
  | "wrong_password"
  | "banned"
  | "kicked"
  | "shutdown"
  // whom we are talking to is not whom we know
  | "identity_unknown"
  | "identity_changed"
  | "suite_downgrade";

/** An expected failure: a sentence a person can read, a code a program can test, a hint of what to try. */
export class CifraError extends Error {
  /** The class of the error, the same in every one. */
  override readonly name = "CifraError";
  /** What went wrong, for a program to test. */
  readonly code: ErrorCode;
  /** The next thing to try, as a sentence without full stop. */
  readonly hint: string | undefined;
  /** Seconds after which it may work, where that is known. */
  readonly retryAfter: number | undefined;

  /** `message` is a sentence without full stop that names what was wanted and what was found. */
  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { readonly hint?: string; readonly retryAfter?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.hint = options.hint;
    this.retryAfter = options.retryAfter;
  }
}

/** `error` as a CifraError: itself, or wrapped as a failure of the connection (`cut`). */
export function toCifraError(error: unknown): CifraError {
  if (error instanceof CifraError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CifraError("cut", `Connection failed: ${message}`, { cause: error });
}
