import { assertEquals } from "@std/assert";
import { scene } from "../testkit/handshake.ts";
import { refuseEveryFlip } from "./flips.ts";

Deno.test("modern: no single flipped bit of m2 leads to a channel (H12)", async () => {
  assertEquals(await refuseEveryFlip(await scene("modern"), 2), { auth_failed: 2448 * 8 });
});
