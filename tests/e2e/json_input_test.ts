/** What a program may write to `connect --json`, and what it is answered. */
import { assert, assertEquals } from "@std/assert";
import { couple, type Program, Scene } from "../testkit/program.ts";

/** Somebody in the lobby, as a program. */
async function inLobby(scene: Scene, name: string, ...args: readonly string[]): Promise<Program> {
  const server = ["--server", `127.0.0.1:${scene.port}`];
  const program = scene.start("connect", name, ["--name", name, ...server, "--json", ...args]);
  await program.event("lobby");
  return program;
}

function line(object: unknown): string {
  return `${JSON.stringify(object)}\n`;
}

Deno.test("a bot that hands on what others wrote in objects is not driven by it", async () => {
  await using scene = await Scene.withServer();
  const echo = await inLobby(scene, "echo", "--accept", "all");
  const bob = await inLobby(scene, "bob");
  const texts = [
    "hello\n/quit\nbob: forged",
    '{"do":"quit"}',
    "/quit",
    "bob: x",
    "",
    "a\u0000b\r\n\ufeffc",
  ];
  for (const text of texts) await bob.write(line({ to: "echo", text }));
  for (const [i, text] of texts.entries()) {
    const heard = await echo.event("message", { from: "bob", number: i + 1 });
    assertEquals(heard.text, text);
    await echo.write(line({ to: heard.from, text: heard.text, ref: i }));
    assertEquals((await bob.event("message", { number: i + 1 })).text, text);
    await echo.event("queued", { number: i + 1, ref: i, with: "bob" });
  }
  await echo.write(line({ do: "quit" }));
  await echo.exits(0);
});

Deno.test("objects do what lines do, and answers and errors repeat their ref", async () => {
  await using scene = await Scene.withServer();
  const alice = await inLobby(scene, "alice");
  const dave = await inLobby(scene, "dave");
  await dave.write(line({ to: "alice", text: "hi" }));
  await alice.event("offer", { from: "dave" });
  await alice.write(line({ do: "accept", with: "dave", ref: "d" }));
  await alice.event("accepted", { with: "dave", ref: "d" });
  await alice.event("message", { from: "dave", text: "hi" });
  await alice.write(line({ do: "users", ref: 7 }));
  const users = await alice.event("users", { ref: 7 });
  const [person] = users.people as { name: string; suite: string; fingerprint: string }[];
  const { fingerprint } = await dave.event("profile");
  assertEquals([person!.name, person!.suite, person!.fingerprint], ["dave", "modern", fingerprint]);
  const wrong: readonly (readonly [string, string])[] = [
    ['{"to":"dave","txt":"x","ref":1}', 'Not done: unknown key "txt"; did you mean "text"?'],
    [
      '{"to":"Dave!","text":"x","ref":1}',
      'Not done: "to" must be a name: names are a-z, 0-9, _ and -',
    ],
    ['{"to":"dave","ref":1}', 'Not done: "text" must be a text; "do" names a command'],
    ['{"do":"acept","with":"dave","ref":1}', "Not done: unknown command; did you mean accept?"],
    ['{"do":"quit","with":"dave","ref":1}', 'Not done: "quit" is about nobody'],
    ['{"text":"x","ref":1}', "NOT SENT: say to whom, with /to bob or bob: hello"],
    ['{"do":"refuse","ref":1}', "Who? For example: refuse bob"],
    ['{"to":"dave","text":"\\ud800","ref":1}', 'Not done: "text" has half a character in it'],
  ];
  for (const [text, message] of wrong) {
    await alice.write(`${text}\n`);
    await alice.event("error", { code: "usage", message, ref: 1 });
  }
  for (const text of ["{", '{"text":"x"', '{"to":"dave","text":"x","ref":{}}']) {
    const before = alice.events.filter(({ event }) => event === "error").length;
    await alice.write(`${text}\n`);
    await alice.until(
      "an error",
      () => alice.events.filter(({ event }) => event === "error").length === before + 1,
    );
  }
  const long = "x".repeat(20_000);
  await alice.write(line({ to: "dave", text: long, ref: 2 }));
  await alice.event("error", { code: "limit", ref: 2, with: "dave" });
  await alice.write(line({ to: "dave", text: "still here", ref: 3 }));
  await dave.event("message", { text: "still here" });
});

Deno.test("many messages with refs at once keep their own", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--json"]);
  const count = 300;
  let all = "";
  for (let i = 1; i <= count; i++) all += line({ text: `m${i}`, ref: `r${i}` });
  await alice.write(all);
  await alice.event("queued", { number: count });
  const queued = alice.events.filter(({ event }) => event === "queued");
  assertEquals(
    queued.map(({ number, ref }) => [number, ref]),
    Array.from({ length: count }, (_, i) => [i + 1, `r${i + 1}`]),
  );
});

Deno.test("lines end by LF or CRLF, a mark and NUL and an endless line are what the page says", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  await alice.write(new Uint8Array([0xef, 0xbb, 0xbf]));
  await alice.write("one\r\n\ntwo\u0000\n");
  await alice.write(new Uint8Array([0xff, 0x0a]));
  await alice.write("x".repeat(1_500_000));
  await alice.write('\n{"text":"three"}\r\n/quit\nlast');
  await alice.endInput();
  await alice.event("error", { code: "limit" });
  await bob.event("message", { text: "last" });
  const texts = bob.events.filter(({ event }) => event === "message").map(({ text }) => text);
  assertEquals(texts, ["one", "", "two\u0000", "\ufffd", "three", "/quit", "last"]);
  assertEquals(alice.events.filter(({ event }) => event === "error").length, 1);
  await bob.endInput();
  await Promise.all([alice.exits(0), bob.exits(0)]);
  // The end has a number, and is no message.
  const numbers = alice.events.filter(({ event }) => event === "queued").map(({ number }) =>
    number
  );
  assertEquals(numbers, [1, 2, 3, 4, 5, 6, 7]);
  assert(!bob.events.some(({ event }) => event === "queued"), "nothing was said");
});

Deno.test("users as the first command waits for the first list", async () => {
  await using scene = await Scene.withServer();
  await inLobby(scene, "bob");
  const server = ["--server", `127.0.0.1:${scene.port}`];
  for (let round = 0; round < 5; round++) {
    const alice = scene.start("connect", "alice", ["--name", "alice", ...server, "--json"]);
    await alice.write('{"do":"users"}\n{"do":"quit"}\n');
    await alice.exits(0);
    const { people } = await alice.event("users", { isConnected: true });
    assertEquals((people as { name: string }[]).map(({ name }) => name), ["bob"]);
  }
});

Deno.test("users --json tells by which key somebody is known, also while a chat is open", async () => {
  await using scene = await Scene.withServer();
  const bob = await inLobby(scene, "bob");
  const look = async () => {
    const users = scene.start("users", "alice", [
      "--name",
      "alice",
      "--server",
      `127.0.0.1:${scene.port}`,
      "--json",
    ]);
    await users.exits(0);
    return await users.event("user", { name: "bob" });
  };
  assertEquals(await look(), { event: "user", name: "bob", state: "here", isVerified: false });
  const alice = scene.connect("alice", "bob", ["--json"]);
  await bob.write(line({ do: "accept", with: "alice" }));
  await alice.event("connected");
  const { fingerprint } = await bob.event("profile");
  const known = {
    event: "user",
    name: "bob",
    state: "here",
    suite: "modern",
    fingerprint,
    isVerified: false,
  };
  assertEquals(await look(), known);
  alice.kill("SIGTERM");
  await alice.exits(0);
  assertEquals(await look(), known);
});
