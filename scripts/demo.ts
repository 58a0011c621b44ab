/**
 * A lesson: a real server and two real people hold a short conversation, each a process of its own with
 * the permissions that it needs and no others. `deno task demo`.
 */

/** The whole lesson takes a few seconds; a first run also fetches libraries. */
const PATIENCE = 60_000;

const WHAT_EACH_STEP_IS_FOR: Readonly<Record<number, string>> = {
  1: "a key made for this meeting alone: seal what you say to it",
  2: "my key for this meeting, and a proof, which only you can open, that I hold my identity key",
  3: "who I am, sealed to your key: those who listen learn nothing",
  4: "who I am, sealed as well",
  5: "a fresh secret for us two, sealed, and signed over all that was said so far",
  6: "my signature over the same: we have seen the same conversation and hold the same keys",
  7: "the first message under the session keys: who I am, and where I can be reached",
  8: "agreed",
};

const TALK = [
  ["alice", "hello bob, can you read this?"],
  ["bob", "¡claro que sí! nobody else can 🔐"],
  ["alice", "not even the server?"],
  ["bob", "它只知道我们在这里 (it only knows that we are here)"],
] as const;

interface Event {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** Something that should have happened did not. */
class DemoError extends Error {}

const COLOURS = { server: "33", alice: "36", bob: "35", lesson: "1" } as const;
const colourful = Deno.stdout.isTerminal() && !Deno.noColor;

function show(who: keyof typeof COLOURS, text: string): void {
  const prefix = who === "lesson" ? "" : `${who.padEnd(6)} | `;
  const line = `${prefix}${text}`;
  console.log(colourful ? `\x1b[${COLOURS[who]}m${line}\x1b[0m` : line);
}

function title(text: string): void {
  console.log();
  show("lesson", text);
}

const ENVIRONMENT = [
  "HOME",
  "XDG_STATE_HOME",
  "LOCALAPPDATA",
  "XDG_CONFIG_HOME",
  "APPDATA",
  "NO_COLOR",
  "CIFRA_*",
  "TERM",
];
const PROGRAM = new URL("../main.ts", import.meta.url).href;

/** One process that tells what it does in lines of JSON. */
class Actor {
  readonly name: "server" | "alice" | "bob";
  readonly events: Event[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #complaints: Promise<string>;
  #wake = Promise.withResolvers<void>();
  #ended = false;

  constructor(name: "server" | "alice" | "bob", state: string, args: readonly string[]) {
    this.name = name;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--cached-only",
        "--frozen",
        `--allow-net=127.0.0.1,[::1],${
          // A server has a console; choosing the port that one dials from counts as a use of 0.0.0.0.
          name === "server" ? `unix:${state}/server/console.sock` : "0.0.0.0"}`,
        "--allow-sys=uid",
        `--allow-env=${ENVIRONMENT.join(",")}`,
        `--allow-read=${state}`,
        `--allow-write=${state}`,
        PROGRAM,
        ...args,
        "--state",
        state,
        "--trace",
        "--json",
      ],
      // Nobody's settings change the lesson.
      env: { NO_COLOR: "1", RUST_BACKTRACE: "0", XDG_CONFIG_HOME: state },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#complaints = new Response(this.#child.stderr).text();
    this.#listen();
  }

  async #listen(): Promise<void> {
    let partial = "";
    for await (const piece of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (partial + piece).split("\n");
      partial = lines.pop()!;
      for (const line of lines) this.events.push(read(line));
      this.#stir();
    }
    this.#ended = true;
    this.#stir();
  }

  #stir(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** The first event, also of the past, that fits. Throws when the process ends without it. */
  async until(what: string, fits: (event: Event) => boolean): Promise<Event> {
    for (;;) {
      const found = this.events.find(fits);
      if (found) return found;
      if (this.#ended) {
        const said = this.events.find(({ event }) => event === "error")?.message ??
          await this.#complaints;
        throw new DemoError(`${this.name} ended before ${what}: ${said}`);
      }
      await this.#wake.promise;
    }
  }

