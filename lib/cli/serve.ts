/** `cifra serve`: the server. */
import type { Bytes } from "../bytes.ts";
import { formatInviteLine } from "../client/server_address.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { dayOf } from "../flow/time.ts";
import { systemEnvironment } from "../net/environment.ts";
import { serveHttp } from "../net/http.ts";
import { listenLocally, type LocalConnection } from "../net/local_socket.ts";
import { reachableAddresses } from "../net/own_addresses.ts";
import type { ConsoleOptions } from "../server/console.ts";
import type { ServerEvent } from "../server/events.ts";
import { healthPage } from "../server/health.ts";
import { Metrics } from "../server/metrics.ts";
import { Server, type ServerBehaviour } from "../server/server.ts";
import type { PrivateFolder } from "../store/private_files.ts";
import { SqliteMailbox } from "../store/sqlite_mailbox.ts";
import { backUpServerStore, SqliteServerStore } from "../store/sqlite_server.ts";
import { addressScope, formatEndpoint } from "../wire/address.ts";
import { type Line, quoted } from "../wire/line.ts";
import { type Given, parse } from "./args.ts";
import { SERVE } from "./serve_command.ts";
import { answerOperator, openConsole, operate, serverFolder, socketPath } from "./operate.ts";
import { giveUpAll } from "./permissions.ts";
import { runFramed } from "./run.ts";
import { LogFile, ServerLog } from "./server_log.ts";
import type { Terminal } from "./terminal.ts";

const MIB = 1024 * 1024;

/** Who may come in. */
type AdmissionMode = "open" | "invite" | "accounts";

interface ServeOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  /** The host of the invite line; undefined chooses. */
  readonly inviteHost: string | undefined;
  readonly title: Line;
  readonly state: string | undefined;
  readonly admission: AdmissionMode;
  readonly newNamesPerDay: number;
  /** Bytes. */
  readonly budget: number;
  /** Bytes of disk for the mailbox; undefined without one. */
  readonly mailboxBudget: number | undefined;
  readonly log: string | undefined;
  readonly http: number | undefined;
  readonly backup: string | undefined;
  readonly allowClassic: boolean;
  readonly connections: number;
  readonly connectionsPerKey: number;
  readonly connectionsPerSource: number;
  readonly strangers: number;
  readonly strangersPerSource: number;
  readonly handshakesPerMinute: number;
  readonly penalties: boolean;
  readonly quotas: boolean;
  readonly introductionsPerHour: number;
  readonly relayedPairs: number;
  readonly relayedPerKey: number;
  readonly relayedPerSource: number;
  readonly relayRate: number;
  readonly relayRatePerSource: number;
  readonly logAddresses: boolean;
  readonly logPeople: boolean;
  readonly trace: boolean;
}

/** Reads the arguments of `serve` without an action; throws `usage`. */
export function parseServe(args: readonly string[]): ServeOptions {
  return serveOptions(parse(SERVE, args).given);
}

function serveOptions(given: Given<typeof SERVE>): ServeOptions {
  const hosts = given.host.length > 0 ? given.host : ["127.0.0.1", "::1"];
  const isHere = hosts.every((host) => addressScope(host) === "loopback");
  return {
    hosts,
    port: given.port,
    inviteHost: given["invite-host"],
    title: given.title,
    state: given.state,
    admission: given.admission ?? (isHere ? "open" : "invite"),
    newNamesPerDay: given["new-names-per-day"],
    budget: given.budget * MIB,
    mailboxBudget: given["no-mailbox"] ? undefined : given["mailbox-budget"] * MIB,
    log: given.log,
    http: given.http,
    backup: given.backup,
    allowClassic: given["allow-classic"],
    connections: given["max-connections"],
    connectionsPerKey: given["max-connections-per-key"],
    connectionsPerSource: given["max-connections-per-address"],
    strangers: given["max-strangers"],
    strangersPerSource: given["max-strangers-per-address"],
    handshakesPerMinute: given["handshakes-per-minute"],
    penalties: !given["no-penalties"],
    quotas: !given["no-quotas"],
    introductionsPerHour: given["introductions-per-hour"],
    relayedPairs: given["no-relay"] ? 0 : given["max-relayed"],
    relayedPerKey: given["max-relayed-per-key"],
    relayedPerSource: given["max-relayed-per-address"],
    relayRate: given["relay-rate"] * MIB,
    relayRatePerSource: given["relay-rate-per-address"] * MIB,
    logAddresses: given["log-ip"],
    logPeople: given["log-people"],
    trace: given.trace,
  };
}

