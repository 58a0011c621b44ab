/** `cifra send FILE...` and `cifra receive`: whole folders between two disks, whoever is killed, and what is said. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { contents, digest, fill, grow, WITH_FILES } from "../testkit/files.ts";
import { whoAndWhere } from "../testkit/lobby.ts";
import { type CastOptions, type Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";
import { until } from "../testkit/until.ts";
import { hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";

function send(
  scene: Scene,
  paths: readonly string[],
  args: readonly string[] = [],
  options: CastOptions = WITH_FILES,
): Program {
  const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new", "--json"];
  return scene.start("send", "alice", [...paths, ...who, ...args], options);
}

function receive(
  scene: Scene,
  args: readonly string[] = [],
  options: CastOptions = WITH_FILES,
): Program {
  const who = [...whoAndWhere(scene, "bob"), "--accept-new", "--json"];
  return scene.start("receive", "bob", [...who, ...args], options);
}

/** What was told of a disk that is full, in order. */
function stuck(program: Program): readonly string[] {
  return program.events.map(({ event }) => event).filter((event) => event.endsWith("stuck"));
}

/** Bytes of all files below a folder. */
function sizeBelow(folder: string): number {
  return [...Deno.readDirSync(folder)].reduce((sum, { name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return sum + (isDirectory ? sizeBelow(path) : Deno.statSync(path).size);
  }, 0);
}

Deno.test(
  "a folder and a file come as they are, and both programs end",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const source = `${scene.folder}/source`, into = `${scene.folder}/into`;
    await grow(`${source}/photos`);
    await Deno.writeTextFile(`${source}/run.sh`, "echo hi\n", { mode: 0o755 });
    const paths = [`${source}/photos`, `${source}/run.sh`];
    const alice = send(scene, paths);
    const bob = receive(scene, ["--from", "alice", "--into", into]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
    assertEquals(await contents(into), await contents(source));
    assertEquals((await Deno.stat(`${into}/run.sh`)).mode! & 0o111, 0o111);
    const { names } = await bob.event("file-received");
    assertEquals(names, ["photos", "run.sh"]);
    await alice.event("file-over", { state: "done", who: "peer", skipped: 0 });
  }),
);

Deno.test(
  "in the lobby whoever is known is answered, and what they offer comes",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const path = `${scene.folder}/thesis.pdf`, into = `${scene.folder}/into`;
    await fill(path, 100_000);
    // They meet.
    const all = receive(scene, ["--accept", "all", "--into", into]);
    await send(scene, [path]).exits(0);
    await all.exits(0);
    const bob = receive(scene, ["--into", into, "--limit", "100kB"]);
    await send(scene, [path]).exits(0);
    await bob.exits(0);
    // Nothing is replaced.
    assertEquals([...await contents(into)].map(([name]) => name), [
      "/thesis (2).pdf",
      "/thesis.pdf",
    ]);
    assertEquals(await digest(`${into}/thesis (2).pdf`), await digest(path));
  }),
);

Deno.test(
  "what is too large is not taken by itself, and waits",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const path = `${scene.folder}/thesis.pdf`, into = `${scene.folder}/into`;
    await fill(path, 1001);
    const alice = send(scene, [path]);
    const bob = receive(scene, ["--from", "alice", "--limit", "1kB", "--into", into]);
    await bob.event("file-waits", { name: "thesis.pdf", bytes: 1001 });
    bob.kill("SIGINT");
    await bob.exits(130);
    await receive(scene, ["--from", "alice", "--into", into]).exits(0);
    await alice.exits(0);
  }),
);

Deno.test(
  "what is not wanted is told to its sender, who ends with 1",
  within(60, async () => {
    await using scene = await Scene.withServer();
    await Deno.writeTextFile(`${scene.folder}/joke.txt`, "ha");
    const alice = send(scene, [`${scene.folder}/joke.txt`]);
    const bob = scene.connect("bob", "alice", ["--json"], WITH_FILES);
    await bob.event("file", { word: "offer" });
    await bob.write('{"do":"decline"}\n');
    await alice.exits(1);
    const { message } = await alice.event("error");
    assertEquals(message, "joke.txt has not arrived: refused");
  }),
);

