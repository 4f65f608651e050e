import {
  type Countdown,
  noteSettled,
  untilOthersAreServed,
} from "../internal/countdown.ts";
import { unobserved } from "../internal/promises.ts";
import { Queue } from "../internal/queue.ts";
import type { Bytes } from "../framing/bytes.ts";
import type { Decoder } from "../framing/framing.ts";
import { type Batch, takeAhead, takeBatch } from "../framing/batch.ts";
import { InputBuffer } from "../framing/input_buffer.ts";
import { drops } from "../internal/drops.ts";
import { type Ending, endingOfRead } from "./_ending.ts";
import { checkMoved } from "./_transports.ts";
import {
  noteMoved,
  noteNews,
  type TurnTask,
  untilEndOfTurn,
  untilOthersHadTurn,
} from "./_turns.ts";
import type { Transport } from "./transport.ts";

/** What waits for messages, in its turn. */
export interface Receiver {
  /**
   * Takes what it wants, if that is there.
   *
   * @returns Whether it waits no longer.
   */
  take(): boolean;
  /**
   * Whether more bytes are to be read for it, which it is by default.
   *
   * @param isAlone Whether nothing waits after it.
   */
  wantsBytes?(isAlone: boolean): boolean;
  /** How many bytes come before those for what waits after it, if it knows that. */
  readonly rest?: number;
  /** Called when no more messages come. */
  end(): void;
  /** Called when no more messages come, with the reason. */
  fail(error: unknown): void;
}

/** Options for {@linkcode Reader}. */
export interface ReaderOptions<In> {
  /** What is read at first; see {@linkcode Reader.handOver}. */
  readonly transport: Transport;
  /** A read that leaves room has found all that is there. */
  readonly shortReadMeansEmpty: boolean;
  /** What takes messages at first; see {@linkcode Reader.decoder}. */
  readonly decoder: Decoder<In>;
  /** The most bytes in one read. */
  readonly readBufferSize: number;
  /** Runs while the peer is waited for, either way. */
  readonly idleCountdown: Countdown | undefined;
  /** Runs while the transport is read, for any caller. */
  readonly receiveCountdown: Countdown | undefined;
  /** Runs while the rest of a message is waited for. */
  readonly messageCountdown: Countdown | undefined;
  /** Told that the peer has ended its side, and again when all of it was taken. */
  readonly onEnd: () => void;
  /** Called with the error that ends reading, and what it ends. */
  readonly onFailure: (ending: Ending, error: unknown) => void;
}

/** What is done with the bytes that are read. */
type Mode =
  /** They are for those who receive, and read when one waits. */
  | "receive"
  /** They are for those who receive, and read to the peer's end now. */
  | "keep"
  /** They are dropped, and read to the peer's end now. */
  | "discard"
  /** Nothing more is read. */
  | "stop";

/** A run of the loop that reads. */
interface Loop {
  /** Settles when it is over, which is not known until its first read has begun. */
  over: Promise<void> | undefined;
  /** Settles with what its read brings, for another owner. */
  handedOver: PromiseWithResolvers<Bytes | null> | undefined;
}

const FIRST_BUFFER_BYTES = 512;
// A message that is refused takes two errors, some 8 µs, as long as so many bytes take to be
// moved: a peer that floods with them must not hold up others.
const BYTES_PER_DROPPED = 1024;
const MANY_DROPPED = 256;
// The type of a record, its first byte (RFC 8446, 5.1).
const TLS_HANDSHAKE = 22;
const SETTLED = Promise.resolve();
const NO_BYTES: Bytes = new Uint8Array(0);

// What is dropped is read into one buffer for all connections.
const dropped = new Uint8Array(64 * 1024);

/**
 * Reads the transport, and hands out its messages: the only one that reads, with one
 * read under way at most.
 *
 * The transport is read while a receiver waits for a message, and once ahead for those
 * who watch for the peer's end. Reads advance through one buffer, which many small
 * messages share; when it is used up, a new one is made, larger if reads fill it and
 * smaller if they do not. So an idle connection holds 512 bytes and a busy one reads
 * up to 64 KiB at a time.
 */
