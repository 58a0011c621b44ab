/** A small HTTP listener, for machines that look after a server. */
import { platformFailure } from "../platform_errors.ts";

/** Answers a path with a type, a text and a status (200 unless it says so); undefined for what is not there. */
export type Page = (path: string) =>
  | { readonly type: string; readonly text: string; readonly status?: number }
  | undefined;

/** An open HTTP listener; `close` resolves when what it was asked is answered. */
export interface HttpServer {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** What this machine calls itself. A page of a browser may come here under any other name that its owner picks. */
const OWN_HOST = /^(?:127\.0\.0\.1|\[::1\]|localhost)(?::\d{1,5})?$/i;

/**
 * Serves pages with GET on this machine alone, to those who ask for it by its own names (DNS rebinding); port
 * 0 takes any free one. Throws `local`.
 */
export function serveHttp(port: number, page: Page): HttpServer {
  const answer = (request: Request) => {
    // A port that no machine has makes an address that is none, although the name is right.
    const url = URL.parse(request.url);
    if (!url || !OWN_HOST.test(request.headers.get("host") ?? "")) {
      return new Response(null, { status: 421 });
    }
    if (request.method !== "GET") return new Response(null, { status: 405 });
    const found = page(url.pathname);
    if (!found) return new Response("not found\n", { status: 404 });
    const { text, type, status = 200 } = found;
    return new Response(text, { status, headers: { "content-type": type } });
  };
  try {
    const hostname = "127.0.0.1";
    const server = Deno.serve({
      hostname,
      port,
      onListen: () => {},
      // Its own answer to a failure would print the stack.
      onError: () => new Response(null, { status: 500 }),
    }, answer);
    return { port: server.addr.port, close: () => server.shutdown() };
  } catch (cause) {
    throw platformFailure(`Cannot listen on 127.0.0.1:${port} for HTTP`, cause, {
      hint: "choose another port with --http",
    });
  }
}
