import type { Batch } from "../framing/batch.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { Decoder, Framing } from "../framing/framing.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import { textFields } from "../framing/text_fields.ts";
import { checkNotAsync, checkSignal } from "../internal/checks.ts";
import {
  checkConnectionOptions,
  checkFraming,
  checkFramingMethod,
  checkHeartbeat,
} from "../internal/connection_options.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { Countdown, startTimer } from "../internal/countdown.ts";
import { publishClose, publishOpen } from "../internal/diagnostics.ts";
import { keepAlive } from "../internal/event_loop.ts";
import { onAbort } from "../internal/on_abort.ts";
import { onRejection } from "../internal/on_rejection.ts";
import {
  isSettledSoon,
  isSettledWithin,
  rejected,
  unobserved,
} from "../internal/promises.ts";
import { isReconnected } from "../internal/reconnected.ts";
import { shownValue } from "../internal/shown.ts";
import { systemError } from "../internal/system_error.ts";
import { bodyStream } from "./_body_stream.ts";
import { DetachedTransport } from "./_detached.ts";
import {
  DRAIN_MS,
  type Ending,
  endingOfWrite,
  ENDINGS,
  isClosedAlready,
} from "./_ending.ts";
import { HalfClosedLimit } from "./_half_closed_limit.ts";
import { Heartbeat } from "./_heartbeat.ts";
import { messageStream } from "./_readable.ts";
import { isWithinMessage, Reader } from "./_reader.ts";
import { batchTaker, MessageIterator, Waiter } from "./_receivers.ts";
import { SendLimit } from "./_send_limit.ts";
import { checkStartTlsOptions, startTls } from "./_start_tls.ts";
import { identifyTransport } from "./_transports.ts";
import { endOfTurn, type TurnTask, untilLooked } from "./_turns.ts";
import { MessageSink } from "./_writable.ts";
import { sideHasEnded, Writer } from "./_writer.ts";
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

const DEFAULT_READ_BUFFER_BYTES = 64 * 1024;
const DEFAULT_HIGH_WATER_MARK_BYTES = 64 * 1024;
// For how long nothing is done after the peer's end by a handler that only waits.
const LEFT_ALONE_MS = 1000;

