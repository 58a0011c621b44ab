/** Sockets of this machine: who may connect, and what is in the way. */
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { dialLocally, listenLocally, type LocalConnection } from "../../lib/net/local_socket.ts";
import { withFolder } from "../testkit/server.ts";

const IGNORE = Deno.build.os === "windows";

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: IGNORE, fn });
}

/** Says hello to one who connects, and hangs up. */
async function greet(connection: LocalConnection): Promise<void> {
  await connection.write(new TextEncoder().encode("hello"));
  connection.close();
}

async function hear(path: string): Promise<string> {
  const connection = await dialLocally(path);
  try {
    const buffer = new Uint8Array(100);
    const count = await connection.read(buffer);
    return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
  } finally {
    connection.close();
  }
}

test("two programs of this machine talk over a file that is its owner's alone", async () => {
  await withFolder(async (path) => {
    const greeted: Promise<void>[] = [];
    const end = listenLocally(`${path}/socket`, (connection) => greeted.push(greet(connection)));
    assertEquals(Deno.lstatSync(`${path}/socket`).mode! & 0o777, 0o600);
    assertEquals([await hear(`${path}/socket`), await hear(`${path}/socket`)], ["hello", "hello"]);
    await Promise.all(greeted);
    end();
    assertEquals([...Deno.readDirSync(path)], []);
  });
});

test("a socket that a killed program left is replaced", async () => {
  await withFolder(async (path) => {
    const left = Deno.listen({ transport: "unix", path: `${path}/socket` });
    left.close();
    // The system does not remove the file by itself; where it does, there is nothing to replace.
    const greeted: Promise<void>[] = [];
    const end = listenLocally(`${path}/socket`, (connection) => greeted.push(greet(connection)));
    assertEquals(await hear(`${path}/socket`), "hello");
    await Promise.all(greeted);
    end();
  });
});

test("listenLocally() outlives running out of descriptors", async () => {
  await withFolder(async (path) => {
    const { listen: original } = Deno;
    let failures = 1;
    const replace = (value: unknown) =>
      Object.defineProperty(Deno, "listen", { configurable: true, writable: true, value });
    replace((options: Deno.UnixListenOptions & { readonly transport: "unix" }) => {
      const listener = original(options);
      const accept = listener.accept.bind(listener);
      listener.accept = () =>
        failures-- > 0 ? Promise.reject(new Error("Too many open files (os error 24)")) : accept();
      return listener;
    });
    const greeted: Promise<void>[] = [];
    let end: () => void;
    try {
      end = listenLocally(`${path}/socket`, (connection) => greeted.push(greet(connection)));
    } finally {
      replace(original);
    }
    assertEquals(await hear(`${path}/socket`), "hello");
    await Promise.all(greeted);
    end();
  });
});

test("where nobody listens it is said that no server runs, and how to start one", async () => {
  await withFolder(async (path) => {
    const none = await assertRejects(() => dialLocally(`${path}/socket`), CifraError);
    const end = listenLocally(`${path}/socket`, () => {});
    end();
    Deno.listen({ transport: "unix", path: `${path}/socket` }).close();
    const left = await assertRejects(() => dialLocally(`${path}/socket`), CifraError);
    for (const error of [none, left]) {
      assertEquals(error.code, "unreachable");
      assertStringIncludes(error.hint!, "cifra serve");
    }
  });
});

test("a socket that cannot be made is a failure of this machine, and leaves nothing open", async () => {
  await withFolder((path) => {
    for (const bad of [`${path}/none/socket`, `${path}/${"x".repeat(200)}`]) {
      const error = assertThrows(() => listenLocally(bad, () => {}), CifraError);
      assertEquals(error.code, "local");
      assertStringIncludes(error.message, bad);
    }
    // What is not ours to remove stays.
    Deno.mkdirSync(`${path}/socket`);
    Deno.writeTextFileSync(`${path}/socket/letter`, "");
    assertThrows(() => listenLocally(`${path}/socket`, () => {}), CifraError);
    assertEquals(Deno.readTextFileSync(`${path}/socket/letter`), "");
    return Promise.resolve();
  });
});
