/** What calls a person who looks elsewhere: the bell, and the title of the window. Nothing of it is anybody's words. */

/** For what the bell rings. */
export const BELLS = ["off", "mentions", "all"] as const;
export type Bell = (typeof BELLS)[number];

/** Whether the bell rings for a message: `mentions` wants the name of its reader in it, as a word. */
export function rings(bell: Bell, text: string, ourName: string): boolean {
  if (bell !== "mentions") return bell === "all";
  const words = text.normalize("NFKC").toLowerCase().split(/[^\p{L}\p{M}\p{N}_-]+/u);
  return words.includes(ourName);
}

/**
 * The bytes after which the title of the window says how many messages wait (OSC 2), where it said `before`; with none
 * it is what it was before us, on terminals that remember that, and elsewhere our name alone.
 */
export function titleBytes(before: number, now: number): string {
  if (before === now) return "";
  if (now === 0) return "\x1b]2;cifra\x07\x1b[23;2t";
  return `${before === 0 ? "\x1b[22;2t" : ""}\x1b]2;(${now}) cifra\x07`;
}
