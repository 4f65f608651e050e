import {
  checkBoolean,
  checkLength,
  checkMilliseconds,
  checkSignal,
  isFunction,
} from "./checks.ts";
import { shownValue } from "./shown.ts";

/**
 * The options of a connection that are checked, in a shape that fits every framing: this
 * folder knows neither connections nor framings.
 */
export interface CheckedOptions {
  readonly framing: { readonly decoder: unknown; readonly encoder: unknown };
  readonly noDelay?: boolean | undefined;
  readonly keepAlive?: boolean | undefined;
  readonly readBufferSize?: number | undefined;
  readonly highWaterMark?: number | undefined;
  readonly idleTimeout?: number | undefined;
  readonly receiveTimeout?: number | undefined;
  readonly messageTimeout?: number | undefined;
  readonly sendTimeout?: number | undefined;
  readonly halfClosedTimeout?: number | undefined;
  readonly heartbeat?: CheckedHeartbeat | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The options of a heartbeat that are checked. */
export interface CheckedHeartbeat {
  readonly interval: number;
  readonly message: unknown;
}

/**
 * Throws if an option shared by both sides cannot be honoured. Servers and clients
 * call it before they open anything.
 *
 * @param transport The kind of transport, as errors name it, if known.
 */
export function checkConnectionOptions(
  options: CheckedOptions,
  transport?: string,
): void {
  checkFraming(options);
  const task = "open connection";
  checkLength(task, "readBufferSize", options.readBufferSize);
  checkLength(task, "highWaterMark", options.highWaterMark);
  checkMilliseconds("idleTimeout", options.idleTimeout);
  checkMilliseconds("receiveTimeout", options.receiveTimeout);
  checkMilliseconds("messageTimeout", options.messageTimeout);
  checkMilliseconds("sendTimeout", options.sendTimeout);
  checkMilliseconds("halfClosedTimeout", options.halfClosedTimeout);
  if (options.heartbeat !== undefined) checkHeartbeat(options.heartbeat);
  checkBoolean("noDelay", options.noDelay);
  checkBoolean("keepAlive", options.keepAlive);
  checkSignal(options.signal);
  if (transport === undefined || transport === "TCP") return;
  for (const name of ["noDelay", "keepAlive"] as const) {
    if (options[name] === true) {
      throw new TypeError(
        `Cannot open connection with ${name} over ${transport}: only TCP connections have it`,
      );
    }
  }
}

/** Throws unless it says what to send, and how often. */
export function checkHeartbeat(heartbeat: CheckedHeartbeat): void {
  if (typeof heartbeat !== "object" || heartbeat === null) {
    throw new TypeError(
      `Cannot use heartbeat as it must be { interval, message }: current value is ${
        shownValue(heartbeat)
      }`,
    );
  }
  const { interval, message } = heartbeat;
  if (interval === undefined || message === undefined) {
    throw new TypeError(
      `Cannot use heartbeat without ${
        interval === undefined ? "interval" : "message"
      }`,
    );
  }
  checkMilliseconds("heartbeat.interval", interval);
}

/**
 * Throws if the framing does not take the message of the heartbeat. Servers and clients
 * call it before they open anything, after the other checks of the options.
 *
 * @param Output Takes the message: this folder knows no framings. It is made only if there
 * is a message: this runs for each connection.
 */
export function checkBeat<Encoder, Out>(
  { framing, heartbeat }: {
    readonly framing: { encoder(): Encoder };
    readonly heartbeat?:
      | { readonly message: Out | (() => Out) }
      | undefined;
  },
  Output: new () => { push(encoder: Encoder, message: Out): void },
): void {
  // A function that makes messages is not called before the first one is due.
  if (heartbeat === undefined || isFunction(heartbeat.message)) return;
  new Output().push(framing.encoder(), heartbeat.message);
}

/** Throws unless the options have a framing. They may be missing in JavaScript. */
export function checkFraming(
  options:
    | { readonly framing?: CheckedOptions["framing"] | undefined }
    | undefined,
  task: string = "open connection",
): void {
  const framing = options?.framing;
  if (framing === undefined) {
    throw new TypeError(
      `Cannot ${task} as framing must be given, such as lines(): there is no default`,
    );
  }
  if (
    typeof framing?.decoder !== "function" ||
    typeof framing.encoder !== "function"
  ) {
    throw new TypeError(
      `Cannot ${task} as framing must have the methods decoder and encoder`,
    );
  }
}

/** Throws unless a framing for one message has the needed method. */
export function checkFramingMethod<Method extends "decoder" | "encoder">(
  framing: { readonly [Name in Method]: unknown },
  method: Method,
  task: string,
): void {
  if (typeof framing?.[method] === "function") return;
  throw new TypeError(
    `Cannot ${task} as framing must have the method ${method}`,
  );
}
