import { SCAN_WASM } from "./scan_wasm.ts";

/** The most bytes that one scan looks through. */
export const MAX_SCAN_BYTES = 64 * 1024;

/** The largest distance of the two bytes that {@linkcode Scanner.scan} looks for. */
export const MAX_SCAN_DISTANCE = 64;

// What the module may read after the chunk: the rest of 64 places, and as far as
// two bytes may be apart.
const READ_OVER_BYTES = 256;

/** Finds all places of a byte, or of two bytes at a distance. */
export interface Scanner {
  /** Where they were found: valid until the next scan. */
  readonly offsets: Int32Array;
  /**
   * Notes each place where `first` stands, and `last` stands `distance` bytes
   * after it. For a single byte, give it twice with distance 0.
   *
   * @returns How many there are.
   */
  scan(
    chunk: Uint8Array,
    first: number,
    last: number,
    distance: number,
  ): number;
  /** Where `byte` stands first in `bytes` from `start` to `end`, or -1. */
  indexOf(bytes: Uint8Array, byte: number, start: number, end: number): number;
  /** Makes a place for buffers that are looked through where they lie. */
  bufferSpace(size: number): BufferSpace;
}

/** Buffers that are looked through where they lie, and so in a quarter of the time. */
export interface BufferSpace {
  /** A buffer, or `undefined` if there is no room for more. It is never given back. */
  reserve(size: number): Uint8Array | undefined;
  /** Whether `buffer` is one of these. */
  has(buffer: Uint8Array): boolean;
  /** The same as {@linkcode Scanner.indexOf}, and faster in one of these. */
  indexOf(bytes: Uint8Array, byte: number, start: number, end: number): number;
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
    indexOf,
    bufferSpace: () => ({
      reserve: () => undefined,
      has: () => false,
      indexOf,
    }),
  };
}

function indexOf(
  bytes: Uint8Array,
  byte: number,
  start: number,
  end: number,
): number {
  const at = bytes.subarray(start, end).indexOf(byte);
  return at === -1 ? -1 : start + at;
}

const PAGE_BYTES = 64 * 1024;
const FIRST_LOOK_BYTES = 1024;

interface ScanModule {
  readonly memory: WebAssembly.Memory;
  readonly findByte: (byte: number, at: number, end: number) => number;
  readonly scanByte: (byte: number, length: number) => number;
  readonly scanPair: (
    first: number,
    last: number,
    distance: number,
    length: number,
  ) => number;
}

/** The scanner in WebAssembly; throws where that is not allowed. */
export function wasmScanner(): Scanner {
  const module = new WebAssembly.Module(
    Uint8Array.from(atob(SCAN_WASM), (character) => character.charCodeAt(0)),
  );
  const instantiate = () =>
    new WebAssembly.Instance(module).exports as object as ScanModule; // as in scan.wat
  const { memory, findByte, scanByte, scanPair } = instantiate();
  const { buffer: own } = memory;
  const input = new Uint8Array(own, 0, MAX_SCAN_BYTES);
  const offsets = new Int32Array(
    own,
    MAX_SCAN_BYTES + READ_OVER_BYTES,
    MAX_SCAN_BYTES,
  );
  const lastOffset = (count: number) => offsets[count - 1] ?? 0;
  const indexOf: Scanner["indexOf"] = (bytes, byte, start, end) => {
    // In parts that grow, as each is copied before it is looked through.
    let size = FIRST_LOOK_BYTES;
    for (let from = start; from < end;) {
      const part = bytes.subarray(from, Math.min(end, from + size));
      input.set(part);
      const at = findByte(byte, 0, part.length);
      if (at < part.length) return from + at;
      from += size;
      size = Math.min(2 * size, MAX_SCAN_BYTES);
    }
    return -1;
  };

  return {
    offsets,
    scan(chunk, first, last, distance) {
      const { length } = chunk;
      input.set(chunk);
      let count = distance === 0
        ? scanByte(first, length)
        : scanPair(first, last, distance, length);
      // The last 64 places may lie after the chunk, where an older one is left.
      while (count > 0 && lastOffset(count) + distance >= length) count--;
      return count;
    },
    indexOf,
    bufferSpace(size) {
      const { memory, findByte } = instantiate();
      const start = memory.buffer.byteLength;
      // And a last page to read over.
      memory.grow(Math.ceil(size / PAGE_BYTES) + 1);
      let reserved = start;
      let largest = 0;
      const { buffer: space } = memory;
      // Asking a view where it lies takes longer than looking through it.
      let last: Uint8Array | undefined;
      let lastOffset = -1;
      return {
        reserve(length) {
          if (reserved + length > start + size) return undefined;
          const buffer = new Uint8Array(space, reserved, length);
          reserved += length;
          largest = Math.max(largest, length);
          return buffer;
        },
        has: ({ buffer }) => buffer === space,
        indexOf(bytes, byte, start, end) {
          if (bytes !== last) {
            // A larger one, made for a long message, would be kept alive by `last`.
            if (bytes.length > largest) return indexOf(bytes, byte, start, end);
            last = bytes;
            lastOffset = bytes.buffer === space ? bytes.byteOffset : -1;
          }
          if (lastOffset === -1) return indexOf(bytes, byte, start, end);
          const endAddress = lastOffset + end;
          const address = findByte(byte, lastOffset + start, endAddress);
          return address < endAddress ? address - lastOffset : -1;
        },
      };
    },
  };
}

/**
 * The scanner in use. Measured, for messages of 16, 64 and 1024 bytes:
 * WebAssembly 1, 3 and 46 ns a message, copying the chunk in included, and
 * `indexOf` 20, 48 and 307. Whether a byte stands in 64: 3 ns in a buffer of a
 * {@linkcode BufferSpace}, 12 elsewhere, and 40 by `includes`.
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
