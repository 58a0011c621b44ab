/** `cifra keys` as it is used, and what it does to conversations. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { decodeSealed, encodeSealed } from "../../lib/store/identity_file.ts";
import { formatPem, parsePem, type PemBlock } from "../../lib/store/pem.ts";
import {
  type CastOptions,
  couple,
  type JsonEvent,
  type Program,
  Scene,
  sourceCommand,
} from "../testkit/program.ts";
import { hasPty, leavesTerminal, onTerminal, screen, shows } from "../testkit/pty.ts";

const PASSPHRASE = "a sealed book";
const PASSPHRASES = ["--passphrase-fd", "0"];
const ON_TERMINAL: CastOptions = {
  start: (task, folder) => onTerminal(sourceCommand(task, folder)),
  env: { TERM: "xterm-256color" },
};

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPty, fn });
}

/** `cifra keys` in the state folder of `state`, with these lines on stdin. */
async function keys(
  scene: Scene,
  state: string,
  args: readonly string[],
  lines: readonly string[] = [],
): Promise<Program> {
  const program = scene.start("keys", `keys of ${state}`, args, { state });
  // It may have ended without reading them.
  await program.write(lines.map((line) => `${line}\n`).join("")).catch(() => {});
  await program.endInput().catch(() => {});
  return program;
}

/** The events of a `cifra keys` that must go well. */
async function keyEvents(
  scene: Scene,
  state: string,
  args: readonly string[],
  lines: readonly string[] = [],
): Promise<readonly JsonEvent[]> {
  const program = await keys(scene, state, [...args, "--json"], lines);
  await program.exits(0);
  return program.events;
}

/** The sentence of a `cifra keys` that must go wrong. */
async function refusal(
  scene: Scene,
  state: string,
  args: readonly string[],
  code: number,
  lines: readonly string[] = [],
): Promise<string> {
  return (await (await keys(scene, state, args, lines)).exits(code)).stderr;
}

async function interrupt(...programs: readonly Program[]): Promise<void> {
  for (const program of programs) program.kill("SIGINT");
  for (const program of programs) await program.exits(130);
}

/** Two people who have met. */
async function acquainted(scene: Scene, args: readonly string[] = []): Promise<void> {
  await interrupt(...await couple(scene, ["--json", ...args]));
}

/** Two others, connected. */
async function friends(scene: Scene, one: string, other: string): Promise<readonly Program[]> {
  const pair = [scene.connect(one, other, ["--json"]), scene.connect(other, one, ["--json"])];
  await Promise.all(pair.map((program) => program.event("connected")));
  return pair;
}

function profileOf(scene: Scene, state: string, name = state): string {
  return `${scene.stateOf(state)}/profiles/${name}`;
}

Deno.test("both sides see the same words, and whoever says so is marked", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const [peer] = await keyEvents(scene, "alice", ["peers"]);
  const [own] = await keyEvents(scene, "bob", ["show"]);
  const { fingerprint } = own!;
  assertEquals([peer!.peer, peer!.suite, peer!.fingerprint], ["bob", "modern", fingerprint]);
  assertEquals(peer!.isVerified, false);

  const [there] = await keyEvents(scene, "bob", ["verify", "alice"]);
  const [before] = await keyEvents(scene, "alice", ["verify", "bob"]);
  assertEquals(before!.words, there!.words);
  assertEquals((before!.words as readonly string[]).length, 12);
  assertEquals(before!.isVerified, false, "only looking marks nobody");
  const [after] = await keyEvents(scene, "alice", ["verify", "bob", "--yes"]);
  assertEquals([after!.words, after!.isVerified], [before!.words, true]);
  assertEquals((await keyEvents(scene, "alice", ["peers"]))[0], { ...peer!, isVerified: true });
  assertEquals((await keyEvents(scene, "bob", ["peers"]))[0]!.isVerified, false);

  // The mark stays when they meet again.
  await acquainted(scene);
  assertEquals((await keyEvents(scene, "alice", ["peers"]))[0]!.isVerified, true);
});

Deno.test("nobody is marked who is not known, or by a key for study", async () => {
  await using scene = await Scene.withServer("--allow-classic");
  await acquainted(scene, ["--suite", "classic"]);
  assertStringIncludes(
    await refusal(scene, "alice", ["verify", "carol", "--yes"], 1),
    "error: carol is not known here\nhint: ",
  );
  assertStringIncludes(
    await refusal(scene, "alice", ["verify", "bob", "--suite", "rsa"], 1),
    "error: bob is not known here by a rsa key\n",
  );
  assertStringIncludes(
    await refusal(scene, "alice", ["verify", "bob", "--yes"], 2),
    "error: Cannot mark bob: the suite classic is for study\n",
  );
  assertEquals((await keyEvents(scene, "alice", ["peers"]))[0]!.isVerified, false);
});

