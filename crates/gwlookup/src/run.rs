//! Runs gwlookup: opens the source, adds to each record its route, and logs a summary at the end.

use std::io;
use std::time::Duration;
use std::time::Instant;

use shared::cli::log::SUMMARY;
use shared::exit::Answer;
use shared::line::Lines;
use shared::record::Flow;
use shared::record::flow::Type;
use shared::stop::Stop;

use crate::cli::Cli;
use crate::get;
use crate::output;
use crate::output::Output;
use crate::query::Query;
use crate::route::Route;
use crate::routes::Routes;
use crate::source::Source;
use crate::source::Step;
use crate::source::lines;
use crate::source::ring::Ring;
use crate::tally::Tally;
use crate::unrouted::Unrouted;

/// The longest sleep, so that sockets expire in time when no records come.
const SLEEP: Duration = Duration::from_millis(100);
/// How many records are read in a row before sockets expire.
const RECORDS_BETWEEN_EXPIRY: u64 = 1024;

/// Does what the command line says.
///
/// # Errors
/// If it fails; records that were read before are printed.
pub fn run(cli: Cli) -> anyhow::Result<Answer> {
    if let Some(target) = &cli.get {
        return get::run(target, output::format(cli.output));
    }
    let stop = Stop::on_signals()?;
    let mut source: Box<dyn Source> = match &cli.input {
        Some(path) => Box::new(lines::Lines::open(path, stop.clone())?),
        None => Box::new(Ring::new(
            cli.ring.clone(),
            cli.follow,
            cli.wait,
            stop.clone(),
        )),
    };
    let mut run = Run {
        routes: Routes::open()?,
        output: Output::new(Lines::stdout(), output::format(cli.output)),
        tally: Tally::default(),
        until: cli.duration.map(|duration| Instant::now() + duration),
        count: cli.count,
        stop,
    };
    let ended = run.pump(source.as_mut());
    // Records that were read before a failure are printed; the failure is reported first.
    let flushed = run.output.flush();
    if ended.is_err() {
        // By default the reason is the only line on stderr.
        log::info!("{}", run.tally);
    }
    ended?;
    flushed?;
    log::info!(target: SUMMARY, "{}", run.tally);
    Ok(if cli.fail_on_loss && run.tally.lost > 0 {
        Answer::No
    } else {
        Answer::Done
    })
}

struct Run<W: io::Write> {
    routes: Routes,
    output: Output<W>,
    tally: Tally,
    until: Option<Instant>,
    count: Option<u64>,
    stop: Stop,
}

impl<W: io::Write> Run<W> {
    fn pump(&mut self, source: &mut dyn Source) -> anyhow::Result<()> {
        let mut steps = 0_u64;
        while !self.is_over() {
            steps += 1;
            if steps % RECORDS_BETWEEN_EXPIRY == 0 {
                self.routes.expire();
            }
            match source.step()? {
                Step::Record(flow, others) if flow.r#type == Type::Loss => {
                    self.tally.loss(&flow);
                    self.output.record(&flow, &others, None)?;
                }
                Step::Record(flow, others) => {
                    let route = self.route(&flow);
                    self.tally.record(route.as_ref());
                    self.output.record(&flow, &others, Some(route.as_ref()))?;
                }
                Step::Unreadable => {
                    if self.tally.unreadable == 0 {
                        log::warn!("records of a newer version are skipped");
                    }
                    self.tally.unreadable += 1;
                }
                Step::Idle => {
                    self.output.flush()?;
                    self.routes.expire();
                    source.wait(self.remaining().min(SLEEP));
                }
                Step::End => break,
            }
        }
        Ok(())
    }

    fn route(&mut self, flow: &Flow) -> Result<Route, Unrouted> {
        let query = Query::of(flow).ok_or(Unrouted::Unaddressed)?;
        let netns = flow.netns.ok_or(Unrouted::NetnsUnknown)?;
        let route = self.routes.lookup(netns, query);
        if let Err(why) = &route {
            log::debug!("netns {netns}, to {}: {why}", query.dst);
        }
        route
    }

    fn is_over(&self) -> bool {
        self.stop.asked()
            || self.count.is_some_and(|count| self.tally.records >= count)
            || self.until.is_some_and(|until| until <= Instant::now())
    }

    fn remaining(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }
}
