import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { Profile } from "../../lib/client/profile.ts";
import type { SignedRegistration } from "../../lib/client/name_claim.ts";
import { NOWHERE } from "../../lib/wire/name_claim.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { withFolder } from "../testkit/server.ts";
import type { NewMessage } from "../../lib/wire/peer_messages.ts";

const NOW = Date.UTC(2030, 0, 1);
const FILE = "registration-sequence";
const BOB = { peer: "bob", suite: "modern" } as const;

function text(content: string): NewMessage {
  return { type: "text", id: systemRandom(16), written: NOW, content: encodeUtf8(content) };
}

function history(messages: MessageStore): string[] {
  return Array.from(
    messages.history({}),
    (entry) => entry.type === "text" ? entry.text : entry.type,
  );
}

async function refusal(opening: Promise<Profile>, code: ErrorCode): Promise<void> {
  const error = await assertRejects(() => opening, CifraError);
  assertEquals(error.code, code);
}

Deno.test("open() makes a profile once, and finds the same identity again", async () => {
  await withFolder(async (state) => {
    const first = await Profile.open(state, "alice", "modern");
    await first.close();
    const second = await Profile.open(state, "alice", "modern");
    await second.close();
    assertEquals([first.isNew, second.isNew], [true, false]);
    assertEquals(second.identity.fingerprint, first.identity.fingerprint);
    const other = await Profile.open(state, "bob", "modern");
    await other.close();
    assert(other.identity.fingerprint.join() !== first.identity.fingerprint.join());
  });
});

Deno.test("open() keeps a second program out while the first has the profile", async () => {
  await withFolder(async (state) => {
    const first = await Profile.open(state, "alice", "modern");
    await refusal(Profile.open(state, "alice", "modern"), "locked");
    const bob = await Profile.open(state, "bob", "modern");
    await bob.close();
    await first.close();
    await (await Profile.open(state, "alice", "modern")).close();
  });
});

Deno.test("open() lets go of the profile when it cannot be read", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    await profile.close();
    await Deno.chmod(`${profile.path}/identity-modern.pem`, 0o644);
    await refusal(Profile.open(state, "alice", "modern"), "local");
    await Deno.chmod(`${profile.path}/identity-modern.pem`, 0o600);
    await (await Profile.open(state, "alice", "modern")).close();
  });
});

Deno.test("open() takes no name that leads out of its folder", async () => {
  await withFolder(async (state) => {
    for (const name of ["..", "../bob", "a/b", "", "server", "Alice"]) {
      await refusal(Profile.open(state, name, "modern"), "bad_name");
    }
  });
});

Deno.test("nextRegistrationSequence() is the clock, and grows when the clock does not", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const next = (now: number) => profile.nextRegistrationSequence(now);
    assertEquals(await next(NOW), BigInt(NOW));
    assertEquals(await next(NOW), BigInt(NOW) + 1n);
    assertEquals(await next(NOW - 3_600_000), BigInt(NOW) + 2n);
    assertEquals(await next(0), BigInt(NOW) + 3n);
    assertEquals(await next(-5), BigInt(NOW) + 4n);
    assertEquals(await next(NOW + 5000.7), BigInt(NOW) + 5000n);
    await profile.close();
    const again = await Profile.open(state, "alice", "modern");
    assertEquals(await again.nextRegistrationSequence(1), BigInt(NOW) + 5001n);
    await again.close();
  });
});

Deno.test("a number that another machine has gone past is followed by one above that", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const registrar = profile.registrar(() => NOW);
    const register: <T>(job: (word: SignedRegistration) => Promise<T>) => Promise<T> = (job) =>
      registrar(NOWHERE, job);
    const numbers: bigint[] = [];
    const refused = (code: ErrorCode, retryAfter: number) =>
      assertRejects(() =>
        register(({ registrationSequence }) => {
          numbers.push(registrationSequence);
          return Promise.reject(new CifraError(code, "no", { retryAfter }));
        })
      );
    await refused("limit", 60);
    await refused("stale_registration", 300);
    await refused("stale_registration", 0);
    await refused("stale_registration", 65_535);
    await profile.close();
    const again = await Profile.open(state, "alice", "modern");
    numbers.push(await again.nextRegistrationSequence(NOW));
    assertEquals(
      numbers.map((number) => Number(number - BigInt(NOW))),
      [0, 1, 300_002, 300_003, 65_835_004],
    );
    await again.close();
  });
});

Deno.test("nextRegistrationSequence() goes by the clock when its file is damaged or cut", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    for (const text of ["", "\n", "x", "-5\n", "1e9\n", "123456789012345678901\n", "5 5\n"]) {
      await Deno.writeTextFile(`${profile.path}/${FILE}`, text, { mode: 0o600 });
      assertEquals(await profile.nextRegistrationSequence(NOW), BigInt(NOW), JSON.stringify(text));
    }
    await Deno.writeTextFile(`${profile.path}/${FILE}`, `${2n ** 53n + 1n}\n`, { mode: 0o600 });
    assertEquals(await profile.nextRegistrationSequence(NOW), 2n ** 53n + 2n);
    await profile.close();
  });
});

Deno.test("rememberInvite() keeps one invite for each server, and takes a damaged line for none", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const [old, current, other] = [1, 2, 3].map((fill) => new Uint8Array(32).fill(fill));
    assertEquals(await profile.inviteSecret("10.0.0.1:7411"), undefined);
    await profile.rememberInvite("10.0.0.1:7411", old!);
    await profile.rememberInvite("[::1]:7411", other!);
    await profile.rememberInvite("10.0.0.1:7411", current!);
    assertEquals(await profile.inviteSecret("10.0.0.1:7411"), current);
    assertEquals(await profile.inviteSecret("[::1]:7411"), other);
    const file = `${profile.path}/invites`;
    await Deno.writeTextFile(file, (await Deno.readTextFile(file)).replace("10.0.0.1:7411 ", "x"));
    assertEquals(await profile.inviteSecret("10.0.0.1:7411"), undefined);
    assertEquals(await profile.inviteSecret("[::1]:7411"), other);
    await profile.close();
  });
});