/**
 * A connection that carries messages both ways.
 *
 * **Reading waits for you.** The transport is read when a message is asked for, and
 * a message is decoded when it is received, so a consumer that stops stops the peer,
 * through the kernel's buffers. Only to notice the end, one read buffer is read ahead;
 * see {@linkcode Connection.peerEnded}. **Writing waits for the peer.** Await each {@linkcode Connection.send},
 * and the queue stays bounded. Small messages leave together.
 *
 * Iteration, {@linkcode Connection.receive}, {@linkcode Connection.request},
 * {@linkcode Connection.batches} and {@linkcode Connection.readable} draw from the
 * same messages, each in its turn of calling. Breaking out of a loop over the
 * connection or its batches neither closes the connection nor loses a message.
 *
 * A half-close loses nothing: when the peer ends its messages, this side can
 * still send. When both sides have ended, the connection is closed.
 *
 * @typeParam In What is received.
 * @typeParam Out What may be sent.
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

  #transport: Transport;
  #closeSendsEnd: boolean;
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
  #readable: ReadableStream<In> | undefined;
  #writable: MessageSink<Out> | undefined;
  #closingWrite: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  // How many messages had been received when `closed` was last asked for.
  #receivedBeforeClosed: number | undefined;
  // Ends the wait for what a handler does after the peer's end.
  #leftAlone: (() => void) | undefined;

  /**
   * Frames a connection that you opened or accepted, or any other transport. It belongs
   * to the new object then: do not read, write or close it yourself.
   *
   * @param transport A `Deno.Conn`, another {@linkcode Transport}, or a pair of byte
   * streams.
   * @param options The framing, limits and timeouts.
   * @throws {TypeError} If `transport` is not a transport, or an option cannot be honoured, such
   * as `noDelay` where the transport has none. `transport` stays open then.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(
    transport: Transport | ByteStreams,
    options: ConnectionOptions<In, Out>,
  ) {
    checkConnectionOptions(options);
    const identified = identifyTransport(transport, options);
    const { shortReadMeansEmpty, closeSendsEnd } = identified.kind;
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
    if (heartbeat !== undefined) checkBeat(framing, heartbeat);
    this.#transport = identified.transport;
    this.#closeSendsEnd = closeSendsEnd;
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
    // Made once for all, as each would be held by each idle connection.
    const end = (ending: Ending, error: unknown) => this.#end(ending, error);
    const fail = (error: unknown) => this.#end(ENDINGS.failed, error);
    this.#reader = new Reader({
      transport: this.#transport,
      shortReadMeansEmpty,
      decoder: framing.decoder(),
      readBufferSize,
      idleCountdown: this.#idleCountdown,
      receiveCountdown: this.#receiveCountdown,
      messageCountdown: this.#messageCountdown,
      onEnd: () => {
        this.#releaseIfEnded();
        this.#closeIfLeftAlone();
        if (this.#reader.hasPeerEnded && !this.#isReleased) {
          this.#halfClosedLimit?.start();
        }
      },
      onFailure: end,
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
      onFailure: end,
    });
    onRejection(this.#transport.setNoDelay?.(options.noDelay ?? true), fail);
    if (options.keepAlive !== undefined) {
      onRejection(this.#transport.setKeepAlive?.(options.keepAlive), fail);
    }
    publishOpen(this, transport);
    if (this.#isReleased) return; // a subscriber of the channel has ended it
    if (signal?.aborted) {
      this.abort(signal.reason);
      return;
    }
    if (signal !== undefined) this.#listenTo(signal);
    if (halfClosedTimeout !== undefined) {
      this.#halfClosedLimit = new HalfClosedLimit(halfClosedTimeout, {
        // Several messages may be made of bytes that were taken before.
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
   * What TLS agreed on by ALPN: `null` if that is nothing, `undefined` if the transport
   * does not tell, such as one without TLS.
   */
  get alpnProtocol(): string | null | undefined {
    return this.#transport.alpnProtocol;
  }

  /** The address of this side, if the transport tells it. */
  get localAddr(): Address | undefined {
    return this.#transport.localAddr;
  }

  /** The address of the peer, if the transport tells it. */
  get remoteAddr(): Address | undefined {
    return this.#transport.remoteAddr;
  }

  /**
   * Settles when the connection has ended and everything of it is released.
   * Rejects if the connection ends with an error: the system's, a
   * {@linkcode FramingError}, a timeout, or the reason of an abort. It is never
   * an unhandled rejection.
   *
   * From the first time this is asked for, an error is noticed though nothing is
   * received; see {@linkcode Connection.peerEnded}. The peer's end alone does not settle
   * it, as this side may still send; `reconnect()` closes what waits for nothing else.
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
    this.#receivedBeforeClosed = this.#reader.messagesReceived;
    this.#closeIfLeftAlone();
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
   * aborted or closed, or a `receive()` or a wait for
   * {@linkcode Connection.peerEnded} reached the end of the peer's messages.
   * {@linkcode Connection.closeRead} alone ends nothing. Asking reads
   * nothing. A peer that has ended its messages can still be sent to.
   *
   * @example Telling an end from a loop that was left
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
   * Settles when the peer has ended its side, whether or not anything is received:
   * for a handler that only sends, or only waits. It also settles when this side stops
   * reading, and rejects with the cause when the connection ends with an error. It is
   * never an unhandled rejection.
   *
   * To notice the end, bytes are read ahead of who receives them, from the first time
   * this, {@linkcode Connection.closed} or {@linkcode Connection.signal} is asked for: at
   * most `readBufferSize`. What the peer sent beyond that is received first. Such a read
   * does not keep the process alive, unless `reconnect()` has made the connection.
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
    return this.#reader.peerEnded;
  }

  /**
   * The messages as a stream, which waits for its reader like every other way of
   * receiving. Cancelling it is {@linkcode Connection.closeRead}, and so is
   * leaving a `for await` over it early, unless it is over
   * `readable.values({ preventCancel: true })`. It asks for one message at a time:
   * concurrent reads are served in the order in which they were made.
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
    this.#readable ??= messageStream(
      this.#reader,
      () => this.closeRead(),
    );
    return this.#readable;
  }

  /**
   * A stream for messages to send. Its `ready` waits like {@linkcode Connection.send},
   * its `close()` is {@linkcode Connection.closeWrite} and its `abort()`
   * {@linkcode Connection.abort}. A pipe into it may hold as many bytes more as
   * `highWaterMark` says.
   *
   * @example Sending what a stream gives
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
        highWaterMark: this.#writer.highWaterMark,
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
   * otherwise when the peer has taken enough. The message has been copied when this method
   * returns; it leaves at the end of this turn of the event loop, together with
   * what else is sent in it.
   *
   * A send that fails and is not awaited causes no unhandled rejection.
   *
   * @param message The message.
   * @param options Another framing, for this message alone.
   * @returns A promise that settles when there is room for more. It rejects with
   * a `TypeError` or `RangeError` if the framing refuses the message, with the
   * error that ended the connection, and with an `InvalidStateError` once
   * this side has ended.
   *
   * @example Many messages, and never many waiting
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
   * Waits until the kernel has taken all that was sent before.
   *
   * @returns A promise that settles then, and rejects with the error that ended the
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

  /**
   * Receives the next message.
   *
   * @param options A signal to end the wait, which loses no message (see
   * {@linkcode ReceiveOptions.signal}); and another framing, for this message alone.
   * @returns The message, or `undefined` when no more come. Rejects with the
   * error that ended the connection, after the messages before it, and with the
   * signal's reason.
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
  /** Receives the next message in another framing. */
  receive<T>(
    options: ReceiveOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T | undefined>;
  receive<T>(options: ReceiveOptions<T> = {}): Promise<T | undefined> {
    const { signal } = options;
    if (signal?.aborted) return rejected(signal.reason);
    try {
      checkSignal(signal);
      const take = this.#taking(options.framing);
      const message = this.#reader.takeNow(take);
      if (message !== undefined) return Promise.resolve(message);
      return this.#wait<T | undefined>(
        take,
        () => undefined,
        signal && { signal, onAbort: "leave" },
        true,
      );
    } catch (error) {
      return rejected(error);
    }
  }

  /**
   * Receives the next message, which must come: one step of an exchange that is not over.
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
  /** Receives the next message, which must come, in another framing. */
  expect<T>(
    options: ReceiveOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T>;
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

  /**
   * Sends a message and receives the answer: the next message that no earlier
   * call asked for. Concurrent requests are answered in order.
   *
   * Unlike one of {@linkcode Connection.send}, the message leaves immediately where nothing
   * else is queued, as the answer is waited for.
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
  /** Sends a message and receives the answer in another framing. */
  request<T>(
    message: Out,
    options: ConnectionRequestOptions<T> & {
      framing: Pick<Framing<T, never>, "decoder">;
    },
  ): Promise<T>;
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
      const hasNoAnswer = this.#reader.isStopped || this.#reader.hasAll;
      if (hasNoAnswer && this.#writer.isOpen) throw noMessage("answer");
      const take = this.#taking(framing); // before anything is sent, as it may be refused
      const leavesNow = this.#writer.queue(
        message,
        this.#writer.encoder,
        true,
      );
      return this.#wait<T>(
        take,
        () => {
          throw noMessage("answer");
        },
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
   * are never held whole, and are read only when the stream is.
   *
   * It has its turn like a call of {@linkcode Connection.receive}: messages that are asked
   * for later come after it. If it is cancelled, the rest is skipped, and the next message is
   * still received.
   *
   * @param length How many bytes: a number, or decimal digits, as a header says it.
   * @returns A stream of them. It fails with the connection's error, and with an error
   * named `UnexpectedEof` if the peer ends before.
   * @throws {RangeError} If `length` is a number, but no whole one of at least 0.
   * @throws {FramingError} If `length` is text, but not of 1 to 15 digits.
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
   * Goes on in another framing: from the next message on that is received, and the next
   * that is sent. What was not received yet is read in the new framing, wherever the
   * reads have cut it. It is refused while the framing has taken a part of a message, such
   * as one whose head has come, or a frame with a message that was not received: receive
   * that first.
   *
   * @typeParam I What is received from now on.
   * @typeParam O What may be sent from now on.
   * @param framing The framing.
   * @param options The heartbeat from now on. Without it there is no heartbeat any more, as
   * its message was made for the framing before.
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
      checkBeat(framing, heartbeat);
    }
    if (this.#reader.isWithinMessage) throw isWithinMessage("change framing");
    // Both before either is changed, as they may throw.
    const decoder = framing.decoder();
    const encoder = framing.encoder();
    // The same object, seen as what it is from now on.
    const connection = this as unknown as Connection<I, O>;
    connection.#reader.decoder = decoder;
    connection.#writer.encoder = encoder;
    this.#heartbeat?.stop();
    this.#heartbeat = undefined;
    if (heartbeat !== undefined && !this.#isReleased) {
      connection.#startBeating(heartbeat);
    }
    // What is there may be a message now, and taking it may call this again.
    connection.#reader.goOn();
    return connection;
  }

  /**
   * Hands the transport over: sends what is queued, and then leaves it open for another
   * owner. Nothing is lost: what the peer sent and nothing received is given too, and
   * what a read brings that is under way is the first that the new owner reads. So is the rest
   * of a {@linkcode Connection.receiveStream} that was not read to its end, also if it was
   * cancelled and the rest had not come yet.
   *
   * The connection is over then, as after {@linkcode Connection.close}, which would do
   * nothing any more: messages that wait to be received end, and sending is refused.
   *
   * It is refused once this side has stopped reading, by {@linkcode Connection.closeRead}
   * or by cancelling {@linkcode Connection.readable}, also if that comes while what is
   * queued is sent: the bytes of a read that was under way are dropped then, and the new
   * owner would not know that they are missing. So it is while a framing has taken a part of
   * a message, such as one whose head has come, or a frame with a message that was not
   * received. A `for await` over `readable` that is left early cancels it, one over the
   * connection does not.
   *
   * @returns The transport, and the bytes that come before what it reads. Rejects with
   * the cause if the connection has ended with an error, and with an `InvalidStateError`
   * if it was closed, has stopped reading, is within a message, or is starting TLS.
   *
   * @example From lines to the bare connection
   * ```ts
   * import { connect, lines, serve } from "@framed/tcp";
   * import { assertEquals } from "@std/assert";
   *
   * await using server = serve(
   *   { hostname: "127.0.0.1", port: 0, framing: lines() },
   *   async (connection) => {
   *     await connection.receive(); // and what follows is for another protocol
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
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#isReleased || this.#isEnding) throw hasEnded();
    const refusal = this.#lacksBytes();
    if (refusal !== undefined) throw refusal;
    if (this.#securing !== undefined) throw isSecuring();
    this.#isDetaching = true;
    await this.#writer.finish(hasEnded);
    // An end of this side that was asked for before is not to reach the new owner's.
    await this.#closingWrite;
    // close() or a malformed message came meanwhile, and the rest is read to drop it.
    if (this.#isReleased || this.#isEnding) throw this.#cause ?? hasEnded();
    const lateRefusal = this.#lacksBytes();
    if (lateRefusal !== undefined) {
      this.close(); // neither side is of use any more
      throw lateRefusal;
    }
    // Receivers are told of the end now, which must not close a side that was half-closed.
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
   * Goes on in TLS, as STARTTLS does: what is queued leaves before, and the next message
   * that is received or sent is encrypted. {@linkcode Connection.closed},
   * {@linkcode Connection.signal} and the timeouts go on; `messageTimeout` is for the whole
   * handshake too.
   *
   * It is refused while bytes of the peer are unread, are a part of a message that is
   * waited for, or hold a message that was not received: they were not encrypted, and would
   * be taken for messages that were (response injection). A peer that sends such bytes is
   * broken or under attack: close the connection then. A server refuses no bytes with which
   * the peer has begun, that begin a handshake, as a client of MySQL waits for no answer, or
   * that come once this is called: they are taken for the peer's side of the handshake, which
   * fails if they are anything else.
   *
   * @param options Which side this is, names and certificates.
   * @returns A promise that settles when the handshake is done. If that fails the
   * connection ends with its error: one named `"InvalidData"`, or `"UnexpectedEof"` if the
   * peer ended.
   *
   * @example A client and a server that agree on it
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
    // A copy: the caller may change the object while what is queued is sent.
    const own: StartTlsOptions = copyOptions(options);
    checkStartTlsOptions(own);
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#closing !== undefined || !this.#writer.isOpen) throw hasEnded();
    if (this.#reader.isStopped) throw hasStoppedReading();
    if (this.#securing !== undefined) throw isSecuring();
    // Else what is sent after this call, in the same turn, would leave unencrypted.
    if (this.#writer.isEncoding) throw isEncoding();
    const isServer = own.side === "server";
    const mayBeHandshake = isServer && this.#reader.mayBeginHandshake;
    if (this.#hasUnencrypted(mayBeHandshake)) throw hasUnread();
    const securing = Promise.withResolvers<void>();
    this.#securing = securing.promise;
    try {
      await this.#startTls(own);
    } finally {
      this.#securing = undefined;
      securing.resolve();
    }
  }

  /** Whether something that was not encrypted would be received as if it had been. */
  #hasUnencrypted(mayBeHandshake: boolean): boolean {
    return mayBeHandshake ? this.#reader.hasPart : this.#reader.hasUnread;
  }

  async #startTls(options: StartTlsOptions): Promise<void> {
    await this.#writer.pause();
    this.#throwIfReleased();
    // A client shakes hands as soon as it may, and a watcher may have read that.
    if (this.#hasUnencrypted(options.side === "server")) {
      this.#writer.goOnIn(this.#transport);
      throw hasUnread();
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
        this.#throwIfReleased();
        this.#transport = transport;
        this.#closeSendsEnd = false;
        return transport;
      });
    } catch (error) {
      this.#end(ENDINGS.failed, error);
      throw this.#cause ?? error; // an abort or a timeout was faster
    } finally {
      stopTimer?.();
      this.#idleCountdown?.pause();
    }
    this.#writer.goOnIn(this.#transport);
  }

  /**
   * The messages that came together, again and again, by their places: the fastest way
   * to receive. A message is made when it is looked at.
   *
   * @returns An iterable of batches, none of them empty. It ends where the messages end,
   * and throws the error with which the connection ends. A batch is valid until the next
   * one is asked for.
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
   * Sends messages of a batch on, framed as they came, in one copy. A message that its
   * framing takes in parts, such as `headed()` and `grouped()`, is refused: send that itself.
   *
   * What ends a frame is sent as it came too. The last message of a stream may have no
   * delimiter, and of delimiters such as `"ab"` and `"a"` one may become the other by what
   * is sent next: two messages would be read as one. In these cases send the messages.
   *
   * @param batch A batch of this connection, or of another.
   * @param from The first message, from 0 on.
   * @param to The first message that is not sent.
   * @returns A promise like that of {@linkcode Connection.send}. It rejects with a
   * `RangeError` if there are no such messages, with a `TypeError` if one was taken in
   * parts, and with an `InvalidStateError` if the batch is not valid any more.
   *
   * @example An echo that makes no messages
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
   * Ends the messages after those that were already read from the socket. This
   * side can still send. What the peer sends now is not read any more, so a later
   * {@linkcode Connection.detach}, or one that waits, is refused.
   *
   * @example Wanting no more
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
    // What `close()` reads, to drop it, lets the peer receive the rest.
    if (!this.#reader.isStopped) this.#reader.stop(this.#failure);
    this.#releaseIfEnded();
  }

  /**
   * Ends this side's messages after what is queued: half-close. The peer's
   * messages still come.
   *
   * @returns A promise that settles when the kernel has taken everything, and
   * rejects if the connection ends with an error before that.
   *
   * @example An answer to all that was sent
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
      return rejected(this.#cause ?? hasEnded());
    }
    return unobserved(this.#closingWrite ??= this.#closeWrite());
  }

  /**
   * Closes the connection after what is queued. Messages that were read and not
   * received yet can still be received; what the peer sends from now on is dropped.
   *
   * If the peer is sending (it has sent bytes that were not read, or a part of a message), it
   * has up to a second to receive the rest and to end. To wait for longer, call
   * {@linkcode Connection.closeWrite} and receive to the end first.
   *
   * @returns A promise that settles when everything is released. It rejects if
   * what is queued cannot be sent, with the cause.
   *
   * @example What was sent before still arrives
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
   * Ends the connection now. What is queued, and what was not received, is dropped.
   *
   * In Deno it is no reset, which Deno cannot ask for. The peer reads what has arrived,
   * then mostly an ordinary end, even if bytes that it sent were not read; only its
   * writes fail. If bytes were on their way to it as well, they are lost, and it may read
   * a reset once. So let the protocol mark the end of what must be whole. A transport that
   * has a `reset()`, as those of `@framed/tcp/node` over TCP, is reset.
   *
   * @param reason What waits rejects with it; by default an `AbortError`.
   *
   * @example Not waiting any longer
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
   * Tells what the connection has done so far.
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
   * Lets the process end while it waits for what the peer sends. A write that waits
   * keeps it alive: Deno has no way to change that.
   */
  unref(): void {
    if (!this.#isDetached) this.#reader.setMayKeepAlive(false);
  }

  /** Notices the end, though nothing is received. */
  #watch(): void {
    // Of one that is made again, nothing else may wait, and the next is to be made.
    this.#reader.watch(isReconnected(this));
  }

  #countdown(limit: number | undefined, what: string): Countdown | undefined {
    return limit === undefined
      ? undefined
      : new Countdown(limit, () => this.#endByTimeout(what, limit));
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
        // What makes it may have changed the framing, or ended this side.
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

  /** What takes a message by `framing`, or by the connection's own. */
  #taking<T>(framing: Pick<Framing<T, never>, "decoder"> | undefined) {
    const reader = this.#reader as unknown as Reader<T>; // without a framing T is In
    if (framing === undefined) return () => reader.take();
    checkFramingMethod(framing, "decoder", "receive message");
    const decoder: Decoder<T> = framing.decoder();
    return () => reader.takeBy(decoder);
  }

  /** Waits for a turn to take messages; see {@linkcode Reader.wait}. */
  #wait<T>(
    take: () => T | undefined,
    end: () => T,
    abort?: {
      readonly signal: AbortSignal;
      /**
       * What happens to its turn: the next receiver gets it, it is kept to drop the message,
       * or the connection ends with the error that the function makes.
       */
      readonly onAbort: "leave" | "skip" | ((reason: unknown) => DOMException);
    },
    hasTried = false,
    write?: TurnTask,
  ): Promise<T> {
    const waiter = new Waiter(take, end);
    const { promise } = waiter;
    if (abort !== undefined) {
      const { signal } = abort;
      /** Tells whether it keeps its place. */
      const giveUp = () => {
        waiter.fail(signal.reason);
        if (abort.onAbort === "skip") return true;
        // What is there is a part of this message, and not for the next receiver.
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
      if (signal.aborted) { // by the framing's own function
        if (!giveUp()) return promise;
      } else {
        const settled = onAbort(signal, giveUp);
        promise.then(settled, settled);
      }
    }
    this.#reader.wait(waiter, hasTried, write);
    return promise;
  }

  async #closeWrite(): Promise<void> {
    await this.#writer.finish();
    await this.#securing; // the end is for the encrypted side
    if (this.#isReleased) return this.#whenClosed;
    try {
      await this.#writer.end();
    } catch (error) {
      // `close()`, `abort()` or an error was faster.
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
      // What waits in vain for the turn of a body that is not read is told now.
      if (isDropping && this.#reader.isBlocked) {
        this.#reader.drop();
        this.#reader.goOn();
      }
      return;
    }
    if (isDropping) this.#reader.drop();
    if (ending === ENDINGS.aborted) this.#isAborted = true;
    if (this.#failure !== undefined) {
      // What was still to go out after the first error cannot, nor what was to come in.
      this.#writer.fail(this.#failure.error);
      this.#release();
      this.#reader.goOn();
      return;
    }
    this.#failure = { error };
    this.#endBy(ending, this.#failure);
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
      // With the answers of this turn, and those that wait for room in a pipe.
      this.#writable?.letAllIn();
      await endOfTurn();
      this.#writable?.fail(error);
      if (this.#isReleased) return; // by a failed write, or an abort
      await this.#sendRest(ending, () => error).catch(() => {});
    }
    this.#release();
  }

  /**
   * Sends what is queued, and this side's end, so that the peer can receive everything.
   *
   * Closing a socket that holds unread bytes resets the connection, and the system
   * throws away what the peer has not received yet (measured: 128,000 of 2,000,000
   * bytes arrived). So what the peer sends is read, and dropped, until it ends, for up
   * to {@linkcode DRAIN_MS}; from now on, as a peer that is itself blocked by bytes that
   * nothing reads could not take ours.
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
      if (!this.#closeSendsEnd && !this.#isReleased) {
        await (this.#closingWrite ?? this.#writer.end()).catch(() => {});
      }
      return;
    }
    const drained = this.#reader.discard();
    await flushed;
    if (this.#isReleased) return;
    try {
      await this.#writer.end();
    } catch {
      return; // reset or closed meanwhile: there is nothing left to save
    }
    // Bytes that have arrived are seen when the sockets are looked at, once they are read.
    for (let wasHeldUp = true; wasHeldUp && !this.#reader.isPeerSending;) {
      wasHeldUp = this.#reader.isHeldUp;
      const isDrained = await isSettledSoon(drained);
      if (!isDrained) await untilLooked();
    }
    if (this.#reader.isPeerSending) await isSettledWithin(drained, DRAIN_MS);
  }

  get #isEnding(): boolean {
    return this.#closing !== undefined || this.#failure !== undefined;
  }

  #releaseIfEnded(): void {
    if (!this.#isWriteClosed || this.#isDetached) return;
    if (this.#reader.hasAll) this.#release();
    // The peer may yet be sending: it is to receive everything first.
    else if (this.#reader.isStopped) this.close();
  }

  /**
   * Closes a connection of `reconnect()` some time after the peer's end, if its handler
   * can only be waiting for {@linkcode Connection.closed}: that was the last thing it
   * asked for, nothing tells it of the end, and it has sent nothing since. Nothing is
   * lost, as all that the peer sent was read, and can still be received.
   */
  #closeIfLeftAlone(): void {
    if (this.#receivedBeforeClosed === undefined || !isReconnected(this)) {
      return;
    }
    if (this.#leftAlone !== undefined || !this.#mayBeLeftAlone) return;
    const { messagesSent } = this.#writer;
    const countdown = new Countdown(LEFT_ALONE_MS, () => {
      this.#stopLeftAlone();
      const isAlone = this.#mayBeLeftAlone &&
        this.#reader.messagesReceived === this.#receivedBeforeClosed &&
        this.#writer.messagesSent === messagesSent &&
        this.#writer.bufferedAmount === 0;
      if (isAlone) this.close();
    });
    countdown.resume();
    const letDie = keepAlive(); // else the process could end before
    this.#leftAlone = () => {
      countdown.stop();
      letDie();
    };
  }

  #stopLeftAlone(): void {
    this.#leftAlone?.();
    this.#leftAlone = undefined;
  }

  get #mayBeLeftAlone(): boolean {
    return this.#reader.hasUntoldEnd && !this.#isEnding && !this.#isReleased;
  }

  /** Gives back the transport, the timers and the listener. */
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
    this.#stopLeftAlone();
    this.#stopListening?.();
    if (!this.#isDetached) this.#closeTransport();
    this.#writer.stop();
    this.#endOnceQuiet();
  }

  /** Tells the end once no read and no write is under way any more. */
  async #endOnceQuiet(): Promise<void> {
    if (!this.#isDetached) await this.#reader.stopped;
    await this.#writer.stopped;
    this.#isOver = true;
    publishClose(this, this.#failure);
    this.#settleClosed();
  }

  #throwIfReleased(): void {
    if (this.#isReleased) throw this.#cause ?? hasEnded();
  }

  get #cause(): unknown {
    return this.#failure?.error;
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

  /** Notes what the transport threw; all that is left is released all the same. */
  #noteUnclosed(error: unknown): void {
    // Its owner may have closed it already. What else is thrown, `closed` tells.
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

function hasUnread(): DOMException {
  return new DOMException(
    "Cannot start TLS: bytes of the peer are unread, which were not encrypted",
    "InvalidStateError",
  );
}

/** Throws if the framing does not take the message of a heartbeat. */
function checkBeat<Out>(
  framing: Framing<unknown, Out>,
  { message }: HeartbeatOptions<Out>,
): void {
  // What makes messages is not asked before it is time.
  if (isFunction(message)) return;
  new OutputBuffer().push(framing.encoder(), message);
}

function beatOf<Out>(message: Out | (() => Out)): Out {
  if (!isFunction(message)) return message;
  const beat = message();
  checkNotAsync("send heartbeat", "heartbeat.message", beat);
  return beat;
}

function isFunction<T>(value: T | (() => T)): value is () => T {
  return typeof value === "function";
}

function requestGivenUp(reason: unknown): DOMException {
  return givenUp(
    "a request was given up, and its answer could be taken for that of another",
    reason,
  );
}

function messageGivenUp(reason: unknown): DOMException {
  return givenUp(
    "a message was given up of which a part was taken, and its rest could be taken for another",
    reason,
  );
}

function givenUp(what: string, reason: unknown): DOMException {
  const error = new DOMException(`Cannot go on: ${what}`, "AbortError");
  return Object.defineProperty(error, "cause", { value: reason });
}

function noMessage(what: string): Error {
  return systemError(
    "UnexpectedEof",
    `Cannot receive ${what}: the messages have ended`,
  );
}