Deno.test(
  "a stream of unknown length comes whole",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const into = `${scene.folder}/into`;
    const alice = send(scene, ["-"], ["--as", "backup.tar"]);
    const bob = receive(scene, ["--from", "alice", "--into", into]);
    const piece = crypto.getRandomValues(new Uint8Array(60_000));
    for (let i = 0; i < 50; i++) await alice.write(piece);
    await alice.endInput();
    await Promise.all([alice.exits(0), bob.exits(0)]);
    const whole = await Deno.readFile(`${into}/backup.tar`);
    assertEquals(whole.length, 50 * piece.length);
    for (let i = 0; i < 50; i++) {
      assertEquals(whole.subarray(i * piece.length, (i + 1) * piece.length), piece);
    }
  }),
);

/** How many bytes of the film lie where it is put together. */
function staged(into: string): number {
  for (const { name } of Deno.readDirSync(into)) {
    try {
      if (name.startsWith(".cifra-")) return Deno.statSync(`${into}/${name}/tree/photos/film`).size;
    } catch {
      // It was just moved, or is not there yet.
    }
  }
  return 0;
}

/** Runs both until they end, killing `whom` when so many bytes have come. */
async function killing(whom: "alice" | "bob", at: readonly number[]): Promise<void> {
  await using scene = await Scene.withServer("--handshakes-per-minute", "0");
  const source = `${scene.folder}/source`, into = `${scene.folder}/into`;
  await Deno.mkdir(into);
  await grow(`${source}/photos`);
  await fill(`${source}/photos/film`, 60_000_000);
  const start = {
    alice: () => send(scene, [`${source}/photos`], ["--relay-only"]),
    bob: () => receive(scene, ["--from", "alice", "--into", into]),
  };
  const programs = { alice: start.alice(), bob: start.bob() };
  for (const bytes of at) {
    await until(() => staged(into) >= bytes, `${bytes} bytes`);
    programs[whom].kill("SIGKILL");
    await programs[whom].exit();
    const isWhole = [...Deno.readDirSync(into)].some(({ name }) => name === "photos");
    assert(!isWhole, "something was under way when it was killed");
    programs[whom] = start[whom]();
  }
  await Promise.all([programs.alice.exits(0), programs.bob.exits(0)]);
  assertEquals(await contents(into), await contents(source));
}

for (const whom of ["alice", "bob"] as const) {
  const who = whom === "alice" ? "sender" : "receiver";
  Deno.test(
    `when the ${who} is killed, the same command goes on, and all of it comes`,
    within(120, () => killing(whom, [2_000_000, 20_000_000])),
  );
}

Deno.test(
  "whoever is interrupted is told how it goes on",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const path = `${scene.folder}/thesis.pdf`;
    await fill(path, 1000);
    const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new"];
    const alice = scene.start("send", "alice", [path, ...who], WITH_FILES);
    await alice.says("is offered to bob");
    alice.kill("SIGINT");
    const { stderr } = await alice.exits(130);
    assertStringIncludes(stderr, "thesis.pdf is kept: it goes on with the same command");
    const late = scene.start("send", "alice", [path, ...who, "--give-up", "1"], WITH_FILES);
    assertStringIncludes((await late.exits(1)).stderr, "bob was not here for 1 s");
    const again = scene.start("send", "alice", [path, ...who], WITH_FILES);
    await again.says("was offered before: it goes on");
    await receive(scene, ["--from", "alice", "--into", `${scene.folder}/into`]).exits(0);
    await again.exits(0);
    assertEquals([...await contents(`${scene.folder}/into`)].length, 1);
  }),
);

Deno.test(
  "what cannot be read is left out, said, and no success; what is not there is nothing to send",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const source = `${scene.folder}/source`;
    await grow(`${source}/photos`);
    await Deno.symlink("/etc/passwd", `${source}/photos/link`);
    const nothing = send(scene, [`${source}/nothing`]);
    await nothing.exits(2);
    const alice = send(scene, [`${source}/photos`, `${source}/nothing`]);
    await receive(scene, ["--from", "alice", "--into", `${scene.folder}/into`]).exits(0);
    await alice.exits(1);
    const { leftOut, links } = await alice.event("file-offered");
    assertEquals([(leftOut as string[]).length, links], [1, 1]);
    // A link in a folder is named, and alone it is no failure.
    const again = send(scene, [`${source}/photos`]);
    await receive(scene, ["--from", "alice", "--into", `${scene.folder}/again`]).exits(0);
    await again.exits(0);
    assertEquals((await again.event("file-offered")).links, 1);
    await Deno.remove(`${source}/photos/link`);
    assertEquals(await contents(`${scene.folder}/into`), await contents(source));
  }),
);

