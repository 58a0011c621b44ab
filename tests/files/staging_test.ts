/** What comes of a transfer, on a disk. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import type { ManifestEntry } from "../../lib/wire/manifest.ts";
import { FileFailure } from "../../lib/files/file_failure.ts";
import { sweep } from "../../lib/files/staging_folder.ts";
import { walk } from "../../lib/files/tree.ts";
import { hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import { withFolder } from "../testkit/server.ts";
import { within } from "../testkit/time_limit.ts";
import {
  assertSameTree,
  dice,
  growTree,
  ID,
  noise,
  openStaging,
  plant,
  send,
  transfer,
  treeOf,
} from "./transfer.ts";

const isPosix = Deno.build.os !== "windows";

/** Two folders, on a disk in memory where there can be one: what is tried here is not its speed. */
function inFolders(job: (from: string, to: string) => Promise<void>): Promise<void> {
  const on = (path: string) => {
    Deno.mkdirSync(`${path}/from`);
    Deno.mkdirSync(`${path}/to`);
    return job(`${path}/from`, `${path}/to`);
  };
  return hasTmpfs ? withTmpfs(512 * 2 ** 20, on) : withFolder(on);
}

function file(name: string, size: number | undefined, parent = 0): ManifestEntry {
  return { type: "file", name, size, parent, executable: 0, modified: 1_000_000_000 };
}

function folder(name: string, parent = 0): ManifestEntry {
  return { type: "folder", name, size: 0, parent, executable: 0, modified: 1_000_000_000 };
}

const HELLO = encodeUtf8("hello");

function assertCode(error: unknown, code: string): void {
  assert(error instanceof CifraError, `${error}`);
  assertEquals(error.code, code);
}

/** Writes, and says what was refused. */
async function refused(job: () => Promise<unknown> | undefined | void): Promise<unknown> {
  try {
    await job();
  } catch (error) {
    return error;
  }
  throw new Error("was not refused");
}

Deno.test(
  "any tree arrives as it is, cut as often as it may be",
  within(180, async () => {
    const first = Math.floor(Math.random() * 2 ** 30);
    for (let seed = first; seed < first + 60; seed++) {
      await inFolders(async (from, to) => {
        const roll = dice(seed);
        growTree(from, roll);
        const { entries, bytes } = await walk(
          [...Deno.readDirSync(from)].map(({ name }) => `${from}/${name}`),
        );
        const source = [...entries];
        let sent = 0;
        for (let isAll = false; !isAll;) {
          const staging = await openStaging(to, entries);
          let left = 1 + roll(40);
          isAll = await send(staging, source, {
            piece: 1 + roll(3000),
            goesOn: () => left-- > 0,
            sent: (count) => void (sent += count),
          });
          assertEquals(staging.isComplete, isAll, `seed ${seed}`);
          if (roll(3) === 0) await staging.checkpoint();
          if (isAll) {
            assertEquals(staging.bytes, bytes);
            await staging.finish();
            await staging.discard();
          } else await staging.close();
        }
        assertSameTree(to, from, `seed ${seed}`);
        assertEquals(sent, bytes, `seed ${seed}: something was sent twice`);
      });
    }
  }),
);

Deno.test("of a long file less than a block is sent twice", () =>
  inFolders(async (from, to) => {
    Deno.writeFileSync(`${from}/long`, noise(5_000_000, 1));
    const { entries } = await walk([`${from}/long`]);
    let sent = 0;
    for (let isAll = false, cuts = 0; !isAll; cuts++) {
      const staging = await openStaging(to, entries);
      let left = 20;
      const goesOn = () => left-- > 0;
      const options = { piece: 61_000, goesOn, sent: (count: number) => void (sent += count) };
      isAll = await send(staging, [...entries], options);
      if (isAll) await staging.finish();
      await staging.close();
      assert(sent < 5_000_000 + (cuts + 1) * 65_536, `${sent} bytes after ${cuts} cuts`);
    }
    assertEquals(Deno.readFileSync(`${to}/long`), Deno.readFileSync(`${from}/long`));
  }));

