/** The models of the mailbox: what each variant asks, what it takes away or gives to the attacker, and the result. */
import type { Variant } from "./variants.ts";

type Edits = Variant["edits"];

const MAILBOX = "mailbox.pv";
const ALICE = "bundle(vk(skA), pub(dA))", BOB = "bundle(vk(skB), pub(dB))";

/** `got(…)` and `sent(…)`: bob takes a message for alice's to him, and she has written it to him. */
const got = (T: string, ps: string, po: string) =>
  `event(Got(${ALICE}, ${BOB}, ${T}, ${ps}, ${po}, m))`;
const sent = (T: string, ps: string, po: string) =>
  `event(Sent(${ALICE}, ${BOB}, ${T}, ${ps}, ${po}, m))`;
const PREKEYS = "ps: bitstring, po: bitstring, ps2: bitstring, po2: bitstring";
const ONCE = `prekey(${BOB}, b, oncekind, x, k)`;

/** The queries of the model. */
const ASKED = {
  secretOnce: "query attacker(secOnce).",
  secretLast: "query attacker(secLast).",
  authentic: `query T: tr, ps: bitstring, po: bitstring, m: bitstring;\n  ${
    got("T", "ps", "po")
  } ==> ${sent("T", "ps", "po")}.`,
  onceEach: `query T: tr, ps: bitstring, b: box, x: point, k: kempk, m: bitstring;\n  inj-${
    got("T", "ps", ONCE)
  } ==> inj-${sent("T", "ps", ONCE)}.`,
  sameKeySamePeople: "query a: idb, b: idb, a2: idb, b2: idb, k: key;\n" +
    "  event(KeyR(a, b, k)) && event(Key(a2, b2, k)) ==> a = a2 && b = b2.",
} as const;

/** And more. */
const QUERIES = {
  ...ASKED,
  lastEach: `query T: tr, ps: bitstring, m: bitstring; inj-${got("T", "ps", "none()")} ==> inj-${
    sent("T", "ps", "none()")
  }.`,
  nobodyElses: "query a: idb, T: tr, ps: bitstring, po: bitstring;\n" +
    `  event(Got(a, ${BOB}, T, ps, po, secOnce)) ==> a = ${ALICE}.`,
  samePrekeys: `query T: tr, ${PREKEYS}, m: bitstring;\n  ${got("T", "ps", "po")} && ${
    sent("T", "ps2", "po2")
  } ==> ps = ps2 && po = po2.`,
  nothingForBob: `query T: tr, ps: bitstring, po: bitstring, m: bitstring; ${
    got("T", "ps", "po")
  }.`,
} as const;

/** These queries and no others. */
function asks(...wanted: readonly (keyof typeof QUERIES)[]): Edits {
  const gone = Object.values(ASKED).map((query) => [query, ""] as const);
  const heading = "(* ---- queries ---- *)";
  return [...gone, [heading, wanted.map((name) => QUERIES[name]).join("\n")]];
}

const before = (line: string, added: string): Edits => [[line, `${added}\n${line}`]];
const after = (line: string, added: string): Edits => [[line, `${line}\n${added}`]];

const DECLARATIONS = "(* ---- queries ---- *)";
const BOBS_PREKEYS = "new b: box; new xs: scalar; new ms: kemsk;";
const BOBS_ONCE = "new xo: scalar; new mo: kemsk;";
const EPHEMERAL = "new e: scalar; new r: nonce;";
const WRITES_TO_BOB = "(! Sender(skA, dA, ib, secOnce, secLast))";
const WRITES_TO_ANYBODY =
  "  | (! (in(c, who: idb); if who <> ib then Sender(skA, dA, who, note, note)))\n";
const PUBLISHED = "out(c, (vk(skA), pub(dA), vk(skB), pub(dB)));";
const READS = "  | (! Recipient(skB, dB))";

/** alice writes to bob alone: what is asked is about them, and the search is short. */
const LEAN: Edits = [[WRITES_TO_ANYBODY, ""]];
/** Sessions of the other kind are never begun. */
const never = (comment: string): Edits => [
  ...before(DECLARATIONS, "free never: channel [private]."),
  [comment, "in(never, nothing: bitstring);"],
];
const ONCE_ALONE = never("(* without a one-time prekey *)");
const LAST_ALONE = never("(* with a one-time prekey *)");

