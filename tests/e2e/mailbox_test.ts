/** People who are never here at the same time: what one leaves at the server the other reads, once and in order. */
import { assert, assertEquals } from "@std/assert";
import { Scene } from "../testkit/program.ts";
import { stringsIn, wordsIn } from "../testkit/strings.ts";
import { within } from "../testkit/time_limit.ts";

const JSON_ARGS = ["--json", "--accept-new", "--accept", "all"];

/** Starts somebody's lobby, and waits until they are there. */
async function comes(scene: Scene, name: string) {
  const server = ["--server", `127.0.0.1:${scene.port}`];
  const program = scene.start("connect", name, [...JSON_ARGS, "--name", name, ...server]);
  await program.event("lobby");
  return program;
}

Deno.test(
  "two who are never here together hold a conversation",
  within(120, async () => {
    await using scene = await Scene.open();
    await scene.serve();
    // Whoever was here once has a box.
    for (const name of ["alice", "bob"]) {
      const program = await comes(scene, name);
      await program.event("people");
      await program.endInput();
      await program.exits(0);
    }
    const server = `${scene.stateOf("server")}/server`;
    for (let turn = 0; turn < 4; turn++) {
      const [writer, reader] = turn % 2 === 0 ? ["alice", "bob"] : ["bob", "alice"];
      const lines = Array.from({ length: 5 }, (_, i) => `heron ${turn}, crayfish ${i}`);
      const writing = await comes(scene, writer!);
      await writing.write(
        lines.map((text) => `${JSON.stringify({ to: reader, text })}\n`).join(""),
      );
      // The fifth message of each turn, of all that this person has written.
      await writing.event("on-server", { number: 5 * (Math.floor(turn / 2) + 1), with: reader });
      writing.kill("SIGINT");
      await writing.exits(130);
      // The server never has a word of it, neither while it waits nor when it was fetched.
      assertEquals(await wordsIn(server, ["heron", "crayfish"]), []);
      const reading = await comes(scene, reader!);
      await reading.event("message", { text: lines.at(-1)! });
      reading.kill("SIGINT");
      await reading.exits(130);
      const shown = reading.events.filter(({ event }) => event === "message")
        .map((told) => told["text"]);
      assertEquals(shown, lines);
      assert(reading.events.every(({ event }) => event !== "connected"));
    }
    assertEquals(await wordsIn(server, ["heron", "crayfish"]), []);
    // Whoever looks like this finds what is there to be found.
    const files = [...await stringsIn(server)].filter(([, strings]) => strings.length > 0);
    for (const name of ["mailbox.db", "server.db"]) {
      assert(files.some(([file]) => file === name), `${name} was not read`);
    }
    const alices = await wordsIn(`${scene.stateOf("alice")}/profiles/alice`, ["heron"]);
    assert(alices.length > 0, "nobody has the words");
  }),
);