Deno.test("until it is finished a transfer is in a folder that nobody else looks into", () =>
  inFolders(async (_, to) => {
    const staging = await openStaging(to, [folder("photos"), file("a.jpg", 5, 1), file("b", 0)]);
    await staging.write(2, 0, HELLO);
    assertEquals(Object.keys(treeOf(to)).sort(), [
      ".cifra-0102030405060708090a0b0c0d0e0f10/",
      ".cifra-0102030405060708090a0b0c0d0e0f10/journal",
      ".cifra-0102030405060708090a0b0c0d0e0f10/tree/",
      ".cifra-0102030405060708090a0b0c0d0e0f10/tree/photos/",
      ".cifra-0102030405060708090a0b0c0d0e0f10/tree/photos/a.jpg",
    ]);
    if (isPosix) {
      assertEquals(
        Deno.lstatSync(`${to}/.cifra-0102030405060708090a0b0c0d0e0f10`).mode! & 0o777,
        0o700,
      );
    }
    assertEquals(await staging.finish(), {
      names: [{ sent: "photos", written: "photos" }, { sent: "b", written: "b" }],
      skipped: 0,
    });
    // A program that is killed before it can say so comes again.
    await staging.close();
    const again = await openStaging(to, [folder("photos"), file("a.jpg", 5, 1), file("b", 0)]);
    assertEquals([again.isComplete, again.position.entry, again.bytes], [true, 4, 5]);
    assertEquals((await again.finish()).names.map(({ written }) => written), ["photos", "b"]);
    await again.discard();
    assertEquals(Object.keys(treeOf(to)).sort(), ["b", "photos/", "photos/a.jpg"]);
  }));

Deno.test("nothing that is there is replaced, and no link is followed", () =>
  inFolders(async (from, to) => {
    plant(from, {
      "a.txt": "new",
      "photos/": "",
      "photos/1.jpg": "new",
      "empty/": "",
      "link": "new",
    });
    plant(to, { "A.TXT": "old", "photos/": "", "photos/1.jpg": "old", "empty/": "" });
    if (isPosix) await Deno.symlink(from, `${to}/link`);
    else plant(to, { "link": "old" });
    const before = treeOf(to);
    const paths = ["a.txt", "photos", "empty", "link"].map((name) => `${from}/${name}`);
    const { names } = await transfer(paths, to);
    assertEquals(names.map(({ sent, written }) => [sent, written]), [
      ["a.txt", "a (2).txt"],
      ["photos", "photos (2)"],
      ["empty", "empty (2)"],
      ["link", "link (2)"],
    ]);
    const after = treeOf(to);
    for (const [path, what] of Object.entries(before)) assertEquals(after[path], what);
    assertEquals(Object.keys(after).filter((path) => !(path in before)).sort(), [
      "a (2).txt",
      "empty (2)/",
      "link (2)",
      "photos (2)/",
      "photos (2)/1.jpg",
    ]);
    assertEquals(after["a (2).txt"], treeOf(from)["a.txt"]);
  }));

Deno.test("hostile names are written as harmless ones, below the folder, and that is told", () =>
  inFolders(async (_, to) => {
    const entries = [
      folder("a\\..\\b"),
      file("..\u202e", 5, 1),
      file("...", 0, 1),
      folder("\x1b[2J", 1),
    ];
    const staging = await openStaging(to, entries);
    assertEquals(staging.changes, [
      { sent: "a\\..\\b", written: "a_.._b" },
      { sent: "a_.._b/..\u202e", written: "a_.._b/.._" },
      ...isPosix ? [] : [{ sent: "a_.._b/...", written: "a_.._b/_" }],
      { sent: "a_.._b/\x1b[2J", written: "a_.._b/_[2J" },
    ]);
    await staging.write(2, 0, HELLO);
    await staging.finish();
    await staging.discard();
    assertEquals(
      Object.keys(treeOf(to)).sort(),
      [
        "a_.._b/",
        "a_.._b/.._",
        isPosix ? "a_.._b/..." : "a_.._b/_",
        "a_.._b/_[2J/",
      ].sort(),
    );
  }));

