import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { Framing } from "../framing/framing.ts";

/**
 * Options for a {@linkcode Connection}, shared by both sides.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example A server on a public port
 * ```ts
 * import { type ConnectionOptions, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const careful: ConnectionOptions<string, string> = {
 *   framing: lines({ maxLength: 1000 }),
 *   receiveTimeout: 60_000,
 *   messageTimeout: 10_000,
 *   sendTimeout: 60_000,
 * };
 * await using server = serve(
 *   { ...careful, hostname: "127.0.0.1", port: 0, maxConnections: 1000 },
 *   () => {},
 * );
 * assertEquals(server.connections.size, 0);
 * ```
 */
export interface ConnectionOptions<In = Bytes, Out = SendableFor<In>> {
  /** Where messages begin and end. */
  framing: Framing<In, Out>;
  /**
   * The most bytes in one read of the socket. A quiet connection reads into a
   * smaller buffer, of 512 bytes at first.
   *
   * @default {65_536}
   */
  readBufferSize?: number | undefined;
  /**
   * How many bytes may be queued for sending before {@linkcode Connection.send}
   * waits for the peer.
   *
   * @default {65_536}
   */
  highWaterMark?: number | undefined;
  /**
   * Whether a small write leaves immediately, instead of waiting until the peer
   * acknowledges the one before (Nagle's algorithm). Only TCP has this option, and TLS
   * that {@linkcode connect} opens without a client certificate. Elsewhere an explicit
   * `true` is refused.
   *
   * @default {true}
   */
  noDelay?: boolean | undefined;
  /**
   * Whether the system probes a silent peer. Refused wherever `noDelay` is.
   *
   * @default {false}
   */
  keepAlive?: boolean | undefined;
  /**
   * How many milliseconds a wait for the peer may last without a byte in either
   * direction. Off by default.
   *
   * As for all timeouts, time in which this thread is busy or the process is stopped does
   * not count, nor does silence while the peer's bytes lie in the socket. A timeout is
   * accurate to about a tenth, and never early.
   */
  idleTimeout?: number | undefined;
  /**
   * How many milliseconds the peer may send nothing, whatever is sent to it. This ends
   * the connection if the peer is gone, which a {@linkcode heartbeat} alone would hide.
   * Off by default.
   *
   * It also runs while no `receive()` is pending. So the connection reads ahead of its receivers,
   * by at most `readBufferSize`; while that buffer is full, the timeout does not run.
   */
  receiveTimeout?: number | undefined;
  /**
   * How many milliseconds to wait for the rest of a message that has begun to arrive, and
   * for the handshake of {@linkcode Connection.startTls}. Off by default.
   *
   * It does not limit {@linkcode Connection.receiveStream}: a large body may take long.
   * One that stalls is ended by `receiveTimeout`.
   */
  messageTimeout?: number | undefined;
  /**
   * How many milliseconds the system may take to accept a message, counted from when it
   * has accepted everything before, or to accept the end of this side. Up to four times
   * as long if the peer sends meanwhile. Off by default.
   *
   * Linux reports room only when a third of its send buffer is free, and that buffer
   * grows to 4 MiB: over TCP and TLS, a peer that takes 100 KB/s without a pause seems to
   * take nothing for 14 s, and over a Unix socket for 1.8 s. So give more than
   * (`tcp_wmem` / 2.5 + the longest message) / the slowest rate to allow. 60 seconds
   * allow messages of 100 KB at 30 KB/s or more.
   */
  sendTimeout?: number | undefined;
  /**
   * How many milliseconds may pass with nothing received or sent once the peer has closed
   * its side. 120,000 by default on a server with `maxConnections` or
   * `maxConnectionsPerAddress`, otherwise off.
   *
   * Until something is sent to it, a peer that has hung up looks like one that
   * half-closed and waits for its answer. So a handler that hangs would keep its
   * connection, and its place on a server, forever. Give more than the slowest answer
   * takes; the connection may last up to twice as long after the last message. Firewalls
   * and NAT on the way may drop it sooner: Linux forgets such a connection after 60
   * seconds.
   *
   * It does not run while something waits to be sent: `sendTimeout` is for a peer that
   * reads nothing.
   *
   * To notice the end, the connection reads ahead of its receivers, by at most
   * `readBufferSize`.
   */
  halfClosedTimeout?: number | undefined;
  /**
   * A message to send when nothing else was sent, to show the peer that this side is
   * alive.
   */
  heartbeat?: HeartbeatOptions<NoInfer<Out>> | undefined;
  /** Aborts the connection, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Options for {@linkcode ConnectionOptions.heartbeat}.
 *
 * @typeParam Out The type of messages to send.
 *
 * @example A client that is alive but has nothing to say
 * ```ts
 * import { connect, type HeartbeatOptions, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const heard = Promise.withResolvers<string | undefined>();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing, receiveTimeout: 5000 },
 *   async (connection) => heard.resolve(await connection.receive()),
 * );
 *
 * const heartbeat: HeartbeatOptions<string> = { interval: 10, message: "ping" };
 * await using _client = await connect({
 *   port: server.addr.port,
 *   framing,
 *   heartbeat,
 * });
 * assertEquals(await heard.promise, "ping");
 * ```
 */
export interface HeartbeatOptions<Out> {
  /**
   * After how many milliseconds without anything sent the heartbeat is sent, to within
   * about a tenth. None is sent while the peer does not take earlier bytes.
   *
   * One may be sent between any two calls of `send()`, also between the pieces of a body
   * that is sent in pieces. If a piece may be late by the interval, send the body after
   * {@linkcode Connection.reframe}, which stops the heartbeat.
   */
  interval: number;
  /**
   * The message, or a function that makes one each time. If it or the framing throws, the
   * connection ends.
   */
  message: Out | (() => Out);
}

/**
 * Options for {@linkcode Connection.receive}.
 *
 * @typeParam In The type that `framing` receives, if given.
 *
 * @example A wait with a limit
 * ```ts
 * import { connect, lines, type ReceiveOptions, serve } from "@framed/tcp";
 * import { assertRejects } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => void await connection.receive(), // and says nothing
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * const soon: ReceiveOptions = { signal: AbortSignal.timeout(10) };
 * await assertRejects(() => client.receive(soon), DOMException);
 * ```
 */
export interface ReceiveOptions<In = never> {
  /**
   * Ends the wait, with the signal's reason. The message is left for the next receiver.
   *
   * But a `framing` given here may have taken a part of the message already: `headed()`
   * and `grouped()` take messages in parts, and so does any framing that is dropping one
   * that is too long. Then the connection ends with an error named `AbortError`, because
   * the rest could be taken for another message. The connection's own framing continues
   * where it was.
   */
  signal?: AbortSignal | undefined;
  /**
   * The framing of this message alone, instead of the connection's own. Bytes that it
   * does not take are left for the next message. If a frame holds several messages, as
   * with `assembled()`, the first is received and the others are lost: use `reframe()`
   * instead.
   */
  framing?: Pick<Framing<In, never>, "decoder"> | undefined;
}

/**
 * Options for {@linkcode Connection.request}.
 *
 * @typeParam In The type that `framing` receives, if given.
 *
 * @example A peer that answers late, but always
 * ```ts
 * import { connect, lines, type ConnectionRequestOptions, serve } from "@framed/tcp";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) {
 *       if (line === "slow") await new Promise((resolve) => setTimeout(resolve, 50));
 *       await connection.send(line);
 *     }
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * const patient: ConnectionRequestOptions = {
 *   signal: AbortSignal.timeout(10),
 *   onAbort: "skip",
 * };
 * await assertRejects(() => client.request("slow", patient), DOMException);
 * assertEquals(await client.request("quick"), "quick");
 * ```
 */
export interface ConnectionRequestOptions<In = never>
  extends ReceiveOptions<In> {
  /**
   * What happens when `signal` gives the request up before its answer has come.
   *
   * - `"disconnect"`: the connection ends, with an error named `AbortError`. Answers have
   *   no ids: if this one never came, each later answer would go to the request before.
   * - `"skip"`: the answer is dropped when it comes, and later requests get theirs. Only
   *   for a peer that answers every request in the end.
   *
   * If answers have ids, {@linkcode correlate} needs neither.
   *
   * @default {"disconnect"}
   */
  onAbort?: "disconnect" | "skip" | undefined;
}

/**
 * Options for {@linkcode Connection.send}.
 *
 * @typeParam Out The type of messages to send.
 *
 * @example A line, and then a body
 * ```ts
 * import { connect, lines, type SendOptions, serve, unframed } from "@framed/tcp";
 * import type { Sendable } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(`> ${line}`);
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * const asItIs: SendOptions<Sendable> = { framing: unframed() };
 * await client.send("no line ");
 * assertEquals(await client.receive(), "> no line ");
 * await client.send("half a line", asItIs);
 * await client.send(", and the rest");
 * assertEquals(await client.receive(), "> half a line, and the rest");
 * ```
 */
export interface SendOptions<Out> {
  /** The framing of this message alone, instead of the connection's own. */
  framing?: Pick<Framing<unknown, Out>, "encoder"> | undefined;
}

/**
 * Options for {@linkcode Connection.startTls} on the client side.
 *
 * @example The name that must be in the certificate
 * ```ts
 * import type { StartTlsClientOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const options: StartTlsClientOptions = {
 *   serverName: "localhost",
 *   caCerts: [await Deno.readTextFile("dev/testdata/ca.pem")],
 * };
 * assertEquals(options.side ?? "client", "client");
 * ```
 */
export interface StartTlsClientOptions {
  /**
   * Which side of TLS this is.
   *
   * @default {"client"}
   */
  side?: "client" | undefined;
  /** The name in the server's certificate, which is verified. */
  serverName: string;
  /** Root certificates to trust instead of the usual ones, each as PEM. */
  caCerts?: readonly string[] | undefined;
  /** A certificate chain to show to the server, as PEM. Needs `key`. */
  cert?: string | undefined;
  /** Its private key, as PEM. Needs `cert`. */
  key?: string | undefined;
  /** The protocols to ask for by ALPN. */
  alpnProtocols?: readonly string[] | undefined;
}

/**
 * Options for {@linkcode Connection.startTls} on the server side.
 *
 * @example The certificate of a server
 * ```ts
 * import type { StartTlsServerOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const options: StartTlsServerOptions = {
 *   side: "server",
 *   cert: await Deno.readTextFile("dev/testdata/localhost.pem"),
 *   key: await Deno.readTextFile("dev/testdata/localhost.key"),
 * };
 * assertEquals(options.side, "server");
 * ```
 */
export interface StartTlsServerOptions {
  /** Which side of TLS this is. */
  side: "server";
  /** The certificate chain, as PEM. */
  cert: string;
  /** The private key of the certificate, as PEM. */
  key: string;
  /** The protocols to offer by ALPN. */
  alpnProtocols?: readonly string[] | undefined;
  /** Not on a server: it does not ask clients for certificates. */
  caCerts?: undefined;
  /** Not on a server. */
  serverName?: undefined;
}

/**
 * Options for {@linkcode Connection.startTls}: of a client, or of a server.
 *
 * @example Both sides
 * ```ts
 * import type { StartTlsOptions } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const server: StartTlsOptions = {
 *   side: "server",
 *   cert: await Deno.readTextFile("dev/testdata/localhost.pem"),
 *   key: await Deno.readTextFile("dev/testdata/localhost.key"),
 * };
 * const client: StartTlsOptions = {
 *   serverName: "localhost",
 *   caCerts: [await Deno.readTextFile("dev/testdata/ca.pem")],
 * };
 * assertEquals([server.side, client.side ?? "client"], ["server", "client"]);
 * ```
 */
export type StartTlsOptions = StartTlsClientOptions | StartTlsServerOptions;

/**
 * Options for {@linkcode Connection.reframe}.
 *
 * @typeParam Out The type of messages to send.
 *
 * @example A heartbeat once the greeting is over
 * ```ts
 * import { connect, lengthPrefixed, lines, serve } from "@framed/tcp";
 * import type { ReframeOptions, Sendable } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const beating: ReframeOptions<Sendable> = {
 *   heartbeat: { interval: 10, message: new Uint8Array([0]) },
 * };
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing: lines() },
 *   async (connection) => {
 *     await connection.send("hello");
 *     await connection.reframe(lengthPrefixed(), beating).receive();
 *   },
 * );
 * const { port } = server.addr;
 * await using client = await connect({ port, framing: lines() });
 *
 * assertEquals(await client.receive(), "hello");
 * const packets = client.reframe(lengthPrefixed());
 * assertEquals(await packets.receive(), new Uint8Array([0]));
 * ```
 */
export interface ReframeOptions<Out> {
  /** A message to send when nothing else was sent. */
  heartbeat?: HeartbeatOptions<Out> | undefined;
}

/**
 * What a connection has done so far; see {@linkcode Connection.stats}.
 *
 * @example Counting what was sent
 * ```ts
 * import { connect, type ConnectionStats, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) await connection.send(line);
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 * await client.request("hello");
 *
 * const stats: ConnectionStats = client.stats();
 * assertEquals([stats.messagesSent, stats.bytesSent], [1, 6]);
 * assertEquals([stats.messagesReceived, stats.bytesReceived], [1, 6]);
 * assertEquals(stats.bufferedAmount, 0);
 * ```
 */
export interface ConnectionStats {
  /** Bytes read from the socket. */
  bytesReceived: number;
  /** Bytes that the kernel has taken. */
  bytesSent: number;
  /** Messages received. */
  messagesReceived: number;
  /**
   * Messages that the framing dropped because they were too long or malformed, as
   * `oversize` and `onMalformed` say.
   */
  messagesDropped: number;
  /** Messages sent, including those still queued here. */
  messagesSent: number;
  /** Bytes queued here, which the kernel has not taken yet. */
  bufferedAmount: number;
  /** How many milliseconds writes have waited for the kernel. */
  blockedTime: number;
}
