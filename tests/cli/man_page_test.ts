import { assertEquals, assertStringIncludes } from "@std/assert";
import { type Command, optionsOf } from "../../lib/cli/command.ts";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { manPage } from "../../lib/cli/man_page.ts";

/** What a program says about the page, on either output; undefined when it is not here. */
async function run(program: string, ...args: readonly string[]): Promise<string | undefined> {
  const path = await Deno.makeTempFile({ suffix: ".1" });
  try {
    await Deno.writeTextFile(path, manPage() + "\n");
    const { stdout, stderr } = await new Deno.Command(program, {
      args: [...args, path],
      env: { LC_ALL: "C.UTF-8" },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return decoder.decode(stdout) + decoder.decode(stderr).replaceAll(path, "PAGE");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  } finally {
    await Deno.remove(path);
  }
}

const withGroff = await run("groff", "-man", "-Tutf8", "-P-cbou", "-ww");
const withMandoc = await run("mandoc", "-T", "lint", "-W", "warning");
if (withGroff === undefined) console.log("ignored: what groff says of the page, which is not here");
if (withMandoc === undefined) {
  console.log("ignored: what mandoc says of the page, which is not here");
}

Deno.test("the manual page names every command, action and option", () => {
  const page = manPage();
  for (const command of COMMANDS as readonly Command[]) {
    assertStringIncludes(page, `.SH "CIFRA ${command.name.toUpperCase()}"`);
    for (const name of Object.keys(optionsOf(command))) {
      assertStringIncludes(page, `\n.TP\n\\fB\\-\\-${name.replaceAll("-", "\\-")}`);
    }
    for (const { name } of command.actions?.rows ?? []) {
      assertStringIncludes(page, `\n.TP\n\\fB${name}`);
    }
  }
});

Deno.test("no line of the manual page is a request by accident", () => {
  const requests = manPage().split("\n").filter((line) => /^[.']/.test(line));
  const known = /^\.(TH CIFRA 1 .*|SH .+|SS ".+"|PP|TP|br|nf|fi)$/;
  assertEquals(requests.filter((line) => !known.test(line)), []);
});

Deno.test({
  name: "groff sets the manual page without a warning, every character of it",
  ignore: withGroff === undefined,
  fn: () => {
    assertStringIncludes(withGroff!, "cifra connect --name bob --to alice | tar x\n");
    assertStringIncludes(withGroff!, "cifra man > ~/.local/share/man/man1/cifra.1\n");
    assertEquals(withGroff!.match(/warning|error/g), null);
  },
});

Deno.test({
  name: "mandoc finds nothing in the manual page but that it has no date",
  ignore: withMandoc === undefined,
  fn: () => {
    const lines = withMandoc!.trim().split("\n");
    assertEquals(lines.filter((line) => !line.includes("missing date")), []);
  },
});
