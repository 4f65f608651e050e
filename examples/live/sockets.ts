/**
 * Lesson 1: the bare calls, each made when the page asks for it, and the resulting
 * states of the kernel.
 *
 * @module
 */
import type { Kernel, SocketFigures } from "./kernel.ts";
import { bareLaneSample, type LaneSample } from "./sample.ts";

/** One of the calls that the page can ask for. */
export type CallName =
  | "listen"
  | "connect"
  | "accept"
  | "write"
  | "read"
  | "closeWrite"
  | "close";

/** A call, with its arguments. */
export interface Call {
  name: CallName;
  /** The end that makes the call, such as `client 1`; by default the listener. */
  end?: string | undefined;
  /** The bytes to write. */
  text?: string | undefined;
  /** How often they are repeated, in one write. */
  times?: number | undefined;
  /** The maximum bytes to read. */
  bytes?: number | undefined;
}

/** The result of a call. */
export interface CallResult {
  /** Its value, as the page shows it. */
  value: string;
  isError: boolean;
  /** How long it took, in milliseconds. */
  time: number;
}

/** A socket on the page. */
export interface SocketRow {
  /** `listener`, `client 1`, or `server 1`: the end that belongs to client 1. */
  name: string;
  /** The kernel's state, or `open` and `closed` if the kernel reports none. */
  state: string;
  port: number;
  receiveQueue: number | undefined;
  sendQueue: number | undefined;
  /**
   * Whether a program has it. The kernel keeps others that are not accepted yet, or
   * already closed.
   */
  isHeld: boolean;
  /** The calls that have not returned yet. */
  waiting: CallName[];
}

/** Everything that the page shows in lesson 1. */
export interface SocketsState {
  port: number;
  rows: SocketRow[];
  /** The end that wrote last, or will write first; the lane shows its direction. */
  writer: string | undefined;
  lane: LaneSample;
  /** Where the bytes of that lane wait, as in lesson 2. */
  senderAt: string;
}

const MAX_CLIENTS = 6;
/** Of longer reads the page shows only the length. */
const MAX_SHOWN_BYTES = 64;

/** The calls themselves, bare. */
interface Calls {
  listen(port: number): Deno.TcpListener;
  connect(port: number, signal: AbortSignal): Promise<Deno.TcpConn>;
  accept(listener: Deno.TcpListener): Promise<Deno.TcpConn>;
  write(conn: Deno.Conn, bytes: Uint8Array): Promise<number>;
  read(conn: Deno.Conn, buffer: Uint8Array): Promise<number | null>;
  closeWrite(conn: Deno.Conn): Promise<void>;
  close(socket: Deno.Conn | Deno.Listener): void;
}

const hostname = "127.0.0.1";

const CALLS: Calls = {
  // shown: sockets
  listen: (port) => Deno.listen({ hostname, port, tcpBacklog: 2 }),
  connect: (port, signal) => Deno.connect({ hostname, port, signal }),
  accept: (listener) => listener.accept(),
  write: (conn, bytes) => conn.write(bytes),
  read: (conn, buffer) => conn.read(buffer),
  closeWrite: (conn) => conn.closeWrite(),
  close: (socket) => socket.close(),
  // end
};

/** One end of a connection that a program has or had. */
class End {
  readonly name: string;
  readonly conn: Deno.TcpConn;
  /** The port of the client, which identifies both ends. */
  readonly clientPort: number;
  readonly waiting = new Set<CallName>();
  isHeld = true;
  written = 0;
  beingWritten = 0;
  read = 0;

  constructor(name: string, conn: Deno.TcpConn, clientPort: number) {
    this.name = name;
    this.conn = conn;
    this.clientPort = clientPort;
  }

  async write(bytes: Uint8Array): Promise<string> {
    this.beingWritten = bytes.length;
    try {
      const count = await CALLS.write(this.conn, bytes);
      this.written += count;
      return String(count);
    } finally {
      this.beingWritten = 0;
    }
  }

