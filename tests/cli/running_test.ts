/** The program that has a profile, asked by other commands. */
import { assertEquals, assertRejects } from "@std/assert";
import { askAt } from "../../lib/cli/local_lines.ts";
import { answerForProgram, askComparison, askUsers, runningSocket } from "../../lib/cli/running.ts";
import { CifraError, type ErrorReport } from "../../lib/errors.ts";
import { listenLocally } from "../../lib/net/local_socket.ts";
import { Profile } from "../../lib/client/profile.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { withFolder } from "../testkit/server.ts";

interface Failure {
  readonly failed: ErrorReport;
}

test("a running program tells who is in the lobby, and refuses what is no question", () =>
  withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const stop = answerForProgram(profile, {
      people: () => Promise.resolve([["bob", "here"]]),
      everybody: () => Promise.resolve([]),
    });
    assertEquals(await askUsers(profile.path), [["bob", "here"]]);
    const program = await askAt(runningSocket(profile.path), new ManualTime());
    for (const line of ["{", "null", "7", '"users"', "{}", '{"ask":"passphrase"}']) {
      const failed = await program.ask(line, (value) => (value as Failure).failed.code);
      assertEquals([line, failed], [line, "usage"]);
    }
    assertEquals(await program.ask('{"ask":"users"}', (value) => value), [["bob", "here"]]);
    program[Symbol.dispose]();
    stop();
    await profile.close();
  }));

test("a program that answers something else is told as such, and crashes nobody", () =>
  withFolder(async (path) => {
    let answer = "";
    const end = listenLocally(runningSocket(path), async (connection) => {
      await connection.read(new Uint8Array(1000));
      await connection.write(new TextEncoder().encode(`${answer}\n`));
      connection.close();
    });
    const options = { suite: undefined, mark: false };
    const users = () => askUsers(path);
    const compare = () => askComparison(path, "bob", options);
    const wrong = ["not json", "null", "7", '"x"', "{}", '{"failed":null}', '{"failed":{}}'];
    const ofUsers = ['[["bob"]]', '[["\\u001b","here"]]', '[["bob","gone"]]', "[null]"];
    const ofWords = [
      '{"suite":"none","words":[],"isVerified":true}',
      '{"suite":"modern","words":5}',
    ];
    for (
      const [ask, answers] of [[users, [...wrong, ...ofUsers]], [compare, [
        ...wrong,
        ...ofWords,
      ]]] as const
    ) {
      for (answer of answers) {
        const error = await assertRejects<CifraError>(ask, CifraError);
        assertEquals([answer, error.code], [answer, "bad_frame"]);
      }
    }
    answer = '{"failed":{"code":"toString","message":"x"}}';
    assertEquals((await assertRejects<CifraError>(users, CifraError)).code, "bad_frame");
    answer = '{"failed":{"code":"local","message":"The disk is full","hint":"make room"}}';
    const told = await assertRejects<CifraError>(users, CifraError, "The disk is full");
    assertEquals([told.code, told.hint], ["local", "make room"]);
    end();
  }));
