import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import type { Kem, KemKeyPair } from "../../lib/crypto/kem.ts";
import { EPHEMERAL_KEY_LIFETIME, EPHEMERAL_KEY_USES } from "../../lib/limits.ts";
import { EphemeralKeyStock } from "../../lib/services/ephemeral_keys.ts";
import { ManualTime } from "../testkit/clock.ts";
import { turn } from "../testkit/turn.ts";

/** A Kem whose keys come when the test says so. */
class SlowKem implements Kem {
  readonly name = "slow";
  readonly publicKeyLength = 1;
  readonly ciphertextLength = 1;
  /** Keys asked for so far. */
  asked = 0;
  /** Keys being made at this moment, and the most there ever were. */
  making = 0;
  mostAtOnce = 0;
  readonly #waiting: PromiseWithResolvers<KemKeyPair>[] = [];

  generate(): Promise<KemKeyPair> {
    this.asked++;
    this.making++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.making);
    const waiting = Promise.withResolvers<KemKeyPair>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  encapsulate(): never {
    throw new Error("Not for this test");
  }

  /** The key under way is done; false when there is none. */
  async finish(): Promise<boolean> {
    const waiting = this.#waiting.shift();
    if (!waiting) return false;
    this.making--;
    const publicKey = new Uint8Array([this.asked & 0xff]);
    waiting.resolve({ publicKey, decapsulate: () => Promise.resolve(new Uint8Array(32)) });
    await turn();
    return true;
  }

  async fail(): Promise<void> {
    this.making--;
    this.#waiting.shift()!.reject(new Error("No key today"));
    await turn();
  }
}

Deno.test("take() makes no key before the first handshake, then one for all who wait", async () => {
  const kem = new SlowKem();
  const stock = new EphemeralKeyStock(kem, new ManualTime().now);
  assertEquals(kem.asked, 0);
  const takes = Array.from({ length: 20 }, () => stock.take());
  await turn();
  assertEquals(kem.asked, 1);
  await kem.finish();
  const keys = await Promise.all(takes);
  for (const key of keys) assertStrictEquals(key, keys[0]);
});

Deno.test("take() makes one key at a time, however fast it is asked", async () => {
  const kem = new SlowKem();
  const stock = new EphemeralKeyStock(kem, new ManualTime().now);
  const first = stock.take();
  await kem.finish();
  await first;
  for (let round = 0; round < 50; round++) {
    await stock.take();
    if (round % 5 === 0) await kem.finish();
  }
  assertEquals(kem.mostAtOnce, 1);
});

Deno.test("take() gives a fresh key when there is one, and else the present one again", async () => {
  const kem = new SlowKem();
  const stock = new EphemeralKeyStock(kem, new ManualTime().now);
  const taking = stock.take();
  await kem.finish();
  const first = await taking;
  assertStrictEquals(await stock.take(), first);
  await kem.finish();
  const second = await stock.take();
  assert(second !== first);
  assertStrictEquals(await stock.take(), second);
});

Deno.test("take() gives one key 256 times at the most, then waits for another (A6)", async () => {
  const kem = new SlowKem();
  const stock = new EphemeralKeyStock(kem, new ManualTime().now);
  const taking = stock.take();
  await kem.finish();
  const first = await taking;
  for (let uses = 1; uses < EPHEMERAL_KEY_USES; uses++) {
    assertStrictEquals(await stock.take(), first);
  }
  const next = stock.take();
  const outcome = await Promise.race([next, turn().then(() => "waiting" as const)]);
  assertEquals(outcome, "waiting");
  await kem.finish();
  assert(await next !== first);
  assertEquals(EPHEMERAL_KEY_USES, 256);
});

Deno.test("take() gives one key for ten minutes at the most (A6)", async () => {
  const kem = new SlowKem();
  const clock = new ManualTime();
  const stock = new EphemeralKeyStock(kem, clock.now);
  const taking = stock.take();
  await kem.finish();
  const first = await taking;
  clock.advance(EPHEMERAL_KEY_LIFETIME - 1);
  assertStrictEquals(await stock.take(), first);
  clock.advance(1);
  const next = stock.take();
  await kem.finish();
  assert(await next !== first);
  assertEquals(EPHEMERAL_KEY_LIFETIME, 600_000);
});

Deno.test("take() fails when no key can be made, and works again when one can", async () => {
  const kem = new SlowKem();
  const stock = new EphemeralKeyStock(kem, new ManualTime().now);
  const taking = stock.take().then(() => undefined, (error) => error);
  await turn();
  await kem.fail();
  assert(await taking instanceof Error);
  const again = stock.take();
  await turn();
  await kem.finish();
  assert(await again);
  // A failure behind the back of those who have a key is nobody's.
  await kem.fail();
  await assertRejects(() => Promise.reject(new Error("still alive")));
  assert(await stock.take());
});
