/** What a sender and a receiver do with their disks, one after the other. */
import { Staging } from "../../lib/files/staging.ts";
import { Source } from "../../lib/files/source.ts";
import { walk } from "../../lib/files/tree.ts";

/** Bytes in a piece: what one item of a channel carries. */
export const FILE_BENCH_PIECE = 61_000;

/** All that is in `from`, as one transfer into `to`. */
export async function moveAll(from: string, to: string): Promise<void> {
  const { entries } = await walk([from]);
  const staging = await Staging.open({ folder: to, id: new Uint8Array(16), entries });
  const buffer = new Uint8Array(FILE_BENCH_PIECE);
  for (const [i, entry] of entries.entries()) {
    if (entry.type === "folder") continue;
    using source = Source.open(entry) as Source;
    for (let offset = 0; offset < entry.size;) {
      const count = source.read(offset, buffer) as number;
      const behind = staging.write(i + 1, offset, buffer.subarray(0, count));
      if (behind) await behind;
      offset += count;
    }
  }
  await staging.finish();
  await staging.discard();
}