Deno.test("a changed key is refused on either side, and the hint is a command that accepts it", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const [old] = await keyEvents(scene, "bob", ["show"]);
  await keyEvents(scene, "alice", ["verify", "bob", "--yes"]);
  await scene.operate("forget bob");
  const another = scene.connect("bob", "alice", ["--json"], { state: "another bob" });
  const { fingerprint } = await another.event("profile");
  await another.event("waiting");

  const refused = scene.connect("alice", "bob");
  const { stderr } = await refused.exits(3);
  // Bob hears of it as well.
  await another.exits(3);
  const { message } = await another.event("error", { code: "identity_changed" });
  assertStringIncludes(String(message), `yours:  ${fingerprint}\n`);
  assertStringIncludes(
    stderr,
    "error: bob has another key than before, which you had verified\n" +
      `  expected:  ${old!.fingerprint}\n  presented: ${fingerprint}\n`,
  );
  // Alice is not let in by default either, whoever asks.
  const command = /cifra (connect --name alice .*)$/m.exec(stderr)![1]!.split(" ");
  const given = command.slice(1, command.indexOf("--state"));
  assertEquals(command.slice(command.indexOf("--peer-key"))[1], fingerprint);
  assertEquals(command[command.indexOf("--state") + 1], scene.stateOf("alice"));
  const rest = command.slice(command.indexOf("--state") + 2);
  const bob = scene.connect("bob", "alice", ["--json"], { state: "another bob" });
  const accepting = scene.start("connect", "alice", [...given, ...rest, "--json"]);
  await accepting.event("peer-pinned", { peer: "bob", fingerprint });
  await Promise.all([accepting.event("connected", { fingerprint }), bob.event("connected")]);
  await interrupt(accepting, bob);
  const [peer] = await keyEvents(scene, "alice", ["peers"]);
  assertEquals([peer!.fingerprint, peer!.isVerified], [fingerprint, false], "the mark is gone");

  // And the other way round: now bob knows alice, who is another.
  await scene.operate("forget alice");
  const alice = scene.connect("alice", "bob", ["--json"], { state: "another alice" });
  await alice.event("waiting");
  const refusing = scene.connect("bob", "alice", ["--json"], { state: "another bob" });
  await refusing.exits(3);
  const error = await refusing.event("error", { code: "identity_changed" });
  const { fingerprint: presented } = await alice.event("profile");
  assertStringIncludes(String(error.message), `presented: ${presented}`);
});

Deno.test("who is forgotten is new again", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const [known] = await keyEvents(scene, "alice", ["peers"]);
  await scene.operate("forget bob");
  const [gone] = await keyEvents(scene, "alice", ["unpin", "bob"]);
  assertEquals([gone!.peer, gone!.fingerprint], ["bob", known!.fingerprint]);
  assertEquals(await keyEvents(scene, "alice", ["peers"]), []);
  assertStringIncludes(
    await refusal(scene, "alice", ["unpin", "bob"], 1),
    "error: bob is not known here\n",
  );
  const bob = scene.connect("bob", "alice", ["--json"], { state: "another bob" });
  const alice = scene.connect("alice", "bob", ["--json"]);
  const { fingerprint } = await bob.event("profile");
  await alice.event("peer-pinned", { peer: "bob", fingerprint });
});

Deno.test("a damaged line is told, not passed over, whoever is asked about (L3)", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  await interrupt(...await friends(scene, "alice", "carol"));
  const file = `${profileOf(scene, "alice")}/known-peers`;
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, text.replace("bob modern", "bob moderm"));
  const peers = await keys(scene, "alice", ["peers"]);
  const { stdout, stderr } = await peers.exits(1);
  assertStringIncludes(stdout, "carol modern");
  assertStringIncludes(stderr, "line 1 is damaged\nhint: ");
  for (const args of [["verify", "bob", "--yes"], ["verify", "carol", "--yes"], ["unpin", "bob"]]) {
    assertStringIncludes(await refusal(scene, "alice", args, 1), "line 1 is damaged\nhint: ");
  }
  const connecting = scene.connect("alice", "bob", ["--json"]);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await connecting.exits(1);
  await connecting.event("error", { code: "local" });
  await interrupt(bob);
});

