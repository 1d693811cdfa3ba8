//! What objects read: the picture that the bus has been told of, or one picture of two that are
//! compared. An object of the first kind and its signals can never disagree.

use std::sync::Arc;

use onload_core::picture::Picture;
use tokio::sync::watch;

/// A window on a picture.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// The one that signals have been sent for.
    Published(watch::Receiver<Arc<Picture>>),
    /// This one.
    Fixed(Arc<Picture>),
}

impl View {
    /// The picture now.
    pub(super) fn picture(&self) -> Arc<Picture> {
        match self {
            Self::Published(pictures) => pictures.borrow().clone(),
            Self::Fixed(picture) => picture.clone(),
        }
    }
}
