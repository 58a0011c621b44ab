/** `cifra serve`: the meeting place. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { DEFAULT_PORT, formatInviteLine } from "../client/server_address.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import {
  CONNECTIONS_TOTAL,
  DISPLAY_NAME_LIMIT,
  HANDSHAKES_PER_MINUTE,
  LOG_FILE_LIMIT,
  LOG_FILES,
  NEW_NAMES_PER_DAY,
  RELAY_RATE,
  RELAYED_PAIRS,
  STORE_BUDGET,
  STRANGERS_PER_SOURCE,
  STRANGERS_TOTAL,
} from "../limits.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { serveHttp } from "../net/http.ts";
import { listenLocally } from "../net/local_socket.ts";
import type { ConsoleOptions } from "../server/console.ts";
import type { ServerEvent } from "../server/events.ts";
import { healthPage } from "../server/health.ts";
import { Metrics } from "../server/metrics.ts";
import { Server } from "../server/server.ts";
import type { PrivateFolder } from "../store/private_files.ts";
import type { ServerStore } from "../store/server_store.ts";
import { backUpServerStore, SqliteServerStore } from "../store/sqlite_server.ts";
import { addressScope, canonicalAddress, formatEndpoint } from "../wire/address.ts";
import { type GivenOptions, parseOptions } from "./args.ts";
import { answerOperator, openConsole, serverFolder, socketPath } from "./operate.ts";
import { runFramed } from "./run.ts";
import { sanitize } from "./sanitize.ts";
import { LogFile, ServerLog } from "./server_log.ts";
import type { Terminal } from "./terminal.ts";

const MIB = 1024 * 1024;

export const SERVE_HELP = `cifra serve: run the meeting place

Usage: cifra serve [options]

  --host ADDRESS               listen there; may be repeated (default 127.0.0.1 and ::1,
                               this machine alone; 0.0.0.0 for the whole network)
  --port PORT                  listen there (default ${DEFAULT_PORT}; 0 takes any free port)
  --title NAME                 what clients see as the name of the server
  --state DIR                  keep keys there (default: the state folder of this user)
  --admission MODE             who may come in: open, invite (with an invite line), or accounts
                               (everybody may make one); default: open on this machine alone,
                               invite on a network
  --new-names-per-day N        new names from one address (default ${NEW_NAMES_PER_DAY}; 0 does not count)
  --allow-classic              also accept the suite classic, which is for study
  --max-connections N          at most so many clients (default ${CONNECTIONS_TOTAL})
  --max-strangers N            at most so many that have not shown who they are (default ${STRANGERS_TOTAL})
  --max-strangers-per-address N   and so many from one address (default ${STRANGERS_PER_SOURCE})
  --handshakes-per-minute N    from one address (default ${HANDSHAKES_PER_MINUTE}; 0 does not count)
  --no-relay                   do not forward between people who cannot reach each other
  --max-relayed N              at most so many pairs at once (default ${RELAYED_PAIRS})
  --relay-rate MIB             so many MiB a second for each (default ${
  RELAY_RATE / MIB
}; 0 for no limit)
  --budget MIB                 so much disk for names and accounts (default ${STORE_BUDGET / MIB})
  --log FILE                   log there as well, as JSON lines; up to ${LOG_FILES} files of ${
  LOG_FILE_LIMIT / MIB
} MiB
  --http PORT                  GET /healthz and /metrics there, for this machine alone (0: any port)
  --log-ip                     log addresses, not tags for them
  --trace                      log every protocol message; never a secret
  --json                       one JSON object per line

While a server runs, on its machine:
  cifra serve console          its console (the server's own terminal has it as well)
  cifra serve invite [DAYS] [USES]   a new invite line
  cifra serve --backup FILE    copy the database of names and accounts

Example, for a classroom:
  cifra serve --host 0.0.0.0 --title "Lab 3"
`;

/** Who may come in. */
export type AdmissionMode = "open" | "invite" | "accounts";
const ADMISSION_MODES: readonly AdmissionMode[] = ["open", "invite", "accounts"];

