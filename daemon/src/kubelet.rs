//! The kubelet's side door: the device plugin API as the kubelet speaks it.

// Generated code follows its generator's taste, not ours; `tests/tests/generated.rs` keeps it so.
#[allow(missing_docs, missing_debug_implementations, clippy::all)]
#[rustfmt::skip]
pub mod api;
