/** The one place that prints: whatever comes from others drives no terminal, and passes for no word of ours. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { decodeUtf8 } from "../../lib/bytes.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import { showEvent } from "../../lib/cli/message_words.ts";
import { StreamSanitizer } from "../../lib/cli/sanitize.ts";
import { Terminal } from "../../lib/cli/terminal.ts";
import { CifraError } from "../../lib/errors.ts";
import { lineOf } from "../../lib/wire/line.ts";

type Out = { writeSync(data: Uint8Array): number };

/** What is written to stdout and stderr while `job` runs. */
function written(job: () => void): { readonly out: string; readonly err: string } {
  const texts = { out: "", err: "" };
  const stubs = ([["out", Deno.stdout], ["err", Deno.stderr]] as const).map(([key, to]) => {
    const original = to.writeSync;
    (to as Out).writeSync = (data) => {
      // As a pipe that is nearly full.
      const taken = data.slice(0, 7);
      texts[key] += [...taken].map((byte) => String.fromCharCode(byte)).join("");
      return taken.length;
    };
    return () => void ((to as Out).writeSync = original);
  });
  try {
    job();
  } finally {
    for (const restore of stubs) restore();
  }
  const read = (text: string) => decodeUtf8(Uint8Array.from(text, (char) => char.charCodeAt(0)));
  return { out: read(texts.out), err: read(texts.err) };
}

/** Whoever says this wants to pass for us, or for somebody else, and to drive the terminal. */
const EVIL = "hi\x1b[2J\x1b]0;title\x07\x9b31m\r\n-- cifra\ncifra: ok\nerror: no\nhint: do\n" +
  "bob: me\n\u2028x\u202ey\u0085z\x7f\n   trace\n{}";

/** Fails where a line could pass for ours, or a control is left. */
function assertHarmless(text: string, first: string): void {
  const lines = text.replace(/\n$/, "").split("\n");
  assert(lines[0]!.startsWith(first), lines[0]);
  for (const line of lines.slice(1)) assert(/^ {2,3}/.test(line), JSON.stringify(line));
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]/.test(text), JSON.stringify(text));
}

/** A terminal of a person, with or without a line that is being typed. */
function ofPerson(prompting = false): { terminal: Terminal; around: string[] } {
  const terminal = new Terminal(false);
  const around: string[] = [];
  if (prompting) terminal.printAround = (text) => void around.push(text);
  return { terminal, around };
}

Deno.test("no foreign text in what we say begins a line, or drives the terminal (A22)", () => {
  const { terminal } = ofPerson();
  assertHarmless(written(() => terminal.say(EVIL)).err, "cifra: hi");
  assertHarmless(written(() => terminal.message("bob", EVIL)).err, "bob: hi");
  assertHarmless(written(() => terminal.message(EVIL, EVIL)).err, "hi");
  assertHarmless(written(() => terminal.trace(() => EVIL, { event: "trace" })).err, "hi");
  const failing = () => {
    assertEquals(terminal.fail(new CifraError("local", EVIL, { hint: EVIL })), 1);
  };
  const [message, hint] = written(failing).err.split("\nhint: ");
  assertHarmless(message!, "error: hi");
  assertHarmless(`hint: ${hint}`, "hint: hi");
});

Deno.test("while a line is typed, the same is printed around it, and marked as ours", () => {
  const { terminal, around } = ofPerson(true);
  const { out, err } = written(() => {
    terminal.say(EVIL);
    terminal.message("bob", EVIL);
    terminal.trace(() => EVIL, { event: "trace" });
  });
  assertEquals([out, err], ["", ""]);
  for (const [n, first] of ["-- hi", "bob: hi", "hi"].entries()) {
    assertHarmless(around[n]!, first);
  }
});

Deno.test("on a terminal talk is wrapped: what would be a row of its own begins with blanks (A22)", () => {
  const widths = { narrow: 40, wide: 300 };
  for (const columns of Object.values(widths)) {
    const terminal = new Terminal(false, () => columns);
    const sly = `${"x ".repeat(60)}${" ".repeat(columns)}-- connected to bob: direct`;
    const error = new CifraError("local", sly, { hint: sly });
    const { err } = written(() => {
      terminal.message("bob", sly);
      terminal.say(sly);
      terminal.fail(error);
    });
    const lines = err.trimEnd().split("\n");
    // A window that is made narrower later shall find no longer rows.
    for (const line of lines) assert(line.length <= Math.min(columns, 100), line);
    assertEquals(
      lines.filter((line) => !line.startsWith("   ")).map((line) => line.slice(0, 8)),
      ["bob: x x", "cifra: x", "error: x", "hint: x "],
    );
  }
});

