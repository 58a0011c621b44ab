/**
 * Full registrations a second: a new TCP connection, the handshake, m7, m8; server and clients apart. And the
 * same with a want right behind m7, as somebody does who looks for one person.
 */
import type { PublicIdentity } from "../../lib/crypto/identity.ts";
import type { OurSide } from "../../lib/handshake/state.ts";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { encodeServerRequest } from "../../lib/wire/rendezvous_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { registrationOf, signed } from "../testkit/server.ts";
import { connect, newcomer, report, startServer } from "./bench.ts";

async function register(
  ours: OurSide,
  name: string,
  wants: boolean,
  port: number,
  pinned?: PublicIdentity,
): Promise<PublicIdentity> {
  const registration = await signed(ours, registrationOf(name));
  const channel = await connect(ours, port, pinned);
  channel.send(
    ItemType.request,
    encodeServerRequest({ type: "register", ...registration }),
  );
  if (wants) {
    channel.send(ItemType.request, encodeServerRequest({ type: "want", name: "nobody" }));
  }
  if (await channel.receive() === null) throw channel.failure;
  // Measured up to here, m8: the goodbye is not part of it.
  channel.destroy();
  return channel.established.theirs;
}

const server = await startServer("--allow-classic");
try {
  for (const suite of SUITE_NAMES.toReversed()) {
    // Making an RSA key takes most of a second, and a client has one ready while its user types.
    const sides = await Promise.all(Array.from({ length: 16 }, () => newcomer(suite)));
    const keyed = await Promise.all(sides.map(async (side) => {
      if (suite === "modern") return side;
      const key = await side.suite.kem.generate();
      return { ...side, ephemeralKey: () => Promise.resolve(key) };
    }));
    for (const wants of suite === "modern" ? [false, true] : [false]) {
      for (const width of [1, 16]) {
        const total = suite === "modern" ? 1200 : 160;
        const each = Math.floor(total / width);
        const crowd = keyed.slice(0, width);
        const { port } = server.hello;
        const [pinned] = await Promise.all(
          crowd.map((side, i) => register(side, `user${i}`, wants, port)),
        );
        const start = performance.now();
        await Promise.all(crowd.map(async (side, i) => {
          for (let n = 0; n < each; n++) await register(side, `user${i}`, wants, port, pinned);
        }));
        const perSecond = each * width / (performance.now() - start) * 1000;
        const what = `registrations${wants ? " with a want" : ""}, ${suite}`;
        report(`${what}, ${width} at once`, `${perSecond.toFixed(0)}/s`);
      }
    }
  }
} finally {
  await server.stop();
}
