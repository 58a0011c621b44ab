/** `cifra users`: who is in the lobby, told once. */
import type { Home } from "../client/home.ts";
import { askKnown } from "../client/known_people.ts";
import { Lobby } from "../client/lobby.ts";
import { Pins } from "../client/pins.ts";
import { openProfileFolder, PEERS_FILE } from "../client/profile.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { isSuiteName, type SuiteName } from "../crypto/suite.ts";
import { Person } from "../client/person.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import { parse } from "./args.ts";
import { USERS } from "./commands.ts";
import { profilePath, stateFolder } from "../store/state_folder.ts";
import { type CommandFrame, runFramed } from "./run.ts";
import { askEverybody, askUsers, describeKnown, type People, sorted } from "./running.ts";
import { ServerAccess } from "./server_access.ts";
import { type ServerOptions, serverOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";
import { sayWaiting } from "./waiting.ts";

/** Prints who is there; returns the exit code, which is 0 also when nobody is. */
export async function users(args: readonly string[], terminal: Terminal): Promise<number> {
  const { given } = parse(USERS, args);
  const options = serverOptions(given);
  return await runFramed(terminal, async (frame) => {
    if (given.all) return await printAll(options, frame, terminal);
    const people = await lookIntoLobby(options, frame, terminal);
    if (people === "interrupted") return people;
    const known = terminal.json ? await knownPeople(options) : undefined;
    for (const [name, state] of people) {
      if (known) {
        terminal.emit({ event: "user", name, state, ...keyOf(known, name, options.suite) });
      } else terminal.print(state === "away" ? `${name}\taway` : name);
    }
    return 0;
  });
}

/** Everybody whom the server knows, a line for each key. */
async function printAll(
  options: ServerOptions,
  frame: CommandFrame,
  terminal: Terminal,
): Promise<number | "interrupted"> {
  const folder = profilePath(stateFolder(options.state), options.name);
  const everybody = await askEverybody(folder) ??
    await askServer(options, frame, terminal, async ({ home }) => {
      const link = await home.registered();
      return link ? describeKnown(await askKnown(link)) : [];
    });
  if (everybody === "interrupted") return everybody;
  const known = await knownPeople(options);
  for (const { name, state, suite, fingerprint } of everybody) {
    const pinned = isSuiteName(suite) ? known.knownAs(name, suite) : undefined;
    const isVerified = pinned !== undefined && pinned.isVerified &&
      formatFingerprint(pinned.fingerprint) === fingerprint;
    if (terminal.json) {
      terminal.emit({ event: "user", name, state, suite, fingerprint, isVerified });
    } else terminal.print([name, state, suite, fingerprint].join("\t"));
  }
  return 0;
}

/** Whom this profile knows; another program may have it open. */
async function knownPeople({ state, name }: ServerOptions): Promise<Pins> {
  return await Pins.open(await openProfileFolder(stateFolder(state), name), PEERS_FILE);
}

/** The key by which somebody is known, and whether words were compared. */
function keyOf(known: Pins, name: string, suite: SuiteName): Readonly<Record<string, unknown>> {
  const pinned = known.knownAs(name, suite);
  if (!pinned) return { isVerified: false };
  const { fingerprint, isVerified } = pinned;
  return { suite, fingerprint: formatFingerprint(fingerprint), isVerified };
}

async function lookIntoLobby(
  options: ServerOptions,
  frame: CommandFrame,
  terminal: Terminal,
): Promise<People | "interrupted"> {
  // A program that has the profile open knows, or asks for us.
  const folder = profilePath(stateFolder(options.state), options.name);
  return await askUsers(folder) ??
    await askServer(options, frame, terminal, async ({ home, lobby }) => {
      if (await home.registered()) await home.who();
      return sorted(lobby.people);
    });
}

/** Asks something once the server has been reached; until then trouble is waited out. */
async function askServer<T>(
  options: ServerOptions,
  { interrupted, ticker, openProfile }: CommandFrame,
  terminal: Terminal,
  ask: (there: { readonly home: Home; readonly lobby: Lobby }) => Promise<T>,
): Promise<T | "interrupted"> {
  const profile = await openProfile(options);
  const access = new ServerAccess(options, profile, terminal, ticker);
  const address = await access.address();
  const { name, suite, identity } = profile;
  const onTrouble = sayWaiting(terminal);
  const lobby = new Lobby({
    time: systemEnvironment.time,
    ourName: name,
    suite,
    changesPause: 0,
    onChanges: () => {},
    onOffer: () => {},
  });
  const person = new Person({
    environment: systemEnvironment,
    ticker,
    name,
    suite,
    identity,
    ephemeralKey: access.ephemeralKey,
    store: undefined,
    openServer: () => access.open(address, undefined),
    register: profile.registrar(systemEnvironment.time.date),
    checkPeer: () => Promise.reject(new Error("Nobody is asked for")),
    receivePort: 0,
    sendPort: undefined,
    advertised: [],
    // Nobody is talked to: there is no port to open, and no address to tell.
    relay: "only",
    lobby: "absent",
    giveUpAfter: options.giveUpAfter,
    onStatus: (status) => {
      if (status.type === "server-lost") onTrouble(status.error, status.retryIn);
    },
    onLobby: (word) => lobby.take(word),
  });
  const release = person.home.hold();
  const asking = ask({ home: person.home, lobby }).finally(release);
  const staying = person.run();
  try {
    const signal = aborted(interrupted).then(() => "interrupted" as const);
    const first = await Promise.race([asking, staying.then(() => asking), signal]);
    return first;
  } finally {
    person.leave();
    lobby.stop();
    // What one of them failed with is told by the race.
    await Promise.allSettled([asking, staying]);
  }
}
