import { assertEquals } from "@std/assert";
import { Ignored } from "../../lib/cli/ignored.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { withFolder } from "../testkit/server.ts";

Deno.test("who is ignored stays so until that is taken back", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const ignored = await Ignored.open(folder);
    assertEquals([...ignored.names], []);
    assertEquals(await ignored.set("dave", true), true);
    assertEquals(await ignored.set("dave", true), false);
    assertEquals(await ignored.set("carol", true), true);
    assertEquals([...(await Ignored.open(folder)).names], ["carol", "dave"]);
    assertEquals(await ignored.set("dave", false), true);
    assertEquals(await ignored.set("dave", false), false);
    assertEquals([...(await Ignored.open(folder)).names], ["carol"]);
    await folder.write("ignored", "carol\n../x\n\nBOB");
    assertEquals([...(await Ignored.open(folder)).names], ["carol"]);
  });
});
