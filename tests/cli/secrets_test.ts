import { assertEquals, assertThrows } from "@std/assert";
import { SecretLine } from "../../lib/cli/secret_line.ts";
import { CifraError } from "../../lib/errors.ts";
import { PASSWORD_LIMIT } from "../../lib/limits.ts";

/** Types a text, and says how it went on after the last byte. */
function type(line: SecretLine, text: string): string {
  let how = "";
  for (const byte of new TextEncoder().encode(text)) how = line.push(byte);
  return how;
}

function typed(text: string): string {
  const line = new SecretLine();
  assertEquals(type(line, text), "done", JSON.stringify(text));
  return line.take();
}

Deno.test("a secret line is what was typed, as far as it was not taken back", () => {
  const lines: Readonly<Record<string, string>> = {
    "abc\r": "abc",
    "abc\n": "abc",
    "\r": "",
    "a b  c \r": "a b  c ",
    "abd\x7fc\r": "abc",
    "abd\x08c\r": "abc",
    "\x7f\x7fabc\r": "abc",
    "ñandú\r": "ñandú",
    "ñandúú\x7f\r": "ñandú",
    "pass👩‍🚀\x7f\x7f\x7f\r": "pass",
    "wrong\x15right\r": "right",
    "\x15\x15\r": "",
    // Tab, Ctrl-A, Ctrl-Z and NUL are no letters; Ctrl-D with something typed is none either.
    "a\tb\x01c\x1a\x00\x04\r": "abc",
    // Arrows, Home, F5, Delete, Alt-x, and an escape key before the end.
    "ab\x1b[D\x1b[1;5C\x1bOH\x1b[15~\x1b[3~\x1bxc\r": "abc",
    "abc\x1b\r": "abc",
    "abc\x1b[\r": "abc",
    "abc\x1b\x1b[D\r": "abc",
  };
  for (const [text, line] of Object.entries(lines)) assertEquals(typed(text), line, text);
});

Deno.test("a secret line ends by Ctrl-C and, when it is empty, by Ctrl-D", () => {
  assertEquals(type(new SecretLine(), "half\x03"), "interrupt");
  assertEquals(type(new SecretLine(), "half\x04"), "more");
  assertEquals(type(new SecretLine(), "\x04"), "end");
  assertEquals(type(new SecretLine(), "gone\x15\x04"), "end");
  // Also in the middle of a key that sends several bytes.
  assertEquals(type(new SecretLine(), "half\x1b[\x03"), "interrupt");
});

Deno.test("a secret line is text of a bounded length", () => {
  assertEquals(typed(`${"x".repeat(PASSWORD_LIMIT)}\r`).length, PASSWORD_LIMIT);
  const long = new SecretLine();
  type(long, `${"x".repeat(100_000)}\r`);
  assertEquals(assertThrows(() => long.take(), CifraError).code, "usage");
  const latin = new SecretLine();
  for (const byte of [0x61, 0xf1, 0x0d]) latin.push(byte);
  assertEquals(assertThrows(() => latin.take(), CifraError).code, "usage");
});
