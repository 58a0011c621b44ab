/** Who is answered, who is announced and who is declined, whatever the server says and however often. */
import { assertEquals } from "@std/assert";
import type { Acquaintance } from "../../lib/client/contacts.ts";
import type { Offer } from "../../lib/client/lobby.ts";
import { type Acceptance, Offers } from "../../lib/client/offers.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  OFFERS_LIMIT,
  STORE_PAUSE_MAXIMUM,
  STORE_PAUSE_MINIMUM,
  STRANGERS_ANSWERED,
  STRANGERS_ANSWERED_PAUSE,
} from "../../lib/limits.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { person } from "../testkit/handshake.ts";

/** What `Offers` does, in order: `+bob` is answered, `?bob` is announced, `-bob` is declined. */
class Scene {
  readonly offers: Offers;
  readonly time = new ManualTime();
  readonly said: string[] = [];
  /** Those with whom there is a conversation. */
  readonly open = new Set<string>();
  /** How those are known who are not strangers. */
  readonly known = new Map<string, Acquaintance>();
  hasRoom = true;
  /** Why nobody can be answered. */
  trouble: CifraError | undefined;
  /** Those who were asked for again. */
  readonly again: Promise<string>[] = [];
  /** What judging waits for. */
  judging: Promise<void> = Promise.resolve();

  constructor(accept: Acceptance = "none") {
    this.offers = new Offers({
      time: this.time,
      askAgain: (offer) => void this.again.push(this.take(offer)),
      contacts: {
        judge: async (name) => {
          await this.judging;
          return this.known.get(name) ?? "stranger";
        },
      },
      accept,
      isOpen: (name) => this.open.has(name),
      onTrouble: (name, { message }) => void this.said.push(`!${name}: ${message}`),
      begin: (name) => {
        if (this.trouble) return Promise.reject(this.trouble);
        if (this.hasRoom) this.open.add(name);
        return Promise.resolve(this.hasRoom);
      },
      decline: (name) => void this.said.push(`-${name}`),
      onAsking: ({ name, acquaintance }, isAnswered) => {
        assertEquals(acquaintance, this.known.get(name) ?? "stranger");
        this.said.push(`${isAnswered ? "+" : "?"}${name}`);
      },
    });
  }

  /** Somebody asks with the key of `keyOf`; gives what was done. */
  async ask(name: string, keyOf = "bob"): Promise<string> {
    return await this.take({ name, suite: 2, identity: (await person("modern", keyOf)).identity });
  }

  async take(offer: Offer): Promise<string> {
    const before = this.said.length;
    await this.offers.take(offer);
    return this.said.slice(before).join(" ");
  }

  /** Gives what was done when so many turns have come. */
  async turns(count: number): Promise<string[]> {
    for (let turn = 0; turn < count; turn++) {
      this.time.advance(STRANGERS_ANSWERED_PAUSE);
      await Promise.all(this.again);
    }
    return await Promise.all(this.again.splice(0));
  }

  get names(): string[] {
    return [...this.offers.names];
  }
}

const ACQUAINTANCES = ["known", "changed", "other suite", "stranger"] as const;

for (
  const [accept, answered] of [
    ["known", ["known"]],
    ["all", ["known", "stranger"]],
    ["none", []],
  ] as const
) {
  test(`--accept ${accept} answers these and announces the others: [${answered}]`, async () => {
    const scene = new Scene(accept);
    for (const acquaintance of ACQUAINTANCES) {
      scene.known.set(acquaintance, acquaintance);
      const isAnswered = answered.some((each) => each === acquaintance);
      const mark = isAnswered ? "+" : "?";
      assertEquals(await scene.ask(acquaintance), `${mark}${acquaintance}`);
      assertEquals(scene.offers.has(acquaintance), !isAnswered);
      // They have a conversation now.
      if (isAnswered) assertEquals(await scene.ask(acquaintance), "");
    }
    assertEquals(scene.names, ACQUAINTANCES.filter((each) => !scene.open.has(each)));
  });
}

test("whoever asks again is announced once; with another key they are news", async () => {
  const scene = new Scene();
  assertEquals(await scene.ask("bob"), "?bob");
  assertEquals(await scene.ask("bob"), "");
  assertEquals(await scene.ask("bob", "mallory"), "?bob");
  const { identity } = await person("modern", "mallory");
  assertEquals(scene.offers.get("bob")?.identity?.fingerprint, identity.fingerprint);
  scene.offers.forget("bob");
  assertEquals([scene.names, scene.offers.get("bob")], [[], undefined]);
  assertEquals(await scene.ask("bob"), "?bob");
});

test("without a key to compare, whoever asks again in the same suite is no news", async () => {
  const scene = new Scene();
  scene.known.set("bob", "other suite");
  const offer = { name: "bob", suite: 1, identity: undefined };
  assertEquals(await scene.take(offer), "?bob");
  assertEquals(await scene.take(offer), "");
  assertEquals(await scene.take({ ...offer, suite: 3 }), "?bob");
});

test("whoever was refused is declined with the same key, and announced with another", async () => {
  const scene = new Scene();
  assertEquals(await scene.ask("bob"), "?bob");
  assertEquals([scene.offers.refuse("bob"), scene.names], [true, []]);
  assertEquals(scene.said.at(-1), "-bob");
  assertEquals(await scene.ask("bob"), "-bob");
  assertEquals(await scene.ask("bob", "mallory"), "?bob");
  scene.offers.welcome("bob");
  assertEquals(scene.names, []);
  assertEquals(await scene.ask("bob"), "?bob");
});

