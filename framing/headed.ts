import { checkFunction } from "../internal/checks.ts";
import { droppedMessages } from "../internal/drops.ts";
import { quoted } from "../internal/shown.ts";
import { decodePart } from "./_decode_part.ts";
import {
  checkInner,
  checkMaxLength,
  checkMethod,
  checkSendLength,
  DEFAULT_MAX_LENGTH_BYTES,
  malformed,
  tooLong,
} from "./_limits.ts";
import { askForSending } from "./_refusal.ts";
import { toBytes } from "./_utf8.ts";
import type { ByteInput } from "./byte_input.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import { OutputBuffer } from "./output_buffer.ts";

/**
 * A message of {@linkcode headed}. If `undefined` is one of the types of its body, it may
 * have none.
 *
 * @typeParam Header What the header is.
 * @typeParam Body What the body is.
 *
 * @example A message with a body, and one without
 * ```ts
 * import type { Bytes, HeadedMessage } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * function show({ header, body }: HeadedMessage<string, Bytes | undefined>): string {
 *   return body === undefined ? header : `${header}, and ${body.length} bytes`;
 * }
 *
 * assertEquals(show({ header: "PING" }), "PING");
 * assertEquals(show({ header: "MSG a 1 2", body: new Uint8Array(2) }), "MSG a 1 2, and 2 bytes");
 * ```
 */
export type HeadedMessage<Header, Body> = undefined extends Body ? {
    /** The header. */
    header: Header;
    /** The body, if the header says that there is one. */
    body?: Body;
  }
  : {
    /** The header. */
    header: Header;
    /** The body. */
    body: Body;
  };

/**
 * Options for {@linkcode headed}.
 *
 * @example A line end after each body, as memcached, NATS and Redis have it
 * ```ts
 * import { ChunkDecoder, headed, type HeadedOptions, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: HeadedOptions = { terminator: "\r\n", maxLength: 1000 };
 * const framing = headed(lines(), (line) => line, options);
 * const decoder = new ChunkDecoder(framing);
 *
 * assertEquals(decoder.decode(new TextEncoder().encode("2\r\nhi\r\n")), [
 *   { header: "2", body: new TextEncoder().encode("hi") },
 * ]);
 * ```
 */
export interface HeadedOptions {
  /**
   * The most bytes in a body whose length the header says, its terminator not counted.
   * More end the stream as soon as the header is there. The header and a body in a
   * framing of its own have the limits of their framings.
   *
   * @default {1_048_576}
   */
  maxLength?: number | undefined;
  /**
   * What stands after a body whose length the header says, and is no part of it. If
   * anything else stands there, the message is malformed.
   *
   * @default {""}
   */
  terminator?: Sendable | undefined;
}