interface ServeOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly title: string;
  readonly state: string | undefined;
  readonly admission: AdmissionMode;
  readonly newNamesPerDay: number;
  /** Bytes. */
  readonly budget: number;
  readonly log: string | undefined;
  readonly http: number | undefined;
  readonly backup: string | undefined;
  readonly allowClassic: boolean;
  readonly connections: number;
  readonly strangers: number;
  readonly strangersPerSource: number;
  readonly handshakesPerMinute: number;
  readonly relayedPairs: number;
  readonly relayRate: number;
  readonly logAddresses: boolean;
  readonly trace: boolean;
}

/** Reads the arguments of `serve`; throws `usage`. */
export function parseServe(args: readonly string[]): ServeOptions {
  const given = parseOptions(args, {
    flags: ["allow-classic", "no-relay", "log-ip", "trace", "json", "help"],
    values: [
      "port",
      "title",
      "state",
      "max-connections",
      "max-strangers",
      "max-strangers-per-address",
      "handshakes-per-minute",
      "max-relayed",
      "relay-rate",
      "admission",
      "new-names-per-day",
      "budget",
      "log",
      "http",
      "backup",
    ],
    lists: ["host"],
  });
  const title = given.value("title") ?? "cifra server";
  if (encodeUtf8(title).length > DISPLAY_NAME_LIMIT) {
    throw new CifraError("usage", `--title must be at most ${DISPLAY_NAME_LIMIT} bytes`);
  }
  const hosts = hostsOf(given);
  const isHere = hosts.every((host) => addressScope(host) === "loopback");
  const mode = given.value("admission") ?? (isHere ? "open" : "invite");
  const admission = ADMISSION_MODES.find((known) => known === mode);
  if (!admission) {
    throw new CifraError(
      "usage",
      `--admission must be ${ADMISSION_MODES.join(", ")}, got "${mode}"`,
    );
  }
  return {
    hosts,
    port: given.integer("port", 0, 65_535) ?? DEFAULT_PORT,
    title,
    state: given.value("state"),
    admission,
    newNamesPerDay: given.integer("new-names-per-day", 0, 1_000_000) ?? NEW_NAMES_PER_DAY,
    budget: (given.integer("budget", 1, 1_000_000) ?? STORE_BUDGET / MIB) * MIB,
    log: given.value("log"),
    http: given.integer("http", 0, 65_535),
    backup: given.value("backup"),
    allowClassic: given.flag("allow-classic"),
    connections: given.integer("max-connections", 1, 1_000_000) ?? CONNECTIONS_TOTAL,
    strangers: given.integer("max-strangers", 1, 1_000_000) ?? STRANGERS_TOTAL,
    strangersPerSource: given.integer("max-strangers-per-address", 1, 1_000_000) ??
      STRANGERS_PER_SOURCE,
    handshakesPerMinute: given.integer("handshakes-per-minute", 0, 1_000_000) ??
      HANDSHAKES_PER_MINUTE,
    relayedPairs: given.flag("no-relay")
      ? 0
      : given.integer("max-relayed", 1, 1_000_000) ?? RELAYED_PAIRS,
    relayRate: (given.integer("relay-rate", 0, 1_000_000) ?? RELAY_RATE / MIB) * MIB,
    logAddresses: given.flag("log-ip"),
    trace: given.flag("trace"),
  };
}

function hostsOf(given: GivenOptions): readonly string[] {
  const hosts = given.list("host").map((text) => {
    const host = canonicalAddress(text);
    if (!host) throw new CifraError("usage", `--host must be an IP address, got "${text}"`);
    return host;
  });
  return hosts.length > 0 ? hosts : ["127.0.0.1", "::1"];
}

