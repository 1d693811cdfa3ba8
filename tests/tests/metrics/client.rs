//! Whoever asks for the page: plain HTTP written by hand, so that nothing is mended on the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use onload_tests::node::{Node, PATIENCE};

use crate::open_metrics::Page;

/// What a Prometheus sends, less its timeouts.
pub const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: node\r\nUser-Agent: Prometheus/2.53.0\r\n\
    Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n\
    Accept-Encoding: gzip\r\n\r\n";

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// The socket of a node whose configuration says nothing of it.
pub fn socket(node: &Node) -> PathBuf {
    node.runtime_directory().join("metrics.sock")
}

/// One connection to a socket.
pub fn connect(path: &Path) -> anyhow::Result<UnixStream> {
    let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends a request and reads to the end of the connection.
pub fn ask(mut stream: impl Read + Write, request: &[u8]) -> anyhow::Result<Answer> {
    stream.write_all(request)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8(text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

fn page(answer: Answer) -> anyhow::Result<Page> {
    ensure!(answer.status == 200, "{answer:?}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    ensure!(answer.head.contains(kind), "{}", answer.head);
    let length = format!("content-length: {}", answer.body.len());
    ensure!(answer.head.contains(&length), "{}", answer.head);
    Page::parse(&answer.body)
}

/// The page as the socket has it.
pub fn scrape(node: &Node) -> anyhow::Result<Page> {
    page(ask(connect(&socket(node))?, SCRAPE.as_bytes())?)
}

/// The page as an address has it.
pub fn scrape_at(address: &str) -> anyhow::Result<Page> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    page(ask(stream, SCRAPE.as_bytes())?)
}