/**
 * Messages that each begin with a header, which says how the body after it is framed, or
 * that there is none.
 *
 * `body` is called with each header. A number is the length of the body in bytes; so is a
 * text of decimal digits, as a regular expression takes it from a line. A text of
 * anything else is malformed, also where `Number()` takes it: `""`, `"0x10"`, `"1e3"`.
 * A framing frames one body, with fresh state: `delimited()` for one up to an end mark,
 * `lengthPrefixed()` if its length stands after the header. If that framing drops the body,
 * as it is malformed or too long, or `mapped()` gives nothing for it, the header is dropped
 * with it.
 *
 * What is sent goes the same way. A body that is not as its header says is refused.
 * To fill the length in, make the header of the body with {@linkcode mapped}.
 *
 * A body may be framed as what it is a body of, for values within values. Limit how deep:
 * a peer could let each level call the next until the stack is full.
 *
 * A message is held whole. For bodies that are too large for that, receive header and
 * body one by one: `Connection.receiveStream()`.
 *
 * @typeParam Header What the header is.
 * @param header The framing of the header.
 * @param body Says for a header what follows it. What it throws ends the stream; for a
 * length that makes no sense it may give `NaN`, or the text as it is.
 * @param options A limit, and what stands after a body.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `header` is not a framing, or `body` not a function.
 * @throws {RangeError} If `maxLength` is not a whole number of at least 1.
 *
 * @example NATS: a line, and a payload if the line ends with its length
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, headed, lines } from "@framed/tcp/framing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const lengthIn = (line: string) =>
 *   /^(?:MSG|PUB) /.test(line) ? line.split(" ").at(-1) : undefined;
 * const framing = headed(lines({ eol: "\r\n" }), lengthIn, { terminator: "\r\n" });
 *
 * const decoder = new ChunkDecoder(framing);
 * const bytes = new TextEncoder().encode("PING\r\nMSG a 1 3\r\n\r\n!\r\n");
 * assertEquals(decoder.decode(bytes), [
 *   { header: "PING" },
 *   { header: "MSG a 1 3", body: new TextEncoder().encode("\r\n!") },
 * ]);
 *
 * const encoder = new ChunkEncoder(framing);
 * const frame = encoder.encode({ header: "PUB a 2", body: "hi" });
 * assertEquals(new TextDecoder().decode(frame), "PUB a 2\r\nhi\r\n");
 * assertThrows(() => encoder.encode({ header: "PUB a 2", body: "hello" }), RangeError);
 * ```
 *
 * @example MQTT: a byte, then a length as varint, which is filled in
 * ```ts
 * import { ChunkDecoder, ChunkEncoder, fixedLength, headed, lengthPrefixed } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const rest = lengthPrefixed({ fieldSize: "varint", maxFieldBytes: 4 });
 * const packets = headed(fixedLength(1), () => rest);
 *
 * const ping = { header: Uint8Array.of(0xc0), body: new Uint8Array() };
 * const frame = new ChunkEncoder(packets).encode(ping);
 * assertEquals(frame, Uint8Array.of(0xc0, 0));
 * assertEquals(new ChunkDecoder(packets).decode(frame), [ping]);
 * ```
 */
export function headed<Header>(
  header: Framing<Header>,
  body: (header: Header) => number | string | Framing<Bytes, Sendable>,
  options?: HeadedOptions,
): Framing<HeadedMessage<Header, Bytes>, HeadedMessage<Header, Sendable>>;
/** Does the same if there may be no body. */
export function headed<Header>(
  header: Framing<Header>,
  body: (
    header: Header,
  ) => number | string | Framing<Bytes, Sendable> | undefined,
  options?: HeadedOptions,
): Framing<
  HeadedMessage<Header, Bytes | undefined>,
  HeadedMessage<Header, Sendable | undefined>
>;
/**
 * Messages that each begin with a header, which says in which framing of yours the body
 * after it is.
 *
 * @typeParam Header What the header is.
 * @typeParam Body What is received as the body.
 * @typeParam BodyOut What may be sent as the body.
 * @param header The framing of the header.
 * @param body Says for a header how the body is framed, if there is one.
 * @returns A framing without state, which many connections may share.
 *
 * @example A body of JSON after a line
 * ```ts
 * import { asJson, ChunkDecoder, headed, lengthPrefixed, lines } from "@framed/tcp/framing";
 * import { assertEquals } from "@std/assert";
 *
 * const values = asJson(lengthPrefixed({ fieldSize: 1 }));
 * const framing = headed(lines(), (line) => line === "set" ? values : undefined);
 *
 * const decoder = new ChunkDecoder(framing);
 * assertEquals(decoder.decode(new TextEncoder().encode("set\n\x03[1]get\n")), [
 *   { header: "set", body: [1] },
 *   { header: "get" },
 * ]);
 * ```
 */
