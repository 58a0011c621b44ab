/** Every number of the protocol and of its defences, each with its reason. Times are milliseconds. */

const KIB = 1024;
const SECOND = 1000;
/** A day. */
export const DAY = 24 * 3600 * SECOND;

// --- Frames and records (PROTOCOL.md 3.2, 3.5) ---

/** Largest frame before authentication: the longest handshake message is under 3 KiB. */
export const FRAME_LIMIT_HANDSHAKE = 8 * KIB;
/** Largest frame of an open channel. */
export const FRAME_LIMIT_OPEN = 64 * KIB;
/** Largest plaintext of a record: a multiple of 4 KiB whose sealed form fits a frame in every suite. */
export const RECORD_INNER_LIMIT = 60 * KIB;
/** Smallest body of a record: the smallest bucket, and the shortest tag of a suite. */
export const RECORD_MINIMUM = 64 + 16;
/** Type byte and length in front of every item inside a record. */
export const ITEM_HEADER_LENGTH = 5;
/** Largest body of one item. */
export const ITEM_BODY_LIMIT = RECORD_INNER_LIMIT - ITEM_HEADER_LENGTH;
/** Smallest padded record; doubled up to the step, then multiples of the step. */
export const PADDING_MINIMUM = 64;
export const PADDING_STEP = 4 * KIB;

// --- Keys (PROTOCOL.md 3.6) ---

/** Records after which a sender changes its key; the hard stop is the receiver's patience. */
export const RECORDS_PER_KEY = 2 ** 20;
export const RECORDS_PER_KEY_HARD_LIMIT = 2 ** 22;
/** Bytes and time after which a sender changes its key. */
export const BYTES_PER_KEY = 2 ** 30;
export const KEY_LIFETIME = 15 * 60 * SECOND;
/** A channel that is idle for this long lets go of its imported keys. */
export const KEY_REST_AFTER = 3 * SECOND;
/** A peer that changes keys faster than this wastes our time on purpose. */
export const KEY_UPDATE_MIN_RECORDS = 64;
export const KEY_UPDATES_PER_MINUTE = 10;
/** One that comes after so many records is earned and not counted: a fast stream uses keys up. */
export const KEY_UPDATE_EARNED_RECORDS = 2 ** 12;
/** An RSA ephemeral key of a responder is used this often, and this long, at the most (attack A6). */
export const EPHEMERAL_KEY_USES = 256;
export const EPHEMERAL_KEY_LIFETIME = 10 * 60 * SECOND;
/** RSA ephemeral keys kept in stock, made one at a time. */
export const EPHEMERAL_KEY_POOL = 8;

// --- Deadlines (PROTOCOL.md 4) ---

export const FIRST_BYTE_DEADLINE = 3 * SECOND;
/** From the first byte of a handshake frame, or from when it is due, to its last byte. */
export const FRAME_DEADLINE = 5 * SECOND;
export const HANDSHAKE_DEADLINE = 10 * SECOND;
export const PREFACE_DEADLINE = 3 * SECOND;
/** A ping after this much silence of ours, spread by the jitter so that a crowd does not beat in step. */
export const PING_INTERVAL = 25 * SECOND;
export const PING_JITTER = 5 * SECOND;
/** Nothing heard for this long: the other side is gone. */
export const SILENCE_DEADLINE = 60 * SECOND;
/** A write that does not finish: the other side, or the network, does not take it. */
export const WRITE_DEADLINE = 20 * SECOND;
/** After our close: how long to wait for the other side's. */
export const CLOSE_DEADLINE = 2 * SECOND;
/** With messages under way that nobody acknowledges: ask after this much silence, give up after that. */
export const PENDING_PROBE = 8 * SECOND;
export const PENDING_DEADLINE = 18 * SECOND;
/** Pongs a peer can ask for. */
export const PONG_INTERVAL = 1 * SECOND;

// --- Memory ---

