import { concat } from "@std/bytes/concat";
import type { Socket } from "node:net";
import process from "node:process";
import type { TLSSocket } from "node:tls";
import { toSystemError } from "./_errors.ts";
import type { NetAddress, UnixAddress } from "./addresses.ts";
import type { Transport } from "../connection/transport.ts";
import { copyInto, NO_BYTES } from "../internal/copy_into.ts";
import { nextTurn } from "../internal/event_loop.ts";
import { rejected } from "../internal/promises.ts";
import { codeOf, systemError } from "../internal/system_error.ts";

// A larger write goes out in parts, so that its progress is visible: Node reports a write
// only when all of it was taken.
const MAX_WRITE_BYTES = 64 * 1024;

interface Reading {
  readonly buffer: Uint8Array;
  readonly deferred: PromiseWithResolvers<number | null>;
}

/** The addresses of a socket, which a closed socket no longer has. */
export interface Addresses {
  readonly localAddr: NetAddress | UnixAddress;
  /** `undefined` if a TCP peer was gone before the socket was asked for it. */
  readonly remoteAddr: NetAddress | UnixAddress | undefined;
}

/**
 * A socket of `node:net` or `node:tls` as a transport.
 *
 * The socket flows while it is read, and is paused when a chunk arrives without a pending
 * read. A reader that keeps up causes no pause. A slower one has one chunk waiting here,
 * in addition to the socket's own buffer.
 */
export class SocketTransport implements Transport {
  readonly localAddr: NetAddress | UnixAddress;
  readonly remoteAddr: NetAddress | UnixAddress | undefined;
  protected readonly socket: Socket;
  /** The rest of the last chunk. */
  #rest: Uint8Array = NO_BYTES;
  #reading: Reading | undefined;
  /** The pending write, or the pending end of this side. */
  #writing: PromiseWithResolvers<void> | undefined;
  /** How many writes were taken immediately, and whose callbacks are still to come. */
  #uncalled = 0;
  #hasPeerEnded = false;
  #sentEnd: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isClosed = false;
  #mayKeepAlive = true;
  #keepsAlive = true;

  /** Takes over a connected socket. */
  constructor(socket: Socket, { localAddr, remoteAddr }: Addresses) {
    this.socket = socket;
    this.localAddr = localAddr;
    this.remoteAddr = remoteAddr;
    socket.allowHalfOpen = true;
    // Its first owner may have read it to the end.
    this.#hasPeerEnded = socket.readableEnded;
    if (socket.writableEnded) this.#sentEnd = Promise.resolve();
    // In Bun a peer may reset a socket that waits to be served; it emits no event later.
    if (socket.destroyed) {
      this.#fail(() => toSystemError(socket.errored ?? wasClosed()));
    }
    socket.pause(); // before adding the listener, which would let it flow
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    this.#updateRef();
  }

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#isClosed) return rejected(isClosed());
    if (this.#rest.length > 0) return Promise.resolve(this.#takeRest(buffer));
    if (this.#hasPeerEnded) return Promise.resolve(null);
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    const deferred = Promise.withResolvers<number | null>();
    this.#reading = { buffer, deferred };
    this.#updateRef();
    if (this.socket.isPaused()) this.socket.resume();
    return deferred.promise;
  }

  write(bytes: Uint8Array): Promise<number> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return rejected(refusal);
    const part = bytes.subarray(0, MAX_WRITE_BYTES);
    this.socket.write(part, this.#onWritten);
    // Usually there is room, which the socket knows long before its callback.
    if (this.socket.writableLength === 0 && this.socket.errored === null) {
      this.#uncalled++;
      return Promise.resolve(part.length);
    }
    return this.#waitForWrite().then(() => part.length);
  }

  closeWrite(): Promise<void> {
    if (this.#sentEnd === undefined) {
      const refusal = this.#refusal();
      if (refusal !== undefined) return rejected(refusal);
      this.#sentEnd = this.#waitForWrite();
      // If Node ends TLS while it hands out the bytes of a read, it loses those that it
      // has not handed out yet. So the end waits until the read is over.
      if (isTls(this.socket)) nextTurn().then(() => this.#end());
      else this.#end();
    }
    return this.#sentEnd;
  }

  #end(): void {
    if (this.#isClosed) return;
    this.socket.end((error?: Error | null) => this.#settleWrite(error));
  }

  close(): void {
    this.settleAll();
    this.socket.destroy();
  }

  ref(): void {
    this.#mayKeepAlive = true;
    this.#updateRef();
  }

  unref(): void {
    this.#mayKeepAlive = false;
    this.#updateRef();
  }

  /** Rejects pending and later calls. */
  protected settleAll(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rest = NO_BYTES;
    this.#rejectAll(() =>
      systemError("Interrupted", "The transport was closed")
    );
  }

  #rejectAll(makeError: () => unknown): void {
    const [reading, writing] = [this.#reading, this.#writing];
    this.#reading = this.#writing = undefined;
    // Usually nothing is pending, and making an error takes 2 µs.
    if (reading === undefined && writing === undefined) return;
    const error = makeError();
    reading?.deferred.reject(error);
    writing?.reject(error);
  }

  /** Why nothing can be written. */
  #refusal(): unknown {
    if (this.#isClosed) return isClosed();
    if (this.#failure !== undefined) return this.#failure.error;
    return this.#sentEnd !== undefined
      ? systemError("BrokenPipe", "This side of the transport has ended")
      : undefined;
  }

  #waitForWrite(): Promise<void> {
    this.#writing = Promise.withResolvers();
    this.#updateRef();
    return this.#writing.promise;
  }

  #settleWrite(error: Error | null | undefined): void {
    const writing = this.#writing;
    this.#writing = undefined;
    this.#updateRef();
    if (error) writing?.reject(toSystemError(error));
    else writing?.resolve();
  }

  /** Settles the pending read. */
  #settleRead(length: number | null): void {
    const reading = this.#reading;
    this.#reading = undefined;
    this.#updateRef();
    reading?.deferred.resolve(length);
  }

