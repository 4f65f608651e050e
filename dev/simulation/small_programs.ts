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

/** What goes wrong, once. */
export interface Fault {
  readonly kind:
    | typeof FAULTS_OF_AN_END[number]
    | typeof FAULTS_OF_BOTH[number];
  readonly end: 0 | 1;
  /** Before which operation. */
  readonly point: number;
}

/** A program of the small scope. */
export interface SmallProgram {
  readonly operations: readonly Operation[];
  readonly fault: Fault | undefined;
  /** Whether all comes to rest between two operations, which else are of one turn. */
  readonly isSlow: boolean;
  /** Whether the ends are watched, for which they read ahead. */
  readonly isWatched: boolean;
}

/** Both ways of time, and of reading. */
export const MODES: readonly Pick<SmallProgram, "isSlow" | "isWatched">[] = [
  { isSlow: true, isWatched: false },
  { isSlow: true, isWatched: true },
  { isSlow: false, isWatched: false },
  { isSlow: false, isWatched: true },
];

/**
 * All sequences of up to `most` operations, the shorter ones first. Those that differ
 * only by which end is which are given once; so are those that an operation makes no
 * other by being done twice.
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
    // What is done after an abort is only refused: once is enough.
    if (aborted !== -1 && before.length > aborted + 1) continue;
    for (const kind of OPERATIONS) {
      const isDoneOnce = kind !== "send" && kind !== "receive";
      if (isDoneOnce && before.includes(kind)) continue;
      yield* longer([...operations, { kind, end }], length);
    }
  }
}

/** No fault, and each single one at each point of so many operations. */
export function* faults(length: number): Generator<Fault | undefined> {
  yield undefined;
  for (let point = 0; point <= length; point++) {
    for (const end of [0, 1] as const) {
      for (const kind of FAULTS_OF_AN_END) yield { kind, end, point };
    }
    for (const kind of FAULTS_OF_BOTH) yield { kind, end: 0, point };
  }
}

/** How a program is printed. */
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
