/**
 * The house rules, checked: no import goes up a floor, across to a neighbour or in a circle, and what has
 * one owner is used by its owner alone. `deno task imports`.
 */

/** Which files of ours import which; paths are relative to the repository. */
export type ModuleGraph = ReadonlyMap<string, readonly string[]>;

interface Room {
  readonly floor: number;
  /** Folders end in a slash, everything else is a file. */
  readonly paths: readonly string[];
  /** Rooms of its own floor that it may import from. */
  readonly above?: readonly string[];
}

const ROOMS: Readonly<Record<string, Room>> = {
  deps: { floor: -1, paths: ["lib/deps/"] },
  ground: {
    floor: 0,
    paths: [
      "lib/errors.ts",
      "lib/platform_errors.ts",
      "lib/limits.ts",
      "lib/bytes.ts",
      "lib/version.ts",
    ],
  },
  crypto: { floor: 1, paths: ["lib/crypto/"] },
  flow: { floor: 2, paths: ["lib/flow/"] },
  wire: { floor: 2, paths: ["lib/wire/"] },
  handshake: { floor: 3, paths: ["lib/handshake/"] },
  channel: { floor: 3, paths: ["lib/channel/"], above: ["handshake"] },
  net: { floor: 4, paths: ["lib/net/"] },
  store: { floor: 4, paths: ["lib/store/"] },
  files: { floor: 4, paths: ["lib/files/"], above: ["store"] },
  services: { floor: 5, paths: ["lib/services/"] },
  client: { floor: 6, paths: ["lib/client/"] },
  server: { floor: 6, paths: ["lib/server/"] },
  cli: { floor: 7, paths: ["lib/cli/"] },
  mod: { floor: 7, paths: ["lib/mod.ts"] },
  main: { floor: 7, paths: ["main.ts"], above: ["cli"] },
};

interface OwnerRule {
  readonly what: RegExp;
  /** Rooms that may. */
  readonly owners: readonly string[];
}

