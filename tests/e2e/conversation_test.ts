import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { encodeBase64Url } from "@std/encoding/base64url";
import { parsePem } from "../../lib/store/pem.ts";
import { couple, type JsonEvent, type Program, Scene } from "../testkit/program.ts";

function messages(program: Program): unknown[] {
  return program.events.filter(({ event }) => event === "message").map(({ text }) => text);
}

for (const suite of ["modern", "rsa", "classic"]) {
  Deno.test(`serve and connect hold a conversation in ${suite}, both ways`, async () => {
    await using scene = await Scene.withServer(...(suite === "classic" ? ["--allow-classic"] : []));
    const [alice, bob] = await couple(scene, ["--json", "--suite", suite]);
    await alice.write("hello bob\nsecond line\n");
    await bob.event("message", { text: "second line" });
    await bob.write("¿qué tal? 👩‍👩‍👧 שלום 你好\n\n");
    await alice.event("message", { text: "", number: 2 });
    // The last line need not end.
    await alice.write("bye");
    await alice.endInput();
    await bob.event("peer-ended");
    await bob.endInput();
    const aliceExit = await alice.exits(0);
    const bobExit = await bob.exits(0);
    assertEquals(messages(alice), ["¿qué tal? 👩‍👩‍👧 שלום 你好", ""]);
    assertEquals(messages(bob), ["hello bob", "second line", "bye"]);
    assertEquals([aliceExit.stderr, bobExit.stderr], ["", ""]);
    const [ours] = alice.events.filter(({ event }) => event === "connected");
    const [theirs] = bob.events.filter(({ event }) => event === "connected");
    assertEquals([ours!.suite, ours!.session], [suite, theirs!.session]);
    assertEquals([ours!.dialledBy, theirs!.dialledBy].sort(), ["peer", "us"]);
    assertEquals(alice.events.some(({ event }) => event === "warning"), suite === "classic");
    assert(["done", "peer-left"].includes(alice.events.at(-1)!.event));
  });
}

for (const [first, second] of [["alice", "bob"], ["bob", "alice"]] as const) {
  Deno.test(`connect finds its peer when ${first} comes first`, async () => {
    await using scene = await Scene.withServer();
    const early = scene.connect(first, second, ["--json"]);
    await early.event("waiting", { for: second });
    const late = scene.connect(second, first, ["--json"]);
    await Promise.all([early.event("connected"), late.event("connected")]);
    await Promise.all([early.endInput(), late.endInput()]);
    await Promise.all([early.exits(0), late.exits(0)]);
  });
}

Deno.test("connect meets the same person again, and nothing is new any more", async () => {
  await using scene = await Scene.withServer();
  for (const round of [1, 2]) {
    const [alice, bob] = await couple(scene);
    await Promise.all([alice.endInput(), bob.endInput()]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
    const news = alice.events.filter(({ event }) => event.endsWith("-pinned")).length;
    assertEquals(news, round === 1 ? 2 : 0);
    assertEquals(alice.events[0]!.isNew, round === 1);
  }
});

Deno.test("connect --to server gets OK for each message", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "server", ["--json"]);
  await alice.event("connected", { to: "server" });
  await alice.write("one\ntwo\n");
  await alice.event("message", { from: "server", number: 2, text: "OK" });
  await alice.endInput();
  await alice.exits(0);
  assertEquals(messages(alice), ["OK", "OK"]);
});

Deno.test("a text of 16 KiB arrives; one byte more is refused and the conversation goes on", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  const longest = "x".repeat(16 * 1024);
  await alice.write(`${longest}\n`);
  await bob.event("message", { text: longest });
  await alice.write(`${longest}x\n`);
  await alice.event("error", { code: "limit" });
  await alice.write("still here\n");
  await bob.event("message", { text: "still here" });
  await bob.write("good\n");
  await alice.event("message", { text: "good" });
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  assertEquals(messages(bob), [longest, "still here"]);
});