Deno.test("keys go to another machine in a file, sealed and written over nothing", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const [own] = await keyEvents(scene, "alice", ["show"]);
  // The task is allowed everything; here it has this one folder.
  const file = `${scene.stateOf("alice")}/alice.keys`;
  const exported = ["export", file, ...PASSPHRASES];
  await keyEvents(scene, "alice", exported, [PASSPHRASE]);
  assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
  const text = await Deno.readTextFile(file);
  assertStringIncludes(
    await refusal(scene, "alice", exported, 1, ["x"]),
    `error: ${file} is there already\nhint: `,
  );
  assertEquals(await Deno.readTextFile(file), text);

  await Deno.mkdir(scene.stateOf("laptop"), { mode: 0o700 });
  const copy = `${scene.stateOf("laptop")}/copy`;
  const imported = ["import", copy, ...PASSPHRASES];
  const [{ label, bytes }] = parsePem(text) as [PemBlock];
  const withMemory = (memory: number) => {
    const { cost, content } = decodeSealed(bytes);
    return formatPem([{ label, bytes: encodeSealed({ cost: { ...cost, memory }, content }) }]);
  };
  const spoiled: Readonly<Record<string, readonly [string, string]>> = {
    "cut short": [text.slice(0, 100), "Cannot read these keys: they are damaged"],
    "empty": ["", "Cannot read these keys: they are damaged"],
    "too large": [" ".repeat(70_000), "it is not a file of keys"],
    "something else": [
      formatPem([{ label: "PRIVATE KEY", bytes }]),
      "Cannot read these keys: they are damaged",
    ],
    "64 GiB": [withMemory(64 * 1024 * 1024), "are out of bounds"],
    "8 KiB": [withMemory(8), "are out of bounds"],
  };
  for (const [what, [content, message]] of Object.entries(spoiled)) {
    await Deno.writeTextFile(copy, content);
    const stderr = await refusal(scene, "laptop", imported, 1, [PASSPHRASE]);
    assertStringIncludes(stderr, message, what);
  }
  // It comes from a stick that keeps no modes; it is sealed.
  await Deno.writeTextFile(copy, text, { mode: 0o644 });
  assertStringIncludes(
    await refusal(scene, "laptop", imported, 1, ["wrong"]),
    "error: This is not the passphrase of these keys\n",
  );
  assertStringIncludes(
    await refusal(scene, "laptop", [...imported, "--name", "bob"], 2, [PASSPHRASE]),
    "are those of alice, not of bob\n",
  );
  const [done] = await keyEvents(scene, "laptop", imported, [PASSPHRASE]);
  assertEquals([done!.name, done!.isNew], ["alice", true]);
  const [again] = await keyEvents(scene, "laptop", imported, [PASSPHRASE]);
  assertEquals(again!.isNew, false);
  assertEquals((await keyEvents(scene, "laptop", ["show"]))[0]!.fingerprint, own!.fingerprint);
  const bob = scene.connect("bob", "alice", ["--json"]);
  const alice = scene.connect("alice", "bob", ["--json"], { state: "laptop" });
  await bob.event("connected", { to: "alice", fingerprint: own!.fingerprint });
  await interrupt(alice, bob);

  // Somebody else's machine stays theirs.
  const nowhere = ["--server", "127.0.0.1:1", "--give-up", "0"];
  const theirs = scene.connect("alice", "bob", ["--json", ...nowhere], { state: "other" });
  await theirs.exits(1);
  const before = await Deno.readTextFile(
    `${profileOf(scene, "other", "alice")}/identity-modern.pem`,
  );
  await Deno.copyFile(file, `${scene.stateOf("other")}/copy`);
  assertStringIncludes(
    await refusal(
      scene,
      "other",
      ["import", `${scene.stateOf("other")}/copy`, ...PASSPHRASES],
      1,
      [PASSPHRASE],
    ),
    "has another modern key: nothing was changed\nhint: ",
  );
  const after = await Deno.readTextFile(
    `${profileOf(scene, "other", "alice")}/identity-modern.pem`,
  );
  assertEquals(after, before);
});

