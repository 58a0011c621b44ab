/** What happens to a connection, in words for people and as events for programs. */
import { encodeHex } from "@std/encoding/hex";
import type { Path } from "../client/connector.ts";
import type { Status } from "../client/conversation.ts";
import type { HomeStatus } from "../client/home.ts";
import type { Storing } from "../client/thread.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import { CifraError, isFinal, reportOf } from "../errors.ts";
import { type StoreTrouble, troubleOf } from "../store/store_failure.ts";
import { formatEndpoint } from "../wire/address.ts";
import { quoted } from "../wire/line.ts";
import type { JsonEvent } from "./terminal.ts";

/** `direct 10.0.0.7:40112, dialled by us`, `relay through the server`. */
export function describePath(path: Path, peerName: string): string {
  switch (path.type) {
    case "direct":
      return `direct ${formatEndpoint(path.remote)}, dialled by ${
        path.dialledBy === "us" ? "us" : peerName
      }`;
    case "punched":
      return `direct ${formatEndpoint(path.remote)}, punched through from both sides`;
    case "relay":
      return "relay through the server, which cannot read it";
  }
}

/** The answer to `/path`; `failures` are the ways that were tried in vain. */
export function describeWay(
  path: Path | undefined,
  failures: readonly string[],
  peerName: string,
): string {
  const way = path ? describePath(path, peerName) : "not connected";
  const isDirect = path !== undefined && path.type !== "relay";
  return [way, ...(isDirect ? [] : failures)].join("\n   ");
}

function pathJson(path: Path): Readonly<Record<string, unknown>> {
  return {
    path: path.type,
    ...("remote" in path && { remote: formatEndpoint(path.remote) }),
    ...("dialledBy" in path && { dialledBy: path.dialledBy }),
  };
}

/** One status for people, who see the peer's name as `label`, and for programs. */
export function describeStatus(
  status: Exclude<Status, { readonly type: "steady" }>,
  peerName: string,
  label: string,
  suite: SuiteName,
): readonly [string, JsonEvent] {
  switch (status.type) {
    case "waiting":
      return [`waiting for ${label}`, { event: "waiting", for: peerName }];
    case "suite-mismatch": {
      const [theirs, ours] = [suiteOf(status.peerSuite), suiteOf(status.yourSuite)];
      return [
        `${label} is here with the suite ${theirs} and you with ${ours}: ` +
        "one of you has to change --suite; still waiting",
        { event: "suite-mismatch", peer: peerName, theirSuite: theirs, yourSuite: ours },
      ];
    }
    case "declined":
      return [
        `${label} has been told that you ask, and does not want to talk now; still waiting`,
        { event: "declined", peer: peerName },
      ];
    case "connected": {
      const { path, again, fingerprint, sessionId } = status;
      return [
        `connected to ${label}${again ? " again" : ""}: ${describePath(path, label)}, ${suite}`,
        {
          event: "connected",
          to: peerName,
          again,
          ...pathJson(path),
          suite,
          fingerprint: formatFingerprint(fingerprint),
          session: encodeHex(sessionId),
        },
      ];
    }
    case "moved":
      return [
        `now connected: ${describePath(status.path, label)}`,
        { event: "moved", ...pathJson(status.path) },
      ];
    case "lost": {
      const { code, message } = status.error;
      return [
        `the connection to ${label} is lost (${lowerFirst(message)}); connecting again`,
        { event: "lost", code, message },
      ];
    }
    case "left":
      return [
        status.failed ? `${label}'s program has failed` : `${label} left`,
        { event: "peer-left", failed: status.failed },
      ];
    case "away":
      return status.words === "" ? [`${label} is back`, { event: "peer-back" }] : [
        `${label} is away: ${quoted(status.words)}`,
        { event: "peer-away", text: status.words },
      ];
    case "storing":
      return describeStoring(status.storing, peerName, label);
    case "unpinned": {
      const { message, hint } = status.error;
      const text = `${lowerFirst(message)}; whoever is new here waits until that is over`;
      return [
        hint === undefined ? text : `${text}\n${hint}`,
        { event: "cannot-pin", peer: peerName, ...reportOf(status.error) },
      ];
    }
    case "unwanted": {
      const { error, retryIn } = status;
      return [
        `${lowerFirst(error.message)}; asking again in ${howLong(retryIn)}`,
        { event: "unwanted", ...reportOf(error), retryIn: Math.round(retryIn) },
      ];
    }
    case "no-way": {
      const { failures } = status;
      const tried = failures.map((line) => `\n   ${line}`).join("");
      return [
        `no way to ${label} works yet; still trying${tried || ", by the relay alone"}\n` +
        "   one of the two machines must accept connections on its receive port, " +
        "or both must allow the relay",
        { event: "no-way", failures },
      ];
    }
  }
}