Deno.test({
  name: "on a full disk both are told, and it goes on by itself when there is room",
  ignore: !hasTmpfs,
  fn: within(90, () =>
    withTmpfs(8 * 2 ** 20, async (disk) => {
      await using scene = await Scene.withServer();
      const path = `${scene.folder}/film`;
      await fill(path, 6_000_000);
      await fill(`${disk}/in the way`, 4_000_000);
      const alice = send(scene, [path]);
      const bob = receive(scene, ["--from", "alice", "--into", `${disk}/into`]);
      const [ours] = await Promise.all([
        bob.event("file-stuck", { who: "us" }),
        alice.event("file-stuck", { who: "peer" }),
      ]);
      assertEquals(ours.code, "local");
      await Deno.remove(`${disk}/in the way`);
      await Promise.all([alice.exits(0), bob.exits(0)]);
      assertEquals(await digest(`${disk}/into/film`), await digest(path));
    })),
});

Deno.test({
  name: "a disk that stays full is told of once, and that it goes on when it does",
  ignore: !hasTmpfs,
  fn: within(120, () =>
    withTmpfs(16 * 2 ** 20, async (disk) => {
      await using scene = await Scene.withServer();
      const path = `${scene.folder}/film`;
      await fill(path, 13_000_000);
      await fill(`${disk}/in the way`, 12_000_000);
      const alice = send(scene, [path]);
      const bob = receive(scene, ["--from", "alice", "--into", `${disk}/into`]);
      await bob.event("file-stuck", { who: "us" });
      await alice.event("file-stuck", { who: "peer" });
      // A little room is taken at once, and it waits again: nothing has changed for people.
      for (const left of [11_900_000, 11_800_000]) {
        const before = sizeBelow(`${disk}/into`);
        await Deno.truncate(`${disk}/in the way`, left);
        await until(() => sizeBelow(`${disk}/into`) > before + 50_000, "it is taken");
      }
      assertEquals(stuck(alice), ["file-stuck"]);
      assertEquals(stuck(bob), ["file-stuck"]);
      await Deno.remove(`${disk}/in the way`);
      await Promise.all([alice.exits(0), bob.exits(0)]);
      assertEquals(stuck(alice), ["file-stuck", "file-unstuck"]);
      assertEquals(stuck(bob), ["file-stuck", "file-unstuck"]);
    })),
});

Deno.test(
  "to somebody who is away the offer goes by the server, which is said; the inbox says how to take it",
  within(90, async () => {
    await using scene = await Scene.withServer();
    await scene.start("inbox", "bob", whoAndWhere(scene, "bob")).exits(0);
    await Deno.writeTextFile(`${scene.folder}/thesis.pdf`, "x");
    const who = [...whoAndWhere(scene, "alice"), "--to", "bob", "--accept-new"];
    const alice = scene.start("send", "alice", [`${scene.folder}/thesis.pdf`, ...who], WITH_FILES);
    await alice.says("bob is not here: the offer waits on the server");
    const args = [...whoAndWhere(scene, "bob"), "--accept", "all"];
    const { stdout } = await scene.start("inbox", "bob", args).exits(0);
    assertStringIncludes(
      stdout,
      'alice offers "thesis.pdf" (1 B): cifra receive --from alice takes it',
    );
    await receive(scene, ["--from", "alice", "--into", `${scene.folder}/into`]).exits(0);
    await alice.exits(0);
  }),
);

Deno.test({
  name: "a folder that others may replace is refused before anything comes, by receive and connect",
  ignore: Deno.build.os === "windows",
  fn: within(60, async () => {
    await using scene = await Scene.withServer();
    const open = `${scene.folder}/open`;
    await Deno.mkdir(`${open}/mine`, { recursive: true });
    await Deno.chmod(open, 0o777);
    const bob = receive(scene, ["--from", "alice", "--into", `${open}/mine`]);
    const talk = [...whoAndWhere(scene, "carol"), "--accept-new", "--json"];
    const carol = scene.start("connect", "carol", [...talk, "--files", open], WITH_FILES);
    for (const program of [bob, carol]) {
      await program.exits(1);
      const { message, hint } = await program.event("error");
      assertEquals(message, `Cannot use ${open}: others can write it`);
      assertStringIncludes(hint as string, "receive into a folder of your own");
    }
    assertEquals([...Deno.readDirSync(`${open}/mine`)], []);
  }),
});
