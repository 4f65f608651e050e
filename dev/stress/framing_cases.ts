/** Framings with arbitrary options, and difficult messages and bytes for them. */
import fc from "npm:fast-check@4.10.2";
import {
  asJson,
  asText,
  type Bytes,
  contentLength,
  delimited,
  type DelimitedOptions,
  type FieldSize,
  fixedLength,
  type Framing,
  jsonSequence,
  lengthPrefixed,
  type LengthPrefixedOptions,
  type LimitOptions,
  lines,
  type LinesOptions,
  mapped,
  netstrings,
  type Sendable,
  sequence,
  unframed,
} from "../../framing.ts";

type OnDiscard = (byteLength: number) => void;

/** A framing, and its test data. */
export interface FramingCase {
  /** Makes the framing, with {@linkcode LimitOptions.onDiscard} if it takes one. */
  make(onDiscard?: OnDiscard): Framing<unknown, unknown>;
  /** The maximum bytes of a received message. */
  readonly maxLength: number;
  /** The maximum bytes of a delimiter that a message keeps. */
  readonly kept: number;
  /** Whether the messages depend on the cuts of the stream. */
  readonly isUnframed: boolean;
  /** Messages. Some may be refused. */
  readonly messages: readonly unknown[];
  /** Whether the framing must accept all of them. */
  readonly mustTakeAll: boolean;
  /** Whether messages are received as text instead of bytes. */
  readonly isText: boolean;
  /** Whether a message may be refused only after another framing has encoded it. */
  readonly isMapped: boolean;
  /** Whether a message is a whole frame, and sending fills in a field. */
  readonly isFilledIn: boolean;
  /** Bytes of a stream, not necessarily frames. */
  readonly stream: Uint8Array;
}

// Few different bytes, so that delimiters, digits and the like are frequent.
const HARD_BYTES = [..."ab\r\n0123:,"].map((each) => each.charCodeAt(0));

const hardByte = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...HARD_BYTES) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 3, 5, 0x80, 0xc3, 0xff) },
  { weight: 1, arbitrary: fc.nat(255) },
);

function toArray(values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function bytesOf(
  byte: fc.Arbitrary<number>,
  constraints: fc.ArrayConstraints,
): fc.Arbitrary<Uint8Array> {
  return fc.array(byte, constraints).map(toArray);
}

const hardBytes = bytesOf(hardByte, { maxLength: 24 });
const hardText = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."ab\r\n0:,é\ufeff"), maxLength: 12 }),
  fc.string({ unit: "binary", maxLength: 12 }),
  // Including lone surrogates.
  fc.array(fc.nat(0xffff), { maxLength: 4 })
    .map((units) => String.fromCharCode(...units)),
);
// Including lengths above one scan.
const longBytes = fc.tuple(fc.nat(140_000), hardByte)
  .map(([length, byte]) => new Uint8Array(length).fill(byte));
const hardSendable = fc.oneof(
  { weight: 8, arbitrary: hardBytes },
  { weight: 4, arbitrary: hardText },
);

// `undefined` selects the default.
const maxLength = fc.option(fc.integer({ min: 1, max: 30 }), {
  nil: undefined,
  freq: 2,
});
const limits = fc.record({
  maxLength,
  oversize: fc.constantFrom("error", "discard", undefined),
});
const trailing = fc.constantFrom("emit", "error", "discard", undefined);

const DEFAULT_MAX_LENGTH_BYTES = 1024 * 1024;

interface Shape<F = Framing<unknown, never>> {
  readonly name: string;
  readonly make: (onDiscard?: OnDiscard) => F;
  readonly maxLength?: number | undefined;
  readonly kept?: number;
  readonly isText?: boolean;
  readonly isMapped?: boolean;
  readonly isFilledIn?: boolean;
  readonly message: fc.Arbitrary<unknown>;
  /** Messages that the framing must accept, if it accepts any. */
  readonly plainMessage?: fc.Arbitrary<unknown> | undefined;
  /** The parts of frames, for streams. */
  readonly pieces?: readonly Uint8Array[];
}

type BytesShape = Shape<Framing<Bytes, Sendable>>;

/** Omits `onDiscard` if it would be refused. */
function withReport<T extends LimitOptions>(
  options: T,
  onDiscard: OnDiscard | undefined,
): T {
  return options.oversize === "discard" ? { ...options, onDiscard } : options;
}

const delimiter = bytesOf(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.constantFrom(...[..."ab\r\n"].map((c) => c.charCodeAt(0))),
    },
    { weight: 1, arbitrary: fc.nat(255) },
  ),
  { minLength: 1, maxLength: 4 },
);

