/** How wide what people look at is. */

/**
 * How many columns an output has, that of results unless another is named: 0 when it is a terminal that does not
 * say, undefined when it is none.
 */
export function columnsOf(
  output: Pick<typeof Deno.stdout, "isTerminal"> = Deno.stdout,
): number | undefined {
  return output.isTerminal() ? Deno.consoleSize().columns : undefined;
}
