/** Turns of the event loop: what can be done at once is done, and no real time is waited for. */
import { setImmediate } from "node:timers";

const underWay = new Set<Promise<unknown>>();
type Operation = (...parameters: readonly unknown[]) => Promise<unknown>;
const subtle = crypto.subtle as unknown as Record<string, Operation>;
const OPERATIONS = [
  "generateKey",
  "importKey",
  "exportKey",
  "getPublicKey",
  "encrypt",
  "decrypt",
  "sign",
  "verify",
  "deriveBits",
  "encapsulateBits",
  "decapsulateBits",
];
for (const name of OPERATIONS) {
  const original = subtle[name]?.bind(crypto.subtle);
  if (!original) continue;
  const counted: Operation = (...parameters) => {
    const operation = original(...parameters);
    underWay.add(operation);
    const done = () => underWay.delete(operation);
    operation.then(done, done);
    return operation;
  };
  Object.defineProperty(crypto.subtle, name, { configurable: true, value: counted });
}

/**
 * Lets everything run that can run now: the ciphers that are at work end, and the sockets of this machine are heard
 * once. Takes a tenth of a millisecond; the shortest timer takes two, in which mostly nothing happens.
 */
export async function turn(): Promise<void> {
  await Promise.allSettled(underWay);
  // While the system is asked for something, whatever it has for this process is taken as well; a test
  // that may not ask does without.
  await Deno.stat(".").catch(() => {});
  await new Promise((resolve) => void setImmediate(resolve));
}

/**
 * Resolves when no cipher is at work: records behind a failed one are still being opened, and RSA keys
 * are made in advance. A test that leaves such work behind would disturb the next one.
 */
export async function cryptoIdle(): Promise<void> {
  do {
    await Promise.allSettled(underWay);
    // One operation may be the first of several.
    await turn();
  } while (underWay.size > 0);
}
