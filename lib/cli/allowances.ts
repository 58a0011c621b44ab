/** What Deno is told to allow: for the tasks in deno.json, for the executable, and what of it is given up again. */
import { NEVER_DIALLED } from "../net/never_dialled.ts";
import {
  allFolders,
  CONFIG_FOLDERS,
  STATE_FOLDERS,
  type UserFolder,
} from "../store/user_folders.ts";
import type { Permissions } from "./command.ts";
import { SHELL, TASK_MARK } from "./suspend.ts";

const STATE = allFolders(STATE_FOLDERS);
const CONFIG = allFolders(CONFIG_FOLDERS);

/** The variables that any command reads; `*` stands for the rest of a name. */
export const VARIABLES: readonly string[] = [
  ...new Set([...STATE, ...CONFIG].map(({ variable }) => variable)),
  "NO_COLOR",
  "CIFRA_*",
  "TERM",
];
/** The same of one that `deno task` has started. */
export const VARIABLES_OF_TASKS: readonly string[] = [...VARIABLES, TASK_MARK];

/** Of somebody who dials where others say. */
export const DIALS = { net: true, denyNet: NEVER_DIALLED } as const;
/** Of a person: whose files they are, and what is set for them. */
export const OF_A_PERSON = { sys: ["uid"], env: VARIABLES_OF_TASKS } as const;
/** Of a person who meets another one, and whose files may come from anywhere and go there. */
export const OF_A_MEETING = {
  ...DIALS,
  ...OF_A_PERSON,
  // A machine that has moved to another network is noticed by its addresses.
  sys: ["uid", "networkInterfaces"],
  files: "all",
  suspends: true,
} as const;

/**
 * Of a command through which streams go: what they leave behind is not cleared up before there is this much of it, in
 * MiB. V8 begins with less, and would clear up for each few megabytes that have come.
 */
export const STREAM_HEAP = "--initial-old-space-size=64";

/** The flags of `deno run` for a command: what it needs and no more. */
export function flagsFor(
  { net, denyNet = [], sys, env, files, suspends, runs, flags = [] }: Permissions,
): string[] {
  const read = files === "all" ? "/" : foldersOf([...STATE, ...CONFIG]);
  const write = files === "all" ? "/" : foldersOf(STATE);
  return [
    ...flags,
    ...(net ? ["--allow-net"] : []),
    ...(denyNet.length > 0 ? [`--deny-net="${denyNet.join(",")}"`] : []),
    ...(sys.length > 0 ? [`--allow-sys=${sys.join(",")}`] : []),
    ...(env.length > 0 ? [`--allow-env="${env.join(",")}"`] : []),
    ...(files === "none" ? [] : [`--allow-read=${read}`]),
    ...(files === "none" || files === "looked at" ? [] : [`--allow-write=${write}`]),
    ...(suspends || runs ? [`--allow-run=${SHELL}`] : []),
  ];
}

/**
 * What the tasks allow beside the folders of this user, when the environment lacks what a path of theirs begins
 * with.
 */
export function accidents(): readonly string[] {
  return [...new Set([...STATE, ...CONFIG].map(({ below }) => `/${below}`))];
}

/** For a shell, which fills in the variables. */
function foldersOf(folders: readonly UserFolder[]): string {
  const paths = new Set(folders.map(({ variable, below }) => `$${variable}/${below}`));
  return `"${[...paths].join(",")}"`;
}
