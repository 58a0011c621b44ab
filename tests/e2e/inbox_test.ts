/** What others left: printed or handed to a command, and read only then. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { whoAndWhere } from "../testkit/lobby.ts";
import { type CastOptions, type Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

function inbox(
  scene: Scene,
  name: string,
  args: readonly string[] = [],
  options: CastOptions = {},
): Program {
  return scene.start("inbox", name, [...whoAndWhere(scene, name), ...args], options);
}

/** Somebody leaves these texts, one after the other. */
async function leave(scene: Scene, from: string, to: string, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    const args = [...whoAndWhere(scene, from), "--to", to, "--accept-new", "--text", text];
    await scene.start("send", from, args).exits(0);
  }
}

/** A server at which these people have been. */
async function sceneWith(...names: string[]): Promise<Scene> {
  const scene = await Scene.withServer("--handshakes-per-minute", "0");
  for (const name of names) await inbox(scene, name).exits(0);
  return scene;
}

const STAMP = /^\d{4}-\d\d-\d\d \d\d:\d\d /gm;

Deno.test(
  "mail of strangers stays shut until it is agreed to; what is printed is read",
  within(90, async () => {
    await using scene = await sceneWith("alice", "bob", "carol");
    await leave(scene, "alice", "bob", "one", "two\nlines");
    await leave(scene, "carol", "bob", "three");
    const shut = await inbox(scene, "bob").exits(0);
    assertEquals(shut.stdout, "");
    assertStringIncludes(shut.stderr, "alice, who is not known here, left something");
    assertStringIncludes(shut.stderr, "cifra inbox --accept all --from alice");
    const one = await inbox(scene, "bob", ["--accept", "all", "--from", "alice"]).exits(0);
    assertEquals(one.stdout.replace(STAMP, ""), "alice: one\nalice: two\n    lines\n");
    assertStringIncludes(one.stderr, "first contact with alice");
    await leave(scene, "alice", "bob", "four");
    // Unread, and known: oldest first is the order in which it came here.
    const all = await inbox(scene, "bob", ["--accept", "all"]).exits(0);
    assertEquals(all.stdout.replace(STAMP, "").split("\n").sort(), [
      "",
      "alice: four",
      "carol: three",
    ]);
    assertStringIncludes((await inbox(scene, "bob").exits(0)).stderr, "nothing new");
  }),
);

Deno.test(
  "a reader that is gone marks nothing, and a server that cannot be reached hides nothing",
  within(90, async () => {
    await using scene = await sceneWith("alice", "bob");
    await leave(scene, "alice", "bob", "one", "two");
    const start: CastOptions["start"] = (task, folder) => {
      const words = ["deno", "run", "-A", "-q", "main.ts", task, "--state", folder];
      const args = [...whoAndWhere(scene, "bob"), "--accept", "all"];
      return ["sh", "-c", `${[...words, ...args].join(" ")} | true; exit 0`];
    };
    await scene.start("inbox", "bob", [], { start }).exits(0);
    // Nothing was read: the same is there, also where there is no server.
    const bob = scene.start("inbox", "bob", [
      "--name",
      "bob",
      "--server",
      "127.0.0.1:1",
      "--give-up",
      "0",
      "--json",
    ]);
    const { stdout } = await bob.exits(1);
    assertEquals(
      stdout.split("\n").flatMap((line) => /"text":"(\w+)"/.exec(line)?.[1] ?? []),
      ["one", "two"],
    );
    assertEquals(bob.events.at(-1)!.code, "unreachable");
  }),
);

Deno.test(
  "--follow stays and prints what comes, and its writer is told that it was read",
  within(90, async () => {
    await using scene = await sceneWith("alice", "bob");
    const bob = inbox(scene, "bob", ["--follow", "--accept", "all", "--json"]);
    const args = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new"];
    const alice = scene.start("send", "alice", [...args, "--wait", "read", "--text", "hello"]);
    await bob.event("message", { from: "alice", text: "hello", with: "alice" });
    assertStringIncludes((await alice.exits(0)).stderr, "bob has read it");
    bob.kill("SIGINT");
    await bob.exits(130);
  }),
);

Deno.test({
  name:
    "--exec runs once for each message, and one on which it fails stays unread with all after it",
  ignore: Deno.build.os === "windows",
  fn: within(120, async () => {
    await using scene = await sceneWith("alice", "bob", "carol");
    const got = `${scene.folder}/got`;
    await leave(scene, "alice", "bob", "one", "bad", "after");
    await leave(scene, "carol", "bob", "$(touch never)");
    const command = `text=$(cat); [ "$text" = bad ] && exit 7; ` +
      `echo "$CIFRA_FROM $CIFRA_NUMBER \${CIFRA_WRITTEN%%-*} $text" >> ${got}`;
    const first = await inbox(scene, "bob", ["--accept", "all", "--exec", command]).exits(1);
    assertStringIncludes(first.stderr, "message 2 of alice stays unread");
    assertStringIncludes(first.stderr, "the command failed with 7");
    const year = new Date().getUTCFullYear();
    const lines = async () => (await Deno.readTextFile(got)).trimEnd().split("\n").sort();
    assertEquals(await lines(), [`alice 1 ${year} one`, `carol 1 ${year} $(touch never)`]);
    await inbox(scene, "bob", ["--exec", `cat >> ${got}`]).exits(0);
    assertEquals((await Deno.readTextFile(got)).split("\n").at(-1), "badafter");
    assertStringIncludes((await inbox(scene, "bob").exits(0)).stderr, "nothing new");
  }),
});
