import { noteSettled, untilOthersAreServed } from "../internal/countdown.ts";
import { unobserved } from "../internal/promises.ts";
import type { Bytes } from "../framing/bytes.ts";
import { checkMoved } from "./_transports.ts";
import { noteNews, untilEndOfTurn, untilOthersHadTurn } from "./_turns.ts";
import type { Transport } from "./transport.ts";

/** Decides whether a loop reads, and gets what it reads. */
export interface ReadLoopOwner {
  /** Whether more bytes are needed. */
  readonly wantsBytes: boolean;
  /** Called before each read; returns the bytes to fill. */
  beforeRead(): Uint8Array;
  /**
   * Called with the result of a read: how many bytes of `room` it has filled, or `null` at
   * the peer's end.
   *
   * @param isEmpty Whether it has emptied the transport.
   */
  onRead(length: number | null, room: Uint8Array, isEmpty: boolean): void;
  /** Called with the error that stops the loop. */
  onReadFailed(error: unknown): void;
  /** Called when the loop stops, or waits for others: bytes may arrive unseen. */
  onReadPause(): void;
}

const SETTLED = Promise.resolve();
const NO_BYTES: Bytes = new Uint8Array(0);

/**
 * Reads one transport, while its owner needs bytes: one read after the other, each in its
 * turn among all connections.
 */
export class ReadLoop {
  readonly #transport: Transport;
  readonly #shortReadMeansEmpty: boolean;
  readonly #owner: ReadLoopOwner;
  #isRunning = false;
  #isHeldUp = false;
  // The next read waits for the end of a turn, or has done so.
  #isTurnOver = false;
  // The last read emptied the transport, so the next one has to wait; `undefined` before
  // the first one, which has to wait too.
  #wasEmpty: boolean | undefined;
  // What the pending read is filling.
  #room: Uint8Array = NO_BYTES;
  // Settles when the loop stops; made for a caller who asks.
  #over: PromiseWithResolvers<void> | undefined;
  // Settles with the bytes of the pending read, for another owner.
  #handedOver: PromiseWithResolvers<Bytes | null> | undefined;
  // Functions, made once: an async function for each run would hold 270 bytes more in an
  // idle connection, and make 500 bytes of garbage with each request (measured).
  readonly #onRead = (length: number | null) => this.#noteRead(length);
  readonly #onFailed = (error: unknown) => {
    noteSettled();
    this.#fail(error);
  };

  /**
   * @param shortReadMeansEmpty A read that does not fill its buffer has emptied the
   * transport.
   */
  constructor(
    transport: Transport,
    shortReadMeansEmpty: boolean,
    owner: ReadLoopOwner,
  ) {
    this.#transport = transport;
    this.#shortReadMeansEmpty = shortReadMeansEmpty;
    this.#owner = owner;
    this.#wasEmpty = shortReadMeansEmpty ? undefined : false;
  }

  /** Whether a read is pending, or waits for its turn. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Whether the next read waits for its turn: arrived bytes may not have been read yet. */
  get isHeldUp(): boolean {
    return this.#isHeldUp;
  }

  /** Settles when no read is pending. */
  get stopped(): Promise<void> {
    if (!this.#isRunning) return SETTLED;
    return (this.#over ??= Promise.withResolvers()).promise;
  }

  /** Begins to read; must not be called while it runs. */
  start(): void {
    // Set before the call: the transport's read() may call this connection.
    this.#isRunning = true;
    this.#isTurnOver = false;
    this.#goOn();
  }

  /**
   * Makes no more reads for its owner.
   *
   * @returns The bytes of a pending read, if there is one: Deno cannot cancel it.
   */
  handOver(): Promise<Bytes | null> | undefined {
    if (!this.#isRunning) return undefined;
    this.#handedOver = Promise.withResolvers();
    return unobserved(this.#handedOver.promise);
  }

  /** Begins the next read, or waits for its turn; stops if no bytes are needed. */
  #goOn(): void {
    try {
      if (this.#handedOver !== undefined || !this.#owner.wantsBytes) {
        return this.#stop();
      }
      const turn = this.#turn();
      if (turn === undefined) this.#read().then(this.#onRead, this.#onFailed);
      else turn.then(() => this.#onTurn());
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Settles when it is the turn of the next read; `undefined` if that is now. */
  #turn(): Promise<void> | undefined {
    // A read that would have to wait lets the messages of this turn leave first, but not
    // those of later turns: others may send in every turn.
    const endOfTurn = this.#wasEmpty && !this.#isTurnOver
      ? untilEndOfTurn()
      : undefined;
    if (endOfTurn !== undefined) this.#isTurnOver = true;
    const turn = endOfTurn ?? untilOthersHadTurn();
    if (turn === undefined) return undefined;
    // While the clock polls, everything that had arrived was read.
    if (endOfTurn === undefined && turn !== untilOthersAreServed()) {
      this.#owner.onReadPause();
    }
    this.#isHeldUp = true;
    this.#room = NO_BYTES; // it would keep a used-up buffer alive
    return turn;
  }

  #onTurn(): void {
    this.#isHeldUp = false;
    this.#goOn();
  }

  #read(): Promise<number | null> {
    const room = this.#owner.beforeRead();
    this.#room = room;
    // Of a user's transport, it may be another kind of promise.
    return Promise.resolve(this.#transport.read(room));
  }

  #noteRead(length: number | null): void {
    const room = this.#room;
    noteSettled();
    this.#isTurnOver = false;
    try {
      if (length !== null) checkMoved("read", length, room.length);
      if (this.#handedOver !== undefined) {
        this.#handedOver.resolve(
          length === null ? null : room.slice(0, length),
        );
        return this.#stop();
      }
      if (this.#wasEmpty !== false) noteNews();
      this.#wasEmpty = this.#shortReadMeansEmpty && length !== room.length;
      this.#owner.onRead(length, room, this.#wasEmpty);
    } catch (error) {
      return this.#fail(error);
    }
    this.#goOn();
  }

  #fail(error: unknown): void {
    if (this.#handedOver !== undefined) this.#handedOver.reject(error);
    else this.#owner.onReadFailed(error);
    this.#stop();
  }

  #stop(): void {
    if (this.#handedOver === undefined) this.#owner.onReadPause();
    this.#isRunning = false;
    this.#room = NO_BYTES;
    this.#over?.resolve();
    this.#over = undefined;
    this.#handedOver?.resolve(NO_BYTES); // unless its read has settled
  }
}
