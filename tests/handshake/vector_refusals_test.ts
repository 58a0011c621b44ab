/** tests/vectors/refusals.json: what the library takes, and what it refuses with which code. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { decodeHex } from "@std/encoding/hex";
import { type Bytes, decodeUtf8 } from "../../lib/bytes.ts";
import { parseInviteLine } from "../../lib/client/server_address.ts";
import { ecdsaP256 } from "../../lib/crypto/ecdsa_p256.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { parseFingerprint, readIdentity } from "../../lib/crypto/identity.ts";
import { sha512, timingSafeEqual } from "../../lib/crypto/platform.ts";
import { loadSuite } from "../../lib/crypto/suite.ts";
import { checkX25519PublicKey } from "../../lib/crypto/x25519.ts";
import { CifraError } from "../../lib/errors.ts";
import { step } from "../../lib/handshake/machine.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import type { Established } from "../../lib/handshake/state.ts";
import { FRAME_LIMIT_HANDSHAKE, FRAME_LIMIT_OPEN } from "../../lib/limits.ts";
import { decodeAlert } from "../../lib/wire/alert.ts";
import { fileItem, fileWord } from "../../lib/wire/file_messages.ts";
import { FrameDecoder, FrameKind } from "../../lib/wire/frame.ts";
import {
  decodeClientPreface,
  decodePeerPreface,
  invitePrefaceToken,
} from "../../lib/wire/handshake_messages.ts";
import { decode } from "../../lib/wire/layout.ts";
import { decodeManifest } from "../../lib/wire/manifest.ts";
import { requireName } from "../../lib/wire/names.ts";
import {
  peerAck,
  peerAway,
  peerHello,
  peerMessage,
  peerStoring,
  peerWelcome,
} from "../../lib/wire/peer_messages.ts";
import { relayItem } from "../../lib/wire/relay_messages.ts";
import { decodeServerRequest, decodeServerResponse } from "../../lib/wire/rendezvous_messages.ts";
import { openChannel, openEvilPair, test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { scene } from "../testkit/handshake.ts";
import { pipe } from "../testkit/pipe.ts";
import { identityOf, readRefusalsFile, readValuesFile, readVectorFile } from "./vector_file.ts";
import { lineOf } from "../../lib/wire/line.ts";

const values = await readValuesFile();
const [, peers] = (await readVectorFile("modern")).runs;
const { decoders } = await readRefusalsFile();

/** Takes the bytes, or throws. */
type Take = (bytes: Bytes) => unknown;

const TAKE: Readonly<Record<string, Take>> = {
  "frame of the handshake": (bytes) => new FrameDecoder(FRAME_LIMIT_HANDSHAKE).push(bytes),
  "frame of an open channel": (bytes) => new FrameDecoder(FRAME_LIMIT_OPEN).push(bytes),
  "alert": decodeAlert,
  "m1 of modern, mode 1": takeM1,
  "m7 of modern, mode 2, as a frame": takeRecord,
  "inner of a record": takeInner,
  "request to a server": decodeServerRequest,
  "response of a server": decodeServerResponse,
  "m7 between peers": (bytes) => decode(peerHello, bytes),
  "m8 between peers": (bytes) => decode(peerWelcome, bytes),
  "message": (bytes) => decode(peerMessage, bytes),
  "acknowledgement": (bytes) => decode(peerAck, bytes),
  "storing": (bytes) => decode(peerStoring, bytes),
  "away": (bytes) => decode(peerAway, bytes),
  "relay item": (bytes) => decode(relayItem, bytes),
  "word about a transfer": (bytes) => decode(fileWord, bytes),
  "file item": (bytes) => decode(fileItem, bytes),
  "manifest of one folder and one file of 5 bytes": (bytes) =>
    decodeManifest(bytes, { files: 1, folders: 1, bytes: 5 }),
  "preface of a peer": takePeerPreface,
  "preface of an invite": takeInvitePreface,
  "Ed25519 public key": ed25519.checkPublicKey,
  "X25519 public key": checkX25519PublicKey,
  "P-256 public key": ecdsaP256.checkPublicKey,
  "RSA-3072 public key": async (bytes) => (await loadSuite("rsa")).kem.encapsulate(bytes),
  "bundle of class 2": (bytes) => readIdentity(bytes, 2),
  "fingerprint, as text": (bytes) => parseFingerprint(decodeUtf8(bytes)),
  "invite line, as text": (bytes) => parseInviteLine(decodeUtf8(bytes)),
  "name": (bytes) => requireName(decodeUtf8(bytes)),
};

for (const { what, valid, refused } of decoders) {
  test(`refusals: ${what}`, async () => {
    const take = TAKE[what];
    assert(take, `no decoder for "${what}"`);
    await take(decodeHex(valid));
    for (const { why, bytes, code } of refused) {
      const error = await thrownBy(() => take(decodeHex(bytes)));
      assertInstanceOf(error, CifraError, why);
      assertEquals(error.code, code, why);
    }
  });
}

Deno.test("refusals: every decoder is in the file", () => {
  assertEquals(decoders.map(({ what }) => what).toSorted(), Object.keys(TAKE).toSorted());
});

async function thrownBy(job: () => unknown): Promise<unknown> {
  try {
    await job();
    return undefined;
  } catch (error) {
    return error;
  }
}

async function takeM1(body: Bytes): Promise<void> {
  const { responder } = await scene("modern");
  await step(startResponder(responder), { kind: FrameKind.m1, body });
}

/** As the responder of the handshake in the vectors would. */
async function takeRecord(frame: Bytes): Promise<void> {
  const { initiator, responder, traffic, session_id, exporter, transcripts } = peers!;
  const established: Established = {
    name: "established",
    role: "responder",
    mode: 2,
    suite: await loadSuite("modern"),
    ours: await identityOf(responder),
    theirs: await identityOf(initiator),
    displayName: lineOf(""),
    transcript: decodeHex(transcripts.T6!),
    sendSecret: decodeHex(traffic.r2i),
    receiveSecret: decodeHex(traffic.i2r),
    sessionId: decodeHex(session_id),
    exporter: decodeHex(exporter),
  };
  const between = pipe();
  const channel = await openChannel(between.right, established, new ManualTime());
  between.toRight.deliver(frame);
  if (!await channel.receive()) throw channel.failure;
}

/** Under a key: some of it is refused by the channel, after the record is cut into items. */
async function takeInner(inner: Bytes): Promise<void> {
  const { mallory, bob, pipe } = await openEvilPair();
  pipe.toRight.deliver(await mallory.seal(inner));
  pipe.toRight.end();
  await bob.receive();
  // The end of input, without a goodbye, comes after everything that was good.
  if (bob.failure!.code !== "cut") throw bob.failure;
}

function takePeerPreface(body: Bytes): void {
  const { rv_id, preface_of_initiator } = values.peers;
  const preface = decodePeerPreface(body);
  const isGood = timingSafeEqual(preface.rendezvousId, decodeHex(rv_id)) &&
    timingSafeEqual(preface.token, decodeHex(preface_of_initiator.token));
  if (!isGood) throw new CifraError("auth_failed", "not from this introduction");
}

function takeInvitePreface(body: Bytes): void {
  const secret = decodeHex(values.invite.secret);
  const { hour, m1 } = values.invite;
  const preface = decodeClientPreface(body);
  const token = invitePrefaceToken(secret, hour, sha512(decodeHex(m1)));
  const holds = preface.type === "invite" && preface.hour === hour &&
    timingSafeEqual(preface.token, token);
  if (!holds) throw new CifraError("auth_failed", "no invite of ours");
}
