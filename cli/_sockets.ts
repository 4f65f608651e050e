/**
 * Sockets that can be reset, which `Deno.Conn` cannot be.
 *
 * @module
 */
import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import type { Connection } from "../connection.ts";
import { type Bytes, type Sendable, unframed } from "../framing.ts";
import { serve } from "../server.ts";
import { type Place, placeName } from "./_values.ts";

/** One side of a forwarded connection. */
export interface Side {
  /** Its bytes, read by read. Throws if the connection breaks. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Its address; a path without characters if it has none, or is gone. */
  readonly remote: Place;
  /** Its address, as it is shown. */
  readonly name: string;
  write(bytes: Uint8Array): Promise<void>;
  /** Tells it that no more bytes come. */
  end(): void;
  reset(): void;
  close(): void;
}

/** Accepts connections. */
export class Listener implements AsyncDisposable {
  readonly #server: net.Server;
  /** Where it listens. */
  readonly place: Place;

  private constructor(server: net.Server, place: Place) {
    this.#server = server;
    this.place = place;
  }

  /** Listens; rejects with the system's error, with the address in its message. */
  static async listen(
    place: Place,
    onSide: (side: Side) => void,
  ): Promise<Listener> {
    const server = net.createServer(
      { allowHalfOpen: true, noDelay: true },
      (socket) => onSide(new SocketSide(socket, place)),
    );
    if ("path" in place) await removeStale(place.path);
    server.listen(
      "path" in place ? place : { host: place.hostname, port: place.port },
    );
    try {
      await once(server, "listening");
    } catch (cause) {
      throw named(`Cannot listen on ${placeName(place)}`, cause);
    }
    const address = server.address();
    const isTcp = typeof address === "object" && address !== null;
    return new Listener(
      server,
      isTcp ? { hostname: address.address, port: address.port } : place,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/**
 * Removes the socket of a killed process. `serve()` takes such a file over, and removes it
 * at its end; Node's servers refuse to listen on it.
 */
async function removeStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  try {
    await serve({ path, framing: unframed() }, () => {}).shutdown();
  } catch {
    // The socket is in use, or is no socket: listening fails, and says why.
  }
}

/**
 * Connects, unless `signal` aborts; rejects with the system's error, with the address in
 * its message.
 */
export async function dial(place: Place, signal: AbortSignal): Promise<Side> {
  const socket = net.connect({
    ...("path" in place ? place : { host: place.hostname, port: place.port }),
    allowHalfOpen: true,
    noDelay: true,
  });
  // An abandoned socket may still fail later.
  socket.on("error", () => {});
  try {
    await once(socket, "connect", { signal });
  } catch (cause) {
    socket.destroy();
    signal.throwIfAborted();
    throw named(`Cannot connect to ${placeName(place)}`, cause);
  }
  return new SocketSide(socket, place);
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is in use",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by the peer",
  EACCES: "permission denied",
  ENOTFOUND: "the name is not known",
  ENOENT: "there is no such socket",
  ETIMEDOUT: "the peer did not answer",
};

/** A Node error, named by its code. */
function named(task: string, cause: unknown): Error {
  const code = cause instanceof Error && "code" in cause ? `${cause.code}` : "";
  const message = cause instanceof Error ? cause.message : `${cause}`;
  return new Error(`${task}: ${REASONS[code] ?? message}`, { cause });
}

class SocketSide implements Side {
  readonly #socket: net.Socket;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly remote: Place;
  readonly name: string;

  /** `place` is where it listens or was dialled. */
  constructor(socket: net.Socket, place: Place) {
    this.#socket = socket;
    // Reads and writes report the errors too.
    socket.on("error", () => {});
    this.chunks = socket.iterator({ destroyOnReturn: false });
    const { remoteAddress, remotePort } = socket;
    this.remote = remoteAddress === undefined || remotePort === undefined
      ? { path: "" }
      : { hostname: remoteAddress, port: remotePort };
    this.name = "hostname" in this.remote
      ? placeName(this.remote)
      : "path" in place
      ? "a Unix socket"
      : "an unknown address"; // reset before it was accepted
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve())
    );
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    // A Unix socket has no reset; the closest is an end that loses bytes.
    if (this.#socket.remotePort === undefined) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A connection as a side: for TLS, which cannot be reset. */
export function sideOf(
  connection: Connection<Bytes, Sendable>,
  remote: Place,
): Side {
  return {
    chunks: connection,
    remote,
    name: placeName(remote),
    async write(bytes) {
      await connection.send(bytes);
      await connection.flush();
    },
    end: () => void connection.closeWrite(),
    reset: () => connection.abort(),
    close: () => connection.abort(),
  };
}
