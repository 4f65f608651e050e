// deno-lint-ignore-file no-console -- its output is read by the test
// For Node: greets every client by the name in its certificate.
import { readFileSync } from "node:fs";
import { createServer } from "node:tls";

const read = (name) => readFileSync(new URL(name, import.meta.url));
const server = createServer({
  cert: read("localhost.pem"),
  key: read("localhost.key"),
  ca: read("ca.pem"),
  requestCert: true,
}, (socket) => socket.end(`${socket.getPeerCertificate().subject.CN}\n`));
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
