/** Somebody closes the window of the terminal while a program runs in it. */
import { assertEquals } from "@std/assert";
import { Scene, sourceCommand, type Task } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";
import { hasTmux, Window } from "../testkit/tmux.ts";

function windowTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasTmux, fn: within(120, fn) });
}

/** A program in a window of its own; `close` closes that, and gives the exit code. */
async function inWindow(
  scene: Scene,
  task: Task,
  args: readonly string[],
): Promise<{ readonly pane: Window; readonly close: () => Promise<string> }> {
  const home = scene.stateOf(`home of ${task}`);
  const denoDir = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
  const env = { HOME: home, XDG_STATE_HOME: `${home}/state`, NO_COLOR: "1", DENO_DIR: denoDir };
  const pane = await Window.open({ ...env, TERM: "tmux-256color" });
  const state = scene.stateOf(task);
  const command = [...sourceCommand(task, state), "--state", state, ...args];
  const words = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  const code = `${scene.folder}/${task}.code`;
  // A shell that is told of the end as well, and stays for the exit code.
  await pane.line(`trap : HUP; ${words}; echo $? > '${code}'`);
  const close = async () => {
    await pane.close();
    return (await Deno.readTextFile(code)).trim();
  };
  return { pane, close };
}

windowTest("whoever closes the window says goodbye, and the program ends in order", async () => {
  await using scene = await Scene.withServer();
  const server = ["--server", `127.0.0.1:${scene.port}`, "--accept-new"];
  const talk = ["--name", "alice", "--to", "bob", ...server];
  const { pane, close } = await inWindow(scene, "connect", talk);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await bob.event("connected");
  await pane.shows("-- connected to bob");
  assertEquals(await close(), "0");
  await bob.event("peer-left", { failed: false });
});

windowTest("so does a server whose window is closed", async () => {
  await using scene = await Scene.open();
  const { pane, close } = await inWindow(scene, "serve", ["--port", "0"]);
  await pane.shows("server>");
  assertEquals(await close(), "0");
});