Deno.test("openMessages() finds again what was written before, and gives one store to all who ask", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const messages = await profile.openMessages(true);
    await messages.append(BOB, [text("one"), text("two")]);
    assertEquals(await profile.openMessages(true) === messages, true);
    await profile.close();
    const again = await Profile.open(state, "alice", "modern");
    const found = await again.openMessages(true);
    assertEquals(history(found), ["one", "two"]);
    assertEquals((await found.outgoing(BOB)).last, 2n);
    await again.close();
    const bob = await Profile.open(state, "bob", "modern");
    assertEquals(history(await bob.openMessages(true)), []);
    await bob.close();
  });
});

Deno.test("openMessages() is one store for two who ask at the same moment", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const [a, b] = await Promise.all([profile.openMessages(true), profile.openMessages(true)]);
    assertEquals(a === b, true);
    await profile.close();
    // Nothing has the files open any more, so a second program may.
    const again = await Profile.open(state, "alice", "modern");
    await again.openMessages(true);
    await again.close();
  });
});

Deno.test("openMessages() without a history keeps what is not stored over there, and no more", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const messages = await profile.openMessages(false);
    await messages.append(BOB, [text("arrived"), text("under way")]);
    messages.acknowledge(BOB, 1n, 1n);
    await profile.close();
    const again = await Profile.open(state, "alice", "modern");
    assertEquals(history(await again.openMessages(false)), ["under way"]);
    await again.close();
  });
});

Deno.test("close() puts on disk what was only noted", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const messages = await profile.openMessages(true);
    await messages.append(BOB, [text("one"), text("two")]);
    messages.acknowledge(BOB, 2n, 1n);
    await profile.close();
    const again = await Profile.open(state, "alice", "modern");
    const { stored, read } = await (await again.openMessages(true)).outgoing(BOB);
    assertEquals([stored, read], [2n, 1n]);
    await again.close();
  });
});

Deno.test("close() lets go of the profile though its messages cannot be written", async () => {
  await withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const messages = await profile.openMessages(true);
    messages.close = () => Promise.reject(new CifraError("local", "The disk is full"));
    const close = messages.constructor.prototype.close.bind(messages);
    assertEquals((await assertRejects(() => profile.close(), CifraError)).code, "local");
    await close();
    await (await Profile.open(state, "alice", "modern")).close();
  });
});

Deno.test("openAsGuest() has an identity for the occasion, keeps none, and has the profile's lock", async () => {
  await withFolder(async (state) => {
    const guest = await Profile.openAsGuest(state, "alice", "modern");
    assertEquals(await guest.keys.list(), []);
    await refusal(Profile.open(state, "alice", "modern"), "locked");
    await guest.rememberInvite("10.0.0.1:7411", new Uint8Array(32));
    await guest.close();
    const again = await Profile.openAsGuest(state, "alice", "modern");
    assert(again.identity.fingerprint.join() !== guest.identity.fingerprint.join());
    // What it has learned of servers stays for whoever comes after.
    assertEquals(await again.inviteSecret("10.0.0.1:7411"), new Uint8Array(32));
    await again.close();
    const owner = await Profile.open(state, "alice", "modern");
    assertEquals(owner.isNew, true);
    await owner.close();
    const guestOfOwner = await Profile.openAsGuest(state, "alice", "modern");
    assertEquals((await guestOfOwner.keys.list()).length, 1);
    await guestOfOwner.close();
  });
});

Deno.test("a sealed profile asks once for its passphrase, also when its other keys vouch", async () => {
  await withFolder(async (state) => {
    const first = await Profile.open(state, "alice", "modern");
    await first.keys.complete();
    await first.keys.seal("open sesame");
    await first.close();
    await refusal(Profile.open(state, "alice", "modern"), "usage");
    let asked = 0;
    const ask = () => {
      asked++;
      return Promise.resolve("open sesame");
    };
    const profile = await Profile.open(state, "alice", "modern", ask);
    assertEquals(profile.identity.fingerprint, first.identity.fingerprint);
    const { claim } = await profile.registrar(() => NOW)(NOWHERE, (word) => Promise.resolve(word));
    assertEquals(claim.vouchers.length, 2);
    assertEquals(asked, 1);
    await profile.close();
  });
});

Deno.test("the ticket of a server is kept over runs, for one identity, and forgotten before it is shown", async () => {
  await withFolder(async (state) => {
    const ticket = { ticket: new Uint8Array(68).fill(1), ticketKey: new Uint8Array(32).fill(2) };
    const run = async (job: (profile: Profile) => Promise<void>) => {
      const profile = await Profile.open(state, "alice", "modern");
      try {
        await job(profile);
      } finally {
        await profile.close();
      }
    };
    await run(async (profile) => {
      const holder = await profile.ticketsOf("a:1");
      assertEquals(await holder.take(), undefined);
      await holder.keep(ticket);
    });
    await run(async (profile) => {
      assertEquals(await (await profile.ticketsOf("b:1")).take(), undefined);
      assertEquals(await (await profile.ticketsOf("a:1")).take(), ticket);
    });
    await run(async (profile) => {
      assertEquals(await (await profile.ticketsOf("a:1")).take(), undefined);
    });
  });
});
