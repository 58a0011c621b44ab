/** What can go wrong: one row for each code, and the error that carries one. */

/** Whose fault it is, and so what helps. */
type Fault =
  /** This machine, or whoever gave the command. */
  | "ours"
  /** The network, or the load of the moment: worth a retry. */
  | "transport"
  /** The other side broke the protocol, or speaks another one. */
  | "protocol"
  /** The other side said no. */
  | "refusal"
  /** The other side is not whom we know. */
  | "trust";

/** Everything there is to know of an error code. */
interface ErrorFacts {
  readonly fault: Fault;
  /**
   * When waiting does not help: `always`; only `at first`, before the server has taken us, where it is more likely
   * to be wrong than in trouble; or `never`. A conversation that is under way waits out all but `always`.
   */
  readonly final: "always" | "at first" | "never";
  /** 2 for a wrong command line, 3 when somebody is not who they were, 130 for Ctrl-C, 1 for all else. */
  readonly exitCode: 1 | 2 | 3 | 130;
  /** The next thing to try, wherever the code comes from; or why no one sentence is right everywhere. */
  readonly hint: string | { readonly none: string };
  /** The alert (PROTOCOL.md 3.2): a number that never changes meaning, and what it says of its sender. */
  readonly alert?: { readonly number: number; readonly text: string };
  /**
   * The refusal (PROTOCOL.md 3.7): a number that never changes meaning, what it says in our own words where the
   * number alone says it, and a hint of its own.
   */
  readonly refusal?: { readonly number: number; readonly text?: string; readonly hint?: string };
  /** The other side hears this code instead: the true one is not its business. */
  readonly toldAs?: "refused" | "auth_failed";
  /** What a stranger that fails in this way costs its address; absent: what any stranger costs. */
  readonly penalty?: "auth" | "malformed" | "pardoned";
}

const SAME_VERSION = "use the same version of cifra on both sides";

