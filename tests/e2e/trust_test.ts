import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { couple, type Program, Scene } from "../testkit/program.ts";

const FINGERPRINT = /(?:[a-z2-7]{4}-){12,}[a-z2-7]{4}/g;

/** A name for the loopback that does not say so: a client takes it for a place elsewhere. */
function nameOfThisMachine(): { readonly name: string; readonly address: string } | undefined {
  for (const name of [Deno.hostname(), "localhost.localdomain", "ip6-localhost"]) {
    try {
      using listener = Deno.listen({ hostname: name, port: 0 });
      const { hostname } = listener.addr;
      if (hostname.startsWith("127.") || hostname === "::1") return { name, address: hostname };
    } catch {
      // Not a name that this machine knows.
    }
  }
  return undefined;
}

async function part(alice: Program, bob: Program): Promise<void> {
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
}

const here = nameOfThisMachine();
if (here === undefined) {
  console.log("ignored: this machine has no name but localhost, so every server is plainly local");
}

Deno.test({
  name:
    "an unknown server elsewhere is refused where nobody can be asked, and told how to be trusted",
  ignore: here === undefined,
  async fn() {
    await using scene = await Scene.open();
    const { name, address } = here!;
    const server = await scene.serve(["--host", address]);
    const { fingerprints } = await server.event("listening");
    const { modern } = fingerprints as { modern: string };
    const where = ["--server", `${name}:${scene.port}`];

    const refused = scene.connect("alice", "bob", where);
    const { stdout, stderr } = await refused.exits(1);
    assertEquals(stdout, "");
    assertStringIncludes(stderr, `error: The server ${name}:${scene.port} is not known here`);
    assertStringIncludes(stderr, modern);
    assertStringIncludes(stderr, "hint: ");

    const wrong = modern.replace(/^./, (first) => first === "a" ? "b" : "a");
    const mistaken = scene.connect("alice", "bob", ["--json", ...where, "--server-key", wrong]);
    await mistaken.exits(3);
    await mistaken.event("error", { code: "identity_changed" });

    const alice = scene.connect("alice", "bob", ["--json", ...where, "--server-key", modern]);
    const bob = scene.connect("bob", "alice", ["--json", ...where, "--accept-new"]);
    await Promise.all([alice.event("connected"), bob.event("connected")]);
    const connected = await alice.event("connected");
    assertEquals(connected.path, "direct");
    await part(alice, bob);

    // Known from now on.
    const again = scene.connect("alice", "bob", ["--json", ...where]);
    await again.event("waiting");
  },
});

Deno.test("a server with another key is refused with both fingerprints, exit code 3", async () => {
  await using scene = await Scene.open();
  const before = await scene.serve(["--host", "127.0.0.1"]);
  const old = (await before.event("listening")).fingerprints as Record<string, string>;
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  alice.kill("SIGINT");
  await alice.exits(130);
  before.kill("SIGTERM");
  await before.exits(0);

  const port = `${scene.port}`;
  const after = scene.start("serve", "impostor", ["--host", "127.0.0.1", "--port", port, "--json"]);
  const now = (await after.event("listening")).fingerprints as Record<string, string>;
  const refused = scene.connect("alice", "bob");
  const { stdout, stderr } = await refused.exits(3);
  assertEquals(stdout, "");
  assertStringIncludes(stderr, `error: The server 127.0.0.1:${port} has another key than before`);
  assertEquals(stderr.match(FINGERPRINT)!.slice(-2), [old.modern!, now.modern!]);
  assertStringIncludes(stderr, "hint: ");
  // Alice did not say who she is to a server that is not the one she knows.
  assert(!after.events.some(({ event }) => event === "registered"));

  const trusting = scene.connect("alice", "bob", ["--json", "--server-key", now.modern!]);
  await trusting.event("server-pinned", { fingerprint: now.modern });
  await trusting.event("waiting");
  trusting.kill("SIGINT");
  await trusting.exits(130);
  const settled = scene.connect("alice", "bob", ["--json"]);
  await settled.event("waiting");
});

Deno.test("a person with another key is refused with both fingerprints, exit code 3", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  const { fingerprint: old } = await bob.event("profile");
  await part(alice, bob);

  // Only the operator can make a name free for another key.
  const early = scene.connect("bob", "alice", ["--json"], { state: "impostor" });
  await early.exits(1);
  await early.event("error", { code: "name_taken" });
  await scene.operate("forget bob");

  const impostor = scene.connect("bob", "alice", ["--json"], { state: "impostor" });
  await impostor.event("waiting");
  const { fingerprint: now } = await impostor.event("profile");
  const refused = scene.connect("alice", "bob", ["--json"]);
  await refused.exits(3);
  const error = await refused.event("error", { code: "identity_changed" });
  assertEquals(String(error.message).match(FINGERPRINT), [String(old), String(now)]);
  // The other one is told as well.
  await impostor.exits(3);
  const theirs = await impostor.event("error", { code: "identity_changed" });
  assertEquals(String(theirs.message).match(FINGERPRINT)?.[0], String(now));

  const moved = scene.connect("bob", "alice", ["--json"], { state: "impostor" });
  const trusting = scene.connect("alice", "bob", ["--json", "--peer-key", String(now)]);
  await Promise.all([moved.event("connected"), trusting.event("connected")]);
  await part(trusting, moved);
  const [again, back] = [
    scene.connect("alice", "bob", ["--json"]),
    scene.connect("bob", "alice", ["--json"], { state: "impostor" }),
  ];
  await Promise.all([again.event("connected"), back.event("connected")]);
  await part(again, back);
});

