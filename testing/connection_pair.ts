import { Connection } from "../connection/connection.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import type { Bytes, SendableFor } from "../framing/bytes.ts";
import type { PairedTransport } from "./paired_transport.ts";
import { checkMilliseconds } from "../internal/checks.ts";
import { copyOptions } from "../internal/copy_options.ts";
import { type OwnTimer, ownTimer } from "../internal/event_loop.ts";
import { pairedEnds } from "./_paired_end.ts";
import type { TransportPairOptions } from "./transport_pair.ts";

/**
 * Options for {@linkcode connectionPair} in addition to those of the connections.
 *
 * @example A test that fails soon
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair, type PairOptions } from "@framed/tcp/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const options: PairOptions = { giveUpAfter: 10 };
 * await using pair = connectionPair({ framing: lines(), ...options });
 *
 * await assertRejects(() => pair.near.receive(), DOMException, "in vain");
 * ```
 */
export interface PairOptions extends TransportPairOptions {
  /**
   * After how many milliseconds both ends are aborted with a `TimeoutError`, unless they
   * were closed before, so that a test that would wait forever fails. Until then the pair
   * keeps the process alive, as a socket would; otherwise no timeout of a connection would
   * ever fire.
   *
   * @default {10_000}
   */
  giveUpAfter?: number | undefined;
}

const GIVE_UP_MS = 10_000;

/**
 * Options for {@linkcode connectionPair} with a framing, limits and timeouts for each end.
 *
 * @typeParam In The type that the near end receives.
 * @typeParam Out The type that the near end sends.
 * @typeParam FarIn The type that the far end receives.
 * @typeParam FarOut The type that the far end sends.
 *
 * @example A client that sends numbers, and a server that answers with lines
 * ```ts
 * import { fixedLength, type Framing, lines, mapped } from "@framed/tcp/framing";
 * import { connectionPair, type ConnectionPairOptions } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const numbers = mapped(fixedLength(1), {
 *   decode: ([number = 0]) => number,
 *   encode: (number: number) => Uint8Array.of(number),
 * });
 * const client: Framing<string, number> = {
 *   decoder: () => lines().decoder(),
 *   encoder: () => numbers.encoder(),
 * };
 * const server: Framing<number, string> = {
 *   decoder: () => numbers.decoder(),
 *   encoder: () => lines().encoder(),
 * };
 *
 * const options: ConnectionPairOptions<string, number, number, string> = {
 *   near: { framing: client },
 *   far: { framing: server, idleTimeout: 1000 },
 * };
 * await using pair = connectionPair(options);
 * const answer = pair.near.request(42);
 * await pair.far.send(`${await pair.far.receive()}!`);
 * assertEquals(await answer, "42!");
 * ```
 */
export interface ConnectionPairOptions<
  In = Bytes,
  Out = SendableFor<In>,
  FarIn = In,
  FarOut = Out,
> extends PairOptions {
  /** The options of the near end. */
  near: ConnectionOptions<In, Out>;
  /** The options of the far end. */
  far: ConnectionOptions<FarIn, FarOut>;
}

/**
 * Two connected connections in memory; see {@linkcode connectionPair}. Hold the pair with
 * `await using`: at the end of the scope both are aborted.
 *
 * @typeParam In The type that the near end receives.
 * @typeParam Out The type that the near end sends.
 * @typeParam FarIn The type that the far end receives.
 * @typeParam FarOut The type that the far end sends.
 *
 * @example A peer that resets the connection
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { type ConnectionPair, connectionPair } from "@framed/tcp/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * await using pair: ConnectionPair<string, string> = connectionPair({
 *   framing: lines(),
 * });
 * const answer = pair.near.request("hello");
 * assertEquals(await pair.far.receive(), "hello");
 * pair.farTransport.reset();
 *
 * const error = await assertRejects(() => answer, Error);
 * assertEquals(error.name, "ConnectionReset");
 * ```
 */
export interface ConnectionPair<
  In = Bytes,
  Out = SendableFor<In>,
  FarIn = In,
  FarOut = Out,
> extends AsyncDisposable {
  /** One end; give either end to the code under test. */
  readonly near: Connection<In, Out>;
  /** The other end. */
  readonly far: Connection<FarIn, FarOut>;
  /** The transport of the near end, for faults. */
  readonly nearTransport: PairedTransport;
  /** The transport of the far end, for faults. */
  readonly farTransport: PairedTransport;
}

