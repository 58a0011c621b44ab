/** A server as its operator sees it: how it starts, what it tells, how it ends, and what it leaves. */
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { argon2id } from "@noble/hashes/argon2.js";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import { encodeHex } from "@std/encoding/hex";
import { DatabaseSync } from "node:sqlite";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { CONNECT } from "../../lib/cli/connect_command.ts";
import { helpOf } from "../../lib/cli/help.ts";
import { hmacSha512, sha512 } from "../../lib/crypto/platform.ts";
import type { PasswordCost } from "../../lib/crypto/scram.ts";
import { LOG_FILE_LIMIT } from "../../lib/limits.ts";
import { listenLocally } from "../../lib/net/local_socket.ts";
import { CONSOLE_COMMANDS } from "../../lib/server/console.ts";
import { parsePem } from "../../lib/store/pem.ts";
import { permissionsFor } from "../../scripts/compile.ts";
import { friends, interrupt } from "../testkit/lobby.ts";
import { type CastOptions, Program, Scene, sourceCommand } from "../testkit/program.ts";
import {
  hasPty,
  leavesTerminal,
  onTerminal,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";

const POSIX = Deno.build.os !== "windows";
/** Allowed everything, as the compiled program is at first. */
const ALL: CastOptions["start"] = (
  task,
) => [Deno.execPath(), "run", "--quiet", "--frozen", "--allow-all", "main.ts", task];

/** The files of the server's database. */
function databaseFiles(scene: Scene): string[] {
  return Array.from(Deno.readDirSync(`${scene.stateOf("server")}/server`), ({ name }) => name)
    .filter((name) => name.startsWith("server.db")).sort();
}

/** What the server's operator is answered. */
async function operate(scene: Scene, ...lines: readonly string[]): Promise<string[]> {
  const start: CastOptions["start"] = (task, folder) => [...sourceCommand(task, folder), "console"];
  const operator = scene.start("serve", "operator", ["--json"], { state: "server", start });
  await operator.write(lines.map((line) => `${line}\n`).join(""));
  await operator.endInput();
  await operator.exits(0);
  return operator.events.map(({ text }) => text as string);
}

async function backUp(scene: Scene, file: string): Promise<Program> {
  const copy = scene.start("serve", "copy", ["--backup", file], { state: "server" });
  await copy.exit();
  return copy;
}

/** Alice in the lobby, and bob who waits for carol. */
async function people(scene: Scene): Promise<readonly Program[]> {
  const server = ["--server", `127.0.0.1:${scene.port}`, "--json"];
  const alice = scene.start("connect", "alice", ["--name", "alice", ...server]);
  const bob = scene.connect("bob", "carol", ["--json"]);
  await Promise.all([alice.event("lobby"), bob.event("waiting")]);
  return [alice, bob];
}

for (
  const [how, end] of Object.entries<(scene: Scene, server: Program) => unknown>({
    "SIGTERM": (_, server) => server.kill("SIGTERM"),
    "SIGINT": (_, server) => server.kill("SIGINT"),
    "quit at its console": (scene) => operate(scene, "quit"),
  })
) {
  Deno.test({
    name: `a server that ends by ${how} leaves its database whole, and no log beside it`,
    ignore: !POSIX,
    fn: async () => {
      await using scene = await Scene.open();
      const server = await scene.serve();
      const [alice, bob] = await people(scene);
      assertEquals(databaseFiles(scene), ["server.db", "server.db-shm", "server.db-wal"]);
      await end(scene, server);
      await server.exits(how === "SIGINT" ? 130 : 0);
      assertEquals(databaseFiles(scene), ["server.db"]);
      await Promise.all([alice!, bob!].map((each) => each.event("server-lost")));
      // By itself it has everything.
      const database = new DatabaseSync(`${scene.stateOf("server")}/server/server.db`, {
        readOnly: true,
      });
      const names = database.prepare("SELECT name FROM name_key ORDER BY name").all();
      database.close();
      assertEquals(names.map(({ name }) => name), ["alice", "bob"]);
    },
  });
}

Deno.test("a server that is killed finds everything again, and then leaves no log", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  await people(scene);
  await operate(scene, "invite 3 2", "ban mallory", "ban zoe", "unban zoe");
  server.kill("SIGKILL");
  await server.exit();
  const log = `${scene.stateOf("server")}/server/server.db-wal`;
  assert(Deno.statSync(log).size > 0, "a kill that left nothing to recover");
  const again = await scene.serve();
  const [names, bans, invites] = await operate(scene, "db", "bans", "invites");
  assertMatch(names!, /\nalice .*\nbob .*\n2 names$/);
  assertMatch(bans!, /^mallory since \d{4}-\d\d-\d\d$/);
  assertMatch(invites!, /^[0-9a-f]{32} 2 left .*$/m);
  again.kill("SIGTERM");
  await again.exits(0);
  assertEquals(databaseFiles(scene), ["server.db"]);
});

