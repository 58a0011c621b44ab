import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { Invites } from "../../lib/services/invites.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import type { Bytes } from "../../lib/bytes.ts";
import { decodeClientPreface, encodeInvitePreface } from "../../lib/wire/handshake_messages.ts";

const NOW = Date.UTC(2030, 0, 1);
const DAY = 24 * 3_600_000;
const SECRET = new Uint8Array(32).fill(9);

function place(store = new MemoryServerStore()) {
  const invites = new Invites(store, SECRET, systemRandom);
  return { store, invites };
}

/** What the holder of a secret sends before this m1. */
function prefaceOf(secret: Bytes, now: number, m1: Bytes) {
  const preface = decodeClientPreface(encodeInvitePreface(secret, now, m1));
  assert(preface.type === "invite");
  return preface;
}

let last = 0;

/** What the holder of a secret presents, each time before another m1. */
function show(invites: Invites, secret: Bytes, now = NOW) {
  const m1 = new Uint8Array(4);
  new DataView(m1.buffer).setUint32(0, ++last);
  return invites.presented(prefaceOf(secret, now, m1), m1, now);
}

/** Somebody new comes in with it; whether they may. */
function comeIn(invites: Invites, secret: Uint8Array<ArrayBuffer>, now = NOW): boolean {
  const presented = show(invites, secret, now);
  if (!presented || !invites.reserve(presented, now)) return false;
  invites.release(presented, true);
  return true;
}

Deno.test("the server's own secret, which makes all others, lets nobody in", () => {
  const { invites } = place();
  invites.standing(NOW);
  assertEquals(show(invites, SECRET), undefined);
});

Deno.test("the line that a server prints is an invite for 30 days and 40 people, the same until then", () => {
  const { invites, store } = place();
  const { invite, secret } = invites.standing(NOW);
  assertEquals([invite.uses, invite.expires, invite.standing], [40, NOW + 30 * DAY, true]);
  assertEquals(store.invites(), [invite]);
  for (let n = 0; n < 39; n++) assert(comeIn(invites, secret));
  // A restart prints it again.
  const later = place(store).invites.standing(NOW + 30 * DAY - 1);
  assertEquals([later.invite.uses, later.secret], [1, secret]);
  assert(comeIn(invites, secret));
  assert(!comeIn(invites, secret));
  const next = invites.standing(NOW + 1);
  assertNotEquals(next.secret, secret);
  assertEquals(store.invites().filter(({ standing }) => standing), [next.invite]);
  assertNotEquals(invites.standing(NOW + 30 * DAY + 1).secret, next.secret);
});

Deno.test("a line is renewed for those who have it, unless it was revoked", () => {
  const { invites } = place();
  const { invite, secret } = invites.make(NOW, NOW + 1000, 1);
  assert(comeIn(invites, secret));
  assert(!comeIn(invites, secret));
  assertEquals(invites.renew(invite.id, NOW + 5000, 2)?.secret, secret);
  assert(comeIn(invites, secret, NOW + 4999));
  assert(!comeIn(invites, secret, NOW + 5000));
  assertEquals([invites.revoke(invite.id), invites.revoke(invite.id)], [true, false]);
  assertEquals(invites.renew(invite.id, NOW + 9000, 2), undefined);
  assertEquals(invites.renew("0".repeat(32), NOW + 9000, 2), undefined);
  assert(!comeIn(invites, secret));
});

Deno.test("an invite is put in the place of another: as good, for so many more, and the other ends", () => {
  const { invites, store } = place();
  const { invite, secret } = invites.standing(NOW);
  for (let n = 0; n < 40; n++) assert(comeIn(invites, secret));
  const other = invites.replace(invite.id, 38, NOW + 1);
  assert(other);
  assertNotEquals(other.secret, secret);
  assertEquals([other.invite.uses, other.invite.expires, other.invite.standing], [
    38,
    NOW + 30 * DAY,
    true,
  ]);
  assert(!comeIn(invites, secret));
  assert(comeIn(invites, other.secret));
  assertEquals(invites.standing(NOW + 2).invite.id, other.invite.id);
  assertEquals(store.invites().filter(({ standing }) => standing).length, 1);
  // One that has ended by itself is void now, and what is void has no other.
  const brief = invites.make(NOW, NOW + 10, 1);
  assertEquals(invites.replace(brief.invite.id, 1, NOW + 10), undefined);
  assertEquals(store.invite(brief.invite.id)!.expires, 0);
  assertEquals(invites.replace(invite.id, 1, NOW), undefined);
});

Deno.test("twenty new people from one address with one invite within a minute are a rush, once", () => {
  const { invites } = place();
  const { secret } = invites.make(NOW, NOW + DAY, 100);
  const presented = show(invites, secret)!;
  const rushes = (count: number, source: string, from: number, pause: number) =>
    Array.from({ length: count }, (_, n) => invites.isRush(presented, source, from + n * pause))
      .flatMap((isRush, n) => isRush ? [n + 1] : []);
  assertEquals(rushes(60, "thief", 0, 10), [20, 40, 60]);
  assertEquals(rushes(19, "another", 0, 10), []);
  // Slower than that is none.
  assertEquals(rushes(60, "class", 0, 3200), []);
});

