import { checkAttached } from "../internal/checks.ts";
import { copyInto, NO_BYTES } from "../internal/copy_into.ts";
import { backgroundTimer } from "../internal/event_loop.ts";
import { isBytes, viewOf } from "../internal/realms.ts";
import { systemError } from "../internal/system_error.ts";
import { noteGone } from "./_ending.ts";
import type { Address, ByteStreams, Transport } from "./transport.ts";

// A larger write goes out in parts, so that its copies stay small and its progress is
// visible.
const MAX_WRITE_BYTES = 64 * 1024;
// A sink may never start, or never say that it was aborted.
const ABORT_MS = 1000;

/**
 * Byte streams as a transport.
 *
 * `read()`, `write()` and `closeWrite()` pass on the errors of the streams unchanged. If
 * the reason of an error is no object, they reject with an error named `ConnectionReset`.
 * If a socket of Workers did not open, they reject with the error of its `opened`: its
 * streams may say only that they were cancelled.
 * `close()` rejects pending calls with an error named `Interrupted`, and later calls with
 * one named `BadResource`, as Deno's sockets do.
 */
export class StreamTransport implements Transport {
  readonly #streams: ByteStreams;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** The rest of the last chunk. */
  #rest: Uint8Array = NO_BYTES;
  #sentEnd: Promise<void> | undefined;
  #isClosed = false;
  /** How many writes, or its end, the sink has not settled. */
  #pendingInSink = 0;
  #notOpened: { readonly error: unknown } | undefined;
  /** Reject pending calls. */
  readonly #interrupts = new Set<(error: Error) => void>();
  #localAddr: Address | undefined;
  #remoteAddr: Address | undefined;
  #alpnProtocol: string | null | undefined;

  /** Locks both streams, which must not be locked. */
  constructor(streams: ByteStreams) {
    this.#streams = streams;
    this.#reader = streams.readable.getReader();
    this.#writer = streams.writable.getWriter();
    this.#learnFacts(streams);
  }

  get localAddr(): Address | undefined {
    return this.#localAddr;
  }

  get remoteAddr(): Address | undefined {
    return this.#remoteAddr;
  }

  get alpnProtocol(): string | null | undefined {
    return this.#alpnProtocol;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    this.#checkOpen();
    // A default reader even for a byte stream: a BYOB reader would take the caller's
    // buffer away, so the bytes are copied either way.
    while (this.#rest.length === 0) {
      const { value, done } = await this.#interruptible(this.#reader.read());
      if (done) return null;
      this.#rest = checkChunk(value);
    }
    const { length } = this.#rest;
    this.#rest = copyInto(buffer, this.#rest);
    return length - this.#rest.length;
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.#checkOpen();
    // A copy: a stream may pass its chunk on, and keep it.
    const chunk = new Uint8Array(bytes.subarray(0, MAX_WRITE_BYTES));
    // Before the write: a stream may transfer its chunk, which is empty from then on.
    const { length } = chunk;
    // Some streams treat an empty chunk as an empty message.
    if (length > 0) await this.#untilTaken(this.#writer.write(chunk));
    return length;
  }

