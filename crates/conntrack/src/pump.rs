//! The loop between a source and the outputs of its records: the ring, stdout, the counters.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use shared::clock::monotonic_ns;
use shared::record::wire::Loss;
use shared::record::wire::Record;
use shared::record::wire::kind;
use shared::ring::Writer;
use shared::ring::layout::Source;
use shared::stop::Stop;

use crate::counters::Counters;
use crate::metrics::Metrics;
use crate::output::Output;
use crate::plan::Plan;
use crate::source::EventSource;
use crate::wake::Wake;
use crate::wall_clock::WallClock;

/// How often losses, the heartbeat and the metrics are updated.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Everything that a record passes through.
pub struct Pump<'a> {
    /// What to report, and when to end.
    pub plan: &'a Plan,
    /// Readers' shared memory.
    pub ring: Writer,
    /// Standard output.
    pub output: Output,
    /// The file of counters.
    pub metrics: Option<Metrics>,
    /// What gives records their time.
    pub clock: WallClock,
    /// Where they come from.
    pub source: Source,
    /// Totals so far.
    pub counters: Counters,
    /// Whether stdout could be written since the last hand-over.
    pub written: io::Result<()>,
}

impl Pump<'_> {
    /// Reports the connections that exist already.
    ///
    /// # Errors
    /// If stdout cannot be written. A failed load is logged and survived.
    pub fn load(&mut self, source: &mut dyn EventSource) -> anyhow::Result<()> {
        if !self.plan.cli.no_dump {
            if let Err(error) = source.load(&mut |record| self.forward(record)) {
                log::warn!("preexisting connections are not loaded: {error:#}");
            }
        }
        self.ring.end_dump();
        self.hand_over()
    }

    /// Runs until a stop is asked for, the time is over, or there are enough records.
    ///
    /// # Errors
    /// If the source fails, or stdout cannot be written.
    pub fn run(&mut self, source: &mut dyn EventSource, stop: &Stop) -> anyhow::Result<()> {
        let end = self
            .plan
            .cli
            .duration
            .map(|duration| Instant::now() + duration);
        let wake = Wake::on(&[stop.as_fd(), self.clock.as_fd()])?;
        let mut housekeeping_due = Instant::now();
        let mut maintenance_due = Instant::now();
        while !stop.asked() && !self.has_enough() {
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                break;
            }
            let compared_ns = self.clock.compare()?;
            let is_idle = !source.take(&mut |record| self.forward(record))?;
            if is_idle {
                self.clock.idle_at(compared_ns);
            }
            // Events go first: maintenance adds to them, and finds no room in a full buffer.
            if now >= maintenance_due && (is_idle || now >= maintenance_due + HOUSEKEEPING) {
                maintenance_due = now + source.maintain(&mut |record| self.forward(record))?;
            }
            if now >= housekeeping_due {
                self.keep_house(source)?;
                housekeeping_due = now + HOUSEKEEPING;
            }
            self.hand_over()?;
            if is_idle {
                let due = maintenance_due.min(housekeeping_due);
                let due = end.map_or(due, |end| due.min(end));
                // Poll counts in milliseconds: rounded up, or it would spin through the last one.
                let at_most = due.saturating_duration_since(Instant::now());
                source.wait(wake.as_fd(), at_most + Duration::from_millis(1))?;
            }
        }
        self.finish(source)
    }

    /// Takes what was reported before the hooks were removed, and the last counts.
    fn finish(&mut self, source: &mut dyn EventSource) -> anyhow::Result<()> {
        let looked = if self.plan.cli.no_dump {
            // Those from before the start could not be told from those that the source has missed.
            Err("--no-dump".into())
        } else {
            let looked = source.unseen(&mut |record| self.forward(record));
            looked.map_err(|error| format!("{error:#}"))
        };
        loop {
            let holds_back = source.stop()?;
            while !self.has_enough() && source.take(&mut |record| self.forward(record))? {
                self.hand_over()?;
            }
            if !holds_back || self.has_enough() {
                break;
            }
        }
        self.count_losses(source)?;
        self.counters.set_unseen(looked);
        self.keep_house(source)?;
        self.hand_over()
    }

    fn has_enough(&self) -> bool {
        self.plan
            .cli
            .count
            .is_some_and(|count| self.counters.records() >= count)
    }

    fn forward(&mut self, record: &Record) {
        let is_wanted = match record.r#type {
            kind::NEW => self.plan.report_new,
            kind::DESTROY => self.plan.report_destroy,
            _ => true,
        };
        if is_wanted && !self.has_enough() {
            self.counters.count(record.r#type);
            self.publish(record);
        }
    }

    fn publish(&mut self, record: &Record) {
        let record = self.clock.stamp(record, self.source);
        self.ring.push(&record);
        if self.written.is_ok() {
            self.written = self.output.write(&record);
        }
    }

    /// Wakes the ring's readers and the reader of stdout.
    fn hand_over(&mut self) -> anyhow::Result<()> {
        self.ring.ring_doorbell();
        std::mem::replace(&mut self.written, Ok(()))
            .and_then(|()| self.output.flush())
            .context("write to stdout")
    }

    fn count_losses(&mut self, source: &mut dyn EventSource) -> anyhow::Result<u64> {
        let now_ns = monotonic_ns().context("read the clock")?;
        for place in Loss::ALL {
            let total = source.lost(place)?;
            let grown = self.counters.lost(place, total);
            if grown > 0 && grown == total && place == Loss::TableFull {
                log::warn!("the table is full: new connections are not reported (--max-entries)");
            }
            if grown > 0 {
                self.ring.set_loss(place, total);
                self.publish(&Record::loss(now_ns, place, grown));
                self.hand_over()?;
            }
        }
        Ok(now_ns)
    }

    fn keep_house(&mut self, source: &mut dyn EventSource) -> anyhow::Result<()> {
        let now_ns = self.count_losses(source)?;
        let untimed = self.clock.take_untimed();
        if untimed > 0 {
            log::warn!(
                "{untimed} records have no ts_ns: the clock was set between the event and its report"
            );
        }
        self.ring.heartbeat(now_ns)?;
        if let Some(metrics) = &mut self.metrics {
            metrics.update(&self.counters);
        }
        Ok(())
    }
}
