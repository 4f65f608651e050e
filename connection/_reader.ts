import type { Countdown } from "../internal/countdown.ts";
import { unobserved } from "../internal/promises.ts";
import { type Linked, LinkedQueue } from "../internal/linked_queue.ts";
import type { Bytes } from "../framing/bytes.ts";
import type { Decoder } from "../framing/framing.ts";
import { type Batch, takeAhead, takeBatch } from "../framing/batch.ts";
import { InputBuffer } from "../framing/input_buffer.ts";
import { drops } from "../internal/drops.ts";
import { type Ending, endingOfRead } from "./_ending.ts";
import { ReadLoop, type ReadLoopOwner } from "./_read_loop.ts";
import {
  noteMoved,
  noteOthersRead,
  type TurnTask,
  untilOthersArePolled,
} from "./_turns.ts";
import type { Transport } from "./transport.ts";

/** What a receiver waits for. */
export interface Source<T> {
  /** Takes what has arrived, for a receiver in its turn. */
  take(): T | undefined;
}

/** Waits in a queue for messages. */
export interface Receiver extends Linked<Receiver> {
  /**
   * Takes what it waits for, if that has arrived.
   *
   * @returns Whether it is done waiting.
   */
  take(): boolean;
  /**
   * Whether more bytes should be read for it; by default yes.
   *
   * @param isAlone Whether nothing waits after it.
   */
  wantsBytes?(isAlone: boolean): boolean;
  /** How many bytes are still for it, not for receivers after it, if it knows. */
  readonly rest?: number;
  /** Called when no more messages come. */
  end(): void;
  /** Called when no more messages come, with the reason. */
  fail(error: unknown): void;
}

/** Options for {@linkcode Reader}. */
export interface ReaderOptions<In> {
  /** The transport to read at first; see {@linkcode Reader.changeTransport}. */
  readonly transport: Transport;
  /** A read that does not fill its buffer has emptied the transport. */
  readonly shortReadMeansEmpty: boolean;
  /** The decoder at first; see {@linkcode Reader.reframe}. */
  readonly decoder: Decoder<In>;
  /** The most bytes in one read. */
  readonly readBufferSize: number;
  /** Runs while this side waits for the peer, in either direction. */
  readonly idleCountdown: Countdown | undefined;
  /** Runs while the transport is read, for any caller. */
  readonly receiveCountdown: Countdown | undefined;
  /** Runs while a receiver waits for the rest of a message. */
  readonly messageCountdown: Countdown | undefined;
  readonly owner: ReaderOwner;
}

/** The connection that reads. */
export interface ReaderOwner {
  /** Called when the peer closes its side, and again when everything was taken. */
  onReadEnd(): void;
  /** Called with the error that ends reading, and the ending it causes. */
  onFailure(ending: Ending, error: unknown): void;
}

/** What happens to the bytes that are read. */
type Mode =
  /** They are for receivers, and read when one waits. */
  | "receive"
  /** They are for receivers, and read to the peer's end now. */
  | "keep"
  /** They are dropped, and read to the peer's end now. */
  | "discard"
  /** Nothing more is read. */
  | "stop";

const FIRST_BUFFER_BYTES = 512;
// A refused message makes two errors, some 8 µs, in which this many bytes could be moved:
// a peer that floods with such messages must not hold up others.
const BYTES_PER_DROPPED = 1024;
const MANY_DROPPED = 256;
// Each check whether others need a turn asks the clock, which takes longer than a message.
const MESSAGES_PER_CHECK = 128;
// A piece of a stream takes as long as this many messages.
const MESSAGES_PER_PIECE = 16;
// The type of a record, its first byte (RFC 8446, 5.1).
const TLS_HANDSHAKE = 22;
const SETTLED = Promise.resolve();
const NO_BYTES: Bytes = new Uint8Array(0);

// Bytes to drop are read into one buffer for all connections.
const dropped = new Uint8Array(64 * 1024);

/**
 * Reads the transport, and hands out its messages. Nothing else reads it, and at most one
 * read is pending.
 *
 * The transport is read while a receiver waits for a message, and one buffer ahead to
 * watch for the peer's end. Reads advance through one buffer, which many small messages
 * share; when it is used up, a new one is made, larger if reads filled it and smaller if
 * they did not. So an idle connection holds 512 bytes and a busy one reads up to 64 KiB
 * at a time.
 */
