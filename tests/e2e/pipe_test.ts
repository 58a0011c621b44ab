import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { cifraCommand, couple, type Program, Scene } from "../testkit/program.ts";

const MIB = 2 ** 20;

/** Takes bytes, counts and hashes them. */
class Sink {
  readonly #hash = createHash("sha256");
  #waiting: { readonly total: number; readonly reached: () => void } | undefined;
  total = 0;

  take(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.total += piece.length;
    if (this.#waiting && this.total >= this.#waiting.total) this.#waiting.reached();
  }

  reaches(total: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting = { total, reached: resolve };
    if (this.total >= total) resolve();
    return promise;
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

/** Writes so many random bytes, in pieces of odd lengths, and returns their SHA-256. */
async function writeRandom(program: Program, total: number): Promise<string> {
  const hash = createHash("sha256");
  const piece = new Uint8Array(65_536);
  for (let left = total; left > 0;) {
    const part = piece.subarray(0, Math.min(left, 1 + left % piece.length));
    crypto.getRandomValues(part);
    hash.update(part);
    await program.write(part);
    left -= part.length;
  }
  return hash.digest("hex");
}

/** Alice and bob as pipes, with what each prints. */
async function pipes(scene: Scene) {
  const sinks = { alice: new Sink(), bob: new Sink() };
  const alice = scene.connect("alice", "bob", [], { onStdout: (piece) => sinks.alice.take(piece) });
  const bob = scene.connect("bob", "alice", [], { onStdout: (piece) => sinks.bob.take(piece) });
  await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
  return { alice, bob, sinks };
}

Deno.test("a pipe carries 64 MiB of random bytes one way, each of them", async () => {
  await using scene = await Scene.withServer();
  const { alice, bob, sinks } = await pipes(scene);
  await bob.endInput();
  const sent = await writeRandom(alice, 64 * MIB);
  await alice.endInput();
  await Promise.all([alice.exits(0), bob.exits(0)]);
  assertEquals(sinks.bob.total, 64 * MIB);
  assertEquals(sinks.bob.digest(), sent);
  assertEquals(sinks.alice.total, 0);
});

Deno.test("a pipe carries 16 MiB and 8 MiB and a byte both ways at once", async () => {
  await using scene = await Scene.withServer();
  const { alice, bob, sinks } = await pipes(scene);
  const [fromAlice, fromBob] = await Promise.all(
    ([[alice, 16 * MIB], [bob, 8 * MIB + 1]] as const).map(async ([program, total]) => {
      const sent = await writeRandom(program, total);
      await program.endInput();
      return sent;
    }),
  );
  await Promise.all([alice.exits(0), bob.exits(0)]);
  assertEquals([sinks.bob.total, sinks.alice.total], [16 * MIB, 8 * MIB + 1]);
  assertEquals([sinks.bob.digest(), sinks.alice.digest()], [fromAlice!, fromBob!]);
});

for (const total of [0, 1, 65_535]) {
  Deno.test(`a pipe carries ${total} bytes`, async () => {
    await using scene = await Scene.withServer();
    const { alice, bob, sinks } = await pipes(scene);
    await bob.endInput();
    const sent = await writeRandom(alice, total);
    await alice.endInput();
    await Promise.all([alice.exits(0), bob.exits(0)]);
    assertEquals(sinks.bob.total, total);
    assertEquals(sinks.bob.digest(), sent);
  });
}

Deno.test("a pipe waits for a slow reader, holds little meanwhile, and loses nothing", async () => {
  await using scene = await Scene.withServer();
  const sink = new Sink();
  const open = Promise.withResolvers<void>();
  const bob = scene.connect("bob", "alice", [], {
    onStdout: async (piece) => {
      await open.promise;
      sink.take(piece);
    },
  });
  const alice = scene.connect("alice", "bob");
  await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
  await bob.endInput();
  let written = 0;
  const hash = createHash("sha256");
  const piece = crypto.getRandomValues(new Uint8Array(65_536));
  const feeding = (async () => {
    while (written < 24 * MIB) {
      hash.update(piece);
      await alice.write(piece);
      written += piece.length;
      piece[written % 65_521]! ^= 1;
    }
    await alice.endInput();
  })();
  // It comes to rest when all that may be under way is, long before the end.
  for (let before = -1; before < written || written < 4 * MIB;) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert(written < 12 * MIB, `${written} bytes went in`);
  open.resolve();
  await feeding;
  await Promise.all([alice.exits(0), bob.exits(0)]);
  assertEquals(sink.total, 24 * MIB);
  assertEquals(sink.digest(), hash.digest("hex"));
});

Deno.test({
  name: "a stream of 384 MiB needs no more memory than one of 192 MiB",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using scene = await Scene.withServer();
    const { alice, bob, sinks } = await pipes(scene);
    const piece = crypto.getRandomValues(new Uint8Array(65_536));
    const peaks: number[][] = [];
    // By the first its heap is as large as it gets: it is not cleared up before (`STREAM_HEAP`).
    for (const total of [192 * MIB, 384 * MIB]) {
      const arrived = sinks.bob.reaches(total);
      for (let sent = sinks.bob.total; sent < total; sent += piece.length) await alice.write(piece);
      await arrived;
      peaks.push([await alice.peakMemory(), await bob.peakMemory()]);
    }
    const shown = peaks.map((pair) => pair.map(Math.round).join(" and ")).join(" MiB, then ");
    console.log(`peak memory of sender and receiver: ${shown} MiB`);
    for (const who of [0, 1]) {
      const growth = peaks[1]![who]! - peaks[0]![who]!;
      assert(growth < 64, `${growth} MiB more for 192 MiB more: ${shown}`);
    }
    await Promise.all([alice.endInput(), bob.endInput()]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
  },
});

Deno.test("a pipe and a person on lines of JSON understand each other", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.says("connected to bob"), bob.event("connected")]);
  await alice.write("raw ¡bytes!\n");
  await bob.until(
    "the bytes",
    () =>
      bob.events.filter(({ event }) => event === "message").map(({ text }) => text).join("") ===
        "raw ¡bytes!\n",
  );
  await bob.write("a line\nand another\n");
  await alice.prints("a line\nand another\n");
  await Promise.all([alice.endInput(), bob.endInput()]);
  const { stdout, stderr } = await alice.exits(0);
  await bob.exits(0);
  assertEquals(stdout, "a line\nand another\n");
  assertStringIncludes(stderr, "cifra: bob has nothing more to send\n");
});

