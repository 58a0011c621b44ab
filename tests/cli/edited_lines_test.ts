/** Lines as the terminal edits them: what was shown, or nothing. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { EditedLines } from "../../lib/cli/edited_lines.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function linesOf(...pieces: readonly (string | Uint8Array<ArrayBuffer>)[]) {
  const edited = new EditedLines();
  return pieces.flatMap((piece) =>
    edited.push(typeof piece === "string" ? encode(piece) : piece, 0).map(({ at: _, ...line }) =>
      line
    )
  );
}

Deno.test("a line is taken as it was shown, however it was handed over", () => {
  assertEquals(linesOf("hello\n"), [{ text: "hello" }]);
  assertEquals(linesOf("one\ntwo\n\n"), [{ text: "one" }, { text: "two" }, { text: "" }]);
  assertEquals(linesOf("Windows\r\n"), [{ text: "Windows" }]);
  // Ctrl-D in the middle of it, and in the middle of a letter.
  assertEquals(linesOf("ha", "lf", "\n"), [{ text: "half" }]);
  const letter = encode("ñ");
  assertEquals(linesOf(letter.slice(0, 1), letter.slice(1), "\n"), [{ text: "ñ" }]);
  assertEquals(linesOf("no end"), []);
  assertEquals(linesOf("a\tb  你好 👩‍🚀 \\\n"), [{ text: "a\tb  你好 👩‍🚀 \\" }]);
});

Deno.test("a line with a key in it is none, whatever key and wherever it stands", () => {
  const keys = {
    "\x1b[A\x1b[Ahello": "^[",
    "hello\x1b[D": "^[",
    "\x1b[200~/quit\x1b[201~": "^[",
    "\x1b": "^[",
    "\x1b]2;title\x07": "^[",
    "a\x01b": "^A",
    "\x0b": "^K",
    "\x00": "^@",
    "x\x7f": "^?",
    "typed before it was shown\rx": "^M",
  };
  for (const [typed, shown] of Object.entries(keys)) {
    const [line, ...more] = linesOf(`${typed}\n`);
    assertEquals([line!.text, more], ["", []], JSON.stringify(typed));
    assertStringIncludes(line!.problem!, `shown as ${shown} `);
  }
  assertEquals(linesOf("\u009b31mX\n")[0]!.text, "");
});

Deno.test("what is no text is no line, and the next one is", () => {
  const [line, next] = linesOf(Uint8Array.of(0x61, 0xff, 0x0a), "next\n");
  assertEquals([line!.text, next], ["", { text: "next" }]);
  assertStringIncludes(line!.problem!, "UTF-8");
});

Deno.test("a line as long as a terminal takes may have lost its end", () => {
  assertEquals(linesOf(`${"x".repeat(4094)}\n`)[0]!.problem, undefined);
  const [line] = linesOf(`${"x".repeat(4095)}\n`);
  assertEquals(line, {
    text: "",
    problem: "the terminal takes no more than 4094 bytes in a line",
  });
});

Deno.test("what has no end yet can be forgotten", () => {
  const edited = new EditedLines();
  edited.push(encode("y"), 0);
  edited.forget();
  assertEquals(edited.push(encode("es\n"), 0).map(({ text }) => text), ["es"]);
});