/** Runs the server until a signal or its operator ends it; returns the exit code. */
export async function serve(args: readonly string[], terminal: Terminal): Promise<number> {
  if (args[0] === "console" || args[0] === "invite") {
    const { operate } = await import("./operate.ts");
    return await operate(args, terminal);
  }
  const options = parseServe(args);
  const folder = await serverFolder(options.state);
  if (options.backup !== undefined) {
    await backUpServerStore(folder, options.backup);
    terminal.say(`copied the database to ${options.backup}`, { event: "backup" });
    return 0;
  }
  const unlock = await folder.lock();
  try {
    return await runFramed(async ({ interrupted }) => {
      const store = await SqliteServerStore.open(folder, { budget: options.budget });
      try {
        return await run(options, terminal, folder, store, interrupted);
      } finally {
        store.close();
      }
    }, { hangUp: terminal.interactive });
  } finally {
    unlock();
  }
}

async function run(
  options: ServeOptions,
  terminal: Terminal,
  folder: PrivateFolder,
  store: ServerStore,
  interrupted: AbortSignal,
): Promise<number | "interrupted"> {
  const log = new ServerLog(terminal, options.log ? LogFile.open(options.log) : undefined);
  const metrics = new Metrics();
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
    const host = publicHost(options.hosts);
    const asked = Promise.withResolvers<void>();
    const console: ConsoleOptions = {
      server,
      store,
      date: systemEnvironment.time.date,
      inviteLine: (secret) => inviteLine(server, host, secret),
      quit: asked.resolve,
    };
    endings.push(listenLocally(socketPath(options.state), (connection) => {
      answerOperator(connection, console).catch(() => {});
    }));
    const http = options.http === undefined
      ? undefined
      : serveHttp(options.http, (path) => healthPage(path, { metrics, server, store }));
    if (http) endings.push(http.close);
    introduce(terminal, server, options, host, http?.port);
    if (terminal.interactive) endings.push(await openConsole(terminal, console));
    await dropPermissions();
    await Promise.race([aborted(interrupted), asked.promise]);
    terminal.say("closing", { event: "closing" });
    return interrupted.aborted ? "interrupted" : 0;
  } finally {
    for (const end of endings) await end();
    log.close();
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

/** From here on the process accepts connections and talks on those it has; it can do nothing else. */
async function dropPermissions(): Promise<void> {
  for (const name of ["net", "read", "write", "env", "sys", "run", "ffi"] as const) {
    await Deno.permissions.revoke({ name });
  }
}

function introduce(
  terminal: Terminal,
  server: Server,
  options: ServeOptions,
  host: string,
  http: number | undefined,
): void {
  const endpoints = server.endpoints.map(formatEndpoint);
  const { port } = server.endpoints[0]!;
  const invite = inviteLine(server, host, server.inviteSecret);
  const fingerprints = [...server.fingerprints].map(([suite, key]) =>
    [suite, formatFingerprint(key)] as const
  );
  if (terminal.json) {
    const keys = Object.fromEntries(fingerprints);
    const more = http === undefined ? {} : { http };
    terminal.emit({ event: "listening", endpoints, port, fingerprints: keys, invite, ...more });
    return;
  }
  terminal.print(`"${sanitize(options.title)}" listens on ${endpoints.join(" and ")}`);
  for (const [suite, key] of fingerprints) terminal.print(`key ${suite.padEnd(8)} ${key}`);
  terminal.print(`invite       ${invite}`);
  if (http !== undefined) terminal.print(`http         127.0.0.1:${http}`);
  if (options.allowClassic) {
    terminal.say("the suite classic is for study: its encryption can be broken with known means");
  }
}

function inviteLine(server: Server, host: string, secret: Bytes): string {
  const { port } = server.endpoints[0]!;
  return formatInviteLine(host, port, server.fingerprints.get("modern")!, secret);
}

/** An address under which others can reach us, for the invite line. */
function publicHost(hosts: readonly string[]): string {
  const own = hosts.find((host) => addressScope(host) !== "unspecified");
  if (own) return own;
  try {
    const addresses = Deno.networkInterfaces()
      .map(({ address }) => canonicalAddress(address.replace(/%.*$/, "")))
      .filter((address) => address !== undefined);
    const reachable = (address: string) => ["private", "public"].includes(addressScope(address));
    return addresses.find((address) => !address.includes(":") && reachable(address)) ??
      addresses.find(reachable) ?? "127.0.0.1";
  } catch {
    return "127.0.0.1";
  }
}
