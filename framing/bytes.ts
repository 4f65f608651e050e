/**
 * Bytes as they are received: a `Uint8Array` over an `ArrayBuffer`.
 *
 * It may be a view into a larger buffer. Its own bytes are never written again, so it is
 * the receiver's for good. Copy it before you transfer its buffer.
 *
 * @example Reading a number
 * ```ts
 * import { type Bytes, ChunkDecoder, fixedLength } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function numberIn({ buffer, byteOffset }: Bytes): number {
 *   // The message is only a part of its buffer.
 *   return new DataView(buffer, byteOffset).getUint16(0);
 * }
 *
 * const decoder = new ChunkDecoder(fixedLength(2));
 * const messages = decoder.decode(new Uint8Array([0, 7, 1, 0]));
 * assertEquals(messages.map(numberIn), [7, 256]);
 * ```
 */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * What framings of bytes can send: bytes, or a string, which is encoded as UTF-8.
 *
 * @example Bytes and text, in the same framing
 * ```ts
 * import { ChunkEncoder, netstrings, type Sendable } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const encoder = new ChunkEncoder(netstrings());
 * const messages: Sendable[] = ["hi", new Uint8Array([0x68, 0x69])];
 * const [text, bytes] = messages.map((message) => encoder.encode(message));
 * assertEquals(text, bytes);
 * ```
 */
export type Sendable = Uint8Array | string;

/**
 * What may be sent if only `In`, the type of received messages, is given: the same type.
 * If that is bytes, text may be sent too.
 *
 * @typeParam In The type of received messages.
 *
 * @example A connection that sends what it receives
 * ```ts
 * import type { Connection } from "@framed/tcp/connection";
 * import { lines, type SendableFor } from "@framed/tcp/framing";
 * import { connectionPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * async function greet(connection: Connection<string>): Promise<void> {
 *   const line: SendableFor<string> = "hello"; // no bytes: `lines()` takes none
 *   await connection.send(line);
 * }
 *
 * await using pair = connectionPair({ framing: lines() });
 * await greet(pair.near);
 * assertEquals(await pair.far.receive(), "hello");
 * ```
 */
export type SendableFor<In> = [In] extends [Bytes] ? Sendable : In;
