import { SCAN_WASM } from "./scan_wasm.ts";

/** The most bytes that can be looked through at once. */
export const MAX_SCAN_BYTES = 64 * 1024;

/** The largest distance of the two bytes that {@linkcode Scanner.scan} looks for. */
export const MAX_SCAN_DISTANCE = 64;

// What the module may read behind the chunk: the rest of 64 places, and as far as
// two bytes may be apart.
const READ_OVER_BYTES = 256;

// Where the buffers for others lie in the memory of the module.
const BUFFERS_START = 6 * 64 * 1024;
const BUFFERS_END = BUFFERS_START + 3 * 1024 * 1024;

/** Finds all places of a byte, or of two bytes at a distance. */
export interface Scanner {
  /** Where they were found: valid until the next scan. */
  readonly offsets: Int32Array;
  /**
   * Notes each place where `first` stands, and `last` stands `distance` bytes
   * behind it. For a single byte, give it twice with distance 0.
   *
   * @returns How many there are.
   */
  scan(
    chunk: Uint8Array,
    first: number,
    last: number,
    distance: number,
  ): number;
  /** Whether `byte` stands in `bytes`. */
  holds(bytes: Uint8Array, byte: number): boolean;
  /**
   * Whether `byte` stands in `buffer` from `start` to `end`; fastest in a buffer
   * from {@linkcode Scanner.reserve}.
   */
  holdsWithin(
    buffer: Uint8Array,
    start: number,
    end: number,
    byte: number,
  ): boolean;
  /**
   * A buffer that is looked through where it lies, or `undefined` when there is no
   * room for more. It is never given back.
   */
  reserve(size: number): Uint8Array | undefined;
}

/** The scanner for where WebAssembly is not allowed, or has no SIMD. */
export function scriptScanner(): Scanner {
  const offsets = new Int32Array(MAX_SCAN_BYTES);
  return {
    offsets,
    scan(chunk, first, last, distance) {
      let count = 0;
      for (
        let at = chunk.indexOf(first);
        at !== -1;
        at = chunk.indexOf(first, at + 1)
      ) {
        if (chunk[at + distance] === last) offsets[count++] = at;
      }
      return count;
    },
    holds: (bytes, byte) => bytes.includes(byte),
    holdsWithin: (buffer, start, end, byte) =>
      buffer.subarray(start, end).includes(byte),
    reserve: () => undefined,
  };
}

/** The scanner in WebAssembly; throws where that is not allowed. */
export function wasmScanner(): Scanner {
  const module = new WebAssembly.Module(
    Uint8Array.from(atob(SCAN_WASM), (character) => character.charCodeAt(0)),
  );
  const { exports } = new WebAssembly.Instance(module);
  const { memory, findByte, scanByte, scanPair } = exports as {
    memory: WebAssembly.Memory;
    findByte: (byte: number, at: number, end: number) => number;
    scanByte: (byte: number, length: number) => number;
    scanPair: (
      first: number,
      last: number,
      distance: number,
      length: number,
    ) => number;
  };
  const { buffer: own } = memory;
  const input = new Uint8Array(own, 0, MAX_SCAN_BYTES);
  const offsets = new Int32Array(
    own,
    MAX_SCAN_BYTES + READ_OVER_BYTES,
    MAX_SCAN_BYTES,
  );
  const lastOffset = (count: number) => offsets[count - 1] ?? 0;
  let reserved = BUFFERS_START;
  let lastOwn: Uint8Array | undefined;

  function holds(bytes: Uint8Array, byte: number): boolean {
    const { length } = bytes;
    for (let start = 0; start < length; start += MAX_SCAN_BYTES) {
      const part = length <= MAX_SCAN_BYTES
        ? bytes
        : bytes.subarray(start, start + MAX_SCAN_BYTES);
      input.set(part);
      if (findByte(byte, 0, part.length) < part.length) return true;
    }
    return false;
  }

  return {
    offsets,
    scan(chunk, first, last, distance) {
      const { length } = chunk;
      input.set(chunk);
      let count = distance === 0
        ? scanByte(first, length)
        : scanPair(first, last, distance, length);
      // The last 64 places may lie behind the chunk, where an older one is left.
      while (count > 0 && lastOffset(count) + distance >= length) count--;
      return count;
    },
    holds,
    holdsWithin(buffer, start, end, byte) {
      // Asking a view for its buffer takes 6 ns.
      if (buffer !== lastOwn) {
        if (buffer.buffer !== own) {
          return holds(buffer.subarray(start, end), byte);
        }
        lastOwn = buffer;
      }
      const endAddress = buffer.byteOffset + end;
      return findByte(byte, buffer.byteOffset + start, endAddress) < endAddress;
    },
    reserve(size) {
      if (reserved + size > BUFFERS_END) return undefined;
      const buffer = new Uint8Array(own, reserved, size);
      reserved += size;
      return buffer;
    },
  };
}

/**
 * The scanner in use. Measured, for messages of 16, 64 and 1024 bytes:
 * WebAssembly 1, 3 and 46 ns a message, copying the chunk in included, and
 * `indexOf` 20, 48 and 307. Whether a byte stands in 64: 3 ns in a buffer of its
 * own, 12 elsewhere, and 40 by `includes`.
 */
export const scanner: Scanner = chooseScanner();

function chooseScanner(): Scanner {
  try {
    return wasmScanner();
  } catch {
    // Such as a page whose Content-Security-Policy forbids it.
    return scriptScanner();
  }
}
