/**
 * How many messages were dropped, by decoders of all streams: malformed, or too long.
 * Decoding does not wait, so who decodes tells by the difference how many were its own.
 */
export const drops = { count: 0 };
