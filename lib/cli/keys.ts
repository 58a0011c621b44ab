/** `cifra keys`: our own keys, and those of the people we know. */
import { KeyRing } from "../client/key_ring.ts";
import { Pins } from "../client/pins.ts";
import { PEERS_FILE } from "../client/profile.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { isSuiteName, SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { requireName } from "../wire/names.ts";
import { PrivateFolder } from "../store/private_files.ts";
import { stateFolder } from "../store/state_folder.ts";
import { parseOptions } from "./args.ts";
import { readKeyFile, writeKeyFile } from "./key_files.ts";
import { listPeers, unpinPeer, verifyPeer } from "./key_peers.ts";
import { chooseProfile } from "./profiles.ts";
import { runFramed } from "./run.ts";
import { DESCRIPTOR_MAXIMUM, type Secrets } from "./secrets.ts";
import type { Terminal } from "./terminal.ts";

const ACTIONS = ["show", "peers", "verify", "unpin", "passphrase", "export", "import"] as const;
type Action = typeof ACTIONS[number];
/** What those that are about something are about. */
const ARGUMENTS: Partial<Readonly<Record<Action, string>>> = {
  verify: "PERSON",
  unpin: "PERSON",
  export: "FILE",
  import: "FILE",
};

export const KEYS_HELP = `cifra keys: your keys, and those of the people you know

Usage: cifra keys [WHAT] [options]

  show                  your fingerprints, and where your keys are (also without WHAT)
  peers                 whom you know, by which key, and whether you have compared words
  verify PERSON         the words to compare; marks the person when you say that they are the same
  unpin PERSON          forget a person's key: whoever comes next by that name is new to you
  passphrase            seal your keys on this disk by a passphrase, change it, or remove it
  export FILE           write all your keys to a file for another machine, sealed by a passphrase
  import FILE           take your keys from such a file

  --name NAME           whose keys; needed when there are several profiles
  --suite SUITE         verify: the key for this suite (default: modern, if there is one)
  --yes                 verify: the words are the same, do not ask
  --passphrase-fd N     read passphrases from this descriptor, a line for each, in the order in
                        which they would be asked for: 0 is standard input, others must be pipes
  --state DIR           where keys are (default: the state folder of this user)
  --json                one JSON object per line on stdout

A passphrase protects your keys where somebody else gets at this disk. Without it nobody can read
them, not even you. What was on the disk before it was set may still be found there.

Example:
  cifra keys verify bob
`;

interface KeysOptions {
  readonly action: Action;
  /** The person or the file. */
  readonly argument: string;
  readonly name: string | undefined;
  readonly suite: SuiteName | undefined;
  readonly yes: boolean;
  readonly passphraseFd: number | undefined;
  readonly state: string | undefined;
}

/** Reads the arguments of `keys`; throws `usage` and `bad_name`. */
export function parseKeys(args: readonly string[]): KeysOptions {
  const first = args.findIndex((arg) => arg.startsWith("-"));
  const words = first === -1 ? args : args.slice(0, first);
  const given = parseOptions(args.slice(words.length), {
    flags: ["yes", "json", "help"],
    values: ["name", "suite", "passphrase-fd", "state"],
  });
  const [word = "show", argument, ...more] = words;
  const action = ACTIONS.find((known) => known === word);
  if (!action) {
    throw new CifraError("usage", `Cannot do "${word}" with keys`, {
      hint: `one of ${ACTIONS.join(", ")}`,
    });
  }
  const wanted = ARGUMENTS[action];
  if ((argument === undefined) !== (wanted === undefined) || more.length > 0) {
    throw new CifraError("usage", `Write: cifra keys ${action}${wanted ? ` ${wanted}` : ""}`);
  }
  if (wanted === "PERSON") requireName(argument!);
  const name = given.value("name"), suite = given.value("suite");
  if (name !== undefined) requireName(name);
  if (suite !== undefined && !isSuiteName(suite)) {
    throw new CifraError("usage", `--suite must be ${SUITE_NAMES.join(", ")}, got "${suite}"`);
  }
  for (const option of ["suite", "yes"] as const) {
    const isGiven = option === "yes" ? given.flag(option) : suite !== undefined;
    if (isGiven && action !== "verify") {
      throw new CifraError("usage", `--${option} only makes sense with verify`);
    }
  }
  return {
    action,
    argument: argument ?? "",
    name,
    suite,
    yes: given.flag("yes"),
    passphraseFd: given.integer("passphrase-fd", 0, DESCRIPTOR_MAXIMUM),
    state: given.value("state"),
  };
}

/** Does one thing with keys; returns the exit code. */
export async function keys(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseKeys(args);
  const state = stateFolder(options.state);
  return await runFramed(async ({ secrets }) => {
    await run(options, state, terminal, secrets);
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
  const name = await chooseProfile(`${state}/profiles`, options.name, "keys");
  const folder = await openFolder(state, name);
  const ring = new KeyRing(folder, name, secrets.passphrase(name, options.passphraseFd));
  // Those that only look may do so while another program has the profile.
  if (action === "show") return await show(ring, name, folder, terminal);
  const knownPeers = () => Pins.open(folder, PEERS_FILE);
  if (action === "peers") return listPeers(await knownPeers(), terminal);
  const unlock = await folder.lock();
  try {
    switch (action) {
      case "verify":
        return await verifyPeer(await knownPeers(), ring, argument, options, terminal);
      case "unpin":
        return await unpinPeer(await knownPeers(), argument, terminal);
      case "passphrase":
        return await changePassphrase(ring, name, options, terminal, secrets);
      case "export":
        return await exportKeys(ring, name, options, terminal, secrets);
    }
  } finally {
    ring.drop();
    unlock();
  }
}

async function openFolder(state: string, name: string): Promise<PrivateFolder> {
  const profiles = await (await PrivateFolder.open(state)).folder("profiles");
  return await profiles.folder(name);
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
): Promise<void> {
  await requireKeys(ring, name);
  // The present one comes first.
  await ring.collect();
  const what = `new passphrase of ${name}'s keys, or nothing for none`;
  const question = { what, option: "--passphrase-fd", descriptor };
  const passphrase = await secrets.askNew(question, { mayBeEmpty: true });
  await ring.seal(passphrase === "" ? undefined : passphrase);
  const isSealed = passphrase !== "";
  terminal.say(
    isSealed ? "the keys are sealed by this passphrase now" : "the keys are not sealed any more",
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
  const folder = await openFolder(state, bundle.name);
  const unlock = await folder.lock();
  const ring = new KeyRing(folder, bundle.name, secrets.passphrase(bundle.name, descriptor));
  try {
    const isNew = await ring.adopt(bundle);
    terminal.say(
      isNew ? `this machine has the keys of ${bundle.name} now` : "the keys were here already",
      { event: "imported", name: bundle.name, isNew, path: folder.path },
    );
  } finally {
    ring.drop();
    unlock();
  }
}

async function requireKeys(ring: KeyRing, name: string): Promise<void> {
  if ((await ring.list()).length > 0) return;
  throw new CifraError("local", `${name} has no keys yet`, { hint: "cifra connect makes them" });
}
