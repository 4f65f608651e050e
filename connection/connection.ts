import { Countdown } from "./_countdown.ts";
import { atEndOfTurn } from "./_end_of_turn.ts";
import { Linger } from "./_linger.ts";
import {
  MessageIterator,
  nextBatch,
  nextMessage,
  Waiter,
} from "./_message_iterator.ts";
import { MessageReader } from "./_message_reader.ts";
import { MessageSink } from "./_message_sink.ts";
import { messageStream } from "./_message_stream.ts";
import { MessageWriter, sideHasEnded } from "./_message_writer.ts";
import type {
  ConnectionOptions,
  ConnectionStats,
  ReceiveOptions,
} from "./options.ts";
import { TakenBytes } from "./_taken_bytes.ts";
import { revealWriters } from "./_writer_of.ts";
import type { Bytes, Sendable } from "../framing/framing.ts";
import { FramingError } from "../framing/framing_error.ts";
import { checkConnectionOptions } from "../internal/connection_options.ts";
import { isSettledWithin, rejected } from "../internal/promises.ts";
import type { Queue } from "../internal/queue.ts";

const DEFAULT_READ_BUFFER_BYTES = 64 * 1024;
const DEFAULT_HIGH_WATER_MARK_BYTES = 64 * 1024;
// Where a write has failed, reads settle at once; in case that one does not.
const TAKING_MS = 1000;

