import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { Encoder } from "../framing/framing.ts";
import { OutputBuffer } from "../framing/output_buffer.ts";
import { checkFunction, checkLength } from "../internal/checks.ts";
import { ownTimers } from "../internal/event_loop.ts";
import { quotaExceeded } from "../internal/quota_exceeded.ts";
import { isSettledSoon, rejected } from "../internal/promises.ts";
import { shownValue } from "../internal/shown.ts";
import { SharedFrame } from "../internal/shared_frame.ts";
import { untilOthersHadTurn, untilSharedPoll } from "./_turns.ts";
import type { Writer } from "./_writer.ts";
import { writerOf } from "./_writer_of.ts";
import type { Connection } from "./connection.ts";

/**
 * Options for {@linkcode broadcast}.
 *
 * @example Disconnecting receivers that have a mebibyte queued
 * ```ts
 * import { broadcast, type BroadcastOptions, lines, serve } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing: lines() },
 *   () => {},
 * );
 * const options: BroadcastOptions = {
 *   slow: "disconnect",
 *   highWaterMark: 1024 * 1024,
 * };
 * const { sent } = await broadcast(server.connections, "news", options);
 * assertEquals(sent, 0); // no client has connected yet
 * ```
 */
export interface BroadcastOptions {
  /**
   * What happens to a slow connection: one with at least `highWaterMark` bytes queued.
   *
   * - `"wait"`: it gets the message too, and the promise waits until it has room for
   *   more, like the one of {@linkcode Connection.send}. A program that awaits each
   *   broadcast goes at the pace of the slowest. `sendTimeout` ends a wait for one that
   *   takes nothing.
   * - `"drop"`: it does not get this message.
   * - `"disconnect"`: it is aborted with a `QuotaExceededError`, which says how many
   *   bytes were queued (`requested`) and how many may be (`quota`).
   *
   * @default {"wait"}
   */
  slow?: "wait" | "drop" | "disconnect" | undefined;
  /**
   * The number of queued bytes from which a connection counts as slow. Only with `"drop"` and
   * `"disconnect"`; by default it is the `highWaterMark` of each connection.
   */
  highWaterMark?: number | undefined;
}

/**
 * What happened to a message that was broadcast.
 *
 * @typeParam In The type that the connections receive.
 * @typeParam Out The type that they send.
 *
 * @example Finding the connections that have ended
 * ```ts
 * import {
 *   broadcast,
 *   type BroadcastResult,
 *   connect,
 *   lines,
 *   serve,
 * } from "@framed/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * await using server = serve(
 *   { hostname: "127.0.0.1", port: 0, framing },
 *   async (connection) => void await connection.receive(),
 * );
 * const { port } = server.addr;
 * await using here = await connect({ port, framing });
 * await using gone = await connect({ port, framing });
 * await gone.close();
 *
 * const result: BroadcastResult<string, string> = await broadcast(
 *   [here, gone],
 *   "news",
 * );
 * assertEquals(result, { sent: 1, slow: [], ended: [gone] });
 * ```
 */
export interface BroadcastResult<In = Bytes, Out = SendableFor<In>> {
  /** How many connections it was sent to, as by {@linkcode Connection.send}. */
  sent: number;
  /** Slow connections that did not get it: it was dropped, or they were disconnected. */
  slow: Connection<In, Out>[];
  /** Connections that had ended before, or failed while the broadcast waited for them. */
  ended: Connection<In, Out>[];
}

/**
 * Sends one message to many connections.
 *
 * The message is encoded once, or once for each framing object if the connections have
 * several, and once for each connection whose encoder has state. All connections share
 * one copy of a frame, unless it is small and leaves together with other messages. Each
 * connection sends in the order of the calls, including {@linkcode Connection.send}.
 * Everything is queued when this function returns; later changes to the message do not
 * matter.
 *
 * One connection never stops the others: one that has ended is skipped, and
 * its own {@linkcode Connection.closed} rejects with its failure.
 *
 * With `"drop"` and `"disconnect"` the promise waits for no receiver. If a queue is full,
 * it polls the sockets for as long as each poll shows that the kernel takes queued bytes.
 * So await each broadcast with these rules too: in a long burst that is not awaited,
 * every receiver is slow. Handlers that broadcast to the same connections make such a
 * burst together, even if each awaits its own: let each broadcast follow the one before,
 * even if that was refused, `last = last.catch(() => {}).then(() => broadcast(…))`. The
 * queue of a connection stays below `highWaterMark` plus the message, once for each time
 * that it is listed.
 *
 * @typeParam In The type that the connections receive.
 * @typeParam Out The type that they send.
 * @param connections The connections. One listed twice gets the message twice.
 * @param message The message.
 * @param options What happens to slow connections.
 * @returns How many connections got the message, and which did not. Rejects with a
 * `TypeError` or `RangeError`
 * if the framing of a connection that would get the message refuses it; then none gets
 * it. A result that is not awaited causes no unhandled rejection.
 * @throws {TypeError} If `slow` has another value, `highWaterMark` is given with
 * `"wait"`, or `connections` holds anything else.
 * @throws {RangeError} If `highWaterMark` is not a whole number of at least 1.
 *
 * @example Disconnecting slow receivers
 * ```ts
 * import { broadcast, connect, lines, serve } from "@framed/tcp";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const framing = lines();
 * const failure = Promise.withResolvers<unknown>();
 * await using server = serve({
 *   hostname: "127.0.0.1",
 *   port: 0,
 *   framing,
 *   onError: (error) => failure.resolve(error),
 * }, async (connection) => {
 *   await connection.send("welcome");
 *   await connection.receive(); // until the client is gone
 * });
 * await using client = await connect({ port: server.addr.port, framing });
 * assertEquals(await client.receive(), "welcome"); // and then it reads no more
 *
 * const price = "x".repeat(50_000);
 * let slow: unknown[] = [];
 * while (slow.length === 0) {
 *   const options = { slow: "disconnect" } as const;
 *   ({ slow } = await broadcast(server.connections, price, options));
 * }
 *
 * const error = await failure.promise;
 * assert(error instanceof QuotaExceededError);
 * assertEquals(error.quota, 65_536);
 * ```
 */
