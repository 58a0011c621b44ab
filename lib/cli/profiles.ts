/** Which profile a command is about. */
import { CifraError } from "../errors.ts";
import { platformFailure } from "../platform_errors.ts";
import { PROFILES_FOLDER } from "../store/state_folder.ts";
import { compareNames, isName } from "../wire/names.ts";

/**
 * The profile called `name` in the state folder `state`, or the only one there is; `command` is for the hint.
 * Throws `local` and `usage`.
 */
export async function chooseProfile(
  state: string,
  name: string | undefined,
  command: string,
): Promise<string> {
  const folder = `${state}/${PROFILES_FOLDER}`;
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isDirectory && isName(entry.name)) names.push(entry.name);
    }
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) {
      throw platformFailure(`Cannot read the folder ${folder}`, cause);
    }
  }
  const known = names.length === 0
    ? "there are none"
    : `there are ${names.sort(compareNames).join(", ")}`;
  if (name !== undefined) {
    if (names.includes(name)) return name;
    throw new CifraError("local", `There is no profile ${name} in ${folder}; ${known}`, {
      hint: "choose another one with --name, or another folder with --state",
    });
  }
  if (names.length === 1) return names[0]!;
  if (names.length === 0) {
    throw new CifraError("local", `There is no profile in ${folder}`, {
      hint: "choose another folder with --state, or make a profile with cifra connect",
    });
  }
  throw new CifraError("usage", `There are several profiles: ${names.join(", ")}`, {
    hint: `say which: cifra ${command} --name ${names[0]}`,
  });
}
