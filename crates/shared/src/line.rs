//! One record per line on stdout: buffered while data keeps coming, flushed before the program
//! waits for more. So the reader of a pipe never waits for a line that is already there.

use std::io;
use std::io::BufWriter;
use std::io::IsTerminal as _;
use std::io::StdoutLock;
use std::io::Write;

use serde::Serialize;

/// Standard output as a stream of lines.
pub struct Lines<W: Write> {
    out: BufWriter<W>,
}

impl Lines<StdoutLock<'static>> {
    /// Lines to the standard output of this process, which stays locked.
    #[must_use]
    pub fn stdout() -> Self {
        Self::to(io::stdout().lock())
    }
}

impl<W: Write> Lines<W> {
    /// Lines to any writer.
    pub fn to(out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(64 * 1024, out),
        }
    }

    /// Writes one value as one line of JSON.
    ///
    /// # Errors
    /// If the stream cannot be written; a broken pipe comes out as [`io::ErrorKind::BrokenPipe`].
    pub fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        self.out.write_all(b"\n")
    }

    /// Writes one line of text, escaped so that it stays one line.
    ///
    /// # Errors
    /// If the stream cannot be written.
    pub fn text(&mut self, line: &str) -> io::Result<()> {
        self.out
            .write_all(crate::escape::one_line(line).as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// If the stream cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Writes out what is buffered. Call it before waiting for input, and at the end.
    ///
    /// # Errors
    /// If the stream cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Is standard output a terminal?
#[must_use]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_one_line() {
        let mut out = Vec::new();
        let mut lines = Lines::to(&mut out);
        lines.text("eth0\nfake").unwrap();
        lines.json(&[1, 2]).unwrap();
        lines.flush().unwrap();
        drop(lines);
        assert_eq!(out, b"eth0\\x0afake\n[1,2]\n");
    }
}
