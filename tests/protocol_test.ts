/** The tables of lib/PROTOCOL.md against the code: every number, every label (3.13) and every limit (4). */
import { assert, assertEquals } from "@std/assert";
import * as everyLimit from "../lib/limits.ts";
import {
  BoxState,
  Capability,
  CloseCode,
  DepositCode,
  DepositState,
  ENTRY_NUMBERS,
  FILE_ITEM_NUMBERS,
  FILE_WORD_NUMBERS,
  FrameKind,
  HoldReason,
  ItemType,
  LogKind,
  MESSAGE_NUMBERS,
  PersonState,
  RELAY_NUMBERS,
  REQUEST_NUMBERS,
  RESPONSE_NUMBERS,
  SPOKEN_FOR,
  TransferFailure,
  Verdict,
} from "../lib/wire/numbers.ts";

const LIB = new URL("../lib/", import.meta.url);
const text = await Deno.readTextFile(new URL("PROTOCOL.md", LIB));

/** The text of a section, from its heading to the next of the same depth or above. */
function section(heading: string): string {
  const start = text.indexOf(`\n${heading}\n`) + 1;
  assert(start > 0, heading);
  const depth = heading.indexOf(" ");
  const next = text.slice(start + heading.length).search(new RegExp(`^#{2,${depth}} `, "m"));
  return text.slice(start, next < 0 ? undefined : start + heading.length + next);
}

/** The rows of all tables in a text, without their heads; cells are trimmed. */
function rows(markdown: string): string[][] {
  const lines = markdown.split("\n").filter((line) => line.startsWith("|"));
  const cells = lines.map((line) => line.slice(1, -1).split("|").map((cell) => cell.trim()));
  return cells.filter((row, i) => !isRule(row) && !(cells[i + 1] && isRule(cells[i + 1]!)));
}

function isRule(row: readonly string[]): boolean {
  return row.every((cell) => /^-+$/.test(cell));
}

const asked = new Set<string>();
/** The limits, which remember that they were asked for. */
const limits = new Proxy(everyLimit, {
  get(target, name: keyof typeof everyLimit) {
    asked.add(name);
    return target[name];
  },
});

const seconds = (...times: readonly number[]) => times.map((time) => `${time / 1000} s`);
const days = (time: number) => `${time / 86_400_000} d`;

