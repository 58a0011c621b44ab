/** Identity keys on disk: one private file for each, made on first use. */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import {
  generateIdentity,
  type Identity,
  identityClassOf,
  openIdentity,
} from "../crypto/identity.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { PrivateFolder } from "./private_files.ts";

const VERSION = 1;

/**
 * Our identity for `suite` in this folder; `made` tells that there was none before. `rsa` and `classic`
 * use keys of one kind and still have one each, so that the study suite never speaks for another.
 */
export async function loadIdentity(
  folder: PrivateFolder,
  suite: Suite,
): Promise<{ readonly identity: Identity; readonly made: boolean }> {
  const name = `identity-${suite.name}.json`;
  const text = await folder.read(name);
  if (text !== undefined) return { identity: await parseIdentity(folder, name, text), made: false };
  const { identity, stored } = await generateIdentity(identityClassOf(suite.signature));
  const { bundle, signatureKey, agreementKey } = stored;
  await folder.write(
    name,
    JSON.stringify({
      version: VERSION,
      bundle: encodeBase64Url(bundle),
      signatureKey: encodeBase64Url(signatureKey),
      ...(agreementKey && { agreementKey: encodeBase64Url(agreementKey) }),
    }) + "\n",
  );
  return { identity, made: true };
}

async function parseIdentity(folder: PrivateFolder, name: string, text: string): Promise<Identity> {
  try {
    const { version, bundle, signatureKey, agreementKey } = JSON.parse(text);
    if (version !== VERSION) throw new TypeError(`version must be ${VERSION}, got ${version}`);
    return await openIdentity({
      bundle: decodeBase64Url(bundle),
      signatureKey: decodeBase64Url(signatureKey),
      agreementKey: agreementKey === undefined ? undefined : decodeBase64Url(agreementKey),
    });
  } catch (cause) {
    throw new CifraError(
      "local",
      `Cannot read the identity in ${folder.path}/${name}: it is damaged`,
      {
        cause,
        hint:
          "restore it from a backup; removing it makes a new identity, which others will refuse",
      },
    );
  }
}
