import { assertEquals } from "@std/assert";
import { certifiedName, hostAndPort } from "./host_and_port.ts";

Deno.test("hostAndPort() puts an IPv6 address in brackets", () => {
  assertEquals(hostAndPort("127.0.0.1", 80), "127.0.0.1:80");
  assertEquals(hostAndPort("::1", 80), "[::1]:80");
  assertEquals(hostAndPort("[::1]", 80), "[::1]:80");
});

Deno.test("certifiedName() removes the brackets and the zone of an IPv6 address", () => {
  assertEquals(certifiedName("localhost"), "localhost");
  assertEquals(certifiedName("::1"), "::1");
  assertEquals(certifiedName("[::1]"), "::1");
  assertEquals(certifiedName("fe80::1%eth0"), "fe80::1");
});