/** What section 4 has to say. */
function expectedLimits(): Readonly<Record<string, string | undefined>> {
  const L = limits;
  const [firstByte, frame, handshake] = seconds(
    L.FIRST_BYTE_DEADLINE,
    L.FRAME_DEADLINE,
    L.HANDSHAKE_DEADLINE,
  );
  return {
    "frame, before the ladder is finished / after":
      `${L.FRAME_LIMIT_HANDSHAKE} / ${L.FRAME_LIMIT_OPEN}`,
    "inner of a record / body of an item": `${L.RECORD_INNER_LIMIT} / ${L.ITEM_BODY_LIMIT}`,
    "body of a record, at least": `${L.RECORD_MINIMUM}`,
    "first byte, one frame of the ladder, the whole ladder": `${firstByte}, ${frame}, ${handshake}`,
    "first byte of a peer's candidate that waits for its turn": seconds(L.MEETING_DEADLINE)[0],
    "a write that is not taken": seconds(L.WRITE_DEADLINE)[0],
    "from the introduction to m8 between peers": seconds(L.MEETING_DEADLINE)[0],
    "silence with messages under way between peers": seconds(L.PENDING_DEADLINE)[0],
    "silence in an open channel": seconds(L.SILENCE_DEADLINE)[0],
    "connections without a finished ladder":
      `${L.STRANGERS_TOTAL}, of one source ${L.STRANGERS_PER_SOURCE}`,
    "ladders from one source that come to nothing":
      `${L.HANDSHAKE_BURST} at once, ${L.HANDSHAKES_PER_MINUTE} a minute`,

    "connections": `${L.CONNECTIONS_TOTAL}`,
    "of one key / from one source": `${L.CONNECTIONS_PER_KEY} / ${L.CONNECTIONS_PER_SOURCE}`,
    "places left to keys known before the start or for a day, one for each": `1 in ${
      1 / L.KNOWN_KEYS_RESERVE
    }`,
    "without a name": seconds(L.NAMELESS_DEADLINE)[0],
    "penalty for a handshake that fails with `auth_failed`": seconds(L.PENALTY_AUTH)[0],
    "penalty for `bad_frame` and `bad_state`": seconds(L.PENALTY_MALFORMED)[0],
    "penalty for `busy`, `shutdown`, and an alert `auth_failed` of the client": "0 s",
    "penalty for any other end of a handshake": seconds(L.PENALTY_NONE)[0],
    "penalties of a source above which it is in doubt, and their sum at the most": seconds(
      L.PENALTY_THRESHOLD,
      L.PENALTY_MAXIMUM,
    ).join(", "),
    "failures with one invite / with tickets of one identity": `${
      L.HANDSHAKE_BURST * L.HANDSHAKE_SHARE_OF_INVITE
    } at once, ${
      L.HANDSHAKES_PER_MINUTE * L.HANDSHAKE_SHARE_OF_INVITE
    } a minute / as from one source`,
    "ladders that one identity climbs": `${L.HANDSHAKE_BURST * L.HANDSHAKE_SHARE_OF_KEY} at once, ${
      L.HANDSHAKES_PER_MINUTE * L.HANDSHAKE_SHARE_OF_KEY
    } a minute`,
    "`retry_after` of `busy`": `${L.RETRY_AFTER_MINIMUM} s to ${L.RETRY_AFTER_MAXIMUM} s`,
    "steps of handshakes that wait for the processor, and how long": `${L.ASYMMETRIC_QUEUE}, ${
      seconds(L.ASYMMETRIC_WAIT)
    }`,
    "from m6 to the first request / from an answer of 3.10 to the next request": seconds(
      L.REGISTRATION_DEADLINE,
      L.ACCOUNT_DEADLINE,
    ).join(" / "),
    "a ticket of a server holds": days(L.TICKET_LIFETIME),
    "from a registration to its answer": handshake,
    "bytes that a client does not take, beside a window for each of its streams":
      `${L.OUTBOUND_QUEUE_HIGH_WATER}`,
    "people to whom one identity is introduced for the first time in an hour":
      `${L.INTRODUCTIONS_PER_HOUR}`,
    "introductions of two who were introduced before":
      `${L.MEETINGS_BURST} at once, ${L.MEETINGS_PER_MINUTE} a minute`,
    "people whom one identity waits for at once": `${L.WANTS_LIMIT}`,
    "wants in a minute": `${L.WANTS_PER_MINUTE}`,
    "requests of one identity": `${L.REQUESTS_BURST} at once, ${L.REQUESTS_PER_MINUTE} a minute`,
    "messages and acknowledgements to the server from one identity":
      `${L.MESSAGES_BURST} at once, ${L.MESSAGES_PER_MINUTE} a minute`,
    "sign-ups of one name in an hour": `${L.SIGN_UPS_PER_HOUR}`,
    "new names from one source in a day": `${L.NEW_NAMES_PER_DAY}`,
    "wrong passwords for one name from one source / from one source in all":
      `${L.PASSWORD_TRIES} / ${L.PASSWORD_TRIES_SOURCE} in ${seconds(L.PASSWORD_TRIES_PERIOD)}`,
    "wrong passwords for one name from all other sources":
      `${L.PASSWORD_TRIES_NAME} at once, ${L.PASSWORD_TRIES_NAME_PER_MINUTE} a minute`,
    "characters of a password that lies with a server": `${L.PASSWORD_CHARACTERS}`,
    "pairs relayed at once": `${L.RELAYED_PAIRS}`,
    "of one key / with one source": `${L.RELAYED_PER_KEY} / ${L.RELAYED_PER_SOURCE}`,
    "a relayed pair of which no byte comes": seconds(L.RELAY_IDLE)[0],
    "bytes a second relayed from one source": `${L.RELAY_RATE_PER_SOURCE}`,
    "bytes a second relayed for a pair in one direction": `${L.RELAY_RATE}`,
    "uses and age of an RSA key while no other is there": `${L.EPHEMERAL_KEY_USES}, ${
      seconds(L.EPHEMERAL_KEY_LIFETIME)
    }`,

    "name, and a server's display name": `${L.NAME_LIMIT} / ${L.DISPLAY_NAME_LIMIT}`,
    "reason of a refusal": `${L.REASON_LIMIT}`,
    "port of a server, unless said otherwise": `${L.DEFAULT_PORT}`,
    "port of a client": `from ${L.PORT_MINIMUM} up`,
    "advertised addresses": `${L.ADVERTISED_ADDRESSES}`,
    "`retry_after` of a refusal or of `unwanted` that a client heeds, at the most":
      `${L.REFUSED_FOR_MAXIMUM} s`,
    "the same, for a person who waits at the keyboard": seconds(L.TOLD_PAUSE_KEPT)[0],
    "a registration that ended so soon was in vain": seconds(L.STEADY_AFTER)[0],
    "wants that a client says for one person / for all":
      `${L.MEETINGS_BURST} at once, ${L.MEETINGS_PER_MINUTE} a minute / ${L.OUR_WANTS_BURST} at once, ${L.OUR_WANTS_PER_MINUTE} a minute`,
    "ladders that a client climbs with its server":
      `${L.OUR_LADDERS_BURST} at once, ${L.OUR_LADDERS_PER_MINUTE} a minute`,
    "a claim of ours holds / is renewed when it holds less": `${days(L.CLAIM_LIFETIME)} / ${
      days(L.CLAIM_RENEWAL)
    }`,
    "a name whose owner does not come is free after": days(L.NAME_EXPIRY),
    "the invite that a server prints holds / for": `${
      days(L.STANDING_INVITE_LIFETIME)
    }, ${L.STANDING_INVITE_USES} people`,
    "people in one presence": `${L.PRESENCE_LIMIT}`,
    "names in one answer to _known_ / keys": `${L.KNOWN_NAMES} / ${L.KNOWN_LIMIT}`,
    "presence is told at most every": seconds(L.PRESENCE_PAUSE)[0],
    "offers told to one who comes to the lobby, the newest": `${L.OFFERS_LIMIT}`,
    "responses of a server that a client has not yet looked at": `${L.RESPONSES_LIMIT}`,
    "people in a lobby whom a client remembers": `${L.LOBBY_PEOPLE}`,
    "credit of a relayed stream / pieces under way": `${L.RELAY_WINDOW} / ${L.RELAY_WINDOW_PIECES}`,
    "password": `1 to ${L.PASSWORD_LIMIT}`,
    "memory in KiB / passes that a client accepts":
      `${L.PASSWORD_MEMORY_MINIMUM} to ${L.PASSWORD_MEMORY_MAXIMUM} / ${L.PASSWORD_PASSES_MINIMUM} to ${L.PASSWORD_PASSES_MAXIMUM}`,
    "memory in KiB / passes that cifra asks for": `${L.PASSWORD_MEMORY} / ${L.PASSWORD_PASSES}`,
    "backup": `${L.BACKUP_LIMIT}`,

    "a sender changes its key after records / bytes / time":
      `${L.RECORDS_PER_KEY} / ${L.BYTES_PER_KEY} / ${seconds(L.KEY_LIFETIME)}`,
    "records under one key": `${L.RECORDS_PER_KEY_HARD_LIMIT}`,
    "key updates a minute that are not earned": `${L.KEY_UPDATES_PER_MINUTE}`,
    "records under a key before another such update": `${L.KEY_UPDATE_MIN_RECORDS}`,
    "records after which an update is earned": `${L.KEY_UPDATE_EARNED_RECORDS}`,
    "a ping after silence of one's own": `${seconds(L.PING_INTERVAL)} ± ${seconds(L.PING_JITTER)}`,
    "pongs": `one in ${seconds(L.PONG_INTERVAL)}`,
    "after one's own `close`": seconds(L.CLOSE_DEADLINE)[0],

    "memory in KiB / passes of the twelve words": `${L.WORDS_MEMORY} / ${L.WORDS_PASSES}`,
    "text of a message": `${L.TEXT_LIMIT}`,
    "piece of a byte stream": `${L.STREAM_PIECE_LIMIT}`,
    "number of a message": `${L.MESSAGE_NUMBER_LIMIT}`,
    "message bodies sent and not stored / held and not stored": `${L.CONVERSATION_WINDOW} / ${
      2 * L.CONVERSATION_WINDOW
    }`,
    "messages of a person not shown / their bytes": `${L.UNSHOWN_MESSAGES} / ${L.UNSHOWN_BYTES}`,
    "one who cannot store tries again after, the first / the longest": [
      L.STORE_PAUSE_MINIMUM,
      L.STORE_PAUSE_MAXIMUM,
    ].map((pause) => seconds(pause)[0]).join(" / "),
    "words of one who cannot store, or can again, in a minute": `${L.STORING_PER_MINUTE}`,
    "words of one who is away": `${L.AWAY_LIMIT}`,
    "how often they are said / heard in a minute":
      `${L.AWAY_SAID_PER_MINUTE} / ${L.AWAY_HEARD_PER_MINUTE}`,
    "with messages under way: silence before a ping": seconds(L.PENDING_PROBE)[0],
    "a preface on a direct connection": seconds(L.PREFACE_DEADLINE)[0],
    "connections at the receive port that are not let in yet / of introductions not heard of yet":
      `${L.UNADMITTED_LIMIT} / ${L.EARLY_LIMIT}`,
    "candidates of one introduction": `${L.CANDIDATES_LIMIT}`,
    "addresses dialled for one introduction": `${L.DIAL_ATTEMPTS}`,
    "one dial": seconds(L.DIAL_DEADLINE)[0],
    "pause after a failed dial, the first / the longest": seconds(
      L.BACKOFF_MINIMUM,
      L.BACKOFF_MAXIMUM,
    ).join(" / "),
    "punched: the first tries, and their pause": `${L.PUNCH_TRIES}, ${seconds(L.PUNCH_PAUSE)}`,
    "head start of the others before the relay": seconds(L.RELAY_HEAD_START)[0],
    "age below which a direct channel is kept": seconds(L.CHANNEL_GRACE)[0],
    "on the relay: before a direct connection is looked for": seconds(L.UPGRADE_PAUSE)[0],
    "a channel that ended so soon, with nothing new stored, was in vain":
      seconds(L.STEADY_AFTER)[0],
    "one who has not the pinned key is met, to be told": seconds(L.REFUSAL_PATIENCE)[0],
    "an introduction with nothing under way is given up": seconds(L.MEETING_PATIENCE)[0],
    "the longest pause between introductions": seconds(L.MEETING_BACKOFF_MAXIMUM)[0],

    "length of a manifest / its entries / its depth / a name":
      `${L.MANIFEST_LIMIT} / ${L.MANIFEST_ENTRIES} / ${L.MANIFEST_DEPTH} / ${L.FILE_NAME_LIMIT}`,
    "a size, an offset, the sum of all sizes": `${L.FILE_SIZE_LIMIT}`,
    "bytes of content in one item": `${L.FILE_PIECE_LIMIT}`,
    "content sent and not taken": `${L.FILE_WINDOW_LIMIT}`,
    "a sender's window: what the way carries in / at the least": `${
      seconds(L.FILE_WINDOW_TIME)
    } / ${L.FILE_WINDOW_MINIMUM}`,
    "a block of a digest / digests in one want": `${2 ** L.FILE_BLOCK_MINIMUM} to ${
      2 ** L.FILE_BLOCK_MAXIMUM
    } / ${L.FILE_DIGESTS_LIMIT}`,
    "want, hold and pause in a minute": `${L.FILE_WORDS_PER_MINUTE}`,
    "changes of one entry in a turn": `${L.FILE_CHANGES_LIMIT}`,
    "offers of one person that are not over": `${L.OFFERS_OPEN}`,
    "growth of a transfer while it is sent": `1/${L.FILE_GROWTH_PART} and ${L.FILE_GROWTH}`,
    "items of a transfer that wait for the disk": `${L.FILE_ITEMS_WAITING}, and 2 for each entry`,

    "content of an envelope / the envelope": `${L.CONTENT_MINIMUM} to ${L.CONTENT_LIMIT} / ${
      L.ENVELOPE_OVERHEAD + L.CONTENT_MINIMUM
    } to ${L.ENVELOPE_OVERHEAD + L.CONTENT_LIMIT}`,
    "envelopes of a session / its age": `${L.SESSION_ENVELOPES} / ${days(L.SESSION_LIFETIME)}`,
    "one-time prekeys in stock / refilled below":
      `${L.ONE_TIME_PREKEYS} / ${L.ONE_TIME_PREKEYS_LOW}`,
    "a signed prekey is replaced after / the secret of a prekey goes after": `${
      days(L.SIGNED_PREKEY_LIFETIME)
    } / ${days(L.PREKEY_SECRET_LIFETIME)}`,
    "newer signed prekeys after which a secret goes": `${L.SIGNED_PREKEYS_NEWER}`,
    "a box that is not opened, and a signed prekey that is not replaced, count as none after": days(
      L.BOX_LIFETIME,
    ),
    "boxes of one identity": `${L.BOXES_OF_ONE}`,
    "an envelope is kept": days(L.ENVELOPE_LIFETIME),
    "waiting of one sender for one person / without a pass":
      `${L.WAITING_OF_PAIR_BYTES} and ${L.WAITING_OF_PAIR} / ${L.WAITING_OF_STRANGER_BYTES} and ${L.WAITING_OF_STRANGER}`,
    "waiting for one person / of it without a pass":
      `${L.WAITING_FOR_ONE_BYTES} and ${L.WAITING_FOR_ONE} / ${L.WAITING_FROM_STRANGERS_BYTES} and ${L.WAITING_FROM_STRANGERS}`,
    "waiting of one sender in all": `${L.WAITING_OF_SENDER_BYTES}`,
    "deposits of one identity": `${L.DEPOSITS_BURST} at once, ${L.DEPOSITS_PER_MINUTE} a minute`,
    "database of the mailbox": `${L.MAILBOX_BUDGET}`,
    "keys of one person asked by one identity / of all": `one in ${
      seconds(L.KEYS_PAUSE)
    } / ${L.KEYS_PER_HOUR} an hour`,
    "one-time prekeys of one owner to those without a pass":
      `${L.KEYS_FOR_STRANGERS_PER_HOUR} an hour, never the last ${L.KEYS_NOT_FOR_STRANGERS}`,
    "handed out and not settled": `${L.HANDED_OUT_LIMIT} and ${L.HANDED_OUT_BYTES}`,
    "ids in `replaces` / in `settle` and `withdraw` / in one `mine`":
      `${L.REPLACES_LIMIT} / ${L.SETTLED_LIMIT} / ${L.DEPOSITS_LIMIT}`,
    "early messages of one log": `${L.EARLY_MESSAGES} and ${L.EARLY_MESSAGES_BYTES}`,
    "without a channel before a message is sealed / before it is sealed again": `${
      seconds(L.SEAL_AFTER)
    } / ${days(L.SEAL_AGAIN_AFTER)}`,
    "a receipt after the last envelope / of reading / of what did not open": [
      L.RECEIPT_AFTER,
      L.RECEIPT_OF_READING_PAUSE,
      L.RECEIPT_OF_FAILURE_PAUSE,
    ].map((pause) => seconds(pause)[0]).join(" / one in "),
  };
}

