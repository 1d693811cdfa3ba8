//! Who comes in: a few at a time, each for one request and a short while.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet, yield_now};

use super::answer::answer;
use super::kept::Pages;

/// Most connections of one listener; a Prometheus needs one, and one that restarts another.
const MOST: usize = 8;
/// How long one may take, from the connection to the last byte: Prometheus gives up after ten seconds
/// unless told otherwise.
const LIMIT: Duration = Duration::from_secs(10);
/// Most bytes that are kept of a request; the smallest that hyper allows. A scrape has a few hundred.
const MOST_BYTES: usize = 8 * 1024;
/// Most headers; a scrape has eight.
const MOST_HEADERS: usize = 32;
/// After a connection could not be accepted, for want of descriptors: without it, one would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves whoever `accept` lets in. Who comes when all places are taken has that of the one who was
/// there first: an honest request is answered as soon as it is here, so that one is not honest.
pub(super) async fn attend<S>(mut accept: impl AsyncFnMut() -> io::Result<S>, pages: &Arc<Pages>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Dropping it ends them all.
    let mut guests = JoinSet::new();
    let mut order: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while guests.try_join_next().is_some() {}
        order.retain(|guest| !guest.is_finished());
        if order.len() >= MOST
            && let Some(first) = order.pop_front()
        {
            first.abort();
        }
        order.push_back(guests.spawn(receive(stream, Arc::clone(pages))));
        // A request that came with the connection is answered before the next one is let in.
        yield_now().await;
    }
}

/// One connection. Whatever is wrong with it is its own affair.
async fn receive<S>(stream: S, pages: Arc<Pages>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        ready(Ok::<_, Infallible>(answer(&request, &pages)))
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        // Who has said all that it has to say may still listen.
        .half_close(true)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIMIT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics ended early"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}