/** Runs the server until a signal or its operator ends it; returns the exit code. */
export async function serve(args: readonly string[], terminal: Terminal): Promise<number> {
  const { action, words, given } = parse(SERVE, args);
  if (action !== undefined) return await operate(action, words, given.state, terminal);
  const options = serveOptions(given);
  terminal.drops = true;
  const folder = await serverFolder(options.state);
  if (options.backup !== undefined) {
    await backUpServerStore(folder, options.backup);
    terminal.say(`copied the database to ${options.backup}`, { event: "backup" });
    return 0;
  }
  const unlock = await folder.lock();
  try {
    await folder.removeUnfinished();
    return await runFramed(terminal, async ({ interrupted }) => {
      await using stack = new AsyncDisposableStack();
      const store = await SqliteServerStore.open(folder, { budget: options.budget });
      stack.defer(() => store.close());
      const { mailboxBudget: budget } = options;
      const { after } = systemEnvironment.time;
      const mail = budget === undefined
        ? undefined
        : await SqliteMailbox.open(folder, { budget, after });
      if (mail) stack.defer(() => mail.close());
      return await run(options, terminal, folder, { store, mail }, interrupted);
    }, { takesKeys: true });
  } finally {
    unlock();
  }
}

async function run(
  options: ServeOptions,
  terminal: Terminal,
  folder: PrivateFolder,
  { store, mail }: Pick<ServerBehaviour, "store" | "mail">,
  interrupted: AbortSignal,
): Promise<number | "interrupted"> {
  const file = options.log ? LogFile.open(options.log) : undefined;
  const log = new ServerLog(terminal, file, { people: options.logPeople });
  const metrics = new Metrics(systemEnvironment.time.now);
  const tell = (event: ServerEvent) => {
    metrics.count(event);
    log.tell(event);
  };
  const server = await Server.start({
    environment: systemEnvironment,
    hosts: options.hosts,
    port: options.port,
    folder,
    store,
    mail,
    displayName: options.title,
    allowClassic: options.allowClassic,
    inviteOnly: options.admission === "invite",
    rules: {
      accountsOnly: options.admission === "accounts",
      newNamesPerDay: options.newNamesPerDay,
    },
    limits: options,
    gateWidth: 2 * navigator.hardwareConcurrency,
    logAddresses: options.logAddresses,
    trace: options.trace,
    onEvent: tell,
  });
  const endings: (() => void | Promise<void>)[] = [() => server.stop()];
  try {
    endings.push(outlive((error) => tell({ event: "bug", reason: String(error?.name) })));
    const publicly = publicHosts(options);
    const [host] = publicly;
    const asked = Promise.withResolvers<void>();
    const console: ConsoleOptions = {
      server,
      store,
      metrics,
      date: systemEnvironment.time.date,
      inviteLine: (secret) => inviteLine(server, host, secret),
      quit: asked.resolve,
    };
    // What fails there is a bug, which `outlive` tells.
    const onOperator = (connection: LocalConnection) => void answerOperator(connection, console);
    endings.push(listenForOperators(options.state, onOperator, terminal));
    const http = options.http === undefined
      ? undefined
      : serveHttp(options.http, (path) => healthPage(path, { metrics, server, store }));
    if (http) endings.push(http.close);
    introduce(terminal, server, options, publicly, http?.port);
    // Nothing of a client was read yet: there was no pause since the port was opened.
    giveUpAll();
    // On a terminal that is frozen it opens late, or never: nobody waits for it.
    if (terminal.interactive) {
      openConsole(terminal, console).then((close) => void endings.push(close), asked.reject);
    }
    await Promise.race([aborted(interrupted), asked.promise, terminal.failed]);
    terminal.say("closing", { event: "closing" });
    return interrupted.aborted ? "interrupted" : 0;
  } finally {
    for (const end of endings) await end();
    log.close();
  }
}