/** Limits that no other implementation can meet: memory, disk, and what stands elsewhere in the document. */
const OURS_ALONE = [
  "ACCEPT_PAUSE",
  "CONFIRMATION_PATIENCE",
  "CONVERSATIONS_LIMIT",
  "DAY",
  "DIGESTED_FROM",
  "EPHEMERAL_KEY_POOL",
  "FAST_WRITES",
  "FILE_PIECE_HEADER",
  "FILE_RECOVERED",
  "FRAME_BUFFER_START",
  "HANDSHAKE_ASKING",
  "HURRY_PAUSE",
  "INVITE_RUSH",
  "INVITE_RUSH_PERIOD",
  "ITEM_HEADER_LENGTH",
  "KEY_FILE_MEMORY",
  "KEY_FILE_PASSES",
  "KEY_REST_AFTER",
  "LOCAL_NAME_LIMIT",
  "LOCAL_PATH_LIMIT",
  "LOG_FILES",
  "LOG_FILE_LIMIT",
  "MAIL_AGAIN",
  "MAIL_ANSWER_PATIENCE",
  "MAIL_EXPIRY_PAUSE",
  "MAIL_GOODBYE",
  "MAIL_PATIENCE",
  "MAIL_POSTPONED_LIMIT",
  "MAIL_RETURN",
  "MESSAGES_LAZY_AFTER",
  "MESSAGES_LAZY_COUNT",
  "MESSAGES_SETTLE_AFTER",
  "MESSAGES_TIDY_PAUSE",
  "PACES_REMEMBERED",
  "PADDING_MINIMUM",
  "PADDING_STEP",
  "PAST_SHOWN",
  "PIPE_PATIENCE",
  "PREKEYS_LOOK",
  "PRESENCE_LOG",
  "PROOF_LENGTH",
  "READ_BUFFER_MAXIMUM",
  "READ_BUFFER_MINIMUM",
  "RECEIPT_CROSSING",
  "RECORDS_IN_FLIGHT",
  "RECORDS_IN_FLIGHT_SLOW",
  "RECORDS_PER_WRITE",
  "RETRY_SPREAD",
  "SALT_LENGTH",
  "SERVER_BACKOFF_MAXIMUM",
  "SESSION_MEMORY",
  "SHUT_OUT_LOOK",
  "SHUT_OUT_PAUSE",
  "SIGN_IN_NONCE_LENGTH",
  "SLOW_WRITE",
  "SOURCES_REMEMBERED",
  "STORE_BUDGET",
  "STORE_LAZY_AFTER",
  "STRANGERS_ANSWERED",
  "STRANGERS_ANSWERED_PAUSE",
  "STREAM_WINDOW",
  "SYNCED_AT_ONCE",
  "TRANSFERS_AT_ONCE",
  "TURNED_AWAY_LIMIT",
  "UNSYNCED_BYTES",
  "UNSYNCED_FILES",
  "USERS_PATIENCE",
  "WAIT_PATIENCE",
];

