/**
 * Pieces of the programs that `--print-code` prints.
 *
 * @module
 */
import type { Sendable } from "../framing.ts";
import type { CodeOption } from "./_connection_flags.ts";
import type { Format, InputOptions } from "./_format.ts";
import type { ChosenFraming } from "./_framing_flags.ts";
import type { Flags } from "./_flags.ts";
import { literal } from "./_literal.ts";
import type { Heartbeat } from "./_sending.ts";
import { textOf } from "./_values.ts";

/** A framing as a program writes it, and the type that it gives there. */
export interface FramingCode {
  readonly code: string;
  readonly imports: readonly string[];
  readonly gives: ChosenFraming["gives"];
}

/** The framing as a program writes it: of text, if only text is shown. */
export function framingCode(
  { code, imports, gives }: ChosenFraming,
  format: Format,
): FramingCode {
  if (gives !== "bytes" || format !== "text") return { code, imports, gives };
  return {
    code: `asText(${code})`,
    imports: ["asText", ...imports],
    gives: "text",
  };
}

/** A whole program: `body` with the imports and the functions that it needs. */
export async function program(
  imports: readonly string[],
  body: string,
  { node = [] }: { readonly node?: readonly string[] } = {},
): Promise<string> {
  const specifier = await specifierOf();
  const importLine = (names: readonly string[], door: string) =>
    `import { ${sortedNames(names).join(", ")} } from "${specifier}${door}";\n`;
  const helpers = HELPERS.filter(([name]) => body.includes(`${name}(`))
    .map(([, code]) => code);
  return [
    importLine(imports, ""),
    ...(node.length === 0 ? [] : [importLine(node, "/node")]),
    "\n",
    body,
    ...helpers,
  ].join("");
}

/** The program for things that only the tool can do: it runs the tool. */
export async function toolProgram(
  why: string,
  verb: string,
  flags: Flags,
  args: readonly string[],
): Promise<string> {
  const words = [verb, ...args, ...flags.words("print-code")];
  return `// ${why} is a part of the tool, not of the library. So this runs the tool.
import { main } from "${await specifierOf()}/cli";

Deno.exit(await main(${literal(words)}));
`;
}

async function specifierOf(): Promise<string> {
  const { default: { name, version } } = await import("../deno.json", {
    with: { type: "json" },
  });
  return `jsr:${name}@^${version}`;
}

function sortedNames(names: readonly string[]): string[] {
  const plainName = (each: string) => each.replace("type ", "");
  return [...new Set(names)].sort((a, b) =>
    plainName(a) < plainName(b) ? -1 : 1
  );
}

/** Functions for the end of a program that calls them, by their names. */
const HELPERS: readonly (readonly [name: string, code: string])[] = [
  [
    "until",
    `
/** Waits until a time of \`performance.now()\`. */
async function until(due: number) {
  const left = due - performance.now();
  if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
}
`,
  ],
  [
    "randomFrom",
    `
/** Numbers from 0 to 1, the same for the same seed (splitmix32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
`,
  ],
  [
    "toJson",
    `
/** A message as a line of JSON: as text, or as digits if it is not UTF-8. */
function toJson(from: string, bytes: Uint8Array, connection?: number): string {
  const message = {
    time: Math.round(performance.now() * 1000) / 1000,
    connection,
    from,
    length: bytes.length,
  };
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return JSON.stringify({ ...message, text: utf8.decode(bytes) });
  } catch {
    return JSON.stringify({ ...message, hex: bytes.toHex() });
  }
}
`,
  ],
  [
    "unescaped",
    String.raw`
/** The bytes of a text in which \n, \r, \t, \0, \\ and \xHH are escapes. */
function unescaped(text: string): Uint8Array<ArrayBuffer> {
  const names: Record<string, string> = {
    "\\n": "\n",
    "\\r": "\r",
    "\\t": "\t",
    "\\0": "\0",
    "\\\\": "\\",
  };
  const bytes: number[] = [];
  for (const [part] of text.matchAll(/\\x[0-9a-fA-F]{2}|\\[^]?|[^\\]+/g)) {
    if (/^\\x../.test(part)) {
      bytes.push(Number.parseInt(part.slice(2), 16));
      continue;
    }
    const plain = part.startsWith("\\") ? names[part] : part;
    if (plain === undefined) throw new Error("Unknown escape " + part);
    bytes.push(...new TextEncoder().encode(plain));
  }
  return new Uint8Array(bytes);
}
`,
  ],
  [
    "messagesOf",
    `
/** What a client has sent, of lines of JSON: objects with text or hex, or plain strings. */
async function* messagesOf(lines: AsyncIterable<string>) {
  for await (const line of lines) {
    const value = JSON.parse(line);
    const { from, text = value, hex } = value;
    if (from === "server") continue;
    yield hex === undefined ? new TextEncoder().encode(text) : Uint8Array.fromHex(hex);
  }
}
`,
  ],
  [
    "messagesOrText",
    `
/** The messages of lines of JSON that the tool has written; other lines are text. */
async function* messagesOrText(lines: AsyncIterable<string>) {
  const names = ["time", "connection", "from", "length", "text", "hex"];
  for await (const line of lines) {
    let message: Record<string, unknown> = {};
    try {
      if (line.startsWith("{")) message = JSON.parse(line);
    } catch {
      // It is text.
    }
    const isMessage = Object.keys(message).every((name) => names.includes(name));
    const { from, text, hex } = message;
    if (isMessage && from === "server") continue;
    yield isMessage && typeof hex === "string"
      ? Uint8Array.fromHex(hex)
      : new TextEncoder().encode(isMessage && typeof text === "string" ? text : line);
  }
}
`,
  ],
];