Deno.test("while a program has the profile others may look at it, and change nothing behind its back", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  for (const args of [["show"], ["peers"]]) await keyEvents(scene, "alice", args);
  const file = `${scene.stateOf("alice")}/x`;
  await keyEvents(scene, "alice", ["export", file, ...PASSPHRASES], [PASSPHRASE]);
  for (const args of [["unpin", "bob"], ["passphrase"]]) {
    assertStringIncludes(
      await refusal(scene, "alice", args, 1),
      "another cifra is using it\nhint: ",
      args.join(" "),
    );
  }
  await interrupt(alice);
  assertEquals((await keyEvents(scene, "alice", ["peers"]))[0]!.isVerified, false);
});

Deno.test("sealed keys need their passphrase once, for all that is done with them", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const [own] = await keyEvents(scene, "alice", ["show"]);
  await keyEvents(scene, "alice", ["passphrase", ...PASSPHRASES], [PASSPHRASE]);
  const [sealed] = await keyEvents(scene, "alice", ["show"]);
  assertEquals(sealed, { ...own!, isSealed: true });

  const nobody = scene.connect("alice", "bob", []);
  await nobody.endInput();
  assertStringIncludes((await nobody.exits(2)).stderr, "hint: --passphrase-fd 0 takes the first");
  const wrong = scene.connect("alice", "bob", PASSPHRASES);
  await wrong.write("an open book\n");
  const { stderr } = await wrong.exits(1);
  assertEquals(stderr, "error: This is not the passphrase of these keys\n");

  const bob = scene.connect("bob", "alice", ["--json"]);
  const alice = scene.connect("alice", "bob", ["--json", "--trace", ...PASSPHRASES]);
  await alice.write(`${PASSPHRASE}\nhello\n`);
  await bob.event("connected", { fingerprint: own!.fingerprint });
  await bob.event("message", { text: "hello" });
  await interrupt(alice, bob);
  const args = ["--name", "alice", "--server", `127.0.0.1:${scene.port}`, ...PASSPHRASES];
  const users = scene.start("users", "users", args, { state: "alice" });
  await users.write(`${PASSPHRASE}\n`);
  await users.exits(0);

  // With an account: the passphrase is that of the keys here, the password that of the account.
  const signUp = ["--json", "--sign-up", "--password-fd", "0", ...PASSPHRASES];
  const signing = scene.connect("alice", "bob", signUp);
  await signing.write(`${PASSPHRASE}\nthe password\n`);
  await signing.event("signed-up");
  await interrupt(signing);
  const [kept] = await keyEvents(scene, "alice", ["show"]);
  assertEquals(kept!.isSealed, true);

  for await (const { name, isFile } of Deno.readDir(profileOf(scene, "alice"))) {
    if (!isFile) continue;
    const text = new TextDecoder().decode(
      await Deno.readFile(`${profileOf(scene, "alice")}/${name}`),
    );
    assert(!text.includes(PASSPHRASE) && !text.includes("the password"), name);
    assert(!text.includes("signatureKey"), name);
  }
  assert(!`${alice.stdout}${alice.stderr}${signing.told}`.includes(PASSPHRASE));

  await refusal(scene, "alice", ["passphrase", ...PASSPHRASES], 1, ["wrong", "new"]);
  await keyEvents(scene, "alice", ["passphrase", ...PASSPHRASES], [PASSPHRASE, ""]);
  assertEquals((await keyEvents(scene, "alice", ["show"]))[0], own);
});

terminalTest("a passphrase is set, asked for, and never shown", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  const setting = scene.start("keys", "keys", ["passphrase"], { ...ON_TERMINAL, state: "alice" });
  await shows(setting, "new passphrase of alice's keys, or nothing for none:");
  await setting.write(`${PASSPHRASE}\r`);
  await shows(setting, "once more:");
  await setting.write(`${PASSPHRASE}\r`);
  await shows(setting, "-- the keys are sealed by this passphrase now");
  assertEquals(await leavesTerminal(setting), { code: 0, restored: true });

  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(alice, "passphrase of alice's keys:");
  await alice.write("a sealed letter\r");
  await shows(alice, "-- that is not the passphrase");
  await alice.until("the question again", () => screen(alice).split("keys:").length === 3);
  await alice.write(`${PASSPHRASE}\r`);
  await shows(alice, "-- waiting for bob");
  await shows(alice, "\nalice>");
  if (Deno.build.os === "linux") {
    const pid = Number(/^pid (\d+)/m.exec(alice.stdout)![1]);
    assert(!(await Deno.readTextFile(`/proc/${pid}/cmdline`)).includes("sealed"));
    assert(!(await Deno.readTextFile(`/proc/${pid}/environ`)).includes("sealed"));
  }
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  assert(!`${alice.stdout}${setting.stdout}`.replace("keys are sealed", "").includes("sealed"));
});

