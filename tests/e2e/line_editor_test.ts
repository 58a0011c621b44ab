/** The line being typed, at a real terminal that is resized and suspended, and into which people paste. */
import { assert, assertEquals } from "@std/assert";
import { type Program, Scene, sourceCommand } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";
import { hasTmux, Window } from "../testkit/tmux.ts";

function windowTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasTmux, fn: within(120, fn) });
}

/** A window whose programs keep their state in the scene. */
function openWindow(scene: Scene, size: { columns?: number; rows?: number } = {}): Promise<Window> {
  const home = scene.stateOf("home");
  const env = { HOME: home, XDG_STATE_HOME: `${home}/state`, NO_COLOR: "1" };
  return Window.open({ ...env, DENO_DIR: denoDir(), TERM: "tmux-256color" }, size);
}

/** Where Deno keeps what it has fetched, also under another HOME. */
function denoDir(): string {
  return Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
}

/** Alice in a pane, bob a program on lines of JSON, connected. */
async function aliceInWindow(
  scene: Scene,
  pane: Window,
  args: readonly string[] = [],
): Promise<Program> {
  const command = sourceCommand("connect", scene.stateOf("alice"));
  const server = ["--server", `127.0.0.1:${scene.port}`, "--accept-new"];
  const who = ["--name", "alice", "--to", "bob", "--state", scene.stateOf("alice")];
  await pane.line(`clear; ${quoted([...command, ...who, ...server, ...args])}`);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await bob.event("connected");
  await pane.shows("-- connected to bob");
  return bob;
}

const WAYS: Readonly<Record<string, (scene: Scene, task: "serve" | "connect") => string>> = {
  "deno task": (_, task) => `deno task --quiet ${task}`,
  "deno run": (scene, task) => {
    const state = scene.stateOf("there");
    const flags = sourceCommand(task, state).filter((word) => !word.startsWith("--allow-run"));
    return `${quoted(flags)} --state ${state}`;
  },
  // Where another program stands between the shell and ours, both must stop.
  "a script": (scene, task) => {
    const state = scene.stateOf("there");
    return `sh -c '"$@"; echo over' sh ${quoted(sourceCommand(task, state))} --state ${state}`;
  },
};

for (const [way, commandOf] of Object.entries(WAYS)) {
  windowTest(
    `Ctrl-Z stops connect, started by ${way}, and fg brings prompt and draft back`,
    async () => {
      await using scene = await Scene.withServer();
      await using pane = await openWindow(scene);
      const args = `--name alice --to bob --server 127.0.0.1:${scene.port} --accept-new`;
      await pane.line(`clear; ${commandOf(scene, "connect")} ${args}`);
      const bob = scene.connect("bob", "alice", ["--json"]);
      await bob.event("connected");
      await pane.shows("-- connected to bob");
      for (const round of [1, 2]) {
        await pane.type("half a li");
        await pane.until("the draft", (rows) => /alice> half a li$/.test(rows.at(-1)!));
        await pane.keys("C-z");
        await pane.until("a stopped job", isStopped);
        // The terminal is the shell's: it echoes, and knows lines.
        await pane.line("echo $((6 * 7)); stty -a | grep -ow -e -echo -e -icanon; echo checked");
        const answers = "42 checked $";
        await pane.until(answers, (rows) => rows.slice(-3).join(" ") === answers);
        await pane.line("clear; fg");
        await pane.until("the draft", (rows) => /alice> half a li$/.test(rows.at(-1)!));
        await pane.type("ne");
        await pane.keys("Enter");
        await bob.event("message", { number: round, text: "half a line" });
        await pane.until("an empty line", (rows) => rows.at(-1) === "(read) alice>");
      }
      await pane.line("/quit");
      await pane.ends("$");
    },
  );

  windowTest(`Ctrl-Z stops serve, started by ${way}, and its console comes back`, async () => {
    await using scene = await Scene.open();
    await using pane = await openWindow(scene);
    await pane.line(`clear; ${commandOf(scene, "serve")} --port 0`);
    await pane.ends("server>");
    await pane.type("acti");
    await pane.ends("server> acti");
    await pane.keys("C-z");
    await pane.until("a stopped job", isStopped);
    await pane.line("echo $((6 * 7))");
    await pane.shows("\n42\n$");
    await pane.line("fg");
    await pane.ends("server> acti");
    await pane.line("ve");
    await pane.shows("\n0 here, 0 connections\nserver>");
    await pane.keys("C-d");
    await pane.shows("\n-- closing\n");
    await pane.ends("$");
  });
}

