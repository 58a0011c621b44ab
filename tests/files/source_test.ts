/** Files and streams as they are read to be sent. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { renewed, Source } from "../../lib/files/source.ts";
import { FileFailure } from "../../lib/files/file_failure.ts";
import { StreamSource } from "../../lib/files/stream_source.ts";
import { type SourceEntry, walk } from "../../lib/files/tree.ts";
import { withFolder } from "../testkit/server.ts";

const isPosix = Deno.build.os !== "windows";

/** A file of ten bytes, looked at long enough after it was written for its time to tell. */
async function inFile(job: (path: string, entry: SourceEntry) => Promise<void> | void) {
  await withFolder(async (folder) => {
    const path = `${folder}/a.txt`;
    await Deno.writeTextFile(path, "0123456789");
    await Deno.utime(path, 1_000_000, 1_000_000);
    const { entries: [entry] } = await walk([path]);
    await job(path, entry!);
  });
}

function open(entry: SourceEntry): Source {
  const source = Source.open(entry);
  assert(source instanceof Source);
  return source;
}

function read(source: Source, offset: number, length: number): string {
  const into = new Uint8Array(length);
  const count = source.read(offset, into);
  return typeof count === "string" ? count : new TextDecoder().decode(into.subarray(0, count));
}

Deno.test("a file is read from any offset, and never beyond its end", () =>
  inFile((_, entry) => {
    using source = open(entry);
    assertEquals(read(source, 0, 4), "0123");
    assertEquals(read(source, 4, 4), "4567");
    assertEquals(read(source, 8, 4), "89");
    assertEquals(read(source, 2, 3), "234");
    assertEquals(read(source, 10, 3), "");
  }));

const CHANGES: Readonly<Record<string, (path: string) => void>> = {
  "has grown": (path) => Deno.writeTextFileSync(path, "more", { append: true }),
  "is shorter": (path) => Deno.truncateSync(path, 5),
  "has other bytes": (path) => Deno.writeTextFileSync(path, "9876543210"),
  "was replaced by one of the same size and time": (path) => {
    Deno.writeTextFileSync(`${path}.new`, "9876543210");
    Deno.utimeSync(`${path}.new`, 1_000_000, 1_000_000);
    Deno.renameSync(`${path}.new`, path);
  },
};

for (const [how, change] of Object.entries(CHANGES)) {
  Deno.test(`a file that ${how} before it is opened is told`, () =>
    inFile((path, entry) => {
      change(path);
      assertEquals(Source.open(entry), "changed");
      const now = renewed(entry);
      assert(typeof now !== "string");
      using source = open(now);
      assertEquals(read(source, 0, 20), Deno.readTextFileSync(path));
    }));
}

for (const how of ["has grown", "is shorter", "has other bytes"]) {
  Deno.test(`a file that ${how} while it is read is told before its last byte is given out`, () =>
    inFile((path, entry) => {
      using source = open(entry);
      assertEquals(read(source, 0, 3), "012");
      CHANGES[how]!(path);
      assertEquals(read(source, 3, 7), "changed");
    }));
}

Deno.test("a file that is not there any more, is a folder, a link or another's is gone", () =>
  inFile(async (path, entry) => {
    await Deno.rename(path, `${path}.old`);
    assertEquals([Source.open(entry), renewed(entry)], ["gone", "gone"]);
    await Deno.mkdir(path);
    assertEquals([Source.open(entry), renewed(entry)], ["gone", "gone"]);
    await Deno.remove(path);
    if (!isPosix) return;
    await Deno.symlink(`${path}.old`, path);
    assertEquals([Source.open(entry), renewed(entry)], ["linked", "linked"]);
    assertEquals(Source.open({ ...entry, path: `${path}.old/b` }), "gone");
  }));

/** A file of a folder that is offered, and one of the same name, size and time that is nobody's business. */
async function besideSecret(
  job: (scene: {
    readonly entry: SourceEntry;
    /** Puts a link to the secret in the place of the folder above the file, and takes it away again. */
    readonly link: () => void;
    readonly unlink: () => void;
  }) => void,
): Promise<void> {
  await withFolder(async (path) => {
    for (const folder of ["given/in", "secret"]) {
      Deno.mkdirSync(`${path}/${folder}`, { recursive: true });
      Deno.writeTextFileSync(`${path}/${folder}/key.pem`, folder);
      Deno.truncateSync(`${path}/${folder}/key.pem`, 6);
      Deno.utimeSync(`${path}/${folder}/key.pem`, 1_000_000, 1_000_000);
    }
    const { entries } = await walk([`${path}/given`]);
    const entry = entries.find(({ type }) => type === "file")!;
    const at = `${path}/given/in`;
    job({
      entry,
      link: () => {
        Deno.renameSync(at, `${at}.away`);
        Deno.symlinkSync(`${path}/secret`, at);
      },
      unlink: () => {
        Deno.removeSync(at);
        Deno.renameSync(`${at}.away`, at);
      },
    });
  });
}

Deno.test({
  name: "a link that has come in the place of a folder above is not followed",
  ignore: !isPosix,
  fn: () =>
    besideSecret(({ entry, link, unlink }) => {
      link();
      assertEquals([Source.open(entry), renewed(entry)], ["linked", "linked"]);
      unlink();
      using source = open(entry);
      assertEquals(read(source, 0, 9), "given/");
    }),
});