  /** Moves as much of the rest as fits into `buffer`. */
  #takeRest(buffer: Uint8Array): number {
    const { length } = this.#rest;
    this.#rest = copyInto(buffer, this.#rest);
    return length - this.#rest.length;
  }

  /** A pending call keeps the process alive; reads may be unrefed, as in Deno. */
  #updateRef(): void {
    const keepsAlive = this.#writing !== undefined ||
      this.#mayKeepAlive && this.#reading !== undefined;
    if (keepsAlive === this.#keepsAlive) return;
    this.#keepsAlive = keepsAlive;
    if (keepsAlive) this.socket.ref();
    else this.socket.unref();
  }

  /** Takes bytes from a buffer that the socket will reuse. */
  takeBorrowed(bytes: Uint8Array): void {
    const rest = this.#give(bytes);
    if (rest.length > 0) this.#keep(rest.slice());
  }

  readonly #onData = (chunk: Uint8Array): void => {
    const rest = this.#give(chunk);
    if (rest.length > 0) this.#keep(rest);
  };

  /** Gives the pending read as much of `chunk` as fits, and returns the rest. */
  #give(chunk: Uint8Array): Uint8Array {
    const reading = this.#reading;
    if (reading === undefined) return chunk;
    const rest = copyInto(reading.buffer, chunk);
    this.#settleRead(chunk.length - rest.length);
    return rest;
  }

  /** Keeps bytes that no read has taken yet, and pauses. */
  #keep(bytes: Uint8Array): void {
    // Nothing comes after a pause, but a TLS record may hold more than one chunk.
    this.#rest = this.#rest.length === 0 ? bytes : concat([this.#rest, bytes]);
    this.socket.pause();
  }

  readonly #onEnd = (): void => {
    if (!this.mayHideReset) return this.#endReading();
    // A write of no bytes sends nothing, and fails if the connection was reset.
    this.socket.write(NO_BYTES, (error) => {
      if (error && codeOf(error) === "ECONNRESET") return; // `#onError` is called
      this.#endReading();
    });
  };

  #endReading(): void {
    this.#hasPeerEnded = true;
    this.#settleRead(null);
  }

  /** Whether a peer's end that the socket reports may have been a reset. */
  protected get mayHideReset(): boolean {
    return false;
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (this.#uncalled > 0) this.#uncalled--;
    else this.#settleWrite(error);
  };

  readonly #onError = (error: Error): void => {
    this.#fail(() => toSystemError(error));
  };

  readonly #onClose = (): void => {
    this.#fail(wasClosed);
  };

  #fail(makeError: () => unknown): void {
    if (this.#isClosed) return;
    const { error } = this.#failure ??= { error: makeError() };
    this.#rejectAll(() => error);
  }
}

