/**
 * The programs of a small scope: all sequences of a few operations, and all single faults.
 *
 * @module
 */

const OPERATIONS = [
  "send",
  "receive",
  "closeWrite",
  "closeRead",
  "close",
  "abort",
] as const;

const FAULTS_OF_AN_END = [
  "reset",
  "end",
  "stall",
  "failRead",
  "failWrite",
  "corrupt",
] as const;

const FAULTS_OF_BOTH = ["cut", "vanish"] as const;

/** One operation of a program. */
export interface Operation {
  readonly kind: typeof OPERATIONS[number];
  readonly end: 0 | 1;
}

/** A single fault. */
export interface Fault {
  readonly kind:
    | typeof FAULTS_OF_AN_END[number]
    | typeof FAULTS_OF_BOTH[number];
  readonly end: 0 | 1;
  /** The index of the operation that the fault comes before. */
  readonly point: number;
}

/** A program of the small scope. */
export interface SmallProgram {
  readonly operations: readonly Operation[];
  readonly fault: Fault | undefined;
  /** Whether everything settles between two operations; otherwise they are in one turn. */
  readonly isSlow: boolean;
  /** Whether the ends are watched, so that they read ahead. */
  readonly isWatched: boolean;
}

/** All combinations of the two. */
export const MODES: readonly Pick<SmallProgram, "isSlow" | "isWatched">[] = [
  { isSlow: true, isWatched: false },
  { isSlow: true, isWatched: true },
  { isSlow: false, isWatched: false },
  { isSlow: false, isWatched: true },
];

/**
 * All sequences of up to `most` operations, the shorter ones first. Of two sequences
 * that differ only by the names of the ends, only one is given, and none in which
 * repeating an operation changes nothing.
 */
export function* sequences(most: number): Generator<readonly Operation[]> {
  for (let length = 0; length <= most; length++) yield* longer([], length);
}

function* longer(
  operations: readonly Operation[],
  length: number,
): Generator<readonly Operation[]> {
  if (operations.length === length) return yield operations;
  const ends: readonly (0 | 1)[] = operations.length === 0 ? [0] : [0, 1];
  for (const end of ends) {
    const before = operations.filter((each) => each.end === end)
      .map(({ kind }) => kind);
    const aborted = before.indexOf("abort");
    // Operations after an abort are only refused: one of them is enough.
    if (aborted !== -1 && before.length > aborted + 1) continue;
    for (const kind of OPERATIONS) {
      const isDoneOnce = kind !== "send" && kind !== "receive";
      if (isDoneOnce && before.includes(kind)) continue;
      yield* longer([...operations, { kind, end }], length);
    }
  }
}

/** No fault, and each fault at each point of `count` operations. */
export function* faults(length: number): Generator<Fault | undefined> {
  yield undefined;
  for (let point = 0; point <= length; point++) {
    for (const end of [0, 1] as const) {
      for (const kind of FAULTS_OF_AN_END) yield { kind, end, point };
    }
    for (const kind of FAULTS_OF_BOTH) yield { kind, end: 0, point };
  }
}

/** A program as text. */
export function programText(
  { operations, fault, ...rest }: SmallProgram,
): string {
  const steps = operations.map(({ kind, end }) => `${kind}(${end})`);
  if (fault !== undefined) {
    const { kind, end, point } = fault;
    steps.splice(point, 0, `${kind.toUpperCase()}(${end})`);
  }
  const words = Object.entries(rest).map(([name, value]) =>
    `${name}: ${value}`
  );
  return `${steps.join(" ") || "nothing"} {${words.join(", ")}}`;
}