for (
  const [what, key, code] of [
    ["Ctrl-D", "\x04", 0],
    ["Ctrl-C", "\x03", 0],
    ["quit", "quit\r", 0],
  ] as const
) {
  Deno.test({
    name: `${what} on the server's terminal ends it in order, while people are there`,
    ignore: !hasPty,
    fn: async () => {
      await using scene = await Scene.open();
      const server = await onServersTerminal(scene);
      await server.write("invite 2\r");
      await shows(server, "good for one person, 2 days");
      await server.write(key);
      assertEquals(await leavesTerminal(server), { code, restored: true }, screen(server));
      assert(!screen(server).includes("a bug"), screen(server));
      // What happens to those who were there is told, though there is no line to type any more.
      assertStringIncludes(screen(server), "bob left");
      assertEquals(databaseFiles(scene), ["server.db"]);
    },
  });
}

Deno.test({
  name: "a server whose terminal is closed ends in order",
  ignore: !hasPty || Deno.build.os !== "linux",
  fn: async () => {
    await using scene = await Scene.open();
    const server = await onServersTerminal(scene);
    const pid = Number(/^pid (\d+)/m.exec(server.stdout)![1]);
    server.kill("SIGKILL");
    await server.exit();
    // It is nobody's child now: the system alone tells when it has ended.
    while (await Deno.stat(`/proc/${pid}`).then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assertEquals(databaseFiles(scene), ["server.db"]);
  },
});

Deno.test({
  name: "in 40 columns, help and the answers of the console are broken between words alone",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.open();
    const narrow = (command: readonly string[]) =>
      onTerminal(["sh", "-c", 'stty cols 40; exec "$@"', "sh", ...command]);
    await scene.serve();
    const console = scene.start("serve", "console", ["console"], {
      state: "server",
      start: (task, folder) => narrow(sourceCommand(task, folder)),
    });
    await shows(console, ">");
    await console.write("help\r");
    await shows(console, "end the server");
    await console.write("invite\r");
    await shows(console, "person, 7 days");
    await console.write("\x04");
    assertEquals((await leavesTerminal(console)).code, 0);
    const words = console.stdout.replaceAll(/\s+/g, " ");
    for (const { does } of CONSOLE_COMMANDS.values()) assertStringIncludes(words, does);
    // What is copied is one word.
    assertMatch(console.stdout, /cifra1:127\.0\.0\.1:\d+:[a-z2-7]{52}:[\w-]{43}\r?$/m);
    const help = scene.add(
      new Program({
        name: "help",
        command: narrow([Deno.execPath(), "run", "--quiet", "main.ts", "help", "connect"]),
      }),
    );
    assertEquals((await leavesTerminal(help)).code, 0);
    assertStringIncludes(help.stdout.replaceAll("\r", ""), helpOf(CONNECT, 40));
  },
});

Deno.test({
  name: "a signal ends a console and leaves its terminal as it was",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.open();
    await scene.serve();
    for (const [signal, code] of [["SIGTERM", 0], ["SIGHUP", 0], ["SIGINT", 130]] as const) {
      const console = scene.start("serve", "console", ["console"], {
        state: "server",
        start: (task, folder) => onTerminal(sourceCommand(task, folder)),
      });
      await shows(console, "server>");
      signalOnTerminal(console, signal);
      assertEquals(await leavesTerminal(console), { code, restored: true }, signal);
    }
  },
});

Deno.test("a server prints an invite line where it lets somebody in, or says where the server is", async () => {
  await using scene = await Scene.open();
  for (
    const [args, isPrinted] of [
      [[], false],
      [["--admission", "invite"], true],
      [["--admission", "accounts"], true],
      [["--host", "0.0.0.0", "--admission", "open"], hasNetwork()],
      [["--host", "0.0.0.0"], true],
    ] as const
  ) {
    for (const json of [[], ["--json"]]) {
      await using server = scene.start("serve", "server", ["--port", "0", ...args, ...json]);
      await server.prints(json.length > 0 ? "listening" : "key rsa  ");
      server.kill("SIGTERM");
      const { stdout } = await server.exits(0);
      assertEquals(stdout.includes("cifra1:"), isPrinted, `${args} ${json}`);
      assertEquals(stdout.includes("invite"), isPrinted, `${args} ${json}`);
    }
  }
});

Deno.test("--invite-host names this machine in the invite line, before its addresses", async () => {
  await using scene = await Scene.open();
  const args = ["--host", "0.0.0.0", "--invite-host", "Lab-3.example"];
  const server = await scene.serve(args);
  const { invite, inviteHosts } = await server.event("listening");
  assertStringIncludes(String(invite), `cifra1:lab-3.example:${scene.port}:`);
  assertEquals((inviteHosts as string[])[0], "lab-3.example");
  assertEquals((inviteHosts as string[]).length > 1, hasNetwork());
  const wrong = scene.start("serve", "wrong", ["--invite-host", "lab:80"]);
  assertStringIncludes((await wrong.exits(2)).stderr, "--invite-host must be a name or an IP");
});

