import { readToEnd } from "./_read_to_end.ts";
import { isSettledWithin } from "../internal/promises.ts";

// For how long a peer that still sends may take to receive the rest and end.
const LINGER_MS = 1000;

// What nobody wants is read into one buffer for all connections.
const unwanted = new Uint8Array(64 * 1024);

/** Options for {@linkcode Linger}. */
export interface LingerOptions {
  readonly conn: Deno.Conn;
  /** Half-closes the connection. */
  readonly sendEnd: () => Promise<void>;
  /** Whether the peer was seen in the midst of sending when reading ended. */
  readonly isPeerSending: () => boolean;
  /** Told that bytes have come. */
  readonly onBytes: () => void;
}

/** Ends a connection's sending so that its peer can receive everything. */
export class Linger {
  readonly #options: LingerOptions;
  #hasDiscarded = false;
  // Settles at the peer's end, or when the connection is closed.
  readonly #ended: Promise<void>;

  /** Reads, and drops, what the peer sends from now on. */
  constructor(options: LingerOptions) {
    this.#options = options;
    const { conn, onBytes } = options;
    this.#ended = readToEnd(conn, unwanted, () => {
      this.#hasDiscarded = true;
      onBytes();
    }).catch(() => {}); // closed here, or reset by the peer
  }

  /** Settles when no read is under way. */
  get stopped(): Promise<void> {
    return this.#ended;
  }

  /**
   * Half-closes the connection once `flushed` has settled, and waits if the peer
   * is sending what nobody reads: closing a socket that holds unread bytes resets
   * the connection, and the system throws away what the peer has not received yet
   * (measured: 128,000 of 2,000,000 bytes arrived). Before that, a peer that is
   * itself blocked by bytes nobody reads could not take ours.
   */
  async finish(flushed: Promise<void>): Promise<void> {
    const { sendEnd, isPeerSending } = this.#options;
    await flushed;
    try {
      await sendEnd();
    } catch {
      return; // reset or closed meanwhile: there is nothing left to save
    }
    // Bytes that have arrived are seen when the event loop next waits.
    await isSettledWithin(this.#ended, 0);
    if (this.#hasDiscarded || isPeerSending()) {
      await isSettledWithin(this.#ended, LINGER_MS);
    }
  }
}
