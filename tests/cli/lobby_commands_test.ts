import { assert, assertEquals } from "@std/assert";
import { COMMANDS, readCommand } from "../../lib/cli/lobby_commands.ts";

const known = (name: string) => ["bob", "carol", "lab-3"].includes(name);

function read(line: string) {
  return readCommand(line, known);
}

Deno.test("a line is for whom it names, or for whom one is talking to", () => {
  const say = (name: string | undefined, text: string) => ({ type: "say", name, text } as const);
  assertEquals(read("hello"), say(undefined, "hello"));
  assertEquals(read("bob: hello"), say("bob", "hello"));
  assertEquals(read("lab-3: one\ntwo: three"), say("lab-3", "one\ntwo: three"));
  assertEquals(read("bob:hello"), say(undefined, "bob:hello"));
  assertEquals(
    read("see https://example.org/: it"),
    say(undefined, "see https://example.org/: it"),
  );
  assertEquals(read("Note: this"), say(undefined, "Note: this"));
  assertEquals(read("server: this"), say(undefined, "server: this"));
  assertEquals(read("//path: x"), say(undefined, "/path: x"));
  assertEquals(read(" bob: is a name"), say(undefined, "bob: is a name"));
  assertEquals(read("  two spaces"), say(undefined, "  two spaces"));
});

Deno.test("a line for a name that is nobody's goes to nobody", () => {
  for (const line of ["bbo: a secret", "note: buy milk", "a: b"]) {
    const command = read(line);
    assert(command.type === "wrong" && command.reason.startsWith("NOT SENT"), line);
  }
});

Deno.test("commands take a name where they need one, and nothing else", () => {
  assertEquals(read(""), { type: "nothing" });
  for (const line of ["/users", "/away", "/back", "/quit", "/help"] as const) {
    assertEquals(read(`${line} `), { type: line.slice(1) as "users" });
    assertEquals(read(`${line} bob`).type, "wrong");
  }
  for (const line of ["/to", "/refuse", "/close", "/verify", "/verified", "/path"] as const) {
    assertEquals(read(line), { type: line.slice(1) as "to", name: undefined });
    assertEquals(read(`${line}  dave`), { type: line.slice(1) as "to", name: "dave" });
    assertEquals(read(`${line} dave erin`).type, "wrong");
    for (const name of ["BOB", "server", "x".repeat(33), "\x1b[2J"]) {
      assertEquals(read(`${line} ${name}`).type, "wrong", name);
    }
  }
  for (const line of ["/", "/nonsense", "/tobob"]) {
    const command = read(line);
    assert(command.type === "wrong" && command.reason.startsWith("Unknown command"), line);
  }
  for (const command of COMMANDS) assert(read(command).type !== "wrong", command);
});
