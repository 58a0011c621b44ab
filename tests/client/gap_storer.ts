/**
 * A program that hears of a gap in Bob's log, has it stored in the folder it is given, says `stored`, and is
 * killed before it has shown anything.
 */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { Incoming } from "../../lib/client/incoming.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";

const store = await SqliteMessages.open(await PrivateFolder.open(Deno.args[0]!), {
  keepHistory: Deno.args[1] === "history",
});
const incoming = new Incoming(store, { peer: "bob", suite: "modern" });
await incoming.begin({ log: new Uint8Array(16).fill(1), kind: LogKind.kept, first: 4n });
Deno.stdout.writeSync(encodeUtf8("stored\n"));
setInterval(() => {}, 1000);
