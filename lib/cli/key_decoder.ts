/**
 * Bytes of a terminal in, keys out, however the bytes are cut into pieces. What is no key (mouse reports, answers
 * of the terminal, sequences that nobody knows) is swallowed whole and never becomes text.
 */

/** What a person did. */
export type Key =
  /** Letters, typed. */
  | { readonly type: "text"; readonly text: string }
  /** Letters, tabs and line breaks (as `\n`) of a paste; there may be more of it. */
  | { readonly type: "paste"; readonly text: string }
  /** The end of a paste. */
  | { readonly type: "pasted" }
  /** The end of a line with more behind it, that came in one go: a paste on a terminal that does not mark pastes. */
  | { readonly type: "break" }
  /**
   * Any other key: `enter`, `tab`, `backspace`, `delete`, `escape`, `up`, `down`, `left`, `right`, `home`, `end`,
   * `page-up`, `page-down`, `insert`, or a letter with `ctrl-` or `alt-` before it; both may stand before the others.
   */
  | { readonly type: "press"; readonly name: string };

const ESCAPE = 0x1b;
const BELL = 0x07;
const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const DELETE = 0x7f;
const PASTE_END = "\x1b[201~";
/** No sequence that means something is longer; the rest of one is dropped. */
const SEQUENCE_LIMIT = 64;

/** What must not become text: C0 and C1 but newline and tab. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Keys by the last letter of their sequence. */
const BY_LETTER: Readonly<Record<string, string>> = {
  ...{ A: "up", B: "down", C: "right", D: "left", H: "home", F: "end", Z: "shift-tab" },
};
/** Keys by the number before the tilde. */
const BY_NUMBER: Readonly<Record<string, string>> = {
  ...{ 1: "home", 7: "home", 4: "end", 8: "end", 2: "insert", 3: "delete" },
  ...{ 5: "page-up", 6: "page-down" },
};
/** What follows `ESC O`, beside the letters above: the keypad, and rxvt's arrows with Ctrl. */
const BY_KEYPAD: Readonly<Record<string, string>> = {
  ...{ M: "enter", a: "ctrl-up", b: "ctrl-down", c: "ctrl-right", d: "ctrl-left" },
};

/** Where in a sequence the decoder is. */
type Place =
  | "ground"
  /** Behind ESC. */
  | "escape"
  /** Behind `ESC [`: parameters, until a letter. */
  | "csi"
  /** Behind `ESC O`. */
  | "ss3"
  /** Behind `ESC [ [`: a function key of the Linux console. */
  | "console"
  /** In a report of the mouse of the oldest kind. */
  | "mouse"
  /** In an answer of any length: OSC, DCS and their like. */
  | "string"
  | "paste";

/** Decodes what one terminal sends. */
export class KeyDecoder {
  #place: Place = "ground";
  /** Of the sequence: what stands between its beginning and its last letter. */
  #sequence = "";
  #isAlt = false;
  /** Bytes of the mouse that are still to come. */
  #left = 0;
  /** How much of the end of a paste has come. */
  #matched = 0;
  /** The last byte of the paste was a carriage return: a line feed behind it is the same line break. */
  #wasReturn = false;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Bytes of text that are not decoded yet. */
  #letters: number[] = [];
  #keys: Key[] = [];

  /**
   * Takes a piece. `isAhead`: it was typed before raw mode, line by line: each line feed in it is an Enter.
   */
  push(bytes: Uint8Array, isAhead = false): readonly Key[] {
    // The end of a paste may never come. Whoever presses Ctrl-C gets the keyboard back.
    if (this.#place === "paste" && bytes.length === 1 && bytes[0] === 0x03) this.#endPaste();
    else for (let at = 0; at < bytes.length; at++) at += this.#take(bytes, at, isAhead);
    this.#flush(false);
    return this.#handOver();
  }

  /** What is begun: a key that may be Escape alone, or a sequence whose rest must come soon. */
  get pending(): "escape" | "sequence" | undefined {
    if (this.#place === "ground" || this.#place === "paste") return undefined;
    return this.#place === "escape" ? "escape" : "sequence";
  }

  /** Nothing more came for a while: what is begun is over. */
  expire(): readonly Key[] {
    if (this.pending === undefined) return [];
    if (this.#place === "escape") this.#press("escape");
    this.#reset();
    return this.#handOver();
  }

  #handOver(): readonly Key[] {
    const keys = this.#keys;
    this.#keys = [];
    return keys;
  }

  /** Takes a byte; returns how many more it took. */
  #take(bytes: Uint8Array, at: number, isAhead: boolean): number {
    const byte = bytes[at]!;
    switch (this.#place) {
      case "paste":
        this.#paste(byte);
        return 0;
      case "mouse":
        if (--this.#left === 0) this.#reset();
        return 0;
      case "string":
        if (byte === BELL) this.#reset();
        else if (byte < 0x20) return this.#restart(bytes, at, isAhead);
        return 0;
      case "escape":
        return this.#afterEscape(bytes, at, isAhead);
      case "console":
      case "csi":
      case "ss3":
        // No letter of a sequence: somebody pressed a key before its end came.
        if (byte < 0x20 || byte >= DELETE) return this.#restart(bytes, at, isAhead);
        this.#inSequence(String.fromCharCode(byte));
        return 0;
      case "ground":
        return this.#onGround(bytes, at, isAhead);
      default:
        this.#place satisfies never;
        return 0;
    }
  }

  /** What was begun will not end: the byte stands for itself. */
  #restart(bytes: Uint8Array, at: number, isAhead: boolean): number {
    this.#reset();
    return this.#onGround(bytes, at, isAhead);
  }

  #onGround(bytes: Uint8Array, at: number, isAhead: boolean): number {
    const byte = bytes[at]!;
    if (byte >= 0x20 && byte !== DELETE) {
      this.#letters.push(byte);
      return 0;
    }
    this.#flush(true);
    if (byte === ESCAPE) {
      this.#place = "escape";
      return 0;
    }
    if (byte !== RETURN && byte !== LINE_FEED) {
      this.#press(nameOfControl(byte));
      return 0;
    }
    const isPair = byte === RETURN && bytes[at + 1] === LINE_FEED;
    if (!(isAhead && byte === LINE_FEED) && textFollows(bytes, at)) {
      this.#keys.push({ type: "break" });
    } else this.#press("enter");
    return isPair ? 1 : 0;
  }

