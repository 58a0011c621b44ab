/** `cifra connect`: find a person, and talk. */
import { encodeHex } from "@std/encoding/hex";
import { meet, type Meeting } from "../client/meet.ts";
import { PeerLink } from "../client/peer_link.ts";
import { Profile } from "../client/profile.ts";
import {
  DEFAULT_PORT,
  parseInviteLine,
  parseServerAddress,
  type ServerAddress,
  serverSubject,
} from "../client/server_address.ts";
import { ServerLink } from "../client/server_link.ts";
import type { TraceEvent } from "../client/trace.ts";
import type { Bytes } from "../bytes.ts";
import {
  formatFingerprint,
  identityClassOf,
  parseFingerprint,
  type PublicIdentity,
  readIdentity,
} from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import { safetyWords } from "../crypto/safety_words.ts";
import { isSuiteName, SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { ADVERTISED_ADDRESSES, PORT_MINIMUM } from "../limits.ts";
import { findFreePort, Listener } from "../net/tcp.ts";
import { Ticker } from "../net/ticker.ts";
import { requireName, SERVER_NAME } from "../services/names.ts";
import { defaultStateFolder } from "../store/state_folder.ts";
import { addressScope, canonicalAddress, formatEndpoint } from "../wire/address.ts";
import type { Introduction } from "../wire/rendezvous_messages.ts";
import { parseOptions } from "./args.ts";
import { converse, type Outcome } from "./conversation.ts";
import { aborted, exitCodeOfSignal, listenForSignals } from "./signals.ts";
import type { Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";

export const CONNECT_HELP = `cifra connect: find a person and talk, encrypted end to end

Usage: cifra connect --name NAME --to NAME [options]

  --name NAME           who you are; your identity is made on first use
  --to NAME             whom you want; "server" talks to the server itself
  --server HOST[:PORT]  the meeting place (default 127.0.0.1:${DEFAULT_PORT})
  --server-key KEY      the fingerprint that the server must have
  --invite              ask for the server's invite line; once is enough
  --invite-file FILE    read the invite line from a file
  --peer-key KEY        the fingerprint that the other person must have
  --accept-new          trust a server seen for the first time without asking
  --suite SUITE         modern (default), rsa, or classic, which is for study
  --receive-port PORT   listen for the other person there (default: any free port)
  --send-port PORT      dial from there (default: any free port)
  --advertise ADDRESS   another address of this machine in its network; may be repeated
  --state DIR           keep keys there (default: the state folder of this user)
  --trace               show every protocol message; never a secret
  --json                one JSON object per line on stdout; lines on stdin are messages

On a terminal you chat. With a pipe on stdin or stdout it is an encrypted pipe:
  tar c . | cifra connect --name alice --to bob
  cifra connect --name bob --to alice | tar x
`;

interface ConnectOptions {
  readonly name: string;
  readonly to: string;
  readonly server: ServerAddress;
  readonly inviteFile: string | undefined;
  readonly askInvite: boolean;
  readonly peerKey: Bytes | undefined;
  readonly acceptNew: boolean;
  readonly suite: SuiteName;
  readonly receivePort: number | undefined;
  readonly sendPort: number | undefined;
  readonly advertised: readonly string[];
  readonly state: string | undefined;
  readonly trace: boolean;
}

/** Reads the arguments of `connect`; throws `usage` and `bad_name`. */
export function parseConnect(args: readonly string[]): ConnectOptions {
  const given = parseOptions(args, {
    flags: ["accept-new", "invite", "trace", "json", "help"],
    values: [
      "name",
      "to",
      "server",
      "server-key",
      "invite-file",
      "peer-key",
      "suite",
      "receive-port",
      "send-port",
      "state",
    ],
    lists: ["advertise"],
  });
  const name = given.value("name"), to = given.value("to");
  if (name === undefined || to === undefined) {
    const missing = name === undefined ? "--name" : "--to";
    throw new CifraError("usage", `${missing} is missing`, {
      hint: "for example: cifra connect --name alice --to bob",
    });
  }
  requireName(name);
  if (to !== SERVER_NAME) requireName(to);
  if (name === to) throw new CifraError("usage", "--name and --to must be two different names");
  const suite = given.value("suite") ?? "modern";
  if (!isSuiteName(suite)) {
    throw new CifraError("usage", `--suite must be ${SUITE_NAMES.join(", ")}, got "${suite}"`);
  }
  const invited = given.flag("invite") || given.value("invite-file") !== undefined;
  if (invited && (given.value("server") !== undefined || given.value("server-key") !== undefined)) {
    throw new CifraError(
      "usage",
      "An invite names the server and its key: leave --server and --server-key out",
    );
  }
  const receivePort = given.integer("receive-port", PORT_MINIMUM, 65_535);
  const sendPort = given.integer("send-port", PORT_MINIMUM, 65_535);
  if (receivePort !== undefined && receivePort === sendPort) {
    throw new CifraError("usage", "--receive-port and --send-port must be two different ports");
  }
  const serverKey = given.value("server-key");
  const peerKey = given.value("peer-key");
  const server = parseServerAddress(given.value("server") ?? "127.0.0.1");
  return {
    name,
    to,
    server: serverKey === undefined
      ? server
      : { ...server, fingerprint: parseFingerprint(serverKey) },
    inviteFile: given.value("invite-file"),
    askInvite: given.flag("invite"),
    peerKey: peerKey === undefined ? undefined : parseFingerprint(peerKey),
    acceptNew: given.flag("accept-new"),
    suite,
    receivePort,
    sendPort,
    advertised: advertisedAddresses(given.list("advertise")),
    state: given.value("state"),
    trace: given.flag("trace"),
  };
}

function advertisedAddresses(texts: readonly string[]): readonly string[] {
  if (texts.length > ADVERTISED_ADDRESSES) {
    throw new CifraError("usage", `--advertise may be given ${ADVERTISED_ADDRESSES} times at most`);
  }
  return texts.map((text) => {
    const address = canonicalAddress(text);
    if (!address || addressScope(address) !== "private") {
      throw new CifraError(
        "usage",
        `--advertise must be an address of a private network, got "${text}"`,
      );
    }
    return address;
  });
}

/** Connects and talks; returns the exit code. */
export async function connect(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseConnect(args);
  const environment = (name: string) => Deno.env.get(name);
  const state = options.state ?? defaultStateFolder(Deno.build.os, environment);
  const profile = await Profile.open(state, options.name, options.suite);
  const signals = listenForSignals();
  const ticker = new Ticker();
  try {
    const talk = new Connect(options, profile, terminal, ticker, signals.interrupted);
    // An interrupt ends the waiting at once; a conversation under way says goodbye first.
    const interrupted = aborted(signals.interrupted).then(() => "interrupted" as const);
    const outcome = await talk.run(interrupted);
    if (outcome === "interrupted") return exitCodeOfSignal(signals.interrupted);
    return report(terminal, options.to, outcome);
  } finally {
    ticker.stop();
    signals.stop();
    profile.close();
  }
}

function report(terminal: Terminal, peerName: string, outcome: Outcome): number {
  if (outcome === "finished") {
    terminal.say("done", { event: "done" });
    return 0;
  }
  if (outcome === "interrupted") return 130;
  switch (outcome.type) {
    case "left":
      terminal.say(`${peerName} left`, { event: "peer-left" });
      return 0;
    case "shutdown":
      return terminal.fail(new CifraError("shutdown", `${peerName} shut down`));
    case "cut":
      return terminal.fail(outcome.error);
  }
}

/** One run of `connect`, from the profile to the last word. */
class Connect {
  readonly #options: ConnectOptions;
  readonly #profile: Profile;
  readonly #terminal: Terminal;
  readonly #ticker: Ticker;
  readonly #signal: AbortSignal;
  readonly #envelopeKey: () => Promise<KemKeyPair>;

  constructor(
    options: ConnectOptions,
    profile: Profile,
    terminal: Terminal,
    ticker: Ticker,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#profile = profile;
    this.#terminal = terminal;
    this.#ticker = ticker;
    this.#signal = signal;
    this.#envelopeKey = keyAhead(() => profile.suite.kem.generate());
  }

  async run(interrupted: Promise<"interrupted">): Promise<Outcome> {
    this.#greet();
    const address = await this.#serverAddress();
    const link = await Promise.race([this.#openServer(address), interrupted]);
    if (link === "interrupted") return link;
    // Judged by the connection and not by the name: any name may mean this machine.
    const loopback = addressScope(link.remote.host) === "loopback";
    const listener = this.#listen(loopback);
    try {
      const ports = this.#choosePorts(listener, loopback);
      await this.#register(link, ports);
      if (address.inviteSecret) {
        await this.#profile.rememberInvite(serverSubject(address), address.inviteSecret);
      }
      if (this.#options.to === SERVER_NAME) return await this.#talkToServer(link);
      const introduction = await Promise.race([this.#await(link), interrupted]);
      if (introduction === "interrupted") return introduction;
      await link.close();
      const meeting = await Promise.race([
        this.#meet(introduction, listener, ports.sendPort, loopback),
        interrupted,
      ]);
      if (meeting === "interrupted") return meeting;
      return await this.#talkToPeer(meeting);
    } finally {
      listener.close();
      await link.close();
    }
  }

  #greet(): void {
    const { name, suite } = this.#options;
    const fingerprint = formatFingerprint(this.#profile.identity.fingerprint);
    if (suite === "classic") {
      this.#terminal.say(
        "the suite classic is for study: its encryption can be broken with known means",
        {
          event: "warning",
          suite,
        },
      );
    }
    const made = this.#profile.isNew ? ", made just now" : "";
    this.#terminal.say(`${name}, key ${fingerprint}${made}`, {
      event: "profile",
      name,
      suite,
      fingerprint,
      isNew: this.#profile.isNew,
    });
  }

  async #serverAddress(): Promise<ServerAddress> {
    const { askInvite, inviteFile, server, suite } = this.#options;
    if (!askInvite && inviteFile === undefined) {
      const inviteSecret = await this.#profile.inviteSecret(serverSubject(server));
      return { ...server, inviteSecret };
    }
    let line: string | null;
    if (inviteFile !== undefined) {
      line = await Deno.readTextFile(inviteFile).catch((cause) => {
        throw new CifraError("local", `Cannot read the invite file ${inviteFile}`, { cause });
      });
    } else {
      if (!this.#terminal.interactive) {
        throw new CifraError("usage", "--invite asks on a terminal, and there is none", {
          hint: "use --invite-file FILE",
        });
      }
      line = prompt("invite line:");
    }
    const address = parseInviteLine(line ?? "");
    // The line names the key of the suite modern; the others have keys of their own.
    return suite === "modern" ? address : { ...address, fingerprint: undefined };
  }

  #openServer(address: ServerAddress): Promise<ServerLink> {
    const { terminal, profile } = { terminal: this.#terminal, profile: this.#profile };
    return ServerLink.open({
      address,
      profile,
      envelopeKey: this.#envelopeKey,
      ticker: this.#ticker,
      acceptNew: this.#options.acceptNew,
      ask: terminal.interactive ? askTrust : undefined,
      onPinned: (subject, fingerprint) =>
        terminal.say(`the server ${subject} is known from now on by its key ${fingerprint}`, {
          event: "server-pinned",
          server: subject,
          fingerprint,
        }),
      trace: this.#tracer(),
    });
  }

  #listen(loopback: boolean): Listener {
    const port = this.#options.receivePort ?? 0;
    // Somebody on the server's own machine may still be looked for from elsewhere.
    const onlyHere = loopback && this.#options.advertised.length === 0;
    if (onlyHere) return Listener.open(["127.0.0.1", "::1"], port);
    try {
      return Listener.open(["::"], port);
    } catch {
      return Listener.open(["0.0.0.0"], port);
    }
  }

  #choosePorts(listener: Listener, loopback: boolean): { receivePort: number; sendPort: number } {
    const sendPort = this.#options.sendPort ?? findFreePort(loopback ? "127.0.0.1" : "0.0.0.0");
    return { receivePort: listener.port, sendPort };
  }

  async #register(
    link: ServerLink,
    ports: { readonly receivePort: number; readonly sendPort: number },
  ): Promise<void> {
    const { name, to, advertised } = this.#options;
    const { displayName } = link.channel.established;
    const observed = await link.register({
      name,
      wanted: to,
      ...ports,
      capabilities: 0,
      registrationSequence: await this.#profile.nextRegistrationSequence(Date.now()),
      advertised,
    });
    this.#terminal.say(
      `connected to "${displayName}" at ${formatEndpoint(link.remote)}; ` +
        `receive port ${ports.receivePort}, send port ${ports.sendPort}`,
      {
        event: "registered",
        server: formatEndpoint(link.remote),
        title: displayName,
        observed: formatEndpoint(observed),
        ...ports,
      },
    );
  }

  async #talkToServer(link: ServerLink): Promise<Outcome> {
    this.#terminal.say("the server answers every message", { event: "connected", to: SERVER_NAME });
    return await this.#converse(
      new PeerLink(link.channel),
      `server ${formatEndpoint(link.remote)}`,
      link.fingerprint,
    );
  }

  async #await(link: ServerLink): Promise<Introduction> {
    const { to } = this.#options;
    this.#terminal.say(`waiting for ${to}`, { event: "waiting", for: to });
    for (;;) {
      const news = await link.nextNews();
      if (news.type === "introduction") return news.introduction;
      const suiteOf = (id: number) => SUITE_NAMES[id - 1] ?? `number ${id}`;
      const theirs = suiteOf(news.peerSuite);
      this.#terminal.say(
        `${to} is here with the suite ${theirs} and you with ${suiteOf(news.yourSuite)}: ` +
          "one of you has to change --suite; still waiting",
        {
          event: "suite-mismatch",
          peer: to,
          theirSuite: theirs,
          yourSuite: suiteOf(news.yourSuite),
        },
      );
    }
  }

  async #meet(
    introduction: Introduction,
    listener: Listener,
    sendPort: number,
    allowLoopback: boolean,
  ): Promise<Meeting> {
    const { suite, identity } = this.#profile;
    const { to, name } = this.#options;
    if (introduction.peerName !== to) {
      throw new CifraError("bad_state", "The server introduced somebody who was not asked for");
    }
    const peer = await readIdentity(introduction.bundle, identityClassOf(suite.signature));
    const pin = await this.#checkPeer(peer);
    const meeting = await meet({
      ourName: name,
      suite,
      identity,
      envelopeKey: this.#envelopeKey,
      introduction,
      peer,
      listener,
      sendPort,
      allowLoopback,
      ticker: this.#ticker,
      trace: this.#tracer(),
    });
    await pin();
    return meeting;
  }

  /** Whether the peer is who we know; returns what pins it once it has proved its key. */
  async #checkPeer(peer: PublicIdentity): Promise<() => Promise<void>> {
    const { to, suite, peerKey, acceptNew } = this.#options;
    const { peers } = this.#profile;
    const pinned = await peers.find(to, suite);
    const expected = peerKey ?? pinned?.fingerprint;
    if (expected && !timingSafeEqual(expected, peer.fingerprint)) {
      throw changedPeer(to, expected, peer.fingerprint);
    }
    if (pinned && timingSafeEqual(pinned.fingerprint, peer.fingerprint)) {
      return () => Promise.resolve();
    }
    if (!expected) {
      peers.requireUndamaged();
      const [other] = peers.inOtherSuites(to, suite);
      if (other && !acceptNew) throw otherSuitePeer(to, suite, other.suite, peer.fingerprint);
    }
    return async () => {
      await peers.pin(to, suite, peer, new Date());
      const fingerprint = formatFingerprint(peer.fingerprint);
      this.#terminal.say(
        `first contact with ${to}, known from now on by the key ${fingerprint}; ` +
          "compare words with /verify",
        { event: "peer-pinned", peer: to, fingerprint },
      );
    };
  }

  async #talkToPeer(meeting: Meeting): Promise<Outcome> {
    const { to } = this.#options;
    const { theirs, suite, sessionId } = meeting.channel.established;
    const path = `direct ${formatEndpoint(meeting.remote)}, dialled by ${
      meeting.dialledBy === "us" ? "us" : to
    }`;
    this.#terminal.say(`connected to ${to}: ${path}, ${suite.name}`, {
      event: "connected",
      to,
      path: "direct",
      remote: formatEndpoint(meeting.remote),
      dialledBy: meeting.dialledBy,
      suite: suite.name,
      fingerprint: formatFingerprint(theirs.fingerprint),
      session: encodeHex(sessionId),
    });
    try {
      return await this.#converse(new PeerLink(meeting.channel), path, theirs.fingerprint);
    } finally {
      meeting.close();
    }
  }

  #converse(link: PeerLink, path: string, theirFingerprint: Bytes): Promise<Outcome> {
    const { to, name } = this.#options;
    const ours = this.#profile.identity.fingerprint;
    return converse({
      link,
      terminal: this.#terminal,
      ourName: name,
      peerName: to,
      interrupted: this.#signal,
      path,
      verify: async () => {
        const words = await safetyWords(ours, theirFingerprint);
        return `read these words to ${to}; they must be the same there:\n` +
          `   ${words.slice(0, 6).join(" ")}\n   ${words.slice(6).join(" ")}`;
      },
    });
  }

  #tracer(): ((event: TraceEvent) => void) | undefined {
    if (!this.#options.trace) return undefined;
    return (event) => this.#terminal.trace(formatTrace(event), traceJson(event));
  }
}

