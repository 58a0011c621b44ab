/** `cifra connect`: find a person, and talk. */
import { Conversation, type Status } from "../client/conversation.ts";
import { Thread } from "../client/thread.ts";
import { Profile } from "../client/profile.ts";
import type { ServerAddress } from "../client/server_address.ts";
import { NO_PORTS } from "../client/server_link.ts";
import type { Tracer } from "../client/trace.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { Ticker } from "../flow/ticker.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { stateFolder } from "../store/state_folder.ts";
import { formatEndpoint } from "../wire/address.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { fetchKeys, makeAccount } from "./account.ts";
import { Acquaintances } from "./acquaintances.ts";
import { Chat } from "./chat.ts";
import { type ConnectOptions, parseConnect } from "./connect_options.ts";
import { greet } from "./greeting.ts";
import { JsonLines } from "./json_lines.ts";
import { stayInLobby } from "./lobby.ts";
import { Pipe } from "./pipe.ts";
import { Secrets } from "./secrets.ts";
import { ServerAccess } from "./server_access.ts";
import { connectCommand } from "./server_options.ts";
import { exitCodeOfInterruption, exitCodeOfSignal, listenForSignals } from "./signals.ts";
import { describeStatus, describeWay } from "./status.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";
import type { Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";

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