Deno.test("--peer-key refuses everybody else on first contact", async () => {
  await using scene = await Scene.withServer();
  const other = scene.connect("carol", "dave", ["--json"]);
  const { fingerprint } = await other.event("profile");
  const bob = scene.connect("bob", "alice", ["--json"]);
  const alice = scene.connect("alice", "bob", ["--json", "--peer-key", String(fingerprint)]);
  await alice.exits(3);
  await alice.event("error", { code: "identity_changed" });
  await bob.exits(3);
  await bob.event("error", { code: "identity_changed" });
});

Deno.test("the suite classic is refused unless the server allows it", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--suite", "classic"]);
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "error: The server does not accept the suite classic\n");
  assertStringIncludes(stderr, "hint: classic needs a server started with --allow-classic;");
});

Deno.test("a weaker suite than the one a server is known by is refused, exit code 3", async () => {
  await using scene = await Scene.withServer("--allow-classic");
  const modern = scene.connect("alice", "bob", ["--json"]);
  await modern.event("waiting");
  modern.kill("SIGINT");
  await modern.exits(130);
  for (const suite of ["rsa", "classic"]) {
    const weaker = scene.connect("alice", "bob", ["--json", "--suite", suite]);
    await weaker.exits(3);
    await weaker.event("error", { code: "suite_downgrade" });
  }
});

Deno.test("a person known in another suite is taken with --accept-new alone", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  await part(alice, bob);
  // Alice knows the server in both suites now; what she does not take is bob.
  const place = ["--name", "alice", "--server", `127.0.0.1:${scene.port}`];
  await scene.start("users", "alice", [...place, "--suite", "rsa", "--accept-new"]).exits(0);
  const inRsa = ["--json", "--suite", "rsa"];
  const bobInRsa = scene.connect("bob", "alice", [...inRsa, "--accept-new"]);
  const careful = scene.connect("alice", "bob", inRsa);
  await careful.exits(3);
  const { message } = await careful.event("error", { code: "suite_downgrade" });
  assertStringIncludes(String(message), "bob is known by a modern key, not by one for rsa\n");
  // Whether bob hears why depends on the connection that comes about first.
  await bobInRsa[Symbol.asyncDispose]();

  const willing = await couple(scene, [...inRsa, "--accept-new"]);
  const { fingerprint } = await bobInRsa.event("profile");
  await willing[0].event("connected", { to: "bob", fingerprint });
  await part(...willing);
});

Deno.test("a profile in use by another program is refused, and free when that has ended", async () => {
  await using scene = await Scene.withServer();
  const first = scene.connect("alice", "bob", ["--json"]);
  await first.event("waiting");
  const second = scene.connect("alice", "carol", []);
  const { stderr } = await second.exits(1);
  assertStringIncludes(stderr, "another cifra is using it\nhint: ");
  first.kill("SIGKILL");
  await first.exit();
  const third = scene.connect("alice", "carol", ["--json"]);
  await third.event("waiting");
});

Deno.test("two servers do not share a state folder", async () => {
  await using scene = await Scene.withServer();
  const second = scene.start("serve", "second", ["--port", "0"], { state: "server" });
  const { stderr } = await second.exits(1);
  assertStringIncludes(stderr, "another cifra is using it\nhint: ");
});

Deno.test("a state folder that others can read is refused, and so is a key file", async () => {
  await using scene = await Scene.withServer();
  await Deno.mkdir(scene.stateOf("alice"));
  await Deno.chmod(scene.stateOf("alice"), 0o755);
  const open = scene.connect("alice", "bob");
  const { stderr } = await open.exits(1);
  assertStringIncludes(stderr, "others can read it (mode 755)\nhint: make it private: chmod 700 ");

  await Deno.chmod(scene.stateOf("alice"), 0o700);
  const fine = scene.connect("alice", "bob");
  await fine.says("waiting for bob");
  fine.kill("SIGINT");
  await fine.exits(130);
  const file = `${scene.stateOf("alice")}/profiles/alice/identity-modern.pem`;
  assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
  await Deno.chmod(file, 0o644);
  const leaky = scene.connect("alice", "bob");
  assertStringIncludes((await leaky.exits(1)).stderr, "others can read it (mode 644)\nhint: ");
});

