//! Attends one run of a program and tells what happened: how long it took, how it ended, what it
//! said. The same record in the guest, which writes it, and on the host, which judges it.

use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use serde::Deserialize;
use serde::Serialize;

/// One run of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// From before the process was started until it was gone, in microseconds.
    pub wall_us: u64,
    /// Its exit code; absent if a signal ended it, ours for lack of patience included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a program to its end, or until patience ends.
///
/// # Errors
/// If it cannot be started or listened to.
pub fn attend(command: &mut Command, patience: Duration) -> io::Result<Testimony> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut out = Pipe::new(child.stdout.take());
    let mut err = Pipe::new(child.stderr.take());
    // Both pipes end when the process does: so nothing has to look again and again whether it has.
    if !listen(&mut out, &mut err, start + patience)? {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok(Testimony {
        wall_us: start.elapsed().as_micros() as u64,
        code: status.code(),
        out: out.text(),
        err: err.text(),
    })
}

/// Reads both to their end; false if the deadline came first.
fn listen(
    out: &mut Pipe<impl Read + AsFd>,
    err: &mut Pipe<impl Read + AsFd>,
    deadline: Instant,
) -> io::Result<bool> {
    while out.from.is_some() || err.from.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let [out_speaks, err_speaks] = {
            let ends = [
                out.from.as_ref().map(AsFd::as_fd),
                err.from.as_ref().map(AsFd::as_fd),
            ];
            let mut polled: Vec<PollFd> = ends
                .into_iter()
                .flatten()
                .map(|end| PollFd::new(end, PollFlags::POLLIN))
                .collect();
            poll(&mut polled, timeout)?;
            let mut polled = polled.iter().map(|end| end.any().unwrap_or(false));
            ends.map(|end| end.is_some() && polled.next().unwrap_or(false))
        };
        if out_speaks {
            out.read()?;
        }
        if err_speaks {
            err.read()?;
        }
    }
    Ok(true)
}

/// One end of a child's output and what came from it.
struct Pipe<R> {
    /// Absent once it has ended.
    from: Option<R>,
    bytes: Vec<u8>,
}

impl<R: Read> Pipe<R> {
    fn new(from: Option<R>) -> Self {
        Self {
            from,
            bytes: Vec::new(),
        }
    }

    /// Reads what is there.
    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        if let Some(from) = &mut self.from {
            match from.read(&mut piece)? {
                0 => self.from = None,
                length => self.bytes.extend(&piece[..length]),
            }
        }
        Ok(())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, patience_ms: u64) -> Testimony {
        let mut command = Command::new("sh");
        attend(
            command.args(["-c", script]),
            Duration::from_millis(patience_ms),
        )
        .unwrap()
    }

    #[test]
    fn all_that_a_program_says_and_its_code_are_told() {
        let seen = sh("echo one; echo two >&2; exec >&-; sleep 0.1; exit 7", 9_000);
        assert_eq!((seen.out.as_str(), seen.err.as_str()), ("one\n", "two\n"));
        assert_eq!(seen.code, Some(7));
    }

    #[test]
    fn more_than_a_pipe_holds_is_told() {
        let seen = sh("head -c 300000 /dev/zero | tr '\\0' x", 9_000);
        assert_eq!((seen.out.len(), seen.code), (300_000, Some(0)));
    }

    #[test]
    fn what_does_not_end_is_ended() {
        let seen = sh("echo waiting; exec sleep 60", 200);
        assert_eq!((seen.out.as_str(), seen.code), ("waiting\n", None));
    }
}
