import type { Server, Socket } from "node:net";
import { createSecureContext, Server as TlsServer, TLSSocket } from "node:tls";
import { toHandshakeError, toSystemError } from "./_errors.ts";
import {
  type Addresses,
  addressesOf,
  type SocketTransport,
  transportOf,
} from "./_socket_transport.ts";
import type { NetAddress, UnixAddress } from "./addresses.ts";
import type { ServeTlsOptions } from "./options.ts";
import type { Address, Transport } from "../connection/transport.ts";
import { isTlsTransport, shakeHands } from "../internal/handshake.ts";
import { rejected } from "../internal/promises.ts";
import { Queue } from "../internal/queue.ts";
import type { IncomingConnection, Listener } from "../internal/serving.ts";
import { systemError } from "../internal/system_error.ts";
import { endByTlsErrors } from "../internal/tls_errors.ts";
import type { ServeListener } from "../server/serve_listener.ts";

/** How many connections wait by default. */
export const DEFAULT_BACKLOG = 511;

/** An accepted connection. */
export interface Incoming<A> extends IncomingConnection {
  readonly remoteAddr: A;
  /** Settles when the handshake is done, if there is one. */
  handshake(): Promise<unknown> | undefined;
  /** Its transport; called after the handshake. */
  transport(): Transport;
}

/** Options for accepting the sockets of a server. */
export interface AcceptingOptions<A> {
  readonly addr: A;
  readonly backlog?: number | undefined;
  readonly tls?: HandshakeOptions | undefined;
  readonly keepAliveInitialDelay?: number | undefined;
}

/** The server's side of a TLS handshake. */
type HandshakeOptions = ConstructorParameters<typeof TLSSocket>[1];

/** Reads the certificate and the key; throws if they are unreadable. */
export function handshakeOptions(
  { cert, key, alpnProtocols }: ServeTlsOptions,
): HandshakeOptions {
  try {
    return {
      isServer: true,
      secureContext: createSecureContext({ cert, key }),
      ...(alpnProtocols && { ALPNProtocols: [...alpnProtocols] }),
    };
  } catch (error) {
    throw toSystemError(error, {
      task: "serve TLS with this certificate and key",
      otherwise: "InvalidData",
    });
  }
}

/**
 * Takes connections from a `net.Server`, which accepts every connection: until the
 * server asks for them, they wait here unread.
 */
export class SocketListener<
  P extends NetAddress | UnixAddress,
  A extends P = P,
