/** What the files of a folder have in them that can be read, as `strings` would print it. */

/** What counts as a word at least. */
const SHORTEST = 4;

/** All runs of printable signs in the files of a folder, by the names of the files. */
export async function stringsIn(folder: string): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile) continue;
    const text = new TextDecoder("latin1").decode(await Deno.readFile(`${folder}/${name}`));
    found.set(name, text.match(new RegExp(`[ -~]{${SHORTEST},}`, "g")) ?? []);
  }
  return found;
}

/** Which of these words stand in a file of the folder, with the names of the files. */
export async function wordsIn(folder: string, words: readonly string[]): Promise<string[]> {
  const files = [...await stringsIn(folder)];
  return files.flatMap(([name, strings]) =>
    words.filter((word) => strings.some((each) => each.includes(word)))
      .map((word) => `${name}: ${word}`)
  );
}
