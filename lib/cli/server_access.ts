/** The way to the server, as the command line gives it: its address, its key, and who is asking. */
import type { Profile } from "../client/profile.ts";
import { insist } from "../client/patience.ts";
import {
  hasInvite,
  inviteTextOf,
  isPartOfInvite,
  parseInviteLine,
  type ServerAddress,
  serverSubject,
} from "../client/server_address.ts";
import type { ServerLink } from "../client/server_link.ts";
import type { TicketHolder } from "../client/ticket_holder.ts";
import { openServer } from "../client/server_trust.ts";
import type { Tracer } from "../client/trace.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import type { Ticker } from "../flow/ticker.ts";
import { systemEnvironment } from "../net/environment.ts";
import { platformFailure } from "../platform_errors.ts";
import { keyboard } from "./keyboard.ts";
import { askText, askYesNo } from "./questions.ts";
import type { Terminal } from "./terminal.ts";
import { sayWaiting } from "./waiting.ts";

/** What the command line says of a server. */
export interface ServerChoice {
  readonly server: ServerAddress;
  readonly inviteFile: string | undefined;
  /** Ask for the invite line on the terminal. */
  readonly askInvite: boolean;
  readonly acceptNew: boolean;
  /** Milliseconds without a connection after which to give up; undefined waits. */
  readonly giveUpAfter: number | undefined;
}

/** Connects a profile to its server. */
export class ServerAccess {
  /** Ephemeral keys for our handshakes, with the server and with peers. */
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly #choice: ServerChoice;
  readonly #profile: Profile;
  readonly #terminal: Terminal;
  readonly #ticker: Ticker;
  #tickets: Promise<TicketHolder> | undefined;
  readonly #trace: Tracer | undefined;
  /** Whether the line was read in this run. */
  #isInvited = false;
  /** The server has registered us in this run, and wants no invite. */
  #isKnown = false;

  constructor(
    choice: ServerChoice,
    profile: Profile,
    terminal: Terminal,
    ticker: Ticker,
    trace?: Tracer,
  ) {
    this.#choice = choice;
    this.#profile = profile;
    this.#terminal = terminal;
    this.#ticker = ticker;
    this.#trace = trace;
    this.ephemeralKey = keyAhead(() => profile.suite.kem.generate());
  }

