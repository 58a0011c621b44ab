/** What the platform threw, in words: it names its errors by a class, a code or a sentence. */

/** Whether a listener, or a connection to the same place, still has the port. */
export function isPortBusy(error: unknown): boolean {
  return error instanceof Deno.errors.AddrInUse ||
    /EADDRINUSE|EADDRNOTAVAIL|EINVAL/.test(String(error));
}

/** Whether this machine does not have the address, or no addresses of its kind. */
export function isNotOurAddress(error: unknown): boolean {
  return error instanceof Deno.errors.AddrNotAvailable || /os error 97\b/.test(String(error));
}

/** Whether another user, or the permissions of this program, keep us out. */
export function isNotAllowed(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable;
}

/** Why a dial failed, in a few words. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.ConnectionRefused) return "nobody listens there";
  const message = error instanceof Error ? error.message : String(error);
  if (/ECONNREFUSED/.test(message)) return "nobody listens there";
  if (isPortBusy(error)) return "the port to dial from is in use";
  if (/lookup|resolve|ENOTFOUND/i.test(message)) return "its name does not resolve";
  if (/unreachable|EHOSTUNREACH|ENETUNREACH/i.test(message)) return "no route to it";
  return message;
}
