//! Records from the shared-memory ring: waits for it, reads it to its end, and reports how the writer
//! ended.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Map;
use shared::clock;
use shared::exit::Failure;
use shared::record::Flow;
use shared::record::wire::Loss;
use shared::ring::Reader;
use shared::ring::RingError;
use shared::ring::RingName;
use shared::ring::header::Header;
use shared::ring::reader::Next;
use shared::ring::reader::Writer;
use shared::stop::Stop;

use super::step::Source;
use super::step::Step;
use super::step::wait_readable;

/// How often the name is checked while there is no ring.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The ring of a name, or all rings of that name, one after the other.
pub struct Ring {
    name: RingName,
    stop: Stop,
    follow: bool,
    /// How long to wait for the first ring, and until when; none once it was found.
    patience: Option<(Duration, Instant)>,
    /// Whether the wait for a ring was logged.
    logged: bool,
    reader: Option<Reader>,
    /// Epoch of the ring that was read last: its file may still be there.
    finished: Option<u64>,
}

impl Ring {
    /// Reads the ring of this name, for which it waits as long as `patience`; with `follow` also the
    /// later rings of that name, for which it waits without limit.
    #[must_use]
    pub fn new(name: RingName, follow: bool, patience: Duration, stop: Stop) -> Self {
        Self {
            name,
            stop,
            follow,
            patience: Some((patience, Instant::now() + patience)),
            logged: false,
            reader: None,
            finished: None,
        }
    }

    /// Opens the ring if there is one. A ring whose writer was killed does not count: a new writer
    /// will replace it.
    fn try_open(&mut self) -> anyhow::Result<()> {
        let why_not = match Reader::open(&self.name) {
            Ok(reader) if self.finished == Some(reader.header().epoch_ns) => "has ended",
            Ok(reader) if reader.writer()? == Writer::Died => "is a leftover of a killed writer",
            Ok(reader) => {
                log::info!("reading ring {}", self.name);
                self.patience = None;
                self.reader = Some(reader);
                return Ok(());
            }
            Err(RingError::Missing(_)) => "does not exist",
            Err(RingError::OtherBoot(_)) => "is from before the last reboot",
            Err(error) if is_forbidden(&error) => {
                return Err(error).context(Failure::Privilege(
                    "reading the ring needs its writer's user id, or CAP_DAC_OVERRIDE".into(),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        match self.patience {
            Some((patience, until)) if until <= Instant::now() => {
                let name = &self.name;
                let seconds = patience.as_secs_f64();
                let text =
                    format!("ring {name} {why_not}, and no writer made one within {seconds} s");
                Err(Failure::Failed(text).into())
            }
            _ => {
                if !self.logged {
                    self.logged = true;
                    log::info!("waiting for ring {}: it {why_not}", self.name);
                }
                Ok(())
            }
        }
    }

    fn finish(&mut self, ring: &Header, writer: Writer) -> anyhow::Result<Step> {
        self.reader = None;
        self.logged = false;
        self.finished = Some(ring.epoch_ns);
        let (name, pid) = (&self.name, ring.writer_pid);
        match (writer, self.follow) {
            (Writer::Died, false) => {
                let text =
                    format!("ring {name}: its writer, process {pid}, died without closing it");
                Err(Failure::Failed(text).into())
            }
            (Writer::Died, true) => {
                log::warn!("ring {name}: its writer, process {pid}, died; waiting for the next");
                Ok(Step::Idle)
            }
            (_, true) => Ok(Step::Idle),
            (_, false) => Ok(Step::End),
        }
    }
}

impl Source for Ring {
    fn step(&mut self) -> anyhow::Result<Step> {
        let Some(reader) = &mut self.reader else {
            self.try_open()?;
            // Found or not, the caller flushes before it goes on.
            return Ok(Step::Idle);
        };
        let mut next = reader.advance();
        if next == Next::Empty {
            let writer = reader.writer()?;
            // A record that it published just before its end is visible now.
            next = reader.advance();
            if next == Next::Empty && writer != Writer::Alive {
                let ring = reader.header().clone();
                return self.finish(&ring, writer);
            }
        }
        Ok(step_of(reader, next))
    }

    fn wait(&mut self, at_most: Duration) {
        match &self.reader {
            Some(reader) => reader.wait(at_most),
            None => {
                wait_readable(&[self.stop.as_fd()], at_most.min(POLL_INTERVAL));
            }
        }
    }
}

fn step_of(reader: &Reader, next: Next) -> Step {
    let flow = match next {
        Next::Empty => return Step::Idle,
        Next::Record(record) => {
            let header = reader.header();
            Flow::from_record(&header.with_time(record), header.source.name())
        }
        Next::Lost(count) => {
            // Without a clock the count still matters.
            let now_ns = clock::realtime_ns().ok();
            Some(Flow::loss(now_ns, Loss::RingOverwritten, count))
        }
    };
    match flow {
        Some(flow) => Step::Record(flow, Map::new()),
        None => Step::Unreadable,
    }
}

fn is_forbidden(error: &RingError) -> bool {
    matches!(error, RingError::Io { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied)
}
