/**
 * The table of events: what `--json` prints. lib/docs/json.md and lib/cli/events.schema.json are made from it, and
 * what the program prints in the tests is checked against it.
 */
import { SUITE_NAMES } from "../crypto/suite.ts";
import { ERRORS } from "../errors.ts";
import { FILE_WORD_NUMBERS } from "../wire/numbers.ts";

/** What a key holds. */
export type Kind =
  | "text"
  | "number"
  | "flag"
  | "texts"
  | "text by suite"
  | "any"
  | { readonly oneOf: readonly string[] }
  | { readonly listOf: Readonly<Record<string, Key>> };

/** A key of an event. */
export interface Key {
  readonly kind: Kind;
  /** It may be missing. */
  readonly isOptional?: true;
  /** What it says, where its name does not. */
  readonly about?: string;
}

/** One event. */
export interface EventRow {
  /** When it is told, or by which command. */
  readonly when: string;
  readonly keys: Readonly<Record<string, Key>>;
}

/** Events under one heading. */
export interface EventGroup {
  readonly title: string;
  /** A word for the schema. */
  readonly name: string;
  readonly about?: string;
  /** Keys that each of its events may have. */
  readonly common: Readonly<Record<string, Key>>;
  readonly events: Readonly<Record<string, EventRow>>;
}

const text: Key = { kind: "text" };
const texts: Key = { kind: "texts" };
const number: Key = { kind: "number" };
const flag: Key = { kind: "flag" };
const suite: Key = { kind: { oneOf: SUITE_NAMES } };
/** Of a suite that this version may not know. */
const anySuite: Key = text;
const code: Key = { kind: { oneOf: Object.keys(ERRORS) } };
const direction: Key = { kind: { oneOf: ["sent", "received"] } };
const milliseconds: Key = { kind: "number", about: "milliseconds" };
const bySuite: Key = { kind: "text by suite", about: "by suite" };
const ref: Key = {
  kind: "any",
  isOptional: true,
  about: "that of the line which this answers",
};

function optional(key: Key, about?: string): Key {
  return { ...key, isOptional: true, ...(about !== undefined && { about }) };
}

function oneOf(...words: readonly string[]): Key {
  return { kind: { oneOf: words } };
}

const trouble = { code, message: text, hint: optional(text) };
const way = {
  path: oneOf("direct", "punched", "relay"),
  remote: optional(text),
  dialledBy: optional(oneOf("us", "peer")),
};
const progress: EventRow = {
  when: "how far our messages are",
  keys: { number: { kind: "number", about: "all up to this one" } },
};
const known = { peer: text, suite, fingerprint: text, firstSeen: text, isVerified: flag };

const ofTransfer = {
  transfer: { kind: "text", about: "the id of the message that offers it" } as Key,
  peer: text,
  direction,
  name: text,
};
const transferRow = {
  ...ofTransfer,
  state: oneOf("offered", "accepted", "done", "refused", "cancelled", "failed"),
  files: number,
  folders: number,
  bytes: optional(number, "missing when that is not known"),
  done: optional(number, "bytes that are here, or sent, of what is on its way"),
  into: optional(text, "the folder it comes to"),
  why: optional(text, "it has failed"),
  skipped: number,
  began: optional(text),
  ended: optional(text),
};
/** What happens to files, in every command that carries them. */
const FILES: EventGroup["events"] = {
  "file-offered": {
    when: "we have offered files",
    keys: {
      ...ofTransfer,
      files: number,
      folders: number,
      bytes: optional(number, "missing when that is not known"),
      leftOut: { kind: "texts", about: "what cannot be sent, and why" },
      links: { kind: "number", about: "links, which are not followed" },
    },
  },
  "file-waits": {
    when: "`receive`: somebody offers what is not taken without asking",
    keys: {
      ...ofTransfer,
      files: number,
      folders: number,
      bytes: optional(number, "missing when that is not known"),
    },
  },
  "file-accepted": { when: "what is offered is wanted, here or there", keys: ofTransfer },
  "file-refused": {
    when:
      "somebody has 100 offers that are not over: this one and what follows is refused, said once",
    keys: ofTransfer,
  },
  "file-progress": {
    when: "once a second for each transfer that moves",
    keys: {
      ...ofTransfer,
      bytes: number,
      total: optional(number, "missing when that is not known"),
      entry: optional(text, "the file that is on its way"),
      rate: optional(number, "bytes a second"),
    },
  },
  "file-stuck": {
    when: "one of the two cannot read or write now; it is tried again",
    keys: {
      ...ofTransfer,
      who: oneOf("us", "peer"),
      why: optional(text, "of the other"),
      code: optional(code, "of us"),
      message: optional(text, "of us"),
      hint: optional(text),
    },
  },
  "file-unstuck": { when: "it goes on", keys: ofTransfer },
  "file-skipped": {
    when:
      "one file does not come: it is gone where it is sent, changes all the time, or has grown too much",
    keys: { ...ofTransfer, entry: text },
  },
  "file-received": {
    when: "all of it is here, under these names",
    keys: { ...ofTransfer, into: text, names: texts },
  },
  "file-over": {
    when: "nothing more becomes of it; `who` has said so",
    keys: {
      ...ofTransfer,
      state: transferRow.state,
      who: optional(oneOf("us", "peer"), "missing where another program of ours has sent it"),
      why: transferRow.why,
      skipped: optional(number, "files that could not be read"),
    },
  },
};

