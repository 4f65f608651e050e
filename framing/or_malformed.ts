import { checkFunction } from "../internal/checks.ts";
import { isError } from "../internal/realms.ts";
import { escapeControls, textOf } from "../internal/shown.ts";
import { FramingError, isFramingError } from "./framing_error.ts";

/**
 * Turns errors of a function into the peer's mistake: for messages that a library reads,
 * such as MessagePack, CBOR or Protocol Buffers, within {@linkcode mapped} or after
 * receiving.
 *
 * A library throws its own error if a message is damaged. This function throws a
 * {@linkcode FramingError} of code `"malformed"` instead, with that error as its `cause`.
 * So a damaged message ends the connection like any other malformed one, and
 * `onMalformed` can drop it. A `FramingError` is not changed.
 *
 * Wrap only code that can fail because of the message alone: a mistake in your own code
 * would be blamed on the peer.
 *
 * @typeParam Message The type that the function reads.
 * @typeParam Value The type that it returns.
 * @param decode A synchronous function that reads a message.
 * @returns A function that does the same.
 * @throws {TypeError} If `decode` is not a function.
 *
 * @example Addresses, read by the platform
 * ```ts
 * import { ChunkDecoder, FramingError, lines, mapped, orMalformed } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const framing = mapped(lines(), {
 *   decode: orMalformed((line) => new URL(line)), // throws a TypeError if invalid
 *   encode: (url: URL) => url.href,
 * });
 *
 * const decoder = new ChunkDecoder(framing);
 * const bytes = (line: string) => new TextEncoder().encode(`${line}\n`);
 * assertEquals(decoder.decode(bytes("tcp://[::1]:25")).map(({ port }) => port), ["25"]);
 * const { code, cause } = assertThrows(() => decoder.decode(bytes("hello")), FramingError);
 * assertEquals([code, cause instanceof TypeError], ["malformed", true]);
 * ```
 */
export function orMalformed<Message, Value>(
  decode: (message: Message) => Value,
): (message: Message) => Value {
  checkFunction("read messages", "decode", decode);
  return (message) => {
    try {
      return decode(message);
    } catch (cause) {
      if (isFramingError(cause)) throw cause;
      const reason = textOf(() => isError(cause) ? cause.message : cause);
      const shown = escapeControls(reason); // it may quote the peer's bytes
      throw new FramingError(`Cannot decode message: ${shown}`, { cause });
    }
  };
}
