/** Questions to another program of the same user. */
import { assertEquals, assertRejects } from "@std/assert";
import { answerLines, askAt } from "../../lib/cli/local_lines.ts";
import { CifraError } from "../../lib/errors.ts";
import { listenLocally, type LocalConnection } from "../../lib/net/local_socket.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { withFolder } from "../testkit/server.ts";
import { until } from "../testkit/until.ts";

test("a program that does not answer is not waited for for ever", () =>
  withFolder(async (path) => {
    const time = new ManualTime();
    const visitors: LocalConnection[] = [];
    const end = listenLocally(`${path}/socket`, (connection) => void visitors.push(connection));
    const program = await askAt(`${path}/socket`, time);
    const error = assertRejects(() => program.ask("anything"), CifraError, "does not answer");
    await until(() => time.pending === 1, "the question is asked");
    time.advance(15_000);
    assertEquals((await error).code, "timeout");
    assertEquals(time.pending, 0);
    for (const visitor of visitors) visitor.close();
    end();
  }));

test("questions are answered one after the other, and a program that ends says so", () =>
  withFolder(async (path) => {
    const time = new ManualTime();
    let served: Promise<void> | undefined;
    let visitor: LocalConnection | undefined;
    const end = listenLocally(`${path}/socket`, (connection) => {
      visitor = connection;
      served = answerLines(connection, (question) => ({ length: question.length }));
    });
    const program = await askAt(`${path}/socket`, time);
    assertEquals(await program.ask("one"), { length: 3 });
    assertEquals(await program.ask("three"), { length: 5 });
    assertEquals(time.pending, 0);
    visitor!.close();
    await served!.catch(() => {});
    const error = await assertRejects(() => program.ask("more"), CifraError);
    assertEquals([error.code, time.pending], ["cut", 0]);
    program[Symbol.dispose]();
    end();
  }));
