/** Variables of the environment: the one place that reads them. */
import { CifraError } from "../errors.ts";

/**
 * A variable; undefined where there is none, or Deno does not allow to look. Throws `usage` when it is no text, as
 * under a system that takes any bytes.
 */
export function variable(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    if (!(error instanceof Deno.errors.InvalidData)) throw error;
    throw new CifraError("usage", `Cannot use the variable ${name}: must be text in UTF-8`, {
      cause: error,
      hint: `set it anew, or take it back: unset ${name}`,
    });
  }
}

/**
 * The same of what only says how things look: what is no text is there, and says nothing. Nobody is asked to let us
 * look.
 */
export function cosmeticVariable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  if (state !== "granted") return undefined;
  try {
    return variable(name);
  } catch {
    return "\ufffd";
  }
}