/** All codes: stable words for programs to test. */
export const ERRORS = {
  usage: {
    fault: "ours",
    final: "always",
    exitCode: 2,
    hint: { none: "the sentence says what is wrong with the command" },
  },
  local: {
    fault: "ours",
    final: "at first",
    exitCode: 1,
    hint: { none: "depends on the file or the device" },
    // What is wrong with our disk, and where that is, concerns us alone.
    toldAs: "refused",
  },
  locked: {
    fault: "ours",
    final: "at first",
    exitCode: 1,
    hint: "end the other cifra that uses the same files",
  },
  interrupted: {
    fault: "ours",
    final: "always",
    exitCode: 130,
    hint: { none: "somebody wanted it" },
  },

  unreachable: {
    fault: "transport",
    final: "never",
    exitCode: 1,
    hint: "check the address, and whether a server runs there (cifra serve)",
  },
  timeout: {
    fault: "transport",
    final: "never",
    exitCode: 1,
    hint: "check the network and try again",
    alert: { number: 7, text: "the connection took too long" },
  },
  cut: {
    fault: "transport",
    final: "never",
    exitCode: 1,
    hint: { none: "depends on what was cut: a conversation connects again by itself" },
  },
  busy: {
    fault: "transport",
    final: "never",
    exitCode: 1,
    hint: "try again in a few seconds",
    alert: { number: 6, text: "it has no room right now" },
    // The server's own trouble is nobody's fault.
    penalty: "pardoned",
  },
  slow_reader: {
    fault: "transport",
    final: "never",
    exitCode: 1,
    hint: "see whether something holds up the output of this program, and connect again",
    alert: { number: 9, text: "messages were not taken fast enough" },
  },

  bad_frame: {
    fault: "protocol",
    final: "at first",
    exitCode: 1,
    hint: SAME_VERSION,
    alert: { number: 1, text: "it did not understand a message" },
    penalty: "malformed",
  },
  bad_state: {
    fault: "protocol",
    final: "at first",
    exitCode: 1,
    hint: SAME_VERSION,
    alert: { number: 2, text: "a message came out of turn" },
    penalty: "malformed",
  },
  bad_version: {
    fault: "protocol",
    final: "always",
    exitCode: 1,
    hint: SAME_VERSION,
    alert: { number: 3, text: "it speaks another version of the protocol" },
  },
  suite_refused: {
    fault: "protocol",
    final: "always",
    exitCode: 1,
    hint: "classic needs a server started with --allow-classic; otherwise leave --suite out",
    alert: { number: 4, text: "it does not accept this suite" },
  },
  auth_failed: {
    fault: "protocol",
    final: "at first",
    exitCode: 1,
    hint: { none: "the cause is never told: it would help an attacker more" },
    alert: { number: 5, text: "authentication failed" },
    refusal: { number: 13, hint: "check the clock of this machine" },
    penalty: "auth",
  },
  limit: {
    fault: "protocol",
    final: "never",
    exitCode: 1,
    hint: { none: "depends on the limit" },
    alert: { number: 8, text: "a limit was exceeded" },
    refusal: {
      number: 6,
      hint:
        "try again later; for new names the operator of the server can raise --new-names-per-day",
    },
  },

  refused: {
    fault: "refusal",
    final: "never",
    exitCode: 1,
    hint: "try again later; if that does not help, ask whoever runs the other side",
    alert: { number: 12, text: "it refused" },
    refusal: { number: 8 },
  },
  name_taken: {
    fault: "refusal",
    final: "always",
    exitCode: 1,
    hint: "choose another --name; if you are known here already, use the name and suite that you " +
      "have here, and bring your keys with --sign-in, or with cifra keys export and import",
    refusal: { number: 2 },
  },
  bad_name: {
    fault: "refusal",
    final: "always",
    exitCode: 2,
    hint: "choose another name",
    refusal: { number: 1 },
  },
  bad_address: {
    fault: "refusal",
    final: "at first",
    exitCode: 1,
    hint: "leave --receive-port and --send-port out, and free ones are chosen",
    refusal: { number: 3 },
  },
  stale_registration: {
    fault: "refusal",
    // Another machine of the same person has used the number: the next one will do.
    final: "never",
    exitCode: 1,
    hint: "connect again; if that does not help, check the clock of this machine",
    refusal: { number: 4 },
  },
  replaced: {
    fault: "refusal",
    final: "always",
    exitCode: 1,
    hint:
      "go on there, or end it and connect here again; to be at two machines at once, take a name " +
      "for each",
    refusal: { number: 5, text: "You are connected from elsewhere now, by the same key" },
  },
  invite_required: {
    fault: "refusal",
    final: "always",
    exitCode: 1,
    hint: "ask whoever runs the server for an invite line, and come with --invite once",
    alert: { number: 10, text: "it wants an invite" },
    refusal: { number: 14, text: "The server wants an invite" },
  },
  account_required: {
    fault: "refusal",
    final: "always",
    exitCode: 1,
    hint: "make one with --sign-up, or fetch your keys with --sign-in if you have one",
    refusal: { number: 11, text: "The server wants an account" },
  },
  wrong_password: {
    fault: "refusal",
    final: "at first",
    exitCode: 1,
    hint: { none: "the sentence says it all" },
    refusal: { number: 12 },
  },
  banned: {
    fault: "refusal",
    final: "always",
    exitCode: 1,
    hint: "ask the operator of the server",
    refusal: { number: 9, text: "The server keeps you out" },
  },
  kicked: {
    fault: "refusal",
    final: "always",
    exitCode: 1,
    hint: "connect again, or ask the operator of the server",
    refusal: { number: 10 },
  },
  quota: {
    fault: "refusal",
    // The message waits here, and goes by itself.
    final: "never",
    exitCode: 1,
    hint: "kept here; it goes when there is room",
  },
  no_mailbox: {
    fault: "refusal",
    final: "never",
    exitCode: 1,
    hint: "kept here; it goes when both of you are connected",
  },
  shutdown: {
    fault: "refusal",
    final: "never",
    exitCode: 1,
    hint: "connect again when it is back",
    alert: { number: 11, text: "it is shutting down" },
    refusal: { number: 7 },
    penalty: "pardoned",
  },

  // Why we do not trust somebody is not their business: every such failure looks the same from outside.
  identity_unknown: {
    fault: "trust",
    final: "always",
    exitCode: 1,
    hint: { none: "depends on whose key it is, and where it can be compared" },
    toldAs: "auth_failed",
  },
  identity_changed: {
    fault: "trust",
    final: "always",
    exitCode: 3,
    hint: { none: "depends on whose key it is, and the command that accepts it" },
    toldAs: "auth_failed",
  },
  suite_downgrade: {
    fault: "trust",
    final: "always",
    exitCode: 3,
    hint: { none: "depends on whose key it is, and the command that accepts it" },
    toldAs: "auth_failed",
  },
} as const satisfies Readonly<Record<string, ErrorFacts>>;