  /** The event of this name. */
  event(name: string): Promise<Event> {
    return this.until(`"${name}" happened`, ({ event }) => event === name);
  }

  async say(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${text}\n`));
  }

  /** Has nothing more to say. */
  async hush(): Promise<void> {
    await this.#input.close();
  }

  async exits(code: number): Promise<void> {
    const status = await this.#child.status;
    if (status.code === code) return;
    throw new DemoError(
      `${this.name} exited with ${status.code}, not ${code}: ${await this.#complaints}`,
    );
  }

  stop(signal: Deno.Signal = "SIGKILL"): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has gone already.
    }
  }

  async gone(): Promise<void> {
    this.stop();
    await this.#input.close().catch(() => {});
    await this.#complaints;
    await this.#child.status;
  }
}

function read(line: string): Event {
  try {
    return JSON.parse(line);
  } catch {
    return { event: "error", message: `This is no JSON: ${line}` };
  }
}

/** The ladders that `actor` began to climb with `other`, as it saw them, each from its m1 on. */
function ladders(actor: Actor, other: string): Event[][] {
  const all: Event[][] = [];
  for (const event of actor.events) {
    if (event.event !== "trace" || event.with !== other) continue;
    if (event.message === 1) all.push([]);
    if (typeof event.message === "number") all.at(-1)?.push(event);
  }
  return all;
}

/**
 * The last ladder that both climbed to its end. Where several connections come about at once one may be begun in
 * vain, and a later one may take the place of an earlier one.
 */
function ladderOfBoth(alice: Actor, bob: Actor): readonly [Event[], Event[]] {
  const complete = (all: Event[][]) => all.filter((steps) => steps.length === 8);
  const bobs = complete(ladders(bob, "alice"));
  for (const ours of complete(ladders(alice, "bob")).reverse()) {
    const theirs = bobs.find(([first]) => first!.transcript === ours[0]!.transcript);
    if (theirs) return [ours, theirs];
  }
  throw new DemoError("Alice and bob have climbed no ladder together");
}

function showStep(step: Event, us: Actor["name"], them: Actor["name"]): void {
  const from = step.direction === "sent" ? us : them;
  const to = step.direction === "sent" ? them : us;
  const number = step.message as number;
  const hash = step.transcript === undefined ? "" : `, hash so far ${step.transcript}…`;
  show(from, `m${number} -> ${to}: ${step.name} (${step.bytes} bytes; ${step.algorithm}${hash})`);
  show(from, `     "${WHAT_EACH_STEP_IS_FOR[number]}"`);
}

/** Shows a ladder, both sides of which must have come to the same hash at each step. */
function showHandshake(steps: readonly Event[], us: Actor["name"], them: Actor["name"]): void {
  const numbers = steps.map(({ message }) => message).join(" ");
  if (numbers !== "1 2 3 4 5 6 7 8") {
    throw new DemoError(`${us} and ${them} climbed the steps ${numbers}, not all eight in order`);
  }
  for (const step of steps) showStep(step, us, them);
}

function requireSameHashes(ours: readonly Event[], theirs: readonly Event[]): void {
  for (const [i, { message, transcript }] of ours.entries()) {
    if (transcript === theirs[i]?.transcript) continue;
    throw new DemoError(`The two sides disagree on what was said up to step ${message}`);
  }
}

