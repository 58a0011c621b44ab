/** All keys of a person in one piece, sealed under a password: to carry to another machine, or to leave with a server. */
import { type Bytes, decodeUtf8, encodeUtf8 } from "../bytes.ts";
import { openIdentity, type StoredIdentity } from "../crypto/identity.ts";
import type { SaltedPassword } from "../crypto/password.ts";
import { systemRandom } from "../crypto/platform.ts";
import { isSuiteName, type SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { BACKUP_LIMIT } from "../limits.ts";
import {
  decodeSealed,
  encodeSealed,
  formatStored,
  makeLock,
  parseStored,
  type SealedKeys,
} from "./identity_file.ts";
import { formatPem, parsePem } from "./pem.ts";

const VERSION = 1;
/** What the one block of a file of keys is called. */
const LABEL = "CIFRA KEYS";
const IV_LENGTH = 12;

/** A person's keys. */
export interface KeyBundle {
  readonly name: string;
  readonly identities: ReadonlyMap<SuiteName, StoredIdentity>;
}

/** Seals keys; the result is fresh each time. */
export function sealKeys({ name, identities }: KeyBundle, key: SaltedPassword): Promise<Bytes> {
  const entries = [...identities].map(([suite, stored]) => [suite, formatStored(stored)]);
  const text = JSON.stringify({ version: VERSION, name, identities: Object.fromEntries(entries) });
  return key.seal(encodeUtf8(text), systemRandom(IV_LENGTH));
}

/** Opens sealed keys. Throws `auth_failed` when it is another password, `local` on what is no keys. */
export async function openKeys(sealed: Bytes, key: SaltedPassword): Promise<KeyBundle> {
  if (sealed.length > BACKUP_LIMIT) throw damaged();
  const content = await key.open(sealed);
  try {
    const { version, name, identities } = JSON.parse(decodeUtf8(content));
    if (version !== VERSION || typeof name !== "string") throw new TypeError("of another version");
    const read = new Map<SuiteName, StoredIdentity>();
    for (const [suite, fields] of Object.entries<Record<string, unknown>>(identities)) {
      if (!isSuiteName(suite)) continue;
      const stored = parseStored(fields);
      await openIdentity(stored);
      read.set(suite, stored);
    }
    return { name, identities: read };
  } catch (cause) {
    throw damaged(cause);
  } finally {
    content.fill(0);
  }
}

/** A file of keys for another machine: PEM, sealed under a passphrase. */
export async function formatKeyFile(bundle: KeyBundle, passphrase: string): Promise<string> {
  const { cost, key } = await makeLock(passphrase);
  const content = await sealKeys(bundle, key);
  key.drop();
  return formatPem([{ label: LABEL, bytes: encodeSealed({ cost, content }) }]);
}

/**
 * Reads what `formatKeyFile` wrote. Throws `wrong_password`, `auth_failed` when its cost is out of bounds,
 * `local` on anything else.
 */
export async function parseKeyFile(text: string, ask: () => Promise<string>): Promise<KeyBundle> {
  let cost: SealedKeys["cost"], content: Bytes;
  try {
    const [block, ...more] = parsePem(text);
    if (block?.label !== LABEL || more.length > 0) throw new TypeError(`must be ${LABEL} alone`);
    ({ cost, content } = decodeSealed(block.bytes));
  } catch (cause) {
    throw damaged(cause);
  }
  const { SaltedPassword } = await import("../crypto/password.ts");
  const key = await SaltedPassword.derive(await ask(), cost);
  try {
    return await openKeys(content, key);
  } catch (cause) {
    if (!(cause instanceof CifraError) || cause.code !== "auth_failed") throw cause;
    throw new CifraError("wrong_password", "This is not the passphrase of these keys", { cause });
  } finally {
    key.drop();
  }
}

function damaged(cause?: unknown): CifraError {
  return new CifraError("local", "Cannot read these keys: they are damaged", { cause });
}
