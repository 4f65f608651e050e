import { checkFunction } from "../internal/checks.ts";
import { drops, noteDropped } from "../internal/drops.ts";
import { logRejection } from "../internal/log_error.ts";
import { shownValue } from "../internal/shown.ts";
import { FramingError } from "./framing_error.ts";
import type { LimitOptions } from "./limits.ts";

/** The default limit: 1 MiB. */
export const DEFAULT_MAX_LENGTH_BYTES = 1024 * 1024;

/** {@linkcode LimitOptions}, checked and with defaults. */
export interface Limits {
  readonly maxLength: number;
  readonly discard: boolean;
  readonly onDiscard: ((byteLength: number) => void) | undefined;
}

/** Checks the limits given to `name`, and fills in the defaults. */
export function checkLimits(name: string, options: LimitOptions): Limits {
  const {
    maxLength = DEFAULT_MAX_LENGTH_BYTES,
    oversize = "error",
    onDiscard,
  } = options;
  checkMaxLength(name, maxLength);
  checkChoice(name, "oversize", oversize, ["error", "discard"]);
  if (onDiscard !== undefined) {
    checkFunction(`make ${name} framing`, "onDiscard", onDiscard);
  }
  if (onDiscard !== undefined && oversize !== "discard") {
    throw new TypeError(
      `Cannot make ${name} framing as onDiscard needs oversize "discard": current value is "${oversize}"`,
    );
  }
  if (oversize !== "discard") {
    return { maxLength, discard: false, onDiscard: undefined };
  }
  return {
    maxLength,
    discard: true,
    onDiscard(byteLength) {
      noteDropped(drops);
      logRejection(onDiscard?.(byteLength));
    },
  };
}

/** Throws unless `maxLength` is a valid limit. */
export function checkMaxLength(name: string, maxLength: number): void {
  checkMost(name, "maxLength", maxLength);
}

/** Throws unless `most` is a whole number of at least 1, or `Infinity` for no limit. */
export function checkMost(name: string, option: string, most: number): void {
  if (most !== Infinity) checkInteger(name, option, most, 1);
}

/** Throws unless `value` is a whole number of at least `minimum`. */
export function checkInteger(
  name: string,
  option: string,
  value: number,
  minimum = -Number.MAX_SAFE_INTEGER,
): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new RangeError(
      `Cannot make ${name} framing as ${option} must be a whole number${
        minimum < 0 ? "" : ` of at least ${minimum}`
      }: current value is ${shownValue(value)}`,
    );
  }
}

/** Throws unless `value` is one of `choices`. */
export function checkChoice<T>(
  name: string,
  option: string,
  value: T,
  choices: readonly T[],
): void {
  if (!choices.includes(value)) {
    throw new TypeError(
      `Cannot make ${name} framing as ${option} must be one of ${
        choices.map((choice) => JSON.stringify(choice)).join(", ")
      }: current value is ${shownValue(value)}`,
    );
  }
}

/** Throws unless `framing`, which `name` wraps, is a framing. */
export function checkInner(
  name: string,
  framing: { readonly decoder?: unknown; readonly encoder?: unknown },
): void {
  for (const method of ["decoder", "encoder"] as const) {
    checkMethod(`make ${name} framing`, method, framing);
  }
}

/** Throws unless `framing` has the method that `action` needs. */
export function checkMethod(
  action: string,
  method: "decoder" | "encoder",
  framing: { readonly decoder?: unknown; readonly encoder?: unknown },
): void {
  if (typeof framing?.[method] === "function") return;
  throw new TypeError(
    `Cannot ${action} as it needs a framing, with the method ${method}: current value is ${
      framing === null ? "null" : `of type ${typeof framing}`
    }`,
  );
}

/**
 * Throws if a message to send is longer than a receiver with this limit
 * accepts.
 */
export function checkSendLength(byteLength: number, maxLength: number): void {
  if (byteLength > maxLength) {
    throw new RangeError(
      `Cannot encode message of ${byteLength} bytes: longer than maxLength of ${maxLength} bytes`,
    );
  }
}

/** Throws if a frame of `length` bytes at `offset` is longer than its decoder allows. */
export function checkFrameLength(
  length: number,
  offset: number,
  maxFrameLength: number,
): void {
  if (length <= maxFrameLength) return;
  // No length is larger than NaN: a decoder with a mistake would have no limit.
  if (Number.isNaN(maxFrameLength)) {
    throw new RangeError(
      "Cannot decode message as maxFrameLength must be a number: current value is NaN",
    );
  }
  throw tooLong("message", offset, maxFrameLength);
}

/** The error of a message that is longer than `limit`. */
export function tooLong(
  what: string,
  offset: number,
  limit: number,
): FramingError {
  return new FramingError(
    `Cannot decode ${what} at byte ${offset}: longer than ${limit} bytes`,
    { code: "too-long", limit, offset },
  );
}

/** The error of a stream that ended inside a message. */
export function truncated(what: string, offset: number): FramingError {
  return new FramingError(
    `Cannot decode ${what} at byte ${offset}: the stream ended inside it`,
    { code: "truncated", offset },
  );
}

/** The error of bytes that break a rule of the framing. */
export function malformed(
  what: string,
  offset: number | undefined,
  reason: string,
): FramingError {
  const place = offset === undefined ? "" : ` at byte ${offset}`;
  return new FramingError(
    `Cannot decode ${what}${place}: ${reason}`,
    { code: "malformed", offset },
  );
}
