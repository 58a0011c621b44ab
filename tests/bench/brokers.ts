/**
 * What others do of what a mailbox does, in their own protocols: mosquitto and nats-server. As little of a client as
 * publishing takes.
 */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";

/** A broker that runs, and a client of it. */
export interface Broker extends AsyncDisposable {
  /** Resolves when the broker has acknowledged a message of these bytes. */
  publish(content: Bytes): Promise<void>;
}

/** Whether a program is there. */
export async function isThere(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("which", { args: [program], stdout: "null" }).output();
  return success;
}

/** Starts a program, and waits until something listens on its port. */
async function run(program: string, args: readonly string[], port: number) {
  const process = new Deno.Command(program, { args: [...args], stdout: "null", stderr: "null" })
    .spawn();
  for (let tries = 0;; tries++) {
    try {
      return {
        process,
        socket: await Deno.connect({ port, noDelay: true } as Deno.ConnectOptions),
      };
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Bytes of a socket, as many as are wanted or up to the end of a line. */
class Inbox {
  readonly #socket: Deno.Conn;
  #bytes: Bytes = new Uint8Array(0);

  constructor(socket: Deno.Conn) {
    this.#socket = socket;
  }

  async take(length: number): Promise<Bytes> {
    while (this.#bytes.length < length) await this.#more();
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#bytes.indexOf(0x0a);
      if (end >= 0) return new TextDecoder().decode(await this.take(end + 1)).trimEnd();
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    const length = await this.#socket.read(buffer);
    if (length === null) throw new Error("The broker has ended");
    this.#bytes = concat([this.#bytes, buffer.subarray(0, length)]);
  }
}

async function writeAll(socket: Deno.Conn, bytes: Bytes): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await socket.write(bytes.subarray(done));
}

/** mosquitto, which saves all that it has after each message (MQTT 3.1.1, QoS 1, for a reader who is away). */
export async function startMosquitto(folder: string, port: number): Promise<Broker> {
  const config = `${folder}/mosquitto.conf`;
  await Deno.writeTextFile(
    config,
    [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "user root",
      "persistence true",
      `persistence_location ${folder}/`,
      "autosave_on_changes true",
      "autosave_interval 1",
      "max_queued_messages 0",
      "max_inflight_messages 0",
    ].join("\n") + "\n",
  );
  const { process, socket } = await run("mosquitto", ["-c", config], port);
  const inbox = new Inbox(socket);
  const text = (words: string) => {
    const bytes = encodeUtf8(words);
    return concat([Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
  };
  const packet = (head: number, ...parts: readonly Bytes[]) => {
    const body = concat(parts);
    const length: number[] = [];
    for (let left = body.length;;) {
      const low = left % 128;
      left = Math.floor(left / 128);
      length.push(left > 0 ? low | 0x80 : low);
      if (left === 0) break;
    }
    return concat([Uint8Array.of(head, ...length), body]);
  };
  const answered = async () => {
    const [head, length] = await inbox.take(2);
    return { head: head!, body: await inbox.take(length!) };
  };
  const connect = (id: string) => packet(0x10, text("MQTT"), Uint8Array.of(4, 0, 0, 0), text(id));
  // A reader who wants all, and is away from then on.
  const reader = await Deno.connect({ port });
  const readerInbox = new Inbox(reader);
  await writeAll(reader, connect("bob"));
  await readerInbox.take(4);
  await writeAll(reader, packet(0x82, Uint8Array.of(0, 1), text("bob"), Uint8Array.of(1)));
  await readerInbox.take(5);
  reader.close();
  await writeAll(socket, connect("alice"));
  await answered();
  const waiting = new Map<number, () => void>();
  let last = 0;
  (async () => {
    for (;;) {
      const { head, body } = await answered();
      if (head === 0x40) waiting.get(body[0]! << 8 | body[1]!)?.();
    }
  })().catch(() => {});
  return {
    publish(content) {
      const id = last = last % 65_535 + 1;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(id, resolve);
      const publish = packet(0x32, text("bob"), Uint8Array.of(id >> 8, id & 0xff), content);
      writeAll(socket, publish).catch(() => {});
      return promise;
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      process.kill("SIGKILL");
      await process.status;
    },
  };
}

/**
 * nats-server with a stream in a file. Version 2.9, which Debian has, cannot be told to bring it to the disk before it
 * acknowledges (`sync_interval: always` came later): what it promises is less.
 */
export async function startNats(folder: string, port: number): Promise<Broker> {
  const config = `${folder}/nats.conf`;
  await Deno.writeTextFile(
    config,
    `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${folder}/nats" }\n`,
  );
  const { process, socket } = await run("nats-server", ["-c", config], port);
  const inbox = new Inbox(socket);
  await inbox.line();
  const waiting = new Map<string, () => void>();
  let last = 0;
  let sending: Promise<void> = Promise.resolve();
  const say = (bytes: Bytes) => sending = sending.then(() => writeAll(socket, bytes));
  const ask = (subject: string, content: Bytes) => {
    const reply = `in.${++last}`;
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.set(reply, resolve);
    const head = encodeUtf8(`PUB ${subject} ${reply} ${content.length}\r\n`);
    say(concat([head, content, encodeUtf8("\r\n")])).catch(() => {});
    return promise;
  };
  await say(encodeUtf8('CONNECT {"verbose":false}\r\nSUB in.* 1\r\n'));
  (async () => {
    for (;;) {
      const line = await inbox.line();
      if (line === "PING") await say(encodeUtf8("PONG\r\n"));
      const [, subject, length] = /^MSG (\S+) 1 +(\d+)$/.exec(line) ?? [];
      if (subject === undefined) continue;
      await inbox.take(Number(length) + 2);
      waiting.get(subject)?.();
      waiting.delete(subject);
    }
  })().catch(() => {});
  const stream = { name: "MAIL", subjects: ["bob"], storage: "file", retention: "limits" };
  await ask("$JS.API.STREAM.CREATE.MAIL", encodeUtf8(JSON.stringify(stream)));
  return {
    publish: (content) => ask("bob", content),
    async [Symbol.asyncDispose]() {
      socket.close();
      process.kill("SIGKILL");
      await process.status;
    },
  };
}

/** So many messages, `width` of them under way at a time; returns how many a second were acknowledged. */
export async function rate(
  publish: Broker["publish"],
  count: number,
  width: number,
  length: number,
): Promise<number> {
  const content = systemRandom(length);
  let left = count;
  const start = performance.now();
  await Promise.all(Array.from({ length: width }, async () => {
    while (left-- > 0) await publish(content);
  }));
  return count / (performance.now() - start) * 1000;
}
