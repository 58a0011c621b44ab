import { assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { EARLY_MESSAGES, EARLY_MESSAGES_BYTES, TEXT_LIMIT } from "../../lib/limits.ts";
import { LetIn, pastLost, split, toShow } from "../../lib/store/message_rules.ts";
import type { Gap } from "../../lib/store/message_store.ts";
import type { KeptMessage } from "../../lib/wire/peer_messages.ts";

/** A message in few letters: `5b` is number 5 with an id of its own. */
function message(name: string, content = name): KeptMessage {
  const id = encodeUtf8(name.padStart(16, "0"));
  const number = BigInt(parseInt(name));
  return { type: "text", number, id, written: 0, content: encodeUtf8(content) };
}

function brief(part: KeptMessage | Gap): string {
  if (part.type === "gap") return `gap ${part.from}-${part.to}`;
  const name = new TextDecoder().decode(part.id).replace(/^0+/, "");
  return part.type === "text" ? name : `${name} ${part.type}`;
}

/** `split`, of messages in few letters; `kept` are those up to `have`. */
function splits(
  { have = 0n, haveId, kept = [], gap = 0n, early = [], first = 0n, come }: {
    readonly have?: bigint;
    /** The id of the message `have`, where the two logs were not compared. */
    readonly haveId?: string;
    readonly kept?: readonly string[];
    readonly gap?: bigint;
    readonly early?: readonly (string | KeptMessage)[];
    readonly first?: bigint;
    readonly come: readonly (string | KeptMessage)[];
  },
) {
  const each = (one: string | KeptMessage) => typeof one === "string" ? message(one) : one;
  const idOf = (number: bigint) =>
    number === gap ? "gap" : kept.map(each).find((one) => one.number === number)?.id;
  const isCompared = haveId === undefined;
  const soFar = { have, haveId: isCompared ? undefined : message(haveId).id, isCompared };
  const parts = split({ ...soFar, early: early.map(each), idOf }, first, come.map(each));
  return {
    next: parts.next.map(brief).join(", "),
    early: parts.early.map(brief).join(", "),
    aside: parts.aside.map(brief).join(", "),
  };
}

/** The same, in the order in which they are shown. */
function shown(...given: Parameters<typeof splits>): string {
  const { have = 0n, early = [], come, first = 0n, kept = [] } = given[0];
  const each = (one: string | KeptMessage) => typeof one === "string" ? message(one) : one;
  const idOf = (number: bigint) => kept.map(each).find((one) => one.number === number)?.id;
  const soFar = { have, haveId: undefined, isCompared: true, early: early.map(each), idOf };
  return [...toShow(split(soFar, first, come.map(each)))]
    .map(({ part, isAside }) => `${brief(part)}${isAside ? " aside" : ""}`).join(", ");
}

const NONE = { next: "", early: "", aside: "" };

Deno.test("split() goes on with what follows, and lets in what has waited for it", () => {
  assertEquals(splits({ come: ["1", "2"] }), { ...NONE, next: "1, 2" });
  assertEquals(splits({ have: 2n, come: ["2", "3"] }), { ...NONE, next: "3" });
  const early = ["4", "5", "7"];
  assertEquals(splits({ have: 2n, early, come: ["3"] }), { ...NONE, next: "3, 4, 5" });
  assertEquals(splits({ have: 2n, early, come: ["6", "3"] }), { ...NONE, next: "3, 4, 5, 6, 7" });
  assertEquals(splits({ have: 2n, early, come: [] }), NONE);
});

Deno.test("split() lets what has come too early wait, once", () => {
  assertEquals(splits({ come: ["2", "3"] }), { ...NONE, early: "2, 3" });
  assertEquals(splits({ come: ["3", "2"], early: ["2"] }), { ...NONE, early: "3" });
});

Deno.test("split() stores a gap for what its writer has no more, around what is here of it", () => {
  assertEquals(splits({ have: 1n, first: 4n, come: ["4"] }), { ...NONE, next: "gap 2-3, 4" });
  assertEquals(splits({ have: 1n, first: 4n, come: [] }), { ...NONE, next: "gap 2-3" });
  assertEquals(splits({ have: 3n, first: 4n, come: ["5"] }), { ...NONE, early: "5" });
  assertEquals(splits({ have: 3n, first: 2n, come: [] }), NONE);
  const early = ["4", "5", "8", "9", "12"];
  assertEquals(splits({ have: 1n, early, first: 9n, come: [] }), {
    ...NONE,
    next: "gap 2-3, 4, 5, gap 6-7, 8, 9",
  });
});

Deno.test("split() puts aside what comes under the number of another message, wherever that is", () => {
  const kept = ["1", "2"];
  assertEquals(splits({ have: 3n, kept, come: ["1", "2b", "3b"] }), { ...NONE, aside: "2b" });
  assertEquals(splits({ have: 3n, kept, gap: 3n, come: ["2", "3b"] }), { ...NONE, aside: "3b" });
  // The one that came last has the place: its writer is the one that is there.
  assertEquals(splits({ have: 1n, early: ["3"], come: ["3b"] }), {
    ...NONE,
    early: "3b",
    aside: "3",
  });
  assertEquals(splits({ have: 1n, early: ["3", "4"], come: ["2", "3b"] }), {
    ...NONE,
    next: "2, 3b, 4",
    aside: "3",
  });
});

Deno.test("split() goes on only with what follows the message that is here, where the logs were not compared", () => {
  const at = { have: 3n, haveId: "3", kept: ["3"] };
  assertEquals(splits({ ...at, first: 1n, come: ["3", "4"] }), { ...NONE, next: "4" });
  assertEquals(splits({ ...at, first: 1n, come: ["2", "3", "4"] }).next, "4");
  // The writer knows that 3 is here.
  assertEquals(splits({ ...at, first: 4n, come: ["4"] }).next, "4");
  // It may follow another 3.
  assertEquals(splits({ ...at, first: 1n, come: ["4", "5"] }), { ...NONE, early: "4, 5" });
  assertEquals(splits({ ...at, first: 1n, come: ["3b", "4", "5"] }), {
    ...NONE,
    aside: "3b, 4, 5",
  });
  // What waits right behind it may as well, until its writer says so.
  const early = ["4", "5"];
  assertEquals(splits({ ...at, early, first: 1n, come: ["2", "3"] }), NONE);
  assertEquals(splits({ ...at, early, first: 1n, come: ["3", "4"] }).next, "4, 5");
  assertEquals(splits({ ...at, early, first: 4n, come: ["4"] }).next, "4, 5");
  assertEquals(splits({ ...at, early: ["5"], first: 5n, come: [] }).next, "gap 4-4, 5");
  assertEquals(splits({ have: 0n, haveId: "0", first: 1n, come: ["1"] }).next, "1");
});

Deno.test("toShow() has what is put aside before what goes on behind it", () => {
  const kept = ["1", "2"];
  assertEquals(shown({ have: 2n, kept, come: ["1b", "2b", "3"] }), "1b aside, 2b aside, 3");
  const early = ["4", "5", "6"];
  assertEquals(shown({ have: 2n, early, come: ["3", "4b"] }), "3, 4 aside, 4b, 5, 6");
  assertEquals(
    shown({ have: 2n, early, come: ["3", "4", "5b", "6b"] }),
    "3, 4, 5 aside, 5b, 6 aside, 6b",
  );
  assertEquals(shown({ have: 2n, early: ["6"], come: ["3", "6b"] }), "3, 6 aside");
  assertEquals(shown({ have: 2n, early: ["5"], first: 6n, come: ["5b"] }), "gap 3-4, 5 aside, 5b");
});

Deno.test("split() lets what waits be taken back, and not come back", () => {
  const back = { ...message("3", ""), type: "taken back" } as const;
  assertEquals(splits({ early: ["3"], come: [back] }), { ...NONE, early: "3 taken back" });
  assertEquals(splits({ early: [back], come: ["3"] }), NONE);
  assertEquals(splits({ early: ["3"], come: ["1", "2", back] }).next, "1, 2, 3 taken back");
  assertEquals(splits({ have: 3n, kept: ["3"], come: [back] }), NONE);
});

Deno.test("split() keeps no more that waits than there is room for, in number and in bytes", () => {
  const many = Array.from({ length: EARLY_MESSAGES + 1 }, (_, i) => `${i + 2}`);
  const { early } = splits({ come: many });
  assertEquals(early.split(", ").length, EARLY_MESSAGES);
  assertEquals(splits({ early: many.slice(0, -1), come: ["5000"] }), NONE);
  assertEquals(splits({ early: many.slice(1), come: ["2"] }), NONE);
  // What fills the hole needs no room.
  assertEquals(splits({ early: many, come: ["1"] }).next.split(", ").length, 1 + many.length);
  const large = (n: number) => message(`${n}`, "x".repeat(TEXT_LIMIT));
  const count = EARLY_MESSAGES_BYTES / TEXT_LIMIT;
  const full = Array.from({ length: count }, (_, i) => large(i + 2));
  assertEquals(splits({ come: [...full, "9999"] }).early.split(", ").length, count);
  assertEquals(splits({ early: full, come: ["9999"] }), NONE);
  assertEquals(splits({ early: full.slice(1), come: ["9999"] }).early, "9999");
});

Deno.test("split(): whatever comes in whatever order, everything is shown once and in order", () => {
  for (let round = 0; round < 300; round++) {
    const count = 1 + Math.floor(Math.random() * 30);
    const all = Array.from({ length: count }, (_, i) => message(`${i + 1}`));
    const shown: KeptMessage[] = [];
    let early: KeptMessage[] = [];
    let left = count;
    const here = new Set<KeptMessage>();
    while (left > 0) {
      const start = Math.floor(Math.random() * count);
      const come = all.slice(start, start + 1 + Math.floor(Math.random() * 4));
      const soFar = {
        have: BigInt(shown.length),
        haveId: undefined,
        isCompared: true,
        early,
        idOf: (number: bigint) => shown[Number(number) - 1]?.id,
      };
      const parts = split(soFar, 0n, come);
      assertEquals(parts.aside, []);
      for (const part of parts.next) if (part.type !== "gap") shown.push(part);
      early = [...early, ...parts.early].filter(({ number }) => number > shown.length);
      early.sort((a, b) => Number(a.number - b.number));
      for (const one of come) here.add(one);
      left = count - here.size;
      assertEquals(new Set([...shown, ...early]), here);
      assertEquals(shown, all.slice(0, shown.length));
    }
    assertEquals(shown.length, count);
  }
});

Deno.test("LetIn knows the numbers that were let in and that no channel has brought", () => {
  const letIn = new LetIn<string>();
  letIn.note("a", 3n, 3n);
  assertEquals(letIn.has("a", 3n), false);
  letIn.note("a", 3n, 5n);
  const numbers = [3n, 4n, 5n, 6n];
  assertEquals(numbers.map((number) => letIn.has("a", number)), [false, true, true, false]);
  assertEquals(numbers.map((number) => letIn.has("b", number)), [false, false, false, false]);
  letIn.note("a", 6n, 6n);
  letIn.note("a", 7n, 9n);
  assertEquals([4n, 8n, 9n, 10n].map((number) => letIn.has("a", number)), [
    true,
    true,
    true,
    false,
  ]);
});

Deno.test("pastLost() counts what is lost next as stored", () => {
  const gap = (from: bigint, to: bigint): Gap => ({ type: "gap", from, to });
  assertEquals(pastLost(2n, []), 2n);
  assertEquals(pastLost(2n, [gap(3n, 4n), gap(5n, 6n), gap(8n, 9n)]), 6n);
  assertEquals(pastLost(2n, [gap(4n, 5n)]), 2n);
});
