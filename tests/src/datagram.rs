//! Datagrams that are waited for.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;

/// Receives one. With a time limit the kernel does not take the call up again after a signal, nor after the process
/// was stopped and went on (signal(7)): this does.
///
/// # Errors
/// As [`UnixDatagram::recv`], but never [`ErrorKind::Interrupted`].
pub fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}
