/** Stopping at Ctrl-Z, like every program on a terminal, until the shell continues it. */
import { CifraError } from "../errors.ts";

/** Sends signals to others: Deno allows a program that alone, and no signal but to itself. */
export const KILL = "/bin/kill";
/** What `deno task` tells its program: where it was called. */
export const TASK_MARK = "INIT_CWD";

/** Whether our parent is `deno task`, which takes every signal that stops a program, passes it on and does not stop. */
export function isTask(): boolean {
  if (Deno.build.standalone) return false;
  const { state } = Deno.permissions.querySync({ name: "env", variable: TASK_MARK });
  return state === "granted" && Deno.env.get(TASK_MARK) !== undefined;
}

/**
 * Stops whatever the shell started together with us, as the terminal does at Ctrl-Z; resolves when it is continued,
 * or at once where there is no shell to continue it: the system stops nobody then. Throws `local` when it is not
 * possible. The terminal must be as the shell left it.
 */
export async function stopJob(): Promise<void> {
  const parent = isTask() ? Deno.ppid : undefined;
  if (mayKill()) {
    // That alone does not leave us standing if nobody stops: it is continued in any case.
    if (parent !== undefined) await kill("-STOP", parent);
    await kill("-TSTP", 0);
    if (parent !== undefined) await kill("-CONT", parent);
    return;
  }
  if (parent !== undefined) throw cannot();
  try {
    Deno.kill(Deno.pid, "SIGTSTP");
  } catch (error) {
    throw cannot(error);
  }
}

/** The same for a program that the terminal has told to stop, and that has not. */
export async function stopAfterSignal(): Promise<void> {
  if (!mayKill()) throw cannot();
  await kill("-STOP", Deno.ppid);
  Deno.kill(Deno.pid, "SIGSTOP");
  await kill("-CONT", Deno.ppid);
}

function mayKill(): boolean {
  if (Deno.permissions.querySync({ name: "run", command: KILL }).state !== "granted") return false;
  // Where that program is not installed it cannot even be started.
  return canStart;
}

let canStart = true;

async function kill(signal: string, to: number): Promise<void> {
  const command = new Deno.Command(KILL, {
    args: [signal, `${to}`],
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  });
  try {
    await command.output();
  } catch (cause) {
    canStart = false;
    throw cannot(cause);
  }
}

function cannot(cause?: unknown): CifraError {
  return new CifraError("local", "Ctrl-Z cannot stop this program", {
    cause,
    hint: isTask()
      ? `deno task is stopped by ${KILL}, which is not there or not allowed`
      : `without --allow-run=${KILL} it may stop nothing`,
  });
}
