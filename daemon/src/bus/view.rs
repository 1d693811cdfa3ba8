//! What objects read: the picture that the bus shows, or one picture of two that are compared. An
//! object of the first kind and its signals can never disagree.

use std::sync::Arc;

use onload_core::picture::Picture;
use tokio::sync::watch;

/// What the bus shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The picture.
    pub(super) now: Arc<Picture>,
    /// The one before, until the objects that only it has are taken off the bus.
    pub(super) going: Arc<Picture>,
}

impl Shown {
    /// One picture, and no object that goes.
    pub(super) fn only(picture: Arc<Picture>) -> Self {
        Self { now: picture.clone(), going: picture }
    }
}

/// A window on a picture.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// The one that the bus shows.
    Shown(watch::Receiver<Shown>),
    /// This one.
    Fixed(Arc<Picture>),
}

impl View {
    /// The picture now.
    pub(super) fn picture(&self) -> Arc<Picture> {
        match self {
            Self::Shown(shown) => shown.borrow().now.clone(),
            Self::Fixed(picture) => picture.clone(),
        }
    }

    /// A fact of an object: of one that is just being taken off the bus as it was last, and nothing
    /// when it is gone.
    pub(super) fn fact<V, T: Default>(
        &self,
        find: impl Fn(&Picture) -> Option<&V>,
        read: impl FnOnce(&V) -> T,
    ) -> T {
        let Shown { now, going } = match self {
            Self::Shown(shown) => shown.borrow().clone(),
            Self::Fixed(picture) => Shown::only(picture.clone()),
        };
        find(&now).or_else(|| find(&going)).map(read).unwrap_or_default()
    }
}
