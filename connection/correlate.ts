import {
  checkCount,
  checkFunction,
  checkNotAsync,
  checkSignal,
} from "../internal/checks.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { onAbort } from "../internal/on_abort.ts";
import { rejected, unobserved } from "../internal/promises.ts";
import { Queue } from "../internal/queue.ts";
import { noMessage } from "./_receivers.ts";
import { hasUnread } from "./_tls_error.ts";
import type { Writer } from "./_writer.ts";
import { writerOf } from "./_writer_of.ts";
import type { Connection } from "./connection.ts";

/**
 * Options for {@linkcode correlate}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Id Tells requests apart: a number, unless `nextId` makes other ids.
 *
 * @example Which messages of JSON-RPC are answers
 * ```ts
 * import type { CorrelateOptions } from "@framed/tcp/connection";
 * import { assertEquals } from "@std/assert";
 *
 * interface Message {
 *   readonly id?: number;
 *   readonly method?: string;
 * }
 *
 * const options: CorrelateOptions<Message> = {
 *   // The peer's requests have ids too, which the peer counts.
 *   id: ({ id, method }) => method === undefined ? id : undefined,
 * };
 *
 * assertEquals(options.id({ id: 7 }), 7);
 * assertEquals(options.id({ id: 7, method: "ping" }), undefined);
 * ```
 */
export interface CorrelateOptions<In, Id = number> {
  /**
   * The id of the request that a received message answers, or `undefined` or `NaN` if it
   * is not an answer. Two ids are the same if a `Map` treats them as the same key.
   *
   * If it throws, the connection is aborted with that error.
   */
  id: (message: In) => Id | undefined;
  /**
   * Called with each message that is not an answer, in order: pushes, notifications,
   * requests from the peer. Without it they are dropped, and counted as unmatched.
   *
   * The next message is not received until the returned promise settles, so a slow
   * callback slows the peer down. The callback must not await a request on the same
   * connection: the answer would come after the message that it is handling. Start such a
   * request without awaiting it. If the callback throws or rejects, the connection is
   * aborted with that error.
   */
  onMessage?: ((message: In) => void | Promise<void>) | undefined;
  /**
   * The largest id. Ids are counted from 1, and from 1 again after the largest: give
   * 65,535 if the protocol has 16 bits for them.
   *
   * @default {Number.MAX_SAFE_INTEGER}
   */
  maxId?: number | undefined;
  /**
   * Makes ids of another kind, or in another order, instead of the counter. If an id is
   * in use, it is called again, up to 100 times.
   */
  nextId?: (() => Id) | undefined;
}

/**
 * Options for {@linkcode Correlation.request}.
 *
 * @typeParam Id The type of the ids.
 *
 * @example Giving a request up
 * ```ts
 * import { correlate, type RequestOptions } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertRejects } from "@std/assert";
 *
 * await using pair = connectionPair({ framing: lines() });
 * const { request } = correlate(pair.near, { id: Number.parseInt });
 *
 * const soon: RequestOptions = { signal: AbortSignal.timeout(10) };
 * await assertRejects(() => request((id) => `${id} hello`, soon), DOMException);
 * ```
 */
export interface RequestOptions<Id = number> {
  /** Ends the wait for the answer, with its reason. */
  signal?: AbortSignal | undefined;
  /**
   * The id, for a message that has one already. Without `nextId` it must be a whole
   * number from 1 to `maxId`.
   */
  id?: Id | undefined;
}

/**
 * Requests whose answers may come in any order; see {@linkcode correlate}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam Id The type of the ids.
 *
 * @example A handler that runs until the messages end
 * ```ts
 * import { connect, correlate, type Correlation, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const names: string[] = [];
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => {
 *     const client: Correlation<string, string> = correlate(connection, {
 *       id: (line) => Number.parseInt(line),
 *     });
 *     names.push(await client.request((id) => `${id} name?`));
 *     await client.ended; // otherwise the connection would close here
 *   },
 * );
 *
 * await using client = await connect({ port: server.addr.port, framing });
 * assertEquals(await client.receive(), "1 name?");
 * await client.send("1 Ann");
 * await client.close();
 * await server.shutdown();
 * assertEquals(names, ["1 Ann"]);
 * ```
 */