const delimitedShape = fc.record({
  delimiters: fc.oneof(
    delimiter.map((each) => [each]),
    fc.array(delimiter, { minLength: 1, maxLength: 4 }),
    bytesOf(fc.nat(3), { minLength: 1, maxLength: 80 }).map((each) => [each]),
  ),
  disposition: fc.constantFrom("discard", "suffix", "prefix", undefined),
  trailing,
  limits,
}).map(({ delimiters, disposition, trailing, limits }): BytesShape => {
  const options: DelimitedOptions = {
    ...limits,
    disposition,
    ...(disposition !== "prefix" && { trailing }),
  };
  const longest = Math.max(...delimiters.map(({ length }) => length));
  const isPlain = (byte: number) =>
    !delimiters.some((delimiter) => delimiter.includes(byte));
  const plainBytes = [...Array(256).keys()].filter(isPlain);
  const withDelimiter = fc.tuple(hardBytes, fc.constantFrom(...delimiters))
    .map(([content, delimiter]) =>
      toArray(
        disposition === "suffix"
          ? [...content, ...delimiter]
          : [...delimiter, ...content],
      )
    );
  const isDiscard = disposition === "discard" || disposition === undefined;
  return {
    name: `delimited([${delimiters.map((each) => `[${each}]`)}], ${
      JSON.stringify(options)
    })`,
    make: (onDiscard) => delimited(delimiters, withReport(options, onDiscard)),
    maxLength: limits.maxLength,
    kept: isDiscard ? 0 : longest,
    message: isDiscard
      ? hardSendable
      : fc.oneof(hardSendable, { weight: 3, arbitrary: withDelimiter }),
    plainMessage: isDiscard && delimiters.length === 1
      ? bytesOf(fc.constantFrom(...plainBytes), {
        maxLength: Math.min(limits.maxLength ?? 40, 40),
      })
      : undefined,
    pieces: [...delimiters, ...delimiters.map((each) => each.subarray(1))],
  };
});

const linesShape = fc.record({
  eol: fc.constantFrom("\n", "\r\n", undefined),
  fatal: fc.constantFrom(true, false, undefined),
  strict: fc.constantFrom(true, false, undefined),
  trailing,
  limits,
}).map(({ limits, ...rest }): Shape<Framing<string>> => {
  const options: LinesOptions = { ...rest, ...limits };
  return {
    name: `lines(${JSON.stringify(options)})`,
    make: (onDiscard) => lines(withReport(options, onDiscard)),
    maxLength: limits.maxLength,
    isText: true,
    message: hardText,
    plainMessage: fc.string({
      unit: fc.constantFrom(..."ab é\ufeff"),
      maxLength: Math.floor((limits.maxLength ?? 60) / 3),
    }),
    pieces: [toArray([0x0d, 0x0a]), toArray([0x0d]), toArray([0x0a])],
  };
});

const lengthPrefixedShape = fc.record({
  fieldSize: fc.constantFrom<(FieldSize | undefined)[]>(
    1,
    2,
    3,
    4,
    6,
    8,
    "varint",
    undefined,
  ),
  fieldFormat: fc.constantFrom("binary", "binary", "decimal", "hex"),
  littleEndian: fc.boolean(),
  fieldOffset: fc.oneof(fc.constant(0), fc.nat(3)),
  adjustment: fc.oneof(fc.constant(0), fc.integer({ min: -6, max: 6 })),
  strip: fc.option(fc.nat(6), { nil: undefined }),
  limits,
}).map(({ limits, littleEndian, fieldFormat, ...rest }): BytesShape => {
  const isBinary = fieldFormat === "binary" || rest.fieldSize === "varint";
  const options: LengthPrefixedOptions = {
    ...rest,
    ...limits,
    ...(!isBinary && { fieldFormat }),
    ...(isBinary && rest.fieldSize !== "varint" && { littleEndian }),
  };
  const { fieldSize = 4, fieldOffset, adjustment, strip } = rest;
  const size = fieldSize === "varint" ? 1 : fieldSize;
  const header = (value: number) => {
    if (!isBinary) {
      const digits = value.toString(fieldFormat === "hex" ? 16 : 10);
      return new TextEncoder().encode(
        "a".repeat(fieldOffset) + digits.padStart(size, "0"),
      );
    }
    const field = Array.from({ length: size }, () => 0);
    field[littleEndian || size === 1 ? 0 : size - 1] = value;
    return toArray([...Array(fieldOffset).fill(0x61), ...field]);
  };
  const isPlain = fieldOffset === 0 && strip === undefined && adjustment <= 0;
  return {
    name: `lengthPrefixed(${JSON.stringify(options)})`,
    make: (onDiscard) => lengthPrefixed(withReport(options, onDiscard)),
    maxLength: limits.maxLength,
    isFilledIn: strip === 0,
    message: hardSendable,
    plainMessage: isPlain
      ? bytesOf(hardByte, {
        maxLength: Math.min(limits.maxLength ?? 99, isBinary ? 99 : 1),
      })
      : undefined,
    pieces: [0, 1, 2, 3, 5, 8, 40, 255].map(header),
  };
});