/** A TCP socket, with or without TLS. */
export class NetworkTransport extends SocketTransport {
  readonly #keepAliveInitialDelay: number;

  constructor(
    socket: Socket,
    addresses: Addresses,
    keepAliveInitialDelay: number,
  ) {
    super(socket, addresses);
    this.#keepAliveInitialDelay = keepAliveInitialDelay;
  }

  setNoDelay(noDelay = true): void {
    this.socket.setNoDelay(noDelay);
  }

  setKeepAlive(keepAlive = true): void {
    this.socket.setKeepAlive(keepAlive, this.#keepAliveInitialDelay);
  }
}

/** A TLS socket over TCP. */
export class TlsTransport extends NetworkTransport {
  get alpnProtocol(): string | null {
    return alpnProtocolOf(this.socket);
  }
}

/** A TLS socket over anything else, such as a Unix socket. */
export class TlsOverStreamTransport extends SocketTransport {
  get alpnProtocol(): string | null {
    return alpnProtocolOf(this.socket);
  }
}

/** A TCP socket without TLS, which can be reset. */
export class TcpTransport extends NetworkTransport {
  /** Only if no writes are pending, for which the end would wait too. */
  protected override get mayHideReset(): boolean {
    const { writableEnded, writableLength } = this.socket;
    return hidesResets() && !writableEnded && writableLength === 0;
  }

  reset(): void {
    this.settleAll();
    // The system refuses to reset a socket that is closing its side, and Node would then
    // leave it open.
    const isEnding = this.socket.writableEnded && !this.socket.writableFinished;
    if (isEnding) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }
}

/** A transport of the right kind for a connected socket. */
export function transportOf(
  socket: Socket,
  addresses: Addresses,
  keepAliveInitialDelay = 0,
): SocketTransport {
  if (addresses.localAddr.transport === "unix") {
    return isTls(socket)
      ? new TlsOverStreamTransport(socket, addresses)
      : new SocketTransport(socket, addresses);
  }
  return isTls(socket)
    ? new TlsTransport(socket, addresses, keepAliveInitialDelay)
    : new TcpTransport(socket, addresses, keepAliveInitialDelay);
}

/** Whether it is a socket of `node:tls`. */
export function isTls(socket: Socket): socket is TLSSocket {
  return "encrypted" in socket;
}

/** Read each time: the owner may pass a socket whose handshake is not done. */
function alpnProtocolOf(socket: Socket): string | null {
  return isTls(socket) && socket.alpnProtocol || null;
}

/** The addresses that a connected socket reports. */
export function addressesOf(socket: Socket): Addresses {
  // After a reset, which the socket may not have noticed yet, the system no longer has
  // the peer's address. A Unix socket has neither.
  const localAddr = addressOf(socket.localAddress, socket.localPort);
  return localAddr === undefined
    ? { localAddr: namelessUnix(), remoteAddr: namelessUnix() }
    : {
      localAddr,
      remoteAddr: addressOf(socket.remoteAddress, socket.remotePort),
    };
}

/** An address in Deno's format; only TCP sockets have one. */
function addressOf(
  hostname: string | undefined,
  port: number | undefined,
): NetAddress | undefined {
  return hostname === undefined || port === undefined
    ? undefined
    : { transport: "tcp", hostname, port };
}

function namelessUnix(): UnixAddress {
  return { transport: "unix", path: null };
}

/**
 * Whether this runtime takes a reset that arrives together with bytes for an end, like
 * Node before libuv 1.52: https://github.com/libuv/libuv/pull/4997
 */
function hidesResets(): boolean {
  const { bun, deno, uv } = process.versions;
  const [major = 0, minor = 0] = uv.split(".").map(Number);
  return bun === undefined && deno === undefined && major === 1 && minor < 52;
}

function wasClosed(): Error {
  return systemError("ConnectionAborted", "The socket was closed");
}

function isClosed(): Error {
  return systemError("BadResource", "The transport is closed");
}
