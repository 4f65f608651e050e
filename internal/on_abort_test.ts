import { assertEquals } from "@std/assert";
import { onAbort } from "./on_abort.ts";

/** A signal that counts its listeners. */
function countingSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  for (const [name, step] of [["add", 1], ["remove", -1]] as const) {
    const method = signal[`${name}EventListener`].bind(signal);
    Reflect.set(signal, `${name}EventListener`, (
      type: string,
      listener: () => void,
    ) => {
      count += step;
      method(type, listener);
    });
  }
  return { controller, signal, listeners: () => count };
}

Deno.test("onAbort() adds one listener for all callbacks, and removes it after the last one", () => {
  const { signal, listeners } = countingSignal();
  const stops = Array.from({ length: 3 }, () => onAbort(signal, () => {}));
  assertEquals(listeners(), 1);
  stops[0]?.();
  stops[0]?.(); // does nothing
  stops[2]?.();
  assertEquals(listeners(), 1);
  stops[1]?.();
  assertEquals(listeners(), 0);
  onAbort(signal, () => {})();
  assertEquals(listeners(), 0);
});

Deno.test("onAbort() calls the callbacks that were not removed, in order", () => {
  const { controller, signal, listeners } = countingSignal();
  const called: number[] = [];
  const stops = [1, 2, 3, 4].map((number) =>
    onAbort(signal, () => {
      called.push(number);
      if (number === 1) stops[1]?.();
    })
  );
  controller.abort();
  assertEquals(called, [1, 3, 4]);
  for (const stop of stops) stop();
  assertEquals(listeners(), 0);
});

Deno.test("onAbort() calls the other callbacks if one throws, and reports its error", () => {
  const controller = new AbortController();
  const called: string[] = [];
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    called.push(event.message.replace(/^Uncaught /, ""));
  };
  globalThis.addEventListener("error", onError);
  try {
    onAbort(controller.signal, () => {
      throw new Error("broken");
    });
    onAbort(controller.signal, () => called.push("other"));
    controller.abort();
  } finally {
    globalThis.removeEventListener("error", onError);
  }
  assertEquals(called, ["other", "Error: broken"]);
});