Deno.test("what serve invite prints is a file for --invite-file, also as Windows writes it", async () => {
  await using scene = await Scene.withServer("--admission", "invite");
  const start: CastOptions["start"] = (task, folder) => [...sourceCommand(task, folder), "invite"];
  const { stdout } = await scene.start("serve", "invite", [], { state: "server", start }).exits(0);
  const folder = scene.stateOf("alice");
  await Deno.mkdir(folder, { mode: 0o700 });
  const utf16 = Uint8Array.from([...`\ufeff${stdout}`].flatMap((letter) => {
    const code = letter.charCodeAt(0);
    return [code & 0xff, code >> 8];
  }));
  await Deno.writeFile(`${folder}/invite`, utf16, { mode: 0o600 });
  const args = ["--json", "--invite-file", `${folder}/invite`];
  await scene.connect("alice", "bob", args).event("registered");
});

/** Whether this machine has an address that others can reach. */
function hasNetwork(): boolean {
  return Deno.networkInterfaces().some(({ address }) =>
    !/^(127\.|::1$|fe80:|169\.254\.)/.test(address)
  );
}

Deno.test("what a server logs of a conversation is the same as of two who do not talk", async () => {
  await using scene = await Scene.open();
  const file = `${scene.stateOf("server")}/log.json`;
  await Deno.mkdir(scene.stateOf("server"), { mode: 0o700 });
  const server = scene.start("serve", "server", ["--port", "0", "--log", file]);
  await server.prints("listens on");
  const port = /listens on 127\.0\.0\.1:(\d+)/.exec(server.stdout)![1];
  const where = ["--server", `127.0.0.1:${port}`, "--json"];
  let before = 0;
  const sequences: string[][] = [];
  for (const wanted of [["bob", "alice"], ["carol", "dave"]]) {
    const alice = scene.connect("alice", wanted[0]!, where);
    await server.until("alice", () => server.stderr.slice(before).includes("alice is here"));
    await alice.event("waiting");
    const bob = scene.connect("bob", wanted[1]!, [...where, "--relay-only"]);
    await bob.event("waiting");
    if (wanted[0] === "bob") {
      await alice.write("hello\n");
      await bob.event("message", { text: "hello" });
    }
    for (const [person, name] of [[alice, "alice"], [bob, "bob"]] as const) {
      person.kill("SIGINT");
      await person.exits(130);
      await server.until(
        `${name} gone`,
        () => server.stderr.slice(before).includes(`${name} left`),
      );
    }
    const lines = server.stderr.slice(before).trimEnd().split("\n");
    sequences.push(lines.map((line) => line.replace(/^cifra: [\d:]+ /, "").replace(/ \(.*/, "")));
    before = server.stderr.length;
  }
  const expected = ["alice is here", "bob is here", "alice left", "bob left"];
  assertEquals(sequences, [expected, expected]);
  const events = logged(file).map(({ event }) => event);
  const once = ["registered", "registered", "left", "left"];
  assertEquals(events, [...once, ...once]);
});

/** A server on a terminal, with people. */
async function onServersTerminal(scene: Scene): Promise<Program> {
  const start: CastOptions["start"] = (task, folder) => onTerminal(sourceCommand(task, folder));
  const server = scene.start("serve", "server", ["--port", "0", "--log-people"], {
    start,
    env: { TERM: "xterm-256color" },
  });
  await shows(server, "key rsa  ");
  const port = /listens on 127\.0\.0\.1:(\d+)/.exec(server.stdout)![1];
  const where = ["--server", `127.0.0.1:${port}`, "--json"];
  const bob = scene.connect("bob", "carol", where);
  await bob.event("waiting");
  await shows(server, "bob waits for carol");
  return server;
}

Deno.test({
  name: "whatever answers in the place of a server, a command of its operator says so",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using scene = await Scene.open();
    const folder = `${scene.stateOf("server")}/server`;
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    let answer = "";
    const end = listenLocally(`${folder}/console.sock`, async (connection) => {
      await connection.read(new Uint8Array(1000));
      await connection.write(new TextEncoder().encode(`${answer}\n`)).catch(() => {});
      connection.close();
    });
    for (const action of ["invite", "console"]) {
      for (answer of ["not json", "null", '{"ok":true}', '{"ok":true,"text":5}']) {
        const start: CastOptions["start"] = (task, folder) => [
          ...sourceCommand(task, folder),
          action,
        ];
        const operator = scene.start("serve", "operator", [], { state: "server", start });
        await operator.write("bans\n");
        assertEquals((await operator.exits(1)).stderr.split("\n").slice(0, 2), [
          "error: Cannot read the answer of the program that was asked",
          "hint: use the same version of cifra on both sides",
        ]);
      }
    }
    end();
  },
});