/** Who cannot store at the moment; nobody has to do anything about what was said. */
function describeStoring(
  { who, trouble }: Storing,
  peerName: string,
  label: string,
): readonly [string, JsonEvent] {
  const facts = who === "peer" ? { peer: peerName } : {};
  if (trouble === undefined) {
    const text = who === "us" ? "messages are stored again" : `${label} stores messages again`;
    return [text, { event: "stores-again", who, ...facts }];
  }
  const event = { event: "cannot-store", who, ...facts };
  if (trouble instanceof CifraError) {
    const { code, message } = trouble;
    return [
      `${lowerFirst(message)}: what you write and what comes waits in memory, ` +
      "and is stored when that is over",
      { ...event, why: troubleOf(trouble), code, message },
    ];
  }
  return [
    `${label} cannot store at the moment: ${WHY_THERE[trouble]}; ` +
    "nothing is lost, and it goes on by itself",
    { ...event, why: trouble },
  ];
}

const WHY_THERE: Readonly<Record<StoreTrouble, string>> = {
  full: "the disk there is full",
  inUse: "another program there uses the file of messages",
  failing: "the disk there fails",
};

/** What happens between us and the server, where one talks to one person. */
export function describeHomeStatus(
  status: Exclude<HomeStatus, { readonly type: "steady" }>,
): readonly [string, JsonEvent] {
  switch (status.type) {
    case "registered": {
      const { title, observed, ports } = status;
      const server = formatEndpoint(status.server);
      return [
        `connected to ${quoted(title)} at ${server}`,
        { event: "registered", server, title, observed: formatEndpoint(observed), ...ports },
      ];
    }
    case "server-lost": {
      const { error, retryIn, again } = status;
      const next = `next try in ${howLong(retryIn)}`;
      return [`${describeTrouble(error, again)}; ${next}`, troubleJson(error, retryIn)];
    }
    case "shut-out": {
      const { error, retryIn } = status;
      const { message, hint } = error;
      const advice = hint === undefined ? "" : `\n${hint}`;
      return [
        `THE SERVER DOES NOT TAKE YOU ANY MORE: ${message}${advice}\n` +
        "who is connected goes on; nobody else can be reached",
        { event: "shut-out", ...reportOf(error), retryIn },
      ];
    }
  }
}

/** Why there is no connection to the server. Whoever was never there may have made a mistake. */
export function describeTrouble(error: CifraError, again: boolean): string {
  const { code, message, hint } = error;
  const text = `no connection to the server${again ? "" : " yet"} (${lowerFirst(message)}`;
  if (isBareClaim(error)) {
    const advice = hint === undefined ? "" : `; if it was: ${hint}`;
    return `${text}; nobody has proved that it was the server${advice})`;
  }
  const isPerhapsOurs = !again && hint !== undefined && (code === "unreachable" || code === "cut");
  return isPerhapsOurs ? `${text}: ${hint})` : `${text})`;
}

/** Whether it would be the end, had the server proved that it said so. */
export function isBareClaim({ code, claimant }: CifraError): boolean {
  return claimant !== undefined && isFinal(code, false);
}

/** The same for programs; `retryIn` milliseconds until the next try. */
export function troubleJson(error: CifraError, retryIn: number): JsonEvent {
  return { event: "server-lost", ...reportOf(error), retryIn: Math.round(retryIn) };
}

/** `5 s`, `48 min`. */
function howLong(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds <= 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

/** The name of a suite, whether we have it or not. */
export function suiteOf(id: number): string {
  return SUITE_NAMES[id - 1] ?? `number ${id}`;
}

/** A sentence as it stands inside another. */
export function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
