/** Identity keys on disk: one private file of PEM for each suite, made on first use, sealed if one wants that. */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import { concat } from "@std/bytes/concat";
import { type Bytes, decodeUtf8, encodeU32, encodeUtf8 } from "../bytes.ts";
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
import { formatPem, parsePem } from "./pem.ts";
import type { PrivateFolder } from "./private_files.ts";

const IV_LENGTH = 12;
/** The public half comes first, then the private keys in PKCS #8, or all of them sealed. */
const BUNDLE = "CIFRA IDENTITY";
const PRIVATE_KEY = "PRIVATE KEY";
const SEALED_KEYS = "CIFRA SEALED KEYS";
/** The two versions of files in JSON, as they were before PEM. */
const OPEN_JSON = 1;
const SEALED_JSON = 2;

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

/** What stands in a file: the keys, or what they are sealed in. */
type Content = StoredIdentity | { readonly bundle: Bytes; readonly sealed: SealedKeys };

/** Keys under a passphrase, and what opening them costs. */
export interface SealedKeys {
  readonly cost: PasswordCost;
  readonly content: Bytes;
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
  const content = await readContent(folder, suite);
  if (content === undefined || !("sealed" in content)) return content;
  try {
    return await unseal(content.bundle, content.sealed, unlock);
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
  const content = await readContent(folder, suite);
  return content && { bundle: content.bundle, isSealed: "sealed" in content };
}

/** Puts keys on disk in the place of those that are there; sealed, if there is a lock. */
export async function writeIdentity(
  folder: PrivateFolder,
  suite: SuiteName,
  stored: StoredIdentity,
  lock?: Lock,
): Promise<void> {
  const { bundle } = stored;
  const content = lock ? { bundle, sealed: await seal(stored, lock) } : stored;
  await folder.write(fileOf(suite), formatContent(content));
}

/** What the file for a suite holds; undefined when there is none. A file in JSON becomes one in PEM. */
async function readContent(folder: PrivateFolder, suite: SuiteName): Promise<Content | undefined> {
  const text = await folder.read(fileOf(suite));
  const older = await folder.read(jsonFileOf(suite));
  try {
    if (older === undefined) return text === undefined ? undefined : parseContent(text);
    const content = text === undefined ? parseJson(older) : parseContent(text);
    if (text === undefined) await folder.write(fileOf(suite), formatContent(content));
    await folder.remove(jsonFileOf(suite));
    return content;
  } catch (cause) {
    if (cause instanceof CifraError) throw cause;
    throw damaged(folder, suite, cause);
  }
}

function formatContent(content: Content): string {
  const { bundle } = content;
  if ("sealed" in content) {
    const sealed = { label: SEALED_KEYS, bytes: encodeSealed(content.sealed) };
    return formatPem([{ label: BUNDLE, bytes: bundle }, sealed]);
  }
  const { signatureKey, agreementKey } = content;
  const keys = agreementKey ? [signatureKey, agreementKey] : [signatureKey];
  const blocks = keys.map((bytes) => ({ label: PRIVATE_KEY, bytes }));
  return formatPem([{ label: BUNDLE, bytes: bundle }, ...blocks]);
}

/** Reads what `formatContent` wrote; throws TypeError on anything else. */
function parseContent(text: string): Content {
  const [first, ...rest] = parsePem(text);
  if (first?.label !== BUNDLE) throw new TypeError(`must begin with ${BUNDLE}`);
  const bundle = first.bytes;
  const has = (...labels: readonly string[]) =>
    rest.length === labels.length && labels.every((label, at) => rest[at]!.label === label);
  if (has(SEALED_KEYS)) return { bundle, sealed: decodeSealed(rest[0]!.bytes) };
  if (has(PRIVATE_KEY) || has(PRIVATE_KEY, PRIVATE_KEY)) {
    return { bundle, signatureKey: rest[0]!.bytes, agreementKey: rest[1]?.bytes };
  }
  throw new TypeError("must hold one or two private keys, or sealed ones");
}

/** Reads a file as it was before PEM; throws TypeError or SyntaxError on anything else. */
function parseJson(text: string): Content {
  const { version, ...fields } = JSON.parse(text);
  if (version === OPEN_JSON) return parseStored(fields);
  if (version !== SEALED_JSON) throw new TypeError(`of another version: ${version}`);
  const { bundle, sealed, salt, memory, passes } = fields;
  const cost = { salt: parseBytes(salt), memory: Number(memory), passes: Number(passes) };
  return { bundle: parseBytes(bundle), sealed: { cost, content: parseBytes(sealed) } };
}

/** Sealed keys as bytes: memory and passes (u32 each), 16 bytes of salt, the content. */
export function encodeSealed({ cost: { salt, memory, passes }, content }: SealedKeys): Bytes {
  return concat([encodeU32(memory), encodeU32(passes), salt, content]);
}

/** Reads what `encodeSealed` wrote; throws TypeError when it is too short. */
export function decodeSealed(bytes: Bytes): SealedKeys {
  const start = 8 + SALT_LENGTH;
  if (bytes.length < start) throw new TypeError("must hold a cost and a salt");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [memory, passes] = [view.getUint32(0), view.getUint32(4)];
  return { cost: { salt: bytes.slice(8, start), memory, passes }, content: bytes.slice(start) };
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

async function seal(stored: StoredIdentity, lock: Lock): Promise<SealedKeys> {
  const { bundle: _, ...secrets } = formatStored(stored);
  return await sealBytes(encodeUtf8(JSON.stringify(secrets)), lock);
}

/** Seals what only who knows the passphrase may read. */
export async function sealBytes(secret: Bytes, { cost, key }: Lock): Promise<SealedKeys> {
  return { cost, content: await key.seal(secret, systemRandom(IV_LENGTH)) };
}

/** Opens what `sealBytes` made. Throws `usage` without `unlock`, `wrong_password`. */
export async function openSealed(
  { cost, content }: SealedKeys,
  unlock: Unlock | undefined,
): Promise<Bytes> {
  if (!unlock) throw new CifraError("usage", "The keys of this profile are sealed by a passphrase");
  const key = await unlock(cost);
  try {
    return await key.open(content);
  } catch (cause) {
    throw new CifraError("wrong_password", "This is not the passphrase of these keys", { cause });
  }
}

async function unseal(
  bundle: Bytes,
  sealed: SealedKeys,
  unlock: Unlock | undefined,
): Promise<StoredIdentity> {
  const secrets = await openSealed(sealed, unlock);
  try {
    return parseStored({ ...JSON.parse(decodeUtf8(secrets)), bundle: encodeBase64Url(bundle) });
  } catch (cause) {
    // What JSON.parse says may quote it.
    throw new CifraError("auth_failed", "These keys are damaged", {
      cause: (cause as Error).name,
    });
  } finally {
    secrets.fill(0);
  }
}

/** The bytes of a base64url text; throws TypeError on anything else. */
export function parseBytes(text: unknown): Bytes {
  if (typeof text !== "string") throw new TypeError("must be a text");
  return decodeBase64Url(text);
}

/** Removes an identity, if it is there. Throws `local`. */
export async function removeIdentity(folder: PrivateFolder, suite: SuiteName): Promise<void> {
  await folder.remove(fileOf(suite));
}

function fileOf(suite: SuiteName): string {
  return `identity-${suite}.pem`;
}

function jsonFileOf(suite: SuiteName): string {
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
