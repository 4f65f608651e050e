import {
  checkAlpnProtocols,
  checkPem,
  checkTexts,
  refuseClientTlsOptions,
} from "../internal/checks.ts";
import { builtinModule, nextTurn } from "../internal/event_loop.ts";
import { certifiedName } from "../internal/host_and_port.ts";
import { rejected, unobserved } from "../internal/promises.ts";
import { isError } from "../internal/realms.ts";
import { shownValue } from "../internal/shown.ts";
import { systemError } from "../internal/system_error.ts";
import { endByTlsErrors } from "../internal/tls_errors.ts";
import { endingOfWrite, ENDINGS } from "./_ending.ts";
import {
  type NodeStream,
  NodeStreamTransport,
} from "./_node_stream_transport.ts";
import { tlsError } from "./_tls_error.ts";
import { checkMoved } from "./_transports.ts";
import type { StartTlsOptions } from "./options.ts";
import type { Transport } from "./transport.ts";

// The used parts of `node:tls`, `node:net` and `node:stream`, which Deno, Node and Bun
// have. They are loaded on demand, because browsers lack them.
interface Tls {
  connect(options: object): TlsSocket;
  TLSSocket: new (socket: object, options: object) => TlsSocket;
  createSecureContext(options: object): object;
}
interface TlsSocket extends NodeStream {
  readonly alpnProtocol: string | false | null;
  readonly readableLength: number;
  readonly readableEnded: boolean;
  readonly writableEnded: boolean;
  read(size?: number): Uint8Array | null;
  once(event: string, listener: (error: unknown) => void): void;
  off(event: string, listener: (error: unknown) => void): void;
  getProtocol(): string | null;
  removeAllListeners(event: string): void;
  destroy(error?: unknown): void;
}
interface Duplex {
  readonly writableLength: number;
  readonly writableEnded: boolean;
  push(chunk: Uint8Array | null): void;
  destroy(error: unknown): void;
}
interface Crypto {
  X509Certificate: new (pem: string) => {
    checkPrivateKey(key: object): boolean;
  };
  createPrivateKey(pem: string): object;
}
interface Net {
  isIP(text: string): number;
}
type Done = (error?: unknown) => void;
interface Streams {
  Duplex: new (methods: {
    read(this: Duplex): void;
    write(chunk: Uint8Array, encoding: string, done: Done): void;
    final(done: Done): void;
    destroy(error: unknown, done: Done): void;
  }) => Duplex;
}

const READ_BUFFER_BYTES = 64 * 1024;
// While more decrypted bytes than this wait, no more are read.
const MAX_WAITING_BYTES = 64 * 1024;

/** Throws unless TLS can be started with these options. */
export function checkStartTlsOptions(options: StartTlsOptions): void {
  const { side = "client", serverName, cert, key } = options;
  if (side !== "client" && side !== "server") {
    throw new TypeError(
      `Cannot start TLS as side must be "client" or "server": current value is ${
        shownValue(side)
      }`,
    );
  }
  checkTexts("caCerts", options.caCerts);
  checkAlpnProtocols("alpnProtocols", options.alpnProtocols);
  checkPem("cert", cert);
  checkPem("key", key);
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError(
      "Cannot start TLS as cert and key must be given together",
    );
  }
  if (side === "server" && cert === undefined) {
    throw new TypeError("Cannot start TLS as a server needs cert and key");
  }
  if (side === "server") refuseClientTlsOptions(options);
  if (
    side === "client" && (typeof serverName !== "string" || serverName === "")
  ) {
    throw new TypeError(
      `Cannot start TLS as a client needs serverName, the name in the server's certificate; a server needs side: "server"`,
    );
  }
}

/**
 * Does the TLS handshake over `transport`; settles with the encrypted transport.
 *
 * @param transport The transport below TLS.
 * @param options Which side this is, names and certificates.
 * @param onBytes Called whenever bytes of the peer arrive, even after the handshake.
 */