export interface Correlation<In, Out, Id = number> {
  /**
   * Sends the message that `make` makes for a new id, and receives its answer.
   *
   * It does not wait for room to send: if there may be many requests, check
   * `outstanding`.
   *
   * The id is in use until the answer comes. If the signal ends the wait, the id stays in
   * use: a late answer is dropped, and then the id is free. The latest 65,536 of these
   * ids are remembered.
   *
   * @param make Makes the message.
   * @param options A signal, and an id of your choice.
   * @returns The answer. Rejects with a `RangeError` if the id is in use, or all are;
   * with what `make` throws; like {@linkcode Connection.send} if the message is refused;
   * with the signal's reason; and when the messages end, with the error of the
   * connection, or one named `UnexpectedEof`.
   */
  request(make: (id: Id) => Out, options?: RequestOptions<Id>): Promise<In>;
  /**
   * Sends a message that has an id already, and receives its answer.
   *
   * @param message The message.
   * @param options Its id, and a signal.
   * @returns The answer. Rejects as with a function.
   */
  request(
    message: Out,
    options: RequestOptions<Id> & { id: Id },
  ): Promise<In>;
  /** How many requests are waiting for an answer. */
  readonly outstanding: number;
  /**
   * How many messages were dropped: answers that no request waited for because they came
   * late or twice and, without `onMessage`, everything that is not an answer.
   */
  readonly unmatched: number;
  /**
   * Settles when the messages have ended and the last call of `onMessage` has settled.
   * Rejects with the error of the connection. It is never an unhandled rejection.
   */
  readonly ended: Promise<void>;
}

/**
 * Options for {@linkcode correlate} if answers have no ids.
 *
 * @typeParam In The type of received messages.
 *
 * @example Which replies of Redis are answers: all but pushes
 * ```ts
 * import type { CorrelateInOrderOptions } from "@framed/tcp/connection";
 * import { assertEquals } from "@std/assert";
 *
 * interface Reply {
 *   type: "value" | "push";
 * }
 *
 * const pushes: Reply[] = [];
 * const options: CorrelateInOrderOptions<Reply> = {
 *   isAnswer: ({ type }) => type !== "push",
 *   onMessage: (push) => void pushes.push(push),
 * };
 * assertEquals(options.isAnswer({ type: "push" }), false);
 * ```
 */
export interface CorrelateInOrderOptions<In>
  extends Pick<CorrelateOptions<In>, "onMessage"> {
  /**
   * Whether a received message is an answer. Each answer goes to the oldest request
   * without one. If this throws, the connection is aborted with that error.
   */
  isAnswer: (message: In) => boolean;
}

/**
 * Requests whose answers come in order, with other messages between them; see
 * {@linkcode correlate}.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 *
 * @example A function that asks
 * ```ts
 * import { correlate, type OrderedCorrelation } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * function ask({ request }: OrderedCorrelation<string, string>): Promise<string> {
 *   return request("how are you?", { signal: AbortSignal.timeout(5000) });
 * }
 *
 * await using pair = connectionPair({ framing: lines() });
 * const answer = ask(correlate(pair.near, { isAnswer: () => true }));
 * await pair.far.send("fine");
 * assertEquals(await answer, "fine");
 * ```
 */
export interface OrderedCorrelation<In, Out>
  extends Pick<Correlation<In, Out>, "outstanding" | "unmatched" | "ended"> {
  /**
   * Sends a message and receives its answer. It does not wait for room to send.
   *
   * If the signal ends the wait, the answer is dropped when it comes: the peer must
   * answer every request in the end.
   *
   * @param message The message.
   * @param options A signal.
   * @returns The answer. Rejects as {@linkcode Correlation.request} does.
   */
  request(
    message: Out,
    options?: Pick<RequestOptions, "signal">,
  ): Promise<In>;
}

