/** What machines that look after a server are told: it must be true. */
import { assert, assertEquals } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { healthPage } from "../../lib/server/health.ts";
import { Metrics } from "../../lib/server/metrics.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { Capability } from "../../lib/wire/rendezvous_messages.ts";
import { test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import { TestClient, withServer } from "../testkit/server.ts";
import { until } from "../testkit/until.ts";
import { accountOf, inviteOf, keyOf, NOW } from "../store/server_samples.ts";

/** A store whose disk has failed. */
class FailedStore extends MemoryServerStore {
  failed = false;

  override isBanned(...args: Parameters<MemoryServerStore["isBanned"]>): boolean {
    this.#require();
    return super.isBanned(...args);
  }

  override counts(): ReturnType<MemoryServerStore["counts"]> {
    this.#require();
    return super.counts();
  }

  #require(): void {
    if (this.failed) throw new CifraError("local", "Cannot use /secret/place: it is damaged");
  }
}

/** The values of `/metrics`. */
function valuesOf(text: string): Record<string, number> {
  const lines = text.trimEnd().split("\n").filter((line) => !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => {
    const match = /^(cifra_[a-z_]+(?:\{event="[a-z-]+"\})?) (\d+)$/.exec(line);
    assert(match, line);
    return [match[1]!, Number(match[2])];
  }));
}

test("the figures of /metrics are those of the server, and every one has a type", async () => {
  const store = new MemoryServerStore();
  let now = 0;
  const metrics = new Metrics(() => now);
  await withServer(async (server) => {
    let counted = 0;
    const figures = () => {
      now += 1000;
      // The test's server has an ear of its own: what it heard is what the operator's counters hear.
      for (; counted < server.events.length; counted++) metrics.count(server.events[counted]!);
      return valuesOf(healthPage("/metrics", { server: server.server, store, metrics })!.text);
    };
    const none = {
      cifra_connections: 0,
      cifra_envelopes: 0,
      cifra_mailbox_bytes: 0,
      cifra_people_here: 0,
      cifra_people_in_lobby: 0,
      cifra_names: 0,
      cifra_accounts: 0,
      cifra_invites: 0,
      cifra_bans: 0,
      cifra_wants: 0,
      cifra_relayed_bytes_total: 0,
    };
    assertEquals(figures(), none);
    store.putKey(keyOf("dave"));
    store.putKey(keyOf("dave", { suite: "rsa" }));
    store.putAccount(accountOf("dave"));
    store.putInvite(inviteOf(1));
    store.putBan({ kind: "name", subject: "mallory", since: NOW, name: undefined });
    const alice = await TestClient.registered(
      server,
      await person("modern", "alice"),
      "alice",
      "",
      {
        capabilities: Capability.lobby,
      },
    );
    const bob = await TestClient.registered(server, await person("rsa", "bob"), "bob", "carol");
    const stranger = await Deno.connect({ port: server.port });
    await until(() => server.server.connections === 3);
    await server.told("wants");
    assertEquals(figures(), {
      ...none,
      cifra_connections: 3,
      cifra_people_here: 2,
      cifra_people_in_lobby: 1,
      cifra_names: 3,
      cifra_accounts: 1,
      cifra_invites: 1,
      cifra_bans: 1,
      cifra_wants: 1,
      'cifra_events_total{event="registered"}': 2,
      'cifra_events_total{event="wants"}': 1,
    });
    stranger.close();
    await alice.leave();
    await bob.leave();
    await until(() => server.server.connections === 0);
    const last = figures();
    assertEquals([last.cifra_people_here, last.cifra_connections], [0, 0]);
    assertEquals(last['cifra_events_total{event="left"}'], 2);
    const { text } = healthPage("/metrics", { server: server.server, store, metrics })!;
    for (const line of text.split("\n").filter((each) => /^cifra_/.test(each))) {
      const name = /^[a-z_]+/.exec(line)![0];
      assert(text.includes(`# TYPE ${name} ${name.endsWith("_total") ? "counter" : "gauge"}\n`));
    }
    // Nobody is named in it.
    assert(!/alice|bob|carol|dave|mallory|127\.0/.test(text), text);
  }, { store });
});

test("/healthz is ok while the names can be read, and 503 when they cannot, without a path", async () => {
  const store = new FailedStore();
  await withServer((server) => {
    const health = { server: server.server, store, metrics: new Metrics(() => 0) };
    assertEquals(healthPage("/healthz", health), { type: "text/plain", text: "ok\n" });
    store.failed = true;
    for (const path of ["/healthz", "/metrics"]) {
      const page = healthPage(path, health)!;
      assertEquals(page.status, 503);
      assert(!page.text.includes("/secret"), page.text);
    }
    assertEquals(healthPage("/else", health), undefined);
    store.failed = false;
    return Promise.resolve();
  }, { store });
});

test("counting takes a hundredth of the time at the most, however often it is asked for", async () => {
  let now = 0, counts = 0;
  class SlowStore extends MemoryServerStore {
    override counts(): ReturnType<MemoryServerStore["counts"]> {
      counts++;
      now += 50;
      return super.counts();
    }
  }
  const store = new SlowStore();
  await withServer(({ server }) => {
    const health = { server, store, metrics: new Metrics(() => now) };
    for (let n = 0; n < 1000; n++) healthPage("/metrics", health);
    assertEquals(counts, 1);
    now += 4999;
    healthPage("/metrics", health);
    assertEquals(counts, 1);
    now += 1;
    healthPage("/metrics", health);
    assertEquals(counts, 2);
    return Promise.resolve();
  }, { store });
});
