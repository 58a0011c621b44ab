import { assertEquals, assertNotEquals } from "@std/assert";
import { passOf } from "../../lib/crypto/mailbox_pass.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { flipped } from "../testkit/mailbox.ts";

Deno.test("passOf() gives 16 bytes, always the same, others for another key and another person", () => {
  const [passKey, fingerprint] = [systemRandom(32), systemRandom(32)];
  const pass = passOf(passKey, fingerprint);
  assertEquals(pass.length, 16);
  assertEquals(passOf(passKey, fingerprint), pass);
  for (let bit = 0; bit < 256; bit++) {
    assertNotEquals(passOf(flipped(passKey, bit), fingerprint), pass);
    assertNotEquals(passOf(passKey, flipped(fingerprint, bit)), pass);
  }
});
