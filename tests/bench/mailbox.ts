/** The cryptography of the mailbox: prekeys, sessions begun and accepted, envelopes sealed and opened. */
import { generateIdentity, type Identity } from "../../lib/crypto/identity.ts";
import {
  acceptSession,
  beginSession,
  openEnvelope,
  sealEnvelope,
  type SessionState,
  stepSession,
} from "../../lib/crypto/mailbox_session.ts";
import { SESSION_ENVELOPES } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { makePrekey, verifyPrekey } from "../../lib/crypto/prekeys.ts";
import { envelopeParts, headerParts } from "../testkit/mailbox.ts";
import { median, report } from "./bench.ts";

const STOCK = 40;
const SESSIONS = 300;
const ROUNDS = 5;
const SHORT = 512, FULL = 57_344;

const [alice, bob] = await Promise.all(
  [1, 2].map(async () => (await generateIdentity(2)).identity),
) as [Identity, Identity];
const box = systemRandom(16);
const signed = await makePrekey(bob, box, "signed", 1n);
const once = await makePrekey(bob, box, "once", 1n);
const stored = {
  signed: { number: 1n, secret: signed.secret },
  once: { number: 1n, secret: once.secret },
};

/** Milliseconds of one of `count`: the median of some rounds, after one that does not count. */
async function cost(count: number, job: () => Promise<unknown>): Promise<number> {
  const rounds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const began = performance.now();
    await job();
    if (round > 0) rounds.push((performance.now() - began) / count);
  }
  return median(rounds);
}

const milliseconds = (...costs: readonly number[]) =>
  costs.map((one) => `${one.toFixed(2)} ms`).join(", ");

const made = await cost(STOCK, async () => {
  for (let number = 1n; number <= STOCK; number++) await makePrekey(bob, box, "once", number);
});
const verified = await cost(STOCK, async () => {
  for (let n = 0; n < STOCK; n++) await verifyPrekey(bob, box, once.prekey);
});
report("prekey of the mailbox: made, verified", milliseconds(made, verified));

for (const withOnce of [true, false]) {
  const request = {
    ours: alice,
    theirs: bob,
    box,
    signed: signed.prekey,
    once: withOnce ? once.prekey : undefined,
  };
  const begin = await cost(SESSIONS, async () => {
    for (let n = 0; n < SESSIONS; n++) await beginSession(request);
  });
  const { header } = await beginSession(request);
  const offer = {
    ours: bob,
    theirs: alice,
    header: headerParts(header),
    signed: stored.signed,
    once: withOnce ? stored.once : undefined,
  };
  const accept = await cost(SESSIONS, async () => {
    for (let n = 0; n < SESSIONS; n++) await acceptSession(offer);
  });
  const what = `session ${withOnce ? "with" : "without"} a one-time prekey: begun, accepted`;
  report(what, milliseconds(begin, accept));
}

const { header, session } = await beginSession({
  ours: alice,
  theirs: bob,
  box,
  signed: signed.prekey,
});

for (const length of [SHORT, FULL]) {
  const content = systemRandom(length);
  let envelopes: ReturnType<typeof envelopeParts>[] = [];
  const seal = await cost(SESSION_ENVELOPES, async () => {
    envelopes = [];
    let state: SessionState = session;
    while (state.next < SESSION_ENVELOPES) {
      const sealed = await sealEnvelope(state, header, content);
      envelopes.push(envelopeParts(sealed.envelope));
      state = sealed.session;
    }
  });
  const open = await cost(SESSION_ENVELOPES, async () => {
    let state: SessionState = session;
    for (const envelope of envelopes) state = (await openEnvelope(state, envelope)).session;
  });
  const perSecond = [seal, open].map((one) => `${(1000 / one).toFixed(0)}/s`).join(", ");
  report(`envelopes of ${length} bytes: sealed, opened`, perSecond);
}

let last: SessionState = session;
while (last.next < SESSION_ENVELOPES - 1) last = stepSession(last);
const { envelope } = await sealEnvelope(last, header, systemRandom(SHORT));
const far = await cost(10, async () => {
  for (let n = 0; n < 10; n++) await openEnvelope(session, envelopeParts(envelope));
});
report("the last envelope of a session opened, all others lost", milliseconds(far));
