/**
 * Two who write to each other by the mailbox alone, while programs are killed, connections cut, and the server drops,
 * repeats, swaps and forgets: in the end everything was shown once and in order (PROTOCOL.md 3.12).
 */
import { assert, assertEquals } from "@std/assert";
import { DAY } from "../../lib/limits.ts";
import { test } from "../testkit/adversary.ts";
import { type Correspondent, PostRoom } from "../testkit/mail_people.ts";
import { Dice } from "../soak/dice.ts";

/** How a walk goes. */
interface Walk {
  readonly seed: number;
  readonly steps: number;
  /** Whether the server does to responses what it likes. */
  readonly isHostile: boolean;
  /** Whether profiles come back from old copies. */
  readonly hasOldCopies?: boolean;
}

/** One of the two, and what they said and were shown. */
interface Side {
  who: Correspondent;
  readonly said: string[];
  readonly shown: string[];
  isHere: boolean;
}

export async function walk({ seed, steps, isHostile, hasOldCopies = false }: Walk): Promise<void> {
  const dice = new Dice(seed);
  const chance = (percent: number) => dice.below(100) < percent;
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  const sides: readonly [Side, Side] = [
    { who: alice, said: [], shown: [], isHere: false },
    { who: bob, said: [], shown: [], isHere: false },
  ];
  const held: (() => void)[] = [];
  const badly: typeof room.alter = (response, to) => {
    if (response.type === "box" || !isHostile || chance(60)) return [response];
    switch (dice.below(4)) {
      case 0:
        return [];
      case 1:
        return response.type === "envelope" ? [response, response] : [response];
      case 2: {
        const { connection } = to;
        held.push(() => room.say(connection, response));
        return [];
      }
      default:
        return response.type === "mine" ? [{ ...response, deposits: [] }] : [response];
    }
  };
  room.alter = badly;
  const leave = async (side: Side) => {
    side.isHere = false;
    await side.who.leave();
  };
  for (let step = 0; step < steps; step++) {
    const [side, other] = chance(50) ? sides : [sides[1], sides[0]];
    const { who, said, shown } = side;
    switch (dice.below(hasOldCopies ? 11 : 10)) {
      case 0:
      case 1:
      case 2: {
        const texts = Array.from({ length: 1 + dice.below(3) }, (_, i) => {
          const text = `${who.name} ${said.length + i}`;
          return chance(10) ? text.padEnd(15_000, ".") : text;
        });
        said.push(...texts);
        await who.says(other.who, ...texts);
        break;
      }
      case 3:
      case 4:
        if (side.isHere) await (chance(50) ? leave(side) : who.cut());
        side.isHere = !side.isHere;
        if (side.isHere) {
          const coming = who.come();
          if (chance(70)) await coming;
        }
        break;
      case 5:
        shown.push(...await who.shows(other.who));
        break;
      case 6:
        await who.dies();
        side.isHere = false;
        break;
      case 7:
        for (const let_ of held.splice(0)) let_();
        break;
      case 8:
        room.time.advance(1000 * (1 + dice.below(20)));
        break;
      case 9:
        if (chance(80)) await room.pass(4000);
        else {
          // Everybody goes; and some of what waits has waited too long, or all is lost.
          for (const each of sides) if (each.isHere) await leave(each);
          room.time.advance(DAY * (1 + dice.below(20)));
          if (chance(30)) room.lose();
          else await room.mailbox.expire(room.time.date());
        }
        break;
      case 10: {
        const copy = who.store.snapshot();
        await room.pass(10_000);
        await who.says(other.who, "forgotten");
        await room.pass(10_000);
        await who.dies(copy);
        side.isHere = false;
      }
    }
  }
  room.alter = (response) => [response];
  for (const each of sides) if (each.isHere) await leave(each);
  for (let round = 0; round < 5; round++) {
    room.time.advance(DAY + 1000);
    for (const { who } of sides) await who.visits();
  }
  for (const [one, two] of [sides, [sides[1], sides[0]]] as const) {
    const heard = [...two.shown, ...await two.who.shows(one.who)];
    const what = `seed ${seed}, what ${one.who.name} said`;
    const { stored, last } = await one.who.standing(two.who);
    assertEquals(stored, last, what);
    if (!hasOldCopies) assertEquals(heard, one.said, what);
    else {
      // What an old copy had and has no more is missed, and said to be missing; nothing else is.
      const mine = heard.filter((each) => each.startsWith(one.who.name));
      const isThere = new Set(mine);
      // Where another message had its number, it is shown beside the others, not among them.
      const inOrder = mine.toSorted((a, b) => one.said.indexOf(a) - one.said.indexOf(b));
      assertEquals(inOrder, one.said.filter((each) => isThere.has(each)), what);
      if (mine.length < one.said.length) assert(heard.includes("gap"), `${what}: ${heard}`);
    }
  }
}

const SEEDS = Number(Deno.env.get("CIFRA_MAIL_SEEDS") ?? 6);

for (const isHostile of [false, true]) {
  test(`everything arrives once and in order over ${isHostile ? "a hostile" : "an honest"} server`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await walk({ seed, steps: 40, isHostile });
  });
}

test("what is missing of an old copy is told, and all else arrives once", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await walk({ seed, steps: 40, isHostile: false, hasOldCopies: true });
  }
});
