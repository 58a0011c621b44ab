/** What machines that look after a server may ask: whether it can do its work, and its figures. */
import { CifraError } from "../errors.ts";
import type { Page } from "../net/http.ts";
import type { ServerStore } from "../store/server_store.ts";
import type { Metrics } from "./metrics.ts";
import type { Server } from "./server.ts";

/** What the pages tell of. */
export interface Health {
  readonly server: Server;
  readonly store: ServerStore;
  readonly metrics: Metrics;
}

/** The page of a path: `/healthz` or `/metrics`. */
export function healthPage(
  path: string,
  { server, store, metrics }: Health,
): ReturnType<Page> {
  if (path !== "/healthz" && path !== "/metrics") return undefined;
  try {
    if (path === "/metrics") {
      return { type: "text/plain; version=0.0.4", text: metrics.format(server, store) };
    }
    // A server whose names cannot be read fails everybody who comes.
    store.isBanned("name", "");
    return { type: "text/plain", text: "ok\n" };
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    return { type: "text/plain", text: "the database has failed\n", status: 503 };
  }
}