Deno.test("people with different suites are both told, and meet when one comes again", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--json", "--suite", "modern"]);
  const bob = scene.connect("bob", "alice", ["--json", "--suite", "rsa"]);
  await alice.event("suite-mismatch", { peer: "bob", theirSuite: "rsa", yourSuite: "modern" });
  await bob.event("suite-mismatch", { peer: "alice", theirSuite: "modern", yourSuite: "rsa" });
  bob.kill("SIGINT");
  await bob.exits(130);
  const again = scene.connect("bob", "alice", ["--json", "--accept-new"]);
  await Promise.all([alice.event("connected"), again.event("connected")]);
  await Promise.all([alice.endInput(), again.endInput()]);
  await Promise.all([alice.exits(0), again.exits(0)]);
});

/** The eight steps as `program` saw them with `other`. */
function steps(program: Program, other: string): JsonEvent[] {
  return program.events.filter((event) =>
    event.event === "trace" && event.with === other && event.message !== undefined
  );
}

for (const suite of ["modern", "rsa", "classic"]) {
  Deno.test(`--trace shows all eight steps in ${suite}, the same on both sides, and no secret`, async () => {
    await using scene = await Scene.open();
    const server = await scene.serve(["--trace", "--allow-classic"]);
    const [alice, bob] = await couple(scene, ["--json", "--trace", "--suite", suite]);
    const canary = `canary-${crypto.randomUUID()}`;
    await alice.write(`${canary}\n`);
    await bob.event("message", { text: canary });
    await Promise.all([alice.endInput(), bob.endInput()]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
    server.kill("SIGTERM");
    await server.exits(0);
    const inOrder = [1, 2, 3, 4, 5, 6, 7, 8];
    for (const [program, other] of [[alice, "bob"], [bob, "alice"]] as const) {
      for (const at of ["server", other]) {
        assertEquals(steps(program, at).map(({ message }) => message), inOrder);
        for (const step of steps(program, at)) {
          assert((step.bytes as number) > 0 && step.algorithm !== "");
        }
      }
    }
    const facts = (program: Program, other: string) =>
      steps(program, other).map(({ bytes, transcript, name }) => ({ bytes, transcript, name }));
    assertEquals(facts(alice, "bob"), facts(bob, "alice"));
    const directions = (program: Program, other: string) =>
      steps(program, other).map(({ direction }) => direction);
    assert(directions(alice, "bob").every((way, i) => way !== directions(bob, "alice")[i]));
    // What comes after the ladder, by kind and size.
    const later = (program: Program, other: string) =>
      program.events.filter((event) =>
        event.event === "trace" && event.with === other && event.message === undefined
      );
    for (const [program, other, sent] of [[alice, "bob", "sent"], [bob, "alice", "received"]]) {
      const items = later(program as Program, other as string);
      const [message] = items.filter(({ name }) => name === "message");
      assertEquals(message!.direction, sent);
      assert(items.some(({ name, direction }) => name === "receipt" && direction !== sent));
      for (const direction of ["sent", "received"]) {
        assert(items.some((item) => item.name === "close" && item.direction === direction));
      }
      const words = later(program as Program, "server").map(({ name }) => name);
      for (const word of ["want", "introduction", "close"]) assert(words.includes(word), word);
      const [m7] = steps(program as Program, "server").filter(({ message }) => message === 7);
      // The server's port is in it too: from this machine it is dialled from whatever port is free.
      const ports = "receive port (\\d+), send port (\\d+)";
      const filter = `capture filter: tcp port ${scene.port} or tcp port \\1 or tcp port \\2$`;
      assertMatch(m7!.detail as string, new RegExp(`${ports}; ${filter}`));
      // Both directions of the words before a ladder.
      const prefaces = later(program as Program, other as string)
        .filter(({ name }) => name === "preface").map(({ direction }) => direction);
      for (const direction of ["sent", "received"]) assert(prefaces.includes(direction), direction);
    }
    const served = server.events.filter(({ event }) => event === "trace");
    assertEquals(served.length, 12);

    // All that was ever said but the message itself, and the keys that lie on the disk.
    const secrets = [canary, await inviteSecret(scene)];
    for (const [name, state] of [["alice", "profiles/alice"], ["bob", "profiles/bob"]] as const) {
      secrets.push(...await keysIn(`${scene.stateOf(name)}/${state}/identity-${suite}.pem`));
    }
    secrets.push(...await keysIn(`${scene.stateOf("server")}/server/identity-${suite}.pem`));
    const withoutMessages = (program: Program) =>
      program.events.filter(({ event }) => event !== "message" && event !== "listening");
    for (const program of [server, alice, bob]) {
      const said = JSON.stringify(withoutMessages(program)) + program.stderr;
      for (const secret of secrets) {
        assert(!said.includes(secret), `${program.name} tells a secret`);
      }
    }
  });
}

async function inviteSecret(scene: Scene): Promise<string> {
  const text = await Deno.readTextFile(`${scene.stateOf("server")}/server/invite.secret`);
  return encodeBase64Url(parsePem(text)[0]!.bytes);
}

/** The secret keys of an identity file, and a part of the middle of each. */
async function keysIn(file: string): Promise<string[]> {
  const [, ...keys] = parsePem(await Deno.readTextFile(file));
  return keys.map(({ bytes }) => encodeBase64Url(bytes)).flatMap((key) => [key, key.slice(-20)]);
}

Deno.test("--trace without --json prints lines for people, on stderr", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene, ["--trace"]);
  await alice.write("hello");
  await Promise.all([alice.endInput(), bob.endInput()]);
  const { stdout } = await bob.exits(0);
  const { stderr } = await alice.exits(0);
  assertEquals(stdout, "hello");
  for (const who of ["server", "bob"]) {
    for (let step = 1; step <= 8; step++) {
      assert(new RegExp(`^trace ${who} +m${step} (->|<-) `, "m").test(stderr), stderr);
    }
  }
  assert(!stderr.includes("hello"));
});

