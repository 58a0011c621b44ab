/** Where state lives when nobody says otherwise, by the convention of each platform. */
import { CifraError } from "../errors.ts";

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
  const home = environment("HOME");
  const xdg = environment("XDG_STATE_HOME");
  const local = environment("LOCALAPPDATA");
  if (os === "windows" && local) return `${local}/cifra`;
  if (os === "darwin" && home) return `${home}/Library/Application Support/cifra`;
  if (os !== "windows" && os !== "darwin") {
    if (xdg) return `${xdg}/cifra`;
    if (home) return `${home}/.local/state/cifra`;
  }
  throw new CifraError("local", "Cannot find the home folder: the environment does not name it", {
    hint: "choose a folder with --state DIR",
  });
}

/** The state folder that was asked for, or the default one of this user and machine. Throws `local`. */
export function stateFolder(given: string | undefined): string {
  return given ?? defaultStateFolder(Deno.build.os, (name) => Deno.env.get(name));
}
