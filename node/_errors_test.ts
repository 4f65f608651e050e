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

function nameOf(code: string): string | undefined {
  const error = toSystemError(Object.assign(new Error(code), { code }));
  return error instanceof Error ? error.name : undefined;
}

Deno.test("toSystemError() names each error of a write to a peer that is gone BrokenPipe", () => {
  for (const code of ["EPIPE", "EBADF", "ERR_SOCKET_CLOSED"]) {
    assertEquals(nameOf(code), "BrokenPipe");
  }
});

Deno.test("toSystemError() names path errors as Deno does", () => {
  assertEquals(["ENOENT", "ENOTDIR", "ELOOP", "EAGAIN"].map(nameOf), [
    "NotFound",
    "NotADirectory",
    "FilesystemLoop",
    "WouldBlock", // the queue of a Unix socket's server is full
  ]);
});

Deno.test("toSystemError() names an error of TLS after the handshake InvalidData", () => {
  const codes = ["ERR_SSL_BAD_RECORD_TYPE", "ERR_TLS_SESSION_ATTACK"];
  assertEquals(codes.map(nameOf), ["InvalidData", "InvalidData"]);
});

Deno.test("toSystemError() names an error from another realm", async () => {
  // Jest gives a program its own `Error`; `node:net` still makes those of Node.
  const { runInNewContext } = await import("node:vm");
  const refused = runInNewContext(`
    Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })`);
  assert(!(refused instanceof Error));
  assertEquals(
    `${toSystemError(refused, { task: "connect" })}`,
    "ConnectionRefused: Cannot connect: connect ECONNREFUSED",
  );
  const several = runInNewContext("errors => new AggregateError(errors)")([
    new Error("one"),
    refused,
  ]);
  assertEquals(
    `${toSystemError(several, { task: "connect" })}`,
    "AggregateError: Cannot connect: one; connect ECONNREFUSED",
  );
});
