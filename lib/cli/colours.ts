/** Who is who, in colour. Colours are put around names that were made harmless already: none comes from others. */
/** As SGR parameters: those of the 16 colours that can be read on light and on dark. */
export const OUR_COLOUR = "32";
const THEIR_COLOURS = ["36", "35", "34", "33", "31"];
/** Of what stands beside words. */
export const FAINT = "2";

/** When there are colours. */
export type ColourChoice = "auto" | "always" | "never";

/** Whether there are: `auto` on a terminal that has them, unless NO_COLOR is set to something (no-color.org). */
export function wantsColours(
  choice: ColourChoice,
  place: {
    readonly isTerminal: boolean;
    readonly isDumb: boolean;
    readonly noColor: string | undefined;
  },
): boolean {
  if (choice !== "auto") return choice === "always";
  return place.isTerminal && !place.isDumb && !place.noColor;
}

/** The colour of somebody: the same each time, of a few. */
export function colourOf(name: string): string {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)!) % 0x1000000;
  return THEIR_COLOURS[sum % THEIR_COLOURS.length]!;
}

/** `text` in a colour, which ends with it. */
export function painted(text: string, colour: string): string {
  return text === "" ? "" : `\x1b[${colour}m${text}\x1b[0m`;
}
