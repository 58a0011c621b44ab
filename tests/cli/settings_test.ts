/** What stands among the arguments without having been typed, and what settings are refused with. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parse } from "../../lib/cli/args.ts";
import type { Command } from "../../lib/cli/command.ts";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { CONNECT } from "../../lib/cli/connect_command.ts";
import { KEYS } from "../../lib/cli/keys_command.ts";
import { SERVE } from "../../lib/cli/serve_command.ts";
import { complete, type Layer, SETTINGS, variableOf } from "../../lib/cli/settings.ts";
import { environmentLayer, fileLayer, findSettings } from "../../lib/cli/settings_sources.ts";
import { CifraError } from "../../lib/errors.ts";
import { meanwhile } from "../testkit/meanwhile.ts";
import { withFolder } from "../testkit/server.ts";

const PATH = "/c/cifra.toml";

function environment(variables: Readonly<Record<string, string>>): Layer {
  return environmentLayer((name) => variables[name]);
}

function file(...lines: readonly string[]): Promise<Layer> {
  return fileLayer(PATH, lines.join("\n"));
}

function completed(command: Command, args: readonly string[], ...layers: readonly Layer[]) {
  return complete(command, args, layers).args;
}

Deno.test("every setting is told from the others, and holds no secret", () => {
  const kinds = new Map<string, string>();
  for (const command of COMMANDS as readonly Command[]) {
    for (const options of Object.values(command.options)) {
      for (const [name, { setting, kind }] of Object.entries(options)) {
        if (setting === undefined) continue;
        assert(!/password|passphrase|^invite(-file)?$/.test(name), name);
        assert(!["connect", "serve"].includes(name), "a key must not look like a section");
        // What two commands have is one.
        assertEquals(kinds.get(`${setting} ${name}`) ?? kind, kind, name);
        kinds.set(`${setting} ${name}`, kind);
      }
    }
  }
  assertEquals(SETTINGS.size, kinds.size);
  const shared = [...SETTINGS.values()].map(({ name, option }) =>
    `${variableOf(name)} ${option.kind}`
  );
  // A variable of both halves is of one kind.
  const variables = new Set(shared.map((each) => each.split(" ")[0]));
  assertEquals(new Set(shared).size, variables.size);
});

Deno.test("what is not typed comes from the environment, or else from the file", async () => {
  const layers = [
    environment({ CIFRA_SERVER: "10.0.0.2", CIFRA_TRACE: "1" }),
    await file(
      'state = "/s"',
      "[connect]",
      'name = "alice"',
      'server = "10.0.0.3"',
      "[serve]",
      "port = 1",
    ),
  ];
  const { args, taken } = complete(CONNECT, ["--to", "bob"], layers);
  const { given } = parse(CONNECT, args);
  assertEquals([given.name, given.to, given.state, given.trace], ["alice", "bob", "/s", true]);
  assertEquals(given.server.host, "10.0.0.2");
  assertEquals(taken.get("server")!.source, { from: "environment", variable: "CIFRA_SERVER" });
  assertEquals(taken.get("name")!.source, { from: "file", path: PATH, line: 3 });
  const typed = completed(CONNECT, ["--server=10.0.0.1", "--name", "carol"], ...layers);
  assertEquals(parse(CONNECT, typed).given.server.host, "10.0.0.1");
  assertEquals(parse(CONNECT, typed).given.name, "carol");
  assertEquals(parse(SERVE, completed(SERVE, [], ...layers)).given.port, 1);
});

Deno.test("what looks like a key in a text of several lines is none", async () => {
  const layer = await file(
    "[serve]",
    'title = """\\',
    "  port = 1 \\",
    '  """',
    "# ''' ",
    "#ab",
    "port = 2",
  );
  assertEquals(layer.get("serve.title")!.texts, ["port = 1 "]);
  assertEquals(layer.get("serve.port")!.texts, ["2"]);
});

Deno.test("a flag of the settings is taken back by a variable, or by what is typed", async () => {
  const layer = await file("[connect]", 'name = "alice"', "no-history = true");
  const isOff = (args: readonly string[], ...layers: readonly Layer[]) =>
    parse(CONNECT, completed(CONNECT, args, ...layers)).given["no-history"];
  assertEquals(isOff([], layer), true);
  assertEquals(isOff(["--no-history=false"], layer), false);
  assertEquals(isOff([], environment({ CIFRA_NO_HISTORY: "0" }), layer), false);
  assertEquals(isOff([], environment({ CIFRA_NO_HISTORY: "" }), layer), true);
  const { message } = assertThrows(() => parse(CONNECT, ["--no-history=maybe"]), CifraError);
  assertEquals(message, "--no-history takes no value");
});

Deno.test("a setting gives way to what it makes no sense beside, and waits for what it needs", async () => {
  const layer = await file(
    "[connect]",
    'name = "alice"',
    'server = "10.0.0.1"',
    "hidden = true",
    "no-relay = true",
    "receive-port = 7000",
  );
  const rest = ["--name=alice", "--no-relay"];
  assertEquals(completed(CONNECT, ["--invite"], layer), [
    "--name=alice",
    "--hidden",
    "--no-relay",
    "--invite",
  ]);
  const toBob = completed(CONNECT, ["--to", "bob", "--relay-only"], layer);
  assertEquals(toBob, [
    "--name=alice",
    "--server=10.0.0.1",
    "--receive-port=7000",
    "--to",
    "bob",
    "--relay-only",
  ]);
  const relayed = completed(
    CONNECT,
    ["--to=bob"],
    environment({ CIFRA_RELAY_ONLY: "true" }),
    layer,
  );
  assert(relayed.includes("--relay-only") && !relayed.includes("--no-relay"));
  // In one and the same source it is a mistake that the parser tells.
  const both = await file("[connect]", 'name = "a"', "relay-only = true", "no-relay = true");
  assertThrows(() => parse(CONNECT, completed(CONNECT, [], both)), CifraError, "leave no way");
  assert(rest.every((arg) => completed(CONNECT, ["--to=bob"], layer).includes(arg)));
});

Deno.test("an action takes the settings that it has options for, and none where the file says whose", async () => {
  const layer = await file('state = "/s"', "[connect]", 'name = "alice"', "[serve]", "port = 1");
  assertEquals(completed(SERVE, ["console"], layer), ["console", "--state=/s"]);
  assertEquals(completed(SERVE, ["invite", "3"], layer), ["invite", "3", "--state=/s"]);
  assertEquals(completed(KEYS, [], layer), ["--name=alice", "--state=/s"]);
  assertEquals(completed(KEYS, ["import", "x"], layer), ["import", "x", "--state=/s"]);
  assertEquals(completed(KEYS, ["no-such"], layer), ["no-such"]);
});

Deno.test("a list is one text or several, and commas part them in a variable", async () => {
  for (
    const layer of [
      await file("[serve]", 'host = ["10.0.0.1", "::"]'),
      environment({ CIFRA_HOST: "10.0.0.1, ::" }),
    ]
  ) assertEquals(parse(SERVE, completed(SERVE, [], layer)).given.host, ["10.0.0.1", "::"]);
  const one = await file("[serve]", 'host = "10.0.0.1"');
  assertEquals(parse(SERVE, completed(SERVE, [], one)).given.host, ["10.0.0.1"]);
  assertEquals(completed(SERVE, [], await file("[serve]", "host = []")), []);
});

const WRONG: readonly (readonly [readonly string[], string, string | undefined])[] = [
  [["[serve]", "prot = 1"], `${PATH}, line 2: unknown key "prot" in [serve]`, "did you mean port?"],
  [["port = 1"], `${PATH}, line 1: unknown key "port"`, "it stands in [serve]"],
  [
    ["[connect]", "", "port = 1"],
    `${PATH}, line 3: unknown key "port" in [connect]`,
    "it stands in [serve]",
  ],
  [["[server]", "x = 1"], `${PATH}, line 1: unknown section [server]`, "did you mean [serve]?"],
  [["[x]"], `${PATH}, line 1: unknown section [x]`, "there are [connect] and [serve]"],
  [
    ["[connect]", "passphrase-fd = 3"],
    `${PATH}, line 2: unknown key "passphrase-fd" in [connect]`,
    "cifra config lists what there is",
  ],
  [
    ["[serve]", 'port = "7411"'],
    `${PATH}, line 2: port must be a whole number, got "7411"`,
    undefined,
  ],
  [
    ["[serve]", "port = 99999"],
    `${PATH}, line 2: port must be a whole number from 0 to 65535, got "99999"`,
    undefined,
  ],
  [
    ["[serve]", "port = 1.5"],
    `${PATH}, line 2: port must be a whole number from 0 to 65535, got "1.5"`,
    undefined,
  ],
  [
    ["[connect]", "name = true"],
    `${PATH}, line 2: name must be a text in quotes, got true`,
    undefined,
  ],
  [
    ["[connect]", 'name = "a"', "# name", '"name" = "b"'],
    `${PATH}, line 4: name stands in line 2 already`,
    "keep one of the two",
  ],
  [
    ['connect.name = "a"', "[serve]", "port = 1", "[connect]", 'name = "b"'],
    `${PATH}, line 5: name stands in line 1 already`,
    "keep one of the two",
  ],
  [
    ["[serve]", "port = 1", "[connect]", "[serve]"],
    `${PATH}, line 4: [serve] stands in line 1 already`,
    "keep one of the two",
  ],
  [
    ["connect = { name = 'a', to = 'name = b', name = 'b' }"],
    `${PATH}, line 1: name stands in line 1 already`,
    "keep one of the two",
  ],
  [
    ["connect = { name = 'a' }", "connect.name = 'b'"],
    `${PATH}, line 2: connect.name stands in line 1 already`,
    "keep one of the two",
  ],
  [
    ["__proto__ = 1"],
    `${PATH}, line 1: unknown key "__proto__"`,
    "cifra config lists what there is",
  ],
  [
    ["", "__proto__ = { port = 1 }"],
    `${PATH}, line 2: unknown section [__proto__]`,
    "there are [connect] and [serve]",
  ],
  [
    ["[serve]", "__proto__ = { port = 1 }"],
    `${PATH}, line 2: unknown key "__proto__" in [serve]`,
    "cifra config lists what there is",
  ],
  [
    ["serve = { port = 1, __proto__ = 1 }"],
    `${PATH}, line 1: unknown key "__proto__" in [serve]`,
    "cifra config lists what there is",
  ],
  [
    ["[connect]", 'name = "A B"'],
    `${PATH}, line 2: cannot use this name: must be 1 to 32 of a-z, 0-9, _ and -, from a letter or digit to one`,
    "choose a name such as alice or lab-3",
  ],
  [
    ["[connect]", 'hidden = "yes"'],
    `${PATH}, line 2: hidden must be true or false, got "yes"`,
    undefined,
  ],
  [
    ["[connect]", 'accept = "al"'],
    `${PATH}, line 2: accept must be known, all or none, got "al"`,
    "did you mean all?",
  ],
  [["[connect]", 'server = ""'], `${PATH}, line 2: server needs a value`, undefined],
  [["[connect.name]", "x = 1"], `${PATH}: name must be a text in quotes, got a table`, undefined],
  [["connect = 1"], `${PATH}, line 1: connect is a section: write [connect], got 1`, undefined],
  [
    ["[serve]", "host = [1]"],
    `${PATH}, line 2: host must be a text in quotes, or a list of such texts, got [1]`,
    undefined,
  ],
];

for (const [lines, message, hint] of WRONG) {
  Deno.test(`a file with ${JSON.stringify(lines.join(" "))} is refused`, async () => {
    const error = await assertRejects(() => file(...lines), CifraError);
    assertEquals(error.message, `Cannot use ${message}`);
    assertEquals(error.hint, hint);
    assert(["usage", "bad_name"].includes(error.code));
  });
}

Deno.test("a file that is no TOML is refused with the line", async () => {
  const error = await assertRejects(() => file("[connect]", "name = alice"), CifraError);
  assertEquals([error.code, error.message], ["usage", `Cannot read ${PATH} at line 2 or before`]);
  for (const text of ["\ufeff[serve]\r\nport = 1\r\n", "", "# nothing\n"]) {
    await fileLayer(PATH, text);
  }
});

Deno.test("a variable that is wrong is refused by its name", () => {
  const said = (variables: Record<string, string>) =>
    assertThrows(() => environment(variables), CifraError).message;
  assertEquals(
    said({ CIFRA_PORT: "x" }),
    'Cannot use the variable CIFRA_PORT: port must be a whole number from 0 to 65535, got "x"',
  );
  assertEquals(
    said({ CIFRA_HIDDEN: "y" }),
    'The variable CIFRA_HIDDEN must be true or false, got "y"',
  );
});

Deno.test({
  name: "settings that cannot be read are refused with the reason",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder((folder) => {
      const path = `${folder}/cifra.toml`;
      Deno.symlinkSync(path, path);
      const { code, message, hint } = assertThrows(() => findSettings(folder), CifraError);
      assertEquals([code, message, hint], [
        "local",
        `Cannot read ${path}: the links in its path lead in a circle`,
        "make it readable for you, or remove it",
      ]);
      return Promise.resolve();
    }),
});

Deno.test({
  name: "settings that a group, or anybody, may write or replace are refused",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder((folder) => {
      const path = `${folder}/cifra.toml`;
      Deno.writeTextFileSync(path, 'name = "alice"\n');
      const refused = (what: string) => {
        const { code, message, hint } = assertThrows(() => findSettings(folder), CifraError);
        assertEquals([code, message, hint], [
          "local",
          `Cannot use ${what}: others can write it`,
          `keep others out: chmod go-w '${what}'`,
        ]);
      };
      for (const mode of [0o664, 0o620, 0o646, 0o602]) {
        Deno.chmodSync(path, mode);
        refused(path);
      }
      Deno.chmodSync(path, 0o644);
      // In a folder like /tmp nobody replaces it; but no settings belong there.
      for (const mode of [0o770, 0o720, 0o707, 0o1777]) {
        Deno.chmodSync(folder, mode);
        refused(folder);
      }
      Deno.chmodSync(folder, 0o755);
      assertEquals(findSettings(folder)?.text, 'name = "alice"\n');
      return Promise.resolve();
    }),
});

Deno.test({
  name: "settings are judged as they were opened, whatever their path leads to by then",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder((folder) => {
      const path = `${folder}/cifra.toml`, other = `${folder}/other`;
      Deno.writeTextFileSync(path, "");
      Deno.writeTextFileSync(other, 'server = "evil"\n');
      Deno.chmodSync(other, 0o666);
      using _swap = meanwhile("statSync", path, () => Deno.renameSync(other, path));
      assertThrows(() => findSettings(folder), CifraError, "others can write it");
      return Promise.resolve();
    }),
});

Deno.test("what no parser takes as a key is a text like others", async () => {
  const layer = await fileLayer(PATH, 'serve = { title = "a __proto__- b __proto__" }');
  assertEquals(layer.get("serve.title")?.texts, ["a __proto__- b __proto__"]);
});
