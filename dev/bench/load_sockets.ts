/** The sockets of the far side: blocking sockets of libc, without an event loop. */

const AF_INET = 2;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SHUT_WR = 1;
const POLLIN = 1;

/** The longest wait: the process then ends by itself. */
const TIMEOUT_SECONDS = 30;

const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  accept: { parameters: ["i32", "pointer", "pointer"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: {
    parameters: ["i32", "i32", "i32", "buffer", "u32"],
    result: "i32",
  },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

export type Bytes = Uint8Array<ArrayBuffer>;

/** The operations that the far side needs, over TCP or TLS. */
export interface Socket {
  readonly descriptor: number;
  /** Sends some of the bytes, and returns how many. */
  write(bytes: Bytes): number;
  /** Fills a part of the buffer, and returns its length; 0 at the end. */
  read(buffer: Bytes): number;
  /** Ends this side; the peer may continue. */
  end(): void;
  close(): void;
}

/** The result of a call; throws if it is negative. */
export function check(result: number, call: string): number {
  if (result < 0) throw new Error(`Cannot ${call}: libc returned ${result}`);
  return result;
}

/** Sends all of the bytes. */
export function sendAll(socket: Socket, bytes: Bytes): void {
  for (let sent = 0; sent < bytes.length;) {
    sent += socket.write(sent === 0 ? bytes : bytes.subarray(sent));
  }
}

function loopbackAddress(port: number): Bytes {
  const address = new DataView(new ArrayBuffer(16));
  address.setUint16(0, AF_INET, true);
  address.setUint16(2, port);
  address.setUint32(4, 0x7f_00_00_01);
  return new Uint8Array(address.buffer);
}

function configure(descriptor: number): number {
  const timeout = new Uint8Array(
    new BigInt64Array([BigInt(TIMEOUT_SECONDS), 0n]).buffer,
  );
  for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
    libc.setsockopt(descriptor, SOL_SOCKET, option, timeout, timeout.length);
  }
  const yes = new Uint8Array([1, 0, 0, 0]);
  libc.setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, yes, yes.length);
  return descriptor;
}

class TcpSocket implements Socket {
  readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = configure(descriptor);
  }

  write(bytes: Bytes): number {
    const length = BigInt(bytes.length);
    return check(Number(libc.send(this.descriptor, bytes, length, 0)), "send");
  }

  read(buffer: Bytes): number {
    const length = BigInt(buffer.length);
    return check(
      Number(libc.recv(this.descriptor, buffer, length, 0)),
      "receive",
    );
  }

  end(): void {
    libc.shutdown(this.descriptor, SHUT_WR);
  }

  close(): void {
    libc.close(this.descriptor);
  }
}

function openSocket(): number {
  return check(libc.socket(AF_INET, SOCK_STREAM, 0), "open a socket");
}

/** Listens on a port that the system chooses. */
export function listenOnLoopback(): { port: number; accept: () => Socket } {
  const listener = configure(openSocket());
  const address = loopbackAddress(0);
  check(libc.bind(listener, address, address.length), "bind");
  check(libc.listen(listener, 16), "listen");
  libc.getsockname(
    listener,
    address,
    new Uint8Array([address.length, 0, 0, 0]),
  );
  return {
    port: new DataView(address.buffer).getUint16(2),
    accept: () =>
      new TcpSocket(check(libc.accept(listener, null, null), "accept")),
  };
}

/** Connects to a port of this machine. */
export function connect(port: number): Socket {
  const socket = openSocket();
  const address = loopbackAddress(port);
  check(libc.connect(socket, address, address.length), "connect");
  return new TcpSocket(socket);
}

/** Polls many sockets, each until it is removed. */
export class Poll {
  // struct pollfd: the socket, the events asked for, the events that came.
  readonly #entries: DataView<ArrayBuffer>;
  readonly #bytes: Bytes;
  readonly #count: number;

  constructor(sockets: readonly Socket[]) {
    this.#count = sockets.length;
    this.#entries = new DataView(new ArrayBuffer(8 * sockets.length));
    this.#bytes = new Uint8Array(this.#entries.buffer);
    sockets.forEach(({ descriptor }, index) => {
      this.#entries.setInt32(8 * index, descriptor, true);
      this.#entries.setInt16(8 * index + 4, POLLIN, true);
    });
  }

  wait(): void {
    const timeout = TIMEOUT_SECONDS * 1000;
    if (libc.poll(this.#bytes, BigInt(this.#count), timeout) <= 0) {
      throw new Error("The subject did not answer in time");
    }
  }

  isReadable(index: number): boolean {
    return this.#entries.getInt16(8 * index + 6, true) !== 0;
  }

  leaveOut(index: number): void {
    this.#entries.setInt32(8 * index, -1, true); // poll() skips it
  }
}
