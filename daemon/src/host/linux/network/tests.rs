//! The reading of a network namespace.
