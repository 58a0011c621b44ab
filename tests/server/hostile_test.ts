/** What strangers may say to a server, and what they hear (reliability.md 4, groups F and H). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import { FRAME_LIMIT_HANDSHAKE, FRAME_LIMIT_OPEN } from "../../lib/limits.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { encodeInvitePreface } from "../../lib/wire/handshake_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  refusalOf,
} from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder, type EvilChannel, EvilPeer, test } from "../testkit/adversary.ts";
import { flipBit, person } from "../testkit/handshake.ts";
import {
  registrationOf,
  signed,
  TestClient,
  type TestServer,
  type TestServerOptions,
  withServer,
} from "../testkit/server.ts";

/** Sends what the server may refuse in the middle, and hears it out. */
async function sayAndListen(port: number, bytes: Bytes): Promise<Bytes> {
  const peer = await EvilPeer.dial(port);
  const sent = peer.send(bytes).catch((error) => {
    const gone = error instanceof Deno.errors.BrokenPipe ||
      error instanceof Deno.errors.ConnectionReset;
    if (!gone) throw error;
  });
  const heard = await peer.readToEnd();
  await sent;
  peer.close();
  return heard;
}

/** Fails unless an honest client is served as if nothing had been. */
async function assertServes(server: TestServer): Promise<void> {
  const client = await TestClient.registered(
    server,
    await person("modern", "honest"),
    "honest",
    "nobody",
  );
  await client.leave();
}

function u32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** Bytes that look random and are the same each time; the first is no length of a frame. */
function noise(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let i = 0, x = 1; i < length; i++) {
    x = (x * 1_103_515_245 + 12_345) % 2_147_483_648;
    bytes[i] = x >> 16;
  }
  bytes[0] = 0x80;
  return bytes;
}

/** A TLS 1.3 ClientHello up to its random. */
const CLIENT_HELLO = new Uint8Array([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, ...noise(32)]);

