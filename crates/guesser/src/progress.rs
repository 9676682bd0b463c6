//! One line on a terminal while the experiment takes its time, gone when it ends. It is refreshed by
//! those who do the work, not by a thread; a run of less than half a second writes nothing.
//!
//! It is erased before anything else is said: whoever logs while it may be there calls
//! [`Progress::clear`] first. With `-v` the log itself tells how far the run is, and this is silent.

use std::fmt;
use std::io;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use crate::terminal::Page;

/// Before, nothing is shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it changes at most.
const INTERVAL: Duration = Duration::from_millis(100);

/// How far the run is.
#[derive(Default)]
pub struct Progress {
    /// None: nobody watches.
    screen: Option<Screen>,
}

struct Screen {
    out: Box<dyn Write>,
    columns: usize,
    started: Instant,
    due: Instant,
    phase: String,
    is_shown: bool,
}

impl Progress {
    /// Shown if stderr is a terminal and nothing else will tell of the run.
    #[must_use]
    pub fn new(is_wanted: bool) -> Self {
        let page = Page::of_terminal().filter(|_| is_wanted);
        let show = |page: Page| Screen::new(Box::new(io::stderr()), page.columns, Instant::now());
        Self {
            screen: page.map(show),
        }
    }

    /// Says what is being done now. The text is not made if nobody sees it.
    pub fn phase<T: fmt::Display>(&mut self, text: impl FnOnce() -> T) {
        if let Some(screen) = &mut self.screen {
            screen.phase = text().to_string();
            screen.refresh(Instant::now());
        }
    }

    /// Shows that it goes on.
    pub fn tick(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.refresh(Instant::now());
        }
    }

    /// Erases the line; it comes back with the next tick.
    pub fn clear(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Screen {
    fn new(out: Box<dyn Write>, columns: usize, now: Instant) -> Self {
        Self {
            out,
            columns,
            started: now,
            due: now + PATIENCE,
            phase: String::new(),
            is_shown: false,
        }
    }

    fn refresh(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        self.due = now + INTERVAL;
        let seconds = (now - self.started).as_secs_f64();
        let line = format!("guesser: {} ({seconds:.1} s)", self.phase);
        // A line that wraps could not be erased.
        let line: String = line.chars().take(self.columns.saturating_sub(1)).collect();
        self.write(&format!("\r{line}\x1b[K"));
        self.is_shown = true;
    }

    fn clear(&mut self) {
        if self.is_shown {
            self.write("\r\x1b[K");
            self.is_shown = false;
        }
    }

    /// A terminal that is gone is no reason to fail.
    fn write(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes());
        let _ = written.and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn take(&self) -> String {
            let bytes = self.0.borrow_mut().split_off(0);
            String::from_utf8(bytes).expect("what was written is text")
        }
    }

    #[test]
    fn a_short_run_writes_nothing_and_a_long_one_ten_times_a_second() {
        let paper = Paper::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut screen = Screen::new(Box::new(paper.clone()), 80, start);
        screen.phase = "verifying".into();
        screen.refresh(at(499));
        screen.clear();
        assert_eq!(paper.take(), "");
        screen.refresh(at(600));
        assert_eq!(paper.take(), "\rguesser: verifying (0.6 s)\x1b[K");
        screen.refresh(at(699));
        assert_eq!(paper.take(), "");
        screen.refresh(at(700));
        assert_eq!(paper.take(), "\rguesser: verifying (0.7 s)\x1b[K");
        screen.clear();
        screen.clear();
        assert_eq!(paper.take(), "\r\x1b[K");
    }

    #[test]
    fn a_narrow_terminal_gets_one_line_still() {
        let paper = Paper::default();
        let start = Instant::now();
        let mut screen = Screen::new(Box::new(paper.clone()), 12, start);
        screen.phase = "verifying".into();
        screen.refresh(start + PATIENCE);
        assert_eq!(paper.take(), "\rguesser: ve\x1b[K");
    }

    #[test]
    fn nobody_is_told_at_no_cost() {
        let mut progress = Progress::default();
        progress.phase(|| -> String { unreachable!("nobody watches") });
        progress.tick();
    }
}
