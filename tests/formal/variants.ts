/** The symbolic models, what takes one thing away from each, and what the queries then must give, in their order. */

/** A model with edits. */
export interface Variant {
  readonly model: string;
  readonly what: string;
  /** Pairs: what stands there, and what is put in its place. */
  readonly edits: readonly (readonly [string, string])[];
  readonly expected: string;
}

/** Adds a public name to a model. */
const named = (type: string, before: string): [string, string] => [
  before,
  `free nothing: ${type}. ${before}`,
];
const CLAIM = "claim.pv", DOOR = "door.pv", UNLINKABLE = "unlinkable.pv", LADDER = "handshake.pv";
const CLAIM_NAMES = "free nowhere: host.", DOOR_NAMES = "free fpB: fp.";

/** The queries of the ladder's model but for the last, secrecy. */
const QUERIES = [
  "inj-event(IDone(a, vk(skB), k)) ==> inj-event(RRun(a, vk(skB), k)); ",
  "inj-event(RDone(vk(skA), b, k)) ==> inj-event(IRun(vk(skA), b, k)); ",
  "event(IDone(a, b, k)) && event(RRun(a2, b2, k)) ==> a = a2 && b = b2; ",
  "event(RDone(a, b, k)) && event(IRun(a2, b2, k)) ==> a = a2 && b = b2;",
  "event(IShows(vk(skB), t)) ==> event(REarly(vk(skB), t)); ",
];
const BROKEN_KEM: [string, string] = [
  "fun vk(ssk)",
  "reduc forall k: epk, r: nonce; broken(kct(k, r)) = kss(k, r). fun vk(ssk)",
];

/** Takes queries away. */
const without = (...queries: readonly string[]) =>
  queries.map((query): [string, string] => [query, ""]);

/** The models as they stand. */
export const MODELS: readonly Variant[] = [
  { model: "original.pv", what: "as it stands", edits: [], expected: "fails fails repeats fails" },
  {
    model: LADDER,
    what: "as it stands",
    edits: [],
    expected: "holds holds holds holds holds holds",
  },
  {
    model: CLAIM,
    what: "as it stands",
    edits: [],
    expected: "holds holds holds holds holds fails",
  },
  { model: DOOR, what: "as it stands", edits: [], expected: "holds holds holds" },
  { model: UNLINKABLE, what: "as it stands", edits: [], expected: "holds" },
];