  #afterEscape(bytes: Uint8Array, at: number, isAhead: boolean): number {
    const byte = bytes[at]!;
    const isAlt = this.#isAlt;
    switch (byte) {
      case ESCAPE:
        this.#isAlt = true;
        return 0;
      case 0x5b: // [
        this.#place = "csi";
        return 0;
      case 0x4f: // O
        this.#place = "ss3";
        return 0;
      case 0x5d: // ]
      case 0x50: // P
      case 0x58: // X
      case 0x5e: // ^
      case 0x5f: // _
        this.#place = "string";
        return 0;
    }
    this.#reset();
    if (byte === RETURN) this.#press("alt-enter");
    else if (byte === DELETE || byte === 0x08) this.#press("alt-backspace");
    // Some other key behind Escape, such as Ctrl-C, or a letter that is no ASCII.
    else if (byte < 0x20 || byte > DELETE) return this.#onGround(bytes, at, isAhead);
    // The end of an answer, `ESC \`, is none.
    else if (byte !== 0x5c || isAlt) this.#press(`alt-${String.fromCharCode(byte)}`);
    return 0;
  }

  #inSequence(letter: string): void {
    const sequence = this.#sequence;
    const place = this.#place;
    if (place === "csi" && sequence === "" && letter === "[") {
      this.#place = "console";
      return;
    }
    // Parameters and what stands between them and the last letter.
    if (place !== "console" && letter < "@") {
      if (sequence.length < SEQUENCE_LIMIT) this.#sequence += letter;
      return;
    }
    const isAlt = this.#isAlt;
    this.#reset();
    if (place === "console") return;
    if (place === "csi" && letter === "M" && sequence === "") {
      this.#place = "mouse";
      this.#left = 3;
    } else if (place === "csi" && letter === "~" && sequence === "200") {
      this.#place = "paste";
      this.#wasReturn = false;
    } else {
      const name = place === "csi"
        ? nameOfSequence(sequence, letter)
        : BY_LETTER[letter] ?? BY_KEYPAD[letter];
      if (name !== undefined) this.#press(isAlt ? `alt-${name}` : name);
    }
  }

  #paste(byte: number): void {
    if (byte === PASTE_END.charCodeAt(this.#matched)) {
      if (++this.#matched === PASTE_END.length) this.#endPaste();
      return;
    }
    // It was not the end, and what looked like it is text, but for the escape.
    for (let i = 1; i < this.#matched; i++) this.#letters.push(PASTE_END.charCodeAt(i));
    this.#matched = byte === ESCAPE ? 1 : 0;
    if (byte === ESCAPE) return;
    const follows = byte === LINE_FEED && this.#wasReturn;
    this.#wasReturn = byte === RETURN;
    if (!follows) this.#letters.push(byte === RETURN ? LINE_FEED : byte);
  }

  #endPaste(): void {
    this.#flush(true);
    this.#reset();
    this.#keys.push({ type: "pasted" });
  }

  /** Makes keys of the letters; `isWhole`: no further byte belongs to the last of them. */
  #flush(isWhole: boolean): void {
    const decoded = this.#decoder.decode(new Uint8Array(this.#letters), { stream: !isWhole });
    this.#letters = [];
    const text = decoded.replace(CONTROLS, "");
    if (text !== "") this.#keys.push({ type: this.#place === "paste" ? "paste" : "text", text });
  }

  #press(name: string): void {
    this.#keys.push({ type: "press", name });
  }

  #reset(): void {
    this.#place = "ground";
    this.#sequence = "";
    this.#isAlt = false;
    this.#matched = 0;
  }
}

/** Whether behind the ends of lines at `at` a letter came at the same time. */
function textFollows(bytes: Uint8Array, at: number): boolean {
  while (bytes[at] === RETURN || bytes[at] === LINE_FEED) at++;
  const byte = bytes[at];
  return byte !== undefined && (byte >= 0x20 && byte !== DELETE || byte === TAB);
}

function nameOfControl(byte: number): string {
  if (byte === TAB) return "tab";
  if (byte === DELETE || byte === 0x08) return "backspace";
  return `ctrl-${String.fromCharCode(byte + 0x40).toLowerCase()}`;
}

/** The key of a sequence such as `1;5C`; undefined when it is none. */
function nameOfSequence(parameters: string, letter: string): string | undefined {
  if (!/^[\d;]*$/.test(parameters)) return undefined;
  const [number = "", modifiers = "1"] = parameters.split(";");
  const name = letter === "~" ? BY_NUMBER[number] : BY_LETTER[letter];
  if (name === undefined) return undefined;
  const held = Number(modifiers) - 1;
  return `${held & 4 ? "ctrl-" : ""}${held & 2 ? "alt-" : ""}${name}`;
}
