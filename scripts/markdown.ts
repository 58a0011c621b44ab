/** Parts of the pages that are made from tables. */

/** From where a page is. */
export function madeFrom(source: string): string {
  return `Made from \`${source}\` by \`deno task tables\`; a test tells when it is stale.`;
}

/** A table without the columns that are empty in every row. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const kept = heads.map((_, column) => rows.some((row) => row[column] !== ""));
  const line = (cells: readonly string[]) =>
    `| ${cells.filter((_, column) => kept[column]).join(" | ").replaceAll("\n", " ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

/** As it is typed. */
export function code(text: string): string {
  return `\`${text}\``;
}
