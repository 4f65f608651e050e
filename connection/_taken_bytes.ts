import { readToEnd } from "./_read_to_end.ts";
import { Queue } from "../internal/queue.ts";

const CHUNK_BYTES = 64 * 1024;

/**
 * What a peer sent before it went, taken out of the system's buffer for receiving,
 * so that it can be read when the socket is closed.
 */
export class TakenBytes {
  /** Settles at the peer's end, or at the error behind its bytes. */
  readonly whole: Promise<void>;
  readonly #chunks = new Queue<Uint8Array<ArrayBuffer>>();
  #rest = new Uint8Array(0);
  #failure: { readonly error: unknown } | undefined;

  constructor(conn: Deno.Conn) {
    const room = new Uint8Array(CHUNK_BYTES);
    this.whole = readToEnd(
      conn,
      room,
      (length) => this.#chunks.push(room.slice(0, length)),
    ).catch((error) => {
      this.#failure = { error };
    });
  }

  /** Reads like `Deno.Conn.read`. */
  async read(room: Uint8Array): Promise<number | null> {
    await this.whole;
    if (this.#rest.length === 0) {
      if (this.#chunks.length > 0) this.#rest = this.#chunks.shift();
      else if (this.#failure !== undefined) throw this.#failure.error;
      else return null;
    }
    const length = Math.min(this.#rest.length, room.length);
    room.set(this.#rest.subarray(0, length));
    this.#rest = this.#rest.subarray(length);
    return length;
  }
}
