/** What an operator reads: the lines of the log, and the files that they are kept in. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LogFile, ServerLog } from "../../lib/cli/server_log.ts";
import type { Terminal } from "../../lib/cli/terminal.ts";
import { CifraError } from "../../lib/errors.ts";
import type { ServerEvent } from "../../lib/server/events.ts";
import { meanwhile } from "../testkit/meanwhile.ts";
import { withFolder } from "../testkit/server.ts";
import { fillDisk, hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";

const POSIX = Deno.build.os !== "windows";
const FINGERPRINT = "k6xe-fxxu-xlkd";
const SOURCE = "472a40aa";
/** The longest that a name may be, and the longest address. */
const NAME = "n".repeat(32), OTHER = "o".repeat(32);
const ADDRESS = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";

/** Every kind of event but a trace, each as long as it can be. */
const LONGEST: readonly ServerEvent[] = [
  { event: "refused-connection", source: ADDRESS, reason: "source-penalty" },
  { event: "handshake-failed", source: ADDRESS, code: "stale_registration" },
  {
    event: "registered",
    source: ADDRESS,
    name: NAME,
    lobby: true,
    client: FINGERPRINT,
    suite: "classic",
  },
  { event: "wants", name: NAME, wanted: OTHER },
  {
    event: "refused",
    source: ADDRESS,
    client: FINGERPRINT,
    request: "register",
    code: "stale_registration",
  },
  { event: "signed-up", source: ADDRESS, name: NAME },
  { event: "signed-in", source: ADDRESS, name: NAME },
  { event: "replaced", name: NAME },
  { event: "introduced", names: [NAME, OTHER], generation: 2 ** 32 - 1 },
  { event: "relaying", names: [NAME, OTHER], generation: 2 ** 32 - 1 },
  { event: "relayed", names: [NAME, OTHER], generation: 2 ** 32 - 1, bytes: 2 ** 53 - 1 },
  { event: "suite-mismatch", names: [NAME, OTHER] },
  { event: "left", name: NAME, code: "stale_registration" },
  { event: "accept-trouble", reason: "ConnectionRefused" },
  { event: "bug", reason: "TypeError" },
];

const PEOPLE = { people: true };

interface Told {
  readonly text: string;
  readonly json: Record<string, unknown>;
}

/** A terminal that keeps what it was told. */
function listener(): {
  readonly terminal: Terminal;
  readonly told: Told[];
  readonly traced: string[];
} {
  const told: Told[] = [];
  const traced: string[] = [];
  const terminal = {
    say: (text: string, json: Record<string, unknown>) => told.push({ text, json }),
    trace: (text: string) => traced.push(text),
  };
  return { terminal: terminal as unknown as Terminal, told, traced };
}

function inFolder(job: (path: string) => void): Promise<void> {
  return withFolder((path) => Promise.resolve(job(path)));
}

