/**
 * A recording: lines of JSON, the first about the whole, then one for each message and
 * each end, in the order in which they passed.
 *
 * @module
 */
import { FrameDecoderStream, lines } from "../framing.ts";
import {
  InputError,
  messageOfJson,
  type Origin,
  type Passed,
  toJson,
} from "./_format.ts";

/** What happened, besides messages. */
export type RecordedEvent = "open" | "end" | "reset";

const VERSION = 1;

/** A line about the whole recording. If there are several, the last one counts. */
export function recordingHeader(
  framing: readonly string[],
  started: Date,
): string {
  return `${JSON.stringify({ recording: VERSION, started, framing })}\n`;
}

/** The line of a message. */
export function messageLine(message: Passed): string {
  return `${JSON.stringify(toJson(message))}\n`;
}

/** The line of an event. */
export function eventLine(
  event: RecordedEvent,
  { time, connection, from }: Omit<Passed, "bytes">,
): string {
  return `${
    JSON.stringify({
      time: Math.round(time * 1000) / 1000,
      connection,
      from,
      event,
    })
  }\n`;
}

/** One step of a recorded connection. */
export interface Step {
  readonly time: number;
  readonly from: Origin;
  /** The message; nothing if the side ended. */
  readonly bytes?: Uint8Array;
}

/** A recording, as it is replayed. */
export interface Recording {
  /** The flags of its framing, if it has them. */
  readonly framing: readonly string[] | undefined;
  /** The steps of each connection. */
  readonly connections: ReadonlyMap<number, readonly Step[]>;
}

/** Reads a recording, or what `--json` has printed. */
export async function readRecording(
  name: string,
  bytes: ReadableStream<Uint8Array>,
): Promise<Recording> {
  const connections = new Map<number, Step[]>();
  let framing: string[] | undefined;
  let number = 0;
  const textLines = bytes.pipeThrough(
    new FrameDecoderStream(lines({ maxLength: Infinity })),
  );
  for await (const line of textLines) {
    number++;
    if (line.trim() === "") continue;
    const place = `${name} line ${number}`;
    const value = objectOf(place, line);
    if ("recording" in value) {
      if (value.recording !== VERSION) {
        throw new InputError(
          `${place} is of another version of recordings than ${VERSION}`,
        );
      }
      framing = flagsOf(place, value.framing);
      continue;
    }
    const step = stepOf(place, line, value);
    if (step === undefined) continue;
    const connection = typeof value.connection === "number"
      ? value.connection
      : 1;
    const steps = connections.get(connection);
    if (steps === undefined) connections.set(connection, [step]);
    else steps.push(step);
  }
  if (connections.size === 0) {
    throw new InputError(`${name} has no messages, so there is nothing to do`);
  }
  return { framing, connections };
}

function objectOf(place: string, line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new InputError(`${place} is not JSON`);
  }
  if (typeof value !== "object" || value === null) {
    throw new InputError(`${place} is not a message`);
  }
  return { ...value };
}

function flagsOf(place: string, value: unknown): string[] | undefined {
  if (value === undefined) return undefined;
  const isFlags = Array.isArray(value) &&
    value.every((each) => typeof each === "string");
  if (!isFlags) {
    throw new InputError(`${place} has a framing that is not a list of flags`);
  }
  return value;
}

function stepOf(
  place: string,
  line: string,
  value: Record<string, unknown>,
): Step | undefined {
  if (!("event" in value)) {
    const { time, from, bytes } = messageOfJson(place, line);
    return { time, from, bytes };
  }
  if (value.event !== "end") return undefined;
  return {
    time: typeof value.time === "number" ? value.time : 0,
    from: value.from === "server" ? "server" : "client",
  };
}
