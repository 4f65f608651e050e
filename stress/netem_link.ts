/** Two network namespaces with a link between them. Linux only, as root. */
import { run } from "./netem_command.ts";
import { type Impairment, PacketRelay } from "./netem_relay.ts";

/** An end of a link. */
export type Side = "server" | "client";

const SIDES: readonly Side[] = ["server", "client"];
// They exist within the namespaces only.
const ADDRESSES = { server: "10.99.0.1", client: "10.99.0.2" };
const DEVICE = "wire";
// So that those whose process is gone can be told.
const PREFIX = "framed-tcp";

/** What the kernel counted in both namespaces. */
export interface PacketCounters {
  /** Segments that TCP sent again. */
  readonly retransmitted: number;
  /** Segments whose checksum was wrong. */
  readonly corrupted: number;
  /** Segments that came before an earlier one. */
  readonly outOfOrder: number;
  /** Acknowledgements that said that a segment had come twice. */
  readonly duplicated: number;
  /** Bytes that reached the client's side, headers included. */
  readonly bytesToClient: number;
}

let links = 0;

/** Two namespaces and their link; all of it goes with its scope, or with the process. */
export class NetworkLink implements AsyncDisposable {
  /** Does what the kernel cannot, where it cannot. */
  readonly #relay: PacketRelay | undefined;
  readonly #namespaces: Readonly<Record<Side, string>>;
  readonly #onSignal: () => void;

