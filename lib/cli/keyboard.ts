/**
 * The keyboard: one for the program, and one who listens. It owns stdin as far as a person types there: raw mode,
 * reading, the pause at Ctrl-Z. Keys that nobody has listened to yet are kept for whoever comes next; and so are
 * lines, which come in place of keys where the terminal itself edits them.
 */
import type { CifraError } from "../errors.ts";
import { type EditedLine, EditedLines } from "./edited_lines.ts";
import { type Key, KeyDecoder } from "./key_decoder.ts";
import { nextPiece, pieceTaken } from "./stdin.ts";
import { stopJob } from "./suspend.ts";
import { isGone, screen } from "./screen.ts";

/** Milliseconds after which Escape is a key of its own, and after which a begun sequence has no end. */
const ESCAPE_PAUSE = 100;
const SEQUENCE_PAUSE = 1000;
/** Milliseconds without a key after which what was pasted is over, and how long it is waited for. */
const QUIET = 100;
const LONGEST_PASTE = 2000;
/** Keys and lines that are kept while nobody listens: somebody leans on the keyboard. */
const KEPT = 10_000;

/** Who gets the keys, and the lines. */
export interface KeyListener {
  readonly onKey: (key: Key) => void;
  /** Without raw mode: a line that the terminal has edited. */
  readonly onLine: (line: EditedLine) => void;
  /** All keys that came at once were given. */
  readonly onPause: () => void;
  /** There are no more keys. */
  readonly onEnd: () => void;
  /** The window may have another size. */
  readonly onResize: () => void;
  /** The program was stopped from outside and goes on. */
  readonly onContinued: () => void;
  /** Somebody else gets the keys, and the screen, until `onBack`. */
  readonly onAway: () => void;
  readonly onBack: () => void;
}

/** What the keyboard does while nobody listens, and with what nobody else can do. */
export interface KeyboardHolder {
  /** Ctrl-C. */
  readonly interrupt: () => void;
  /** It could not stop at Ctrl-Z. */
  readonly complain: (error: CifraError) => void;
}

class Keyboard {
  readonly #decoder = new KeyDecoder();
  readonly #edited = new EditedLines();
  readonly #listeners: KeyListener[] = [];
  readonly #holders: KeyboardHolder[] = [];
  #raw = 0;
  #kept: (Key | EditedLine)[] = [];
  #isReading = false;
  #hasEnded = false;
  #isAway = false;
  /** Whether what comes now was typed while raw mode was on. */
  #wasRaw = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isPumping = false;
  /** While the terminal is to change how it hands over keys, and cannot yet. */
  #changing: Promise<void> | undefined;

