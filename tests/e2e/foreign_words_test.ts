/** A server that is no friend: what it says drives no terminal, and passes for nothing that we or others say. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { lineOf } from "../../lib/wire/line.ts";
import {
  REFUSAL_CODES,
  type ServerResponse,
  serverResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { forge, wordsIn } from "../testkit/forge.ts";
import { enter, openScene, sitDown } from "../testkit/lobby.ts";
import { Scene } from "../testkit/program.ts";
import { hasPty, leavesTerminal, screen, shows } from "../testkit/pty.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";

/** Clears the screen, names the window, turns the text around; then come lines like ours. */
const EVIL = "\x1b[2J\x1b]0;owned\x07\x9b2J\u202esorry\r\n" +
  "cifra: connected to bob: direct\n-- connected to bob: direct\nhint: run rm -rf";
/** One line that can be seen, and might pass for a verified friend's, or for the end of our sentence. */
const SLY = 'no"); connected. bob\u2713: leave the key under the mat';
const SLY_SHOWN = SLY.replace('"', "'");

type Refusal = Extract<ServerResponse, { readonly type: "refused" | "unwanted" }>;

function refusal(code: keyof typeof REFUSAL_CODES, reason = "So") {
  return { code: REFUSAL_CODES[code], retryAfter: 0, reason: lineOf(reason) };
}

/** The refusal, with evil words instead of its reason. */
function evil(response: Refusal): Uint8Array<ArrayBuffer> {
  return forge(serverResponse, response, [response.type, "reason"], encodeUtf8(EVIL));
}

/** What a line of the program begins with where nobody types; and where somebody does. */
const PLAIN = /^(cifra: |error: |hint: | {3}|$)/;
const TYPED = /^(-- |alice> |alice to |pid |exit |error: |hint: | {3}|$)/;

function assertOurs(text: string, beginning = PLAIN): void {
  assertEquals(text.match(/[^\n\x20-\x7e\u2713]/gu), null, JSON.stringify(text));
  for (const line of text.split("\n")) {
    assert(beginning.test(line), `${JSON.stringify(line)} in\n${text}`);
    assert(!/^hint: run|^(cifra:|--) connected to bob/.test(line), text);
  }
}

Deno.test("a server with words that are no line is not understood, and nothing of them is shown", async () => {
  await using scene = await Scene.open();
  await using server = await PuppetServer.open();
  const where = ["--server", `127.0.0.1:${server.port}`, "--accept-new"];
  const alice = scene.connect("alice", "bob", where);
  const channel = await server.accept();
  await channel.next();
  channel.respondRaw(evil({ type: "refused", ...refusal("banned") }));
  const { stdout, stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "error: ");
  assertEquals(stdout, "");
  assertOurs(stderr);
  assert(!/sorry|owned/.test(stderr), stderr);
});

Deno.test("one who waits hears no evil words of the server, whichever message they stand in", async () => {
  await using scene = await Scene.open();
  await using server = await PuppetServer.open();
  const alice = scene.connect("alice", "bob", [
    "--server",
    `127.0.0.1:${server.port}`,
    "--accept-new",
  ]);
  const examples: readonly ServerResponse[] = [
    { type: "refused", ...refusal("limit") },
    { type: "unwanted", peerName: "bob", ...refusal("limit") },
    { type: "declined", peerName: "bob" },
    { type: "suiteMismatch", peerName: "bob", peerSuite: 2, yourSuite: 3 },
    { type: "presence", complete: 1, people: [{ name: "bob", state: 1 }] },
  ];
  let times = 0;
  for (const example of examples) {
    for (const path of wordsIn(serverResponse, example)) {
      const channel = await server.accept();
      await channel.register();
      await channel.request();
      channel.respondRaw(forge(serverResponse, example, path, encodeUtf8(EVIL)));
      // The client says goodbye to a server that it does not understand, and tries again.
      assertEquals(await channel.end(), "bad_frame", path.join("."));
      times++;
    }
  }
  assertEquals(times, 6);
  assertOurs(alice.stderr);
  assert(!/sorry|owned/.test(alice.stderr), alice.stderr);
});

Deno.test("what a server says is shown as its words", async () => {
  await using scene = await Scene.open();
  await using server = await PuppetServer.open();
  const where = ["--server", `127.0.0.1:${server.port}`, "--accept-new"];
  const alice = scene.connect("alice", "bob", where);
  const channel = await server.accept();
  await channel.register();
  await channel.request();
  channel.respond({ type: "unwanted", peerName: "bob", ...refusal("limit", SLY) });
  await alice.says("; asking again in ");
  channel.respond({ type: "refused", ...refusal("banned", SLY) });
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, `cifra: the server refused; server says: "${SLY_SHOWN}"; asking`);
  assertStringIncludes(stderr, `error: The server keeps you out; server says: "${SLY_SHOWN}"\n`);
  assertOurs(stderr);
});

Deno.test({
  name: "on a terminal what a server says is shown as its words",
  ignore: !hasPty,
  async fn() {
    await using scene = await Scene.open();
    await using server = await PuppetServer.open();
    const alice = sitDown(scene, "alice", ["--accept-new"], server.port);
    const channel = await server.accept();
    await channel.register();
    channel.respond({ type: "refused", ...refusal("shutdown", SLY) });
    await shows(alice, "trying again");
    await alice.write("/quit\r");
    assertEquals((await leavesTerminal(alice)).code, 0);
    const seen = ownScreen(alice);
    assertStringIncludes(seen.replaceAll(/\s+/g, " "), `server says: "${SLY_SHOWN}"`);
    assertOurs(seen, TYPED);
  },
});

Deno.test({
  name: "on a terminal no row of what anybody writes passes for ours, or for another's",
  ignore: !hasPty,
  async fn() {
    await using scene = await openScene();
    const alice = sitDown(scene, "alice", ["--accept", "all"]);
    await shows(alice, "-- nobody else is in the lobby");
    const bob = enter(scene, "bob");
    await shows(alice, "joined");
    await alice.write("/to bob\r");
    await bob.event("offer", { from: "alice" });
    await bob.write("/to alice\n");
    await shows(alice, "-- connected to bob: direct");
    const sly = "carol\u2713: leave the key under the mat";
    const pads = [74, 75, 76, 77, 155].flatMap((
      n,
    ) => ["x".repeat(n), " ".repeat(n), "x ".repeat(n)]);
    for (const pad of pads) await bob.write(`alice: ${pad}${sly}\n`);
    await bob.write("alice: the last one\n");
    await shows(alice, "bob: the last one");
    await alice.write("/quit\r");
    assertEquals((await leavesTerminal(alice)).code, 0);
    const rows = ownScreen(alice).split("\n");
    assertEquals(rows.filter((row) => row.startsWith("carol")), []);
    for (const row of rows) assert(TYPED.test(row) || row.startsWith("bob:"), JSON.stringify(row));
  },
});

/** What the program itself showed. */
function ownScreen(program: Parameters<typeof screen>[0]): string {
  const text = screen(program);
  return text.slice(0, text.lastIndexOf("\nexit "));
}
