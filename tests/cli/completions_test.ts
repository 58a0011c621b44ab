/** The completions, typed in real shells on real terminals. */
import { assertStringIncludes } from "@std/assert";
import { completionScript } from "../../lib/cli/completions.ts";
import { optionsOf } from "../../lib/cli/command.ts";
import { COMMANDS, SHELLS } from "../../lib/cli/commands.ts";
import { Program } from "../testkit/program.ts";
import { hasPty, leavesTerminal, onTerminal } from "../testkit/pty.ts";

type Shell = typeof SHELLS[number];

/** Starts a shell with nothing of its user's. */
const STARTS: Readonly<Record<Shell, readonly string[]>> = {
  bash: ["bash", "--norc", "--noprofile", "-i"],
  zsh: ["zsh", "-f", "-i"],
  fish: ["fish", "--no-config", "-i"],
};
/** Readies it, with a `cifra` that tells its arguments. */
const FIRST: Readonly<Record<Shell, string>> = {
  bash: "unset HISTFILE; cifra() { printf got; printf '<%s>' \"$@\"; echo; };",
  zsh: "autoload -U compinit; compinit -u -D; cifra() { printf got; printf '<%s>' $@; echo; };",
  fish: "function cifra; printf got; printf '<%s>' $argv; echo; end;",
};
/** What asks for a list of all that the end of a line may be. */
const LIST: Readonly<Record<Shell, (line: string) => string>> = {
  bash: (line) => `${line}\t\t`,
  zsh: (line) => `${line}\t\t`,
  fish: (line) => `complete -C '${line}'\r`,
};

async function isHere(shell: string): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(shell, { args: ["-c", "exit 0"], stdin: "null" })
      .output();
    return success;
  } catch {
    return false;
  }
}

/** A shell that has loaded the completions, in a folder with one file and one folder. */
async function withShell(shell: Shell, scene: (program: Program) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const script = `${folder}/completions`;
    await Deno.writeTextFile(script, completionScript(shell) + "\n");
    await Deno.mkdir(`${folder}/here/some folder`, { recursive: true });
    await Deno.writeTextFile(`${folder}/here/some file`, "");
    await using program = new Program({
      name: shell,
      command: onTerminal(STARTS[shell]),
      env: { TERM: "dumb", HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
    });
    await program.write(
      `${FIRST[shell]} source ${script}; cd ${folder}/here; printf rea; echo dy\r`,
    );
    await program.prints("ready");
    await scene(program);
    // An empty line first, or it would not be a command.
    await program.write("\x15exit\r");
    await leavesTerminal(program);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const shell of SHELLS) {
  const works = hasPty && await isHere(shell);
  if (!works) {
    console.log(`ignored: completions in ${shell}, which is not here, or has no terminal`);
  }

  Deno.test(`the completions for ${shell} name every command, action and option`, () => {
    const script = completionScript(shell);
    const dashes = shell === "fish" ? "-l " : "--";
    for (const command of COMMANDS) {
      assertStringIncludes(script, command.name);
      for (const option of Object.keys(optionsOf(command))) {
        assertStringIncludes(script, `${dashes}${option}`);
      }
    }
    for (const action of ["console", "invite", "verify", "export"]) {
      assertStringIncludes(script, action);
    }
  });

  Deno.test({
    name: `${shell} completes commands, actions, options, choices and paths`,
    ignore: !works,
    fn: () =>
      withShell(shell, async (program) => {
        for (
          const [typed, got] of [
            ["conn\t", "<connect>"],
            ["connect --rel\t", "<connect><--relay-only>"],
            ["keys verif\t", "<keys><verify>"],
            ["connect --suite mo\t", "<connect><--suite><modern>"],
            ["connect --suite=mo\t", "<connect><--suite=modern>"],
            ["completions z\t", "<completions><zsh>"],
            ["help hist\t", "<help><history>"],
            ["keys import some\\ fi\t", "<keys><import><some file>"],
            ["connect --state some\\ f\t", "<connect><--state><some folder"],
          ]
        ) {
          await program.write(`cifra ${typed}\r`);
          await program.prints(`got${got}`);
        }
      }),
  });

  Deno.test({
    name: `${shell} lists what cifra connect --re<TAB> may be`,
    ignore: !works,
    fn: () =>
      withShell(shell, async (program) => {
        await program.write(LIST[shell]("cifra connect --re"));
        await program.prints("--receive-port");
        await program.prints("--relay-only");
      }),
  });
}