Deno.test("PROTOCOL.md 4: every value in the tables is that of limits.ts", () => {
  const expected = expectedLimits();
  const written = rows(section("## 4. Limits and deadlines"));
  assertEquals(written.map(([what]) => what).toSorted(), Object.keys(expected).toSorted());
  for (const [what, value] of written) assertEquals(value, expected[what!], what);
});

Deno.test("PROTOCOL.md 4: every limit that another implementation meets has a row", () => {
  expectedLimits();
  const missing = Object.keys(everyLimit).filter((name) => !asked.has(name));
  assertEquals(missing.toSorted(), OURS_ALONE, "give it a row in section 4, or list it here");
});

/** `sign up` as the code calls it. */
function nameOf(words: string): string {
  return words.replaceAll("`", "").replaceAll(/ ([a-z])/g, (_, letter) => letter.toUpperCase());
}

/** All names with their numbers that stand in `text` as `pattern` says, in their order. */
function pairsIn(text: string, pattern: RegExp): (readonly [string, number])[] {
  return [...text.matchAll(pattern)].map(([, number, name]) =>
    [nameOf(name!), Number(number)] as const
  );
}

/** The same by name; a name stands once. */
function numbersIn(text: string, pattern: RegExp): Record<string, number> {
  const found = pairsIn(text, pattern);
  assertEquals(new Set(found.map(([name]) => name)).size, found.length, `${pattern}`);
  return Object.fromEntries(found);
}

