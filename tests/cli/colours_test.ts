import { assert, assertEquals } from "@std/assert";
import { colourOf, FAINT, wantsColours } from "../../lib/cli/colours.ts";
import { page, paintStart } from "../../lib/cli/page.ts";

Deno.test("wantsColours() obeys the choice, and otherwise the terminal and NO_COLOR", () => {
  const place = { isTerminal: true, isDumb: false, noColor: undefined };
  assert(wantsColours("auto", place));
  assert(wantsColours("auto", { ...place, noColor: "" }));
  assert(!wantsColours("auto", { ...place, noColor: "1" }));
  assert(!wantsColours("auto", { ...place, isTerminal: false }));
  assert(!wantsColours("auto", { ...place, isDumb: true }));
  assert(wantsColours("always", { isTerminal: false, isDumb: true, noColor: "1" }));
  assert(!wantsColours("never", place));
});

Deno.test("a name has one colour, and what somebody says brings none", () => {
  assertEquals(colourOf("bob"), colourOf("bob"));
  const layout = { columns: 80, indent: "   " };
  const shown = page("10:03 bob: ", "\x1b[31mred\x1b[0m\nbob: more", layout);
  assertEquals(
    paintStart(shown, [["10:03 ", FAINT], ["bob", "36"]]),
    "\x1b[2m10:03 \x1b[0m\x1b[36mbob\x1b[0m: [31mred[0m\n   bob: more",
  );
});

Deno.test("a name that is broken by the end of a row stays without colour", () => {
  const shown = page("10:03 alexandria-of-egypt: ", "hi", { columns: 20, indent: "   " });
  assertEquals(paintStart(shown, [["10:03 ", FAINT], ["alexandria-of-egypt", "36"]]), shown);
});
