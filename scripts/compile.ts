/** Builds cifra as one executable, for this machine or for others. `deno task compile --help`. */
import { encodeHex } from "@std/encoding/hex";
import { STREAM_HEAP, VARIABLES } from "../lib/cli/allowances.ts";
import { parse } from "../lib/cli/args.ts";
import type { Command } from "../lib/cli/command.ts";
import { requireDeno } from "../lib/cli/deno_version.ts";
import { helpOf } from "../lib/cli/help.ts";
import { CifraError } from "../lib/errors.ts";
import { SHELL } from "../lib/cli/suspend.ts";
import { NEVER_DIALLED } from "../lib/net/never_dialled.ts";

/** What Deno can build for. */
export const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
  "aarch64-pc-windows-msvc",
] as const;

const COMPILE = {
  name: "compile",
  call: "deno task compile",
  does: "build cifra as one executable",
  options: {
    "Options": {
      target: {
        kind: "list",
        value: "TARGET",
        does: "build for another kind of machine",
        otherwise: "this machine",
        read: readTarget,
      },
      all: {
        kind: "flag",
        does: "build for every kind",
        excludes: ["target"],
        conflict: "--all names every target: leave --target out",
      },
      output: { kind: "text", value: "DIR", does: "put what is built there", default: "dist" },
      deno: {
        kind: "text",
        value: "COMMAND",
        does: "the deno that builds; CIFRA_DENO sets it as well",
        otherwise: "the one that runs this",
      },
    },
  },
  about: [
    "A base for each target is fetched by Deno once. Without a network, set DENORT_BIN to one.",
    `The targets are ${TARGETS.join(", ")}.`,
  ],
  examples: [`deno task compile --target ${TARGETS[0]}`],
} as const satisfies Command;

function readTarget(text: string): typeof TARGETS[number] {
  const target = TARGETS.find((known) => known === text);
  if (target) return target;
  throw new CifraError("usage", `Unknown target "${text}"`, {
    hint: `known: ${TARGETS.join(" ")}`,
  });
}

/**
 * Fixed at build time, so wide enough for any `--state`. It starts no program but the shell, for `inbox --exec`, loads
 * no library and imports nothing; each command gives up what it does not need (`lib/cli/permissions.ts`). On Windows there is no folder
 * that holds all others, so the disk cannot be given up in part.
 */
export function permissionsFor(target: string | undefined, os: typeof Deno.build.os): string[] {
  const isWindows = target === undefined ? os === "windows" : target.includes("windows");
  const disk = isWindows ? "" : "=/";
  return [
    "--no-prompt",
    "--cached-only",
    "--deny-import",
    "--allow-net",
    `--deny-net=${NEVER_DIALLED.join(",")}`,
    `--allow-read${disk}`,
    `--allow-write${disk}`,
    "--allow-sys=uid,networkInterfaces",
    `--allow-run=${isWindows ? "cmd.exe" : SHELL}`,
    `--allow-env=${VARIABLES.join(",")}`,
  ];
}

/**
 * For all commands, since an executable has one set of flags: a server holds much, as the task for `serve` has it, but
 * through `connect` goes much as well. To optimize for size alone gives young objects one MiB, which a stream fills
 * with every few records; with these two it is as fast as without, and a server is larger than alone by 65 MiB.
 */
const V8_FLAGS = `--v8-flags=--optimize-for-size,--max-semi-space-size=16,${STREAM_HEAP}`;

/** One executable to build; no target means this machine. */
export interface Build {
  readonly target: string | undefined;
  readonly path: string;
}

export interface CompileOptions {
  readonly builds: readonly Build[];
  readonly output: string;
  readonly deno: string | undefined;
}

/** Reads the arguments; throws `usage`. */
export function parseCompile(args: readonly string[], os: typeof Deno.build.os): CompileOptions {
  const { given } = parse(COMPILE, args);
  const output = given.output.replace(/(?<=.)\/+$/, "");
  const targets = given.all ? TARGETS : [...new Set(given.target)];
  const builds = targets.map((target) => ({
    target,
    path: `${output}/cifra-${target}${target.includes("windows") ? ".exe" : ""}`,
  }));
  const here = { target: undefined, path: `${output}/cifra${os === "windows" ? ".exe" : ""}` };
  return { builds: builds.length > 0 ? builds : [here], output, deno: given.deno };
}

/** What follows `deno` on the command line that builds. */
export function compileArguments({ target, path }: Build): string[] {
  const forTarget = target === undefined ? [] : ["--target", target];
  return [
    "compile",
    "--frozen",
    V8_FLAGS,
    ...permissionsFor(target, Deno.build.os),
    ...forTarget,
    "--output",
    path,
    "main.ts",
  ];
}

/** Why a build failed, with what helps when only the base is missing. */
export function explainFailure({ target }: Build, stderr: string): CifraError {
  const machine = target ?? "this machine";
  if (/dl\.deno\.land|error sending request|denort/i.test(stderr)) {
    return new CifraError(
      "unreachable",
      `Cannot build for ${machine}: Deno could not fetch the base that it builds on (denort)`,
      {
        hint: "set DENORT_BIN to a denort of this Deno version and target; one can be fetched " +
          "elsewhere from https://dl.deno.land/release/vVERSION/denort-TARGET.zip",
      },
    );
  }
  return new CifraError("local", `Cannot build for ${machine}:\n${stderr.trim()}`);
}

const ROOT = new URL("../", import.meta.url);

async function build(one: Build, command: readonly string[]): Promise<void> {
  const [program, ...before] = command;
  const { success, stderr } = await new Deno.Command(program!, {
    args: [...before, ...compileArguments(one)],
    cwd: ROOT,
    env: { NO_COLOR: "1", RUST_BACKTRACE: "0" },
    stdin: "null",
    stdout: "null",
  }).output();
  if (!success) throw explainFailure(one, new TextDecoder().decode(stderr));
  const { size } = await Deno.stat(one.path);
  console.log(`${one.path}  ${(size / 2 ** 20).toFixed(1)} MiB`);
}

/** SHA-256 sums of every executable in the folder, for `sha256sum --check`. */
async function writeSums(folder: string): Promise<void> {
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && name.startsWith("cifra")) names.push(name);
  }
  let sums = "";
  for (const name of names.sort()) {
    const bytes = await Deno.readFile(`${folder}/${name}`);
    sums += `${encodeHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)))}  ${name}\n`;
  }
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, sums);
}

async function main(args: readonly string[]): Promise<void> {
  if (args.includes("--help") || args.includes("-h")) return console.log(helpOf(COMPILE));
  const { builds, output, deno = Deno.env.get("CIFRA_DENO") } = parseCompile(args, Deno.build.os);
  if (builds.length > 1 && Deno.env.has("DENORT_BIN")) {
    throw new CifraError("usage", "DENORT_BIN is the base of one target: build one at a time");
  }
  // Another Deno is the choice of whoever names it.
  if (deno === undefined) requireDeno(Deno.version.deno);
  const command = deno?.trim().split(/\s+/) ?? [Deno.execPath()];
  // Where it is told to put things is meant from where it was called.
  const absolute = (path: string) => /^([/\\]|\w:)/.test(path) ? path : `${Deno.cwd()}/${path}`;
  await Deno.mkdir(output, { recursive: true });
  for (const one of builds) await build({ ...one, path: absolute(one.path) }, command);
  await writeSums(output);
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    console.error(`error: ${error.message}`);
    if (error.hint !== undefined) console.error(`hint: ${error.hint}`);
    Deno.exit(error.code === "usage" ? 2 : 1);
  }
}
