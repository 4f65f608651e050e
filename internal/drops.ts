/**
 * How many messages the decoders of all streams dropped: malformed, or too long. Decoding
 * is synchronous, so a caller gets its own number as a difference.
 */
export const drops = { count: 0 };

/**
 * How often something was dropped because the framing's user asked for it, which is not a
 * fault: a remainder, or a message for which `decode` of `mapped` returned nothing.
 */
export const wantedDrops = { count: 0 };

/**
 * How often a decoder has dropped a message, for whatever reason, instead of giving it to
 * its caller. A decoder that makes one message of several frames does not count the frames.
 */
export const droppedMessages = { count: 0 };

/** Notes that a decoder has dropped a message, and counts it in `reason`. */
export function noteDropped(reason: typeof drops): void {
  reason.count++;
  droppedMessages.count++;
}