  /**
   * From now on what is typed is taken, until the returned function is called: with `raw` key by key and unseen, else
   * in lines that the terminal edits.
   */
  hold(holder: KeyboardHolder, { raw }: { readonly raw: boolean }): () => void {
    this.#holders.push(holder);
    if (raw && this.#raw++ === 0) this.#takeTerminal();
    void this.#read();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holders.splice(this.#holders.indexOf(holder), 1);
      if (raw && --this.#raw === 0) this.#giveTerminalBack();
    };
  }

  /**
   * The listener gets the keys until the returned function is called; then whoever had them before. With `isFresh`
   * only those that are pressed from now on: what was typed earlier is for whoever comes next.
   */
  listen(listener: KeyListener, { isFresh = false } = {}): () => void {
    this.#listeners.at(-1)?.onAway();
    this.#listeners.push(listener);
    const earlier = isFresh ? this.#kept.splice(0) : [];
    queueMicrotask(() => this.#pump());
    let isListening = true;
    return () => {
      if (!isListening) return;
      isListening = false;
      const isTop = this.#listener === listener;
      this.#listeners.splice(this.#listeners.indexOf(listener), 1);
      this.#kept.unshift(...earlier);
      if (earlier.length > 0) queueMicrotask(() => this.#pump());
      if (isTop && !this.#isAway) this.#listener?.onBack();
    };
  }

  /**
   * Drops what comes until nothing comes any more, such as the rest of a paste, and what stands half typed where the
   * terminal edits lines; with `isFresh` what was typed earlier stays for whoever comes next.
   */
  async forget({ isFresh = false } = {}): Promise<void> {
    const holder = this.#holders.at(-1) ?? { interrupt: () => {}, complain: () => {} };
    let quietAt = 0;
    const came = () => void (quietAt = performance.now() + QUIET);
    const drop = {
      onKey: (key: Key) => {
        if (key.type === "press" && key.name === "ctrl-c") holder.interrupt();
        came();
      },
      onLine: came,
      onPause: () => {},
      onEnd: () => {},
      onResize: () => {},
      onContinued: () => {},
      onAway: () => {},
      onBack: () => {},
    };
    // In raw mode everything comes, also the line that has no end yet.
    const releases = [this.hold(holder, { raw: true }), this.listen(drop, { isFresh })];
    const end = performance.now() + LONGEST_PASTE;
    came();
    for (let now; (now = performance.now()) < Math.min(quietAt, end);) {
      await new Promise((resolve) => setTimeout(resolve, quietAt - now));
    }
    this.#edited.forget();
    for (const release of releases.reverse()) release();
  }

  /** Ctrl-Z: gives the terminal back, stops, and takes it again. */
  async suspend(): Promise<void> {
    if (this.#isAway) return;
    this.#isAway = true;
    this.#listener?.onAway();
    await screen.idle();
    if (this.#raw > 0) setRaw(false);
    let problem: CifraError | undefined;
    try {
      await stopJob();
    } catch (error) {
      problem = error as CifraError;
    }
    this.#isAway = false;
    this.#setRaw();
    this.#listener?.onBack();
    if (problem) this.#holders.at(-1)?.complain(problem);
    this.#pump();
  }

  /** Resolves when the terminal hands over keys as it should, and nothing is being written to it. */
  async settled(): Promise<void> {
    while (this.#changing || screen.isBusy) await (this.#changing ?? screen.idle());
  }

  get #listener(): KeyListener | undefined {
    return this.#listeners.at(-1);
  }

  #takeTerminal(): void {
    this.#setRaw();
    if (Deno.build.os === "windows") return;
    Deno.addSignalListener("SIGWINCH", this.#onResize);
    Deno.addSignalListener("SIGCONT", this.#onContinued);
  }

  #giveTerminalBack(): void {
    this.#wasRaw = false;
    this.#setRaw();
    if (Deno.build.os === "windows") return;
    Deno.removeSignalListener("SIGWINCH", this.#onResize);
    Deno.removeSignalListener("SIGCONT", this.#onContinued);
  }

  readonly #onResize = () => {
    if (!this.#isAway) this.#listener?.onResize();
  };

  /** Somebody else stopped us, and the shell took its terminal. */
  readonly #onContinued = () => {
    if (this.#isAway) return;
    this.#setRaw();
    this.#listener?.onContinued();
  };

  /**
   * Keys come one by one and unseen as long as somebody wants it. The system lets no change overtake what is being
   * written: on a terminal that is frozen it would hold up the program.
   */
  #setRaw(): void {
    if (!this.#changing && !screen.isBusy) return setRaw(this.#raw > 0);
    this.#changing ??= (async () => {
      while (screen.isBusy) await screen.idle();
      this.#changing = undefined;
      if (!this.#isAway) setRaw(this.#raw > 0);
    })();
  }

  async #read(): Promise<void> {
    if (this.#isReading || this.#hasEnded) return;
    this.#isReading = true;
    while (this.#holders.length > 0) {
      // A terminal that hangs up gives an error; what was typed on it is over.
      const piece = await nextPiece().catch(() => null);
      if (this.#holders.length === 0) break;
      pieceTaken();
      clearTimeout(this.#timer);
      if (piece === null) {
        this.#hasEnded = true;
        break;
      }
      if (this.#raw === 0) {
        this.#takeLines(this.#edited.push(piece, performance.now()));
        continue;
      }
      // The first piece of raw mode may have been typed, as lines, before it.
      this.#take(this.#decoder.push(piece, !this.#wasRaw));
      this.#wasRaw = this.#raw > 0 && !this.#changing;
      const { pending } = this.#decoder;
      if (pending === undefined) continue;
      const pause = pending === "escape" ? ESCAPE_PAUSE : SEQUENCE_PAUSE;
      this.#timer = setTimeout(() => this.#take(this.#decoder.expire()), pause);
    }
    this.#isReading = false;
    if (this.#hasEnded) this.#listener?.onEnd();
  }

  #take(keys: readonly Key[]): void {
    for (const key of keys) {
      const name = key.type === "press" && !this.#listener ? key.name : undefined;
      if (name === "ctrl-c") this.#holders.at(-1)?.interrupt();
      else if (name === "ctrl-z") void this.suspend();
      else if (this.#listener || this.#kept.length < KEPT) this.#kept.push(key);
    }
    this.#pump();
  }

  #takeLines(lines: readonly EditedLine[]): void {
    this.#kept.push(...lines.slice(0, Math.max(0, KEPT - this.#kept.length)));
    this.#pump();
  }

  /** Gives what was typed to whoever listens. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#listener && !this.#isAway && this.#kept.length > 0) {
      const listener = this.#listener;
      while (this.#listener === listener && !this.#isAway && this.#kept.length > 0) {
        const next = this.#kept.shift()!;
        if ("type" in next) listener.onKey(next);
        else listener.onLine(next);
      }
      if (this.#listener === listener && !this.#isAway) listener.onPause();
    }
    this.#isPumping = false;
    if (this.#hasEnded && this.#kept.length === 0) this.#listener?.onEnd();
  }
}

/**
 * Whether keys come one by one and unseen. A terminal that has been closed takes no more orders: whoever closes a
 * window continues the program in it, to be told so by a signal of its own.
 */
function setRaw(isRaw: boolean): void {
  try {
    Deno.stdin.setRaw(isRaw);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** The keyboard of this program. */
export const keyboard = new Keyboard();