/** The text of a section from `begin` up to `end`. */
function between(heading: string, begin: string, end: string): string {
  const within = section(heading);
  const start = within.indexOf(begin);
  assert(start >= 0, begin);
  return within.slice(start, within.indexOf(end, start));
}

/** The lines that show how messages begin: `u8 1 text     u64 number …`. */
const LAYOUT = /^ {4}u8 (\d+) +([a-z]+(?: [a-z]+)?)(?= |$)/gm;

const FRAMES = "### 3.2 Encoding";
const RECORDS = "### 3.5 Records";
const CLOSE = "### 3.6 Key update and close";
const SERVER = "### 3.7 Client and server";
const PEERS = "### 3.8 Peers";
const RELAY = "### 3.9 Relay";
const ACCOUNTS = "### 3.10 Accounts";
const LOBBY = "### 3.11 The lobby";
const MAILBOX = "### 3.12 The mailbox";
const FILES = "### 3.15 Files";

Deno.test("PROTOCOL.md 3.2: the table of frames is that of numbers.ts", () => {
  const table = rows(between(FRAMES, "| kind ", "\n\n"));
  const numbers = table.flatMap(([kind, what]) => {
    const [from, to = from] = kind!.split(" … ").map(Number);
    const [first, last = first] = what!.split(" … ");
    if (from === to) return [[first, from]];
    assertEquals([first, last], [`m${from}`, `m${to}`]);
    return Array.from({ length: to! - from! + 1 }, (_, i) => [`m${from! + i}`, from! + i]);
  });
  assertEquals(Object.fromEntries(numbers), FrameKind);
});

