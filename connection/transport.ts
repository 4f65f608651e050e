import type { Bytes } from "../framing/bytes.ts";

/**
 * The address of one side of a connection.
 *
 * Every address of Deno fits, so `"udp"` and `"unixpacket"` are in the type; a
 * connection never has them. The path of a Unix socket is `null` if it has no name,
 * as a client's has not.
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
    /** Where the socket is, or `null` if it has no name. */
    readonly path: string | null;
  }
  | {
    readonly transport: "vsock";
    /** The number of the virtual machine. */
    readonly cid: number;
    readonly port: number;
  };

/**
 * What carries the bytes of a connection. A `Deno.Conn` is one without a wrapper.
 *
 * A connection has at most one read and one write under way, ever, and does not
 * call `closeWrite()` during a write. An implementation need not be ready for more.
 *
 * @example Counting what goes over a transport
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
   * Reads what is there into `buffer`, or waits until something is.
   *
   * @returns How many bytes were read, or `null` at the end. 0 is not the end.
   */
  read(buffer: Uint8Array): Promise<number | null>;
  /**
   * Writes as much as there is room for, or waits until there is some. The bytes
   * may be changed when it has settled. It must not change them itself, such as to mask
   * them: other connections may send the same.
   *
   * @returns How many bytes were taken.
   */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends what this side sends. The peer can still send. */
  closeWrite(): Promise<void>;
  /** Gives the transport back. A read or write that is under way rejects. */
  close(): void;
  /**
   * Closes it so that the peer is told of a reset, and takes what it has for cut off:
   * what an abort calls in place of `close()`, if it is there. Deno has no such way.
   */
  reset?(): void;
  /** The address of this side, if it is known. */
  readonly localAddr?: Address | undefined;
  /** The address of the peer, if it is known. */
  readonly remoteAddr?: Address | undefined;
  /** What TLS agreed on by ALPN; `null` if that is nothing. */
  readonly alpnProtocol?: string | null | undefined;
  /** Keeps the process alive while something is under way, as at first. */
  ref?(): void;
  /** Lets the process end though something is under way. */
  unref?(): void;
  /** Sets whether a small write leaves before the peer has acknowledged the last. */
  setNoDelay?(noDelay?: boolean): void;
  /** Sets whether the system probes a silent peer. */
  setKeepAlive?(keepAlive?: boolean): void;
}

/**
 * A pair of byte streams that carries a connection: the sockets of Workers and of
 * Chrome, what `WebSocketStream.opened` gives, a stream of WebTransport, the output
 * and the input of a child process.
 *
 * They belong to the connection then, which locks both.
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
  /** What the peer sends. Its end is the peer's end. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What is sent to the peer. Closing it ends what this side sends. */
  readonly writable: WritableStream<Bytes>;
  /** Called when the connection gives the streams back, if it is there. */
  close?(): unknown;
}
