/** What checks the values of options and words, each by a rule of its own. */
import { encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { DISPLAY_NAME_LIMIT } from "../limits.ts";
import { addressScope, canonicalAddress } from "../wire/address.ts";
import { isLine, type Line } from "../wire/line.ts";
import { requireName, SERVER_NAME } from "../wire/names.ts";

/** A name that a person may have. Throws `bad_name`. */
export function readName(text: string): string {
  requireName(text);
  return text;
}

/** The name of a person, or of the server itself. Throws `bad_name`. */
export function readPeerName(text: string): string {
  return text === SERVER_NAME ? text : readName(text);
}

/** The title of a server, as clients understand it: 1 to `DISPLAY_NAME_LIMIT` bytes. Throws `usage`. */
export function readTitle(text: string): Line {
  if (text === "" || encodeUtf8(text).length > DISPLAY_NAME_LIMIT) {
    throw new CifraError("usage", `--title must be 1 to ${DISPLAY_NAME_LIMIT} bytes`);
  }
  if (isLine(text)) return text;
  throw new CifraError("usage", "--title must be one line of characters that can be seen");
}

/** An IP address, in canonical form. Throws `usage`. */
export function readHost(text: string): string {
  const host = canonicalAddress(text);
  if (host) return host;
  throw new CifraError("usage", `--host must be an IP address, got "${text}"`);
}

/** A host as an invite line names it: an IP address, in canonical form, or a name. Throws `usage`. */
export function readInviteHost(text: string): string {
  const host = canonicalAddress(text);
  if (host) return host;
  if (/^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/i.test(text)) return text.toLowerCase();
  throw new CifraError("usage", `--invite-host must be a name or an IP address, got "${text}"`, {
    hint: "the port is that of --port",
  });
}

/** An address of a private network, in canonical form. Throws `usage`. */
export function readAdvertised(text: string): string {
  const address = canonicalAddress(text);
  if (address && addressScope(address) === "private") return address;
  throw new CifraError(
    "usage",
    `--advertise must be an address of a private network, got "${text}"`,
  );
}

/** A whole number of at most nine digits, as it stands. Throws `usage`. */
export function readCount(text: string): string {
  if (/^\d{1,9}$/.test(text)) return text;
  throw new CifraError("usage", `Days and uses are whole numbers, got "${text}"`);
}