Deno.test("a byte stream on a terminal is words of whoever sends it; elsewhere it is as it came", async () => {
  const encoder = new TextEncoder();
  const pieces = [EVIL, "\n", "cifra: connected to carol\n"].map((text) => encoder.encode(text));
  const shown: string[] = [];
  const raw: number[] = [];
  const { write } = Deno.stdout;
  try {
    Deno.stdout.write = (bytes) => {
      shown.push(decodeUtf8(bytes.slice()));
      return Promise.resolve(bytes.length);
    };
    const terminal = new Terminal(false, () => 80);
    for (const piece of pieces) await terminal.write(piece, "bob");
    Deno.stdout.write = (bytes) => {
      raw.push(...bytes);
      return Promise.resolve(bytes.length);
    };
    for (const piece of pieces) await new Terminal(false, () => undefined).write(piece, "bob");
  } finally {
    Deno.stdout.write = write;
  }
  assertHarmless(shown[0]!, "bob: hi");
  assertEquals(shown.slice(1), ["bob: cifra: connected to carol\n"]);
  assertEquals(raw, pieces.flatMap((piece) => [...piece]));
});

Deno.test("lines of a trace are as wide as the terminal, with their columns", () => {
  const terminal = new Terminal(false, () => 200);
  const line = `trace${" ".repeat(30)}-> ${"x".repeat(120)}`;
  assertEquals(written(() => terminal.trace(() => line, { event: "trace" })).err, `${line}\n`);
});

Deno.test("while a line is typed, results are printed around it too", () => {
  const { terminal, around } = ofPerson(true);
  assertEquals(written(() => terminal.print("a\x1b[2J\nb")).out, "");
  assertEquals(around, ["a[2J\nb"]);
});

Deno.test("results are printed without controls", () => {
  const { terminal } = ofPerson();
  const { out } = written(() => terminal.print("a\x1b[2Jb\x9bc\u202ed\ttab"));
  assertEquals(out, "a[2Jbc\\u{202e}d\ttab\n");
});

Deno.test("lines of ours that hang already are left as they are", () => {
  const { terminal } = ofPerson();
  const { err } = written(() => terminal.say("one\n   two\n     three\nfour"));
  assertEquals(err, "cifra: one\n   two\n     three\n   four\n");
  assertEquals(written(() => terminal.message("a", "b\nc")).err, "a: b\n   c\n");
});

Deno.test("a failure that ends the program twice over, or was told at the end, is told once", () => {
  const gone = new CifraError("local", "The disk is gone", { hint: "look" });
  for (const json of [false, true]) {
    const terminal = new Terminal(json);
    const fail = () => assertEquals(terminal.fail(gone), 1);
    const { out, err } = written(() => [fail(), fail()]);
    assertEquals((out + err).split("The disk is gone").length, 2);
  }
  const { terminal } = ofPerson();
  terminal.hasTold(gone);
  assertEquals(written(() => terminal.fail(gone)), { out: "", err: "" });
});

Deno.test("with --json each word is one line of JSON on stdout, and talk alone is nothing", () => {
  const terminal = new Terminal(true);
  const { out, err } = written(() => {
    terminal.say(EVIL, { event: "said", text: EVIL });
    terminal.say("for people alone");
    terminal.trace(() => EVIL, { event: "trace" });
    assertEquals(terminal.fail(new CifraError("identity_changed", EVIL, { hint: EVIL })), 3);
    assertEquals(terminal.fail(new CifraError("cut", "gone")), 1);
  });
  assertEquals(err, "");
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x09\x0b-\x1f]/.test(out), JSON.stringify(out));
  assertEquals(out.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { event: "said", text: EVIL },
    { event: "trace" },
    { event: "error", code: "identity_changed", message: EVIL, hint: EVIL },
    { event: "error", code: "cut", message: "gone" },
  ]);
});