/** Read buffer of an idle connection; thousands of them wait. It grows when data flows. */
export const READ_BUFFER_MINIMUM = 512;
export const READ_BUFFER_MAXIMUM = 256 * KIB;
/** A frame's buffer starts no larger than this, whatever its header claims. */
export const FRAME_BUFFER_START = 4 * KIB;
/** Queued by a sender that can wait: beyond this its `send` waits. */
export const OUTBOUND_QUEUE_HIGH_WATER = 512 * KIB;
/** Records sealed or opened at once: enough to keep two cores busy. */
export const RECORDS_IN_FLIGHT = 8;
/** Records that go with one write where the network takes them at once, so that each costs less of it. */
export const RECORDS_PER_WRITE = 4;
/** The same, sealed or on their way, where it does not: what is said meanwhile stands behind them. */
export const RECORDS_IN_FLIGHT_SLOW = 2;
/** A write that takes longer says that the network is slow, until so many in a row have not. */
export const SLOW_WRITE = 100;
export const FAST_WRITES = 8;
/** What cannot be stored, as on a full disk, is tried again after so long, twice as long each time. */
export const STORE_PAUSE_MINIMUM = 1 * SECOND;
export const STORE_PAUSE_MAXIMUM = 10 * SECOND;
/** How often in a minute the other side may say that it cannot store, or can again. */
export const STORING_PER_MINUTE = 20;
/** Words of somebody who is away, in bytes of UTF-8. */
export const AWAY_LIMIT = 200;
/**
 * How often in a minute we say them, and the other side may: twice as often, since those of a minute may be held up
 * on the way and come with those of the next.
 */
export const AWAY_SAID_PER_MINUTE = 5;
export const AWAY_HEARD_PER_MINUTE = 10;
/** Bytes of a conversation sent but not yet taken by the receiving program. */
export const CONVERSATION_WINDOW = 4 * 1024 * KIB;
/** Messages of one person, and their bytes, that are stored and not shown: what follows waits at its sender. */
export const UNSHOWN_MESSAGES = 2000;
export const UNSHOWN_BYTES = 4 * 1024 * KIB;

// --- Server (PROTOCOL.md 4) ---