  async readAtMost(bytes: number): Promise<string> {
    const buffer = new Uint8Array(bytes);
    const count = await CALLS.read(this.conn, buffer);
    if (count === null) return "null";
    this.read += count;
    if (count > MAX_SHOWN_BYTES) return String(count);
    const text = new TextDecoder().decode(buffer.subarray(0, count));
    return `${count}: ${JSON.stringify(text)}`;
  }

  close(): void {
    if (this.isHeld) CALLS.close(this.conn);
    this.isHeld = false;
  }
}

/** The sockets of one page. */
export class Sockets implements Disposable {
  readonly #kernel: Kernel;
  readonly #port = freePort();
  readonly #ends = new Map<string, End>();
  readonly #listenerWaiting = new Set<CallName>();
  /** Aborts a pending connect. */
  readonly #closed = new AbortController();
  #listener: Deno.TcpListener | undefined;
  #clients = 0;
  #lastWriter: End | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Makes one call; settles with it. */
  async call(call: Call): Promise<CallResult> {
    const waiting = this.#end(call)?.waiting ?? this.#listenerWaiting;
    const startedAt = performance.now();
    waiting.add(call.name);
    try {
      const value = await this.#do(call);
      return { value, isError: false, time: performance.now() - startedAt };
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const value = `${error.name}: ${error.message}`;
      return { value, isError: true, time: performance.now() - startedAt };
    } finally {
      waiting.delete(call.name);
    }
  }