export class Reader<In> {
  // One by one: an object of options would be kept by each idle connection.
  readonly #readBufferSize: number;
  readonly #idleCountdown: Countdown | undefined;
  readonly #receiveCountdown: Countdown | undefined;
  readonly #messageCountdown: Countdown | undefined;
  readonly #onEnd: () => void;
  readonly #onFailure: (ending: Ending, error: unknown) => void;
  readonly #input = new InputBuffer();
  readonly #receivers = new Queue<Receiver>();
  /** What takes the next message. */
  decoder: Decoder<In>;
  #mode: Mode = "receive";
  #isWatching = false;
  #watchKeepsAlive = false;
  #transport: Transport;
  #shortReadMeansEmpty: boolean;
  // The loop that reads, while it runs.
  #loop: Loop | undefined;
  // The timeouts of waiting for the peer are running.
  #isWaiting = false;
  // The timeout of reading is running.
  #isTimed = false;
  // The next read lets others go first.
  #isHeldUp = false;
  // The last read left room, so the next one waits for news of the socket; `undefined`
  // before the first one, which does so too.
  #wasEmpty: boolean | undefined;
  #hasPeerEnded = false;
  // A receiver was told that there are no more messages.
  #isDone = false;
  // No more messages can be made of the bytes, which broke a rule or were dropped.
  #isBroken = false;
  // Bytes of the peer were dropped, or the end that was seen may be a cut: after a failed
  // write, the peer's last bytes may be missing.
  #mayLackBytes = false;
  // The decoder of the receiver whose turn it is, if it has a framing of its own and its
  // message is not whole yet.
  #other: Decoder<unknown> | undefined;
  #isDecoding = false;
  #isServing = false;
  // `#serve()` was called while it could not run.
  #isAskedToServe = false;
  // Another transport is being made of the present one.
  #isChanging = false;
  #failure: { readonly error: unknown } | undefined;
  #peerEnded: PromiseWithResolvers<void> | undefined;
  // Whether waiting may keep the process alive, and whether the transport does it.
  #mayKeepAlive = true;
  #keepsAlive = true;
  #bufferSize = FIRST_BUFFER_BYTES;
  #lastLength = 0;
  #bytesReceived = 0;
  #messagesReceived = 0;
  #messagesDropped = 0;

