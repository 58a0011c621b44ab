/**
 * Networks made for a test, of Linux network namespaces: two people and a server, on one segment or
 * behind routers that translate addresses and let in only what was asked for. Needs root, ip and nft.
 */

/** The public segment: addresses that are set aside for examples. */
const PUBLIC = "198.51.100";
const PRIVATE = { alice: "10.1.0", bob: "192.168.7" } as const;
const HOME = "192.168.1";

const DEVICE = "eth0";
/** A router's two sides. */
const WAN = "wan";
const LAN = "lan";

/** How a router treats what it forwards. */
export interface RouterOptions {
  /** A port of chance for every destination, so that the one which the server sees helps no peer. */
  readonly symmetric?: boolean;
  /** What packets meet that nobody inside has asked for: silence, the default, or a reset. */
  readonly unsolicited?: "drop" | "reset";
}

/** A machine of a topology. */
export class Host {
  readonly namespace: string;
  /** Its interface towards the others. */
  readonly device: string;
  /** Its router, if the public segment sees that one's address in place of its own. */
  readonly router: Host | undefined;
  /** Where it sends what is not for its own segment. */
  readonly gateway: string | undefined;
  /** Its own address; `Topology.changeAddress` keeps it up to date. */
  address: string;

  constructor(
    namespace: string,
    device: string,
    address: string,
    behind?: { readonly router: Host; readonly gateway: string },
  ) {
    this.namespace = namespace;
    this.device = device;
    this.address = address;
    this.router = behind?.router;
    this.gateway = behind?.gateway;
  }

  /** The address by which the server knows it. */
  get publicAddress(): string {
    return this.router?.address ?? this.address;
  }
}

/** Two people and a server; the network is gone when it is disposed of. */
export class Topology {
  readonly server: Host;
  readonly alice: Host;
  readonly bob: Host;
  readonly #lab: Lab;
  #nextChange = 100;

  /** Takes the lab over, with these in it. */
  constructor(lab: Lab, server: Host, alice: Host, bob: Host) {
    this.#lab = lab;
    this.server = server;
    this.alice = alice;
    this.bob = bob;
  }

  /** What starts `command` on a host; the process keeps the id under which it was started. */
  run(host: Host, command: readonly string[]): string[] {
    return inside(host.namespace, command);
  }

  /** Takes the host's interface down: its programs are told that there is no network. */
  async cut(host: Host): Promise<void> {
    await ip(host.namespace, `link set ${host.device} down`);
  }

  /** Lets every packet from and to the host disappear; nobody is told. */
  async blackhole(host: Host): Promise<void> {
    // Next to the wire, where a sending program no longer hears of what happens to its packet.
    const chain = (direction: string) =>
      `chain ${direction} {
        type filter hook ${direction} device ${host.device} priority 0; policy drop;
      }`;
    await nft(
      host.namespace,
      `table netdev blackhole {
        ${chain("ingress")}
        ${chain("egress")}
      }`,
    );
  }

  /** Undoes `cut` and `blackhole`. */
  async mend(host: Host): Promise<void> {
    await nft(host.namespace, "table netdev blackhole\ndelete table netdev blackhole");
    await ip(host.namespace, `link set ${host.device} up`, ...routes(host));
  }

