/** What came from many, read in the order in which it came. */
import { assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { allUnshown } from "../../lib/client/unshown.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";

/** A store in which somebody has said things, in this order. */
async function storeOf(...said: readonly (readonly [name: string, number: number])[]) {
  const store = new MemoryMessages();
  for (const [name, number] of said) {
    const id = new Uint8Array(16).fill(number);
    const content = encodeUtf8(`${name} ${number}`);
    const log = new Uint8Array(16).fill(name.length);
    const message = { type: "text", id, written: 0, content, number: BigInt(number) } as const;
    await store.receive({ peer: name, suite: "modern" }, log, [message]);
  }
  return store;
}

/** What is read, and marked unless somebody's message fails. */
function read(
  store: MemoryMessages,
  names: readonly string[],
  failing: readonly string[] = [],
): string[] {
  const passedOver = new Set<string>();
  const texts: string[] = [];
  for (const { name, event, markRead } of allUnshown(store, "modern", names, passedOver)) {
    const text = event.type === "text" ? event.text : event.type;
    texts.push(text);
    if (failing.includes(text)) passedOver.add(name);
    else markRead();
  }
  return texts;
}

Deno.test("allUnshown() gives the oldest first, whoever wrote it, over many pages", async () => {
  const said = Array.from(
    { length: 300 },
    (_, i) => [i % 3 === 0 ? "al" : "bob", 1 + Math.floor(i % 3 === 0 ? i / 3 : i - i / 3 - 1)],
  ) as [string, number][];
  const counts = { al: 0, bob: 0 };
  const ordered = said.map(([name]) => [name, ++counts[name as "al" | "bob"]] as const);
  const store = await storeOf(...ordered);
  assertEquals(read(store, ["bob", "al"]), ordered.map((each) => each.join(" ")));
  assertEquals(read(store, ["bob", "al"]), []);
});

Deno.test("allUnshown() leaves out who is passed over, and comes back to what was not marked", async () => {
  const store = await storeOf(["al", 1], ["bob", 1], ["al", 2], ["bob", 2]);
  assertEquals(read(store, ["al", "bob"], ["al 1"]), ["al 1", "bob 1", "bob 2"]);
  assertEquals(read(store, ["bob"]), []);
  assertEquals(read(store, ["al", "bob"]), ["al 1", "al 2"]);
});