Deno.test("content out of its turn, or too much of it, is refused and changes nothing", () =>
  inFolders(async (_, to) => {
    const entries = [folder("f"), file("a", 5, 1), file("b", 0), file("c", 5), folder("g")];
    const staging = await openStaging(to, entries);
    const bad: readonly (readonly [string, () => Promise<void> | undefined | void])[] = [
      ["bad_state", () => staging.write(1, 0, HELLO)],
      ["bad_state", () => staging.write(2, 1, HELLO)],
      ["bad_state", () => staging.write(4, 0, HELLO)],
      ["bad_state", () => staging.write(0, 0, HELLO)],
      ["bad_state", () => staging.write(6, 0, HELLO)],
      ["bad_frame", () => staging.write(2, 0, encodeUtf8("hello!"))],
      ["bad_frame", () => staging.write(2, 0, new Uint8Array(0))],
      ["bad_state", () => staging.restart(1, { size: 1, modified: 0, executable: 0 })],
      ["bad_state", () => staging.restart(4, { size: 1, modified: 0, executable: 0 })],
      ["bad_state", () => staging.skip(4)],
      ["bad_state", () => staging.skip(0)],
      ["bad_state", () => staging.skip(6)],
      ["bad_frame", () => staging.end(2, 0)],
    ];
    for (const [code, job] of bad) assertCode(await refused(job), code);
    assertCode(await refused(() => staging.finish()), "bad_state");
    await staging.write(2, 0, encodeUtf8("hel"));
    assertCode(await refused(() => staging.write(2, 4, encodeUtf8("o"))), "bad_state");
    assertCode(await refused(() => staging.write(4, 0, HELLO)), "bad_state");
    await staging.write(2, 2, encodeUtf8("llo"));
    assertCode(await refused(() => staging.write(2, 0, HELLO)), "bad_state");
    assertCode(await refused(() => staging.write(3, 0, HELLO)), "bad_frame");
    await staging.write(4, 0, HELLO);
    await staging.finish();
    assertCode(await refused(() => staging.write(4, 0, HELLO)), "bad_state");
    assertCode(await refused(() => staging.skip(4)), "bad_state");
    await staging.discard();
    assertEquals(Deno.readTextFileSync(`${to}/f/a`), "hello");
    assertEquals(Object.keys(treeOf(to)).sort(), ["b", "c", "f/", "f/a", "g/"]);
  }));

Deno.test("what has changed begins anew, also when it was there already, and what is gone is left out", () =>
  inFolders(async (_, to) => {
    const entries = [file("a", 5), file("b", 5), file("c", 0), file("d", 5), file("e", 5)];
    let staging = await openStaging(to, entries);
    await staging.write(1, 0, HELLO);
    await staging.write(2, 0, HELLO);
    staging.restart(2, { size: 7, modified: 2_000_000_000, executable: 1 });
    assertEquals(staging.bytes, 5);
    await staging.write(2, 0, encodeUtf8("goo"));
    await staging.close();
    staging = await openStaging(to, entries);
    const { entry, offset, size, modified } = staging.position;
    assertEquals([entry, offset, size, modified], [2, 3, 7, 2_000_000_000]);
    await staging.write(2, 3, encodeUtf8("dbye"));
    staging.restart(3, { size: 2, modified: 0, executable: 0 });
    await staging.write(3, 0, encodeUtf8("hi"));
    await staging.write(4, 0, encodeUtf8("hel"));
    staging.skip(4);
    assertEquals(staging.position.entry, 5, "what is left out would be asked for");
    await staging.close();
    staging = await openStaging(to, entries);
    assertEquals([staging.position.entry, staging.bytes], [5, 14]);
    staging.skip(5);
    assert(staging.isComplete);
    // It is back, and away again.
    staging.restart(5, { size: 2, modified: 0, executable: 0 });
    assert(!staging.isComplete);
    staging.skip(5);
    assertEquals(await staging.finish(), {
      names: ["a", "b", "c"].map((name) => ({ sent: name, written: name })),
      skipped: 2,
    });
    await staging.discard();
    const tree = treeOf(to);
    assertEquals(Object.keys(tree).sort(), ["a", "b", "c"]);
    assertEquals(Deno.readTextFileSync(`${to}/b`), "goodbye");
    if (isPosix) assert(tree["b"]!.startsWith("2000000000 runs"));
  }));

