/**
 * What a command line says is to be sent.
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

/** How messages are shown, if no flag says so: as they are, if there is no framing. */
export function outputFormat(flags: Flags, isRaw: boolean): Format {
  return chooseFormat(flags) ?? (isRaw ? "binary" : "text");
}

/** How messages to send are read: by default as they are shown. */
export function inputOptions(flags: Flags, isRaw: boolean): InputOptions {
  const given = flags.choice("input", FORMATS);
  return {
    format: given ?? outputFormat(flags, isRaw),
    hasEscapes: flags.has("escapes"),
    // With --json alone, both what this tool has written and plain lines are sent.
    acceptsText: given === undefined,
  };
}

/** The messages that a flag gives: text, or hexadecimal digits with `--hex`. */
export function messagesOf(
  flags: Flags,
  flag: string,
  options: InputOptions,
): Sendable[] {
  return flags.all(flag).map((text) =>
    parseMessage(`--${flag}`, text, options)
  );
}

/** The messages of a flag as they go out; throws if one cannot. */
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

/** What is sent when nothing else is. */
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
