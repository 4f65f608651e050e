/**
 * A clock that advances only when everything that can run has run. It replaces the
 * timers of this process, and those of the module.
 *
 * @module
 */
import { ownTimers } from "../../internal/event_loop.ts";

interface Timer {
  readonly id: number;
  readonly at: number;
  readonly callback: () => void;
}

// Far from the time of the previous run: the module remembers its last pause.
const BETWEEN_RUNS_MS = 1_000_000;

let lastTime = 0;

/**
 * Virtual time for the whole process, until it is disposed. Only one can exist at a
 * time.
 */
export class VirtualClock implements Disposable {
  readonly start: number;
  #now: number;
  #lastId = 0;
  readonly #timers = new Map<number, Timer>();
  #immediates: (() => void)[] = [];
  readonly #realImmediate = globalThis.setImmediate;
  readonly #restore: (() => void)[] = [];

  constructor() {
    lastTime = Math.ceil(Math.max(lastTime, performance.now())) +
      BETWEEN_RUNS_MS;
    this.start = this.#now = lastTime;
    const set = (callback: () => void, delay = 0) => this.#set(callback, delay);
    const clear = (timer: unknown) => this.#clear(timer);
    this.#replace(globalThis, "setTimeout", set);
    this.#replace(globalThis, "clearTimeout", clear);
    this.#replace(ownTimers, "setTimeout", set);
    this.#replace(ownTimers, "clearTimeout", clear);
    const setImmediate = (callback: () => void) => {
      this.#immediates.push(callback);
    };
    this.#replace(globalThis, "setImmediate", setImmediate);
    this.#replace(ownTimers, "setImmediate", setImmediate);
    this.#replace(performance, "now", () => this.#now);
    this.#replace(ownTimers, "now", () => this.#now);
    this.#replace(Date, "now", () => this.#now);
  }

  /** Milliseconds, a whole number. */
  get now(): number {
    return this.#now;
  }

  /** The number of pending timers. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Advances without running anything, as if this thread were busy. */
  pass(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** Runs everything that waits for no timer. */
  async settle(): Promise<void> {
    for (;;) {
      // A real immediate runs after all continuations and after `nextTick`.
      await new Promise<void>((resolve) => this.#realImmediate(resolve));
      if (this.#immediates.length === 0) return;
      const immediates = this.#immediates;
      this.#immediates = [];
      for (const callback of immediates) callback();
    }
  }

  /** Runs everything, then each timer that is due within `ms` milliseconds. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await this.settle();
    while (await this.step(end));
    this.#now = Math.max(this.#now, end);
  }

  /**
   * Fires the next timer, and runs everything that follows from it.
   *
   * @returns Whether there was one, no later than `end`.
   */
  async step(end = Infinity): Promise<boolean> {
    let next: Timer | undefined;
    for (const timer of this.#timers.values()) {
      if (next === undefined || timer.at < next.at) next = timer;
    }
    if (next === undefined || next.at > end) return false;
    this.#timers.delete(next.id);
    this.#now = Math.max(this.#now, next.at);
    next.callback();
    await this.settle();
    return true;
  }

  /** Fires all timers that are due, like a thread that was busy. */
  async fireDue(): Promise<void> {
    const due = [...this.#timers.values()].filter(({ at }) => at <= this.#now)
      .sort((a, b) => a.at - b.at || a.id - b.id);
    for (const { id, callback } of due) {
      // A previous timer may have cleared it.
      if (this.#timers.delete(id)) callback();
    }
    await this.settle();
  }

  [Symbol.dispose](): void {
    lastTime = this.#now;
    for (const restore of this.#restore) restore();
  }

  #set(callback: () => void, delay: number): number {
    const id = ++this.#lastId;
    const at = this.#now + Math.max(1, Math.ceil(delay));
    this.#timers.set(id, { id, at, callback });
    return id;
  }

  #clear(id: unknown): void {
    if (typeof id === "number") this.#timers.delete(id);
  }

  #replace(target: object, name: string, value: unknown): void {
    const real: unknown = Reflect.get(target, name);
    this.#restore.push(() => Reflect.set(target, name, real));
    Reflect.set(target, name, value);
  }
}
