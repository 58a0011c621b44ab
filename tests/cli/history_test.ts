import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { parse } from "../../lib/cli/args.ts";
import { HISTORY } from "../../lib/cli/commands.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { type Exit, Program } from "../testkit/program.ts";
import { withFolder } from "../testkit/server.ts";
import { encodeFileWord, type FileWord } from "../../lib/wire/file_messages.ts";
import { lineOf } from "../../lib/wire/line.ts";
import type { KeptMessage, NewMessage } from "../../lib/wire/peer_messages.ts";

const BOB = { peer: "bob", suite: "modern" } as const;
const CAROL = { peer: "carol", suite: "modern" } as const;
const LOG = new Uint8Array(16).fill(7);
/** In the zone in which the tests run the program. */
const MORNING = Date.parse("2026-11-21T10:03:59+01:00");
const MINUTE = 60_000;

function message(content: string, written: number, number = 1): KeptMessage & NewMessage {
  const id = systemRandom(16);
  return { type: "text", id, written, content: encodeUtf8(content), number: BigInt(number) };
}

async function withProfile(
  state: string,
  name: string,
  job: (store: MessageStore) => Promise<unknown>,
): Promise<void> {
  const profiles = await (await PrivateFolder.open(state)).folder("profiles");
  const store = await SqliteMessages.open(await profiles.folder(name), { keepHistory: true });
  await job(store);
  await store.close();
}

/** Alice's profile with a short conversation in it. */
function talk(state: string): Promise<void> {
  return withProfile(state, "alice", async (store) => {
    await store.append(BOB, [message("Hello\nare you there?", MORNING)]);
    store.acknowledge(BOB, 1n, 1n);
    await store.receive(BOB, LOG, [message("yes \x1b[2J\u202e", MORNING + MINUTE)]);
    await store.append(CAROL, [message("hello carol", MORNING + 2 * MINUTE)]);
    await store.append(BOB, [message("DINNER?", MORNING + 3 * MINUTE)]);
  });
}

/** The command alone, as main.ts runs it. */
const START = `
  import { history } from "${new URL("../../lib/cli/history.ts", import.meta.url)}";
  import { Terminal } from "${new URL("../../lib/cli/terminal.ts", import.meta.url)}";
  const terminal = new Terminal(Deno.args.includes("--json"));
  Deno.exit(await history(Deno.args, terminal).catch((error) => terminal.fail(error)));`;

function command(state: string, ...args: readonly string[]): string[] {
  const allowed = [`--allow-read=${state}`, `--allow-write=${state}`, "--allow-sys=uid"];
  // A module of no folder finds no configuration by itself.
  const flags = [
    "--config=deno.json",
    "--no-prompt",
    "--quiet",
    "--frozen",
    "--allow-env=HOME",
    ...allowed,
  ];
  const module = `data:application/typescript,${encodeURIComponent(START)}`;
  return [Deno.execPath(), "run", ...flags, module, "--state", state, ...args];
}

async function run(state: string, ...args: readonly string[]): Promise<Exit> {
  await using program = new Program({
    name: "history",
    command: command(state, ...args),
    env: { TZ: "Europe/Madrid" },
  });
  return await program.exit();
}

Deno.test("history has what was offered, and no other word about files", async () => {
  await withFolder(async (state) => {
    const offered = {
      files: 1,
      folders: 0,
      bytes: 7,
      manifestLength: 31,
      manifestHash: new Uint8Array(32),
      name: lineOf("a.txt"),
    };
    const word = (what: FileWord, written: number) =>
      ({ ...message("", written), type: "file", content: encodeFileWord(what) }) as const;
    const offer = word({ type: "offer", ...offered }, MORNING);
    await withProfile(state, "alice", async (store) => {
      await store.receive(BOB, LOG, [offer]);
      await store.append(BOB, [word({ type: "accept", transfer: offer.id }, MORNING)]);
      await store.append(CAROL, [word({ type: "offer", ...offered, bytes: undefined }, MORNING)]);
    });
    const { stdout } = await run(state);
    assertEquals(stdout.split("\n"), [
      '-- 2026-11-21 10:03: bob offered "a.txt" (7 B)',
      '-- 2026-11-21 10:03: alice offered "a.txt" (size not known)',
      "",
    ]);
    const json = (await run(state, "--json", "--with", "bob", "--search", "A.TXT")).stdout;
    assertEquals(JSON.parse(json), {
      event: "offered",
      peer: "bob",
      direction: "received",
      number: 1,
      time: "2026-11-21T09:03:59.000Z",
      state: "received",
      transfer: encodeHex(offer.id),
      name: "a.txt",
      files: 1,
      folders: 0,
      bytes: 7,
    });
  });
});

