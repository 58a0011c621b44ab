/** Where state lives, and what is where in it. */
import { CifraError } from "../errors.ts";
import { STATE_FOLDERS, userFolder } from "./user_folders.ts";
import { variable } from "./variables.ts";

/** Where a server keeps its things, below the state folder. */
export const SERVER_FOLDER = "server";
/** Where people's profiles lie, below the state folder, each in a folder of its name. */
export const PROFILES_FOLDER = "profiles";

/** Where the profile of `name` lies in the state folder `state`. */
export function profilePath(state: string, name: string): string {
  return `${state}/${PROFILES_FOLDER}/${name}`;
}

/** The default state folder of this user; throws `local` when the environment names no home. */
export function defaultStateFolder(
  os: typeof Deno.build.os,
  environment: (name: string) => string | undefined,
): string {
  const folder = userFolder(STATE_FOLDERS, os, environment);
  if (folder !== undefined) return folder;
  throw new CifraError("local", "Cannot find the home folder: the environment does not name it", {
    hint: "choose a folder with --state DIR",
  });
}

/** The state folder that was asked for, or the default one of this user and machine. Throws `local`. */
export function stateFolder(given: string | undefined): string {
  return given ?? defaultStateFolder(Deno.build.os, variable);
}
