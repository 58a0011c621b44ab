/** The promise that fails before anybody awaits it. */
import { assertRejects, assertStrictEquals } from "@std/assert";
import { mayFail } from "../../lib/flow/may_fail.ts";

Deno.test("mayFail() lets a promise fail unheard, and tells whoever awaits it later", async () => {
  const unheard: unknown[] = [];
  const hear = (event: PromiseRejectionEvent) => unheard.push(event.reason);
  globalThis.addEventListener("unhandledrejection", hear);
  try {
    const failed = Promise.reject(new Error("too early"));
    assertStrictEquals(mayFail(failed), failed);
    // A turn of the event loop: the runtime has seen by then what nobody heard.
    const { promise: turn, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 0);
    await turn;
    await assertRejects(() => failed, Error, "too early");
  } finally {
    globalThis.removeEventListener("unhandledrejection", hear);
  }
  assertStrictEquals(unheard.length, 0);
});