async function lesson(state: string, actors: Actor[]): Promise<void> {
  const enter = async (name: Actor["name"], args: readonly string[]): Promise<Actor> => {
    await Deno.mkdir(`${state}/${name}`, { mode: 0o700 });
    const actor = new Actor(name, `${state}/${name}`, args);
    actors.push(actor);
    return actor;
  };

  title("1. A server starts. It introduces people; it will never hold a key of theirs.");
  const server = await enter("server", ["serve", "--port", "0", "--title", "demo"]);
  const listening = await server.event("listening");
  const fingerprint = (listening.fingerprints as Record<string, string>).modern;
  show("server", `listens on ${(listening.endpoints as string[]).join(" and ")}`);
  show("server", `its key is ${fingerprint}`);

  const address = ["--server", `127.0.0.1:${listening.port}`, "--accept-new"];
  title("2. Alice comes first. She climbs eight steps with the server, and waits.");
  const alice = await enter("alice", ["connect", "--name", "alice", "--to", "bob", ...address]);
  const profile = await alice.event("profile");
  show("alice", `has a key, made just now: ${profile.fingerprint}`);
  await alice.event("waiting");
  await server.event("registered");
  const withServer = ladders(alice, "server").at(-1) ?? [];
  showHandshake(withServer, "alice", "server");
  requireSameHashes(
    withServer.filter(({ transcript }) => transcript !== undefined),
    server.events.filter(({ event }) => event === "trace"),
  );
  show("alice", "waits for bob");

  title("3. Bob comes, climbs the same steps, and the server introduces the two.");
  const bob = await enter("bob", ["connect", "--name", "bob", "--to", "alice", ...address]);
  for (const [actor, other] of [[alice, "bob"], [bob, "alice"]] as const) {
    const fits = ({ event, name }: Event) => event === "trace" && name === "introduction";
    const news = await actor.until("it was introduced", fits);
    show("server", `tells ${actor.name} a key and a place: ${news.detail}`);
    await actor.event("connected");
    const pinned = await actor.event("peer-pinned");
    show(actor.name, `knows ${other} from now on by the key ${pinned.fingerprint}`);
  }
  show("server", "forgets them; it has no part in what follows");

  title("4. Alice and bob climb the ladder again, with each other and with nobody between.");
  const [alices, bobs] = ladderOfBoth(alice, bob);
  requireSameHashes(alices, bobs);
  if (alices[0]?.direction === "sent") showHandshake(alices, "alice", "bob");
  else showHandshake(bobs, "bob", "alice");
  const connected = await alice.event("connected");
  show("alice", `is connected to bob: ${connected.path} ${connected.remote}`);

  title("5. They talk. Each keeps what it writes until the other one has it, and hears of that.");
  const said = { alice: 0, bob: 0 };
  for (const [from, text] of TALK) {
    const [speaker, listener] = from === "alice" ? [alice, bob] : [bob, alice];
    const number = ++said[from];
    show(from, `> ${text}`);
    await speaker.say(text);
    const heard = await listener.until(
      `"${text}" arrived`,
      (event) => event.event === "message" && event.text === text,
    );
    show(listener.name, `${heard.from}: ${heard.text}`);
    await speaker.until(
      `"${text}" was read`,
      (event) => event.event === "read" && event.number === number,
    );
    show(from, `message ${number}: read by ${listener.name}`);
  }

  title("6. They have said everything, and leave.");
  for (const actor of [alice, bob]) await actor.hush();
  for (const actor of [alice, bob]) {
    await actor.exits(0);
    show(actor.name, "done, exit code 0");
  }
  server.stop("SIGTERM");
  if (Deno.build.os !== "windows") await server.exits(0);
  const spied = server.events.some((event) =>
    TALK.some(([, text]) => JSON.stringify(event).includes(text))
  );
  if (spied) throw new DemoError("The server knows something that was said");
  show("server", `closed; of ${TALK.length} messages it saw none`);
  console.log();
}

async function withinPatience(work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new DemoError(`The demo did not finish in ${PATIENCE / 1000} seconds`);
    timer = setTimeout(() => reject(error), PATIENCE);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function demo(): Promise<number> {
  const state = await Deno.makeTempDir({ prefix: "cifra-demo-" });
  await Deno.mkdir(state, { recursive: true, mode: 0o700 });
  const actors: Actor[] = [];
  const playing = lesson(state, actors);
  playing.catch(() => {});
  const interrupted = Promise.withResolvers<void>();
  const onInterrupt = () => interrupted.reject(new DemoError("Interrupted"));
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    await Promise.race([withinPatience(playing), interrupted.promise]);
    return 0;
  } catch (error) {
    if (!(error instanceof DemoError)) throw error;
    console.error(`error: ${error.message}`);
    return error.message === "Interrupted" ? 130 : 1;
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    for (const actor of actors) await actor.gone();
    await Deno.remove(state, { recursive: true });
  }
}

Deno.exit(await demo());