export function headed<Header, Body, BodyOut = Body>(
  header: Framing<Header>,
  body: (header: Header) => Framing<Body, BodyOut>,
): Framing<HeadedMessage<Header, Body>, HeadedMessage<Header, BodyOut>>;
/** Does the same if there may be no body. */
export function headed<Header, Body, BodyOut = Body>(
  header: Framing<Header>,
  body: (header: Header) => Framing<Body, BodyOut> | undefined,
): Framing<
  HeadedMessage<Header, Body | undefined>,
  HeadedMessage<Header, BodyOut | undefined>
>;
export function headed<Header, Body, BodyOut>(
  header: Framing<Header>,
  body: (header: Header) => Said<Body, BodyOut>,
  options: HeadedOptions = {},
): Framing<Message<Header, Body | Bytes>, never> {
  const { maxLength = DEFAULT_MAX_LENGTH_BYTES, terminator = "" } = options;
  checkInner("headed", header);
  checkFunction("make headed framing", "body", body);
  checkMaxLength("headed", maxLength);
  // Copied, as the caller may change its bytes later. Not by `slice`: Node's Buffer
  // makes a view there.
  const rules: Rules = {
    maxLength,
    terminator: new Uint8Array(toBytes(terminator)),
  };
  return {
    decoder: () => new HeadedDecoder(header.decoder(), body, rules),
    encoder: () => new HeadedEncoder(header.encoder(), body, rules),
  };
}

/** A message of whatever body, or none. */
interface Message<Header, Body> {
  header: Header;
  body?: Body | undefined;
}

type Said<In, Out> = Framing<In, Out> | number | string | undefined;

interface Rules {
  readonly maxLength: number;
  readonly terminator: Uint8Array;
}

