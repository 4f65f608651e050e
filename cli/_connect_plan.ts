import type { Connection } from "../connection.ts";
import type { Bytes, Sendable } from "../framing.ts";
import type { Command } from "./_command.ts";
import { type Format, type InputOptions, readMessages } from "./_format.ts";
import { chooseFraming, type ChosenFraming } from "./_framing_flags.ts";
import {
  framesOf,
  type Heartbeat,
  heartbeatOf,
  inputOptions,
  messagesOf,
  outputFormat,
} from "./_sending.ts";
import type { Shell } from "./_shell.ts";

/** The checked command line. */
export interface ConnectPlan {
  readonly chosen: ChosenFraming;
  readonly format: Format;
  readonly input: InputOptions;
  /** What to send instead of standard input. */
  readonly messages: readonly Sendable[];
  readonly heartbeat: Heartbeat | undefined;
  readonly count: number | undefined;
  readonly wait: number | undefined;
  readonly guesses: boolean;
  readonly keepsHistory: boolean;
}

/** Reads and checks the flags of `connect`. */
export function planConnect({ flags }: Command): ConnectPlan {
  const chosen = chooseFraming(flags);
  const input = inputOptions(flags, chosen.isRaw);
  const messages = messagesOf(flags, "message", input);
  framesOf("message", messages, chosen);
  return {
    chosen,
    format: outputFormat(flags, chosen.isRaw),
    input,
    messages,
    heartbeat: heartbeatOf(flags, input),
    count: flags.count("count"),
    wait: flags.duration("wait"),
    guesses: flags.has("guess"),
    keepsHistory: !flags.has("no-history"),
  };
}

/** Sends the input, and then half-closes, unless `staysOpen`. */
export async function sendInput(
  connection: Connection<Bytes, Sendable>,
  { messages, input, chosen, wait }: ConnectPlan,
  shell: Shell,
): Promise<void> {
  const source = messages.length > 0
    ? messages
    : readMessages(shell.input, { ...input, isRaw: chosen.isRaw });
  for await (const message of source) await connection.send(message);
  if (wait === undefined) await connection.closeWrite();
  else await connection.flush();
}
