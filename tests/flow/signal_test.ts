import { assertEquals } from "@std/assert";
import { Signal } from "../../lib/flow/signal.ts";
import { turn } from "../testkit/turn.ts";

/** Notes who is woken. */
function noted() {
  const woken: string[] = [];
  const wait = (signal: Signal, name: string, abort?: AbortSignal) =>
    signal.wait(abort).then(() => void woken.push(name));
  return { woken, wait };
}

Deno.test("notify() lets everybody go on who waits, and nobody who waits afterwards", async () => {
  const signal = new Signal();
  const { woken, wait } = noted();
  wait(signal, "first");
  wait(signal, "second");
  await turn();
  assertEquals(woken, []);
  signal.notify();
  const third = wait(signal, "third");
  await turn();
  assertEquals(woken, ["first", "second"]);
  signal.notify();
  await third;
  assertEquals(woken, ["first", "second", "third"]);
});

Deno.test("notify() is forgotten when nobody waits", async () => {
  const signal = new Signal();
  const { woken, wait } = noted();
  signal.notify();
  const waiting = wait(signal, "late");
  await turn();
  assertEquals(woken, []);
  signal.notify();
  await waiting;
});

Deno.test("wait() ends early for the one that is aborted, and for no other", async () => {
  const signal = new Signal();
  const { woken, wait } = noted();
  const abort = new AbortController();
  const waiting = [wait(signal, "patient"), wait(signal, "aborted", abort.signal)];
  abort.abort();
  await turn();
  assertEquals(woken, ["aborted"]);
  await wait(signal, "too late", abort.signal);
  assertEquals(woken, ["aborted", "too late"]);
  signal.notify();
  await Promise.all(waiting);
  assertEquals(woken, ["aborted", "too late", "patient"]);
});

Deno.test("wait() leaves nothing behind at a signal that is never aborted", async () => {
  const abort = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = abort.signal;
  abort.signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(abort.signal, args);
  };
  abort.signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(abort.signal, args);
  };
  const signal = new Signal();
  for (let n = 0; n < 3; n++) {
    const waiting = signal.wait(abort.signal);
    assertEquals(listeners, 1);
    signal.notify();
    await waiting;
  }
  assertEquals(listeners, 0);
});
