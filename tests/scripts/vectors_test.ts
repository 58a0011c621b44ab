/** The scripts that write the test vectors. */
import { assertEquals } from "@std/assert";
import { makeAllFiles } from "../../scripts/vectors.ts";

Deno.test("every file of vectors is what its script writes", async () => {
  for (const [url, text] of await makeAllFiles()) {
    const shown = url.pathname.split("/tests/").at(-1);
    assertEquals(await Deno.readTextFile(url), text, `run: deno task vectors (${shown})`);
  }
});
