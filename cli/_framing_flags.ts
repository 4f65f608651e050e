/**
 * Flags for framings: each is an option of the library with the same name.
 *
 * @module
 */
import {
  type Bytes,
  contentLength,
  delimited,
  fixedLength,
  type Framing,
  jsonSequence,
  lengthPrefixed,
  type LengthPrefixedOptions,
  lines,
  type LinesOptions,
  mapped,
  netstrings,
  type Sendable,
  unframed,
} from "../framing.ts";
import type { Flags } from "./_flags.ts";
import {
  DISPOSITION,
  EOL,
  KIND_FLAGS,
  ON_MALFORMED,
  OPTION_FLAGS,
  OVERSIZE,
  TAKES,
  TRAILING,
} from "./_framing_flag_table.ts";
import { literal } from "./_literal.ts";
import {
  bytesOf,
  parseCount,
  parseEscapes,
  parseInteger,
  textOf,
  UsageError,
} from "./_values.ts";

/** A framing as the tool uses it, and as a program writes it. */
export interface ChosenFraming {
  /** Gives every message as bytes, so that all can be shown unchanged. */
  readonly framing: Framing<Bytes, Sendable>;
  /** The library's own version, the fastest for counting messages. */
  readonly own: Pick<Framing<unknown, never>, "decoder">;
  /** The call that makes the framing. */
  readonly code: string;
  /** The functions of the library that `code` calls. */
  readonly imports: readonly string[];
  /** The type that a program receives. */
  readonly gives: "text" | "bytes" | "values of JSON";
  /** Whether messages are chunks that say nothing about what was sent. */
  readonly isRaw: boolean;
  /** The flags that choose it. */
  readonly flags: readonly string[];
}

/**
 * Makes the framing that the flags name, by default lines. With `--guess` there is none:
 * bytes are taken as they come.
 */
export function chooseFraming(flags: Flags): ChosenFraming {
  const guesses = flags.has("guess");
  const kinds = KIND_FLAGS.map(({ name }) => name).filter((name) =>
    flags.has(name)
  );
  const [kind = guesses ? "raw" : "lines", another] = kinds;
  if (guesses && kind !== "raw") {
    throw new UsageError(`--guess goes without a framing, not with --${kind}`);
  }
  if (another !== undefined) {
    throw new UsageError(
      `--${kind} and --${another} are two framings: give one`,
    );
  }
  const options = OPTION_FLAGS.map(({ name }) => name).filter((name) =>
    flags.has(name)
  );
  const foreign = options.find((name) => !TAKES[kind]?.includes(name));
  if (foreign !== undefined) {
    const kindsOfIt = Object.keys(TAKES).filter((each) =>
      TAKES[each]?.includes(foreign)
    );
    throw new UsageError(
      `--${foreign} does not go with --${kind}, only with ${
        kindsOfIt.map((each) => `--${each}`).join(", ")
      }`,
    );
  }
  const given = [kind, ...options].flatMap((name) =>
    [...KIND_FLAGS, ...OPTION_FLAGS].find((flag) => flag.name === name)
        ?.value === undefined
      ? [`--${name}`]
      : flags.all(name).flatMap((value) => [`--${name}`, value])
  );
  try {
    const made = makeFraming(kind, flags);
    return { own: made.framing, ...made, isRaw: kind === "raw", flags: given };
  } catch (error) {
    // The library refuses options that it cannot honour, with a message.
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message);
    }
    throw error;
  }
}

type MadeFraming =
  & Omit<ChosenFraming, "flags" | "isRaw" | "own">
  & Partial<Pick<ChosenFraming, "own">>;

