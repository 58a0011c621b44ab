import { assert, assertEquals, assertMatch } from "@std/assert";
import { CifraError } from "../lib/errors.ts";
import {
  codeOf,
  isPlatformError,
  isPortBusy,
  meaningOf,
  platformFailure,
  reasonOf,
  toCifraError,
} from "../lib/platform_errors.ts";
import { withFolder } from "./testkit/server.ts";

const POSIX = Deno.build.os !== "windows";
const LIB = new URL("../lib/", import.meta.url);

async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** An error as Deno makes them. */
function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

Deno.test("toCifraError() keeps an expected failure, and takes all else as a cut connection", () => {
  const known = new CifraError("busy", "Full");
  assertEquals(toCifraError(known), known);
  const cause = new TypeError("oops");
  const { code, message, cause: kept } = toCifraError(cause);
  assertEquals([code, message, kept], ["cut", "Connection failed: oops", cause]);
  assertEquals(toCifraError("oops").message, "Connection failed: oops");
  const reset = systemError("ECONNRESET", "Connection reset by peer (os error 104)");
  assertEquals(toCifraError(reset).message, "Connection failed: the other side broke off");
});

Deno.test({
  name: "what this system answers is a sentence without its number, its call and its path",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/file`, "");
      await Deno.symlink(`${folder}/circle`, `${folder}/circle`);
      const socket = `${folder}/${"x".repeat(120)}`;
      const cases: readonly (readonly [() => unknown, RegExp])[] = [
        [() => Deno.readFileSync(`${folder}/none`), /^it is not there/],
        [() => Deno.readTextFile(folder), /^it is a folder$/],
        [
          () => Deno.mkdirSync(`${folder}/file/x`),
          /^what stands for a folder in its path is none$/,
        ],
        [() => Deno.mkdirSync(`${folder}/file`), /^there is something of that name already$/],
        [() => Deno.mkdirSync(`${folder}/${"x".repeat(300)}`), /^its name is too long$/],
        [() => Deno.openSync(`${folder}/circle`), /^the links in its path lead in a circle$/],
        [() => Deno.listen({ transport: "unix", path: socket }), /longer than that of a socket/],
        [() => Deno.connect({ transport: "unix", path: socket }), /longer than that of a socket/],
        [() => Deno.listen({ hostname: "203.0.113.9", port: 0 }), /does not have that address$/],
        [() => Deno.connect({ hostname: "127.0.0.1", port: 1 }), /^nobody listens there$/],
        [() => Deno.connect({ hostname: "none.invalid", port: 1 }), /^its name does not resolve$/],
      ];
      for (const [action, why] of cases) {
        const error = await thrownBy(action);
        assertMatch(meaningOf(error).why, why);
        const failure = platformFailure("Cannot use it", error);
        assertEquals([failure.code, failure.cause], ["local", error]);
        assert(!/os error|readfile|mkdir|'\//.test(failure.message));
      }
    }),
});

Deno.test({
  name: "a full device is told, and what to do",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    using full = Deno.openSync("/dev/full", { write: true });
    const error = await thrownBy(() => full.writeSync(new Uint8Array(1)));
    const { message, hint } = platformFailure("Cannot write", error, { hint: "of this place" });
    assertEquals(message, "Cannot write: the disk is full");
    assertEquals(hint, "make room on it, and try again");
  },
});

Deno.test("every code of a disk, a file or a socket in trouble has words and most have a hint", () => {
  for (
    const code of (
      "ENOSPC EDQUOT EROFS EIO EMFILE ENFILE EACCES EPERM EADDRINUSE ENAMETOOLONG ELOOP ENOENT " +
      "EISDIR ENOTDIR EFBIG ETIMEDOUT ENODEV ENOLCK ESTALE ENOTCONN EPIPE ECONNRESET EHOSTUNREACH"
    ).split(" ")
  ) {
    const error = systemError(code, "Raw words (os error 77): open '/secret'");
    assert(isPlatformError(error));
    assert(!/raw|os error|secret|^E[A-Z]/i.test(meaningOf(error).why));
  }
  const { hint } = platformFailure("Cannot", systemError("EPERM", "x"), { hint: "of this place" });
  assertEquals(hint, "of this place");
});

Deno.test("what is not known is told in the system's words, without its number or a stack", () => {
  const unknown = systemError("EXYZ", "Owner died (os error 130): open '/x'\n    at f (file:1:1)");
  assertEquals(meaningOf(unknown).why, "Owner died");
  assertEquals(meaningOf(new Error("(os error 130)")).why, "the system does not say why");
  assertEquals(isPlatformError(new TypeError("x is not a function")), false);
});

Deno.test("a code that stands in the words alone is known: a terminal that is gone", () => {
  assertEquals(codeOf(new Error("EIO: I/O error")), "EIO");
  assertEquals(codeOf(new Error("ERROR of ours: no code")), undefined);
  assertEquals(codeOf(new Error("Each: no code")), undefined);
});

Deno.test("a port that is in use is known by its code, or by Deno's class", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const error = await thrownBy(() => Deno.listen({ hostname: "127.0.0.1", port }));
  for (const each of [error, new Deno.errors.AddrInUse("x")]) {
    assert(isPortBusy(each));
    assertEquals(reasonOf(each), "the port to dial from is in use");
  }
});

/** Code that shows what an error of somebody else's says of itself. */
const RAW = [
  /instanceof Error \? \w+\.message/,
  /String\((?:error|cause|reason|e)\)/,
  /\$\{(?:error|cause|e)\}/,
  /\bcause\.message\b/,
  /\(error as Error\)\.message/,
  /os error/,
];

Deno.test("platform_errors.ts alone looks at the words of the platform", () => {
  const found: string[] = [];
  const walk = (folder: URL) => {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      if (isDirectory && name !== "deps") walk(new URL(`${name}/`, folder));
      if (!name.endsWith(".ts") || name === "platform_errors.ts") continue;
      const code = Deno.readTextFileSync(new URL(name, folder))
        .replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
      for (const raw of RAW) if (raw.test(code)) found.push(`${name}: ${raw}`);
    }
  };
  walk(LIB);
  assertEquals(found, []);
});