Deno.test("a console says that its server has ended, and ends", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const start: CastOptions["start"] = (task, folder) => [...sourceCommand(task, folder), "console"];
  const operator = scene.start("serve", "operator", [], { state: "server", start });
  await operator.write("bans\n");
  await operator.until("an answer", () => operator.stdout !== "");
  server.kill("SIGKILL");
  await server.exit();
  const { stderr } = await operator.exits(1);
  assertStringIncludes(stderr, "error: The server has ended\nhint: start it again");
  // Whoever ended it need not be told.
  await scene.serve();
  const quitter = scene.start("serve", "quitter", [], { state: "server", start });
  await quitter.write("quit\n");
  await quitter.exits(0);
  assertEquals(quitter.stderr, "");
});

Deno.test("one who is kicked or banned has left, to others: no program has failed", async () => {
  await using scene = await Scene.open();
  await scene.serve(["--new-names-per-day", "0"]);
  for (const [action, code] of [["kick", "kicked"], ["ban", "banned"]] as const) {
    const [alice, bob] = await friends(scene, "alice", "bob");
    await operate(scene, `${action} bob`);
    await bob.event("error", { code });
    await bob.exits(1);
    await alice.event("peer-left", { with: "bob", failed: false });
    await interrupt(alice);
  }
});

Deno.test("a copy that is made while people come and go opens as a server's own, with all that was there", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--handshakes-per-minute", "0"]);
  const [alice] = await people(scene);
  // Load: an operator who changes something without a pause, while copies are made.
  const start: CastOptions["start"] = (task, folder) => [...sourceCommand(task, folder), "console"];
  const operator = scene.start("serve", "operator", ["--json"], { state: "server", start });
  let made = 0, busy = true;
  const load = (async () => {
    while (busy) {
      await operator.write(`ban n${made}\n`);
      made++;
      await operator.until("its answer", () => operator.events.length >= made);
    }
  })();
  const folder = `${scene.stateOf("server")}/copies`;
  await Deno.mkdir(folder, { mode: 0o700 });
  const known: number[] = [];
  for (let n = 0; n < 3; n++) {
    await operator.until("more of it", () => operator.events.length > (n + 1) * 20);
    known.push(operator.events.length);
    await (await backUp(scene, `${folder}/${n}.db`)).exits(0);
  }
  busy = false;
  await load;
  await operator.endInput();
  await operator.exits(0);
  // It is no trouble for the server.
  assertEquals((await operate(scene, "unban n0")).at(-1), "n0 may come in again");
  alice!.kill("SIGKILL");
  server.kill("SIGTERM");
  await server.exits(0);
  assertEquals(databaseFiles(scene), ["server.db"]);

  for (const [n, least] of known.entries()) {
    if (POSIX) assertEquals(Deno.statSync(`${folder}/${n}.db`).mode! & 0o777, 0o600);
    await Deno.copyFile(
      `${folder}/${n}.db`,
      `${scene.stateOf("server")}/server/server.db`,
    );
    const restored = await scene.serve();
    const [names, bans] = await operate(scene, "db", "bans");
    assertMatch(names!, /\nalice .*\nbob .*\n2 names$/);
    // All that was confirmed before the copy began, and nothing with a hole in it.
    const banned = new Set(bans!.split("\n").map((line) => line.split(" ")[0]));
    assert(banned.size >= least && banned.size <= made, `${banned.size} of ${least} to ${made}`);
    for (let i = 0; i < banned.size; i++) assert(banned.has(`n${i}`), `n${i} of ${banned.size}`);
    restored.kill("SIGTERM");
    await restored.exits(0);
  }
});

Deno.test("a copy of a server that does not run leaves nothing beside the original", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  server.kill("SIGTERM");
  await server.exits(0);
  const file = `${scene.stateOf("server")}/copy.db`;
  const copy = await backUp(scene, file);
  await copy.exits(0);
  assertEquals(databaseFiles(scene), ["server.db"]);
  assertEquals(copy.stderr, `cifra: copied the database to ${file}\n`);
  // The second does not write over it.
  const second = await backUp(scene, file);
  const { stderr } = await second.exits(1);
  assertStringIncludes(
    stderr,
    `error: Cannot write the backup ${file}: there is something of that name already\nhint: `,
  );
});