/**
 * Lets answers come in any order: each request has an id, and its answer has the same id.
 *
 * From now on it receives all messages of the connection; do not receive any yourself.
 * You can still send, to answer the peer's requests or to notify it.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param connection The connection.
 * @param options What the id of an answer is, and what happens to other messages.
 * @returns An object that sends requests. Its `request` may be called on its own.
 * @throws {TypeError} If an option is not a function, or both `maxId` and `nextId` are given.
 * @throws {RangeError} If `maxId` is not a whole number of at least 1.
 *
 * @example JSON-RPC, with requests and notifications both ways
 * ```ts
 * import { correlate } from "@framed/tcp/connection";
 * import { lines, mapped } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * interface Message {
 *   readonly id?: number;
 *   readonly method?: string;
 *   readonly params?: number[];
 *   readonly result?: number;
 * }
 *
 * const framing = mapped(lines(), {
 *   decode: (line): Message => JSON.parse(line),
 *   encode: (message: Message) => JSON.stringify(message),
 * });
 * await using pair = connectionPair({ framing });
 *
 * const waiting: Message[] = [];
 * const server = correlate(pair.far, {
 *   id: ({ id, method }) => method === undefined ? id : undefined,
 *   async onMessage(message) {
 *     waiting.push(message);
 *     if (waiting.length < 2) return;
 *     for (const { id, params: [a = 0, b = 0] = [] } of waiting.reverse()) {
 *       await pair.far.send({ ...(id !== undefined && { id }), result: a + b });
 *     }
 *   },
 * });
 *
 * const client = correlate(pair.near, {
 *   id: ({ id, method }) => method === undefined ? id : undefined,
 * });
 * const sums = [[1, 2], [3, 4]].map((params) =>
 *   client.request((id) => ({ id, method: "add", params }))
 * );
 * const results = (await Promise.all(sums)).map(({ result }) => result);
 * assertEquals(results, [3, 7]); // though the second was answered first
 * assertEquals(server.outstanding, 0);
 * ```
 *
 * @example 16-bit ids in front of each message, as in DNS and Modbus
 * ```ts
 * import { correlate } from "@framed/tcp/connection";
 * import { FieldReader, lengthPrefixed } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pair = connectionPair({ framing: lengthPrefixed({ fieldSize: 2 }) });
 * const { request } = correlate(pair.near, {
 *   id: (message) => new FieldReader(message).takeUint(2),
 *   maxId: 65_535,
 * });
 *
 * const answer = request((id) => Uint8Array.of(id >> 8, id & 0xff, 42));
 * const question = await pair.far.receive();
 * await pair.far.send(question ?? "");
 * assertEquals([...await answer], [0, 1, 42]);
 * ```
 */
export function correlate<In, Out>(
  connection: Connection<In, Out>,
  options: CorrelateOptions<In>,
): Correlation<In, Out>;
/**
 * Lets answers come in any order, with ids of any kind, which `nextId` makes.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @typeParam Id The type of the ids.
 * @param connection The connection.
 * @param options What the id of an answer is, and what happens to other messages.
 * @returns What sends requests.
 *
 * @example Each answer goes to its own address, as in NATS
 * ```ts
 * import { correlate } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pair = connectionPair({ framing: lines() });
 * const pushes: string[] = [];
 * const { request } = correlate(pair.near, {
 *   id: (line) => /^_INBOX\S+/.exec(line)?.[0],
 *   nextId: () => `_INBOX.${crypto.randomUUID()}`,
 *   onMessage: (line) => void pushes.push(line),
 * });
 *
 * const answer = request((inbox) => `time ${inbox}`);
 * const [, inbox] = (await pair.far.receive())?.split(" ") ?? [];
 * await pair.far.send("news");
 * await pair.far.send(`${inbox} noon`);
 * assertEquals(await answer, `${inbox} noon`);
 * assertEquals(pushes, ["news"]);
 * ```
 */
