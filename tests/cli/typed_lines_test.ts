import { assert, assertEquals } from "@std/assert";
import { TypedLines } from "../../lib/cli/typed_lines.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { withFolder } from "../testkit/server.ts";

async function reopened(folder: PrivateFolder, ...added: readonly string[]) {
  const typed = await TypedLines.open(folder);
  for (const line of added) typed.add(line);
  await typed.close();
  return (await TypedLines.open(folder)).lines;
}

Deno.test("lines are kept for the next run, in a file of their own that is private", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(`${path}/alice`);
    assertEquals(await reopened(folder), []);
    assertEquals(await reopened(folder, "one", "two\nlines", "two\nlines", ""), [
      "one",
      "two\nlines",
    ]);
    assertEquals(await reopened(folder, "\u4f60\u597d"), ["one", "two\nlines", "\u4f60\u597d"]);
    const { mode } = await Deno.stat(`${path}/alice/typed-lines`);
    assertEquals(mode! & 0o777, 0o600);
  });
});

Deno.test("no more lines are kept than there is room for, and none that is long", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const many = Array.from({ length: 600 }, (_, n) => `line ${n}`);
    assertEquals(await reopened(folder, ...many, "x".repeat(2049)), many.slice(100));
    await reopened(folder, ...Array.from({ length: 500 }, (_, n) => `${n} ${"x".repeat(2000)}`));
    const { size } = await Deno.stat(`${path}/typed-lines`);
    assert(size > 200_000 && size <= 256 * 1024, `${size}`);
  });
});

Deno.test("what cannot be read, or written, stands in nobody's way", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await folder.write("typed-lines", '"one"\nnonsense\n{"a":1}\n"two"\n"thr');
    assertEquals(await reopened(folder), ["one", "two"]);
    await folder.remove("typed-lines");
    await Deno.mkdir(`${path}/typed-lines`);
    assertEquals(await reopened(folder, "lost"), []);
  });
});
