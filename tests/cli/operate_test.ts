/** The operator's socket: a line in, a line out, whatever is said on it. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { answerOperator } from "../../lib/cli/operate.ts";
import { dialLocally, listenLocally, type LocalConnection } from "../../lib/net/local_socket.ts";
import type { ConsoleOptions } from "../../lib/server/console.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { keyOf } from "../store/server_samples.ts";
import { test } from "../testkit/adversary.ts";
import { withFolder, withServer } from "../testkit/server.ts";

/** An operator of a server with many names. */
async function withOperator(
  scene: (connection: LocalConnection, answers: AsyncIterator<string>) => Promise<void>,
): Promise<void> {
  const store = new MemoryServerStore();
  for (let n = 0; n < 150; n++) store.putKey(keyOf(`n${n}`));
  await withServer(async ({ server }) => {
    await withFolder(async (path) => {
      const options: ConsoleOptions = {
        server,
        store,
        metrics: { total: () => 0 },
        date: Date.now,
        inviteLine: () => "line",
        quit: () => {},
      };
      const served: Promise<unknown>[] = [];
      const end = listenLocally(`${path}/socket`, (connection) => {
        served.push(answerOperator(connection, options).catch(() => {}));
      });
      const connection = await dialLocally(`${path}/socket`);
      try {
        await scene(connection, lines(connection));
      } finally {
        connection.close();
        end();
        await Promise.all(served);
      }
    });
  }, { store });
}

async function* lines(connection: LocalConnection): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(1000);
  let rest = "";
  for (let count; (count = await connection.read(buffer)) !== null;) {
    rest += decoder.decode(buffer.subarray(0, count), { stream: true });
    for (let end; (end = rest.indexOf("\n")) !== -1; rest = rest.slice(end + 1)) {
      yield rest.slice(0, end);
    }
  }
}

async function say(connection: LocalConnection, text: string | Uint8Array): Promise<void> {
  let bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  while (bytes.length > 0) bytes = bytes.subarray(await connection.write(bytes));
}

interface Answer {
  readonly ok: boolean;
  readonly text: string;
}

async function next(answers: AsyncIterator<string>): Promise<Answer> {
  const { value, done } = await answers.next();
  assert(!done, "the server hung up");
  return JSON.parse(value);
}

test("each line is answered by one, in order, however they are cut and however long the answer", () =>
  withOperator(async (connection, answers) => {
    for (const byte of new TextEncoder().encode("stats\ndb")) {
      await say(connection, Uint8Array.of(byte));
    }
    await say(connection, "\nnonsense\nkick  nobody \nban ../x\n");
    assertStringIncludes((await next(answers)).text, "names known   150");
    const page = await next(answers);
    assertEquals(page.text.split("\n").length, 102);
    const nonsense = await next(answers);
    assertEquals([nonsense.ok, nonsense.text], [
      false,
      "No such command: nonsense (help lists them)",
    ]);
    assertEquals(await next(answers), { ok: true, text: "0 connections of nobody ended" });
    assertEquals((await next(answers)).ok, false);
  }));

test("names that objects have already are no commands (D12)", () =>
  withOperator(async (connection, answers) => {
    for (const word of ["__proto__", "constructor", "toString", ""]) {
      await say(connection, `${word}\n`);
      assertEquals((await next(answers)).ok, false, word);
    }
  }));

test("what is no text is answered as what is no command", () =>
  withOperator(async (connection, answers) => {
    await say(connection, Uint8Array.of(0xff, 0xfe, 0xc0, 0x00, 0x1b, 0x5b, 0x0a));
    assertEquals((await next(answers)).ok, false);
    await say(connection, "stats\n");
    assertEquals((await next(answers)).ok, true);
  }));

test("a line that does not end is not collected for ever: the server hangs up", () =>
  withOperator(async (connection, answers) => {
    await say(connection, "x".repeat(64 * 1024)).catch(() => {});
    const { done } = await answers.next().catch(() => ({ done: true }));
    assert(done);
  }));

test("a thousand lines at once are a thousand answers", () =>
  withOperator(async (connection, answers) => {
    const all = say(connection, "bans\n".repeat(1000));
    for (let n = 0; n < 1000; n++) {
      assertEquals((await next(answers)).text, "nobody is kept out");
    }
    await all;
  }));