function linesOf(path: string): Record<string, unknown>[] {
  const text = Deno.readTextFileSync(path);
  assert(text === "" || text.endsWith("\n"), `half a line in ${path}`);
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

/** The numbers that were written, the oldest first, whichever files they are in. */
function numbersIn(path: string): number[] {
  const files = ["", ".1", ".2"].map((end) => linesOf(path + end).map(({ n }) => Number(n)));
  return files.filter((numbers) => numbers.length > 0).sort((a, b) => a[0]! - b[0]!).flat();
}

Deno.test("every event is a line for people and an object for programs, of 512 bytes at most", async () => {
  await inFolder((path) => {
    const { terminal, told } = listener();
    const log = new ServerLog(terminal, LogFile.open(`${path}/log`), PEOPLE);
    for (const event of LONGEST) log.tell(event);
    log.close();
    assertEquals(told.map(({ json }) => json.event), LONGEST.map(({ event }) => event));
    const lines = Deno.readTextFileSync(`${path}/log`).split("\n").slice(0, -1);
    assertEquals(lines.length, LONGEST.length);
    for (const [i, line] of lines.entries()) {
      assert(line.length < 512, line);
      assertEquals(JSON.parse(line), told[i]!.json);
      const { time, ...event } = JSON.parse(line);
      assert(Number.isFinite(Date.parse(time)), line);
      assertEquals(event, LONGEST[i]);
      const { text } = told[i]!;
      assert(!text.includes("undefined") && !text.includes("\n"), text);
    }
  });
});

Deno.test("that anybody asks for somebody, or talks to them, is told to who wants it alone", async () => {
  await inFolder((path) => {
    const { terminal, told } = listener();
    const log = new ServerLog(terminal, LogFile.open(`${path}/log`), { people: false });
    const pairs = LONGEST.filter((event) => "wanted" in event || "names" in event);
    assertEquals(pairs.length, 5);
    for (const event of pairs) log.tell(event);
    log.close();
    assertEquals(Deno.readTextFileSync(`${path}/log`) + JSON.stringify(told), "[]");
  });
});

Deno.test({
  name: "a log that others can read, or that is a link, is refused and nothing is written there",
  ignore: !POSIX,
  fn: async () => {
    await inFolder((path) => {
      for (const end of ["", ".1", ".2"]) {
        const file = `${path}/log${end}`;
        Deno.writeTextFileSync(file, "", { mode: 0o644 });
        Deno.chmodSync(file, 0o644);
        const readable = assertThrows(() => LogFile.open(`${path}/log`), CifraError);
        assertEquals(readable.code, "local");
        assertStringIncludes(readable.hint!, `chmod 600 '${file}'`);
        Deno.removeSync(file);
        Deno.writeTextFileSync(`${path}/victim`, "kept", { mode: 0o600 });
        Deno.symlinkSync(`${path}/victim`, file);
        const linked = assertThrows(() => LogFile.open(`${path}/log`), CifraError);
        assertStringIncludes(linked.message, "not a link");
        assertEquals(Deno.readTextFileSync(`${path}/victim`), "kept");
        Deno.removeSync(file);
      }
    });
  },
});

Deno.test({
  name:
    "a link or a file that is put there while the log is opened is refused, and nothing is written",
  ignore: !POSIX,
  fn: async () => {
    await inFolder((path) => {
      const file = `${path}/log`, victim = `${path}/victim`;
      Deno.writeTextFileSync(victim, "kept", { mode: 0o600 });
      const swaps = [
        () => Deno.symlinkSync(victim, file),
        () => Deno.linkSync(victim, file),
        () => Deno.renameSync(victim, file),
      ];
      for (const there of [true, false]) {
        for (const swap of swaps) {
          if (there) Deno.writeTextFileSync(file, "", { mode: 0o600 });
          using _swap = meanwhile("lstatSync", file, () => {
            if (there) Deno.removeSync(file);
            swap();
          });
          assertEquals(assertThrows(() => LogFile.open(file), CifraError).code, "local");
          assertEquals(Deno.readTextFileSync(file), "kept");
          // The third was moved there itself.
          if (swap === swaps[2]) Deno.renameSync(file, victim);
          else Deno.removeSync(file);
        }
      }
      {
        using _swap = meanwhile("openSync", file, () => Deno.removeSync(file));
        assertThrows(() => LogFile.open(file), CifraError, "removed or replaced");
      }
      // A link that leads nowhere makes no file where it points to.
      using _swap = meanwhile("lstatSync", file, () => Deno.symlinkSync(`${path}/new`, file));
      assertThrows(() => LogFile.open(file), CifraError);
      assertThrows(() => Deno.lstatSync(`${path}/new`), Deno.errors.NotFound);
    });
  },
});

Deno.test({
  name: "a log is no second name of a file",
  ignore: !POSIX,
  fn: async () => {
    await inFolder((path) => {
      const file = `${path}/log`;
      Deno.writeTextFileSync(`${path}/victim`, "kept", { mode: 0o600 });
      Deno.linkSync(`${path}/victim`, `${file}.1`);
      assertThrows(() => LogFile.open(file), CifraError, `${file}.1: the file has another name`);
      Deno.removeSync(`${file}.1`);
    });
  },
});

Deno.test({
  name: "a log that goes round writes on where it was opened, not where its paths lead by then",
  ignore: !POSIX,
  fn: async () => {
    await inFolder((path) => {
      const log = LogFile.open(`${path}/log`, 100);
      Deno.writeTextFileSync(`${path}/victim`, "kept", { mode: 0o600 });
      for (const end of ["", ".1", ".2"]) {
        Deno.removeSync(`${path}/log${end}`);
        Deno.symlinkSync(`${path}/victim`, `${path}/log${end}`);
      }
      for (let n = 0; n < 50; n++) log.write({ event: "test", n });
      log.close();
      assertEquals(Deno.readTextFileSync(`${path}/victim`), "kept");
    });
  },
});

Deno.test("what strangers can cause is told once a second, and how often it was left out", async () => {
  await inFolder((path) => {
    const { terminal, told } = listener();
    const log = new ServerLog(terminal, LogFile.open(`${path}/log`), PEOPLE);
    for (let n = 0; n < 1000; n++) {
      log.tell({ event: "handshake-failed", source: SOURCE, code: "bad_frame" });
    }
    // Another kind of noise does not hide behind it; nor does what is no noise.
    log.tell({ event: "refused-connection", source: SOURCE, reason: "source-rate" });
    for (let n = 0; n < 3; n++) log.tell({ event: "replaced", name: "alice" });
    log.close();
    const events = ["handshake-failed", "refused-connection", "replaced", "replaced", "replaced"];
    assertEquals(told.map(({ json }) => json.event), events);
    const { time: _, ...last } = linesOf(`${path}/log`).at(-1)!;
    assertEquals(last, { event: "suppressed", like: "handshake-failed", suppressed: 999 });
  });
});

Deno.test("what one person repeats fills no log, and how much was left out is told at the end", async () => {
  await withFolder((folder) => {
    const { terminal, told } = listener();
    const path = `${folder}/server.log`;
    const log = new ServerLog(terminal, LogFile.open(path), PEOPLE);
    for (let n = 0; n < 1000; n++) log.tell({ event: "wants", name: "mallory", wanted: `n${n}` });
    log.tell({ event: "wants", name: "alice", wanted: "bob" });
    log.close();
    assertEquals(told.length, 21);
    assertEquals(told.at(-1)!.json.name, "alice");
    const lines = Deno.readTextFileSync(path).trimEnd().split("\n");
    const { like, suppressed } = JSON.parse(lines.at(-1)!) as Record<string, unknown>;
    assertEquals([lines.length, like, suppressed], [22, "wants", 980]);
    return Promise.resolve();
  });
});

Deno.test("after its second the same noise is told with a count of what was left out", async () => {
  const { terminal, told } = listener();
  const log = new ServerLog(terminal, undefined, PEOPLE);
  const noise = () => log.tell({ event: "handshake-failed", source: SOURCE, code: "bad_frame" });
  noise();
  noise();
  while (told.length === 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    noise();
  }
  log.close();
  const suppressed = Number(told[1]!.json.suppressed);
  assert(suppressed >= 1, `${suppressed}`);
  assertStringIncludes(told[1]!.text, `(and ${suppressed} more like it)`);
});

Deno.test("a trace is for the terminal that asked for it, not for the log", async () => {
  await inFolder((path) => {
    const { terminal, told, traced } = listener();
    const log = new ServerLog(terminal, LogFile.open(`${path}/log`), PEOPLE);
    const step = {
      message: 1,
      direction: "received",
      name: "ephemeral key",
      algorithm: "X-Wing",
      length: 1230,
      transcript: new Uint8Array(64),
    } as const;
    log.tell({ event: "trace", source: SOURCE, step });
    log.close();
    assertEquals([told.length, traced.length, linesOf(`${path}/log`).length], [0, 1, 0]);
  });
});

Deno.test("a log is three files of a limited size, of which the oldest is written over", async () => {
  await inFolder((path) => {
    const file = `${path}/log`;
    const log = LogFile.open(file, 1000);
    const event = (n: number) => ({ event: "test", n, filler: "x".repeat(60) });
    for (let n = 0; n < 500; n++) {
      log.write(event(n));
      for (const end of ["", ".1", ".2"]) assert(Deno.statSync(file + end).size <= 1000);
    }
    log.close();
    const numbers = numbersIn(file);
    assertEquals(numbers.at(-1), 499);
    // Two of them full, and one that was begun.
    assert(numbers.length > 2 * 9 && numbers.length <= 3 * 10, `${numbers.length}`);
    for (const [i, n] of numbers.entries()) assertEquals(n, numbers[0]! + i);
    const names = Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
    assertEquals(names, ["log", "log.1", "log.2"]);
    if (!POSIX) return;
    for (const name of names) assertEquals(Deno.statSync(`${path}/${name}`).mode! & 0o777, 0o600);
  });
});

Deno.test("a log goes on after a restart, in the file that was written last", async () => {
  await inFolder((path) => {
    const file = `${path}/log`;
    for (let n = 0; n < 60; n++) {
      const log = LogFile.open(file, 1000);
      log.write({ event: "test", n, filler: "x".repeat(60) });
      log.close();
      // The time of a file is what tells which is the last.
      const at = Date.UTC(2030, 0, 1) / 1000 + n;
      for (const end of ["", ".1", ".2"]) {
        const own = linesOf(file + end).some((line) => line.n === n);
        if (own) Deno.utimeSync(file + end, at, at);
      }
    }
    const numbers = numbersIn(file);
    assertEquals(numbers.at(-1), 59);
    assert(numbers.length > 2 * 9, `${numbers.length}`);
    for (const [i, n] of numbers.entries()) assertEquals(n, numbers[0]! + i);
  });
});

Deno.test("a log that cannot be opened is refused with what to try, and leaves nothing open", async () => {
  await inFolder((path) => {
    // The second of its files cannot be: the first must not stay open.
    Deno.mkdirSync(`${path}/log.1`);
    const error = assertThrows(() => LogFile.open(`${path}/log`), CifraError);
    assertEquals(error.code, "local");
    assertStringIncludes(error.hint!, "--log");
  });
});

Deno.test({
  name: "a log on a full disk keeps whole lines, and goes on when there is room again",
  ignore: !hasTmpfs,
  fn: async () => {
    await withTmpfs(2 ** 20, async (path) => {
      const log = LogFile.open(`${path}/log`, 2 ** 19);
      const event = (n: number) => ({ event: "test", n, filler: "x".repeat(300) });
      log.write(event(0));
      const makeRoom = await fillDisk(path);
      for (let n = 1; n < 200; n++) log.write(event(n));
      const before = linesOf(`${path}/log`);
      assert(before.length < 200, `${before.length}`);
      await makeRoom();
      log.write(event(200));
      log.close();
      assertEquals(linesOf(`${path}/log`).slice(0, before.length), before);
      assertEquals(linesOf(`${path}/log`).at(-1)?.n, 200);
    });
  },
});
