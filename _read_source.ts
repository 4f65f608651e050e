import { noteMoved, untilOthersHadTurn } from "./_fair_turns.ts";
import { Queue } from "./framing/_queue.ts";

const CHUNK_BYTES = 64 * 1024;

/** The bytes that a peer sends: in the socket, or taken out of it before it was closed. */
export class ReadSource {
  readonly #conn: Deno.Conn;
  #emptying: Promise<void> | undefined;
  readonly #chunks = new Queue<Uint8Array<ArrayBuffer>>();
  #rest = new Uint8Array(0);
  #failure: { readonly error: unknown } | undefined;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Whether the bytes come out of TLS records. */
  get isTls(): boolean {
    return "handshake" in this.#conn;
  }

  /** Reads like `Deno.Conn.read`. */
  read(room: Uint8Array): Promise<number | null> {
    return this.#emptying === undefined
      ? this.#conn.read(room)
      : this.#readTaken(room);
  }

  /**
   * Takes out of the socket what the system holds, up to the peer's end or an error,
   * so that it can be read when the socket is closed.
   */
  empty(): Promise<void> {
    this.#emptying ??= this.#takeAll();
    return this.#emptying;
  }

  async #takeAll(): Promise<void> {
    try {
      const room = new Uint8Array(CHUNK_BYTES);
      for (;;) {
        await untilOthersHadTurn();
        const length = await this.#conn.read(room);
        if (length === null) return;
        noteMoved(length);
        this.#chunks.push(room.slice(0, length));
      }
    } catch (error) {
      this.#failure = { error };
    }
  }

  async #readTaken(room: Uint8Array): Promise<number | null> {
    await this.#emptying;
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
