//! The loop between a source and those who want its records: the ring, stdout, the counters.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use shared::clock::monotonic_ns;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::ring::Writer;
use shared::stop::Stop;

use crate::counters::Counters;
use crate::metrics::Metrics;
use crate::output::Output;
use crate::plan::Plan;
use crate::source::Source;

/// How often losses, the sign of life and the metrics are brought up to date.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Everything that a record passes through.
pub struct Pump<'a> {
    /// What to tell, and when to end.
    pub plan: &'a Plan,
    /// Readers' shared memory.
    pub ring: Writer,
    /// Standard output.
    pub output: Output,
    /// The file of counters.
    pub metrics: Option<Metrics>,
    /// Totals so far.
    pub counters: Counters,
}

impl Pump<'_> {
    /// Tells of the connections that are there already.
    ///
    /// # Errors
    /// If stdout cannot be written. A load that fails is said and survived.
    pub fn load(&mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        if self.plan.dump {
            let mut written = Ok(());
            let loaded = source.load(&mut |record| {
                if written.is_ok() {
                    written = self.forward(&record);
                }
            });
            written?;
            if let Err(error) = loaded {
                log::warn!("connections that are there already are not loaded: {error:#}");
            }
        }
        self.ring.end_dump();
        self.hand_over()
    }

    /// Runs until a stop is asked for, the time is over, or enough was told.
    ///
    /// # Errors
    /// If the source fails, or stdout cannot be written.
    pub fn run(&mut self, source: &mut dyn Source, stop: &Stop) -> anyhow::Result<()> {
        let end = self.plan.duration.map(|duration| Instant::now() + duration);
        let mut housekeeping_due = Instant::now();
        let mut tend_due = Instant::now();
        let mut batch = Vec::with_capacity(4096);
        while !stop.asked() && !self.has_enough() {
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                break;
            }
            source.take(&mut batch)?;
            let is_idle = batch.is_empty();
            // What has happened goes first: a chore may add to it, or find no room to.
            if now >= tend_due && (is_idle || now >= tend_due + HOUSEKEEPING) {
                tend_due = now + source.tend(&mut batch)?;
            }
            if now >= housekeeping_due {
                self.keep_house(source)?;
                housekeeping_due = now + HOUSEKEEPING;
            }
            self.forward_all(&mut batch)?;
            if is_idle {
                let due = tend_due.min(housekeeping_due);
                let due = end.map_or(due, |end| due.min(end));
                // Poll counts in milliseconds: rounded up, or it would spin through the last one.
                let at_most = due.saturating_duration_since(Instant::now());
                source.wait(stop, at_most + Duration::from_millis(1))?;
            }
        }
        self.finish(source, &mut batch)
    }

    /// Takes what was told before the hooks were removed, and the last counts.
    fn finish(&mut self, source: &mut dyn Source, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        loop {
            let had_no_room = source.stop()?;
            loop {
                source.take(batch)?;
                if batch.is_empty() || self.has_enough() {
                    break;
                }
                self.forward_all(batch)?;
            }
            if !had_no_room || self.has_enough() {
                break;
            }
        }
        self.keep_house(source)?;
        self.hand_over()
    }

    fn has_enough(&self) -> bool {
        self.plan
            .count
            .is_some_and(|count| self.counters.records() >= count)
    }

    fn forward_all(&mut self, batch: &mut Vec<Record>) -> anyhow::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        for record in batch.drain(..) {
            self.forward(&record)?;
        }
        self.hand_over()
    }

    fn forward(&mut self, record: &Record) -> anyhow::Result<()> {
        let is_wanted = match record.r#type {
            kind::NEW => self.plan.tell_new,
            kind::DESTROY => self.plan.tell_destroy,
            _ => true,
        };
        if !is_wanted || self.has_enough() {
            return Ok(());
        }
        self.counters.count(record.r#type);
        self.ring.push(record);
        self.output.write(record).context("write to stdout")
    }

    /// Wakes the ring's readers and the reader of stdout.
    fn hand_over(&mut self) -> anyhow::Result<()> {
        self.ring.ring_doorbell();
        self.output.flush().context("write to stdout")
    }

    fn keep_house(&mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        let now_ns = monotonic_ns().context("read the clock")?;
        for place in Loss::ALL {
            let total = source.lost(place)?;
            let grown = self.counters.lost(place, total);
            if grown > 0 {
                self.ring.set_loss(place, total);
                let record = Record::loss(now_ns, place, grown);
                self.ring.push(&record);
                self.output.write(&record).context("write to stdout")?;
                self.hand_over()?;
            }
        }
        self.ring.heartbeat(now_ns);
        if let Some(metrics) = &mut self.metrics {
            metrics.update(&self.counters);
        }
        Ok(())
    }
}