/** The lines of a log file. */
function logged(file: string): Record<string, unknown>[] {
  return Deno.readTextFileSync(file).split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

interface FlagCase {
  readonly args: (folder: string) => readonly string[];
  /** What holds because of it while the server runs. */
  readonly shows: (scene: Scene, server: Program, folder: string) => unknown;
}

/** The names and codes of those who try to come. */
async function tries(scene: Scene, name: string, ...args: readonly string[]): Promise<string> {
  const program = scene.connect(name, "nobody-else", ["--json", ...args], {
    state: `try-${name}-${Math.random()}`,
  });
  const { event, code } = await program.until(
    "what comes of it",
    () => program.events.find((each) => each.event === "waiting" || each.event === "error"),
  );
  // Whoever was refused has ended by itself.
  if (event === "waiting") program.kill("SIGKILL");
  await program.exit();
  return event === "waiting" ? "in" : code as string;
}

/** Each option of `serve`, and that it does what it says. */
const FLAGS: Readonly<Record<string, FlagCase>> = {
  "--host": {
    args: () => ["--host", "127.0.0.1", "--host", "127.0.0.2"],
    shows: async (_, server) => {
      const { endpoints, port } = await server.event("listening");
      assertEquals(endpoints, [`127.0.0.1:${port}`, `127.0.0.2:${port}`]);
    },
  },
  "--title": {
    args: () => ["--title", "Lab 3"],
    shows: async (scene) => {
      const alice = scene.connect("alice", "bob", ["--json"]);
      assertEquals((await alice.event("registered")).title, "Lab 3");
    },
  },
  "--admission invite": {
    args: () => ["--admission", "invite"],
    shows: async (scene, server, folder) => {
      assertEquals(await tries(scene, "alice"), "invite_required");
      const file = `${folder}/invite`;
      await Deno.writeTextFile(file, (await server.event("listening")).invite as string);
      await Deno.mkdir(scene.stateOf("guest"), { mode: 0o700 });
      await Deno.rename(file, `${scene.stateOf("guest")}/invite`);
      const args = ["--json", "--invite-file", `${scene.stateOf("guest")}/invite`];
      await scene.connect("guest", "bob", args).event("waiting");
    },
  },
  "--admission accounts": {
    args: () => ["--admission", "accounts"],
    shows: async (scene) => assertEquals(await tries(scene, "alice"), "account_required"),
  },
  "--allow-classic": {
    args: () => ["--allow-classic"],
    shows: async (scene) => assertEquals(await tries(scene, "alice", "--suite", "classic"), "in"),
  },
  "--max-connections": {
    args: () => ["--max-connections", "1"],
    shows: async (scene, server) => {
      await scene.connect("alice", "bob", ["--json"]).event("waiting");
      scene.connect("bob", "alice", ["--json"]);
      await server.event("refused-connection", { reason: "full" });
    },
  },
  "--max-strangers": {
    args: () => ["--max-strangers", "1"],
    shows: (scene, server) => strangersAreRefused(scene, server),
  },
  "--max-strangers-per-address": {
    args: () => ["--max-strangers-per-address", "1"],
    shows: (scene, server) => strangersAreRefused(scene, server),
  },
  "--handshakes-per-minute": {
    args: () => ["--handshakes-per-minute", "1"],
    shows: async (scene, server) => {
      // The first fails, and from then on the address is in doubt.
      const hello = encodeFrame(FrameKind.m1, new Uint8Array(1252));
      for (let n = 0; n < 3; n++) {
        using stranger = await Deno.connect({ port: scene.port });
        await stranger.write(hello);
        while (await stranger.read(new Uint8Array(64)) !== null);
      }
      await server.event("refused-connection");
    },
  },
  "--no-relay": {
    args: () => ["--no-relay"],
    shows: async (scene) => {
      const alice = scene.connect("alice", "bob", ["--json", "--relay-only"]);
      const bob = scene.connect("bob", "alice", ["--json", "--relay-only"]);
      await Promise.all([alice.event("no-way"), bob.event("no-way")]);
    },
  },
  "--max-relayed and --relay-rate, within which two meet,": {
    args: () => ["--max-relayed", "2", "--relay-rate", "1"],
    shows: async (scene) => {
      const alice = scene.connect("alice", "bob", ["--json", "--relay-only"]);
      const bob = scene.connect("bob", "alice", ["--json", "--relay-only"]);
      await Promise.all([alice.event("connected"), bob.event("connected")]);
    },
  },
  "--new-names-per-day, on this machine as well, and --budget, which one does not reach,": {
    args: () => ["--new-names-per-day", "1", "--budget", "1"],
    shows: async (scene, server) => {
      assertEquals(await tries(scene, "alice"), "in");
      // Bob's program waits, since it may help.
      const bob = scene.connect("bob", "nobody-else", ["--json"]);
      const { request, code } = await server.event("refused");
      assertEquals([request, code], ["register", "limit"]);
      bob.kill("SIGKILL");
      await bob.exit();
    },
  },
  "--log": {
    args: (folder) => ["--log", `${folder}/log.json`],
    shows: async (scene, server, folder) => {
      await tries(scene, "alice");
      await server.event("left");
      const events = logged(`${folder}/log.json`);
      // Whether it still heard whom she wants is a matter of luck.
      assertEquals([events[0]!.event, events.at(-1)!.event], ["registered", "left"]);
      // What it says is what stdout said.
      assertEquals(events, server.events.slice(1));
      assertMatch(events[0]!.source as string, /^[0-9a-f]{8}$/);
    },
  },
  "--log-ip": {
    args: (folder) => ["--log-ip", "--log", `${folder}/log.json`],
    shows: async (scene, server, folder) => {
      await tries(scene, "alice");
      await server.event("left");
      assertEquals(logged(`${folder}/log.json`)[0]!.source, "127.0.0.1");
    },
  },
  "--log-people": {
    args: (folder) => ["--log-people", "--log", `${folder}/log.json`],
    shows: async (scene, server, folder) => {
      await people(scene);
      const { name, wanted } = await server.event("wants");
      assertEquals([name, wanted], ["bob", "carol"]);
      assert(logged(`${folder}/log.json`).some((event) => event.wanted === "carol"));
    },
  },
  "--http": {
    args: () => ["--http", "0"],
    shows: async (scene, server) => {
      const at = `http://127.0.0.1:${(await server.event("listening")).http}`;
      const get = async (path: string) => await (await fetch(`${at}${path}`)).text();
      assertEquals(await get("/healthz"), "ok\n");
      const [alice] = await people(scene);
      const metrics = await get("/metrics");
      assertStringIncludes(metrics, "\ncifra_people_here 2\n");
      assertStringIncludes(metrics, "\ncifra_people_in_lobby 1\n");
      assertStringIncludes(metrics, "\ncifra_names 2\n");
      alice!.kill("SIGKILL");
      await server.event("left", { name: "alice" });
      // The figures are counted once a second at the most; without this one the test runs out of time.
      while (!(await get("/metrics")).includes("\ncifra_people_here 1\n"));
    },
  },
  "--trace": {
    args: () => ["--trace"],
    shows: async (scene, server) => {
      await tries(scene, "alice");
      assertEquals(server.events.filter(({ event }) => event === "trace").length, 6);
    },
  },
};

async function strangersAreRefused(scene: Scene, server: Program): Promise<void> {
  const strangers: Deno.Conn[] = [];
  for (let n = 0; n < 3; n++) strangers.push(await Deno.connect({ port: scene.port }));
  await server.event("refused-connection");
  for (const stranger of strangers) stranger.close();
}

for (const [what, { args, shows: holds }] of Object.entries(FLAGS)) {
  for (
    const [as, start] of [["as the task", sourceCommand], ["allowed everything", ALL]] as const
  ) {
    Deno.test(`serve ${what} does its work ${as}`, async () => {
      await using scene = await Scene.open();
      const folder = scene.stateOf("server");
      await Deno.mkdir(folder, { mode: 0o700 });
      const server = await scene.serve(args(folder), { start });
      await holds(scene, server, folder);
      server.kill("SIGTERM");
      await server.exits(0);
      assertEquals(databaseFiles(scene), ["server.db"]);
    });
  }
}

Deno.test({
  name: "a log or a copy is not written where others can put another file in its place",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using scene = await Scene.open();
    const first = await scene.serve();
    first.kill("SIGTERM");
    await first.exits(0);
    const shared = `${scene.folder}/shared`;
    await Deno.mkdir(shared);
    // Allowed what the executable is, of which it keeps the files alone that are named.
    const flags = permissionsFor(undefined, Deno.build.os).filter((flag) =>
      flag !== "--deny-import"
    );
    const start: CastOptions["start"] = (
      task,
    ) => [Deno.execPath(), "run", "--quiet", "--frozen", ...flags, "main.ts", task];
    const serve = (option: string) =>
      scene.start("serve", "server", ["--port", "0", option, `${shared}/file`], { start });
    for (const option of ["--log", "--backup"]) {
      for (const mode of [0o770, 0o707]) {
        await Deno.chmod(shared, mode);
        const { stderr } = await serve(option).exits(1);
        assertEquals(stderr.split("\n"), [
          `error: Cannot use ${shared}: others can write it`,
          `hint: keep others out: chmod go-w '${shared}'`,
          "",
        ]);
      }
      assertEquals([...Deno.readDirSync(shared)], []);
    }
    // Where everybody may write, but nobody can replace what is another's, as in /tmp.
    await Deno.chmod(shared, 0o1777);
    await serve("--backup").exits(0);
    assertEquals(Deno.statSync(`${shared}/file`).mode! & 0o777, 0o600);
  },
});

