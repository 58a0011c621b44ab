import { assert, assertEquals } from "@std/assert";
import { sanitize, StreamSanitizer } from "../../lib/cli/sanitize.ts";

const CASES: Readonly<Record<string, readonly [string, string]>> = {
  "plain text": ["hello, world", "hello, world"],
  "newline and tab": ["a\nb\tc", "a\nb\tc"],
  "carriage return": ["a\rb", "ab"],
  "Windows newline": ["a\r\nb", "a\nb"],
  "colour (CSI)": ["\x1b[31mred\x1b[0m", "[31mred[0m"],
  "clear screen (CSI)": ["\x1b[2J\x1b[H", "[2J[H"],
  "clipboard (OSC 52)": ["\x1b]52;c;ZXZpbA==\x07", "]52;c;ZXZpbA=="],
  "link (OSC 8)": ["\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "]8;;http://evil\\text]8;;\\"],
  "title (OSC 0)": ["\x1b]0;title\x07", "]0;title"],
  "device control (DCS)": ["\x1bP+q544e\x1b\\", "P+q544e\\"],
  "bell": ["a\x07b", "ab"],
  "backspace": ["rm\b\bls", "rmls"],
  "delete": ["a\x7fb", "ab"],
  "NUL": ["a\0b", "ab"],
  "vertical tab and form feed": ["a\x0b\x0cb", "ab"],
  "C1 CSI": ["\x9b31mred", "31mred"],
  "C1 OSC and ST": ["\x9d52;c;x\x9c", "52;c;x"],
  "next line (C1)": ["a\x85b", "ab"],
  "right-to-left override": ["user\u202etxt.exe", "user\\u{202e}txt.exe"],
  "embeddings": ["\u202a\u202b\u202c\u202d", "\\u{202a}\\u{202b}\\u{202c}\\u{202d}"],
  "isolates": ["\u2066\u2067\u2068\u2069", "\\u{2066}\\u{2067}\\u{2068}\\u{2069}"],
  "direction marks": ["\u200e\u200f\u061c", "\\u{200e}\\u{200f}\\u{61c}"],
  "zero width space": ["pay\u200bpal", "pay\\u{200b}pal"],
  "zero width non-joiner and joiner": ["a\u200cb\u200dc", "a\\u{200c}b\\u{200d}c"],
  "word joiner and byte order mark": ["a\u2060b\ufeffc", "a\\u{2060}b\\u{feff}c"],
  "line and paragraph separators": ["a\u2028b\u2029c", "a\\u{2028}b\\u{2029}c"],
  "tag characters": ["a\u{e0041}b", "a\\u{e0041}b"],
  "annotation": ["\ufff9a\ufffa", "\\u{fff9}a\\u{fffa}"],
  "accents and letters of the world": ["ñ é ü 漢字 العربية עברית", "ñ é ü 漢字 العربية עברית"],
  "combining accent": ["e\u0301", "e\u0301"],
  "emoji": ["🙂👍🏽❤️🇲🇽", "🙂👍🏽❤️🇲🇽"],
  "emoji joined": ["👩‍👩‍👧‍👦 👩🏽‍🚀 ❤️‍🔥", "👩‍👩‍👧‍👦 👩🏽‍🚀 ❤️‍🔥"],
  "a joiner beside one emoji alone": ["🙂\u200da", "🙂\\u{200d}a"],
  "two joiners between emoji": ["👩\u200d\u200d👧", "👩\\u{200d}\\u{200d}👧"],
};

for (const [what, [text, expected]] of Object.entries(CASES)) {
  Deno.test(`sanitize() makes harmless: ${what} (A22, L1)`, () => {
    assertEquals(sanitize(text), expected);
    assertEquals(sanitize(sanitize(text)), expected);
  });
}

Deno.test("sanitize() leaves no control character in anything", () => {
  let everything = "";
  for (let code = 0; code < 0x3000; code++) everything += String.fromCodePoint(code);
  for (const mark of sanitize(everything)) {
    const code = mark.codePointAt(0)!;
    const harmless = code === 9 || code === 10 || (code >= 32 && code < 127) || code >= 160;
    assert(harmless, `U+${code.toString(16)}`);
  }
});

Deno.test("sanitize() takes a line of 10 MB in its stride (L1)", () => {
  const start = performance.now();
  assertEquals(sanitize("\x1b[31m".repeat(2_000_000)).length, 8_000_000);
  assertEquals(sanitize("👩\u200d".repeat(1_000_000)).startsWith("👩"), true);
  assert(performance.now() - start < 5000);
});

Deno.test("StreamSanitizer is the same for every way to cut a stream", () => {
  const text = "a\x1b[31mñ🙂\r\nb\u202ec\x9bd";
  const bytes = new TextEncoder().encode(text);
  for (let size = 1; size <= bytes.length; size++) {
    const sanitizer = new StreamSanitizer();
    let out = "";
    for (let at = 0; at < bytes.length; at += size) {
      out += sanitizer.push(bytes.slice(at, at + size));
    }
    assertEquals(out, sanitize(text), `pieces of ${size}`);
  }
});

Deno.test("StreamSanitizer shows bytes that are not UTF-8 as replacement marks", () => {
  const out = new StreamSanitizer().push(new Uint8Array([97, 0xff, 0xc0, 0x80, 0x9b, 98]));
  assert(/^a\ufffd+b$/.test(out));
});
