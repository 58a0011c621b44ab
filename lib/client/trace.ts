import type { Bytes } from "../bytes.ts";
import type { HandshakeEvent } from "../handshake/state.ts";

/** One protocol message as a watcher sees it: the ladder, and the two messages it leads to. */
export interface TraceEvent {
  /** `server`, or the name of the peer. */
  readonly with: string;
  /** 1 to 8 are the steps of the ladder; the introduction has no number. */
  readonly message: HandshakeEvent["message"] | 7 | 8 | undefined;
  readonly direction: HandshakeEvent["direction"];
  readonly name: string;
  readonly algorithm: string;
  /** Length of the frame on the wire. */
  readonly length: number;
  readonly transcript?: Bytes;
  readonly fingerprint?: Bytes;
  /** Public facts inside the message: ports, addresses, names. */
  readonly detail?: string;
}

/** Told of every protocol message as it happens. */
export type Tracer = (event: TraceEvent) => void;
