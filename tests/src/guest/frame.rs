//! What goes over the wire between a test and the agent in its guest: a header in JSON and, where
//! there is one, a body of bytes, each behind its length.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The port's name, by which the agent finds it.
pub const PORT: &str = "onloadd.guest";
/// More is a sign that the two no longer agree where a frame begins.
const LONGEST: u32 = 256 << 20;

/// What the agent shall do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Run something.
    Run {
        /// A text of the shell.
        shell: String,
        /// How long it may take, in seconds.
        limit_secs: u64,
    },
    /// Write the body to a file, whose directories are made.
    Put {
        /// Where.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// Read a file.
    Get {
        /// Which.
        path: String,
    },
}

/// An order with a number, by which the answer is known.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// Never used twice on one wire.
    pub id: u64,
    /// The order.
    pub order: Order,
}

/// What the agent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The agent is there.
    Hello,
    /// The command ended; the body is what it wrote, stdout first.
    Ran {
        /// Of the request.
        id: u64,
        /// Its exit status; none after a signal.
        status: Option<i32>,
        /// How much of the body is stdout.
        stdout_bytes: usize,
    },
    /// The file was written, or is the body.
    Done {
        /// Of the request.
        id: u64,
    },
    /// It could not be done.
    Failed {
        /// Of the request.
        id: u64,
        /// In words.
        why: String,
    },
}

/// Writes one frame, in one piece.
///
/// # Errors
/// The wire does not take it.
pub fn write(wire: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    for part in [&header[..], body] {
        let length = u32::try_from(part.len()).ok().filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("too much for one frame"))?;
        frame.extend(length.to_be_bytes());
    }
    frame.extend(header);
    frame.extend(body);
    wire.write_all(&frame)?;
    wire.flush()
}

/// Reads one frame.
///
/// # Errors
/// The wire ended, or what came is no frame.
pub fn read<T: DeserializeOwned>(wire: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let header = length(wire)?;
    let body = length(wire)?;
    let header = bytes(wire, header)?;
    Ok((serde_json::from_slice(&header)?, bytes(wire, body)?))
}

fn length(wire: &mut impl Read) -> io::Result<u32> {
    let mut length = [0; 4];
    wire.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    Ok(length)
}

fn bytes(wire: &mut impl Read, count: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count as usize];
    wire.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        let order = Order::Put { path: "/run/a".to_owned(), mode: 0o644 };
        write(&mut wire, &Request { id: 7, order }, b"\0body").unwrap();
        write(&mut wire, &Answer::Hello, b"").unwrap();
        let mut wire = &wire[..];
        let (request, body): (Request, _) = read(&mut wire).unwrap();
        assert_eq!((request.id, body.as_slice()), (7, &b"\0body"[..]));
        let (answer, body): (Answer, _) = read(&mut wire).unwrap();
        assert!(matches!(answer, Answer::Hello) && body.is_empty());
        assert!(read::<Answer>(&mut wire).is_err(), "the wire has ended");
        assert!(read::<Answer>(&mut &[0xff; 64][..]).is_err(), "no frame is so long");
    }
}