Deno.test("PROTOCOL.md 3.5 and 3.6: items and close codes are those of numbers.ts", () => {
  const table = rows(between(RECORDS, "| type ", "\n\n"));
  assertEquals(
    Object.fromEntries(table.map(([type, item]) => [nameOf(item!), Number(type)])),
    ItemType,
  );
  const codes = between(CLOSE, "code 0", "any other is refused");
  assertEquals(numbersIn(codes, /(\d) ([a-z]+)/g), CloseCode);
});

Deno.test("PROTOCOL.md 3.7: the table of requests and responses is that of numbers.ts", () => {
  const table = rows(section(SERVER)).filter((row) => row.length === 6);
  const numbers = (column: number) =>
    Object.fromEntries(
      table.filter((row) => row[column] !== "").map((row) => {
        return [nameOf(row[column + 1]!), Number(row[column])];
      }),
    );
  assertEquals(numbers(0), REQUEST_NUMBERS);
  assertEquals(numbers(3), RESPONSE_NUMBERS);
});

Deno.test("PROTOCOL.md 3.7 and 3.10 to 3.12: what is shown of requests and responses has their numbers", () => {
  const shown = [SERVER, ACCOUNTS, LOBBY, MAILBOX].map(section).join("")
    .replace("u8 1 (register)", "u8 1 register");
  const wanted = [...Object.entries(REQUEST_NUMBERS), ...Object.entries(RESPONSE_NUMBERS)];
  // A request and a response may have one name, with a number each.
  assertEquals(pairsIn(shown, LAYOUT).map(String).sort(), wanted.map(String).sort());
});