export function correlate<In, Out, Id>(
  connection: Connection<In, Out>,
  options: CorrelateOptions<In, Id> & { nextId: () => Id },
): Correlation<In, Out, Id>;
/**
 * Lets pushes come between answers that have no id and come in the order of their requests.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param connection The connection.
 * @param options What an answer is, and what happens to other messages.
 * @returns What sends requests.
 *
 * @example Lines, some of which are news
 * ```ts
 * import { correlate } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pair = connectionPair({ framing: lines() });
 * const news: string[] = [];
 * const { request } = correlate(pair.near, {
 *   isAnswer: (line) => !line.startsWith("*"),
 *   onMessage: (line) => void news.push(line),
 * });
 *
 * const answers = Promise.all([request("one"), request("two")]);
 * for (const line of ["* it rains", "1", "* it pours", "2"]) {
 *   await pair.far.send(line);
 * }
 * assertEquals(await answers, ["1", "2"]);
 * assertEquals(news, ["* it rains", "* it pours"]);
 * ```
 */
export function correlate<In, Out>(
  connection: Connection<In, Out>,
  options: CorrelateInOrderOptions<In>,
): OrderedCorrelation<In, Out>;
export function correlate<In, Out>(
  connection: Connection<In, Out>,
  given: AnyOptions<In>,
): Correlation<In, Out, unknown> | OrderedCorrelation<In, Out> {
  // A copy: the caller may change the object later, such as for another connection.
  const options: AnyOptions<In> = copyOptions(given);
  const { onMessage } = options;
  if (onMessage !== undefined) checkFunction(TASK, "onMessage", onMessage);
  return isInOrder(options)
    ? correlateInOrder(connection, options)
    : correlateById(connection, options);
}

type AnyOptions<In> =
  | CorrelateOptions<In, unknown>
  | CorrelateInOrderOptions<In>;

function isInOrder<In>(
  options: AnyOptions<In>,
): options is CorrelateInOrderOptions<In> {
  return "isAnswer" in options && options.isAnswer !== undefined;
}

function correlateInOrder<In, Out>(
  connection: Connection<In, Out>,
  options: CorrelateInOrderOptions<In>,
): OrderedCorrelation<In, Out> {
  const { isAnswer, onMessage } = options;
  checkFunction(TASK, "isAnswer", isAnswer);
  if ("id" in options && options.id !== undefined) {
    throw new TypeError(
      "Cannot correlate requests with both isAnswer and id: answers come in order, or have ids",
    );
  }
  // The ids of unanswered requests, in order. The peer never sees these ids.
  const sent = new Queue<unknown>();
  const requests: Requests<In, Out> = new Requests(connection, {
    onMessage,
    id(message) {
      const isOne: unknown = isAnswer(message);
      checkNotAsync(TASK, "isAnswer", isOne);
      if (!isOne) return undefined;
      while (sent.length > 0) {
        const id = sent.shift();
        // A message that the framing refused was not sent, and has no answer.
        if (requests.isInUse(id)) return id;
      }
      return NO_REQUEST;
    },
  }, Infinity);
  return {
    request: (message, { signal } = {}) =>
      requests.request((id) => {
        sent.push(id);
        return message;
      }, { signal }),
    get outstanding() {
      return requests.outstanding;
    },
    get unmatched() {
      return requests.unmatched;
    },
    ended: requests.ended,
  };
}

const NO_REQUEST = 0; // ids count from 1

function correlateById<In, Out>(
  connection: Connection<In, Out>,
  options: CorrelateOptions<In, unknown>,
): Correlation<In, Out, unknown> {
  const { id, nextId, maxId } = options;
  checkFunction(TASK, "id", id);
  if (nextId !== undefined) checkFunction(TASK, "nextId", nextId);
  checkCount(TASK, "maxId", maxId);
  if (nextId !== undefined && maxId !== undefined) {
    throw new TypeError(
      "Cannot correlate requests with both maxId and nextId: the counter that maxId limits is not used",
    );
  }
  return new Requests(connection, options);
}

const TASK = "correlate requests";
// Older ones are forgotten. An id of more than 16 bits does not come back soon.
const MAX_GIVEN_UP = 65_536;
const MAX_TRIES = 100;

interface Outstanding<In> {
  readonly id: unknown;
  readonly answer: PromiseWithResolvers<In>;
  /** Ends the wait for its signal. */
  stopListening?: () => void;
}

