/**
 * 200 connections a second of nonsense from one address while 40 people behind it come in, and the same without
 * them: when each is in, and what it costs the server. Half are new, with the invite line; half were here before
 * and show a ticket. The server is as it starts by default. It and its guests stand in network namespaces of
 * their own, for on its own machine a server holds nobody off: needs root, ip and nft.
 */
import { generateIdentity, identityClassOf } from "../../lib/crypto/identity.ts";
import { loadSuite } from "../../lib/crypto/suite.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { parseInviteLine, type ServerAddress } from "../../lib/client/server_address.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import { TicketHolder } from "../../lib/client/ticket_holder.ts";
import type { PublicIdentity } from "../../lib/crypto/identity.ts";
import { CifraError } from "../../lib/errors.ts";
import { Backoff } from "../../lib/flow/backoff.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { sameLan, whyNot } from "../testkit/namespaces.ts";
import { registrationOf, signed } from "../testkit/server.ts";
import { type Child, median, newcomer, report, start } from "./bench.ts";

const NEW = 20, KNOWN = 20;
/** They come in one after the other within so many milliseconds. */
const ARRIVING = 2000;
const ROUNDS = 5;
const PER_SECOND = 200;
/** Somebody who waits longer than this notices, in milliseconds. */
const LATE = 1000;
/** How long the server alone is watched under attack, and no attack may last longer than this, in milliseconds. */
const WATCHED = 5000, ATTACK_AT_MOST = 60_000;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const self = new URL(import.meta.url).pathname;

/** Connects and says 64 bytes of chance, again and again; says so once a second's worth was answered. */
async function attack(host: string, port: number): Promise<void> {
  let answered = 0;
  const began = performance.now();
  for (let n = 0; performance.now() - began < ATTACK_AT_MOST; n++) {
    await pause(Math.max(0, began + n * 1000 / PER_SECOND - performance.now()));
    (async () => {
      using connection = await Deno.connect({ hostname: host, port });
      await connection.write(systemRandom(64));
      while (await connection.read(new Uint8Array(64)) !== null);
    })().catch(() => {}).finally(() => {
      if (++answered === PER_SECOND) console.log(JSON.stringify({ port }));
    });
  }
}

/** Processor time of a process so far, in milliseconds. */
async function processorTime({ process: { pid } }: Child): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  // After the name in brackets; a tick is 10 ms.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

const ticker = new Ticker(systemEnvironment.time);
const suite = await loadSuite("modern");

/** Somebody who comes to the server, and what a program of theirs keeps. */
interface Guest {
  readonly name: string;
  readonly side: Awaited<ReturnType<typeof newcomer>>;
  readonly tickets: TicketHolder;
  pinned?: PublicIdentity;
}

/** One climb and a registration; whoever does not know the key of the server asks for it first. */
async function visit(guest: Guest, address: ServerAddress): Promise<ServerLink> {
  const { name, side, tickets } = guest;
  const options = { environment: systemEnvironment, address, ticker, ...side };
  if (!guest.pinned) {
    const { identity } = await generateIdentity(identityClassOf(suite.signature));
    const checkServer = (server: PublicIdentity) => {
      guest.pinned = server;
      throw new CifraError("shutdown", "Only asking");
    };
    await ServerLink.open({ ...options, identity, checkServer }).catch((error) => {
      if (!guest.pinned) throw error;
    });
  }
  const link = await ServerLink.open({ ...options, pinned: guest.pinned, tickets });
  await link.register(await signed(side, registrationOf(name)));
  return link;
}

/** As a program does: again after a pause when the server hangs up, of which `onRetry` is told. */
async function comeIn(
  guest: Guest,
  address: ServerAddress,
  onRetry: () => void,
): Promise<ServerLink> {
  const backoff = new Backoff(systemRandom);
  for (;;) {
    try {
      return await visit(guest, address);
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      onRetry();
      await pause(backoff.next());
    }
  }
}

/** What was seen with the attack, or without it; times in milliseconds. */
class Figures {
  /** Of each person, from the first dial to the answer to the registration. */
  readonly invited: number[] = [];
  readonly ticketed: number[] = [];
  /** Of each round: the processor of the server. */
  readonly costs: number[] = [];
  retries = 0;

