import { assertEquals } from "@std/assert";
import { formatTrace } from "../../lib/cli/trace.ts";
import type { TraceEvent } from "../../lib/client/trace.ts";

const event: TraceEvent = {
  with: "bob",
  message: 2,
  direction: "sent",
  name: "ephemeral key and early proof",
  algorithm: "X-Wing, Ed25519, AES-256-GCM",
  length: 2453,
  transcript: new Uint8Array([0x33, 0x64, 0x9a, 0x78, 0xff]),
  fingerprint: new Uint8Array(32),
};
const HEAD = "trace bob      m2 -> ephemeral key and early proof       2453 B";

Deno.test("a step is one line where it fits, or where nobody knows how wide the output is", () => {
  const line = `${HEAD} X-Wing, Ed25519, AES-256-GCM | T 33649a78 | key aaaa-aaaa-aaaa`;
  for (const columns of [undefined, 0, line.length, 200]) {
    assertEquals(formatTrace(event, columns), line);
  }
});

Deno.test("on a narrower terminal its facts stand below it, as many on a row as fit", () => {
  const rows = (columns: number, detail?: string) =>
    formatTrace({ ...event, ...(detail !== undefined && { detail }) }, columns).split("\n");
  const facts = "      X-Wing, Ed25519, AES-256-GCM | T 33649a78 | key aaaa-aaaa-aaaa";
  assertEquals(rows(100), [HEAD, facts]);
  assertEquals(rows(80), [HEAD, facts]);
  assertEquals(rows(facts.length), [HEAD, facts]);
  const narrow = ["      X-Wing, Ed25519, AES-256-GCM", "      T 33649a78 | key aaaa-aaaa-aaaa"];
  assertEquals(rows(40), [HEAD, ...narrow]);
  const long = "alice, receive port 40112, send port 40113";
  assertEquals(rows(80, long), [HEAD, facts, `      ${long}`]);
});