class Requests<In, Out> implements Correlation<In, Out, unknown> {
  readonly #connection: Connection<In, Out>;
  readonly #writer: Writer<Out>;
  readonly #options: CorrelateOptions<In, unknown>;
  readonly #maxGivenUp: number;
  readonly #outstanding = new Map<unknown, Outstanding<In>>();
  readonly #givenUp = new Set<unknown>();
  // Kept while only the oldest are forgotten: a new iterator would step over all deleted
  // entries again. One that stands still keeps the memory of all entries after it.
  #oldestGivenUp: Iterator<unknown> | undefined;
  #lastId = 0;
  #unmatched = 0;
  #failure: { readonly error: unknown } | undefined;
  // The messages given to `onMessage` so far, one after another.
  #handling = Promise.resolve();
  #isClosed = false;
  #stopWaiting: (() => void) | undefined;
  readonly ended: Promise<void>;

  constructor(
    connection: Connection<In, Out>,
    options: CorrelateOptions<In, unknown>,
    maxGivenUp = MAX_GIVEN_UP,
  ) {
    this.#writer = writerOf(
      connection,
      `${TASK} as connection must be a Connection`,
    );
    this.#connection = connection;
    this.#options = options;
    this.#maxGivenUp = maxGivenUp;
    const onClosed = () => {
      this.#isClosed = true;
      this.#stopWaiting?.();
    };
    connection.closed.then(onClosed, onClosed);
    this.ended = unobserved(this.#receive());
  }

  get outstanding(): number {
    return this.#outstanding.size;
  }

  get unmatched(): number {
    return this.#unmatched;
  }

  // A field, so that callers can destructure it.
  readonly request = (
    message: Out | ((id: unknown) => Out),
    options: RequestOptions<unknown> = {},
  ): Promise<In> => {
    const { signal } = options;
    if (this.#failure !== undefined) return rejected(this.#failure.error);
    if (signal?.aborted) return rejected(signal.reason);
    try {
      checkSignal(signal);
      const id = options.id === undefined
        ? this.#newId()
        : this.#checkId(options.id);
      const answer = Promise.withResolvers<In>();
      const request: Outstanding<In> = { id, answer };
      this.#outstanding.set(id, request);
      try {
        this.#send(request, isMaker(message) ? made(message, id) : message);
      } catch (error) {
        this.#outstanding.delete(id);
        throw error;
      }
      if (signal !== undefined) this.#watch(request, signal);
      return unobserved(answer.promise);
    } catch (error) {
      return rejected(error);
    }
  };

  #send(request: Outstanding<In>, message: Out): void {
    this.#connection.send(message).catch((error) => {
      // Even if the connection has failed, the answer may have been received already.
      if (this.#connection.hasEnded) return;
      // It was not sent, so no answer comes, even if it was given up meanwhile.
      this.#noLongerComes(request.id);
      if (this.#take(request)) request.answer.reject(error);
    });
  }