  report(people: string): void {
    const figures = (times: readonly number[]) =>
      `${median(times).toFixed(0)}, ${Math.max(...times).toFixed(0)} ms`;
    report(`${people}: ${NEW} by invite, median, slowest`, figures(this.invited));
    report(`  ${KNOWN} with a ticket`, figures(this.ticketed));
    const late = [...this.invited, ...this.ticketed].filter((time) => time > LATE).length;
    report(
      `  tries in vain, and people later than 1 s, of ${ROUNDS} rounds`,
      `${this.retries}, ${late}`,
    );
    report("  processor of the server until all are in, median", `${median(this.costs)} ms`);
  }
}

const calm = new Figures(), besieged = new Figures();
/** Of one core, in percent: the attack alone. */
const loads: number[] = [];

/** A server of its own, those who were there before, and then everybody. */
async function round(figures: Figures, host: string, via: readonly string[]): Promise<void> {
  const state = await Deno.makeTempDir();
  await Deno.chmod(state, 0o700);
  const args = ["serve", "--json", "--host", host, "--port", "0", "--state", state];
  const server = await start("main.ts", args, ["--v8-flags=--optimize-for-size"], via);
  let attacker: Child | undefined;
  try {
    const { port, invite } = server.hello as { readonly port: number; readonly invite: string };
    const invited = parseInviteLine(invite);
    const uninvited = { ...invited, inviteSecret: undefined };
    const guests = await Promise.all(
      Array.from({ length: NEW + KNOWN }, async (_, n): Promise<Guest> => {
        return { name: `guest${n}`, side: await newcomer("modern"), tickets: new TicketHolder() };
      }),
    );
    const before = await arrive(guests.slice(NEW), (guest) => comeIn(guest, invited, () => {}));
    await Promise.all(before.map((link) => link.leave()));
    if (figures === besieged) {
      attacker = await start("tests/bench/besieged.ts", ["attack", host, `${port}`]);
      const spent = await processorTime(server);
      await pause(WATCHED);
      loads.push((await processorTime(server) - spent) / WATCHED * 100);
    }
    const spent = await processorTime(server);
    const links = await arrive(guests, async (guest, n) => {
      const began = performance.now();
      const link = await comeIn(guest, n < NEW ? invited : uninvited, () => figures.retries++);
      (n < NEW ? figures.invited : figures.ticketed).push(performance.now() - began);
      return link;
    });
    figures.costs.push(await processorTime(server) - spent);
    await Promise.all(links.map((link) => link.leave()));
  } finally {
    await attacker?.stop();
    await server.stop();
    await Deno.remove(state, { recursive: true });
  }
}

/** One after the other within `ARRIVING`; resolves when all are in. */
async function arrive(
  guests: readonly Guest[],
  enter: (guest: Guest, n: number) => Promise<ServerLink>,
): Promise<ServerLink[]> {
  return await Promise.all(guests.map(async (guest, n) => {
    await pause(n * ARRIVING / guests.length);
    return await enter(guest, n);
  }));
}

/** Measures a server at this address, which is started `via`. */
async function measure(host: string, via: readonly string[]): Promise<void> {
  for (let n = 0; n < ROUNDS; n++) {
    await round(calm, host, via);
    await round(besieged, host, via);
  }
  calm.report(`${NEW + KNOWN} people of one address`);
  besieged.report(`the same under ${PER_SECOND} nonsense connections/s`);
  report("  processor of the server for the nonsense alone", `${median(loads).toFixed(1)} %`);
  ticker.stop();
}

/** Makes the network, and starts this program again where the guests are; false when it failed. */
async function inOwnNetwork(): Promise<boolean> {
  const why = await whyNot();
  if (why) {
    report("people and nonsense from one address", `left out: ${why}`);
    return true;
  }
  await using topology = await sameLan();
  const { server, alice } = topology;
  const again = [Deno.execPath(), "run", "--allow-all", self, "measure", server.address];
  const [program, ...args] = topology.run(alice, [...again, ...topology.run(server, [])]);
  const { success } = await new Deno.Command(program!, { args, stdin: "null" }).spawn().status;
  return success;
}

const [role, host, ...rest] = Deno.args;
if (role === "attack") await attack(host!, Number(rest[0]));
else if (role === "measure") await measure(host!, rest);
else if (!await inOwnNetwork()) Deno.exit(1);
