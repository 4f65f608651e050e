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
