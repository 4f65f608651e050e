import type { Bytes } from "../framing/bytes.ts";

/**
 * The address of one side of a connection.
 *
 * Every address of Deno fits, so `"udp"` and `"unixpacket"` are in the type, though a
 * connection never has them. The path of a Unix socket is `null` if it has no name; a
 * client's has none.
 *
 * @example Naming a peer in a log
 * ```ts
 * import type { Address } from "@framed/tcp/connection";
 * import { assertEquals } from "@std/assert";
 *
 * function nameOf(address: Address | undefined): string {
 *   switch (address?.transport) {
 *     case "tcp":
 *       return `${address.hostname}:${address.port}`;
 *     case "unix":
 *       return address.path ?? "unnamed Unix socket";
 *     default:
 *       return "unknown";
 *   }
 * }
 *
 * assertEquals(nameOf({ transport: "tcp", hostname: "::1", port: 80 }), "::1:80");
 * assertEquals(nameOf({ transport: "unix", path: null }), "unnamed Unix socket");
 * ```
 */
export type Address =
  | {
    readonly transport: "tcp" | "udp";
    /** The IP address. */
    readonly hostname: string;
    readonly port: number;
  }
  | {
    readonly transport: "unix" | "unixpacket";
    /** The path of the socket, or `null` if it has no name. */
    readonly path: string | null;
  }
  | {
    readonly transport: "vsock";
    /** The number of the virtual machine. */
    readonly cid: number;
    readonly port: number;
  };

/**
 * Carries the bytes of a connection. A `Deno.Conn` is one without a wrapper.
 *
 * A connection never has more than one read and one write pending, and does not call
 * `closeWrite()` during a write. An implementation need not handle more.
 *
 * @example Counting the bytes of a transport
 * ```ts
 * import type { Transport } from "@framed/tcp/connection";
 * import { transportPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * class Counted implements Transport {
 *   bytesRead = 0;
 *   readonly #transport: Transport;
 *
 *   constructor(transport: Transport) {
 *     this.#transport = transport;
 *   }
 *
 *   async read(buffer: Uint8Array): Promise<number | null> {
 *     const length = await this.#transport.read(buffer);
 *     this.bytesRead += length ?? 0;
 *     return length;
 *   }
 *
 *   write(bytes: Uint8Array): Promise<number> {
 *     return this.#transport.write(bytes);
 *   }
 *
 *   closeWrite(): Promise<void> {
 *     return this.#transport.closeWrite();
 *   }
 *
 *   close(): void {
 *     this.#transport.close();
 *   }
 * }
 *
 * const [near, far] = transportPair();
 * const counted = new Counted(near);
 * await far.write(new Uint8Array(5));
 * await counted.read(new Uint8Array(100));
 * assertEquals(counted.bytesRead, 5);
 * ```
 */
export interface Transport {
  /**
   * Reads the available bytes into `buffer`, or waits for some.
   *
   * @returns How many bytes were read, or `null` at the end. 0 is not the end.
   */
  read(buffer: Uint8Array): Promise<number | null>;
  /**
   * Writes as much as there is room for, or waits for room. The caller may change the
   * bytes once the promise settles. The transport must not change them, such as to mask
   * them: other connections may send the same bytes.
   *
   * @returns How many bytes were taken.
   */
  write(bytes: Uint8Array): Promise<number>;
  /** Closes this side: it sends no more. The peer can still send. */
  closeWrite(): Promise<void>;
  /** Releases the transport. A pending read or write rejects. */
  close(): void;
  /**
   * Closes the transport with a reset, so that the peer knows that data may be cut off.
   * If present, an abort calls it instead of `close()`. Deno has no such call.
   */
  reset?(): void;
  /** The address of this side, if it is known. */
  readonly localAddr?: Address | undefined;
  /** The address of the peer, if it is known. */
  readonly remoteAddr?: Address | undefined;
  /** The protocol that ALPN agreed on; `null` if none. Leave it out without TLS. */
  readonly alpnProtocol?: string | null | undefined;
  /** Keeps the process alive while a read or write is pending, as it does initially. */
  ref?(): void;
  /** Lets the process end while a read or write is pending. */
  unref?(): void;
  /** Sets whether a small write leaves before the peer has acknowledged the last. */
  setNoDelay?(noDelay?: boolean): void;
  /** Sets whether the system probes a silent peer. */
  setKeepAlive?(keepAlive?: boolean): void;
}

/**
 * A pair of byte streams that carries a connection: the sockets of Workers and of Chrome,
 * the result of `WebSocketStream.opened`, a WebTransport stream, the output and the input
 * of a child process.
 *
 * The connection then owns them, and locks both.
 *
 * @example The streams of a child process
 * ```ts
 * import type { ByteStreams } from "@framed/tcp/connection";
 * import { assertEquals } from "@std/assert";
 *
 * const child = new Deno.Command("cat", { stdin: "piped", stdout: "piped" }).spawn();
 * const streams: ByteStreams = { readable: child.stdout, writable: child.stdin };
 *
 * const writer = streams.writable.getWriter();
 * await writer.write(new TextEncoder().encode("hello"));
 * await writer.close();
 * assertEquals(await new Response(child.stdout).text(), "hello");
 * assertEquals((await child.status).success, true);
 * ```
 */
export interface ByteStreams {
  /** The bytes from the peer. Its end is the peer's end. */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * The bytes to the peer. Closing it closes this side. Any error of it means that the peer
   * is gone: what has arrived is still received, for up to a second.
   */
  readonly writable: WritableStream<Bytes>;
  /** Called, if present, when the connection releases the streams. */
  close?(): unknown;
}
