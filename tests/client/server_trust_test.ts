import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Pins } from "../../lib/client/pins.ts";
import { openServer, type TrustOptions } from "../../lib/client/server_trust.ts";
import { formatFingerprint, type PublicIdentity } from "../../lib/crypto/identity.ts";
import { CifraError } from "../../lib/errors.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { test } from "../testkit/adversary.ts";
import { ephemeralKeys, type Person, person } from "../testkit/handshake.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";
import { withFolder } from "../testkit/server.ts";
import { TestNetwork } from "../testkit/test_network.ts";

const HOST = "127.0.0.1";
/** An address of no machine; on the network of these tests it leads to this one. */
const ELSEWHERE = "192.0.2.1";
const PORT = 7411;
const SUBJECT = `${ELSEWHERE}:${PORT}`;
const FILE = "known_servers";

type Change = Omit<Partial<TrustOptions>, "address"> & Partial<TrustOptions["address"]>;

/** Somebody who wants to reach the server at one address, behind which any server may be. */
class Scene {
  readonly folder: PrivateFolder;
  readonly alice: Person;
  readonly server: PuppetServer;
  readonly impostor: PuppetServer;
  readonly network: TestNetwork;
  /** Who answers at the address, dial by dial; the last one for all that follow. */
  behind: PuppetServer[];
  readonly pinned: string[] = [];

  constructor(
    folder: PrivateFolder,
    alice: Person,
    server: PuppetServer,
    impostor: PuppetServer,
  ) {
    this.folder = folder;
    this.alice = alice;
    this.server = server;
    this.impostor = impostor;
    this.behind = [server];
    this.network = new TestNetwork({
      ...systemEnvironment.network,
      dial: () => {
        const next = this.behind.length > 1 ? this.behind.shift()! : this.behind[0]!;
        return systemEnvironment.network.dial(HOST, next.port);
      },
    });
  }

  known(): Promise<Pins> {
    return Pins.open(this.folder, FILE);
  }

  /** Pins somebody for the address, as if they had been there before. */
  async pin({ identity, suite }: Person | PuppetServer["who"]): Promise<void> {
    const known = await this.known();
    await known.pin(SUBJECT, suite.name, identity as PublicIdentity, new Date(0));
  }

  /** The fingerprint pinned for a subject, in modern. */
  async pinOf(subject = SUBJECT): Promise<string | undefined> {
    const found = await (await this.known()).find(subject, "modern");
    return found && formatFingerprint(found.fingerprint);
  }

  /** Connects and leaves again; resolves to the server's fingerprint, or to the error. */
  async open({ host, port, fingerprint, ...change }: Change = {}): Promise<string | CifraError> {
    const { suite, identity } = this.alice;
    try {
      const link = await openServer({
        environment: { ...systemEnvironment, network: this.network },
        address: {
          host: host ?? ELSEWHERE,
          port: port ?? PORT,
          fingerprint,
          inviteSecret: undefined,
        },
        suite,
        identity,
        ephemeralKey: ephemeralKeys(suite, "alice"),
        ticker: new Ticker(systemEnvironment.time),
        servers: await this.known(),
        acceptNew: false,
        ownServer: () => Promise.resolve(undefined),
        onPinned: (...words) => this.pinned.push(words.filter(Boolean).join(" ")),
        ...change,
      });
      const shown = formatFingerprint(link.identity.fingerprint);
      link.channel.destroy();
      await link.leave();
      return shown;
    } catch (error) {
      if (error instanceof CifraError) return error;
      throw error;
    }
  }

  /** How often a server saw who Alice is. */
  sightings({ seen }: PuppetServer): number {
    const ours = formatFingerprint(this.alice.identity.fingerprint);
    return seen.filter((fingerprint) => formatFingerprint(fingerprint) === ours).length;
  }
}

function play(name: string, scene: (scene: Scene) => Promise<void>): void {
  test(name, () =>
    withFolder(async (path) => {
      await using server = await PuppetServer.open("server");
      await using impostor = await PuppetServer.open("impostor");
      server.takeAll();
      impostor.takeAll();
      const folder = await PrivateFolder.open(path);
      const alice = await person("modern", "alice");
      const staged = new Scene(folder, alice, server, impostor);
      await scene(staged);
      assertEquals(staged.network.open, 0);
    }));
}

function codeOf(outcome: string | CifraError): string {
  return outcome instanceof CifraError ? outcome.code : `connected to ${outcome}`;
}

function printOf({ identity }: PuppetServer): string {
  return formatFingerprint(identity.fingerprint);
}

