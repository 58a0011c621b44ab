/** Programs on pipes: our stdin goes there, what comes goes to stdout, until both have ended. */
import type { PeerEvent } from "../client/incoming.ts";
import type { Status } from "../client/conversation.ts";
import { encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { CloseCode } from "../wire/records.ts";
import { describeGap } from "./lines.ts";
import { StreamSanitizer } from "./sanitize.ts";
import { readStdin } from "./stdin.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";

/** A conversation as two byte streams. */
export class Pipe implements Talker {
  readonly #talk: Talk;
  readonly #shown: StreamSanitizer | undefined;
  readonly #giveUpAfter: number;
  readonly #peerEnded = Promise.withResolvers<void>();
  readonly #gone = Promise.withResolvers<{ readonly failed: boolean }>();
  readonly #lost = Promise.withResolvers<never>();
  #impatience: ReturnType<typeof setTimeout> | undefined;

  /** Without a connection for `giveUpAfter` milliseconds, after there was one, it ends. */
  constructor(talk: Talk, giveUpAfter: number) {
    this.#talk = talk;
    this.#giveUpAfter = giveUpAfter;
    this.#shown = talk.terminal.showsResults ? new StreamSanitizer() : undefined;
    this.#lost.promise.catch(() => {});
  }

  onStatus(status: Status): void {
    if (status.type === "left") this.#gone.resolve(status);
    if (status.type === "connected") clearTimeout(this.#impatience);
    if (status.type === "lost") {
      clearTimeout(this.#impatience);
      this.#impatience = setTimeout(() => this.#lost.reject(status.error), this.#giveUpAfter);
    }
  }

  onDelivery(): void {}

  abandon(): Promise<void> {
    clearTimeout(this.#impatience);
    return Promise.resolve();
  }

  async run(): Promise<Outcome> {
    const { link, terminal, peerName, interrupted, leave } = this.#talk;
    const writing = this.#write();
    writing.catch(() => {});
    // With a pipe on stdout alone, as in `connect | tar x`, nobody sits there to type.
    const input = terminal.takesInput
      ? readStdin((piece) => link.sendBytes(piece), () => link.sendEnd())
      : undefined;
    const sent = input ? input.done : link.sendEnd();
    const said = Promise.all([sent.then(() => link.settled()), this.#peerEnded.promise]);
    said.catch(() => {});
    try {
      const first = await Promise.race([
        said.then(() => "finished" as const),
        aborted(interrupted).then(() => "interrupted" as const),
        this.#gone.promise,
        this.#lost.promise,
        writing.then(() => new Promise<never>(() => {})),
        ...(input ? [input.failed] : []),
      ]);
      await leave();
      if (first === "interrupted") return first;
      // The other side may leave only with all its messages delivered; they are still being written.
      await writing;
      if (first === "finished") return first;
      const { queued, stored } = link.delivery;
      if (!first.failed && stored === queued && !input?.isTaking()) return "left";
      const how = first.failed ? "failed" : "left";
      return { error: new CifraError("cut", `${peerName} ${how} before taking everything`) };
    } catch (error) {
      await leave(CloseCode.failed);
      throw error;
    } finally {
      clearTimeout(this.#impatience);
      input?.stop();
    }
  }

  /** To stdout, no faster than its reader takes it. */
  async #write(): Promise<void> {
    const { link } = this.#talk;
    for await (const event of link.events()) {
      await this.#show(event);
      link.taken(event);
    }
  }

  async #show(event: PeerEvent): Promise<void> {
    const { terminal, peerName } = this.#talk;
    switch (event.type) {
      case "end":
        terminal.say(`${peerName} has nothing more to send`);
        return this.#peerEnded.resolve();
      case "text":
      case "bytes": {
        const bytes = event.type === "text" ? encodeUtf8(event.text + "\n") : event.bytes;
        try {
          await terminal.write(this.#shown ? encodeUtf8(this.#shown.push(bytes)) : bytes);
        } catch (cause) {
          const message = "Cannot write to standard output: its reader has gone";
          throw new CifraError("local", message, { cause });
        }
        return;
      }
      case "gap":
        return terminal.say(
          `${describeGap(event)} of ${peerName} are not on this machine any more`,
        );
      case "restarted":
        throw new CifraError(
          "cut",
          `${peerName}'s program has restarted: its stream is incomplete`,
          {
            hint: "run the command again on both sides",
          },
        );
    }
  }
}
