/** Files from one disk to another over channels that end at any byte, and programs that begin anew. */
import { assert, assertEquals } from "@std/assert";
import type { Decision } from "../../lib/client/transfer_events.ts";
import { within } from "../testkit/time_limit.ts";
import { cutAfter, meet } from "../testkit/links.ts";
import { contents, Place, Side } from "../testkit/transfers.ts";
import { Dice } from "../simulation/dice.ts";
import { until } from "../testkit/until.ts";

const SEEDS = 200;
const SEEDS_AT_ONCE = 40;

/** Files and folders of some kinds. */
function grow(folder: string, dice: Dice, depth = 0): void {
  for (let i = dice.below(4) + 1; i > 0; i--) {
    const path = `${folder}/${dice.below(1000)}`;
    if (depth < 3 && dice.below(3) === 0) {
      Deno.mkdirSync(path, { recursive: true });
      if (dice.below(3) > 0) grow(path, dice, depth + 1);
    } else if (contentsOf(path) === undefined) {
      const length = dice.below(4) === 0 ? dice.below(300_000) : dice.below(2000);
      Deno.writeFileSync(path, new Uint8Array(length).map(() => dice.below(256)));
    }
  }
}

function contentsOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

Deno.test(
  "a folder comes as it is, and both are told",
  within(20, async () => {
    using place = new Place();
    const { source, target } = place;
    grow(source, new Dice(1));
    const alice = new Side("bob"), bob = new Side("alice");
    await Promise.all([alice.begin(), bob.begin()]);
    const { cut } = await meet(alice.thread, bob.thread);
    await alice.transfers.offer("bob", [source]);
    await until(() => bob.has("offered"), "bob is told");
    assertEquals(bob.row.state, "offered");
    await bob.transfers.accept(bob.row, target);
    await until(() => alice.has("over"), "it is over");
    assertEquals([alice.row.state, bob.row.state], ["done", "done"]);
    assert(bob.has("received"));
    await cut();
    await Promise.all([alice.end(), bob.end()]);
    const expected = new Map([["/source", "folder"], ...contents(place.path, "/source")]);
    assertEquals(contents(target), expected);
  }),
);

Deno.test(
  "what an earlier run did not answer is answered when the two meet again",
  within(20, async () => {
    using place = new Place();
    const { source, target } = place;
    Deno.writeTextFileSync(`${source}/note`, "hello");
    let decision: Decision = "ask";
    const alice = new Side("bob"), bob = new Side("alice", () => decision);
    await Promise.all([alice.begin(), bob.begin()]);
    const first = await meet(alice.thread, bob.thread);
    await alice.transfers.offer("bob", [`${source}/note`]);
    await until(() => bob.has("offered"), "bob is told");
    await first.cut();
    await bob.end();
    decision = { into: target };
    await bob.begin();
    const second = await meet(alice.thread, bob.thread);
    await until(() => alice.has("over"), "it is over");
    await second.cut();
    await Promise.all([alice.end(), bob.end()]);
    assertEquals(Deno.readTextFileSync(`${target}/note`), "hello");
  }),
);

/** Until both know that it is over, with cuts at any byte and programs that begin anew. */
async function carry(seed: number): Promise<void> {
  using place = new Place();
  const { source, target } = place;
  const dice = new Dice(seed);
  grow(source, dice);
  const alice = new Side("bob"), bob = new Side("alice", () => ({ into: target }));
  await Promise.all([alice.begin(), bob.begin()]);
  await alice.transfers.offer("bob", [source]);
  for (let tries = 0; !alice.has("over") && tries < 100; tries++) {
    const { pipe, endings, cut } = await meet(alice.thread, bob.thread);
    const lane = dice.below(3) > 0 ? pipe.toRight : pipe.toLeft;
    const isLast = tries > 20;
    if (!isLast) cutAfter(pipe, lane, dice.below(lane === pipe.toRight ? 120_000 : 2000), "break");
    const over = until(() => alice.has("over"), "it is over").then(() => true);
    over.catch(() => {});
    await Promise.race([over, endings]);
    await cut();
    for (const side of [alice, bob]) {
      if (dice.below(4) > 0) continue;
      await side.end();
      await side.begin();
    }
  }
  assertEquals([alice.row?.state, bob.row?.state], ["done", "done"], `seed ${seed}`);
  await Promise.all([alice.end(), bob.end()]);
  const expected = new Map([["/source", "folder"], ...contents(place.path, "/source")]);
  assertEquals(contents(target), expected, `seed ${seed}`);
}

for (let first = 1; first <= SEEDS; first += SEEDS_AT_ONCE) {
  const last = first + SEEDS_AT_ONCE - 1;
  Deno.test(
    `over cuts at any byte, and programs that begin anew, all of it comes once: ${first} to ${last}`,
    within(60, async () => {
      for (let seed = first; seed <= last; seed++) await carry(seed);
    }),
  );
}