/**
 * Makes two connected connections in memory, so that a client and a handler can talk
 * without a socket.
 *
 * They run over a {@linkcode transportPair}, so buffers fill and block, and ends and
 * resets behave as in TCP. Nothing listens, and no permission is needed.
 *
 * @typeParam In The type of received messages.
 * @typeParam Out The type of messages to send.
 * @param options The framing, limits and timeouts of both ends, and the size of the
 * buffers between them.
 * @returns Both ends and their transports. Dispose of the pair.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Testing a server's handler
 * ```ts
 * import type { Connection } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * async function shout(connection: Connection<string, string>): Promise<void> {
 *   for await (const line of connection) await connection.send(`${line}!`);
 * }
 *
 * await using pair = connectionPair({ framing: lines() });
 * const handled = shout(pair.far);
 * assertEquals(await pair.near.request("hello"), "hello!");
 *
 * await pair.near.closeWrite();
 * await handled; // the handler ends with its client
 * ```
 */
export function connectionPair<In, Out>(
  options: ConnectionOptions<In, Out> & PairOptions,
): ConnectionPair<In, Out>;
/**
 * Makes two connected connections, each with its own options.
 *
 * @typeParam In The type that the near end receives.
 * @typeParam Out The type that the near end sends.
 * @typeParam FarIn The type that the far end receives.
 * @typeParam FarOut The type that the far end sends.
 * @param options The options of each end.
 * @returns Both ends.
 */
export function connectionPair<In, Out, FarIn, FarOut>(
  options: ConnectionPairOptions<In, Out, FarIn, FarOut>,
): ConnectionPair<In, Out, FarIn, FarOut>;
export function connectionPair<In, Out>(
  given:
    | ConnectionOptions<In, Out> & PairOptions
    | ConnectionPairOptions<In, Out>,
): ConnectionPair<In, Out> {
  const options = copyOptions(given); // in JavaScript they may be missing
  const { giveUpAfter = GIVE_UP_MS } = options;
  checkMilliseconds("giveUpAfter", giveUpAfter);
  const ends = pairedEnds(options.bufferSize);
  const [nearTransport, farTransport] = ends;
  const each = isForEach(options) ? options : { near: options, far: options };
  const near = new Connection(nearTransport, each.near);
  let far: Connection<In, Out>;
  try {
    far = new Connection(farTransport, each.far);
  } catch (error) {
    near.abort(error); // otherwise its heartbeat would continue
    throw error;
  }
  const pair = new Pair(
    { near, far, nearTransport, farTransport },
    giveUpAfter,
  );
  for (const end of ends) end.onClose = () => pair.noteClosed();
  return pair;
}

/** Whether each end has options; in JavaScript one of them may be missing. */
function isForEach<In, Out>(
  options:
    | ConnectionOptions<In, Out> & PairOptions
    | ConnectionPairOptions<In, Out>,
): options is ConnectionPairOptions<In, Out> {
  return "near" in options || "far" in options;
}

class Pair<In, Out> implements ConnectionPair<In, Out> {
  readonly near: Connection<In, Out>;
  readonly far: Connection<In, Out>;
  readonly nearTransport: PairedTransport;
  readonly farTransport: PairedTransport;

  readonly #timer: OwnTimer;

  constructor(
    ends: Omit<ConnectionPair<In, Out>, keyof AsyncDisposable>,
    giveUpAfter: number,
  ) {
    this.near = ends.near;
    this.far = ends.far;
    this.nearTransport = ends.nearTransport;
    this.farTransport = ends.farTransport;
    this.#timer = ownTimer(() => {
      const reason =
        `The test has waited in vain for ${giveUpAfter} ms: near has ${
          doneBy(this.near)
        }, far has ${doneBy(this.far)}`;
      this.#abort(new DOMException(reason, "TimeoutError"));
    }, giveUpAfter);
  }

  /** Waits no longer once both ends are closed: a test may not dispose of the pair. */
  noteClosed(): void {
    const { nearTransport, farTransport } = this;
    if (nearTransport.isClosed && farTransport.isClosed) this.#timer.cancel();
  }

  #abort(reason?: DOMException): void {
    for (const end of [this.near, this.far]) end.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer.cancel();
    this.#abort();
    const ends = [this.near, this.far];
    await Promise.allSettled(ends.map(({ closed }) => closed));
  }
}

/** What a connection has done, to show which end the test waits for. */
function doneBy(connection: Connection<unknown, never>): string {
  const { messagesReceived, messagesSent } = connection.stats();
  return `sent ${messagesSent} messages and received ${messagesReceived}`;
}
