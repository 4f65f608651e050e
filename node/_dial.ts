import {
  connect as connectSocket,
  type IpcNetConnectOpts,
  isIP,
  type Socket,
  type TcpNetConnectOpts,
} from "node:net";
import process from "node:process";
import * as tls from "node:tls";
import { refuseWorkers, toHandshakeError, toSystemError } from "./_errors.ts";
import {
  type Addresses,
  addressesOf,
  type SocketTransport,
  transportOf,
} from "./_socket_transport.ts";
import type { NetAddress } from "./addresses.ts";
import type { ConnectOptions, ConnectTcpOptions } from "./options.ts";
import type { ConnectTlsOptions } from "../client/options.ts";
import { isUnix } from "../internal/checks.ts";
import {
  DEFAULT_CONNECT_HOSTNAME,
  nameOfTarget,
  tlsOptionsOf,
} from "../internal/connecting.ts";
import { certifiedName, withoutBrackets } from "../internal/host_and_port.ts";
import { systemError } from "../internal/system_error.ts";
import { endByTlsErrors } from "../internal/tls_errors.ts";

/** Opens the connection, including the handshake; gives up when `signal` aborts. */
export async function dial<In, Out>(
  options: ConnectOptions<In, Out>,
  signal: AbortSignal,
): Promise<SocketTransport> {
  const task = `connect to ${nameOfTarget(options)}`;
  refuseWorkers(task);
  if (isUnix(options)) {
    const { path } = options;
    const address: IpcNetConnectOpts = { path, allowHalfOpen: true };
    const connecting = startConnecting(address);
    await opened(connecting.socket, "connect", task, signal);
    return connecting.transport({
      localAddr: { transport: "unix", path: null },
      remoteAddr: { transport: "unix", path },
    });
  }
  const { keepAliveInitialDelay } = options;
  const address = addressFor(options);
  const tlsOptions = tlsOptionsOf(options);
  if (tlsOptions !== undefined) {
    const { hostname = DEFAULT_CONNECT_HOSTNAME } = options;
    const socket = startConnectingTls(
      () => ({ ...address, ...optionsForTls(hostname, tlsOptions) }),
      task,
    );
    const addresses = await opened(socket, "secureConnect", task, signal);
    return transportOf(socket, addresses, keepAliveInitialDelay);
  }
  const connecting = startConnecting(address);
  const { socket } = connecting;
  const addresses = await opened(socket, "connect", task, signal);
  if (isConnectedToItself(socket)) {
    socket.destroy();
    throw connectedToItself(task);
  }
  return connecting.transport(addresses, keepAliveInitialDelay);
}

/** A connecting socket; it is read only after `transport` is called. */
interface Connecting {
  readonly socket: Socket;
  /** Makes the transport, once connected. */
  transport(
    addresses: Addresses,
    keepAliveInitialDelay?: number,
  ): SocketTransport;
}

function startConnecting(
  address: TcpNetConnectOpts | IpcNetConnectOpts,
): Connecting {
  let transport: SocketTransport | undefined;
  const onread = readingIntoOne((bytes) => transport?.takeBorrowed(bytes));
  const socket = connectSocket({ ...address, ...onread }).pause();
  return {
    socket,
    transport(addresses, keepAliveInitialDelay) {
      transport = transportOf(socket, addresses, keepAliveInitialDelay);
      return transport;
    },
  };
}

/** Throws if the certificates or the key are unreadable. */
function startConnectingTls(
  options: () => tls.ConnectionOptions,
  task: string,
): tls.TLSSocket {
  try {
    const socket = tls.connect(options());
    endByTlsErrors(socket);
    return socket;
  } catch (error) {
    throw toSystemError(error, { task, otherwise: "InvalidData" });
  }
}

const READ_BYTES = 64 * 1024;
let borrowed: Uint8Array | undefined;

/**
 * Lets all sockets read into one array, which is used only until `onBytes` returns.
 * Without it, each read makes an array of that size (measured: a third of the time of
 * receiving lines of 64 bytes).
 */
function readingIntoOne(
  onBytes: (bytes: Uint8Array) => void,
): Pick<TcpNetConnectOpts, "onread"> {
  // Bun still reads into its own array, and Deno has no such option. On Windows the
  // system may write to the array at any time.
  const { platform, versions } = process;
  const isApt = platform !== "win32" &&
    versions.bun === undefined && versions.deno === undefined;
  if (!isApt) return {};
  const buffer = borrowed ??= new Uint8Array(READ_BYTES);
  return {
    onread: {
      buffer,
      callback(length) {
        onBytes(buffer.subarray(0, length));
        return true; // the transport decides when to pause
      },
    },
  };
}