export async function startTls(
  transport: Transport,
  options: StartTlsOptions,
  onBytes: () => void,
): Promise<Transport> {
  const tls = builtinModule<Tls>("node:tls");
  const net = builtinModule<Net>("node:net");
  const streams = builtinModule<Streams>("node:stream");
  if (tls === undefined || net === undefined || streams === undefined) {
    throw new TypeError("Cannot start TLS as this runtime has no node:tls");
  }
  checkCertificate(options);
  const peerEnded = Promise.withResolvers<void>();
  const gate = new Gate();
  let failureBelow: { readonly error: unknown } | undefined;
  let isSecured = false;
  let secure: NodeStreamTransport | undefined;
  const { lower, untilTaken } = duplexOver(transport, streams, {
    isSecured: () => isSecured,
    onBytes,
    onEnd: () => isSecured || peerEnded.resolve(),
    onError: (error) => failureBelow ??= { error },
    beforeRead: () => gate.opened(socket.readableLength),
    hasTlsEnded: () => hasEnded(socket, gate),
    // Bun's TLS ends this side once the peer has ended its own.
    onFinal() {
      if (!socket.writableEnded) secure?.noteSentEnd();
    },
  });
  const socket = socketOver(lower, { tls, net }, options);
  try {
    return await secured(socket, options.side ?? "client", {
      peerEnded: peerEnded.promise,
      failureBelow: () => failureBelow,
      onSecured() {
        isSecured = true;
        return secure = new NodeStreamTransport(socket, {
          lower: transport,
          alpnProtocol: socket.alpnProtocol || null,
          failureBelow: () => failureBelow,
          onTaken: () => gate.open(),
          untilTakenBelow: untilTaken,
        });
      },
    });
  } catch (error) {
    throw failureBelow === undefined ? errorOfHandshake(options, error) : error;
  }
}

/** Begins TLS over a stream. */
function socketOver(
  lower: Duplex,
  { tls, net }: { tls: Tls; net: Net },
  options: StartTlsOptions,
): TlsSocket {
  const { side = "client", caCerts, cert, key, alpnProtocols } = options;
  const serverName = certifiedName(options.serverName ?? ""); // a client has one
  const shared = {
    cert,
    key,
    // Deno's TLS loses the peer's end if it comes while the stream is full, so it never is.
    highWaterMark: Number.MAX_SAFE_INTEGER,
    ...(alpnProtocols && { ALPNProtocols: [...alpnProtocols] }),
  };
  let socket: TlsSocket;
  try {
    socket = side === "client"
      ? tls.connect({
        socket: lower,
        host: serverName, // the name to check the certificate against
        // SNI must not be an address.
        ...(net.isIP(serverName) === 0 && { servername: serverName }),
        ...(caCerts && { ca: [...caCerts] }),
        ...shared,
      })
      : new tls.TLSSocket(lower, {
        isServer: true,
        secureContext: tls.createSecureContext({ cert, key }),
        ...shared,
      });
  } catch (error) { // an unreadable certificate or key
    throw tlsError(error, "start TLS");
  }
  endByTlsErrors(socket);
  // Deno's TLS closes everything on this side's end if the peer's end has come, even if
  // messages before it were not taken.
  socket.removeAllListeners("finish");
  return socket;
}

/** Holds back reads while earlier bytes wait. */
class Gate {
  #opening: PromiseWithResolvers<void> | undefined;

  /** Settles when there is room for more; `undefined` if there is room now. */
  opened(waiting: number): Promise<void> | undefined {
    return waiting < MAX_WAITING_BYTES ? undefined : this.taken();
  }

  /** Settles when the waiting bytes were taken. */
  taken(): Promise<void> {
    this.#opening ??= Promise.withResolvers();
    return this.#opening.promise;
  }

  open(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
  }
}

