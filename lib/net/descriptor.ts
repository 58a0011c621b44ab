/** Descriptors that whoever started this program has left open for it. */
import { Socket } from "node:net";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";

/**
 * What comes from the pipe or socket behind descriptor `fd`, which is closed when that is left. Deno opens
 * descriptors by their path only for programs that may do everything; a pipe needs no permission this way.
 * Throws `usage` when there is no such descriptor, or it is a file.
 */
export async function* readDescriptor(fd: number): AsyncGenerator<Bytes> {
  try {
    const socket = new Socket({ fd, readable: true, writable: false });
    for await (const piece of socket) yield new Uint8Array(piece);
  } catch (cause) {
    throw new CifraError("usage", `Cannot read descriptor ${fd}: it must be an open pipe`, {
      cause,
      hint: "descriptor 0 may be anything, for example: cifra ... --password-fd 0 < FILE",
    });
  }
}
