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

Deno.test("a key that is half a character is unknown and not repeated", () => {
  const { line } = readObject('{"to":"bob","text":"x","\\ud800":1}', undefined);
  assertEquals(line, {
    type: "wrong",
    reason: "Not done: unknown key; there are text, to, ref",
  });
});