/** Until a client registers: from the end of its handshake, and from an answer about an account. */
export const REGISTRATION_DEADLINE = 10 * SECOND;
export const ACCOUNT_DEADLINE = 60 * SECOND;
/** Whatever it asks about accounts, a connection without a name ends after so long. */
export const NAMELESS_DEADLINE = 300 * SECOND;
/** Default of `--max-connections`. */
export const CONNECTIONS_TOTAL = 1024;
/** Connections of one key, and from one source, that have finished it: `--max-connections-per-key`, `-per-address`. */
export const CONNECTIONS_PER_KEY = 16;
export const CONNECTIONS_PER_SOURCE = 256;
/** The part of all connections that is left to keys which the server has known for long, one for each. */
export const KNOWN_KEYS_RESERVE = 1 / 8;
/** Connections that have not finished their handshake: `--max-strangers`. */
export const STRANGERS_TOTAL = 512;
/** The same from one IPv4 address or one IPv6 /64, behind which may be a school: `--max-strangers-per-address`. */
export const STRANGERS_PER_SOURCE = 256;
/** Connections that find no room, and are told so when they have said something. */
export const TURNED_AWAY_LIMIT = 64;
/** Handshakes from one source that come to nothing: a bucket, and its refill. */
export const HANDSHAKE_BURST = 10;
export const HANDSHAKES_PER_MINUTE = 20;
/** An invite is shared by a class: it counts as so many sources. */
export const HANDSHAKE_SHARE_OF_INVITE = 10;
/** What a handshake costs that ends where whoever only wants to see the server's key ends it. */
export const HANDSHAKE_ASKING = 1 / 10;
/** An identity may come so many times as often as a source may fail. */
export const HANDSHAKE_SHARE_OF_KEY = 3;
/** A ticket of a server holds so long. */
export const TICKET_LIFETIME = 30 * 24 * 3600 * SECOND;
/** Penalties a source earns; it is in doubt while their sum is above the threshold. */
export const PENALTY_AUTH = 5 * SECOND;
export const PENALTY_NONE = 1 * SECOND;
export const PENALTY_MALFORMED = 10 * SECOND;
export const PENALTY_THRESHOLD = 15 * SECOND;
export const PENALTY_MAXIMUM = 10 * 60 * SECOND;
/** Sources remembered at once; the least recently seen goes first. */
export const SOURCES_REMEMBERED = 65_536;
/** When somebody without room wants to be asked again: seconds that are said, and that are believed. */
export const RETRY_AFTER_MINIMUM = 1;
export const RETRY_AFTER_MAXIMUM = 60;
/** The same of a server that has proved its key and refuses us: it must not lock us out for longer, in seconds. */
export const REFUSED_FOR_MAXIMUM = 3600;
/** A time that a server names is kept for so long by whoever sits there and waits; then they may try, milliseconds. */
export const TOLD_PAUSE_KEPT = 60 * SECOND;
/** Handshake steps waiting for the processor, and how long they wait before `busy`. */
export const ASYMMETRIC_QUEUE = 512;
export const ASYMMETRIC_WAIT = 4 * SECOND;
/** When descriptors run out: pause before accepting again. */
export const ACCEPT_PAUSE = 100;
/** Default of `--max-relayed`: pairs relayed at once. */
export const RELAYED_PAIRS = 128;
/** Defaults of `--max-relayed-per-key` and `-per-address`: their share of these. */
export const RELAYED_PER_KEY = 16;
export const RELAYED_PER_SOURCE = 64;
/** A pair that says nothing for so long gives its place back; a living channel pings more often. */
export const RELAY_IDLE = 60 * SECOND;
/** Default of `--relay-rate-per-address`: bytes a second for all that comes from one source. */
export const RELAY_RATE_PER_SOURCE = 64 * 1024 * KIB;
/** Default of `--relay-rate`: bytes a second for a pair in one direction. */
export const RELAY_RATE = 16 * 1024 * KIB;
/** What one identity may ask for, and say to the server, over all its connections: at once, and in a minute. */
export const REQUESTS_BURST = 128;
export const REQUESTS_PER_MINUTE = 240;
export const MESSAGES_BURST = 256;
export const MESSAGES_PER_MINUTE = 3000;
/** Sign-ups of one name in an hour: each waits for the disk. */
export const SIGN_UPS_PER_HOUR = 3;
/** Default of `--introductions-per-hour`: people an identity meets there for the first time, a class and more. */
export const INTRODUCTIONS_PER_HOUR = 120;
/** Two who were introduced come again so often at once, and then so often in a minute. */
export const MEETINGS_BURST = 20;
export const MEETINGS_PER_MINUTE = 12;

/** A claim that a name is somebody's holds so long (milliseconds), and is renewed when less is left. */
export const CLAIM_LIFETIME = 400 * DAY;
export const CLAIM_RENEWAL = 200 * DAY;
/** A name whose owner has not come for so long is free again. */
export const NAME_EXPIRY = 180 * DAY;
/** Default of `--new-names-per-day`, from one address or /64: a class behind one router takes them in a lesson. */
export const NEW_NAMES_PER_DAY = 40;

/** The invite that a server prints when it starts holds so long (milliseconds), for so many people. */
export const STANDING_INVITE_LIFETIME = 30 * 24 * 3600 * SECOND;
export const STANDING_INVITE_USES = 40;

/** So many new people from one source with one invite in so long (milliseconds): the operator is told. */
export const INVITE_RUSH = 20;
export const INVITE_RUSH_PERIOD = 60 * SECOND;

// --- The lobby ---

