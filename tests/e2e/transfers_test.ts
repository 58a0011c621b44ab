/** `cifra transfers`: beside a running program and alone; and what goes on, or cannot, when somebody connects. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { contents, fill, WITH_FILES } from "../testkit/files.ts";
import { whoAndWhere } from "../testkit/lobby.ts";
import { type Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";
import { until } from "../testkit/until.ts";

function send(scene: Scene, path: string): Program {
  const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new", "--json"];
  return scene.start("send", "alice", [path, ...who], WITH_FILES);
}

function receive(scene: Scene, into: string): Program {
  const who = [...whoAndWhere(scene, "bob"), "--accept-new", "--json"];
  return scene.start("receive", "bob", [...who, "--from", "alice", "--into", into], WITH_FILES);
}

async function list(scene: Scene, name: string, ...args: readonly string[]): Promise<string> {
  const program = scene.start("transfers", name, [...args, "--name", name]);
  return (await program.exits(0)).stdout;
}

/** Alice has offered a file, and gone. */
async function offered(scene: Scene): Promise<{ readonly path: string; readonly id: string }> {
  const path = `${scene.folder}/thesis.pdf`;
  await fill(path, 1000);
  const alice = send(scene, path);
  const { transfer } = await alice.event("file-offered");
  // While it runs, it is asked.
  assertStringIncludes(await list(scene, "alice"), "to bob  thesis.pdf (1.0 kB)  offered");
  alice.kill("SIGINT");
  await alice.exits(130);
  return { path, id: String(transfer).slice(0, 4) };
}

Deno.test(
  "what is not over is listed and cancelled, and the other side learns of it",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const { path, id } = await offered(scene);
    const line = `${id}  to bob  thesis.pdf (1.0 kB)  offered, and not accepted yet\n`;
    assertEquals(await list(scene, "alice"), line);
    const wrong = scene.start("transfers", "alice", ["cancel", "zz", "--name", "alice"]);
    assertStringIncludes((await wrong.exits(2)).stderr, "There is no transfer that is not over");
    const done = scene.start("transfers", "alice", ["cancel", id, "--name", "alice"]);
    assertStringIncludes((await done.exits(0)).stderr, "thesis.pdf is cancelled");
    assertEquals(await list(scene, "alice"), "");
    assertStringIncludes(await list(scene, "alice", "--all"), "thesis.pdf (1.0 kB)  cancelled");
    // The next one who connects says so; the same command offers it anew.
    const alice = send(scene, path);
    const bob = scene.connect("bob", "alice", ["--json"], WITH_FILES);
    await bob.event("file-over", { state: "cancelled", who: "peer" });
    // Beside a program that runs it is that one which cancels.
    const second = await alice.event("file-offered");
    await bob.event("file", { word: "offer", transfer: second.transfer });
    const args = ["cancel", String(second.transfer), "--json", "--name", "alice"];
    await scene.start("transfers", "alice", args).exits(0);
    await alice.exits(1);
    await bob.event("file-over", { transfer: second.transfer, state: "cancelled" });
  }),
);

Deno.test(
  "what has come of what is cancelled, with no program to remove it, is told with what removes it",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const path = `${scene.folder}/film`, into = `${scene.folder}/into`;
    await Deno.writeTextFile(path, "");
    await Deno.truncate(path, 2_000_000_000);
    const alice = send(scene, path);
    const bob = receive(scene, into);
    await bob.event("file-progress");
    bob.kill("SIGINT");
    await bob.exits(130);
    alice.kill("SIGINT");
    await alice.exits(130);
    const left = () => [...Deno.readDirSync(into)].map(({ name }) => name);
    const [staging] = left();
    const { transfer } = await bob.event("file-accepted");
    const args = ["cancel", String(transfer).slice(0, 6), "--name", "bob"];
    const { stderr } = await scene.start("transfers", "bob", args).exits(0);
    assertStringIncludes(
      stderr,
      `what has come of it is still in ${into}/${staging}: remove that folder, or ` +
        `cifra receive --from alice --into ${into} does`,
    );
    const again = receive(scene, into);
    await until(() => left().length === 0, "it is removed");
    again.kill("SIGINT");
    await again.exits(130);
  }),
);

Deno.test(
  "what was offered goes on in a conversation that may read it, and waits in one that may not",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const into = `${scene.folder}/into`;
    await offered(scene);
    const blind = scene.connect("alice", "bob", ["--json"], WITH_FILES);
    const bob = receive(scene, into);
    await blind.event("file-stuck", { who: "us" });
    await bob.event("file-stuck", { who: "peer", why: "may not use the file or folder" });
    blind.kill("SIGINT");
    await blind.exits(130);
    const seeing = scene.connect("alice", "bob", ["--json", "--files", scene.folder], WITH_FILES);
    await seeing.event("file-over", { state: "done" });
    await bob.exits(0);
    assertEquals([...await contents(into)].map(([name]) => name), ["/thesis.pdf"]);
  }),
);

Deno.test(
  "a stream that was offered by a program that has gone has failed, and both are told",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new"];
    const alice = scene.start("send", "alice", ["-", "--as", "x.tar", ...who], WITH_FILES);
    await alice.says("x.tar is offered to bob");
    alice.kill("SIGINT");
    assertStringIncludes(
      (await alice.exits(130)).stderr,
      "x.tar has not arrived, and cannot go on",
    );
    const bob = receive(scene, `${scene.folder}/into`);
    const again = scene.connect("alice", "bob", ["--json"], WITH_FILES);
    await again.event("file-over", { name: "x.tar", state: "failed", who: "us" });
    await bob.exits(1);
    await bob.event("file-over", { state: "failed", who: "peer" });
  }),
);

Deno.test(
  "while a conversation runs, what is to be sent is handed to it, if it may read that",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const shared = `${scene.folder}/shared`, into = `${scene.folder}/into`;
    await Deno.mkdir(shared);
    for (const path of [`${shared}/thesis.pdf`, `${scene.folder}/secret`]) await fill(path, 1000);
    const alice = scene.connect("alice", "bob", ["--json", "--files", shared], WITH_FILES);
    await alice.event("profile");
    const second = send(scene, `${shared}/thesis.pdf`);
    const { transfer } = await second.event("file-offered", { peer: "bob" });
    const refused = send(scene, `${scene.folder}/secret`);
    await refused.exits(1);
    const { message } = await refused.event("error", { code: "locked" });
    assertEquals(message, `Another cifra runs as you, and may not read ${scene.folder}/secret`);
    const bob = receive(scene, into);
    await bob.exits(0);
    await second.exits(0);
    await second.event("file-over", { transfer, state: "done" });
    await alice.event("file-over", { transfer, state: "done" });
    assertEquals([...await contents(into)].map(([name]) => name), ["/thesis.pdf"]);
    // A link in a folder is no failure here either.
    await Deno.mkdir(`${shared}/in`);
    await fill(`${shared}/in/file`, 10);
    await Deno.symlink("file", `${shared}/in/link`);
    const folder = send(scene, `${shared}/in`);
    await receive(scene, into).exits(0);
    await folder.exits(0);
    // It may be left: the other one goes on.
    const third = send(scene, `${shared}/thesis.pdf`);
    await third.event("file-offered");
    third.kill("SIGINT");
    await third.exits(130);
    await receive(scene, into).exits(0);
  }),
);
