/** The first words of a run: who we are. */
import type { Profile } from "../client/profile.ts";
import { formatFingerprint, shortFingerprint } from "../crypto/identity.ts";
import type { Terminal } from "./terminal.ts";

/** Says the name, the key and what is wrong with the suite. */
export function greet(profile: Profile, terminal: Terminal): void {
  const { name, suite: { name: suite }, isNew } = profile;
  const { fingerprint } = profile.identity;
  if (suite === "classic") {
    terminal.say(
      "the suite classic is for study: its encryption can be broken with known means",
      { event: "warning", suite },
    );
  }
  const made = isNew ? ", made just now" : "";
  terminal.say(`${name}, key ${shortFingerprint(fingerprint)}${made}`, {
    event: "profile",
    name,
    suite,
    fingerprint: formatFingerprint(fingerprint),
    isNew,
  });
}
