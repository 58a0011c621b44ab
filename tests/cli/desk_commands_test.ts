import { assert, assertEquals } from "@std/assert";
import {
  commandsOf,
  type DeskActions,
  readLine,
  SLASH_COMMANDS,
  slashHelp,
} from "../../lib/cli/desk_commands.ts";

const isKnown = (name: string) => ["bob", "carol", "lab-3"].includes(name);
const LOBBY = { isLobby: true, isKnown };
const ALONE = { isLobby: false, isKnown };

function read(line: string, place = LOBBY) {
  return readLine(line, place);
}

/** What a line does to the desk, in words. */
async function does(line: string, place = LOBBY): Promise<string> {
  const read = readLine(line, place);
  if (read.type !== "command") return read.type;
  const done: string[] = [];
  const desk = new Proxy({} as DeskActions, {
    get: (_, action) => (...given: readonly unknown[]) => {
      done.push([String(action), ...given.map((each) => String(each))].join(" "));
    },
  });
  await read.command.run(desk, read.name ?? read.text ?? "", undefined);
  return done.join();
}

Deno.test("in the lobby a line is for whom it names, or for whom one is talking to", () => {
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
  // A name may be typed with capitals, as everywhere; who reads on makes it small, and says so.
  assertEquals(read("Bob: hello"), say("Bob", "hello"));
  assertEquals(readLine("Note: this", { ...LOBBY, isMeant: true }), say(undefined, "Note: this"));
  assertEquals(readLine("note: this", { ...LOBBY, isMeant: true }), say("note", "this"));
  assertEquals(read("server: this"), say(undefined, "server: this"));
  assertEquals(read("//path: x"), say(undefined, "/path: x"));
  assertEquals(read(" bob: is a name"), say(undefined, "bob: is a name"));
  assertEquals(read("  two spaces"), say(undefined, "  two spaces"));
  assertEquals(read(""), { type: "nothing" });
  // A page that is pasted is what it is, however its first line begins.
  for (const page of ["/quit\nrm x", "// a remark\nlet x;", "/*\n * why\n */"]) {
    assertEquals(read(page), say(undefined, page));
  }
});

Deno.test("with one person alone every line is for them, whomever it names", () => {
  for (const line of ["bob: hello", "bbo: hello", " bob: hello", "hello"]) {
    assertEquals(read(line, ALONE), { type: "say", name: undefined, text: line });
  }
  assertEquals(read("//to bob", ALONE), { type: "say", name: undefined, text: "/to bob" });
});

Deno.test("a line for a name that is nobody's goes to nobody", () => {
  for (const line of ["bbo: a secret", "note: buy milk", "a: b"]) {
    const command = read(line);
    assert(command.type === "wrong" && command.reason.startsWith("NOT SENT"), line);
  }
});

Deno.test("commands take a name where they are about somebody, and nothing else", () => {
  for (const line of ["/users", "/back", "/quit", "/help"]) {
    assertEquals(read(`${line} `), {
      type: "command",
      word: line,
      command: SLASH_COMMANDS[line]!,
      name: undefined,
    });
    assertEquals(read(`${line} bob`).type, "wrong");
  }
  for (const line of ["/to", "/refuse", "/close", "/verify", "/verified", "/path"]) {
    const command = SLASH_COMMANDS[line]!;
    assertEquals(read(line), { type: "command", word: line, command, name: undefined });
    assertEquals(read(`${line}  dave`), { type: "command", word: line, command, name: "dave" });
    assertEquals(read(`${line} dave erin`).type, "wrong");
    for (const name of ["BOB!", "server", "x".repeat(33), "\x1b[2J"]) {
      assertEquals(read(`${line} ${name}`).type, "wrong", name);
    }
  }
  for (const line of ["/", "/nonsense", "/tobob", "/constructor", "/__proto__"]) {
    const command = read(line);
    assert(command.type === "wrong" && command.reason.startsWith("Unknown command"), line);
  }
  for (const [word, { takes, mayBeAlone }] of Object.entries(SLASH_COMMANDS)) {
    const isAlone = takes === undefined || mayBeAlone === true;
    assertEquals(read(word).type !== "wrong", isAlone, word);
  }
});

Deno.test("each command does what it says", async () => {
  const expected = {
    "/users": "users",
    "/to bob": "turnTo bob",
    "/to": "turnTo undefined",
    "/refuse bob": "refuse bob",
    "/close bob": "close bob",
    "/forget bob": "forget bob",
    "/ignore bob": "ignore bob",
    "/reply so  do I": "reply so  do I",
    "/away": "setAway true ",
    "/away back  at two": "setAway true back  at two",
    "/back": "setAway false ",
    "/path bob": "path bob",
    "/verify bob": "verify bob",
    "/verified bob": "markVerified bob",
    "/retract": "retract  undefined",
    "/retract 7": "retract 7 undefined",
    "/send ~/a b": "sendFiles ~/a b undefined",
    "/take": "take  undefined",
    "/take 3f2a": "take 3f2a undefined",
    "/decline": "decline  undefined",
    "/cancel 3f2a": "cancel 3f2a undefined",
    "/transfers": "transfers",
    "/last": "showLast ",
    "/last  50": "showLast 50",
    "/me waves  at you": "act waves  at you",
    "/bell all": "bell all",
    "/help": "help",
    "/quit": "quit",
  };
  for (const [line, action] of Object.entries(expected)) assertEquals(await does(line), action);
  const words = Object.keys(expected).map((line) => line.split(" ")[0]);
  assertEquals(new Set(words), new Set(Object.keys(SLASH_COMMANDS)));
});

Deno.test("with one person alone there are the commands that are about one, and the help says so", () => {
  const words = commandsOf(ALONE);
  const files = ["/send", "/take", "/decline", "/cancel", "/transfers"];
  const ofMany = [
    "/users",
    "/path",
    "/verify",
    "/verified",
    "/retract",
    ...files,
    "/help",
    "/quit",
  ];
  assertEquals(words.filter((word) => !SLASH_COMMANDS[word]!.atTerminal), ofMany);
  assertEquals(commandsOf({ ...ALONE, isProgram: true }), ofMany);
  assertEquals(read("/bell all", { ...LOBBY, isProgram: true } as typeof LOBBY).type, "wrong");
  for (const word of Object.keys(SLASH_COMMANDS)) {
    const { takes, mayBeAlone } = SLASH_COMMANDS[word]!;
    const line = takes && !mayBeAlone ? `${word} words` : word;
    assertEquals(read(line, ALONE).type === "wrong", !words.includes(word), word);
    assertEquals(slashHelp(ALONE).includes(`\n${word} `), words.includes(word), word);
    assert(slashHelp(LOBBY).includes(`\n${word} `), word);
  }
  assert(slashHelp(LOBBY).includes("/close [NAME]") && slashHelp(LOBBY).includes("/refuse NAME"));
  assert(!slashHelp(ALONE).includes("NAME"));
  for (const line of slashHelp(LOBBY).split("\n")) assert(line.length <= 80, line);
});