  constructor(options: ReaderOptions<In>) {
    this.#readBufferSize = options.readBufferSize;
    this.#idleCountdown = options.idleCountdown;
    this.#receiveCountdown = options.receiveCountdown;
    this.#messageCountdown = options.messageCountdown;
    this.#onEnd = options.onEnd;
    this.#onFailure = options.onFailure;
    this.decoder = options.decoder;
    this.#transport = options.transport;
    this.#shortReadMeansEmpty = options.shortReadMeansEmpty;
    this.#wasEmpty = this.#shortReadMeansEmpty ? undefined : false;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
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

  /** Whether the peer has ended its side. */
  get hasPeerEnded(): boolean {
    return this.#hasPeerEnded;
  }

  /** Whether the peer has ended its side, and nothing is left to be taken. */
  get hasAll(): boolean {
    return this.#hasPeerEnded && (this.#isDone || !this.hasUnread);
  }

  /** Whether a caller that asked has been told that no more comes from the peer. */
  get hasToldEnd(): boolean {
    return this.hasAll && (this.#isDone || this.#peerEnded !== undefined);
  }

  /** Whether the peer has ended its side, and nothing was told of it or waits to be. */
  get hasUntoldEnd(): boolean {
    return this.#hasPeerEnded && !this.#isDone &&
      this.#peerEnded === undefined && this.#receivers.length === 0;
  }

  /** Whether no message comes any more that is not there. */
  get isOver(): boolean {
    return this.#hasPeerEnded || this.isStopped;
  }

  /** Whether reading waits for the turn of others, and so has not seen what has arrived. */
  get isHeldUp(): boolean {
    return this.#isHeldUp;
  }

  /** Whether others wait for the turn of the first receiver. */
  get isBlocked(): boolean {
    return this.#receivers.length > 1;
  }

  /** Whether more is to come from the peer, by what it has sent until reading ended. */
  get isPeerSending(): boolean {
    return this.#mayLackBytes || this.hasUnread;
  }

  /** Settles when no read is under way. */
  get stopped(): Promise<void> {
    if (this.#loop === undefined) return SETTLED;
    // Else a read begins, whose transport calls back.
    return this.#loop.over ?? SETTLED.then(() => this.stopped);
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

  /** Takes the next message, if it is there and nothing waits for it. */
  next(): In | undefined {
    return this.#receivers.length === 0 ? this.#take(this.decoder) : undefined;
  }

  /** Takes what `take` takes, if it is there and nothing waits for it. */
  takeNow<T>(take: () => T | undefined): T | undefined {
    return this.#receivers.length === 0 ? take() : undefined;
  }

  /** Takes the next message, for a receiver in its turn. */
  take(): In | undefined {
    return this.#take(this.decoder);
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
   * Whether {@linkcode Reader.decoder} has taken a part of a message: what comes next is
   * the rest of it, for no other framing. Once the messages are broken, no rest comes.
   */
  get isWithinMessage(): boolean {
    return !this.#isDecoding && !this.#isBroken &&
      this.decoder.pending === true;
  }

  /** Whether a part of a message was taken, by any framing. */
  get hasPart(): boolean {
    return this.isWithinMessage || this.#other?.pending === true;
  }

  /**
   * Whether a part of the message for `receiver` was taken, by a framing of its own; also
   * before it waits, if it has tried.
   */
  hasBegun(receiver: Receiver): boolean {
    const { first = receiver } = this.#receivers;
    return first === receiver && this.#other?.pending === true;
  }

  /** Takes the messages that are there, for a receiver in its turn. */
  takeBatch(): Batch<In> | undefined {
    if (!this.#mayTake()) return undefined;
    const { decoder } = this;
    const { offset } = this.#input;
    const batch = this.#decode((ended) =>
      takeBatch(this.#input, decoder, ended)
    );
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
    const message = this.#decode((ended) => this.#input.pull(decoder, ended));
    if (message === undefined) this.#notePassed(decoder, offset);
    return message;
  }

  /** Restarts `messageTimeout` if all that was taken since `offset` was dropped. */
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
    if (this.#hasPeerEnded) this.#onEnd();
  }

  #decode<T>(take: (ended: boolean) => T | undefined): T | undefined {
    const ended = this.#hasPeerEnded && !this.#mayLackBytes;
    const droppedBefore = drops.count;
    let taken: T | undefined;
    let failure: { readonly error: unknown } | undefined;
    this.#isDecoding = true;
    try {
      taken = take(ended);
    } catch (error) {
      this.#isBroken = true;
      failure = { error };
    }
    this.#isDecoding = false;
    if (drops.count > droppedBefore) {
      this.#noteDropped(drops.count - droppedBefore);
    }
    if (failure !== undefined) this.#fail(failure.error);
    // A function of the framing may have aborted the connection.
    if (this.#isBroken || taken === undefined) return undefined;
    // It may also have begun to wait, and a caller that takes without a wait serves no other.
    if (this.#isAskedToServe) this.#serve();
    return taken;
  }

  /** Notes that the framing has dropped messages while one was taken. */
  #noteDropped(count: number): void {
    this.#messagesDropped += count;
    this.#messageCountdown?.reset(); // the next one may be pending already
    noteMoved(count * BYTES_PER_DROPPED);
    // Those of one read are dropped in one go.
    if (count > MANY_DROPPED) this.#bufferSize = FIRST_BUFFER_BYTES;
  }

  /** Takes up to `length` bytes that are there, for a receiver in its turn. */
  takeBytes(length: number): Bytes {
    if (this.#isBroken) return NO_BYTES;
    const bytes = this.#input.take(Math.min(length, this.#input.length));
    if (this.#hasPeerEnded) this.#onEnd();
    return bytes;
  }

  /**
   * Lets `receiver` wait for its turn.
   *
   * @param hasTried Whether it has just looked for what it takes, in vain.
   * @param write Sends what it waits for the answer of.
   */
  wait(receiver: Receiver, hasTried = false, write?: TurnTask): void {
    this.#receivers.push(receiver);
    // Not before, as the transport's write() may call this connection, and receive.
    write?.onEndOfTurn();
    const isMissing = hasTried && this.#receivers.length === 1 &&
      !this.isOver && !this.#isAskedToServe;
    if (!isMissing) this.#serve();
    this.#readOn();
  }

  /** Serves those who wait with what is there, and reads more if it is wanted. */
  goOn(): void {
    this.#serve();
    this.#readOn();
  }

  /** Reads more if it is wanted. */
  #readOn(): void {
    if (this.#loop !== undefined) {
      const isWaited = this.#isWaited;
      try {
        this.#updateRef(isWaited);
      } catch (error) {
        // ref() has thrown. If that went to the receiver, its message would be lost.
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
    if (wasFirst) this.goOn(); // what is there may be a message for the next one
    // A read that is under way goes on, but nothing waits for the peer.
    if (this.#isWaited) return;
    this.#stopWaiting();
    this.#updateRef();
  }

  /**
   * Reads ahead from now on, no more than one buffer, to see the peer's end.
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

  /** Ends the messages after those that were already read, by an error if one is given. */
  stop(failure?: { readonly error: unknown }): void {
    if (this.#mode === "stop") return;
    const wasStopped = this.isStopped;
    this.#mode = "stop";
    if (!wasStopped) this.#failure ??= failure;
    this.#stopWaiting();
    this.#stopTiming();
    this.#settlePeerEnded();
    this.#serve();
  }

  /** Lets a read that is under way settle, as the transport is being closed. */
  letSettle(): void {
    // Else the process could end before those who wait for it go on.
    if (this.#loop !== undefined && !this.#keepsAlive) {
      this.#transport.ref?.();
    }
  }

  /** Drops the messages that were not taken, and the one that is being made. */
  drop(): void {
    this.#isBroken = true;
    this.#input.clear();
  }

  /**
   * Reads to the peer's end now, and keeps it for those who receive; an error is told
   * after it.
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
   * Ends the messages, and reads to the peer's end now, to drop it.
   *
   * @returns A promise that settles when all is read.
   */
  discard(): Promise<void> {
    this.stop();
    this.#mode = "discard";
    this.#readOn();
    return this.stopped;
  }

  /**
   * Hands the transport over: reads nothing more, and gives what was read and not taken.
   * What a read that is under way brings is for the new owner too: Deno cannot cancel it.
   */
  detach(): { unread: Bytes; underWay: Promise<Bytes | null> | undefined } {
    const unread = new Uint8Array(this.#input.take(this.#input.length));
    const underWay = this.#handOver();
    this.#isBroken = true;
    this.stop();
    this.#updateRef();
    return { unread, underWay };
  }

  /** Whether bytes were read of which no message was made. */
  get hasUnread(): boolean {
    return this.#input.length > 0 || this.decoder.pending === true ||
      this.#other?.pending === true;
  }

  /**
   * Whether the bytes that were not taken may be for a handshake of TLS: its first byte says
   * so, or nothing was taken before it.
   */
  get mayBeginHandshake(): boolean {
    return this.#input.length === this.#bytesReceived ||
      this.#input.byteAt(0) === TLS_HANDSHAKE;
  }

  /**
   * Goes on in another transport, which is made of the present one.
   *
   * @param make Makes it, given what was read and not taken, and what a read brings that
   * is under way.
   */
  async changeTransport(
    make: (
      unread: Bytes,
      underWay: Promise<Bytes | null> | undefined,
    ) => Promise<Transport>,
  ): Promise<void> {
    const unread = new Uint8Array(this.#input.take(this.#input.length));
    const underWay = this.#handOver();
    this.#isChanging = true;
    // The peer has to answer meanwhile.
    this.#startTiming();
    this.#updateRef();
    try {
      this.#transport = await make(unread, underWay);
    } finally {
      this.#isChanging = false;
      this.#stopTiming();
      this.#updateRef();
    }
    this.#shortReadMeansEmpty = this.#wasEmpty = false;
    this.goOn();
  }

  /** Stops the loop that reads; gives what its read brings, if one is under way. */
  #handOver(): Promise<Bytes | null> | undefined {
    this.#stopWaiting();
    this.#stopTiming();
    if (this.#loop === undefined) return undefined;
    const { promise } = this.#loop.handedOver = Promise.withResolvers();
    this.#loop = undefined;
    return unobserved(promise);
  }

  /** Whether a wait for messages may keep the process alive. */
  setMayKeepAlive(mayKeepAlive: boolean): void {
    this.#mayKeepAlive = mayKeepAlive;
    this.#updateRef();
  }

  /** Whether a receiver waits for bytes. */
  get #isWaited(): boolean {
    const { first } = this.#receivers;
    if (first?.wantsBytes === undefined) return first !== undefined;
    return first.wantsBytes(this.#receivers.length === 1);
  }

  get #wantsBytes(): boolean {
    if (this.#hasPeerEnded || this.#isChanging) return false;
    if (this.#mode === "stop") return false;
    if (this.#mode !== "receive" || this.#isWaited) return true;
    return this.#isWatching &&
      this.#input.length < this.#readBufferSize;
  }

  /** Hands out what there is to those who wait. */
  #serve(): void {
    // What is ended while a message is taken, by an error of it or by a function of the
    // framing, is told once it was.
    if (this.#isServing || this.#isDecoding) {
      this.#isAskedToServe = true;
      return;
    }
    this.#isServing = true;
    do {
      this.#isAskedToServe = false;
      while (this.#serveFirst());
    } while (this.#isAskedToServe); // such as after reframe(), by a function of the framing
    this.#isServing = false;
  }

  /** Serves the receiver whose turn it is; tells whether the next one may be served. */
  #serveFirst(): boolean {
    const { first } = this.#receivers;
    if (first === undefined) return false;
    const isServed = first.take();
    // It may have left, by a function of the framing.
    if (this.#receivers.first !== first) return true;
    if (!isServed) {
      if (!this.isOver) return false;
      if (!this.#isOverForFirst) {
        this.#endAfter(first);
        return false;
      }
    }
    this.#receivers.shift();
    if (isServed) return true;
    // What is left is a part of its message, and not the next one's.
    this.#isBroken = true;
    this.#endFor(first);
    if (this.#failure === undefined && !this.#isDone) {
      this.#isDone = true;
      this.#onEnd();
    }
    return true;
  }

  #endFor(receiver: Receiver): void {
    if (this.#failure !== undefined) receiver.fail(this.#failure.error);
    else receiver.end();
  }

  /** Ends the wait of others for the turn of a body that will never be whole. */
  #endAfter(first: Receiver): void {
    if ((first.rest ?? 0) <= this.#input.length) return;
    const [, ...others] = this.#receivers.takeAll();
    this.#receivers.push(first);
    for (const receiver of others) this.#endFor(receiver);
  }

  /** Whether the first receiver, which was not served, never will be; asked when all is over. */
  get #isOverForFirst(): boolean {
    // One that wants nothing now, as a body that is not read, may still take what is there.
    return this.#isWaited || this.#isBroken || this.#input.length === 0;
  }

  #read(): void {
    if (this.#loop !== undefined || !this.#wantsBytes) return;
    // Set before the call: the transport's read() may call this connection.
    const loop: Loop = { over: undefined, handedOver: undefined };
    this.#loop = loop;
    loop.over = this.#readAll(loop);
  }

  /** Reads while bytes are wanted. */
  async #readAll(loop: Loop): Promise<void> {
    const transport = this.#transport;
    // The limit of the message of which the last read has brought a little: it goes on, as
    // if there had been no read. Else a byte now and then, each of which comes while the
    // clock looks at the sockets, would never be too slow.
    let limit: Countdown | undefined;
    try {
      while (this.#wantsBytes) {
        // A read that would have to wait lets what this turn sends leave first.
        const endOfTurn = this.#wasEmpty ? untilEndOfTurn() : undefined;
        const turn = endOfTurn ?? untilOthersHadTurn();
        if (turn !== undefined) {
          // While the clock looks, all that had come by then was read.
          if (endOfTurn === undefined && turn !== untilOthersAreServed()) {
            limit?.pause();
            limit = undefined;
          }
          this.#isHeldUp = true;
          await turn;
          this.#isHeldUp = false;
          if (loop.handedOver !== undefined) {
            return loop.handedOver.resolve(NO_BYTES);
          }
          continue; // it may have ended since
        }
        const isDiscarding = this.#mode === "discard";
        const isWaited = this.#isWaited;
        const room = isDiscarding ? dropped : this.#room(isWaited);
        this.#updateRef(isWaited);
        if (isWaited) this.#startWaiting();
        limit?.pause();
        limit = undefined;
        this.#startTiming();
        let length: number | null;
        try {
          length = await transport.read(room);
        } finally {
          noteSettled();
        }
        if (length !== null) checkMoved("read", length, room.length);
        if (loop.handedOver !== undefined) {
          const bytes = length === null ? null : room.slice(0, length);
          return loop.handedOver.resolve(bytes);
        }
        if (this.#wasEmpty !== false) noteNews();
        limit = this.#endWait(length, room.length);
        if (length === null) this.#noteEnd();
        else this.#noteBytes(length, room.length, isDiscarding);
      }
    } catch (error) {
      if (loop.handedOver !== undefined) return loop.handedOver.reject(error);
      // Closing the transport interrupts a read: that is not what went wrong.
      this.#fail(error);
      if (this.#mode !== "receive") this.stop();
    } finally {
      limit?.pause();
    }
    this.#loop = undefined;
  }

  /** Stops the timeouts after a read; gives the one that goes on, if it has brought a little. */
  #endWait(length: number | null, roomLength: number): Countdown | undefined {
    this.#idleCountdown?.reset();
    this.#receiveCountdown?.reset();
    const limit = this.#messageCountdown;
    // The peer could have sent more: nothing else lay here for want of this thread.
    const goesOn = limit?.isRunning && length !== null &&
      length < roomLength && length < FIRST_BUFFER_BYTES;
    if (goesOn) limit.resume();
    this.#stopWaiting();
    this.#stopTiming();
    return goesOn ? limit : undefined;
  }

  #noteBytes(length: number, roomLength: number, wasDiscarding: boolean): void {
    const isFull = length === roomLength;
    this.#wasEmpty = !isFull && this.#shortReadMeansEmpty;
    if (isFull || this.#mode !== "receive") noteMoved(length);
    if (wasDiscarding || this.isStopped || this.#isBroken) {
      if (length > 0) this.#mayLackBytes = true;
      return;
    }
    this.#bytesReceived += length;
    this.#input.fill(length);
    this.#noteLength(length, isFull);
    this.#serve();
  }

  #noteEnd(): void {
    this.#hasPeerEnded = true;
    this.#settlePeerEnded();
    this.#serve();
    this.#onEnd();
  }

  #fail(error: unknown): void {
    if (this.#mode === "keep" || this.isStopped) return; // for another reason, told already
    this.#onFailure(endingOfRead(error), error);
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
    if (this.#receiveCountdown === undefined || this.#mode !== "receive") {
      return;
    }
    this.#isTimed = true;
    this.#receiveCountdown.resume();
  }

  #stopTiming(): void {
    if (!this.#isTimed) return;
    this.#isTimed = false;
    this.#receiveCountdown?.pause();
  }

  /** Lets the read that is under way keep the process alive if something waits for it. */
  #updateRef(isWaited = this.#isWaited): void {
    const isWanted = isWaited || this.#mode !== "receive" ||
      this.#isChanging || this.#watchKeepsAlive;
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

  /** Makes the next buffer larger or smaller, by what a read has found. */
  #noteLength(length: number, isFull: boolean): void {
    this.#lastLength = length;
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

/** What is thrown where `task` would begin within a message. */
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
