/** Stopping at Ctrl-Z, like every program on a terminal, until the shell continues it. */
import { CifraError } from "../errors.ts";

/** Sends signals to others: Deno allows a program that alone, and no signal but to itself. */
export const KILL = "/bin/kill";
/** What `deno task` tells its program: where it was called. */
export const TASK_MARK = "INIT_CWD";

/**
 * Whether our parent is `deno task`, which takes every signal that stops a program, passes it on and does not stop.
 * Looked at while the environment may be.
 */
export const IS_TASK = !Deno.build.standalone &&
  Deno.permissions.querySync({ name: "env", variable: TASK_MARK }).state === "granted" &&
  Deno.env.get(TASK_MARK) !== undefined;

/**
 * Stops whatever the shell started together with us, as the terminal does at Ctrl-Z; resolves when it is continued,
 * or at once where there is no shell to continue it: the system stops nobody then. Throws `local` when it is not
 * possible. The terminal must be as the shell left it.
 */
export async function stopJob(): Promise<void> {
  if (!mayKill()) {
    if (IS_TASK) throw cannot();
    return stopOurselves("SIGTSTP");
  }
  // A script between the shell and us, or npm's deno, stops like anybody, and it is that for which the shell waits.
  if (!await isParentLeading()) await kill("-TSTP", 0);
  else await stopWithTask("SIGTSTP");
}

/**
 * For a program of `deno task` whose keys the terminal itself obeys: stops with its parent at Ctrl-Z, which stops
 * us alone else, and the shell would never know. `complain` is told when it is not possible. Until the returned
 * function is called.
 */
export function stopWithParent(complain: (error: CifraError) => void): () => void {
  if (!IS_TASK || Deno.build.os === "windows") return () => {};
  const onSignal = async () => {
    try {
      if (!mayKill()) throw cannot();
      if (await isParentLeading()) await stopWithTask("SIGSTOP");
    } catch (error) {
      complain(error as CifraError);
    }
  };
  Deno.addSignalListener("SIGTSTP", onSignal);
  return () => Deno.removeSignalListener("SIGTSTP", onSignal);
}

/**
 * Stops us and `deno task`, for which the shell waits. We are first: whoever sees that `deno task` has stopped may
 * continue it at once, and must not be overtaken by our stop.
 */
async function stopWithTask(signal: "SIGTSTP" | "SIGSTOP"): Promise<void> {
  const parent = Deno.ppid;
  const stopping = kill("-STOP", parent);
  stopOurselves(signal);
  await stopping;
  // If nobody stopped, because no shell is there, our parent has.
  await kill("-CONT", parent);
}

/** Comes back when somebody continues us. */
function stopOurselves(signal: "SIGTSTP" | "SIGSTOP"): void {
  try {
    Deno.kill(Deno.pid, signal);
  } catch (error) {
    // Older versions of Deno allow it as little as a signal to others.
    throw cannot(error);
  }
}

let leading: Promise<boolean> | undefined;

/** Whether our parent, `deno task`, is what the shell started: the first of its process group. */
async function isParentLeading(): Promise<boolean> {
  leading ??= IS_TASK ? kill("-0", -Deno.ppid) : Promise.resolve(false);
  return await leading;
}

let canStart = true;

function mayKill(): boolean {
  if (Deno.permissions.querySync({ name: "run", command: KILL }).state !== "granted") return false;
  // Where that program is not installed it cannot even be started.
  return canStart;
}

/** Sends a signal: to a process, to the group of one (negative), or to our own (0). Whether there is such a one. */
async function kill(signal: string, to: number): Promise<boolean> {
  const command = new Deno.Command(KILL, {
    args: [signal, ...to < 0 ? ["--"] : [], `${to}`],
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  });
  try {
    return (await command.output()).success;
  } catch (cause) {
    canStart = false;
    throw cannot(cause);
  }
}

function cannot(cause?: unknown): CifraError {
  return new CifraError("local", "Ctrl-Z cannot stop this program", {
    cause,
    hint: IS_TASK
      ? `deno task is stopped by ${KILL}, which is not there or not allowed`
      : `without --allow-run=${KILL} it may stop nothing`,
  });
}
