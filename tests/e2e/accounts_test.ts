/** Accounts as they are used: a password that brings a person's keys to another machine. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type CastOptions, type Program, Scene, sourceCommand } from "../testkit/program.ts";
import {
  hasPty,
  leavesTerminal,
  onTerminal,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";

const PASSWORD = "correct horse ¡batería! staple";
const SIGN_UP = ["--json", "--sign-up", "--password-fd", "0"];
const SIGN_IN = ["--json", "--sign-in", "--password-fd", "0"];
const ON_TERMINAL: CastOptions = {
  start: (task, folder) => onTerminal(sourceCommand(task, folder)),
  env: { TERM: "xterm-256color" },
};

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPty, fn });
}

/** Somebody signs up, and stays. */
async function signUp(scene: Scene, name: string, to: string): Promise<Program> {
  const program = scene.connect(name, to, SIGN_UP);
  await program.write(`${PASSWORD}\n`);
  await program.event("signed-up", { name });
  return program;
}

async function interrupt(program: Program): Promise<void> {
  program.kill("SIGINT");
  await program.exits(130);
}

/** Whether any file below `folder` has this text in it. */
async function isKept(folder: string, text: string): Promise<string | undefined> {
  const wanted = new TextEncoder().encode(text);
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) {
      const found = await isKept(path, text);
      if (found !== undefined) return found;
    } else if (isFile && includes(await Deno.readFile(path), wanted)) return path;
  }
  return undefined;
}

function includes(bytes: Uint8Array, wanted: Uint8Array): boolean {
  for (let i = bytes.indexOf(wanted[0]!); i !== -1; i = bytes.indexOf(wanted[0]!, i + 1)) {
    if (wanted.every((byte, j) => bytes[i + j] === byte)) return true;
  }
  return false;
}

Deno.test("an account survives its server, and brings the same person to another machine", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const alice = await signUp(scene, "alice", "bob");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  const { fingerprint } = await alice.event("profile");
  await alice.write("from the old machine\n");
  await bob.event("message", { text: "from the old machine" });
  await interrupt(alice);
  await bob.event("peer-left");

  server.kill("SIGKILL");
  await server.exit();
  const again = scene.start("serve", "server", ["--port", `${scene.port}`, "--json"]);
  await again.event("listening");

  const moved = scene.connect("alice", "bob", SIGN_IN, { state: "elsewhere" });
  await moved.write(`${PASSWORD}\nfrom the new machine\n`);
  const signedIn = await moved.event("signed-in", { name: "alice", isNew: true });
  assertEquals((signedIn.fingerprints as Record<string, unknown>).modern, fingerprint);
  await moved.event("profile", { fingerprint, isNew: false });
  await moved.event("connected", { to: "bob" });
  await bob.event("connected", { again: true, fingerprint });
  await bob.event("message", { text: "from the new machine" });
  await bob.write("so you are\n");
  await moved.event("message", { from: "bob", text: "so you are" });
  // Bob met nobody new.
  assertEquals(bob.events.filter(({ event }) => event === "peer-pinned").length, 1);
  await interrupt(moved);

  // From then on the machine needs no password.
  const usual = scene.connect("alice", "bob", ["--json"], { state: "elsewhere" });
  await usual.event("connected", { to: "bob" });
});

Deno.test("a wrong password is one clear sentence, and leaves no keys; the next try is good", async () => {
  await using scene = await Scene.withServer();
  await interrupt(await signUp(scene, "alice", "bob"));
  const wrong = scene.connect("alice", "bob", ["--sign-in", "--password-fd", "0"], {
    state: "elsewhere",
  });
  await wrong.write("correct horse battery staple\n");
  const { stdout, stderr } = await wrong.exits(1);
  assertEquals(stdout, "");
  assert(
    stderr.endsWith(
      '\nerror: The server refused; server says: "The name or the password is wrong; 4 more tries"\n',
    ),
    stderr,
  );
  const files = Array.from(
    Deno.readDirSync(`${scene.stateOf("elsewhere")}/profiles/alice`),
    ({ name }) => name,
  );
  assertEquals(files.sort(), ["known-servers", "lock"]);

  const right = scene.connect("alice", "bob", SIGN_IN, { state: "elsewhere" });
  await right.write(`${PASSWORD}\n`);
  await right.event("waiting");
});

