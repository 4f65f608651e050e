// The stand-in must pass the tests of the original: every test runs on both. Without
// access to JSR both are the stand-in.
import * as original from "@std/assert";
import * as standIn from "./assert/mod.ts";

// Compiles only if original and stand-in have compatible types.
type Std = Pick<typeof original, keyof typeof standIn>;

testOn("original", original satisfies typeof standIn);
testOn("stand-in", standIn);

/** Throws unless a promise or a function fails with an assertion error. */
async function failing(
  description: string,
  assertion: () => unknown,
): Promise<void> {
  try {
    await assertion();
  } catch (error) {
    if (error instanceof Error && error.name === "AssertionError") return;
    throw error;
  }
  throw new Error(`Nothing failed: ${description}`);
}

function throwing(error: unknown): () => never {
  return () => {
    throw error;
  };
}

function testOn(side: string, std: Std): void {
  Deno.test(`assert() throws for falsy values (${side})`, async () => {
    for (const value of [true, 1, "a", {}, []]) std.assert(value);
    for (const value of [false, 0, 0n, "", null, undefined]) {
      await failing("assert", () => std.assert(value, "reason"));
    }
  });

  Deno.test(`assertEquals() and assertNotEquals() compare deeply (${side})`, async () => {
    const bytes = new Uint8Array([0, 1, 2, 3]);
    const symbol = Symbol();
    const equal: [unknown, unknown][] = [
      [1, 1],
      [NaN, NaN],
      [0, -0],
      [{ a: -0 }, { a: 0 }],
      ["a", "a"],
      [[], []],
      [{ a: [1, { b: "c" }] }, { a: [1, { b: "c" }] }],
      [{ a: 1, b: 2 }, { b: 2, a: 1 }],
      [{ [symbol]: 1 }, { [symbol]: 1 }],
      [Object.create(null), {}],
      [bytes.subarray(1, 3), new Uint8Array([1, 2])],
      [[bytes], [bytes.slice()]],
    ];
    for (const [a, b] of equal) {
      std.assertEquals(a, b);
      await failing("assertNotEquals", () => std.assertNotEquals(a, b));
    }
    const different: [unknown, unknown][] = [
      [1, 2],
      [1, "1"],
      [1, 1n],
      [null, undefined],
      [null, {}],
      [[], {}],
      [[1, 2], [2, 1]],
      [[1], [1, undefined]],
      [{ a: undefined }, {}],
      [{ a: undefined }, { b: undefined }],
      [{ [symbol]: 1 }, { [symbol]: 2 }],
      [{ a: [1, { b: "c" }] }, { a: [1, { b: "d" }] }],
      [bytes, bytes.subarray(1)],
      [bytes, [0, 1, 2, 3]],
      [bytes, new Uint8ClampedArray(bytes)],
      [new Uint8Array([1]), new Uint8Array([2])],
      [new Map(), new Set()],
    ];
    for (const [a, b] of different) {
      std.assertNotEquals(a, b);
      await failing("assertEquals", () => std.assertEquals(a, b, "reason"));
    }
  });

  Deno.test(`assertStrictEquals() compares like Object.is (${side})`, async () => {
    const object = {};
    std.assertStrictEquals(object, object);
    std.assertStrictEquals(NaN, NaN);
    for (const [a, b] of [[object, {}], [0, -0], [1, "1"]]) {
      await failing("same", () => std.assertStrictEquals(a, b));
    }
  });

  Deno.test(`assertInstanceOf() accepts subclasses (${side})`, async () => {
    std.assertInstanceOf(new TypeError(), Error);
    await failing(
      "other",
      () => std.assertInstanceOf(new Error(), TypeError),
    );
    await failing("null", () => std.assertInstanceOf(null, Error));
  });

  Deno.test(`assertMatch() and assertStringIncludes() search (${side})`, async () => {
    std.assertMatch("hello", /l+o$/);
    std.assertStringIncludes("hello", "ell");
    await failing("match", () => std.assertMatch("hello", /^l/));
    await failing("include", () => std.assertStringIncludes("hello", "L"));
  });

  Deno.test(`assertThrows() checks and returns the thrown error (${side})`, async () => {
    const error = new RangeError("Cannot do it");
    for (
      const caught of [
        std.assertThrows(throwing(error)),
        std.assertThrows(throwing(error), "reason"),
        std.assertThrows(throwing(error), RangeError),
        std.assertThrows(throwing(error), Error, "do it", "reason"),
      ]
    ) std.assertEquals(caught, error);
    std.assertEquals(std.assertThrows(throwing(1)), 1);

    await failing("no throw", () => std.assertThrows(() => {}));
    await failing(
      "class",
      () => std.assertThrows(throwing(error), TypeError),
    );
    await failing(
      "message",
      () => std.assertThrows(throwing(error), RangeError, "did"),
    );
    await failing("no error", () => std.assertThrows(throwing(1), Error));
  });

  Deno.test(`assertRejects() checks and returns the reason (${side})`, async () => {
    const error = new RangeError("Cannot do it");
    const rejecting = () => Promise.reject(error);
    for (
      const caught of [
        await std.assertRejects(rejecting),
        await std.assertRejects(rejecting, "reason"),
        await std.assertRejects(rejecting, RangeError),
        await std.assertRejects(rejecting, Error, "do it", "reason"),
      ]
    ) std.assertEquals(caught, error);

    await failing(
      "no rejection",
      () => std.assertRejects(() => Promise.resolve()),
    );
    await failing("throw", () => std.assertRejects(throwing(error)));
    await failing("class", () => std.assertRejects(rejecting, TypeError));
    await failing(
      "message",
      () => std.assertRejects(rejecting, RangeError, "did"),
    );
    await failing(
      "no error",
      () => std.assertRejects(() => Promise.reject(1), Error),
    );
  });
}

Deno.test("assert() and assertInstanceOf() narrow a value's type", () => {
  const value: unknown = "text";
  const error: unknown = new RangeError();

  standIn.assert(typeof value === "string");
  standIn.assertEquals(value.length, 4);
  standIn.assertInstanceOf(error, RangeError);
  standIn.assertEquals(error.message, "");
});

Deno.test("assertEquals() refuses objects that it might compare wrongly", () => {
  standIn.assertThrows(
    () => standIn.assertEquals(new Map([[1, 2]]), new Map([[1, 2]])),
    TypeError,
    "does not know Map",
  );
});