Deno.test("a first visit that is refused leaves no profile; whoever was let in before keeps theirs", async () => {
  await using scene = await Scene.open();
  const names = (state: string) => {
    const folder = `${scene.stateOf(state)}/profiles`;
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  };
  let server = await scene.serve();
  const bob = scene.connect("bob", "alice", ["--json"]);
  await bob.event("waiting");
  for (const program of [bob, server]) {
    program.kill("SIGINT");
    await program.exits(130);
  }
  server = await scene.serve(["--admission", "accounts"]);
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("error", { code: "account_required" });
  await alice.exits(1);
  assertEquals(names("alice"), []);
  const again = scene.connect("bob", "alice", ["--json"]);
  await again.event("error", { code: "account_required" });
  await again.exits(1);
  assertEquals(names("bob"), ["bob"]);
});

Deno.test("serve --admission invite admits who has the invite line, and nobody else", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--admission", "invite"]);
  const { invite } = await server.event("listening");
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.exits(1);
  assertEquals(alice.events.at(-1)!.code, "invite_required");
  await Deno.mkdir(scene.stateOf("bob"), { mode: 0o700 });
  const file = `${scene.stateOf("bob")}/invite`;
  await Deno.writeTextFile(file, `${invite}\n`, { mode: 0o600 });
  const bob = scene.connect("bob", "alice", ["--json", "--invite-file", file]);
  await bob.event("waiting");
  // The key in the line was enough: nothing had to be trusted on first sight by the address.
  bob.kill("SIGINT");
  await bob.exits(130);
  const asArgument = scene.connect("bob", "alice", ["--server", String(invite)]);
  const { stderr } = await asArgument.exits(2);
  assertStringIncludes(stderr, "must not be an argument");
  assert(!stderr.includes(await inviteSecret(scene)));
});

Deno.test("a message that would drive a terminal arrives as it is where a program reads it", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  const evil = "\x1b[2J\x1b]52;c;aGk=\x07 \u202e";
  await alice.write(`${evil}\n`);
  await bob.event("message", { text: evil });
  // JSON escapes what is a control character.
  assert(!bob.stdout.includes("\x1b"));
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
});
