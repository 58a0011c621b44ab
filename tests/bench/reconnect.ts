/**
 * The server is killed and started again: how soon somebody who has many conversations through its relay has
 * all of them back, and how many handshakes with the server that takes.
 */
import { CONVERSATIONS_LIMIT } from "../../lib/limits.ts";
import { enter, sees } from "../testkit/lobby.ts";
import { type Program, Scene } from "../testkit/program.ts";
import { median, report, UNLIMITED } from "./bench.ts";

const ROUNDS = 9;
const HUB = "hub";
const OTHERS = Array.from({ length: CONVERSATIONS_LIMIT }, (_, n) => `other${n}`);

/** Resolves when a program has told of so many different `key` in events of one name, after its first `from`. */
function tells(program: Program, name: string, key: string, count: number, from = 0) {
  return program.until(`${count} times ${name}`, () => {
    const told = program.events.slice(from).filter(({ event }) => event === name);
    return new Set(told.map((event) => event[key])).size >= count;
  });
}

await using scene = await Scene.open();
let server = await scene.serve(UNLIMITED);
const others = OTHERS.map((name) => enter(scene, name, ["--accept", "all", "--relay-only"]));
const hub = enter(scene, HUB, ["--relay-only"]);
await sees(hub, ...OTHERS);
await hub.write(OTHERS.map((name) => `${name}: hello\n`).join(""));
await tells(hub, "stored", "with", OTHERS.length);

const listening: number[] = [], registered: number[] = [], complete: number[] = [];
const handshakes: number[] = [];
for (let n = 0; n < ROUNDS; n++) {
  const before = hub.events.length, othersBefore = others.map(({ events }) => events.length);
  const began = performance.now();
  const noteIn = (figures: number[]) => () => void figures.push(performance.now() - began);
  server.kill("SIGKILL");
  const inLobby = tells(hub, "lobby", "server", 1, before).then(noteIn(registered));
  const connected = tells(hub, "connected", "with", OTHERS.length, before);
  const all = Promise.all([inLobby, connected]).then(noteIn(complete));
  await server.exit();
  server = scene.start("serve", "server", ["--port", `${scene.port}`, "--json", ...UNLIMITED]);
  await server.event("listening").then(noteIn(listening));
  await all;
  // Whoever is met last may not know yet, and would be cut off in the middle of it.
  await Promise.all(others.map((one, i) => tells(one, "connected", "with", 1, othersBefore[i])));
  const ours = server.events.filter(({ event, name }) => event === "registered" && name === HUB);
  handshakes.push(ours.length);
}

const figures = (some: readonly number[]) =>
  `${median(some).toFixed(0)}, ${Math.max(...some).toFixed(0)}`;
report("server killed, until it listens again: median, slowest", `${figures(listening)} ms`);
report("  until somebody in its lobby is registered again", `${figures(registered)} ms`);
report(`  and has ${OTHERS.length} relayed conversations again`, `${figures(complete)} ms`);
report("  handshakes of theirs with the server: median, most", figures(handshakes));
