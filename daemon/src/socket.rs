//! A Unix socket of ours at a path: bound where nobody else serves, removed if it is still ours.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use tokio::net::{UnixListener, UnixStream};

/// Longest path of a unix socket (`sun_path` less its NUL; reference/kubelet-api.md section 1).
const LONGEST_PATH: usize = 107;

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// The kernel allows no such path.
    #[error(
        "the path is {0} bytes long and a socket's has at most {LONGEST_PATH}; \
         set a shorter one, or rename the pool that it is named after"
    )]
    TooLong(usize),
    /// Something else has the name.
    #[error("there is a file of that name that is not a socket; remove it if nobody needs it")]
    NotSocket,
    /// Another process serves there.
    #[error("another process serves there; see whether a second onloadd runs")]
    Served,
    /// What the system answered.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A bound socket's file; dropping it removes the file unless another has taken its place.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Binds, replacing a socket that a former process has left behind.
    pub(crate) async fn bind(path: &Path) -> Result<(Self, UnixListener), BindError> {
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(BindError::TooLong(length));
        }
        clear(path).await?;
        let listener = UnixListener::bind(path)?;
        Ok((Self { path: path.to_owned(), inode: inode(path)? }, listener))
    }

    /// Where its file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets who may connect. Whatever else has the path by now keeps its own: a link is not followed.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = File::from(open(&self.path, flags, Mode::empty())?);
        let found = held.metadata()?;
        if !found.file_type().is_socket() || inode_of(&found) != self.inode {
            return Err(io::Error::other("another file has taken its place"));
        }
        // A descriptor that only holds a file cannot be asked by itself.
        let same = format!("/proc/self/fd/{}", held.as_raw_fd());
        fs::set_permissions(same, Permissions::from_mode(mode))
    }

    /// Whether who opens the path still reaches this socket.
    pub(crate) fn is_in_place(&self) -> bool {
        inode(&self.path).is_ok_and(|inode| inode == self.inode)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_in_place() {
            // Nothing to be done about a failure: the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes way: removes a socket that nobody serves.
async fn clear(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotSocket),
        Ok(_) => {}
    }
    match listener(path).await? {
        Listener::Nobody => Ok(fs::remove_file(path)?),
        // Gone meanwhile: a kubelet is sweeping.
        Listener::NoFile => Ok(()),
        Listener::Somebody => Err(BindError::Served),
    }
}

/// Who is behind a socket's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// A process serves there.
    Somebody,
    /// The file is what a killed process has left.
    Nobody,
    /// There is no such file.
    NoFile,
}

/// Asks by connecting, once.
pub(crate) async fn listener(path: &Path) -> io::Result<Listener> {
    match UnixStream::connect(path).await {
        Ok(_) => Ok(Listener::Somebody),
        // A full queue is somebody's too.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Listener::Somebody),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Listener::Nobody),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Listener::NoFile),
        Err(error) => Err(error),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| inode_of(&found))
}

fn inode_of(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
// Test code: a broken assumption must stop the test where it broke.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const NAME: &str = "own.sock";

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_refused_in_words() {
        let root = tempfile::tempdir().unwrap();
        let room = LONGEST_PATH - root.path().as_os_str().len() - "//".len();
        let fits = root.path().join("x".repeat(room - NAME.len()));
        fs::create_dir(&fits).unwrap();
        Socket::bind(&fits.join(NAME)).await.unwrap();
        let long = root.path().join("x".repeat(room - NAME.len() + 1));
        fs::create_dir(&long).unwrap();
        let error = Socket::bind(&long.join(NAME)).await.unwrap_err();
        assert!(matches!(error, BindError::TooLong(108)), "{error}");
    }

    #[tokio::test]
    async fn the_file_goes_with_the_socket_and_a_successors_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(NAME);
        let (socket, _listener) = Socket::bind(&path).await.unwrap();
        assert!(socket.is_in_place());
        drop(socket);
        assert!(!path.exists());

        let (socket, _listener) = Socket::bind(&path).await.unwrap();
        // Renamed, not removed, so that the inode is not used again.
        fs::rename(&path, root.path().join("moved")).unwrap();
        let (successor, _listener) = Socket::bind(&path).await.unwrap();
        assert!(!socket.is_in_place() && successor.is_in_place());
        drop(socket);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn only_its_own_file_gets_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let (path, other) = (root.path().join(NAME), root.path().join("other"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let (socket, _listener) = Socket::bind(&path).await.unwrap();
        socket.set_mode(0o666).unwrap();
        assert_eq!(mode(&path), 0o666);

        fs::rename(&path, root.path().join("moved")).unwrap();
        fs::write(&other, "").unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        socket.set_mode(0o666).unwrap_err();
        fs::remove_file(&path).unwrap();
        fs::hard_link(&other, &path).unwrap();
        socket.set_mode(0o666).unwrap_err();
        assert_eq!(mode(&other), 0o600);
    }

    #[tokio::test]
    async fn what_has_the_name_decides() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(NAME);
        let listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path).await, Err(BindError::Served)));
        drop(listener);
        drop(Socket::bind(&path).await.unwrap());
        fs::write(&path, "").unwrap();
        assert!(matches!(Socket::bind(&path).await, Err(BindError::NotSocket)));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("kubelet.sock", &path).unwrap();
        assert!(matches!(Socket::bind(&path).await, Err(BindError::NotSocket)));
    }
}
