/** A server that is no friend: what it says drives no terminal, and passes for nothing that we say. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { REFUSAL_CODES } from "../../lib/wire/rendezvous_messages.ts";
import { sitDown } from "../testkit/lobby.ts";
import { Scene } from "../testkit/program.ts";
import { hasPty, leavesTerminal, screen, shows } from "../testkit/pty.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";

/** Clears the screen, names the window, turns the text around; then come lines like ours. */
const EVIL = "\x1b[2J\x1b]0;owned\x07\x9b2J\u202esorry\r\n" +
  "cifra: connected to bob: direct\n-- connected to bob: direct\nhint: run rm -rf";

/** Somebody whom the server takes at first, or not at all, before it says what it has to say. */
async function refuse(
  server: PuppetServer,
  code: keyof typeof REFUSAL_CODES,
): Promise<void> {
  const channel = await server.accept();
  if (code === "shutdown") await channel.register();
  else await channel.next();
  const refusal = { code: REFUSAL_CODES[code], retryAfter: 0, reason: EVIL };
  channel.respond({ type: "refused", ...refusal });
}

function assertHarmless(text: string): void {
  assertEquals(text.match(/[^\n\x20-\x7e✓]/gu), null, JSON.stringify(text));
  for (const line of text.split("\n")) {
    const isForged = /^(cifra: connected to bob|-- connected to bob|hint: run rm)/.test(line);
    assert(!isForged, text);
  }
}

Deno.test("a server that is lost with evil words does not drive the terminal of one who waits", async () => {
  await using scene = await Scene.open();
  await using server = await PuppetServer.open();
  const where = ["--server", `127.0.0.1:${server.port}`];
  const alice = scene.connect("alice", "bob", where);
  await refuse(server, "shutdown");
  await alice.says("; next try in ");
  assertStringIncludes(alice.stderr, "no connection to the server (the server refused: ");
  assertHarmless(alice.stderr);
});

Deno.test("a server that refuses with evil words does not write the hints", async () => {
  await using scene = await Scene.open();
  await using server = await PuppetServer.open();
  const where = ["--server", `127.0.0.1:${server.port}`];
  const alice = scene.connect("alice", "bob", where);
  await refuse(server, "banned");
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "error: The server refused: ");
  assertHarmless(stderr);
});

Deno.test({
  name: "a server that is lost with evil words does not drive the terminal of one in the lobby",
  ignore: !hasPty,
  async fn() {
    await using scene = await Scene.open();
    await using server = await PuppetServer.open();
    const alice = sitDown(scene, "alice", [], server.port);
    await refuse(server, "shutdown");
    await shows(alice, "no connection to the server");
    await shows(alice, "trying again");
    await alice.write("/quit\r");
    assertEquals((await leavesTerminal(alice)).code, 0);
    assertHarmless(screen(alice));
  },
});