Deno.test("a stream ends where its sender says, and goes on after a cut to the byte", () =>
  inFolders(async (_, to) => {
    const entries = [file("backup.tar", undefined)];
    let staging = await openStaging(to, entries);
    await staging.write(1, 0, HELLO);
    await staging.write(1, 5, HELLO);
    assert(!staging.isComplete);
    await staging.close();
    staging = await openStaging(to, entries);
    const { entry, offset, size, block } = staging.position;
    assertEquals([entry, offset, size, block], [1, 10, undefined, 0]);
    assertCode(await refused(() => staging.end(1, 11)), "bad_frame");
    await staging.end(1, 10);
    assert(staging.isComplete);
    await staging.close();
    staging = await openStaging(to, entries);
    assert(staging.isComplete);
    await staging.finish();
    await staging.discard();
    assertEquals(Deno.readTextFileSync(`${to}/backup.tar`), "hellohello");
  }));

Deno.test("a stream of nothing is an empty file", () =>
  inFolders(async (_, to) => {
    const staging = await openStaging(to, [file("nothing", undefined)]);
    await staging.end(1, 0);
    await staging.finish();
    await staging.discard();
    assertEquals(Deno.readFileSync(`${to}/nothing`), new Uint8Array(0));
  }));

/** What a loss of power may leave of a transfer, and from which entry it goes on. */
const LOSSES: Readonly<Record<string, readonly [(staging: string) => void, number]>> = {
  "a file that is shorter": [(path) => Deno.truncateSync(`${path}/tree/b`, 3), 2],
  "a file of zeros": [(path) => Deno.writeFileSync(`${path}/tree/b`, new Uint8Array(5)), 2],
  "a file that is not there": [(path) => Deno.removeSync(`${path}/tree/c`), 3],
  "a journal that ends within a line": [
    (path) => {
      const { size } = Deno.statSync(`${path}/journal`);
      Deno.truncateSync(`${path}/journal`, size - 5);
    },
    3,
  ],
  "a journal of zeros": [
    (path) => {
      const { size } = Deno.statSync(`${path}/journal`);
      Deno.writeFileSync(`${path}/journal`, new Uint8Array(size));
    },
    1,
  ],
  "no journal": [(path) => Deno.removeSync(`${path}/journal`), 1],
  "nothing": [(path) => Deno.removeSync(path, { recursive: true }), 1],
};

for (const [what, [lose, entry]] of Object.entries(LOSSES)) {
  Deno.test(`a loss of power that leaves ${what} costs what it took, and no more`, () =>
    inFolders(async (_, to) => {
      const entries = [file("a", 5), file("b", 5), file("c", 5), file("d", 5)];
      let staging = await openStaging(to, entries);
      for (const n of [1, 2, 3]) await staging.write(n, 0, HELLO);
      await staging.close();
      lose(`${to}/.cifra-0102030405060708090a0b0c0d0e0f10`);
      staging = await openStaging(to, entries);
      assertEquals([staging.position.entry, staging.position.offset], [entry, 0]);
      for (let n = entry; n <= 4; n++) await staging.write(n, 0, HELLO);
      await staging.finish();
      await staging.discard();
      for (const { name } of entries) assertEquals(Deno.readTextFileSync(`${to}/${name}`), "hello");
    }));
}