function makeFraming(
  kind: string,
  flags: Flags,
): MadeFraming {
  const limits = {
    maxLength: flags.size("max-length"),
    oversize: flags.choice("oversize", OVERSIZE),
  };
  const trailing = flags.choice("trailing", TRAILING);
  switch (kind) {
    case "delimiter": {
      const delimiters = flags.all("delimiter").map((text) =>
        parseEscapes("--delimiter", text)
      );
      const [first = ""] = delimiters;
      const delimiter = delimiters.length === 1 ? first : delimiters;
      const disposition = flags.choice("disposition", DISPOSITION);
      const options = { disposition, trailing, ...limits };
      return {
        framing: delimited(delimiter, options),
        code: `delimited(${callOf(delimiter, options)})`,
        imports: ["delimited"],
        gives: "bytes",
      };
    }
    case "length":
    case "varint": {
      const options: LengthPrefixedOptions = kind === "varint"
        ? { fieldSize: "varint", ...limits }
        : { ...parseLength(flags.text("length") ?? ""), ...limits };
      return {
        framing: lengthPrefixed(options),
        code: `lengthPrefixed(${callOf(options)})`,
        imports: ["lengthPrefixed"],
        gives: "bytes",
      };
    }
    case "netstrings":
      return {
        framing: netstrings(limits),
        code: `netstrings(${callOf(limits)})`,
        imports: ["netstrings"],
        gives: "bytes",
      };
    case "content-length": {
      const options = {
        ...limits,
        maxHeaderLength: flags.size("max-header-length"),
      };
      return {
        framing: contentLength(options),
        code: `contentLength(${callOf(options)})`,
        imports: ["contentLength"],
        gives: "bytes",
      };
    }
    case "json-sequence":
      return {
        own: jsonSequence(limits),
        framing: mapped<unknown, unknown, Bytes, Sendable>(
          jsonSequence(limits),
          {
            decode: (value) => bytesOf(JSON.stringify(value)),
            encode: parseJson,
          },
        ),
        code: `jsonSequence(${callOf(limits)})`,
        imports: ["jsonSequence"],
        gives: "values of JSON",
      };
    case "fixed": {
      const length = flags.size("fixed") ?? 1;
      return {
        framing: fixedLength(length),
        code: `fixedLength(${callOf(length)})`,
        imports: ["fixedLength"],
        gives: "bytes",
      };
    }
    case "raw":
      return {
        framing: unframed(),
        code: "unframed()",
        imports: ["unframed"],
        gives: "bytes",
      };
    default: {
      const eol = flags.choice("eol", EOL);
      const options: LinesOptions = {
        eol: eol && (eol === "lf" ? "\n" : "\r\n"),
        fatal: flags.on("fatal"),
        strict: flags.on("strict"),
        onMalformed: flags.choice("on-malformed", ON_MALFORMED),
        trailing,
        ...limits,
      };
      return {
        framing: linesOfBytes(options),
        own: lines(options),
        code: `lines(${callOf(options)})`,
        imports: ["lines"],
        gives: "text",
      };
    }
  }
}

/** The arguments of a call, without options that are left out. */
function callOf(...args: unknown[]): string {
  return args.map(literal).filter((text) => text !== "{}").join(", ");
}

/**
 * `lines()`, but with bytes: invalid UTF-8 would become U+FFFD, and this tool must show
 * what a peer really sends.
 */
function linesOfBytes(options: LinesOptions): Framing<Bytes, Sendable> {
  const { eol, fatal, strict, onMalformed: _, ...others } = options;
  const text = mapped<string, string, Bytes, Sendable>(lines(options), {
    decode: bytesOf,
    // Bytes that are not text cannot be a line; the encoder of lines() says so.
    encode: (message) =>
      typeof message === "string" ? message : decodeText(message),
  });
  if (fatal || strict) return text;
  const ends = eol === "\r\n" ? ["\r\n", "\n"] : ["\n", "\r\n"];
  return { ...text, decoder: delimited(ends, others).decoder };
}

function decodeText(bytes: Uint8Array): string {
  const text = textOf(bytes);
  if (text !== undefined) return text;
  throw new TypeError(
    `Cannot encode line of ${bytes.length} bytes: it is not UTF-8`,
  );
}

function parseJson(message: Sendable): unknown {
  const text = typeof message === "string" ? message : textOf(message);
  try {
    return JSON.parse(text ?? "");
  } catch {
    throw new TypeError(`Cannot encode message: it is not JSON`);
  }
}

const SIZES: readonly LengthPrefixedOptions["fieldSize"][] = [
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
];

/** Reads `4,le,offset=2,adjust=-4,strip=0`. */
function parseLength(text: string): LengthPrefixedOptions {
  const options: LengthPrefixedOptions = {};
  for (const [index, part] of text.split(",").entries()) {
    const [name = "", value = ""] = part.split("=", 2);
    if (index === 0 && part === "varint") options.fieldSize = "varint";
    else if (index === 0) {
      const size = SIZES.find((each) => `${each}` === part);
      if (size === undefined) {
        throw new UsageError(
          `--length must begin with a size from 1 to 8 or varint, such as 4,le: current value is "${text}"`,
        );
      }
      options.fieldSize = size;
    } else if (part === "le") options.littleEndian = true;
    else if (part === "decimal" || part === "hex") options.fieldFormat = part;
    else if (name === "max") {
      options.maxFieldBytes = parseCount("--length max", value);
    } else if (name === "offset") {
      options.fieldOffset = parseCount("--length offset", value, 0);
    } else if (name === "strip") {
      options.strip = parseCount("--length strip", value, 0);
    } else if (name === "adjust") {
      options.adjustment = parseInteger("--length adjust", value);
    } else if (part !== "be") {
      throw new UsageError(
        `--length knows le, be, decimal, hex, max=N, offset=N, adjust=N and strip=N after its size: current value is "${text}"`,
      );
    }
  }
  return options;
}
