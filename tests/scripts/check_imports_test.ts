import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  addInfo,
  checkDirections,
  checkHouse,
  checkOwners,
  findCircles,
  withoutComments,
} from "../../scripts/check_imports.ts";

/** A house of few files: each key imports its values. */
function house(files: Record<string, readonly string[]>): Map<string, readonly string[]> {
  return new Map(Object.entries(files));
}

Deno.test("checkDirections() is silent when every import goes down", () => {
  const graph = house({
    "main.ts": ["lib/cli/serve.ts", "lib/errors.ts"],
    "lib/cli/serve.ts": ["lib/server/server.ts", "lib/client/profile.ts", "lib/cli/args.ts"],
    "lib/cli/args.ts": ["lib/deps/std-cli/parse_args.ts"],
    "lib/server/server.ts": ["lib/services/directory.ts", "lib/net/listener.ts"],
    "lib/client/profile.ts": ["lib/store/memory.ts"],
    "lib/services/directory.ts": ["lib/store/memory.ts"],
    "lib/channel/channel.ts": ["lib/handshake/state.ts"],
    "lib/handshake/state.ts": ["lib/crypto/suite.ts"],
    "lib/crypto/suite.ts": ["lib/limits.ts", "lib/crypto/kem.ts"],
    "lib/limits.ts": ["lib/errors.ts"],
  });
  assertEquals(checkDirections(graph), []);
});

const FORBIDDEN = [
  ["lib/errors.ts", "lib/crypto/kem.ts", "up from ground (0) to crypto (1)"],
  ["lib/crypto/kem.ts", "lib/wire/frame.ts", "up from crypto (1) to wire (2)"],
  ["lib/wire/frame.ts", "lib/channel/channel.ts", "up from wire (2) to channel (3)"],
  ["lib/channel/channel.ts", "lib/net/listener.ts", "up from channel (3) to net (4)"],
  ["lib/store/store.ts", "lib/services/directory.ts", "up from store (4) to services (5)"],
  ["lib/services/directory.ts", "lib/server/server.ts", "up from services (5) to server (6)"],
  ["lib/client/meet.ts", "lib/cli/terminal.ts", "up from client (6) to cli (7)"],
  ["lib/deps/std-cli/parse_args.ts", "lib/errors.ts", "up from deps (-1) to ground (0)"],
  ["lib/client/meet.ts", "lib/server/server.ts", "across from client to server"],
  ["lib/server/server.ts", "lib/client/meet.ts", "across from server to client"],
  ["lib/handshake/state.ts", "lib/channel/channel.ts", "across from handshake to channel"],
  ["lib/net/listener.ts", "lib/store/store.ts", "across from net to store"],
  ["lib/cli/serve.ts", "main.ts", "across from cli to main"],
  ["lib/mod.ts", "lib/cli/serve.ts", "across from mod to cli"],
] as const;

for (const [from, to, why] of FORBIDDEN) {
  Deno.test(`checkDirections() refuses ${from} importing ${to}`, () => {
    assertEquals(checkDirections(house({ [from]: [to] })), [`${from} imports ${to}: ${why}`]);
  });
}

Deno.test("checkDirections() refuses files on no floor and imports from outside", () => {
  const graph = house({
    "lib/utils.ts": [],
    "lib/attic/attic.ts": [],
    "lib/cli/serve.ts": ["scripts/demo.ts"],
  });
  assertEquals(checkDirections(graph), [
    "lib/utils.ts is on no floor of the house",
    "lib/attic/attic.ts is on no floor of the house",
    "lib/cli/serve.ts imports scripts/demo.ts, which is outside the house",
  ]);
});

Deno.test("findCircles() tells the way around, once", () => {
  const graph = house({
    "start.ts": ["a.ts", "d.ts"],
    "a.ts": ["b.ts"],
    "b.ts": ["c.ts", "d.ts"],
    "c.ts": ["a.ts"],
    "d.ts": [],
  });
  assertEquals(findCircles(graph), ["a circle: a.ts -> b.ts -> c.ts -> a.ts"]);
});

Deno.test("findCircles() sees a file that imports itself, and no circle in a diamond", () => {
  assertEquals(findCircles(house({ "a.ts": ["a.ts"] })), ["a circle: a.ts -> a.ts"]);
  const diamond = house({
    "a.ts": ["b.ts", "c.ts"],
    "b.ts": ["d.ts"],
    "c.ts": ["d.ts"],
    "d.ts": [],
  });
  assertEquals(findCircles(diamond), []);
});