const GARBAGE: Readonly<Record<string, Bytes>> = {
  "an HTTP request": encodeUtf8("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
  "a TLS ClientHello": CLIENT_HELLO,
  "an SSH banner": encodeUtf8("SSH-2.0-OpenSSH_9.9\r\n"),
  "a mebibyte of noise": noise(1024 * 1024),
  "a length of zero (F1)": u32(0),
  "a length of 4 GiB (F2)": u32(0xffff_ffff),
  "a length above the limit of strangers (F3)": u32(FRAME_LIMIT_HANDSHAKE + 1),
  "the limit of an open channel, too early (F3)": u32(FRAME_LIMIT_OPEN),
  "an unknown kind (F11)": concat([u32(10), new Uint8Array([0x7f])]),
};

for (const [what, bytes] of Object.entries(GARBAGE)) {
  test(`a server closes on ${what} without a byte (F12)`, async () => {
    await withServer(async (server) => {
      assertEquals((await sayAndListen(server.port, bytes)).length, 0);
      await server.told("handshake-failed");
      assertEquals(server.all("handshake-failed").map(({ code }) => code), ["bad_frame"]);
      await assertServes(server);
    });
  });
}

test("a server takes a first frame at the limit, and answers by its content (F4)", async () => {
  await withServer(async (server) => {
    const peer = await EvilPeer.dial(server.port);
    await peer.sendFrame(FrameKind.m1, new Uint8Array(FRAME_LIMIT_HANDSHAKE - 1));
    assertEquals(await peer.lastWords(), "bad_version");
    peer.close();
  });
});

test("a server is silent towards one who leaves or resets at any point (F13, F14)", async () => {
  await withServer(async (server) => {
    const who = await person("modern", "mallory");
    const { send } = await startInitiator(anyResponder(who, "mallory"));
    const m1 = encodeFrame(FrameKind.m1, send[0]!.body);
    for (const length of [0, 1, 4, 5, 6, m1.length - 1]) {
      const peer = await EvilPeer.dial(server.port);
      await peer.send(m1.slice(0, length));
      await peer.transport.closeWrite();
      assertEquals((await peer.readToEnd()).length, 0);
      peer.close();
    }
    for (const last of [1, 3, 5] as const) {
      const peer = await EvilPeer.dial(server.port);
      await peer.runHandshake(anyResponder(who, "mallory"), last);
      // Closed with an answer unread or under way: the server sees a reset.
      peer.close();
    }
    await server.told("handshake-failed", 8);
    assert(server.all("handshake-failed").every(({ code }) => code === "cut"));
    await assertServes(server);
  });
});

/** One thing wrong with m1, and the alert for it. */
const HELLOS: readonly {
  readonly what: string;
  readonly spoil: (m1: Bytes) => Bytes;
  readonly code: ErrorCode;
  readonly options?: TestServerOptions;
}[] = [
  ...[0, 2, 255].map((version) => ({
    what: `version ${version} (H7)`,
    spoil: (m1: Bytes) => concat([new Uint8Array([version]), m1.slice(1)]),
    code: "bad_version" as const,
  })),
  ...[0, 2, 3, 255].map((mode) => ({
    what: `mode ${mode} (H10)`,
    spoil: (m1: Bytes) => concat([m1.slice(0, 1), new Uint8Array([mode]), m1.slice(2)]),
    code: "bad_state" as const,
  })),
  ...[0, 4, 255].map((suite) => ({
    what: `suite ${suite} (H8)`,
    spoil: (m1: Bytes) => concat([m1.slice(0, 2), new Uint8Array([suite]), m1.slice(3)]),
    code: "suite_refused" as const,
  })),
  {
    what: "suite 1 where classic is off (H8, L5)",
    spoil: (m1) => concat([m1.slice(0, 2), new Uint8Array([1]), m1.slice(3)]),
    code: "suite_refused",
    options: { allowClassic: false },
  },
  ...[1, 128].map((flags) => ({
    what: `flags ${flags} (H9)`,
    spoil: (m1: Bytes) => concat([m1.slice(0, 3), new Uint8Array([flags]), m1.slice(4)]),
    code: "bad_frame" as const,
  })),
  {
    what: "an ephemeral key one byte short (H11)",
    spoil: (m1) => m1.slice(0, -1),
    code: "bad_frame",
  },
  {
    what: "an ephemeral key one byte long (H11)",
    spoil: (m1) => concat([m1, new Uint8Array(1)]),
    code: "bad_frame",
  },
  {
    what: "an ephemeral key of another suite (H11)",
    spoil: (m1) => concat([m1.slice(0, 2), new Uint8Array([2]), m1.slice(3)]),
    code: "bad_frame",
  },
];

for (const { what, spoil, code, options } of HELLOS) {
  test(`a server answers m1 with ${what} by the alert ${code}`, async () => {
    await withServer(async (server) => {
      const who = await person("modern", "mallory");
      const { send } = await startInitiator(anyResponder(who, "mallory"));
      const peer = await EvilPeer.dial(server.port);
      await peer.sendFrame(FrameKind.m1, spoil(send[0]!.body));
      assertEquals(await peer.lastWords(), code);
      peer.close();
      await server.told("handshake-failed");
      assertEquals(server.all("handshake-failed").map((event) => event.code), [code]);
      await assertServes(server);
    }, options);
  });
}

test("a server refuses every frame but m1 as the first (H4, H6)", async () => {
  const kinds = [FrameKind.m2, FrameKind.m3, FrameKind.m5, FrameKind.m6, FrameKind.record];
  for (const kind of kinds) {
    await withServer(async (server) => {
      const peer = await EvilPeer.dial(server.port);
      await peer.sendFrame(kind, new Uint8Array(200));
      assertEquals(await peer.lastWords(), "bad_state");
      peer.close();
    });
  }
});

test("a server refuses a message of the ladder twice, or out of its order (H1, H2)", async () => {
  const who = await person("modern", "mallory");
  const { send } = await startInitiator(anyResponder(who, "mallory"));
  const m1 = send[0]!.body;
  for (const kind of [FrameKind.m1, FrameKind.m5, FrameKind.record]) {
    await withServer(async (server) => {
      const peer = await EvilPeer.dial(server.port);
      await peer.sendFrame(FrameKind.m1, m1);
      await peer.sendFrame(kind, m1);
      assertEquals((await peer.nextFrame())?.kind, FrameKind.m2);
      assertEquals(await peer.lastWords(), "bad_state");
      peer.close();
    });
  }
});

test("a server refuses a changed m3 or m5 with one and the same alert", async () => {
  const who = await person("modern", "mallory");
  for (const last of [1, 3] as const) {
    await withServer(async (server) => {
      const peer = await EvilPeer.dial(server.port);
      const { state } = await peer.runHandshake(anyResponder(who, "mallory"), last);
      const { send } = await step(state, (await peer.nextFrame())!);
      const { kind, body } = flipBit(send[0]!, 8 * send[0]!.body.length - 1);
      await peer.sendFrame(kind, body);
      assertEquals(await peer.lastWords(), "auth_failed");
      peer.close();
    });
  }
});

/** Somebody with a channel to the server, and any record at hand. */
async function insider(server: TestServer): Promise<EvilChannel> {
  const peer = await EvilPeer.dial(server.port);
  return await peer.handshakeAll(anyResponder(await person("modern", "mallory"), "mallory"));
}

/** Closes a channel of ours after hearing its alert. */
async function assertEndsWith(channel: EvilChannel, code: ErrorCode): Promise<void> {
  let said = await channel.receive();
  while (Array.isArray(said)) said = await channel.receive();
  assertEquals(said, code);
  channel.peer.close();
}

/** A registration by Mallory, signed with her key. */
async function request(name: string): Promise<Bytes> {
  const who = await person("modern", "mallory");
  const wish = await signed(who, registrationOf(name));
  return encodeServerRequest({ type: "register", ...wish });
}

test("a server ends the channel of one who does not register first", async () => {
  const wrong = [ItemType.message, ItemType.ack, ItemType.response, ItemType.relay];
  for (const type of wrong) {
    await withServer(async (server) => {
      const channel = await insider(server);
      await channel.send(type, new Uint8Array(9));
      await assertEndsWith(channel, "bad_state");
      await assertServes(server);
    });
  }
});

test("a server ends the channel of one who tells it what is for the other side of a conversation", async () => {
  for (const type of [ItemType.storing, ItemType.away]) {
    await withServer(async (server) => {
      const channel = await insider(server);
      await channel.send(ItemType.request, await request("mallory"));
      assert(Array.isArray(await channel.receive()));
      await channel.send(type, new Uint8Array(2));
      await assertEndsWith(channel, "bad_state");
      await assertServes(server);
    });
  }
});

test("a server refuses the same registration when it comes twice in one record", async () => {
  await withServer(async (server) => {
    const together = await insider(server);
    const item = { type: ItemType.request, body: await request("mallory") };
    await together.peer.send(await together.sealItems(item, item));
    const said: string[] = [];
    while (said.length < 2) {
      const items = await together.receive();
      assert(Array.isArray(items), `got ${items}`);
      const responses = items.filter(({ type }) => type === ItemType.response);
      said.push(...responses.map(({ body }) => decodeServerResponse(body).type));
    }
    assertEquals(said, ["registered", "refused"]);
    together.peer.close();
    await server.told("left");
    assertEquals(server.all("refused").map(({ code }) => code), ["stale_registration"]);
    await assertServes(server);
  });
});

test("a server ends the channel of one whose registration cannot be read (D1, F9, F10)", async () => {
  const good = await request("mallory");
  const name = (bytes: Bytes) =>
    concat([good.slice(0, 1), new Uint8Array([0, bytes.length]), bytes, good.slice(3 + 7)]);
  const bodies: Readonly<Record<string, Bytes>> = {
    "nothing": new Uint8Array(0),
    "half of it": good.slice(0, good.length / 2),
    "a byte too many": concat([good, new Uint8Array(1)]),
    "a request spoken for": concat([new Uint8Array([9]), good.slice(1)]),
    "a name of 33 bytes": name(encodeUtf8("a".repeat(33))),
    "a name that is not UTF-8": name(new Uint8Array([0xc0, 0x80])),
    "a lone surrogate": name(new Uint8Array([0xed, 0xa0, 0x80])),
    "a length beyond the end": concat([good.slice(0, 1), new Uint8Array([0, 32, 97])]),
  };
  for (const [what, body] of Object.entries(bodies)) {
    await withServer(async (server) => {
      const channel = await insider(server);
      await channel.send(ItemType.request, body);
      await assertEndsWith(channel, "bad_frame").catch((error) => {
        throw new Error(what, { cause: error });
      });
    });
  }
});

test("a server ends the channel on a second m1 (H5), a bad record, and too long a frame (F3)", async () => {
  const cases: readonly [string, Bytes, ErrorCode][] = [
    ["m1", encodeFrame(FrameKind.m1, new Uint8Array(1300)), "bad_state"],
    ["a record of zeros", encodeFrame(FrameKind.record, new Uint8Array(80)), "auth_failed"],
    ["a long frame", u32(FRAME_LIMIT_OPEN + 1), "bad_frame"],
    ["an unknown kind", new Uint8Array([0, 0, 0, 9, 99]), "bad_frame"],
  ];
  for (const [what, bytes, code] of cases) {
    await withServer(async (server) => {
      const channel = await insider(server);
      await channel.send(ItemType.request, await request("mallory"));
      assert(Array.isArray(await channel.receive()));
      await channel.peer.send(bytes);
      await assertEndsWith(channel, code);
      await server.told("left");
      assertEquals(server.all("left"), [{ event: "left", name: "mallory", code }], what);
    });
  }
});

test("an invite-only server asks one without an invite for it", async () => {
  await withServer(async (server) => {
    for (const ask of ["register", "sign in"]) {
      const client = await TestClient.connect(server, await person("modern", "mallory"));
      const answer = ask === "register"
        ? await client.register(registrationOf("mallory"))
        : await client.ask({ type: "signIn", name: "mallory", nonce: new Uint8Array(24) });
      assert(answer.type === "refused");
      assertEquals(refusalOf(answer.code), "invite_required");
      await client.leave();
    }
  }, { inviteOnly: true });
});

test("an invite-only server is silent towards a wrong invite", async () => {
  const m1 = new Uint8Array(1252).fill(1);
  const wrong = encodeInvitePreface(new Uint8Array(32).fill(7), Date.now(), m1);
  const bodies = [wrong, wrong.slice(1), concat([wrong, wrong]), new Uint8Array(0)];
  for (const body of bodies) {
    await withServer(async (server) => {
      const preface = concat([
        encodeFrame(FrameKind.preface, body),
        encodeFrame(FrameKind.m1, m1),
      ]);
      assertEquals((await sayAndListen(server.port, preface)).length, 0);
      await server.told("handshake-failed");
      assertEquals(server.all("handshake-failed").map(({ code }) => code), ["auth_failed"]);
      // One for another m1, or of another day, is no better.
      const inviteSecret = server.server.invites.standing(Date.now()).secret;
      for (
        const forged of [
          encodeInvitePreface(inviteSecret, Date.now(), m1.slice(1)),
          encodeInvitePreface(inviteSecret, Date.now() - 86_400_000, m1),
        ]
      ) {
        const said = [encodeFrame(FrameKind.preface, forged), encodeFrame(FrameKind.m1, m1)];
        assertEquals((await sayAndListen(server.port, concat(said))).length, 0);
      }
    }, { inviteOnly: true });
  }
});

test("an invite lets its holder in, at an open server too, and only in mode 3", async () => {
  const who = await person("modern", "alice");
  for (const inviteOnly of [true, false]) {
    await withServer(async (server) => {
      const invite = server.server.invites.standing(Date.now()).secret;
      const client = await TestClient.connect(server, who, invite);
      assertEquals(client.channel.established.mode, 3);
      await client.leave();

      const peer = await EvilPeer.dial(server.port);
      const start = await startInitiator(anyResponder(who, "alice"));
      const [m1] = start.send;
      await peer.sendFrame(FrameKind.preface, encodeInvitePreface(invite, Date.now(), m1!.body));
      await peer.sendFrame(FrameKind.m1, m1!.body);
      assertEquals(await peer.lastWords(), "bad_state");
      peer.close();
    }, { inviteOnly });
  }
});

test("an invite's holder who does not know the secret itself gets no further than m2", async () => {
  await withServer(async (server) => {
    const invite = server.server.invites.standing(Date.now()).secret;
    const who = await person("modern", "alice");
    const peer = await EvilPeer.dial(server.port);
    const config = { ...anyResponder(who, "alice"), mode: 3, psk: new Uint8Array(32) } as const;
    const start = await startInitiator(config);
    const [m1] = start.send;
    await peer.sendFrame(FrameKind.preface, encodeInvitePreface(invite, Date.now(), m1!.body));
    await peer.sendFrame(FrameKind.m1, m1!.body);
    const m2 = await peer.nextFrame();
    assertEquals(m2?.kind, FrameKind.m2);
    await assertRejects(() => step(start.state, m2!), CifraError);
    peer.close();
  }, { inviteOnly: true });
});
