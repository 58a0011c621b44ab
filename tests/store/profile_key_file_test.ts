import { assert, assertEquals, assertRejects } from "@std/assert";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { ProfileKey } from "../../lib/crypto/profile_key.ts";
import type { PasswordCost } from "../../lib/crypto/scram.ts";
import { CifraError } from "../../lib/errors.ts";
import { PASSWORD_MEMORY_MINIMUM, PASSWORD_PASSES, SALT_LENGTH } from "../../lib/limits.ts";
import type { Lock } from "../../lib/store/identity_file.ts";
import { formatPem, parsePem } from "../../lib/store/pem.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import {
  findProfileKey,
  PROFILE_KEY_FILE,
  removeProfileKey,
  writeProfileKey,
} from "../../lib/store/profile_key_file.ts";
import { withFolder } from "../testkit/server.ts";

/** A lock that costs as little as one may. */
async function lockOf(passphrase: string): Promise<Lock> {
  const cost = {
    salt: systemRandom(SALT_LENGTH),
    memory: PASSWORD_MEMORY_MINIMUM,
    passes: PASSWORD_PASSES,
  };
  return { cost, key: await SaltedPassword.derive(passphrase, cost) };
}

function unlockBy(passphrase: string) {
  return (cost: PasswordCost) => SaltedPassword.derive(passphrase, cost);
}

async function refuses(action: () => Promise<unknown>, code: string): Promise<CifraError> {
  const error = await assertRejects(action, CifraError);
  assertEquals(error.code, code);
  return error;
}

Deno.test("the key of a profile is found by its passphrase, also after a change of that", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    assertEquals(await findProfileKey(folder, unlockBy("a")), undefined);
    const raw = systemRandom(32);
    for (const passphrase of ["a", "b"]) {
      await writeProfileKey(folder, new ProfileKey(raw), await lockOf(passphrase));
      assertEquals((await findProfileKey(folder, unlockBy(passphrase)))!.export(), raw);
    }
    await refuses(() => findProfileKey(folder, unlockBy("a")), "wrong_password");
    await refuses(() => findProfileKey(folder), "usage");
    const text = await Deno.readTextFile(`${path}/${PROFILE_KEY_FILE}`);
    assert(!text.includes(raw.toBase64()));
    await removeProfileKey(folder);
    assertEquals(await findProfileKey(folder), undefined);
  });
});

Deno.test("a damaged key of a profile is said to be that", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    await writeProfileKey(folder, new ProfileKey(systemRandom(32)), await lockOf("a"));
    const text = await Deno.readTextFile(`${path}/${PROFILE_KEY_FILE}`);
    const [block] = parsePem(text);
    const short = { ...block!, bytes: block!.bytes.slice(0, 9) };
    for (
      const wrong of [
        "",
        text.slice(0, -1),
        formatPem([block!, block!]),
        formatPem([short]),
        formatPem([{ ...block!, label: "CIFRA SEALED KEYS" }]),
      ]
    ) {
      await Deno.writeTextFile(`${path}/${PROFILE_KEY_FILE}`, wrong);
      const error = await refuses(() => findProfileKey(folder, unlockBy("a")), "local");
      assert(error.hint?.includes("backup"));
    }
  });
});