/** Whether the peer has ended TLS; called when the transport below has ended. */
async function hasEnded(socket: TlsSocket, gate: Gate): Promise<boolean> {
  await nextTurn(); // the last bytes are decrypted in it
  while (socket.readableLength > 0) await gate.taken();
  socket.read(0); // otherwise only a reader would see the end
  await nextTurn();
  return socket.readableEnded;
}

/** Settles with the result of `onSecured` when the handshake is done. */
function secured(
  socket: TlsSocket,
  side: "client" | "server",
  { peerEnded, failureBelow, onSecured }: {
    /** Settles if the peer closes its side before that. */
    peerEnded: Promise<void>;
    failureBelow: () => { readonly error: unknown } | undefined;
    /**
     * Called within the event: an error in bytes that the peer sent with it may come
     * next.
     */
    onSecured: () => Transport;
  },
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      const below = failureBelow();
      socket.destroy();
      if (below !== undefined) reject(below.error);
      else if (error === undefined) reject(endedEarly());
      else reject(tlsError(error, "start TLS"));
    };
    const closed = () => fail(undefined);
    // Deno's TLS does not notice this while it waits for the handshake.
    peerEnded.then(closed);
    // Several errors may come, and one without a listener would end the process.
    socket.on("error", fail);
    socket.once("close", closed);
    // Both are emitted after the peer is verified, if required.
    socket.once(side === "client" ? "secureConnect" : "secure", () => {
      // Workers emit it without a handshake, and would send messages in plain text.
      if (!socket.getProtocol()) {
        return fail(
          new TypeError(
            "Cannot start TLS as node:tls of this runtime makes no handshake over other transports",
          ),
        );
      }
      resolve(onSecured());
      socket.off("error", fail);
      socket.off("close", closed);
    });
  });
}

/**
 * Refuses an unusable certificate or key: Deno's TLS would silently continue without it.
 */
function checkCertificate({ cert, key }: StartTlsOptions): void {
  if (typeof cert !== "string" || typeof key !== "string") return;
  if (!/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(cert)) {
    throw unusable("cert holds no certificate as PEM");
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
    throw unusable("key holds no private key as PEM");
  }
  if (/BEGIN ENCRYPTED|,ENCRYPTED/.test(key)) {
    throw unusable("key is encrypted");
  }
}

/**
 * Names the cause if a handshake failed because the key does not match the certificate:
 * Deno's TLS then says "unsupported protocol". Returns any other error unchanged.
 */
function errorOfHandshake(
  { cert, key }: StartTlsOptions,
  error: unknown,
): unknown {
  const crypto = builtinModule<Crypto>("node:crypto");
  if (cert === undefined || key === undefined || crypto === undefined) {
    return error;
  }
  try {
    const certificate = new crypto.X509Certificate(cert);
    return certificate.checkPrivateKey(crypto.createPrivateKey(key))
      ? error
      : unusable("key is not that of cert", error);
  } catch {
    return error; // TLS may know a kind of key that this cannot read
  }
}

function unusable(what: string, cause?: unknown): Error {
  const error = new Error(`Cannot start TLS: ${what}`, { cause });
  error.name = "InvalidData";
  return error;
}

function cutOff(): Error {
  return systemError(
    "UnexpectedEof",
    "The peer ended the connection without ending TLS: what it sent may be cut off",
  );
}

function endedEarly(): Error {
  return systemError(
    "UnexpectedEof",
    "Cannot start TLS: the peer ended within the handshake",
  );
}

function closedEarly(): Error {
  return systemError(
    "ConnectionReset",
    "The stream was closed before all was sent",
  );
}

