import { assert, assertEquals, assertRejects } from "@std/assert";
import { aborted } from "../../lib/flow/delay.ts";
import { Group } from "../../lib/flow/group.ts";
import { turn } from "../testkit/pipe.ts";

/** A job that goes on until its group ends, then takes a moment to clear up. */
function lasting(over: string[], name: string) {
  return async (signal: AbortSignal) => {
    await aborted(signal);
    await turn();
    over.push(name);
  };
}

Deno.test("join() waits for every job, those started by a job too", async () => {
  const group = new Group();
  const over: number[] = [];
  group.start(async () => {
    await turn();
    group.start(async () => {
      await turn();
      over.push(2);
    });
    over.push(1);
  });
  assertEquals(await group.start(() => Promise.resolve("result")), "result");
  await group.join();
  assertEquals(over, [1, 2]);
});

Deno.test("the first failure ends the other jobs, and join() throws it when all are over", async () => {
  const group = new Group();
  const over: string[] = [];
  group.start(lasting(over, "a"));
  const failing = group.start(async () => {
    await turn();
    throw new TypeError("first");
  });
  group.start(async (signal) => {
    await lasting(over, "b")(signal);
    throw new Error("because of the end");
  });
  const failed = group.failed.catch((error) => error.message);
  await assertRejects(() => group.join(), TypeError, "first");
  assertEquals(over.sort(), ["a", "b"]);
  await assertRejects(() => failing, TypeError, "first");
  assertEquals(await failed, "first");
});

Deno.test("a job that throws before it waits fails the group as any other", async () => {
  const group = new Group();
  group.start(() => {
    throw new TypeError("at once");
  });
  await assertRejects(() => group.join(), TypeError, "at once");
});

Deno.test("what a job throws after the end is no failure", async () => {
  const group = new Group();
  group.start(async (signal) => {
    await aborted(signal);
    throw new Error("aborted");
  });
  group.end();
  await group.join();
});

Deno.test("leaving the scope ends the jobs and waits for them, also when the scope throws", async () => {
  const over: string[] = [];
  await assertRejects(
    async () => {
      await using group = new Group();
      group.start(lasting(over, "a"));
      await turn();
      throw new TypeError("the scope's own");
    },
    TypeError,
    "the scope's own",
  );
  assertEquals(over, ["a"]);
  {
    await using group = new Group();
    group.start(() => Promise.reject(new Error("told by nobody")));
    group.start(lasting(over, "b"));
  }
  assertEquals(over, ["a", "b"]);
});

Deno.test("the outer signal ends the group, at once when it is aborted already", async () => {
  const outer = new AbortController();
  const over: string[] = [];
  const group = new Group(outer.signal);
  group.start(lasting(over, "a"));
  await turn();
  assertEquals(over, []);
  outer.abort();
  await group.join();
  assertEquals(over, ["a"]);
  assert(new Group(outer.signal).signal.aborted);
});