/** The options of a call, one per line. */
export function optionLines(
  options: readonly CodeOption[],
  indent = "  ",
): string {
  return options.map(({ name, code }) =>
    `${indent}${name === code ? name : `${name}: ${code}`},\n`
  ).join("");
}

/** A received message, as an expression of text. */
export function textCode({ gives }: FramingCode, message: string): string {
  return gives === "values of JSON" ? `JSON.stringify(${message})` : message;
}

/** A received message, as an expression of bytes. */
export function bytesCode(framing: FramingCode, message: string): string {
  return framing.gives === "bytes"
    ? message
    : `new TextEncoder().encode(${textCode(framing, message)})`;
}

/** Who has sent a message, and on which connection, as expressions. */
export interface OriginCode {
  readonly from: string;
  readonly connection?: string;
}

/** The statement that shows `message`, received by `framing`. */
export function showCode(
  framing: FramingCode,
  format: Format,
  message: string,
  { from, connection }: OriginCode,
): string {
  const bytes = bytesCode(framing, message);
  switch (format) {
    case "text":
      return `console.log(${textCode(framing, message)});`;
    case "hex":
      return `console.log(${bytes}.toHex());`;
    case "json": {
      const args = [
        from,
        bytes,
        ...(connection === undefined ? [] : [connection]),
      ];
      return `console.log(toJson(${args.join(", ")}));`;
    }
    case "binary":
      return `await output.write(${bytes});`;
  }
}

/** The code that {@linkcode showCode} needs before it. */
export function outputCode(format: Format): string {
  return format === "binary"
    ? "const output = Deno.stdout.writable.getWriter();\n"
    : "";
}

/** How a program gets the messages that it sends. */
export interface InputCode {
  /** The iterable of messages. */
  readonly source: string;
  /** The expression for each `message`. */
  readonly message: string;
  readonly givesBytes: boolean;
  readonly imports: readonly string[];
}

/** The messages from flags. */
export function messagesCode(
  messages: readonly Sendable[],
  { gives }: FramingCode,
): InputCode {
  const values = messages.map((message) =>
    gives !== "bytes" && typeof message !== "string"
      ? textOf(message) ?? message
      : message
  );
  return {
    source: literal(values),
    message: "message",
    givesBytes: false,
    imports: [],
  };
}

/** The messages from standard input. */
export function inputCode(
  { format, hasEscapes, acceptsText = false }: InputOptions,
  isRaw: boolean,
): InputCode {
  if (format === "binary") {
    return {
      source: isRaw
        ? "Deno.stdin.readable"
        : "[await new Response(Deno.stdin.readable).bytes()]",
      message: "message",
      givesBytes: true,
      imports: [],
    };
  }
  const lines =
    `Deno.stdin.readable.pipeThrough(\n  new FrameDecoderStream(lines({ maxLength: Infinity })),\n)`;
  const imports = ["FrameDecoderStream", "lines"];
  if (format === "json") {
    const read = acceptsText ? "messagesOrText" : "messagesOf";
    return {
      source: `${read}(${lines})`,
      message: "message",
      givesBytes: true,
      imports,
    };
  }
  const isPlain = format === "text" && !hasEscapes;
  return {
    source: lines,
    message: isPlain
      ? "message"
      : format === "hex"
      ? "Uint8Array.fromHex(message)"
      : "unescaped(message)",
    givesBytes: !isPlain,
    imports,
  };
}

/** Each message to send, in the type that the framing takes. */
export function sentCode(
  { gives }: FramingCode,
  { message, givesBytes }: InputCode,
): string {
  if (gives === "bytes") return message;
  const text = givesBytes ? `new TextDecoder().decode(${message})` : message;
  return gives === "values of JSON" ? `JSON.parse(${text})` : text;
}

/** One known message, in the type that the framing takes. */
export function valueCode({ gives }: FramingCode, message: Sendable): string {
  const text = typeof message === "string" ? message : textOf(message);
  if (gives === "bytes" || text === undefined) return literal(message);
  return gives === "text" ? literal(text) : literal(JSON.parse(text));
}

/** The option for a heartbeat, if there is one. */
export function heartbeatCode(
  framing: FramingCode,
  heartbeat: Heartbeat | undefined,
): CodeOption[] {
  if (heartbeat === undefined) return [];
  const { interval, message } = heartbeat;
  const code = `{ interval: ${interval}, message: ${
    valueCode(framing, message)
  } }`;
  return [{ name: "heartbeat", code }];
}

/** Indents the lines of some code. */
export function indented(code: string): string {
  return code.replace(/^(?=.)/gm, "  ");
}