Deno.test("history reads its options, all of which may be left out", () => {
  const none = {
    with: undefined,
    name: undefined,
    "passphrase-fd": undefined,
    search: undefined,
    last: undefined,
    since: undefined,
    state: undefined,
    color: "auto" as const,
    json: false,
  };
  assertEquals(parse(HISTORY, []).given, none);
  const server = parse(HISTORY, ["--json", "--with=server"]).given;
  assertEquals(server, { ...none, json: true, with: "server" });
  const newest = parse(HISTORY, ["--last", "3", "--since=2026-11-21"]).given;
  const since = new Date(2026, 10, 21).getTime();
  assertEquals(newest, { ...none, last: 3, since });
  const all = ["--with", "bob", "--name", "alice", "--search", "a b", "--state", "/x"];
  assertEquals(parse(HISTORY, all).given, {
    ...none,
    with: "bob",
    name: "alice",
    search: "a b",
    state: "/x",
  });
});

Deno.test("history refuses what cannot be a name, and what it does not know", () => {
  const code = (...args: readonly string[]) =>
    assertThrows(() => parse(HISTORY, args), CifraError).code;
  assertEquals(code("--with", "../bob"), "bad_name");
  assertEquals(code("--name", "../alice"), "bad_name");
  assertEquals(code("--name", "server"), "bad_name");
  assertEquals(code("bob"), "usage");
  assertEquals(code("--to", "bob"), "usage");
  assertEquals(code("--search"), "usage");
  assertEquals(code("--last", "0"), "usage");
  assertEquals(code("--since", "yesterday"), "usage");
});

Deno.test("history prints a line for a message, by the clock on the wall, and nothing harmful", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const { code, stdout, stderr } = await run(state, "--with", "bob");
    assertEquals(
      stdout,
      "2026-11-21 10:03 alice: Hello\n    are you there?\n" +
        "2026-11-21 10:04 bob: yes [2J\\u{202e}\n" +
        "2026-11-21 10:06 alice (queued): DINNER?\n",
    );
    assertEquals([code, stderr], [0, ""]);
  });
});

Deno.test("history gives the network up before it reads what was said", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const [program, ...words] = command(state, "--json");
    const module = words.findIndex((word) => word.startsWith("data:"));
    // What it may do when it writes the first line.
    const watched = START.replace(
      "Deno.exit(",
      `terminal.results = () => Deno.exit(
         Deno.permissions.querySync({ name: "net" }).state === "granted" ? 5 : 6);
       Deno.exit(`,
    );
    words[module] = `data:application/typescript,${encodeURIComponent(watched)}`;
    words.splice(module, 0, "--allow-net");
    await using reader = new Program({ name: "history", command: [program!, ...words] });
    assertEquals((await reader.exit()).code, 6);
  });
});

Deno.test("history tells the newest, and what was written since; names are in colour on request", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const lines = async (...args: readonly string[]) => (await run(state, ...args)).stdout;
    assertEquals(await lines("--last", "1"), "2026-11-21 10:06 alice to bob (queued): DINNER?\n");
    assertEquals(
      await lines("--since", "2026-11-21T10:04", "--with", "bob"),
      "2026-11-21 10:04 bob: yes [2J\\u{202e}\n2026-11-21 10:06 alice (queued): DINNER?\n",
    );
    assertEquals(
      await lines("--color", "always", "--with", "bob", "--last", "1"),
      "\x1b[2m2026-11-21 10:06 \x1b[0m\x1b[32malice\x1b[0m (queued): DINNER?\n",
    );
    const { stderr } = await run(state, "--since", "2026-11-22");
    assertEquals(
      stderr,
      "cifra: nothing is kept of what alice said, since 2026-11-22 00:00\n",
    );
  });
});

Deno.test("history of everybody says to whom", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const { stdout } = await run(state, "--search", "hello");
    assertEquals(
      stdout,
      "2026-11-21 10:03 alice to bob: Hello\n    are you there?\n" +
        "2026-11-21 10:05 alice to carol (queued): hello carol\n",
    );
  });
});

Deno.test("history --json prints an object for a message", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const { code, stdout } = await run(state, "--json", "--with", "bob");
    const common = { event: "history", peer: "bob" };
    assertEquals(stdout.trim().split("\n").map((line) => JSON.parse(line)), [
      {
        ...common,
        direction: "sent",
        number: 1,
        time: "2026-11-21T09:03:59.000Z",
        text: "Hello\nare you there?",
        state: "read",
      },
      {
        ...common,
        direction: "received",
        number: 1,
        time: "2026-11-21T09:04:59.000Z",
        text: "yes \x1b[2J\u202e",
        state: "received",
      },
      {
        ...common,
        direction: "sent",
        number: 2,
        time: "2026-11-21T09:06:59.000Z",
        text: "DINNER?",
        state: "queued",
      },
    ]);
    assertEquals(code, 0);
  });
});