class HeadedDecoder<Header, Body>
  implements Decoder<Message<Header, Body | Bytes>> {
  readonly #headers: Decoder<Header>;
  readonly #bodyOf: (header: Header) => Said<Body, never>;
  readonly #rules: Rules;
  // No bytes were taken by the last call: the limit is that of what is waited for.
  #isWaiting = false;
  // A header that was taken, whose body is not whole.
  #begun: { header: Header; body: Decoder<Body | Bytes> } | undefined;

  constructor(
    headers: Decoder<Header>,
    bodyOf: (header: Header) => Said<Body, never>,
    rules: Rules,
  ) {
    this.#headers = headers;
    this.#bodyOf = bodyOf;
    this.#rules = rules;
  }

  /** The header and the body are held to their limits here: one may follow in one call. */
  get maxFrameLength(): number | undefined {
    return this.#isWaiting
      ? (this.#begun?.body ?? this.#headers).maxFrameLength
      : Infinity;
  }

  get pending(): boolean | undefined {
    return this.#begun !== undefined || this.#headers.pending;
  }

  decode(
    input: ByteInput,
    ended: boolean,
  ): Message<Header, Body | Bytes> | undefined {
    const { offset } = input;
    const message = this.#decodeNext(input, ended);
    this.#isWaiting = message === undefined && input.offset === offset;
    return message;
  }

  #decodeNext(
    input: ByteInput,
    ended: boolean,
  ): Message<Header, Body | Bytes> | undefined {
    const { offset } = input;
    for (;;) {
      if (this.#begun === undefined) {
        const start = input.offset;
        const header = decodePart(this.#headers, input, ended);
        if (header === undefined) return undefined;
        const said = this.#bodyOf(header);
        if (said === undefined) return { header };
        const body = isFraming(said, "decoder")
          ? said.decoder()
          : new LengthDecoder(said, start, this.#rules);
        this.#begun = { header, body };
        // It is called again, so that what comes before the body need not be kept for it.
        if (input.offset > start) return undefined;
      }
      const { header, body: decoder } = this.#begun;
      const { count } = droppedMessages;
      const body = decodePart(decoder, input, ended);
      if (body !== undefined) {
        this.#begun = undefined;
        return { header, body };
      }
      // If the body was dropped, so is its header: what follows is the next header.
      const isDropped = droppedMessages.count > count &&
        decoder.pending !== true;
      if (!isDropped) return undefined;
      this.#begun = undefined;
      if (input.offset > offset) return undefined; // it is called again
    }
  }
}

/** Takes a body of a length that the header at `offset` says. */
class LengthDecoder implements Decoder<Bytes> {
  readonly maxFrameLength: number;
  readonly #length: number;
  readonly #terminator: Uint8Array;

  constructor(
    said: number | string,
    offset: number,
    { maxLength, terminator }: Rules,
  ) {
    const limit = Math.min(maxLength, Number.MAX_SAFE_INTEGER);
    const length = toLength(said);
    if (length > limit) throw tooLong(WHAT, offset, limit);
    if (!isLength(length)) {
      const reason = `its header says a length of ${shown(said)}`;
      throw malformed(WHAT, offset, reason);
    }
    this.maxFrameLength = length + terminator.length;
    this.#length = length;
    this.#terminator = terminator;
  }

  decode(input: ByteInput): Bytes | undefined {
    if (input.length < this.maxFrameLength) {
      return input.need(this.maxFrameLength);
    }
    this.#terminator.forEach((expected, i) => {
      const found = input.byteAt(this.#length + i);
      if (found === expected) return;
      const reason =
        `its terminator must have byte ${expected}, found ${found}`;
      throw malformed("body", input.offset, reason);
    });
    const body = input.bytesAt(0, this.#length);
    input.skip(this.maxFrameLength);
    return body;
  }
}

const WHAT = "message with a header";

/** Whether a framing is said, and no length; throws if it is something else. */
function isFraming<In, Out>(
  said: Framing<In, Out> | number | string,
  method: "decoder" | "encoder",
): said is Framing<In, Out> {
  if (typeof said === "number" || typeof said === "string") return false;
  checkMethod("frame a body that has no length", method, said);
  return true;
}

/** The length that is said as a number or in digits; `NaN` if it is none. */
function toLength(said: number | string): number {
  if (typeof said === "number") return said;
  return /^[0-9]+$/.test(said) ? Number(said) : NaN;
}

function shown(said: number | string): string {
  return typeof said === "number" ? `${said}` : quoted(said, 40);
}

function isLength(length: number): boolean {
  return Number.isInteger(length) && length >= 0;
}

class HeadedEncoder<Header, Body> implements Encoder<Message<Header, Body>> {
  readonly #headers: Encoder<Header>;
  readonly #bodyOf: (header: Header) => Said<unknown, Body>;
  readonly #rules: Rules;
  // Another encoder counts from where its frame begins.
  readonly #bodies = new OutputBuffer();

  constructor(
    headers: Encoder<Header>,
    bodyOf: (header: Header) => Said<unknown, Body>,
    rules: Rules,
  ) {
    this.#headers = headers;
    this.#bodyOf = bodyOf;
    this.#rules = rules;
  }

  encode(
    { header, body }: Message<Header, Body>,
    output: ByteOutput,
  ): void {
    this.#headers.encode(header, output);
    const said = askForSending(
      "message: its header is refused",
      () => this.#bodyOf(header),
    );
    if (said === undefined || body === undefined) {
      if (said === undefined && body === undefined) return;
      throw new TypeError(
        `Cannot encode message: its header says that it has ${
          said === undefined ? "no" : "a"
        } body, which is ${body === undefined ? "missing" : "given"}`,
      );
    }
    if (isFraming(said, "encoder")) {
      this.#bodies.push(said.encoder(), body);
      return output.writeBytes(this.#bodies.takeBytes());
    }
    // If a length is said, the types let only bytes and text through.
    const bytes = toBytes(body as Sendable);
    checkSendLength(bytes.length, this.#rules.maxLength);
    if (bytes.length !== toLength(said)) {
      throw new RangeError(
        `Cannot encode message: its header says a body of ${
          shown(said)
        } bytes, but it has ${bytes.length}`,
      );
    }
    output.writeBytes(bytes);
    output.writeBytes(this.#rules.terminator);
  }
}