Deno.test("blocks of a long file that are not what was written are sent again", () =>
  inFolders(async (from, to) => {
    Deno.writeFileSync(`${from}/long`, noise(5_000_000, 2));
    const { entries } = await walk([`${from}/long`]);
    let staging = await openStaging(to, entries);
    let left = 60;
    await send(staging, [...entries], { piece: 61_000, goesOn: () => left-- > 0 });
    await staging.close();
    const path = `${to}/.cifra-0102030405060708090a0b0c0d0e0f10/tree/long`;
    using damaged = Deno.openSync(path, { write: true });
    damaged.seekSync(1_000_000, Deno.SeekMode.Start);
    damaged.writeSync(new Uint8Array(1000));
    staging = await openStaging(to, entries);
    let sent = 0;
    await send(staging, [...entries], { sent: (count) => void (sent += count) });
    assertEquals(sent, 5_000_000 - Math.floor(1_000_000 / 65_536) * 65_536);
    await staging.finish();
    await staging.discard();
    assertSameTree(to, from);
  }));

Deno.test({
  name: "a full disk is told, nothing is lost by it, and it goes on when there is room",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(8 * 2 ** 20, (path) =>
      inFolders(async (from) => {
        Deno.mkdirSync(`${from}/in`);
        for (let i = 0; i < 300; i++) Deno.writeFileSync(`${from}/in/${i}`, noise(9_000, i));
        Deno.writeFileSync(`${from}/in/long`, noise(900_000, 7));
        const { entries } = await walk([`${from}/in`]);
        Deno.writeFileSync(`${path}/filler`, new Uint8Array(7.5 * 2 ** 20));
        const staging = await openStaging(path, entries);
        let room = 7.5 * 2 ** 20;
        for (let isAll = false; !isAll;) {
          try {
            isAll = await send(staging, [...entries], { piece: 4000 });
          } catch (error) {
            assert(error instanceof FileFailure, `${error}`);
            assertEquals([error.trouble, error.code], ["full", "local"]);
            assert(error.message.includes("the disk is full"), error.message);
            room -= 300_000;
            assert(room >= 0, "there was room");
            Deno.truncateSync(`${path}/filler`, room);
          }
        }
        assert(room < 5 * 2 ** 20, "the disk was never full");
        Deno.removeSync(`${path}/filler`);
        await staging.finish();
        await staging.discard();
        assertSameTree(path, from);
      })),
});

Deno.test("a folder that is not there, or is none, is gone", () =>
  inFolders(async (from, to) => {
    Deno.writeTextFileSync(`${from}/file`, "");
    for (const path of [`${to}/missing`, `${from}/file`]) {
      const error = await assertRejects(() => openStaging(path, [file("a", 5)]), FileFailure);
      assertEquals(error.trouble, "gone");
    }
    const staging = await openStaging(to, [file("a", 5), file("b", 5)]);
    Deno.renameSync(to, `${to}.away`);
    const error = assertThrows(() => staging.write(1, 0, HELLO), FileFailure);
    assertEquals(error.trouble, "gone");
    Deno.renameSync(`${to}.away`, to);
    await staging.write(1, 0, HELLO);
    await staging.write(2, 0, HELLO);
    await staging.finish();
    await staging.discard();
    assertEquals(Object.keys(treeOf(to)), ["a", "b"]);
  }));

const NOBODY = 65_534;

/** By whom the folder `to` may be taken away from under a transfer, and how it is made so. */
const OPEN_FOLDERS: Readonly<Record<string, (to: string) => void>> = {
  "that all may write": (to) => Deno.chmodSync(to, 0o777),
  "that a group may write": (to) => Deno.chmodSync(to, 0o775),
  "that is another's": (to) => Deno.chownSync(to, NOBODY, null),
  "that is like /tmp, and another's": (to) => {
    Deno.chmodSync(to, 0o1777);
    Deno.chownSync(to, NOBODY, null);
  },
  "below one that all may write": (to) => {
    Deno.chmodSync(`${to}/..`, 0o777);
  },
  "behind a link that is another's": (to) => {
    Deno.renameSync(to, `${to}.real`);
    Deno.symlinkSync(`${to}.real`, to);
    new Deno.Command("chown", { args: ["-h", `${NOBODY}`, to] }).outputSync();
  },
  "behind a link into a folder that all may write": (to) => {
    Deno.mkdirSync(`${to}.open`);
    Deno.chmodSync(`${to}.open`, 0o777);
    Deno.renameSync(to, `${to}.open/to`);
    Deno.symlinkSync("./x/../to.open/to", to);
  },
};