/** One thing less. */
export const ABLATIONS: readonly Variant[] = [
  {
    model: CLAIM,
    what: "places not signed",
    edits: [
      [CLAIM_NAMES, "free nothing: spot. free nowhere: host."],
      ["= claimed(n, k, q, t, p).", "= claimed(n, k, q, t, nothing)."],
    ],
    expected: "fails holds holds holds holds fails",
  },
  {
    model: CLAIM,
    what: "name not signed",
    edits: [named("name", CLAIM_NAMES), ["= claimed(n, ", "= claimed(nothing, "]],
    expected: "fails fails holds fails holds fails",
  },
  {
    model: CLAIM,
    what: "key that claims not signed",
    edits: [named("spk", CLAIM_NAMES), ["= claimed(n, k, ", "= claimed(n, nothing, "]],
    expected: "fails fails holds fails holds fails",
  },
  {
    model: CLAIM,
    what: "observed and punched host not compared",
    edits: [["  if observed = punch then\n", ""]],
    expected: "fails holds holds holds holds fails",
  },
  {
    model: CLAIM,
    what: "a claim taken outside its owner's ladder",
    edits: [["in(ladder(vk(skB), honest), m7: bitstring)", "in(c, m7: bitstring)"]],
    expected: "holds holds fails holds holds fails",
  },
  {
    model: CLAIM,
    what: "sequence not remembered",
    edits: [["event(Taken(s, k, q, y)) ==> x = y", "event(Taken(s, k, q, y)) ==> true"]],
    expected: "holds holds repeats holds holds fails",
  },
  {
    model: CLAIM,
    what: "the newcomer vouches for itself",
    edits: [["if check(old, claim", "if check(x, claim"]],
    expected: "holds holds holds fails holds fails",
  },
  {
    model: CLAIM,
    what: "rv_id chosen by the server",
    edits: [["= introduction(k, g, a, b).", "= said."]],
    expected: "holds holds holds holds fails fails",
  },
  {
    model: DOOR,
    what: "invite: m1 not bound",
    edits: [named("bitstring", DOOR_NAMES), ["invite_(hour, h(m))", "invite_(hour, nothing)"]],
    expected: "fails holds holds",
  },
  {
    model: DOOR,
    what: "invite: hour not bound",
    edits: [["invite_(hour, h(m))", "invite_(0, h(m))"]],
    expected: "fails holds holds",
  },
  {
    model: DOOR,
    what: "invite: hour not compared with the clock",
    edits: [["  if hour = now || hour = now + 1 || now = hour + 1 then\n", ""]],
    expected: "holds fails holds",
  },
  {
    model: DOOR,
    what: "invite: tokens not remembered",
    edits: [["event(TokenTaken(t, y)) ==> x = y", "event(TokenTaken(t, y)) ==> true"]],
    expected: "repeats holds holds",
  },
  {
    model: DOOR,
    what: "ticket: m1 not bound",
    edits: [named("bitstring", DOOR_NAMES), ["ticket_(h(m))", "ticket_(nothing)"]],
    expected: "holds holds fails",
  },
  {
    model: DOOR,
    what: "ticket: used ones not remembered",
    edits: [["event(NonceTaken(n, y)) ==> x = y", "event(NonceTaken(n, y)) ==> true"]],
    expected: "holds holds fails",
  },
  {
    model: DOOR,
    what: "ticket: its key needs no secret",
    edits: [["tokey(mac(s, key_(n, x, g)))", "tokey(key_(n, x, g))"]],
    expected: "holds holds fails",
  },
  {
    model: DOOR,
    what: "ticket: neither a tag nor a key over what is inside",
    edits: [
      named("bitstring", DOOR_NAMES),
      ["  if g = ticketTag(s, n, x) then\n", ""],
      ["key_(n, x, g)))", "key_(n, nothing, nothing)))"],
    ],
    expected: "holds holds fails",
  },
  {
    model: DOOR,
    what: "ticket: no tag, but a key over what is inside",
    edits: [["  if g = ticketTag(s, n, x) then\n", ""]],
    expected: "holds holds holds",
  },
  {
    model: UNLINKABLE,
    what: "ticket not sealed",
    edits: [["= mask(s, n, x).", "= x."], ["= unmask(s, n, x).", "= x."]],
    expected: "fails",
  },
  {
    model: UNLINKABLE,
    what: "one ticket shown twice, or two",
    edits: [[
      "Present(n, x, g, ticketKey(own, n, x, g)).",
      "new n1: nonce; let n2 = choice[n, n1] in let x2 = sealed(own, n2, inside(id, hour)) in " +
      "let g2 = ticketTag(own, n2, x2) in (Present(n, x, g, ticketKey(own, n, x, g)) | " +
      "Present(n2, x2, g2, ticketKey(own, n2, x2, g2))).",
    ]],
    expected: "fails",
  },
  {
    model: UNLINKABLE,
    what: "invite: m1 not bound",
    edits: [
      named("bitstring", "free one: fp."),
      ["(hour, mac(s, invite_(hour, h(m))), m)", "(hour, mac(s, invite_(hour, h(nothing))), m)"],
    ],
    expected: "fails",
  },
  {
    model: LADDER,
    what: "both long-term keys leaked afterwards, secrecy alone",
    edits: [
      ...without(...QUERIES),
      ["(! R(skB))  )", "(! R(skB)) | (phase 1; out(c, (skA, skB))) )"],
    ],
    expected: "holds",
  },
  {
    model: LADDER,
    what: "the key of A stolen before",
    edits: [["process out", "process out(c, skA); out"]],
    expected: "holds fails holds holds holds holds",
  },
  {
    model: LADDER,
    what: "the key of B stolen before",
    edits: [["process out", "process out(c, skB); out"]],
    expected: "fails holds holds holds fails fails",
  },
  {
    model: LADDER,
    what: "m5 signs only the secret",
    edits: [
      ["sign(skI, authI(t5))", "sign(skI, secb(sec))"],
      ["check(pI, authI(t5), ", "check(pI, secb(sec), "],
    ],
    expected: "holds fails holds holds holds holds",
  },
  {
    model: LADDER,
    what: "no proof in m2, and m6 constant",
    edits: [
      ["  if check(pR, early(t2), ad(k2(c2), b2)) = true then\n", ""],
      ["check(pR, authR(t5), ad(k6(c5), b6)) = true", "ad(k6(c5), b6) = authR(t5)"],
      ["ae(k6(c5), sign(skR, authR(t5)))", "ae(k6(c5), authR(t5))"],
    ],
    expected: "fails holds holds holds fails fails",
  },
  {
    model: LADDER,
    what: "KEM broken, misbinding and secrecy alone",
    edits: [...without(...QUERIES.toSpliced(3, 1)), BROKEN_KEM],
    expected: "holds fails",
  },
  {
    model: LADDER,
    what: "the same, and box3 left out of the hash",
    edits: [
      ...without(...QUERIES.toSpliced(3, 1)),
      BROKEN_KEM,
      ["h4(t3, b3, ", "h4(t3, early(t2), "],
    ],
    expected: "fails fails",
  },
];
