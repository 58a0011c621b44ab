/**
 * What the platform threw, in words. It names its errors by a code, a class or a sentence of its own, such as
 * "Too many open files (os error 24)"; no person is shown any of these. The one place that explains them.
 */
import { CifraError } from "./errors.ts";

/** What an answer of the system means. */
interface Meaning {
  /** A part of a sentence, which follows what could not be used and a colon. */
  readonly why: string;
  /** The next thing to try, where there is one. */
  readonly hint?: string;
}

const FILE_LIMIT = "raise the limit (ulimit -n), or close what is open";
const DISK_GONE = "look after the disk, or the network that it is on, and start again";
const NO_SUCH_FEATURE = "choose a folder on another disk with --state";

/** By the code of the system, which is the same everywhere; its numbers are not. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOSPC: { why: "the disk is full", hint: "make room on it, and try again" },
  EDQUOT: {
    why: "this user has no room left on the disk",
    hint: "make room, or ask whoever runs this machine for more, and try again",
  },
  EROFS: {
    why: "its disk can only be read",
    hint: "let it be written, or choose a folder elsewhere with --state",
  },
  EIO: { why: "the disk or the device does not answer, or is damaged", hint: DISK_GONE },
  ENODEV: { why: "the device is gone, or cannot do it", hint: DISK_GONE },
  ENXIO: { why: "the device is gone", hint: DISK_GONE },
  ESTALE: { why: "the disk of the network does not know it any more", hint: DISK_GONE },
  ENOTCONN: { why: "the connection behind it is gone" },
  EFBIG: {
    why: "it may not become so large",
    hint: "raise the limit on the size of files (ulimit -f)",
  },
  EMFILE: {
    why: "this program has as many files and connections open as it may",
    hint: FILE_LIMIT,
  },
  ENFILE: { why: "this machine has as many files open as it can", hint: "close other programs" },
  ENOMEM: { why: "this machine has no memory left", hint: "close other programs" },
  ENOBUFS: { why: "this machine has no memory left", hint: "close other programs" },
  EAGAIN: { why: "this machine is too busy for it", hint: "try again in a moment" },
  EACCES: { why: "this user is not allowed to" },
  EPERM: { why: "this user is not allowed to" },
  ENOENT: { why: "it is not there, or a folder above it is not" },
  EEXIST: { why: "there is something of that name already" },
  EISDIR: { why: "it is a folder" },
  ENOTDIR: { why: "what stands for a folder in its path is none" },
  ENOTEMPTY: { why: "the folder is not empty" },
  ENAMETOOLONG: { why: "its name is too long", hint: "choose a shorter one" },
  ELOOP: { why: "the links in its path lead in a circle" },
  EBUSY: { why: "another program has it" },
  ETXTBSY: { why: "another program has it" },
  EXDEV: { why: "the two are on different disks" },
  ENOLCK: { why: "its disk has no locks that keep programs apart", hint: NO_SUCH_FEATURE },
  ENOSYS: { why: "its disk, or this machine, cannot do that", hint: NO_SUCH_FEATURE },
  EOPNOTSUPP: { why: "its disk, or this machine, cannot do that", hint: NO_SUCH_FEATURE },
  ENOTSUP: { why: "its disk, or this machine, cannot do that", hint: NO_SUCH_FEATURE },
  EINVAL: { why: "the system does not take it so" },
  EPIPE: { why: "its reader has gone" },
  EADDRINUSE: { why: "it is in use" },
  EADDRNOTAVAIL: { why: "this machine does not have that address" },
  EAFNOSUPPORT: { why: "this machine has no addresses of that kind" },
  ECONNREFUSED: { why: "nobody listens there" },
  ECONNRESET: { why: "the other side broke off" },
  ECONNABORTED: { why: "the connection was broken off" },
  ETIMEDOUT: { why: "no answer came in time" },
  EHOSTUNREACH: { why: "no route to it" },
  ENETUNREACH: { why: "no route to it" },
  EHOSTDOWN: { why: "no route to it" },
  ENETDOWN: { why: "the network is down", hint: "connect this machine to a network" },
};

/** Deno's words of a path such as /proc/x or /dev/x, for a program that may not do everything. */
const SYSTEMS_OWN = /^NotCapable: Requires all access\b/;

/** What the platform says by a class, or a sentence, alone. */
const SENTENCES: readonly (readonly [said: RegExp, Meaning])[] = [
  [/SUN_LEN/, {
    why: "its path is longer than that of a socket may be (107 bytes)",
    hint: "choose a folder with a shorter path with --state",
  }],
  [SYSTEMS_OWN, { why: "it is a place of the system's own, where this program keeps no files" }],
  [/^NotCapable\b/, { why: "this program was not given access to it" }],
  [/lookup|resolve|ENOTFOUND/i, { why: "its name does not resolve" }],
  [/unreachable/i, { why: "no route to it" }],
  [/^UnexpectedEof\b|end of file/i, { why: "it ended too early" }],
  [/^(?:BadResource|Interrupted)\b/, { why: "it was closed meanwhile" }],
  [/^InvalidData\b/, { why: "it is not what it should be" }],
];