Deno.test("a character that comes in two pieces is still one", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.says("connected to bob"), bob.event("connected")]);
  const [first, second, third] = new TextEncoder().encode("€");
  await alice.write(new Uint8Array([first!]));
  await bob.event("message", { number: 1 });
  await alice.write(new Uint8Array([second!, third!]));
  const { text } = await bob.event("message", { number: 2 });
  assertEquals(text, "€");
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
});

Deno.test("stdout of a pipe has what was sent and not a byte beside; talk is on stderr", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene, []);
  await alice.write("just this");
  await alice.endInput();
  await bob.endInput();
  assertEquals((await bob.exits(0)).stdout, "just this");
  const { stdout, stderr } = await alice.exits(0);
  assertEquals(stdout, "");
  const lines = stderr.trimEnd().split("\n");
  assert(lines.every((line) => line.startsWith("cifra: ")), stderr);
  const fingerprint = /(?:[a-z2-7]{4}-){2,}[a-z2-7]{4}/g;
  const plain = lines.map((line) => line.replace(fingerprint, "KEY").replace(/\d{4,5}/g, "PORT"));
  assertEquals(plain.slice(0, 4), [
    "cifra: alice, key KEY, made just now",
    "cifra: the server 127.0.0.1:PORT is known from now on by its key KEY",
    'cifra: connected to "cifra server" at 127.0.0.1:PORT',
    "cifra: waiting for bob",
  ]);
});

Deno.test("a reader that goes away ends the pipe with an error on both sides", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob");
  // A shell, so that the reader of bob's stdout can end while bob runs.
  const bob = scene.connect("bob", "alice", [], {
    start: (task, folder) => ["sh", "-c", '"$@" | head -c 5', "sh", ...cifraCommand(task, folder)],
  });
  await alice.says("connected to bob");
  const flood = (async () => {
    const piece = new Uint8Array(65_536);
    for (;;) await alice.write(piece);
  })();
  await flood.catch(() => {});
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "error: bob failed before taking everything");
  assert(!stderr.includes("is kept until"), stderr);
  await bob.exit();
  assertStringIncludes(bob.stderr, "error: Cannot write to standard output: its reader has gone");
});
