import type { Countdown } from "./_countdown.ts";
import { untilEndOfTurn } from "./_end_of_turn.ts";
import { noteLook, noteMoved, untilOthersHadTurn } from "./_fair_turns.ts";
import { Queue } from "../internal/queue.ts";
import type { Bytes, Decoder } from "../framing/framing.ts";

/** Options for {@linkcode MessageReader}. */
export interface MessageReaderOptions<In> {
  readonly conn: Deno.Conn;
  readonly decoder: Decoder<In>;
  /** The most bytes in one read. */
  readonly readBufferSize: number;
  /** Runs while the peer is waited for, either way. */
  readonly idleCountdown: Countdown | undefined;
  /** Runs while the rest of a message is waited for. */
  readonly messageCountdown: Countdown | undefined;
  /** Told that the peer has ended its messages. */
  readonly onEnd: () => void;
  /** Told of the error that ends reading. */
  readonly onFailure: (error: unknown) => void;
}

/** Somebody who waits for messages. */
export interface Receiver<In> {
  /** Takes messages out of the inbox, which holds one or more. */
  take(inbox: Queue<In>): void;
  /** Is told that no more messages come. */
  end(): void;
  /** Is told that no more messages come, and why. */
  fail(error: unknown): void;
}

const NO_BYTES: Bytes = new Uint8Array(0);
const FIRST_SLAB_BYTES = 512;

/**
 * The one place where reads become messages.
 *
 * The socket is read only while somebody waits for a message. Reads advance
 * through a slab, which many small messages share; when it is used up, a new one
 * is made, larger if reads fill it and smaller if they do not. So an idle
 * connection holds 512 bytes and a busy one reads up to 64 KiB at once (measured: a
 * new buffer of 64 KiB takes 4 µs, more than the read itself).
 */
export class MessageReader<In> {
  readonly #options: MessageReaderOptions<In>;
  readonly #inbox = new Queue<In>();
  readonly #receivers = new Queue<Receiver<In>>();
  #source: Pick<Deno.Conn, "read">;
  // TLS takes bytes out of records: that a read leaves room says nothing there.
  readonly #isTls: boolean;
  #isReading = false;
  #reading: Promise<void> | undefined;
  #isWaiting = false;
  // The last read left room, so the next one waits for news of the socket.
  #wasEmpty = false;
  #isEnded = false;
  #hasSeenEnd = false;
  #hasDroppedBytes = false;
  // A framing's own functions may end the connection while they are called.
  #isDecoding = false;
  #isCleared = false;
  #failure: { readonly error: unknown } | undefined;
  #slab = NO_BYTES;
  #slabUsed = 0;
  #slabSize = FIRST_SLAB_BYTES;
  #lastLength = 0;
  #bytesReceived = 0;
  #messagesReceived = 0;

  constructor(options: MessageReaderOptions<In>) {
    this.#options = options;
    this.#source = options.conn;
    this.#isTls = "handshake" in options.conn;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  get messagesReceived(): number {
    return this.#messagesReceived;
  }

  /** Whether no more messages are read. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether the peer has ended its messages. */
  get hasSeenEnd(): boolean {
    return this.#hasSeenEnd;
  }

  /** Whether more is to come from the peer, by what it has sent until reading ended. */
  get isPeerSending(): boolean {
    return this.#hasDroppedBytes || this.#options.decoder.pending === true;
  }

  /** Settles when no read is under way. */
  get stopped(): Promise<void> {
    return this.#reading ?? Promise.resolve();
  }

  /** The messages that were read, if it is the turn of somebody who comes now. */
  get available(): Queue<In> | undefined {
    return this.#inbox.length > 0 && this.#receivers.length === 0
      ? this.#inbox
      : undefined;
  }