> implements Listener<Incoming<P>, A> {
  readonly addr: A;
  readonly #server: Server;
  readonly #options: AcceptingOptions<P>;
  readonly #waiting = new Queue<AcceptedSocket<P>>();
  #accepting: PromiseWithResolvers<Incoming<P>> | undefined;
  #isClosed = false;

  constructor(
    server: Server,
    options: AcceptingOptions<P> & { readonly addr: A },
  ) {
    this.#server = server;
    this.#options = options;
    this.addr = options.addr;
    // A node:tls server reads its connections itself until their handshake is done.
    const isTls = server instanceof TlsServer;
    server.on(isTls ? "secureConnection" : "connection", this.#onConnection);
    server.on("error", this.#onError);
    server.once("close", () => this.#end());
  }

  accept(): Promise<Incoming<P>> {
    if (this.#waiting.length > 0) return Promise.resolve(this.#waiting.shift());
    this.#accepting = Promise.withResolvers();
    if (this.#isClosed) this.#end();
    return this.#accepting.promise;
  }

  close(): void {
    this.#server.close();
    this.#end();
    if (this.#waiting.length === 0) return;
    for (const accepted of this.#waiting.takeAll()) accepted.close();
  }

  ref(): void {
    this.#server.ref();
  }

  unref(): void {
    this.#server.unref();
  }

  #end(): void {
    this.#isClosed = true;
    this.#accepting?.reject(
      systemError("BadResource", "The server does not listen any more"),
    );
  }

  readonly #onConnection = (socket: Socket): void => {
    socket.pause();
    const { addr, backlog = DEFAULT_BACKLOG } = this.#options;
    const { localAddr, remoteAddr } = addressesOf(socket);
    // A peer that is already gone has no address.
    const isThere = isOfSameKind(addr, remoteAddr);
    // With a server of node:tls, a peer may shake hands after the end.
    if (!isThere || this.#isClosed || this.#waiting.length >= backlog) {
      socket.destroy();
      return;
    }
    const accepted = new AcceptedSocket(
      socket,
      // Only the server knows the path of a Unix socket.
      { localAddr: addr.transport === "unix" ? addr : localAddr, remoteAddr },
      this.#options,
    );
    const accepting = this.#accepting;
    this.#accepting = undefined;
    if (accepting === undefined) this.#waiting.push(accepted);
    else accepting.resolve(accepted);
  };

  /** Such as "too many open files". */
  readonly #onError = (error: Error): void => {
    const accepting = this.#accepting;
    // Otherwise the next connection would go to a failed call, and be lost.
    this.#accepting = undefined;
    accepting?.reject(toSystemError(error, { task: "accept connection" }));
  };
}

/** Whether the address of a peer has the same kind as its server's. */
function isOfSameKind<A extends NetAddress | UnixAddress>(
  addr: A,
  remoteAddr: NetAddress | UnixAddress | undefined,
): remoteAddr is A {
  return addr.transport === remoteAddr?.transport;
}

/** An accepted socket that is not served yet. */
class AcceptedSocket<A extends NetAddress | UnixAddress>
  implements Incoming<A> {
  readonly #addresses: Addresses & { readonly remoteAddr: A };
  readonly #options: AcceptingOptions<A>;
  readonly #accepted: Socket;
  // The same, or TLS over it.
  #socket: Socket;
  #transport: SocketTransport | undefined;

  constructor(
    socket: Socket,
    // Taken when it was accepted: a peer may be gone before it is served.
    addresses: Addresses & { readonly remoteAddr: A },
    options: AcceptingOptions<A>,
  ) {
    this.#accepted = this.#socket = socket;
    this.#addresses = addresses;
    this.#options = options;
    // Otherwise an error of a socket without a listener would end the process.
    socket.on("error", () => {});
  }

  get remoteAddr(): A {
    return this.#addresses.remoteAddr;
  }

  handshake(): Promise<void> | undefined {
    const { tls } = this.#options;
    if (tls === undefined) return undefined;
    // In Bun a peer may reset a waiting socket, and TLS over it does not report that.
    const { destroyed, errored } = this.#accepted;
    if (destroyed) return rejected(toHandshakeError(errored ?? hasEnded()));
    const socket = new TLSSocket(this.#accepted, tls);
    endByTlsErrors(socket);
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      const end = () => reject(hasEnded());
      socket.on("error", (error) => reject(toHandshakeError(error)));
      socket.once("end", end);
      socket.once("close", end);
      const handshake: NodeJS.EventEmitter = socket;
      handshake.once("secure", resolve);
    });
  }

  transport(): Transport {
    return this.#transport = transportOf(
      this.#socket,
      this.#addresses,
      this.#options.keepAliveInitialDelay,
    );
  }

  close(): void {
    this.#socket.destroy();
  }

  ref(): void {
    if (this.#transport !== undefined) return this.#transport.ref();
    this.#accepted.ref();
    this.#socket.ref();
  }

  unref(): void {
    if (this.#transport !== undefined) return this.#transport.unref();
    // Bun ignores unref() on a new TLSSocket, but not on the socket below.
    this.#accepted.unref();
    this.#socket.unref();
  }
}

function hasEnded(): Error {
  return systemError("UnexpectedEof", "the peer has ended the connection");
}

/** Takes connections from the caller's listener. */
export function acceptFrom<A extends Address>(
  listener: ServeListener<A>,
): Listener<Incoming<Address | undefined>, A> {
  return {
    addr: listener.addr,
    async accept() {
      const transport = await listener.accept();
      return {
        remoteAddr: transport.remoteAddr,
        handshake: () =>
          isTlsTransport(transport) ? shakeHands(transport) : undefined,
        transport: () => transport,
        close: () => transport.close(),
        ref: () => transport.ref?.(),
        unref: () => transport.unref?.(),
      };
    },
    close: () => listener.close(),
    ref: () => listener.ref?.(),
    unref() {
      if (typeof listener.unref !== "function") {
        throw systemError(
          "NotSupported",
          "Cannot unref server as its listener has no method unref",
        );
      }
      listener.unref();
    },
  };
}
