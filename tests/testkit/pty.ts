/** A terminal for programs that behave otherwise without one, and what a person would see on it. */
import { cifraCommand, type Program, type Task } from "./program.ts";

const ROWS = 24;
const COLUMNS = 80;
/** Milliseconds between two looks at what no event tells. */
const PAUSE = 50;

const PYTHON = `
import os, pty, select, sys
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
watched = [0, master]
while True:
    for ready in select.select(watched, [], [])[0]:
        try:
            data = os.read(ready, 65536)
        except OSError:
            data = b""
        if ready == master:
            if not data:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xff)
            while data:
                data = data[os.write(1, data):]
        elif not data:
            watched.remove(0)
        else:
            while data:
                data = data[os.write(master, data):]
`;

/** Before the program its process id, and after it its exit code and how it left the terminal. */
const AROUND =
  `trap : INT; stty rows ${ROWS} cols ${COLUMNS}; sh -c 'echo "pid $$"; exec "$@"' sh "$@"
echo "exit $?"; stty -a; echo end`;

type Maker = (command: readonly string[]) => string[];

const MAKERS: readonly (readonly [string, readonly string[], Maker])[] = [
  ["python3", ["-c", "import pty; pty.fork"], (command) => ["python3", "-c", PYTHON, ...command]],
  ["script", ["--version"], (command) => [
    "bash",
    "-c",
    'SHELL=$BASH exec script -qfec "$(printf "%q " "$@")" /dev/null',
    "bash",
    ...command,
  ]],
];

async function works(program: string, args: readonly string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(program, { args: [...args], stdin: "null" })
      .output();
    return success;
  } catch {
    return false;
  }
}

async function findMaker(): Promise<Maker | undefined> {
  if (Deno.build.os === "windows") return undefined;
  for (const [program, args, maker] of MAKERS) {
    if (await works(program, args)) return maker;
  }
  return undefined;
}

const maker = await findMaker();

/** Whether this machine can make a terminal; if not, tests that need one are left out. */
export const hasPty = maker !== undefined;
if (!hasPty) {
  console.log("ignored: no terminal can be made here, neither with python3 nor with script");
}

/** Runs a command on a terminal of its own. */
export function onTerminal(command: readonly string[]): string[] {
  return maker!(["sh", "-c", AROUND, "sh", ...command]);
}

/** How a program of a scene is started on a terminal of its own. */
export const ON_TERMINAL = {
  start: (task: Task, folder: string) => onTerminal(cifraCommand(task, folder)),
  env: { TERM: "xterm-256color" },
};

/** What the terminal of `program` shows, without what is empty at the end, and without the times beside lines. */
export function screen(program: Program): string {
  return wholeScreen(program).replace(/^(\| )?\d\d:\d\d /gm, "$1");
}

/** The same with the times. */
export function wholeScreen(program: Program): string {
  return render(program.stdout).join("\n").trimEnd();
}

/** Waits until a text is to be seen. */
export function shows(program: Program, text: string): Promise<true> {
  return program.until(`"${text}" on its terminal`, () => screen(program).includes(text));
}

/** How a program on a terminal ended, and whether the terminal takes lines and echoes again. */
export async function leavesTerminal(
  program: Program,
): Promise<{ readonly code: number; readonly restored: boolean }> {
  await program.until("the end of its terminal", () => /^end\r?$/m.test(program.stdout));
  const said = program.stdout.slice(program.stdout.lastIndexOf("exit "));
  const flags = said.split(/[\s;]+/);
  return {
    code: Number(/^exit (\d+)/.exec(said)![1]),
    restored: flags.includes("icanon") && flags.includes("echo") && flags.includes("isig"),
  };
}

/** Sends a signal to the program on the terminal itself. */
export function signalOnTerminal(program: Program, signal: Deno.Signal): void {
  Deno.kill(pidOnTerminal(program), signal);
}

/** Resolves when the program on the terminal has ended, also when its terminal is frozen. */
export async function endsOnTerminal(program: Program): Promise<void> {
  const args = ["-o", "pid=", "-p", `${pidOnTerminal(program)}`];
  while ((await new Deno.Command("ps", { args }).output()).success) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function pidOnTerminal(program: Program): number {
  return Number(/^pid (\d+)/m.exec(program.stdout)![1]);
}

/**
 * Draws what a terminal would, scrolled-off lines included: text, cursor movement, erasing. Anything else
 * that begins with an escape is drawn as ␛, so that no test misses it.
 */
export function render(output: string): string[] {
  const lines: string[][] = [[]];
  let row = 0, column = 0;
  const put = (character: string) => {
    if (column >= COLUMNS) {
      row++;
      column = 0;
    }
    while (lines.length <= row) lines.push([]);
    const line = lines[row]!;
    while (line.length < column) line.push(" ");
    line[column++] = character;
  };
  // The title of the window, as we alone write it, is no part of what it shows.
  // deno-lint-ignore no-control-regex
  output = output.replace(/\x1b\[2[23];2t|\x1b\]2;(?:\(\d+\) )?cifra\x07/g, "");
  // deno-lint-ignore no-control-regex
  const token = /\x1b\[(\??)(\d*)(?:;\d*)*([A-Za-z])|[\s\S]/gu;
  for (const [text, question, digits, final] of output.matchAll(token)) {
    const count = Number(digits || "1");
    if (text === "\r") column = 0;
    else if (text === "\n") row++;
    else if (text === "\b") column = Math.max(0, column - 1);
    else if (text === "\x07") continue;
    else if (final === undefined) put(text === "\x1b" ? "␛" : text);
    else if (question !== "" || final === "m") continue;
    else if (final === "A") row = Math.max(0, row - count);
    else if (final === "B") row += count;
    else if (final === "C") column += count;
    else if (final === "D") column = Math.max(0, column - count);
    else if (final === "G") column = count - 1;
    else if (final === "J" && digits !== "2") {
      lines.splice(row + 1);
      lines[row]?.splice(column);
    } else if (final === "K" && digits === "2") lines[row] = [];
    else if (final === "K" && digits !== "1") lines[row]?.splice(column);
    else for (const character of `␛${text.slice(1)}`) put(character);
    while (lines.length <= row) lines.push([]);
  }
  return lines.map((line) => line.join("").trimEnd());
}
