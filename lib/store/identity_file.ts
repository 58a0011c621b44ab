/** Identity keys on disk: one private file for each suite, made on first use, sealed if one wants that. */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import { type Bytes, decodeUtf8, encodeUtf8 } from "../bytes.ts";
import {
  generateIdentity,
  type Identity,
  identityClassOf,
  openIdentity,
  type StoredIdentity,
} from "../crypto/identity.ts";
import type { SaltedPassword } from "../crypto/password.ts";
import { type Random, systemRandom } from "../crypto/platform.ts";
import type { PasswordCost } from "../crypto/scram.ts";
import type { Suite, SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { KEY_FILE_MEMORY, KEY_FILE_PASSES, SALT_LENGTH } from "../limits.ts";
import type { PrivateFolder } from "./private_files.ts";

const OPEN_VERSION = 1;
const SEALED_VERSION = 2;
const IV_LENGTH = 12;

/** Derives the key of the passphrase for this cost; throws `usage` where nobody can be asked. */
export type Unlock = (cost: PasswordCost) => Promise<SaltedPassword>;

/** What seals keys: the key of a passphrase. One lock is good for several files. */
export interface Lock {
  readonly cost: PasswordCost;
  readonly key: SaltedPassword;
}

/** What a file tells of its keys without a passphrase. */
export interface IdentityEntry {
  readonly bundle: Bytes;
  readonly isSealed: boolean;
}

/**
 * Our identity for `suite` in this folder; `made` tells that there was none before. `rsa` and `classic`
 * use keys of one kind and still have one each, so that the study suite never speaks for another. `lock`
 * seals it when it is made. Throws `local` when the file is damaged, `wrong_password`.
 */
export async function loadIdentity(
  folder: PrivateFolder,
  suite: Suite,
  unlock?: Unlock,
  lock?: () => Promise<Lock | undefined>,
): Promise<{ readonly identity: Identity; readonly made: boolean }> {
  const found = await findIdentity(folder, suite.name, unlock);
  if (found) {
    try {
      return { identity: await openIdentity(found), made: false };
    } catch (cause) {
      throw damaged(folder, suite.name, cause);
    }
  }
  const { identity, stored } = await generateIdentity(identityClassOf(suite.signature));
  await writeIdentity(folder, suite.name, stored, await lock?.());
  return { identity, made: true };
}

/** The keys for a suite as they are stored; undefined when there are none. Throws like `loadIdentity`. */
export async function findIdentity(
  folder: PrivateFolder,
  suite: SuiteName,
  unlock?: Unlock,
): Promise<StoredIdentity | undefined> {
  const text = await folder.read(fileOf(suite));
  if (text === undefined) return undefined;
  try {
    const { version, ...fields } = JSON.parse(text);
    if (version === OPEN_VERSION) return parseStored(fields);
    if (version === SEALED_VERSION) return await unseal(fields, unlock);
    throw new TypeError(`version must be ${OPEN_VERSION} or ${SEALED_VERSION}, got ${version}`);
  } catch (cause) {
    if (cause instanceof CifraError && cause.code !== "auth_failed") throw cause;
    throw damaged(folder, suite, cause);
  }
}

/** What can be told of the keys for a suite without a passphrase; undefined when there are none. */
export async function findEntry(
  folder: PrivateFolder,
  suite: SuiteName,
): Promise<IdentityEntry | undefined> {
  const text = await folder.read(fileOf(suite));
  if (text === undefined) return undefined;
  try {
    const { version, bundle } = JSON.parse(text);
    if (version !== OPEN_VERSION && version !== SEALED_VERSION) throw new TypeError("version");
    return { bundle: parseBytes(bundle), isSealed: version === SEALED_VERSION };
  } catch (cause) {
    throw damaged(folder, suite, cause);
  }
}

/** Puts keys on disk in the place of those that are there; sealed, if there is a lock. */
export async function writeIdentity(
  folder: PrivateFolder,
  suite: SuiteName,
  stored: StoredIdentity,
  lock?: Lock,
): Promise<void> {
  const fields = lock
    ? { version: SEALED_VERSION, ...await seal(stored, lock) }
    : { version: OPEN_VERSION, ...formatStored(stored) };
  await folder.write(fileOf(suite), JSON.stringify(fields) + "\n");
}

/** The text form of keys; every value is base64url. */
export function formatStored(stored: StoredIdentity): Readonly<Record<string, string>> {
  const { bundle, signatureKey, agreementKey } = stored;
  return {
    bundle: encodeBase64Url(bundle),
    signatureKey: encodeBase64Url(signatureKey),
    ...(agreementKey && { agreementKey: encodeBase64Url(agreementKey) }),
  };
}

/** Reads what `formatStored` wrote; throws TypeError on anything else. */
export function parseStored(fields: Readonly<Record<string, unknown>>): StoredIdentity {
  const { bundle, signatureKey, agreementKey } = fields;
  return {
    bundle: parseBytes(bundle),
    signatureKey: parseBytes(signatureKey),
    agreementKey: agreementKey === undefined ? undefined : parseBytes(agreementKey),
  };
}

/** What sealing under a passphrase costs: a fresh salt, and the memory and passes of a key file. */
function keyFileCost(random: Random): PasswordCost {
  return { salt: random(SALT_LENGTH), memory: KEY_FILE_MEMORY, passes: KEY_FILE_PASSES };
}

/** Makes a lock of a passphrase, which takes a second or two. Throws `usage`. */
export async function makeLock(passphrase: string): Promise<Lock> {
  // Loaded when it is needed: most programs never derive a key from a passphrase.
  const { SaltedPassword } = await import("../crypto/password.ts");
  const cost = keyFileCost(systemRandom);
  return { cost, key: await SaltedPassword.derive(passphrase, cost) };
}

async function seal(stored: StoredIdentity, { cost, key }: Lock) {
  const { bundle, ...secrets } = formatStored(stored);
  const sealed = await key.seal(encodeUtf8(JSON.stringify(secrets)), systemRandom(IV_LENGTH));
  const { salt, memory, passes } = cost;
  return { bundle, sealed: encodeBase64Url(sealed), salt: encodeBase64Url(salt), memory, passes };
}

async function unseal(
  fields: Readonly<Record<string, unknown>>,
  unlock: Unlock | undefined,
): Promise<StoredIdentity> {
  const { bundle, sealed, salt, memory, passes } = fields;
  const cost = { salt: parseBytes(salt), memory: Number(memory), passes: Number(passes) };
  const content = parseBytes(sealed);
  if (!unlock) throw new CifraError("usage", "The keys of this profile are sealed by a passphrase");
  const key = await unlock(cost);
  let secrets: Bytes;
  try {
    secrets = await key.open(content);
  } catch (cause) {
    throw new CifraError("wrong_password", "This is not the passphrase of these keys", { cause });
  }
  try {
    return parseStored({ bundle, ...JSON.parse(decodeUtf8(secrets)) });
  } finally {
    secrets.fill(0);
  }
}

/** The bytes of a base64url text; throws TypeError on anything else. */
export function parseBytes(text: unknown): Bytes {
  if (typeof text !== "string") throw new TypeError("must be a text");
  return decodeBase64Url(text);
}

function fileOf(suite: SuiteName): string {
  return `identity-${suite}.json`;
}

function damaged(folder: PrivateFolder, suite: SuiteName, cause: unknown): CifraError {
  return new CifraError(
    "local",
    `Cannot read the identity in ${folder.path}/${fileOf(suite)}: it is damaged`,
    {
      cause,
      hint: "restore it from a backup; removing it makes a new identity, which others will refuse",
    },
  );
}
