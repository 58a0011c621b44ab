import { assertEquals } from "@std/assert";
import { closest } from "../../lib/cli/closest.ts";

const KNOWN = ["name", "server", "server-key", "receive-port", "no-relay"];

Deno.test("closest() finds a word with a letter missing, too many, wrong, or swapped", () => {
  for (const typed of ["nme", "namee", "nbme", "nmae"]) assertEquals(closest(typed, KNOWN), "name");
  assertEquals(closest("sever", KNOWN), "server");
  assertEquals(closest("recieve-prot", KNOWN), "receive-port");
});

Deno.test("closest() takes the nearest, and a beginning for the whole", () => {
  assertEquals(closest("server-kay", KNOWN), "server-key");
  assertEquals(closest("serve", KNOWN), "server");
  assertEquals(closest("rec", KNOWN), "receive-port");
  assertEquals(closest("no-", KNOWN), "no-relay");
});

Deno.test("closest() finds nothing for what is far from all, short or endless", () => {
  for (const typed of ["", "n", "xyz", "nxyz", "port", "x".repeat(65), "name".repeat(1000)]) {
    assertEquals(closest(typed, KNOWN), undefined, typed);
  }
  assertEquals(closest("name", []), undefined);
});
