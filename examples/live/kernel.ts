/**
 * The kernel's own figures for sockets and their buffers, from `ss` or, if that is
 * missing, from `/proc/net/tcp`. There are none on other systems.
 *
 * @module
 */

/** One TCP socket, as the kernel sees it. */
export interface SocketFigures {
  /** As `ss` names it: `LISTEN`, `ESTAB`, `FIN-WAIT-2`, `TIME-WAIT`, ... */
  state: string;
  localPort: number;
  remotePort: number;
  /** Bytes that have arrived and were not read; of a listener, connections not accepted. */
  receiveQueue: number;
  /** Bytes not acknowledged yet; of a listener, how many connections may wait. */
  sendQueue: number;
  /** The timer that runs; `persist` is the one of the zero-window probe. */
  timer?: string | undefined;
  /** Only `ss` has these. */
  details?: SocketDetails | undefined;
}

/** Figures that only `ss` has. Memory includes the kernel's overhead. */
export interface SocketDetails {
  receiveMemory: number;
  receiveLimit: number;
  sendMemory: number;
  sendLimit: number;
  bytesAcked: number;
  bytesReceived: number;
  /** Bytes in the send buffer that were never sent. */
  notSent: number;
  /** The milliseconds in which the receiver's window was the limit. */
  windowLimitedTime: number;
}

/** Sizes in bytes: the least, the initial and the greatest. */
export type BufferSizes = [least: number, initial: number, greatest: number];

/** The sizes of buffers that the kernel gives to sockets. */
export interface KernelBuffers {
  send: BufferSizes;
  receive: BufferSizes;
}

/** The source of the figures. */
export type KernelSource = "ss" | "proc" | "none";

/** Runs a program, and returns its output; `undefined` if it cannot run. */
export type Run = (
  command: string,
  args: string[],
) => Promise<string | undefined>;

const SEND_SIZES = "/proc/sys/net/ipv4/tcp_wmem";
const RECEIVE_SIZES = "/proc/sys/net/ipv4/tcp_rmem";

/**
 * Reads the kernel's figures, in the best way that this machine and the permissions
 * allow.
 */
export class Kernel {
  /** The source that is used. */
  readonly source: KernelSource;
  /** Linux and its version; elsewhere, what Deno calls the system. */
  readonly system: string;
  /** Whether {@linkcode limitBuffers} works: for root only, and if `sysctl` may be run. */
  readonly canLimitBuffers: boolean;
  readonly #run: Run;

  private constructor(
    run: Run,
    source: KernelSource,
    system: string,
    canLimitBuffers: boolean,
  ) {
    this.#run = run;
    this.source = source;
    this.system = system;
    this.canLimitBuffers = canLimitBuffers;
  }

  /**
   * Finds the source that works.
   *
   * @param run How programs are run; tests give their own.
   */
  static async open(run: Run = runProgram): Promise<Kernel> {
    const release = await run("cat", ["/proc/sys/kernel/osrelease"]);
    const system = release === undefined
      ? Deno.build.os
      : `Linux ${release.match(/^\d+\.\d+/)?.[0] ?? ""}`.trim();
    const source = await findSource(run);
    return new Kernel(run, source, system, await mayLimitBuffers(run));
  }

  /** The sockets with this port on one of their ends. */
  async sockets(port: number): Promise<SocketFigures[]> {
    switch (this.source) {
      case "ss": {
        const filter = `( sport = :${port} or dport = :${port} )`;
        return parseSs(await this.#run("ss", ["-tinmaoH", filter]) ?? "");
      }
      case "proc": {
        const table = await this.#run("cat", ["/proc/net/tcp"]) ?? "";
        return parseProc(table).filter(({ localPort, remotePort }) =>
          localPort === port || remotePort === port
        );
      }
      case "none":
        return [];
    }
  }

  /** The sizes of buffers, if the kernel reports them. */
  async buffers(): Promise<KernelBuffers | undefined> {
    const send = await this.#run("cat", [SEND_SIZES]);
    const receive = await this.#run("cat", [RECEIVE_SIZES]);
    if (send === undefined || receive === undefined) return undefined;
    return { send: parseSizes(send), receive: parseSizes(receive) };
  }

  /**
   * Limits the buffers of new sockets, on the whole machine: undo it soon.
   *
   * @returns Puts the sizes of before back.
   */
  async limitBuffers(
    limits: { send?: number | undefined; receive?: number | undefined },
  ): Promise<AsyncDisposable> {
    const before = await this.buffers();
    if (before === undefined) {
      throw new Error(
        "Cannot limit buffers: this system does not report their sizes",
      );
    }
    const set = async ({ send, receive }: KernelBuffers) => {
      const done = await this.#run("sysctl", [
        "-qw",
        `net.ipv4.tcp_wmem=${send.join(" ")}`,
        `net.ipv4.tcp_rmem=${receive.join(" ")}`,
      ]);
      if (done === undefined) {
        throw new Error("Cannot limit buffers: only root may, by sysctl");
      }
    };
    await set({
      send: limited(before.send, limits.send),
      receive: limited(before.receive, limits.receive),
    });
    return { [Symbol.asyncDispose]: () => set(before) };
  }
}