/** People named in one message of the server. */
export const PRESENCE_LIMIT = 250;
/** Names in one answer to who is known, and keys, of which a name has one for each suite. */
export const KNOWN_NAMES = 80;
export const KNOWN_LIMIT = 3 * KNOWN_NAMES;
/** Those who come and go are announced together, this often at most. */
export const PRESENCE_PAUSE = SECOND / 2;
/** Changes remembered for those who are slow to read; whoever is further behind is told everything anew. */
export const PRESENCE_LOG = 8192;
/** People who ask for somebody in the lobby, of whom it is told. */
export const OFFERS_LIMIT = 64;
/**
 * Strangers whom `--accept all` answers at once, a class that comes in together, and then one after each pause: an
 * answer makes us dial addresses that a server can have invented with the person.
 */
export const STRANGERS_ANSWERED = 48;
export const STRANGERS_ANSWERED_PAUSE = 10 * SECOND;
/** People whom one may want at once, and how often one may want somebody: an offer costs others something. */
export const WANTS_LIMIT = 16;
export const WANTS_PER_MINUTE = 120;
/** People in a lobby whom a client remembers: no server makes it remember more. */
export const LOBBY_PEOPLE = 65_536;
/**
 * What a server may have said before anybody asks for it: of a full lobby, who is there and who asks for us
 * come in one go.
 */
export const RESPONSES_LIMIT = Math.ceil(LOBBY_PEOPLE / PRESENCE_LIMIT) + OFFERS_LIMIT + 16;
/** Conversations at once: the place in the lobby counts as one who is waited for. */
export const CONVERSATIONS_LIMIT = WANTS_LIMIT - 1;

// --- Passwords (PROTOCOL.md 3.10) ---

/** Lengths in bytes: a salt, the nonce of each side, a proof and what a server keeps. */
export const SALT_LENGTH = 16;
export const SIGN_IN_NONCE_LENGTH = 24;
export const PROOF_LENGTH = 64;
/** A password, in bytes of UTF-8. */
export const PASSWORD_LIMIT = 1024;
/** What a try costs: KiB of memory and passes of Argon2id, for sign-in and for a file of keys. */
export const PASSWORD_MEMORY = 19 * 1024;
export const PASSWORD_PASSES = 2;
/** What twelve words cost, so that a stranger in the middle who tries keys pays it for each. */
export const WORDS_MEMORY = 64 * 1024;
export const WORDS_PASSES = 2;
export const KEY_FILE_MEMORY = 64 * 1024;
export const KEY_FILE_PASSES = 3;
/** What somebody else may ask for: less would betray the password, more would be an attack on us. */
export const PASSWORD_MEMORY_MINIMUM = 19 * 1024;
export const PASSWORD_MEMORY_MAXIMUM = 256 * 1024;
export const PASSWORD_PASSES_MINIMUM = PASSWORD_PASSES;
export const PASSWORD_PASSES_MAXIMUM = 10;
/** Wrong passwords in a quarter of an hour: for one name from one source, and from one source for all names. */
export const PASSWORD_TRIES = 5;
export const PASSWORD_TRIES_SOURCE = 100;
export const PASSWORD_TRIES_PERIOD = 15 * 60 * SECOND;
/**
 * And for one name, from everywhere but where its owner has been: so many at once, and then so many a minute. A
 * thief of many addresses is slowed; nobody can shut the owner out for long.
 */
export const PASSWORD_TRIES_NAME = 100;
export const PASSWORD_TRIES_NAME_PER_MINUTE = 1;
/** What is asked of a password that lies with a server: its thief can guess as long as it likes. */
export const PASSWORD_CHARACTERS = 10;
/** Keys sealed under a password, in bytes. */
export const BACKUP_LIMIT = 16 * KIB;

// --- Peers (PROTOCOL.md 3.8) ---