const CONNECT: EventGroup = {
  title: "connect",
  name: "connect",
  about:
    "In the lobby the events of a conversation have one key more: `with`, the name of the other " +
    "person.",
  common: { with: optional(text), ref },
  events: {
    "as-last-time": {
      when: "at the start: what was not said is as it was the last time",
      keys: { name: optional(text), server: optional(text) },
    },
    "name-lowered": { when: "a name was typed with capitals", keys: { given: text, name: text } },
    profile: {
      when: "at the start",
      keys: { name: text, suite, fingerprint: text, isNew: flag },
    },
    warning: { when: "the suite is for study", keys: { suite } },
    "signed-up": {
      when: "the account is made, or its password changed",
      keys: { name: text, server: text },
    },
    "signed-in": {
      when: "the keys are here",
      keys: { name: text, server: text, isNew: flag, fingerprints: bySuite },
    },
    "wrong-password": {
      when: "a password was wrong, and is asked for again",
      keys: { message: text },
    },
    "invite-readable": {
      when: "others can read the file of `--invite-file`",
      keys: { path: text },
    },
    "no-answers": {
      when:
        "at the start: no socket can be beside the profile; `users` and `keys verify` wait for " +
        "the end",
      keys: { message: text },
    },
    "server-pinned": {
      when: "the server is known from now on",
      keys: { server: text, fingerprint: text, knownAs: optional(text, "its address before") },
    },
    "peer-pinned": {
      when: "a person is known from now on",
      keys: { peer: text, fingerprint: text },
    },
    registered: {
      when: "with `--to`: the server has taken us",
      keys: {
        server: text,
        title: text,
        observed: text,
        receivePort: optional(number, "not with `--relay-only`"),
        sendPort: optional(number, "likewise"),
      },
    },
    "server-lost": {
      when: "no connection to the server, yet or any more; it is tried again",
      keys: { ...trouble, retryIn: milliseconds },
    },
    "shut-out": {
      when: "the server does not take us any more, or is another one; conversations go on",
      keys: { ...trouble, retryIn: milliseconds },
    },
    "messages-lost": {
      when: "at the start: the newest messages are missing",
      keys: { peer: text, suite, direction, from: number, to: number },
    },
    waiting: { when: "the server has been asked for somebody", keys: { for: text } },
    "suite-mismatch": {
      when: "the other one uses another suite; still waiting",
      keys: { peer: text, theirSuite: anySuite, yourSuite: anySuite },
    },
    declined: {
      when: "the other one does not want to talk now; still waiting",
      keys: { peer: text },
    },
    unwanted: {
      when: "the server does not look for the other one now",
      keys: { ...trouble, retryIn: milliseconds },
    },
    connected: {
      when: "there is a channel; to the server: `to` alone",
      keys: {
        to: text,
        again: optional(flag),
        path: optional(way.path),
        remote: way.remote,
        dialledBy: way.dialledBy,
        suite: optional(suite),
        fingerprint: optional(text),
        session: optional(text),
        isVerified: optional(flag),
      },
    },
    moved: { when: "the conversation goes on over another way", keys: way },
    lost: { when: "the channel is gone; connecting again", keys: { code, message: text } },
    "peer-away": {
      when: "the other one is away, and says why or until when; told again when that changes",
      keys: { text },
    },
    "peer-back": { when: "what they said of being away is withdrawn", keys: {} },
    "cannot-store": {
      when: "one of the two cannot store what comes; it waits",
      keys: {
        who: oneOf("us", "peer"),
        why: oneOf("full", "inUse", "failing"),
        peer: optional(text, "of the other"),
        code: optional(code, "of us"),
        message: optional(text, "of us"),
      },
    },
    "stores-again": {
      when: "what waited is stored, and it goes on",
      keys: { who: oneOf("us", "peer"), peer: optional(text) },
    },
    "not-on-server": {
      when: "what we write cannot be left on the server for somebody now; it is kept here",
      keys: { for: text, ...trouble },
    },
    "not-opened": {
      when: "what somebody left on the server is not opened: their key is not the one we know",
      keys: { from: text, ...trouble },
    },
    "asked-again": {
      when: "what somebody left was sealed for keys that are not here; they are asked for it again",
      keys: { from: text },
    },
    elsewhere: {
      when: "so many envelopes wait for another machine, or an earlier copy, of ours",
      keys: { count: number },
    },
    "no-mailbox": {
      when: "the server keeps nothing for those who are not here, or cannot now",
      keys: {},
    },
    "cannot-pin": {
      when: "somebody new cannot be written down in our file; it is tried again, told once",
      keys: { peer: text, ...trouble },
    },
    "no-way": {
      when: "no way works yet; still trying",
      keys: { failures: { kind: "texts", about: "what was tried, a line each" } },
    },
    queued: {
      when: "a message of ours is on this disk",
      keys: { number },
    },
    sent: progress,
    "on-server": {
      when: "all up to this one wait on the server, sealed, for who is not here",
      keys: { number },
    },
    stored: progress,
    read: progress,
    message: {
      when: "the other one says something",
      keys: {
        from: text,
        number,
        text,
        written: optional(text),
        recovered: optional(flag, "an earlier run may have shown it"),
      },
    },
    gap: {
      when: "messages of the other one are gone from this machine",
      keys: { from: number, to: { kind: "number", about: "their numbers" } },
    },
    "taken-back": {
      when: "the other one took a message back before it came here",
      keys: { number },
    },
    file: {
      when: "the other one offers files, or says what becomes of those that were offered",
      keys: {
        from: text,
        word: oneOf(...Object.keys(FILE_WORD_NUMBERS)),
        transfer: { kind: "text", about: "the id of the message that offers it" },
        name: optional(text, "of an offer, as are the next"),
        files: optional(number),
        folders: optional(number),
        bytes: optional(number, "missing when that is not known"),
        skipped: optional(number, "files that could not be read, of `done`"),
        code: optional(number, "of `failed`"),
      },
    },
    "peer-ended": { when: "the other program has nothing more to say", keys: {} },
    "peer-restarted": {
      when: "it began anew; the rest of its stream does not come",
      keys: {},
    },
    restarted: { when: "ours began anew in the middle of their stream", keys: {} },
    "peer-left": { when: "the other program said goodbye", keys: { failed: flag } },
    unconfirmed: {
      when: "at the end: so many messages wait on the server for somebody who has left, and they " +
        "have not said that they have them",
      keys: { to: text, messages: number },
    },
    done: { when: "at the end, when all went well", keys: {} },
    error: {
      when: "something failed, or a line makes no sense: see [errors.md](errors.md)",
      keys: { ...trouble, with: optional(text, "in the lobby: for whom a message was") },
    },
    trace: {
      when: "with `--trace`: a protocol message",
      keys: {
        with: text,
        message: optional(number, "1 to 8"),
        direction,
        name: text,
        algorithm: text,
        bytes: number,
        transcript: optional(text),
        fingerprint: optional(text),
        detail: optional(text),
      },
    },
    ...FILES,
    transfers: {
      when: "`/transfers`: what is not over",
      keys: { transfers: { kind: { listOf: transferRow } } },
    },
    path: { when: "`/path`", keys: { text } },
    retracted: {
      when: "`/retract`; `hadLeft`: it may have been fetched and read before",
      keys: { number, hadLeft: flag },
    },
    verify: { when: "`/verify`", keys: { text } },
    verified: { when: "`/verified`", keys: { text } },
    help: { when: "`/help`", keys: { text } },
    users: {
      when: "`/users`",
      keys: {
        isConnected: flag,
        people: {
          kind: {
            listOf: {
              name: text,
              isVerified: flag,
              state: optional(oneOf("here", "away")),
              words: optional(text),
              unread: number,
              undelivered: number,
              connected: optional(flag),
              asks: flag,
              suite: optional(suite),
              fingerprint: optional(text),
            },
          },
        },
      },
    },
  },
};

