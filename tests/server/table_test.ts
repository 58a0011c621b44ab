import { assertEquals } from "@std/assert";
import { tableLines } from "../../lib/server/table.ts";

Deno.test("tableLines() makes each column as wide as its widest cell, and no line wider than it must be", () => {
  assertEquals(tableLines([]), []);
  assertEquals(tableLines([["NAME", "SINCE"], ["a", ""], ["bartholomew", "now"]]), [
    "NAME         SINCE",
    "a",
    "bartholomew  now",
  ]);
});