/** What goes over this channel is given to the attacker in phase 1. */
const LATER: Edits = [
  ...before(DECLARATIONS, "free later: channel [private]."),
  ...after(READS, "  | (! (in(later, x: bitstring); phase 1; out(c, x)))"),
];
/** The identity keys of both, and what else goes over `later`, are given to the attacker when all is over. */
const IDENTITIES_LATER: Edits = [
  ...LATER,
  ...after(READS, "  | (phase 1; out(c, (skA, dA, skB, dB)))"),
];
const SIGNED_LATER = after(BOBS_PREKEYS, "out(later, (xs, ms));");
/** Every exponent, and every signature key: X25519 and Ed25519 are broken. */
const CURVES_BROKEN_LATER: Edits = [
  ...IDENTITIES_LATER,
  ...after(EPHEMERAL, "out(later, (e, none()));"),
  ...after(BOBS_PREKEYS, "out(later, (xs, none()));"),
  ...after(BOBS_ONCE, "out(later, (xo, none()));"),
];
const KEM_BROKEN = before(
  DECLARATIONS,
  "reduc forall k: kempk, r: nonce; kbreak(kct(k, r)) = kss(k, r).",
);
/** Its secret does not depend on the public key, and whoever has the key knows the coins. ML-KEM is not like this. */
const KEM_WEAK: Edits = [
  ["fun kss(kempk, nonce): shared.", "fun kss(nonce): shared."],
  [
    "kdec(s, kct(kpk(s), r)) = kss(kpk(s), r).",
    "kdec(s, kct(kpk(s), r)) = kss(r).\n" +
    "reduc forall s: kemsk, r: nonce; kcoins(s, kct(kpk(s), r)) = r.",
  ],
  ["kss(mo, r)", "kss(r)"],
  ["kss(ms, r)", "kss(r)"],
];
const SIGNED_STOLEN = after(BOBS_PREKEYS, "out(c, (xs, ms));");
const ONCE_STOLEN = after(BOBS_ONCE, "out(c, (xo, mo));");
const stolen = (keys: string) => after(PUBLISHED, `out(c, ${keys});`);
const BOTH_WAYS = after(READS, "  | (! Sender(skB, dB, ia, note, note)) | (! Recipient(skA, dA))");
/** alice writes, but not to bob. */
const TO_OTHERS_ALONE: Edits = [[`${WRITES_TO_BOB}\n  | `, ""]];
const ONCE_UNSIGNED: Edits = [["if check(vb, po, sigO) = true then", ""]];
/** The transcript covers this and no more. */
const covers = (parts: string): Edits => [["h((ia, ib, ps, po, ee, ct))", `h((${parts}))`]];

function variant(
  what: string,
  expected: string,
  queries: readonly (keyof typeof QUERIES)[],
  ...parts: readonly Edits[]
): Variant {
  return { model: MAILBOX, what, edits: [...parts.flat(), ...asks(...queries)], expected };
}

/** The models as they stand. */
export const MAILBOX_MODELS: readonly Variant[] = [
  { model: MAILBOX, what: "as it stands", edits: [], expected: "holds holds holds holds holds" },
  { model: "mailbox_ratchet.pv", what: "as it stands", edits: [], expected: "holds fails holds" },
  { model: "mailbox_heal.pv", what: "as it stands", edits: [], expected: "holds" },
];

/** The same protocol with another attacker, or another question. */
const ATTACKERS: readonly Variant[] = [
  variant("both ways, agreements commute", "holds holds", ["secretOnce", "secretLast"], [
    ...LEAN,
    ...BOTH_WAYS,
    ...before(DECLARATIONS, "equation forall x: scalar, y: scalar; shr(x, y) = shr(y, x)."),
  ]),
  variant("both ways", "holds", ["authentic"], LEAN, BOTH_WAYS),
  variant("without a memory", "repeats", ["lastEach"], LEAN),
  variant(
    "identity keys and signed prekeys leaked afterwards",
    "holds",
    ["secretOnce"],
    LEAN,
    ONCE_ALONE,
    IDENTITIES_LATER,
    SIGNED_LATER,
  ),
  variant(
    "the same without a one-time prekey",
    "fails",
    ["secretLast"],
    LEAN,
    LAST_ALONE,
    IDENTITIES_LATER,
    SIGNED_LATER,
  ),
  variant(
    "the same, the signed prekey gone by then",
    "holds",
    ["secretLast"],
    LEAN,
    LAST_ALONE,
    IDENTITIES_LATER,
  ),
  variant(
    "X25519 and Ed25519 broken afterwards",
    "holds",
    ["secretOnce"],
    LEAN,
    ONCE_ALONE,
    CURVES_BROKEN_LATER,
  ),
  variant(
    "the same without a one-time prekey",
    "holds",
    ["secretLast"],
    LEAN,
    LAST_ALONE,
    CURVES_BROKEN_LATER,
  ),
  variant(
    "ML-KEM broken",
    "holds holds holds",
    ["secretOnce", "secretLast", "authentic"],
    LEAN,
    KEM_BROKEN,
  ),
  variant(
    "both broken",
    "fails",
    ["secretOnce"],
    LEAN,
    ONCE_ALONE,
    CURVES_BROKEN_LATER,
    KEM_BROKEN,
  ),
  variant(
    "identity keys of bob stolen before",
    "holds holds",
    ["authentic", "onceEach"],
    LEAN,
    stolen("(skB, dB)"),
  ),
  variant("signed prekey of bob stolen", "fails", ["authentic"], LEAN, SIGNED_STOLEN),
  variant(
    "all prekeys of bob stolen",
    "holds holds",
    ["secretOnce", "secretLast"],
    LEAN,
    SIGNED_STOLEN,
    ONCE_STOLEN,
  ),
  variant(
    "identity keys of alice stolen before",
    "holds holds",
    ["secretOnce", "secretLast"],
    LEAN,
    stolen("(skA, dA)"),
  ),
  variant("first contact without a pin", "fails", ["secretOnce"], LEAN, ONCE_ALONE, [
    [WRITES_TO_BOB, "(! (in(c, who: idb); Sender(skA, dA, who, secOnce, secLast)))"],
  ]),
  variant("keys of other sessions given out", "holds holds", ["secretOnce", "secretLast"], LEAN, [
    ...after(READS, "  | (! Sender(skA, dA, ib, note, note))"),
    ...before("out(c, (pub(e), ct, ae(mk(ck0), mOnce)))", "if mOnce = note then out(c, ck0) else"),
    ...before("out(c, (pub(e), ct, ae(mk(ck0), mLast)))", "if mLast = note then out(c, ck0) else"),
  ]),
  variant("words of alice's", "holds", ["nobodyElses"], LEAN),
  variant(
    "KEM that does not bind its key, one-time prekeys stolen",
    "holds holds",
    ["authentic", "samePrekeys"],
    LEAN,
    KEM_WEAK,
    ONCE_STOLEN,
  ),
];