const LOBBY: EventGroup = {
  title: "connect, in the lobby",
  name: "lobby",
  common: { ref },
  events: {
    lobby: { when: "we are in the lobby", keys: { server: text, title: text, observed: text } },
    people: {
      when: "somebody came or went",
      keys: {
        isFirst: flag,
        joined: texts,
        left: texts,
        away: texts,
        back: { kind: "texts", about: "names" },
      },
    },
    offer: {
      when: "somebody asks for us",
      keys: {
        from: text,
        standing: oneOf("known", "changed", "stranger", "other suite"),
        suite: anySuite,
        fingerprint: optional(text),
        accepted: flag,
        hasLeft: optional(flag, "they are not here, and left something at the server"),
      },
    },
    "conversation-failed": {
      when: "a conversation has ended, or cannot be",
      keys: { with: text, ...trouble },
    },
    kept: {
      when: "messages for more people than can be open at once",
      keys: { with: { kind: "texts", about: "names" } },
    },
    focus: { when: "`/to`", keys: { with: optional(text, "nobody without it") } },
    accepted: { when: '`{"do":"accept"}`', keys: { with: text } },
    refused: { when: "`/refuse`", keys: { with: text } },
    ignored: { when: "`/ignore`", keys: { with: text } },
    heeded: { when: "who was ignored is spoken to", keys: { with: text } },
    closed: { when: "`/close`", keys: { with: text, undelivered: number } },
    forgotten: {
      when: "`/forget`; `messages` that the other side did not have are gone",
      keys: { with: text, messages: number },
    },
    away: {
      when: "`/away`",
      keys: { text: optional(text, "what those we talk to read") },
    },
    back: { when: "`/back`", keys: {} },
  },
};

