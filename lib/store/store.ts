/** What the server keeps, behind one narrow interface. */
import type { Bytes } from "../bytes.ts";
import type { SuiteId } from "../crypto/suite.ts";
import type { Endpoint } from "../wire/address.ts";

/** Who holds a name at the moment, whom they want, and where they can be reached. */
export interface HeldName {
  readonly name: string;
  readonly wanted: string;
  /** Hexadecimal fingerprint of the holder. */
  readonly fingerprint: string;
  readonly bundle: Bytes;
  readonly suite: SuiteId;
  readonly observed: Endpoint;
  readonly receivePort: number;
  readonly sendPort: number;
  /** Bits of `Capability`. */
  readonly capabilities: number;
  readonly advertised: readonly string[];
  readonly registrationSequence: bigint;
}

/** The rendezvous state of a server. */
export interface Store {
  /** The holder of a name. */
  findByName(name: string): HeldName | undefined;
  /** The name that an identity holds. */
  findByFingerprint(fingerprint: string): HeldName | undefined;
  /** Puts a name in somebody's hands; the service has made sure that it may. */
  hold(held: HeldName): void;
  /** Forgets the holder of a name. */
  release(name: string): void;
  /** A number for the next introduction, higher than any before and at least `floor`. */
  nextGeneration(floor: number): number;
}
