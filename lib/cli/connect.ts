/** `cifra connect`: find a person, and talk. */
import { Conversation, type RelayChoice, type Status } from "../client/conversation.ts";
import { Thread } from "../client/thread.ts";
import { Profile } from "../client/profile.ts";
import { DEFAULT_PORT, type ServerAddress } from "../client/server_address.ts";
import { NO_PORTS } from "../client/server_link.ts";
import type { Tracer } from "../client/trace.ts";
import type { Bytes } from "../bytes.ts";
import { parseFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { ADVERTISED_ADDRESSES, PORT_MINIMUM } from "../limits.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { Ticker } from "../flow/ticker.ts";
import { requireName, SERVER_NAME } from "../wire/names.ts";
import { stateFolder } from "../store/state_folder.ts";
import { addressScope, canonicalAddress, formatEndpoint } from "../wire/address.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { fetchKeys, makeAccount } from "./account.ts";
import { Acquaintances } from "./acquaintances.ts";
import { type GivenOptions, parseOptions } from "./args.ts";
import { Chat } from "./chat.ts";
import { greet } from "./greeting.ts";
import { JsonLines } from "./json_lines.ts";
import { stayInLobby } from "./lobby.ts";
import { type Acceptance, isAcceptance } from "./lobby_offers.ts";
import { Pipe } from "./pipe.ts";
import { DESCRIPTOR_MAXIMUM, Secrets } from "./secrets.ts";
import { ServerAccess } from "./server_access.ts";
import { connectCommand, parseServerOptions, type ServerOptions } from "./server_options.ts";
import { exitCodeOfInterruption, exitCodeOfSignal, listenForSignals } from "./signals.ts";
import { describeStatus, describeWay } from "./status.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";
import type { Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";

/** Seconds without a connection after which a pipe ends. */
const PIPE_PATIENCE = 300;
/** Options about one person, and those about many. */
const FOR_ONE_PERSON = ["peer-key", "receive-port", "send-port", "give-up"];
const FOR_THE_LOBBY = ["hidden", "accept"];

export const CONNECT_HELP = `cifra connect: find a person and talk, encrypted end to end

Usage: cifra connect --name NAME [--to NAME] [options]

  --name NAME           who you are; your identity is made on first use
  --to NAME             whom you want; "server" talks to the server itself; without it you are in
                        the lobby, where you see who is there and talk to several people
  --hidden              in the lobby: the others are not told that you are there
  --accept WHOM         in the lobby, whose calls are answered by themselves: known (default), all, none
  --server HOST[:PORT]  the meeting place (default 127.0.0.1:${DEFAULT_PORT})
  --server-key KEY      the fingerprint that the server must have
  --invite              ask for the server's invite line; once is enough
  --invite-file FILE    read the invite line from a file
  --peer-key KEY        the fingerprint that the other person must have
  --accept-new          trust a server seen for the first time without asking
  --sign-up             leave your keys with the server under a password, or change that password
  --sign-in             fetch your keys from the server to this machine, with that password
  --password-fd N       read the password from this descriptor: 0 is the first line of standard
                        input, others must be pipes; without it you are asked
  --passphrase-fd N     the same for the passphrase of your keys (see cifra keys)
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

In the lobby /help lists what can be done. On a terminal you chat; what you write is kept until the other person has it, also over restarts.
With a pipe on stdin or stdout it is an encrypted pipe:
  tar c . | cifra connect --name alice --to bob
  cifra connect --name bob --to alice | tar x
`;

interface ConnectOptions extends ServerOptions {
  /** Undefined in the lobby. */
  readonly to: string | undefined;
  readonly hidden: boolean;
  readonly accept: Acceptance;
  readonly peerKey: Bytes | undefined;
  readonly receivePort: number | undefined;
  readonly sendPort: number | undefined;
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
  readonly keepHistory: boolean;
  /** Milliseconds. */
  readonly giveUpAfter: number;
  readonly trace: boolean;
  readonly signUp: boolean;
  readonly signIn: boolean;
  readonly passwordFd: number | undefined;
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
      "hidden",
      "sign-up",
      "sign-in",
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
      "accept",
      "state",
      "password-fd",
      "passphrase-fd",
    ],
    lists: ["advertise"],
  });
  const options = parseServerOptions(given);
  const to = given.value("to");
  if (to === undefined) refuseTogether(given, FOR_ONE_PERSON, "only makes sense with --to");
  else refuseTogether(given, FOR_THE_LOBBY, "only makes sense without --to");
  const accept = given.value("accept") ?? "known";
  if (!isAcceptance(accept)) {
    throw new CifraError("usage", `--accept must be known, all or none, got "${accept}"`);
  }
  if (to !== undefined && to !== SERVER_NAME) requireName(to);
  if (options.name === to) {
    throw new CifraError("usage", "--name and --to must be two different names");
  }
  const receivePort = given.integer("receive-port", PORT_MINIMUM, 65_535);
  const sendPort = given.integer("send-port", PORT_MINIMUM, 65_535);
  if (receivePort !== undefined && receivePort === sendPort) {
    throw new CifraError("usage", "--receive-port and --send-port must be two different ports");
  }
  if (given.flag("relay-only") && given.flag("no-relay")) {
    throw new CifraError("usage", "--relay-only and --no-relay leave no way to go");
  }
  const signUp = given.flag("sign-up"), signIn = given.flag("sign-in");
  if (signUp && signIn) {
    throw new CifraError("usage", "--sign-up makes an account and --sign-in uses it: one of them");
  }
  const passwordFd = given.integer("password-fd", 0, DESCRIPTOR_MAXIMUM);
  if (passwordFd !== undefined && !signUp && !signIn) {
    throw new CifraError("usage", "--password-fd only makes sense with --sign-up or --sign-in");
  }
  const giveUp = given.integer("give-up", 1, 1_000_000) ?? PIPE_PATIENCE;
  const peerKey = given.value("peer-key");
  return {
    ...options,
    to,
    hidden: given.flag("hidden"),
    accept,
    peerKey: peerKey === undefined ? undefined : parseFingerprint(peerKey),
    receivePort,
    sendPort,
    advertised: advertisedAddresses(given.list("advertise")),
    relay: given.flag("relay-only") ? "only" : given.flag("no-relay") ? "never" : "allowed",
    keepHistory: !given.flag("no-history"),
    giveUpAfter: giveUp * 1000,
    trace: given.flag("trace"),
    signUp,
    signIn,
    passwordFd,
  };
}

