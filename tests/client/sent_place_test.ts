/** Where what we offer lies, after a restart. */
import { assertEquals } from "@std/assert";
import { placed, placeOf } from "../../lib/client/sent_place.ts";
import { renewed } from "../../lib/files/source.ts";
import { walk } from "../../lib/files/tree.ts";
import { withFolder } from "../testkit/server.ts";

Deno.test({
  name: "a restart knows where every file was, and takes no link for it, nor a key",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder(async (path) => {
      for (const folder of ["pub/sub", "other"]) {
        await Deno.mkdir(`${path}/${folder}`, { recursive: true });
        await Deno.writeTextFile(`${path}/${folder}/key.pem`, folder);
      }
      await Deno.writeTextFile(`${path}/top`, "");
      await Deno.symlink(`${path}/pub`, `${path}/link`);
      const { entries } = await walk([`${path}/link/sub`, `${path}/top`]);
      const place = placeOf(entries.filter(({ parent }) => parent === 0));
      const again = (kept?: string) =>
        placed(entries, place, kept).filter(({ type }) => type === "file").map((entry) => {
          const now = renewed(entry);
          return typeof now === "string" ? now : now.size;
        });
      assertEquals(again(), [7, 0]);
      assertEquals(again(`${path}/link`), ["gone", 0]);
      await Deno.rename(`${path}/pub/sub`, `${path}/pub/old`);
      await Deno.symlink(`${path}/other`, `${path}/pub/sub`);
      assertEquals(again(), ["linked", 0]);
    }),
});