const OWNED = [
  ["crypto.subtle.digest(x, y)", "lib/crypto/kem.ts", "lib/store/store.ts"],
  ["globalThis.crypto.getRandomValues(x)", "lib/crypto/kem.ts", "lib/server/server.ts"],
  ["Deno.listen({ port })", "lib/net/listener.ts", "lib/server/server.ts"],
  ["Deno.connectTls({ port })", "lib/net/listener.ts", "lib/client/meet.ts"],
  ['import { connect } from "node:net";', "lib/net/listener.ts", "lib/client/meet.ts"],
  ["Deno.exit(1)", "main.ts", "lib/cli/serve.ts"],
  ["console.log(x)", "lib/cli/terminal.ts", "lib/server/server.ts"],
  ["await Deno.stdin.read(x)", "lib/cli/conversation.ts", "lib/client/meet.ts"],
  ["process.stdout.write(x)", "lib/cli/line_editor.ts", "main.ts"],
] as const;

for (const [code, owner, other] of OWNED) {
  Deno.test(`checkOwners() leaves ${code} to ${owner}`, () => {
    const source = `/** A file. */\nexport const x = 1;\n${code}\n`;
    assertEquals(checkOwners(owner, source), []);
    const [problem, ...more] = checkOwners(other, source);
    assertEquals(more, []);
    assertStringIncludes(problem!, `${other}:3 uses `);
  });
}

for (const code of ["Deno.uid()", "setTimeout(f, 1)", "Date.now()", "performance.now()"]) {
  Deno.test(`checkOwners() keeps ${code} off the pure floors`, () => {
    const source = `const x = ${code};\n`;
    const pure = [
      "lib/limits.ts",
      "lib/crypto/kem.ts",
      "lib/wire/frame.ts",
      "lib/handshake/state.ts",
      "lib/channel/channel.ts",
      "lib/services/directory.ts",
    ];
    for (const path of pure) assertEquals(checkOwners(path, source).length, 1, path);
    for (const path of ["lib/net/listener.ts", "lib/store/store.ts", "lib/client/meet.ts"]) {
      assertEquals(checkOwners(path, source), [], path);
    }
  });
}

Deno.test("checkOwners() reads code, not comments, nor names that look alike", () => {
  const source = `// like Deno.listen
/** unlike crypto.subtle
 * or console.log */
this.performance = timings.performance;
const where = "https://example.net"; // Deno.exit
`;
  assertEquals(checkOwners("lib/services/directory.ts", source), []);
});

Deno.test("withoutComments() keeps lines, and what only looks like a comment", () => {
  const source = "a(\"//b\", `/*c*/`); // d\n/* e\nf */ g('//h');\n";
  assertEquals(withoutComments(source), "a(\"//b\", `/*c*/`);     \n    \n     g('//h');\n");
});

Deno.test("addInfo() takes our files and their imports from deno info, types too", () => {
  const graph = new Map<string, readonly string[]>();
  addInfo(graph, {
    modules: [
      {
        specifier: "file:///work%20place/lib/a.ts",
        dependencies: [
          { code: { specifier: "file:///work%20place/lib/b.ts" } },
          { type: { specifier: "file:///work%20place/lib/c.ts" } },
          { code: { specifier: "npm:@noble/hashes@2.4.0" } },
        ],
      },
      { specifier: "node:net" },
      { specifier: "file:///elsewhere/d.ts" },
    ],
  }, new URL("file:///work%20place/"));
  assertEquals([...graph], [["lib/a.ts", ["lib/b.ts", "lib/c.ts"]]]);
});

Deno.test("checkHouse() finds what is wrong in a house of real files", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const write = async (path: string, text: string) => {
      const at = `${folder}/${path}`;
      await Deno.mkdir(at.slice(0, at.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(at, text);
    };
    await write("main.ts", 'await import("./lib/cli/serve.ts");\n');
    await write("lib/cli/serve.ts", 'export { a } from "../crypto/a.ts";\n');
    await write("lib/crypto/a.ts", 'export { b as a } from "./b.ts";\n');
    await write("lib/crypto/b.ts", 'import "./a.ts";\nexport const b = 1;\n');
    // Nobody imports this one, and it is looked at all the same.
    await write("lib/wire/c.ts", 'import type {} from "../net/d.ts";\nDeno.exit();\n');
    await write("lib/net/d.ts", "export {};\n");
    const { problems, files } = await checkHouse(new URL(`file://${folder}/`));
    assertEquals(files, 6);
    assertEquals(problems, [
      "lib/wire/c.ts imports lib/net/d.ts: up from wire (2) to net (4)",
      "a circle: lib/crypto/a.ts -> lib/crypto/b.ts -> lib/crypto/a.ts",
      "lib/wire/c.ts:2 uses Deno.exit: only main may",
      "lib/wire/c.ts:2 uses Deno: floor 2 has no effects; take it as a parameter",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("checkHouse() has nothing to say about this repository", async () => {
  const { problems, files } = await checkHouse(new URL("../../", import.meta.url));
  assertEquals(problems, []);
  assert(files > 50);
});