/** One thing less. */
const LESS: readonly Variant[] = [
  variant(
    "one-time prekeys not signed, X25519 and Ed25519 broken afterwards",
    "unproved",
    ["secretOnce"],
    LEAN,
    ONCE_ALONE,
    CURVES_BROKEN_LATER,
    ONCE_UNSIGNED,
  ),
  variant(
    "one-time prekeys not signed, identity keys and signed prekeys leaked afterwards",
    "unproved",
    ["secretOnce"],
    LEAN,
    ONCE_ALONE,
    IDENTITIES_LATER,
    SIGNED_LATER,
    ONCE_UNSIGNED,
  ),
  variant(
    "signed prekey not verified, identity keys leaked afterwards",
    "fails",
    ["secretLast"],
    LEAN,
    LAST_ALONE,
    IDENTITIES_LATER,
    [["if check(vb, ps, sigS) = true then", ""]],
  ),
  variant("DH1 left out", "fails", ["authentic"], LEAN, [
    ["dhS(d, xs)", "nosecret"],
    ["dhR(xs, pa)", "nosecret"],
  ]),
  variant(
    "DH2 left out, all prekeys of bob stolen",
    "fails",
    ["secretOnce"],
    LEAN,
    ONCE_ALONE,
    SIGNED_STOLEN,
    ONCE_STOLEN,
    [["dhS(e, pb)", "nosecret"], ["dhR(d, ee)", "nosecret"]],
  ),
  variant("sender not in T", "fails", ["nobodyElses"], LEAN, covers("none(), ib, ps, po, ee, ct")),
  variant(
    "recipient not in T",
    "holds",
    ["nothingForBob"],
    TO_OTHERS_ALONE,
    LAST_ALONE,
    covers("ia, none(), ps, po, ee, ct"),
  ),
  variant(
    "recipient not in T, nor in the statements",
    "fails",
    ["nothingForBob"],
    TO_OTHERS_ALONE,
    LAST_ALONE,
    covers("ia, none(), ps, po, ee, ct"),
    [["prekey(ib, b", "prekey(nobody, b"]],
  ),
  variant(
    "signed prekey not in T",
    "holds holds",
    ["authentic", "samePrekeys"],
    LEAN,
    covers("ia, ib, none(), po, ee, ct"),
  ),
  variant(
    "one-time prekey not in T, KEM that does not bind its key, one-time prekeys stolen",
    "holds holds",
    ["authentic", "samePrekeys"],
    LEAN,
    KEM_WEAK,
    ONCE_STOLEN,
    covers("ia, ib, ps, none(), ee, ct"),
  ),
  variant("E not in T", "holds", ["authentic"], LEAN, covers("ia, ib, ps, po, none(), ct")),
  variant(
    "ciphertext not in T, ML-KEM broken",
    "holds",
    ["authentic"],
    LEAN,
    KEM_BROKEN,
    covers("ia, ib, ps, po, ee, none()"),
  ),
];

/** Other attackers and questions, and one thing less. */
export const MAILBOX_VARIANTS: readonly Variant[] = [...ATTACKERS, ...LESS];