  async closeWrite(): Promise<void> {
    this.#checkOpen();
    // If the stream has ended by itself, close() does not say how: with an error, or, as
    // a WebSocketStream does at the peer's end, without.
    await (this.#sentEnd ??= this.#untilTaken(
      this.#writer.close().catch(() => this.#writer.closed),
    ));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#rest = NO_BYTES;
    const error = systemError("Interrupted", "The transport was closed");
    for (const interrupt of this.#interrupts) interrupt(error);
    const cancel = () => ignoringErrors(() => this.#reader.cancel(error));
    // Does nothing if closeWrite() has closed it.
    const aborted = ignoringErrors(() => this.#writer.abort(error));
    // A WebSocketStream closes with either. Deno's must not be cancelled before it has
    // closed: what the peer still sends would be an unhandled rejection. But a busy sink
    // is aborted only when it is done, and for many the cancelling is what ends that.
    if (this.#pendingInSink > 0) cancel();
    else {
      const timer = backgroundTimer(cancel, ABORT_MS);
      aborted.then(() => {
        timer.cancel();
        cancel();
      });
    }
    ignoringErrors(() => this.#streams.close?.());
  }

  #checkOpen(): void {
    if (this.#isClosed) {
      throw systemError("BadResource", "The transport is closed");
    }
  }

  /** The same promise, counted as pending in the sink, and rejected by `close()`. */
  async #untilTaken(promise: Promise<void>): Promise<void> {
    this.#pendingInSink++;
    try {
      await this.#interruptible(promise);
    } catch (error) {
      if (!this.#isClosed) noteGone(error as object);
      throw error;
    } finally {
      this.#pendingInSink--;
    }
  }

  /**
   * The same promise, but `close()` rejects it: a stream may settle late, because
   * aborting it waits for the write of its sink.
   */
  #interruptible<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupts.add(reject);
      const fail = (reason: unknown) =>
        reject(toError(this.#notOpened ? this.#notOpened.error : reason));
      promise.then(resolve, fail).finally(() =>
        this.#interrupts.delete(reject)
      );
    });
  }

  /** Takes the addresses and the protocol from the sockets of Workers and of Chrome. */
  #learnFacts(streams: ByteStreams): void {
    const learn = (info: unknown) => {
      if (typeof info !== "object" || info === null) return;
      this.#localAddr = addressIn(info, "local");
      this.#remoteAddr = addressIn(info, "remote");
      this.#alpnProtocol = alpnIn(info);
    };
    learn(streams); // the result of a TCPSocket's `opened`
    const opened: unknown = Reflect.get(streams, "opened");
    if (isThenable(opened)) {
      // The streams reject too.
      opened.then(learn, (error: unknown) => this.#notOpened = { error });
    }
    const closed: unknown = Reflect.get(streams, "closed");
    if (isThenable(closed)) closed.then(() => {}, () => {});
  }
}

/** An error even for `cancel()` and `abort()` without a reason, or with a text. */
function toError(reason: unknown): object {
  if (typeof reason === "object" && reason !== null) return reason;
  return systemError(
    "ConnectionReset",
    reason === undefined
      ? "The stream was ended without a reason"
      : `The stream was ended: ${String(reason)}`,
  );
}

function checkChunk(given: unknown): Uint8Array {
  const chunk = viewOf(given);
  if (isBytes(chunk)) {
    if (chunk.length === 0) checkAttached("read from stream", chunk);
    return chunk;
  }
  throw new TypeError(
    `Cannot read from stream as each chunk must be a Uint8Array: current value is ${
      typeof chunk === "object"
        ? Object.prototype.toString.call(chunk)
        : `of type ${typeof chunk}`
    }`,
  );
}

/** An address in the format of Workers ("[::1]:80"), or of Chrome. */
function addressIn(
  info: object,
  side: "local" | "remote",
): Address | undefined {
  const address: unknown = Reflect.get(info, `${side}Address`);
  const port: unknown = Reflect.get(info, `${side}Port`);
  if (typeof address !== "string") return undefined;
  if (typeof port === "number") {
    return { transport: "tcp", hostname: address, port };
  }
  const [, hostname, digits] = /^\[?(.+?)\]?:(\d+)$/.exec(address) ?? [];
  return hostname === undefined
    ? undefined
    : { transport: "tcp", hostname, port: Number(digits) };
}

/** Whether it is a promise, even from another realm. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof Reflect.get(value, "then") === "function";
}

/** The protocol that TLS agreed on, in the format of WinterTC. */
function alpnIn(info: object): string | null | undefined {
  const alpn: unknown = Reflect.get(info, "alpn");
  return typeof alpn === "string" || alpn === null ? alpn : undefined;
}

/** Calls `action` and ignores its result or error, which are no longer needed. */
async function ignoringErrors(action: () => unknown): Promise<void> {
  try {
    await action();
  } catch {
    // It would only say that the stream has already ended.
  }
}
