/** The program that has a profile, asked by other commands. */
import { assertEquals } from "@std/assert";
import { askAt } from "../../lib/cli/local_lines.ts";
import { answerForProgram, askUsers, runningSocket } from "../../lib/cli/running.ts";
import { Profile } from "../../lib/client/profile.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { withFolder } from "../testkit/server.ts";

test("a running program tells who is in the lobby, and refuses what is no question", () =>
  withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const stop = answerForProgram(profile, () => Promise.resolve([["bob", "here"]]));
    assertEquals(await askUsers(profile.path), [["bob", "here"]]);
    const program = await askAt(runningSocket(profile.path), new ManualTime());
    for (const line of ["{", "null", "7", '"users"', "{}", '{"ask":"passphrase"}']) {
      const { failed } = await program.ask<{ failed: { code: string } }>(line);
      assertEquals([line, failed.code], [line, "usage"]);
    }
    assertEquals(await program.ask('{"ask":"users"}'), [["bob", "here"]]);
    program[Symbol.dispose]();
    stop();
    await profile.close();
  }));