test("whoever was refused before they asked is declined with any key, until they are welcome", async () => {
  const scene = new Scene("all");
  assertEquals(scene.offers.refuse("bob"), false);
  assertEquals(await scene.ask("bob"), "-bob");
  assertEquals(await scene.ask("bob", "mallory"), "-bob");
  scene.offers.welcome("bob");
  assertEquals(await scene.ask("bob"), "+bob");
});

test("somebody with whom a conversation was closed is announced, until they are welcome", async () => {
  const scene = new Scene("all");
  assertEquals(await scene.ask("bob"), "+bob");
  scene.open.delete("bob");
  scene.offers.close("bob");
  assertEquals(await scene.ask("bob"), "?bob");
  scene.offers.welcome("bob");
  assertEquals(await scene.ask("bob"), "+bob");
});

test("when there is no room, somebody who is welcome waits like the others", async () => {
  const scene = new Scene("all");
  scene.hasRoom = false;
  assertEquals(await scene.ask("bob"), "?bob");
  assertEquals(await scene.ask("bob"), "");
  scene.hasRoom = true;
  assertEquals(await scene.ask("bob"), "+bob");
});

test("a server that invents people has no more of them answered than come by in a class", async () => {
  const scene = new Scene("all");
  for (let n = 0; n < STRANGERS_ANSWERED; n++) assertEquals(await scene.ask(`n${n}`), `+n${n}`);
  for (const name of ["late", "later", "last"]) assertEquals(await scene.ask(name), `?${name}`);
  assertEquals(await scene.ask("late"), "");
  // Whom we know is answered at once, and whoever has gone loses nobody a turn.
  scene.known.set("bob", "known");
  assertEquals(await scene.ask("bob"), "+bob");
  scene.offers.forget("late");
  assertEquals(await scene.turns(1), ["+later"]);
  assertEquals(scene.names, ["last"]);
  assertEquals(await scene.turns(2), ["+last"]);
  assertEquals([scene.names, scene.time.pending], [[], 0]);
});

test("whoever found no room is answered when there is some, and nobody after the end", async () => {
  const scene = new Scene("all");
  scene.hasRoom = false;
  assertEquals(await scene.ask("bob"), "?bob");
  assertEquals(await scene.turns(3), ["", "", ""]);
  scene.hasRoom = true;
  assertEquals(await scene.turns(1), ["+bob"]);
  scene.hasRoom = false;
  assertEquals(await scene.ask("carol"), "?carol");
  scene.offers.stop();
  assertEquals([await scene.turns(2), scene.time.pending], [[], 0]);
  assertEquals(await scene.ask("dave"), "?dave");
  assertEquals(scene.time.pending, 0);
});

test("a failure of ours is told once and rested on, and all are answered when it is over", async () => {
  const scene = new Scene("all");
  for (const name of ["bob", "carol", "dave"]) scene.known.set(name, "known");
  scene.trouble = new CifraError("local", "full");
  assertEquals(await scene.ask("bob"), "!bob: full ?bob");
  assertEquals([await scene.ask("bob"), await scene.ask("carol")], ["", "?carol"]);
  // Each pause is twice as long as the one before, and nothing is said of it again.
  for (const pause of [1, 2, 4, 8].map((times) => times * STORE_PAUSE_MINIMUM)) {
    scene.time.advance(pause - 1);
    assertEquals(scene.again, []);
    scene.time.advance(1);
    assertEquals(await Promise.all(scene.again.splice(0)), [""]);
  }
  scene.trouble = undefined;
  scene.time.advance(STORE_PAUSE_MAXIMUM);
  while (scene.again.length > 0) await Promise.all(scene.again.splice(0));
  assertEquals([scene.said.slice(-2), scene.names], [["+bob", "+carol"], []]);
  // The next one is news, and the pause a first one.
  scene.trouble = new CifraError("local", "full");
  assertEquals(await scene.ask("dave"), "!dave: full ?dave");
  scene.trouble = undefined;
  scene.time.advance(STORE_PAUSE_MINIMUM);
  await Promise.all(scene.again.splice(0));
  assertEquals(scene.said.at(-1), "+dave");
  scene.offers.stop();
  assertEquals(scene.time.pending, 0);
});

test("a conversation that we begin while somebody is judged is answer enough", async () => {
  const scene = new Scene();
  const judging = Promise.withResolvers<void>();
  scene.judging = judging.promise;
  const asking = scene.ask("bob");
  scene.open.add("bob");
  judging.resolve();
  assertEquals([await asking, scene.names], ["", []]);
});

test("when too many ask, the oldest is forgotten, and is news again", async () => {
  const scene = new Scene();
  const names = Array.from({ length: OFFERS_LIMIT }, (_, i) => `n${i}`);
  for (const name of names) await scene.ask(name);
  assertEquals(scene.names, names);
  assertEquals(await scene.ask("late"), "?late");
  assertEquals(scene.names, [...names.slice(1), "late"]);
  assertEquals(await scene.ask("n1"), "");
  assertEquals(await scene.ask("n0"), "?n0");
});
