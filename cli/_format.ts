/**
 * How messages are shown, and read back.
 *
 * @module
 */
import { styleText } from "node:util";
import type { Bytes, Sendable } from "../framing.ts";
import { CONTROLS, escapeControls, hexEscape } from "./_escapes.ts";
import type { FlagGroup, Flags } from "./_flags.ts";
import {
  bytesOf,
  parseEscapes,
  parseHex,
  textOf,
  UsageError,
} from "./_values.ts";

/** How messages are written and read, one a line except for `"binary"`. */
export type Format = "text" | "hex" | "json" | "binary";

/** Who sent a message: the side that connected, or the one that listened. */
export type Origin = "client" | "server";

/** A message that passed. */
export interface Passed {
  /** When, in milliseconds since the command began. */
  readonly time: number;
  /** The number of its connection, if there are several. */
  readonly connection?: number | undefined;
  readonly from: Origin;
  readonly bytes: Uint8Array;
}

/** All formats. */
export const FORMATS = ["text", "hex", "json", "binary"] as const;

/** The flags that say how messages are shown. */
export const FORMAT_FLAGS: FlagGroup = {
  title: "Messages",
  flags: [
    { name: "text", help: "A message is a line of text (the default)" },
    { name: "hex", help: "A message is a line of hexadecimal digits" },
    { name: "json", help: "A message is a line of JSON, with time and length" },
    {
      name: "binary",
      help:
        "Standard input is one message; messages are written as they are, with nothing between them (the default with --raw)",
    },
    {
      name: "input",
      value: "FORMAT",
      choices: FORMATS,
      help: "How standard input is read, if not as messages are shown",
    },
    {
      name: "escapes",
      short: "e",
      help: "Read \\n, \\r, \\t, \\0, \\\\ and \\xHH in text that is sent",
    },
  ],
};

/** The format that the flags name, if they do. */
export function chooseFormat(flags: Flags): Format | undefined {
  const [format, another] = FORMATS.filter((name) => flags.has(name));
  if (another !== undefined) {
    throw new UsageError(
      `--${format} and --${another} are two formats: give one`,
    );
  }
  return format;
}

/** A message in a line of JSON. */
export interface MessageJson {
  readonly time: number;
  readonly connection?: number;
  readonly from: Origin;
  readonly length: number;
  /** If it is UTF-8. */
  readonly text?: string;
  /** If it is not. */
  readonly hex?: string;
}

/** A message as JSON: as text if it is UTF-8, otherwise as hexadecimal digits. */
export function toJson({ time, connection, from, bytes }: Passed): MessageJson {
  const text = textOf(bytes);
  return {
    time: Math.round(time * 1000) / 1000,
    ...(connection !== undefined && { connection }),
    from,
    length: bytes.length,
    ...(text === undefined ? { hex: bytes.toHex() } : { text }),
  };
}

/**
 * A message for another program: nothing is added but the newline of its format. For a
 * terminal, control characters are escaped.
 */
export function plain(
  message: Passed,
  format: Format,
  isForTerminal: boolean,
): Uint8Array {
  switch (format) {
    case "json":
      return bytesOf(`${jsonLine(message)}\n`);
    case "hex":
      return bytesOf(`${message.bytes.toHex()}\n`);
    case "text": {
      if (isForTerminal) return bytesOf(`${visible(message.bytes)}\n`);
      const line = new Uint8Array(message.bytes.length + 1);
      line.set(message.bytes);
      line[message.bytes.length] = 0x0a;
      return line;
    }
    case "binary":
      return isForTerminal
        ? bytesOf(visible(message.bytes, true))
        : message.bytes;
  }
}

/** Escapes DEL, C1 and direction-reversing characters, which JSON leaves unchanged. */
function jsonLine(message: Passed): string {
  return JSON.stringify(toJson(message)).replace(
    CONTROLS,
    (character) =>
      `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Bytes as text that cannot control a terminal; with `keepsLines`, lines stay lines. */
export function visible(bytes: Uint8Array, keepsLines = false): string {
  const text = textOf(bytes);
  if (text === undefined) {
    return Array.from(
      bytes,
      (byte) =>
        byte < 0x80
          ? escapeControls(String.fromCharCode(byte), keepsLines)
          : hexEscape(byte),
    ).join("");
  }
  return escapeControls(text, keepsLines);
}

/** Rows of 16 bytes, each with its offset, and as ASCII. */
export function hexDump(bytes: Uint8Array): string[] {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const digits = Array.from(
      row,
      (byte) => byte.toString(16).padStart(2, "0"),
    );
    const left = digits.slice(0, 8).join(" ").padEnd(23);
    const right = digits.slice(8).join(" ").padEnd(23);
    const ascii = Array.from(
      row,
      (byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".",
    ).join("");
    rows.push(
      `${at.toString(16).padStart(8, "0")}  ${left}  ${right}  |${ascii}|`,
    );
  }
  return rows;
}

/** A message for a person: who sent it, how long after the last, its length. */
export interface Annotated extends Passed {
  /** Milliseconds since the message before it; nothing for the first. */
  readonly sinceLast?: number | undefined;
}

// The rest of a longer message is counted, not shown: a terminal is not a file.
const MAX_SHOWN_BYTES = 4096;

/**
 * How many of the first `most` bytes are whole characters, if all are UTF-8. Half a
 * character would make the others look as if they were none.
 */
function lengthOfText(bytes: Uint8Array, most: number): number {
  let end = most;
  while (end > most - 4 && isWithinCharacter(bytes[end])) end--;
  return end;
}

/** Whether a byte is one after the first of its character. */
function isWithinCharacter(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x80 && byte < 0xc0;
}

/** A message for a person, in one line; with `"hex"`, in one more for every 16 bytes. */
export function annotated(
  message: Annotated,
  format: Format,
  hasColor: boolean,
): string {
  const { connection, from, sinceLast, bytes } = message;
  const paint = (style: "dim" | "cyan" | "green", text: string) =>
    hasColor ? styleText(style, text, { validateStream: false }) : text;
  if (format === "json") return jsonLine(message);
  const shown = bytes.subarray(
    0,
    format === "hex" ? MAX_SHOWN_BYTES : lengthOfText(bytes, MAX_SHOWN_BYTES),
  );
  const rest = bytes.length - shown.length;
  const more = rest > 0 ? paint("dim", ` … and ${rest} bytes`) : "";
  const arrow = from === "client" ? paint("green", ">") : paint("cyan", "<");
  const head = [
    ...(connection === undefined ? [] : [paint("dim", `#${connection}`)]),
    arrow,
    paint(
      "dim",
      `${
        (sinceLast === undefined ? "" : `+${duration(sinceLast)}`).padStart(8)
      } ${`${bytes.length} B`.padStart(7)} `,
    ),
  ].join(" ");
  if (format !== "hex") return `${head} ${visible(shown)}${more}`;
  return [
    head,
    ...hexDump(shown).map((row) => `  ${row}`),
    ...(more ? [more] : []),
  ]
    .join("\n");
}