/** Addresses dialled for one introduction. */
export const DIAL_ATTEMPTS = 6;
/** One dial. */
export const DIAL_DEADLINE = 5 * SECOND;
/** From the introduction to an open channel; then the server is asked again. */
export const MEETING_DEADLINE = 15 * SECOND;
/** With nothing under way that could become a channel, the server is asked again sooner; not before a dial ends. */
export const MEETING_PATIENCE = DIAL_DEADLINE + 1 * SECOND;
/** Pauses between introductions that come to nothing: there are only so many in an hour. */
export const MEETING_BACKOFF_MAXIMUM = 120 * SECOND;
/** Direct connections get this long before the relay is tried as well. */
export const RELAY_HEAD_START = 300;
/** Bytes of a relayed stream on their way in each direction: what the server may have to hold. */
export const RELAY_WINDOW = 256 * KIB;
/** In so many pieces at most: each costs the server more than its bytes. Records are not this small. */
export const RELAY_WINDOW_PIECES = 8192;
/** After a failure: how long until the next try, doubled each time, spread at random by a half. */
export const BACKOFF_MINIMUM = SECOND / 2;
export const BACKOFF_MAXIMUM = 30 * SECOND;
/** The longest pause between tries to reach a server: one that is back should not have to wait for its people. */
export const SERVER_BACKOFF_MAXIMUM = 8 * SECOND;
/** A client climbs so many ladders with its server at once, and then in a minute: half of what that lets one key climb. */
export const OUR_LADDERS_BURST = 20;
export const OUR_LADDERS_PER_MINUTE = 30;
/** It says so many wants at once, and then in a minute: for one person as often as the two would be introduced. */
export const OUR_WANTS_BURST = WANTS_PER_MINUTE / 2;
export const OUR_WANTS_PER_MINUTE = WANTS_PER_MINUTE / 2;
/** Defaults of `--give-up`, of a pipe and of a command that prints something once. */
export const PIPE_PATIENCE = 300 * SECOND;
export const USERS_PATIENCE = 60 * SECOND;
/** The same of a command that leaves or fetches mail, and how long it waits for an answer, or for more. */
export const MAIL_PATIENCE = 60 * SECOND;
export const MAIL_ANSWER_PATIENCE = 30 * SECOND;
/** Default of `--wait-for`. */
export const WAIT_PATIENCE = 60 * SECOND;
/** Whoever is told to come again in some time comes up to that much later once more, or this. */
export const RETRY_SPREAD = 10 * SECOND;
/** A server that does not take us any more is asked again after so long, for as long as people talk without it. */
export const SHUT_OUT_PAUSE = 60 * SECOND;
/** How often it is looked whether they still do. */
export const SHUT_OUT_LOOK = 2 * SECOND;
/** Tries that somebody's haste brings forward come no closer: a person types faster than a server climbs ladders. */
export const HURRY_PAUSE = 2 * SECOND;
/** Hole punching: both must dial within moments of each other, so the first tries come thick. */
export const PUNCH_PAUSE = 200;
export const PUNCH_TRIES = 25;
/** A channel this young is not given up for another connection that was under way with it. */
export const CHANNEL_GRACE = 2 * SECOND;
/** On the relay, a direct connection is looked for after this pause. */
export const UPGRADE_PAUSE = 2 * SECOND;
/** A channel or a registration that has lasted for so long was worth having, though nothing was said. */
export const STEADY_AFTER = 10 * SECOND;
/** People of whom a client remembers how soon it meets them again. */
export const PACES_REMEMBERED = 1024;
/** Somebody who is not who they were is waited for so long, to be told. */
export const REFUSAL_PATIENCE = 3 * SECOND;
/** Connections from an introduction at once: more than both can need, whoever has seen a preface go by. */
export const CANDIDATES_LIMIT = 32;
/** Connections at the receive port that nobody has admitted, at once; each has `PREFACE_DEADLINE`. */
export const UNADMITTED_LIMIT = 16;
/** So many of them may come from an introduction that we have not heard of, so that others find room. */
export const EARLY_LIMIT = 8;
/** Addresses a client may advertise beside the observed one. */
export const ADVERTISED_ADDRESSES = 4;
/** Where a server listens and a client looks for it. */
export const DEFAULT_PORT = 7411;
/** Ports below are the system's: nobody may send a peer there (attack A13). */
export const PORT_MINIMUM = 1024;