  async #do(call: Call): Promise<string> {
    switch (call.name) {
      case "listen":
        this.#listener ??= CALLS.listen(this.#port);
        return `127.0.0.1:${this.#port}`;
      case "connect":
        return await this.#connect();
      case "accept":
        return await this.#accept();
      case "close":
        return this.#close(call);
    }
    const end = this.#heldEnd(call);
    switch (call.name) {
      case "write": {
        const { text = "", times = 1 } = call;
        this.#lastWriter = end;
        return await end.write(new TextEncoder().encode(text.repeat(times)));
      }
      case "read":
        return await end.readAtMost(call.bytes ?? 1024);
      case "closeWrite":
        await CALLS.closeWrite(end.conn);
        return "";
    }
  }

  async #connect(): Promise<string> {
    if (this.#clients >= MAX_CLIENTS) {
      throw new RangeError(`Cannot connect more than ${MAX_CLIENTS} clients`);
    }
    const number = ++this.#clients;
    try {
      const conn = await CALLS.connect(this.#port, this.#closed.signal);
      const { port } = conn.localAddr;
      this.#ends.set(
        `client ${number}`,
        new End(`client ${number}`, conn, port),
      );
      return `127.0.0.1:${port}`;
    } catch (error) {
      this.#clients--;
      throw error;
    }
  }

  async #accept(): Promise<string> {
    if (this.#listener === undefined) throw new Error("Nothing listens");
    const conn = await CALLS.accept(this.#listener);
    const { port } = conn.remoteAddr;
    const client = [...this.#ends.values()].find(({ clientPort }) =>
      clientPort === port
    );
    const name = `server ${client?.name.replace("client ", "") ?? "?"}`;
    this.#ends.set(name, new End(name, conn, port));
    return `127.0.0.1:${port}`;
  }

  #close(call: Call): string {
    if (call.end === undefined) {
      if (this.#listener !== undefined) CALLS.close(this.#listener);
      this.#listener = undefined;
    } else {
      this.#heldEnd(call).close();
    }
    return "";
  }

  #end({ end }: Call): End | undefined {
    return end === undefined ? undefined : this.#ends.get(end);
  }

  #heldEnd(call: Call): End {
    const end = this.#end(call);
    if (end === undefined || !end.isHeld) {
      throw new Error(`${call.end} is not open`);
    }
    return end;
  }

  /** The kernel's state of the sockets. */
  async state(): Promise<SocketsState> {
    const sockets = await this.#kernel.sockets(this.#port);
    const writer = this.#lastWriter ?? this.#ends.get("client 1");
    return {
      port: this.#port,
      rows: this.#rows(sockets),
      writer: writer?.name,
      senderAt: writer?.beingWritten ? "write" : "running",
      lane: this.#lane(writer, sockets),
    };
  }

  #rows(sockets: SocketFigures[]): SocketRow[] {
    const listening = sockets.find(({ state }) => state === "LISTEN");
    const listener = row("listener", {
      socket: listening,
      isHeld: this.#listener !== undefined,
      isAsked: this.#kernel.source !== "none",
      port: this.#port,
      waiting: this.#listenerWaiting,
    });
    const clientPorts = new Set([
      ...[...this.#ends.values()].map(({ clientPort }) => clientPort),
      // Of the others, only a pending connect: old sockets on the port are not ours.
      ...sockets.filter(({ state }) => state === "SYN-SENT")
        .map(({ localPort }) => localPort),
    ]);
    return [
      listener,
      ...[...clientPorts].flatMap((port) => this.#pair(port, sockets)),
    ].filter((row) => row !== undefined);
  }

  /** Both ends of one connection. */
  #pair(
    clientPort: number,
    sockets: SocketFigures[],
  ): (SocketRow | undefined)[] {
    const ends = [...this.#ends.values()]
      .filter((end) => end.clientPort === clientPort);
    const number = ends[0]?.name.replace(/\D+/, "") ?? "?";
    return ["client", "server"].map((side) => {
      const name = `${side} ${number}`;
      const end = ends.find((end) => end.name === name);
      const port = side === "client" ? clientPort : this.#port;
      return row(name, {
        socket: sockets.find(({ localPort, remotePort }) =>
          localPort === port &&
          (localPort === clientPort || remotePort === clientPort)
        ),
        isHeld: end?.isHeld ?? false,
        isAsked: this.#kernel.source !== "none",
        port,
        waiting: end?.waiting ?? new Set(),
      });
    });
  }

  #lane(writer: End | undefined, sockets: SocketFigures[]): LaneSample {
    const { written = 0, beingWritten = 0, clientPort } = writer ?? {};
    const reader = [...this.#ends.values()].find((end) =>
      end.clientPort === clientPort && end !== writer
    );
    const writesToServer = writer?.name.startsWith("client") ?? true;
    const near = sockets.find(({ localPort, remotePort }) =>
      (writesToServer ? localPort : remotePort) === clientPort
    );
    const far = sockets.find(({ localPort, remotePort }) =>
      (writesToServer ? remotePort : localPort) === clientPort
    );
    return bareLaneSample({
      written,
      beingWritten,
      taken: reader?.read ?? 0,
      isReading: reader?.waiting.has("read") ?? false,
      near,
      far,
      isKernelKnown: this.#kernel.source !== "none",
    });
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    if (this.#listener !== undefined) CALLS.close(this.#listener);
    this.#listener = undefined;
    for (const end of this.#ends.values()) end.close();
  }
}

/** A row for a socket that a program has or that the kernel reports. */
function row(
  name: string,
  { socket, isHeld, isAsked, port, waiting }: {
    socket: SocketFigures | undefined;
    isHeld: boolean;
    isAsked: boolean;
    port: number;
    waiting: Set<CallName>;
  },
): SocketRow | undefined {
  if (socket === undefined && !isHeld) return undefined;
  return {
    name,
    // If the kernel no longer reports it, it was reset.
    state: socket?.state ?? (isAsked ? "CLOSED" : "open"),
    port,
    receiveQueue: socket?.receiveQueue,
    sendQueue: socket?.sendQueue,
    isHeld,
    waiting: [...waiting],
  };
}

/** A port that is free now, and that the page can name before anything listens on it. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