Deno.test("an invite is good as often as it says, and no longer than it says", () => {
  const { invites, store } = place();
  const { invite, secret } = invites.make(NOW, NOW + 1000, 2);
  assertEquals(invite, {
    id: invite.id,
    serial: invite.serial,
    created: NOW,
    expires: NOW + 1000,
    uses: 2,
    standing: false,
  });
  assert(comeIn(invites, secret, NOW + 999));
  assertEquals(store.invite(invite.id)?.uses, 1);
  assert(!comeIn(invites, secret, NOW + 1000));
  assertEquals(store.invite(invite.id)?.uses, 1);
  assert(comeIn(invites, secret));
  assert(!comeIn(invites, secret));
  // It is still there for those who came with it.
  assertEquals(show(invites, secret)?.id, invite.id);
});

Deno.test("one who was refused has not used the invite", () => {
  const { invites } = place();
  const { secret } = invites.make(NOW, NOW + 1000, 1);
  const presented = show(invites, secret)!;
  for (let n = 0; n < 3; n++) {
    assert(invites.reserve(presented, NOW));
    invites.release(presented, false);
  }
  assert(comeIn(invites, secret));
  assert(!comeIn(invites, secret));
});

Deno.test("of several who come at once with one invite, as many come in as it says", () => {
  const { invites, store } = place();
  const { invite, secret } = invites.make(NOW, NOW + 1000, 2);
  const presented = show(invites, secret)!;
  const reserved = [1, 2, 3, 4].map(() => invites.reserve(presented, NOW));
  assertEquals(reserved, [true, true, false, false]);
  invites.release(presented, true);
  assertEquals(invites.reserve(presented, NOW), false);
  invites.release(presented, false);
  assertEquals(store.invite(invite.id)?.uses, 1);
  assert(comeIn(invites, secret));
  assertEquals(store.invite(invite.id)?.uses, 0);
});

Deno.test("an invite that was revoked lets nobody new in, not even one who is coming in with it", () => {
  const { invites, store } = place();
  const { invite, secret } = invites.make(NOW, NOW + 1000, 5);
  const presented = show(invites, secret)!;
  assert(invites.reserve(presented, NOW));
  assert(invites.revoke(invite.id));
  assertEquals(invites.reserve(presented, NOW), false);
  invites.release(presented, true);
  assertEquals(store.invite(invite.id)?.uses, 0);
  // Those who came by it show it still.
  assertEquals(show(invites, secret)?.id, invite.id);
});

Deno.test("a preface holds before its own m1, in its hour and the next, once", () => {
  const { invites } = place();
  const { secret } = invites.make(NOW, NOW + 1000, 5);
  const m1 = new Uint8Array(100).fill(1), hour = 3_600_000;
  for (const each of [secret]) {
    const good = prefaceOf(each, NOW, m1);
    for (let i = 0; i < good.token.length; i++) {
      const token = good.token.slice();
      token[i]! ^= 1;
      assertEquals(invites.presented({ ...good, token }, m1, NOW), undefined, `byte ${i}`);
    }
    assertEquals(invites.presented({ ...good, hour: good.hour + 1 }, m1, NOW), undefined);
    assertEquals(invites.presented(good, m1.slice(1), NOW), undefined);
    for (const now of [NOW - 2 * hour, NOW + 2 * hour]) {
      assertEquals(invites.presented(good, m1, now), undefined);
    }
    assert(invites.presented(good, m1, NOW + hour));
    // A replay is no invite.
    assertEquals(invites.presented(good, m1, NOW), undefined);
  }
  assertEquals(show(invites, systemRandom(32)), undefined);
});

Deno.test("two prefaces of one invite have nothing in common but the hour", () => {
  const one = encodeInvitePreface(SECRET, NOW, new Uint8Array(1));
  const other = encodeInvitePreface(SECRET, NOW, new Uint8Array(2));
  assertEquals(one.subarray(0, 5), other.subarray(0, 5));
  assert(one.subarray(5).filter((byte, i) => byte === other[5 + i]).length < 8);
});

Deno.test("each invite has a secret of its own, which is not in the store and outlives a restart", () => {
  const { invites, store } = place();
  const made = [1, 2, 3].map(() => invites.make(NOW, NOW + 1000, 1));
  assertEquals(new Set(made.map(({ secret }) => `${secret}`)).size, 3);
  for (const { invite, secret } of made) {
    assertEquals(secret.length, 32);
    assertNotEquals(secret, SECRET);
    assert(!JSON.stringify(store.invite(invite.id)).includes(JSON.stringify(secret).slice(1, -1)));
  }
  const later = new Invites(store, SECRET, systemRandom);
  for (const { secret } of made) assert(comeIn(later, secret));
  // Another server's secret makes other invites of the same serials.
  const other = new Invites(store, new Uint8Array(32), systemRandom);
  for (const { secret } of made) {
    assertEquals(show(other, secret), undefined);
  }
});