terminalTest("words are compared and marked in a conversation, and the mark is shown", async () => {
  await using scene = await Scene.withServer();
  const bob = scene.connect("bob", "alice", ["--json"]);
  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(alice, "\nalice>");
  await bob.write("before\n");
  await shows(alice, "bob: before");
  await alice.write("/verify\r");
  await shows(alice, "if they are, /verified marks that; not marked so far");
  await alice.write("/verified\r");
  await shows(alice, "-- bob is verified: shown as bob✓ from now on");
  await bob.write("after\n");
  await shows(alice, "\nbob✓: after");
  await alice.write("/verify\r");
  await shows(alice, "they were the same before: marked as verified");
  await alice.write("/quit\r");
  await leavesTerminal(alice);
  const again = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(again, "-- connected to bob✓: ");
  await bob.write("later\n");
  await shows(again, "bob✓: later");
});

terminalTest("keys verify marks when a person says yes, and only then", async () => {
  await using scene = await Scene.withServer();
  await acquainted(scene);
  for (
    const [answers, outcome] of [
      [["no"], "not marked"],
      [["yesterday they were", "no"], "not marked"],
      [["yes"], "marked as verified"],
    ] as const
  ) {
    const verify = scene.start("keys", "keys", ["verify", "bob"], {
      ...ON_TERMINAL,
      state: "alice",
    });
    for (const [n, answer] of answers.entries()) {
      await verify.until(
        "the question",
        () => screen(verify).split("are they the same?").length === n + 2,
      );
      await verify.write(`${answer}\r`);
    }
    await shows(verify, `-- bob, modern key: ${outcome}`);
    assertEquals((await leavesTerminal(verify)).code, 0);
  }
  assertEquals((await keyEvents(scene, "alice", ["peers"]))[0]!.isVerified, true);
});

/** Whether any file of somebody's profile has these words in it. */
async function lies(scene: Scene, name: string, words: string): Promise<boolean> {
  const folder = `${scene.stateOf(name)}/profiles/${name}`;
  for await (const { name: file, isFile } of Deno.readDir(folder)) {
    if (!isFile) continue;
    const text = new TextDecoder("latin1").decode(await Deno.readFile(`${folder}/${file}`));
    if (text.includes(words)) return true;
  }
  return false;
}

Deno.test("with a passphrase no word of what was said lies open on the disk", async () => {
  await using scene = await Scene.withServer();
  const [first, second] = await couple(scene);
  await first.write("the first secret\n");
  await second.event("message", { text: "the first secret" });
  await Promise.all([first.endInput(), second.endInput()]);
  await Promise.all([first.exits(0), second.exits(0)]);
  assertEquals(await lies(scene, "alice", "first secret"), true);
  await keyEvents(scene, "alice", ["passphrase", ...PASSPHRASES], [PASSPHRASE]);
  assertEquals(await lies(scene, "alice", "first secret"), false);
  // With the passphrase all goes on, and what is said then is sealed as well.
  const bob = scene.connect("bob", "alice", ["--json"]);
  const alice = scene.connect("alice", "bob", ["--json", ...PASSPHRASES]);
  await alice.write(`${PASSPHRASE}\nthe second secret\n`);
  await bob.event("message", { text: "the second secret" });
  assertEquals(await lies(scene, "alice", "second secret"), false);
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  assertEquals(await lies(scene, "alice", "second secret"), false);
  // The history asks for it.
  const asked = scene.start("history", "history", PASSPHRASES, { state: "alice" });
  await asked.write(`${PASSPHRASE}\n`);
  await asked.endInput();
  const { stdout } = await asked.exits(0);
  for (const words of ["the first secret", "the second secret"]) {
    assertStringIncludes(stdout, words);
  }
  const refused = scene.start("history", "history", [], { state: "alice" });
  await refused.endInput();
  assertStringIncludes((await refused.exits(2)).stderr, "--passphrase-fd");
  // Another passphrase, and none.
  await keyEvents(scene, "alice", ["passphrase", ...PASSPHRASES], [PASSPHRASE, "another"]);
  assertEquals(await lies(scene, "alice", "first secret"), false);
  await keyEvents(scene, "alice", ["passphrase", ...PASSPHRASES], ["another", ""]);
  assertEquals(await lies(scene, "alice", "first secret"), true);
  const open = scene.start("history", "history", [], { state: "alice" });
  assertStringIncludes((await open.exits(0)).stdout, "the second secret");
});
