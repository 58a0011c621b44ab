/** Files from a conversation: sent, taken, refused and cancelled where people and programs talk. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { contents, fill, grow, WITH_FILES, WITH_FILES_ON_TERMINAL } from "../testkit/files.ts";
import { hasPty } from "../testkit/pty.ts";
import { type Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

/** Two programs that talk, with a folder for files each. */
async function programs(scene: Scene): Promise<readonly [Program, Program]> {
  const files = (name: string) => ["--json", "--files", `${scene.folder}/${name}-files`];
  const alice = scene.connect("alice", "bob", files("alice"), WITH_FILES);
  const bob = scene.connect("bob", "alice", files("bob"), WITH_FILES);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  return [alice, bob];
}

async function tell(program: Program, object: Readonly<Record<string, unknown>>): Promise<void> {
  await program.write(`${JSON.stringify(object)}\n`);
}

Deno.test(
  "programs send a folder to each other and take it, told of each step by events",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await programs(scene);
    const source = `${scene.folder}/alice-files/photos`;
    await grow(source);
    await tell(alice, { do: "send-file", path: source, ref: "s" });
    const offered = await alice.event("file-offered", { ref: "s" });
    assertEquals([offered.name, offered.files, offered.links], ["photos", 43, 0]);
    const { transfer, name } = await bob.event("file", { word: "offer" });
    assertEquals([transfer, name], [offered.transfer, "photos"]);
    await tell(bob, { do: "transfers" });
    const { transfers } = await bob.event("transfers");
    assertEquals((transfers as { state: string }[]).map(({ state }) => state), ["offered"]);
    await tell(bob, { do: "take", transfer: String(transfer).slice(0, 6) });
    await bob.event("file-accepted", { transfer });
    await alice.event("file-accepted", { transfer });
    const { names, into } = await bob.event("file-received", { transfer });
    assertEquals([names, into], [["photos"], `${scene.folder}/bob-files`]);
    await alice.event("file-over", { transfer, state: "done", who: "peer", skipped: 0 });
    assertEquals(await contents(String(into)), await contents(`${scene.folder}/alice-files`));
    // The other way, and not wanted.
    await tell(bob, { do: "send-file", path: `${into}/photos/empty` });
    const second = await alice.event("file", { word: "offer" });
    await tell(alice, { do: "decline" });
    await bob.event("file-over", { transfer: second.transfer, state: "refused", who: "peer" });
    // Taken back.
    await tell(alice, { do: "send-file", path: source, ref: "again" });
    const third = await alice.event("file-offered", { ref: "again" });
    await tell(alice, { do: "cancel", transfer: third.transfer });
    await bob.event("file-over", { transfer: third.transfer, state: "cancelled", who: "peer" });
    await tell(bob, { do: "take", ref: "late" });
    const { message } = await bob.event("error", { ref: "late" });
    assertStringIncludes(String(message), "There is no offer");
    await Promise.all([alice.endInput(), bob.endInput()]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
  }),
);

Deno.test("without --files nothing is read or written, and outside of its folder neither", async () => {
  await using scene = await Scene.withServer();
  await Deno.writeTextFile(`${scene.folder}/secret`, "x");
  await Deno.mkdir(`${scene.folder}/alice-files`);
  const [bob, alice] = [
    scene.connect("bob", "alice", ["--json"], WITH_FILES),
    scene.connect("alice", "bob", ["--json", "--files", `${scene.folder}/alice-files`], WITH_FILES),
  ];
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  const path = `${scene.folder}/secret`;
  await tell(bob, { do: "send-file", path, ref: 1 });
  const none = await bob.event("error", { ref: 1 });
  assertStringIncludes(String(none.message), "start it with --files DIR");
  for (const [ref, each] of [path, `${scene.folder}/alice-files/../secret`].entries()) {
    await tell(alice, { do: "send-file", path: each, ref });
    const outside = await alice.event("error", { ref });
    assertStringIncludes(String(outside.message), "is not in");
  }
  await tell(alice, { do: "send-file", path: `${scene.folder}/alice-files/nothing`, ref: 9 });
  const missing = await alice.event("error", { ref: 9 });
  assertStringIncludes(String(missing.message), "There is nothing to send");
  assert(!alice.stdout.includes("file-offered") && !bob.stdout.includes("file-offered"));
});

