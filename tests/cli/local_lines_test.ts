/** Questions to another program of the same user. */
import { assertEquals, assertRejects } from "@std/assert";
import { answerLines, askAt, isObject, readLines } from "../../lib/cli/local_lines.ts";
import { CifraError } from "../../lib/errors.ts";
import { listenLocally, type LocalConnection } from "../../lib/net/local_socket.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { withFolder } from "../testkit/server.ts";
import { until } from "../testkit/until.ts";

const any = (value: unknown) => value;

test("a program that does not answer is not waited for for ever", () =>
  withFolder(async (path) => {
    const time = new ManualTime();
    const visitors: LocalConnection[] = [];
    const end = listenLocally(`${path}/socket`, (connection) => void visitors.push(connection));
    const program = await askAt(`${path}/socket`, time);
    const error = assertRejects(() => program.ask("anything", any), CifraError, "does not answer");
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
    assertEquals(await program.ask("one", any), { length: 3 });
    assertEquals(await program.ask("three", any), { length: 5 });
    assertEquals(time.pending, 0);
    assertEquals(await Promise.all([program.ask("one", any), program.ask("three", any)]), [
      { length: 3 },
      { length: 5 },
    ]);
    visitor!.close();
    await served!.catch(() => {});
    // Also when nobody asks.
    await program.ended;
    const error = await assertRejects(() => program.ask("more", any), CifraError);
    assertEquals([error.code, time.pending], ["cut", 0]);
    program[Symbol.dispose]();
    end();
  }));

test("a mistake in an answer is told, and whoever hangs up before the answer is none", () =>
  withFolder(async (path) => {
    const mistake = new TypeError("a bug");
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<string>();
    const failures: Promise<unknown>[] = [];
    const end = listenLocally(`${path}/socket`, (connection) => {
      const served = answerLines(connection, (question) => {
        if (question === "bug") throw mistake;
        asked.resolve();
        return answer.promise;
      });
      failures.push(served.then(() => undefined, (error) => error));
    });
    const curious = await askAt(`${path}/socket`, new ManualTime());
    await assertRejects(() => curious.ask("bug", any), CifraError, "has ended");
    curious[Symbol.dispose]();
    assertEquals(await failures[0], mistake);

    const hasty = await askAt(`${path}/socket`, new ManualTime());
    const cut = assertRejects(() => hasty.ask("slow", any), CifraError, "has ended");
    await asked.promise;
    hasty[Symbol.dispose]();
    await cut;
    answer.resolve("too late");
    assertEquals(await failures[1], undefined);
    end();
  }));

test("an answer that is none is told as such, and the next one may be one", () =>
  withFolder(async (path) => {
    const answers = ["not json", "null", '{"text":5}', "[]", '{"text":"at last"}'];
    const end = listenLocally(`${path}/socket`, async (connection) => {
      for (const answer of answers) {
        await connection.read(new Uint8Array(100));
        await connection.write(new TextEncoder().encode(`${answer}\n`));
      }
      connection.close();
    });
    const program = await askAt(`${path}/socket`, new ManualTime());
    const textOf = (value: unknown) =>
      isObject(value) && typeof value.text === "string" ? value.text : undefined;
    for (const _ of answers.slice(1)) {
      const error = await assertRejects(() => program.ask("what?", textOf), CifraError);
      assertEquals([error.code, error.message], [
        "bad_frame",
        "Cannot read the answer of the program that was asked",
      ]);
    }
    assertEquals(await program.ask("what?", textOf), "at last");
    program[Symbol.dispose]();
    end();
  }));

test("half a character at the end of what is read is U+FFFD", async () => {
  const pieces = [[0x61, 0x0a, 0x62], [0xe2, 0x82]];
  const read = (buffer: Uint8Array) => {
    const piece = pieces.shift();
    if (piece) buffer.set(piece);
    return Promise.resolve(piece ? piece.length : null);
  };
  assertEquals(await Array.fromAsync(readLines({ read }, 100)), ["a", "b\ufffd"]);
});
