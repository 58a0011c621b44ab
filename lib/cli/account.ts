/** `connect --sign-up` and `connect --sign-in`: a password that brings one's keys to another machine. */
import { requireLongPassword, signIn, signUp } from "../client/account.ts";
import { Profile } from "../client/profile.ts";
import { type ServerAddress, serverSubject } from "../client/server_address.ts";
import type { KeyBundle } from "../store/key_bundle.ts";
import { CifraError } from "../errors.ts";
import type { Tracer } from "../client/trace.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import type { Ticker } from "../flow/ticker.ts";
import { systemEnvironment } from "../net/environment.ts";
import { keyboard } from "./keyboard.ts";
import { askLine } from "./questions.ts";
import type { Secrets } from "./secrets.ts";
import { ServerAccess } from "./server_access.ts";
import type { ServerOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";

/** What both need. */
export interface AccountOptions extends ServerOptions {
  /** The descriptor that gives the password; undefined asks a person. */
  readonly passwordFd: number | undefined;
}

/** Asks for the keys' passphrase and for passwords, and tells how it went. */
export interface AccountTools {
  readonly secrets: Secrets;
  readonly terminal: Terminal;
  readonly ticker: Ticker;
  readonly trace: Tracer | undefined;
  /** Ends the wait for a server. */
  readonly interrupted: AbortSignal;
}

/** How one comes to an account. */
export type AccountWay = { readonly signIn: true } | { readonly signUp: true };

/**
 * A server has refused whoever has no account: a person at a terminal who has not said which way is asked.
 * Undefined for every other error, where nobody can be asked, and at the end of input. The question may come in the
 * middle of a talk: what was typed or half typed before it was for others, and is neither an answer nor a password.
 * Whoever answers something else is asked again. Throws like `askLine`.
 */
export async function chooseAccount(
  error: unknown,
  { name, signUp, signIn }:
    & Pick<AccountOptions, "name">
    & Readonly<Record<"signUp" | "signIn", boolean>>,
  terminal: Terminal,
): Promise<AccountWay | undefined> {
  const isNeeded = error instanceof CifraError && error.code === "account_required";
  if (!isNeeded || signUp || signIn || !terminal.interactive) return undefined;
  await keyboard.forget();
  terminal.say(
    `an account is needed here: "in" fetches the keys of ${name} with the password of one, "up" makes one`,
  );
  for (;;) {
    const answer = (await askLine(terminal, "sign in or sign up (in, up):"))?.trim().toLowerCase();
    if (answer === undefined) return undefined;
    if (/^(sign[ -]?)?in$/.test(answer)) return { signIn: true };
    if (/^(sign[ -]?)?up$/.test(answer)) return { signUp: true };
    await keyboard.forget();
    terminal.say("that is neither in nor up, and nobody was told; Ctrl-C ends the program");
  }
}

/** Makes an account for the name of a profile, or gives it another password. Throws like `signUp`. */
export async function makeAccount(
  profile: Profile,
  access: ServerAccess,
  address: ServerAddress,
  { passwordFd }: Pick<AccountOptions, "passwordFd">,
  { secrets, terminal, interrupted }: Pick<AccountTools, "secrets" | "terminal" | "interrupted">,
): Promise<void> {
  const { name } = profile;
  const what = `new password of ${name}`;
  const password = await secrets.askNew(
    { what, option: "--password-fd", descriptor: passwordFd },
    { require: requireLongPassword },
  );
  await signUp(() => access.insist(address, interrupted), profile, password, systemEnvironment);
  terminal.say(
    `signed up: with this password --sign-in makes any machine that of ${name}`,
    { event: "signed-up", name, server: serverSubject(address) },
  );
}

/**
 * Fetches the keys of a name into its profile, under an identity made for the occasion; returns where the
 * server is. A person who types a wrong password is asked again, as long as the server takes another. The server
 * must be known by another way than its word, since it is about to learn what it can try passwords on:
 * `--accept-new` is not enough. Throws like `signIn`, `Profile.openAsGuest` and `KeyRing.adopt`.
 */
export async function fetchKeys(
  options: AccountOptions,
  state: string,
  { secrets, terminal, ticker, trace, interrupted }: AccountTools,
): Promise<ServerAddress> {
  const { name, suite, passphraseFd, passwordFd } = options;
  const passphrase = secrets.passphrase(name, passphraseFd);
  const guest = await Profile.openAsGuest(state, name, suite, passphrase);
  try {
    const access = new ServerAccess(
      { ...options, acceptNew: false },
      guest,
      terminal,
      ticker,
      trace,
    );
    const address = await access.address();
    const what = `password of ${name}`;
    let bundle: KeyBundle | undefined;
    while (!bundle) {
      const password = await secrets.ask({ what, option: "--password-fd", descriptor: passwordFd });
      const server = await access.insist(address, interrupted).catch((error) => {
        throw options.acceptNew ? notOnItsWord(error) : error;
      });
      try {
        bundle = await signIn(server, name, password, systemEnvironment.random);
      } catch (error) {
        // A server that takes no more says for how long.
        const mayGoOn = error instanceof CifraError && error.code === "wrong_password" &&
          !error.retryAfter;
        if (!mayGoOn || !secrets.isTyped(passwordFd)) throw error;
        terminal.say(error.message, { event: "wrong-password", message: error.message });
      } finally {
        await server.leave();
      }
    }
    const isNew = await guest.keys.adopt(bundle);
    const keys = (await guest.keys.list()).map((entry) =>
      [entry.suite, formatFingerprint(entry.identity.fingerprint)] as const
    );
    terminal.say(
      isNew ? `signed in: this machine has the keys of ${name} now` : "the keys were here already",
      {
        event: "signed-in",
        name,
        server: serverSubject(address),
        isNew,
        fingerprints: Object.fromEntries(keys),
      },
    );
    return address;
  } finally {
    await guest.close();
  }
}

/** `--accept-new` was given, and is not enough to type a password. */
function notOnItsWord(error: unknown): unknown {
  if (!(error instanceof CifraError) || error.code !== "identity_unknown") return error;
  return new CifraError(error.code, error.message, {
    cause: error,
    hint: "a password is for a server whose key you have from somebody else: pass --server-key " +
      "FINGERPRINT, or --invite with its line; --accept-new is not enough to sign in",
  });
}
