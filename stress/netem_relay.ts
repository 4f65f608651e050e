/**
 * A link that harms packets, where the kernel has no netem: two tun devices,
 * which socat opens, and a relay of datagrams between them.
 */
import dgram from "node:dgram";
import { once } from "node:events";
import { FrameDecoderStream, lines } from "../framing.ts";
import { seededRandom } from "../framing/_testing.ts";
import { CommandError, spawn } from "./netem_command.ts";

/** What happens to the packets of a link, in both directions. Shares are in percent. */
export interface Impairment {
  /** Milliseconds that a packet takes. */
  readonly delay?: number;
  /** Milliseconds by which that varies, which changes the order too. */
  readonly jitter?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** Packets with one wrong bit. */
  readonly corrupt?: number;
  /** Packets that are not delayed, and overtake those that are. */
  readonly reorder?: number;
}

/** What a relay did to packets. */
export interface RelayCounters {
  relayed: number;
  lost: number;
  duplicated: number;
  corrupted: number;
  overtaking: number;
}

/** One end of a relay: a datagram is a packet of its device. */
class RelayEnd implements AsyncDisposable {
  readonly #socket: dgram.Socket;
  readonly #program: Deno.ChildProcess;
  readonly #port: number;

  private constructor(
    socket: dgram.Socket,
    program: Deno.ChildProcess,
    port: number,
  ) {
    this.#socket = socket;
    this.#program = program;
    this.#port = port;
  }

  static async open(device: string): Promise<RelayEnd> {
    const socket = dgram.createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const args = [
      "-d",
      "-d",
      `TUN,tun-name=${device},iff-no-pi`,
      `UDP4:127.0.0.1:${socket.address().port}`,
    ];
    let program: Deno.ChildProcess | undefined;
    try {
      program = spawn("socat", args);
      return new RelayEnd(socket, program, await untilOpen(program, args));
    } catch (error) {
      await program?.status;
      socket.close();
      throw error;
    }
  }

  kill(): void {
    try {
      this.#program.kill("SIGKILL");
    } catch {
      // Its device is gone already, and so is it.
    }
  }

  onPacket(listener: (packet: Uint8Array) => void): void {
    this.#socket.on("message", listener);
  }

  send(packet: Uint8Array): void {
    this.#socket.send(packet, this.#port, "127.0.0.1");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#program.status;
    const closed = once(this.#socket, "close");
    this.#socket.close();
    await closed;
  }
}

/** Waits until socat has opened the device, and gives its port. */
async function untilOpen(
  program: Deno.ChildProcess,
  args: string[],
): Promise<number> {
  const log = program.stderr
    .pipeThrough(new FrameDecoderStream(lines()))[Symbol.asyncIterator]();
  let last = "";
  let port: number | undefined;
  for (;;) {
    const { value, done } = await log.next();
    if (done) throw new CommandError("socat", args, last);
    last = value;
    const address = /local address AF=2 127\.0\.0\.1:(\d+)/.exec(value);
    if (address !== null) port = Number(address[1]);
    if (value.includes("starting data transfer loop")) break;
  }
  // What it says later would fill the pipe and stop it.
  (async () => {
    while (!(await log.next()).done);
  })();
  if (port === undefined) throw new CommandError("socat", args, last);
  return port;
}

/** A relay between two devices, which belong to it. */
export class PacketRelay implements AsyncDisposable {
  readonly counters: RelayCounters = {
    relayed: 0,
    lost: 0,
    duplicated: 0,
    corrupted: 0,
    overtaking: 0,
  };
  readonly #impairment: Impairment;
  readonly #random: (limit: number) => number;
  readonly #ends: readonly RelayEnd[];
  #isOpen = true;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  private constructor(
    impairment: Impairment,
    seed: number,
    near: RelayEnd,
    far: RelayEnd,
  ) {
    this.#impairment = impairment;
    this.#random = seededRandom(seed);
    this.#ends = [near, far];
    near.onPacket((packet) => this.#relay(packet, far));
    far.onPacket((packet) => this.#relay(packet, near));
  }

  /**
   * Makes the devices, and relays what is sent over them.
   *
   * @throws {CommandError} If that is not possible here.
   */
  static async open(
    devices: readonly [string, string],
    { impairment, seed }: { impairment: Impairment; seed: number },
  ): Promise<PacketRelay> {
    const near = await RelayEnd.open(devices[0]);
    try {
      const far = await RelayEnd.open(devices[1]);
      return new PacketRelay(impairment, seed, near, far);
    } catch (error) {
      await near[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends the processes that hold the devices, without a wait. */
  kill(): void {
    for (const end of this.#ends) end.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOpen = false;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const end of this.#ends) await end[Symbol.asyncDispose]();
  }

  #relay(packet: Uint8Array, to: RelayEnd): void {
    if (!this.#isOpen) return;
    const { counters } = this;
    const { loss, duplicate, corrupt, reorder, delay = 0, jitter = 0 } =
      this.#impairment;
    if (this.#happens(loss)) {
      counters.lost++;
      return;
    }
    const copies = this.#happens(duplicate) ? 2 : 1;
    counters.duplicated += copies - 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#happens(corrupt)) {
        counters.corrupted++;
        // Of the first byte the device refuses what is no version of IP.
        const place = 1 + this.#random(packet.length - 1);
        packet[place] = packet[place]! ^ 1 << this.#random(8); // place is inside
      }
      counters.relayed++;
      if (this.#happens(reorder)) {
        counters.overtaking++;
        to.send(packet);
      } else {
        // In steps of a millisecond, as timers are.
        this.#sendLater(
          packet,
          to,
          delay + this.#random(2 * jitter + 1) - jitter,
        );
      }
    }
  }

  #sendLater(packet: Uint8Array, to: RelayEnd, delay: number): void {
    if (delay <= 0) return to.send(packet);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      to.send(packet);
    }, delay);
    this.#timers.add(timer);
  }

  #happens(percent = 0): boolean {
    return this.#random(10_000) < percent * 100;
  }
}
