//! The experiments of a round on the running kernel.

use fastrand::Rng;

use super::connection;
use super::datagram;
use super::datagram::State;
use super::round::Bench;
use super::round::Where;
use super::route;
use super::route::Cause;
use super::sampler::Sampler;
use super::sites::Sites;
use super::stream;
use super::stream::Pair;
use super::stream::Side;
use crate::expected::connection::Nat;
use crate::fields::Event;
use crate::fields::Place;

/// The running kernel.
pub struct LiveKernel<'a, 'obj> {
    /// Takes the samples.
    pub sampler: Sampler<'a, 'obj>,
    /// Where the experiments run.
    pub sites: &'a mut Sites,
}

impl Bench for LiveKernel<'_, '_> {
    type Stream = Pair;

    fn random(&mut self) -> &mut Rng {
        self.sampler.random
    }

    fn is_open(&self, place: Place) -> bool {
        !(self.sampler.stopped)() && self.sampler.observer.is_open(place)
    }

    fn tracking_sites(&self) -> usize {
        self.sites.tracked.len()
    }

    fn connection(&mut self, site: usize, nat: Nat) -> anyhow::Result<()> {
        connection::send(&mut self.sampler, &mut self.sites.tracked[site], nat)
    }

    fn datagram(&mut self, at: Where, state: State) -> anyhow::Result<()> {
        let site = match at {
            Where::Any(index) => self.sites.any(index),
            Where::Untracked(index) => self.sites.untracked(index),
        };
        let family = site.draw_family(self.sampler.random);
        datagram::send(&mut self.sampler, site, family, state).map(|_seen| ())
    }

    fn connect(&mut self, index: usize) -> anyhow::Result<Pair> {
        stream::connect(&mut self.sampler, self.sites.any(index))
    }

    fn ask(&mut self, streams: &[Pair]) -> anyhow::Result<()> {
        stream::ask(streams)
    }

    fn round_trips(
        &mut self,
        streams: &mut [Pair],
        round: u32,
        meanwhile: &mut dyn FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let random = self.sampler.random.fork();
        stream::answer(streams, round, random, || meanwhile(self))?;
        for pair in streams {
            stream::sample(&mut self.sampler, pair, Side::Client)?;
        }
        Ok(())
    }

    fn accepted(&mut self, stream: &mut Pair) -> anyhow::Result<()> {
        stream::sample(&mut self.sampler, stream, Side::Server)
    }

    fn keep(&mut self, index: usize, stream: Pair) {
        stream::keep(self.sites.any(index), stream);
    }

    fn lookup(&mut self, event: Event, index: usize, cause: Cause) -> anyhow::Result<()> {
        let site = self.sites.any(index);
        route::lookup(&mut self.sampler, site, event, cause).map(|_seen| ())
    }
}
