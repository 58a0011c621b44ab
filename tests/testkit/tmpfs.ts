/** A disk of a test's own that can be filled: a small file system in memory. Takes Linux and root. */

const OWNER_ONLY = "mode=0700";

async function mount(...args: readonly string[]): Promise<boolean> {
  try {
    return (await new Deno.Command("mount", { args: [...args], stdin: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Also when something there is still open: what a failed test left must not hide how it failed. */
async function unmount(path: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("umount", {
    args: ["--lazy", path],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`Cannot unmount ${path}: ${new TextDecoder().decode(stderr)}`);
}

/** Tried once: a container may have root without the right to mount. */
async function canMount(): Promise<boolean> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  const path = await Deno.makeTempDir({ prefix: "cifra-test-" });
  try {
    if (!await mount("-t", "tmpfs", "-o", OWNER_ONLY, "tmpfs", path)) return false;
    await unmount(path);
    return true;
  } finally {
    await Deno.remove(path);
  }
}

/** Whether this machine lets a test have such a disk; if not, tests that need one are left out. */
export const hasTmpfs = await canMount();
if (!hasTmpfs) console.log("ignored: no disk can be mounted here, which takes Linux and root");

/** Runs `job` with an empty private disk of so many bytes. */
export async function withTmpfs(
  size: number,
  job: (path: string) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "cifra-test-" });
  try {
    const mounted = await mount("-t", "tmpfs", "-o", `size=${size},${OWNER_ONLY}`, "tmpfs", path);
    if (!mounted) throw new Error(`Cannot mount a disk at ${path}`);
    try {
      await job(path);
    } finally {
      await unmount(path);
    }
  } finally {
    await Deno.remove(path);
  }
}

/** Lets nobody write to the disk at `path` any more; nothing there may be open to be written. */
export async function makeReadOnly(path: string): Promise<void> {
  if (!await mount("-o", "remount,ro", path)) throw new Error(`Cannot make ${path} read-only`);
}

/** Takes what room is left, in a file that the returned function removes. */
export async function fillDisk(path: string): Promise<() => Promise<void>> {
  const filler = `${path}/filler`;
  const file = await Deno.open(filler, { write: true, create: true });
  try {
    for (let size = 64 * 1024; size >= 1;) {
      try {
        if (await file.write(new Uint8Array(size)) === 0) break;
      } catch {
        size = Math.floor(size / 2);
      }
    }
  } finally {
    file.close();
  }
  return () => Deno.remove(filler);
}