  /** Lets `receiver` wait for its turn. */
  wait(receiver: Receiver<In>): void {
    this.#receivers.push(receiver);
    if (this.#isReading && !this.#isEnded) return this.#startWaiting();
    this.#serve();
    if (this.#receivers.length > 0 && !this.#isReading) {
      this.#reading = this.#readMessages();
    }
  }

  /** Lets `receiver` wait no longer. */
  leave(receiver: Receiver<In>): void {
    this.#receivers.remove(receiver);
    // A read that is under way goes on, but nobody waits for the peer.
    if (this.#receivers.length === 0) this.#stopWaiting();
  }

  /** Reads from somewhere else, from the next read on. */
  readFrom(source: Pick<Deno.Conn, "read">): void {
    this.#source = source;
  }

  /** Ends the messages behind those already read, by an error if one is given. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#failure = failure;
    this.#stopWaiting();
    this.#serve();
  }

  /** Drops the messages that were read and not received, and those being decoded. */
  clear(): void {
    this.#isCleared = true;
    this.#inbox.clear();
  }

  /** Gives out what there is to those who wait. */
  #serve(): void {
    if (this.#isDecoding) return; // what comes of it is first
    while (this.#receivers.length > 0) {
      if (this.#inbox.length > 0) this.#receivers.shift().take(this.#inbox);
      else if (!this.#isEnded) return;
      else if (this.#failure === undefined) this.#receivers.shift().end();
      else this.#receivers.shift().fail(this.#failure.error);
    }
  }

  /** Reads until nobody waits. */
  async #readMessages(): Promise<void> {
    const { idleCountdown, onEnd, onFailure } = this.#options;
    this.#isReading = true;
    try {
      while (this.#receivers.length > 0 && !this.#isEnded) {
        // An error behind the messages of the last read waits for no more bytes.
        this.#decode(NO_BYTES);
        if (this.#receivers.length === 0) break;
        // A read that would have to wait lets what this turn sends leave first.
        const turn = (this.#wasEmpty ? untilEndOfTurn() : undefined) ??
          untilOthersHadTurn();
        if (turn !== undefined) {
          await turn;
          continue; // it may have ended since
        }
        const room = this.#room();
        this.#startWaiting();
        const length = await this.#source.read(room);
        if (this.#wasEmpty) noteLook();
        if (this.#isEnded) {
          this.#hasDroppedBytes = length !== null; // they are for nobody
          break;
        }
        idleCountdown?.reset();
        this.#stopWaiting();
        if (length === null) {
          this.#hasSeenEnd = true;
          // Throws if there is an error behind the last messages.
          while (this.#decode(null));
          onEnd();
        } else {
          this.#decode(this.#use(room, length));
        }
      }
    } catch (error) {
      // Closing the connection interrupts a read: that is not what went wrong.
      if (!this.#isEnded) onFailure(error);
    }
    this.#isReading = false;
    this.#serve(); // it may have ended while it was decoding
  }

  /** Gives out the messages of `chunk`, or of the end; tells whether there were any. */
  #decode(chunk: Bytes | null): boolean {
    const { decoder } = this.#options;
    this.#isDecoding = true;
    let messages: In[];
    try {
      messages = chunk === null ? decoder.end() : decoder.decode(chunk);
    } finally {
      this.#isDecoding = false;
    }
    if (messages.length === 0 || this.#isCleared) return false;
    this.#messagesReceived += messages.length;
    this.#options.messageCountdown?.reset();
    if (this.#inbox.length === 0) this.#inbox.fill(messages);
    else for (const message of messages) this.#inbox.push(message);
    this.#serve();
    return true;
  }

  #startWaiting(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const { idleCountdown, messageCountdown, decoder } = this.#options;
    idleCountdown?.resume();
    if (decoder.pending !== true) messageCountdown?.reset();
    else messageCountdown?.resume();
  }

  #stopWaiting(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    const { idleCountdown, messageCountdown } = this.#options;
    idleCountdown?.pause();
    messageCountdown?.pause();
  }

  /** The part of the slab to read into. */
  #room(): Bytes {
    const { readBufferSize } = this.#options;
    const free = this.#slab.length - this.#slabUsed;
    // As much as the last time would be a full read, which asks once more for nothing.
    const wanted = Math.max(this.#slabSize / 4, this.#lastLength + 1);
    if (free < Math.min(readBufferSize, wanted)) {
      this.#slab = new Uint8Array(this.#slabSize);
      this.#slabUsed = 0;
    }
    return this.#slab.subarray(
      this.#slabUsed,
      this.#slabUsed + readBufferSize,
    );
  }

  /** The bytes that were read into the slab. */
  #use(room: Bytes, length: number): Bytes {
    this.#bytesReceived += length;
    this.#slabUsed += length;
    const isFull = length === room.length;
    this.#wasEmpty = !isFull && !this.#isTls;
    this.#lastLength = length;
    if (isFull) noteMoved(length);
    if (isFull && length * 2 > this.#slabSize) {
      this.#slabSize = Math.min(
        this.#slabSize * 4,
        Math.max(FIRST_SLAB_BYTES, this.#options.readBufferSize),
      );
    } else if (length * 4 < this.#slabSize) {
      this.#slabSize = Math.max(FIRST_SLAB_BYTES, this.#slabSize / 2);
      // A connection that became quiet lets a large slab go.
      if (this.#slab.length > this.#slabSize * 4) {
        this.#slab = NO_BYTES;
        this.#slabUsed = 0;
      }
    }
    return room.subarray(0, length);
  }
}
