import { assert, assertEquals } from "@std/assert";
import { BoundedMap } from "../../lib/flow/bounded_map.ts";

Deno.test("set() beyond the limit lets the least recently used entry go, and says which", () => {
  const map = new BoundedMap<string, number>(3);
  for (const [i, key] of ["a", "b", "c"].entries()) assertEquals(map.set(key, i), undefined);
  // Getting and setting are both a use.
  assertEquals(map.get("a"), 0);
  assertEquals(map.set("b", 9), undefined);
  assertEquals(map.set("d", 3), "c");
  assertEquals([...map], [["a", 0], ["b", 9], ["d", 3]]);
  assertEquals(map.get("c"), undefined);
  assertEquals(map.delete("a"), true);
  assertEquals(map.delete("a"), false);
  assertEquals(map.size, 2);
  assertEquals(map.set("e", 4), undefined);
  assertEquals(map.set("f", 5), "b");
});

Deno.test("an entry that may not go stays, and another goes instead", () => {
  const map = new BoundedMap<string, { held: boolean }>(2, ({ held }) => !held);
  const a = { held: true }, b = { held: false };
  map.set("a", a);
  map.set("b", b);
  assertEquals(map.set("c", { held: true }), "b");
  assertEquals(map.set("d", { held: true }), undefined);
  assertEquals(map.size, 3);
  a.held = false;
  assertEquals(map.set("e", { held: true }), "a");
  // The entry that has just come does not go for itself.
  assertEquals(map.set("f", { held: false }), undefined);
  assertEquals(map.size, 4);
});

Deno.test("one key used again and again costs no more than many in turn", () => {
  const KEYS = 20_000;
  const map = new BoundedMap<number, number>(KEYS);
  for (let key = 0; key < KEYS; key++) map.set(key, key);
  const cost = (use: (n: number) => void) => {
    const start = performance.now();
    for (let n = 0; n < KEYS; n++) use(n);
    return performance.now() - start;
  };
  const many = cost((n) => map.get(n));
  const uses = { get: () => map.get(7), set: (n: number) => map.set(7, n) };
  for (const [name, use] of Object.entries(uses)) {
    const one = cost(use);
    assert(one < 20 * many, `${name}: ${one} ms for one key, ${many} ms for many`);
  }
});
