/** Objects of a program: what each says, or why it says nothing. */
import { assertEquals } from "@std/assert";
import { readObject } from "../../lib/cli/json_input.ts";

/** What a line is called, or why it was not read. */
function refOf(written: string): unknown {
  const { line, ref } = readObject(`{"to":"bob","text":"x","ref":${written}}`, undefined);
  return line.type === "wrong" ? line.reason : ref;
}

Deno.test("a ref comes back as it was written, or the line is refused", () => {
  for (const ref of [0, -1, 2 ** 53 - 1, 0.5, "", "r".repeat(256), "👩‍🚀"]) {
    assertEquals(refOf(JSON.stringify(ref)), ref);
  }
  const number = 'Not done: "ref" must be a number within 9007199254740991: others do not come ' +
    "back as they are";
  const half = 'Not done: "ref" has half a character in it';
  const other = 'Not done: "ref" must be a number, or a text of at most 256 characters';
  const wrong = {
    ...{ "1e999": number, "-1e999": number, "9007199254740993": number },
    ...{ '"\\ud800"': half, '"a\\udc00"': half },
    ...{ [`"${"r".repeat(257)}"`]: other, "null": other, "{}": other, "[1]": other, "true": other },
  };
  for (const [ref, why] of Object.entries(wrong)) assertEquals(refOf(ref), why, ref);
});

Deno.test("words of being away are a text, and nothing else takes one", () => {
  const read = (object: unknown) => {
    const { line } = readObject(JSON.stringify(object), undefined);
    return line.type === "wrong" ? line.reason : line.type === "command" ? line.text : line.type;
  };
  // What looks like a command is none in a text.
  for (const text of ["back at two", "", "/quit"]) assertEquals(read({ do: "away", text }), text);
  assertEquals(read({ do: "away" }), undefined);
  assertEquals(read({ do: "away", text: 2 }), 'Not done: "text" must be a text');
  assertEquals(read({ do: "away", with: "bob" }), 'Not done: "away" is about nobody');
  for (const deed of ["back", "to", "retract", "accept"]) {
    assertEquals(read({ do: deed, text: "x" }), `Not done: "${deed}" takes no "text"`);
  }
});

Deno.test("a key that is half a character is unknown and not repeated", () => {
  const { line } = readObject('{"to":"bob","text":"x","\\ud800":1}', undefined);
  assertEquals(line, {
    type: "wrong",
    reason: "Not done: unknown key; there are text, to, ref",
  });
});

Deno.test("what a command takes beside a name has a key of its own, and must be what that is for", () => {
  const read = (text: string) => {
    const { line } = readObject(text, "bob");
    return line.type === "command" ? line.text : line.type === "wrong" ? line.reason : "";
  };
  const cases = {
    '{"do":"send-file","path":"/a b"}': "/a b",
    '{"do":"take","transfer":"3f2a"}': "3f2a",
    '{"do":"take"}': "",
    '{"do":"retract","number":7}': "7",
    '{"do":"send-file"}': 'Not done: "send-file" needs a "path"',
    '{"do":"send-file","path":7}': 'Not done: "path" must be the path of a file or folder',
    '{"do":"take","transfer":"x"}':
      'Not done: "transfer" must be the id of a transfer, or its beginning',
    '{"do":"take","path":"/a"}': 'Not done: "take" takes no "path"',
    '{"do":"transfers","number":1}': 'Not done: "transfers" takes no "number"',
    '{"do":"retract","number":"7"}': 'Not done: "number" must be that of a message',
  };
  for (const [text, expected] of Object.entries(cases)) assertEquals(read(text), expected, text);
});