const netstringsShape = limits.map((options): BytesShape => ({
  name: `netstrings(${JSON.stringify(options)})`,
  make: (onDiscard) => netstrings(withReport(options, onDiscard)),
  maxLength: options.maxLength,
  message: hardSendable,
  plainMessage: bytesOf(hardByte, {
    maxLength: Math.min(options.maxLength ?? 99, 99),
  }),
  pieces: ["1:a,", "0:,", "12:", "1:ab", "02:", "9007199254740993:"].map(
    (each) => new TextEncoder().encode(each),
  ),
}));

const fixedLengthShape = fc.integer({ min: 1, max: 9 }).map((
  length,
): Shape => ({
  name: `fixedLength(${length})`,
  make: () => fixedLength(length),
  maxLength: length,
  message: hardSendable,
  plainMessage: bytesOf(hardByte, { minLength: length, maxLength: length }),
}));

const unframedShape = fc.constant<Shape>({
  name: "unframed()",
  make: () => unframed(),
  maxLength: Infinity,
  message: bytesOf(hardByte, { minLength: 1, maxLength: 24 }),
});

// A custom framing: a length byte before each message.
const ownShape = maxLength.map((maxLength): Shape => ({
  name: `own(${maxLength})`,
  make: () => ({
    decoder: () => ({
      maxFrameLength: maxLength,
      decode(input) {
        const length = 1 + (input.byteAt(0) ?? Infinity);
        if (length === Infinity) return undefined;
        if (input.length < length) return input.need(length);
        input.skip(1);
        return input.take(length - 1);
      },
    }),
    encoder: () => ({
      encode(message: Uint8Array, output) {
        if (message.length >= (maxLength ?? 256)) {
          throw new RangeError("Cannot encode message: too long");
        }
        output.writeByte(message.length);
        output.writeBytes(message);
      },
    }),
  }),
  maxLength,
  message: hardBytes,
  plainMessage: bytesOf(hardByte, {
    maxLength: Math.min((maxLength ?? 99) - 1, 99),
  }),
  pieces: [0, 1, 2, 5].map((length) => toArray([length])),
}));

const contentLengthShape = limits.map((options): BytesShape => ({
  name: `contentLength(${JSON.stringify(options)})`,
  make: (onDiscard) => contentLength(withReport(options, onDiscard)),
  maxLength: options.maxLength,
  message: hardSendable,
  plainMessage: bytesOf(hardByte, {
    maxLength: Math.min(options.maxLength ?? 99, 99),
  }),
  pieces: [
    "Content-Length: 3\r\n\r\n",
    "content-length:40\r\n\r\n",
    "X: y\r\nContent-Length: 0\r\n\r\n",
    "Content-Length",
    "\r\n\r\n",
  ].map((each) => new TextEncoder().encode(each)),
}));

const jsonSequenceShape = limits.map((options): Shape => ({
  name: `jsonSequence(${JSON.stringify(options)})`,
  make: (onDiscard) => jsonSequence(withReport(options, onDiscard)),
  // The length of the bytes: a value may be an object, which has none.
  maxLength: Infinity,
  isText: true,
  message: fc.jsonValue({ maxDepth: 2 })
    .map((value) => JSON.parse(JSON.stringify(value))),
  pieces: ["{}", '"a"', "[1,", "]", "12", " ", "true", '"\\', '{"a":'].map(
    (each) => new TextEncoder().encode(each),
  ),
}));

const sequenceShape = fc.tuple(linesShape, netstringsShape).map((
  [first, later],
): Shape => ({
  name: `sequence(${first.name}, ${later.name})`,
  make: (onDiscard) =>
    sequence(first.make(onDiscard), () => asText(later.make(onDiscard))),
  maxLength: Math.max(
    first.maxLength ?? DEFAULT_MAX_LENGTH_BYTES,
    later.maxLength ?? DEFAULT_MAX_LENGTH_BYTES,
  ),
  isText: true,
  message: fc.constantFrom("", "a", "ab", "0:,", "→"),
  pieces: ["a\n", "\r\n", "1:a,", "0:,", "3:\n\n\n,"].map((each) =>
    new TextEncoder().encode(each)
  ),
}));

const textShape = fc.tuple(
  fc.oneof(
    delimitedShape,
    lengthPrefixedShape.filter(({ isFilledIn }) => isFilledIn !== true),
    netstringsShape,
  ),
  fc.constantFrom(true, false, undefined),
).map(([inner, fatal]): Shape => ({
  ...inner,
  name: `asText(${inner.name}, { fatal: ${fatal} })`,
  make: (onDiscard) => asText(inner.make(onDiscard), { fatal }),
  isText: true,
  isMapped: true,
  message: hardText,
  plainMessage: undefined,
}));