/** Makes the next envelope key while there is time, so that a slow suite does not keep people waiting. */
function keyAhead(generate: () => Promise<KemKeyPair>): () => Promise<KemKeyPair> {
  const begin = () => {
    const key = generate();
    key.catch(() => {});
    return key;
  };
  let next = begin();
  return () => {
    const key = next;
    next = key.then(begin);
    next.catch(() => {});
    return key;
  };
}

function askTrust(fingerprint: string): Promise<boolean> {
  const question = `-- this server is not known here; its key is\n   ${fingerprint}\n` +
    "-- is that what the server prints?";
  return Promise.resolve(confirm(question));
}

function changedPeer(name: string, expected: Bytes, presented: Bytes): CifraError {
  return new CifraError(
    "identity_changed",
    `${name} has another key than before\n` +
      `  expected:  ${formatFingerprint(expected)}\n` +
      `  presented: ${formatFingerprint(presented)}`,
    {
      hint: `somebody may pretend to be ${name}: ask ${name} another way; if the key was really ` +
        "changed, pass --peer-key with the new fingerprint",
    },
  );
}

function otherSuitePeer(
  name: string,
  suite: string,
  knownSuite: string,
  presented: Bytes,
): CifraError {
  return new CifraError(
    "suite_downgrade",
    `${name} is known by a ${knownSuite} key, not by one for ${suite}\n` +
      `  presented: ${formatFingerprint(presented)} (${suite})`,
    { hint: `if you both mean to use ${suite}, pass --peer-key with the fingerprint of ${name}` },
  );
}