Deno.test("on a server that asks for an invite, the other machine needs the line as well", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--admission", "invite"]);
  const { invite } = await server.event("listening");
  const invited = async (state: string) => {
    await Deno.mkdir(scene.stateOf(state), { mode: 0o700, recursive: true });
    const file = `${scene.stateOf(state)}/line`;
    await Deno.writeTextFile(file, `${invite}\n`, { mode: 0o600 });
    return ["--invite-file", file];
  };
  const alice = scene.connect("alice", "bob", [...SIGN_UP, ...await invited("alice")]);
  await alice.write(`${PASSWORD}\n`);
  await alice.event("signed-up");
  await interrupt(alice);

  const without = scene.connect("alice", "bob", SIGN_IN, { state: "elsewhere" });
  await without.write(`${PASSWORD}\n`);
  await without.exits(1);
  await without.event("error", { code: "invite_required" });
  const line = await invited("elsewhere");
  const moved = scene.connect("alice", "bob", [...SIGN_IN, ...line], { state: "elsewhere" });
  await moved.write(`${PASSWORD}\n`);
  await moved.event("signed-in");
  await moved.event("waiting");
  await interrupt(moved);
  // Once is enough.
  const usual = scene.connect("alice", "bob", ["--json"], { state: "elsewhere" });
  await usual.event("waiting");
});

Deno.test("signing up again changes the password", async () => {
  await using scene = await Scene.withServer();
  await interrupt(await signUp(scene, "alice", "bob"));
  const changing = scene.connect("alice", "bob", SIGN_UP);
  await changing.write("another one\n");
  await changing.event("signed-up");
  await interrupt(changing);
  const old = scene.connect("alice", "bob", SIGN_IN, { state: "elsewhere" });
  await old.write(`${PASSWORD}\n`);
  await old.exits(1);
  await old.event("error", { code: "wrong_password" });
  const now = scene.connect("alice", "bob", SIGN_IN, { state: "elsewhere" });
  await now.write("another one\n");
  await now.event("signed-in");
});

Deno.test("a server for accounts refuses who has none, and says how to make one", async () => {
  await using scene = await Scene.withServer("--admission", "accounts");
  const stranger = scene.connect("alice", "bob", []);
  const { stderr } = await stranger.exits(1);
  assertStringIncludes(stderr, "hint: make one with --sign-up");
  await interrupt(await signUp(scene, "alice", "bob"));
  const member = scene.connect("alice", "bob", ["--json"]);
  await member.event("waiting");
});

Deno.test("a password of nine characters is not left with a server, and the reason is said", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", SIGN_UP);
  await alice.write("ninesigns\n");
  await alice.exits(2);
  const error = await alice.event("error", { code: "usage" });
  assertStringIncludes(String(error.message), "10 characters or more");
  assertStringIncludes(String(error.hint), "whoever steals them there");
});

terminalTest(
  "who mistypes a password is told how many tries are left, and asked again",
  async () => {
    await using scene = await Scene.withServer();
    await interrupt(await signUp(scene, "alice", "bob"));
    const alice = scene.connect("alice", "bob", ["--sign-in"], { ...ON_TERMINAL, state: "moved" });
    await shows(alice, "password of alice:");
    await alice.write("wrong horse\r");
    await shows(alice, "4 more");
    await alice.until(
      "the question again",
      () => screen(alice).split("password of alice:").length === 3,
    );
    await alice.write(`${PASSWORD}\r`);
    await shows(alice, "signed in: this machine has the keys of alice now");
    await shows(alice, "\nalice>");
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  },
);

Deno.test("a machine that has another alice is not overwritten", async () => {
  await using scene = await Scene.withServer();
  await interrupt(await signUp(scene, "alice", "bob"));
  const other = await Scene.withServer();
  await using _ = other;
  const alice = other.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  const { fingerprint } = await alice.event("profile");
  await interrupt(alice);

  const file = `${other.stateOf("alice")}/profiles/alice/identity-modern.pem`;
  const before = await Deno.readTextFile(file);
  const args = [...SIGN_IN, "--server", `127.0.0.1:${scene.port}`];
  // A server gets no proof of a password on its own word for who it is.
  const onItsWord = other.connect("alice", "bob", [...args, "--accept-new"]);
  await onItsWord.write(`${PASSWORD}\n`);
  await onItsWord.exits(1);
  const unknown = await onItsWord.event("error", { code: "identity_unknown" });
  assertStringIncludes(String(unknown.hint), "--accept-new is not enough to sign in");
  const [, key] = /fingerprint is (\S+)$/.exec(String(unknown.message))!;
  const signingIn = other.connect("alice", "bob", [...args, "--server-key", key!]);
  await signingIn.write(`${PASSWORD}\n`);
  await signingIn.exits(1);
  const error = await signingIn.event("error", { code: "local" });
  assertStringIncludes(String(error.message), "has another modern key: nothing was changed");
  assertStringIncludes(String(error.hint), "--state");
  assertEquals(await Deno.readTextFile(file), before);
  const still = other.connect("alice", "bob", ["--json"]);
  await still.event("profile", { fingerprint });
});