export class Reader<In> implements Source<In>, ReadLoopOwner {
  // Separate fields: every idle connection would keep an options object alive.
  readonly #readBufferSize: number;
  readonly #idleCountdown: Countdown | undefined;
  readonly #receiveCountdown: Countdown | undefined;
  readonly #messageCountdown: Countdown | undefined;
  readonly #owner: ReaderOwner;
  readonly #input = new InputBuffer();
  readonly #receivers = new LinkedQueue<Receiver>();
  #decoder: Decoder<In>;
  // A function of the framing has asked for it while a message was decoded.
  #nextDecoder: Decoder<In> | undefined;
  #mode: Mode = "receive";
  #isWatching = false;
  #watchKeepsAlive = false;
  #transport: Transport;
  #shortReadMeansEmpty: boolean;
  // How many bytes had been received when it was taken into use.
  #transportOffset = 0;
  // Reads the transport; made with its first read.
  #loop: ReadLoop | undefined;
  // The timeouts for waiting are running.
  #isWaiting = false;
  // The limit of the message that the last read continued: it keeps running, as if there
  // had been no read. Otherwise a byte now and then, each arriving while the clock polls
  // the sockets, would never be too slow.
  #runningLimit: Countdown | undefined;
  #hasPeerEnded = false;
  // A caller was told that there are no more messages.
  #isDone = false;
  // The bytes hold no more messages: they broke a rule or were dropped.
  #isBroken = false;
  // Bytes of the peer were dropped, or may be missing: after a failed write, the end that
  // was read may come too early.
  #mayLackBytes = false;
  // The decoder of the first receiver, if it has its own framing and its message is not
  // whole yet.
  #other: Decoder<unknown> | undefined;
  #isDecoding = false;
  #isServing = false;
  // `#serve()` was called while it could not run.
  #isAskedToServe = false;
  // Others have their turn: receivers wait, although messages may have arrived.
  #isOthersTurn = false;
  // Another transport is to be made from the present one, or is being made. Receivers
  // wait meanwhile, because what arrives was not encrypted; see `hold()`.
  #change: "awaited" | "under way" | undefined;
  // How many messages will have been received when the next check for that is due.
  #checkAt = MESSAGES_PER_CHECK;
  #failure: { readonly error: unknown } | undefined;
  #peerEnded: PromiseWithResolvers<void> | undefined;
  // Whether waiting may keep the process alive, and whether the transport does so.
  #mayKeepAlive = true;
  #keepsAlive = true;
  #bufferSize = FIRST_BUFFER_BYTES;
  #lastLength = 0;
  #messagesReceived = 0;
  #messagesDropped = 0;

  constructor(options: ReaderOptions<In>) {
    this.#readBufferSize = options.readBufferSize;
    this.#idleCountdown = options.idleCountdown;
    this.#receiveCountdown = options.receiveCountdown;
    this.#messageCountdown = options.messageCountdown;
    this.#owner = options.owner;
    this.#decoder = options.decoder;
    this.#transport = options.transport;
    this.#shortReadMeansEmpty = options.shortReadMeansEmpty;
  }

  get bytesReceived(): number {
    return this.#input.offset + this.#input.length;
  }

  /** Whether the present transport has given bytes; after `startTls()` encrypted ones. */
  get hasReceived(): boolean {
    return this.bytesReceived > this.#transportOffset;
  }

  get messagesReceived(): number {
    return this.#messagesReceived;
  }

  /** How many bytes were taken, as messages or as the pieces of a stream. */
  get bytesTaken(): number {
    return this.#input.offset;
  }

  /** How many messages the framing has dropped. */
  get messagesDropped(): number {
    return this.#messagesDropped;
  }

  /** Whether reading was stopped, by this side or by an error. */
  get isStopped(): boolean {
    return this.#mode !== "receive" && this.#mode !== "keep";
  }

  /** Whether the peer has closed its side. */
  get hasPeerEnded(): boolean {
    return this.#hasPeerEnded;
  }

