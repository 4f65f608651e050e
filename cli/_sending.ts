/**
 * The messages to send that a command line names.
 *
 * @module
 */
import { type Bytes, ChunkEncoder, type Sendable } from "../framing.ts";
import type { Flags } from "./_flags.ts";
import {
  chooseFormat,
  type Format,
  FORMATS,
  type InputOptions,
  parseMessage,
} from "./_format.ts";
import type { ChosenFraming } from "./_framing_flags.ts";
import { reasonOf } from "./_reason.ts";
import { UsageError } from "./_values.ts";

/** How messages are shown by default: unchanged, if there is no framing. */
export function outputFormat(flags: Flags, isRaw: boolean): Format {
  return chooseFormat(flags) ?? (isRaw ? "binary" : "text");
}

/** How messages to send are read: by default as they are shown. */
export function inputOptions(flags: Flags, isRaw: boolean): InputOptions {
  const given = flags.choice("input", FORMATS);
  return {
    format: given ?? outputFormat(flags, isRaw),
    hasEscapes: flags.has("escapes"),
    // With only --json, input may be lines that this tool wrote, or plain lines.
    acceptsText: given === undefined,
  };
}

/** The messages of a flag: text, or hexadecimal digits with `--hex`. */
export function messagesOf(
  flags: Flags,
  flag: string,
  options: InputOptions,
): Sendable[] {
  return flags.all(flag).map((text) =>
    parseMessage(`--${flag}`, text, options)
  );
}

/** The encoded messages of a flag; throws if one cannot be sent. */
export function framesOf(
  flag: string,
  messages: readonly Sendable[],
  { framing }: ChosenFraming,
): Bytes[] {
  const encoder = new ChunkEncoder(framing);
  try {
    return messages.map((message) => encoder.encode(message));
  } catch (error) {
    throw new UsageError(`--${flag} does not fit: ${reasonOf(error)}`);
  }
}

const HEARTBEAT_MS = 30_000;

/** A message to send when nothing else is sent. */
export interface Heartbeat {
  readonly interval: number;
  readonly message: Sendable;
}

/** Reads the flags of the heartbeat. */
export function heartbeatOf(
  flags: Flags,
  options: InputOptions,
): Heartbeat | undefined {
  const [message] = messagesOf(flags, "heartbeat", options);
  const interval = flags.duration("heartbeat-interval");
  if (message !== undefined) {
    return { message, interval: interval ?? HEARTBEAT_MS };
  }
  if (interval === undefined) return undefined;
  throw new UsageError("--heartbeat-interval goes with --heartbeat");
}
