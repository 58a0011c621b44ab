/** `cifra connect`: find people, and talk. */
import type { Profile } from "../client/profile.ts";
import type { ServerAddress } from "../client/server_address.ts";
import type { Tracer } from "../client/trace.ts";
import { CifraError, isRefusal } from "../errors.ts";
import { PIPE_PATIENCE } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import { stateFolder } from "../store/state_folder.ts";
import { chooseAccount, fetchKeys, makeAccount } from "./account.ts";
import { type ConnectOptions, parseConnect } from "./connect_options.ts";
import { Desk } from "./desk.ts";
import type { Outcome } from "./desk_front.ts";
import { decideBy, requireFolder } from "./file_options.ts";
import { greet } from "./greeting.ts";
import { Ignored } from "./ignored.ts";
import { describeLost, lostJson } from "./message_words.ts";
import { type CommandFrame, runFramed } from "./run.ts";
import { answerForProgram } from "./running.ts";
import { ServerAccess } from "./server_access.ts";
import type { Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";
import { TypedLines } from "./typed_lines.ts";
import { contactsOf, knownBefore, remembering } from "./visit.ts";

/** Connects and talks; returns the exit code. */
export async function connect(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseConnect(args);
  if (options.to === undefined && !terminal.interactive && !terminal.json) {
    throw new CifraError("usage", "The lobby needs a terminal, and there is none", {
      hint: "say with --to who the pipe is for, or use --json",
    });
  }
  if (terminal.interactive) {
    terminal.bell = options.bell;
    terminal.looks = { colours: terminal.wantsColours(options.color), times: options.times };
  }
  return await sit(options, terminal);
}

/** One sitting; a second one when the first has shown that an account is needed. */
async function sit(options: ConnectOptions, terminal: Terminal): Promise<number> {
  let again: ConnectOptions | undefined;
  let isDone = false;
  const code = await runFramed(terminal, async (frame) => {
    const place: Place = {};
    try {
      const outcome = await talk(options, terminal, frame, place);
      if (outcome === "interrupted") return outcome;
      if (typeof outcome === "object") {
        leaveNothingIfRefused(place, outcome.error);
        return terminal.fail(outcome.error);
      }
      isDone = outcome === "finished";
      return 0;
    } catch (error) {
      const way = await chooseAccount(error, options, terminal);
      const { profile, server } = place;
      if (!way || !profile || !server) {
        leaveNothingIfRefused(place, error);
        throw error;
      }
      // The account brings another one.
      if ("signIn" in way) await profile.forgetNewIdentity();
      // The invite line was read already, and the profile remembers it.
      again = { ...options, ...way, server, askInvite: false, inviteFile: undefined };
      return 0;
    }
    // Whoever reads a pipe, or has fed it, takes 0 for word that all of it came.
  }, { takesKeys: true, isWhole: !terminal.interactive && !terminal.json });
  // Now that the profile is closed: that may fail as well.
  if (isDone) terminal.say("done", { event: "done" });
  return again ? await sit(again, terminal) : code;
}

/** What is known of a sitting once it has begun. */
interface Place {
  profile?: Profile;
  server?: ServerAddress;
  /** Whether the server has taken the profile. */
  isLetIn?: true;
}

/** A profile that no server has taken is not there the next time. */
function leaveNothingIfRefused({ profile, isLetIn }: Place, error: unknown): void {
  if (isLetIn || !profile?.isNew || !(error instanceof CifraError)) return;
  // Nothing can have been written while somebody has to say whether the server is the right one.
  if (isRefusal(error.code) || error.code === "identity_unknown") profile.leaveNothing();
}

/** From the profile to the last word. */
async function talk(
  given: ConnectOptions,
  terminal: Terminal,
  { interrupted, ticker, secrets, openProfile }: CommandFrame,
  place: Place,
): Promise<Outcome> {
  const trace: Tracer | undefined = given.trace
    ? (event) => terminal.trace((columns) => formatTrace(event, columns), traceJson(event))
    : undefined;
  let options = given;
  if (given.signIn) {
    const tools = { secrets, terminal, ticker, trace, interrupted };
    const server = await fetchKeys(given, stateFolder(given.state), tools);
    // The invite line was read already, and the profile remembers it.
    options = { ...given, server, askInvite: false, inviteFile: undefined };
  }
  if (options.files !== undefined) await requireFolder(options.files);
  const profile = place.profile = await openProfile(options);
  greet(profile, terminal);
  const access = new ServerAccess(options, profile, terminal, ticker, trace);
  const address = await access.address();
  place.server = address;
  const tools = { secrets, terminal, interrupted };
  if (options.signUp) {
    await makeAccount(profile, access, address, options, tools);
    place.isLetIn = true;
  }
  const contacts = contactsOf(profile, { ...options, server: address }, terminal, {
    // Nobody types at a pipe.
    canType: terminal.interactive,
  });
  const store = await profile.openMessages(options.keepHistory);
  for (const lost of store.lost) terminal.say(describeLost(lost), lostJson(lost));
  const { to, hidden, giveUpAfter } = options;
  const isPipe = !terminal.interactive && !terminal.json;
  const ofPipe = giveUpAfter ?? PIPE_PATIENCE;
  const { name, suite, identity } = profile;
  const ignored = await Ignored.open(profile.folder);
  const isSealed = await profile.isSealed();
  if (isSealed) await TypedLines.remove(profile.folder);
  const typed = terminal.interactive && options.keepHistory && !isSealed
    ? await TypedLines.open(profile.folder)
    : undefined;
  const desk = new Desk({
    only: to,
    contacts,
    terminal,
    giveUpAfter: ofPipe,
    typed,
    ignored,
    last: options.last,
    files: options.files,
    asksFirst: await access.mayAsk(address),
    interrupted,
    person: {
      ...options,
      refused: ignored.names,
      kept: profile.stateFolder,
      decide: decideBy({
        accept: options.acceptFiles,
        limit: options.limit,
        folder: options.files,
        isKnown: knownBefore(profile),
      }),
      fileLimit: options.limit,
      environment: systemEnvironment,
      ticker,
      name,
      suite,
      identity,
      ephemeralKey: access.ephemeralKey,
      store,
      openServer: (sendPort) => access.open(address, sendPort),
      giveUpAfter: isPipe ? ofPipe : giveUpAfter,
      usesMailbox: !isPipe,
      register: remembering(profile, access, address, () => place.isLetIn = true),
      receivePort: options.receivePort ?? 0,
      lobby: to !== undefined ? "absent" : hidden ? "unlisted" : "listed",
      trace,
    },
  });
  const stopAnswering = answerForProgram(
    profile,
    desk.answers,
    ({ message }) =>
      terminal.say(`${message}; users and keys verify wait until this program has ended`, {
        event: "no-answers",
        message,
      }),
  );
  try {
    return await desk.run();
  } finally {
    stopAnswering();
    await typed?.close();
  }
}
