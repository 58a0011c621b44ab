/** The small HTTP listener: what it answers, to whom, and that nothing of its inside is seen. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { type HttpServer, type Page, serveHttp } from "../../lib/net/http.ts";

const PAGES: Page = (path) => {
  switch (path) {
    case "/well":
      return { type: "text/plain", text: "ok\n" };
    case "/ill":
      return { type: "text/plain", text: "the database has failed\n", status: 503 };
    case "/bug":
      throw new TypeError("a secret of the inside");
    default:
      return undefined;
  }
};

async function withPages(scene: (server: HttpServer) => Promise<void>): Promise<void> {
  const server = serveHttp(0, PAGES);
  try {
    await scene(server);
  } finally {
    await server.close();
  }
}

/** All that a server says to these bytes, until it hangs up. */
async function say(port: number, request: string): Promise<string> {
  using connection = await Deno.connect({ port });
  await connection.write(new TextEncoder().encode(request));
  let answer = "";
  const buffer = new Uint8Array(4096);
  for (let count; (count = await connection.read(buffer)) !== null;) {
    answer += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return answer;
}

Deno.test("GET gives a page with its type and status, and 404 for what is not there", async () => {
  await withPages(async ({ port }) => {
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return [response.status, response.headers.get("content-type"), await response.text()];
    };
    assertEquals(await get("/well"), [200, "text/plain", "ok\n"]);
    assertEquals(await get("/well?a=1"), [200, "text/plain", "ok\n"]);
    assertEquals(await get("/ill"), [503, "text/plain", "the database has failed\n"]);
    for (const path of ["/", "/well/", "/%77ell/..", "/__proto__", "//well"]) {
      assertEquals((await get(path)).slice(0, 1), [404], path);
    }
  });
});

Deno.test("only the names of this machine are answered: a page in a browser has another (DNS rebinding)", async () => {
  await withPages(async ({ port }) => {
    const status = async (host: string) => {
      const answer = await say(port, `GET /well HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
      return /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
    };
    for (
      const host of ["127.0.0.1", "[::1]", "localhost", `localhost:${port}`, `127.0.0.1:${port}`]
    ) {
      assertEquals(await status(`Host: ${host}\r\n`), "200", host);
    }
    const others = [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1.evil.example",
      "::1",
      "127.0.0.2",
      "127.0.0.1:99999",
    ];
    for (const host of [...others, "evil@localhost", "localhost.", "192.168.0.1"]) {
      const answered = await status(`Host: ${host}\r\n`);
      assertEquals(answered === "421" || answered === "400", true, `${host}: ${answered}`);
    }
  });
});

Deno.test("no method but GET does anything", async () => {
  await withPages(async ({ port }) => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const response = await fetch(`http://127.0.0.1:${port}/well`, { method });
      assertEquals([response.status, await response.text()], [405, ""], method);
    }
  });
});

Deno.test("a page that fails is 500, without a word on why, and the next is served", async () => {
  await withPages(async ({ port }) => {
    const response = await fetch(`http://127.0.0.1:${port}/bug`);
    assertEquals([response.status, await response.text()], [500, ""]);
    assertEquals(await (await fetch(`http://127.0.0.1:${port}/well`)).text(), "ok\n");
  });
});

Deno.test("what is no HTTP is refused, and close() does not wait for half a request", async () => {
  const server = serveHttp(0, PAGES);
  const { port } = server;
  for (const request of ["GET well\r\n\r\n", "\x16\x03\x01\x02\x00", "cifra\r\n\r\n"]) {
    const answer = await say(port, `${request}\r\n\r\n`);
    if (answer !== "") assertStringIncludes(answer, " 400 ");
  }
  using half = await Deno.connect({ port });
  await half.write(new TextEncoder().encode("GET /well HTTP/1.1\r\nHost:"));
  // The other end of it is open: this would never come back if it waited for that.
  await server.close();
});

Deno.test("it listens for this machine alone", async () => {
  await withPages(async ({ port }) => {
    const others = Deno.networkInterfaces()
      .filter(({ family, address }) => family === "IPv4" && !address.startsWith("127."));
    for (const { address } of others) {
      const error = await Deno.connect({ hostname: address, port }).then(
        (connection) => connection.close(),
        (reason: unknown) => reason,
      );
      assertEquals(error instanceof Deno.errors.ConnectionRefused, true, address);
    }
  });
});

Deno.test("serveHttp() fails with a hint on a port that is taken", async () => {
  await withPages((server) => {
    const error = assertThrows(() => serveHttp(server.port, PAGES), CifraError);
    assertEquals(error.code, "local");
    assertStringIncludes(error.hint!, "--http");
    return Promise.resolve();
  });
});