play("a server on this machine is trusted at first sight when we hold its keys", async (scene) => {
  const { server, impostor } = scene;
  const ownServer = () => Promise.resolve(server.identity);
  for (const host of [HOST, "localhost"]) {
    scene.behind = [server];
    const subject = `${host}:${PORT}`;
    assertEquals(await scene.open({ host, ownServer }), printOf(server));
    assertEquals(await scene.pinOf(subject), printOf(server));
    assertEquals(await scene.open({ host }), printOf(server));
    scene.behind = [impostor];
    assertEquals(codeOf(await scene.open({ host, ownServer })), "identity_changed");
    await (await scene.known()).unpin(subject);
  }
  assertEquals(
    scene.pinned,
    [HOST, "localhost"].map((host) => `${host}:${PORT} ${printOf(server)}`),
  );
  assertEquals([scene.sightings(server), scene.sightings(impostor)], [4, 0]);
});

play("another user's server on this machine is a server like any other", async (scene) => {
  const { server, impostor } = scene;
  scene.behind = [impostor];
  for (const ownServer of [undefined, server.identity]) {
    const change = { host: HOST, ownServer: () => Promise.resolve(ownServer) };
    assertEquals(codeOf(await scene.open(change)), "identity_unknown");
    const ask = () => Promise.resolve(false);
    assertEquals(codeOf(await scene.open({ ...change, ask })), "identity_unknown");
  }
  assertEquals([await scene.pinOf(`${HOST}:${PORT}`), scene.sightings(impostor)], [undefined, 0]);
});

play("a server elsewhere is not ours, whatever key it has", async (scene) => {
  const ownServer = () => Promise.resolve(scene.server.identity);
  assertEquals(codeOf(await scene.open({ ownServer })), "identity_unknown");
});

play(
  "a known key at a new address is a known server, once it has proved the key",
  async (scene) => {
    const { server, impostor } = scene;
    await scene.pin(server.who);
    scene.behind = [server, impostor];
    assertEquals(codeOf(await scene.open({ host: "192.0.2.2" })), "identity_changed");
    assertEquals(await scene.pinOf(`192.0.2.2:${PORT}`), undefined);
    for (const host of ["192.0.2.2", HOST]) {
      scene.behind = [server];
      assertEquals(await scene.open({ host }), printOf(server));
      assertEquals(scene.pinned, [`${host}:${PORT} ${printOf(server)} ${SUBJECT}`]);
      scene.pinned.length = 0;
      await (await scene.known()).unpin(`${host}:${PORT}`);
    }
    scene.behind = [impostor];
    assertEquals(codeOf(await scene.open({ host: "192.0.2.3" })), "identity_unknown");
    assertEquals(scene.sightings(impostor), 0);
  },
);

play("a server elsewhere is not trusted where nobody can be asked", async (scene) => {
  const outcome = await scene.open();
  assertEquals(codeOf(outcome), "identity_unknown");
  assertStringIncludes((outcome as CifraError).message, printOf(scene.server));
  assertStringIncludes((outcome as CifraError).message, SUBJECT);
  assertEquals([await scene.pinOf(), scene.pinned], [undefined, []]);
  // It has seen somebody, but not us.
  assertEquals([scene.server.seen.length, scene.sightings(scene.server)], [1, 0]);
});

play("a server that the person does not trust never learns who asked", async (scene) => {
  const asked: string[] = [];
  const ask = (fingerprint: string) => {
    asked.push(fingerprint);
    return Promise.resolve(false);
  };
  assertEquals(codeOf(await scene.open({ ask })), "identity_unknown");
  assertEquals(asked, [printOf(scene.server)]);
  assertEquals([await scene.pinOf(), scene.sightings(scene.server)], [undefined, 0]);
});

play("a server that the person trusts is pinned, and not asked about again", async (scene) => {
  let asked = 0;
  const ask = () => Promise.resolve(++asked > 0);
  assertEquals(await scene.open({ ask }), printOf(scene.server));
  assertEquals(await scene.open({ ask }), printOf(scene.server));
  assertEquals([asked, await scene.pinOf()], [1, printOf(scene.server)]);
  assertEquals(scene.pinned, [`${SUBJECT} ${printOf(scene.server)}`]);
  assertEquals(scene.sightings(scene.server), 2);
});

play(
  "one that takes the server's place after the question does not learn who asked",
  async (scene) => {
    const { server, impostor } = scene;
    scene.behind = [server, impostor];
    const outcome = await scene.open({ ask: () => Promise.resolve(true) });
    assertEquals(codeOf(outcome), "identity_changed");
    assertEquals([scene.sightings(server), scene.sightings(impostor)], [0, 0]);
  },
);

play("without a question a new server is accepted if that is wanted, in one go", async (scene) => {
  assertEquals(await scene.open({ acceptNew: true }), printOf(scene.server));
  assertEquals(await scene.pinOf(), printOf(scene.server));
  assertEquals([scene.network.given, scene.server.seen.length], [1, 1]);
});

play(
  "a known server with another key is told by both, and does not learn who asked",
  async (scene) => {
    const { server, impostor } = scene;
    await scene.pin(server.who);
    scene.behind = [impostor];
    for (const change of [{}, { acceptNew: true }, { ask: () => Promise.resolve(true) }]) {
      const outcome = await scene.open(change);
      assertEquals(codeOf(outcome), "identity_changed");
      const { message } = outcome as CifraError;
      assertStringIncludes(message, `expected:  ${printOf(server)}`);
      assertStringIncludes(message, `presented: ${printOf(impostor)}`);
    }
    assertEquals([await scene.pinOf(), scene.pinned], [printOf(server), []]);
    assertEquals(scene.sightings(impostor), 0);
  },
);

