/** The table of errors, row by row: what stands here is written by hand. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  CifraError,
  type ErrorCode,
  ERRORS,
  exitCodeOf,
  hintOf,
  isChange,
  isFinal,
  numbersOf,
  penaltyOf,
  type RefusalCode,
  refusalHintOf,
  toldCode,
} from "../lib/errors.ts";

const CODES = Object.keys(ERRORS) as ErrorCode[];

/** The rows of the table in PROTOCOL.md whose first column is called `heading`: numbers by code. */
async function documented(heading: string): Promise<Readonly<Record<string, number>>> {
  const text = await Deno.readTextFile(new URL("../lib/PROTOCOL.md", import.meta.url));
  const table = text.split("\n\n").filter((block) =>
    new RegExp(`^\\| ${heading} +\\| name +\\| when`).test(block)
  );
  assertEquals(table.length, 1, `tables headed ${heading}`);
  const rows = [...table[0]!.matchAll(/^\| (\d+) +\| `(\w+)` +\|/gm)];
  assertEquals(rows.length, table[0]!.trim().split("\n").length - 2, "every row is read");
  return Object.fromEntries(rows.map(([, number, code]) => [code, Number(number)]));
}

/** The codes of which `holds`, sorted. */
function codesWhere(holds: (code: ErrorCode) => boolean): readonly ErrorCode[] {
  return CODES.filter(holds).sort();
}

Deno.test("every code says whose fault it is", () => {
  const faults = Object.groupBy(CODES, (code) => ERRORS[code].fault);
  assertEquals(faults, {
    ours: ["usage", "local", "locked", "interrupted"],
    transport: ["unreachable", "timeout", "cut", "busy", "slow_reader"],
    protocol: ["bad_frame", "bad_state", "bad_version", "suite_refused", "auth_failed", "limit"],
    refusal: [
      "refused",
      "name_taken",
      "bad_name",
      "bad_address",
      "stale_registration",
      "replaced",
      "invite_required",
      "account_required",
      "wrong_password",
      "banned",
      "kicked",
      "quota",
      "no_mailbox",
      "shutdown",
    ],
    trust: ["identity_unknown", "identity_changed", "suite_downgrade"],
  });
});

Deno.test("in the middle of a conversation all is waited out but what no waiting helps against", () => {
  assertEquals(codesWhere((code) => isFinal(code, true)), [
    "account_required",
    "bad_name",
    "bad_version",
    "banned",
    "identity_changed",
    "identity_unknown",
    "interrupted",
    "invite_required",
    "kicked",
    "name_taken",
    "replaced",
    "suite_downgrade",
    "suite_refused",
    "usage",
  ]);
});

Deno.test("before the server has taken us, all is waited out that waiting may help", () => {
  assertEquals(codesWhere((code) => !isFinal(code, false)), [
    "busy",
    "cut",
    "limit",
    "no_mailbox",
    "quota",
    "refused",
    "shutdown",
    "slow_reader",
    "stale_registration",
    "timeout",
    "unreachable",
  ]);
});

Deno.test("exit codes: 2 for a wrong command line, 3 for somebody changed, 130 for Ctrl-C, else 1", () => {
  const others = Object.groupBy(
    CODES.filter((code) => exitCodeOf(code) !== 1),
    (code) => exitCodeOf(code),
  );
  assertEquals(others, {
    2: ["usage", "bad_name"],
    3: ["identity_changed", "suite_downgrade"],
    130: ["interrupted"],
  });
  assertEquals(codesWhere(isChange), ["identity_changed", "suite_downgrade"]);
});

Deno.test("every code has a hint for people, or a reason for having none", () => {
  for (const code of CODES) {
    const { hint } = ERRORS[code];
    assertEquals(hintOf(code), typeof hint === "string" ? hint : undefined);
    assertMatch(typeof hint === "string" ? hint : hint.none, /^[a-z].{10,}[^.]$/, code);
  }
});

Deno.test("the codes without a hint are those whose throwers know better", () => {
  assertEquals(codesWhere((code) => hintOf(code) === undefined), [
    "auth_failed",
    "cut",
    "identity_changed",
    "identity_unknown",
    "interrupted",
    "limit",
    "local",
    "suite_downgrade",
    "usage",
    "wrong_password",
  ]);
});

Deno.test("whoever is refused learns what to try, unless the sentence says it", () => {
  for (const code of Object.keys(numbersOf("refusal")) as RefusalCode[]) {
    assertEquals(refusalHintOf(code) === undefined, code === "wrong_password", code);
  }
  assertEquals(refusalHintOf("auth_failed"), ERRORS.auth_failed.refusal.hint);
  assertEquals(refusalHintOf("banned"), ERRORS.banned.hint);
});

for (const [kind, heading] of [["alert", "code"], ["refusal", "refusal"]] as const) {
  Deno.test(`each ${kind} has a number of its own, the one in PROTOCOL.md`, async () => {
    const numbers = numbersOf(kind);
    assertEquals(new Set(Object.values(numbers)).size, Object.keys(numbers).length);
    for (const number of Object.values(numbers)) assert(number > 0 && number < 256);
    assertEquals(numbers, await documented(heading));
  });
}

Deno.test("what nobody else may know is told as something else", () => {
  const told = CODES.map((code) => [code, toldCode(code)]).filter(([code, as]) => code !== as);
  assertEquals(Object.fromEntries(told), {
    local: "refused",
    identity_unknown: "auth_failed",
    identity_changed: "auth_failed",
    suite_downgrade: "auth_failed",
  });
});

Deno.test("who forges pays, who talks nonsense pays more, and our own trouble costs nobody", () => {
  const penalties = Object.groupBy(
    CODES.filter(penaltyOf),
    (code) => penaltyOf(code)!,
  );
  assertEquals(penalties, {
    auth: ["auth_failed"],
    malformed: ["bad_frame", "bad_state"],
    pardoned: ["busy", "shutdown"],
  });
});

Deno.test("an error has the hint of its thrower, else the one of its code", () => {
  assertEquals(new CifraError("busy", "Full", { hint: "wait" }).hint, "wait");
  assertEquals(new CifraError("busy", "Full").hint, "try again in a few seconds");
  assertEquals(new CifraError("local", "Broken").hint, undefined);
});