export function broadcast<In, Out>(
  connections: Iterable<Connection<In, Out>>,
  message: NoInfer<Out>,
  options: BroadcastOptions = {},
): Promise<BroadcastResult<In, Out>> {
  const { slow: rule = "wait", highWaterMark } = options;
  checkBroadcastOptions(rule, highWaterMark);
  // `Array.from` makes an empty array of anything not iterable, such as one connection.
  checkFunction(
    "broadcast",
    "connections[Symbol.iterator]",
    connections?.[Symbol.iterator],
  );
  const receivers = Array.from(
    connections,
    (connection) => receiverOf(connection, highWaterMark),
  );
  try {
    // Encode for all before queuing for any: a message that is refused goes to none.
    encodeForAll(receivers, message, rule);
  } catch (error) {
    return rejected(error);
  }

  let sent = 0;
  const full: Receiver<In, Out>[] = [];
  const slow: Receiver<In, Out>[] = [];
  const ended: Connection<In, Out>[] = [];
  for (const receiver of receivers) {
    const { connection, writer, limit, frame } = receiver;
    if (!writer.isOpen) {
      ended.push(connection);
    } else if (frame === undefined) {
      slow.push(receiver);
    } else {
      writer.queueShared(frame);
      sent++;
      if (!writer.hasRoomBelow(limit)) full.push(receiver);
    }
  }
  // After the loop: listeners of the abort may broadcast as well.
  if (rule === "disconnect") slow.forEach(disconnect);
  const result = {
    sent,
    slow: slow.map(({ connection }) => connection),
    ended,
  };
  return rule === "wait" ? whenAllHaveRoom(full, result) : onceOffered(
    // A receiver that is dropped again and again must not slow the others. But if all are
    // slow, continuing immediately would leave none a chance to take more.
    rule === "drop" && sent > 0
      ? [...full, ...slow].filter(isWorthWaiting)
      : [...full, ...slow],
    result,
  );
}

type Rule = NonNullable<BroadcastOptions["slow"]>;

interface Receiver<In, Out> {
  readonly connection: Connection<In, Out>;
  readonly writer: Writer<Out>;
  /** It is slow with at least this many bytes queued. */
  readonly limit: number;
  /** The message, unless the connection is slow or has ended before. */
  frame: SharedFrame | undefined;
}

function receiverOf<In, Out>(
  connection: Connection<In, Out>,
  highWaterMark: number | undefined,
): Receiver<In, Out> {
  const writer = writerOf(
    connection,
    "broadcast as each of connections must be a Connection",
  );
  const limit = highWaterMark ?? writer.highWaterMark;
  return { connection, writer, limit, frame: undefined };
}

const RULES: readonly Rule[] = ["wait", "drop", "disconnect"];

function checkBroadcastOptions(
  slow: Rule,
  highWaterMark: number | undefined,
): void {
  if (!RULES.includes(slow)) {
    throw new TypeError(
      `Cannot broadcast as slow must be one of ${
        RULES.map((rule) => JSON.stringify(rule)).join(", ")
      }: current value is ${shownValue(slow)}`,
    );
  }
  if (highWaterMark !== undefined && slow === "wait") {
    throw new TypeError(
      'Cannot broadcast with highWaterMark as slow is "wait": each connection waits by its own',
    );
  }
  checkLength("broadcast", "highWaterMark", highWaterMark);
}

