import { assertEquals } from "@std/assert";
import { completePaths } from "../../lib/cli/complete_paths.ts";
import { withFolder } from "../testkit/server.ts";

Deno.test("the tab key knows what is in the folder for files, and nothing outside of it", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/photos`);
    for (const name of ["paper one.pdf", "paper two.pdf", ".hidden", "it's"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    await Deno.writeTextFile(`${folder}/photos/1.jpg`, "");
    const complete = (text: string) =>
      completePaths(text, folder).map((line) => line.replaceAll(folder, "F"));
    assertEquals(complete(`/send ${folder}/`), [
      "/send F/paper one.pdf",
      "/send F/paper two.pdf",
      "/send F/photos/",
    ]);
    assertEquals(complete(`/send ${folder}/paper t`), ["/send F/paper two.pdf"]);
    assertEquals(complete(`/send ${folder}/photos/`), ["/send F/photos/1.jpg"]);
    assertEquals(complete(`/send ${folder}/.h`), ["/send F/.hidden"]);
    assertEquals(complete(`/send ${folder}/nothing/`), []);
    assertEquals(complete(`/send ${folder}/../`), []);
    assertEquals(complete("/send /etc/pass"), []);
    assertEquals(complete("/send /"), ["/send F/"]);
    assertEquals(complete(`/send '${folder}/p`), []);
    assertEquals(complete(`/take ${folder}/`), []);
    assertEquals(completePaths(`/send ${folder}/`, undefined), []);
  }));
