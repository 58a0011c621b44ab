/** From starting two clients, whose profiles exist, to the first message shown by the other. */
import { median, report, startServer } from "./bench.ts";

const ROUNDS = 15;
const ROOT = new URL("../../", import.meta.url).pathname;

const server = await startServer();
const state = await Deno.makeTempDir();
await Deno.chmod(state, 0o700);

function start(name: string, to: string): Deno.ChildProcess {
  const address = `127.0.0.1:${server.hello.port}`;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", `${ROOT}main.ts`, "connect", "--accept-new", "--state", state]
      .concat(["--server", address, "--name", name, "--to", to]),
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** Milliseconds from the start of both to the first byte that bob shows. */
async function round(): Promise<number> {
  const began = performance.now();
  const alice = start("alice", "bob"), bob = start("bob", "alice");
  const input = alice.stdin.getWriter();
  await input.write(new TextEncoder().encode("hello\n"));
  const output = bob.stdout.getReader();
  const { value } = await output.read();
  const elapsed = performance.now() - began;
  if (!value) throw new Error("bob ended without a message");
  await Promise.all([input.close(), bob.stdin.close()]);
  while (!(await output.read()).done);
  await Promise.all([alice.stdout.cancel(), alice.status, bob.status]);
  return elapsed;
}

try {
  await round();
  const figures: number[] = [];
  for (let n = 0; n < ROUNDS; n++) figures.push(await round());
  report(
    "start of both clients to the first message shown, median",
    `${median(figures).toFixed(0)} ms`,
  );
  report(
    "  fastest and slowest",
    `${Math.min(...figures).toFixed(0)}, ${Math.max(...figures).toFixed(0)} ms`,
  );
} finally {
  await server.stop();
  await Deno.remove(state, { recursive: true });
}