for (const [which, change] of Object.entries(OPEN_FOLDERS)) {
  Deno.test({
    name: `nothing comes to a folder ${which}, nor is anything removed from it`,
    ignore: !isPosix || Deno.uid() !== 0,
    fn: () =>
      inFolders(async (from, to) => {
        Deno.mkdirSync(`${from}/tree`);
        Deno.writeTextFileSync(`${from}/tree/key.pem`, "a key");
        const entries = [file("a", 5), file("key.pem", 5)];
        const staging = await openStaging(to, entries);
        await staging.write(1, 0, HELLO);
        await staging.close();
        const [{ name }] = [...Deno.readDirSync(to)] as [Deno.DirEntry];
        Deno.mkdirSync(`${to}/../x`);
        change(to);
        // What somebody else may do there now.
        Deno.renameSync(`${to}/${name}`, `${to}/old`);
        Deno.mkdirSync(`${to}/${name}`);
        Deno.symlinkSync(`${from}/tree`, `${to}/${name}/tree`);
        const before = treeOf(to);
        for (const job of [() => openStaging(to, entries), () => sweep(to, [ID])]) {
          const error = await assertRejects(job, FileFailure);
          assertEquals([error.code, error.trouble], ["local", "denied"]);
          assert(error.hint?.startsWith("receive into a folder of your own"), error.hint);
        }
        assertEquals(treeOf(to), before);
        assertEquals(Deno.readTextFileSync(`${from}/tree/key.pem`), "a key");
        await sweep(to, [new Uint8Array(16)]);
      }),
  });
}

Deno.test({
  name: "what comes goes to a folder that is like /tmp, and behind links of ours",
  ignore: !isPosix,
  fn: () =>
    inFolders(async (from, to) => {
      plant(from, { "a.txt": "something" });
      Deno.chmodSync(to, 0o1777);
      Deno.mkdirSync(`${to}/own`);
      Deno.symlinkSync("../to/./own", `${from}/link`);
      await transfer([`${from}/a.txt`], `${from}/link`);
      assertEquals(Object.keys(treeOf(to)), ["own/", "own/a.txt"]);
    }),
});

Deno.test({
  name: "nothing comes to a staging folder that another has made",
  ignore: !isPosix || Deno.uid() !== 0,
  fn: () =>
    inFolders(async (from, to) => {
      const path = `${to}/.cifra-0102030405060708090a0b0c0d0e0f10`;
      Deno.chmodSync(to, 0o1777);
      const makers = [
        () => Deno.symlinkSync(from, path),
        () => {
          Deno.mkdirSync(path);
          Deno.chownSync(path, NOBODY, null);
        },
        () => {
          Deno.mkdirSync(path);
          Deno.chmodSync(path, 0o777);
        },
      ];
      for (const make of makers) {
        make();
        await assertRejects(() => openStaging(to, [file("a", 5)]), FileFailure);
        assertEquals(treeOf(from), {});
        Deno.removeSync(path);
      }
    }),
});

Deno.test("what is left of transfers that are over is removed, and of others is not", () =>
  inFolders(async (_, to) => {
    const ids = [1, 2, 3].map((n) => new Uint8Array(16).fill(n)) as Bytes[];
    for (const id of ids) await (await openStaging(to, [file("a", 5)], id)).close();
    await sweep(to, [ids[0]!, ids[2]!, ID]);
    assertEquals([...Deno.readDirSync(to)].map(({ name }) => name), [`.cifra-${"02".repeat(16)}`]);
  }));

