import { noteMoved, untilOthersHadTurn } from "./_fair_turns.ts";

/**
 * Reads all that the peer still sends, again and again into `room`; rejects with
 * the error that ends it.
 *
 * @param onBytes Told how many bytes of `room` were read.
 */
export async function readToEnd(
  conn: Deno.Conn,
  room: Uint8Array,
  onBytes: (length: number) => void,
): Promise<void> {
  for (;;) {
    await untilOthersHadTurn();
    const length = await conn.read(room);
    if (length === null) return;
    noteMoved(length);
    onBytes(length);
  }
}
