/** What becomes of a typed line before the next one is taken. */
import { assertEquals } from "@std/assert";
import type { DeskView } from "../../lib/cli/desk_front.ts";
import { DeskVoice } from "../../lib/cli/desk_voice.ts";
import { Terminal } from "../../lib/cli/terminal.ts";
import { Typing, type TypingOptions } from "../../lib/cli/typing.ts";
import { CifraError } from "../../lib/errors.ts";
import { turn } from "../testkit/turn.ts";

/** Keeps what would be said. */
class Recorder extends Terminal {
  readonly said: string[] = [];

  override say(text: string): void {
    this.said.push(text);
  }
}

/** A desk for bob alone, or in the lobby, whose disk is as slow as the test wants it. */
function desk(only?: string) {
  const terminal = new Recorder(false);
  const view = { only, label: (name: string) => name } as unknown as DeskView;
  const disk = Promise.withResolvers<void>();
  const sent: string[] = [];
  const messenger = {
    send: (name: string, text: string) => {
      sent.push(`${name}: ${text}`);
      return disk.promise;
    },
    open: () => Promise.resolve(undefined),
  };
  const typing = new Typing({
    ourName: "alice",
    suite: "modern",
    only,
    terminal,
    messenger,
    roster: { has: () => true, describe: () => "here", label: (name: string) => name },
    front: { refresh: () => {} },
    ignored: { names: new Set() },
    voice: new DeskVoice(view, terminal, "modern"),
  } as unknown as TypingOptions);
  const take = (line: string) => typing.obey(typing.read(line));
  return { typing, take, disk, sent, said: terminal.said };
}

Deno.test("a line is taken when its message is on disk, and no sooner", async () => {
  const { take, disk, sent, said } = desk("bob");
  let isTaken = false;
  const taking = take("hello").then(() => isTaken = true);
  for (let turns = 0; turns < 10; turns++) await turn();
  assertEquals([sent, isTaken], [["bob: hello"], false]);
  disk.resolve();
  await taking;
  assertEquals([isTaken, said], [true, []]);
});

Deno.test("a message that the disk does not take is told as not sent, before the next line is taken", async () => {
  const { take, disk, said } = desk("bob");
  const taking = take("hello");
  disk.reject(new CifraError("local", "The disk is full"));
  await taking;
  assertEquals(said, ["NOT SENT: The disk is full\nit was: hello"]);
});

Deno.test("messages that are refused together are told once, by their beginnings", async () => {
  const { take, disk, said } = desk("bob");
  const long = `a second, ${"x".repeat(40)}\nof two lines`;
  const taking = ["first", long, "third"].map((line) => take(line));
  disk.reject(new CifraError("local", "The disk is full", { hint: "make room" }));
  await Promise.all(taking);
  assertEquals(said, [
    `NOT SENT: The disk is full\nmake room\n3 messages:\nfirst\na second, ${
      "x".repeat(30)
    }\u2026\nthird`,
  ]);
});

Deno.test("a name may be typed with capitals, and is meant without", async () => {
  const { typing, take, disk, sent, said } = desk();
  disk.resolve();
  await take("/to Bob");
  await take("Carol: hello");
  assertEquals([typing.focus, sent], ["bob", ["carol: hello"]]);
  assertEquals(said, [
    "names have no capitals: Bob is bob",
    "talking to bob: here",
    "names have no capitals: Carol is carol",
  ]);
});

Deno.test("/last takes a number of lines that there can be", async () => {
  const { take, said } = desk("bob");
  const complaint = "/last takes a number from 1 to 9999, such as /last 50";
  for (const count of ["0", "00", "-1", "1.5", "many", "10000"]) {
    await take(`/last ${count}`);
  }
  assertEquals(said, Array(6).fill(complaint));
});