Deno.test("a name is held by one identity at a time", async () => {
  await using scene = await Scene.withServer();
  const holder = scene.connect("alice", "bob", ["--json"]);
  await holder.event("waiting");
  const thief = scene.connect("alice", "bob", ["--json"], { state: "thief" });
  await thief.exits(1);
  await thief.event("error", { code: "name_taken" });
  // Whoever held it still does, and is found under it.
  const bob = scene.connect("bob", "alice", ["--json"]);
  const { fingerprint } = await holder.event("profile");
  await bob.event("connected", { to: "alice", fingerprint });
  await part(holder, bob);
});

Deno.test("pins that are damaged are not passed over", async () => {
  await using scene = await Scene.withServer();
  const first = scene.connect("alice", "bob", ["--json"]);
  await first.event("waiting");
  first.kill("SIGINT");
  await first.exits(130);
  const file = `${scene.stateOf("alice")}/profiles/alice/known-servers`;
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, text.replace("modern", "moderm"));
  const second = scene.connect("alice", "bob");
  const { stderr } = await second.exits(1);
  assertStringIncludes(stderr, "line 1 is damaged\nhint: ");
});

Deno.test("an invite opens a closed server, and is needed once", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--host", "127.0.0.1", "--admission", "invite"]);
  const { invite } = await server.event("listening");
  const uninvited = scene.connect("alice", "bob", ["--json"]);
  await uninvited.exits(1);
  const none = 'The server wants an invite; server says: "You showed none, and are not known here"';
  const { code, message, hint } = await uninvited.event("error");
  assertEquals([code, message], ["invite_required", none]);
  const line = "ask whoever runs the server for an invite line, and come with --invite once";
  assertEquals(hint, line);

  // The tasks give access to the state folder alone.
  const file = `${scene.stateOf("alice")}/invite`;
  await Deno.writeTextFile(file, `${invite}\n`, { mode: 0o600 });
  const invited = ["--json", "--invite-file", file];
  for (const args of [invited, ["--json"]]) {
    const alice = scene.connect("alice", "bob", args);
    await alice.event("waiting");
    assertEquals(alice.events.filter(({ event }) => event === "invite-readable"), []);
    alice.kill("SIGINT");
    await alice.exits(130);
  }
  // A first visit asks for the key before it shows who comes: that is no trouble to tell the operator of.
  await Deno.mkdir(scene.stateOf("carol"), { mode: 0o700 });
  await Deno.copyFile(file, `${scene.stateOf("carol")}/invite`);
  const carol = scene.connect("carol", "bob", [
    "--json",
    "--invite-file",
    `${scene.stateOf("carol")}/invite`,
  ]);
  await carol.event("waiting");
  assertEquals(server.events.filter(({ event }) => event === "handshake-failed"), []);
  const other = `${String(invite).slice(0, -3)}AAA`;
  await Deno.writeTextFile(file, other);
  await Deno.chmod(file, 0o640);
  // It may be void, or the server full: whoever does not wait is told both.
  const args = [...invited, "--give-up", "0"];
  const mistaken = scene.connect("bob", "alice", args, { state: "alice" });
  await mistaken.event("invite-readable", { path: file });
  await mistaken.exits(1);
  // The line is a secret: what is said about it does not repeat it.
  assert(!mistaken.told.includes(other.slice(-43)));
});

Deno.test("whom a server knows comes in when all its lines are void, also after a line was read anew", async () => {
  await using scene = await Scene.open();
  const serve = () =>
    scene.start("serve", "server", ["--port", `${port}`, "--json", "--admission", "invite"]);
  const file = `${scene.stateOf("alice")}/invite`;
  const come = async (...args: string[]) => {
    const alice = scene.connect("alice", "bob", ["--json", ...args]);
    await alice.event("waiting");
    alice.kill("SIGINT");
    await alice.exits(130);
  };
  let server = await scene.serve(["--admission", "invite"]);
  const { invite, port } = await server.event("listening");
  await Deno.mkdir(scene.stateOf("alice"), { recursive: true, mode: 0o700 });
  await Deno.writeTextFile(file, `${invite}\n`, { mode: 0o600 });
  await come("--invite-file", file);
  server.kill("SIGTERM");
  await server.exits(0);
  for (const secret of ["invite", "ticket"]) {
    await Deno.remove(`${scene.stateOf("server")}/server/${secret}.secret`);
  }
  server = serve();
  await come();
  await come();
  // The operator has forgotten her: a line is wanted once more, and is shown although she has a ticket.
  await scene.operate("forget alice");
  const { invite: other } = await server.event("listening");
  await Deno.writeTextFile(file, `${other}\n`);
  await come("--invite-file", file);
  await come();
});
