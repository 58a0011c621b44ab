/**
 * What an operator is told. Every field is listed here; nothing else reaches a log (PROTOCOL.md 4), and who
 * asks for whom does so only where the operator wants it: see `isAboutTwo`.
 */
import type { SuiteName } from "../crypto/suite.ts";
import type { ErrorCode } from "../errors.ts";
import type { HandshakeEvent } from "../handshake/state.ts";
import type { Refusal } from "../services/connection_limits.ts";

/** One event in the life of a server. `source` is a tag for an address, `client` a fingerprint cut short. */
export type ServerEvent =
  | { readonly event: "refused-connection"; readonly source: string; readonly reason: Refusal }
  /** A connection failed in the handshake, or before its client was told anything. */
  | {
    readonly event: "handshake-failed";
    readonly source: string;
    readonly code: ErrorCode;
  }
  | {
    readonly event: "registered";
    readonly source: string;
    readonly name: string;
    /** Whether they are in the lobby. */
    readonly lobby: boolean;
    readonly client: string;
    readonly suite: SuiteName;
  }
  /** Somebody wants to be introduced to somebody. */
  | { readonly event: "wants"; readonly name: string; readonly wanted: string }
  /** A request that a client was refused. */
  | {
    readonly event: "refused";
    readonly source: string;
    readonly client: string;
    readonly request: string;
    readonly code: ErrorCode;
  }
  | {
    readonly event: "signed-up" | "signed-in";
    readonly source: string;
    readonly name: string;
  }
  /** So many new people came from one source with one invite within a minute. */
  | {
    readonly event: "invite-rush";
    readonly source: string;
    readonly invite: string;
    readonly people: number;
  }
  | { readonly event: "replaced"; readonly name: string }
  | {
    readonly event: "introduced";
    readonly names: readonly [string, string];
    readonly generation: number;
  }
  | {
    readonly event: "relaying";
    readonly names: readonly [string, string];
    readonly generation: number;
  }
  | {
    readonly event: "relayed";
    readonly names: readonly [string, string];
    readonly generation: number;
    readonly bytes: number;
  }
  | { readonly event: "suite-mismatch"; readonly names: readonly [string, string] }
  | { readonly event: "left"; readonly name: string; readonly code: ErrorCode | "goodbye" }
  | { readonly event: "accept-trouble"; readonly reason: string }
  /** The mailbox could not be written to; whoever left something was told. */
  | { readonly event: "mailbox-failed"; readonly reason: string }
  | { readonly event: "bug"; readonly reason: string }
  | { readonly event: "trace"; readonly source: string; readonly step: HandshakeEvent };

const ABOUT_TWO: ReadonlySet<ServerEvent["event"]> = new Set([
  "wants",
  "introduced",
  "relaying",
  "relayed",
  "suite-mismatch",
]);

/**
 * Whether an event says who asks for whom, or talks to whom. It would say so without names as well: between the
 * lines of those who come and go, its place tells whom it is about.
 */
export function isAboutTwo({ event }: ServerEvent): boolean {
  return ABOUT_TWO.has(event);
}
