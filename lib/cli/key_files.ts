/** Keys in a file that somebody carries to another machine. */
import { encodeUtf8, writeAll } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { codeOf, platformFailure } from "../platform_errors.ts";
import { formatKeyFile, type KeyBundle, parseKeyFile } from "../store/key_bundle.ts";
import { createPrivate } from "../store/private_files.ts";

/** Larger than any keys. */
const LARGEST_FILE = 64 * 1024;

/** Writes keys to a new file, readable by its owner alone. Throws `local`, also when the file is there. */
export async function writeKeyFile(
  path: string,
  bundle: KeyBundle,
  passphrase: string,
): Promise<void> {
  const bytes = encodeUtf8(await formatKeyFile(bundle, passphrase));
  await explain(path, async () => {
    const file = await createPrivate(path);
    try {
      await writeAll(file, bytes);
      await file.sync();
    } catch (error) {
      await Deno.remove(path);
      throw error;
    } finally {
      file.close();
    }
  });
}

/**
 * Reads keys from a file. It is sealed, so it does not matter who else can read it. Throws `local`,
 * `wrong_password`, `auth_failed` when it asks for absurd work.
 */
export async function readKeyFile(path: string, ask: () => Promise<string>): Promise<KeyBundle> {
  const text = await explain(path, async () => {
    // A device or a pipe might never end.
    const { isFile, size } = await Deno.stat(path);
    if (!isFile || size > LARGEST_FILE) {
      throw new CifraError("local", `Cannot read ${path}: it is not a file of keys`);
    }
    return await Deno.readTextFile(path);
  });
  return await parseKeyFile(text, ask);
}

async function explain<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof CifraError) throw cause;
    if (codeOf(cause) === "EEXIST") {
      throw new CifraError("local", `${path} is there already`, {
        cause,
        hint: "choose another name: keys are not written over anything",
      });
    }
    throw platformFailure(`Cannot use ${path}`, cause);
  }
}