/**
 * A connection that carries messages both ways.
 *
 * **Reading waits for you.** The socket is read only when somebody asks for a
 * message, so a consumer that stops stops the peer, through the kernel's
 * buffers. **Writing waits for the peer.** Await each {@linkcode Connection.send},
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
export class Connection<In = Bytes, Out = Sendable>
  implements AsyncIterable<In>, AsyncDisposable {
  static {
    revealWriters((connection) => connection.#writer);
  }

  readonly #conn: Deno.Conn;
  readonly #reader: MessageReader<In>;
  readonly #writer: MessageWriter<Out>;
  readonly #idleCountdown: Countdown | undefined;
  readonly #messageCountdown: Countdown | undefined;
  #stopListening: (() => void) | undefined;
  readonly #highWaterMark: number;
  // Made for somebody who asks: most connections end without.
  #closed: PromiseWithResolvers<void> | undefined;
  #isOver = false;
  #linger: Linger | undefined;
  #isWriteClosed = false;
  #isReleased = false;
  #failure: { readonly error: unknown } | undefined;
  #abortController: AbortController | undefined;
  #readable: ReadableStream<In> | undefined;
  #writable: MessageSink<Out> | undefined;
  #closingWrite: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Frames a connection that you opened or accepted. It belongs to the new
   * object then: do not read, write or close it yourself.
   *
   * @param conn The connection.
   * @param options The framing, limits and timeouts.
   * @throws {TypeError} If `framing` is not given, or an option cannot be honoured,
   * such as `noDelay` where the transport has none. `conn` stays open then.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(conn: Deno.Conn, options: ConnectionOptions<In, Out>) {
    checkConnectionOptions(options, transportOf(conn));
    const {
      framing,
      readBufferSize = DEFAULT_READ_BUFFER_BYTES,
      highWaterMark = DEFAULT_HIGH_WATER_MARK_BYTES,
      idleTimeout,
      messageTimeout,
      sendTimeout,
      signal,
    } = options;
    this.#conn = conn;
    this.#highWaterMark = highWaterMark;
    this.#idleCountdown = idleTimeout === undefined
      ? undefined
      : this.#countdown(
        idleTimeout,
        `the peer neither sent nor took a byte within idleTimeout of ${idleTimeout} ms`,
      );
    this.#messageCountdown = messageTimeout === undefined
      ? undefined
      : this.#countdown(
        messageTimeout,
        `a message was not whole within messageTimeout of ${messageTimeout} ms`,
      );
    this.#reader = new MessageReader({
      conn,
      decoder: framing.decoder(),
      readBufferSize,
      idleCountdown: this.#idleCountdown,
      messageCountdown: this.#messageCountdown,
      onEnd: () => this.closeRead(),
      onFailure: (error) => {
        this.#fail(error);
        this.#reader.end(this.#failure); // released before, it may have had bytes
      },
    });
    this.#writer = new MessageWriter({
      conn,
      framing,
      highWaterMark,
      sendTimeout,
      idleCountdown: this.#idleCountdown,
      onTimeout: (error) => this.#fail(error),
      onFailure: (error) => this.#failToSend(error),
    });
    if (isTcp(conn)) {
      conn.setNoDelay(options.noDelay ?? true);
      if (options.keepAlive !== undefined) conn.setKeepAlive(options.keepAlive);
    }
    if (signal?.aborted) this.abort(signal.reason);
    else if (signal !== undefined) this.#listenTo(signal);
  }

  /** The address of this side. */
  get localAddr(): Deno.Addr {
    return this.#conn.localAddr;
  }

  /** The address of the peer. */
  get remoteAddr(): Deno.Addr {
    return this.#conn.remoteAddr;
  }

  /**
   * Settles when the connection has ended and everything of it is released.
   * Rejects with the cause of a bad end: the system's error, a
   * {@linkcode FramingError}, a timeout, or the reason of an abort. It is never
   * an unhandled rejection.
   *
   * The end of the peer's messages is seen only by somebody who receives.
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
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers();
      this.#closed.promise.catch(() => {});
      if (this.#isOver) this.#settleClosed();
    }
    return this.#closed.promise;
  }

  /**
   * Is aborted by a bad end only, with its cause: what {@linkcode Connection.closed}
   * rejects with. Give it to whatever works for this connection.
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
    return this.#abortController.signal;
  }

  /**
   * Whether this connection has ended, as far as this side has seen: it broke, was
   * aborted or closed, or somebody who received has met the end of the peer's
   * messages. {@linkcode Connection.closeRead} alone ends nothing. Asking reads
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
      this.#reader.hasSeenEnd && this.#reader.available === undefined;
  }

  /**
   * The messages as a stream, which waits for its reader like every other way of
   * receiving. Cancelling it is {@linkcode Connection.closeRead}, and so is
   * leaving a `for await` over it early, unless it is over
   * `readable.values({ preventCancel: true })`. It asks for one message at a time:
   * of several reads at once, each asks behind the one before.
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
   *   // Ends this side behind the last line.
   *   ReadableStream.from(["one", "two"]).pipeTo(client.writable),
   * ]);
   * assertEquals(echoes, ["one", "two"]);
   * ```
   */
  get writable(): WritableStream<Out> {
    if (this.#writable === undefined) {
      this.#writable = new MessageSink({
        writer: this.#writer,
        highWaterMark: this.#highWaterMark,
        onClose: () => this.closeWrite(),
        onAbort: (reason) => {
          // A pipe passes the connection's own error on, which drops nothing.
          if (reason !== this.#failure?.error) this.abort(reason);
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
   * It settles at once while fewer than `highWaterMark` bytes are queued, and else
   * when the peer has taken enough. The message has been copied when this method
   * returns; it leaves at the end of this turn of the event loop, together with
   * what else is sent in it.
   *
   * A send that nobody awaits is no unhandled rejection when it fails.
   *
   * @param message The message.
   * @returns A promise that settles when there is room for more. It rejects with
   * a `TypeError` or `RangeError` if the framing refuses the message, with the
   * cause of a bad end of the connection, and with an `InvalidStateError` once
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
  send(message: Out): Promise<void> {
    try {
      this.#writer.queue(message);
    } catch (error) {
      return rejected(error);
    }
    return this.#writer.ready();
  }

  /**
   * Waits until the kernel has taken all that was sent before.
   *
   * @returns A promise that settles then, and rejects with the cause of a bad end.
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
   * @param options A signal to end the wait; that loses no message.
   * @returns The message, or `undefined` when no more come. Rejects with the cause
   * of a bad end, behind the messages before it, and with the signal's reason.
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
  receive(options: ReceiveOptions = {}): Promise<In | undefined> {
    const { signal } = options;
    if (signal?.aborted) return rejected(signal.reason);
    const inbox = this.#reader.available;
    if (inbox !== undefined) return Promise.resolve(inbox.shift());
    return this.#wait<In | undefined>(
      (inbox) => inbox.shift(),
      () => undefined,
      signal && { signal, keepsPlace: false },
    );
  }

  /**
   * Sends a message and receives the answer: the next message that nobody asked
   * for before. Concurrent requests are answered in order.
   *
   * @param message The message.
   * @param options A signal to end the wait. The answer is still taken out when
   * it comes, so that the requests behind get theirs.
   * @returns The answer. Rejects like {@linkcode Connection.send}, with the signal's
   * reason, and with `Deno.errors.UnexpectedEof` if the messages end before it.
   *
   * @example Requests at once, and each has its answer
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
  request(message: Out, options: ReceiveOptions = {}): Promise<In> {
    const { signal } = options;
    if (signal?.aborted) return rejected(signal.reason);
    try {
      const wouldHaveNoAnswer = this.#reader.isEnded && this.#writer.isOpen;
      if (wouldHaveNoAnswer) throw noAnswer();
      this.#writer.queue(message);
    } catch (error) {
      return rejected(error);
    }
    return this.#wait(
      (inbox) => inbox.shift(),
      () => {
        throw noAnswer();
      },
      signal && { signal, keepsPlace: true },
    );
  }

  /**
   * All messages of one read at once, again and again: the fastest way to
   * receive.
   *
   * @returns An iterable of arrays, none of them empty. It ends where the
   * messages end, and throws the cause of a bad end.
   *
   * @example Counting messages
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
   * for await (const messages of client.batches()) count += messages.length;
   *
   * assertEquals(count, 3);
   * ```
   */
  batches(): AsyncIterable<In[]> {
    return {
      [Symbol.asyncIterator]: () =>
        new MessageIterator<In, In[]>(this.#reader, nextBatch),
    };
  }

  /**
   * Iterates over the messages, like {@linkcode Connection.receive}.
   *
   * @returns An iterator. Ending it early neither closes the connection nor loses
   * a message.
   */
  [Symbol.asyncIterator](): AsyncIterator<In, undefined> {
    return new MessageIterator<In, In>(this.#reader, nextMessage);
  }

  /**
   * Ends the messages behind those that were already read from the socket. This
   * side can still send. What the peer sends now is not read any more.
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
    this.#reader.end(this.#failure);
    this.#releaseIfEnded();
  }

  /**
   * Ends this side's messages behind what is queued: half-close. The peer's
   * messages still come.
   *
   * @returns A promise that settles when the kernel has taken everything, and
   * rejects with the cause of a bad end before.
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
    this.#closingWrite ??= this.#closeWrite();
    this.#closingWrite.catch(() => {});
    return this.#closingWrite;
  }

  /**
   * Closes the connection behind what is queued. Messages that were read and not
   * received yet can still be received; what the peer sends from now on is dropped.
   *
   * If the peer is sending (it has sent what nobody read, or a part of a message), it
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
    this.#closing ??= this.#close();
    this.#closing.catch(() => {});
    return this.#closing;
  }

  /**
   * Ends the connection now. What is queued, and what was not received, is
   * dropped. The peer may see this as an ordinary end: the system resets a
   * connection only if it holds bytes that were not read.
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
    if (this.#isReleased) return;
    this.#reader.clear();
    this.#fail(
      reason === undefined
        ? new DOMException("The connection was aborted", "AbortError")
        : reason,
    );
    // A bad end by the peer's bytes still sends what is queued: no longer.
    this.#writer.fail(this.#failure?.error);
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
      messagesSent: this.#writer.messagesSent,
      bufferedAmount: this.#writer.bufferedAmount,
      blockedTime: this.#writer.blockedTime,
    };
  }

  /** Lets a wait for this connection keep the process alive, as it does by default. */
  ref(): void {
    this.#conn.ref();
  }

  /**
   * Lets the process end while it waits for what the peer sends. A write that waits
   * keeps it alive: Deno has no way to change that.
   */
  unref(): void {
    this.#conn.unref();
  }

  #countdown(limit: number, what: string): Countdown {
    return new Countdown(
      limit,
      () =>
        this.#fail(new DOMException(`Cannot go on: ${what}`, "TimeoutError")),
    );
  }

  #listenTo(signal: AbortSignal): void {
    const onAbort = () => this.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    this.#stopListening = () => signal.removeEventListener("abort", onAbort);
  }

  /** Waits for a turn to take messages. */
  #wait<T>(
    take: (inbox: Queue<In>) => T,
    end: () => T,
    abort?: { signal: AbortSignal; keepsPlace: boolean },
  ): Promise<T> {
    const waiter = new Waiter(take, end);
    const { promise } = waiter;
    if (abort !== undefined) {
      const { signal, keepsPlace } = abort;
      const onAbort = () => {
        waiter.fail(signal.reason);
        if (!keepsPlace) this.#reader.leave(waiter);
      };
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      const settled = () => signal.removeEventListener("abort", onAbort);
      promise.then(settled, settled);
    }
    this.#reader.wait(waiter);
    return promise;
  }

  async #closeWrite(): Promise<void> {
    await this.#writer.finish();
    try {
      await this.#sendEnd();
    } catch (error) {
      // By another end, which was faster.
      if (this.#isReleased) return this.closed;
      this.#fail(error);
      throw error;
    }
    this.#isWriteClosed = true;
    this.#releaseIfEnded();
  }

  async #close(): Promise<void> {
    if (!this.#isReleased && this.#failure === undefined) {
      this.#reader.end();
      await this.#finish();
      this.#release();
      await this.closed;
    } else {
      // A bad end before is told by `closed`; there is nothing left to close.
      await this.closed.catch(() => {});
    }
  }

  /** Sends what is queued, so that closing the socket does not take it back. */
  async #finish(refusal?: () => unknown): Promise<void> {
    const flushed = this.#writer.finish(refusal);
    const hasSent = this.#writer.messagesSent > 0;
    if (!hasSent || this.#reader.hasSeenEnd) return flushed;
    this.#linger = new Linger({
      conn: this.#conn,
      sendEnd: () => this.#sendEnd(),
      isPeerSending: () => this.#reader.isPeerSending,
      onBytes: () => this.#idleCountdown?.reset(),
    });
    await this.#linger.finish(flushed);
  }

  /** Tells the peer that this side has ended, for which TLS may wait for it. */
  async #sendEnd(): Promise<void> {
    this.#idleCountdown?.resume();
    try {
      await this.#conn.closeWrite();
    } finally {
      this.#idleCountdown?.pause();
    }
  }

  /** Ends the connection by an error. */
  #fail(error: unknown): void {
    if (this.#isReleased) return;
    if (this.#failure !== undefined) {
      // What was still to go out cannot, nor can this side's end.
      this.#writer.fail(this.#failure.error);
      this.#release();
      return;
    }
    this.#failure = { error };
    this.#reader.end(this.#failure);
    this.#abortController?.abort(error);
    if (error instanceof FramingError) {
      // The answers to the messages before the bad one are still to go out, those
      // of this turn too, and those that wait for room in a pipe.
      this.#writable?.letAllIn();
      atEndOfTurn(() => {
        this.#failWritable(error);
        this.#finish(() => error).catch(() => {}).then(() => this.#release());
      });
    } else {
      this.#failWritable(error);
      this.#writer.fail(error);
      this.#release();
    }
  }

  /**
   * Ends the connection by the error of a write. A peer that is gone may have sent
   * much before, which closing the socket would drop: no more than the system's
   * buffer for receiving holds.
   */
  async #failToSend(error: unknown): Promise<void> {
    const isGone = error instanceof Deno.errors.BrokenPipe ||
      error instanceof Deno.errors.ConnectionReset ||
      error instanceof Deno.errors.ConnectionAborted;
    if (this.#isReleased || this.#failure !== undefined || !isGone) {
      return this.#fail(error);
    }
    this.#failure = { error };
    this.#writer.fail(error);
    this.#failWritable(error);
    this.#abortController?.abort(error);
    if (this.#reader.isEnded) return this.#release();
    const taken = new TakenBytes(this.#conn);
    this.#reader.readFrom(taken);
    await isSettledWithin(taken.whole, TAKING_MS);
    this.#release();
  }

  /** Ends the stream for sending; else a pipe from a source that waits would not end. */
  #failWritable(error: unknown): void {
    this.#writable?.fail(error);
  }

  #releaseIfEnded(): void {
    if (!this.#reader.isEnded || !this.#isWriteClosed) return;
    if (this.#reader.hasSeenEnd) this.#release();
    // The peer may yet be sending: it is to receive everything first.
    else this.close();
  }

  /** Gives back the socket, the timers and the listener. */
  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#writable?.fail(sideHasEnded());
    this.#idleCountdown?.stop();
    this.#messageCountdown?.stop();
    this.#stopListening?.();
    try {
      this.#conn.close();
    } catch (error) {
      // Its owner has closed it already.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
    this.#writer.stop();
    Promise.all([
      this.#reader.stopped,
      this.#writer.stopped,
      this.#linger?.stopped,
    ]).then(() => {
      this.#isOver = true;
      this.#settleClosed();
    });
  }

  #settleClosed(): void {
    if (this.#failure === undefined) this.#closed?.resolve();
    else this.#closed?.reject(this.#failure.error);
  }
}

function isTcp(conn: Deno.Conn): conn is Deno.TcpConn {
  return "setNoDelay" in conn;
}

function transportOf(conn: Deno.Conn): string {
  if (isTcp(conn)) return "TCP";
  return conn.remoteAddr.transport === "unix" ? "Unix socket" : "TLS";
}

function noAnswer(): Error {
  return new Deno.errors.UnexpectedEof(
    "Cannot receive answer: the messages have ended",
  );
}