/** What went wrong, as a stable word. */
export type ErrorCode = keyof typeof ERRORS;

/** The codes whose row has `Fact`. */
type CodeWith<Fact extends keyof ErrorFacts> = {
  [Code in ErrorCode]: typeof ERRORS[Code] extends Readonly<Record<Fact, unknown>> ? Code : never;
}[ErrorCode];

/** The codes that an alert can carry. */
export type AlertCode = CodeWith<"alert">;
/** The codes that a refusal of the server can carry. */
export type RefusalCode = CodeWith<"refusal">;

const FACTS: Readonly<Record<ErrorCode, ErrorFacts>> = ERRORS;

/**
 * Whether waiting does not help. `wasRegistered`: the server has taken us before, so that what it says now
 * may pass.
 */
export function isFinal(code: ErrorCode, wasRegistered: boolean): boolean {
  const { final } = FACTS[code];
  return final === "always" || final === "at first" && !wasRegistered;
}

/**
 * The same of an error: what nobody has proved ends nothing but a first visit to a server that is not known, where
 * a person would otherwise wait for what never comes (PROTOCOL.md 3.2).
 */
export function isLastWord({ code, claimant }: CifraError, wasRegistered: boolean): boolean {
  const isDoubtful = claimant === "known" || claimant !== undefined && wasRegistered;
  return !isDoubtful && isFinal(code, wasRegistered);
}

/** Whether the other side said no, for good. */
export function isRefusal(code: ErrorCode): boolean {
  return FACTS[code].fault === "refusal" && FACTS[code].final === "always";
}

/** Whether the error says that somebody is not who they were. */
export function isChange(code: ErrorCode): boolean {
  return FACTS[code].exitCode === 3;
}

/** What the program ends with after this error. */
export function exitCodeOf(code: ErrorCode): number {
  return FACTS[code].exitCode;
}

/** The next thing to try, as a sentence without full stop, where one is right wherever the code comes from. */
export function hintOf(code: ErrorCode): string | undefined {
  const { hint } = FACTS[code];
  return typeof hint === "string" ? hint : undefined;
}

/** What a refusal of the server says in our own words, a sentence without full stop. */
export function refusalTextOf(code: RefusalCode): string {
  return FACTS[code].refusal?.text ?? "The server refused";
}

/** The hint for a client that the server has refused with `code`. */
export function refusalHintOf(code: RefusalCode): string | undefined {
  return FACTS[code].refusal?.hint ?? hintOf(code);
}

/** What the other side hears of this error, as an alert or a refusal. */
export function toldCode(code: ErrorCode): ErrorCode {
  return FACTS[code].toldAs ?? code;
}

/** What a stranger that fails in this way costs its address; undefined: what any stranger costs. */
export function penaltyOf(code: ErrorCode): ErrorFacts["penalty"] {
  return FACTS[code].penalty;
}

/** The numbers of all alerts, or of all refusals. */
export function numbersOf<Kind extends "alert" | "refusal">(
  kind: Kind,
): Readonly<Record<CodeWith<Kind>, number>> {
  const numbers = Object.entries(FACTS).flatMap(([code, { [kind]: told }]) =>
    told ? [[code, told.number]] : []
  );
  return Object.fromEntries(numbers);
}

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
  /**
   * Set where nobody has proved who said or did it, as with an alert or before a ladder is done: whether the one
   * in whose place they were is known by a key. It must not change whether we come again to whom we know.
   */
  readonly claimant: "stranger" | "known" | undefined;

  /**
   * `message` is a sentence without full stop that names what was wanted and what was found. Without a
   * `hint` the one of the code is given.
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & {
      readonly hint?: string;
      readonly retryAfter?: number;
      readonly claimant?: "stranger" | "known";
    } = {},
  ) {
    super(message, options);
    this.code = code;
    this.hint = options.hint ?? hintOf(code);
    this.retryAfter = options.retryAfter;
    this.claimant = options.claimant;
  }
}

/** Whether something is a code, as another program may say it. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERRORS, code);
}

/** What a program is told of an error: `hint` only where there is one. */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** The report of an error, as it stands in JSON. */
export function reportOf({ code, message, hint }: CifraError): ErrorReport {
  return { code, message, ...(hint !== undefined && { hint }) };
}
