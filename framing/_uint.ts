import { shownValue } from "../internal/shown.ts";

/** Throws unless `size` is a valid size of an unsigned integer, in bytes. */
export function checkUintSize(size: number): void {
  if (!(Number.isInteger(size) && size >= 1 && size <= 8)) {
    throw new RangeError(
      `Cannot read an unsigned integer as its size must be a whole number from 1 to 8: current value is ${
        shownValue(size)
      }`,
    );
  }
}

/**
 * The unsigned integer of `size` bytes, from 1 to 8, at `start`; all must be
 * there.
 */
export function readUint(
  bytes: Uint8Array,
  start: number,
  size: number,
  littleEndian: boolean,
): number {
  const last = start + size - 1;
  // All of these bytes are there, as said above.
  if (size === 4 && !littleEndian) {
    // The most frequent case.
    return (bytes[start]! << 24 | bytes[start + 1]! << 16 |
      bytes[start + 2]! << 8 | bytes[last]!) >>> 0;
  }
  // Multiply, do not shift: a shift keeps only 32 bits.
  let value = 0;
  if (littleEndian) {
    for (let i = last; i >= start; i--) value = value * 256 + bytes[i]!;
  } else {
    for (let i = start; i <= last; i++) value = value * 256 + bytes[i]!;
  }
  return value;
}

/** Writes `value`, which fits, as an unsigned integer of `size` bytes at `start`. */
export function writeUint(
  bytes: Uint8Array,
  start: number,
  value: number,
  size: number,
  littleEndian: boolean,
): void {
  // A shift keeps only 32 bits.
  const high = size > 4 ? Math.floor(value / 2 ** 32) : 0;
  const first = littleEndian ? start : start + size - 1;
  const step = littleEndian ? 1 : -1;
  for (let i = 0; i < size; i++) {
    bytes[first + i * step] = i < 4 ? value >>> 8 * i : high >>> 8 * (i - 4);
  }
}
