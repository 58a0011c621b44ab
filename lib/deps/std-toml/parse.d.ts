/** Reads TOML (the same as `@std/toml/parse`). Throws SyntaxError, whose message names the line. */
export function parse(text: string): Record<string, unknown>;
