/** What the platform threw, in words. It names its errors by classes, by codes or in a sentence. */

/** What the system calls a port that a connection to the same place, or a listener, still has. */
export function isPortBusy(error: unknown): boolean {
  return /EADDRINUSE|EADDRNOTAVAIL|EINVAL/.test(String(error));
}

/** Why a connection did not come about, in a few words to stand behind a colon. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.ConnectionRefused) return "nobody listens there";
  const message = error instanceof Error ? error.message : String(error);
  if (/ECONNREFUSED/.test(message)) return "nobody listens there";
  if (isPortBusy(error)) return "the port to dial from is in use";
  if (/lookup|resolve|ENOTFOUND/i.test(message)) return "its name does not resolve";
  if (/unreachable|EHOSTUNREACH|ENETUNREACH/i.test(message)) return "no route to it";
  return message;
}