function refuseTogether(given: GivenOptions, options: readonly string[], why: string): void {
  const found = options.find((option) =>
    option === "hidden" ? given.flag(option) : given.value(option) !== undefined
  );
  if (found !== undefined) throw new CifraError("usage", `--${found} ${why}`);
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
  let options = parseConnect(args);
  const state = stateFolder(options.state);
  if (options.to === undefined && !terminal.interactive && !terminal.json) {
    throw new CifraError("usage", "The lobby needs a terminal, and there is none", {
      hint: "say with --to who the pipe is for, or use --json",
    });
  }
  const signals = listenForSignals();
  const ticker = new Ticker(systemEnvironment.time);
  const secrets = new Secrets(signals);
  let profile: Profile | undefined;
  try {
    if (options.signIn) {
      const trace = tracer(options, terminal);
      const server = await fetchKeys(options, state, { secrets, terminal, ticker, trace });
      // The invite was asked for and is remembered.
      options = { ...options, server, askInvite: false, inviteFile: undefined };
    }
    const passphrase = secrets.passphrase(options.name, options.passphraseFd);
    profile = await Profile.open(state, options.name, options.suite, passphrase);
    const connecting = new Connect(
      options,
      profile,
      terminal,
      ticker,
      signals.interrupted,
      secrets,
    );
    const outcome = await connecting.run();
    if (outcome === "interrupted") return exitCodeOfSignal(signals.interrupted);
    if (typeof outcome === "object") return terminal.fail(outcome.error);
    if (outcome === "finished") terminal.say("done", { event: "done" });
    return 0;
  } catch (error) {
    return exitCodeOfInterruption(error, signals.interrupted);
  } finally {
    ticker.stop();
    signals.stop();
    await profile?.close();
  }
}

/** One run of `connect`, from the profile to the last word. */
class Connect {
  readonly #options: ConnectOptions;
  readonly #profile: Profile;
  readonly #terminal: Terminal;
  readonly #ticker: Ticker;
  readonly #interrupted: AbortSignal;
  readonly #access: ServerAccess;
  readonly #acquaintances: Acquaintances;
  readonly #secrets: Secrets;
  #address: ServerAddress;
  #lastPlace = "";
  #lastNews = "";

  constructor(
    options: ConnectOptions,
    profile: Profile,
    terminal: Terminal,
    ticker: Ticker,
    interrupted: AbortSignal,
    secrets: Secrets,
  ) {
    this.#options = options;
    this.#profile = profile;
    this.#terminal = terminal;
    this.#ticker = ticker;
    this.#interrupted = interrupted;
    this.#secrets = secrets;
    this.#address = options.server;
    this.#access = new ServerAccess(options, profile, terminal, ticker, this.#tracer());
    this.#acquaintances = new Acquaintances(profile, terminal, {
      ...options,
      command: (more) => connectCommand({ ...options, server: this.#address }, more),
    });
  }

