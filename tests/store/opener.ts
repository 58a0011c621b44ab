/** A program that opens the store of the folder it is given, says `open`, and stays until it is killed. */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";

const folder = await PrivateFolder.open(Deno.args[0]!);
await SqliteMessages.open(folder, { keepHistory: true });
Deno.stdout.writeSync(encodeUtf8("open\n"));
setInterval(() => {}, 1000);
