function read(name: string): string {
  return Deno.readTextFileSync(new URL(name, import.meta.url));
}

/** Certificate and key for `localhost`, `127.0.0.1` and `::1`. */
export const certificate: { cert: string; key: string } = {
  cert: read("localhost.pem"),
  key: read("localhost.key"),
};

/** The authority that signed it. */
export const caCerts: string[] = [read("ca.pem")];
