import { assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { type Key, KeyDecoder } from "../../lib/cli/key_decoder.ts";

/** Pieces, and between them `null` where nothing came for a while; the keys as they are easy to read. */
function decode(pieces: readonly (string | Uint8Array | null)[], isAhead = false): string {
  const decoder = new KeyDecoder();
  const keys = pieces.flatMap((piece) =>
    piece === null
      ? decoder.expire()
      : decoder.push(typeof piece === "string" ? encodeUtf8(piece) : piece, isAhead)
  );
  return shown(keys);
}

function shown(keys: readonly Key[]): string {
  const words: string[] = [];
  let last: string | undefined;
  for (const key of keys) {
    const isText = key.type === "text" || key.type === "paste";
    const open = key.type === "text" ? "'" : '"';
    // Where a text is cut into keys means nothing.
    if (isText && last === key.type) words.push(`${words.pop()!.slice(0, -1)}${key.text}${open}`);
    else if (isText) words.push(`${open}${key.text}${open}`);
    else words.push(key.type === "press" ? key.name : `<${key.type}>`);
    last = key.type;
  }
  return words.join(" ");
}

/** What a terminal sends, and what it means. */
const TABLE: Readonly<Record<string, string>> = {
  "abc": "'abc'",
  "ñ你👩‍🚀e\u0301": "'ñ你👩‍🚀e\u0301'",
  "a\rb": "'a' <break> 'b'",
  "a\r": "'a' enter",
  "\r\r": "enter enter",
  "a\r\n": "'a' enter",
  "a\r\r\n\tb\r": "'a' <break> <break> tab 'b' enter",
  "a\r\x1b[A": "'a' enter up",
  "\x01\x02\x05\x06\x0b\x0c\x15\x17\x19\x1a\x12":
    "ctrl-a ctrl-b ctrl-e ctrl-f ctrl-k ctrl-l ctrl-u ctrl-w ctrl-y ctrl-z ctrl-r",
  "\t\x08\x7f\x03\x04": "tab backspace backspace ctrl-c ctrl-d",
  "\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F": "up down right left home end",
  "\x1bOA\x1bOB\x1bOC\x1bOD\x1bOH\x1bOF\x1bOM": "up down right left home end enter",
  "\x1b[1~\x1b[4~\x1b[7~\x1b[8~\x1b[3~\x1b[2~\x1b[5~\x1b[6~":
    "home end home end delete insert page-up page-down",
  "\x1b[1;5C\x1b[1;3D\x1b[1;2A\x1b[3;5~\x1b[Z\x1bOc":
    "ctrl-right alt-left up ctrl-delete shift-tab ctrl-right",
  "\x1bb\x1bf\x1bd\x1b\x7f\x1b\r\x1b\x1b[D": "alt-b alt-f alt-d alt-backspace alt-enter alt-left",
  // Function keys of all kinds, the Linux console's among them.
  "\x1b[15~\x1bOP\x1b[[Aa\x1b[24;5~": "'a'",
  // Reports of a mouse, old and new, of the focus, and answers of the terminal.
  "\x1b[M !!a\x1b[<0;12;40M\x1b[<0;12;40mb\x1b[Ic\x1b[O": "'abc'",
  "\x1b[24;80Ra\x1b[?62;22cb\x1b[>41;330;0cc\x1b[?2004;1$yd\x1b[0ne\x1b[8;24;80tf": "'abcdef'",
  "\x1b]11;rgb:ffff/ffff/ffff\x07a\x1b]10;rgb:0/0/0\x1b\\b\x1bP>|tmux 3.3a\x1b\\c\x1b_Gi=1;OK\x1b\\d":
    "'abcd'",
  "\x1b[13;2u\x1b[27;5;13~\x1b[999999999999;1;1;1Qa": "'a'",
  // Whoever presses a key in the middle of something gets it.
  "\x1b[1;\x03": "ctrl-c",
  "\x1b]11;rgb\ra": "<break> 'a'",
  "\x1b]\r": "enter",
  "\x1b[\x1b[A": "up",
  "\x1bñ": "'ñ'",
  "\x00\x1c\x1d\x1e\x1fa": "ctrl-@ ctrl-\\ ctrl-] ctrl-^ ctrl-_ 'a'",
  "a\u009bb\u0085c": "'abc'",
  // Pastes.
  "\x1b[200~one\r\ntwo\rthree\nfour\tx\x1b[201~\r": '"one\ntwo\nthree\nfour\tx" <pasted> enter',
  "\x1b[200~/quit\r\x1b[201~": '"/quit\n" <pasted>',
  "\x1b[200~\x03\x1a\x04\x00\x1b[31mred\x1b\x1b[2J\x9b\x7f\x1b[201~": '"[31mred[2J" <pasted>',
  "\x1b[200~\r\n\r\n\n\x1b[201~x": "\"\n\n\n\" <pasted> 'x'",
  "\x1b[200~a\x1b[201b\x1b[201~\x1b[200~\x1b[201~": '"a[201b" <pasted> <pasted>',
  "\x1b[201~a": "'a'",
};

Deno.test("KeyDecoder makes keys of what terminals send, and swallows what is none", () => {
  for (const [bytes, keys] of Object.entries(TABLE)) {
    assertEquals(decode([bytes]), keys, JSON.stringify(bytes));
  }
});

Deno.test("KeyDecoder makes the same keys however the bytes are cut", () => {
  for (const [text, keys] of Object.entries(TABLE)) {
    // A line break of a paste that is not marked can only be told by what comes with it.
    if (keys.includes("<break>") || text.includes("\r\n\x1b") || text === "a\r\n") continue;
    const bytes = encodeUtf8(text);
    for (let at = 0; at <= bytes.length; at++) {
      const pieces = [bytes.subarray(0, at), bytes.subarray(at)];
      if (pieces[1]!.length === 1 && pieces[1]![0] === 3) continue;
      assertEquals(decode(pieces), keys, `${JSON.stringify(text)} at ${at}`);
    }
    const single = Array.from(bytes, (byte) => new Uint8Array([byte]));
    if (text.includes("200~")) continue;
    assertEquals(decode(single), keys, JSON.stringify(text));
  }
});

Deno.test("KeyDecoder takes Escape for a key of its own when nothing follows it for a while", () => {
  assertEquals(decode(["\x1b", null]), "escape");
  assertEquals(decode(["\x1b", "[A"]), "up");
  assertEquals(decode(["\x1b", null, "a"]), "escape 'a'");
  // What was begun and does not end is dropped; the keyboard lives.
  assertEquals(decode(["\x1b[1;", null, "a"]), "'a'");
  assertEquals(decode(["\x1b]11;rgb", null, "a"]), "'a'");
  assertEquals(decode(["\x1b[M", null, "a"]), "'a'");
  assertEquals(decode(["a", null]), "'a'");
  const decoder = new KeyDecoder();
  const pending = (piece: string) => {
    decoder.push(encodeUtf8(piece));
    return decoder.pending;
  };
  assertEquals(pending("a"), undefined);
  assertEquals(pending("\x1b"), "escape");
  assertEquals(pending("["), "sequence");
  assertEquals(pending("A"), undefined);
});

Deno.test("a paste has no end but its own, and Ctrl-C pressed alone", () => {
  assertEquals(
    decode(["\x1b[200~a", null, "b\r", "\x1b", null, "[201~c"]),
    "\"ab\n\" <pasted> 'c'",
  );
  assertEquals(decode(["\x1b[200~a", "\x03", "b"]), "\"a\" <pasted> 'b'");
  assertEquals(decode(["\x1b[200~a", "\x03b", "\x1b[201~"]), '"ab" <pasted>');
});

Deno.test("lines that were typed before raw mode are each entered", () => {
  assertEquals(decode(["one\ntwo\nthr"], true), "'one' enter 'two' enter 'thr'");
  assertEquals(decode(["one\ntwo\n"]), "'one' <break> 'two' enter");
  assertEquals(decode(["one\rtwo\r"], true), "'one' <break> 'two' enter");
});

Deno.test("what is no UTF-8 becomes replacement marks, and a letter may come in pieces", () => {
  assertEquals(decode([new Uint8Array([0x61, 0xf1, 0x0d])]), "'a\ufffd' enter");
  const [first, ...rest] = encodeUtf8("你");
  assertEquals(decode([new Uint8Array([first!]), new Uint8Array(rest)]), "'你'");
  assertEquals(
    decode(["\x1b[200~", new Uint8Array([first!]), new Uint8Array(rest), "\x1b[201~"]),
    '"你" <pasted>',
  );
});
