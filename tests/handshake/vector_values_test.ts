/** tests/vectors/values.json, against the document's formulas and against the library. */
import { assert, assertEquals } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { parseInviteLine } from "../../lib/client/server_address.ts";
import { parseFingerprint } from "../../lib/crypto/identity.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { SaltedPassword } from "../../lib/crypto/password.ts";
import { safetyWords } from "../../lib/crypto/safety_words.ts";
import { serverSignature, verifyProof } from "../../lib/crypto/scram.ts";
import { decodeClientPreface } from "../../lib/wire/handshake_messages.ts";
import { Invites } from "../../lib/services/invites.ts";
import { openKeys } from "../../lib/store/key_bundle.ts";
import { skeletonOf } from "../../lib/wire/names.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import {
  account,
  fingerprintText,
  furtherInviteSecret,
  invitePreface,
  peerPreface,
  rendezvousId,
  twelveWords,
} from "./reference_values.ts";
import { readValuesFile, readVectorFile } from "./vector_file.ts";

const values = await readValuesFile();

Deno.test("values: fingerprints read as the document says, and back", () => {
  for (const { fingerprint, text } of values.fingerprints) {
    assertEquals(text, fingerprintText(fingerprint));
    assertEquals(encodeHex(parseFingerprint(text)), fingerprint);
  }
});

Deno.test("values: a record is padded to the next bucket", () => {
  const small = [64, 128, 256, 512, 1024, 2048];
  const large = Array.from({ length: 15 }, (_, i) => 4096 * (i + 1));
  for (const [length, bucket] of values.buckets) {
    assertEquals(bucket, [...small, ...large].find((size) => size >= length!));
  }
});

Deno.test("values: names that look alike have one skeleton", () => {
  for (const [name, skeleton] of values.look_alikes) {
    let byTheBook = name!.replace(/[_-]/g, "").replace(/0/g, "o").replace(/[1i]/g, "l")
      .replace(/2/g, "z").replace(/5/g, "s").replace(/d/g, "cl").replace(/m/g, "nn")
      .replace(/w/g, "vv");
    while (byTheBook.includes("rn")) byTheBook = byTheBook.replace("rn", "nn");
    assertEquals([skeletonOf(name!), byTheBook], [skeleton, skeleton], name);
  }
});

Deno.test("values: an invite's line, preface and the secret of a further one", async () => {
  const { secret, fingerprint, lines, invite_id, hour, m1, token, frame, further } = values.invite;
  assertEquals(invitePreface(secret, hour, m1), { invite_id, token, frame });
  assertEquals(furtherInviteSecret(secret, further.serial), further.secret);
  const [{ responder }] = (await readVectorFile("modern")).runs as [
    Awaited<ReturnType<typeof readVectorFile>>["runs"][0],
  ];
  assertEquals(fingerprint, responder.identity.fingerprint);
  const read = lines.map((line) => parseInviteLine(line));
  assertEquals(
    read.map(({ host, port }) => [host, port]),
    [["chat.example", 7411], ["203.0.113.9", 7411], ["2001:db8::7", 7411]],
  );
  for (const each of read) {
    assertEquals(encodeHex(each.fingerprint!), fingerprint);
    assertEquals(encodeHex(each.inviteSecret!), secret);
  }
  const plain = fingerprintText(fingerprint).replaceAll("-", "");
  const base64url = btoa(String.fromCharCode(...decodeHex(secret)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  assertEquals(lines[2], `cifra1:[2001:db8::7]:7411:${plain}:${base64url}`);
  // The server knows the further one by its preface.
  const invites = new Invites(new MemoryServerStore(), decodeHex(secret), (length) => {
    assertEquals(length, 16);
    return decodeHex(further.serial);
  });
  assertEquals(encodeHex(invites.make(0, 1, 1).secret), further.secret);
  for (const each of [invitePreface(further.secret, hour, m1).frame]) {
    const preface = decodeClientPreface(decodeHex(each.slice(10)));
    assert(
      preface.type === "invite" && invites.presented(preface, decodeHex(m1), hour * 3_600_000),
    );
  }
});

Deno.test("values: the prefaces of two peers and the context of their handshake", async () => {
  const { peers } = values;
  const { rv_id, rv_key, generation, fp_i, fp_r, context } = peers;
  assertEquals(rv_id, rendezvousId(peers));
  assertEquals(peers.preface_of_initiator, peerPreface(peers, fp_i));
  assertEquals(peers.preface_of_responder, peerPreface(peers, fp_r));
  assertEquals(context, rv_id + generation.toString(16).padStart(8, "0") + fp_i + fp_r);
  const run = (await readVectorFile("modern")).runs[1]!;
  assertEquals([run.context, run.psk], [context, rv_key]);
});

Deno.test("values: twelve words, the same from both sides", async () => {
  const { fingerprints: [a, b], numbers, words } = values.words;
  assertEquals(twelveWords(a!, b!), { numbers: [...numbers], words: [...words] });
  const [ours, theirs] = [decodeHex(a!), decodeHex(b!)];
  assertEquals(await safetyWords(ours, theirs), words);
  assertEquals(await safetyWords(theirs, ours), words);
});

Deno.test("values: a password is proved, and opens the backup", async () => {
  const { account: given } = values;
  assertEquals({ ...given, ...account(given) }, given);
  const { name, memory, passes, password, proof, signature } = given;
  const bytes = (field: keyof typeof given) => decodeHex(String(given[field]));
  const cost = { salt: bytes("salt"), memory, passes };
  const key = await SaltedPassword.derive(password, cost);
  const exchange = {
    name,
    clientNonce: bytes("client_nonce"),
    serverNonce: bytes("server_nonce"),
    cost,
    exporter: bytes("exporter"),
  };
  const verifier = { storedKey: bytes("stored_key"), serverKey: bytes("server_key") };
  assertEquals(key.verifier(), verifier);
  assertEquals(encodeHex(key.prove(exchange)), proof);
  assert(verifyProof(verifier, exchange, bytes("proof")));
  assertEquals(encodeHex(serverSignature(verifier.serverKey, exchange)), signature);
  assert(key.isSigned(exchange, bytes("signature")));
  const { name: found, identities } = await openKeys(bytes("backup"), key);
  assertEquals([found, [...identities.keys()]], ["alice", ["modern"]]);
  const elsewhere = { ...exchange, exporter: systemRandom(32) };
  assert(!verifyProof(verifier, elsewhere, bytes("proof")));
});
