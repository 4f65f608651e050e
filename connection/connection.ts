import type { Batch } from "../framing/batch.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { Decoder, Framing } from "../framing/framing.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import { textFields } from "../framing/text_fields.ts";
import { checkFunction, checkSignal } from "../internal/checks.ts";
import {
  checkBeat,
  checkConnectionOptions,
  checkFraming,
  checkFramingMethod,
  checkHeartbeat,
} from "../internal/connection_options.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { Countdown, startTimer } from "../internal/countdown.ts";
import { publishClose, publishOpen } from "../internal/diagnostics.ts";
import { onAbort } from "../internal/on_abort.ts";
import { onRejection } from "../internal/on_rejection.ts";
import {
  isSettledSoon,
  isSettledWithin,
  rejected,
  unobserved,
} from "../internal/promises.ts";
import { isReconnected, noteEndWait } from "../internal/reconnected.ts";
import { isServed } from "../internal/served.ts";
import { shownValue } from "../internal/shown.ts";
import { isClosedAlready } from "../internal/system_error.ts";
import { bodyStream } from "./_body_stream.ts";
import { DetachedTransport } from "./_detached.ts";
import { DRAIN_MS, type Ending, endingOfWrite, ENDINGS } from "./_ending.ts";
import { HalfClosedLimit } from "./_half_closed_limit.ts";
import { beatOf, Heartbeat } from "./_heartbeat.ts";
import { LeftAlone } from "./_left_alone.ts";
import { MessageStream } from "./_readable.ts";
import {
  isWithinMessage,
  Reader,
  type ReaderOwner,
  type Source,
} from "./_reader.ts";
import {
  batchTaker,
  MessageIterator,
  noMessage,
  Waiter,
} from "./_receivers.ts";
import { SendLimit } from "./_send_limit.ts";
import { checkStartTlsOptions, startTls } from "./_start_tls.ts";
import { hasUnread } from "./_tls_error.ts";
import {
  identifyTransport,
  type Kind,
  kindFromClient,
  TLS_OF_NODE,
} from "./_transports.ts";
import { endOfTurn, type TurnTask, untilSharedPoll } from "./_turns.ts";
import { MessageSink } from "./_writable.ts";
import { sideHasEnded, Writer, type WriterOwner } from "./_writer.ts";
import { revealWriters } from "./_writer_of.ts";
import type {
  ConnectionOptions,
  ConnectionRequestOptions,
  ConnectionStats,
  HeartbeatOptions,
  ReceiveOptions,
  ReframeOptions,
  SendOptions,
  StartTlsOptions,
} from "./options.ts";
import type { Address, ByteStreams, Transport } from "./transport.ts";

/** What happens to a receiver when its signal is aborted. */
interface WaitAbort {
  readonly signal: AbortSignal;
  /**
   * What happens to its turn: the next receiver gets it, it is kept in order to drop the
   * message, or the connection ends with the error that the function makes.
   */
  readonly onAbort: "leave" | "skip" | ((reason: unknown) => DOMException);
}

const DEFAULT_READ_BUFFER_BYTES = 64 * 1024;
const DEFAULT_HIGH_WATER_MARK_BYTES = 64 * 1024;

/**
 * A connection that carries messages both ways.
 *
 * **Reading waits for you.** The transport is read when you ask for a message, and a
 * message is decoded when you receive it, so a consumer that stops also stops the peer,
 * through the kernel's buffers. Only to notice the end is one read buffer read ahead; see
 * {@linkcode Connection.peerEnded}. **Writing waits for the peer.** Await each
 * {@linkcode Connection.send}, and the queue stays bounded. Small messages leave
 * together.
 *
 * Iteration, {@linkcode Connection.receive}, {@linkcode Connection.request},
 * {@linkcode Connection.batches} and {@linkcode Connection.readable} draw from the
 * same messages, each in its turn of calling. Breaking out of a loop over the
 * connection or its batches neither closes the connection nor loses a message.
 *
 * A half-close loses nothing: after the peer closes its side, this side can still send.
 * When both sides have closed, the connection is closed.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example A server that answers, and a client that asks
 * ```ts
 * import { connect, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     for await (const line of connection) {
 *       await connection.send(line.toUpperCase());
 *     }
 *   },
 * );
 * await using client = await connect({ port: server.addr.port, framing });
 *
 * assertEquals(await client.request("hello"), "HELLO");
 * ```
 */