/** Gives the receivers that get the message their frames; throws if a framing refuses. */
function encodeForAll<In, Out>(
  receivers: readonly Receiver<In, Out>[],
  message: Out,
  rule: Rule,
): void {
  const firsts = new Map<Encoder<Out>, Receiver<In, Out>>();
  for (const receiver of receivers) {
    const { writer, limit } = receiver;
    const { isOpen, encoder } = writer;
    if (!isOpen) continue;
    writer.refuseWithinFrame();
    // An encoder with state, such as a counter, must not see a message that is dropped.
    if (rule !== "wait" && writer.bufferedAmount >= limit) continue;
    // Encoders without state are the same for all connections of a framing. One with
    // state must see each message, even for a connection that is listed twice.
    const first = firsts.get(encoder);
    if (first !== undefined && first.writer !== writer) {
      receiver.frame = first.frame;
    } else {
      receiver.frame = encode(encoder, message);
      firsts.set(encoder, receiver);
    }
  }
}

function encode<Out>(encoder: Encoder<Out>, message: Out): SharedFrame {
  const output = new OutputBuffer();
  output.push(encoder, message);
  return SharedFrame.of(output.takeBytes());
}

function disconnect<In, Out>(
  { connection, writer, limit }: Receiver<In, Out>,
): void {
  if (!writer.isOpen) return; // listed twice, or ended by a listener of an earlier abort
  const { bufferedAmount } = writer;
  connection.abort(
    quotaExceeded(
      `Cannot send message: the peer is slow, ${bufferedAmount} bytes are queued for it where highWaterMark is ${limit}`,
      { quota: limit, requested: bufferedAmount },
    ),
  );
}

/** Waits until the full queues have room. */
async function whenAllHaveRoom<In, Out>(
  full: Receiver<In, Out>[],
  result: BroadcastResult<In, Out>,
): Promise<BroadcastResult<In, Out>> {
  await Promise.all(
    full.map(({ connection, writer }) =>
      writer.ready().catch(() => {
        result.sent--;
        result.ended.push(connection);
      })
    ),
  );
  return result;
}

// When the kernel last refused to take the whole queue.
const refusedAt = new WeakMap<Writer<never>, number>();

/** After a partial write, broadcasts do not wait for the connection for this long. */
const REFUSED_MS = 100;

function isWorthWaiting<In, Out>({ writer }: Receiver<In, Out>): boolean {
  return ownTimers.now() - (refusedAt.get(writer) ?? -Infinity) >= REFUSED_MS;
}

/** Waits until the kernel has taken what is queued, or refuses to. */
async function onceOffered<In, Out>(
  offered: Receiver<In, Out>[],
  result: BroadcastResult<In, Out>,
): Promise<BroadcastResult<In, Out>> {
  if (offered.length === 0) return result;
  const refused = new Set(offered.map(({ writer }) => writer));
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const stops = Array.from(refused, (writer) =>
    whenFlushed(writer, () => {
      refused.delete(writer);
      if (refused.size === 0) resolve();
    }));
  if (!await isSettledSoon(all)) await untilNoneProgresses(refused);
  for (const stop of stops) stop();
  for (const writer of refused) refusedAt.set(writer, ownTimers.now());
  return result;
}

/** Waits for as long as polls of the sockets show that the kernel takes queued bytes. */
async function untilNoneProgresses(
  refused: ReadonlySet<Writer<never>>,
): Promise<void> {
  const sent = () =>
    refused.values().reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  let sizeBefore = Infinity;
  let sentBefore = 0;
  let someWaited = false;
  // Writers that are done leave the set, and the sum loses their bytes. The connections of
  // another broadcast may use up a turn: then none of these was asked to take anything.
  while (
    refused.size > 0 &&
    (refused.size < sizeBefore || sent() > sentBefore || someWaited)
  ) {
    sizeBefore = refused.size;
    sentBefore = sent();
    someWaited = refused.values().some((writer) => writer.isWaitingForTurn);
    // A write may wait for its turn, and its result for a poll of the sockets. Without
    // both waits, healthy receivers would count as slow.
    await untilOthersHadTurn();
    await untilSharedPoll();
  }
}

// The callbacks of each pending flush. A stuck connection gets broadcast after broadcast:
// one promise each, waiting for its flush, would stay in memory until it is unstuck.
const callbacksOf = new WeakMap<Promise<void>, Set<() => void>>();

/**
 * Calls `callback` when everything queued so far was taken, or cannot be.
 *
 * @returns A function that removes the callback.
 */
function whenFlushed(writer: Writer<never>, callback: () => void): () => void {
  const flush = writer.flush(); // the same one while nothing more is queued
  let callbacks = callbacksOf.get(flush);
  if (callbacks === undefined) {
    const added = callbacks = new Set();
    callbacksOf.set(flush, added);
    const callAll = () => {
      callbacksOf.delete(flush); // all writers with an empty queue may share one
      for (const each of added) each();
    };
    flush.then(callAll, callAll);
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}