  /**
   * Gives the host another address on its segment, as happens to a laptop that comes back: from the old
   * one nothing is heard again. For a router that is the public address.
   */
  async changeAddress(host: Host): Promise<void> {
    const old = host.address;
    host.address = old.replace(/\d+$/, String(this.#nextChange++));
    await ip(
      host.namespace,
      `address del ${old}/24 dev ${host.device}`,
      `address add ${host.address}/24 dev ${host.device}`,
      ...routes(host),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

/** A server in public, and each of the two alone behind a router of their own. */
export function twoNats(
  routers: { readonly alice?: RouterOptions; readonly bob?: RouterOptions } = {},
): Promise<Topology> {
  return build(PUBLIC, async (lab) => {
    const behindRouter = async (role: "alice" | "bob") => {
      const router = await lab.addRouter(`${role}-router`, PRIVATE[role], routers[role]);
      return await lab.addBehind(router, role, PRIVATE[role]);
    };
    const server = await lab.addHost("server");
    return new Topology(lab, server, await behindRouter("alice"), await behindRouter("bob"));
  });
}

/** All three on one private segment, without a router. */
export function sameLan(): Promise<Topology> {
  return build(HOME, async (lab) => {
    const server = await lab.addHost("server");
    return new Topology(lab, server, await lab.addHost("alice"), await lab.addHost("bob"));
  });
}

/** Why this machine cannot make namespaces, as a text; undefined when it can. */
export function whyNot(): Promise<string | undefined> {
  return reason ??= findReason();
}

/** Registers a test that needs namespaces; where there are none its name says why it is left out. */
export async function networkTest(name: string, fn: () => Promise<void>): Promise<void> {
  const why = await whyNot();
  Deno.test({ name: why ? `${name} (left out: ${why})` : name, ignore: why !== undefined, fn });
}

let reason: Promise<string | undefined> | undefined;

async function findReason(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "network namespaces are a thing of Linux";
  if (Deno.uid() !== 0) return "network namespaces need root";
  for (const [program, argument] of [["ip", "-V"], ["nft", "--version"]] as const) {
    try {
      await execute([program, argument]);
    } catch {
      return `the program ${program} is missing`;
    }
  }
  try {
    // Root of a container may lack CAP_NET_ADMIN, or parts of the kernel be missing: it is tried.
    await removeLeftovers();
    await using topology = await twoNats({ alice: { symmetric: true } });
    await topology.blackhole(topology.alice);
    return undefined;
  } catch (error) {
    return `this machine refuses: ${(error as Error).message}`;
  }
}

/** Of tests that were killed before they could clean up: their process is gone. */
async function removeLeftovers(): Promise<void> {
  const names = await execute(["ip", "netns", "list"]);
  for (const [name, pid] of names.matchAll(/^cifra-(\d+)-\S+/gm)) {
    const lives = await Deno.stat(`/proc/${pid}`).then(() => true, () => false);
    // Another test may be doing the same.
    if (!lives) await execute(["ip", "netns", "del", name]).catch(() => {});
  }
}

async function build(
  segment: string,
  furnish: (lab: Lab) => Promise<Topology>,
): Promise<Topology> {
  const lab = new Lab(segment);
  try {
    await lab.open();
    return await furnish(lab);
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
}

let labs = 0;

/** The namespaces of one topology and the switch in their middle. */
class Lab {
  readonly #prefix = `cifra-${Deno.pid}-${++labs}`;
  readonly #segment: string;
  readonly #namespaces: string[] = [];
  #nextNumber = 10;

  constructor(segment: string) {
    this.#segment = segment;
  }

  get #switch(): string {
    return this.#namespaces[0]!;
  }

  /** Makes the switch, to which hosts and routers are joined. */
  async open(): Promise<void> {
    await this.#add("switch");
    await ip(this.#switch, "link add name hub type bridge", "link set hub up");
  }

  /** A host on the segment. */
  async addHost(role: string): Promise<Host> {
    return await this.#join(await this.#add(role), DEVICE);
  }

  /** A router on the segment, the first address of `lan` on its other side. */
  async addRouter(role: string, lan: string, options: RouterOptions = {}): Promise<Host> {
    const namespace = await this.#add(role);
    const router = await this.#join(namespace, WAN);
    await execute(inside(namespace, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]));
    await nft(namespace, routerRules(options));
    await ip(
      namespace,
      `link add name ${LAN} type veth peer name ${DEVICE}`,
      `link set ${LAN} up`,
      `address add ${lan}.1/24 dev ${LAN}`,
    );
    return router;
  }

  /** The one host on the other side of a router. */
  async addBehind(router: Host, role: string, lan: string): Promise<Host> {
    const namespace = await this.#add(role);
    await ip(router.namespace, `link set ${DEVICE} netns ${namespace}`);
    const host = new Host(namespace, DEVICE, `${lan}.2`, { router, gateway: `${lan}.1` });
    await configure(host);
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const namespace of this.#namespaces.splice(0)) {
      await execute(["ip", "netns", "del", namespace]).catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, "Cannot remove all namespaces");
  }

  async #add(role: string): Promise<string> {
    const namespace = `${this.#prefix}-${role}`;
    await execute(["ip", "netns", "add", namespace]);
    this.#namespaces.push(namespace);
    await ip(namespace, "link set lo up");
    return namespace;
  }

  async #join(namespace: string, device: string): Promise<Host> {
    const number = this.#nextNumber++;
    await ip(
      this.#switch,
      `link add name port${number} type veth peer name ${device} netns ${namespace}`,
      `link set port${number} master hub up`,
    );
    const host = new Host(namespace, device, `${this.#segment}.${number}`);
    await configure(host);
    return host;
  }
}

async function configure(host: Host): Promise<void> {
  const { namespace, device, address } = host;
  await ip(
    namespace,
    `link set ${device} up`,
    `address add ${address}/24 dev ${device}`,
    ...routes(host),
  );
}

/** The kernel forgets a route with the interface or the address that it went by. */
function routes({ gateway, device }: Host): string[] {
  return gateway ? [`route replace default via ${gateway} dev ${device}`] : [];
}

function routerRules({ symmetric = false, unsolicited = "drop" }: RouterOptions): string {
  const verdict = unsolicited === "drop" ? "drop" : "meta l4proto tcp reject with tcp reset";
  return `table ip router {
    chain translate {
      type nat hook postrouting priority srcnat; policy accept;
      oifname ${WAN} masquerade ${symmetric ? "fully-random" : ""}
    }
    chain through {
      type filter hook forward priority filter; policy drop;
      ct state established,related accept
      iifname ${LAN} accept
    }
    chain inward {
      type filter hook input priority filter; policy accept;
      iifname ${WAN} ct state { new, invalid } ${verdict}
    }
  }`;
}

function inside(namespace: string, command: readonly string[]): string[] {
  return ["ip", "netns", "exec", namespace, ...command];
}

async function ip(namespace: string, ...commands: readonly string[]): Promise<void> {
  await execute(["ip", "-n", namespace, "-batch", "-"], `${commands.join("\n")}\n`);
}

async function nft(namespace: string, rules: string): Promise<void> {
  await execute(inside(namespace, ["nft", "-f", "-"]), `${rules}\n`);
}

/** Runs a program to its end; returns what it printed, throws what it complained of. */
async function execute(command: readonly string[], input = ""): Promise<string> {
  const [program, ...args] = command;
  const child = new Deno.Command(program!, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // One that ends before it reads says why on stderr.
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { success, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${command.join(" ")}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout);
}
