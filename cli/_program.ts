/**
 * Pieces of the programs that `--print-code` prints.
 *
 * @module
 */
import type { Sendable } from "../framing.ts";
import type { CodeOption } from "./_connection_flags.ts";
import type { Format, InputOptions } from "./_format.ts";
import type { ChosenFraming } from "./_framing_flags.ts";
import { literal } from "./_literal.ts";
import type { Heartbeat } from "./_sending.ts";
import { textOf, UsageError } from "./_values.ts";

/** A framing as a program has it, and what it gives there. */
export interface FramingCode {
  readonly code: string;
  readonly imports: readonly string[];
  readonly gives: ChosenFraming["gives"];
}

/** The framing as a program has it: of text, if text is to be shown. */
export function framingCode(
  { code, imports, gives }: ChosenFraming,
  format: Format,
): FramingCode {
  if (gives !== "bytes" || format === "hex" || format === "binary") {
    return { code, imports, gives };
  }
  return {
    code: `asText(${code})`,
    imports: ["asText", ...imports],
    gives: "text",
  };
}

/** A whole program: `body` with the imports that it needs. */
export async function program(
  imports: readonly string[],
  body: string,
): Promise<string> {
  const { default: { name, version } } = await import("../deno.json", {
    with: { type: "json" },
  });
  const plainName = (each: string) => each.replace("type ", "");
  const names = [...new Set(imports)].sort((a, b) =>
    plainName(a) < plainName(b) ? -1 : 1
  );
  return `import { ${
    names.join(", ")
  } } from "jsr:${name}@^${version}";\n\n${body}`;
}

/** The options of a call, a line each. */
export function optionLines(
  options: readonly CodeOption[],
  indent = "  ",
): string {
  return options.map(({ name, code }) =>
    `${indent}${name === code ? name : `${name}: ${code}`},\n`
  ).join("");
}

/** A message that was received, as an expression of text. */
export function textCode({ gives }: FramingCode, message: string): string {
  return gives === "values of JSON" ? `JSON.stringify(${message})` : message;
}

/** The statement that shows `message`, received by `framing`. */
export function showCode(
  framing: FramingCode,
  format: Format,
  message: string,
): string {
  const text = textCode(framing, message);
  const bytes = framing.gives === "bytes"
    ? message
    : `new TextEncoder().encode(${text})`;
  switch (format) {
    case "text":
      return `console.log(${text});`;
    case "hex":
      return `console.log(${bytes}.toHex());`;
    case "json":
      return `console.log(JSON.stringify({ length: ${bytes}.length, text: ${text} }));`;
    case "binary":
      return `await output.write(${bytes});`;
  }
}

/** What must stand before {@linkcode showCode}. */
export function outputCode(format: Format): string {
  return format === "binary"
    ? "const output = Deno.stdout.writable.getWriter();\n"
    : "";
}

/** How a program gets the messages that it sends. */
export interface InputCode {
  /** What is iterated over. */
  readonly source: string;
  /** What each `message` of it becomes. */
  readonly message: string;
  readonly givesBytes: boolean;
  readonly imports: readonly string[];
}

/** The messages that flags give. */
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

/** The messages on standard input. */
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
  if (hasEscapes) {
    throw new UsageError(
      "--print-code knows --escapes in flags alone, not on standard input",
    );
  }
  const message = format === "hex"
    ? "Uint8Array.fromHex(message)"
    : format === "json" && !acceptsText
    ? "JSON.parse(message).text"
    : "message";
  return {
    source:
      `Deno.stdin.readable.pipeThrough(\n  new FrameDecoderStream(lines({ maxLength: Infinity })),\n)`,
    message,
    givesBytes: format === "hex",
    imports: ["FrameDecoderStream", "lines"],
  };
}

/** What is sent of each message, in the type that the framing takes. */
export function sentCode(
  { gives }: FramingCode,
  { message, givesBytes }: InputCode,
): string {
  if (gives === "bytes") return message;
  const text = givesBytes ? `new TextDecoder().decode(${message})` : message;
  return gives === "values of JSON" ? `JSON.parse(${text})` : text;
}

/** One message that is known, in the type that the framing takes. */
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