  /** Where the server is. Asks for the invite line if that is wanted. Throws `usage`, `local`. */
  async address(): Promise<ServerAddress> {
    const { askInvite, inviteFile, server } = this.#choice;
    if (!askInvite && inviteFile === undefined) {
      const inviteSecret = await this.#profile.inviteSecret(serverSubject(server));
      return { ...server, inviteSecret };
    }
    let line: string | undefined;
    if (inviteFile !== undefined) {
      this.#warnIfReadable(inviteFile);
      const bytes = await Deno.readFile(inviteFile).catch((cause) => {
        throw platformFailure(`Cannot read the invite file ${inviteFile}`, cause, {
          hint:
            "check the name, or paste the line with --invite; deno task users and inbox read files " +
            "in the state folder only",
        });
      });
      line = inviteTextOf(bytes);
    } else {
      if (!this.#terminal.interactive) {
        throw new CifraError("usage", "--invite asks on a terminal, and there is none", {
          hint: "use --invite-file FILE",
        });
      }
      line = await askForInvite(this.#terminal);
    }
    const address = parseInviteLine(line ?? "");
    this.#isInvited = true;
    // The line names the key of the suite modern; the others have keys of their own.
    const isModern = this.#profile.suite.name === "modern";
    return isModern ? address : { ...address, fingerprint: undefined };
  }

  /** The line lets whoever reads it in. A pipe has no other readers, and what is no file fails when it is read. */
  #warnIfReadable(inviteFile: string): void {
    if (Deno.build.os === "windows") return;
    try {
      const { isFile, mode } = Deno.statSync(inviteFile);
      if (!isFile || (mode! & 0o077) === 0) return;
    } catch {
      return;
    }
    this.#terminal.say(
      `others can read ${inviteFile}, and an invite line lets in whoever has it: chmod 600 it`,
      { event: "invite-readable", path: inviteFile },
    );
  }

  /** Whether a person may have to be asked whether the server at `address` is the right one. */
  async mayAsk(address: ServerAddress): Promise<boolean> {
    if (!this.#terminal.interactive || this.#choice.acceptNew || address.fingerprint) return false;
    const { servers, suite } = this.#profile;
    return await servers.find(serverSubject(address), suite.name) === undefined;
  }

  /**
   * The same as `open`, for whoever has no `Home` that comes again: waits for a server that is not there, or has
   * no room. Throws like `openServer` and `insist`.
   */
  async insist(address: ServerAddress, interrupted: AbortSignal): Promise<ServerLink> {
    const { giveUpAfter } = this.#choice;
    const onTrouble = sayWaiting(this.#terminal);
    return await insist(() => this.open(address, undefined), systemEnvironment, {
      giveUpAfter,
      interrupted,
      onTrouble,
    });
  }

  /** The server has registered us, and knows us from now on without an invite. */
  async registered(address: ServerAddress): Promise<void> {
    this.#isKnown = true;
    await this.#profile.forgetInvite(serverSubject(address));
  }

  /** Where our ticket is. Whoever was given a line may not be known any more: then what was is not shown. */
  async #openTickets(address: ServerAddress): Promise<TicketHolder> {
    const tickets = await this.#profile.ticketsOf(serverSubject(address));
    if (this.#isInvited) await tickets.take();
    return tickets;
  }

  /** Connects, and pins a new server that is trusted. Throws like `openServer`. */
  async open(address: ServerAddress, sendPort: number | undefined): Promise<ServerLink> {
    const { suite, identity, servers } = this.#profile;
    const terminal = this.#terminal;
    this.#tickets ??= this.#openTickets(address);
    const inviteSecret = this.#isKnown ? undefined : address.inviteSecret;
    const server = await openServer({
      environment: systemEnvironment,
      address: { ...address, inviteSecret },
      suite,
      identity,
      servers,
      ephemeralKey: this.ephemeralKey,
      ticker: this.#ticker,
      tickets: await this.#tickets,
      sendPort,
      acceptNew: this.#choice.acceptNew,
      ownServer: () => this.#profile.ownServer(),
      ask: terminal.interactive
        ? (key, knownIn) => askTrust(terminal, key, suite.name, knownIn)
        : undefined,
      onPinned: (subject, fingerprint, knownAs) =>
        terminal.say(
          knownAs === undefined
            ? `the server ${subject} is known from now on by its key ${fingerprint}`
            : `the server ${subject} has the key that you know as ${knownAs}: ${fingerprint}`,
          {
            event: "server-pinned",
            server: subject,
            fingerprint,
            ...(knownAs !== undefined && { knownAs }),
          },
        ),
      trace: this.#trace,
    });
    if (!inviteSecret) return server;
    try {
      // The server holds the secret too, or the two would not have come this far.
      await this.#profile.rememberInvite(serverSubject(address), inviteSecret);
      return server;
    } catch (error) {
      await server.leave();
      throw error;
    }
  }
}

/** Makes the next ephemeral key while there is time, so that a slow suite does not keep people waiting. */
function keyAhead(generate: () => Promise<KemKeyPair>): () => Promise<KemKeyPair> {
  const begin = () => {
    const key = generate();
    mayFail(key);
    return key;
  };
  let next = begin();
  return () => {
    const key = next;
    next = key.then(begin);
    mayFail(next);
    return key;
  };
}

/**
 * A text with an invite line in it. What was broken into several lines where it came from may come as several, and
 * what stands around it too: a line without it is no answer, and no reason to leave the rest to the shell.
 */
async function askForInvite(terminal: Terminal): Promise<string | undefined> {
  let text = await askText(terminal, "invite line:");
  while (text !== undefined && text.trim() !== "") {
    const isBegun = hasInvite(text);
    if (isBegun && !isPartOfInvite(text)) break;
    if (!isBegun) terminal.say("there is no invite line in that: it begins with cifra1:");
    const more = await askText(terminal, isBegun ? "the rest of it:" : "invite line:");
    // What ends there is what there is.
    if (isBegun && (more === undefined || more.trim() === "")) break;
    text = isBegun ? `${text}\n${more}` : more;
  }
  // What else came with it is no message to anybody.
  await keyboard.forget();
  return text;
}

async function askTrust(
  terminal: Terminal,
  fingerprint: string,
  suite: string,
  knownIn: string | undefined,
): Promise<boolean> {
  const what = knownIn === undefined
    ? "this server is not known here; its key is"
    : `this server is known here by its ${knownIn} key; a server has one for each suite, and for ` +
      `${suite} this one shows`;
  terminal.say(`${what}\n   ${fingerprint}`);
  return await askYesNo(terminal, "-- is that what the server prints?");
}