export class Connection<out In = Bytes, in Out = SendableFor<In>>
  implements AsyncIterable<In>, AsyncDisposable {
  static {
    revealWriters((connection) =>
      #writer in connection ? connection.#writer : undefined
    );
  }

  // One object: a function for each event would take 180 bytes more in every idle
  // connection (measured).
  static readonly #Owner = class implements ReaderOwner, WriterOwner {
    readonly #connection: Connection<unknown, never>;

    constructor(connection: Connection<unknown, never>) {
      this.#connection = connection;
    }

    onReadEnd(): void {
      this.#connection.#onReadEnd();
    }

    onFailure(ending: Ending, error: unknown): void {
      this.#connection.#end(ending, error);
    }
  };

  #transport: Transport;
  #kind: Kind;
  readonly #reader: Reader<In>;
  readonly #writer: Writer<Out>;
  readonly #idleCountdown: Countdown | undefined;
  readonly #receiveCountdown: Countdown | undefined;
  readonly #messageCountdown: Countdown | undefined;
  readonly #messageTimeout: number | undefined;
  readonly #halfClosedLimit: HalfClosedLimit | undefined;
  #heartbeat: Heartbeat | undefined;
  #stopListening: (() => void) | undefined;
  // Made for a caller who asks: most connections end without.
  #closed: PromiseWithResolvers<void> | undefined;
  #isOver = false;
  #isWriteClosed = false;
  #isReleased = false;
  #isDetaching = false;
  #isDetached = false;
  // TLS is being started, which settles it, and never rejects.
  #securing: Promise<void> | undefined;
  #isAborted = false;
  #failure: { readonly error: unknown } | undefined;
  #abortController: AbortController | undefined;
  #readable: MessageStream<In> | undefined;
  #writable: MessageSink<Out> | undefined;
  #closingWrite: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #leftAlone: LeftAlone | undefined;

  /**
   * Frames a connection that you opened or accepted, or any other transport. The new
   * object owns the transport: do not read, write or close it yourself.
   *
   * @param transport A `Deno.Conn`, another {@linkcode Transport}, or a pair of byte
   * streams.
   * @param options The framing, limits and timeouts.
   * @throws {TypeError} If `transport` is not a transport, or an option cannot be
   * honoured, such as `noDelay` if the transport has none. `transport` then stays open.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(
    transport: Transport | ByteStreams,
    options: ConnectionOptions<In, Out>,
  ) {
    checkConnectionOptions(options);
    const identified = identifyTransport(transport, options);
    const { shortReadMeansEmpty } = identified.kind;
    const {
      framing,
      readBufferSize = DEFAULT_READ_BUFFER_BYTES,
      highWaterMark = DEFAULT_HIGH_WATER_MARK_BYTES,
      idleTimeout,
      receiveTimeout,
      messageTimeout,
      sendTimeout,
      halfClosedTimeout,
      heartbeat,
      signal,
    } = options;
    checkBeat(options, OutputBuffer);
    this.#transport = identified.transport;
    this.#kind = isServed(options)
      ? kindFromClient(identified.kind)
      : identified.kind;
    this.#idleCountdown = this.#countdown(
      idleTimeout,
      "nothing was received, and the system took nothing that was sent, within idleTimeout",
    );
    this.#receiveCountdown = this.#countdown(
      receiveTimeout,
      "nothing was received within receiveTimeout",
    );
    this.#messageTimeout = messageTimeout;
    this.#messageCountdown = this.#countdown(
      messageTimeout,
      "a message was not whole within messageTimeout",
    );
    const owner = new Connection.#Owner(this);
    const fail = (error: unknown) => this.#end(ENDINGS.failed, error);
    this.#reader = new Reader({
      transport: this.#transport,
      shortReadMeansEmpty,
      decoder: framing.decoder(),
      readBufferSize,
      idleCountdown: this.#idleCountdown,
      receiveCountdown: this.#receiveCountdown,
      messageCountdown: this.#messageCountdown,
      owner,
    });
    this.#writer = new Writer({
      transport: this.#transport,
      encoder: framing.encoder(),
      highWaterMark,
      sendLimit: sendTimeout === undefined ? undefined : new SendLimit({
        sendTimeout,
        bytesReceived: () => this.#reader.bytesReceived,
        onTimeout: fail,
      }),
      idleCountdown: this.#idleCountdown,
      owner,
    });
    onRejection(this.#transport.setNoDelay?.(options.noDelay ?? true), fail);
    if (options.keepAlive !== undefined) {
      onRejection(this.#transport.setKeepAlive?.(options.keepAlive), fail);
    }
    publishOpen(this, transport);
    if (this.#isReleased) return; // a subscriber of the channel ended it
    if (signal?.aborted) {
      this.abort(signal.reason);
      return;
    }
    if (signal !== undefined) this.#listenTo(signal);
    if (halfClosedTimeout !== undefined) {
      this.#halfClosedLimit = new HalfClosedLimit(halfClosedTimeout, {
        // Several messages may come from bytes that were taken earlier.
        moved: () =>
          this.#reader.bytesTaken + this.#reader.messagesReceived +
          this.#writer.bytesSent,
        isSending: () => this.#writer.bufferedAmount > 0,
        onTimeout: fail,
      });
    }
    if (receiveTimeout !== undefined || halfClosedTimeout !== undefined) {
      this.#reader.watch();
    }
    if (heartbeat !== undefined) this.#startBeating(heartbeat);
  }

  /**
   * The protocol that ALPN agreed on: `null` if none, `undefined` if the transport does
   * not say, such as one without TLS.
   */
  get alpnProtocol(): string | null | undefined {
    return this.#transport.alpnProtocol;
  }

  /** The address of this side, if the transport knows it. */
  get localAddr(): Address | undefined {
    return this.#transport.localAddr;
  }

  /** The address of the peer, if the transport knows it. */
  get remoteAddr(): Address | undefined {
    return this.#transport.remoteAddr;
  }

  /**
   * Settles when the connection has ended and all its resources are released. Rejects if
   * the connection ends with an error: the system's, a {@linkcode FramingError}, a
   * timeout, or the reason of an abort. It is never an unhandled rejection.
   *
   * Once you have read this property, an error is noticed even if nothing is received;
   * see {@linkcode Connection.peerEnded}. The peer's end alone does not settle it,
   * because this side may still send; `reconnect()` closes a connection whose handler
   * waits for nothing else.
   *
   * @example Why a connection has ended
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertRejects } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => void await connection.receive(),
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * client.abort(new Error("No heartbeat"));
   * await assertRejects(() => client.closed, Error, "No heartbeat");
   * ```
   */
  get closed(): Promise<void> {
    this.#watch();
    if (isReconnected(this)) {
      this.#leftAlone ??= this.#newLeftAlone();
      this.#leftAlone.noteAsked();
    }
    return this.#whenClosed;
  }

  get #whenClosed(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers();
      unobserved(this.#closed.promise);
      if (this.#isOver) this.#settleClosed();
    }
    return this.#closed.promise;
  }

  /**
   * Aborts only if the connection ends with an error. Its reason is the error that
   * {@linkcode Connection.closed} rejects with. Give it to work done for this
   * connection.
   *
   * @example Work that ends with its connection
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => void await connection.receive(),
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * const working = new Promise((_, reject) => {
   *   client.signal.addEventListener("abort", () => reject(client.signal.reason));
   * });
   * client.abort(new Error("No heartbeat"));
   * await assertRejects(() => working, Error, "No heartbeat");
   * assertEquals(client.signal.aborted, true);
   * ```
   */
  get signal(): AbortSignal {
    if (this.#abortController === undefined) {
      this.#abortController = new AbortController();
      if (this.#failure !== undefined) {
        this.#abortController.abort(this.#failure.error);
      }
    }
    this.#watch();
    return this.#abortController.signal;
  }

  /**
   * Whether this connection has ended, as far as this side has seen: it broke, was
   * aborted or closed, or a `receive()` or a wait for {@linkcode Connection.peerEnded}
   * reached the end of the peer's messages. {@linkcode Connection.closeRead} alone ends
   * nothing. This getter reads nothing from the socket. You can still send to a peer that
   * has closed its side.
   *
   * @example Telling the end from a loop that was left early
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   (connection) => connection.send("all"),
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * for await (const _line of client) break;
   * assertEquals(client.hasEnded, false);
   * for await (const _line of client);
   * assertEquals(client.hasEnded, true);
   * ```
   */
  get hasEnded(): boolean {
    return this.#failure !== undefined || this.#closing !== undefined ||
      this.#reader.hasToldEnd;
  }

  /**
   * Settles when the peer has closed its side, whether or not anything is received: for a
   * handler that only sends, or only waits. It also settles when this side stops reading,
   * and rejects with the cause when the connection ends with an error. It is never an
   * unhandled rejection.
   *
   * To notice the end, the connection reads ahead of its receivers, by at most
   * `readBufferSize`, once you have read this property, {@linkcode Connection.closed} or
   * {@linkcode Connection.signal}. If the peer sent more, receive it first: only then is
   * the end seen. Such a read does not keep the process alive, unless `reconnect()` made
   * the connection.
   *
   * @example A clock that ticks for as long as its client is there
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * const left = Promise.withResolvers<string>();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     const timer = setInterval(() => connection.send("tick"), 1);
   *     await connection.peerEnded; // receives nothing
   *     clearInterval(timer);
   *     left.resolve("gone");
   *   },
   * );
   * const client = await connect({ port: server.addr.port, framing });
   * assertEquals(await client.receive(), "tick");
   * await client.close();
   *
   * assertEquals(await left.promise, "gone");
   * ```
   */
  get peerEnded(): Promise<void> {
    this.#watch();
    const reader = this.#reader;
    const { bytesTaken } = reader;
    noteEndWait(
      this,
      () => reader.hasPeerEnded && reader.bytesTaken === bytesTaken,
    );
    return reader.peerEnded;
  }

  /**
   * The messages as a stream, which waits for its reader like every other way of
   * receiving. Cancelling it calls {@linkcode Connection.closeRead}, and so does leaving
   * a `for await` over it early, unless that iterates over `readable.values({
   * preventCancel: true })`. It asks for one message at a time: concurrent reads are
   * served in the order in which they were made.
   *
   * @example Messages through a stream
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     for (const line of ["1", "2", "3"]) await connection.send(line);
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * const doubled = client.readable.pipeThrough(
   *   new TransformStream<string, number>({
   *     transform: (line, controller) => controller.enqueue(2 * Number(line)),
   *   }),
   * );
   * assertEquals(await Array.fromAsync(doubled), [2, 4, 6]);
   * ```
   */
  get readable(): ReadableStream<In> {
    this.#readable ??= new MessageStream(
      this.#reader,
      () => this.closeRead(),
    );
    return this.#readable;
  }

  /**
   * A stream for messages to send. Its `ready` waits like {@linkcode Connection.send},
   * its `close()` is {@linkcode Connection.closeWrite} and its `abort()`
   * {@linkcode Connection.abort}. A pipe into it may hold another `highWaterMark` bytes.
   *
   * @example Sending the messages of a stream
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
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
   *
   * const [echoes] = await Promise.all([
   *   Array.fromAsync(client),
   *   // Ends this side after the last line.
   *   ReadableStream.from(["one", "two"]).pipeTo(client.writable),
   * ]);
   * assertEquals(echoes, ["one", "two"]);
   * ```
   */
  get writable(): WritableStream<Out> {
    if (this.#writable === undefined) {
      this.#writable = new MessageSink({
        writer: this.#writer,
        onClose: () => this.closeWrite(),
        onAbort: (reason) => {
          // A pipe passes the connection's own error on, which drops nothing.
          const isItsOwn = this.#failure !== undefined &&
            reason === this.#failure.error;
          if (!isItsOwn) this.abort(reason);
        },
      });
      if (this.#failure !== undefined) {
        this.#writable.fail(this.#failure.error);
      } else if (this.#isReleased) {
        this.#writable.fail(sideHasEnded());
      }
    }
    return this.#writable;
  }

  /**
   * Sends a message, and waits until there is room for more.
   *
   * It settles immediately while fewer than `highWaterMark` bytes are queued, and
   * otherwise when the peer has taken enough. The message is copied before this method
   * returns. It leaves at the end of this turn of the event loop, together with
   * everything else sent in that turn.
   *
   * A send that fails and is not awaited causes no unhandled rejection.
   *
   * @param message The message.
   * @param options Another framing, for this message alone.
   * @returns A promise that settles when there is room for more. It rejects with a
   * `TypeError` or `RangeError` if the framing refuses the message, with the error that
   * ended the connection, and with an `InvalidStateError` once this side has closed.
   *
   * @example Many messages, but never many in the queue
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assert, assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     const received = await Array.fromAsync(connection);
   *     await connection.send(`${received.length} lines`);
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * for (let number = 0; number < 1000; number++) {
   *   await client.send("x".repeat(1000));
   *   assert(client.stats().bufferedAmount < 64 * 1024);
   * }
   * await client.closeWrite();
   * assertEquals(await client.receive(), "1000 lines");
   * ```
   */
  send(message: Out, options?: SendOptions<Out>): Promise<void>;
  /** Sends a message in another framing. */
  send<T>(
    message: T,
    options: SendOptions<T> & { framing: Pick<Framing<unknown, T>, "encoder"> },
  ): Promise<void>;
  send(message: Out, options?: SendOptions<Out>): Promise<void> {
    const writer = this.#writer;
    const framing = options?.framing;
    try {
      if (framing === undefined) writer.queue(message, writer.encoder);
      else {
        checkFramingMethod(framing, "encoder", "send message");
        writer.queue(message, framing.encoder());
      }
    } catch (error) {
      return rejected(error);
    }
    return writer.ready();
  }

  /**
   * Waits until the kernel has taken everything sent so far.
   *
   * @returns A promise that settles then, or rejects with the error that ended the
   * connection.
   *
   * @example Nothing is queued any more
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
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
   *
   * client.send("hello");
   * assertEquals(client.stats().bufferedAmount, 6); // with its line feed
   * await client.flush();
   * assertEquals(client.stats().bufferedAmount, 0);
   * ```
   */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  // The overload with a framing comes first, here and below: over `Connection<unknown>`
  // options with any framing fit the other one too.
  /** Receives the next message in another framing. */
  receive<T>(
    options: ReceiveOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T | undefined>;
  /**
   * Receives the next message.
   *
   * @param options A signal to end the wait, which loses no message (see
   * {@linkcode ReceiveOptions.signal}); and another framing, for this message alone.
   * @returns The message, or `undefined` when there are no more. Rejects with the error
   * that ended the connection, after the messages before it, and with the signal's
   * reason.
   *
   * @example All messages, one by one
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   (connection) => connection.send("only one"),
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * assertEquals(await client.receive(), "only one");
   * assertEquals(await client.receive(), undefined); // the end
   * ```
   */
  receive(options?: ReceiveOptions<In>): Promise<In | undefined>;
  receive<T>(options?: ReceiveOptions<T>): Promise<T | undefined> {
    const signal = options?.signal;
    if (signal?.aborted) return rejected(signal.reason);
    try {
      checkSignal(signal);
      const source = this.#source(options?.framing);
      const message = this.#reader.takeNow(source);
      if (message !== undefined) return Promise.resolve(message);
      return this.#wait<T | undefined>(
        source,
        () => undefined,
        signal && { signal, onAbort: "leave" },
        true,
      );
    } catch (error) {
      return rejected(error);
    }
  }

  /** Receives the next message, which must come, in another framing. */
  expect<T>(
    options: ReceiveOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T>;
  /**
   * Receives the next message, which must come: one step of an exchange that is not
   * finished.
   *
   * @param options A signal to end the wait, which loses no message (see
   * {@linkcode ReceiveOptions.signal}); and another framing, for this message alone.
   * @returns The message. Rejects like {@linkcode Connection.receive}, and with an error
   * named `UnexpectedEof` if no more come. It is never an unhandled rejection.
   *
   * @example A greeting that is not optional
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals, assertRejects } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   (connection) => connection.send("220 ready"),
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * assertEquals((await client.expect()).slice(0, 3), "220");
   * await assertRejects(() => client.expect(), Error, "ended"); // by the server
   * ```
   */
  expect(options?: ReceiveOptions<In>): Promise<In>;
  expect<T>(
    options: ReceiveOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T> {
    const expected = this.receive(options).then((message) => {
      if (message === undefined) throw noMessage("message");
      return message;
    });
    return unobserved(expected);
  }

  /** Sends a message and receives the answer in another framing. */
  request<T>(
    message: Out,
    options: ConnectionRequestOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T>;
  /**
   * Sends a message and receives the answer: the next message that no earlier
   * call asked for. Concurrent requests are answered in order.
   *
   * Unlike with {@linkcode Connection.send}, the message leaves immediately if nothing
   * else is queued, because the caller waits for the answer.
   *
   * @param message The message.
   * @param options A signal to give the request up, which ends the connection unless
   * `onAbort` is `"skip"`; and another framing for the answer.
   * @returns The answer. Rejects like {@linkcode Connection.send}, with the signal's
   * reason, and with an error named `UnexpectedEof` if the messages end before it.
   *
   * @example Concurrent requests, each with its answer
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
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
   *
   * const answers = ["one", "two", "three"].map((line) => client.request(line));
   * assertEquals(await Promise.all(answers), ["one", "two", "three"]);
   * ```
   */
  request(message: Out, options?: ConnectionRequestOptions<In>): Promise<In>;
  request<T>(
    message: Out,
    options: ConnectionRequestOptions<T> = {},
  ): Promise<T> {
    const { signal, framing, onAbort = "disconnect" } = options;
    if (signal?.aborted) return rejected(signal.reason);
    try {
      checkSignal(signal);
      if (onAbort !== "disconnect" && onAbort !== "skip") {
        throw new TypeError(
          `Cannot send request as onAbort must be "disconnect" or "skip": current value is ${
            shownValue(onAbort)
          }`,
        );
      }
      if (this.#writer.isOpen) {
        if (this.#reader.isStopped) throw noMessage("answer");
        if (this.#reader.hasAll) {
          this.#reader.noteTold();
          throw noMessage("answer");
        }
      }
      const source = this.#source(framing); // before sending: it may be refused
      const leavesNow = this.#writer.queue(
        message,
        this.#writer.encoder,
        true,
      );
      return this.#wait<T>(
        source,
        noAnswer,
        signal && {
          signal,
          onAbort: onAbort === "skip" ? "skip" : requestGivenUp,
        },
        false,
        leavesNow ? this.#writer : undefined,
      );
    } catch (error) {
      return rejected(error);
    }
  }

  /**
   * Receives the next bytes in pieces, such as a body whose length came in a header. They
   * are never held whole, and are read only when the stream is read.
   *
   * It takes its turn like a call of {@linkcode Connection.receive}: messages that you
   * ask for later come after it, and wait while it is neither read to its end nor
   * cancelled. If it is cancelled, the rest is skipped, and the next message can still be
   * received. So cancel a body that you do not want.
   *
   * @param length How many bytes: a number, or decimal digits, as in a header.
   * @returns A stream of them. It fails with the connection's error, and with an error
   * named `UnexpectedEof` if the peer closes its side too early. Copy a piece before you
   * transfer its buffer, such as to a worker.
   * @throws {RangeError} If `length` is a number, but not a whole number of at least 0.
   * @throws {FramingError} If `length` is text, but not 1 to 15 digits.
   *
   * @example A file after its length
   * ```ts
   * import { connect, lines, serve, unframed } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     const digits = await connection.expect();
   *     let received = 0;
   *     for await (const piece of connection.receiveStream(digits)) {
   *       received += piece.length;
   *     }
   *     await connection.send(`${received} bytes, then ${await connection.receive()}`);
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * await client.send("100000");
   * await client.send(new Uint8Array(100_000), { framing: unframed() });
   * await client.send("bye");
   * assertEquals(await client.receive(), "100000 bytes, then bye");
   * ```
   */
  receiveStream(length: number | string): ReadableStream<Bytes> {
    if (typeof length === "string") {
      const [digits] = textFields(length, /^(\d{1,15})$/); // exact as a number
      return bodyStream(this.#reader, Number(digits));
    }
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new RangeError(
        `Cannot receive stream as length must be a whole number of at least 0: current value is ${
          shownValue(length)
        }`,
      );
    }
    return bodyStream(this.#reader, length);
  }

  /**
   * Switches to another framing, from the next message in each direction. Bytes that were
   * not received yet are read in the new framing, wherever the reads have cut them. It is
   * refused while the framing has taken a part of a message, such as the header of a
   * message, or a frame with a message that was not received: receive that first.
   *
   * @typeParam I The type of received messages from now on.
   * @typeParam O The type of messages to send from now on.
   * @param framing The framing.
   * @param options The heartbeat from now on. Without it the heartbeat stops, because its
   * message was made for the old framing.
   * @returns This connection.
   * @throws {DOMException} An `InvalidStateError` within a message, or a frame of several.
   *
   * @example A greeting in a line, and then packets
   * ```ts
   * import { connect, lengthPrefixed, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing: lines() },
   *   async (connection) => {
   *     await connection.send(`hello ${await connection.receive()}`);
   *     const packets = connection.reframe(lengthPrefixed());
   *     for await (const packet of packets) await packets.send(packet);
   *   },
   * );
   * const { port } = server.addr;
   * await using client = await connect({ port, framing: lines() });
   *
   * await client.send("Ann");
   * assertEquals(await client.receive(), "hello Ann");
   * const packets = client.reframe(lengthPrefixed());
   * assertEquals(
   *   await packets.request(new Uint8Array([1, 0x0a])),
   *   new Uint8Array([1, 0x0a]),
   * );
   * ```
   */
  reframe<I, O>(
    framing: Framing<I, O>,
    options: ReframeOptions<NoInfer<O>> = {},
  ): Connection<I, O> {
    checkFraming({ framing }, "change framing");
    const { heartbeat } = options;
    if (heartbeat !== undefined) {
      checkHeartbeat(heartbeat);
      checkBeat({ framing, heartbeat }, OutputBuffer);
    }
    if (this.#reader.isWithinMessage) throw isWithinMessage("change framing");
    // Make both before changing either: they may throw.
    const decoder = framing.decoder();
    const encoder = framing.encoder();
    // The same object, with its new type.
    const connection = this as unknown as Connection<I, O>;
    connection.#writer.encoder = encoder;
    this.#heartbeat?.stop();
    this.#heartbeat = undefined;
    if (heartbeat !== undefined && !this.#isReleased) {
      connection.#startBeating(heartbeat);
    }
    connection.#reader.reframe(decoder);
    return connection;
  }

  /**
   * Hands the transport over: sends what is queued, and then leaves the transport open
   * for another owner. No byte is lost: `unread` holds the bytes that were not received,
   * and the new owner's first read gets what a pending read brings. The same holds for
   * the rest of a {@linkcode Connection.receiveStream} that was not read to its end, even
   * if it was cancelled before the rest arrived.
   *
   * The connection is then over, as after {@linkcode Connection.close}, which does
   * nothing any more: pending receives see the end, and sending is refused.
   *
   * It is refused once this side has stopped reading, by {@linkcode Connection.closeRead}
   * or by cancelling {@linkcode Connection.readable}, even if that happens while the
   * queue is being sent: the bytes of a pending read are then dropped, and the new owner
   * would not know that they are missing. It is also refused while a framing has taken a
   * part of a message, such as its header, or a frame with a message that was not
   * received. Leaving a `for await` over `readable` early cancels it; leaving one over
   * the connection does not.
   *
   * @returns The transport, and the bytes that come before those it reads. Rejects with
   * the cause if the connection has ended with an error, and with an `InvalidStateError`
   * if it was closed, has stopped reading, is within a message, or is starting TLS.
   *
   * @example From lines to the bare transport
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing: lines() },
   *   async (connection) => {
   *     await connection.receive(); // the rest is another protocol
   *     const { transport, unread } = await connection.detach();
   *     await transport.write(unread);
   *     transport.close();
   *   },
   * );
   * const { port } = server.addr;
   * await using client = await connect({ port, framing: lines() });
   *
   * client.send("CONNECT");
   * client.send("echo this");
   * assertEquals(await client.receive(), "echo this");
   * ```
   */
  async detach(): Promise<{ transport: Transport; unread: Bytes }> {
    if (this.#isEnding) throw this.#endError;
    const refusal = this.#lacksBytes();
    if (refusal !== undefined) throw refusal;
    if (this.#securing !== undefined) throw isSecuring();
    this.#isDetaching = true;
    await this.#writer.finish(hasEnded);
    // A half-close that was requested earlier must not reach the new owner.
    await this.#closingWrite;
    // Meanwhile close() or a malformed message has started to drain the transport.
    if (this.#isEnding) throw this.#endError;
    const lateRefusal = this.#lacksBytes();
    if (lateRefusal !== undefined) {
      this.close(); // neither the connection nor its transport is usable
      throw lateRefusal;
    }
    // Set first: receivers now see the end, which must not close a half-closed transport.
    this.#isDetached = true;
    const { unread, underWay } = this.#reader.detach();
    this.#release();
    return {
      transport: underWay === undefined
        ? this.#transport
        : new DetachedTransport(this.#transport, underWay),
      unread,
    };
  }

  /** Why a new owner of the transport would not get all bytes, if that is so. */
  #lacksBytes(): DOMException | undefined {
    if (this.#reader.isStopped) return hasStoppedReading();
    return this.#reader.hasPart
      ? isWithinMessage("hand transport over")
      : undefined;
  }

  /**
   * Switches to TLS, as STARTTLS does: what is queued leaves first, and the next message
   * that is received or sent is encrypted. Until then receivers wait; if the connection
   * ends before that, they get nothing that came meanwhile. {@linkcode Connection.closed},
   * {@linkcode Connection.signal} and the timeouts stay in force; `messageTimeout` also
   * limits the whole handshake.
   *
   * It is refused while bytes of the peer are unread, belong to a message or a body that a
   * receiver waits for, or hold a message that was not received: they were not encrypted,
   * and would pass for encrypted messages (response injection). A peer that sends such bytes
   * is broken or under attack: close the connection. It ends by itself if a message was
   * sent since this call, which must not leave unencrypted, and if `correlate()` has taken
   * such a message in the same moment. A loop of your own over the messages may have taken
   * one, too, and so may a pipe or a branch of `readable.tee()`: receive the answer that
   * allows TLS by {@linkcode Connection.request}, and begin these afterwards.
   *
   * A server accepts three kinds of bytes: the first that the peer sent, those that begin
   * a handshake (a MySQL client does not wait for an answer), and those that come after
   * this call. They are taken for the peer's side of the handshake, which fails if they
   * are anything else.
   *
   * @param options Which side this is, names and certificates.
   * @returns A promise that settles when the handshake is done. If the handshake fails,
   * the connection ends with its error, named `"InvalidData"`, or `"UnexpectedEof"` if
   * the peer closed its side. Always await it: after a refusal, the connection continues
   * without TLS.
   *
   * @example A client and a server that agree on TLS
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const caCerts = [await Deno.readTextFile("dev/testdata/ca.pem")];
   * const cert = await Deno.readTextFile("dev/testdata/localhost.pem");
   * const key = await Deno.readTextFile("dev/testdata/localhost.key");
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     await connection.receive(); // "STARTTLS"
   *     connection.send("go ahead");
   *     await connection.startTls({ side: "server", cert, key });
   *     for await (const line of connection) await connection.send(line);
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * assertEquals(await client.request("STARTTLS"), "go ahead");
   * await client.startTls({ serverName: "localhost", caCerts });
   * assertEquals(await client.request("secret"), "secret");
   * ```
   */
  async startTls(options: StartTlsOptions): Promise<void> {
    // A copy: the caller may change the object while the queue is sent.
    const own: StartTlsOptions = copyOptions(options);
    checkStartTlsOptions(own);
    if (this.#isEnding || !this.#writer.isOpen) throw this.#endError;
    if (this.#reader.isStopped) throw hasStoppedReading();
    if (this.#securing !== undefined) throw isSecuring();
    // Otherwise messages sent after this call, in the same turn, would leave unencrypted.
    if (this.#writer.isEncoding) throw isEncoding();
    const isServer = own.side === "server";
    const mayBeHandshake = isServer && this.#reader.mayBeginHandshake;
    // A receiver that asks after this call begins its body with encrypted bytes.
    const isRefused = this.#reader.isWithinBody ||
      this.#hasUnencrypted(mayBeHandshake);
    const securing = Promise.withResolvers<void>();
    this.#securing = securing.promise;
    try {
      await this.#startTls(own, isRefused);
    } finally {
      this.#securing = undefined;
      securing.resolve();
    }
  }

  /** Whether unencrypted bytes would be received as if they had been encrypted. */
  #hasUnencrypted(mayBeHandshake: boolean): boolean {
    if (this.#readable?.holdsMessage) return true;
    return mayBeHandshake ? this.#reader.hasPart : this.#reader.hasUnread;
  }

  async #startTls(options: StartTlsOptions, isRefused: boolean): Promise<void> {
    // What arrives until the transport is changed is not encrypted.
    this.#reader.hold();
    // Even if it is refused: the caller may send before it can know that.
    await this.#writer.pause();
    this.#throwIfEnded();
    // A client begins its handshake as soon as it may, and a watcher may have read it.
    if (isRefused || this.#hasUnencrypted(options.side === "server")) {
      const refusal = hasUnread();
      // Messages sent since the call must not leave unencrypted.
      if (this.#writer.bufferedAmount > 0) {
        this.#end(ENDINGS.failed, refusal);
      } else {
        this.#writer.goOnIn(this.#transport);
        this.#reader.release();
      }
      throw refusal;
    }
    this.#idleCountdown?.resume();
    const limit = this.#messageTimeout;
    const stopTimer = limit === undefined
      ? undefined
      : startTimer(limit, () =>
        this.#endByTimeout(
          "the TLS handshake was not done within messageTimeout",
          limit,
        ));
    try {
      await this.#reader.changeTransport(async (unread, underWay) => {
        let lower = this.#transport;
        if (underWay !== undefined) {
          lower = new DetachedTransport(lower, underWay);
        }
        if (unread.length > 0) {
          lower = new DetachedTransport(lower, Promise.resolve(unread));
        }
        const transport = await startTls(lower, options, () => {
          this.#idleCountdown?.reset();
          this.#receiveCountdown?.reset();
        });
        if (this.#isReleased) transport.close();
        this.#throwIfEnded();
        this.#transport = transport;
        this.#kind = options.side === "server"
          ? kindFromClient(TLS_OF_NODE)
          : TLS_OF_NODE;
        return transport;
      });
    } catch (error) {
      // close() that has nothing to send ends this side, and the handshake with it.
      const isClosed = this.#closing !== undefined &&
        this.#writer.bufferedAmount === 0;
      if (!isClosed) this.#end(ENDINGS.failed, error);
      throw this.#endError; // close(), an abort or a timeout may have won the race
    } finally {
      stopTimer?.();
      this.#idleCountdown?.pause();
    }
    this.#writer.goOnIn(this.#transport);
  }

  /**
   * The messages of one read at a time, as offsets into the buffer: the fastest way to
   * receive. A message is decoded when you access it.
   *
   * @returns An iterable of batches, none of them empty. It ends when the messages end,
   * and throws the error that ends the connection. A batch is valid until you ask for the
   * next one.
   *
   * @example Counting messages, and looking at their first bytes
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   (connection) => {
   *     for (const line of ["one", "two", "three"]) connection.send(line);
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * let count = 0;
   * let first = "";
   * for await (const batch of client.batches()) {
   *   count += batch.length;
   *   for (let i = 0; i < batch.length; i++) {
   *     first += String.fromCharCode(batch.byteAt(i, 0) ?? 0);
   *   }
   * }
   * assertEquals([count, first], [3, "ott"]);
   * ```
   */
  batches(): AsyncIterable<Batch<In>> {
    return {
      [Symbol.asyncIterator]: () =>
        new MessageIterator(batchTaker(this.#reader)),
    };
  }

  /**
   * Forwards messages of a batch, framed as they came, in one copy. A message whose
   * framing takes it in parts, such as `headed()` and `grouped()`, is refused, and so is
   * one that shares its frame with another, as with `assembled()`: send the message
   * itself.
   *
   * Delimiters are forwarded as they came, too. The last message of a stream may have no
   * delimiter, and a delimiter such as `"a"` may become `"ab"` with the next byte sent:
   * two messages would be read as one. In these cases send the messages.
   *
   * @param batch A batch of this connection, or of another.
   * @param from The first message, from 0 on.
   * @param to The first message that is not forwarded.
   * @returns A promise like that of {@linkcode Connection.send}. It rejects with a
   * `RangeError` if there are no such messages, with a `TypeError` if one was taken in
   * parts or shares its frame, and with an `InvalidStateError` if the batch is no longer
   * valid.
   *
   * @example An echo that decodes no messages
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     for await (const batch of connection.batches()) {
   *       await connection.forward(batch);
   *     }
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * const answers = ["one", "two"].map((line) => client.request(line));
   * assertEquals(await Promise.all(answers), ["one", "two"]);
   * ```
   */
  forward(batch: Batch<unknown>, from?: number, to?: number): Promise<void> {
    const writer = this.#writer;
    try {
      checkFunction("forward", "batch.framesOf", batch?.framesOf);
      const { count, frames } = batch.framesOf(from, to);
      if (count > 0) writer.queueFrames(frames, count);
    } catch (error) {
      return rejected(error);
    }
    return writer.ready();
  }

  /**
   * Iterates over the messages, like {@linkcode Connection.receive}.
   *
   * @returns An iterator. Ending it early neither closes the connection nor loses
   * a message.
   */
  [Symbol.asyncIterator]():
    & AsyncIterableIterator<In, undefined>
    & AsyncDisposable {
    return new MessageIterator(this.#reader);
  }

  /**
   * Ends the messages after those that were already read from the socket. This side can
   * still send. Nothing that the peer sends from now on is read, so a later
   * {@linkcode Connection.detach}, or a pending one, is refused. The handshake of a
   * pending {@linkcode Connection.startTls} goes on, within its timeouts.
   *
   * @example Stopping early
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
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
   *
   * assertEquals(await client.request("hello"), "hello");
   * client.closeRead();
   * assertEquals(await client.receive(), undefined);
   * await client.send("still heard");
   * ```
   */
  closeRead(): void {
    // `close()` drains the transport so that the peer receives the rest.
    if (!this.#reader.isStopped) this.#reader.stop(this.#failure);
    this.#releaseIfEnded();
  }

  /**
   * Half-closes: ends this side's messages after sending what is queued. The peer's
   * messages still come.
   *
   * @returns A promise that settles when the kernel has taken everything, and
   * rejects if the connection ends with an error before that.
   *
   * @example An answer to everything that was sent
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => {
   *     let sum = 0;
   *     for await (const line of connection) sum += Number(line);
   *     await connection.send(`${sum}`);
   *   },
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * for (const number of ["20", "22"]) await client.send(number);
   * await client.closeWrite(); // no more from here
   * assertEquals(await client.receive(), "42");
   * ```
   */
  closeWrite(): Promise<void> {
    if (this.#closingWrite === undefined && this.#isDetaching) {
      return rejected(this.#endError);
    }
    return unobserved(this.#closingWrite ??= this.#closeWrite());
  }

  /**
   * Closes the connection after sending what is queued. Messages that were read but not
   * received yet can still be received; anything the peer sends from now on is dropped.
   *
   * If the peer is sending (it has sent bytes that were not read, or a part of a message
   * or of a {@linkcode Connection.receiveStream}), it has up to a second to receive the
   * rest and to close its side. So has a TLS server of which nothing was received yet: its
   * session tickets may be on their way. Over a TLS connection that you accepted yourself,
   * the peer is taken for a server. The system answers what comes later with a reset, and
   * drops what it has not delivered to the peer's system yet: if that matters, call
   * {@linkcode Connection.closeWrite} and receive to the end first.
   *
   * @returns A promise that settles when everything is released. It rejects with the
   * cause if what is queued cannot be sent.
   *
   * @example Messages sent before close() still arrive
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * const framing = lines();
   * const received = Promise.withResolvers<string[]>();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => received.resolve(await Array.fromAsync(connection)),
   * );
   * const client = await connect({ port: server.addr.port, framing });
   *
   * client.send("last words");
   * await client.close();
   * assertEquals(await received.promise, ["last words"]);
   * ```
   */
  close(): Promise<void> {
    return unobserved(this.#closing ??= this.#close());
  }

  /**
   * Ends the connection immediately. Messages that are queued or not yet received are
   * dropped.
   *
   * In Deno this is not a reset, because Deno cannot ask for one. The peer reads what has
   * arrived, then usually an ordinary end, even if bytes that it sent were not read; only
   * its writes fail. If bytes were still on their way to it as well, they are lost, and
   * it may read a reset once. So let the protocol mark the end of anything that must be
   * whole. A transport that has a `reset()`, like those of `@framed/tcp/node` over TCP,
   * is reset.
   *
   * @param reason Pending operations reject with it; by default an `AbortError`.
   *
   * @example Giving up
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertRejects } from "@std/assert";
   *
   * const framing = lines();
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing },
   *   async (connection) => void await connection.receive(),
   * );
   * await using client = await connect({ port: server.addr.port, framing });
   *
   * const receiving = client.receive();
   * client.abort(new Error("Enough"));
   * await assertRejects(() => receiving, Error, "Enough");
   * ```
   */
  abort(reason?: unknown): void {
    this.#end(
      ENDINGS.aborted,
      reason === undefined
        ? new DOMException("The connection was aborted", "AbortError")
        : reason,
    );
  }

  /** Closes the connection, like {@linkcode Connection.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Reports what the connection has done so far.
   *
   * @returns A snapshot.
   *
   * @example How much went each way
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
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
   *
   * await client.request("hello");
   * const { bytesSent, bytesReceived } = client.stats();
   * assertEquals([bytesSent, bytesReceived], [6, 6]);
   * ```
   */
  stats(): ConnectionStats {
    return {
      bytesReceived: this.#reader.bytesReceived,
      bytesSent: this.#writer.bytesSent,
      messagesReceived: this.#reader.messagesReceived,
      messagesDropped: this.#reader.messagesDropped,
      messagesSent: this.#writer.messagesSent,
      bufferedAmount: this.#writer.bufferedAmount,
      blockedTime: this.#writer.blockedTime,
    };
  }

  /** Lets a wait for this connection keep the process alive, as it does by default. */
  ref(): void {
    if (!this.#isDetached) this.#reader.setMayKeepAlive(true);
  }

  /**
   * Lets the process end while the connection waits for the peer to send. A pending write
   * keeps the process alive: Deno has no way to change that.
   */
  unref(): void {
    if (!this.#isDetached) this.#reader.setMayKeepAlive(false);
  }

  /** Notices the end even if nothing is received. */
  #watch(): void {
    // With reconnect(), perhaps nothing else keeps the process alive until the next one.
    this.#reader.watch(isReconnected(this));
  }

  #countdown(limit: number | undefined, what: string): Countdown | undefined {
    return limit === undefined
      ? undefined
      : new Countdown(limit, () => this.#endByTimeout(what, limit));
  }

  #onReadEnd(): void {
    this.#releaseIfEnded();
    this.#leftAlone?.start();
    if (this.#reader.hasPeerEnded && !this.#isReleased) {
      this.#halfClosedLimit?.start();
    }
  }

  #endByTimeout(what: string, limit: number): void {
    const message = `Cannot go on: ${what} of ${limit} ms`;
    this.#end(ENDINGS.failed, new DOMException(message, "TimeoutError"));
  }

  #startBeating({ interval, message }: HeartbeatOptions<Out>): void {
    const heartbeat = new Heartbeat(interval, this.#writer, () => {
      if (!this.#writer.isOpen) return heartbeat.stop();
      try {
        const beat = beatOf(message);
        // The function that made it may have changed the framing, or closed this side.
        if (this.#heartbeat !== heartbeat) return;
        if (!this.#writer.isOpen) return heartbeat.stop();
        this.#writer.queue(beat, this.#writer.encoder);
      } catch (error) {
        this.#end(ENDINGS.failed, error);
      }
    });
    this.#heartbeat = heartbeat;
  }

  #listenTo(signal: AbortSignal): void {
    this.#stopListening = onAbort(signal, () => this.abort(signal.reason));
  }

  /** What takes messages by `framing`, or by the framing of the connection. */
  #source<T>(
    framing: Pick<Framing<T, never>, "decoder"> | undefined,
  ): Source<T> {
    const reader = this.#reader as unknown as Reader<T>; // without a framing T is In
    if (framing === undefined) return reader;
    checkFramingMethod(framing, "decoder", "receive message");
    return takingBy(reader, framing.decoder());
  }

  /** Waits for a turn to take messages; see {@linkcode Reader.wait}. */
  #wait<T>(
    source: Source<T>,
    end: () => T,
    abort?: WaitAbort,
    hasTried = false,
    write?: TurnTask,
  ): Promise<T> {
    const waiter = new Waiter(source, end);
    const isWaiting = abort === undefined || this.#giveUpOnAbort(waiter, abort);
    if (isWaiting) this.#reader.wait(waiter, hasTried, write);
    return waiter.promise;
  }

  /**
   * Lets `waiter`, which is about to wait, give up when the signal is aborted.
   *
   * @returns Whether it still waits: the framing's own function may have aborted already.
   */
  #giveUpOnAbort<T>(waiter: Waiter<T>, abort: WaitAbort): boolean {
    const { signal } = abort;
    /** Returns whether it keeps its place. */
    const giveUp = () => {
      waiter.fail(signal.reason);
      if (abort.onAbort === "skip") return true;
      // The bytes taken so far belong to this message, not to the next receiver.
      const makeError = abort.onAbort !== "leave"
        ? abort.onAbort
        : this.#reader.hasBegun(waiter)
        ? messageGivenUp
        : undefined;
      if (makeError === undefined) {
        this.#reader.leave(waiter);
        return false;
      }
      this.#end(ENDINGS.failed, makeError(signal.reason));
      return true;
    };
    if (signal.aborted) return giveUp();
    const settled = onAbort(signal, giveUp);
    waiter.promise.then(settled, settled);
    return true;
  }

  async #closeWrite(): Promise<void> {
    await this.#writer.finish();
    await this.#securing; // the end must go through TLS
    if (this.#isReleased) return this.#whenClosed;
    try {
      await this.#writer.end();
    } catch (error) {
      // `close()`, `abort()` or an error won the race.
      if (this.#isReleased) return this.#whenClosed;
      this.#end(endingOfWrite(error), error);
      throw error;
    }
    this.#isWriteClosed = true;
    this.#releaseIfEnded();
  }

  async #close(): Promise<void> {
    if (this.#isReleased || this.#failure !== undefined) {
      // `closed` rejects with an error; there is nothing left to close.
      await this.#whenClosed.catch(() => {});
      return;
    }
    await this.#sendRest(ENDINGS.closed);
    this.#release();
    await this.#whenClosed;
  }

  /** Ends the connection by an error, as the table of endings says. */
  #end(ending: Ending, error: unknown): void {
    const isDropping = ending.received === "dropped";
    if (this.#isReleased) {
      // Receivers stuck after a body that is not read are told now.
      if (isDropping && this.#reader.isBlocked) {
        this.#reader.drop();
        this.#reader.goOn();
      }
      return;
    }
    if (isDropping) this.#reader.drop();
    if (ending === ENDINGS.aborted) this.#isAborted = true;
    if (this.#failure !== undefined) {
      // After a second error the rest can neither be sent nor received.
      this.#writer.fail(this.#failure.error);
      this.#release();
      this.#reader.goOn();
      return;
    }
    this.#failure = { error };
    this.#endBy(ending, this.#failure);
    // If closeRead() had stopped reading, receivers were not told of this end.
    if (isDropping) this.#reader.goOn();
  }

  async #endBy(
    ending: Ending,
    failure: { readonly error: unknown },
  ): Promise<void> {
    const { unread, queued } = ending;
    const { error } = failure;
    if (queued === "dropped") {
      this.#writer.fail(error);
      this.#writable?.fail(error);
    }
    const isKept = unread === "delivered" && !this.#reader.isOver;
    const kept = isKept ? this.#reader.keep(failure) : undefined;
    if (!isKept) this.#reader.stop(failure);
    this.#abortController?.abort(error);
    if (kept !== undefined) {
      await isSettledWithin(kept, DRAIN_MS);
      this.#reader.stop(failure);
    }
    if (queued === "sent") {
      // Include the answers of this turn, and those that wait for room in a pipe.
      this.#writable?.letAllIn();
      await endOfTurn();
      this.#writable?.fail(error);
      if (this.#isReleased) return; // by a failed write, or an abort
      await this.#sendRest(ending, () => error).catch(() => {});
    }
    this.#release();
  }

  /**
   * Sends what is queued, and then the end of this side, so that the peer can receive
   * everything.
   *
   * Closing a socket that holds unread bytes resets the connection, and the system
   * throws away what the peer has not received yet (measured: 128,000 of 2,000,000
   * bytes arrived). So the receive buffer is drained until the peer closes its side, for
   * up to {@linkcode DRAIN_MS}. Draining starts now: a peer that is blocked on writing to
   * us could not take our bytes.
   */
  async #sendRest(
    { unread }: Ending,
    refusal?: () => unknown,
  ): Promise<void> {
    const flushed = this.#writer.finish(refusal);
    const mayLose = this.#writer.messagesSent > 0 && !this.#reader.hasPeerEnded;
    if (unread !== "drained" || !mayLose) {
      this.#reader.stop();
      await flushed;
      if (!this.#kind.closeSendsEnd && !this.#isReleased) {
        await (this.#closingWrite ?? this.#writer.end()).catch(() => {});
      }
      return;
    }
    this.#reader.discard();
    await flushed;
    if (this.#isReleased) return;
    try {
      await this.#writer.end();
    } catch {
      return; // reset or closed meanwhile: there is nothing left to save
    }
    // Only now: startTls() may have changed the transport.
    const drained = this.#reader.stopped;
    // Bytes that have arrived show only after a poll of the sockets and a read.
    for (let wasHeldUp = true; wasHeldUp && !this.#isPeerSending;) {
      wasHeldUp = this.#reader.isHeldUp;
      const isDrained = await isSettledSoon(drained);
      if (!isDrained) await untilSharedPoll();
    }
    if (this.#isPeerSending) await isSettledWithin(drained, DRAIN_MS);
  }

  get #isPeerSending(): boolean {
    // If tickets met a closed socket, its system would reset the connection.
    return this.#reader.isPeerSending ||
      this.#kind.hasTickets && !this.#reader.hasReceived;
  }

  /** Whether the end has begun, or has come. */
  get #isEnding(): boolean {
    return this.#isReleased || this.#closing !== undefined ||
      this.#failure !== undefined;
  }

  #releaseIfEnded(): void {
    if (!this.#isWriteClosed || this.#isDetached) return;
    if (this.#reader.hasAll) this.#release();
    // The peer may still be sending: let it receive everything first.
    else if (this.#reader.isStopped) this.close();
  }

  #newLeftAlone(): LeftAlone {
    const [reader, writer] = [this.#reader, this.#writer];
    return new LeftAlone({
      isEndUntold: () => reader.hasUntoldEnd && !this.#isEnding,
      received: () => reader.messagesReceived,
      sent: () => writer.messagesSent,
      isSending: () => writer.bufferedAmount > 0,
      close: () => this.close(),
    });
  }

  /** Releases the transport, the timers and the listener. */
  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#reader.stop(this.#failure);
    this.#writable?.fail(sideHasEnded());
    this.#idleCountdown?.stop();
    this.#receiveCountdown?.stop();
    this.#messageCountdown?.stop();
    this.#halfClosedLimit?.stop();
    this.#heartbeat?.stop();
    this.#leftAlone?.stop();
    this.#stopListening?.();
    if (!this.#isDetached) this.#closeTransport();
    this.#writer.stop();
    this.#endOnceQuiet();
  }

  /** Reports the end once no read and no write is pending. */
  async #endOnceQuiet(): Promise<void> {
    if (!this.#isDetached) await this.#reader.stopped;
    await this.#writer.stopped;
    this.#isOver = true;
    publishClose(this, this.#failure);
    this.#settleClosed();
  }

  #throwIfEnded(): void {
    if (this.#isReleased || this.#failure !== undefined) throw this.#endError;
  }

  /** The error of an operation that the end of the connection stopped. */
  get #endError(): unknown {
    return this.#failure === undefined ? hasEnded() : this.#failure.error;
  }

  #closeTransport(): void {
    this.#reader.letSettle();
    try {
      const resets = this.#isAborted && this.#transport.reset !== undefined;
      onRejection(
        resets ? this.#transport.reset?.() : this.#transport.close(),
        (error) => this.#noteUnclosed(error),
      );
    } catch (error) {
      this.#noteUnclosed(error);
    }
  }

  /** Records an error of closing the transport; the rest is released all the same. */
  #noteUnclosed(error: unknown): void {
    // Its owner may have closed it already. `closed` rejects with any other error.
    if (isClosedAlready(error) || this.#isOver) return;
    this.#failure ??= { error };
  }

  #settleClosed(): void {
    if (this.#failure === undefined) this.#closed?.resolve();
    else this.#closed?.reject(this.#failure.error);
  }
}

function hasEnded(): DOMException {
  return new DOMException(
    "Cannot go on: the connection has ended, or its transport was handed over",
    "InvalidStateError",
  );
}

function hasStoppedReading(): DOMException {
  return new DOMException(
    "Cannot go on with the transport: closeRead(), or cancelling readable, has stopped reading, and bytes of the peer may be missing",
    "InvalidStateError",
  );
}

function isSecuring(): DOMException {
  return new DOMException(
    "Cannot go on with the transport: startTls() is under way",
    "InvalidStateError",
  );
}

function isEncoding(): DOMException {
  return new DOMException(
    "Cannot start TLS: it was called by the framing's own function while that encodes a message",
    "InvalidStateError",
  );
}

function requestGivenUp(reason: unknown): DOMException {
  return givenUp(
    "a request was aborted, and its answer could be taken for that of another",
    reason,
  );
}

function messageGivenUp(reason: unknown): DOMException {
  return givenUp(
    "receive() was aborted inside a message, and the rest could be taken for another message",
    reason,
  );
}

function givenUp(what: string, reason: unknown): DOMException {
  const error = new DOMException(`Cannot go on: ${what}`, "AbortError");
  return Object.defineProperty(error, "cause", { value: reason });
}

/** Takes one message as `decoder` reads it. */
function takingBy<T>(reader: Reader<T>, decoder: Decoder<T>): Source<T> {
  return { take: () => reader.takeBy(decoder) };
}

function noAnswer(): never {
  throw noMessage("answer");
}