for (const [mark, before, flag] of [["--plain", "", " --plain"], ["TERM=dumb", "TERM=dumb ", ""]]) {
  windowTest(
    `Ctrl-Z with ${mark} stops deno task connect, and what comes next is the shell's`,
    async () => {
      await using scene = await Scene.withServer();
      await using pane = await openWindow(scene);
      const args = `--name alice --to bob --server 127.0.0.1:${scene.port} --accept-new`;
      await pane.line(`clear; ${before}deno task --quiet connect ${args}${flag}`);
      const bob = scene.connect("bob", "alice", ["--json"]);
      await bob.event("connected");
      await pane.shows("-- connected to bob");
      for (const round of [1, 2]) {
        await pane.keys("C-z");
        await pane.until("a stopped job", isStopped);
        await pane.line("echo $((6 * 7))");
        await pane.shows("\n42\n$");
        await pane.line("clear; fg");
        await pane.until("the program", (rows) => rows.some((row) => row.includes("deno task")));
        await pane.line(`round ${round}`);
        await bob.event("message", { number: round, text: `round ${round}` });
      }
      await pane.line("/quit");
      await pane.ends("$");
    },
  );
}

for (const words of ["send deno.json --to bob", "receive --from bob", "inbox --follow"]) {
  windowTest(`Ctrl-Z stops deno task ${words}, and fg continues it`, async () => {
    await using scene = await Scene.withServer();
    await using pane = await openWindow(scene);
    const server = `--server 127.0.0.1:${scene.port}`;
    // The first visit pins the server, and has the name.
    await pane.line(`clear; deno task --quiet users --name alice ${server} --accept-new`);
    await pane.ends("$");
    await pane.line("clear");
    await pane.until("nothing", (rows) => rows.join() === "$");
    await pane.line(`deno task --quiet ${words} --name alice --give-up 10000`);
    await pane.shows("-- ");
    await pane.keys("C-z");
    await pane.until("a stopped job", isStopped);
    await pane.line("clear; fg");
    await pane.until("the program", (rows) => rows[0]?.includes("deno task") === true);
    await pane.keys("C-c");
    await pane.until("its end", (rows) => /^(\^C)?\$$/.test(rows.at(-1)!));
  });
}

windowTest("Ctrl-Z with --plain stops deno task serve, and its console comes back", async () => {
  await using scene = await Scene.open();
  await using pane = await openWindow(scene);
  await pane.line("clear; deno task --quiet serve --port 0 --plain");
  await pane.shows("listens on");
  await pane.shows("key modern");
  await pane.keys("C-z");
  await pane.until("a stopped job", isStopped);
  await pane.line("clear; fg");
  await pane.until("the program", (rows) => rows.some((row) => row.includes("deno task")));
  await pane.line("active");
  await pane.shows("0 here, 0 connections");
  await pane.keys("C-d");
  await pane.shows("-- closing");
  await pane.ends("$");
});

function isStopped(rows: readonly string[]): boolean {
  return rows.at(-1) === "$" && rows.some((row) => /^\[1\]\+ +Stopped/.test(row));
}

windowTest("Ctrl-Z where no shell waits stops nothing, and the line goes on", async () => {
  await using scene = await Scene.withServer();
  await using pane = await openWindow(scene);
  // The shell is replaced: there is no job control any more.
  const command = sourceCommand("connect", scene.stateOf("alice"));
  const args = ["--server", `127.0.0.1:${scene.port}`, "--accept-new", "--name", "alice"];
  const state = ["--to", "bob", "--state", scene.stateOf("alice")];
  await pane.line(`clear; exec ${quoted([...command, ...args, ...state])}`);
  await pane.ends("alice>");
  await pane.type("half");
  await pane.keys("C-z");
  await pane.type(" a line");
  await pane.ends("alice> half a line");
});

