import { assertEquals } from "@std/assert";
import { MemoryStore } from "../../lib/store/memory.ts";
import type { HeldName } from "../../lib/store/store.ts";

function held(name: string, fingerprint: string): HeldName {
  return {
    name,
    wanted: "bob",
    fingerprint,
    bundle: new Uint8Array(1),
    suite: 3,
    observed: { host: "203.0.113.5", port: 5000 },
    receivePort: 5001,
    sendPort: 5002,
    capabilities: 0,
    advertised: [],
    registrationSequence: 1n,
  };
}

Deno.test("a memory store finds a name by itself and by its holder, until it is released", () => {
  const store = new MemoryStore();
  assertEquals(store.findByName("alice"), undefined);
  const alice = held("alice", "aa");
  store.hold(alice);
  assertEquals(store.findByName("alice"), alice);
  assertEquals(store.findByFingerprint("aa"), alice);
  store.release("alice");
  store.release("alice");
  assertEquals(store.findByName("alice"), undefined);
  assertEquals(store.findByFingerprint("aa"), undefined);
});

Deno.test("a memory store is not confused by names that objects have already", () => {
  const store = new MemoryStore();
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    assertEquals(store.findByName(name), undefined);
    store.hold(held(name, name));
    assertEquals(store.findByName(name)?.name, name);
    store.release(name);
    assertEquals(store.findByFingerprint(name), undefined);
  }
});

Deno.test("nextGeneration() is at least the floor and higher than any before", () => {
  const store = new MemoryStore();
  assertEquals(store.nextGeneration(100), 100);
  assertEquals(store.nextGeneration(100), 101);
  assertEquals(store.nextGeneration(0), 102);
  assertEquals(store.nextGeneration(5000), 5000);
  assertEquals(store.nextGeneration(5000), 5001);
});
