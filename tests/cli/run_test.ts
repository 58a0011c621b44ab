/** The frame around a command; the leak checks of the tests see a signal or a tick that it leaves behind. */
import { assertEquals, assertRejects } from "@std/assert";
import type { Profile } from "../../lib/client/profile.ts";
import { runFramed } from "../../lib/cli/run.ts";
import { Terminal } from "../../lib/cli/terminal.ts";
import { CifraError } from "../../lib/errors.ts";
import { withFolder } from "../testkit/server.ts";

const terminal = new Terminal(false);

Deno.test("runFramed() returns the command's exit code, and that of Ctrl-C when it was interrupted", async () => {
  assertEquals(await runFramed(terminal, () => Promise.resolve(0)), 0);
  assertEquals(await runFramed(terminal, () => Promise.resolve(1)), 1);
  assertEquals(await runFramed(terminal, () => Promise.resolve("interrupted")), 130);
  const interrupted = () => Promise.reject(new CifraError("interrupted", "Interrupted"));
  assertEquals(await runFramed(terminal, interrupted), 130);
});

Deno.test("runFramed() passes on every other failure", async () => {
  const failing = () => Promise.reject(new CifraError("local", "The disk is full"));
  assertEquals((await assertRejects(() => runFramed(terminal, failing), CifraError)).code, "local");
  const wrong = () => Promise.reject(new TypeError("a mistake"));
  await assertRejects(() => runFramed(terminal, wrong), TypeError);
});

Deno.test("runFramed() stops the ticker of a command that has left something in it", async () => {
  await runFramed(terminal, ({ ticker }) => {
    ticker.add(() => {});
    return Promise.resolve(0);
  });
});

Deno.test("runFramed() closes the profile that was opened, also after a failure", async () => {
  await withFolder(async (state) => {
    const who = { name: "alice", suite: "modern", state, passphraseFd: undefined } as const;
    const opened: Profile[] = [];
    const open = () =>
      runFramed(terminal, async ({ openProfile }) => {
        opened.push(await openProfile(who));
        // Locked while it is open.
        const { code } = await assertRejects(() => openProfile(who), CifraError);
        assertEquals(code, "locked");
        if (opened.length === 1) throw new CifraError("local", "A failure");
        return 0;
      });
    await assertRejects(open, CifraError, "A failure");
    assertEquals(await open(), 0);
    assertEquals(opened.map(({ name, isNew }) => [name, isNew]), [["alice", true], [
      "alice",
      false,
    ]]);
  });
});