/** A server serves without its console where there can be no socket, as on a path that is too long for one. */
function listenForOperators(
  state: string | undefined,
  onOperator: (connection: LocalConnection) => void,
  terminal: Terminal,
): () => void {
  try {
    return listenLocally(socketPath(state), onOperator);
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    const { message, hint } = error;
    const what = "serve console and serve invite do not reach this server";
    terminal.say(`${message}; ${what}${hint === undefined ? "" : ` (${hint})`}`, {
      event: "no-console",
      message,
      ...hint !== undefined && { hint },
    });
    return () => {};
  }
}

/** Whatever goes wrong unnoticed, the others are served; until the returned function is called. */
function outlive(tell: (error: Error | undefined) => void): () => void {
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    tell(event.reason);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    tell(event.error);
  };
  addEventListener("unhandledrejection", onRejection);
  addEventListener("error", onError);
  return () => {
    removeEventListener("unhandledrejection", onRejection);
    removeEventListener("error", onError);
  };
}

function introduce(
  terminal: Terminal,
  server: Server,
  options: ServeOptions,
  [host, ...otherHosts]: readonly [string, ...string[]],
  http: number | undefined,
): void {
  const endpoints = server.endpoints.map(formatEndpoint);
  const { port } = server.endpoints[0]!;
  // To a server that is open, and on this machine alone, nobody needs a line to find it or to come in.
  const isHere = options.inviteHost === undefined && addressScope(host) === "loopback";
  const isUseful = options.admission !== "open" || !isHere;
  const standing = isUseful ? server.invites.standing(Date.now()) : undefined;
  const invite = standing && inviteLine(server, host, standing.secret);
  const fingerprints = [...server.fingerprints].map(([suite, key]) =>
    [suite, formatFingerprint(key)] as const
  );
  if (terminal.json) {
    const keys = Object.fromEntries(fingerprints);
    const more = {
      ...invite && { invite, inviteHosts: [host, ...otherHosts] },
      ...http !== undefined && { http },
    };
    terminal.emit({ event: "listening", endpoints, port, fingerprints: keys, ...more });
    return;
  }
  terminal.print(`${quoted(options.title)} listens on ${endpoints.join(" and ")}`);
  for (const [suite, key] of fingerprints) terminal.print(`key ${suite.padEnd(8)} ${key}`);
  if (standing) {
    const { uses, expires } = standing.invite;
    const until = dayOf(expires);
    terminal.print(`invite       ${invite}`);
    terminal.print(`             lets ${uses} more people in until ${until}; renew sets both anew`);
    if (options.inviteHost === undefined && !isHere && otherHosts.length > 0) {
      terminal.print(`             with ${host}; --invite-host puts in another:`);
      terminal.print(`             ${otherHosts.join(", ")}`);
    }
  }
  if (http !== undefined) terminal.print(`http         127.0.0.1:${http}`);
  if (options.allowClassic) {
    terminal.say("the suite classic is for study: its encryption can be broken with known means");
  }
}

function inviteLine(server: Server, host: string, secret: Bytes): string {
  const { port } = server.endpoints[0]!;
  return formatInviteLine(host, port, server.fingerprints.get("modern")!, secret);
}

/** The hosts for the invite line, of which the first stands in it. */
function publicHosts({ inviteHost, hosts }: ServeOptions): readonly [string, ...string[]] {
  const listed = hosts.filter((host) => addressScope(host) !== "unspecified");
  const isEverywhere = listed.length < hosts.length;
  const candidates = isEverywhere ? reachableAddresses() : listed;
  const [first, ...more] = [
    ...inviteHost === undefined ? [] : [inviteHost],
    ...candidates.filter((host) => host !== inviteHost),
  ];
  return [first ?? "127.0.0.1", ...more];
}
