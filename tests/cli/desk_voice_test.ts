/** What a person reads of trouble: each thing once, for as long as it is the same trouble. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { DeskView } from "../../lib/cli/desk_front.ts";
import { DeskVoice } from "../../lib/cli/desk_voice.ts";
import { Terminal } from "../../lib/cli/terminal.ts";
import type { Status } from "../../lib/client/conversation.ts";
import type { HomeStatus } from "../../lib/client/home.ts";
import type { Changes } from "../../lib/client/lobby.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { lineOf } from "../../lib/wire/line.ts";

/** Keeps what is said. */
class Recorder extends Terminal {
  readonly said: string[] = [];

  override say(text: string): void {
    this.said.push(text);
  }
}

/** A voice for a person who talks to bob alone, or is in the lobby. */
function voiceOf(only?: string) {
  const terminal = new Recorder(false);
  const view = {
    only,
    label: (name: string) => name,
    dialogue: () => undefined,
  } as unknown as DeskView;
  return { voice: new DeskVoice(view, terminal, "modern"), said: terminal.said };
}

const ENDPOINT = { host: "192.0.2.1", port: 7411 };

function registered(isShaky = false): HomeStatus {
  const title = lineOf("home");
  const places = { server: ENDPOINT, observed: ENDPOINT, ports: undefined };
  return { type: "registered", title, ...places, isShaky };
}

function lost(code: ErrorCode, claimant?: "known"): HomeStatus {
  const error = new CifraError(code, "Because", { ...(claimant && { claimant }) });
  return { type: "server-lost", error, retryIn: 1000, again: true };
}

for (const only of [undefined, "bob"]) {
  const where = only ? "with one person" : "in the lobby";
  Deno.test(`each claim about a server that is lost is told once, with its doubt, ${where}`, () => {
    const { voice, said } = voiceOf(only);
    voice.home(registered());
    for (let tries = 0; tries < 3; tries++) {
      voice.home(lost("unreachable"));
      voice.home(lost("bad_version", "known"));
      voice.home(lost("suite_refused", "known"));
      voice.home(lost("busy", "known"));
    }
    assertEquals(said.map((text) => text.replace(/; (trying|next).*/, "")), [
      only ? 'connected to "home" at 192.0.2.1:7411' : 'in the lobby of "home" at 192.0.2.1:7411',
      "no connection to the server (because)",
      "no connection to the server (because; nobody has proved that it was the server; if it was: " +
      "use the same version of cifra on both sides)",
      "no connection to the server (because; nobody has proved that it was the server; if it was: " +
      "classic needs a server started with --allow-classic; otherwise leave --suite out)",
    ]);
  });
}

for (const only of [undefined, "bob"]) {
  const where = only ? "with one person" : "in the lobby";
  Deno.test(`a server that takes us and drops us is told of once, until it lasts, ${where}`, () => {
    const { voice, said } = voiceOf(only);
    voice.home(registered());
    for (let tries = 0; tries < 9; tries++) {
      voice.home(lost("cut"));
      voice.home(registered(true));
    }
    assertEquals(said.length, 2);
    voice.home({ type: "steady" });
    voice.home({ type: "steady" });
    voice.home(lost("cut"));
    const [there] = said;
    // To who talks to one person, that the server is back is no news.
    const expected = only === undefined ? [true, false, true, false] : [true, false, false];
    assertEquals(said.map((text) => text === there), expected);
  });
}

function connected(isShaky: boolean, port = 4000): Status {
  const path = { type: "direct", remote: { host: "192.0.2.2", port }, dialledBy: "peer" } as const;
  const key = { fingerprint: new Uint8Array(32), sessionId: new Uint8Array(16) };
  return { type: "connected", path, again: true, ...key, isShaky };
}

const CUT: Status = { type: "lost", error: new CifraError("cut", "Connection ended") };
const LEFT: Status = { type: "left", failed: false };

for (const only of [undefined, "bob"]) {
  const where = only ? "with one person" : "in the lobby";
  for (const [how, end] of [["is cut off", CUT], ["leaves", LEFT]] as const) {
    Deno.test(`who comes and ${how}, again and again, is told of once, ${where}`, () => {
      const { voice, said } = voiceOf(only);
      const tell = (status: Status) => voice.status("bob", status, false);
      tell({ type: "waiting" });
      tell(connected(false));
      tell(end);
      for (let times = 0; times < 9; times++) {
        // In the lobby a goodbye may end the conversation, and another one begins.
        if (end === LEFT && only === undefined) voice.over("bob");
        tell({ type: "waiting" });
        tell(connected(true, 4001 + times));
        tell({ ...connected(true, 5000 + times), type: "moved" } as Status);
        tell(end);
      }
      assertEquals(said.length, 4, said.join("\n"));
      // What lasts is told of, and then whatever happens to it.
      tell({ type: "waiting" });
      tell(connected(true, 7000));
      tell({ type: "steady" });
      tell(end);
      assertEquals(said.length, 6, said.join("\n"));
      assertStringIncludes(said[4]!, "7000");
      assertEquals(said[5], said[2]);
    });
  }
}

function away(text: string): Status {
  return { type: "away", words: lineOf(text) };
}

Deno.test("that somebody is away with words, and back, is a line each, whoever tells of it first", () => {
  const nobody: Changes = { isFirst: false, joined: [], left: [], away: [], back: [] };
  const { voice, said } = voiceOf();
  const [present, absent] = [{ ...nobody, back: ["bob"] }, { ...nobody, away: ["bob"] }];
  const words = () => voice.status("bob", away('back at "two"'), false);
  const none = () => voice.status("bob", away(""), false);
  const server = (changes: Changes) => voice.changes(changes, () => false);
  const news: readonly (readonly [() => void, string | undefined])[] = [
    [words, `bob is away: "back at 'two'"`],
    [() => server(absent), undefined],
    [none, "bob is back"],
    [() => server(present), undefined],
    // The other way round.
    [() => server(absent), "away: bob"],
    [words, `bob is away: "back at 'two'"`],
    [() => server(present), "back: bob"],
    [none, undefined],
    // Other words are news, and so is an absence without any.
    [words, `bob is away: "back at 'two'"`],
    [() => voice.status("bob", away("back at three"), false), 'bob is away: "back at three"'],
    [none, "bob is back"],
    [() => server(absent), "away: bob"],
    [() => server({ ...nobody, left: ["bob"] }), "bob left"],
    [() => server({ ...nobody, joined: ["bob"] }), "bob joined"],
    [words, `bob is away: "back at 'two'"`],
  ];
  for (const [tell, line] of news) {
    tell();
    assertEquals(said.splice(0), line === undefined ? [] : [line]);
  }
});

Deno.test("a program is told of everything that comes and goes, but not of what is no event", () => {
  const terminal = new Recorder(true);
  const view = { only: "bob", label: (name: string) => name } as unknown as DeskView;
  const voice = new DeskVoice(view, terminal, "modern");
  for (const status of [connected(true), CUT, connected(true), CUT, { type: "steady" } as const]) {
    voice.status("bob", status, false);
  }
  assertEquals(terminal.said.length, 4);
});
