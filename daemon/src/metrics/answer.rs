//! One request and its answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::kept::Pages;

/// Where the page is.
const PATH: &str = "/metrics";
/// What it is. Whatever a client says that it takes: the older text format knows no `info`, and every
/// Prometheus since 2.5 reads this one.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Answers one request. What else it carries is not read.
pub(super) fn answer<B>(request: &Request<B>, pages: &Pages) -> Response<Text> {
    if request.uri().path() != PATH {
        let text = "not found: metrics are at /metrics\n";
        return response(StatusCode::NOT_FOUND, PLAIN, text);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "not allowed: metrics are read by GET\n";
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        refused.headers_mut().insert(ALLOW, METHODS);
        return refused;
    }
    match pages.page() {
        Ok(page) => response(StatusCode::OK, OPEN_METRICS, page),
        Err(error) => {
            tracing::warn!(%error, "the page of metrics could not be written");
            response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the page could not be written\n")
        }
    }
}

fn response(status: StatusCode, kind: HeaderValue, text: impl Into<Bytes>) -> Response<Text> {
    let mut response = Response::new(Text(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A body that is there as a whole.
#[derive(Debug)]
pub(super) struct Text(Option<Bytes>);

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |text| text.len() as u64))
    }
}
