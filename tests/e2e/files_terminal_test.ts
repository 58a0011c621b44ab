/** Sending and receiving at a terminal: what stands there meanwhile, and what is asked. */
import { assert, assertEquals } from "@std/assert";
import { contents, fill, WITH_FILES, WITH_FILES_ON_TERMINAL } from "../testkit/files.ts";
import { whoAndWhere } from "../testkit/lobby.ts";
import { hasPty } from "../testkit/pty.ts";
import { type Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

function sendAtTerminal(scene: Scene, path: string, args: readonly string[]): Program {
  const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new"];
  return scene.start("send", "alice", [path, ...who, ...args], WITH_FILES_ON_TERMINAL);
}

function receiveAtTerminal(scene: Scene, args: readonly string[]): Program {
  const who = [...whoAndWhere(scene, "bob"), "--from", "alice", "--accept-new"];
  return scene.start("receive", "bob", [...who, ...args], WITH_FILES_ON_TERMINAL);
}

Deno.test({
  name: "a person is asked about what is not taken by itself: yes brings it, no tells its sender",
  ignore: !hasPty,
  fn: within(60, async () => {
    await using scene = await Scene.withServer();
    const into = `${scene.folder}/into`;
    for (const name of ["one", "other"]) await fill(`${scene.folder}/${name}`, 1000);
    const bob = receiveAtTerminal(scene, ["--accept", "none", "--into", into, "--keep"]);
    const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new", "--json"];
    const alice = scene.start("send", "alice", [`${scene.folder}/one`, ...who], WITH_FILES);
    await bob.prints('alice offers "one" (1.0 kB): take it? [y/N]');
    await bob.write("y\r");
    await alice.exits(0);
    await bob.prints('"one" of alice is in');
    const second = scene.start("send", "alice", [`${scene.folder}/other`, ...who], WITH_FILES);
    await bob.prints('alice offers "other" (1.0 kB): take it? [y/N]');
    await bob.write("n\r");
    await second.exits(1);
    assertEquals([...await contents(into)].map(([name]) => name), ["/one"]);
  }),
});

Deno.test({
  name: "how far it is stands in one row that is drawn again, and is gone at the end",
  ignore: !hasPty,
  fn: within(60, async () => {
    await using scene = await Scene.withServer();
    const into = `${scene.folder}/into`;
    await fill(`${scene.folder}/film`, 40_000_000);
    const alice = sendAtTerminal(scene, `${scene.folder}/film`, ["--relay-only"]);
    const bob = receiveAtTerminal(scene, ["--into", into]);
    await Promise.all([alice.prints("exit 0"), bob.prints("exit 0")]);
    for (const { stdout, stderr } of [alice, bob]) {
      // deno-lint-ignore no-control-regex
      const row = /\r\x1b\[K"?film"? {2}[\u2588\u2591]{10} +\d+ % {2}[\d.]+ MB of 40 MB/;
      assert(row.test(stdout), `${stdout}\n${stderr}`);
      assert(/40 MB in [\d.:]+(?: s)?, [\d.]+ MB\/s/.test(stdout), stdout);
    }
  }),
});
