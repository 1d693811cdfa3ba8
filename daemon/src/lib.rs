//! The node daemon for AMD Solarflare Onload, as a library; the binary only starts it.

pub mod kubelet;
