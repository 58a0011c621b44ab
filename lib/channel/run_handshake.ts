import type { Connection } from "./connection.ts";
import { step } from "../handshake/machine.ts";
import type { Established, HandshakeEvent, HandshakeState, Step } from "../handshake/state.ts";

/** What a handshake may be given beside its start. */
export interface HandshakeOptions {
  /** Told of every message as it is sent or received. */
  readonly onEvent?: ((event: HandshakeEvent) => void) | undefined;
  /** Runs each step; a server passes its gate, so that a crowd waits instead of piling up. */
  readonly run?: <T>(job: () => Promise<T>) => Promise<T>;
}

/** Climbs the ladder over a connection, from a first step or a waiting state, up to the keys. */
export async function runHandshake(
  connection: Connection,
  start: Step | HandshakeState,
  { onEvent, run = (job) => job() }: HandshakeOptions = {},
): Promise<Established> {
  let current: Step = "state" in start ? start : { state: start, send: [], events: [] };
  try {
    for (;;) {
      for (const { kind, body } of current.send) await connection.sendFrame(kind, body);
      if (onEvent) { for (const event of current.events) onEvent(event); }
      if (current.state.name === "established") break;
      const frame = await connection.nextFrame();
      const { state } = current;
      current = await run(() => step(state, frame));
      forget(state);
    }
    connection.markOpen();
    return current.state;
  } catch (error) {
    forget(current.state);
    throw connection.fail(error);
  }
}

/** A step leaves the state it is given as it was; whoever needs it no more overwrites its secret. */
function forget(state: HandshakeState): void {
  if ("chainKey" in state) state.chainKey.fill(0);
}
