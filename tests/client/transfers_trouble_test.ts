/** Transfers that are refused, cancelled, changed under way, or offered by somebody who lies. */
import { assert, assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import type { FileCarrier, FileLane } from "../../lib/client/file_dock.ts";
import { digestOf } from "../../lib/client/file_digest.ts";
import { OFFERS_OPEN } from "../../lib/limits.ts";
import { systemRandom, timingSafeEqual as equals } from "../../lib/crypto/platform.ts";
import {
  encodeFileWord,
  fileItem,
  type FileOffer,
  type FileWord,
} from "../../lib/wire/file_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { encodeManifest, type ManifestEntry } from "../../lib/wire/manifest.ts";
import { within } from "../testkit/time_limit.ts";
import { cutAfter, Ear, meet, openLink, WRITTEN } from "../testkit/links.ts";
import { contents, Place, Side } from "../testkit/transfers.ts";
import { until } from "../testkit/until.ts";

/** Two who meet, the second of whom takes everything. */
async function scene(place: Place) {
  const alice = new Side("bob"), bob = new Side("alice", () => ({ into: place.target }));
  await Promise.all([alice.begin(), bob.begin()]);
  return { alice, bob };
}

function file(path: string, length: number, fill = 1): void {
  Deno.writeFileSync(path, new Uint8Array(length).fill(fill));
}

Deno.test(
  "what is refused is refused for good, and what is cancelled from either side leaves nothing",
  within(20, async () => {
    using place = new Place();
    const { source, target } = place;
    file(`${source}/a`, 100);
    const alice = new Side("bob"), bob = new Side("alice");
    await Promise.all([alice.begin(), bob.begin()]);
    const { cut } = await meet(alice.thread, bob.thread);
    const rows = () => alice.transfers.all();
    for (const [number, end] of ["refuse", "cancel there", "cancel here"].entries()) {
      await alice.transfers.offer("bob", [`${source}/a`]);
      await until(() => bob.transfers.all().length > number, end);
      const theirs = bob.transfers.all()[number]!, ours = rows()[number]!;
      if (end === "refuse") await bob.transfers.refuse(theirs);
      else if (end === "cancel there") await bob.transfers.cancel(theirs);
      else await alice.transfers.cancel(ours);
      const state = end === "refuse" ? "refused" : "cancelled";
      await until(() => rows()[number]!.state === state, state);
      await until(() => bob.transfers.all()[number]!.state === state, state);
      let refusal: unknown;
      await bob.transfers.accept(theirs, target).catch((error) => refusal = error);
      assertEquals((refusal as { code?: string }).code, "usage");
    }
    await cut();
    await Promise.all([alice.end(), bob.end()]);
    assertEquals(contents(target).size, 0);
  }),
);

for (const who of ["alice", "bob"] as const) {
  Deno.test(
    `${who} cancels in the middle, and nothing is left of it`,
    within(20, async () => {
      using place = new Place();
      const { source, target } = place;
      file(`${source}/large`, 3_000_000);
      const { alice, bob } = await scene(place);
      const { pipe, cut } = await meet(alice.thread, bob.thread);
      await alice.transfers.offer("bob", [`${source}/large`]);
      await until(() => bob.has("moved"), "it moves");
      pipe.toRight.hold();
      const side = who === "alice" ? alice : bob;
      await side.transfers.cancel(side.row);
      pipe.toRight.release();
      await until(() => alice.row.state === "cancelled" && bob.row.state === "cancelled", "both");
      await cut();
      await Promise.all([alice.end(), bob.end()]);
      assertEquals(contents(target).size, 0);
    }),
  );
}

Deno.test(
  "a source that has changed, has grown or is gone is noticed, and only that comes anew",
  within(30, async () => {
    using place = new Place();
    const { source, target } = place;
    for (const name of ["1 same", "2 changed", "3 grown", "4 gone"]) {
      file(`${source}/${name}`, 200_000);
    }
    const { alice, bob } = await scene(place);
    await alice.transfers.offer("bob", [source]);
    const first = await meet(alice.thread, bob.thread);
    cutAfter(first.pipe, first.pipe.toRight, 300_000, "break");
    await first.endings;
    assert(bob.has("moved"));
    file(`${source}/2 changed`, 200_000, 2);
    Deno.utimeSync(`${source}/2 changed`, 1, 1);
    file(`${source}/3 grown`, 250_000, 3);
    Deno.removeSync(`${source}/4 gone`);
    const second = await meet(alice.thread, bob.thread);
    await until(() => alice.has("over"), "it is over");
    await second.cut();
    await Promise.all([alice.end(), bob.end()]);
    assertEquals([alice.row.state, alice.row.skipped, bob.row.skipped], ["done", 1, 1]);
    for (const { told } of [alice, bob]) {
      const left = told.flatMap(([, event]) => event.type === "skipped" ? [event.entry] : []);
      assertEquals(left, [lineOf("4 gone")]);
    }
    const expected = new Map([["/source", "folder"], ...contents(place.path, "/source")]);
    assertEquals(contents(target), expected);
  }),
);

Deno.test(
  "a source that has grown far beyond what was offered is left out, and its sender is told",
  within(30, async () => {
    using place = new Place();
    const { source, target } = place;
    for (const name of ["grown", "same"]) file(`${source}/${name}`, 1000);
    const { alice, bob } = await scene(place);
    await alice.transfers.offer("bob", [`${source}/grown`, `${source}/same`]);
    file(`${source}/grown`, 2_000_000);
    const { cut } = await meet(alice.thread, bob.thread);
    await until(() => alice.has("over"), "it is over");
    assert(alice.has("outgrown"));
    assertEquals([bob.row.state, bob.row.skipped], ["done", 1]);
    await cut();
    await Promise.all([alice.end(), bob.end()]);
    assertEquals([...contents(target)].map(([name]) => name), ["/same"]);
  }),
);

Deno.test(
  "of one person so many offers are kept as open, and more are refused with one word of it",
  within(30, async () => {
    using place = new Place();
    const { source } = place;
    file(`${source}/a`, 1);
    const alice = new Side("bob"), bob = new Side("alice");
    await Promise.all([alice.begin(), bob.begin()]);
    const { cut } = await meet(alice.thread, bob.thread);
    for (let i = 0; i < OFFERS_OPEN + 5; i++) await alice.transfers.offer("bob", [`${source}/a`]);
    const refused = () => alice.transfers.all().filter(({ state }) => state === "refused").length;
    await until(() => refused() === 5, "five are refused");
    const count = (type: string) => bob.told.filter(([, event]) => event.type === type).length;
    assertEquals([count("offered"), count("crowded"), count("over")], [OFFERS_OPEN, 1, 0]);
    const { id } = bob.row;
    await bob.transfers.refuse(bob.row);
    for (const type of ["refuse", "cancel"] as const) {
      await bob.thread.sendFileWord({ type, transfer: id }, { id, changes: {} });
    }
    await alice.transfers.offer("bob", [`${source}/a`]);
    await until(() => count("offered") === OFFERS_OPEN + 1, "there is room for one again");
    // Whatever is said of it, it is over once.
    await bob.transfers.offer("alice", [`${source}/a`]);
    await until(() => alice.has("offered"), "she has heard what stands before it");
    const told = alice.told.filter(([row, { type }]) => type === "over" && equals(row.id, id));
    assertEquals(told.length, 1);
    await cut();
    await Promise.all([alice.end(), bob.end()]);
  }),
);

Deno.test(
  "two at once come both, and a message that is written meanwhile does not wait for them",
  within(30, async () => {
    using place = new Place();
    const { source, target } = place;
    file(`${source}/a`, 2_000_000, 1);
    file(`${source}/b`, 2_000_000, 2);
    const { alice, bob } = await scene(place);
    const { cut } = await meet(alice.thread, bob.thread);
    await alice.transfers.offer("bob", [`${source}/a`]);
    await alice.transfers.offer("bob", [`${source}/b`]);
    await until(() => bob.has("moved"), "they move");
    await alice.thread.sendText("hello");
    await until(() => alice.thread.delivery.stored === 3n, "it is there");
    assert(!alice.transfers.all().every(({ state }) => state === "done"));
    await until(() => alice.transfers.all().every(({ state }) => state === "done"), "all is there");
    await cut();
    await Promise.all([alice.end(), bob.end()]);
    assertEquals(contents(target), contents(source));
  }),
);

/** Offers what it likes, and answers a want with what it likes. */
class Liar implements FileLane {
  readonly progress = 0n;
  readonly #manifest: Bytes;
  #carrier: FileCarrier | undefined;

  constructor(manifest: Bytes) {
    this.#manifest = manifest;
  }

  attach(carrier: FileCarrier): void {
    this.#carrier = carrier;
  }

  detach(): void {}
  hear(_id: Bytes, _word: FileWord): void {}

  take(body: Bytes): void {
    const item = decode(fileItem, body);
    if (item.type !== "want") return;
    const { transfer, turn, entry, offset } = item;
    const content = this.#manifest.subarray(offset);
    this.#carrier!.send(encode(fileItem, { type: "data", transfer, turn, entry, offset, content }));
  }
}

const ENTRY: ManifestEntry = {
  type: "file",
  executable: 0,
  parent: 0,
  size: 3,
  modified: 0,
  name: "abc",
};

/** The manifest of one entry, with something in it changed. */
function tampered(change: (manifest: Bytes) => void): Bytes {
  const { manifest } = encodeManifest([ENTRY]);
  change(manifest);
  return manifest;
}

const LIES: Readonly<
  Record<string, { readonly manifest: Bytes; readonly offer?: Partial<FileOffer> }>
> = {
  "another manifest than was offered": {
    manifest: tampered((bytes) => bytes[bytes.length - 1] = 0x64),
    offer: { manifestHash: digestOf(encodeManifest([ENTRY]).manifest) },
  },
  "a name that climbs": {
    manifest: tampered((bytes) => bytes.set([0x2e, 0x2e, 0x2f], bytes.length - 3)),
  },
  "a parent that is not there": { manifest: tampered((bytes) => bytes[5] = 9) },
  "more entries than it says": { manifest: encodeManifest([ENTRY]).manifest, offer: { files: 2 } },
  "another sum than it says": { manifest: encodeManifest([ENTRY]).manifest, offer: { bytes: 4 } },
};

for (const [what, { manifest, offer }] of Object.entries(LIES)) {
  Deno.test(
    `${what}: the transfer has failed, and the conversation goes on`,
    within(20, async () => {
      using place = new Place();
      const bob = new Side("alice", () => ({ into: place.target }));
      await bob.begin();
      const alice = await openLink("bob", { files: new Liar(manifest) });
      new Ear(alice);
      const { cut } = await meet(alice, bob.thread);
      const word: FileOffer = {
        type: "offer",
        files: 1,
        folders: 0,
        bytes: 3,
        manifestLength: manifest.length,
        manifestHash: digestOf(manifest),
        name: lineOf("abc"),
        ...offer,
      };
      encodeFileWord(word);
      const row = {
        ...word,
        peer: "bob",
        suite: "modern",
        id: systemRandom(16),
        direction: "sent",
        state: "offered",
        failure: undefined,
        place: "",
        entry: 0,
        skipped: 0,
        isTold: true,
        began: WRITTEN,
        ended: undefined,
      } as const;
      await alice.sendFileWord(word, { begin: row, manifest });
      await until(() => bob.has("over"), "it is over");
      assertEquals([bob.row.state, bob.row.failure], ["failed", 1]);
      await alice.sendText("still there?");
      await until(() => alice.delivery.stored === 2n, "the conversation goes on");
      await cut();
      await Promise.all([alice.leave(), bob.end()]);
      assertEquals(contents(place.target).size, 0);
    }),
  );
}
