//! What the world outside may want of a running experiment: to see how far it is, and to stop it.

use std::rc::Rc;

use shared::cli::Common;
use shared::exit::Failure;
use shared::stop::Stop;

use crate::fields::Event;
use crate::fields::Place;
use crate::progress::Progress;
use crate::sample::camera::Shot;
use crate::sample::camera::Witness;
use crate::way::Order;

/// Somebody who looks on.
pub struct Watch {
    /// What is shown of the run.
    pub progress: Progress,
    stop: Stop,
}

impl Watch {
    /// Looks on from now, until `stop` is asked for.
    #[must_use]
    pub fn new(common: &Common, stop: Stop) -> Self {
        let is_wanted = !common.quiet && common.verbose == 0;
        Self {
            progress: Progress::new(is_wanted),
            stop,
        }
    }

    /// The witness, for as long as no stop is asked for.
    pub fn over<'a>(&'a mut self, witness: &'a mut dyn Witness) -> Watched<'a> {
        Watched {
            watch: self,
            witness,
        }
    }

    /// What came out, unless a stop was asked for meanwhile: then the one line that says so, whatever
    /// became of calls that the signal interrupted.
    ///
    /// # Errors
    /// Exit 3 after SIGINT or SIGTERM, or the error that was given.
    pub fn outcome<T>(&self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        if self.stop.asked() {
            return Err(stopped().into());
        }
        outcome
    }
}

/// The one line that is said after SIGINT or SIGTERM.
#[must_use]
pub fn stopped() -> Failure {
    Failure::Failed("stopped by a signal before the end; nothing is emitted".into())
}

/// A witness that somebody looks over the shoulder of. Once a stop is asked for it wants nothing more,
/// so that the round ends soon.
pub struct Watched<'a> {
    watch: &'a mut Watch,
    witness: &'a mut dyn Witness,
}

impl Witness for Watched<'_> {
    fn order(&self, event: Event, unknown: &[Place]) -> Option<Rc<Order>> {
        if self.watch.stop.asked() {
            None
        } else {
            self.witness.order(event, unknown)
        }
    }

    fn look(&mut self, shot: Shot) -> bool {
        self.watch.progress.tick();
        self.witness.look(shot)
    }

    fn is_done(&self, places: &[Place]) -> bool {
        self.watch.stop.asked() || self.witness.is_done(places)
    }
}
