import { connect, FramingError, serve, unframed } from "@framed/tcp";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  start,
  startExample,
} from "../../dev/interop/_peers.ts";
import { fileURLToPath } from "node:url";
import { caCerts, certificate } from "../../dev/testdata/certificates.ts";
import { commands, type Mail, receiveMail, replies, sendMail } from "./smtp.ts";

const hostname = "127.0.0.1";
const testdata = fileURLToPath(
  new URL("../../dev/testdata/", import.meta.url),
);

const MAIL: Mail = {
  from: "ann@example.com",
  to: ["ben@example.com", "çağla@example.com"],
  text: ["Subject: Dots", "", ".", "..", ".dot", "", "the end é"],
};

// In the form that other programs use.
const TEXT = MAIL.text.map((line) => `${line}\r\n`).join("");

/** A server, the mails that it received, and the errors of its connections. */
function mailServer(tls?: { cert: string; key: string }) {
  const mails: Mail[] = [];
  const errors: unknown[] = [];
  const server = serve(
    {
      hostname,
      port: 0,
      framing: commands,
      onError: (error) => void errors.push(error),
    },
    (connection) =>
      receiveMail(connection, (mail) => void mails.push(mail), tls),
  );
  return {
    mails,
    errors,
    port: server.addr.port,
    shutdown: () => server.shutdown(),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

for (const tls of [undefined, { serverName: "localhost", caCerts }]) {
  const how = tls ? "with STARTTLS" : "plain";
  Deno.test(`smtp.ts sends a mail to itself, ${how}`, async () => {
    await using server = mailServer(tls && certificate);
    for (let i = 0; i < 2; i++) {
      await using connection = await connect({
        port: server.port,
        framing: replies,
      });
      await sendMail(connection, MAIL, tls);
    }
    assertEquals(server.mails, [MAIL, MAIL]);
    assertEquals(server.errors, []);
  });
}

// Sends the mails from standard input, one JSON value a line.
const SMTPLIB = `
import json, smtplib, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]
mail = json.loads(sys.stdin.readline())
with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=20) as client:
    client._host = "localhost"  # the name in the certificate
    if ca:
        try:
            client.sendmail(mail["from"], mail["to"], b"")
        except smtplib.SMTPException as error:
            print("without TLS:", type(error).__name__)
        client.starttls(context=ssl.create_default_context(cafile=ca))
    for _ in range(2):
        client.sendmail(mail["from"], mail["to"], mail["text"].encode())
print("sent")
`;

const hasPython = await isInstalled("python3");

for (const ca of ["", `${testdata}ca.pem`]) {
  const how = ca ? "with STARTTLS" : "plain";
  peerTest(
    hasPython,
    `smtp.ts receives from Python's smtplib, ${how}`,
    async () => {
      await using server = mailServer(ca ? certificate : undefined);
      const mail = { ...MAIL, to: ["ben@example.com"] };
      await using python = start(
        ["python3", "-c", SMTPLIB, `${server.port}`, ca],
        [JSON.stringify({ ...mail, text: TEXT })],
      );
      const printed = await assertSuccess(python);
      assertEquals(printed.at(-1), "sent");
      if (ca) assertEquals(printed[0], "without TLS: SMTPSenderRefused");
      assertEquals(server.mails, [mail, mail]);
      assertEquals(server.errors, []);
    },
  );
}

// Prints what it receives as JSON.
const AIOSMTPD = `
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos,
            "text": envelope.original_content.decode(),
            "tls": session.ssl is not None}), flush=True)
        return "250 OK"
async def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), hostname="localhost", enable_SMTPUTF8=True,
            tls_context=context, require_starttls=context is not None),
        "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
`;

/** The Python that has aiosmtpd; Debian's may not be the first on the path. */
async function pythonWithAiosmtpd(): Promise<string | undefined> {
  for (const command of ["python3", "/usr/bin/python3"]) {
    if (!await isInstalled(command)) continue;
    await using python = start([command, "-c", "import aiosmtpd"]);
    if ((await python.status).success) return command;
  }
  // deno-lint-ignore no-console -- a skipped test must be visible
  console.log("Skipped the tests with aiosmtpd, which is not installed");
  return undefined;
}

const aiosmtpd = await pythonWithAiosmtpd();

for (const isSecure of [false, true]) {
  const how = isSecure ? "with STARTTLS" : "plain";
  peerTest(
    aiosmtpd !== undefined,
    `smtp.ts sends to aiosmtpd, ${how}`,
    async () => {
      const files = ["localhost.pem", "localhost.key"]
        .map((name) => `${testdata}${name}`);
      await using server = start([
        aiosmtpd ?? "",
        ...["-c", AIOSMTPD, ...(isSecure ? files : [])],
      ]);
      const [port = ""] = await lineThat(server.stdout, /^(\d+)$/);
      await using connection = await connect({
        port: Number(port),
        framing: replies,
      });
      const mail = { ...MAIL, to: ["ben@example.com"] };
      const tls = { serverName: "localhost", caCerts };
      await sendMail(connection, mail, isSecure ? tls : undefined);
      const { value } = await server.stdout.next();
      assertEquals(JSON.parse(value), {
        ...mail,
        text: TEXT,
        tls: isSecure,
      });

      if (isSecure) return;
      // No mail is sent unencrypted if the server has no TLS.
      await using other = await connect({
        port: Number(port),
        framing: replies,
      });
      await assertRejects(() => sendMail(other, mail, tls), Error, "refused");
    },
  );
}

/** Sends bytes, and returns the server's answer up to its end. */
async function answersTo(port: number, sent: string): Promise<string> {
  await using client = await connect({ port, framing: unframed() });
  client.send(sent);
  await client.closeWrite();
  let answers = "";
  for await (const bytes of client) answers += new TextDecoder().decode(bytes);
  return answers;
}

const ENVELOPE =
  "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: x\r\n\r\n";
const SMUGGLED =
  "MAIL FROM:<admin@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nevil\r\n.\r\n";

const DAMAGED: [sent: string, error: string][] = [
  [`${ENVELOPE}hi\n.\r\n${SMUGGLED}`, "malformed"],
  [`${ENVELOPE}hi\n.\n${SMUGGLED}`, "malformed"],
  [`${ENVELOPE}hi\r\n.\n${SMUGGLED}`, "malformed"],
  [`${ENVELOPE}hi\r.\r\n${SMUGGLED}`, "malformed"],
  [`${ENVELOPE}hi\r\n.\r${SMUGGLED}`, "malformed"],
  [`${ENVELOPE}${"x".repeat(1000)}\r\n.\r\n`, "too-long"],
  [`${ENVELOPE}hi\r\n.`, "truncated"],
  [`${ENVELOPE}hi\r\n`, "truncated"],
  [ENVELOPE, "truncated"],
  [`${ENVELOPE}${`${"x".repeat(998)}\r\n`.repeat(11_000)}`, "too-long"],
  [`EHLO ${"x".repeat(2000)}`, "too-long"],
];

Deno.test("smtp.ts refuses a mail that a lone line feed or carriage return would end", async () => {
  for (const [sent, name] of DAMAGED) {
    const damaged = mailServer();
    await answersTo(damaged.port, sent);
    await damaged.shutdown(); // and the handler is done
    const [error] = damaged.errors;
    assert(error instanceof Error, `No error of ${sent.slice(0, 200)}`);
    assertEquals(error instanceof FramingError ? error.code : error.name, name);
    assertEquals(damaged.mails, []);
  }
  await using server = mailServer();
  assertStringIncludes(
    await answersTo(server.port, `${ENVELOPE}..\r\n.\r\nQUIT\r\n`),
    `354 Go ahead\r\n${OK}221 Bye\r\n`,
  );
  assertEquals(server.mails.map(({ text }) => text), [["Subject: x", "", "."]]);
});

const OK = "250 localhost\r\n";
const HELLO = "250-localhost\r\n250 8BITMIME\r\n";
const DIALOGUES: [sent: string, answers: string][] = [
  ["EHLO x\r\n", HELLO],
  // An old client reads only one line.
  ["helo x\r\n", OK],
  ["RSET \r\nNOOP x\r\n", OK.repeat(2)],
  // It ends a mail that has started.
  [
    "MAIL FROM:<> SIZE=9\r\nEHLO x\r\nmail from:<a@x>\r\n",
    `${OK}${HELLO}${OK}`,
  ],
  [
    `MAIL FROM:<a@x>\r\n${"RCPT TO:<b@x>\r\n".repeat(101)}`,
    `${OK.repeat(101)}452 Too many recipients\r\n`,
  ],
  ["RCPT TO:<b@x>\r\nDATA\r\n", "503 Not understood, or not now\r\n".repeat(2)],
];

Deno.test("smtp.ts answers old and new clients", async () => {
  await using server = mailServer();
  for (const [sent, answers] of DIALOGUES) {
    assertEquals(
      await answersTo(server.port, `${sent}QUIT\r\n`),
      `220 localhost ESMTP\r\n${answers}221 Bye\r\n`,
    );
  }
  // The longest line, with an added dot.
  const line = `.${"x".repeat(997)}`;
  await answersTo(server.port, `${ENVELOPE}.${line}\r\n.\r\n`);
  assertEquals(server.mails.map(({ text }) => text[2]), [line]);
  assertEquals(server.errors, []);
});

Deno.test("smtp.ts refuses commands sent after STARTTLS and before TLS", async () => {
  await using server = mailServer(certificate);
  await answersTo(server.port, `EHLO x\r\nSTARTTLS\r\n${SMUGGLED}`);
  const [error] = server.errors;
  assert(error instanceof DOMException);
  assertStringIncludes(error.message, "unread");
  assertStringIncludes(
    await answersTo(server.port, "EHLO x\r\nMAIL FROM:<a@x>\r\nQUIT\r\n"),
    "530 Must issue",
  );
  assertEquals(server.mails, []);
});

const REPLIES: [sent: string, message: string][] = [
  ["hello\r\n", "Cannot decode message"],
  ["999 x\r\n", "Cannot decode message"],
  ["220x\r\n", "Cannot decode message"],
  ["220-x\r\n".repeat(200), "more than 100"],
  ["220-x\r\n", "ended"],
  ["220 a\nb\r\n", "lone"],
  ["554 no\r\n", "554 no"],
  ["", "ended"],
];

Deno.test("smtp.ts names the error of a server", async () => {
  let greeting = "";
  await using server = serve(
    { hostname, port: 0, framing: unframed(), onError: () => {} },
    async (connection) => {
      if (greeting !== "") await connection.send(greeting);
    },
  );
  for (const [sent, message] of REPLIES) {
    greeting = sent;
    await using connection = await connect({
      port: server.addr.port,
      framing: replies,
    });
    await assertRejects(() => sendMail(connection, MAIL), Error, message);
  }
});

Deno.test("smtp.ts sends no address that contains a command, and no lone carriage return", async () => {
  await using server = mailServer();
  const wrongs: Partial<Mail>[] = [
    { from: "a>\r\nRSET" },
    { to: ["b>\r\nDATA"] },
    { text: ["a\rb"] },
    { text: ["a\n.\nMAIL FROM:<b@x>"] },
  ];
  for (const wrong of wrongs) {
    await using connection = await connect({
      port: server.port,
      framing: replies,
    });
    await assertRejects(
      () => sendMail(connection, { ...MAIL, ...wrong }),
      TypeError,
      "Cannot encode",
    );
  }
  assertEquals(server.mails, []);
});

Deno.test("smtp.ts runs as a program", async () => {
  await using example = startExample("protocols/smtp.ts", [], []);
  assertStringIncludes(
    (await assertSuccess(example)).join(),
    "A line with one",
  );
});
