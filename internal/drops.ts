/**
 * How many messages were dropped, by decoders of all streams: malformed, or too long.
 * Decoding does not wait, so who decodes tells by the difference how many were its own.
 */
export const drops = { count: 0 };

/**
 * How often something was dropped as the framing's user said, which is no fault: a
 * remainder, or what `decode` of `mapped` gave nothing for.
 */
export const wantedDrops = { count: 0 };

/**
 * How often a decoder has dropped a message, for whatever reason, instead of giving it to
 * its caller. A decoder that makes one message of several frames does not count the frames.
 */
export const droppedMessages = { count: 0 };

/** Notes that a decoder has dropped a message, for which `reason` counts. */
export function noteDropped(reason: typeof drops): void {
  reason.count++;
  droppedMessages.count++;
}