  private constructor(
    namespaces: Readonly<Record<Side, string>>,
    relay: PacketRelay | undefined,
  ) {
    this.#namespaces = namespaces;
    this.#relay = relay;
    this.#onSignal = () => {
      this.#removeNow();
      Deno.exit(130);
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, this.#onSignal);
    }
  }

  /**
   * Makes a link by a pair of veth devices, which the kernel can slow, harm and
   * take down.
   *
   * @throws {CommandError} If that is not possible here.
   */
  static async open(): Promise<NetworkLink> {
    return await NetworkLink.#open(undefined);
  }

  /**
   * Makes a link that harms packets without the kernel's help.
   *
   * @throws {CommandError} If that is not possible here.
   */
  static async openRelayed(
    options: { impairment: Impairment; seed: number },
  ): Promise<NetworkLink> {
    return await NetworkLink.#open(options);
  }

  static async #open(
    relayed: { impairment: Impairment; seed: number } | undefined,
  ): Promise<NetworkLink> {
    await removeAbandoned();
    const id = `${Deno.pid}-${links++}`;
    const namespaces = {
      server: `${PREFIX}-${id}-server`,
      client: `${PREFIX}-${id}-client`,
    };
    // Devices are made here, where their names must be nobody else's.
    const devices = [`fs${id}`, `fc${id}`] as const;
    const relay = relayed && await PacketRelay.open(devices, relayed);
    const link = new NetworkLink(namespaces, relay);
    try {
      for (const side of SIDES) {
        await run("ip", "netns", "add", namespaces[side]);
      }
      if (relay === undefined) {
        const [near, far] = SIDES.map((
          side,
        ) => [DEVICE, "netns", namespaces[side]]);
        await run(
          "ip",
          ...["link", "add", ...near!, "type", "veth", "peer", "name", ...far!],
        );
      } else {
        for (const [i, side] of SIDES.entries()) {
          await run(
            "ip",
            ...["link", "set", devices[i]!, "netns", namespaces[side]],
            ...["name", DEVICE],
          );
        }
      }
      for (const side of SIDES) {
        const address = `${ADDRESSES[side]}/24`;
        await link.#ip(side, "address", "add", address, "dev", DEVICE);
        await link.#ip(side, "link", "set", "dev", DEVICE, "up");
      }
      return link;
    } catch (error) {
      await link[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The address of the server's side. */
  get hostname(): string {
    return ADDRESSES.server;
  }

  /** What runs a program on a side. */
  under(side: Side): string[] {
    return this.#within(side);
  }

  /**
   * Gives both ends a queue of packets, such as `["netem", "delay", "20ms"]`.
   *
   * @throws {CommandError} If the kernel has none such.
   */
  async addQueue(...queue: string[]): Promise<void> {
    for (const side of SIDES) {
      await run(
        "tc",
        ...["-n", this.#namespaces[side]],
        ...["qdisc", "add", "dev", DEVICE, "root", ...queue],
      );
    }
  }

  /** Takes the link down, or up again. */
  async setUp(isUp: boolean): Promise<void> {
    await this.#ip(
      "server",
      "link",
      "set",
      "dev",
      DEVICE,
      isUp ? "up" : "down",
    );
  }

  /** Makes the kernel give up a peer after some seconds, instead of minutes or hours. */
  async giveUpSoon(): Promise<void> {
    const settings = {
      tcp_retries2: 3,
      tcp_keepalive_time: 1,
      tcp_keepalive_intvl: 1,
      tcp_keepalive_probes: 3,
    };
    const script = Object.entries(settings)
      .map(([name, value]) => `echo ${value} > /proc/sys/net/ipv4/${name}`)
      .join(" && ");
    for (const side of SIDES) {
      await run(...this.#within(side), "sh", "-c", script);
    }
  }

  /** What the kernel has counted since the link was made. */
  async counters(): Promise<PacketCounters> {
    const [server, client] = await Promise.all([
      this.#statistics("server"),
      this.#statistics("client"),
    ]);
    const sum = (name: string) => counter(server, name) + counter(client, name);
    return {
      retransmitted: sum("Tcp RetransSegs"),
      corrupted: sum("Tcp InCsumErrors"),
      outOfOrder: sum("TcpExt TCPOFOQueue"),
      duplicated: sum("TcpExt TCPDSACKOldSent"),
      bytesToClient: counter(client, "IpExt InOctets"),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.removeSignalListener(signal, this.#onSignal);
    }
    await this.#relay?.[Symbol.asyncDispose]();
    for (const side of SIDES) {
      // One that could not be made is not there.
      await run("ip", "netns", "delete", this.#namespaces[side]).catch(
        () => {},
      );
    }
  }

  #within(side: Side): [string, ...string[]] {
    return ["ip", "netns", "exec", this.#namespaces[side]];
  }

  async #statistics(side: Side): Promise<string> {
    const files = ["/proc/net/snmp", "/proc/net/netstat"];
    return await run(...this.#within(side), "cat", ...files);
  }

  async #ip(side: Side, ...args: string[]): Promise<void> {
    await run("ip", "-n", this.#namespaces[side], ...args);
  }

  /** Removes it all while the process ends, as nothing can be awaited then. */
  #removeNow(): void {
    this.#relay?.kill();
    for (const namespace of Object.values(this.#namespaces)) {
      const { stdout } = new Deno.Command("ip", {
        args: ["netns", "pids", namespace],
      }).outputSync();
      new TextDecoder().decode(stdout).trim().split("\n").map(Number)
        .filter((pid) => pid > 0).forEach(kill);
      new Deno.Command("ip", { args: ["netns", "delete", namespace] })
        .outputSync();
    }
  }
}

/** Removes the namespaces of processes that were killed, and what still runs there. */
async function removeAbandoned(): Promise<void> {
  for (const line of (await run("ip", "netns", "list")).split("\n")) {
    const found = new RegExp(`^(${PREFIX}-(\\d+)-\\S+)`).exec(line);
    if (found === null) continue;
    const [, namespace, pid] = found;
    const script = `
      if ! kill -0 ${pid} 2>/dev/null; then
        ip netns pids ${namespace} | xargs -r kill -9
        ip netns delete ${namespace} || : # another run may have been first
      fi`;
    await run("sh", "-c", script);
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** A number of `/proc/net`, where a line of names comes before one of values. */
function counter(text: string, name: string): number {
  const [group, field = ""] = name.split(" ");
  const [names = [], values = []] = text.split("\n")
    .filter((line) => line.startsWith(`${group}:`))
    .map((line) => line.split(" "));
  return Number(values[names.indexOf(field)]);
}
