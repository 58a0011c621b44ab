/** What clients leave for those who are not here, and what they are handed (PROTOCOL.md 3.12). */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../bytes.ts";
import { CifraError } from "../../errors.ts";
import { requireClaim } from "../../services/directory.ts";
import type { Mailbox } from "../../services/mailbox.ts";
import type { Answered, Asker, Request } from "../../services/mailbox_terms.ts";
import {
  BoxState,
  decodeMailboxRequest,
  type MailboxRequest,
  type MailboxResponse,
} from "../../wire/mailbox_messages.ts";
import { type NameClaim, NOWHERE } from "../../wire/name_claim.ts";
import type { Client } from "../client.ts";
import type { Context } from "./context.ts";
import { outOfTurn } from "./refusals.ts";

/** What a request is done with. */
interface Desk {
  readonly context: Context;
  readonly mailbox: Mailbox<Client>;
  readonly client: Client;
  readonly asker: Asker;
}

type Handlers = {
  readonly [Type in MailboxRequest["type"]]: (
    desk: Desk,
    request: Request<Type>,
  ) => void | Promise<void>;
};

const HANDLERS: Handlers = {
  open,
  async publish({ context, mailbox, client, asker }, request) {
    const now = context.environment.time.date();
    const box = await unlessFull(context, mailbox.publish(asker.fingerprint, request, now));
    client.respondMail(box ?? NO_MAILBOX);
  },
  async ask(desk, request) {
    const { context, mailbox, asker } = desk;
    answer(desk, await mailbox.ask(asker, request, context.environment.time.date()));
  },
  deposit,
  async settle({ context, mailbox, client }, request) {
    await unlessFull(context, mailbox.settle(client, request));
  },
  mine({ mailbox, client, asker }) {
    for (const part of mailbox.mine(asker.fingerprint)) client.respondMail(part);
  },
  async withdraw({ context, mailbox, asker }, request) {
    await unlessFull(context, mailbox.withdraw(asker.fingerprint, request));
  },
};

/**
 * Does what a request to the mailbox asks for. Throws `bad_frame`, `bad_state` for who may not ask for it now,
 * `auth_failed`, `local`.
 */
export async function obeyMail(context: Context, client: Client, body: Bytes): Promise<void> {
  const request = decodeMailboxRequest(body);
  const { theirs: { fingerprint }, suite } = client.channel.established;
  const { name } = client;
  const isInTurn = request.type === "open" || client.hasOpenedBox;
  if (name === undefined || suite.name !== "modern" || !isInTurn) throw outOfTurn();
  const { mailbox } = context;
  if (!mailbox) return client.respondMail(NO_MAILBOX);
  const asker = { name, fingerprint: encodeHex(fingerprint) };
  // The row is that of its type, which the compiler does not see.
  await HANDLERS[request.type]({ context, mailbox, client, asker }, request as never);
  hand(context, client);
}

/** Hands a client what waits in its box, as far as it may have it now. */
export function hand({ mailbox, environment: { time } }: Context, client: Client): void {
  if (!mailbox) return;
  for (;;) {
    const next = mailbox.next(client, time.date());
    if (!next) return;
    client.respondMail(next);
  }
}

async function open(
  { context, mailbox, client, asker }: Desk,
  request: Request<"open">,
): Promise<void> {
  const { environment: { time } } = context;
  const { theirs: identity } = client.channel.established;
  const now = time.date();
  const check = (claim: NameClaim) =>
    requireClaim({ name: asker.name, identity, claim, place: NOWHERE }, now);
  const { sequence } = client;
  // Two people meet without a mailbox: a disk that has no room for a box ends no registration.
  const opening = mailbox.open(client, asker.fingerprint, request, sequence, check, now);
  const box = await unlessFull(context, opening) ?? NO_MAILBOX;
  client.hasOpenedBox = box.state !== BoxState.none;
  client.respondMail(box);
}

/** Not waited for: those that a client leaves in quick succession are on disk together. */
function deposit(desk: Desk, request: Request<"deposit">): void | Promise<void> {
  const { context, mailbox, client, asker } = desk;
  client.deposits++;
  const done = mailbox.deposit(asker, request, context.environment.time.date())
    .then((answered) => answer(desk, answered))
    .finally(() => client.deposits--);
  // A client that does not wait for answers has to.
  return client.deposits > DEPOSITS_AT_ONCE ? done : unawaited(client, done);
}

/** What the disk does not do now is done another time, and its reason no business of the client's: undefined then. */
async function unlessFull<T>({ onEvent }: Context, job: Promise<T>): Promise<T | undefined> {
  try {
    return await job;
  } catch (error) {
    if (!(error instanceof CifraError) || error.code !== "local") throw error;
    onEvent({ event: "mailbox-failed", reason: error.message });
    return undefined;
  }
}

/** Deposits of one client that wait for the disk. */
const DEPOSITS_AT_ONCE = 128;

/** What fails there is a mistake of ours, and ends the connection as one that is waited for does. */
function unawaited({ channel }: Client, done: Promise<void>): void {
  done.catch((error) => channel.fail(error));
}

/** Answers, and lets somebody else have what it has led to. */
function answer(
  { context, client }: Desk,
  { answer, wake, failure }: Answered<"keys", Client> | Answered<"deposited", Client>,
): void {
  client.respondMail(answer);
  if (failure) context.onEvent({ event: "mailbox-failed", reason: failure.message });
  if (wake) hand(context, wake);
}

const NO_MAILBOX: Extract<MailboxResponse, { readonly type: "box" }> = {
  type: "box",
  state: BoxState.none,
  signed: 0n,
  next: 0n,
  highest: 0n,
  stock: 0,
  waiting: 0,
  elsewhere: 0,
  now: 0n,
};