Deno.test("PROTOCOL.md 3.12: states, verdicts and codes are those of numbers.ts", () => {
  const list = (begin: string, end: string) =>
    numbersIn(
      between(MAILBOX, begin, end).replaceAll(/\s+/g, " "),
      /(\d) ([a-z]+(?: [a-z]+)*)/g,
    );
  assertEquals(list("state of a `box`:", ";"), BoxState);
  assertEquals(list("verdict of `settle`:", ";"), Verdict);
  assertEquals(list("state of a deposit in `mine`:", ";"), DepositState);
  assertEquals(list("code of `deposited`:", ","), { stored: 0 });
  const codes = rows(section(MAILBOX)).map(([code, name]) => [nameOf(name!), Number(code)]);
  assertEquals(Object.fromEntries(codes), DepositCode);
});

Deno.test("PROTOCOL.md 3.7 and 3.11: capabilities and states of people are those of numbers.ts", () => {
  const capabilities = between(SERVER, "Capabilities:", "Advertised");
  assertEquals(numbersIn(capabilities, /(\d+)\s_(\w+)_/g), Capability);
  assertEquals(numbersIn(between(LOBBY, "state 1", "\n"), /(\d) (\w+)/g), PersonState);
});

Deno.test("PROTOCOL.md 3.8 and 3.9: logs, messages and relayed streams are those of numbers.ts", () => {
  const logs = [...section(PEERS).matchAll(/A _(\w+)_ log \(kind (\d)\)/g)];
  assertEquals(Object.fromEntries(logs.map(([, name, kind]) => [name, Number(kind)])), LogKind);
  assertEquals(numbersIn(section(PEERS), LAYOUT), MESSAGE_NUMBERS);
  assertEquals(numbersIn(section(RELAY), LAYOUT), RELAY_NUMBERS);
});

