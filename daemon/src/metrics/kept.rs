//! The page that was made last: who asks again before anything in it has changed gets the same one, so that
//! asking without end makes no work without end.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use onload_core::picture::Picture;

use super::exposition;
use crate::letterbox::Letterbox;

/// Pages, made as they are asked for.
#[derive(Debug)]
pub(super) struct Pages {
    letterbox: Letterbox,
    last: Mutex<Option<Kept>>,
}

/// A page, and what it was made of. That is all there is in it: not even the time.
#[derive(Debug)]
struct Kept {
    /// The page alone keeps no picture.
    picture: Weak<Picture>,
    /// By [`super::Meters::version`].
    counted: u64,
    text: Bytes,
}

impl Pages {
    /// Those of a letterbox.
    pub(super) fn of(letterbox: Letterbox) -> Self {
        Self { letterbox, last: Mutex::default() }
    }

    /// What they are made of.
    pub(super) fn letterbox(&self) -> &Letterbox {
        &self.letterbox
    }

    /// The page as it is now.
    ///
    /// # Errors
    /// It cannot be written, which nothing should bring about.
    pub(super) fn page(&self) -> Result<Bytes, fmt::Error> {
        let (picture, meters) = (self.letterbox.picture(), self.letterbox.meters());
        // Asked first: what is counted meanwhile is in the next one at the latest.
        let counted = meters.version();
        // Nobody can have panicked with it half written: it is put there as a whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*last
            && kept.counted == counted
            && std::ptr::eq(kept.picture.as_ptr(), Arc::as_ptr(&picture))
        {
            return Ok(kept.text.clone());
        }
        let kept = Arc::downgrade(&picture);
        let text = Bytes::from(exposition::page(picture, Arc::clone(meters))?);
        *last = Some(Kept { picture: kept, counted, text: text.clone() });
        Ok(text)
    }
}