const MAIL: EventGroup = {
  title: "send, receive, inbox",
  name: "mail",
  about:
    "Beside these they tell what `connect` does of the server, of keys, and of what cannot be left " +
    "or opened.",
  common: { with: optional(text) },
  events: {
    queued: { when: "`send`: the message is on this disk", keys: { number } },
    "on-server": {
      when: "all up to this one wait on the server, sealed",
      keys: { number },
    },
    stored: progress,
    read: progress,
    unread: {
      when: "`send`: these people have left something meanwhile, for `inbox`",
      keys: { from: { kind: "texts", about: "names" } },
    },
    message: CONNECT.events.message!,
    gap: CONNECT.events.gap!,
    "taken-back": CONNECT.events["taken-back"]!,
    file: CONNECT.events.file!,
    stranger: {
      when: "`inbox`: somebody who is not known has left something; it is not opened",
      keys: { from: text, fingerprint: text },
    },
    early: {
      when: "`inbox`: so many messages wait for others before them",
      keys: { from: text, messages: number },
    },
    error: { when: "any of them failed: see [errors.md](errors.md)", keys: trouble },
  },
};

const OTHERS: EventGroup = {
  title: "users, transfers, history, keys, config",
  name: "others",
  common: {},
  events: {
    user: {
      when: "`users`",
      keys: {
        name: text,
        state: oneOf("here", "away", "gone"),
        suite: optional(anySuite),
        fingerprint: optional(text, "of whom we know, with the suite; with `--all` of everybody"),
        isVerified: flag,
      },
    },
    transfer: { when: "`transfers`", keys: transferRow },
    history: {
      when: "`history`",
      keys: {
        peer: text,
        direction,
        number,
        time: text,
        text,
        state: text,
      },
    },
    offered: {
      when: "`history`: files that were offered",
      keys: {
        peer: text,
        direction,
        number,
        time: text,
        state: text,
        transfer: { kind: "text", about: "the id of the message that offers them" },
        name: text,
        files: number,
        folders: number,
        bytes: optional(number, "missing when that is not known"),
      },
    },
    gap: {
      when: "`history`: messages that are gone from this machine",
      keys: { peer: text, from: number, to: number },
    },
    key: {
      when: "`keys`",
      keys: { name: text, suite, fingerprint: text, isSealed: flag, path: text },
    },
    peer: { when: "`keys peers`", keys: known },
    verify: {
      when: "`keys verify`",
      keys: { peer: text, suite, words: texts, isVerified: flag },
    },
    unpinned: { when: "`keys unpin`", keys: known },
    passphrase: { when: "`keys passphrase`", keys: { name: text, isSealed: flag } },
    exported: { when: "`keys export`", keys: { name: text, path: text } },
    imported: { when: "`keys import`", keys: { name: text, isNew: flag, path: text } },
    "settings-file": {
      when: "`config`; no keys where there is no home folder",
      keys: { path: optional(text), isThere: optional(flag) },
    },
    setting: {
      when: "`config`",
      keys: {
        section: oneOf("both", "connect", "serve"),
        key: text,
        value: { kind: "any", about: "null for none" },
        from: oneOf("option", "environment", "file", "remembered", "default"),
        where: optional(text),
      },
    },
    error: { when: "any of them failed: see [errors.md](errors.md)", keys: trouble },
  },
};