/** A time for a person, in three digits. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1) return `${Math.round(milliseconds * 1000)} µs`;
  if (milliseconds < 1000) return `${digits(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${digits(milliseconds / 1000)} s`;
  return `${digits(milliseconds / 60_000)} min`;
}

function digits(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** A number of bytes for a person. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : digits(value)} ${units[unit]}`;
}

/** How text and bytes to send are read. */
export interface InputOptions {
  readonly format: Format;
  readonly hasEscapes: boolean;
  /** Whether a line that is not a message as JSON is one as text. */
  readonly acceptsText?: boolean;
}

/** Reads a message from a flag or a line, which `name` names. */
export function parseMessage(
  name: string,
  text: string,
  { format, hasEscapes }: InputOptions,
): Sendable {
  if (format === "hex") {
    const bytes = parseHex(text);
    if (bytes === undefined) {
      throw new UsageError(
        `${name} must be hexadecimal digits, two for each byte: current value is "${text}"`,
      );
    }
    return bytes;
  }
  return hasEscapes ? parseEscapes(name, text) : text;
}

/** The error of an input line that is not a message. */
export class InputError extends Error {
  override name = "InputError";
}

/** Reads messages as they come on standard input. */
export async function* readMessages(
  input: ReadableStream<Uint8Array>,
  options: InputOptions & { readonly isRaw: boolean },
): AsyncGenerator<Sendable> {
  const { format, isRaw } = options;
  if (format === "binary") {
    if (isRaw) return yield* input;
    const whole = new Uint8Array(
      await new Response(
        new Blob([
          ...await Array.fromAsync(input, (chunk) => new Uint8Array(chunk)),
        ]),
      ).arrayBuffer(),
    );
    if (whole.length > 0) yield whole;
    return;
  }
  // The table of verbs imports this file too, and help needs no library.
  const { delimited, FrameDecoderStream } = await import("../framing.ts");
  const lines = input.pipeThrough(
    new FrameDecoderStream(delimited(["\n", "\r\n"], { maxLength: Infinity })),
  );
  let number = 0;
  for await (const line of lines) {
    const message = readLine(
      `Line ${++number} of standard input`,
      line,
      options,
    );
    if (message !== undefined) yield message;
  }
}

function readLine(
  name: string,
  line: Bytes,
  options: InputOptions,
): Sendable | undefined {
  const text = textOf(line);
  if (
    options.format === "text" && (text === undefined || !options.hasEscapes)
  ) {
    return line;
  }
  if (text === undefined) throw new InputError(`${name} is not UTF-8`);
  if (options.format !== "json") {
    try {
      return parseMessage(name, text, options);
    } catch (error) {
      // On a command line it would be wrong usage; in a file it is wrong input.
      throw error instanceof UsageError ? new InputError(error.message) : error;
    }
  }
  if (options.acceptsText && !looksLikeMessage(text)) return text;
  const message = messageOfJson(name, text);
  return message.from === "client" ? message.bytes : undefined;
}

const FIELDS = ["time", "connection", "from", "length", "text", "hex"];

/** Whether this tool may have written a line, which is not the JSON of a protocol. */
function looksLikeMessage(line: string): boolean {
  if (!line.startsWith("{")) return false;
  try {
    const fields = Object.keys(JSON.parse(line));
    return fields.some((name) => name === "text" || name === "hex") &&
      fields.every((name) => FIELDS.includes(name));
  } catch {
    return false;
  }
}

/** A line of a recording, or of input that is JSON. */
export function messageOfJson(
  name: string,
  line: string,
): Passed & { readonly bytes: Bytes } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new InputError(`${name} is not JSON`);
  }
  if (typeof value === "string") value = { text: value };
  if (typeof value !== "object" || value === null) {
    throw new InputError(
      `${name} must be a string or an object with text or hex`,
    );
  }
  const field = (key: string): unknown => Reflect.get(Object(value), key);
  const text = field("text");
  const hex = field("hex");
  const bytes = typeof text === "string"
    ? bytesOf(text)
    : typeof hex === "string"
    ? parseHex(hex)
    : undefined;
  if (bytes === undefined) {
    throw new InputError(`${name} must have text, or hex with its digits`);
  }
  const time = field("time");
  const connection = field("connection");
  const from = field("from") === "server" ? "server" : "client";
  return {
    bytes,
    from,
    time: typeof time === "number" ? time : 0,
    ...(typeof connection === "number" && { connection }),
  };
}
