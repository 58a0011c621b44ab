/** `cifra connect`: find a person, and talk. */
import { Conversation, type RelayChoice, type Status } from "../client/conversation.ts";
import { PeerLink } from "../client/peer_link.ts";
import { Profile } from "../client/profile.ts";
import {
  DEFAULT_PORT,
  parseInviteLine,
  parseServerAddress,
  type ServerAddress,
  serverSubject,
} from "../client/server_address.ts";
import { NO_PORTS, type ServerLink } from "../client/server_link.ts";
import { openServer } from "../client/server_trust.ts";
import type { TraceEvent } from "../client/trace.ts";
import type { Bytes } from "../bytes.ts";
import { formatFingerprint, parseFingerprint, type PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import { safetyWords } from "../crypto/safety_words.ts";
import { isSuiteName, SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { ADVERTISED_ADDRESSES, PORT_MINIMUM } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import { Ticker } from "../net/ticker.ts";
import { requireName, SERVER_NAME } from "../services/names.ts";
import { defaultStateFolder } from "../store/state_folder.ts";
import { addressScope, canonicalAddress, formatEndpoint } from "../wire/address.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { parseOptions } from "./args.ts";
import { Chat } from "./chat.ts";
import { JsonLines } from "./json_lines.ts";
import { Pipe } from "./pipe.ts";
import { aborted, exitCodeOfSignal, listenForSignals } from "./signals.ts";
import { describeStatus, describeWay } from "./status.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";
import type { Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";

/** Seconds without a connection after which a pipe ends. */
const PIPE_PATIENCE = 300;

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
  --relay-only          go through the server alone: the other person does not learn your address
  --no-relay            never go through the server
  --no-history          keep nothing of what was said once both sides have it
  --give-up SECONDS     a pipe that has lost its connection waits so long for it (default ${PIPE_PATIENCE})
  --state DIR           keep keys there (default: the state folder of this user)
  --trace               show every protocol message; never a secret
  --json                one JSON object per line on stdout; lines on stdin are messages

On a terminal you chat; what you write is kept until the other person has it, also over restarts.
With a pipe on stdin or stdout it is an encrypted pipe:
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
  readonly relay: RelayChoice;
  readonly keepHistory: boolean;
  /** Milliseconds. */
  readonly giveUpAfter: number;
  readonly state: string | undefined;
  readonly trace: boolean;
}

/** Reads the arguments of `connect`; throws `usage` and `bad_name`. */
export function parseConnect(args: readonly string[]): ConnectOptions {
  const given = parseOptions(args, {
    flags: [
      "accept-new",
      "invite",
      "relay-only",
      "no-relay",
      "no-history",
      "trace",
      "json",
      "help",
    ],
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
      "give-up",
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
  if (given.flag("relay-only") && given.flag("no-relay")) {
    throw new CifraError("usage", "--relay-only and --no-relay leave no way to go");
  }
  const giveUp = given.integer("give-up", 1, 1_000_000) ?? PIPE_PATIENCE;
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
    relay: given.flag("relay-only") ? "only" : given.flag("no-relay") ? "never" : "allowed",
    keepHistory: !given.flag("no-history"),
    giveUpAfter: giveUp * 1000,
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
  const ticker = new Ticker(systemEnvironment.time);
  try {
    const connecting = new Connect(options, profile, terminal, ticker, signals.interrupted);
    const outcome = await connecting.run();
    if (outcome === "interrupted") return exitCodeOfSignal(signals.interrupted);
    if (typeof outcome === "object") return terminal.fail(outcome.error);
    if (outcome === "finished") terminal.say("done", { event: "done" });
    return 0;
  } finally {
    ticker.stop();
    signals.stop();
    await profile.close();
  }
}

/** One run of `connect`, from the profile to the last word. */
class Connect {
  readonly #options: ConnectOptions;
  readonly #profile: Profile;
  readonly #terminal: Terminal;
  readonly #ticker: Ticker;
  readonly #interrupted: AbortSignal;
  readonly #envelopeKey: () => Promise<KemKeyPair>;
  #theirFingerprint: Bytes | undefined;
  #lastPlace = "";
  #lastNews = "";

  constructor(
    options: ConnectOptions,
    profile: Profile,
    terminal: Terminal,
    ticker: Ticker,
    interrupted: AbortSignal,
  ) {
    this.#options = options;
    this.#profile = profile;
    this.#terminal = terminal;
    this.#ticker = ticker;
    this.#interrupted = interrupted;
    this.#envelopeKey = keyAhead(() => profile.suite.kem.generate());
  }

  async run(): Promise<Outcome> {
    this.#greet();
    const address = await this.#serverAddress();
    return this.#options.to === SERVER_NAME
      ? await this.#talkToServer(address)
      : await this.#talkToPeer(address);
  }

  #greet(): void {
    const { name, suite } = this.#options;
    const fingerprint = formatFingerprint(this.#profile.identity.fingerprint);
    if (suite === "classic") {
      this.#terminal.say(
        "the suite classic is for study: its encryption can be broken with known means",
        { event: "warning", suite },
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

  async #talkToPeer(address: ServerAddress): Promise<Outcome> {
    const { name, to, receivePort, sendPort, advertised, relay } = this.#options;
    const profile = this.#profile;
    const kept = this.#terminal.interactive || this.#terminal.json;
    const link = await PeerLink.open({
      // What a pipe carries is not kept; what is kept for the other side, and by it, still arrives.
      store: await profile.openMessages(this.#options.keepHistory),
      key: { peer: to, suite: profile.suite.name },
      kind: kept ? LogKind.kept : LogKind.live,
      random: systemEnvironment.random,
      time: systemEnvironment.time,
      onDelivery: (delivery) => talker.onDelivery(delivery),
    });
    const conversation = new Conversation({
      environment: systemEnvironment,
      ticker: this.#ticker,
      ourName: name,
      peerName: to,
      suite: profile.suite,
      identity: profile.identity,
      envelopeKey: this.#envelopeKey,
      link,
      openServer: (from) => this.#openServer(address, from),
      registrationSequence: () => profile.nextRegistrationSequence(Date.now()),
      checkPeer: (peer) => this.#checkPeer(peer),
      receivePort: receivePort ?? 0,
      sendPort,
      advertised,
      relay,
      onStatus: (status) => {
        this.#sayStatus(status);
        talker.onStatus(status);
      },
      trace: this.#tracer(),
    });
    const talker: Talker = this.#talker({
      link,
      leave: (code) => conversation.leave(code),
      hurry: () => conversation.hurry(),
      path: () => describeWay(conversation.path, conversation.failures, to),
    });
    return await this.#both(talker, conversation.run(), link);
  }

  async #talkToServer(address: ServerAddress): Promise<Outcome> {
    const { name, to } = this.#options;
    const terminal = this.#terminal;
    const interrupted = aborted(this.#interrupted).then(() => "interrupted" as const);
    const server = await Promise.race([this.#openServer(address, undefined), interrupted]);
    if (server === "interrupted") return server;
    const observed = await server.register({
      name,
      wanted: to,
      ...NO_PORTS,
      capabilities: 0,
      registrationSequence: await this.#profile.nextRegistrationSequence(Date.now()),
      advertised: [],
    });
    const { remote } = server;
    const title = server.channel.established.displayName;
    const status: Status = {
      type: "registered",
      server: remote,
      title,
      observed,
      ports: undefined,
    };
    this.#sayStatus(status);
    terminal.say("the server answers every message", { event: "connected", to });
    this.#theirFingerprint = server.identity.fingerprint;
    const link = await PeerLink.open({
      key: { peer: to, suite: this.#profile.suite.name },
      kind: LogKind.live,
      random: systemEnvironment.random,
      time: systemEnvironment.time,
      onDelivery: (delivery) => talker.onDelivery(delivery),
    });
    const untick = this.#ticker.add((now) => link.tick(now));
    let leaving = false;
    const talker: Talker = this.#talker({
      link,
      leave: (code) => {
        leaving = true;
        return link.leave(code);
      },
      hurry: () => {},
      path: () => `server ${formatEndpoint(remote)}`,
    });
    talker.onStatus(status);
    const gone = link.attachServer(server.channel).then((ending) => {
      // Who says goodbye first is answered with one.
      if (ending.type === "done" || (leaving && ending.type === "left")) return;
      const goodbye = server.channel.goodbye !== undefined;
      if (ending.type === "cut" && !goodbye) throw ending.error;
      throw new CifraError("shutdown", "The server left");
    });
    try {
      return await this.#both(talker, gone, link);
    } finally {
      untick();
      await server.close();
    }
  }

  /** Lets somebody talk for as long as `connected` keeps up, which resolves after they left. */
  async #both(talker: Talker, connected: Promise<void>, link: PeerLink): Promise<Outcome> {
    const talking = talker.run();
    talking.catch(() => {});
    try {
      const outcome = await Promise.race([talking, connected.then(() => talking)]);
      await connected;
      return outcome;
    } catch (error) {
      await link.leave(CloseCode.failed);
      await talker.abandon();
      throw error;
    }
  }

  /** Whoever talks here: a person, a program that reads JSON, or a pipe. */
  #talker(
    { link, leave, hurry, path }: Pick<Talk, "link" | "leave" | "hurry" | "path">,
  ): Talker {
    const { name, to, giveUpAfter } = this.#options;
    const terminal = this.#terminal;
    const talk: Talk = {
      link,
      leave,
      hurry,
      path,
      terminal,
      ourName: name,
      peerName: to,
      interrupted: this.#interrupted,
      verify: () => this.#verify(),
    };
    if (terminal.interactive) return new Chat(talk);
    return terminal.json ? new JsonLines(talk) : new Pipe(talk, giveUpAfter);
  }

  async #verify(): Promise<string> {
    const { to, suite } = this.#options;
    const theirs = this.#theirFingerprint ??
      (await this.#profile.peers.find(to, suite))?.fingerprint;
    if (!theirs) return `${to} is not known here yet: there is nothing to compare`;
    const words = await safetyWords(this.#profile.identity.fingerprint, theirs);
    return `read these words to ${to}; they must be the same there:\n` +
      `   ${words.slice(0, 6).join(" ")}\n   ${words.slice(6).join(" ")}`;
  }

  async #openServer(address: ServerAddress, sendPort: number | undefined): Promise<ServerLink> {
    const { suite, identity, servers } = this.#profile;
    const terminal = this.#terminal;
    const server = await openServer({
      environment: systemEnvironment,
      address,
      suite,
      identity,
      servers,
      envelopeKey: this.#envelopeKey,
      ticker: this.#ticker,
      sendPort,
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
    const { inviteSecret } = address;
    if (!inviteSecret) return server;
    try {
      // The server holds the secret too, or the two would not have come this far.
      await this.#profile.rememberInvite(serverSubject(address), inviteSecret);
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
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
    this.#theirFingerprint = peer.fingerprint;
    if (pinned && timingSafeEqual(pinned.fingerprint, peer.fingerprint)) {
      return () => Promise.resolve();
    }
    if (!expected) {
      peers.requireUndamaged();
      const [other] = peers.inOtherSuites(to, suite);
      if (other && !acceptNew) throw otherSuitePeer(to, suite, other.suite, peer.fingerprint);
    }
    let pinning: Promise<void> | undefined;
    return () => pinning ??= this.#pinPeer(peer);
  }

  async #pinPeer(peer: PublicIdentity): Promise<void> {
    const { to, suite } = this.#options;
    await this.#profile.peers.pin(to, suite, peer, new Date());
    const fingerprint = formatFingerprint(peer.fingerprint);
    this.#terminal.say(
      `first contact with ${to}, known from now on by the key ${fingerprint}; ` +
        "compare words with /verify",
      { event: "peer-pinned", peer: to, fingerprint },
    );
  }

  /** For people what is new, once; for programs everything. */
  #sayStatus(status: Status): void {
    const [text, event] = describeStatus(status, this.#options.to, this.#options.suite);
    // The seconds until the next try are no news.
    const news = text.replace(/; next try in .*/, "");
    const known = status.type === "registered" ? news === this.#lastPlace : news === this.#lastNews;
    if (status.type === "registered") this.#lastPlace = news;
    else this.#lastNews = news;
    if (!known || this.#terminal.json) this.#terminal.say(text, event);
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
