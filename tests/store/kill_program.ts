import { assertEquals } from "@std/assert";
import { Program } from "../testkit/program.ts";

/**
 * Runs a program of this folder on a folder of its own, once it says `ready`, until `enough` has been said, and kills
 * it. Returns the largest number that it had said of something.
 */
export async function killProgram(
  name: string,
  path: string,
  enough: (program: Program) => Promise<unknown>,
): Promise<(what: string) => number> {
  const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen"];
  await using program = new Program({
    name,
    command: [...command, `tests/store/${name}.ts`, path],
  });
  await program.until("being ready", () => program.stdout.startsWith("ready"));
  await enough(program);
  program.kill("SIGKILL");
  const { signal, stdout } = await program.exit();
  assertEquals(signal, "SIGKILL", program.told);
  return (what) =>
    Number([...stdout.matchAll(new RegExp(`^${what} (\\d+)\n`, "gm"))].at(-1)?.[1] ?? 0);
}
