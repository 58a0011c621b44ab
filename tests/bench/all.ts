/** All measurements, one after the other; each is a program of its own that can be run alone. */
const MEASUREMENTS = [
  "registrations",
  "channel",
  "idle",
  "first_message",
  "messages_store",
  "mailbox",
  "post",
  "names",
  "files_disk",
  "send",
  "delivery",
  "reconnect",
  "sign_ins",
  "lobby",
  "besieged",
  "crowd",
];

const model = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo").catch(() => ""))
  ?.[1];
console.log(
  `${model ?? Deno.build.arch}, ${navigator.hardwareConcurrency} cores, Deno ${Deno.version.deno}`,
);
for (const name of MEASUREMENTS) {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", new URL(`./${name}.ts`, import.meta.url).pathname],
    stdin: "null",
  }).spawn().status;
  if (!success) Deno.exit(1);
}
