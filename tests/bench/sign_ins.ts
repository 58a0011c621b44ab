/** Passwords: what signing in costs the server, what a wrong one costs, and what one costs its owner. */
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { Exchange } from "../../lib/crypto/scram.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  PASSWORD_MEMORY,
  PASSWORD_PASSES,
  PROOF_LENGTH,
  SALT_LENGTH,
  SIGN_IN_NONCE_LENGTH,
} from "../../lib/limits.ts";
import { Accounts } from "../../lib/services/accounts.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { ItemType } from "../../lib/wire/records.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  type ServerRequest,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { claimOf, nextSequence } from "../testkit/server.ts";
import { connect, newcomer, report, startServer } from "./bench.ts";

const NAME = "alice";
const BACKUP = systemRandom(1200);
const WIDTH = 16;
const SIGN_INS = 480;
const WRONG = 20_000;

async function ask<T extends ServerResponse["type"]>(
  channel: Channel,
  request: ServerRequest,
  expected: T,
): Promise<Extract<ServerResponse, { readonly type: T }>> {
  channel.send(ItemType.request, encodeServerRequest(request));
  const [item] = await channel.receive() ?? [];
  if (!item) throw channel.failure;
  const response = decodeServerResponse(item.body);
  if (response.type !== expected) throw new Error(`The server said ${JSON.stringify(response)}`);
  return response as Extract<ServerResponse, { readonly type: T }>;
}

/** The whole exchange on an open channel, the password worked up before. */
async function signIn(channel: Channel, password: SaltedPassword): Promise<void> {
  const clientNonce = systemRandom(SIGN_IN_NONCE_LENGTH);
  const request = { type: "signIn", name: NAME, nonce: clientNonce } as const;
  const { salt, memory, passes, nonce } = await ask(channel, request, "challenge");
  const exchange: Exchange = {
    name: NAME,
    clientNonce,
    serverNonce: nonce,
    cost: { salt, memory, passes },
    exporter: channel.established.exporter,
  };
  const proof = password.prove(exchange);
  const { signature } = await ask(channel, { type: "proof", proof }, "signedIn");
  if (!password.isSigned(exchange, signature)) throw new Error("The server does not know it");
}

async function measureSignIns(password: SaltedPassword, cost: typeof COST): Promise<void> {
  const server = await startServer();
  try {
    const { port } = server.hello;
    const owner = await newcomer("modern");
    const channel = await connect(owner, port);
    const registrationSequence = nextSequence();
    await ask(channel, {
      type: "signUp",
      name: NAME,
      registrationSequence,
      claim: await claimOf(owner, NAME, registrationSequence),
      ...cost,
      ...password.verifier(),
      backup: BACKUP,
    }, "signedUp");
    channel.destroy();

    const pinned = channel.established.theirs;
    const guests = await Promise.all(Array.from({ length: WIDTH }, () => newcomer("modern")));
    const start = performance.now();
    await Promise.all(guests.map(async (guest) => {
      for (let n = 0; n < SIGN_INS / WIDTH; n++) {
        const channel = await connect(guest, port, pinned);
        await signIn(channel, password);
        channel.destroy();
      }
    }));
    const perSecond = SIGN_INS / (performance.now() - start) * 1000;
    report(`sign-ins, with connection and ladder, ${WIDTH} at once`, `${perSecond.toFixed(0)}/s`);

    const one = await connect(guests[0]!, port, pinned);
    const begin = performance.now();
    for (let n = 0; n < SIGN_INS; n++) await signIn(one, password);
    const each = (performance.now() - begin) / SIGN_INS;
    report("the exchange alone, on an open channel, both sides", `${each.toFixed(2)} ms`);
    one.destroy();
  } finally {
    await server.stop();
  }
}

/** In this process: a server refuses a sixth wrong password. */
function measureWrongOnes(password: SaltedPassword, cost: typeof COST): void {
  const store = new MemoryServerStore();
  const accounts = new Accounts(store, systemRandom(32), systemRandom);
  accounts.signUp({ name: NAME, ...cost, ...password.verifier(), backup: BACKUP, created: 0 });
  const clientNonce = systemRandom(SIGN_IN_NONCE_LENGTH), exporter = systemRandom(32);
  const wrong = systemRandom(PROOF_LENGTH);
  for (const name of [NAME, "nobody"]) {
    const start = performance.now();
    for (let n = 0; n < WRONG; n++) {
      // A quarter of an hour later each time, so that none is refused unread.
      const now = n * 1_000_000;
      const challenge = accounts.challenge({
        attempt: { name, source: `${n}`, tag: "", isOwner: false },
        clientNonce,
        exporter,
        now,
      });
      try {
        accounts.prove(challenge, wrong, now);
      } catch (error) {
        if (!(error instanceof CifraError) || error.code !== "wrong_password") throw error;
      }
    }
    const each = (performance.now() - start) / WRONG * 1000;
    const who = name === NAME ? "a wrong password" : "a name that has no account";
    report(`what ${who} costs the server`, `${each.toFixed(0)} us`);
  }
}

const COST = { salt: systemRandom(SALT_LENGTH), memory: PASSWORD_MEMORY, passes: PASSWORD_PASSES };
const start = performance.now();
const password = await SaltedPassword.derive("correct horse battery staple", COST);
const derived = performance.now() - start;
await measureSignIns(password, COST);
measureWrongOnes(password, COST);
report("what a password, right or wrong, costs who tries it", `${derived.toFixed(0)} ms`);
password.drop();
