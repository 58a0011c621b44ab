/** Guesses which word a mistyped one was meant to be. */

/** Nobody mistypes a word that long. */
const LONGEST = 64;

/** The word of `known` that `typed` may be meant to be: its beginning, or a third of it wrong at most. */
export function closest(typed: string, known: readonly string[]): string | undefined {
  if (typed.length < 2 || typed.length > LONGEST) return undefined;
  const ranked = known.map((word) => ({ word, distance: distanceOf(typed, word) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked.find(({ word, distance }) =>
    distance <= Math.max(1, Math.floor(Math.max(word.length, typed.length) / 3))
  );
  return best?.word ?? known.find((word) => typed.length > 2 && word.startsWith(typed));
}

/** How many letters are missing, too many, wrong, or swapped with their neighbour. */
function distanceOf(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= from.length; row++) {
    const cells = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      let least = Math.min(
        rows[row - 1]![column]! + 1,
        cells[column - 1]! + 1,
        rows[row - 1]![column - 1]! + (isSame ? 0 : 1),
      );
      const isSwapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && isSwapped) {
        least = Math.min(least, rows[row - 2]![column - 2]! + 1);
      }
      cells.push(least);
    }
    rows.push(cells);
  }
  return rows[from.length]![to.length]!;
}