// --- Messages ---

/** A piece of a byte stream: with its tag and number it is one item. */
export const STREAM_PIECE_LIMIT = ITEM_BODY_LIMIT - 9;
/** Largest number of a message: what a database holds. The wire can say twice as much. */
export const MESSAGE_NUMBER_LIMIT = 2n ** 63n - 1n;

/** When asked, the write-ahead log of messages is emptied at once, but no more often than that, ms. */
export const MESSAGES_TIDY_PAUSE = 2 * SECOND;
/** A session of the mailbox is remembered for so long after its last envelope: whoever repeats one gets no further. */
export const SESSION_MEMORY = 30 * DAY;
/** What can be lost without harm (acknowledgements) waits so long, or until it is so much. */
export const MESSAGES_LAZY_AFTER = 10;
export const MESSAGES_LAZY_COUNT = 1000;
/** So long after a change the write-ahead log of messages is emptied, ms: what was deleted is gone then. */
export const MESSAGES_SETTLE_AFTER = 1 * SECOND;

// --- The mailbox (PROTOCOL.md 3.12) ---

/** Smallest plaintext of an envelope, a short message; doubled up to `PADDING_STEP`, then multiples of it. */
export const CONTENT_MINIMUM = 512;
/** Largest plaintext of an envelope: sealed, and with the request that leaves it, it is one item. */
export const CONTENT_LIMIT = 56 * KIB;
/** What an envelope has beside its plaintext: version, header, place in its session, salt and tag. */
export const ENVELOPE_OVERHEAD = 1 + 1152 + 2 + 32 + 16;
/** A session ends after so many envelopes, and after so long: whoever has stolen it reads no more than that. */
export const SESSION_ENVELOPES = 1024;
export const SESSION_LIFETIME = 1 * DAY;
/** An envelope is kept by the server for so long: a holiday, and secrets need not live longer. */
export const ENVELOPE_LIFETIME = 14 * DAY;

/** One-time prekeys in stock, which one request can bring; more are published when there are fewer than so many. */
export const ONE_TIME_PREKEYS = 40;
export const ONE_TIME_PREKEYS_LOW = 20;
/** A signed prekey is replaced after so long. */
export const SIGNED_PREKEY_LIFETIME = 7 * DAY;
/** Whoever stays looks so often whether that is due, and whether secrets are to go. */
export const PREKEYS_LOOK = 1 * DAY;
/** Its secret goes so long after, as that of a one-time prekey that was handed out; a day is for clocks that are off. */
export const PREKEY_SECRET_LIFETIME = ENVELOPE_LIFETIME + SESSION_LIFETIME + 1 * DAY;
/** So many newer signed prekeys are enough: however often somebody changes boxes, no more secrets lie about. */
export const SIGNED_PREKEYS_NEWER = 4;
/** A box that is not opened for so long is forgotten, and its prekeys with it: nobody comes for what is left there. */
export const BOX_LIFETIME = 60 * DAY;

/** Boxes of one identity: one for each machine, and some that old copies left behind. */
export const BOXES_OF_ONE = 8;

/** Prekeys of one person are handed to one asker so often, milliseconds: a session lasts a day. */
export const KEYS_PAUSE = 10 * 60 * SECOND;
/** People whose prekeys one identity asks for in an hour: names cannot be tried one after the other. */
export const KEYS_PER_HOUR = 20;
/**
 * One-time prekeys of one owner in an hour for those whom the owner has not written to, and how many are not for
 * them at all: who drains them costs strangers alone what they add.
 */
export const KEYS_FOR_STRANGERS_PER_HOUR = 10;
export const KEYS_NOT_FOR_STRANGERS = 10;