const names = optional({ kind: "texts" });
const pair = { names, generation: number };

const SERVE: EventGroup = {
  title: "serve",
  name: "serve",
  about:
    "All but `no-console`, `listening`, `trace`, `backup`, `answer` and `closing` have a `time`. `source` is a tag " +
    "that stands for an address for a day; with `--log-ip` it is the address itself. `client` is " +
    "the beginning of a fingerprint. `names` and `wanted`, and the `name` of `wants`, are there with " +
    "`--log-people` alone.",
  common: { time: optional(text), suppressed: optional(number) },
  events: {
    "no-console": {
      when: "at the start: no socket can be; `serve console` and `serve invite` reach no server",
      keys: { message: text, hint: optional(text) },
    },
    listening: {
      when: "at the start",
      keys: {
        endpoints: texts,
        port: number,
        fingerprints: bySuite,
        invite: optional(text),
        inviteHosts: optional(texts, "the first is in the line"),
        http: optional(number),
      },
    },
    registered: {
      when: "somebody is here",
      keys: { source: text, name: text, lobby: flag, client: text, suite },
    },
    wants: {
      when: "somebody asks for somebody",
      keys: { name: optional(text), wanted: optional(text) },
    },
    introduced: { when: "two want each other", keys: pair },
    "suite-mismatch": { when: "they do, with different suites", keys: { names } },
    relaying: { when: "the first byte of two goes through the relay", keys: pair },
    relayed: { when: "their stream has ended", keys: { ...pair, bytes: number } },
    replaced: { when: "the same identity has come to the lobby again", keys: { name: text } },
    "signed-up": { when: "an account was made", keys: { source: text, name: text } },
    "signed-in": { when: "an account was used", keys: { source: text, name: text } },
    "invite-rush": {
      when: "many new people came from one address with one invite within a minute",
      keys: { source: text, invite: text, people: number },
    },
    left: {
      when: "somebody is gone",
      keys: { name: text, code: { kind: "text", about: "an error, or `goodbye`" } },
    },
    refused: {
      when: "a request was refused",
      keys: { source: text, client: text, request: text, code },
    },
    "handshake-failed": { when: "somebody did not get in", keys: { source: text, code } },
    "refused-connection": {
      when: "a connection was closed at the door",
      keys: { source: text, reason: text },
    },
    "accept-trouble": {
      when: "no connection can be accepted at the moment",
      keys: { reason: text },
    },
    "mailbox-failed": {
      when: "the mailbox could not be written to; whoever left something was told",
      keys: { reason: text },
    },
    bug: { when: "a mistake in cifra; please report it", keys: { reason: text } },
    suppressed: {
      when:
        "in the file of `--log`, at the end: how many events of a kind were left out; on stdout: how many, since " +
        "nobody read them in time",
      keys: { like: optional(text), suppressed: number },
    },
    trace: {
      when: "with `--trace`, not in the file of `--log`; `with` is the source",
      keys: CONNECT.events.trace!.keys,
    },
    backup: { when: "`serve --backup` is done", keys: {} },
    answer: { when: "`serve console`, `serve invite`", keys: { text } },
    error: {
      when: "the same, when it cannot be done (`text`); or the server cannot go on",
      keys: {
        text: optional(text),
        code: optional(code),
        message: optional(text),
        hint: optional(text),
      },
    },
    closing: { when: "the server ends", keys: {} },
  },
};

/** All events, by heading. */
export const EVENTS: readonly EventGroup[] = [CONNECT, LOBBY, MAIL, OTHERS, SERVE];

/** What a program writes to `connect --json`, as two kinds of object. */
export const INPUT: Readonly<Record<string, EventRow["keys"]>> = {
  say: { text, to: optional(text), ref: optional({ kind: "any" }) },
  do: {
    do: text,
    with: optional(text),
    number: optional(number),
    path: optional(text),
    transfer: optional(text),
    ref: optional({ kind: "any" }),
  },
};
