import { assertEquals, assertThrows } from "@std/assert";
import { bytes } from "./_testing.ts";
import { FieldReader } from "./field_reader.ts";
import { FramingError } from "./framing_error.ts";

Deno.test("FieldReader reads fields of each kind, one after another", () => {
  const fields = new FieldReader(
    bytes("\x01\x02\x03\x04name\0é;\xc3\xa9;rest").subarray(),
  );
  assertEquals(fields.length, 18);
  assertEquals(fields.takeUint(2), 0x102);
  assertEquals(fields.takeUint(2, true), 0x403);
  assertEquals(fields.takeTextUntil(), "name");
  fields.skip(2);
  assertEquals(fields.takeTextUntil(0x3b), "é");
  assertEquals(fields.take(1), bytes("r"));
  assertEquals(fields.takeText(2), "es");
  assertEquals(fields.take(), bytes("t"));
  assertEquals([fields.length, fields.takeText(), fields.take()], [
    0,
    "",
    new Uint8Array(),
  ]);
});

Deno.test("FieldReader reads numbers of 8 bytes, and returns views of the message", () => {
  const message = new Uint8Array(16).fill(0xff, 0, 8).subarray(0, 12);
  message[9] = 7;
  const fields = new FieldReader(message);
  assertEquals(fields.takeUint(8), 2 ** 64);
  const part = fields.take(2);
  part[0] = 9;
  assertEquals(message[8], 9);
});

Deno.test("FieldReader reads several numbers of several sizes", () => {
  const fields = new FieldReader(bytes("\x01\x02\x03\x04\x05\x06end"));
  const numbers: [number, number, number] = fields.takeUints(2, 1, 3);
  assertEquals(numbers, [0x102, 3, 0x40506]);
  assertEquals(fields.takeUints(), []);
  assertEquals(fields.takeText(), "end");
});

Deno.test("FieldReader throws a FramingError for a field that is cut off, and reads nothing", () => {
  const attempts: ((fields: FieldReader) => unknown)[] = [
    (fields) => fields.takeUint(4),
    (fields) => fields.takeUints(2, 2),
    (fields) => fields.take(4),
    (fields) => fields.takeText(4),
    (fields) => fields.skip(4),
    (fields) => fields.skip(-1),
    (fields) => fields.take(NaN),
    (fields) => fields.take(1.5),
    (fields) => fields.takeTextUntil(0x61),
  ];
  for (const attempt of attempts) {
    const fields = new FieldReader(bytes("abcd"));
    fields.skip(1);
    const { code } = assertThrows(() => attempt(fields), FramingError);
    assertEquals(code, "malformed");
    assertEquals(fields.takeText(), "bcd");
  }
});

Deno.test("FieldReader refuses an invalid size of a number", () => {
  for (const size of [0, 9, 1.5, -1, NaN]) {
    const fields = new FieldReader(bytes("0123456789"));
    assertThrows(() => fields.takeUint(size), RangeError);
    assertThrows(() => fields.takeUints(1, size), RangeError);
    assertEquals(fields.length, 10);
  }
});

Deno.test("FieldReader throws no FramingError for a mistake of its caller", () => {
  const fields = new FieldReader(Uint8Array.of(0x61, 0));
  for (const end of [-1, 256, 0.5, NaN]) {
    assertThrows(
      () => fields.takeTextUntil(end),
      RangeError,
      `value is ${end}`,
    );
  }
  assertEquals(fields.takeTextUntil(), "a");
  assertThrows(() => new FieldReader("a" as never), TypeError, "type string");
});
