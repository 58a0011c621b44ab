/**
 * The key of a profile on disk, sealed by the passphrase of its identities: a change of the passphrase writes this
 * file anew, and nothing of what the key seals.
 */
import { ProfileKey } from "../crypto/profile_key.ts";
import { CifraError } from "../errors.ts";
import {
  decodeSealed,
  encodeSealed,
  type Lock,
  openSealed,
  sealBytes,
  type SealedKeys,
  type Unlock,
} from "./identity_file.ts";
import { formatPem, parsePem } from "./pem.ts";
import type { PrivateFolder } from "./private_files.ts";

/** What it is called in the folder of a profile. */
export const PROFILE_KEY_FILE = "profile-key.pem";
const SEALED_KEY = "CIFRA SEALED PROFILE KEY";

/**
 * The key of the profile in this folder; undefined when there is none. Throws `usage` without `unlock`,
 * `wrong_password`, `local` when the file is damaged.
 */
export async function findProfileKey(
  folder: PrivateFolder,
  unlock?: Unlock,
): Promise<ProfileKey | undefined> {
  const text = await folder.read(PROFILE_KEY_FILE);
  if (text === undefined) return undefined;
  let sealed: SealedKeys;
  try {
    const [block, ...more] = parsePem(text);
    if (block?.label !== SEALED_KEY || more.length > 0) throw new TypeError("must hold one key");
    sealed = decodeSealed(block.bytes);
  } catch (cause) {
    throw damaged(folder, cause);
  }
  const raw = await openSealed(sealed, unlock);
  try {
    return new ProfileKey(raw);
  } catch (cause) {
    throw damaged(folder, cause);
  } finally {
    raw.fill(0);
  }
}

/** Puts the key of the profile on disk, sealed, in the place of the one that is there. Throws `local`. */
export async function writeProfileKey(
  folder: PrivateFolder,
  key: ProfileKey,
  lock: Lock,
): Promise<void> {
  const raw = key.export();
  const bytes = encodeSealed(await sealBytes(raw, lock));
  raw.fill(0);
  await folder.write(PROFILE_KEY_FILE, formatPem([{ label: SEALED_KEY, bytes }]));
}

/** Removes the key, if it is there; when nothing is sealed by it any more. Throws `local`. */
export async function removeProfileKey(folder: PrivateFolder): Promise<void> {
  await folder.remove(PROFILE_KEY_FILE);
}

function damaged(folder: PrivateFolder, cause: unknown): CifraError {
  const path = `${folder.path}/${PROFILE_KEY_FILE}`;
  return new CifraError("local", `Cannot read the key in ${path}: it is damaged`, {
    cause,
    hint: "restore it from a backup of the profile; without it the messages cannot be read",
  });
}
