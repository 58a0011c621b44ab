import { assertEquals, assertNotEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { createHash, createHmac } from "node:crypto";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { loadSuite } from "../../lib/crypto/suite.ts";
import {
  clientPreface,
  decodeClientPreface,
  decodePeerPreface,
  encodeInvitePreface,
  handshakeLayouts,
  helloHead,
  peerContext,
  peerPreface,
  peerPrefaceToken,
  rendezvousIdOf,
} from "../../lib/wire/handshake_messages.ts";
import { decode, encode, type Layout } from "../../lib/wire/layout.ts";
import { assertRefuses } from "./refusal.ts";

/** Every fixed length of the document's table, per suite. */
const LENGTHS = {
  modern: { m1: 1252, m2: 2448, m3: 1265, m5: 144, m6: 80 },
  rsa: { m1: 458, m2: 918, m3: 530, m5: 144, m6: 80 },
  classic: { m1: 198, m2: 434, m3: 304, m5: 208, m6: 112 },
} as const;

for (const name of ["modern", "rsa", "classic"] as const) {
  Deno.test(`handshakeLayouts() of ${name} takes its own lengths and no other`, async () => {
    const layouts = handshakeLayouts(await loadSuite(name));
    for (const [message, length] of Object.entries(LENGTHS[name])) {
      const layout = layouts[message as keyof typeof LENGTHS.rsa] as Layout<unknown>;
      decode(layout, new Uint8Array(length));
      const lengths = Object.values(LENGTHS).map((other) => other[message as "m1"]);
      for (const other of [0, 1, length - 1, length + 1, ...lengths]) {
        if (other === length) continue;
        assertRefuses(
          () => decode(layout, new Uint8Array(other)),
          "bad_frame",
          `${message} ${other}`,
        );
      }
    }
  });
}

Deno.test("m4 bounds the display name to 32 bytes of UTF-8", async () => {
  const { m4Plaintext } = handshakeLayouts(await loadSuite("modern"));
  const bundle = new Uint8Array(129);
  const exact = "ř".repeat(16);
  const wire = encode(m4Plaintext, { bundle, displayName: exact });
  assertEquals(decode(m4Plaintext, wire).displayName, exact);
  const longer = new Uint8Array([...wire, 0x61]);
  longer[130] = 33;
  assertRefuses(() => decode(m4Plaintext, longer));
});

Deno.test("helloHead reads the first four bytes of any m1", () => {
  const head = decode(helloHead, new Uint8Array([1, 2, 3, 4, 5, 6]));
  assertEquals(head, { version: 1, mode: 2, suite: 3, flags: 4, rest: new Uint8Array([5, 6]) });
  for (let length = 0; length < 4; length++) {
    assertRefuses(() => decode(helloHead, new Uint8Array(length)));
  }
});

Deno.test("peerContext() is rv_id, generation and both fingerprints in this order", () => {
  const context = peerContext(
    new Uint8Array(16).fill(1),
    0x01020304,
    new Uint8Array(32).fill(2),
    new Uint8Array(32).fill(3),
  );
  const expected = "01".repeat(16) + "01020304" + "02".repeat(32) + "03".repeat(32);
  assertEquals(encodeHex(context), expected);
});

Deno.test("peerPrefaceToken() is HMAC-SHA-512 over label and fingerprint, cut to 16 bytes", () => {
  const key = new Uint8Array(32).fill(4), fingerprint = new Uint8Array(32).fill(5);
  const hmac = createHmac("sha512", key).update("preface").update(fingerprint).digest("hex");
  const token = peerPrefaceToken(key, fingerprint);
  assertEquals(encodeHex(token), hmac.slice(0, 32));
  assertNotEquals(token, peerPrefaceToken(key, new Uint8Array(32).fill(6)));
});

Deno.test("decodePeerPreface() takes 32 bytes and no other length", () => {
  const value = {
    rendezvousId: new Uint8Array(16).fill(1),
    token: new Uint8Array(16).fill(2),
  };
  const wire = encode(peerPreface, value);
  assertEquals(encodeHex(wire), "01".repeat(16) + "02".repeat(16));
  assertEquals(decodePeerPreface(wire), value);
  for (const length of [0, 31, 33, 36, 64]) {
    assertRefuses(() => decodePeerPreface(new Uint8Array(length)), "bad_frame", `${length}`);
  }
});

Deno.test("encodeInvitePreface() proves the secret for one m1 and one hour, and names nothing", () => {
  const secret = encodeUtf8("an invite secret of 32 bytes....");
  const m1 = new Uint8Array([1, 2, 3]);
  const token = createHmac("sha512", secret).update("cifra/1 invite preface\0")
    .update(new Uint8Array([0, 0, 0, 7])).update(createHash("sha512").update(m1).digest())
    .digest().subarray(0, 32);
  const wire = encodeInvitePreface(secret, 7 * 3_600_000 + 1, m1);
  assertEquals(encodeHex(wire), "01" + "00000007" + encodeHex(token));
  assertEquals(encodeHex(encode(clientPreface, decode(clientPreface, wire))), encodeHex(wire));
  assertRefuses(() => decodeClientPreface(wire.slice(1)), "bad_frame");
  assertRefuses(() => decodeClientPreface(wire.slice(0, -1)), "bad_frame");
});

Deno.test("rendezvousIdOf() is a hash over all that is special to an introduction, and so nobody's choice", () => {
  const key = new Uint8Array(32).fill(4);
  const ends = { initiator: new Uint8Array(32).fill(5), responder: new Uint8Array(32).fill(6) };
  const expected = createHash("sha512").update("cifra/1 introduction\0").update(key)
    .update(Uint8Array.of(0, 0, 0, 7)).update(ends.initiator).update(ends.responder).digest("hex");
  assertEquals(encodeHex(rendezvousIdOf(key, 7, ends)), expected.slice(0, 32));
  const swapped = { initiator: ends.responder, responder: ends.initiator };
  const others = [
    rendezvousIdOf(new Uint8Array(32), 7, ends),
    rendezvousIdOf(key, 8, ends),
    rendezvousIdOf(key, 7, swapped),
  ];
  for (const other of others) assertNotEquals(encodeHex(other), expected.slice(0, 32));
});
