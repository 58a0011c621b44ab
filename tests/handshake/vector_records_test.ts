/** The files in tests/vectors/records/, against the document's formulas and against the library. */
import { assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { verifyBy } from "../../lib/crypto/identity.ts";
import { RecordCipher } from "../../lib/crypto/record_cipher.ts";
import { loadSuite, SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { FRAME_HEADER_LENGTH } from "../../lib/wire/frame.ts";
import { decodeItems, encodeItems } from "../../lib/wire/records.ts";
import { nextTrafficSecret, openRecord, recordKey } from "./reference.ts";
import { identityOf, readRecordsFile, readVectorFile } from "./vector_file.ts";

const DIRECTIONS = ["i2r", "r2i"] as const;

for (const suiteName of SUITE_NAMES) {
  const [, peers] = (await readVectorFile(suiteName)).runs;
  const { initiator, responder, traffic } = peers!;
  const senders = { i2r: initiator, r2i: responder };
  const file = await readRecordsFile(suiteName);

  Deno.test(`${suiteName} records: the document's formulas give every key and open every record`, () => {
    for (const direction of DIRECTIONS) {
      const { keys, records } = file[direction];
      let secret = traffic[direction];
      for (const key of keys) {
        assertEquals(key, { traffic: secret, ...recordKey(suiteName, secret) });
        secret = nextTrafficSecret(secret);
      }
      const signer = senders[direction].identity.bundle;
      for (const { key, counter, items, inner, frame } of records) {
        const which = { suite: suiteName, direction, keys: keys[key]!, counter, signer };
        assertEquals(openRecord(which, frame), inner);
        assertEquals(inner, byTheBook(items));
      }
    }
  });

  Deno.test(`${suiteName} records: the library opens them in order, and seals them alike`, async () => {
    const suite = await loadSuite(suiteName);
    for (const direction of DIRECTIONS) {
      const { keys, records } = file[direction];
      const sender = await identityOf(senders[direction]);
      const signer = {
        sign: sender.sign,
        verify: (signature: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer>) =>
          verifyBy(sender, signature, data),
      };
      const create = async () => {
        const cipher = new RecordCipher(suite, direction, signer, decodeHex(keys[0]!.traffic));
        await cipher.prepare();
        // m7 or m8 went before.
        cipher.testOnlySetCounter(1);
        return cipher;
      };
      const opener = await create(), sealer = await create();
      for (const { counter, items, inner, frame } of records) {
        const bytes = decodeHex(frame);
        const [header, body] = [
          bytes.slice(0, FRAME_HEADER_LENGTH),
          bytes.slice(FRAME_HEADER_LENGTH),
        ];
        assertEquals(opener.counter, counter);
        const opened = await opener.open(header, body);
        assertEquals(encodeHex(opened), inner);
        const decoded = decodeItems(opened);
        assertEquals(decoded.map(({ type, body }) => ({ type, body: encodeHex(body) })), items);
        assertEquals(encodeHex(encodeItems(decoded)), inner);
        const sealed = await sealer.seal(header, opened);
        if (!suite.signedRecords) assertEquals(encodeHex(concat([header, sealed])), frame);
        const KEY_UPDATE = 5;
        if (items.at(-1)!.type !== KEY_UPDATE) continue;
        await opener.update();
        await sealer.update();
      }
    }
  });
}

/** `u8 type | u32 length | body` for each item, and zeros up to the bucket. */
function byTheBook(items: readonly { readonly type: number; readonly body: string }[]): string {
  const hex = items.map(({ type, body }) =>
    type.toString(16).padStart(2, "0") + (body.length / 2).toString(16).padStart(8, "0") + body
  ).join("");
  const bucket = [64, 128, 256].find((size) => size * 2 >= hex.length)!;
  return hex.padEnd(bucket * 2, "0");
}