/** What one sender has waiting for one person, in bytes and envelopes: a day of talk. */
export const WAITING_OF_PAIR_BYTES = 1024 * KIB;
export const WAITING_OF_PAIR = 256;
/** The same for whoever that person has not written to: a first contact. */
export const WAITING_OF_STRANGER_BYTES = 256 * KIB;
export const WAITING_OF_STRANGER = 64;
/** What waits for one person, and how much of it may be from strangers: they cannot shut out friends. */
export const WAITING_FOR_ONE_BYTES = 8 * 1024 * KIB;
export const WAITING_FOR_ONE = 2048;
export const WAITING_FROM_STRANGERS_BYTES = 2 * 1024 * KIB;
export const WAITING_FROM_STRANGERS = 512;
/** What one sender has waiting in all, in bytes: no key fills the server by writing to many. */
export const WAITING_OF_SENDER_BYTES = 16 * 1024 * KIB;
/** What one identity leaves at once, and in a minute: twice a fast typist. */
export const DEPOSITS_BURST = 60;
export const DEPOSITS_PER_MINUTE = 60;
/** Envelopes handed out and not settled, and their bytes: what a client may have to hold. */
export const HANDED_OUT_LIMIT = 16;
export const HANDED_OUT_BYTES = 512 * KIB;
/** Ids in one request: of envelopes that a deposit replaces, and of those that are settled or withdrawn. */
export const REPLACES_LIMIT = 16;
export const SETTLED_LIMIT = 64;
/** Deposits in one answer. */
export const DEPOSITS_LIMIT = 250;
/** A server looks so often for what has waited too long. */
export const MAIL_EXPIRY_PAUSE = 3600 * SECOND;
/** Default of `--mailbox-budget`: bytes on disk, in a file of its own so that names never suffer. */
export const MAILBOX_BUDGET = 1024 * 1024 * KIB;

/** Messages of one log that came before those in front of them, and their bytes; what is more comes again. */
export const EARLY_MESSAGES = 1024;
export const EARLY_MESSAGES_BYTES = 1024 * KIB;
/** Without a channel to its reader for so long, a message is sealed: most cuts are shorter. */
export const SEAL_AFTER = 3 * SECOND;
/** Sealed again without a word of its reader after so long. */
export const SEAL_AGAIN_AFTER = 1 * DAY;
/** A receipt is sealed so long after the last envelope, and so often for what was read and for what did not open. */
export const RECEIPT_AFTER = 2 * SECOND;
export const RECEIPT_OF_READING_PAUSE = 10 * SECOND;
export const RECEIPT_OF_FAILURE_PAUSE = 10 * 60 * SECOND;
/** A receipt may cross with what it does not know of: what was left so long before it has been missed by it. */
export const RECEIPT_CROSSING = 10 * SECOND;
/** People of whom a client remembers that it leaves their envelopes at the server for now. */
export const MAIL_POSTPONED_LIMIT = 1024;
/** After so long a mailbox that was not there is asked for again: its disk may have been full. */
export const MAIL_AGAIN = 10 * 60 * SECOND;
/** Whoever leaves waits so long until what is on its way to the mailbox is there. */
export const MAIL_GOODBYE = 2 * SECOND;
/** And, when a receipt is owed and the server is lost, until it is back: as long as it takes to be started again. */
export const MAIL_RETURN = 5 * SECOND;
/**
 * A program with nothing more to say waits so long for the word of somebody who has left that they have what is on the
 * server: longer than they take to leave it.
 */
export const CONFIRMATION_PATIENCE = 20 * SECOND;

// --- Files (PROTOCOL.md 3.15) ---