/** The system's own words, where Deno knows no code for them. */
const WORDS: readonly (readonly [said: RegExp, code: string])[] = [
  [/file too large|filesize limit/i, "EFBIG"],
  [/quota exceeded/i, "EDQUOT"],
  [/stale .*file handle/i, "ESTALE"],
  [/no locks available/i, "ENOLCK"],
  [/read-only file ?system/i, "EROFS"],
  [/input\/output error/i, "EIO"],
  [/no such device/i, "ENODEV"],
  [/too many open files in system/i, "ENFILE"],
  [/too many open files/i, "EMFILE"],
];

/** What Deno says of a terminal has the code in its words alone, such as "EIO: I/O error". */
const SPELT_OUT = /^(E[A-Z0-9]+): /;

/** Classes of Deno's, where one comes without a code. */
const CLASSES: Readonly<Record<string, string>> = {
  NotFound: "ENOENT",
  AlreadyExists: "EEXIST",
  PermissionDenied: "EACCES",
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  BrokenPipe: "EPIPE",
  ConnectionRefused: "ECONNREFUSED",
  ConnectionReset: "ECONNRESET",
  ConnectionAborted: "ECONNABORTED",
  NotConnected: "ENOTCONN",
  TimedOut: "ETIMEDOUT",
  NetworkUnreachable: "ENETUNREACH",
  IsADirectory: "EISDIR",
  NotADirectory: "ENOTDIR",
  FilesystemLoop: "ELOOP",
  NotSupported: "ENOTSUP",
  WouldBlock: "EAGAIN",
};

/** The system's code, such as `ENOSPC`; undefined when there is none. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = "code" in error ? error.code : undefined;
  if (typeof code === "string" && /^E[A-Z0-9]+$/.test(code)) return code;
  return CLASSES[error.name] ?? WORDS.find(([words]) => words.test(error.message))?.[1] ??
    SPELT_OUT.exec(error.message)?.[1];
}

/** Whether the platform threw this for a reason outside the program, which is no mistake of ours. */
export function isPlatformError(error: unknown): boolean {
  return error instanceof Error &&
    (codeOf(error) !== undefined || error.name === "NotCapable" ||
      /\(os error \d+\)/.test(said(error)));
}

/** Whether a listener, or a connection to the same place, still has the port. */
export function isPortBusy(error: unknown): boolean {
  return ["EADDRINUSE", "EADDRNOTAVAIL", "EINVAL"].includes(codeOf(error) ?? "");
}

/** Whether this machine does not have the address, or no addresses of its kind. */
export function isNotOurAddress(error: unknown): boolean {
  return ["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(codeOf(error) ?? "");
}

/** Whether another user, or the permissions of this program, keep us out. */
export function isNotAllowed(error: unknown): boolean {
  return isNotCapable(error) || ["EACCES", "EPERM"].includes(codeOf(error) ?? "");
}

/** Whether the permissions of this program keep it out, which others would not. */
export function isNotGiven(error: unknown): boolean {
  return isNotCapable(error) && !SYSTEMS_OWN.test(said(error));
}

/** Whether this version of Deno lacks what was called, which another has. */
export function isNotImplemented(error: unknown): boolean {
  return error instanceof Error && /not implemented/i.test(said(error));
}

function isNotCapable(error: unknown): boolean {
  return error instanceof Error && error.name === "NotCapable";
}

/** What went wrong, as a part of a sentence without full stop; and what to try, where there is something. */
export function meaningOf(error: unknown): Meaning {
  if (error instanceof CifraError) {
    return { why: error.message, ...(error.hint !== undefined && { hint: error.hint }) };
  }
  const sentence = SENTENCES.find(([pattern]) => pattern.test(said(error)))?.[1];
  // A socket's path that is too long has the code of anything that is not in order.
  const known = MEANINGS[codeOf(error) ?? ""];
  return (codeOf(error) === "EINVAL" ? sentence : undefined) ?? known ?? sentence ??
    { why: inWords(error) };
}

/** Why a dial failed, in a few words. */
export function reasonOf(error: unknown): string {
  // Of a dial, the port is that which it came from.
  return isPortBusy(error) ? "the port to dial from is in use" : meaningOf(error).why;
}

/**
 * What the platform threw as an error of ours: `what` could not be done, such as "Cannot use FILE". A CifraError
 * keeps its words. `hint` is the one for this place, should the system's answer have none of its own.
 */
export function platformFailure(
  what: string,
  cause: unknown,
  { hint }: { readonly hint?: string } = {},
): CifraError {
  const isOurs = cause instanceof CifraError;
  if (isOurs && (cause.hint !== undefined || hint === undefined)) return cause;
  const meaning = meaningOf(cause);
  const helps = meaning.hint ?? hint;
  const message = isOurs ? cause.message : `${what}: ${meaning.why}`;
  return new CifraError(isOurs ? cause.code : "local", message, {
    cause,
    ...(helps !== undefined && { hint: helps }),
  });
}

/** `error` as a CifraError: itself, or wrapped as a failure of the connection (`cut`). */
export function toCifraError(error: unknown): CifraError {
  if (error instanceof CifraError) return error;
  return new CifraError("cut", `Connection failed: ${meaningOf(error).why}`, { cause: error });
}

/** All that an error says of itself. */
function said(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** The system's own words, where we have none: without its number, and without what it was doing. */
function inWords(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const words = text.replace(/\s*\(os error \d+\).*$/s, "").split("\n")[0]!.trim();
  return words === "" ? "the system does not say why" : words;
}
