/**
 * What a command gives up before the first byte from outside. What is given up never comes back, whoever takes
 * the program over. The tasks ask for little; the executable has the same permissions for every command.
 */
import { requireOwnFolder } from "../files/staging_folder.ts";
import { requireKeptFolder } from "../store/private_files.ts";
import { sealLimits } from "../store/sqlite_file.ts";
import { stateFolder } from "../store/state_folder.ts";
import { configFolder } from "../store/user_folders.ts";
import { accidents } from "./allowances.ts";
import { parse } from "./args.ts";
import { absolutePath } from "./here.ts";
import { type Action, type Command, optionsOf } from "./command.ts";

/** Deno covers imports from a URL by a permission that its types do not know. */
type Kind = Deno.PermissionName | "import";

const ALL: readonly Kind[] = ["import", "net", "read", "write", "env", "sys", "run", "ffi"];

/** Gives up everything: what is open stays open. At once, so that nothing comes in between. */
export function giveUpAll(): void {
  for (const name of ALL) giveUp({ name });
  sealLimits();
}

/** Gives up the network: what is connected stays so. */
export function giveUpNetwork(): void {
  giveUp({ name: "net" });
}

/**
 * Gives up what `command` with these arguments does not need. Throws like `parse`, `stateFolder` and
 * `requireKeptFolder`, and like `requireOwnFolder`.
 */
export function confine(command: Command, args: readonly string[]): void {
  const { permissions } = command;
  const parsed = parse(command, args) as unknown as CommandLine;
  const action = command.actions?.rows.find(({ name }) => name === parsed.action);
  const unneeded = action?.unneeded ?? [];
  const needs = new Set<Kind>();
  if (permissions?.net && !unneeded.includes("net")) needs.add("net");
  if (permissions && permissions.sys.length > 0) needs.add("sys");
  if (permissions && permissions.env.length > 0) needs.add("env");
  if (permissions && permissions.files !== "none") needs.add("read");
  if (permissions?.files === "state" || permissions?.files === "all") needs.add("write");
  if (permissions?.runs && isToRun(command, parsed)) needs.add("run");
  // The folder is asked for while the environment may be.
  const paths = needs.has("read") ? pathsOf(command, parsed, action) : undefined;
  for (const name of ALL) {
    if (!needs.has(name)) giveUp({ name });
  }
  if (paths) keepOnly("read", paths.read);
  if (paths && needs.has("write")) keepOnly("write", paths.write);
  const interfaces = "networkInterfaces";
  if (!permissions?.sys.includes(interfaces) || unneeded.includes(interfaces)) {
    giveUp({ name: "sys", kind: interfaces });
  }
}

interface Paths {
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/** What `parse` makes of the arguments of any command. */
interface CommandLine {
  readonly action: string | undefined;
  readonly words: readonly string[];
  readonly given: Readonly<Record<string, unknown>>;
}

/** Whether the command line says what is to be started. */
function isToRun(command: Command, { given }: CommandLine): boolean {
  return Object.entries(optionsOf(command)).some(([name, option]) =>
    option.kind === "text" && option.runs === true && given[name] !== undefined
  );
}

/** The state folder, and what the command line names; throws where others could replace what is to be written. */
function pathsOf(
  command: Command,
  { words, given }: CommandLine,
  action: Action | undefined,
): Paths {
  const state = stateFolder(given.state as string | undefined);
  const read = [state], write = [state];
  const config = command.permissions?.files === "looked at" ? configFolder() : undefined;
  if (config !== undefined) read.push(config);
  for (const [name, option] of Object.entries(optionsOf(command))) {
    const path = given[name];
    if (option.kind === "flag" || !option.access || typeof path !== "string") continue;
    const { permissions, files = 1, receives } = option.access;
    // Afterwards nobody can look at the folder, or at those above it.
    if (receives) requireOwnFolder(path);
    if (option.access.path === "file" && permissions.includes("write")) requireKeptFolder(path);
    const all = Array.from({ length: files }, (_, i) => i === 0 ? path : `${path}.${i}`);
    if (permissions.includes("read")) read.push(...all);
    if (permissions.includes("write")) write.push(...all);
  }
  const named = (action ?? command).words ?? [];
  for (const [i, path] of words.entries()) {
    const word = named[Math.min(i, named.length - 1)];
    if (!word?.isFile || word.isRead && path === "-") continue;
    read.push(word.isRead ? absolutePath(path) : path);
    if (!word.isRead) write.push(path);
  }
  return { read, write };
}

/**
 * Gives up the whole disk but for `paths`. A path that is asked for stands on its own afterwards, and to revoke
 * another one takes away what covers that: a permission for `/`, which the executable has, and not one without
 * a path, of which Deno gives nothing back but everything.
 */
function keepOnly(name: "read" | "write", paths: readonly string[]): void {
  for (const path of paths) Deno.permissions.requestSync({ name, path });
  // Other commands have read the settings before.
  for (const path of ["/", ...accidents(), configFolder()]) {
    // Below a path that is kept it is a part of that.
    const isKept = path !== undefined && paths.some((kept) => `${path}/`.startsWith(`${kept}/`));
    if (path !== undefined && !isKept) giveUp({ name, path });
  }
}

function giveUp(
  permission: { readonly name: Kind; readonly path?: string; readonly kind?: string },
) {
  Deno.permissions.revokeSync(permission as Deno.PermissionDescriptor);
}