Deno.test("what a copy that was killed left beside the database is gone with the next server", async () => {
  await using scene = await Scene.open();
  const first = await scene.serve();
  first.kill("SIGTERM");
  await first.exits(0);
  const left = `${scene.stateOf("server")}/server/server.db.0123456789abcdef.new`;
  await Deno.writeTextFile(left, "half a copy", { mode: 0o600 });
  const second = await scene.serve();
  second.kill("SIGTERM");
  await second.exits(0);
  assertEquals(databaseFiles(scene), ["server.db"]);
});

Deno.test("the task does not write a log or a copy elsewhere, and says what to do", async () => {
  await using scene = await Scene.open();
  const elsewhere = await Deno.makeTempDir({ prefix: "cifra-test-" });
  try {
    for (const option of ["--log", "--backup"]) {
      // The first time makes the database, of which there is to be a copy.
      const first = await scene.serve([], { start: sourceCommand });
      first.kill("SIGTERM");
      await first.exits(0);
      const args = ["--port", "0", option, `${elsewhere}/file`];
      const server = scene.start("serve", "server", args, { start: sourceCommand });
      const { stderr } = await server.exits(1);
      assertMatch(stderr, /\nhint: deno task serve writes in its state folder only/, option);
      assertEquals([...Deno.readDirSync(elsewhere)], []);
    }
  } finally {
    await Deno.remove(elsewhere, { recursive: true });
  }
});

