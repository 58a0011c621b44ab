/** The keys of a server: an identity for each suite, what supplies ephemeral keys, and the invite secret. */
import { decodeBase64Url } from "@std/encoding/base64url";
import type { Bytes } from "../bytes.ts";
import { systemRandom } from "../crypto/platform.ts";
import { loadSuite, STRONGEST_FIRST, SUITE_IDS } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { OurSide } from "../handshake/state.ts";
import { EphemeralKeyStock } from "../services/ephemeral_keys.ts";
import { loadIdentity } from "../store/identity_file.ts";
import { formatPem, parsePem } from "../store/pem.ts";
import type { PrivateFolder } from "../store/private_files.ts";

const SECRET_LENGTH = 32;
/** The files of secrets, and what happens without each. */
const SECRETS = {
  "invite.secret": {
    label: "CIFRA INVITE SECRET",
    without: "earlier invite lines then stop working",
  },
  "salt.secret": {
    label: "CIFRA SALT SECRET",
    without: "who asked before then sees which names have no account",
  },
  "ticket.secret": {
    label: "CIFRA TICKET SECRET",
    without: "those who were here before then come in like newcomers once",
  },
} as const;

/** The keys of a server. */
export interface ServerKeys {
  /** One side for each suite that is accepted, by its number. */
  readonly sides: ReadonlyMap<number, OurSide>;
  /** What supplies ephemeral keys, to be closed with the server. */
  readonly stocks: readonly EphemeralKeyStock[];
  /** 32 bytes that make the secrets of invites, and are none. */
  readonly inviteSecret: Bytes;
  /** 32 bytes that make salts of names without an account: who has an account does not change with the invites. */
  readonly saltSecret: Bytes;
  /** 32 bytes that make the keys of tickets: a server that was started again knows those whom it has seen. */
  readonly ticketSecret: Bytes;
}

/** Which keys, and where they are. */
export interface KeyOptions {
  /** Holds the identity keys and the invite secret. */
  readonly folder: PrivateFolder;
  readonly allowClassic: boolean;
  /** Milliseconds that only grow. */
  readonly now: () => number;
}

/** Loads the keys, making those that are not there. Throws `local` when the folder cannot be used. */
export async function loadServerKeys(
  { folder, allowClassic, now }: KeyOptions,
): Promise<ServerKeys> {
  const names = STRONGEST_FIRST.filter((name) => allowClassic || name !== "classic");
  const sides = new Map<number, OurSide>();
  const stocks: EphemeralKeyStock[] = [];
  for (const name of names) {
    const suite = await loadSuite(name);
    const { identity } = await loadIdentity(folder, suite);
    let ephemeralKey = () => suite.kem.generate();
    if (name !== "modern") {
      // An RSA key takes too long to be made for each handshake.
      const stock = new EphemeralKeyStock(suite.kem, now);
      stocks.push(stock);
      ephemeralKey = () => stock.take();
    }
    sides.set(SUITE_IDS[name], { suite, identity, ephemeralKey });
  }
  return {
    sides,
    stocks,
    inviteSecret: await loadSecret(folder, "invite.secret"),
    saltSecret: await loadSecret(folder, "salt.secret"),
    ticketSecret: await loadSecret(folder, "ticket.secret"),
  };
}

async function loadSecret(folder: PrivateFolder, file: keyof typeof SECRETS): Promise<Bytes> {
  const text = await folder.read(file);
  const secret = text === undefined ? systemRandom(SECRET_LENGTH) : parseSecret(folder, file, text);
  const pem = formatPem([{ label: SECRETS[file].label, bytes: secret }]);
  if (text !== pem) await folder.write(file, pem);
  return secret;
}

function parseSecret(folder: PrivateFolder, file: keyof typeof SECRETS, text: string): Bytes {
  try {
    // Earlier it was base64url alone.
    const isPem = text.startsWith("-----");
    const secret = isPem ? parsePem(text)[0]!.bytes : decodeBase64Url(text.trim());
    if (secret.length === SECRET_LENGTH) return secret;
  } catch {
    // Not even text of bytes: damaged all the same.
  }
  throw new CifraError("local", `Cannot read ${file} in ${folder.path}: it is damaged`, {
    hint: `remove the file ${file}; ${SECRETS[file].without}`,
  });
}