windowTest(
  "a window that is made narrower and wider again shows each line and the draft, once",
  async () => {
    await using scene = await Scene.withServer();
    await using pane = await openWindow(scene);
    const bob = await aliceInWindow(scene, pane);
    const draft = Array.from({ length: 18 }, (_, n) => `word${n}`).join(" ");
    await pane.type(draft);
    await pane.keys("Left", "Left", "Left");
    const all = `alice> ${draft}`;
    for (const [n, columns] of [40, 20, 80, 20, 60].entries()) {
      await pane.resize(columns);
      const rowsOfDraft = cut(all, columns);
      await pane.until(
        `the draft in ${columns} columns`,
        (rows) => rows.slice(-rowsOfDraft.length).join("\n") === rowsOfDraft.join("\n"),
      );
      await bob.write(`hello ${n}\n`);
      await pane.shows(`bob: hello ${n}\n`);
      const rows = await pane.until(
        "the draft below it",
        (rows) => rows.slice(-rowsOfDraft.length).join("\n") === rowsOfDraft.join("\n"),
      );
      const text = rows.join("\n");
      for (let i = 0; i <= n; i++) assertEquals(text.split(`bob: hello ${i}`).length, 2, text);
      assertEquals(text.split("alice>").length, 2, text);
      assertEquals(text.split("word0 ").length, 2, text);
      const at = all.length - 3;
      assertEquals(await pane.cursor(), [
        rowsOfDraft.at(Math.floor(at / columns))!,
        at % columns,
      ]);
    }
    await pane.keys("Enter");
    await bob.event("message", { text: draft });
  },
);

/** A line as it stands in a pane. */
function cut(line: string, columns: number): string[] {
  const rows: string[] = [];
  for (let at = 0; at < line.length; at += columns) {
    rows.push(line.slice(at, at + columns).trimEnd());
  }
  return rows;
}

const PAGE = ["/quit", "rm -r x", "  indented\ttoo", "bob: hello", "", "/quit", "¿qué tal? 你好"];

for (const columns of [80, 40, 20]) {
  windowTest(
    `a page that is pasted in pieces is put in, and only Enter sends it: ${columns} columns`,
    async () => {
      await using scene = await Scene.withServer();
      await using pane = await openWindow(scene, { columns });
      const bob = await aliceInWindow(scene, pane);
      const pasted = `\x1b[200~${PAGE.join("\r")}\r\x1b[201~`;
      // Cut in the middle of the marks, of letters and of line breaks, 30 ms apart.
      const bytes = [...pasted];
      const pieces = Array.from(
        { length: Math.ceil(bytes.length / 7) },
        (_, n) => bytes.slice(7 * n, 7 * n + 7).join(""),
      );
      await pane.send(pieces, 30);
      await pane.until(
        "the page",
        (rows) => rows.at(-1) === "..." && rows.at(-2)!.includes("你好"),
      );
      await bob.write("what are you doing?\n");
      await pane.shows("what are");
      await pane.until("the page again", (rows) => rows.at(-1) === "...");
      assert(!bob.events.some(({ event }) => event === "message" || event === "peer-left"));
      await pane.keys("Enter");
      await bob.event("message", { number: 1, text: PAGE.join("\n") });
      await pane.line("still here");
      await bob.event("message", { number: 2, text: "still here" });
    },
  );
}

windowTest("what a terminal reports never becomes text", async () => {
  await using scene = await Scene.withServer();
  await using pane = await openWindow(scene);
  const bob = await aliceInWindow(scene, pane);
  const reports = [
    ...["\x1b[<0;12;7M", "\x1b[<0;12;7m", "\x1b[M !!", "\x1b[I", "\x1b[O", "\x1b[12;40R"],
    ...[
      "\x1b[?1;2c",
      "\x1b]11;rgb:0000/0000/0000\x1b\\",
      "\x1bP>|tmux 3.3a\x1b\\",
      "\x1b[8;24;80t",
    ],
  ];
  await pane.send(reports.flatMap((report) => ["x", report.slice(0, 3), report.slice(3)]));
  await pane.keys("Enter");
  await bob.event("message", { number: 1, text: "x".repeat(reports.length) });
});
