import { assert, assertEquals, assertThrows } from "@std/assert";
import { Oracle, Violation } from "./oracle.ts";

/** Alice has said three things to bob, and her program has them. */
function scene(): Oracle {
  const oracle = new Oracle();
  oracle.runs("bob", "alice");
  for (const text of ["one", "two", "three"]) {
    oracle.submitted("alice", "bob", text);
    oracle.accept("alice", "bob", text);
  }
  return oracle;
}

function refuses(invariant: string, action: (oracle: Oracle) => void): void {
  const oracle = scene();
  const error = assertThrows(() => action(oracle), Violation);
  assert(error.message.startsWith(`${invariant}: `), error.message);
}

Deno.test("everything shown once and in order is well", () => {
  const oracle = scene();
  for (const text of ["one", "two", "three"]) {
    assert(!oracle.isQuiet);
    oracle.show("alice", "bob", text, false);
  }
  oracle.finish();
  assert(oracle.isQuiet);
  assertEquals(oracle.accepted, 3);
});

Deno.test("what its program never said to have may be missing, or come", () => {
  for (const comes of [false, true]) {
    const oracle = scene();
    oracle.submitted("alice", "bob", "four");
    for (const text of ["one", "two", "three"]) oracle.show("alice", "bob", text, false);
    if (comes) oracle.show("alice", "bob", "four", false);
    oracle.finish();
  }
});

Deno.test("I1: a lost message is found out", () => {
  refuses("I1", (oracle) => {
    for (const text of ["one", "two"]) oracle.show("alice", "bob", text, false);
    oracle.finish();
  });
});

Deno.test("I2: what is called stored must be stored", () => {
  refuses("I2", (oracle) => oracle.stored("alice", "bob", 3n, 2n));
  scene().stored("alice", "bob", 3n, 3n);
});

Deno.test("I3: twice is once too often, but for what a killed program may have shown", () => {
  refuses("I3", (oracle) => {
    for (let n = 0; n < 2; n++) oracle.show("alice", "bob", "one", false);
  });
  refuses("I3", (oracle) => {
    for (let n = 0; n < 2; n++) oracle.show("alice", "bob", "one", true);
  });
  refuses("I3", (oracle) => {
    oracle.show("alice", "bob", "one", false);
    oracle.runs("bob", "alice");
    oracle.show("alice", "bob", "one", false);
  });
  refuses("I3", (oracle) => {
    oracle.show("alice", "bob", "one", false);
    oracle.ends("bob", "alice");
    oracle.runs("bob", "alice");
    oracle.show("alice", "bob", "one", true);
  });
  const oracle = scene();
  oracle.show("alice", "bob", "one", false);
  oracle.runs("bob", "alice");
  oracle.runs("bob", "alice");
  oracle.show("alice", "bob", "one", true);
  assertEquals(oracle.recovered, 1);
});

Deno.test("I4: order is kept, nothing is passed over, no gap is made up", () => {
  refuses("I4", (oracle) => {
    for (const text of ["one", "three"]) oracle.show("alice", "bob", text, false);
  });
  refuses("I4", (oracle) => {
    oracle.submitted("alice", "bob", "four");
    for (const text of ["one", "two", "three", "four"]) oracle.show("alice", "bob", text, false);
    oracle.submitted("alice", "bob", "five");
    oracle.submitted("alice", "bob", "six");
    oracle.show("alice", "bob", "six", false);
    oracle.show("alice", "bob", "five", false);
  });
  refuses("I4", (oracle) => oracle.gap("alice", "bob"));
});

Deno.test("I5: nobody is shown what was never said, or was said to another", () => {
  refuses("I5", (oracle) => oracle.show("alice", "bob", "nine", false));
  refuses("I5", (oracle) => oracle.show("bob", "alice", "one", false));
});

Deno.test("I2: what has left the outbox, or is called read, must be over there", () => {
  const [one, two, three] = ["one", "two", "three"];
  refuses("I2", (oracle) => oracle.left("alice", "bob", new Set([three]), new Set([one])));
  refuses("I2", (oracle) => {
    oracle.show("alice", "bob", "one", false);
    oracle.read("alice", "bob", 2n);
  });
  const oracle = scene();
  oracle.show("alice", "bob", "one", false);
  oracle.read("alice", "bob", 1n);
  oracle.left("alice", "bob", new Set([three]), new Set([two]));
});

Deno.test("an old copy of a reader's profile may miss what it had, and have it again; nothing else", () => {
  const back = (action: (oracle: Oracle) => void) => (oracle: Oracle) => {
    oracle.show("alice", "bob", "one", false);
    oracle.putBack("bob", oracle.said("bob"), new Set(["two"]));
    oracle.runs("bob", "alice");
    oracle.gap("alice", "bob");
    action(oracle);
  };
  refuses("I1", back((oracle) => oracle.finish()));
  const oracle = scene();
  back((oracle) => {
    oracle.show("alice", "bob", "one", false);
    oracle.show("alice", "bob", "three", false);
    oracle.finish();
  })(oracle);
  assert(oracle.isQuiet);
});

Deno.test("what an old copy of a writer's profile does not know of may come, whenever; all else must", () => {
  const back = (action: (oracle: Oracle) => void) => (oracle: Oracle) => {
    const said = oracle.said("alice");
    oracle.submitted("alice", "bob", "four");
    oracle.accept("alice", "bob", "four");
    oracle.putBack("alice", said, new Set());
    oracle.submitted("alice", "bob", "five");
    oracle.accept("alice", "bob", "five");
    action(oracle);
  };
  const all = (oracle: Oracle) => {
    for (const text of ["one", "two", "three", "five"]) oracle.show("alice", "bob", text, false);
  };
  refuses("I1", back((oracle) => oracle.finish()));
  refuses(
    "I3",
    back((oracle) => {
      for (let n = 0; n < 2; n++) oracle.show("alice", "bob", "four", false);
    }),
  );
  for (const late of [false, true]) {
    const oracle = scene();
    back((oracle) => {
      all(oracle);
      if (late) oracle.show("alice", "bob", "four", false);
      oracle.finish();
    })(oracle);
  }
});