Deno.test("the log goes on over its limit after the permissions were dropped", async () => {
  await using scene = await Scene.open();
  const folder = scene.stateOf("server");
  await Deno.mkdir(folder, { mode: 0o700 });
  const file = `${folder}/log.json`;
  const written = (name: string, at: number) => {
    const line = `${JSON.stringify({ filler: "x".repeat(1000) })}\n`;
    Deno.writeTextFileSync(name, line.repeat(LOG_FILE_LIMIT / line.length), { mode: 0o600 });
    Deno.utimeSync(name, at, at);
  };
  // All are full, the second was the last: the third is to be begun anew.
  written(file, 1_000_000);
  written(`${file}.1`, 1_000_002);
  written(`${file}.2`, 1_000_001);
  const server = await scene.serve(["--log", file]);
  await server.event("listening");
  // More lines than what is left of the second has room for.
  for (let n = 0; n < 10; n++) await tries(scene, `n${n}`);
  await server.event("left", { name: "n9" });
  server.kill("SIGTERM");
  await server.exits(0);
  const fresh = logged(`${file}.2`);
  assertEquals(fresh.at(-1)?.event, "left");
  assert(fresh.length >= 10, `${fresh.length}`);
  for (const end of ["", ".1"]) {
    const { size } = Deno.statSync(file + end);
    assert(size <= LOG_FILE_LIMIT && size > LOG_FILE_LIMIT - 2000, `${end} ${size}`);
  }
});

const PASSWORD = "canary-pass-¡péckham! 7141";
const TEXTS = ["canary-text-from-alice-5577", "canary-text-from-bob-8833"] as const;

/** What must not be there, by what it is. */
function isIn(haystack: Uint8Array, secret: Uint8Array): boolean {
  const forms = [
    secret,
    ...[encodeHex(secret), encodeBase64Url(secret), btoa(String.fromCharCode(...secret))]
      // The ends of base64 depend on what stands around.
      .map((text) => encodeUtf8(text.replace(/=+$/, "").slice(2, -2))),
  ];
  return forms.some((form) => {
    for (let i = haystack.indexOf(form[0]!); i !== -1; i = haystack.indexOf(form[0]!, i + 1)) {
      if (form.every((byte, j) => haystack[i + j] === byte)) return true;
    }
    return false;
  });
}

/** The private parts of the keys in a folder. */
function privateKeys(folder: string, owner: string): Record<string, Uint8Array> {
  const found: Record<string, Uint8Array> = {};
  for (const { name } of Deno.readDirSync(folder)) {
    if (!/^identity-.*\.pem$/.test(name)) continue;
    const [, signatureKey, agreementKey] = parsePem(Deno.readTextFileSync(`${folder}/${name}`));
    // The end of a PKCS#8 key is all its own; the beginning is the same in all of a kind.
    found[`${owner} ${name} signature`] = signatureKey!.bytes.slice(-32);
    if (agreementKey) found[`${owner} ${name} agreement`] = agreementKey.bytes.slice(-32);
  }
  return found;
}

