/** What one listener calls, and what removes it. */
interface Watch {
  readonly callbacks: Set<() => void>;
  stop(): void;
}

const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Calls `callback` when `signal` is aborted, which it is not yet. A callback of its own is
 * needed for each call.
 *
 * A signal has one listener for all, as adding one and removing one takes as long as there
 * are others (measured: closing 20,000 connections that had one signal, 21 s).
 *
 * @returns Calls it no more.
 */
export function onAbort(
  signal: AbortSignal,
  callback: () => void,
): () => void {
  let watch = watches.get(signal);
  if (watch === undefined) {
    watch = watchOf(signal);
    watches.set(signal, watch);
  }
  const { callbacks, stop } = watch;
  callbacks.add(callback);
  return () => {
    if (!callbacks.delete(callback) || callbacks.size > 0) return;
    watches.delete(signal);
    stop();
  };
}

function watchOf(signal: AbortSignal): Watch {
  const callbacks = new Set<() => void>();
  const listener = () => {
    let failure: { readonly error: unknown } | undefined;
    for (const callback of callbacks) {
      try {
        callback();
      } catch (error) {
        failure ??= { error }; // the others are called all the same
      }
    }
    if (failure !== undefined) throw failure.error;
  };
  signal.addEventListener("abort", listener);
  return {
    callbacks,
    stop: () => signal.removeEventListener("abort", listener),
  };
}
