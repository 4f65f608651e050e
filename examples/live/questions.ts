/**
 * The questions that the page may send to its server, and their validation.
 *
 * @module
 */
import type { FramingName, FramingQuestion } from "./framings.ts";
import type { PipeChange, PipeSettings } from "./pipe.ts";
import type { Frames } from "./reads.ts";
import type { ReceiverSettings } from "./receiver.ts";
import type { SenderSettings } from "./sender.ts";
import type { Call, CallName } from "./sockets.ts";

/** A question. Each has one answer. */
export type Question =
  /** Lesson 1: does a call, tells of all sockets, or closes them and starts over. */
  | { name: "call"; call: Call }
  | { name: "sockets" }
  | { name: "reset" }
  /** Lesson 2: starts a run, changes it, and ends it in one of two ways. */
  | { name: "start"; settings: PipeSettings }
  | { name: "change"; change: PipeChange }
  | { name: "drain" }
  | { name: "stop" }
  | { name: "nagle" }
  /** Lesson 3: frames messages by hand, and reads frames from a real socket. */
  | { name: "frame"; questions: FramingQuestion[] }
  | { name: "read"; frames: Frames };

/** A question with a number, which its answer repeats. */
export interface NumberedQuestion {
  id: number;
  /** @throws {TypeError} If it is no question, or one of its values is out of range. */
  read(): Question;
}

const CALLS: readonly CallName[] = [
  "listen",
  "connect",
  "accept",
  "write",
  "read",
  "closeWrite",
  "close",
];
const FRAMINGS: readonly FramingName[] = ["delimiter", "length", "fixed"];
const SLOW_RULES = ["wait", "drop"] as const;

const MiB = 1024 * 1024;
const MAX_PAUSE_MS = 1000;
const MAX_MESSAGES = 50;
const MAX_TEXT = 1000;
const MAX_FRAMES_BYTES = 64 * 1024;

/** Reads a question in two steps, so that the refusal of a question has its number. */
export function readQuestion(json: string): NumberedQuestion {
  const message = new Fields(JSON.parse(json));
  return {
    id: message.integer("id", 0, Number.MAX_SAFE_INTEGER),
    read: () => questionOf(message.fields("question")),
  };
}

function questionOf(fields: Fields): Question {
  const name = fields.text("name");
  switch (name) {
    case "sockets":
    case "reset":
    case "drain":
    case "stop":
    case "nagle":
      return { name };
    case "call":
      return { name, call: callOf(fields.fields("call")) };
    case "start":
      return { name, settings: settingsOf(fields.fields("settings")) };
    case "change":
      return { name, change: changeOf(fields.fields("change")) };
    case "frame":
      return { name, questions: fields.list("questions", 3).map(framingOf) };
    case "read":
      return { name, frames: framesOf(fields.fields("frames")) };
    default:
      throw new TypeError(`Cannot answer the question ${name}`);
  }
}

function callOf(fields: Fields): Call {
  const text = fields.has("text") ? fields.text("text") : "";
  return {
    name: fields.choice("name", CALLS),
    ...(fields.has("end") && { end: fields.text("end") }),
    text,
    times: fields.integer("times", 1, 4 * MiB / MAX_TEXT, 1),
    bytes: fields.integer("bytes", 1, MiB, 1024),
  };
}

function settingsOf(fields: Fields): PipeSettings {
  const sender = fields.fields("sender");
  const buffers = fields.has("buffers") ? fields.fields("buffers") : undefined;
  return {
    sender: {
      await: sender.boolean("await"),
      slow: sender.choice("slow", SLOW_RULES),
      highWaterMark: sender.integer("highWaterMark", 1, 16 * MiB),
    },
    receivers: fields.list("receivers", 2).map((receiver) => ({
      bytes: receiver.integer("bytes", 1, MiB),
      pause: receiver.integer("pause", 0, MAX_PAUSE_MS),
      readBufferSize: receiver.integer("readBufferSize", 1, MiB),
    })),
    buffers: buffers && {
      send: buffers.integer("send", 4096, 64 * MiB),
      receive: buffers.integer("receive", 4096, 64 * MiB),
    },
  };
}

function changeOf(fields: Fields): PipeChange {
  const sender = fields.fields("sender");
  return {
    sender: {
      ...(sender.has("await") && { await: sender.boolean("await") }),
    } satisfies Partial<SenderSettings>,
    receivers: fields.list("receivers", 2).map((receiver) => ({
      ...(receiver.has("bytes") &&
        { bytes: receiver.integer("bytes", 1, MiB) }),
      ...(receiver.has("pause") &&
        { pause: receiver.integer("pause", 0, MAX_PAUSE_MS) }),
    } satisfies Partial<ReceiverSettings>)),
  };
}

function framingOf(fields: Fields): FramingQuestion {
  return {
    framing: fields.choice("framing", FRAMINGS),
    messages: fields.texts("messages", MAX_MESSAGES),
    cuts: fields.integers("cuts"),
    lost: fields.integers("lost"),
    ...(fields.has("forged") && {
      forged: fields.integer("forged", 0, MAX_MESSAGES),
    }),
  };
}

function framesOf(fields: Fields): Frames {
  return { bytes: fields.integers("bytes"), ends: fields.integers("ends") };
}

/** The fields of an object from JSON. */
class Fields {
  readonly #values: Record<string, unknown>;

  constructor(value: unknown) {
    if (typeof value !== "object" || value === null) {
      throw new TypeError(`Cannot read fields of ${JSON.stringify(value)}`);
    }
    this.#values = { ...value };
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  fields(name: string): Fields {
    return new Fields(this.#values[name]);
  }

  boolean(name: string): boolean {
    const value = this.#values[name];
    return typeof value === "boolean" ? value : this.#refuse(name);
  }

  text(name: string): string {
    const value = this.#values[name];
    return isText(value) ? value : this.#refuse(name);
  }

  choice<T extends string>(name: string, choices: readonly T[]): T {
    return choices.find((choice) => choice === this.#values[name]) ??
      this.#refuse(name);
  }

  integer(name: string, min: number, max: number, byDefault?: number): number {
    const value = this.#values[name] ?? byDefault;
    return isInteger(value) && value >= min && value <= max
      ? value
      : this.#refuse(name);
  }

  list(name: string, maxLength: number): Fields[] {
    return this.#array(name, maxLength).map((value) => new Fields(value));
  }

  texts(name: string, maxLength: number): string[] {
    const values = this.#array(name, maxLength);
    return values.every(isText) ? values : this.#refuse(name);
  }

  integers(name: string): number[] {
    const values = this.#array(name, MAX_FRAMES_BYTES);
    return values.every(isInteger) ? values : this.#refuse(name);
  }

  #array(name: string, maxLength: number): unknown[] {
    const value = this.#values[name];
    return Array.isArray(value) && value.length <= maxLength
      ? value
      : this.#refuse(name);
  }

  #refuse(name: string): never {
    const value = JSON.stringify(this.#values[name]);
    throw new TypeError(`Cannot take ${name}: current value is ${value}`);
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_TEXT;
}

function isInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}