  /** Receives and dispatches all messages. */
  async #receive(): Promise<void> {
    try {
      for await (const message of this.#connection) {
        const handled = this.#handOut(message);
        if (handled !== undefined) await handled;
      }
    } catch (error) {
      this.#fail(error);
      await this.#handling.catch(() => {});
      throw error;
    }
    this.#fail(noMessage("answer"));
    await this.#handling;
  }

  /** Dispatches one message; the next one waits for the returned promise. */
  #handOut(message: In): Promise<void> | undefined {
    const { onMessage } = this.#options;
    let id: unknown;
    try {
      // It came before TLS, but startTls() was called since it was taken: it must not
      // answer a request made after that.
      if (this.#writer.isPaused) throw hasUnread();
      id = this.#options.id(message);
      checkNotAsync(TASK, "id", id);
    } catch (error) {
      this.#connection.abort(error);
      throw error;
    }
    // `NaN` is what `Number.parseInt` makes of a message without an id.
    if (id !== undefined && !Number.isNaN(id)) {
      this.#answer(id, message);
    } else if (onMessage !== undefined) {
      return this.#handle(message, onMessage);
    } else {
      this.#unmatched++;
    }
  }

  #answer(id: unknown, message: In): void {
    const request = this.#outstanding.get(id);
    if (request === undefined) {
      this.#noLongerComes(id);
      this.#unmatched++;
      return;
    }
    this.#take(request);
    request.answer.resolve(message);
  }

  /**
   * Waits for `onMessage`, but not once the connection is closed: then requests must end,
   * and no more messages come that backpressure could hold back.
   */
  #handle(
    message: In,
    onMessage: (message: In) => void | Promise<void>,
  ): Promise<void> {
    const handling = this.#handling.then(() => onMessage(message));
    this.#handling = handling;
    handling.catch((error) => this.#connection.abort(error));
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#stopWaiting = resolve;
      handling.then(resolve, reject);
    });
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    for (const request of this.#outstanding.values()) {
      request.stopListening?.();
      request.answer.reject(error);
    }
    this.#outstanding.clear();
    this.#givenUp.clear();
  }

  /** Removes a request, and returns whether it was still outstanding. */
  #take(request: Outstanding<In>): boolean {
    const { id, stopListening } = request;
    if (this.#outstanding.get(id) !== request) return false;
    this.#outstanding.delete(id);
    stopListening?.();
    return true;
  }

  #watch(request: Outstanding<In>, signal: AbortSignal): void {
    const giveUp = () => this.#giveUp(request, signal);
    if (signal.aborted) return giveUp(); // by the framing's own function
    request.stopListening = onAbort(signal, giveUp);
  }

  #giveUp(request: Outstanding<In>, signal: AbortSignal): void {
    if (!this.#take(request)) return;
    request.answer.reject(signal.reason);
    this.#givenUp.add(request.id);
    if (this.#givenUp.size <= this.#maxGivenUp) return;
    this.#oldestGivenUp ??= this.#givenUp.values();
    this.#givenUp.delete(this.#oldestGivenUp.next().value);
  }

  /** Notes that the answer to a request that may have been given up does not come later. */
  #noLongerComes(id: unknown): void {
    if (this.#givenUp.delete(id)) this.#oldestGivenUp = undefined;
  }

  /** Whether a request with this id was sent whose answer may still come. */
  isInUse(id: unknown): boolean {
    return this.#outstanding.has(id) || this.#givenUp.has(id);
  }

  #newId(): unknown {
    const { nextId, maxId = Number.MAX_SAFE_INTEGER } = this.#options;
    if (nextId === undefined) return this.#countOn(maxId);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const id = nextId();
      checkNotAsync("send request", "nextId", id);
      if (id === undefined) {
        throw new TypeError("Cannot send request as nextId() gave no id");
      }
      if (!this.isInUse(id)) return id;
    }
    throw new RangeError(
      `Cannot send request as nextId() gave an id that is in use ${MAX_TRIES} times: ${this.#usage}`,
    );
  }

  #countOn(maxId: number): number {
    if (this.#outstanding.size + this.#givenUp.size >= maxId) {
      throw new RangeError(
        `Cannot send request as all ${maxId} ids are in use: ${this.#usage}`,
      );
    }
    do this.#lastId = this.#lastId % maxId + 1; while (
      this.isInUse(this.#lastId)
    );
    return this.#lastId;
  }

  #checkId(id: unknown): unknown {
    const { nextId, maxId } = this.#options;
    if (nextId === undefined) {
      // An id of another type would never match a key of the outstanding requests.
      checkCount(
        "send request",
        "id",
        typeof id === "number" ? id : NaN,
        maxId,
      );
    }
    if (this.isInUse(id)) {
      throw new RangeError(
        `Cannot send request as its id ${id} is in use: ${
          this.#givenUp.has(id)
            ? "its answer may still come"
            : "another request with it waits for the answer"
        }`,
      );
    }
    return id;
  }

  get #usage(): string {
    return `${this.#outstanding.size} requests wait, and ${this.#givenUp.size} were given up`;
  }
}

function isMaker<Out>(
  message: Out | ((id: unknown) => Out),
): message is (id: unknown) => Out {
  return typeof message === "function";
}

function made<Out>(make: (id: unknown) => Out, id: unknown): Out {
  const message = make(id);
  checkNotAsync("send request", "what makes the message", message);
  return message;
}
