import { assert, assertEquals } from "@std/assert";
import { toSystemError } from "./_errors.ts";

Deno.test("toSystemError() describes an OpenSSL error in one line", () => {
  const original = Object.assign(new Error("0A0000C1:no shared cipher\n"), {
    code: "ERR_SSL_NO_SHARED_CIPHER",
  });
  const error = toSystemError(original, { task: "serve" });
  assert(error instanceof Error);
  assertEquals(
    `${error}`,
    "InvalidData: Cannot serve: 0A0000C1:no shared cipher",
  );
});

Deno.test("toSystemError() names path errors as Deno does", () => {
  const nameOf = (code: string) => {
    const error = toSystemError(Object.assign(new Error(code), { code }));
    return error instanceof Error ? error.name : undefined;
  };
  assertEquals(["ENOENT", "ENOTDIR", "ELOOP", "EAGAIN"].map(nameOf), [
    "NotFound",
    "NotADirectory",
    "FilesystemLoop",
    "WouldBlock", // the queue of a Unix socket's server is full
  ]);
});
