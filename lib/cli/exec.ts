/** Runs what somebody wants to be done with a message. */
import { encodeUtf8 } from "../bytes.ts";
import { isPlatformError, platformFailure } from "../platform_errors.ts";
import { SHELL } from "./suspend.ts";

/** A message, as a command is told of it. */
export interface MessageForCommand {
  readonly from: string;
  readonly number: bigint;
  readonly text: string;
  /** Milliseconds since 1970, by the writer's clock; 0 when it did not say. */
  readonly written: number;
}

/**
 * Runs a line of the shell with a text on its standard input; resolves to how it went. It is ended when `interrupted`
 * is aborted. Throws `local` when it cannot be started.
 */
export async function runForMessage(
  command: string,
  { from, number, text, written }: MessageForCommand,
  interrupted: AbortSignal,
): Promise<"done" | `failed with ${number}` | "was ended"> {
  const [shell, ...args] = shellFor(command);
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(shell!, {
      args,
      stdin: "piped",
      stdout: "inherit",
      stderr: "inherit",
      env: {
        CIFRA_FROM: from,
        CIFRA_WRITTEN: written > 0 ? new Date(written).toISOString() : "",
        CIFRA_NUMBER: `${number}`,
      },
    }).spawn();
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    throw platformFailure(`Cannot start ${shell}`, error, {
      hint: `deno needs --allow-run=${shell}, which cifra inbox alone has`,
    });
  }
  const end = () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
  };
  interrupted.addEventListener("abort", end);
  try {
    await give(child.stdin, text);
    const { code, signal } = await child.status;
    return signal !== null || interrupted.aborted
      ? "was ended"
      : code === 0
      ? "done"
      : `failed with ${code}`;
  } finally {
    interrupted.removeEventListener("abort", end);
  }
}

/** A command need not read all of it, or any. */
async function give(stdin: WritableStream<Uint8Array<ArrayBuffer>>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  writer.closed.catch(() => {});
  try {
    await writer.write(encodeUtf8(text));
    await writer.close();
  } catch (error) {
    if (!isPlatformError(error)) throw error;
  }
}

function shellFor(command: string): readonly string[] {
  return Deno.build.os === "windows" ? ["cmd.exe", "/d", "/s", "/c", command] : [
    SHELL,
    "-c",
    command,
  ];
}
