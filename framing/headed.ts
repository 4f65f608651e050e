import { checkFunction } from "../internal/checks.ts";
import { droppedMessages } from "../internal/drops.ts";
import { isBytes } from "../internal/realms.ts";
import { quoted, shownValue } from "../internal/shown.ts";
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
import { copyToBytes, toBytes } from "./_utf8.ts";
import type { ByteInput } from "./byte_input.ts";
import type { ByteOutput } from "./byte_output.ts";
import type { Bytes, Sendable } from "./bytes.ts";
import type { Decoder, Encoder, Framing } from "./framing.ts";
import { OutputBuffer } from "./output_buffer.ts";

/**
 * A message of {@linkcode headed}. If the type of its body includes `undefined`, it may
 * have none.
 *
 * @typeParam Header The type of the header.
 * @typeParam Body The type of the body.
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
 * @example A line end after each body, as in memcached, NATS and Redis
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
   * The most bytes in a body whose length the header says, its terminator not counted. A
   * longer one ends the stream as soon as the header has arrived. The header, and a body
   * with its own framing, have the limits of their framings.
   *
   * @default {1_048_576}
   */
  maxLength?: number | undefined;
  /**
   * The bytes that follow a body whose length the header says, and are not part of it. If
   * anything else follows, the message is malformed.
   *
   * @default {""}
   */
  terminator?: Sendable | undefined;
}

/**
 * Messages that each begin with a header, which says how the body is framed, or that
 * there is no body.
 *
 * `body` is called with each header. If it returns a number, that is the length of the
 * body in bytes; so is a string of decimal digits, such as a regular expression takes
 * from a line. Any other string is malformed, even if `Number()` accepts it: `""`,
 * `"0x10"`, `"1e3"`. If it returns a framing, that frames one body, with fresh state:
 * `delimited()` if the body ends with a mark, `lengthPrefixed()` if its length follows
 * the header. If that framing drops the body because it is malformed or too long, or
 * `mapped()` returns nothing for it, the header is dropped with it. If a frame holds
 * several messages, as with `assembled()`, the first is the body and the others are lost.
 *
 * Sending works the same way. A body that does not match its header is refused. To fill
 * the length in, make the header from the body with {@linkcode mapped}.
 *
 * A body may use the framing that contains it, for values within values. Limit the depth:
 * otherwise a peer could nest levels until the stack overflows.
 *
 * A message is held whole. If bodies are too large for that, receive header and body
 * separately: `Connection.receiveStream()`.
 *
 * @typeParam Header The type of the header.
 * @param header The framing of the header.
 * @param body Says what follows a header. If it throws, the stream ends; for a length
 * that makes no sense it may return `NaN`, or the text as it is.
 * @param options A limit, and the terminator after a body.
 * @returns A framing without state, which many connections may share.
 * @throws {TypeError} If `header` is not a framing, `body` not a function, or `terminator`
 * neither text nor bytes.
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
 * @example MQTT: a byte, then a varint length, which is filled in
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
 * Messages that each begin with a header, which says which of your framings the body has.
 *
 * @typeParam Header The type of the header.
 * @typeParam Body The type of received bodies.
 * @typeParam BodyOut The type of bodies to send.
 * @param header The framing of the header.
 * @param body Returns the framing of the body for a header, if there is a body.
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
  checkTerminator(terminator);
  // Copied: the caller may change its bytes later. Not by `slice`, with which Node's
  // Buffer makes a view.
  const rules: Rules = {
    maxLength,
    terminator: copyToBytes(terminator),
  };
  return {
    decoder: () => new HeadedDecoder(header.decoder(), body, rules),
    encoder: () => new HeadedEncoder(header.encoder(), body, rules),
  };
}

function checkTerminator(terminator: Sendable): void {
  if (typeof terminator === "string" || isBytes(terminator)) {
    return;
  }
  throw new TypeError(
    `Cannot make headed framing as terminator must be a string or a Uint8Array: current value is ${
      shownValue(terminator)
    }`,
  );
}

/** A message with any body, or none. */
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
  // The last call took no bytes: the limit of the part it waits for applies.
  #isWaiting = false;
  // A header that was taken, and whose body is not whole.
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

  /** One call may take a header and a body, so each is checked against its limit here. */
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
        // Return, to be called again: the bytes before the body need not be kept. A body
        // without bytes ends here: no later call takes any for this message.
        if (input.offset > start && body.maxFrameLength !== 0) return undefined;
      }
      const { header, body: decoder } = this.#begun;
      const { count } = droppedMessages;
      const body = decodePart(decoder, input, ended);
      if (body !== undefined) {
        this.#begun = undefined;
        return { header, body };
      }
      // If the body was dropped, so is its header: the next header follows.
      const isDropped = droppedMessages.count > count &&
        decoder.pending !== true;
      if (!isDropped) return undefined;
      this.#begun = undefined;
      if (input.offset > offset) return undefined; // it is called again
    }
  }
}

/** Takes a body of the length that the header at `offset` says. */
class LengthDecoder implements Decoder<Bytes> {
  readonly maxFrameLength: number;
  readonly #length: number;
  readonly #offset: number;
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
    this.#offset = offset;
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
        `the terminator of its body must have byte ${expected}, found ${found}`;
      throw malformed(WHAT, this.#offset, reason);
    });
    const body = input.bytesAt(0, this.#length);
    input.skip(this.maxFrameLength);
    return body;
  }
}

const WHAT = "message with a header";

/** Whether `body` returned a framing, not a length; throws if it is neither. */
function isFraming<In, Out>(
  said: Framing<In, Out> | number | string,
  method: "decoder" | "encoder",
): said is Framing<In, Out> {
  if (typeof said === "number" || typeof said === "string") return false;
  checkMethod("frame a body that has no length", method, said);
  return true;
}

/** The length given as a number or in digits; `NaN` if it is not a length. */
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
    // With a length, the types allow only bytes and text.
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