  async run(): Promise<Outcome> {
    greet(this.#profile, this.#terminal);
    const address = this.#address = await this.#access.address();
    const { to, signUp } = this.#options;
    if (signUp) {
      const tools = { secrets: this.#secrets, terminal: this.#terminal };
      await makeAccount(this.#profile, this.#access, address, this.#options, tools);
    }
    if (to === undefined) return await this.#stayInLobby(address);
    return to === SERVER_NAME
      ? await this.#talkToServer(address, to)
      : await this.#talkToPeer(address, to);
  }

  #stayInLobby(address: ServerAddress): Promise<Outcome> {
    return stayInLobby({
      choice: this.#options,
      profile: this.#profile,
      terminal: this.#terminal,
      ticker: this.#ticker,
      address,
      access: this.#access,
      acquaintances: this.#acquaintances,
      interrupted: this.#interrupted,
      trace: this.#tracer(),
    });
  }

  async #talkToPeer(address: ServerAddress, to: string): Promise<Outcome> {
    const { name, receivePort, sendPort, advertised, relay } = this.#options;
    const profile = this.#profile;
    const kept = this.#terminal.interactive || this.#terminal.json;
    const link = await Thread.open({
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
      ephemeralKey: this.#access.ephemeralKey,
      link,
      openServer: (from) => this.#access.open(address, from),
      register: profile.registrar(systemEnvironment.time.date),
      checkPeer: (peer) => this.#acquaintances.check(to, peer),
      receivePort: receivePort ?? 0,
      sendPort,
      advertised,
      relay,
      onStatus: (status) => {
        this.#sayStatus(status, to);
        talker.onStatus(status);
      },
      trace: this.#tracer(),
    });
    const talker: Talker = this.#talker(to, {
      link,
      leave: (code) => conversation.leave(code),
      hurry: () => conversation.hurry(),
      path: () => describeWay(conversation.path, conversation.failures, to),
    });
    return await this.#both(talker, conversation.run(), link);
  }

  async #talkToServer(address: ServerAddress, to: string): Promise<Outcome> {
    const { name } = this.#options;
    const terminal = this.#terminal;
    const interrupted = aborted(this.#interrupted).then(() => "interrupted" as const);
    const server = await Promise.race([this.#access.open(address, undefined), interrupted]);
    if (server === "interrupted") return server;
    const register = this.#profile.registrar(systemEnvironment.time.date);
    const observed = await register((word) =>
      server.register({
        name,
        wanted: to,
        ...NO_PORTS,
        capabilities: 0,
        advertised: [],
        ...word,
      })
    );
    const { remote } = server;
    const title = server.channel.established.displayName;
    const status: Status = {
      type: "registered",
      server: remote,
      title,
      observed,
      ports: undefined,
    };
    this.#sayStatus(status, to);
    terminal.say("the server answers every message", { event: "connected", to });
    this.#acquaintances.meet(to, server.identity.fingerprint);
    const link = await Thread.open({
      key: { peer: to, suite: this.#profile.suite.name },
      kind: LogKind.live,
      random: systemEnvironment.random,
      time: systemEnvironment.time,
      onDelivery: (delivery) => talker.onDelivery(delivery),
    });
    const untick = this.#ticker.add((now) => link.tick(now));
    let leaving = false;
    const talker: Talker = this.#talker(to, {
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
  async #both(talker: Talker, connected: Promise<void>, link: Thread): Promise<Outcome> {
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
    to: string,
    { link, leave, hurry, path }: Pick<Talk, "link" | "leave" | "hurry" | "path">,
  ): Talker {
    const { name, giveUpAfter } = this.#options;
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
      label: () => this.#acquaintances.label(to),
      verify: () => this.#acquaintances.verify(to),
      markVerified: () => this.#acquaintances.markVerified(to),
    };
    if (terminal.interactive) return new Chat(talk);
    return terminal.json ? new JsonLines(talk) : new Pipe(talk, giveUpAfter);
  }

  /** For people what is new, once; for programs everything. */
  #sayStatus(status: Status, to: string): void {
    const { suite } = this.#options;
    const [text] = describeStatus(status, this.#acquaintances.label(to), suite);
    const [, facts] = describeStatus(status, to, suite);
    const isVerified = this.#acquaintances.isVerified(to);
    const event = status.type === "connected" ? { ...facts, isVerified } : facts;
    // The seconds until the next try are no news.
    const news = text.replace(/; next try in .*/, "");
    const known = status.type === "registered" ? news === this.#lastPlace : news === this.#lastNews;
    if (status.type === "registered") this.#lastPlace = news;
    else this.#lastNews = news;
    if (!known || this.#terminal.json) this.#terminal.say(text, event);
  }

  #tracer(): Tracer | undefined {
    return tracer(this.#options, this.#terminal);
  }
}

function tracer({ trace }: ConnectOptions, terminal: Terminal): Tracer | undefined {
  return trace ? (event) => terminal.trace(formatTrace(event), traceJson(event)) : undefined;
}