/** Bytes and values in, bytes and values out. */
const PURE_FLOORS: readonly number[] = [0, 1, 2, 3, 5];
const EFFECTS =
  /(?<![.#\w])(?:Deno|setTimeout|setInterval|performance)\b|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b/g;

const OWNER_RULES: readonly OwnerRule[] = [
  { what: /\bcrypto\.subtle\b|\bgetRandomValues\b|\brandomUUID\b/g, owners: ["crypto"] },
  { what: /\bDeno\.(?:listen|connect)\w*|\bnode:(?:net|dgram|tls)\b/g, owners: ["net"] },
  { what: /\bDeno\.exit\b|\bprocess\.exit\b/g, owners: ["main"] },
  {
    what: /(?<![.#\w])console\.|\bDeno\.std(?:in|out|err)\b|\bprocess\.std(?:in|out|err)\b/g,
    owners: ["cli"],
  },
];

function roomOf(path: string): readonly [string, Room] | undefined {
  return Object.entries(ROOMS).find(([, { paths }]) =>
    paths.some((own) => own.endsWith("/") ? path.startsWith(own) : path === own)
  );
}

/** The imports that go up, or across to a neighbour on the same floor; and files on no floor. */
export function checkDirections(graph: ModuleGraph): string[] {
  const problems: string[] = [];
  for (const [path, imports] of graph) {
    const from = roomOf(path);
    if (!from) {
      problems.push(`${path} is on no floor of the house`);
      continue;
    }
    const [fromName, fromRoom] = from;
    for (const imported of imports) {
      const to = roomOf(imported);
      if (!to) {
        problems.push(`${path} imports ${imported}, which is outside the house`);
        continue;
      }
      const [toName, toRoom] = to;
      if (fromName === toName || fromRoom.floor > toRoom.floor) continue;
      if (fromRoom.above?.includes(toName)) continue;
      const how = fromRoom.floor < toRoom.floor
        ? `up from ${fromName} (${fromRoom.floor}) to ${toName} (${toRoom.floor})`
        : `across from ${fromName} to ${toName}`;
      problems.push(`${path} imports ${imported}: ${how}`);
    }
  }
  return problems;
}

/** Each circle once, as the way around it. */
export function findCircles(graph: ModuleGraph): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (path: string): void => {
    const at = way.indexOf(path);
    if (at >= 0) {
      circles.push(`a circle: ${[...way.slice(at), path].join(" -> ")}`);
      return;
    }
    if (done.has(path)) return;
    way.push(path);
    for (const imported of graph.get(path) ?? []) visit(imported);
    way.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return circles;
}

/** What a file uses that another owns. */
export function checkOwners(path: string, source: string): string[] {
  const [name, room] = roomOf(path) ?? [];
  const code = withoutComments(source);
  const problems: string[] = [];
  const find = (what: RegExp, whose: string) => {
    for (const { 0: text, index } of code.matchAll(what)) {
      const line = code.slice(0, index).split("\n").length;
      problems.push(`${path}:${line} uses ${text}: ${whose}`);
    }
  };
  for (const { what, owners } of OWNER_RULES) {
    if (name !== undefined && owners.includes(name)) continue;
    find(what, `only ${owners.join(" and ")} may`);
  }
  if (room && PURE_FLOORS.includes(room.floor)) {
    find(EFFECTS, `floor ${room.floor} has no effects; take it as a parameter`);
  }
  return problems;
}

/** The source with comments blanked, lines kept; text in quotes stays, it may hold code. */
export function withoutComments(source: string): string {
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`/g;
  return source.replace(token, (text) => text[0] === "/" ? text.replace(/[^\n]/g, " ") : text);
}

interface DenoInfo {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly dependencies?: readonly {
      readonly code?: { readonly specifier?: string };
      readonly type?: { readonly specifier?: string };
    }[];
  }[];
}

/** Adds to `graph` what `deno info --json` says of the files below `root`. Throws on a broken import. */
export function addInfo(graph: Map<string, readonly string[]>, info: DenoInfo, root: URL): void {
  const ours = (specifier: string | undefined) =>
    specifier?.startsWith(root.href)
      ? decodeURIComponent(specifier.slice(root.href.length))
      : undefined;
  for (const { specifier, error, dependencies = [] } of info.modules) {
    if (error !== undefined) throw new Error(`Cannot read ${specifier}: ${error}`);
    const path = ours(specifier);
    if (path === undefined) continue;
    const imports = dependencies.flatMap(({ code, type }) => [code?.specifier, type?.specifier])
      .map(ours).filter((imported) => imported !== undefined);
    graph.set(path, [...new Set(imports)]);
  }
}

async function denoInfo(root: URL, path: string): Promise<DenoInfo> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", path],
    cwd: root,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`deno info ${path}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function* sourcesBelow(root: URL, folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, root))) {
    if (isDirectory) yield* sourcesBelow(root, `${folder}${name}/`);
    else if (/\.[jt]sx?$/.test(name)) yield `${folder}${name}`;
  }
}

/** Everything wrong with the house at `root`, and how many files were looked at. */
export async function checkHouse(root: URL): Promise<{ problems: string[]; files: number }> {
  const graph = new Map<string, readonly string[]>();
  const sources: string[] = [];
  for await (const path of sourcesBelow(root, "lib/")) sources.push(path);
  for (const path of ["main.ts", ...sources.sort()]) {
    // Most are reached from main.ts; only what is not needs a look of its own.
    if (!graph.has(path)) addInfo(graph, await denoInfo(root, path), root);
  }
  const problems = [...checkDirections(graph), ...findCircles(graph)];
  for (const path of graph.keys()) {
    problems.push(...checkOwners(path, await Deno.readTextFile(new URL(path, root))));
  }
  return { problems, files: graph.size };
}

if (import.meta.main) {
  const { problems, files } = await checkHouse(new URL("../", import.meta.url));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error(`error: ${problems.length} breaches of the house rules in ${files} files`);
    Deno.exit(1);
  }
  console.log(`imports: ${files} files, each on its floor`);
}