const jsonShape = fc.oneof(delimitedShape, netstringsShape).map((
  inner,
): Shape => ({
  ...inner,
  name: `asJson(${inner.name})`,
  make: (onDiscard) => asJson(inner.make(onDiscard)),
  isText: true,
  isMapped: true,
  // As JSON returns it: -0 becomes 0.
  message: fc.jsonValue({ maxDepth: 2 })
    .map((value) => JSON.parse(JSON.stringify(value))),
  plainMessage: undefined,
}));

const mappedShape = linesShape.map((inner): Shape => ({
  ...inner,
  name: `mapped(${inner.name})`,
  make: (onDiscard) =>
    mapped(inner.make(onDiscard), {
      decode: (line) => ({ line }),
      encode: ({ line }: { line: string }) => line,
    }),
  message: inner.message.map((line) => ({ line })),
  plainMessage: undefined,
}));

const shape: fc.Arbitrary<Shape> = fc.oneof<fc.MaybeWeightedArbitrary<Shape>[]>(
  { weight: 6, arbitrary: delimitedShape },
  { weight: 3, arbitrary: linesShape },
  { weight: 5, arbitrary: lengthPrefixedShape },
  { weight: 2, arbitrary: netstringsShape },
  { weight: 1, arbitrary: fixedLengthShape },
  { weight: 1, arbitrary: unframedShape },
  { weight: 1, arbitrary: ownShape },
  { weight: 2, arbitrary: contentLengthShape },
  { weight: 2, arbitrary: jsonSequenceShape },
  { weight: 1, arbitrary: sequenceShape },
  { weight: 2, arbitrary: textShape },
  { weight: 1, arbitrary: jsonShape },
  { weight: 1, arbitrary: mappedShape },
);

/** Any framing, with messages and a stream of bytes for it. */
export const framingCase: fc.Arbitrary<FramingCase> = shape.chain((shape) => {
  const pieces = shape.pieces ?? [];
  const piece = fc.oneof(
    { weight: 3, arbitrary: hardBytes },
    ...(pieces.length === 0
      ? []
      : [{ weight: 5, arbitrary: fc.constantFrom(...pieces) }]),
    { weight: 1, arbitrary: hardText.map((t) => new TextEncoder().encode(t)) },
  );
  const stream = fc.array(piece, { maxLength: 14 })
    .map((parts) => toArray(parts.flatMap((part) => [...part])));
  const hard = fc.record({
    messages: fc.array(
      shape.maxLength === undefined && shape.plainMessage !== undefined &&
        shape.message === hardSendable
        ? fc.oneof(
          { weight: 30, arbitrary: shape.message },
          { weight: 1, arbitrary: longBytes },
        )
        : shape.message,
      { maxLength: 8 },
    ),
    mustTakeAll: fc.constant(false),
    stream,
  });
  const plain = shape.plainMessage === undefined ? [] : [fc.record({
    messages: fc.array(shape.plainMessage, { maxLength: 8 }),
    mustTakeAll: fc.constant(true),
    stream,
  })];
  return fc.oneof({ weight: 3, arbitrary: hard }, ...plain).map((tried) => ({
    // Both sides of a framing have the same message type.
    make: (onDiscard) => shape.make(onDiscard) as Framing<unknown, unknown>,
    maxLength: shape.maxLength ?? DEFAULT_MAX_LENGTH_BYTES,
    kept: shape.kept ?? 0,
    isText: shape.isText ?? false,
    isMapped: shape.isMapped ?? false,
    isFilledIn: shape.isFilledIn ?? false,
    isUnframed: shape === undefined || shape.name === "unframed()",
    ...tried,
    [fc.toStringMethod]: () =>
      `${shape.name} with messages ${fc.stringify(tried.messages)} and stream ${
        fc.stringify(tried.stream)
      }`,
  }));
});

/** Positions of cuts in a stream, as fractions of its length; see {@linkcode cutInto}. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.oneof(
  fc.constant([]),
  fc.constant(Array.from({ length: 64 }, () => 1)),
  fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 40 }),
);

/** `stream` in chunks with the lengths in `lengths`, repeated; each in its own buffer. */
export function cutInto(
  stream: Uint8Array,
  lengths: readonly number[],
): Uint8Array<ArrayBuffer>[] {
  const isWhole = lengths.every((length) => length === 0);
  if (isWhole) return [new Uint8Array(stream)];
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let start = 0;
  for (let i = 0; start < stream.length; i++) {
    const length = lengths[i % lengths.length] ?? 1;
    chunks.push(stream.slice(start, start + length));
    start += length;
  }
  return chunks;
}