  /** Whether the peer has closed its side, and nothing is left to take. */
  get hasAll(): boolean {
    return this.#hasPeerEnded && (this.#isDone || !this.hasUnread);
  }

  /** Whether a caller that asked was told that the peer sends no more. */
  get hasToldEnd(): boolean {
    return this.hasAll && (this.#isDone || this.#peerEnded !== undefined);
  }

  /** Whether the peer has closed its side, and no caller was told or waits for it. */
  get hasUntoldEnd(): boolean {
    return this.#hasPeerEnded && !this.#isDone &&
      this.#peerEnded === undefined && this.#receivers.length === 0;
  }

  /** Whether no more bytes will be received. */
  get isOver(): boolean {
    return this.#hasPeerEnded || this.isStopped;
  }

  /** Whether the next read waits for its turn, so arrived bytes were not seen yet. */
  get isHeldUp(): boolean {
    return this.#loop?.isHeldUp === true;
  }

  /** Whether other receivers wait after the first. */
  get isBlocked(): boolean {
    return this.#receivers.length > 1;
  }

  /**
   * Whether the peer seems to send more, judging by the bytes read before reading ended.
   */
  get isPeerSending(): boolean {
    return this.#mayLackBytes || this.hasUnread;
  }

  /** Settles when no read is pending. */
  get stopped(): Promise<void> {
    return this.#loop?.stopped ?? SETTLED;
  }

  /** Notes that a caller is told of the end of the messages. */
  noteTold(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#owner.onReadEnd();
  }

  /** Settles at the peer's end, or when reading stops; rejects at an error. */
  get peerEnded(): Promise<void> {
    if (this.#peerEnded === undefined) {
      this.#peerEnded = Promise.withResolvers();
      unobserved(this.#peerEnded.promise);
      if (this.isOver) this.#settlePeerEnded();
    }
    return this.#peerEnded.promise;
  }

  /** Decodes messages with another decoder, from the one after that under way. */
  reframe(decoder: Decoder<In>): void {
    if (this.#isDecoding) {
      this.#nextDecoder = decoder;
      this.#input.isInterrupted = true;
    } else this.#decoder = decoder;
    // The buffered bytes may now hold a message, and its receiver may call this again.
    this.goOn();
  }

  /** Switches to the next decoder, if there is one, unless within a message. */
  #switchDecoder(): void {
    const next = this.#nextDecoder;
    if (next === undefined || this.#decoder.pending === true) return;
    if (this.#input.hasFailure) return; // the present one is to throw it
    this.#decoder = next;
    this.#nextDecoder = undefined;
    this.#input.isInterrupted = false;
  }

  /** Takes the next message, if it has arrived and may be taken without a wait. */
  next(): In | undefined {
    return this.#isFirst() ? this.#take(this.#decoder) : undefined;
  }

  /** Takes from `source`, if that may be done without a wait. */
  takeNow<T>(source: Source<T>): T | undefined {
    return this.#isFirst() ? source.take() : undefined;
  }

  /** Whether a caller may take now: no receiver waits, and no others have their turn. */
  #isFirst(): boolean {
    // The comparison spares most messages a call (measured: 3 % of a loop of `receive()`).
    return this.#receivers.length === 0 &&
      (this.#messagesReceived < this.#checkAt || !this.#mustWait());
  }

  /**
   * Whether receivers wait: while they are held, or until others had a turn; see
   * {@linkcode untilOthersArePolled}.
   */
  #mustWait(): boolean {
    if (this.#messagesReceived < this.#checkAt) return false;
    if (this.#isHeld) return !this.#isBroken;
    if (!this.#isOthersTurn) this.#checkTurn();
    return this.#isOthersTurn;
  }

  /** Begins the others' turn if they need one. */
  #checkTurn(): void {
    const turn = untilOthersArePolled();
    if (turn === undefined) return this.#endTurn();
    this.#isOthersTurn = true;
    turn.then(() => {
      this.#endTurn();
      this.goOn();
    });
  }

  /** Ends the others' turn, if it is theirs; the next one may come after more messages. */
  #endTurn(): void {
    this.#isOthersTurn = false;
    this.#checkAt = this.#isHeld
      ? 0
      : this.#messagesReceived + MESSAGES_PER_CHECK;
  }

  /** Takes the next message, for a receiver in its turn. */
  take(): In | undefined {
    return this.#take(this.#decoder);
  }

  /**
   * Takes the next message as `decoder` reads it, for a receiver in its turn.
   *
   * @throws {DOMException} An `InvalidStateError` within a message; see
   * {@linkcode Reader.isWithinMessage}.
   */
  takeBy<T>(decoder: Decoder<T>): T | undefined {
    if (this.isWithinMessage) throw isWithinMessage("receive message");
    const message = this.#take(decoder);
    this.#other = message === undefined ? decoder : undefined;
    return message;
  }

  /**
   * Whether the decoder of the connection has taken a part of a message: the next bytes are
   * its rest, not for another framing. Once the messages are broken, no rest comes.
   */
  get isWithinMessage(): boolean {
    return !this.#isDecoding && !this.#isBroken &&
      this.#decoder.pending === true;
  }

  /** Whether the next bytes are for a body that was neither read nor skipped to its end. */
  get isWithinBody(): boolean {
    return (this.#receivers.first?.rest ?? 0) > 0;
  }

  /** Whether a part of a message was taken, by any framing. */
  get hasPart(): boolean {
    return this.isWithinMessage || this.#other?.pending === true;
  }

  /**
   * Whether the receiver's own framing has taken a part of its message, even before it
   * waits, if it has tried.
   */
  hasBegun(receiver: Receiver): boolean {
    const { first = receiver } = this.#receivers;
    return first === receiver && this.#other?.pending === true;
  }

  /** Takes the messages that have arrived, for a receiver in its turn. */
  takeBatch(): Batch<In> | undefined {
    if (!this.#mayTake()) return undefined;
    const decoder = this.#decoder;
    const { offset } = this.#input;
    const batch = this.#decode(takeBatch, decoder);
    if (batch !== undefined) this.#noteTaken(batch.length);
    else this.#notePassed(decoder, offset);
    return batch;
  }

  #take<T>(decoder: Decoder<T>): T | undefined {
    if (!this.#mayTake()) return undefined;
    const message = takeAhead(this.#input, decoder) ?? this.#pull(decoder);
    if (message !== undefined) this.#noteTaken(1);
    return message;
  }

  #pull<T>(decoder: Decoder<T>): T | undefined {
    const { offset } = this.#input;
    const message = this.#decode(pull, decoder);
    if (message === undefined) this.#notePassed(decoder, offset);
    return message;
  }

  /** Restarts `messageTimeout` if everything taken since `offset` was dropped. */
  #notePassed(decoder: Decoder<unknown>, offset: number): void {
    const hasPassed = this.#input.offset > offset && decoder.pending !== true;
    if (hasPassed) this.#messageCountdown?.reset();
  }

  #mayTake(): boolean {
    if (this.#isDecoding) throw isBeingDecoded();
    return !this.#isBroken;
  }

  #noteTaken(count: number): void {
    this.#messagesReceived += count;
    this.#messageCountdown?.reset();
    if (this.#hasPeerEnded) this.#owner.onReadEnd();
  }

  #decode<T, Taken>(
    take: (
      input: InputBuffer,
      decoder: Decoder<T>,
      ended: boolean,
    ) => Taken | undefined,
    decoder: Decoder<T>,
  ): Taken | undefined {
    const ended = this.#hasPeerEnded && !this.#mayLackBytes;
    const droppedBefore = drops.count;
    let taken: Taken | undefined;
    let failure: { readonly error: unknown } | undefined;
    this.#isDecoding = true;
    try {
      taken = take(this.#input, decoder, ended);
    } catch (error) {
      this.#isBroken = true;
      failure = { error };
    }
    this.#isDecoding = false;
    this.#switchDecoder();
    if (drops.count > droppedBefore) {
      this.#noteDropped(drops.count - droppedBefore);
    }
    if (failure !== undefined) this.#fail(failure.error);
    // A function of the framing may have aborted the connection.
    if (this.#isBroken || taken === undefined) return undefined;
    // It may also have begun to wait, and a caller that does not wait serves no others.
    if (this.#isAskedToServe) this.#serve();
    return taken;
  }

  /** Notes that the framing has dropped messages while one was taken. */
  #noteDropped(count: number): void {
    this.#messagesDropped += count;
    this.#messageCountdown?.reset(); // the next one may be pending already
    noteMoved(count * BYTES_PER_DROPPED);
    // Messages of one read are dropped in one go.
    if (count > MANY_DROPPED) this.#bufferSize = FIRST_BUFFER_BYTES;
  }

  /** Takes up to `length` bytes that have arrived, for a receiver in its turn. */
  takeBytes(length: number): Bytes {
    if (this.#isBroken) return NO_BYTES;
    const bytes = this.#input.take(Math.min(length, this.#input.length));
    this.#checkAt -= MESSAGES_PER_PIECE;
    if (this.#hasPeerEnded) this.#owner.onReadEnd();
    return bytes;
  }

  /**
   * Lets `receiver` wait for its turn.
   *
   * @param hasTried Whether it has just asked to take a message, in vain.
   * @param write Sends the request whose answer it waits for.
   */
  wait(receiver: Receiver, hasTried = false, write?: TurnTask): void {
    this.#receivers.push(receiver);
    // Not earlier: the transport's write() may call this connection, and receive.
    write?.onEndOfTurn();
    const isMissing = hasTried && this.#receivers.length === 1 &&
      !this.isOver && !this.#isAskedToServe;
    if (!isMissing) this.#serve();
    this.#readOn();
  }

  /** Serves waiting receivers with what has arrived, and reads more if needed. */
  goOn(): void {
    this.#serve();
    this.#readOn();
  }

  /** Reads more if needed. */
  #readOn(): void {
    if (this.#loop?.isRunning) {
      const isWaited = this.#isWaited;
      try {
        this.#updateRef(isWaited);
      } catch (error) {
        // ref() has thrown. If the receiver got that error, its message would be lost.
        this.#fail(error);
      }
      if (isWaited) this.#startWaiting();
    }
    this.#read();
  }

  /** Lets `receiver` wait no longer. */
  leave(receiver: Receiver): void {
    const wasFirst = this.#receivers.first === receiver;
    this.#receivers.remove(receiver);
    if (wasFirst) this.goOn(); // the next receiver may find a message
    // A pending read continues, but nothing waits for the peer.
    if (this.#isWaited) return;
    this.#stopWaiting();
    this.#updateRef();
  }

  /**
   * Reads ahead from now on, at most one buffer, to see the peer's end.
   *
   * @param keepsAlive Whether such a read keeps the process alive.
   */
  watch(keepsAlive = false): void {
    if (keepsAlive && !this.#watchKeepsAlive) {
      this.#watchKeepsAlive = true;
      this.#updateRef();
    }
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#read();
  }

  /**
   * Ends the messages after those that were already read, with the error if one is given.
   */
  stop(failure?: { readonly error: unknown }): void {
    if (this.#mode === "stop") return;
    const wasStopped = this.isStopped;
    // The peer still sends the rest of a body, even if all that has arrived was taken.
    if (!this.#hasPeerEnded && this.#lacksBody) this.#mayLackBytes = true;
    this.#mode = "stop";
    // Receivers that wait are told now, and get nothing that was not encrypted.
    if (this.#isHeld) this.#isBroken = true;
    this.#endTurn();
    if (!wasStopped) this.#failure ??= failure;
    this.#stopWaiting();
    if (this.#change !== "under way") this.#stopTiming();
    this.#settlePeerEnded();
    this.#serve();
  }

  /** Lets a pending read settle while the transport closes. */
  letSettle(): void {
    // Otherwise the process could end before the code that waits for it continues.
    if (this.#loop?.isRunning && !this.#keepsAlive) {
      this.#transport.ref?.();
    }
  }

  /** Drops the messages that were not taken, and the unfinished one. */
  drop(): void {
    this.#isBroken = true;
    this.#input.clear();
  }

  /**
   * Reads to the peer's end now, and keeps the bytes for receivers; an error is reported
   * after them.
   *
   * @returns A promise that settles when all is read.
   */
  keep(failure: { readonly error: unknown }): Promise<void> {
    this.#failure = failure;
    this.#mayLackBytes = true;
    this.#stopTiming();
    this.#mode = "keep";
    this.#read();
    return this.stopped;
  }

  /**
   * Ends the messages, and drains the transport to the peer's end; during a change of
   * transport, the next one.
   */
  discard(): void {
    this.stop();
    this.#mode = "discard";
    this.#readOn();
  }

  /**
   * Hands the transport over: reads nothing more, and returns the bytes that were not
   * taken. The new owner also gets the bytes of a pending read, which Deno cannot cancel.
   */
  detach(): { unread: Bytes; underWay: Promise<Bytes | null> | undefined } {
    const unread = new Uint8Array(this.#input.take(this.#input.length));
    const underWay = this.#handOver();
    this.#isBroken = true;
    this.stop();
    // As every transport does initially: its new owner does not know of an unref().
    this.setMayKeepAlive(true);
    return { unread, underWay };
  }

  /** Whether bytes were read that are not part of a taken message. */
  get hasUnread(): boolean {
    return this.#input.length > 0 || this.#decoder.pending === true ||
      this.#other?.pending === true;
  }

  /**
   * Whether the untaken bytes may belong to a TLS handshake: the first byte says so, or
   * nothing was taken before.
   */
  get mayBeginHandshake(): boolean {
    return this.bytesTaken === 0 || this.#input.byteAt(0) === TLS_HANDSHAKE;
  }

  /**
   * Lets receivers wait until {@linkcode Reader.release}, or until the transport was
   * changed: what arrives now must not be received as if it came from the next one. If
   * reading stops before that, they get no more messages.
   */
  hold(): void {
    this.#change = "awaited";
    this.#checkAt = 0;
  }

  /** Lets receivers go on. */
  release(): void {
    this.#endHold();
    this.goOn();
  }

  #endHold(): void {
    this.#change = undefined;
    this.#endTurn();
  }

  /**
   * Switches to another transport, which is made from the present one.
   *
   * @param make Makes it, given the bytes that were read but not taken, and those of a
   * pending read.
   */
  async changeTransport(
    make: (
      unread: Bytes,
      underWay: Promise<Bytes | null> | undefined,
    ) => Promise<Transport>,
  ): Promise<void> {
    const unread = new Uint8Array(this.#input.take(this.#input.length));
    const underWay = this.#handOver();
    this.#change = "under way";
    // The peer has to answer meanwhile.
    this.#startTiming();
    this.#updateRef();
    try {
      this.#transport = await make(unread, underWay);
      this.#transportOffset = this.bytesReceived;
      this.#keepsAlive = true; // as each transport does initially
    } finally {
      this.#endHold();
      this.#stopTiming();
      this.#updateRef();
    }
    this.#shortReadMeansEmpty = false;
    this.goOn();
  }

  /** Stops reading; the bytes of a pending read, if there is one, are for another owner. */
  #handOver(): Promise<Bytes | null> | undefined {
    this.#stopWaiting();
    this.#stopTiming();
    this.onReadPause();
    const loop = this.#loop;
    this.#loop = undefined;
    return loop?.handOver();
  }

  /** Whether a wait for messages may keep the process alive. */
  setMayKeepAlive(mayKeepAlive: boolean): void {
    this.#mayKeepAlive = mayKeepAlive;
    this.#updateRef();
  }

  get #isHeld(): boolean {
    return this.#change !== undefined;
  }

  /** Whether a receiver waits for bytes, and not for the others' turn or for `release()`. */
  get #isWaited(): boolean {
    if (this.#isOthersTurn || this.#isHeld) return false;
    const { first } = this.#receivers;
    if (first?.wantsBytes === undefined) return first !== undefined;
    return first.wantsBytes(this.#receivers.length === 1);
  }

  get wantsBytes(): boolean {
    if (
      this.#hasPeerEnded || this.#change === "under way" ||
      this.#mode === "stop"
    ) {
      return false;
    }
    // It would drop the peer's handshake.
    if (this.#mode !== "receive") return !this.#isHeld;
    if (this.#isWaited) return true;
    return this.#isWatching &&
      this.#input.length < this.#readBufferSize;
  }

  /** Serves waiting receivers with what has arrived. */
  #serve(): void {
    // If the connection ends while a message is taken, by its error or by a function of
    // the framing, receivers are told after that.
    if (this.#isServing || this.#isDecoding) {
      this.#isAskedToServe = true;
      return;
    }
    if (this.#mustWait()) return;
    this.#isServing = true;
    do {
      this.#isAskedToServe = false;
      while (this.#serveFirst());
    } while (this.#isAskedToServe); // such as after a function of the framing calls reframe()
    this.#isServing = false;
  }

  /** Serves the first receiver; returns whether the next one may be served. */
  #serveFirst(): boolean {
    const { first } = this.#receivers;
    if (first === undefined) return false;
    const isServed = first.take();
    // A function of the framing may have made it leave.
    if (this.#receivers.first !== first) return true;
    if (!isServed) {
      // A function of the framing may have called reframe(): try again with the new one.
      if (!this.isOver || this.#isAskedToServe) return false;
      if (!this.#isOverForFirst) {
        this.#endAfter(first);
        return false;
      }
    }
    this.#receivers.remove(first);
    if (isServed) return true;
    // The bytes left are part of its message, not for the next receiver.
    this.#isBroken = true;
    this.#endFor(first);
    if (this.#failure === undefined) this.noteTold();
    return true;
  }

  #endFor(receiver: Receiver): void {
    if (this.#failure !== undefined) receiver.fail(this.#failure.error);
    else receiver.end();
  }

  /** Whether a body comes next of which the rest has not arrived. */
  get #lacksBody(): boolean {
    return (this.#receivers.first?.rest ?? 0) > this.#input.length;
  }

  /** Ends the wait of receivers after a body that will never be whole. */
  #endAfter(first: Receiver): void {
    if (!this.#lacksBody) return;
    while (first.next !== undefined) {
      const receiver = first.next;
      this.#receivers.remove(receiver);
      this.#endFor(receiver);
    }
  }

  /**
   * Whether the first receiver, not served yet, never will be; called when reading is
   * over.
   */
  get #isOverForFirst(): boolean {
    // A receiver that needs nothing now, such as an unread body, may still take these
    // bytes.
    return this.#isWaited || this.#isBroken || this.#input.length === 0;
  }

  /** Begins to read, if bytes are needed and no read is pending. */
  #read(): void {
    if (this.#loop?.isRunning || !this.wantsBytes) return;
    this.#loop ??= new ReadLoop(
      this.#transport,
      this.#shortReadMeansEmpty,
      this,
    );
    this.#loop.start();
  }

  beforeRead(): Uint8Array {
    const isWaited = this.#isWaited;
    const room = this.#mode === "discard" ? dropped : this.#room(isWaited);
    this.#updateRef(isWaited);
    if (isWaited) this.#startWaiting();
    this.onReadPause();
    this.#startTiming();
    return room;
  }

  onReadPause(): void {
    this.#runningLimit?.pause();
    this.#runningLimit = undefined;
  }

  onRead(length: number | null, room: Uint8Array, isEmpty: boolean): void {
    if (!this.#isOthersTurn) noteOthersRead();
    this.#endWait(length, room.length);
    if (length === null) return this.#noteEnd();
    // What is drained counts even if it has emptied the transport.
    if (!isEmpty || this.#mode !== "receive") noteMoved(length);
    this.#noteBytes(length, room);
  }

  onReadFailed(error: unknown): void {
    // Closing the transport interrupts a read: that is not the cause.
    this.#fail(error);
    if (this.#mode !== "receive") this.stop();
  }

  /** Stops the timeouts after a read, but for a limit that keeps running. */
  #endWait(length: number | null, roomLength: number): void {
    this.#idleCountdown?.reset();
    this.#receiveCountdown?.reset();
    const limit = this.#messageCountdown;
    // The peer could have sent more: no bytes lay here waiting for this thread.
    const goesOn = limit?.isRunning && length !== null &&
      length < roomLength && length < FIRST_BUFFER_BYTES;
    if (goesOn) {
      limit.resume();
      this.#runningLimit = limit;
    }
    this.#stopWaiting();
    this.#stopTiming();
  }

  #noteBytes(length: number, room: Uint8Array): void {
    const isDropped = room === dropped || this.isStopped || this.#isBroken;
    // What comes during a hold may be the peer's handshake, which goes on after close().
    if (isDropped && !this.#isHeld) {
      if (length > 0) this.#mayLackBytes = true;
      return;
    }
    this.#input.fill(length);
    this.#noteLength(length, length === room.length);
    this.#serve();
  }

  #noteEnd(): void {
    this.#hasPeerEnded = true;
    this.#settlePeerEnded();
    this.#serve();
    this.#owner.onReadEnd();
  }

  #fail(error: unknown): void {
    if (this.#mode === "keep" || this.isStopped) return; // for another reason, already reported
    this.#owner.onFailure(endingOfRead(error), error);
  }

  #settlePeerEnded(): void {
    if (this.#failure === undefined) this.#peerEnded?.resolve();
    else this.#peerEnded?.reject(this.#failure.error);
  }

  #startWaiting(): void {
    if (this.#isWaiting || this.isOver) return;
    this.#isWaiting = true;
    this.#idleCountdown?.resume();
    if (this.#messageCountdown === undefined) return;
    if (this.hasUnread) this.#messageCountdown.resume();
    else this.#messageCountdown.reset();
  }

  #stopWaiting(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#idleCountdown?.pause();
    this.#messageCountdown?.pause();
  }

  #startTiming(): void {
    // A handshake reads what the peer sends, even if the messages have ended.
    const isReading = this.#mode === "receive" || this.#change === "under way";
    if (isReading) this.#receiveCountdown?.resume();
  }

  #stopTiming(): void {
    this.#receiveCountdown?.pause();
  }

  /** Lets the pending read keep the process alive if something waits for it. */
  #updateRef(isWaited = this.#isWaited): void {
    const isWanted = isWaited || this.#mode !== "receive" ||
      this.#isHeld || this.#watchKeepsAlive;
    const keepsAlive = this.#mayKeepAlive && isWanted;
    if (keepsAlive === this.#keepsAlive) return;
    this.#keepsAlive = keepsAlive;
    if (keepsAlive) this.#transport.ref?.();
    else this.#transport.unref?.();
  }

  /** The part of the buffer to read into. */
  #room(isWaited: boolean): Uint8Array {
    const readBufferSize = this.#readBufferSize;
    const isAhead = !isWaited && this.#mode === "receive";
    const most = isAhead ? readBufferSize - this.#input.length : readBufferSize;
    // One byte more than last time: a read that fills its buffer does not show that
    // the socket is empty.
    const least = Math.max(this.#bufferSize / 4, this.#lastLength + 1);
    return this.#input.room(Math.min(most, least), most, this.#bufferSize);
  }

  /** Makes the next buffer larger or smaller, depending on the last read. */
  #noteLength(length: number, isFull: boolean): void {
    // After a full read, asking for more than it would only make buffers of odd sizes.
    this.#lastLength = isFull ? 0 : length;
    if (isFull && length * 2 > this.#bufferSize) {
      this.#bufferSize = Math.min(
        this.#bufferSize * 4,
        Math.max(FIRST_BUFFER_BYTES, this.#readBufferSize),
      );
    } else if (length * 4 < this.#bufferSize) {
      this.#bufferSize = Math.max(FIRST_BUFFER_BYTES, this.#bufferSize / 2);
    }
  }
}

/** Takes the next message. */
function pull<T>(
  input: InputBuffer,
  decoder: Decoder<T>,
  ended: boolean,
): T | undefined {
  return input.pull(decoder, ended);
}

/** The error if `task` would begin within a message. */
export function isWithinMessage(task: string): DOMException {
  return new DOMException(
    `Cannot ${task}: the framing has taken a part of a message, whose rest is to be received first`,
    "InvalidStateError",
  );
}

function isBeingDecoded(): DOMException {
  return new DOMException(
    "Cannot receive message: it was asked for by the framing's own function while that decodes another",
    "InvalidStateError",
  );
}
