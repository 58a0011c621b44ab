/** What every command does that comes to a server as somebody: remembers where that was, and knows people by their keys. */
import { Contacts } from "../client/contacts.ts";
import type { Registrar } from "../client/name_claim.ts";
import type { Profile } from "../client/profile.ts";
import { type ServerAddress, serverSubject } from "../client/server_address.ts";
import type { Bytes } from "../bytes.ts";
import { parseFingerprint, shortFingerprint } from "../crypto/identity.ts";
import { systemEnvironment } from "../net/environment.ts";
import { rememberVisit } from "./last_time.ts";
import type { ServerAccess } from "./server_access.ts";
import { connectCommand, type ConnectingOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";

/** Registers, and keeps where that was for the next time. */
export function remembering(
  profile: Profile,
  access: ServerAccess,
  address: ServerAddress,
  onLetIn: () => void,
): Registrar {
  const { date } = systemEnvironment.time;
  const register = profile.registrar(date);
  let isKept = false;
  return async (place, job) => {
    const answer = await register(place, job);
    onLetIn();
    if (isKept) return answer;
    isKept = true;
    const visit = { server: serverSubject(address), time: date() };
    // A disk that is full is told of where it matters.
    await rememberVisit(profile.folder, visit).catch(() => {});
    await access.registered(address).catch(() => {});
    return answer;
  };
}

/** Whom a profile knows; whoever is new is told of, with what there is to compare. */
export function contactsOf(
  { suite, identity, peers }: Profile,
  options: ConnectingOptions & {
    readonly acceptNew: boolean;
    readonly peerKey: Bytes | undefined;
  },
  terminal: Terminal,
  { canType }: { readonly canType: boolean },
): Contacts {
  return new Contacts({
    suite,
    identity,
    pins: peers,
    date: systemEnvironment.time.date,
    acceptNew: options.acceptNew,
    peerKey: options.peerKey,
    howToAccept: (name, key) => connectCommand(options, ["--to", name, "--peer-key", key]),
    onPinned: (name, fingerprint) =>
      terminal.say(
        `first contact with ${name}, known from now on by the key ` +
          `${shortFingerprint(parseFingerprint(fingerprint))}; compare words with ` +
          (canType ? "/verify" : `cifra keys verify ${name}`),
        { event: "peer-pinned", peer: name, fingerprint },
      ),
  });
}

/** Whether somebody was known before now, and not by the first contact of this run. */
export function knownBefore({ peers, suite }: Profile): (name: string) => boolean {
  const began = systemEnvironment.time.date();
  return (name) => {
    const known = peers.knownAs(name, suite.name);
    return known !== undefined && Date.parse(known.firstSeen) < began;
  };
}