Deno.test("signing in where the keys are already changes nothing", async () => {
  await using scene = await Scene.withServer();
  await interrupt(await signUp(scene, "alice", "bob"));
  const again = scene.connect("alice", "bob", SIGN_IN);
  await again.write(`${PASSWORD}\n`);
  await again.event("signed-in", { isNew: false });
  await again.event("waiting");
});

Deno.test("a password that nobody can be asked for is a mistake of the command line", async () => {
  await using scene = await Scene.withServer();
  const nobody = scene.connect("alice", "bob", ["--sign-up"]);
  await nobody.endInput();
  assertStringIncludes((await nobody.exits(2)).stderr, "hint: --password-fd 0 takes the first");
  const empty = scene.connect("alice", "bob", SIGN_UP);
  await empty.endInput();
  await empty.exits(2);
  const closed = scene.connect("alice", "bob", ["--sign-up", "--password-fd", "200"]);
  assertStringIncludes((await closed.exits(2)).stderr, "error: Cannot read descriptor 200");
});

Deno.test("a password comes from another pipe, while standard input is for the conversation", async () => {
  await using scene = await Scene.withServer();
  const throughPipe = (fd: string): CastOptions["start"] => (task, folder) => [
    "bash",
    "-c",
    `exec "$@" ${fd}< <(printf '%s\\n' '${PASSWORD}')`,
    "bash",
    ...sourceCommand(task, folder),
  ];
  const bob = scene.connect("bob", "alice", ["--json"]);
  const up = scene.connect("alice", "bob", ["--json", "--sign-up", "--password-fd", "3"], {
    start: throughPipe("3"),
  });
  await up.write("hello\n");
  await bob.event("message", { text: "hello" });
  await interrupt(up);
  const args = ["--json", "--sign-in", "--password-fd", "7"];
  const moved = scene.connect("alice", "bob", args, {
    start: throughPipe("7"),
    state: "elsewhere",
  });
  await moved.event("signed-in");
  await moved.write("hello again\n");
  await bob.event("message", { text: "hello again" });
});

const PLAIN = [["--plain", ["--plain"], {}], ["TERM=dumb", [], { TERM: "dumb" }]] as const;
for (const [how, args, env] of PLAIN) {
  terminalTest(
    `${how}: a password is asked for without moving anything on the screen`,
    async () => {
      await using scene = await Scene.withServer();
      const options = { ...ON_TERMINAL, env: { ...ON_TERMINAL.env, ...env } };
      const alice = scene.connect("alice", "bob", ["--sign-up", ...args], options);
      await shows(alice, "new password of alice:");
      await alice.write(`${PASSWORD}\r`);
      await shows(alice, "once more:");
      await alice.write("something else\r");
      await shows(alice, "-- these were different");
      await alice.until(
        "the question again",
        () => screen(alice).split("new password").length === 3,
      );
      // A slip of the hand, a line begun anew, and keys that would move a cursor.
      await alice.write(`wrong\x15${PASSWORD}é\x7f\x1b[D\x01\t\x1b[A\r`);
      await alice.until("to be asked again", () => screen(alice).split("once more:").length === 3);
      // What nobody saw is no message.
      await alice.write(`${PASSWORD}\rtyped ahead\r`);
      await shows(alice, "-- signed up");
      await shows(alice, "-- waiting for bob");
      const bob = scene.connect("bob", "alice", ["--json"]);
      await bob.event("connected");
      await alice.write("hello\r");
      await bob.event("message", { number: 1, text: "hello" });
      await alice.write("/quit\r");
      assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
      assert(!/horse|bater|staple|something else|typed ahead/.test(alice.told));
      assert(!alice.stdout.includes("\x1b"), JSON.stringify(alice.stdout));
    },
  );
}

