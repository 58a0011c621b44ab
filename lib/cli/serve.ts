/** `cifra serve`: the meeting place. */
import { formatFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import {
  CONNECTIONS_TOTAL,
  DISPLAY_NAME_LIMIT,
  HANDSHAKES_PER_MINUTE,
  RELAY_RATE,
  RELAYED_PAIRS,
  STRANGERS_PER_SOURCE,
  STRANGERS_TOTAL,
} from "../limits.ts";
import { DEFAULT_PORT, formatInviteLine } from "../client/server_address.ts";
import type { ServerEvent } from "../server/events.ts";
import { Server } from "../server/server.ts";
import { systemEnvironment } from "../net/environment.ts";
import { MemoryStore } from "../store/memory.ts";
import { PrivateFolder } from "../store/private_files.ts";
import { defaultStateFolder } from "../store/state_folder.ts";
import { addressScope, canonicalAddress, formatEndpoint } from "../wire/address.ts";
import { encodeUtf8 } from "../bytes.ts";
import { type GivenOptions, parseOptions } from "./args.ts";
import { sanitize } from "./sanitize.ts";
import { aborted, exitCodeOfSignal, listenForSignals } from "./signals.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";

const MIB = 1024 * 1024;

export const SERVE_HELP = `cifra serve: run the meeting place

Usage: cifra serve [options]

  --host ADDRESS               listen there; may be repeated (default 127.0.0.1 and ::1,
                               this machine alone; 0.0.0.0 for the whole network)
  --port PORT                  listen there (default ${DEFAULT_PORT}; 0 takes any free port)
  --title NAME                 what clients see as the name of the server
  --state DIR                  keep keys there (default: the state folder of this user)
  --invite-only                admit only clients that have the invite line
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
  --log-ip                     log addresses, not tags for them
  --trace                      log every protocol message; never a secret
  --json                       one JSON object per line

Example, for a classroom:
  cifra serve --host 0.0.0.0 --title "Lab 3"
`;

interface ServeOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly title: string;
  readonly state: string | undefined;
  readonly inviteOnly: boolean;
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
    flags: ["invite-only", "allow-classic", "no-relay", "log-ip", "trace", "json", "help"],
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
    ],
    lists: ["host"],
  });
  const title = given.value("title") ?? "cifra server";
  if (encodeUtf8(title).length > DISPLAY_NAME_LIMIT) {
    throw new CifraError("usage", `--title must be at most ${DISPLAY_NAME_LIMIT} bytes`);
  }
  return {
    hosts: hostsOf(given),
    port: given.integer("port", 0, 65_535) ?? DEFAULT_PORT,
    title,
    state: given.value("state"),
    inviteOnly: given.flag("invite-only"),
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

/** Runs the server until a signal ends it; returns the exit code. */
export async function serve(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseServe(args);
  const environment = (name: string) => Deno.env.get(name);
  const state = options.state ?? defaultStateFolder(Deno.build.os, environment);
  const folder = await (await PrivateFolder.open(state)).folder("server");
  const unlock = await folder.lock();
  const signals = listenForSignals();
  try {
    const server = await Server.start({
      environment: systemEnvironment,
      hosts: options.hosts,
      port: options.port,
      folder,
      store: new MemoryStore(),
      displayName: options.title,
      allowClassic: options.allowClassic,
      inviteOnly: options.inviteOnly,
      limits: options,
      gateWidth: 2 * navigator.hardwareConcurrency,
      logAddresses: options.logAddresses,
      trace: options.trace,
      onEvent: (event) => log(terminal, event),
    });
    // Whatever goes wrong from here on, the others are served.
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      log(terminal, { event: "bug", reason: String(event.reason?.name) });
    });
    introduce(terminal, server, options, publicHost(options.hosts));
    await dropPermissions();
    await aborted(signals.interrupted);
    terminal.say("closing", { event: "closing" });
    await server.stop();
    return exitCodeOfSignal(signals.interrupted);
  } finally {
    signals.stop();
    unlock();
  }
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
): void {
  const endpoints = server.endpoints.map(formatEndpoint);
  const { port } = server.endpoints[0]!;
  const fingerprint = server.fingerprints.get("modern")!;
  const invite = formatInviteLine(host, port, fingerprint, server.inviteSecret);
  const fingerprints = [...server.fingerprints].map(([suite, key]) =>
    [suite, formatFingerprint(key)] as const
  );
  if (terminal.json) {
    const keys = Object.fromEntries(fingerprints);
    terminal.emit({ event: "listening", endpoints, port, fingerprints: keys, invite });
    return;
  }
  terminal.print(`"${sanitize(options.title)}" listens on ${endpoints.join(" and ")}`);
  for (const [suite, key] of fingerprints) terminal.print(`key ${suite.padEnd(8)} ${key}`);
  terminal.print(`invite       ${invite}`);
  if (options.allowClassic) {
    terminal.say("the suite classic is for study: its encryption can be broken with known means");
  }
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

/** The same event lines at most once a second; what was left out is counted. */
const lastLogged = new Map<string, { at: number; suppressed: number }>();
const LOG_REPEAT_INTERVAL = 1000;
const NOISY: ReadonlySet<ServerEvent["event"]> = new Set([
  "refused-connection",
  "handshake-failed",
  "registration-refused",
  "accept-trouble",
  "bug",
]);

function log(terminal: Terminal, event: ServerEvent): void {
  let more = 0;
  if (NOISY.has(event.event)) {
    const now = performance.now();
    const previous = lastLogged.get(event.event);
    if (previous && now - previous.at < LOG_REPEAT_INTERVAL) {
      previous.suppressed++;
      return;
    }
    more = previous?.suppressed ?? 0;
    lastLogged.set(event.event, { at: now, suppressed: 0 });
  }
  if (event.event === "trace") {
    const step = { with: event.source, ...event.step };
    return terminal.trace(formatTrace(step), traceJson(step));
  }
  const time = new Date().toISOString();
  const json: JsonEvent = { time, ...event, ...(more > 0 && { suppressed: more }) };
  const text = describe(event) + (more > 0 ? ` (and ${more} more like it)` : "");
  terminal.say(`${time.slice(11, 19)} ${text}`, json);
}

function describe(event: Exclude<ServerEvent, { event: "trace" }>): string {
  switch (event.event) {
    case "registered":
      return `${event.name} waits for ${event.wanted} (${event.suite}, key ${event.client}, ` +
        `from ${event.source})`;
    case "registration-refused":
      return `refused a registration: ${event.code} (key ${event.client}, from ${event.source})`;
    case "replaced":
      return `${event.name} connected again`;
    case "introduced":
      return `introduced ${event.names.join(" and ")}`;
    case "relaying":
      return `relaying between ${event.names.join(" and ")}`;
    case "relayed":
      return `relayed ${event.bytes} bytes between ${event.names.join(" and ")}`;
    case "suite-mismatch":
      return `${event.names.join(" and ")} use different suites`;
    case "left":
      return `${event.name} left${event.code === "goodbye" ? "" : `: ${event.code}`}`;
    case "handshake-failed":
      return `handshake failed: ${event.code} (from ${event.source})`;
    case "refused-connection":
      return `refused a connection: ${event.reason} (from ${event.source})`;
    case "accept-trouble":
      return `cannot accept connections at the moment: ${event.reason}`;
    case "bug":
      return `a bug in cifra: ${event.reason}; please report it`;
  }
}
