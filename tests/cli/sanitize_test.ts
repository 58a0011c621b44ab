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
  "soft hyphen": ["pay\u00adpal", "pay\\u{ad}pal"],
  "non-joiner in Latin letters": ["pay\u200cpal", "pay\\u{200c}pal"],
  "non-joiner between two scripts": ["a\u200c\u0645", "a\\u{200c}\u0645"],
  "two non-joiners in Persian": ["\u0645\u200c\u200c\u0631", "\u0645\\u{200c}\\u{200c}\u0631"],
  "fillers of Hangul": ["a\u3164b\u115fc\uffa0", "a\\u{3164}b\\u{115f}c\\u{ffa0}"],
  "a Braille pattern without a dot": ["a\u2800b", "a\\u{2800}b"],
  "a joiner of graphemes": ["a\u034fb", "a\\u{34f}b"],
  "a vowel of Khmer that is not drawn": ["a\u17b4", "a\\u{17b4}"],
  "half a character": ["a\ud800b", "a\\u{d800}b"],
  "a selector behind a letter": ["pay\ufe0fpal", "pay\\u{fe0f}pal"],
  "a selector behind a digit": ["pay1\ufe0fpal", "pay1\\u{fe0f}pal"],
  "two selectors behind an emoji": ["\u2764\ufe0f\ufe0f", "\u2764\ufe0f\\u{fe0f}"],
  "a selector of forms behind Latin": ["a\u{e0100}", "a\\u{e0100}"],
  "tags behind another flag": [
    "\u{1f3f4}\u{e0075}\u{e0073}\u{e007f}",
    "\u{1f3f4}\\u{e0075}\\u{e0073}\\u{e007f}",
  ],
  "tags behind a flag of England": [
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}\u{e0061}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}\\u{e0061}",
  ],
  "two hundred marks on one letter": [
    "a" + "\u0301".repeat(200),
    "a" + "\u0301".repeat(8) + "\ufffd",
  ],
  "marks of direction in Latin": ["a\u200e(b)\u200f", "a\\u{200e}(b)\\u{200f}"],
  "an isolate that is not closed": ["\u05d0\u2067x", "\u05d0\\u{2067}x"],
  "an isolate that is closed in the next line": [
    "\u05d0\u2067x\n\u05d0\u2069",
    "\u05d0\\u{2067}x\n\u05d0\\u{2069}",
  ],
  "an override in Hebrew": ["\u05d0\u202ex\u202c", "\u05d0\\u{202e}x\\u{202c}"],
  "a mark of direction inside a Latin word": ["\u05d0 pay\u200epal", "\u05d0 pay\\u{200e}pal"],
  "two marks of direction": ["\u05d0 pay\u200e\u200epal", "\u05d0 pay\\u{200e}\\u{200e}pal"],
};

for (const [what, [text, expected]] of Object.entries(CASES)) {
  Deno.test(`sanitize() makes harmless: ${what} (A22, L1)`, () => {
    assertEquals(sanitize(text), expected);
    assertEquals(sanitize(sanitize(text)), expected);
  });
}

/** What people write: nothing of it may be touched. */
const NEEDED: Readonly<Record<string, string>> = {
  "Persian": "می\u200cروم و نمی\u200cخواهم",
  "Urdu": "آپ\u200cکا",
  "Hindi": "क्\u200dष और क्\u200cष",
  "Marathi": "दुसऱ्\u200dया",
  "Bengali": "র\u200d্যাব",
  "Sinhala": "ශ්\u200dරී ලංකාව",
  "Kannada": "ರಾಜ್\u200cಕುಮಾರ್",
  "Kannada, a joiner before the virama": "ರ\u200d್ಕ",
  "Malayalam": "അവന്\u200d വന്നു",
  "Arabic, with a mark of direction": "مرحبا C++\u200f!",
  "Hebrew, with a mark of direction": "שלום (A)\u200f.",
  "Hebrew, with a name in an isolate": "הקובץ \u2068notes.txt\u2069 כאן",
  "an Arabic letter mark": "\u061c1-2 مرحبا",
  "an Arabic numeral sign": "\u06dd١٢",
  "Hebrew with cantillation": "בְּרֵאשִׁ֖ית",
  "Vietnamese, in parts": "Vie\u0323\u0302t",
  "Thai": "ที่นี่",
  "Tibetan": "བསྒྲུབས",
  "Mongolian": "\u182e\u1823\u1829\u182d\u180b\u1823\u182f",
  "a form of a Chinese letter": "葛\u{e0100}城",
  "a family": "👩\u200d👩\u200d👧\u200d👦",
  "a heart, a key and a runner": "❤\ufe0f 1\ufe0f\u20e3 🏃🏽\u200d♂\ufe0f",
  "a flag with colours": "🏳\ufe0f\u200d🌈",
  "England": "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
  "Scotland": "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
  "Wales": "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}!",
};

for (const [what, text] of Object.entries(NEEDED)) {
  Deno.test(`sanitize() leaves alone what is needed: ${what}`, () => {
    assertEquals(sanitize(text), text);
    assertEquals(sanitize(`x ${text} y`), `x ${text} y`);
  });
}

Deno.test("sanitize() leaves nothing that cannot be seen between Latin letters", () => {
  for (let code = 0xa0; code <= 0x10ffff; code++) {
    const mark = String.fromCodePoint(code);
    if (!/[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]/u.test(mark)) continue;
    // Signs of numerals can be seen.
    if (/[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]/u.test(mark)) continue;
    assertEquals(sanitize(`a${mark}b`), `a\\u{${code.toString(16)}}b`);
  }
});

Deno.test("sanitize() of what it has made is the same, for any mixture", () => {
  const parts = [
    ..."a1 \n\tא\u0301\u200c\u200d\u200e\u200f\u061c\u2066\u2067\u2068\u2069\u202e\ufe0f",
    ...[
      "م",
      "क",
      "\u094d",
      "ശ",
      "👩",
      "🏽",
      "❤",
      "葛",
      "\u{e0100}",
      "\u{1f3f4}",
      "\u{e0067}",
      "\u{e007f}",
    ],
    ..."\x1b\x9b\r",
  ];
  let seed = 7;
  const next = () => (seed = (seed * 48271) % 0x7fffffff) % parts.length;
  for (let run = 0; run < 20_000; run++) {
    const text = Array.from({ length: 1 + next() % 12 }, () => parts[next()]).join("");
    const once = sanitize(text);
    assertEquals(sanitize(once), once, JSON.stringify(text));
  }
});

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
  for (const mark of ["👩\u200d", "م\u200c", "א\u2067", "א\u200f", "a\u0301".repeat(9), "\ufe0f"]) {
    assert(sanitize(mark.repeat(100_000)).length > 0);
  }
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