/** A manifest: its bytes, entries, how deep folders are, and one name in bytes of UTF-8. */
export const MANIFEST_LIMIT = 16 * 1024 * KIB;
export const MANIFEST_ENTRIES = 100_000;
export const MANIFEST_DEPTH = 64;
export const FILE_NAME_LIMIT = 255;
/** Largest size of a file, and sum of all: exact in a number. */
export const FILE_SIZE_LIMIT = Number.MAX_SAFE_INTEGER;
/** Bytes in front of content in its item. */
export const FILE_PIECE_HEADER = 1 + 16 + 4 + 4 + 8;
/** Content in one item: it fills a record. */
export const FILE_PIECE_LIMIT = ITEM_BODY_LIMIT - FILE_PIECE_HEADER;
/** Content sent and not taken: what a receiver may have to hold. */
export const FILE_WINDOW_LIMIT = 8 * 1024 * KIB;
/** A sender's own window: what the way carries in so long, and at least so much. */
export const FILE_WINDOW_TIME = SECOND / 4;
export const FILE_WINDOW_MINIMUM = 32 * KIB;
/** Logarithms of the smallest and the largest block with a digest, and how many digests one want has. */
export const FILE_BLOCK_MINIMUM = 16;
export const FILE_BLOCK_MAXIMUM = 30;
export const FILE_DIGESTS_LIMIT = 1024;
/** Content that is written after a disk has failed, before it is told that it goes on. */
export const FILE_RECOVERED = 1024 * KIB;
/** How often in a minute one side may want, hold or pause. */
export const FILE_WORDS_PER_MINUTE = 100;
/** Offers of one person that are not over; more are refused. */
export const OFFERS_OPEN = 100;
/** Transfers of one person that come at a time; the others wait for them. */
export const TRANSFERS_AT_ONCE = 4;
/** What the sizes of a transfer may grow by while it is sent: a tenth of what was offered, and 1 MiB. */
export const FILE_GROWTH_PART = 10;
export const FILE_GROWTH = 1024 * KIB;
/** Items of one transfer that wait for the disk, beside two for each of its entries: many have little or no content. */
export const FILE_ITEMS_WAITING = 16_384;
/** A file that has changed so often in one turn is skipped: one that is written all the time has no end. */
export const FILE_CHANGES_LIMIT = 3;

// --- The server's memory ---

/** Default of `--budget`: bytes on disk for names, accounts and invites. */
export const STORE_BUDGET = 1024 * 1024 * KIB;
/** When somebody was here last is put on disk so much later. */
export const STORE_LAZY_AFTER = 1 * SECOND;

/** A log file and how many of them. */
export const LOG_FILE_LIMIT = 10 * 1024 * KIB;
export const LOG_FILES = 3;

// --- Files on a disk ---

/** A name, in bytes of UTF-8: what disks take. */
export const LOCAL_NAME_LIMIT = 255;
/** A path below the folder that was sent, in bytes of UTF-8: what systems take. */
export const LOCAL_PATH_LIMIT = 4096;
/** Files, and bytes, that are written and put on disk together, or bytes of one file. */
export const UNSYNCED_FILES = 2048;
export const UNSYNCED_BYTES = 32 * 1024 * KIB;
/** How many of them at once: the disk writes its journal once for those. */
export const SYNCED_AT_ONCE = 16;
/** Of a file this long what is there is told by digests of blocks; of others to the byte. */
export const DIGESTED_FROM = 4 * 1024 * KIB;
/** What is kept of a stream for a receiver that comes again: twice what may be under way to it. */
export const STREAM_WINDOW = 16 * 1024 * KIB;

// --- Text ---

/** Lines of what was said before that are shown to whoever does not say how many: `--last`, `/last`. */
export const PAST_SHOWN = 20;

/** One chat message, in bytes of UTF-8. */
export const TEXT_LIMIT = 16 * KIB;
/** A server's name for itself, in bytes of UTF-8. */
export const DISPLAY_NAME_LIMIT = 32;
/** A name (PROTOCOL.md, attack A14). */
export const NAME_LIMIT = 32;
/** A sentence to a person inside a protocol message, in bytes of UTF-8. */
export const REASON_LIMIT = 200;
