/** People in the lobby, as programs of their own. */
import { type CastOptions, type Program, Scene, sourceCommand } from "./program.ts";
import { onTerminal } from "./pty.ts";

const ON_TERMINAL: CastOptions = {
  start: (task, folder) => onTerminal(sourceCommand(task, folder)),
  env: { TERM: "xterm-256color" },
};

/** A server that does not count how often one machine knocks: here everybody is on the same. */
export function openScene(...options: readonly string[]): Promise<Scene> {
  return Scene.withServer("--handshakes-per-minute", "0", ...options);
}

/** Somebody in the lobby: a program that reads and writes lines of JSON. */
export function enter(scene: Scene, name: string, args: readonly string[] = []): Program {
  return scene.start("connect", name, [...whoAndWhere(scene, name), "--json", ...args]);
}

/** Somebody in the lobby, at a terminal; of the scene's server, or of the one at another port. */
export function sitDown(
  scene: Scene,
  name: string,
  args: readonly string[] = [],
  port = scene.port,
): Program {
  const where = ["--name", name, "--server", `127.0.0.1:${port}`];
  return scene.start("connect", name, [...where, ...args], ON_TERMINAL);
}

/** `cifra users`. */
export function look(scene: Scene, name: string, args: readonly string[] = []): Program {
  return scene.start("users", name, [...whoAndWhere(scene, name), ...args]);
}

/** The arguments of whoever comes to the scene's server. */
export function whoAndWhere(scene: Scene, name: string): string[] {
  return ["--name", name, "--server", `127.0.0.1:${scene.port}`];
}

/** Ends a program as a person does. */
export async function interrupt(program: Program): Promise<void> {
  program.kill("SIGINT");
  await program.exits(130);
}

/** Waits until the names have been told as those who joined, or were there at the beginning. */
export function sees(program: Program, ...names: string[]): Promise<true> {
  return program.until(`${names} joining`, () => {
    const joined = program.events.filter(({ event }) => event === "people")
      .flatMap((event) => event.joined as string[]);
    return names.every((name) => joined.includes(name));
  });
}

/** Two people who have met: each answers the other from now on. */
export async function friends(
  scene: Scene,
  one: string,
  other: string,
): Promise<[Program, Program]> {
  const pair = [one, other].map((name) => enter(scene, name, ["--accept", "all"]));
  const [first, second] = pair as [Program, Program];
  await Promise.all([sees(first, other), sees(second, one)]);
  await first.write(`${other}: hello\n`);
  await first.event("read", { with: other });
  return [first, second];
}

/** The texts that came from somebody, in order. */
export function textsFrom(program: Program, from: string): string[] {
  return program.events.filter((event) => event.event === "message" && event.from === from)
    .map(({ text }) => text as string);
}
