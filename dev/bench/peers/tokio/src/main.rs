//! tokio: tokio-util's codecs, on a runtime of one thread.

use bytes::Bytes;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use std::io::{self, BufRead};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{
    AnyDelimiterCodec, Decoder, Framed, FramedRead, LengthDelimitedCodec, LinesCodec,
};

const LETTERS: usize = 26;
const READER_SIZE: usize = 1 << 16;

/// How many messages are sent before they are flushed.
const WINDOW: usize = 512;

fn make_message(index: usize, length: usize) -> String {
    (0..length)
        .map(|at| char::from(b'a' + ((index * 5 + at) % LETTERS) as u8))
        .collect()
}

fn make_messages(length: usize) -> Vec<Rc<str>> {
    let count = ((1 << 20) / length).max(1);
    let different: Vec<Rc<str>> = (0..LETTERS.min(count))
        .map(|index| make_message(index, length).into())
        .collect();
    (0..count)
        .map(|index| different[index % LETTERS].clone())
        .collect()
}

/// Proves which messages came: how many, how long, in which order.
#[derive(Default)]
struct Tally {
    count: usize,
    bytes: usize,
    checksum: u32,
}

impl Tally {
    fn add(&mut self, message: &[u8]) {
        let length = message.len();
        self.count += 1;
        self.bytes += length;
        let ends = u32::from(message[0]) + u32::from(message[length - 1]);
        self.checksum = self.checksum.wrapping_mul(31).wrapping_add(ends);
    }
}

fn newline() -> AnyDelimiterCodec {
    AnyDelimiterCodec::new(b"\n".to_vec(), b"\n".to_vec())
}

async fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn receive_all<R, C, M>(reader: R, codec: C) -> Tally
where
    R: AsyncRead + Unpin,
    C: Decoder<Item = M>,
    C::Error: std::fmt::Debug,
    M: AsRef<[u8]>,
{
    let mut tally = Tally::default();
    let mut messages = FramedRead::with_capacity(reader, codec, READER_SIZE);
    while let Some(message) = messages.next().await {
        tally.add(message.unwrap().as_ref());
    }
    tally
}

async fn send(port: u16, count: usize, messages: &[Rc<str>]) -> Tally {
    let mut framed = Framed::new(connect(port).await, newline());
    for sent in 0..count {
        framed.feed(&messages[sent % messages.len()]).await.unwrap();
        if (sent + 1) % WINDOW == 0 {
            SinkExt::<&String>::flush(&mut framed).await.unwrap();
        }
    }
    SinkExt::<&String>::flush(&mut framed).await.unwrap();
    Tally::default()
}

async fn request(port: u16, count: usize, messages: &[Rc<str>]) -> Tally {
    let mut tally = Tally::default();
    let mut framed = Framed::new(connect(port).await, newline());
    while tally.count < count {
        framed
            .send(&messages[tally.count % messages.len()])
            .await
            .unwrap();
        tally.add(&framed.next().await.unwrap().unwrap());
    }
    tally
}

async fn echo(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut framed = Framed::new(stream, newline());
    while let Some(Ok(message)) = framed.next().await {
        if answer(&mut framed, message).await.is_err() {
            return;
        }
        // What has arrived together is answered together.
        while let Some(Some(Ok(message))) = framed.next().now_or_never() {
            if answer(&mut framed, message).await.is_err() {
                return;
            }
        }
        if SinkExt::<&str>::flush(&mut framed).await.is_err() {
            return;
        }
    }
}

async fn answer<S>(sink: &mut S, message: Bytes) -> Result<(), ()>
where
    S: for<'a> Sink<&'a str> + Unpin,
{
    let text = std::str::from_utf8(&message).map_err(|_| ())?;
    sink.feed(text).await.map_err(|_| ())
}

async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(echo(stream));
        }
    });
    port
}

/// Gives the same chunks again and again, one a call.
struct Repeated<'a> {
    block: &'a [u8],
    chunk_length: usize,
    at: usize,
    left: usize,
}

impl AsyncRead for Repeated<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.at == self.block.len() {
            self.at = 0;
            self.left -= 1;
        }
        if self.left > 0 {
            let length = self.chunk_length.min(buffer.remaining());
            let end = self.block.len().min(self.at + length);
            buffer.put_slice(&self.block[self.at..end]);
            self.at = end;
        }
        Poll::Ready(Ok(()))
    }
}

fn make_block(messages: &[Rc<str>], has_header: bool, delimiter: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for message in messages {
        if has_header {
            block.extend((message.len() as u32).to_be_bytes());
        }
        block.extend(message.as_bytes());
        block.extend(delimiter.as_bytes());
    }
    block
}

struct Subject {
    operation: String,
    messages: Vec<Rc<str>>,
    block: Vec<u8>,
    chunk_length: usize,
}

impl Subject {
    fn repeat(&self, count: usize) -> Repeated<'_> {
        Repeated {
            block: &self.block,
            chunk_length: self.chunk_length,
            at: 0,
            left: count / self.messages.len(),
        }
    }

    async fn run(&self, port: u16, count: usize) -> Tally {
        match self.operation.as_str() {
            "receive" => receive_all(connect(port).await, newline()).await,
            "receive-text" => receive_all(connect(port).await, LinesCodec::new()).await,
            "send" => send(port, count, &self.messages).await,
            "request" => request(port, count, &self.messages).await,
            "decode-lines" => receive_all(self.repeat(count), newline()).await,
            "decode-text" => receive_all(self.repeat(count), LinesCodec::new()).await,
            "decode-prefixed" => receive_all(self.repeat(count), LengthDelimitedCodec::new()).await,
            operation => panic!("unknown operation: {operation}"),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let operation = arguments[1].clone();
    let messages = make_messages(arguments[2].parse().unwrap());
    let chunk_length = arguments[3].parse().unwrap();
    let block = match operation.as_str() {
        "decode-prefixed" => make_block(&messages, true, ""),
        _ => make_block(&messages, false, "\n"),
    };
    let subject = Subject {
        operation,
        messages,
        block,
        chunk_length,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    if subject.operation == "echo" {
        runtime.block_on(async {
            println!("{}", serve().await);
            // A server ends with the driver, which this thread then learns of.
            std::thread::spawn(|| {
                io::stdin().lines().for_each(drop);
                std::process::exit(0);
            });
            std::future::pending::<()>().await
        });
    }
    println!("0");
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut numbers = line
            .split(' ')
            .map(|number| number.parse::<usize>().unwrap());
        let (port, count) = (numbers.next().unwrap(), numbers.next().unwrap());
        let tally = runtime.block_on(subject.run(port as u16, count));
        println!("{} {} {}", tally.count, tally.bytes, tally.checksum);
    }
}
