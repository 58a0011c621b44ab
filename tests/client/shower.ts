/**
 * A program that shows what waits of Bob's in the store of the folder it is given, a line on stdout each, until
 * it is killed.
 */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { Incoming } from "../../lib/client/incoming.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";

const store = await SqliteMessages.open(await PrivateFolder.open(Deno.args[0]!), {
  keepHistory: true,
});
// Waiting for more keeps no program alive by itself.
setInterval(() => {}, 60_000);
const incoming = new Incoming(store, { peer: "bob", suite: "modern" });
for (let event = await incoming.next(); event; event = await incoming.next()) {
  if (event.type === "text") Deno.stdout.writeSync(encodeUtf8(`${event.text}\n`));
  incoming.taken(event);
}