function addressFor<In, Out>(
  options: ConnectTcpOptions<In, Out>,
): TcpNetConnectOpts {
  const {
    port,
    hostname = DEFAULT_CONNECT_HOSTNAME,
    autoSelectFamily,
    autoSelectFamilyAttemptDelay,
  } = options;
  return {
    port,
    host: withoutBrackets(hostname),
    allowHalfOpen: true,
    ...(autoSelectFamily !== undefined && { autoSelectFamily }),
    // Node takes whole milliseconds only.
    ...(autoSelectFamilyAttemptDelay !== undefined && {
      autoSelectFamilyAttemptTimeout: Math.ceil(autoSelectFamilyAttemptDelay),
    }),
  };
}

function optionsForTls(
  hostname: string,
  options: Partial<ConnectTlsOptions>,
): tls.ConnectionOptions {
  const { caCerts, cert, key, alpnProtocols } = options;
  const serverName = certifiedName(options.serverName ?? hostname);
  return {
    ...(caCerts && { secureContext: contextFor(caCerts, cert, key) }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(alpnProtocols && { ALPNProtocols: [...alpnProtocols] }),
    // SNI must not be an address.
    ...(isIP(serverName) === 0 && { servername: serverName }),
    checkServerIdentity: (_host, certificate) =>
      tls.checkServerIdentity(serverName, certificate),
  };
}

/** Certificates that were read, and what they were read from. */
interface ReadCertificates {
  readonly usual: readonly string[];
  readonly own: string;
  readonly context: tls.SecureContext;
}

let lastRead: ReadCertificates | undefined;

/**
 * The certificates as the runtime uses them. The last ones are kept for the next
 * connection: reading the usual authorities blocks the thread of Node for 15 ms (measured:
 * seven times as long as the rest of a handshake).
 */
function contextFor(
  caCerts: readonly string[],
  cert: string | undefined,
  key: string | undefined,
): tls.SecureContext {
  const usual = usualCaCerts();
  const own = JSON.stringify([caCerts, cert, key]);
  if (lastRead?.usual !== usual || lastRead.own !== own) {
    const context = tls.createSecureContext({
      ca: [...usual, ...caCerts],
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
    lastRead = { usual, own, context };
  }
  return lastRead.context;
}

/**
 * The authorities trusted without `caCerts`. If they cannot be listed, these are the ones
 * that the runtime brings: in Node before 22.15, with OpenSSL's own store, and in Deno,
 * which asks for a permission.
 */
function usualCaCerts(): readonly string[] {
  const usual = process.versions.deno === undefined
    ? tls.getCACertificates?.("default") ?? []
    : [];
  return usual.length > 0 ? usual : tls.rootCertificates;
}

/**
 * Waits until a socket is connected; destroys it on failure, or when `signal` aborts.
 *
 * @returns The addresses of the socket. In Bun a peer may have reset it, and the system no
 * longer has the peer's address: then it is the address that was dialled last.
 */
function opened(
  socket: Socket,
  event: "connect" | "secureConnect",
  task: string,
  signal: AbortSignal,
): Promise<Addresses> {
  return new Promise((resolve, reject) => {
    let isConnected = false;
    let dialled: NetAddress | undefined;
    socket.on("connectionAttempt", (hostname: string, port: number) => {
      dialled = { transport: "tcp", hostname, port };
    });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    // An error comes with a code: of the system, or of the handshake.
    socket.on("error", (error) => {
      reject(
        isConnected
          ? toHandshakeError(error, task)
          : toSystemError(error, { task }),
      );
    });
    socket.once("close", () => {
      signal.removeEventListener("abort", onAbort);
      reject(
        systemError("UnexpectedEof", `Cannot ${task}: the socket was closed`),
      );
    });
    socket.once("connect", () => {
      isConnected = true;
    });
    socket.once(event, () => {
      signal.removeEventListener("abort", onAbort);
      const { localAddr, remoteAddr = dialled } = addressesOf(socket);
      resolve({ localAddr, remoteAddr });
    });
  });
}

/**
 * Whether both ends are the same socket: if no server listens on a port in the range for
 * clients, the system can give that port to this client, and TCP connects it to itself.
 */
function isConnectedToItself(socket: Socket): boolean {
  return socket.localPort === socket.remotePort &&
    socket.localAddress === socket.remoteAddress;
}

function connectedToItself(task: string): Error {
  const error = systemError(
    "ConnectionRefused",
    `Cannot ${task}: no server listens there, and the connection was made with itself`,
  );
  return Object.assign(error, { code: "ECONNREFUSED" });
}