function limited(
  [least, initial, greatest]: BufferSizes,
  limit: number | undefined,
): BufferSizes {
  if (limit === undefined) return [least, initial, greatest];
  return [Math.min(least, limit), Math.min(initial, limit), limit];
}

async function findSource(run: Run): Promise<KernelSource> {
  if (await run("ss", ["-tnH", "sport = :0"]) !== undefined) return "ss";
  if (await run("cat", ["/proc/net/tcp"]) !== undefined) return "proc";
  return "none";
}

/** Whether sizes can be set: tries to set the current ones. */
async function mayLimitBuffers(run: Run): Promise<boolean> {
  const send = await run("cat", [SEND_SIZES]);
  if (send === undefined) return false;
  const same = `net.ipv4.tcp_wmem=${parseSizes(send).join(" ")}`;
  return await run("sysctl", ["-qw", same]) !== undefined;
}

async function runProgram(
  command: string,
  args: string[],
): Promise<string | undefined> {
  const { state } = await Deno.permissions.query({ name: "run", command });
  if (state !== "granted") return undefined;
  try {
    const { success, stdout } = await new Deno.Command(command, {
      args,
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function parseSizes(text: string): BufferSizes {
  const [least = 0, initial = 0, greatest = 0] = text.trim().split(/\s+/)
    .map(Number);
  return [least, initial, greatest];
}

/** Parses what `ss -tinmaoH` prints: a line a socket, and its details on the next. */
export function parseSs(text: string): SocketFigures[] {
  const sockets: SocketFigures[] = [];
  for (const line of text.split("\n")) {
    const socket = sockets.at(-1);
    if (/^\S/.test(line)) sockets.push(parseSsSocket(line));
    else if (socket !== undefined && line.includes("skmem:")) {
      socket.details = parseSsDetails(line);
    }
  }
  return sockets;
}

function parseSsSocket(line: string): SocketFigures {
  const [state = "", receiveQueue, sendQueue, local = "", remote = ""] = line
    .split(/\s+/);
  return {
    state,
    localPort: portOf(local),
    remotePort: portOf(remote),
    receiveQueue: Number(receiveQueue),
    sendQueue: Number(sendQueue),
    timer: line.match(/timer:\((\w+)/)?.[1],
  };
}

/** The port after the last colon; 0 for `*`, which a listener has for its peer. */
function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1)) || 0;
}

function parseSsDetails(line: string): SocketDetails {
  // ss omits figures that are 0.
  const figure = (pattern: RegExp) => Number(line.match(pattern)?.[1] ?? 0);
  return {
    receiveMemory: figure(/skmem:\(r(\d+)/),
    receiveLimit: figure(/,rb(\d+)/),
    sendLimit: figure(/,tb(\d+)/),
    sendMemory: figure(/,w(\d+)/),
    bytesAcked: figure(/ bytes_acked:(\d+)/),
    bytesReceived: figure(/ bytes_received:(\d+)/),
    notSent: figure(/ notsent:(\d+)/),
    windowLimitedTime: figure(/ rwnd_limited:(\d+)ms/),
  };
}

// In the order of the kernel's numbers, which begin at 1.
const STATES = [
  "ESTAB",
  "SYN-SENT",
  "SYN-RECV",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "CLOSED",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
];
const TIMERS = [undefined, "on", "keepalive", "timewait", "persist"];

/** Parses `/proc/net/tcp`, in which all numbers are hexadecimal. */
export function parseProc(text: string): SocketFigures[] {
  const row =
    /^\s*\d+: \w+:(\w+) \w+:(\w+) (\w+) (\w+):(\w+) (\w+):\w+ \w+ +\d+ +\d+ /gm;
  return [...text.matchAll(row)].map(([, ...digits]) => {
    const [
      localPort = 0,
      remotePort = 0,
      state = 0,
      sendQueue = 0,
      receiveQueue = 0,
      timer = 0,
    ] = digits.map((digit) => parseInt(digit, 16));
    return {
      state: STATES[state - 1] ?? "UNKNOWN",
      localPort,
      remotePort,
      receiveQueue,
      sendQueue,
      timer: TIMERS[timer],
    };
  });
}