Deno.test("nobody else prints: who wants to must pass the terminal", async () => {
  /** A line that is typed is drawn by the editor, which takes only what `page.ts` made; a password is asked for. */
  const allowed = ["terminal.ts", "line_editor.ts", "secrets.ts"];
  const folder = new URL("../../lib/", import.meta.url);
  const found: string[] = [];
  const visit = async (at: URL) => {
    for await (const { name, isDirectory } of Deno.readDir(at)) {
      if (isDirectory) await visit(new URL(`${name}/`, at));
      else if (name.endsWith(".ts") && !allowed.includes(name)) {
        const source = await Deno.readTextFile(new URL(name, at));
        const prints =
          /console\.(log|error|info|warn|debug)|std(out|err)\.(write|writable)|write\w*\(Deno\.std|as Shown\b/;
        if (prints.test(source) && name !== "page.ts") found.push(name);
      }
    }
  };
  await visit(folder);
  assertEquals(found, []);
});

Deno.test("a mistake of ours is no failure to be told", () => {
  assertThrows(() => ofPerson().terminal.fail(new TypeError("a mistake")), TypeError);
});

Deno.test("a reader that has gone is no reason to stop", () => {
  const { terminal } = ofPerson();
  const { writeSync } = Deno.stderr;
  const gone: unknown[] = [
    new Deno.errors.BrokenPipe("gone"),
    Object.assign(new Error("hung up"), { code: "EIO" }),
  ];
  try {
    for (const error of gone) {
      (Deno.stderr as Out).writeSync = () => {
        throw error;
      };
      terminal.say("nobody hears this");
    }
    (Deno.stderr as Out).writeSync = () => {
      throw new Error("something else");
    };
    assertThrows(() => terminal.say("x"), Error, "something else");
  } finally {
    Deno.stderr.writeSync = writeSync;
  }
});

Deno.test("results that cannot be written are a failure in words, told once", async () => {
  const { writeSync } = Deno.stdout;
  const failures: readonly (readonly [Error, string])[] = [
    [new Deno.errors.BrokenPipe("gone"), "its reader has gone"],
    [Object.assign(new Error("x"), { code: "ENOSPC" }), "the disk is full"],
    [Object.assign(new Error("x"), { code: "EDQUOT" }), "this user has no room left on the disk"],
    [new Error("Disk quota exceeded (os error 122)"), "this user has no room left on the disk"],
    [
      Object.assign(new Error("x"), { code: "EIO" }),
      "the disk or the device does not answer, or is damaged",
    ],
    [
      Object.assign(new Error("x"), { code: "ESTALE" }),
      "the disk of the network does not know it any more",
    ],
  ];
  try {
    for (const [error, why] of failures) {
      const terminal = new Terminal(true);
      let count = 0;
      (Deno.stdout as Out).writeSync = () => {
        count++;
        throw error;
      };
      terminal.emit({ event: "one" });
      terminal.emit({ event: "two" });
      const failure = await assertRejects(() => terminal.failed, CifraError);
      assertEquals([failure.code, failure.message], [
        "local",
        `Cannot write to standard output: ${why}`,
      ]);
      assertEquals([terminal.failure, count], [failure, 1]);
    }
    (Deno.stdout as Out).writeSync = () => {
      throw new TypeError("a mistake");
    };
    assertThrows(() => new Terminal(true).emit({ event: "x" }), TypeError, "a mistake");
  } finally {
    Deno.stdout.writeSync = writeSync;
  }
});

Deno.test("what somebody says and does is shown under their name, and harmless", () => {
  const { terminal, around } = ofPerson(true);
  const shown = new StreamSanitizer();
  const text = (recovered: boolean): PeerEvent => ({
    type: "text",
    number: 1n,
    text: EVIL,
    written: 0,
    recovered,
  });
  const split = new Uint8Array([0xe2, 0x82]);
  const events: PeerEvent[] = [
    text(false),
    text(true),
    { type: "bytes", number: 2n, bytes: split },
    { type: "bytes", number: 3n, bytes: new Uint8Array([0xac, 0x1b, 0x5b, 0x41, 0x0a]) },
    { type: "gap", from: 4n, to: 6n },
    { type: "gap", from: 4n, to: 4n },
    { type: "gap", from: 1n, to: 3n },
    { type: "gap", from: 1n, to: 1n },
    { type: "restarted", who: "peer" },
    { type: "restarted", who: "us" },
    { type: "end" },
    { type: "taken back" },
    { type: "file", word: { type: "offer", name: lineOf('a" \u202eb'), files: 1, bytes: 5 } },
    { type: "file", word: { type: "refuse" } },
  ] as PeerEvent[];
  for (const event of events) showEvent(event, "bob", shown, terminal);
  assertHarmless(around[0]!, "bob: hi");
  assertEquals(around[1], around[0]);
  assertEquals(around.slice(2), [
    "-- (this message may have been shown before, when the program last ended)",
    // The first piece ends inside a character, and the second has a control in it.
    "bob: €[A",
    "-- messages 4 to 6 of bob are not on this machine any more",
    "-- message 4 of bob is not on this machine any more",
    "-- messages 1 to 3 of bob went to another machine or profile of yours",
    "-- message 1 of bob went to another machine or profile of yours",
    "-- bob has restarted; the rest of what was being sent will not come",
    "-- the beginning of what bob is sending went to an earlier run of this program",
    "-- bob has nothing more to send",
    "-- bob took a message back before it came here",
    `-- bob offers "a' \ufffdb" (5 B)`,
  ]);
});

Deno.test("the day stands where it changes, and each line has its time; evil words change neither", () => {
  const { terminal, around } = ofPerson(true);
  terminal.looks = { colours: true, times: true };
  const today = new Date();
  const at = (day: number, hours: number) =>
    new Date(today.getFullYear(), today.getMonth(), today.getDate() - day, hours, 5).getTime();
  terminal.message("bob", "old", { written: at(2, 9), isPast: true });
  terminal.message("alice", "old as well", { written: at(2, 10), isOurs: true, isPast: true });
  terminal.message("bob\u2713", EVIL, { written: at(0, 11) });
  const dates = around.filter((line) => /^-- \d{4}-\d\d-\d\d$/.test(line));
  assertEquals(dates.length, 2);
  assertEquals(around.indexOf(dates[0]!), 0);
  // deno-lint-ignore no-control-regex
  const plain = around.map((line) => line.replace(/\x1b\[\d+m/g, ""));
  assertEquals(around[4]!.split("\x1b").length - 1, 4);
  assertEquals(plain.slice(1, 4), ["| 09:05 bob: old", "| 10:05 alice: old as well", dates[1]!]);
  assertHarmless(plain[4]!, "11:05 bob\u2713: hi");
});