terminalTest("a password is typed twice and never seen, on the screen or elsewhere", async () => {
  await using scene = await Scene.open();
  const log = `${scene.stateOf("server")}/log`;
  const server = await scene.serve(["--trace", "--log", log]);
  const alice = scene.connect("alice", "bob", ["--sign-up", "--trace"], ON_TERMINAL);
  await shows(alice, "new password of alice:");
  await alice.write(`${PASSWORD}\r`);
  await shows(alice, "once more:");
  await alice.write("something else\r");
  await shows(alice, "-- these were different");
  await alice.until("the question again", () => screen(alice).split("new password").length === 3);
  // A slip of the hand, an arrow key, and a line begun anew.
  await alice.write(`wrong\x15${PASSWORD}é\x7f\x1b[D\r`);
  await alice.until("to be asked again", () => screen(alice).split("once more:").length === 3);
  await alice.write(`${PASSWORD}\r`);
  await shows(alice, "-- signed up");
  await shows(alice, "-- waiting for bob");
  await shows(alice, "\nalice>");

  const pid = Number(/^pid (\d+)/m.exec(alice.stdout)![1]);
  if (Deno.build.os === "linux") {
    for (const file of ["cmdline", "environ"]) {
      const text = await Deno.readTextFile(`/proc/${pid}/${file}`);
      assert(file === "environ" || text.includes("--sign-up"));
      assert(!text.includes("horse"), file);
    }
  }
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  const moved = scene.connect("alice", "bob", ["--sign-in", "--trace"], {
    ...ON_TERMINAL,
    state: "elsewhere",
  });
  await shows(moved, "password of alice:");
  await moved.write(`${PASSWORD}\r`);
  await shows(moved, "-- signed in: this machine has the keys of alice now");
  await shows(moved, "-- waiting for bob");
  await moved.write("/quit\r");
  assertEquals(await leavesTerminal(moved), { code: 0, restored: true });
  server.kill("SIGTERM");
  await server.exits(0);
  for (const program of [alice, moved, server]) {
    assert(!/horse|bater|staple|something else/.test(program.told), program.name);
    assert(!/horse|bater|staple|something else/.test(program.stdout + program.stderr));
  }
  for (const part of ["horse", "staple", "something else"]) {
    assertEquals(await isKept(scene.folder, part), undefined);
  }
  // The search finds what is there.
  assert(await isKept(scene.folder, "alice"));
  assertStringIncludes(await Deno.readTextFile(log), '"signed-in"');
});

terminalTest("what is wrong with a password is said in whole words", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--sign-up"], ON_TERMINAL);
  await shows(alice, "new password of alice:");
  await alice.write("short\r");
  await shows(alice, "words that you make up");
  const rows = screen(alice).split("\n").map((row) => row.trim());
  const said = "-- This password is too short: it must have 10 characters or more; your keys lie " +
    "with the server under it, and whoever steals them there can try as many passwords as a " +
    "computer can; four words that you make up are good";
  // A word that was broken would have a blank in it.
  assertStringIncludes(rows.join(" "), said);
  await alice.write("\x03");
  assertEquals(await leavesTerminal(alice), { code: 130, restored: true });
});

terminalTest("a wrong password is asked for again until the server takes no more", async () => {
  await using scene = await Scene.withServer();
  await interrupt(await signUp(scene, "alice", "bob"));
  const thief = scene.connect("alice", "bob", ["--sign-in"], {
    ...ON_TERMINAL,
    state: "elsewhere",
  });
  for (let asked = 1; asked <= 5; asked++) {
    await thief.until(
      `question ${asked}`,
      () => screen(thief).split("password of alice:").length > asked,
    );
    await thief.write("not the password\r");
  }
  assertEquals(await leavesTerminal(thief), { code: 1, restored: true });
  const seen = screen(thief).replaceAll(/\s+/g, " ");
  assertEquals(seen.split("password of alice:").length, 1 + 5, seen);
  assertStringIncludes(
    seen,
    'is wrong; no more tries for 15 minutes" hint: try again in 15 minutes',
  );
  assert(!seen.includes("Too many"), seen);
});

terminalTest(
  "Ctrl-C at a question for a password gives the terminal back, and a signal too",
  async () => {
    await using scene = await Scene.withServer();
    const alice = scene.connect("alice", "bob", ["--sign-in"], ON_TERMINAL);
    await shows(alice, "password of alice:");
    await alice.write("half of it\x03");
    assertEquals(await leavesTerminal(alice), { code: 130, restored: true });
    const bob = scene.connect("bob", "alice", ["--sign-up"], ON_TERMINAL);
    await shows(bob, "new password of bob:");
    signalOnTerminal(bob, "SIGTERM");
    assertEquals(await leavesTerminal(bob), { code: 0, restored: true });
    assert(!screen(alice).includes("error") && !screen(bob).includes("error"));
  },
);
