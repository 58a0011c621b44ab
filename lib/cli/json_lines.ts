/** A program that talks in lines: each line of stdin is a message, each line of stdout an event. */
import type { PeerEvent } from "../client/incoming.ts";
import type { Delivery } from "../client/thread.ts";
import type { Status } from "../client/conversation.ts";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { CloseCode } from "../wire/records.ts";
import { readStdin } from "./stdin.ts";
import { StdinLines } from "./stdin_lines.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";
import type { JsonEvent } from "./terminal.ts";

/** A conversation as JSON lines. */
export class JsonLines implements Talker {
  readonly #talk: Talk;
  readonly #lines = new StdinLines();
  /** One for the whole stream: a character may begin in one piece and end in the next. */
  readonly #peerDecoder = new TextDecoder();
  #told: Delivery;
  /** Resolved when the other side has nothing more to say, or has left. */
  #peerDone = Promise.withResolvers<void>();

  constructor(talk: Talk) {
    this.#talk = talk;
    this.#told = talk.link.delivery;
  }

  onStatus(status: Status): void {
    if (status.type === "left") this.#peerDone.resolve();
    if (status.type === "connected" && status.again) this.#peerDone = Promise.withResolvers();
  }

  onDelivery(delivery: Delivery): void {
    const { terminal } = this.#talk;
    for (let number = this.#told.queued; number < delivery.queued;) {
      terminal.emit({ event: "queued", number: Number(++number) });
    }
    for (const state of ["sent", "stored", "read"] as const) {
      if (delivery[state] <= this.#told[state]) continue;
      terminal.emit({ event: state, number: Number(delivery[state]) });
    }
    this.#told = delivery;
  }

  abandon(): Promise<void> {
    return Promise.resolve();
  }

  async run(): Promise<Outcome> {
    const { link, interrupted, leave } = this.#talk;
    const input = readStdin((piece) => this.#sendLines(piece), () => this.#endLines());
    const listening = this.#listen();
    const said = input.done.then(() => link.settled()).then(() => this.#awaitPeer());
    said.catch(() => {});
    try {
      const outcome = await Promise.race([
        said.then(() => "finished" as const),
        aborted(interrupted).then(() => "interrupted" as const),
        input.failed,
      ]);
      await leave();
      await listening;
      return outcome;
    } catch (error) {
      await leave(CloseCode.failed);
      throw error;
    } finally {
      input.stop();
    }
  }

  async #awaitPeer(): Promise<void> {
    // The promise may be replaced while it is awaited, when the other side comes back.
    let seen: PromiseWithResolvers<void>;
    do {
      seen = this.#peerDone;
      await seen.promise;
    } while (seen !== this.#peerDone);
  }

  async #listen(): Promise<void> {
    const { link } = this.#talk;
    for await (const event of link.events()) {
      this.#show(event);
      link.taken(event);
    }
  }

  #show(event: PeerEvent): void {
    const { terminal, peerName } = this.#talk;
    if (event.type === "end") this.#peerDone.resolve();
    terminal.emit(peerEventJson(event, peerName, this.#peerDecoder));
  }

  async #sendLines(piece: Bytes): Promise<void> {
    // Together: what comes in one piece shares a commit.
    await Promise.all(this.#lines.push(piece).map((line) => this.#send(line)));
  }

  async #endLines(): Promise<void> {
    for (const line of this.#lines.end()) await this.#send(line);
    await this.#talk.link.sendEnd();
  }

  /** A line that cannot be sent is told and left out; those after it still go. */
  async #send(line: string): Promise<void> {
    const { link, terminal, hurry } = this.#talk;
    try {
      await link.sendText(line);
      if (!link.isAttached) hurry();
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      terminal.fail(error);
    }
  }
}

/** What the other side said, or did; `decoder` is for its byte stream alone. */
export function peerEventJson(
  event: PeerEvent,
  peerName: string,
  decoder: TextDecoder,
): JsonEvent {
  switch (event.type) {
    case "text": {
      const { number, text, written, recovered } = event;
      return {
        event: "message",
        from: peerName,
        number: Number(number),
        text,
        ...(written > 0 && { written: new Date(written).toISOString() }),
        ...(recovered && { recovered }),
      };
    }
    case "bytes": {
      const text = decoder.decode(event.bytes, { stream: true });
      return { event: "message", from: peerName, number: Number(event.number), text };
    }
    case "end":
      return { event: "peer-ended" };
    case "gap":
      return { event: "gap", from: Number(event.from), to: Number(event.to) };
    case "restarted":
      return { event: "peer-restarted" };
  }
}