play("a fingerprint that the person names is enough, and is what is pinned", async (scene) => {
  const { fingerprint } = scene.server.identity;
  assertEquals(await scene.open({ fingerprint }), printOf(scene.server));
  assertEquals(await scene.pinOf(), printOf(scene.server));
  // Asked for its key under another name first, once.
  assertEquals([scene.network.given, scene.sightings(scene.server)], [2, 1]);
  assertEquals(await scene.open({ fingerprint }), printOf(scene.server));
  assertEquals(scene.network.given, 3);
});

play("a server that has not the fingerprint named is refused, and not pinned", async (scene) => {
  const { fingerprint } = scene.server.identity;
  scene.behind = [scene.impostor];
  const outcome = await scene.open({ fingerprint, acceptNew: true });
  assertEquals(codeOf(outcome), "identity_changed");
  const { message, hint } = outcome as CifraError;
  // There was no other key before, and nobody is told to accept this one.
  assertEquals(message.split("\n"), [
    `The server ${SUBJECT} does not have the key that you gave`,
    `  given:     ${printOf(scene.server)}`,
    `  presented: ${printOf(scene.impostor)}`,
  ]);
  assertStringIncludes(hint!, "compare the key that you gave with whoever runs the server");
  assert(!hint!.includes("--server-key"), hint);
  assertEquals([await scene.pinOf(), scene.pinned], [undefined, []]);
  assertEquals([scene.impostor.seen.length, scene.sightings(scene.impostor)], [1, 0]);
});

play("one that takes the place of the server named learns nothing either", async (scene) => {
  const { fingerprint } = scene.server.identity;
  scene.behind = [scene.server, scene.impostor];
  const outcome = await scene.open({ fingerprint });
  assertEquals(codeOf(outcome), "identity_changed");
  assertStringIncludes((outcome as CifraError).message, "does not have the key that you gave\n");
  assertEquals([await scene.pinOf(), scene.sightings(scene.impostor)], [undefined, 0]);
});

play("a fingerprint that the person names replaces the pin, once it was proved", async (scene) => {
  const { server, impostor } = scene;
  await scene.pin(impostor.who);
  const { fingerprint } = server.identity;
  scene.behind = [impostor, server];
  assertEquals(codeOf(await scene.open({ fingerprint })), "identity_changed");
  assertEquals(await scene.pinOf(), printOf(impostor));
  assertEquals(await scene.open({ fingerprint }), printOf(server));
  assertEquals(await scene.pinOf(), printOf(server));
});

play("a server known in another suite is not met anew without being told to", async (scene) => {
  await scene.pin(await person("rsa", "server"));
  const outcome = await scene.open();
  assertEquals(codeOf(outcome), "suite_downgrade");
  assertEquals(scene.network.given, 0);
  assertEquals(await scene.open({ acceptNew: true }), printOf(scene.server));
});

play(
  "a person is asked about a server known in another suite, and told by which",
  async (scene) => {
    await scene.pin(await person("rsa", "server"));
    const asked: unknown[] = [];
    const answer = (isRight: boolean) => (key: string, knownIn?: string) => {
      asked.push([key, knownIn]);
      return Promise.resolve(isRight);
    };
    assertEquals(codeOf(await scene.open({ ask: answer(false) })), "identity_unknown");
    assertEquals(await scene.open({ ask: answer(true) }), printOf(scene.server));
    const key = formatFingerprint(scene.server.identity.fingerprint);
    assertEquals(asked, [[key, "rsa"], [key, "rsa"]]);
  },
);

play("with a damaged file nobody new is trusted, however it is asked for", async (scene) => {
  await scene.pin(scene.server.who);
  const text = await scene.folder.read(FILE);
  await scene.folder.write(FILE, text! + "damaged\n");
  // Who is known is known.
  assertEquals(await scene.open(), printOf(scene.server));
  const other = { port: PORT + 1 };
  const ask = () => Promise.resolve(true);
  for (const change of [other, { ...other, acceptNew: true }, { ...other, ask }, { host: HOST }]) {
    assertEquals(codeOf(await scene.open(change)), "local");
  }
  assertEquals(scene.network.given, 1);
});

play("a server that cannot be reached is not pinned", async (scene) => {
  scene.network.refuses = () => true;
  const { fingerprint } = scene.server.identity;
  for (const change of [{}, { acceptNew: true }, { fingerprint }, { host: HOST }]) {
    assertEquals(codeOf(await scene.open(change)), "unreachable");
  }
  assertEquals([await scene.pinOf(), await scene.pinOf(`${HOST}:${PORT}`)], [undefined, undefined]);
});
