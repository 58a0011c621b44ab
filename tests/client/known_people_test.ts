/** Who is known at a server, read in pages from one that may say anything. */
import { assertEquals, assertRejects } from "@std/assert";
import { askKnown } from "../../lib/client/known_people.ts";
import type { ServerLink } from "../../lib/client/server_link.ts";
import { CifraError } from "../../lib/errors.ts";

type Page = readonly [more: 0 | 1, ...names: string[]];

/** A server that answers with these pages, and what it was asked. */
function serverOf(...pages: readonly Page[]) {
  const asked: string[] = [];
  const link: Pick<ServerLink, "ask"> = {
    ask: (request) => {
      asked.push(request.type === "known" ? request.after : request.type);
      const [more, ...names] = pages[asked.length - 1] ?? pages.at(-1)!;
      const keys = names.map((each) => {
        const [name = "", suite = "3", state = "3"] = each.split(" ");
        const fingerprint = new Uint8Array(32);
        return { name, suite: Number(suite), fingerprint, state: Number(state) };
      });
      return Promise.resolve({ type: "known", more, keys });
    },
  };
  return { link, asked };
}

Deno.test("askKnown() asks until there are no more, and names suites and states", async () => {
  const { link, asked } = serverOf([1, "al 3 1", "bob 2 2", "bob 3 2"], [0, "carol 9 7"]);
  const known = await askKnown(link);
  assertEquals(known.map(({ name, suite, state }) => `${name} ${suite} ${state}`), [
    "al modern here",
    "bob rsa away",
    "bob modern away",
    "carol suite 9 gone",
  ]);
  assertEquals(asked, ["", "bob"]);
  assertEquals(await askKnown(serverOf([0]).link), []);
});

Deno.test("askKnown() is not led in circles", async () => {
  const fails = async (...pages: Page[]) =>
    (await assertRejects(() => askKnown(serverOf(...pages).link), CifraError)).code;
  assertEquals(await fails([1]), "bad_state");
  assertEquals(await fails([1, "bob"], [1, "bob"]), "bad_state");
  assertEquals(await fails([0, "bob", "al"]), "bad_state");
  assertEquals(await fails([1, "bob"], [0, "al"]), "bad_state");
});