Deno.test("no secret is in the database, the log, what the server says, or its figures", async () => {
  await using scene = await Scene.open();
  const folder = scene.stateOf("server");
  await Deno.mkdir(folder, { mode: 0o700 });
  const args = ["--admission", "invite", "--log", `${folder}/log.json`, "--http", "0", "--trace"];
  const server = await scene.serve(args);
  const { invite, http } = await server.event("listening");
  // Through the relay, so that all they say to each other passes the server.
  const enter = (name: string, to: string, ...more: readonly string[]) => {
    Deno.mkdirSync(scene.stateOf(name), { mode: 0o700, recursive: true });
    const file = `${scene.stateOf(name)}/invite`;
    Deno.writeTextFileSync(file, invite as string, { mode: 0o600 });
    return scene.connect(name, to, ["--json", "--relay-only", "--invite-file", file, ...more]);
  };
  const alice = enter("alice", "bob", "--sign-up", "--password-fd", "0");
  await alice.write(`${PASSWORD}\n`);
  await alice.event("signed-up");
  const bob = enter("bob", "alice");
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  await alice.write(`${TEXTS[0]}\n`);
  await bob.event("message", { text: TEXTS[0] });
  await bob.write(`${TEXTS[1]}\n`);
  await alice.event("message", { text: TEXTS[1] });
  const [made] = await operate(scene, "invite");
  const metrics = await (await fetch(`http://127.0.0.1:${http}/metrics`)).bytes();
  const database = (end: string) => Deno.readFileSync(`${folder}/server/server.db${end}`);
  const running = [database(""), database("-wal")];
  for (const each of [alice, bob]) {
    each.kill("SIGINT");
    await each.exits(130);
  }
  server.kill("SIGTERM");
  const { stdout, stderr } = await server.exits(0);
  // That anybody talks to somebody is nowhere.
  const events = [...server.events, ...logged(`${folder}/log.json`)].map(({ event }) => event);
  const aboutTwo = ["wants", "introduced", "relaying", "relayed", "suite-mismatch"];
  assertEquals(events.filter((event) => aboutTwo.includes(String(event))), []);

  const file = new DatabaseSync(`${folder}/server/server.db`, { readOnly: true });
  const account = file.prepare("SELECT * FROM account WHERE name = 'alice'").get()!;
  file.close();
  const { salt, memory, passes } = account as unknown as PasswordCost;
  const salted = argon2id(encodeUtf8(PASSWORD.normalize("NFKC")), salt, {
    m: memory,
    t: passes,
    p: 1,
    dkLen: 32,
  });
  const key = (label: string) => hmacSha512(new Uint8Array(salted), encodeUtf8(label));
  const stored = sha512(key("Client Key"));
  const secretOf = (line: string) => decodeBase64Url(line.split("\n")[0]!.split(":").at(-1)!);
  const secrets: Record<string, Uint8Array> = {
    "password": encodeUtf8(PASSWORD),
    "composed password": encodeUtf8(PASSWORD.normalize("NFKC")),
    "salted password": salted,
    "client key": key("Client Key"),
    "sealing key": key("Sealing Key").slice(0, 32),
    "invite secret": secretOf(made!),
    "text of alice": encodeUtf8(TEXTS[0]),
    "text of bob": encodeUtf8(TEXTS[1]),
    ...privateKeys(`${folder}/server`, "server"),
    ...privateKeys(`${scene.stateOf("alice")}/profiles/alice`, "alice"),
    ...privateKeys(`${scene.stateOf("bob")}/profiles/bob`, "bob"),
  };
  const verifiers = { "stored key": stored, "server key": key("Server Key") };
  const own = { "the server's invite secret": secretOf(invite as string) };
  assert(Object.keys(secrets).length >= 8 + 2 * 3, Object.keys(secrets).join());

  const databases = { "database": database(""), "running": running[0]!, "its log": running[1]! };
  const told = { "log": Deno.readFileSync(`${folder}/log.json`), metrics };
  const printed = { stdout: encodeUtf8(stdout), stderr: encodeUtf8(stderr) };
  const search = (what: Record<string, Uint8Array>, where: Record<string, Uint8Array>) =>
    Object.entries(where).flatMap(([place, bytes]) =>
      Object.entries(what).filter(([, secret]) => isIn(bytes, secret))
        .map(([name]) => `${name} in ${place}`)
    );
  assertEquals(search(secrets, { ...databases, ...told, ...printed }), []);
  // The server keeps what proves a password, and prints its own invite line when it starts; that is all.
  assertEquals(search(verifiers, { ...told, ...printed }), []);
  assertEquals(search(own, { ...databases, ...told }), []);
  // Such a search finds what is there.
  assertEquals(search({ ...verifiers, ...own }, { database: database(""), ...printed }), [
    "stored key in database",
    "server key in database",
    "the server's invite secret in stdout",
  ]);
});

const FAULTY = "tests/e2e/fixtures/faulty_server.ts";

/** A server with mistakes in it. */
async function serveFaultily(scene: Scene, when: string): Promise<Program> {
  const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen", FAULTY, when];
  return await scene.serve([], { start: () => command });
}

Deno.test("a server outlives a mistake that nobody catches, tells its kind, and serves the next", async () => {
  await using scene = await Scene.open();
  const server = await serveFaultily(scene, "never");
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  await server.event("bug", { reason: "TypeError" });
  await server.event("bug", { reason: "RangeError" });
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  server.kill("SIGTERM");
  const { stdout, stderr } = await server.exits(0);
  assert(!(stdout + stderr).includes("nobody's business"), stdout + stderr);
  assertEquals(databaseFiles(scene), ["server.db"]);
});

Deno.test("a server that fails while it ends does end, with its database whole", async () => {
  await using scene = await Scene.open();
  const server = await serveFaultily(scene, "at-the-end");
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  server.kill("SIGTERM");
  const { code, stderr } = await server.exit();
  assertEquals(code, 1);
  assertStringIncludes(stderr, "SyntaxError: at the end");
  await alice.event("server-lost", { code: "shutdown" });
  assertEquals(databaseFiles(scene), ["server.db"]);
});
