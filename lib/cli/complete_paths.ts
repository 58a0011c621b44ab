/** What the tab key makes of a path that is typed after `/send`. */
import { absolutePath, isWithin } from "./here.ts";

const COMMAND = "/send ";
/** Of a folder with more in it the rest is not looked at: a key is answered at once. */
const NAMES_LOOKED_AT = 2000;
/** What would be read otherwise than it stands: quotes and the like, and what does not stand in one line. */
// deno-lint-ignore no-control-regex
const ODD = /['"\\\x00-\x1f\x7f]/;

/** Lines that begin with `text` and name what there is in `folder`, or below; none without a folder. */
export function completePaths(text: string, folder: string | undefined): readonly string[] {
  if (folder === undefined || !text.startsWith(COMMAND)) return [];
  const typed = text.slice(COMMAND.length);
  if (ODD.test(typed)) return [];
  const above = typed.slice(0, typed.lastIndexOf("/") + 1);
  const begun = typed.slice(above.length);
  const at = absolutePath(above === "" ? "." : above);
  // Outside of it nothing can be sent: the way there is all that can be known.
  if (!isWithin(at, folder)) return folder.startsWith(typed) ? [`${COMMAND}${folder}/`] : [];
  return namesIn(at, begun).map((name) => `${COMMAND}${above}${name}`);
}

/** Names in a folder that begin so, those of folders with a slash, in order; hidden ones only when they are asked for. */
function namesIn(folder: string, begun: string): readonly string[] {
  const names: string[] = [];
  let count = 0;
  try {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      if (++count > NAMES_LOOKED_AT) break;
      const isShown = name.startsWith(begun) && (begun !== "" || !name.startsWith("."));
      if (isShown && !ODD.test(name)) names.push(isDirectory ? `${name}/` : name);
    }
  } catch {
    // What cannot be looked at has no names.
  }
  return names.sort();
}