Deno.test("a hundred thousand folders before a byte do not hold up others", () =>
  inFolders(async (_, to) => {
    const entries = [...Array.from({ length: 20_000 }, (_, i) => folder(`${i}`)), file("last", 5)];
    const staging = await openStaging(to, entries);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await staging.write(20_001, 0, HELLO);
    clearInterval(timer);
    assert(turns > 5, `${turns} turns`);
    await staging.discard();
  }));

/** Lets the next files that are put on the disk fail, so many of them, as a damaged disk does. */
function failingSync(times: number): Disposable {
  const { sync } = Deno.FsFile.prototype;
  let left = times;
  Deno.FsFile.prototype.sync = function () {
    if (left-- <= 0) return sync.call(this);
    return Promise.reject(
      Object.assign(new Error("Input/output error (os error 5)"), { code: "EIO" }),
    );
  };
  return { [Symbol.dispose]: () => void (Deno.FsFile.prototype.sync = sync) };
}

Deno.test("what the disk did not keep comes again, from the last that it has kept on", () =>
  inFolders(async (_, to) => {
    const entries = ["a", "b", "c", "d"].map((name) => file(name, 5));
    const staging = await openStaging(to, entries);
    await staging.write(1, 0, HELLO);
    assertEquals(await staging.checkpoint(), 2);
    for (const n of [2, 3, 4]) await staging.write(n, 0, HELLO);
    {
      using _failing = failingSync(1);
      const error = await assertRejects(() => staging.finish(), FileFailure);
      assertEquals(error.trouble, "other");
    }
    assertEquals([staging.position.entry, staging.bytes, staging.isComplete], [2, 5, false]);
    await staging.close();
    const again = await openStaging(to, entries);
    assertEquals([again.position.entry, again.bytes], [2, 5]);
    for (const n of [2, 3, 4]) await again.write(n, 0, HELLO);
    await again.finish();
    await again.discard();
    assertEquals(Object.keys(treeOf(to)), ["a", "b", "c", "d"]);
  }));

Deno.test("what is left out or begins anew while it is put on the disk is no failure of it", () =>
  inFolders(async (_, to) => {
    const entries = Array.from({ length: 40 }, (_, i) => file(`${i}`, 5));
    const staging = await openStaging(to, entries);
    for (let n = 1; n <= 39; n++) await staging.write(n, 0, HELLO);
    const kept = staging.checkpoint();
    staging.skip(39);
    await kept;
    staging.restart(40, { size: 0, modified: 0, executable: 0 });
    staging.restart(2, { size: 5, modified: 0, executable: 0 });
    assertEquals(await staging.checkpoint(), 2);
    for (let n = 2; n <= 38; n++) await staging.write(n, 0, HELLO);
    assertEquals(await staging.checkpoint(), 39);
    assertEquals((await staging.finish()).skipped, 1);
    await staging.discard();
    assertEquals(Object.keys(treeOf(to)).length, 39);
  }));

Deno.test(
  "more than is kept back at once goes on the disk while others are written",
  within(120, () =>
    inFolders(async (_, to) => {
      const entries = [
        ...Array.from({ length: 5000 }, (_, i) => file(`${i}`, 5)),
        file("long", 2 ** 27),
      ];
      const staging = await openStaging(to, entries);
      for (let n = 1; n <= 5000; n++) await staging.write(n, 0, HELLO);
      const piece = new Uint8Array(2 ** 20);
      for (let at = 0; at < 2 ** 27; at += piece.length) await staging.write(5001, at, piece);
      await staging.close();
      const again = await openStaging(to, entries);
      assertEquals([again.isComplete, again.bytes], [true, 25_000 + 2 ** 27]);
      await again.finish();
      await again.discard();
      assertEquals(Object.keys(treeOf(to)).length, 5001);
    })),
);

Deno.test("a time that is not known is the one at which it came", () =>
  inFolders(async (_, to) => {
    const staging = await openStaging(to, [{ ...file("a", undefined), modified: 0 }]);
    await staging.write(1, 0, HELLO);
    await staging.end(1, 5);
    await staging.finish();
    await staging.discard();
    assert(Date.now() - Deno.statSync(`${to}/a`).mtime!.getTime() < 600_000);
  }));
