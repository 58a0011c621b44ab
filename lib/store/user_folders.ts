/** Where a user's things lie when nobody says otherwise, by the convention of each platform. */
import { variable } from "./variables.ts";

/** A folder, by the variable of the environment that it begins with. */
export interface UserFolder {
  readonly variable: string;
  /** The path below. */
  readonly below: string;
}

type Platform = "windows" | "darwin" | "other";
/** The first whose variable is set is the one. */
type ByPlatform = Readonly<Record<Platform, readonly UserFolder[]>>;

const APPLICATION_SUPPORT = { variable: "HOME", below: "Library/Application Support/cifra" };

/** Keys, messages, and what a server keeps. */
export const STATE_FOLDERS = {
  other: [
    { variable: "HOME", below: ".local/state/cifra" },
    { variable: "XDG_STATE_HOME", below: "cifra" },
  ],
  darwin: [APPLICATION_SUPPORT],
  windows: [{ variable: "LOCALAPPDATA", below: "cifra" }],
} as const satisfies ByPlatform;

/** The settings that a person writes. */
export const CONFIG_FOLDERS = {
  other: [
    { variable: "HOME", below: ".config/cifra" },
    { variable: "XDG_CONFIG_HOME", below: "cifra" },
  ],
  darwin: [APPLICATION_SUPPORT],
  windows: [{ variable: "APPDATA", below: "cifra" }],
} as const satisfies ByPlatform;

/** The folder of this user, or undefined when the environment names none. A relative path does not count. */
export function userFolder(
  folders: ByPlatform,
  os: typeof Deno.build.os,
  environment: (name: string) => string | undefined,
): string | undefined {
  const platform = os === "windows" || os === "darwin" ? os : "other";
  // The specific before HOME.
  for (const { variable, below } of folders[platform].toReversed()) {
    const base = environment(variable);
    if (base !== undefined && isAbsolute(base)) return `${base.replace(/[/\\]+$/, "")}/${below}`;
  }
  return undefined;
}

/** Where the settings of this user lie on this machine; undefined when the environment names no home. */
export function configFolder(): string | undefined {
  return userFolder(CONFIG_FOLDERS, Deno.build.os, variable);
}

/** Every folder that may be that of the user, on whatever platform, each once. */
export function allFolders(folders: ByPlatform): readonly UserFolder[] {
  const all = [...folders.other, ...folders.darwin, ...folders.windows];
  return [...new Map(all.map((folder) => [`${folder.variable}/${folder.below}`, folder])).values()];
}

/** With a drive, or at the root of what there is. */
function isAbsolute(path: string): boolean {
  return /^([/\\]|[A-Za-z]:[/\\])/.test(path);
}
