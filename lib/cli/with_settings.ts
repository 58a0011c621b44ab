/** From what was typed to what is meant: settings, what was used the last time, and what a person is asked. */
import { stateFolder } from "../store/state_folder.ts";
import { variable } from "../store/variables.ts";
import { withoutCapitals } from "../wire/names.ts";
import { type Command, optionsOf } from "./command.ts";
import { lastName, lastVisit, profilesIn } from "./last_time.ts";
import { askNames } from "./newcomer.ts";
import { complete, type Completed, type Found, idOf, type Layer } from "./settings.ts";
import {
  environmentLayer,
  fileLayer,
  findSettings,
  type SettingsFile,
} from "./settings_sources.ts";
import { small, withSmallNames } from "./small_names.ts";
import type { Terminal } from "./terminal.ts";

/**
 * The arguments of a command with everything that they leave out. Throws what the settings are refused with, and
 * what is wrong with an answer.
 */
export async function withSettings(
  command: Command,
  args: readonly string[],
  terminal: Terminal,
): Promise<readonly string[]> {
  if ((command.permissions?.files ?? "none") === "none") return args;
  const { layers } = await readSettings(command, args);
  const asWritten = complete(command, args, layers);
  const lower = (name: string) => small(name, terminal);
  const completed = { ...asWritten, args: withSmallNames(command, asWritten.args, lower) };
  // Before anything is drawn.
  if (completed.args.includes("--plain")) terminal.plain = true;
  tellLastTime(command, completed, terminal);
  return await withAnswers(command, completed, terminal);
}

/** The layers of the settings, the first before the others, and the file that one of them is of. */
export async function readSettings(
  command: Command,
  args: readonly string[],
): Promise<{ readonly layers: readonly Layer[]; readonly file: SettingsFile | undefined }> {
  const file = findSettings();
  const written = [
    environmentLayer(variable),
    ...(file?.text === undefined ? [] : [await fileLayer(file.path, file.text)]),
  ];
  const known = withSmallNames(command, complete(command, args, written).args, withoutCapitals);
  // A server is nobody and goes nowhere.
  const remembers = "name" in optionsOf(command) || command.name === "config";
  return { layers: [...written, ...(remembers ? [rememberedLayer(known)] : [])], file };
}

/** What was used the last time: by whom, and at which server. */
function rememberedLayer(args: readonly string[]): Layer {
  const layer = new Map<string, Found>();
  const add = (name: string, text: string) =>
    layer.set(idOf("connect", name), { texts: [text], source: { from: "remembered" } });
  const state = folderOf(args);
  if (state === undefined) return layer;
  // Nobody talks to themselves: whoever is asked for is somebody else here.
  const last = lastName(state, valueOf(args, "to"));
  if (last !== undefined) add("name", last);
  const name = valueOf(args, "name") ?? last;
  const visit = name === undefined ? undefined : lastVisit(state, name);
  if (visit) add("server", visit.server);
  return layer;
}

/** The state folder; undefined where none can be told, which is for the command to say. */
function folderOf(args: readonly string[]): string | undefined {
  try {
    return stateFolder(valueOf(args, "state"));
  } catch {
    return undefined;
  }
}

/** The value that an option has among arguments. */
function valueOf(args: readonly string[], name: string): string | undefined {
  const at = args.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  if (at === -1) return undefined;
  return args[at] === `--${name}` ? args[at + 1] : args[at]!.slice(name.length + 3);
}

/** Whoever relies on the last time is told what that was. */
function tellLastTime(command: Command, { args, taken }: Completed, terminal: Terminal): void {
  const isRemembered = (name: string) => taken.get(name)?.source.from === "remembered";
  const [name, server] = ["name", "server"].map((option) =>
    isRemembered(option) ? valueOf(args, option) : undefined
  );
  if (name === undefined && server === undefined) return;
  const goesThere = "server" in command.options || taken.has("server");
  const state = folderOf(args);
  // Who has one name and looks at what is kept under it knows that.
  if (!goesThere && (state === undefined || profilesIn(state).length < 2)) return;
  const who = name === undefined ? "the server" : name + (server === undefined ? "" : " at");
  const others = [
    ...(name === undefined ? [] : ["--name"]),
    ...(server === undefined ? [] : ["--server"]),
  ];
  const text = `as last time: ${[who, server].filter((part) => part !== undefined).join(" ")}; ` +
    `${others.join(" and ")} ${others.length > 1 ? "say" : "says"} otherwise`;
  // What only looks prints what it finds and nothing else.
  const facts = { ...(name !== undefined && { name }), ...(server !== undefined && { server }) };
  terminal.say(text, command.name === "connect" ? { event: "as-last-time", ...facts } : undefined);
}

/** On a terminal `connect` asks who is there; whoever names nothing at all is also asked for whom. */
async function withAnswers(
  command: Command,
  { args, typed, taken }: Completed,
  terminal: Terminal,
): Promise<readonly string[]> {
  const knowsName = typed.has("name") || taken.has("name");
  if (command.name !== "connect" || knowsName || !terminal.interactive) return args;
  const isForLobby = ["to", "hidden", "accept"].some((option) => typed.has(option));
  return [...args, ...await askNames(terminal, !isForLobby)];
}
