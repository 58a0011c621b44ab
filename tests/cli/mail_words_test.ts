/** What is said of what is left at a server, to people and to programs. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { describeMail } from "../../lib/cli/mail_words.ts";
import { deliveryJson, deliveryMark, describeUndelivered } from "../../lib/cli/message_words.ts";
import { describeOffers, offerJson } from "../../lib/cli/offer_words.ts";
import type { MailTrouble } from "../../lib/client/mail_events.ts";
import type { Delivery } from "../../lib/client/thread.ts";
import { CifraError } from "../../lib/errors.ts";
import { person } from "../testkit/handshake.ts";

const say = (event: MailTrouble) => describeMail(event, (name) => `${name}*`);

Deno.test("why something cannot be left is said with what becomes of it", () => {
  const error = new CifraError("quota", "Nobody called bob can take it at the moment");
  const [text, json] = say({ type: "trouble", name: "bob", error });
  assertEquals(
    text,
    "nobody called bob can take it at the moment: kept here; it goes when there is room",
  );
  assertEquals([json.event, json["for"], json["code"]], ["not-on-server", "bob", "quota"]);
});

Deno.test("what is not opened, or not opened here, is told with its writer", () => {
  const error = new CifraError("identity_changed", "Bob has another key", { hint: "ask bob" });
  const [text, json] = say({ type: "changed", name: "bob", error });
  assertEquals(text, "bob* left something that is not opened: bob has another key\nask bob");
  assertEquals(json.event, "not-opened");
  assertStringIncludes(say({ type: "unopened", name: "bob" })[0]!, "what bob* left");
  assertStringIncludes(say({ type: "elsewhere", count: 1 })[0]!, "1 envelope waits");
  assertStringIncludes(say({ type: "elsewhere", count: 2 })[0]!, "2 envelopes wait");
  assertEquals(say({ type: "none" }), [undefined, { event: "no-mailbox" }]);
});

const at = (change: Partial<Delivery> = {}): Delivery => ({
  queued: 5n,
  sent: 3n,
  onServer: 3n,
  stored: 3n,
  read: 3n,
  ...change,
});

Deno.test("on server is a state between queued and stored", () => {
  assertEquals(deliveryMark(at(), undefined), "(2 queued) ");
  assertEquals(deliveryMark(at({ onServer: 4n }), undefined), "(queued) ");
  assertEquals(deliveryMark(at({ onServer: 5n }), undefined), "(on server) ");
  assertEquals(deliveryMark(at({ sent: 5n, onServer: 5n }), undefined), "(sent) ");
  const left = at({ onServer: 5n });
  assertEquals(deliveryJson(at(), left), [{ event: "on-server", number: 5 }]);
  // What is stored over there is on the server no more.
  const stored = at({ sent: 5n, onServer: 5n, stored: 5n });
  assertEquals(deliveryJson(at({ sent: 5n }), stored).map(({ event }) => event), ["stored"]);
  assertEquals(
    describeUndelivered(left, "bob"),
    "2 messages are on the server for bob, who was not here",
  );
  assertStringIncludes(describeUndelivered(at({ onServer: 4n }), "bob")!, "kept here until you");
});

Deno.test("a stranger who is not here has left something, and does not ask", async () => {
  const { identity } = await person("modern", "alice");
  const offer = { name: "alice", suite: 2, identity, acquaintance: "stranger" } as const;
  const [asks] = describeOffers([offer], "modern");
  assertStringIncludes(asks!, "asks for you: /to alice or /refuse alice");
  const [left] = describeOffers([{ ...offer, hasLeft: true }], "modern");
  assertStringIncludes(left!, "has left you something: /to alice reads it");
  assertEquals(offerJson(offer, false)["hasLeft"], undefined);
  assertEquals(offerJson({ ...offer, hasLeft: true }, false)["hasLeft"], true);
});
