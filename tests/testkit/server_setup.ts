/** A server in this process, put together as `lib/` does it. */
import type { Bytes } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { INTRODUCTIONS_PER_HOUR, STRANGERS_PER_SOURCE, STRANGERS_TOTAL } from "../../lib/limits.ts";
import type { OurSide } from "../../lib/handshake/state.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Server, type ServerBehaviour, type ServerSetup } from "../../lib/server/server.ts";
import type { DirectoryRules } from "../../lib/services/directory.ts";
import type { PrivateFolder } from "../../lib/store/private_files.ts";
import { MemoryMailbox } from "./memory_mailbox.ts";
import { MemoryServerStore } from "./memory_server.ts";
import { lineOf } from "../../lib/wire/line.ts";

/** The limits of a server as it is shipped, but without a rate for each source. */
export const NO_RATE = {
  connections: 1024,
  connectionsPerKey: 0,
  connectionsPerSource: 0,
  strangers: STRANGERS_TOTAL,
  strangersPerSource: STRANGERS_PER_SOURCE,
  handshakesPerMinute: 0,
  penalties: true,
  quotas: true,
  introductionsPerHour: INTRODUCTIONS_PER_HOUR,
  relayedPairs: 16,
  relayedPerKey: 0,
  relayedPerSource: 0,
  relayRatePerSource: 0,
  relayRate: 0,
};

/** Anybody may take names, as many as they like. */
export const NO_RULES: DirectoryRules = { accountsOnly: false, newNamesPerDay: 0 };

/** What a test's server is unless the test says otherwise: open to anybody on a free port of this machine. */
function usual(): ServerBehaviour {
  return {
    environment: systemEnvironment,
    hosts: ["127.0.0.1"],
    port: 0,
    store: new MemoryServerStore(),
    mail: new MemoryMailbox(),
    displayName: lineOf("test server"),
    inviteOnly: false,
    rules: NO_RULES,
    limits: NO_RATE,
    gateWidth: 4,
    logAddresses: false,
    trace: false,
    onEvent: () => {},
  };
}

/** Starts a server whose keys are in `folder`, made when they are not there; by default of all suites. */
export function serverIn(
  folder: PrivateFolder,
  changes: Partial<ServerSetup> = {},
): Promise<Server> {
  return Server.start({ ...usual(), folder, allowClassic: true, ...changes });
}

/** Starts a server that has these keys, and needs no disk. */
export function serverOf(
  sides: readonly OurSide[],
  changes: Partial<ServerBehaviour> = {},
  inviteSecret: Bytes = systemRandom(32),
): Server {
  const bySuite = new Map(sides.map((side) => [side.suite.id, side]));
  return new Server({ ...usual(), ...changes }, {
    sides: bySuite,
    stocks: [],
    inviteSecret,
    saltSecret: systemRandom(32),
    ticketSecret: systemRandom(32),
  });
}
