/** Who one was and at which server, the last time: so that it need not be said again. */
import { parseServerAddress } from "../client/server_address.ts";
import { findPrivate, type PrivateFolder } from "../store/private_files.ts";
import { profilePath, PROFILES_FOLDER } from "../store/state_folder.ts";
import { isName } from "../wire/names.ts";

/** In a profile's folder: one line, `SERVER TIME`. */
const FILE = "last-visit";

/** A visit to a server. */
export interface Visit {
  /** As `serverSubject` has it. */
  readonly server: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Keeps where a profile was let in. Throws `local`. */
export async function rememberVisit(profile: PrivateFolder, visit: Visit): Promise<void> {
  await profile.write(FILE, `${visit.server} ${new Date(visit.time).toISOString()}\n`);
}

/** The last visit of `name`; undefined when there was none, or what is kept of it cannot be used. */
export function lastVisit(state: string, name: string): Visit | undefined {
  const path = `${profilePath(state, name)}/${FILE}`;
  try {
    if (!findPrivate(path, "isFile")) return undefined;
    const [, server, date] = /^(\S+) (\S+)\n$/.exec(Deno.readTextFileSync(path)) ?? [];
    const time = Date.parse(date ?? "");
    if (server === undefined || Number.isNaN(time)) return undefined;
    parseServerAddress(server);
    return { server, time };
  } catch {
    // What is kept for comfort alone must not stand in the way.
    return undefined;
  }
}

/** Who was last let in by a server, of all profiles in the state folder but `other`; undefined when nobody was. */
export function lastName(state: string, other?: string): string | undefined {
  let last: { readonly name: string; readonly time: number } | undefined;
  for (const name of profilesIn(state)) {
    if (name === other) continue;
    const visit = lastVisit(state, name);
    if (visit && (!last || visit.time > last.time)) last = { name, time: visit.time };
  }
  return last?.name;
}

/** The names of all profiles in the state folder; none where it cannot be read. */
export function profilesIn(state: string): readonly string[] {
  try {
    const entries = [...Deno.readDirSync(`${state}/${PROFILES_FOLDER}`)];
    return entries.map(({ name }) => name).filter(isName).sort();
  } catch {
    return [];
  }
}