Deno.test(
  "whose files are taken without asking, and how much, is said on the command line",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const into = `${scene.folder}/bob-files`;
    const accept = ["--accept-files", "all", "--limit", "1kB"];
    const alice = scene.connect("alice", "bob", ["--json", "--files", scene.folder], WITH_FILES);
    const args = ["--json", "--files", into, ...accept];
    const bob = scene.connect("bob", "alice", args, WITH_FILES);
    await Promise.all([alice.event("connected"), bob.event("connected")]);
    await Deno.writeTextFile(`${scene.folder}/large`, "x".repeat(1001));
    await Deno.writeTextFile(`${scene.folder}/small`, "y".repeat(1000));
    await tell(alice, { do: "send-file", path: `${scene.folder}/large` });
    await tell(alice, { do: "send-file", path: `${scene.folder}/small` });
    await alice.event("file-over", { name: "small", state: "done" });
    assertEquals([...await contents(into)].map(([path]) => path), ["/small"]);
    await tell(bob, { do: "take" });
    await alice.event("file-over", { name: "large", state: "done" });
  }),
);

Deno.test({
  name: "people at terminals send a path as it is dropped, and take it by its id",
  ignore: !hasPty,
  fn: within(90, async () => {
    await using scene = await Scene.withServer();
    const files = (name: string) => ["--files", `${scene.folder}/${name}-files`];
    const alice = scene.connect("alice", "bob", files("alice"), WITH_FILES_ON_TERMINAL);
    const bob = scene.connect("bob", "alice", files("bob"), WITH_FILES_ON_TERMINAL);
    await Promise.all([alice.prints("connected to bob"), bob.prints("connected to alice")]);
    const path = `${scene.folder}/alice-files/it is here.txt`;
    await Deno.writeTextFile(path, "hello");
    await alice.write(`/send '${path}' \r`);
    await alice.prints("it is here.txt (5 B) is offered to bob");
    await bob.prints('alice offers "it is here.txt" (5 B): /take ');
    await bob.write("/transfers\r");
    await bob.prints("offered to you");
    const [, id] = /\/take ([0-9a-f]{4})/.exec(bob.stdout)!;
    await bob.write(`/take ${id}\r`);
    await bob.prints(`"it is here.txt" of alice is in ${scene.folder}/bob-files`.slice(0, 60));
    await alice.prints("bob has all of it is here.txt");
    assertEquals(await Deno.readTextFile(`${scene.folder}/bob-files/it is here.txt`), "hello");
    await alice.write(`/send ${scene.folder}/alice-files/it i\t\r`);
    await alice.until("the same by the tab key", () => {
      return alice.stdout.split("it is here.txt (5 B) is offered to bob").length === 3;
    });
    await alice.write("/send /etc/passwd\r");
    await alice.prints("NOT SENT: /etc/passwd is not in");
    await alice.write("\x04");
    await bob.prints("alice left");
  }),
});

Deno.test({
  name: "while a file is on its way the prompt says how far, and what is typed goes past it",
  ignore: !hasPty,
  fn: within(90, async () => {
    await using scene = await Scene.withServer();
    const files = (name: string) => ["--relay-only", "--files", `${scene.folder}/${name}-files`];
    const alice = scene.connect("alice", "bob", files("alice"), WITH_FILES_ON_TERMINAL);
    const bob = scene.connect("bob", "alice", files("bob"), WITH_FILES_ON_TERMINAL);
    await Promise.all([alice.prints("connected to bob"), bob.prints("connected to alice")]);
    await fill(`${scene.folder}/alice-files/film`, 80_000_000);
    await alice.write(`/send ${scene.folder}/alice-files/film\r`);
    await bob.prints('alice offers "film" (80 MB): /take ');
    await bob.write("/take\r");
    const mark = /\((\d+) % of "?film"?(?:, \d+:\d\d left)?\)/;
    await alice.until("how far it is", () => mark.test(alice.stdout));
    await alice.write("hello in between\r");
    await bob.prints("hello in between");
    assert(!bob.stdout.includes('"film" of alice is in'), "the message came after the file");
    await bob.until("how far it is", () => mark.test(bob.stdout));
    await bob.prints('"film" of alice is in');
    await alice.prints("bob has all of film");
    await alice.until("a prompt without it", () => {
      const last = alice.stdout.slice(alice.stdout.lastIndexOf("bob has all of film"));
      return last.includes("alice> ") && !mark.test(last.slice(last.lastIndexOf("alice> ")));
    });
    assertEquals(
      await contents(`${scene.folder}/bob-files`),
      await contents(`${scene.folder}/alice-files`),
    );
  }),
});
