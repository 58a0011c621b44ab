/** The frame around a command: signals, the clock's tick, secrets, the profile, and the exit code. */
import type { Profile } from "../client/profile.ts";
import type { CifraError } from "../errors.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { Ticker } from "../flow/ticker.ts";
import { systemEnvironment } from "../net/environment.ts";
import { stateFolder } from "../store/state_folder.ts";
import { keyboard } from "./keyboard.ts";
import { Secrets } from "./secrets.ts";
import { exitCodeOfInterruption, exitCodeOfSignal, listenForSignals } from "./signals.ts";
import { stopWithParent } from "./suspend.ts";
import type { Terminal } from "./terminal.ts";

/** Whose profile is to be opened. */
export interface Who {
  readonly name: string;
  readonly suite: SuiteName;
  /** The state folder; undefined is that of this user. */
  readonly state: string | undefined;
  /** The descriptor that gives the passphrase of the keys; undefined asks a person. */
  readonly passphraseFd: number | undefined;
}

/** What a command runs in. */
export interface CommandFrame {
  /** Aborted by the signal that ends the program; the reason is its name. */
  readonly interrupted: AbortSignal;
  readonly ticker: Ticker;
  readonly secrets: Secrets;
  /** Opens a profile, which is closed after the command. Throws like `Profile.open`. */
  readonly openProfile: (who: Who) => Promise<Profile>;
}

/**
 * Runs `job` and cleans up after it; returns its exit code, or that of the signal when it ends by
 * "interrupted", as a value or as an error. `takesKeys`: a person will type at it; keys are taken from the
 * start, so that none is lost and Ctrl-Z works in between. `isWhole`: a job that did not come to its end has
 * failed, also when SIGTERM ended it.
 */
export async function runFramed(
  terminal: Terminal,
  job: (frame: CommandFrame) => Promise<number | "interrupted">,
  { takesKeys = false, isWhole = false }: {
    readonly takesKeys?: boolean;
    readonly isWhole?: boolean;
  } = {},
): Promise<number> {
  const signals = listenForSignals();
  const { interrupted } = signals;
  terminal.interrupted = interrupted;
  const ticker = new Ticker(systemEnvironment.time);
  const secrets = new Secrets(terminal, signals);
  const complain = ({ message, hint }: CifraError) => terminal.say(`${message}: ${hint}`);
  const isTyped = takesKeys && terminal.interactive;
  const releases = [
    ...isTyped
      ? [keyboard.hold({ interrupt: signals.interrupt, complain }, { raw: !terminal.plain })]
      : [],
    // Where the terminal edits lines, it obeys Ctrl-Z itself.
    ...isTyped && !terminal.plain ? [] : [stopWithParent(complain)],
  ];
  const profiles: Profile[] = [];
  const openProfile: CommandFrame["openProfile"] = async ({ name, suite, state, passphraseFd }) => {
    const passphrase = secrets.passphrase(name, passphraseFd);
    // A server has no profile, and need not hold the code for one.
    const { Profile } = await import("../client/profile.ts");
    const profile = await Profile.open(stateFolder(state), name, suite, passphrase);
    profiles.push(profile);
    return profile;
  };
  try {
    const code = await job({ interrupted, ticker, secrets, openProfile });
    // While signals still end it in order: whoever reads the results may pause.
    const isRead = await terminal.flushed();
    if (code === "interrupted") return exitCodeOfSignal(interrupted, isWhole);
    // Results that a signal has cut off are no success, whatever the signal.
    return isRead || !interrupted.aborted ? code : exitCodeOfSignal(interrupted, true);
  } catch (error) {
    return exitCodeOfInterruption(error, interrupted, isWhole);
  } finally {
    ticker.stop();
    for (const release of releases) release();
    signals.stop();
    for (const profile of profiles) await profile.close();
  }
}
