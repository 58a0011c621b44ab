/** Somebody closes the window of the terminal while a program runs in it. */
import { assertEquals } from "@std/assert";
import { Scene, sourceCommand, type Task } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";
import { hasTmux, Window } from "../testkit/tmux.ts";

function windowTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasTmux, fn: within(120, fn) });
}

/** A program in a window of its own, once it shows `text`; the returned function closes that and gives the exit code. */
async function inWindow(
  scene: Scene,
  task: Task,
  args: readonly string[],
  text: string,
): Promise<() => Promise<string>> {
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
  await pane.shows(text);
  return async () => {
    await pane.close();
    return (await Deno.readTextFile(code)).trim();
  };
}

windowTest("whoever closes the window says goodbye, and the program ends in order", async () => {
  await using scene = await Scene.withServer();
  const server = ["--server", `127.0.0.1:${scene.port}`, "--accept-new"];
  const talk = ["--name", "alice", "--to", "bob", ...server];
  const close = await inWindow(scene, "connect", talk, "-- waiting for bob");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await bob.event("connected");
  assertEquals(await close(), "0");
  await bob.event("peer-left", { failed: false });
});

windowTest("so does a server whose window is closed", async () => {
  await using scene = await Scene.open();
  const close = await inWindow(scene, "serve", ["--port", "0"], "server>");
  assertEquals(await close(), "0");
});
