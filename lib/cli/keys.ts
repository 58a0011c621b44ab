/** `cifra keys`: our own keys, and those of the people we know. */
import { comparePeer } from "../client/comparison.ts";
import { KeyRing } from "../client/key_ring.ts";
import { Pins } from "../client/pins.ts";
import { openProfileFolder, PEERS_FILE } from "../client/profile.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { PrivateFolder } from "../store/private_files.ts";
import { stateFolder } from "../store/state_folder.ts";
import { requireName } from "../wire/names.ts";
import { parse, type Parsed } from "./args.ts";
import { KEYS } from "./keys_command.ts";
import { readKeyFile, writeKeyFile } from "./key_files.ts";
import { type Compare, listPeers, unpinPeer, verifyPeer } from "./key_peers.ts";
import { chooseProfile } from "./profiles.ts";
import { runFramed } from "./run.ts";
import { askComparison } from "./running.ts";
import type { Secrets } from "./secrets.ts";
import type { Terminal } from "./terminal.ts";
import { TypedLines } from "./typed_lines.ts";

interface KeysOptions {
  readonly action: Parsed<typeof KEYS>["action"];
  /** The person or the file. */
  readonly argument: string;
  readonly name: string | undefined;
  readonly suite: SuiteName | undefined;
  readonly yes: boolean;
  readonly passphraseFd: number | undefined;
  readonly state: string | undefined;
}

/** Does one thing with keys; returns the exit code. */
export async function keys(args: readonly string[], terminal: Terminal): Promise<number> {
  const { action, words: [argument = ""], given } = parse(KEYS, args);
  const options = { ...given, action, argument, passphraseFd: given["passphrase-fd"] };
  return await runFramed(terminal, async ({ secrets }) => {
    await run(options, stateFolder(options.state), terminal, secrets);
    return 0;
  });
}

async function run(
  options: KeysOptions,
  state: string,
  terminal: Terminal,
  secrets: Secrets,
): Promise<void> {
  const { action, argument } = options;
  if (action === "import") return await importKeys(options, state, terminal, secrets);
  const name = await chooseProfile(state, options.name, "keys");
  const folder = await openProfileFolder(state, name);
  const ring = new KeyRing(folder, name, secrets.passphrase(name, options.passphraseFd));
  const knownPeers = () => Pins.open(folder, PEERS_FILE);
  const compareAlone = (mark: boolean) =>
    alone(
      folder,
      async () =>
        await comparePeer(await knownPeers(), ring, argument, { suite: options.suite, mark }),
    );
  try {
    switch (action) {
      // Those that only look may do so while another program has the profile.
      case "show":
        return await show(ring, name, folder, terminal);
      case "export":
        return await exportKeys(ring, name, options, terminal, secrets);
      case "peers":
        return listPeers(await knownPeers(), terminal);
      case "verify": {
        // A program that has the profile open compares for us.
        const ask: Compare = async (mark) =>
          await askComparison(folder.path, argument, { suite: options.suite, mark }) ??
            await compareAlone(mark);
        return await verifyPeer(ask, argument, options, terminal);
      }
      case "unpin":
        return await alone(
          folder,
          async () => await unpinPeer(await knownPeers(), argument, terminal),
        );
      case "passphrase":
        return await alone(
          folder,
          () => changePassphrase(ring, name, options, terminal, secrets, folder),
        );
    }
  } finally {
    ring.drop();
  }
}

/** While nobody else has the profile. Throws `locked`. */
async function alone<T>(folder: PrivateFolder, job: () => Promise<T>): Promise<T> {
  const unlock = await folder.lock();
  try {
    return await job();
  } finally {
    unlock();
  }
}

async function show(
  ring: KeyRing,
  name: string,
  { path }: PrivateFolder,
  terminal: Terminal,
): Promise<void> {
  const entries = (await ring.list()).toReversed();
  if (terminal.json) {
    for (const { suite, identity, isSealed } of entries) {
      const fingerprint = formatFingerprint(identity.fingerprint);
      terminal.emit({ event: "key", name, suite, fingerprint, isSealed, path });
    }
    return;
  }
  terminal.print(`${name}, in ${path}`);
  for (const { suite, identity, isSealed } of entries) {
    terminal.print(`key ${suite.padEnd(8)} ${formatFingerprint(identity.fingerprint)}`);
    terminal.print(`             ${isSealed ? "sealed by a passphrase" : "not sealed"}`);
  }
  if (entries.length === 0) terminal.print("no keys yet: cifra connect makes them");
}

async function changePassphrase(
  ring: KeyRing,
  name: string,
  { passphraseFd: descriptor }: KeysOptions,
  terminal: Terminal,
  secrets: Secrets,
  folder: PrivateFolder,
): Promise<void> {
  await requireKeys(ring, name);
  // The present one comes first.
  await ring.collect();
  const what = `new passphrase of ${name}'s keys, or nothing for none`;
  const question = { what, option: "--passphrase-fd", descriptor };
  const passphrase = await secrets.askNew(question, { mayBeEmpty: true });
  await ring.seal(passphrase === "" ? undefined : passphrase);
  const isSealed = passphrase !== "";
  if (isSealed) await TypedLines.remove(folder);
  terminal.say(
    isSealed
      ? "the keys are sealed by this passphrase now, and what was said with them"
      : "the keys are not sealed any more, nor is what was said with them",
    { event: "passphrase", name, isSealed },
  );
}

async function exportKeys(
  ring: KeyRing,
  name: string,
  { argument: path, passphraseFd: descriptor }: KeysOptions,
  terminal: Terminal,
  secrets: Secrets,
): Promise<void> {
  await requireKeys(ring, name);
  const bundle = await ring.collect();
  const what = `passphrase for ${path}`;
  const passphrase = await secrets.askNew({ what, option: "--passphrase-fd", descriptor });
  await writeKeyFile(path, bundle, passphrase);
  terminal.say(`the keys of ${name} are in ${path}, sealed by this passphrase`, {
    event: "exported",
    name,
    path,
  });
}

async function importKeys(
  { argument: path, name, passphraseFd: descriptor }: KeysOptions,
  state: string,
  terminal: Terminal,
  secrets: Secrets,
): Promise<void> {
  const question = { what: `passphrase for ${path}`, option: "--passphrase-fd", descriptor };
  const bundle = await readKeyFile(path, () => secrets.ask(question));
  if (name !== undefined && name !== bundle.name) {
    throw new CifraError(
      "usage",
      `The keys in ${path} are those of ${bundle.name}, not of ${name}`,
    );
  }
  // It becomes a folder.
  requireName(bundle.name);
  const folder = await openProfileFolder(state, bundle.name);
  const ring = new KeyRing(folder, bundle.name, secrets.passphrase(bundle.name, descriptor));
  try {
    const isNew = await alone(folder, () => ring.adopt(bundle));
    terminal.say(
      isNew ? `this machine has the keys of ${bundle.name} now` : "the keys were here already",
      { event: "imported", name: bundle.name, isNew, path: folder.path },
    );
  } finally {
    ring.drop();
  }
}

async function requireKeys(ring: KeyRing, name: string): Promise<void> {
  if ((await ring.list()).length > 0) return;
  throw new CifraError("local", `${name} has no keys yet`, { hint: "cifra connect makes them" });
}