/** The transport as a Node stream for `node:tls`. */
function duplexOver(
  transport: Transport,
  { Duplex }: Streams,
  { isSecured, onBytes, onEnd, onError, beforeRead, hasTlsEnded, onFinal }: {
    /** Whether the handshake is done. */
    isSecured: () => boolean;
    onBytes: () => void;
    onEnd: () => void;
    onError: (error: unknown) => void;
    beforeRead: () => Promise<void> | undefined;
    /** Whether the peer has ended TLS; called when nothing more can be read. */
    hasTlsEnded: () => Promise<boolean>;
    /** Called when TLS sends no more. */
    onFinal: () => void;
  },
): {
  lower: Duplex;
  /**
   * Settles when the transport has taken everything written; `undefined` if it already
   * has.
   */
  untilTaken: () => Promise<void> | undefined;
} {
  const buffer = new Uint8Array(READ_BUFFER_BYTES);
  const read = async () => {
    await beforeRead();
    try {
      const length = await transport.read(buffer);
      if (length !== null) checkMoved("read", length, buffer.length);
      // Node takes the end of the transport below for the end of TLS, and anyone on the
      // path can send that to cut off a message.
      if (length === null && !await hasTlsEnded() && isSecured()) {
        onError(cutOff());
      }
      return length;
    } catch (error) {
      // A peer that ends TLS and then resets the connection has sent everything. This waits
      // until the bytes within TLS are taken, as a reset of TCP waits in the system.
      if (isSecured() && await hasTlsEnded()) return null;
      throw error;
    }
  };
  let isDestroyed = false;
  let isEndTaken = false;
  // How many bytes the transport is taking.
  let writing = 0;
  // Why the transport did not take all.
  let loss: { readonly error: unknown } | undefined;
  let taking: PromiseWithResolvers<void> | undefined;
  const failed = (error: unknown): Error => {
    // Bun destroys this stream before it reports why; the interrupted read is not the
    // cause.
    if (!isDestroyed) onError(error);
    // Streams treat `undefined`, and some other thrown values, as no error.
    return isError(error)
      ? error
      : new Error("The transport below TLS failed", { cause: error });
  };
  const lose = (error: unknown) => {
    loss ??= { error };
    taking?.reject(error);
  };
  const settle = async (action: () => Promise<unknown>, done: Done) => {
    try {
      await action();
    } catch (error) {
      lose(error);
      // If the peer is gone, what it has sent can still be read. The write may not even be
      // that of a message: after its handshake a server sends tickets, which a client that
      // has closed does not take.
      const goesOn = isSecured() && endingOfWrite(error) === ENDINGS.peerGone;
      if (!goesOn) return done(failed(error));
    }
    done();
    if (isTaken()) {
      taking?.resolve();
      taking = undefined;
    }
  };
  const isTaken = () =>
    lower.writableLength === 0 &&
    (isEndTaken || isDestroyed || !lower.writableEnded);
  const untilTaken = () => {
    if (loss !== undefined) return rejected(loss.error);
    if (isTaken()) return undefined;
    taking ??= Promise.withResolvers();
    return unobserved(taking.promise);
  };
  const lower = new Duplex({
    read() {
      read().then(
        (length) => {
          if (length !== null) onBytes();
          this.push(length === null ? null : buffer.slice(0, length));
          if (length === null) onEnd();
        },
        (error) => this.destroy(failed(error)),
      );
    },
    write(chunk, _encoding, done) {
      const write = async () => {
        writing = chunk.length;
        await writeAll(transport, chunk);
        writing = 0;
      };
      settle(write, done);
    },
    final(done) {
      const end = async () => {
        await transport.closeWrite();
        isEndTaken = true;
      };
      onFinal();
      settle(end, done);
    },
    destroy(error, done) {
      isDestroyed = true;
      // TLS that has ended in both directions closes this, although its end may be under
      // way. The connection closes the transport once the end is taken.
      const hasLost = isError(error) || lower.writableLength > writing;
      if (hasLost) lose(error ?? closedEarly());
      done(error);
    },
  });
  return { lower, untilTaken };
}

async function writeAll(
  transport: Transport,
  chunk: Uint8Array,
): Promise<void> {
  for (let rest = chunk; rest.length > 0;) {
    const written = await transport.write(rest);
    checkMoved("write", written, rest.length);
    rest = rest.subarray(written);
  }
}