Deno.test("PROTOCOL.md 3.15: words, items, kinds and codes are those of numbers.ts", () => {
  const words = between(FILES, "**In the log.**", "**The manifest**");
  assertEquals(numbersIn(words, LAYOUT), FILE_WORD_NUMBERS);
  const content = between(FILES, "**Content**", "**Position.**");
  assertEquals(numbersIn(content, LAYOUT), FILE_ITEM_NUMBERS);
  const list = (begin: string, end: string) =>
    numbersIn(between(FILES, begin, end).replaceAll(/\s+/g, " "), /(\d) ([a-z]+(?: [a-z]+)?)/g);
  assertEquals(list("kind: 1", "flags"), ENTRY_NUMBERS);
  assertEquals(list("code 1", "any other"), TransferFailure);
  assertEquals(list("0 not now", "another number"), HoldReason);
});

Deno.test("PROTOCOL.md 3.7: what is spoken for is that of numbers.ts, and nothing uses it", () => {
  const spokenFor = between(SERVER, "Spoken for", "\n\n").replaceAll("\n", " ");
  const written = [
    ...spokenFor.matchAll(/(frame kind|request|response|item)s? (\w+)(?: to (\d+))?/g),
  ]
    .map(([, of, from, to = from]) => [of!.split(" ")[0], Number(from), Number(to)]);
  const inCode = SPOKEN_FOR.map(({ of, from, to }) => [of, from, to]);
  assertEquals(written.map(String).sort(), inCode.map(String).sort());
  const used = {
    frame: FrameKind,
    item: ItemType,
    request: REQUEST_NUMBERS,
    response: RESPONSE_NUMBERS,
  };
  for (const { of, from, to } of SPOKEN_FOR) {
    for (const number of Object.values(used[of])) {
      assert(number < from || number > to, `${of} ${number}`);
    }
  }
});

Deno.test("PROTOCOL.md 3.13: the table has every label of the code, ended as it says", async () => {
  const labels = new Set<string>();
  for (const [cell, ending] of rows(section("### 3.13 Labels"))) {
    for (const [, label] of cell!.matchAll(/`([^`]+)`/g)) {
      assertEquals(label!.endsWith("\\0"), ending === "yes", label);
      labels.add(label!);
    }
  }
  const inCode = new Set<string>();
  for (const folder of ["crypto", "wire", "handshake", "channel", "services", "client", "store"]) {
    for await (const { name } of Deno.readDir(new URL(`${folder}/`, LIB))) {
      const code = await Deno.readTextFile(new URL(`${folder}/${name}`, LIB));
      for (const label of labelsIn(folder, withoutComments(code))) inCode.add(label);
    }
  }
  const ours = [
    "cifra/1 salt of nobody\\0",
    "cifra/1 identity file probe\\0",
    "cifra/1 at rest\\0",
    "cifra/1 ticket seal\\0",
    "cifra/1 ticket tag\\0",
    "cifra/1 ticket period\\0",
    "cifra/1 ticket key\\0",
  ];
  for (const label of ours) assert(inCode.delete(label), label);
  assertEquals([...labels].toSorted(), [...inCode].toSorted());
});

function withoutComments(code: string): string {
  return code.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
}

/** As they stand in the table: of a template, what it gives in mode 1 of `modern`. */
function* labelsIn(folder: string, code: string): Iterable<string> {
  for (const [, label] of code.matchAll(/"(cifra\/1[^"]*)"/g)) yield label!;
  // Not every label names the protocol; what these folders turn into bytes is a label.
  for (const [, label] of code.matchAll(/\bencodeUtf8\("([^"]+)"\)/g)) yield label!;
  if (folder !== "handshake" && folder !== "crypto") return;
  const derived = /\b(?:mix|derive|deriveBox)\([^;]*?"([^"]+)"/g;
  for (const [, label] of code.matchAll(derived)) yield `cifra/1 ${label}\\0`;
  for (const [, role] of code.matchAll(/\bsignatureInput\([^;]*?"([^"]+)"/g)) {
    yield `cifra/1 s3 m1 ${role}\\0`;
  }
}