/** Runs `before` when the next file has been looked at and is opened next, and `after` once it is open. */
function aroundOpening(before: () => void, after = () => {}): Disposable {
  const { realPathSync, lstatSync } = Deno;
  const restore = () => void Object.assign(Deno, { realPathSync, lstatSync });
  Deno.realPathSync = (path) => {
    Deno.realPathSync = realPathSync;
    const real = realPathSync(path);
    before();
    Deno.lstatSync = (path) => {
      Deno.lstatSync = lstatSync;
      after();
      return lstatSync(path);
    };
    return real;
  };
  return { [Symbol.dispose]: restore };
}

Deno.test({
  name: "a link that comes just before a file is opened gives nothing out, nor if it goes at once",
  ignore: !isPosix,
  fn: async () => {
    await besideSecret(({ entry, link }) => {
      using _race = aroundOpening(link);
      assertEquals(Source.open(entry), "linked");
    });
    await besideSecret(({ entry, link, unlink }) => {
      using _race = aroundOpening(link, unlink);
      assertEquals(Source.open(entry), "changed");
    });
  },
});

Deno.test({
  name: "a named pipe that comes just before a file is opened is not waited for",
  ignore: !isPosix,
  fn: () =>
    inFile(async (path, entry) => {
      // Should it be waited for after all, somebody writes in the end, and has said so.
      const script = `sleep 10; touch '${path}.waited'; : > '${path}'`;
      const writer = new Deno.Command("sh", { args: ["-c", script] }).spawn();
      {
        using _race = aroundOpening(() => {
          Deno.removeSync(path);
          new Deno.Command("mkfifo", { args: [path] }).outputSync();
        });
        assertEquals(Source.open(entry), "gone");
      }
      writer.kill("SIGKILL");
      await writer.status;
      assertEquals([...Deno.readDirSync(path.replace(/[^/]*$/, ""))].map(({ name }) => name), [
        "a.txt",
      ]);
    }),
});

/** A stream of pieces, and how many of them were asked for. */
function streamOf(pieces: readonly string[]) {
  const state = { asked: 0 };
  const stream = new ReadableStream<Bytes>({
    pull(controller) {
      const piece = pieces[state.asked++];
      if (piece === undefined) controller.close();
      else controller.enqueue(encodeUtf8(piece));
    },
  }, { highWaterMark: 0 });
  return { stream, state };
}

async function readStream(source: StreamSource, offset: number, length: number): Promise<string> {
  const into = new Uint8Array(length);
  return new TextDecoder().decode(into.subarray(0, await source.read(offset, into)));
}

Deno.test("a stream is read once, and again from a little before", async () => {
  const { stream, state } = streamOf(["0123", "", "4567", "89"]);
  const source = new StreamSource(stream, 8);
  assertEquals(state.asked, 0);
  assertEquals(await readStream(source, 0, 3), "012");
  assertEquals(state.asked, 1);
  assertEquals(await readStream(source, 3, 3), "3");
  assertEquals(await readStream(source, 4, 9), "4567");
  assertEquals(await readStream(source, 2, 4), "2345");
  assertEquals(source.size, undefined);
  assertEquals(await readStream(source, 8, 9), "89");
  assertEquals(await readStream(source, 10, 9), "");
  assertEquals(source.size, 10);
  assertEquals(await readStream(source, 3, 2), "34");
  for (const offset of [0, 1, 11]) {
    const error = await assertRejects(() => readStream(source, offset, 1), FileFailure);
    assertEquals(error.trouble, "gone");
  }
  await source.close();
});

Deno.test("a piece that is longer than what is kept of a stream comes whole", async () => {
  const text = "0123456789".repeat(10);
  const source = new StreamSource(streamOf([text]).stream, 16);
  let got = "";
  for (let part = "."; part !== "";) got += part = await readStream(source, got.length, 7);
  assertEquals(got, text);
  await source.close();
});

Deno.test("two who wait for the same bytes of a stream both get them", async () => {
  const source = new StreamSource(streamOf(["abc"]).stream);
  const both = await Promise.all([readStream(source, 0, 9), readStream(source, 0, 2)]);
  assertEquals(both, ["abc", "ab"]);
  await source.close();
});

Deno.test("a stream that fails is a failure of ours", async () => {
  const source = new StreamSource(
    new ReadableStream({ pull: () => Promise.reject(new Deno.errors.BrokenPipe()) }),
  );
  await assertRejects(() => readStream(source, 0, 1), FileFailure, "its reader has gone");
  await source.close();
});

Deno.test({
  name: "what this program was not given is not gone: another one may have it",
  permissions: { read: false },
  fn() {
    const facts = { executable: 0, size: 1, modified: 0, device: 1, inode: 1 } as const;
    const entry = {
      type: "file",
      parent: 0,
      name: "x",
      path: "/tmp/x",
      real: "/tmp/x",
      ...facts,
    } as const;
    for (const job of [() => Source.open(entry), () => renewed(entry)]) {
      const error = assertThrows(job, FileFailure);
      assertEquals([error.trouble, error.message], [
        "denied",
        "Cannot read /tmp/x: this program was not given it",
      ]);
    }
  },
});
