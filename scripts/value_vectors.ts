/**
 * The test vectors of what stands beside the handshake, tests/vectors/values.json: invites, prefaces, words,
 * names and accounts. The people are those of the handshake in `modern`.
 */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../lib/bytes.ts";
import { formatInviteLine } from "../lib/client/server_address.ts";
import { formatFingerprint } from "../lib/crypto/identity.ts";
import { SaltedPassword } from "../lib/crypto/password.ts";
import { safetyWords } from "../lib/crypto/safety_words.ts";
import { formatStored } from "../lib/store/identity_file.ts";
import { encodeFrame, FrameKind } from "../lib/wire/frame.ts";
import {
  encodeInvitePreface,
  inviteIdOf,
  peerContext,
  peerPreface,
  peerPrefaceToken,
  rendezvousIdOf,
} from "../lib/wire/handshake_messages.ts";
import { encode } from "../lib/wire/layout.ts";
import { skeletonOf } from "../lib/wire/names.ts";
import { paddedLength } from "../lib/wire/records.ts";
import { account, furtherInviteSecret, twelveWords } from "../tests/handshake/reference_values.ts";
import type { ValuesFile, VectorFile, VectorSide } from "../tests/handshake/vector_file.ts";
import { fixed } from "./vector_parts.ts";

const HOSTS = ["chat.example", "203.0.113.9", "2001:db8::7"] as const;
const PORT = 7411;
const LENGTHS = [5, 64, 65, 128, 129, 2049, 4096, 4097, 8193, 57345, 61440] as const;
const NAMES = [
  ...["lab_3", "anna0", "b1ll", "vvill", "rnarek", "vvv", "modern", "r-n", "r-rn", "di25m"],
] as const;
/** With accents typed apart, and a sign that NFKC spells as two letters. */
const PASSWORD = "Žluťoučký kůň №3".normalize("NFD");

function hex(bytes: Bytes): string {
  return encodeHex(bytes);
}

function invites(server: VectorSide): ValuesFile["invite"] {
  const secret = fixed("invite secret");
  const fingerprint = decodeHex(server.identity.fingerprint);
  const hour = 490_000, m1 = fixed("m1");
  const preface = encodeInvitePreface(secret, hour * 3_600_000, m1);
  const serial = hex(fixed("invite serial", 16));
  return {
    secret: hex(secret),
    fingerprint: hex(fingerprint),
    lines: HOSTS.map((host) => formatInviteLine(host, PORT, fingerprint, secret)),
    invite_id: hex(inviteIdOf(secret)),
    hour,
    m1: hex(m1),
    token: hex(preface.slice(5)),
    frame: hex(encodeFrame(FrameKind.preface, preface)),
    further: { serial, secret: furtherInviteSecret(hex(secret), serial) },
  };
}

function prefaces(initiator: VectorSide, responder: VectorSide): ValuesFile["peers"] {
  const rendezvousKey = fixed("rv_key");
  const generation = 1;
  const ends = [initiator, responder].map(({ identity }) => decodeHex(identity.fingerprint));
  const [fp_i, fp_r] = ends as [Bytes, Bytes];
  const rendezvousId = rendezvousIdOf(rendezvousKey, generation, {
    initiator: fp_i,
    responder: fp_r,
  });
  const preface = (sender: Bytes) => {
    const token = peerPrefaceToken(rendezvousKey, sender);
    const body = encode(peerPreface, { rendezvousId, token });
    return { token: hex(token), frame: hex(encodeFrame(FrameKind.preface, body)) };
  };
  return {
    rv_id: hex(rendezvousId),
    rv_key: hex(rendezvousKey),
    generation,
    fp_i: hex(fp_i),
    fp_r: hex(fp_r),
    context: hex(peerContext(rendezvousId, generation, fp_i, fp_r)),
    preface_of_initiator: preface(fp_i),
    preface_of_responder: preface(fp_r),
  };
}

async function accounts(
  { identity: { bundle, signature_pkcs8, agreement_pkcs8 } }: VectorSide,
  exporter: string,
): Promise<ValuesFile["account"]> {
  const stored = formatStored({
    bundle: decodeHex(bundle),
    signatureKey: decodeHex(signature_pkcs8),
    agreementKey: decodeHex(agreement_pkcs8!),
  });
  const input = {
    password: PASSWORD,
    name: "alice",
    salt: hex(fixed("salt", 16)),
    memory: 19_456,
    passes: 2,
    client_nonce: hex(fixed("nonce of the client", 24)),
    server_nonce: hex(fixed("nonce of the server", 24)),
    exporter,
    backup_iv: hex(fixed("iv of the backup", 12)),
    backup_plaintext: JSON.stringify({
      version: 1,
      name: "alice",
      identities: { modern: stored },
    }),
  };
  const { salt, memory, passes } = input;
  const key = await SaltedPassword.derive(PASSWORD, { salt: decodeHex(salt), memory, passes });
  const { storedKey, serverKey } = key.verifier();
  const proof = key.prove({
    name: input.name,
    clientNonce: decodeHex(input.client_nonce),
    serverNonce: decodeHex(input.server_nonce),
    cost: { salt: decodeHex(salt), memory, passes },
    exporter: decodeHex(exporter),
  });
  const content = encodeUtf8(input.backup_plaintext);
  return {
    ...input,
    ...account(input),
    stored_key: hex(storedKey),
    server_key: hex(serverKey),
    proof: hex(proof),
    backup: hex(await key.seal(content, decodeHex(input.backup_iv))),
  };
}

/** The file; `handshake` is that of `modern`. */
export async function makeValuesFile({ runs }: VectorFile): Promise<ValuesFile> {
  const [toServer, toPeer] = runs as [VectorFile["runs"][0], VectorFile["runs"][0]];
  const { initiator, responder } = toPeer;
  const [a, b] = [initiator.identity.fingerprint, responder.identity.fingerprint];
  return {
    fingerprints: [a, b].map((fingerprint) => ({
      fingerprint,
      text: formatFingerprint(decodeHex(fingerprint)),
    })),
    buckets: LENGTHS.map((length) => [length, paddedLength(length)]),
    look_alikes: NAMES.map((name) => [name, skeletonOf(name)]),
    invite: invites(toServer.responder),
    peers: prefaces(initiator, responder),
    words: {
      fingerprints: [a, b],
      numbers: twelveWords(a, b).numbers,
      words: await safetyWords(decodeHex(a), decodeHex(b)),
    },
    account: await accounts(toServer.initiator, toServer.exporter),
  };
}
