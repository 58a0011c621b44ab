/**
 * A program that changes the server's memory in the folder it is given as fast as it can, and says on stdout
 * what it was told is on disk. It goes on where an earlier one was killed, until it is killed.
 */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteServerStore } from "../../lib/store/sqlite_server.ts";
import { accountOf, inviteOf, keyOf } from "./server_samples.ts";

const store = await SqliteServerStore.open(await PrivateFolder.open(Deno.args[0]!));

function say(line: string): void {
  Deno.stdout.writeSync(encodeUtf8(`${line}\n`));
}

say("ready");
for (let n = Number(Deno.args[1]);; n++) {
  const name = `n${n}`;
  store.putKey(keyOf(name));
  say(`key ${n}`);
  store.putAccount(accountOf(name));
  say(`account ${n}`);
  store.putInvite(inviteOf(n));
  say(`invite ${n}`);
  store.seen(keyOf(name).fingerprint, n, 9n);
  if (n % 3 !== 0) continue;
  store.forget(name);
  say(`forgot ${n}`);
}
