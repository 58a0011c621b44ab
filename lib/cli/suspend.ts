/** Stopping at Ctrl-Z, like every program on a terminal, until the shell continues it. */
import { CifraError } from "../errors.ts";
import { cosmeticVariable } from "../store/variables.ts";

/** Runs the helper below: Deno lets a program send no signal but to itself. And what `inbox --exec` is given. */
export const SHELL = "/bin/sh";
/**
 * What is to be stopped and continued, by a word on a line each, for a program ($1) and its parent ($2), and nobody
 * else. The program is stopped before its parent: whoever sees that `deno task` has stopped may continue it at once,
 * and must not be overtaken. A terminal that obeys Ctrl-Z itself would stop the helper too, before it is asked.
 */
const SCRIPT = `trap '' INT QUIT TSTP
while read -r word; do
  case $word in
    leads) kill -0 "-$2" && echo yes || echo no ;;
    all) trap - TSTP; kill -TSTP 0; trap '' TSTP; echo ;;
    both) kill -TSTP "$1"; kill -STOP "$2"; echo ;;
    both-hard) kill -STOP "$1"; kill -STOP "$2"; echo ;;
    go) kill -CONT "$2"; echo ;;
  esac
done`;
/** Milliseconds after we go on in which a signal is the one that our parent had not passed on yet. */
const ECHO = 100;
/** What `deno task` tells its program: where it was called. */
export const TASK_MARK = "INIT_CWD";

/**
 * Whether our parent is `deno task`, which takes every signal that stops a program, passes it on and does not stop.
 * Looked at while the environment may be.
 */
export const IS_TASK = !Deno.build.standalone && cosmeticVariable(TASK_MARK) !== undefined;

/** Whether SIGTSTP tells us to stop, and does not stop us. */
let isTold = false;
/** Asks the helper; undefined without one. */
let ask: ((word: string) => Promise<string>) | undefined;

/**
 * Starts the helper, where a person sits and it is allowed: before anything is read from outside, since the
 * permission to start it is given up then. Whoever takes the program over later can stop it and its parent. An
 * executable has no `deno task` around it, and needs none.
 */
export function prepareToStop(): void {
  if (Deno.build.os === "windows" || Deno.build.standalone || !Deno.stdin.isTerminal()) return;
  const { state } = Deno.permissions.querySync({ name: "run", command: SHELL });
  // Whoever may start anything has not said that it may start this.
  if (state !== "granted" || Deno.permissions.querySync({ name: "run" }).state === "granted") {
    return;
  }
  try {
    const child = new Deno.Command(SHELL, {
      args: ["-c", SCRIPT, SHELL, `${Deno.pid}`, `${Deno.ppid}`],
      clearEnv: true,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    child.unref();
    const words = child.stdin.getWriter();
    const answers = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    ask = async (word) => {
      await words.write(new TextEncoder().encode(`${word}\n`));
      const { value } = await answers.read();
      if (value === undefined) throw cannot();
      return value.trim();
    };
  } catch {
    // Where there is no shell, Ctrl-Z says that it cannot.
  }
}

/**
 * Stops whatever the shell started together with us, as the terminal does at Ctrl-Z; resolves when it is continued,
 * or at once where there is no shell to continue it: the system stops nobody then. Throws `local` when it is not
 * possible. The terminal must be as the shell left it.
 */
export async function stopJob(): Promise<void> {
  if (!ask) {
    if (IS_TASK) throw cannot();
    return stopOurselves();
  }
  // A script between the shell and us, or npm's deno, stops like anybody, and it is that for which the shell waits.
  if (!await isParentLeading(ask)) await ask("all");
  else await stopWithTask(ask, isTold ? "both-hard" : "both");
}

/**
 * For a program of `deno task` whose keys the terminal itself obeys: stops with its parent at Ctrl-Z, which stops
 * us alone else, and the shell would never know. `complain` is told when it is not possible. Until the returned
 * function is called.
 */
export function stopWithParent(complain: (error: CifraError) => void): () => void {
  if (!IS_TASK || Deno.build.os === "windows") return () => {};
  isTold = true;
  let isStopping = false, continuedAt = -Infinity;
  const onSignal = async () => {
    // The terminal tells us and our parent, which passes it on: one key, two signals.
    if (isStopping || performance.now() - continuedAt < ECHO) return;
    isStopping = true;
    try {
      if (!ask) throw cannot();
      if (await isParentLeading(ask)) await stopWithTask(ask, "both-hard");
    } catch (error) {
      complain(error as CifraError);
    }
    continuedAt = performance.now();
    isStopping = false;
  };
  Deno.addSignalListener("SIGTSTP", onSignal);
  return () => {
    Deno.removeSignalListener("SIGTSTP", onSignal);
    isTold = false;
  };
}

/** Stops us and `deno task`, for which the shell waits; comes back when somebody continues us. */
async function stopWithTask(
  helper: NonNullable<typeof ask>,
  word: "both" | "both-hard",
): Promise<void> {
  await helper(word);
  // If nobody stopped, because no shell is there, our parent has.
  await helper("go");
}

/** Comes back when somebody continues us. */
function stopOurselves(): void {
  try {
    Deno.kill(Deno.pid, "SIGTSTP");
  } catch (error) {
    // Older versions of Deno allow it as little as a signal to others.
    throw cannot(error);
  }
}

let leading: Promise<boolean> | undefined;

/** Whether our parent, `deno task`, is what the shell started: the first of its process group. */
async function isParentLeading(helper: NonNullable<typeof ask>): Promise<boolean> {
  leading ??= IS_TASK ? helper("leads").then((answer) => answer === "yes") : Promise.resolve(false);
  return await leading;
}

function cannot(cause?: unknown): CifraError {
  return new CifraError("local", "Ctrl-Z cannot stop this program", {
    cause,
    hint: IS_TASK
      ? `deno task is stopped by ${SHELL}, which is not there or not allowed`
      : "this version of Deno does not allow it",
  });
}
