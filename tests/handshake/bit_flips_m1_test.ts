import { assertEquals } from "@std/assert";
import { scene } from "../testkit/handshake.ts";
import { refuseEveryFlip } from "./flips.ts";

Deno.test("modern: no single flipped bit of m1 leads to a channel (H12)", async () => {
  const { auth_failed, ...head } = await refuseEveryFlip(await scene("modern"), 1);
  // Of the first four bytes each bit has its refusal; a bit of nonce or key fails in the seals.
  assertEquals(head, { bad_version: 8, bad_state: 8, suite_refused: 8, bad_frame: 8 });
  assertEquals(auth_failed, (1252 - 4) * 8);
});