Deno.test("history shows what is missing of the other side's messages, in its turn", async () => {
  await withFolder(async (state) => {
    await withProfile(state, "alice", async (store) => {
      await store.receive(BOB, LOG, [message("one", MORNING), message("two", MORNING, 2)]);
      await store.skip(BOB, LOG, 6n);
      await store.receive(BOB, LOG, [message("six", MORNING + MINUTE, 6)]);
      await store.skip(BOB, LOG, 9n);
    });
    const { code, stdout } = await run(state, "--with", "bob");
    assertEquals(
      stdout,
      "2026-11-21 10:03 bob: one\n" +
        "2026-11-21 10:03 bob: two\n" +
        "-- messages 3 to 5 of bob are not on this machine any more\n" +
        "2026-11-21 10:04 bob: six\n" +
        "-- messages 7 to 8 of bob are not on this machine any more\n",
    );
    assertEquals(code, 0);
    const json = (await run(state, "--json")).stdout.trim().split("\n");
    assertEquals([json[2], json[4]].map((line) => JSON.parse(line!)), [
      { event: "gap", peer: "bob", from: 3, to: 5 },
      { event: "gap", peer: "bob", from: 7, to: 8 },
    ]);
    assertEquals((await run(state, "--search", "s")).stdout, "2026-11-21 10:04 bob: six\n");
  });
});

Deno.test("history says on stderr that there is nothing, which is no failure", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const none = await run(state, "--with", "dave", "--search", "x\x1b[2J");
    assertEquals([none.code, none.stdout], [0, ""]);
    assertEquals(
      none.stderr,
      'cifra: nothing is kept of what alice said with dave, with "x[2J" in it\n',
    );
    const json = await run(state, "--json", "--with", "dave");
    assertEquals([json.code, json.stdout, json.stderr], [0, "", ""]);
    await Deno.remove(`${state}/profiles/alice/messages.db`);
    const fresh = await run(state);
    assertEquals([fresh.code, fresh.stdout], [0, ""]);
    assertStringIncludes(fresh.stderr, "nothing is kept of what alice said");
  });
});

Deno.test("history asks which profile is meant, and makes none", async () => {
  await withFolder(async (state) => {
    const none = await run(state);
    assertEquals([none.code, none.stdout], [1, ""]);
    assertStringIncludes(none.stderr, "There is no profile");
    assertEquals([...Deno.readDirSync(state)], []);
    await talk(state);
    await withProfile(state, "zoe", (store) => store.append(BOB, [message("mine", MORNING)]));
    await Deno.mkdir(`${state}/profiles/Not A Name`);
    const several = await run(state);
    assertEquals([several.code, several.stdout], [2, ""]);
    assertStringIncludes(several.stderr, "several profiles: alice, zoe\n");
    assertStringIncludes(several.stderr, "hint: say which: cifra history --name alice\n");
    assertStringIncludes((await run(state, "--name", "zoe")).stdout, "zoe to bob (queued): mine");
    const unknown = await run(state, "--name", "yan");
    assertEquals(unknown.code, 1);
    assertStringIncludes(unknown.stderr, "There is no profile yan");
    assertStringIncludes(unknown.stderr, "there are alice, zoe");
    assertEquals((await run(state, "--name", "..")).code, 2);
    assertEquals([...Deno.readDirSync(`${state}/profiles`)].length, 3);
  });
});

Deno.test("history explains a file that is damaged", async () => {
  await withFolder(async (state) => {
    await talk(state);
    const file = `${state}/profiles/alice/messages.db`;
    await Deno.writeFile(file, systemRandom(8192));
    const { code, stdout, stderr } = await run(state);
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, "it is not a database of cifra's");
  });
});

Deno.test({
  name: "history whose reader has had enough ends without a word",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder(async (state) => {
      const line = "x".repeat(1000);
      await withProfile(state, "alice", (store) =>
        store.append(
          BOB,
          Array.from({ length: 3000 }, () => message(line, MORNING)),
        ));
      const pipe = 'code=$("$@" | head -n 1 >&2; echo "${PIPESTATUS[0]}"); exit "$code"';
      await using program = new Program({
        name: "history | head",
        command: ["bash", "-c", pipe, "bash", ...command(state)],
        env: { TZ: "Europe/Madrid" },
      });
      const { code, stderr } = await program.exit();
      assertEquals(stderr, `2026-11-21 10:03 alice to bob (queued): ${line}\n`);
      assertEquals(code, 0);
    }),
});

Deno.test("history can be read while the profile is in use", async () => {
  await withFolder(async (state) => {
    await withProfile(state, "alice", async (store) => {
      await store.append(BOB, [message("under way", MORNING)]);
      const { code, stdout } = await run(state);
      assertEquals([code, stdout], [0, "2026-11-21 10:03 alice to bob (queued): under way\n"]);
      assert(await store.append(BOB, [message("next", MORNING)]) === 2n);
    });
  });
});
