/** What `cifra send`, `inbox` and `receive` have in common: a profile, its server, and a courier between them. */
import type { Bytes } from "../bytes.ts";
import type { Contacts } from "../client/contacts.ts";
import { Courier, type CourierOptions } from "../client/courier.ts";
import type { MessengerOptions } from "../client/messenger.ts";
import type { Profile } from "../client/profile.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import { systemEnvironment } from "../net/environment.ts";
import type { MessageStore } from "../store/message_store.ts";
import { greet } from "./greeting.ts";
import { Ignored } from "./ignored.ts";
import { describeLost, lostJson } from "./message_words.ts";
import type { CommandFrame } from "./run.ts";
import { ServerAccess } from "./server_access.ts";
import type { ServerOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";
import { contactsOf, remembering } from "./visit.ts";
import { sayWaiting } from "./waiting.ts";

/** How somebody wants their mail. */
export interface MailRunOptions extends ServerOptions {
  readonly peerKey: Bytes | undefined;
  readonly keepHistory: boolean;
  readonly tellsRead: boolean;
}

/** A profile that is open. */
export interface MailPlace {
  readonly profile: Profile;
  readonly contacts: Contacts;
  readonly store: MessageStore;
  /** What everybody is who comes to the server as this profile. */
  readonly person: Pick<
    MessengerOptions,
    | "environment"
    | "ticker"
    | "name"
    | "suite"
    | "identity"
    | "ephemeralKey"
    | "store"
    | "contacts"
    | "openServer"
    | "register"
    | "giveUpAfter"
    | "tellsRead"
    | "kept"
  >;
  /** Whom this profile ignores. */
  readonly ignored: ReadonlySet<string>;
  /** Somebody who leaves or fetches mail for this profile; `staying` rejects when it cannot go on. */
  readonly employ: (
    hooks: Pick<CourierOptions, "isWelcome" | "onEvent" | "onDelivery">,
  ) => { readonly courier: Courier; readonly staying: Promise<void> };
}

/** Throws `usage` in a suite that has no mailbox. */
export function requireMailbox({ suite }: Pick<ServerOptions, "suite">): void {
  if (suite === "modern") return;
  throw new CifraError("usage", "The mailbox needs the suite modern", {
    hint: `the keys of ${suite} cannot be used for those who are not here: leave --suite out`,
  });
}

/** A stranger's key is taken by the word of the server only where somebody sees it, or has said so. Throws `identity_unknown`. */
export async function requireKnown(
  { to, peerKey, acceptNew }: {
    readonly to: string;
    readonly peerKey: Bytes | undefined;
    readonly acceptNew: boolean;
  },
  { contacts }: MailPlace,
  terminal: Terminal,
): Promise<void> {
  if (terminal.interactive || peerKey || acceptNew || await contacts.fingerprintOf(to)) return;
  throw new CifraError("identity_unknown", `${to} is not known here, and nobody can be asked`, {
    hint: "say with --peer-key which key it must be, or with --accept-new that the one will do " +
      "which the server shows",
  });
}

/** Opens the profile, unless another program has it. Throws like `Profile.open`. */
export async function openMail(
  options: MailRunOptions,
  { openProfile, ticker }: CommandFrame,
  terminal: Terminal,
  busy: string,
): Promise<MailPlace> {
  const profile = await openProfile(options).catch((error) => {
    if (!(error instanceof CifraError) || error.code !== "locked") throw error;
    throw new CifraError("locked", `Another cifra runs as ${options.name} on this machine`, {
      hint: busy,
    });
  });
  if (profile.isNew) greet(profile, terminal);
  const access = new ServerAccess(options, profile, terminal, ticker);
  const address = await access.address();
  const contacts = contactsOf(profile, { ...options, server: address }, terminal, {
    canType: false,
  });
  const store = await profile.openMessages(options.keepHistory);
  for (const lost of store.lost) terminal.say(describeLost(lost), lostJson(lost));
  const { name, suite, identity } = profile;
  const ignored = await Ignored.open(profile.folder);
  const person = {
    environment: systemEnvironment,
    ticker,
    name,
    suite,
    identity,
    ephemeralKey: access.ephemeralKey,
    store,
    contacts,
    openServer: (sendPort: number | undefined) => access.open(address, sendPort),
    register: remembering(profile, access, address, () => {}),
    giveUpAfter: options.giveUpAfter,
    tellsRead: options.tellsRead,
    kept: profile.stateFolder,
  };
  return {
    profile,
    contacts,
    store,
    person,
    ignored: ignored.names,
    employ: (hooks) => {
      const onTrouble = sayWaiting(terminal);
      const courier = new Courier({
        ...hooks,
        ...person,
        isRefused: (who) => ignored.names.has(who),
        onStatus: (status) => {
          if (status.type === "server-lost") onTrouble(status.error, status.retryIn);
        },
      });
      const staying = courier.run();
      mayFail(staying);
      return { courier, staying };
    },
  };
}
